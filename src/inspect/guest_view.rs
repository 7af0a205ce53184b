//! Guest memory as the guest sees it: by linear address, through its own page tables.

use crate::kvm::Vcpu;
use crate::memory::GuestMemory;
use crate::sys::regs::kvm_sregs;
use crate::x86::mode::Paging;
use crate::x86::{CR4_PSE, PTE_ADDRESS, PTE_P, PTE_PS};

/// The memory of a vCPU that stands still.
#[derive(Clone, Copy)]
pub struct GuestView<'a> {
    pub vcpu: &'a Vcpu,
    pub memory: &'a GuestMemory,
}

/// What a walk of the page tables meets at one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// 1 is the last level.
    pub level: u32,
    /// The entry's guest-physical address.
    pub gpa: u64,
    /// What it holds; `None` where there is no RAM.
    pub value: Option<u64>,
}

impl GuestView<'_> {
    /// Copies from a linear address by the vCPU's own translation (`KVM_TRANSLATE`): as many of the bytes as there are, from
    /// the first on, as far as they are mapped and in RAM. Returns how many.
    pub fn read_linear(&self, mut address: u64, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            // A page at a time: the next one can be anywhere.
            let size = (bytes.len() - done).min(4096 - (address & 4095) as usize);
            let page = &mut bytes[done..done + size];
            let gpa = self.vcpu.translate(address);
            if gpa.is_none_or(|gpa| self.memory.read(gpa, page).is_err()) {
                break;
            }
            done += size;
            address = address.wrapping_add(size as u64);
        }
        done
    }
}

/// Follows the page tables as the processor does (SDM volume 3, chapter 4), except that reserved bits and canonical
/// addresses are not checked; and in PAE paging, Intel's processors use the four entries that they loaded with CR3, which may
/// differ from those in RAM. Shows each entry to `show_entry`. Returns the guest-physical address that a linear one comes to.
pub fn walk(
    memory: &GuestMemory,
    sregs: &kvm_sregs,
    linear: u64,
    show_entry: &mut dyn FnMut(Entry),
) -> Option<u64> {
    let paging = Paging::of(sregs);
    // How many levels; whether an entry has 8 bytes; whether one of level 2 or 3 can be a page.
    let (levels, wide, large) = match paging {
        Paging::Off => return Some(linear),
        Paging::TwoLevels => (2, false, [sregs.cr4 & CR4_PSE != 0, false]),
        Paging::Pae => (3, true, [true, false]),
        Paging::FourLevels => (4, true, [true, true]),
        Paging::FiveLevels => (5, true, [true, true]),
    };
    // PAE's first table has four entries, and is aligned to them.
    let mask = if paging == Paging::Pae { 0xffff_ffe0 } else { PTE_ADDRESS };
    let mut table = sregs.cr3 & mask;
    let (bits, size) = if wide { (9, 8) } else { (10, 4) };
    for level in (1..=levels).rev() {
        let shift = 12 + bits * (level - 1);
        let index = linear >> shift & ((1 << bits) - 1);
        let gpa = table + index * size;
        let value = match wide {
            true => memory.read_value::<u64>(gpa).ok(),
            false => memory.read_value::<u32>(gpa).ok().map(u64::from),
        };
        show_entry(Entry { level, gpa, value });
        let entry = value.filter(|entry| entry & PTE_P != 0)?;
        let is_page = match level {
            1 => true,
            2 | 3 => entry & PTE_PS != 0 && large[level as usize - 2],
            _ => false,
        };
        table = entry & PTE_ADDRESS;
        if is_page {
            let offset = (1 << shift) - 1;
            // PSE-36: bits 20:13 of an entry for 4 MiB are bits 39:32 of the address.
            let high = if wide || level == 1 { 0 } else { (entry >> 13 & 0xff) << 32 };
            return Some(high | table & !offset | linear & offset);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Backing, Mode};
    use crate::x86::{CR0_PE, CR0_PG};

    #[test]
    fn a_walk_shows_each_entry_and_where_it_leads() {
        const RAM: u64 = 16 << 20;
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, RAM)]).unwrap();
        crate::boot::mode::write_tables(Mode::Long, &memory, RAM).unwrap();
        let mut sregs = kvm_sregs::default();
        crate::boot::mode::registers(Mode::Long, 0, RAM, &mut sregs);
        let mut entries = vec![];
        let end = walk(&memory, &sregs, 0x40_1234, &mut |entry| entries.push(entry));
        assert_eq!(end, Some(0x40_1234));
        assert_eq!(entries.iter().map(|entry| entry.level).collect::<Vec<_>>(), [4, 3, 2]);
        assert_eq!(entries[2].value, Some(0x40_0087));
        assert_eq!(walk(&memory, &sregs, 1 << 39, &mut |_| ()), None, "only the first 4 GiB");
        sregs.cr3 = RAM;
        let mut last = None;
        assert_eq!(walk(&memory, &sregs, 0, &mut |entry| last = Some(entry)), None);
        assert_eq!(last.unwrap().value, None, "there is no RAM");
    }

    #[test]
    fn two_levels_have_entries_of_four_bytes() {
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, 0x10000)]).unwrap();
        memory.write_value(0x1004, &0x2003u32).unwrap();
        memory.write_value(0x2008, &0x5003u32).unwrap();
        let sregs = kvm_sregs { cr0: CR0_PE | CR0_PG, cr3: 0x1000, ..Default::default() };
        assert_eq!(walk(&memory, &sregs, 1 << 22 | 2 << 12 | 7, &mut |_| ()), Some(0x5007));
        // A page of 4 MiB above 4 GiB.
        memory.write_value(0x1008, &0x00c0_4083u32).unwrap();
        let sregs = kvm_sregs { cr4: CR4_PSE, ..sregs };
        assert_eq!(walk(&memory, &sregs, 2 << 22 | 7, &mut |_| ()), Some(0x2_00c0_0007));
    }
}
