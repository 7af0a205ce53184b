//! Guest memory as the instruments see it: by guest-physical address, and by the linear address that the guest
//! itself uses.

use crate::layout::HIGH;
use crate::memory::Memory;
use crate::sys::regs::kvm_sregs;
use crate::vcpu::Vcpu;
use crate::x86::{CR4_PSE, PTE_ADDRESS, PTE_P, PTE_PS};

/// A guest that stands still.
pub struct View<'a> {
    /// Asked by `KVM_TRANSLATE` for what a linear address means.
    pub vcpu: &'a Vcpu<'a>,
    /// Slot 0, and what is above 4 GiB.
    pub memory: &'a Memory<'a>,
    /// Where slot 0 begins.
    pub base: u64,
    /// Its size.
    pub low: u64,
}

/// How a linear address is translated: by levels of so many tables.
#[derive(Clone, Copy)]
pub struct Paging {
    /// 0: not at all.
    pub levels: u32,
    /// Bytes of an entry.
    entry_size: usize,
    /// Whether an entry of level 2 or 3 can be a page.
    large: [bool; 2],
    cr3: u64,
}

impl Paging {
    /// What the registers say; `paging` as [`crate::x86::mode`] gives it.
    pub fn new(paging: usize, sregs: &kvm_sregs) -> Paging {
        let (levels, entry_size, large) = match paging {
            0 => (0, 8, [false, false]),
            1 => (2, 4, [sregs.cr4 & CR4_PSE != 0, false]),
            2 => (3, 8, [true, false]),
            3 => (4, 8, [true, true]),
            _ => (5, 8, [true, true]),
        };
        // PAE's first table has four entries and is aligned to them.
        let mask = if paging == 2 { 0xffff_ffe0 } else { PTE_ADDRESS };
        Paging { levels, entry_size, large, cr3: sregs.cr3 & mask }
    }
}

impl View<'_> {
    /// Copies from a guest-physical address; `false` where not all of that is RAM.
    pub fn physical(&self, address: u64, bytes: &mut [u8]) -> bool {
        let offset = match address.checked_sub(self.base) {
            Some(offset) if offset < self.low => offset,
            _ if address >= HIGH => self.low + (address - HIGH),
            _ => return false,
        };
        self.memory.read(offset, bytes).is_ok()
    }

    /// Copies from a linear address, by the vCPU's own translation, as many of the bytes as there are: from
    /// the first on, as far as they are mapped and in RAM.
    #[inline(never)]
    pub fn linear(&self, mut address: u64, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            // A page at a time: the next one can be anywhere.
            let here = rest.len().min(4096 - (address & 4095) as usize);
            let page = rest.get_mut(..here).unwrap_or_default();
            if !self.vcpu.translate(address).is_some_and(|gpa| self.physical(gpa, page)) {
                break;
            }
            done += here;
            address = address.wrapping_add(here as u64);
        }
        done
    }

    /// Follows the page tables as the processor does (SDM volume 3, chapter 4), but for its checks of reserved
    /// bits and of canonical addresses, and shows each entry: its level (1 is the last), its guest-physical
    /// address, and what it holds (`None`: there is no RAM). Gives the guest-physical address that it comes to.
    #[inline(never)]
    pub fn walk(
        &self,
        paging: Paging,
        linear: u64,
        see: &mut dyn FnMut(u32, u64, Option<u64>),
    ) -> Option<u64> {
        if paging.levels == 0 {
            return Some(linear);
        }
        let bits = if paging.entry_size == 4 { 10 } else { 9 };
        let mut table = paging.cr3;
        for level in (1..=paging.levels).rev() {
            let shift = 12 + bits * (level - 1);
            let index = linear >> shift & ((1 << bits) - 1);
            let place = table + index * paging.entry_size as u64;
            let mut entry = [0; 8];
            if !self.physical(place, entry.get_mut(..paging.entry_size).unwrap_or_default()) {
                see(level, place, None);
                return None;
            }
            let entry = u64::from_le_bytes(entry);
            see(level, place, Some(entry));
            if entry & PTE_P == 0 {
                return None;
            }
            let can_be_a_page = match level {
                1 => true,
                _ => entry & PTE_PS != 0 && paging.large.get(level as usize - 2) == Some(&true),
            };
            table = entry & PTE_ADDRESS;
            if can_be_a_page {
                let offset = (1 << shift) - 1;
                return Some(table & !offset | linear & offset);
            }
        }
        None
    }
}
