//! The state in which an image starts: the vCPU's registers, and the tables in RAM that they point to.
//!
//! A mode other than real mode is a set of bits in control registers, with segments to go with it. The processor looks at a
//! descriptor only when a segment register is loaded, and KVM sets the hidden part of each segment register directly. So the
//! GDT in RAM serves only a guest that loads a segment register itself, or returns from an interrupt.

use crate::boot::Error;
use crate::config::Mode;
use crate::layout::{self, CODE_32, CODE_64, DATA, PAGE_SIZE, USER_CODE, USER_DATA};
use crate::memory::GuestMemory;
use crate::sys::regs::{kvm_regs, kvm_segment, kvm_sregs};
use crate::x86::*;

/// The registers with which code at `entry`, below 4 GiB, starts, in low RAM that ends at `ram_end`. `sregs` are those of a
/// fresh vCPU, which is in the processor's reset state (SDM volume 3, "Processor State After Reset"): real mode, segments
/// at 0 except CS, at 0xffff_0000.
pub fn registers(mode: Mode, entry: u64, ram_end: u64, sregs: &mut kvm_sregs) -> kvm_regs {
    if mode == Mode::Real {
        return real(entry, sregs);
    }
    let tables = layout::tables(ram_end);

    // SDM volume 3, "Switching to Protected Mode"; APM volume 2, 4.5.
    sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE;
    // SSE can be used at once: SDM volume 3, 13.1.
    sregs.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT;
    if matches!(mode, Mode::Long | Mode::User) {
        // SDM volume 3, "Initializing IA-32e Mode"; APM volume 2, 14.6. A guest must do this in a certain order; KVM does it
        // at once.
        sregs.cr3 = tables + PAGE_SIZE;
        sregs.cr4 |= CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
        sregs.cr0 |= CR0_PG;
    }

    let (code, data) = match mode {
        Mode::Protected => (CODE_32, DATA),
        Mode::User => (USER_CODE, USER_DATA),
        Mode::Real | Mode::Long => (CODE_64, DATA),
    };
    sregs.cs = segment(code);
    let kvm_sregs { ds, es, fs, gs, ss, .. } = sregs;
    for other in [ds, es, fs, gs, ss] {
        *other = segment(data);
    }
    sregs.gdt.base = tables;
    sregs.gdt.limit = size_of_val(&GDT) as u16 - 1;
    // VMX wants TR to be a busy TSS, in long mode of this type. Nothing here uses it.
    sregs.tr.r#type = TYPE_BUSY_TSS;
    // No vector is there: any exception is a triple fault, until the guest has an IDT of its own.
    sregs.idt.limit = 0;

    kvm_regs {
        rip: entry,
        rflags: if mode == Mode::User { RFLAGS_1 | RFLAGS_IOPL_3 } else { RFLAGS_1 },
        rsp: tables,
        ..kvm_regs::default()
    }
}

/// The registers with which firmware wakes a guest in real mode: ACPI 6.4, 5.2.10, "Firmware Waking Vector". CS gets the vector's
/// bits 19 to 4, IP bits 3 to 0.
pub fn wake_up(vector: u64, sregs: &mut kvm_sregs) -> kvm_regs {
    sregs.cs.base = vector & !0xf;
    sregs.cs.selector = (vector >> 4) as u16;
    kvm_regs { rip: vector & 0xf, rflags: RFLAGS_1, ..kvm_regs::default() }
}

/// Real mode: SDM volume 3, "8086 Emulation".
fn real(entry: u64, sregs: &mut kvm_sregs) -> kvm_regs {
    // Offsets end at 64 KiB (`limit` stays 0xffff). For an entry above, CS gets a base, as the processor itself does for its
    // first instruction.
    let rip = entry & 0xffff;
    let base = entry - rip;
    sregs.cs.base = base;
    sregs.cs.selector = (base >> 4) as u16;
    kvm_regs {
        rip,
        rflags: RFLAGS_1,
        // As in the original. A 16-bit push counts SP alone down, from 0xffff to 0xfffd.
        rsp: 0xffff_ffff,
        rbp: 0xffff_ffff,
        ..kvm_regs::default()
    }
}

// A descriptor: SDM volume 3, 3.4.5. Base 0, limit 4 GiB, present, accessed.
const FLAT: u64 = 0x008f_9000_0000_ffff;
const CODE: u64 = (TYPE_CODE as u64) << 40;
const WRITABLE: u64 = (TYPE_DATA as u64) << 40;
const DPL_3: u64 = 3 << 45;
const L: u64 = 1 << 53;
const DB: u64 = 1 << 54;

/// In the order of the selectors in [`layout`].
const GDT: [u64; 6] = [
    0,
    FLAT | CODE | DB,
    FLAT | WRITABLE | DB,
    FLAT | CODE | L,
    FLAT | WRITABLE | DB | DPL_3,
    FLAT | CODE | L | DPL_3,
];

/// What the processor makes of a descriptor in that table.
fn segment(selector: u16) -> kvm_segment {
    let descriptor = GDT[usize::from(selector >> 3)];
    let bit = |number: u32| (descriptor >> number & 1) as u8;
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        r#type: (descriptor >> 40 & 15) as u8,
        present: 1,
        dpl: (descriptor >> 45 & 3) as u8,
        db: bit(54),
        s: 1,
        l: bit(53),
        g: 1,
        ..kvm_segment::default()
    }
}

/// Writes the tables that a mode needs to the end of low RAM: see [`layout::TABLES`].
pub fn write_tables(mode: Mode, memory: &GuestMemory, ram_end: u64) -> Result<(), Error> {
    if mode == Mode::Real {
        return Ok(());
    }
    const NEXT: u64 = PTE_P | PTE_RW | PTE_US;
    const ENTRIES: usize = 512;
    let gdt = layout::tables(ram_end);
    let [pml4, pdpt, first_pd] = [1, 2, 3].map(|page| gdt + page * PAGE_SIZE);
    let mut page = [0u64; ENTRIES];

    page[..GDT.len()].copy_from_slice(&GDT);
    memory.write_value(gdt, &page)?;

    page.fill(0);
    page[0] = pdpt | NEXT;
    memory.write_value(pml4, &page)?;

    page.fill(0);
    for (number, entry) in (0..4).zip(&mut page) {
        *entry = (first_pd + number * PAGE_SIZE) | NEXT;
    }
    memory.write_value(pdpt, &page)?;

    // 512 pages of 2 MiB make a gibibyte.
    for number in 0..4 {
        for (index, entry) in (0..).zip(&mut page) {
            *entry = number << 30 | index << 21 | NEXT | PTE_PS;
        }
        memory.write_value(first_pd + number * PAGE_SIZE, &page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backing;
    use crate::x86::mode::{OperatingMode, Paging};
    use crate::x86::rules;

    const RAM: u64 = 16 << 20;

    fn start(mode: Mode, entry: u64) -> (kvm_regs, kvm_sregs) {
        let mut sregs = kvm_sregs::default();
        sregs.cs.base = 0xffff_0000;
        sregs.cs.selector = 0xf000;
        sregs.tr = kvm_segment { r#type: TYPE_BUSY_TSS, present: 1, ..Default::default() };
        (registers(mode, entry, RAM, &mut sregs), sregs)
    }

    #[test]
    fn an_entry_below_64_kib_is_the_original_s_state() {
        let (regs, sregs) = start(Mode::Real, 0x1000);
        assert_eq!(
            (regs.rip, regs.rflags, regs.rsp, regs.rbp),
            (0x1000, 2, 0xffff_ffff, 0xffff_ffff)
        );
        assert_eq!(
            (regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi),
            (0, 0, 0, 0, 0, 0)
        );
        assert_eq!((sregs.cs.base, sregs.cs.selector), (0, 0));
    }

    #[test]
    fn an_entry_above_goes_through_cs() {
        for entry in [0x1_0000, 0x10_1234, 0xfffb_bfff] {
            let (regs, sregs) = start(Mode::Real, entry);
            assert!(regs.rip <= 0xffff);
            assert_eq!(sregs.cs.base + regs.rip, entry);
        }
    }

    #[test]
    fn a_waking_vector_is_a_segment_and_the_rest() {
        let mut sregs = kvm_sregs::default();
        let regs = wake_up(0x9a123, &mut sregs);
        assert_eq!((sregs.cs.selector, sregs.cs.base, regs.rip), (0x9a12, 0x9a120, 3));
    }

    #[test]
    fn each_mode_is_what_it_says_and_breaks_no_rule() {
        for (mode, operating, paging, ring) in [
            (Mode::Protected, OperatingMode::Protected32, Paging::Off, 0),
            (Mode::Long, OperatingMode::Long64, Paging::FourLevels, 0),
            (Mode::User, OperatingMode::Long64, Paging::FourLevels, 3),
        ] {
            let (regs, sregs) = start(mode, 0x20_0000);
            assert_eq!(OperatingMode::of(&regs, &sregs), operating, "{mode:?}");
            assert_eq!(Paging::of(&sregs), paging, "{mode:?}");
            assert_eq!((regs.rip, sregs.cs.base, sregs.cs.dpl), (0x20_0000, 0, ring));
            assert_eq!(rules::broken(&regs, &sregs).count(), 0, "{mode:?}");
            assert_eq!((regs.rsp, sregs.gdt.base), (RAM - 0x7000, RAM - 0x7000));
        }
    }

    #[test]
    fn descriptors_are_the_well_known_ones() {
        assert_eq!(GDT[usize::from(CODE_32 >> 3)], 0x00cf_9b00_0000_ffff);
        assert_eq!(GDT[usize::from(DATA >> 3)], 0x00cf_9300_0000_ffff);
        assert_eq!(GDT[usize::from(CODE_64 >> 3)], 0x00af_9b00_0000_ffff);
        assert_eq!(GDT[usize::from(USER_DATA >> 3)], 0x00cf_f300_0000_ffff);
        assert_eq!(GDT[usize::from(USER_CODE >> 3)], 0x00af_fb00_0000_ffff);
    }

    #[test]
    fn the_tables_map_four_gibibytes_to_themselves() {
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, RAM)]).unwrap();
        write_tables(Mode::Long, &memory, RAM).unwrap();
        let entry = |table: u64, index: u64| -> u64 {
            memory.read_value((table & PTE_ADDRESS) + index * 8).unwrap()
        };
        for address in [0, 0x1000, 0x4020_0000, 0xe000_0000, 0xffff_ffff] {
            let pml4e = entry(RAM - 6 * 4096, address >> 39);
            let pdpte = entry(pml4e, address >> 30 & 511);
            let pde = entry(pdpte, address >> 21 & 511);
            assert_eq!((pml4e & 0xfff, pdpte & 0xfff, pde & 0xfff), (7, 7, 0x87));
            assert_eq!(pde & PTE_ADDRESS, address & !0x1f_ffff);
        }
        assert_eq!(entry(RAM - 6 * 4096, 1), 0);
        assert_eq!(entry(RAM - 5 * 4096, 4), 0);
    }
}
