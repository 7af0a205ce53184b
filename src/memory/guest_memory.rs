//! Access to guest RAM by guest-physical address, with every bound checked.

use crate::config::Backing;
use crate::host::fd::Fd;
use crate::host::guarded::{self, Unavailable};
use crate::host::missing_pages::MissingPages;
use crate::host::syscall::CallError;
use crate::layout::{HIGH_SLOT, LOW_SLOT};
use crate::memory::Error;
use crate::memory::backing::Ram;
use crate::memory::plain::Plain;
use alloc::vec::Vec;
use core::fmt;
use core::mem::MaybeUninit;

/// A range of guest-physical addresses that is RAM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// The guest-physical address of its first byte.
    pub gpa: u64,
    /// In bytes.
    pub size: u64,
    /// Where it lies in the mapping, in bytes.
    offset: u64,
}

/// All RAM of a guest. The guest reads and writes it at any time, so that two reads of one place may differ.
pub struct GuestMemory {
    ram: Ram,
    regions: Vec<Region>,
}

/// Why an access was not made, or not wholly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AccessError {
    /// Not all of it is RAM.
    NoRam { gpa: u64, len: u64 },
    /// The host can't provide the page of this address.
    Unavailable { gpa: u64 },
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            AccessError::NoRam { gpa, len } => {
                write!(f, "no RAM at guest-physical address {gpa:#x}, for {len} bytes")
            }
            AccessError::Unavailable { gpa } => {
                write!(
                    f,
                    "the host has no page for guest-physical address {gpa:#x}\n  \
                     Has the hugetlb cgroup reached its limit, or does the device refuse?"
                )
            }
        }
    }
}

/// Why a file was not read into RAM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadError {
    Access(AccessError),
    Call(CallError),
    /// The file ended before all was read: it has become shorter.
    Short,
}

impl GuestMemory {
    /// Maps RAM for these regions, first address and size of each, one behind the other. Empty ones are left out.
    pub fn map(backing: Backing, regions: &[(u64, u64)]) -> Result<GuestMemory, Error> {
        let size = regions.iter().map(|(_, size)| size).sum();
        Ok(GuestMemory::with_ram(Ram::map(backing, size)?, regions))
    }

    /// These regions in RAM that is mapped already, and large enough.
    pub(super) fn with_ram(ram: Ram, regions: &[(u64, u64)]) -> GuestMemory {
        let mut offset = 0;
        let mut placed = Vec::new();
        for &(gpa, size) in regions.iter().filter(|(_, size)| *size > 0) {
            placed.push(Region { gpa, size, offset });
            offset += size;
        }
        GuestMemory { ram, regions: placed }
    }

    /// In ascending order.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The regions, each with the number of its memory slot.
    pub fn slots(&self) -> impl Iterator<Item = (u32, &Region)> {
        [LOW_SLOT, HIGH_SLOT].into_iter().zip(&self.regions)
    }

    /// What it is made of.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.ram.mapping.size() as u64
    }

    /// Whole pages from `gpa` on that are not there yet: KVM waits for each until it is made. The inner error is the host's.
    pub fn missing_pages(
        &self,
        gpa: u64,
        size: u64,
    ) -> Result<Result<MissingPages, CallError>, AccessError> {
        let offset = self.find(gpa, size)? as usize;
        Ok(MissingPages::that_kvm_waits_for(&self.ram.mapping, offset, size as usize))
    }

    /// The host-virtual address of a region's first byte.
    pub fn host_address(&self, region: &Region) -> u64 {
        self.at(region.offset).expose_provenance() as u64
    }

    fn at(&self, offset: u64) -> *mut u8 {
        self.ram.at(offset as usize)
    }

    /// Where `len` bytes at `gpa` lie in the mapping.
    fn find(&self, gpa: u64, len: u64) -> Result<u64, AccessError> {
        for region in &self.regions {
            let offset = gpa.wrapping_sub(region.gpa);
            if offset < region.size && len <= region.size - offset {
                return Ok(region.offset + offset);
            }
        }
        Err(AccessError::NoRam { gpa, len })
    }

    /// Whether this byte is RAM.
    pub fn contains(&self, gpa: u64) -> bool {
        self.find(gpa, 1).is_ok()
    }

    /// Copies from RAM.
    pub fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), AccessError> {
        // SAFETY: the slice has room for as many bytes.
        unsafe { self.copy_out(gpa, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Copies to RAM.
    pub fn write(&self, gpa: u64, bytes: &[u8]) -> Result<(), AccessError> {
        // SAFETY: the slice has as many bytes.
        unsafe { self.copy_in(gpa, bytes.as_ptr(), bytes.len()) }
    }

    /// Reads a value, little-endian as all x86.
    pub fn read_value<T: Plain>(&self, gpa: u64) -> Result<T, AccessError> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the value has room for as many bytes.
        unsafe { self.copy_out(gpa, value.as_mut_ptr().cast(), size_of::<T>()) }?;
        // SAFETY: all its bytes were written, and any bytes are such a value.
        Ok(unsafe { value.assume_init() })
    }

    /// Writes a value.
    pub fn write_value<T: Plain>(&self, gpa: u64, value: &T) -> Result<(), AccessError> {
        // SAFETY: a `Plain` value has no gaps, so that all its bytes may be read.
        unsafe { self.copy_in(gpa, (&raw const *value).cast(), size_of::<T>()) }
    }

    /// # Safety
    /// `len` bytes at `to` may be written.
    unsafe fn copy_out(&self, gpa: u64, to: *mut u8, len: usize) -> Result<(), AccessError> {
        let from = self.at(self.find(gpa, len as u64)?);
        // SAFETY: `find` has checked that it is inside the mapping; the rest is the caller's promise.
        unsafe { guarded::copy(to, from, len) }.map_err(|error| unavailable(error, gpa, len))
    }

    /// # Safety
    /// `len` bytes at `from` may be read.
    unsafe fn copy_in(&self, gpa: u64, from: *const u8, len: usize) -> Result<(), AccessError> {
        let to = self.at(self.find(gpa, len as u64)?);
        // SAFETY: `find` has checked that it is inside the mapping, to which no Rust reference exists; the rest is the
        // caller's promise.
        unsafe { guarded::copy(to, from, len) }.map_err(|error| unavailable(error, gpa, len))
    }

    /// Makes sure that `len` bytes are zeros before the guest runs. RAM that begins as zeros is not touched.
    pub fn zero_before_start(&self, gpa: u64, len: u64) -> Result<(), AccessError> {
        let (to, len) = (self.at(self.find(gpa, len)?), len as usize);
        if self.ram.is_fresh() {
            return Ok(());
        }
        // SAFETY: as in `copy_in`.
        unsafe { guarded::zero(to, len) }.map_err(|error| unavailable(error, gpa, len))
    }

    /// read(2) from `file` straight to RAM: up to `len` bytes; returns how many. The kernel copies, so that a page that the
    /// host can't provide is EFAULT.
    pub fn read_stream(&self, file: &Fd, gpa: u64, len: u64) -> Result<u64, ReadError> {
        let to = self.at(self.find(gpa, len).map_err(ReadError::Access)?);
        // SAFETY: `find` has checked that it is inside the mapping, to which no Rust reference exists.
        match unsafe { file.read_to(to.cast(), len as usize) } {
            Ok(count) => Ok(count as u64),
            Err(error) => Err(read_failed(gpa, error)),
        }
    }

    /// Reads `len` bytes from `offset` in `file` to RAM. Whole pages that nobody has touched are made of the file's bytes, as
    /// far as the host can do that; the rest is read by pread(2), straight to RAM.
    pub fn read_file(&self, file: &Fd, offset: u64, gpa: u64, len: u64) -> Result<(), ReadError> {
        let start = self.find(gpa, len).map_err(ReadError::Access)?;
        self.fill_from(file, offset, gpa, start, len)
    }

    /// Likewise to a place in the mapping.
    pub(super) fn fill(
        &self,
        file: &Fd,
        offset: u64,
        start: u64,
        len: u64,
    ) -> Result<(), ReadError> {
        let is_inside = start.checked_add(len).is_some_and(|end| end <= self.size());
        assert!(is_inside, "{start:#x}, {len:#x}: not all of it is RAM");
        let region = self.regions.iter().rfind(|region| region.offset <= start);
        let gpa = region.map_or(0, |region| region.gpa + (start - region.offset));
        self.fill_from(file, offset, gpa, start, len)
    }

    fn fill_from(
        &self,
        file: &Fd,
        offset: u64,
        gpa: u64,
        start: u64,
        len: u64,
    ) -> Result<(), ReadError> {
        let made = self.ram.make_pages(file, offset, start, len);
        for (from, to) in [(0, made.start), (made.end, len)] {
            self.read_part(file, offset + from, gpa + from, start + from, to - from)?;
        }
        Ok(())
    }

    fn read_part(
        &self,
        file: &Fd,
        offset: u64,
        gpa: u64,
        start: u64,
        len: u64,
    ) -> Result<(), ReadError> {
        let mut done = 0;
        while done < len {
            let (to, left) = (self.at(start + done), (len - done) as usize);
            // SAFETY: as in `read_stream`.
            let count = unsafe { file.read_at_to(offset + done, to.cast(), left) };
            match count.map_err(|error| read_failed(gpa + done, error))? {
                0 => return Err(ReadError::Short),
                count => done += count as u64,
            }
        }
        Ok(())
    }

    /// Whether [`GuestMemory::move_to_small_pages`] must come before [`GuestMemory::drop_page`].
    pub fn must_move(&self, gpa: u64) -> bool {
        self.find(gpa, 1).is_ok_and(|offset| self.ram.must_move(offset))
    }

    /// Moves the part of RAM that holds this byte, if it must, to where single pages can be dropped. No vCPU may run
    /// meanwhile.
    pub fn move_to_small_pages(&self, gpa: u64) -> Result<(), CallError> {
        self.find(gpa, 1).map_or(Ok(()), |offset| self.ram.move_to_small_pages(offset))
    }

    /// Whether a part of RAM has moved so.
    pub fn has_moved(&self) -> bool {
        self.ram.has_moved()
    }

    /// Makes KVM forget a page of 4 KiB, which it maps again at the next access. The contents stay. Nothing happens where
    /// there is no RAM.
    pub fn drop_page(&self, gpa: u64) -> Result<(), CallError> {
        self.find(gpa, 1).map_or(Ok(()), |offset| self.ram.drop_page(offset))
    }
}

/// Where an access of `len` bytes at `gpa` met the page that is not there.
fn unavailable(error: Unavailable, gpa: u64, len: usize) -> AccessError {
    AccessError::Unavailable { gpa: gpa + (len - error.missing) as u64 }
}

fn read_failed(gpa: u64, error: CallError) -> ReadError {
    match error.is(libc::EFAULT) {
        true => ReadError::Access(AccessError::Unavailable { gpa }),
        false => ReadError::Call(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> GuestMemory {
        let regions = [(0x1000, 0x2000), (1 << 32, 0x1000), (1 << 40, 0)];
        GuestMemory::map(Backing::Anonymous, &regions).unwrap()
    }

    #[test]
    fn bytes_and_values_are_found_in_the_region_of_their_address() {
        let memory = memory();
        assert_eq!((memory.size(), memory.regions().len()), (0x3000, 2));
        memory.write(0x2ffe, &[1, 2]).unwrap();
        memory.write_value(1 << 32, &0x0403u16).unwrap();
        let mut bytes = [0; 2];
        memory.read(0x2ffe, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2]);
        assert_eq!(memory.read_value::<[u8; 4]>(1 << 32), Ok([3, 4, 0, 0]));
        assert_eq!(memory.read_value::<u64>((1 << 32) + 0xff8), Ok(0));
    }

    #[test]
    fn what_is_not_all_ram_is_refused() {
        let memory = memory();
        // The regions lie one behind the other in the mapping, but not for the guest.
        for (gpa, len) in
            [(0xfff, 1), (0x2fff, 2), (0x3000, 1), ((1 << 32) + 0xfff, 2), (u64::MAX, 2)]
        {
            let error = Err(AccessError::NoRam { gpa, len });
            assert_eq!(memory.read(gpa, &mut vec![0; len as usize]), error);
            assert_eq!(memory.write(gpa, &vec![0; len as usize]), error);
            assert_eq!(memory.zero_before_start(gpa, len), error);
        }
        assert!(memory.contains(0x1000) && memory.contains((1 << 32) + 0xfff));
        assert!(!memory.contains(0) && !memory.contains(0x3000));
    }

    #[test]
    fn a_file_is_read_and_one_that_is_too_short_is_told() {
        let memory = memory();
        let file = Fd::memfd(c"file", 0).unwrap();
        crate::host::fd::write(file.raw(), b"abcdef").unwrap();
        assert_eq!(memory.read_file(&file, 2, 0x1ffe, 4), Ok(()));
        assert_eq!(memory.read_value::<[u8; 5]>(0x1ffe), Ok(*b"cdef\0"));
        assert_eq!(memory.read_file(&file, 2, 0x1ffe, 5), Err(ReadError::Short));
        let outside = ReadError::Access(AccessError::NoRam { gpa: 0x2fff, len: 2 });
        assert_eq!(memory.read_file(&file, 0, 0x2fff, 2), Err(outside));
    }

    #[test]
    fn a_device_s_memory_is_cleared_and_fresh_memory_is_left_alone() {
        let device = GuestMemory::map(Backing::File(c"/dev/zero"), &[(0, 0x1000)]).unwrap();
        device.write(0x10, &[1, 2, 3]).unwrap();
        device.zero_before_start(0x11, 1).unwrap();
        assert_eq!(device.read_value::<[u8; 3]>(0x10), Ok([1, 0, 3]));
        let fresh = memory();
        fresh.write(0x1000, &[7]).unwrap();
        fresh.zero_before_start(0x1000, 1).unwrap();
        assert_eq!(fresh.read_value::<u8>(0x1000), Ok(7));
    }

    #[test]
    fn memory_for_transparent_huge_pages_is_aligned_to_them() {
        let memory = GuestMemory::map(Backing::Transparent, &[(0, 4 << 20)]).unwrap();
        assert_eq!(memory.host_address(&memory.regions()[0]) & 0x1f_ffff, 0);
        memory.write((4 << 20) - 1, &[9]).unwrap();
    }

    #[test]
    fn what_moves_to_small_pages_and_is_dropped_keeps_its_contents() {
        // RAM need not end where 2 MiB do.
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, 0x3f_e000)]).unwrap();
        let values = [(0x1f_f000, 1), (0x20_0000, 2), (0x30_0000, 0), (0x3f_dff8, 3)];
        for (gpa, value) in values {
            memory.write_value::<u64>(gpa, &value).unwrap();
        }
        assert!(memory.must_move(0x20_0000) && !memory.has_moved());
        memory.move_to_small_pages(0x30_0000).unwrap();
        memory.move_to_small_pages(0x3f_dfff).unwrap();
        assert!(memory.must_move(0x1f_ffff) && !memory.must_move(0x20_0000));
        assert!(memory.has_moved() && !memory.must_move(0x3f_e000));
        memory.drop_page(0x20_0800).unwrap();
        memory.drop_page(0x3f_d000).unwrap();
        for (gpa, value) in values {
            assert_eq!(memory.read_value::<u64>(gpa), Ok(value));
        }
    }

    #[test]
    fn nothing_is_dropped_where_no_ram_is() {
        let memory = memory();
        assert!(!memory.must_move(0x9000));
        assert_eq!(
            (memory.move_to_small_pages(0x9000), memory.drop_page(0x9000)),
            (Ok(()), Ok(()))
        );
    }
}
