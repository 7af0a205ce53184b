//! Which pages of guest memory were written: as a bitmap for each slot, or as a ring for each vCPU.

use crate::host::mapping::Mapping;
use crate::kvm::vm::slot_number;
use crate::kvm::{Error, Vcpu, Vm};
use crate::layout::PAGE_SIZE;
use crate::sys::ioctl;
use crate::sys::memory::*;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release, Ordering::SeqCst};

impl Vm {
    /// `KVM_GET_DIRTY_LOG`: a bit for each 4 KiB of the slot that was written since the last call. ENOENT: the slot keeps no
    /// log.
    pub fn dirty_log(&self, slot: u32) -> Result<DirtyLog, Error> {
        let size = self.slot_sizes[slot_number(slot)].load(SeqCst);
        // The kernel fills whole words of 64 bits, for as many pages as the slot has. The slot does not grow meanwhile: each
        // is made in one size only.
        let mut words = vec![0u64; (size / PAGE_SIZE).div_ceil(64) as usize];
        let dirty_bitmap = words.as_mut_ptr().expose_provenance() as u64;
        let log = kvm_dirty_log { slot, padding1: 0, dirty_bitmap };
        let shown = format_args!("slot {slot}");
        // SAFETY: the kernel writes into `words`, which has room for the whole slot.
        unsafe { self.descriptor.set(ioctl::KVM_GET_DIRTY_LOG, &log, shown) }?;
        Ok(DirtyLog { words, pages: size / PAGE_SIZE })
    }

    /// `KVM_CLEAR_DIRTY_LOG`: the pages of this log are watched again. After `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2` only this starts
    /// anew.
    pub fn clear_dirty_log(&self, slot: u32, log: &DirtyLog) -> Result<(), Error> {
        let dirty_bitmap = log.words.as_ptr().expose_provenance() as u64;
        let clear =
            kvm_clear_dirty_log { slot, num_pages: log.pages as u32, first_page: 0, dirty_bitmap };
        let shown = format_args!("slot {slot}, {} pages", log.pages);
        // SAFETY: the kernel reads a bit for each of `num_pages`, and the log has as many.
        unsafe { self.descriptor.set(ioctl::KVM_CLEAR_DIRTY_LOG, &clear, shown) }.map(drop)
    }

    /// `KVM_RESET_DIRTY_RINGS`: takes back the entries of all rings that were collected, and watches their pages again. Returns how
    /// many. The vCPUs do not run meanwhile.
    pub fn reset_dirty_rings(&self) -> Result<u32, Error> {
        let request = ioctl::KVM_RESET_DIRTY_RINGS;
        // SAFETY: takes no argument.
        Ok(unsafe { self.descriptor.ioctl(request, 0, format_args!("")) }? as u32)
    }
}

/// Which pages of a slot were written.
pub struct DirtyLog {
    words: Vec<u64>,
    pages: u64,
}

impl DirtyLog {
    /// How many pages were written.
    pub fn count(&self) -> u64 {
        self.ranges().map(|(first, end)| end - first).sum()
    }

    /// Adds the pages of another log of the same slot.
    pub fn add(&mut self, other: &DirtyLog) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// The ranges of pages that were written: first page, and the page behind the last.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let is_dirty = |page: u64| self.words[(page / 64) as usize] >> (page % 64) & 1 != 0;
        let mut page = 0;
        core::iter::from_fn(move || {
            let first = (page..self.pages).find(|&page| is_dirty(page))?;
            let end = (first..self.pages).find(|&page| !is_dirty(page)).unwrap_or(self.pages);
            page = end;
            Some((first, end))
        })
    }
}

/// A vCPU's ring of written pages: `KVM_CAP_DIRTY_LOG_RING`, api.rst 8.29.
pub struct DirtyRing {
    mapping: Mapping,
    /// The entry that comes next.
    next: usize,
}

impl DirtyRing {
    /// Maps the ring, whose size in bytes was said to `KVM_ENABLE_CAP`.
    pub fn map(vcpu: &Vcpu, size: usize) -> Result<DirtyRing, Error> {
        let offset = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE_SIZE as usize;
        let mapping = Mapping::of_file(&vcpu.descriptor.fd, offset, size);
        Ok(DirtyRing { mapping: mapping.map_err(Error::MapDirtyRing)?, next: 0 })
    }

    /// Collects the oldest entry: slot, and the page's number in it.
    pub fn collect(&mut self) -> Option<(u32, u64)> {
        let entries = self.mapping.size() / size_of::<kvm_dirty_gfn>();
        let entry = self.mapping.start().cast::<kvm_dirty_gfn>().wrapping_add(self.next % entries);
        // SAFETY: inside the mapping. The kernel writes the entry, and its flags last; in this process they are used as an atomic only.
        let flags = unsafe { AtomicU32::from_ptr(&raw mut (*entry).flags) };
        if flags.load(Acquire) & KVM_DIRTY_GFN_F_DIRTY == 0 {
            return None;
        }
        // SAFETY: inside the mapping; the kernel leaves an entry alone until it is given back.
        let (slot, offset) =
            unsafe { ((&raw const (*entry).slot).read(), (&raw const (*entry).offset).read()) };
        flags.store(KVM_DIRTY_GFN_F_RESET, Release);
        self.next += 1;
        Some((slot, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dirty_log_is_shown_as_ranges() {
        let ranges = |words: &[u64], pages| {
            DirtyLog { words: words.to_vec(), pages }.ranges().collect::<Vec<_>>()
        };
        assert_eq!(ranges(&[0], 64), []);
        assert_eq!(ranges(&[0b1101], 4), [(0, 1), (2, 4)]);
        assert_eq!(ranges(&[1 << 63, 1], 128), [(63, 65)]);
        assert_eq!(ranges(&[u64::MAX], 3), [(0, 3)], "bits behind the last page mean nothing");
        let mut log = DirtyLog { words: vec![0b1], pages: 4 };
        log.add(&DirtyLog { words: vec![0b100], pages: 4 });
        assert_eq!(log.ranges().collect::<Vec<_>>(), [(0, 1), (2, 3)]);
    }
}
