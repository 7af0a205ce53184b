//! The processor's registers, bit by bit: the values that a mode is made of, and the names that a report shows.
//!
//! "SDM" is Intel's manual, volume 3 where no other is named; "APM" AMD's, volume 2.

use crate::lines;
use crate::sys::regs::{kvm_regs, kvm_segment, kvm_sregs};
use crate::words;
use crate::words::Lines;
use core::mem::offset_of;

// CR0: SDM 2.5, APM 3.1.1.

/// Protected mode.
pub const CR0_PE: u64 = 1 << 0;
/// WAIT obeys TS.
pub const CR0_MP: u64 = 1 << 1;
/// The coprocessor is a 387: hard-wired since.
pub const CR0_ET: u64 = 1 << 4;
/// Its errors are exceptions.
pub const CR0_NE: u64 = 1 << 5;
/// Ring 0 obeys read-only pages.
pub const CR0_WP: u64 = 1 << 16;
/// Not write-through; only with CD.
pub const CR0_NW: u64 = 1 << 29;
/// Caches are off.
pub const CR0_CD: u64 = 1 << 30;
/// Paging.
pub const CR0_PG: u64 = 1 << 31;
/// From bit 0; a dash for none.
pub const CR0: &[u8] =
    b"PE MP EM TS ET NE - - - - - - - - - - WP - AM - - - - - - - - - - NW CD PG";

// CR4: SDM 2.5, APM 3.1.3.

/// 4 MiB pages in 32-bit paging.
pub const CR4_PSE: u64 = 1 << 4;
/// Page-table entries of 8 bytes; long mode needs it.
pub const CR4_PAE: u64 = 1 << 5;
/// The system saves SSE registers, so that programs may use them.
pub const CR4_OSFXSR: u64 = 1 << 9;
/// And takes SSE's exceptions.
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// Five levels of page tables.
pub const CR4_LA57: u64 = 1 << 12;
/// From bit 0.
pub const CR4: &[u8] =
    b"VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP LA57 VMXE SMXE - \
    FSGSBASE PCIDE OSXSAVE KL SMEP SMAP PKE CET PKS";

// IA32_EFER: SDM 2.2.1, APM 3.1.7.

/// Long mode is wanted: it begins with paging.
pub const EFER_LME: u64 = 1 << 8;
/// It is there.
pub const EFER_LMA: u64 = 1 << 10;
/// From bit 0.
pub const EFER: &[u8] = b"SCE - - - - - - - LME - LMA NXE SVME LMSLE FFXSR TCE";

// RFLAGS: SDM volume 1, 3.4.3.

/// Always set.
pub const RFLAGS_1: u64 = 1 << 1;
/// Interrupts are taken.
pub const RFLAGS_IF: u64 = 1 << 9;
/// IOPL, two bits: the ring that may do port I/O. 3 is all of them.
pub const RFLAGS_IOPL_3: u64 = 3 << 12;
/// Virtual-8086 mode.
pub const RFLAGS_VM: u64 = 1 << 17;
/// From bit 0; of IOPL, two of them.
pub const RFLAGS: &[u8] = b"CF 1 PF - AF - ZF SF TF IF DF OF IOPL1 IOPL2 NT - RF VM AC VIF VIP ID";

// Segment types, with S set: SDM 3.4.5.1.

/// Code, readable, accessed.
pub const TYPE_CODE: u8 = 0b1011;
/// Data, writable, accessed.
pub const TYPE_DATA: u8 = 0b0011;
/// With S clear: a 32- or 64-bit TSS in use; SDM 3.5.
pub const TYPE_BUSY_TSS: u8 = 0b1011;
/// A segment's attributes as [`attributes`] packs them.
pub const ATTRIBUTES: &[u8] = b"P S D/B G L AVL unusable";

// Page-table entries: SDM 4.5, APM 5.3.

/// Present.
pub const PTE_P: u64 = 1 << 0;
/// Writable.
pub const PTE_RW: u64 = 1 << 1;
/// For ring 3 too.
pub const PTE_US: u64 = 1 << 2;
/// In a directory: no table but a page of 2 MiB (4 MiB, 1 GiB).
pub const PTE_PS: u64 = 1 << 7;
/// Which bits are the address, of a table or a 4 KiB page.
pub const PTE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// From bit 0.
pub const PDE: &[u8] = b"P RW US PWT PCD A D PS G";
/// Of the last level.
pub const PTE: &[u8] = b"P RW US PWT PCD A D PAT G";

/// The general registers, in the order of [`general`].
pub const GENERAL: &str =
    "rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags";
/// The control registers, in the order of [`control`].
pub const CONTROL: &str = "cr0 cr2 cr3 cr4 cr8 efer apic_base";
/// CR8's place in it.
const CR8: usize = 4;
/// The segments, in the order of [`segments`].
pub const SEGMENTS: &str = "cs ds es fs gs ss tr ldt";
/// What a segment is made of, in the order of [`fields`].
pub const FIELDS: &str = "base limit selector type present dpl db s l g avl unusable";

/// Where the fields of a segment stand in it, and how many bits the processor has of each, in the order of [`FIELDS`].
const PLACES: [(u8, u8); 12] = {
    macro_rules! places {
        ($($field:ident: $bits:literal),*) => {
            [$((offset_of!(kvm_segment, $field) as u8, $bits)),*]
        };
    }
    places![
        base: 64, limit: 32, selector: 16, r#type: 4, present: 1, dpl: 2, db: 1, s: 1, l: 1, g: 1,
        avl: 1, unusable: 1
    ]
};

/// The general registers, RIP and RFLAGS as numbers.
pub fn general(regs: &kvm_regs) -> &[u64; 18] {
    const { assert!(size_of::<kvm_regs>() == size_of::<[u64; 18]>()) };
    // SAFETY: `kvm_regs` is 18 fields of u64 and nothing else, as is the array.
    unsafe { &*(&raw const *regs).cast() }
}

/// The control registers as numbers.
pub fn control(sregs: &kvm_sregs) -> &[u64; 7] {
    const { assert!(offset_of!(kvm_sregs, apic_base) - offset_of!(kvm_sregs, cr0) == 6 * 8) };
    // SAFETY: from `cr0` to `apic_base` there are seven fields of u64, one behind the other; the pointer
    // is made from that of the whole.
    unsafe { &*(&raw const *sregs).byte_add(offset_of!(kvm_sregs, cr0)).cast() }
}

/// The segments.
pub fn segments(sregs: &kvm_sregs) -> &[kvm_segment; 8] {
    const { assert!(offset_of!(kvm_sregs, gdt) == size_of::<[kvm_segment; 8]>()) };
    // SAFETY: `kvm_sregs` begins with eight of them.
    unsafe { &*(&raw const *sregs).cast() }
}

/// The bytes of registers.
fn bytes_mut<T: Copy>(registers: &mut T) -> &mut [u8] {
    // SAFETY: the callers' structures are integers without gaps, for which any bytes will do.
    unsafe { core::slice::from_raw_parts_mut((&raw mut *registers).cast(), size_of::<T>()) }
}

/// What a segment is made of, as numbers.
#[inline(never)]
pub fn fields(segment: &kvm_segment) -> [u64; 12] {
    let mut copy = *segment;
    let bytes = bytes_mut(&mut copy);
    PLACES.map(|(place, bits)| {
        let end = place + bits.div_ceil(8);
        number(bytes.get(place.into()..end.into()).unwrap_or_default())
    })
}

/// The number that up to eight bytes are: x86 is little-endian.
#[inline(never)]
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Sets a register by its name: one of [`GENERAL`] or [`CONTROL`], or `cs.base`: one of [`SEGMENTS`], a dot, and
/// one of [`FIELDS`]. `false`: there is no such register, or the value does not fit into it.
pub fn set(regs: &mut kvm_regs, sregs: &mut kvm_sregs, name: &[u8], value: u64) -> bool {
    let first = words::field(name, b'.', 0).unwrap_or_default();
    let field = words::field(name, b'.', 1).map(|field| words::place(FIELDS, field));
    let (whole, place, bits) = match (words::place(SEGMENTS, first), field) {
        (Some(segment), Some(Some(field))) => {
            let (place, bits) = PLACES.get(field).copied().unwrap_or_default();
            (bytes_mut(sregs), segment * size_of::<kvm_segment>() + usize::from(place), bits)
        }
        (None, None) => match (words::place(GENERAL, first), words::place(CONTROL, first)) {
            (Some(at), _) => (bytes_mut(regs), 8 * at, 64),
            // CR8 is four bits of the local APIC's task priority.
            (_, Some(at)) => {
                let bits = if at == CR8 { 4 } else { 64 };
                (bytes_mut(sregs), offset_of!(kvm_sregs, cr0) + 8 * at, bits)
            }
            _ => return false,
        },
        _ => return false,
    };
    if bits < 64 && value >> bits != 0 {
        return false;
    }
    let size = usize::from(bits).div_ceil(8);
    for (old, new) in whole.iter_mut().skip(place).zip(value.to_le_bytes()).take(size) {
        *old = new;
    }
    true
}

/// A segment's one-bit attributes in one number, for [`ATTRIBUTES`].
pub fn attributes(segment: &kvm_segment) -> u64 {
    let bits = [
        segment.present,
        segment.s,
        segment.db,
        segment.g,
        segment.l,
        segment.avl,
        segment.unusable,
    ];
    bits.iter().rev().fold(0, |all, &bit| all << 1 | u64::from(bit != 0))
}

/// What mode the registers amount to, as indices into [`MODES`] and [`PAGING`]: SDM 2.2, APM 1.3.
pub fn mode(regs: &kvm_regs, sregs: &kvm_sregs) -> (usize, usize) {
    let code = &sregs.cs;
    let mode = if sregs.cr0 & CR0_PE == 0 {
        0
    } else if sregs.efer & EFER_LMA != 0 {
        if code.l != 0 { MODE_64 } else { 5 }
    } else if regs.rflags & RFLAGS_VM != 0 {
        1
    } else if code.db != 0 {
        3
    } else {
        2
    };
    let paging = if sregs.cr0 & CR0_PG == 0 {
        0
    } else if sregs.efer & EFER_LMA != 0 {
        if sregs.cr4 & CR4_LA57 != 0 { 4 } else { 3 }
    } else if sregs.cr4 & CR4_PAE != 0 {
        2
    } else {
        1
    };
    (mode, paging)
}

/// The linear address of an offset into a segment that starts at `base`, in a mode of [`mode`]. 64-bit mode
/// has no bases but those of FS and GS; elsewhere addresses have 32 bits. SDM 3.3 and 3.4.
pub fn linear(mode: usize, base: u64, offset: u64) -> u64 {
    match mode {
        MODE_64 => offset,
        _ => base.wrapping_add(offset) & 0xffff_ffff,
    }
}

/// The linear address of the next instruction.
pub fn instruction(regs: &kvm_regs, sregs: &kvm_sregs) -> u64 {
    linear(mode(regs, sregs).0, sregs.cs.base, regs.rip)
}

/// 64-bit mode's place in [`MODES`].
pub const MODE_64: usize = 4;

/// A line each.
pub const MODES: Lines<0, 0> = lines!(
    "real mode",
    "virtual-8086 mode",
    "16-bit protected mode",
    "32-bit protected mode",
    "64-bit mode (long mode)",
    "compatibility mode (long mode, 32-bit code)",
);

/// A line each: how addresses are translated. SDM 4.1.1.
pub const PAGING: Lines<0, 0> = lines!(
    "no paging",
    "32-bit paging, 2 levels",
    "PAE paging, 3 levels",
    "4-level paging",
    "5-level paging",
);

/// What an entry of a page table is called, by its level from 1 on: SDM 4.5.
pub const ENTRIES: &str = "- PTE PDE PDPTE PML4E PML5E";

// What rules are about, a bit each: [`facts`].
const PG: u32 = 1 << 0;
const REAL: u32 = 1 << 1;
const NW: u32 = 1 << 2;
const CD: u32 = 1 << 3;
const LONG: u32 = 1 << 4;
const LME_AND_PG: u32 = 1 << 5;
const PAE: u32 = 1 << 6;
const CS_L: u32 = 1 << 7;
const CS_D: u32 = 1 << 8;
const HIGH_CR3: u32 = 1 << 9;
const BAD_RFLAGS: u32 = 1 << 10;
const VM86: u32 = 1 << 11;
const CODE: u32 = 1 << 12;
const CS_P: u32 = 1 << 13;
const CONFORMING: u32 = 1 << 14;
const TWO_RINGS: u32 = 1 << 15;
const BAD_SS: u32 = 1 << 16;
const BAD_TR: u32 = 1 << 17;
const BAD_LDT: u32 = 1 << 18;
const BAD_LIMIT: u32 = 1 << 19;
const HIGH_RIP: u32 = 1 << 20;
const BAD_VM86: u32 = 1 << 21;

fn facts(regs: &kvm_regs, sregs: &kvm_sregs) -> u32 {
    let kvm_sregs { cr0, cr3, cr4, efer, cs, ss, tr, ldt, .. } = sregs;
    let is_strange = |s: &kvm_segment| {
        let granularity = s.limit & 0xfff != 0xfff && s.g != 0 || s.limit >> 20 != 0 && s.g == 0;
        s.unusable == 0 && s.present != 0 && granularity
    };
    let long = efer & EFER_LMA != 0;
    let real = cr0 & CR0_PE == 0;
    let virtual_8086 = regs.rflags & RFLAGS_VM != 0;
    let mut facts = 0;
    // From the last to the first.
    for fact in [
        virtual_8086 && (long || real),
        regs.rip >> 32 != 0,
        segments(sregs).iter().any(is_strange),
        ldt.unusable == 0 && ldt.present != 0 && (ldt.r#type != 2 || ldt.s != 0),
        !(tr.r#type == TYPE_BUSY_TSS || tr.r#type == 0b0011 && !long)
            || tr.s != 0
            || tr.present == 0,
        ss.unusable == 0 && ss.r#type & 0b1010 != 0b0010,
        cs.dpl != ss.dpl,
        cs.r#type & 0b0100 != 0,
        cs.present != 0,
        cs.s != 0 && (cs.r#type & 0b1000 != 0 || cs.r#type == TYPE_DATA),
        virtual_8086,
        regs.rflags & RFLAGS_1 == 0 || regs.rflags >> 22 != 0,
        cr3 >> 52 != 0,
        cs.db != 0,
        cs.l != 0,
        cr4 & CR4_PAE != 0,
        efer & EFER_LME != 0 && cr0 & CR0_PG != 0,
        long,
        cr0 & CR0_CD != 0,
        cr0 & CR0_NW != 0,
        real,
        cr0 & CR0_PG != 0,
    ] {
        facts = facts << 1 | u32::from(fact);
    }
    facts
}

/// Rules that a processor checks when it enters a guest, in the order of [`RULES`]: one is broken where all
/// of its first facts are there, and none of its others. SDM 27.3.1, "Checks on the Guest State Area"; APM
/// 15.5.1, "Canonicalization and Consistency Checks". The first six `KVM_SET_SREGS` looks for itself.
const BREAKING: [(u32, u32); 18] = [
    (PG | REAL, 0),
    (NW, CD),
    (LME_AND_PG, LONG),
    (LONG, LME_AND_PG),
    (LONG, PAE),
    (CS_L, LONG),
    (LONG | CS_L | CS_D, 0),
    (HIGH_CR3, 0),
    (BAD_RFLAGS, 0),
    (BAD_VM86, 0),
    (0, REAL | VM86 | CODE),
    (0, REAL | VM86 | CS_P),
    (CODE | TWO_RINGS, REAL | VM86 | CONFORMING),
    (BAD_SS, REAL | VM86),
    (BAD_TR, 0),
    (BAD_LDT, 0),
    (BAD_LIMIT, REAL | VM86),
    (HIGH_RIP, REAL | CS_L),
];

/// Bit N says that rule N is broken.
#[inline(never)]
pub fn broken_rules(regs: &kvm_regs, sregs: &kvm_sregs) -> u64 {
    let facts = facts(regs, sregs);
    let is_broken = |&(all, none): &(u32, u32)| facts & (all | none) == all;
    BREAKING.iter().rev().fold(0, |broken, rule| broken << 1 | u64::from(is_broken(rule)))
}

/// A line each, in the order of [`BREAKING`].
pub const RULES: Lines<0, 0> = lines!(
    "CR0.PG needs CR0.PE: no paging in real mode",
    "CR0.NW needs CR0.CD",
    "EFER.LME with CR0.PG is long mode: EFER.LMA must say so",
    "EFER.LMA needs EFER.LME and CR0.PG",
    "EFER.LMA needs CR4.PAE",
    "CS.L is for long mode: it needs EFER.LMA",
    "CS.L and CS.D together are reserved: 64-bit code has D = 0",
    "CR3 holds an address of 52 bits at most",
    "RFLAGS: bit 1 is always 1, bits 22 and up are 0",
    "RFLAGS.VM: no virtual-8086 in long mode, nor in real mode",
    "CS must be code: S 1, type 8 to 15, or 3 as real mode left it",
    "CS must be present",
    "CS.DPL must be SS.DPL: both are the ring",
    "SS must be writable data: type 2, 3, 6 or 7",
    "TR must be a busy TSS: S 0, P 1, type 11; outside long mode also 3",
    "LDT: S 0, type 2, or not present",
    "A limit above 1 MiB needs G 1, and one whose low 12 bits are not ones G 0",
    "RIP above 4 GiB needs 64-bit code",
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::said;

    fn flat(regs: &mut kvm_regs, sregs: &mut kvm_sregs) {
        regs.rflags = RFLAGS_1;
        let segment = kvm_segment { limit: 0xffff, present: 1, s: 1, ..Default::default() };
        sregs.cs = kvm_segment { r#type: TYPE_CODE, ..segment };
        sregs.ss = kvm_segment { r#type: TYPE_DATA, ..segment };
        sregs.tr = kvm_segment { r#type: TYPE_BUSY_TSS, s: 0, ..segment };
    }

    /// Breaks one thing of a good state, and tells which rules say so.
    fn broken(change: impl Fn(&mut kvm_regs, &mut kvm_sregs)) -> Vec<usize> {
        let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
        flat(&mut regs, &mut sregs);
        sregs.cr0 = CR0_PE | CR0_ET;
        change(&mut regs, &mut sregs);
        let bits = broken_rules(&regs, &sregs);
        (0..64).filter(|rule| bits >> rule & 1 != 0).collect()
    }

    fn long(sregs: &mut kvm_sregs) {
        sregs.cr0 |= CR0_PG;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
        sregs.cs.l = 1;
    }

    #[test]
    fn each_rule_has_a_line_and_can_be_broken_alone() {
        assert_eq!(broken(|_, _| ()), []);
        assert_eq!(broken(|_, s| long(s)), []);
        type Change = fn(&mut kvm_regs, &mut kvm_sregs);
        let changes: [Change; 18] = [
            |_, s| s.cr0 = CR0_PG,
            |_, s| s.cr0 |= CR0_NW,
            |_, s| (long(s), s.efer = EFER_LME, s.cs.l = 0).0,
            |_, s| (long(s), s.efer = EFER_LMA).0,
            |_, s| (long(s), s.cr4 = 0).0,
            |_, s| s.cs.l = 1,
            |_, s| (long(s), s.cs.db = 1).0,
            |_, s| s.cr3 = 1 << 52,
            |r, _| r.rflags = 0,
            |r, s| (long(s), r.rflags |= RFLAGS_VM).0,
            |_, s| s.cs.r#type = 1,
            |_, s| s.cs.present = 0,
            |_, s| s.cs.dpl = 3,
            |_, s| s.ss.r#type = TYPE_CODE,
            |_, s| s.tr.r#type = 9,
            |_, s| s.ldt = kvm_segment { present: 1, r#type: 3, ..s.ldt },
            |_, s| s.ds = kvm_segment { limit: 0x10_0000, present: 1, ..s.ds },
            |r, _| r.rip = 1 << 32,
        ];
        assert_eq!(RULES.count(), changes.len());
        for (rule, change) in changes.into_iter().enumerate() {
            assert_eq!(broken(change), [rule], "{}", said(|text| text.plain(RULES.get(rule))));
        }
    }

    #[test]
    fn modes_and_paging_are_told_apart() {
        let mode_of = |change: fn(&mut kvm_regs, &mut kvm_sregs)| {
            let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
            change(&mut regs, &mut sregs);
            let (mode, paging) = mode(&regs, &sregs);
            (said(|text| text.plain(MODES.get(mode))), said(|text| text.plain(PAGING.get(paging))))
        };
        assert_eq!(mode_of(|_, _| ()), ("real mode".into(), "no paging".into()));
        assert_eq!(
            mode_of(|_, s| s.cr0 = CR0_PE),
            ("16-bit protected mode".into(), "no paging".into())
        );
        let change: fn(&mut kvm_regs, &mut kvm_sregs) =
            |_, s| (s.cr0 = CR0_PE | CR0_PG, s.cs.db = 1).0;
        assert_eq!(
            mode_of(change),
            ("32-bit protected mode".into(), "32-bit paging, 2 levels".into())
        );
        assert_eq!(
            mode_of(|_, s| long(s)),
            ("real mode".into(), "4-level paging".into()),
            "PE is missing"
        );
        let change: fn(&mut kvm_regs, &mut kvm_sregs) = |_, s| (s.cr0 = CR0_PE, long(s)).0;
        assert_eq!(mode_of(change), ("64-bit mode (long mode)".into(), "4-level paging".into()));
        let change: fn(&mut kvm_regs, &mut kvm_sregs) =
            |_, s| (s.cr0 = CR0_PE, long(s), s.cs.l = 0).0;
        assert!(mode_of(change).0.starts_with("compatibility mode"));
        assert_eq!(
            mode_of(|r, s| (s.cr0 = CR0_PE, r.rflags = RFLAGS_VM).0),
            ("virtual-8086 mode".into(), "no paging".into())
        );
    }

    #[test]
    fn a_register_is_set_by_its_name() {
        let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
        for name in ["rax", "rflags", "cr0", "apic_base", "cs.base", "cr8", "tr.type"] {
            assert!(set(&mut regs, &mut sregs, name.as_bytes(), 7), "{name}");
        }
        assert_eq!((regs.rax, regs.rflags, sregs.cr0, sregs.apic_base), (7, 7, 7, 7));
        assert_eq!((sregs.cs.base, sregs.cr8, sregs.tr.r#type), (7, 7, 7));
        for (name, most) in [("cs.type", 15), ("ss.dpl", 3), ("cs.db", 1), ("cr8", 15)] {
            assert!(set(&mut regs, &mut sregs, name.as_bytes(), most), "{name}");
            assert!(!set(&mut regs, &mut sregs, name.as_bytes(), most + 1), "{name}");
        }
        assert_eq!((sregs.cs.r#type, sregs.ss.dpl, sregs.cs.db, sregs.cr8), (15, 3, 1, 15));
        for name in ["", "rx", "cs", "cs.", ".base", "cs.x", "rax.base", "cr0.", "cs base"] {
            assert!(!set(&mut regs, &mut sregs, name.as_bytes(), 7), "{name}");
        }
        assert!(!set(&mut regs, &mut sregs, b"cs.selector", 0x10000));
        assert!(set(&mut regs, &mut sregs, b"cs.limit", 0xffff_ffff));
    }

    #[test]
    fn names_stand_in_the_order_of_the_values() {
        let mut sregs = kvm_sregs { cr0: 1, cr8: 5, apic_base: 7, ..Default::default() };
        sregs.cs = kvm_segment { base: 1, r#type: 4, unusable: 12, ..sregs.cs };
        sregs.ldt.base = 8;
        assert_eq!(control(&sregs), &[1, 0, 0, 0, 5, 0, 7]);
        assert_eq!(segments(&sregs)[7].base, 8);
        assert_eq!(fields(&sregs.cs), [1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 12]);
        assert_eq!(FIELDS.split(' ').count(), 12);
        assert_eq!(CONTROL.split(' ').count(), 7);
        assert_eq!(GENERAL.split(' ').count(), 18);
    }

    #[test]
    fn attributes_stand_in_the_order_of_their_names() {
        let segment = kvm_segment { present: 1, g: 1, unusable: 1, ..Default::default() };
        assert_eq!(attributes(&segment), 0b100_1001);
    }
}
