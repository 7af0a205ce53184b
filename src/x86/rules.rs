//! Rules that a processor checks when it enters a guest: SDM 27.3.1, "Checks on the Guest State Area"; APM 15.5.1,
//! "Canonicalization and Consistency Checks".

use crate::sys::regs::{kvm_regs, kvm_segment, kvm_sregs};
use crate::x86::registers::segments;
use crate::x86::*;

/// A rule, and whether a state breaks it.
pub struct Rule {
    pub text: &'static str,
    pub is_broken: fn(&kvm_regs, &kvm_sregs) -> bool,
}

/// The rules that these registers break.
pub fn broken<'a>(
    regs: &'a kvm_regs,
    sregs: &'a kvm_sregs,
) -> impl Iterator<Item = &'static Rule> + 'a {
    RULES.iter().filter(|rule| (rule.is_broken)(regs, sregs))
}

fn real(sregs: &kvm_sregs) -> bool {
    sregs.cr0 & CR0_PE == 0
}

fn paging(sregs: &kvm_sregs) -> bool {
    sregs.cr0 & CR0_PG != 0
}

fn long(sregs: &kvm_sregs) -> bool {
    sregs.efer & EFER_LMA != 0
}

fn long_is_enabled(sregs: &kvm_sregs) -> bool {
    sregs.efer & EFER_LME != 0 && paging(sregs)
}

fn virtual_8086(regs: &kvm_regs) -> bool {
    regs.rflags & RFLAGS_VM != 0
}

/// Whether segments are as in real mode: their fields follow from the selector, and are not checked.
fn real_segments(regs: &kvm_regs, sregs: &kvm_sregs) -> bool {
    real(sregs) || virtual_8086(regs)
}

/// Code, or the data segment that real mode leaves in CS.
fn is_code(cs: &kvm_segment) -> bool {
    cs.s != 0 && (cs.r#type & 0b1000 != 0 || cs.r#type == TYPE_DATA)
}

/// The limit and G contradict each other.
fn limit_is_odd(segment: &kvm_segment) -> bool {
    let low_ones = segment.limit & 0xfff == 0xfff;
    let odd = if segment.g != 0 { !low_ones } else { segment.limit >> 20 != 0 };
    segment.unusable == 0 && segment.present != 0 && odd
}

/// `KVM_SET_SREGS` looks for the first six itself, and in long mode for the one about CR3.
pub const RULES: [Rule; 18] = [
    Rule {
        text: "CR0.PG needs CR0.PE: no paging in real mode",
        is_broken: |_, s| paging(s) && real(s),
    },
    Rule { text: "CR0.NW needs CR0.CD", is_broken: |_, s| s.cr0 & (CR0_NW | CR0_CD) == CR0_NW },
    Rule {
        text: "EFER.LME with CR0.PG is long mode: EFER.LMA must say so",
        is_broken: |_, s| long_is_enabled(s) && !long(s),
    },
    Rule {
        text: "EFER.LMA needs EFER.LME and CR0.PG",
        is_broken: |_, s| long(s) && !long_is_enabled(s),
    },
    Rule { text: "EFER.LMA needs CR4.PAE", is_broken: |_, s| long(s) && s.cr4 & CR4_PAE == 0 },
    Rule {
        text: "CS.L is for long mode: it needs EFER.LMA",
        is_broken: |_, s| s.cs.l != 0 && !long(s),
    },
    Rule {
        text: "CS.L and CS.D together are reserved: 64-bit code has D = 0",
        is_broken: |_, s| long(s) && s.cs.l != 0 && s.cs.db != 0,
    },
    Rule { text: "CR3 holds an address of 52 bits at most", is_broken: |_, s| s.cr3 >> 52 != 0 },
    Rule {
        text: "RFLAGS: bit 1 is always 1, bits 22 and up are 0",
        is_broken: |r, _| r.rflags & RFLAGS_1 == 0 || r.rflags >> 22 != 0,
    },
    Rule {
        text: "RFLAGS.VM: no virtual-8086 in long mode, nor in real mode",
        is_broken: |r, s| virtual_8086(r) && (long(s) || real(s)),
    },
    Rule {
        text: "CS must be code: S 1, type 8 to 15, or 3 as real mode left it",
        is_broken: |r, s| !real_segments(r, s) && !is_code(&s.cs),
    },
    Rule {
        text: "CS must be present",
        is_broken: |r, s| !real_segments(r, s) && s.cs.present == 0,
    },
    Rule {
        text: "CS.DPL must be SS.DPL: both are the ring",
        is_broken: |r, s| {
            let conforming = s.cs.r#type & 0b0100 != 0;
            !real_segments(r, s) && is_code(&s.cs) && !conforming && s.cs.dpl != s.ss.dpl
        },
    },
    Rule {
        text: "SS must be writable data: type 2, 3, 6 or 7",
        is_broken: |r, s| {
            !real_segments(r, s) && s.ss.unusable == 0 && s.ss.r#type & 0b1010 != 0b0010
        },
    },
    Rule {
        text: "TR must be a busy TSS: S 0, P 1, type 11; outside long mode also 3",
        is_broken: |_, s| {
            let busy = s.tr.r#type == TYPE_BUSY_TSS || s.tr.r#type == 0b0011 && !long(s);
            !busy || s.tr.s != 0 || s.tr.present == 0
        },
    },
    Rule {
        text: "LDT: S 0, type 2, or not present",
        is_broken: |_, s| {
            s.ldt.unusable == 0 && s.ldt.present != 0 && (s.ldt.r#type != 2 || s.ldt.s != 0)
        },
    },
    Rule {
        text: "A limit above 1 MiB needs G 1, and one whose low 12 bits are not ones G 0",
        is_broken: |r, s| {
            !real_segments(r, s) && segments(s).iter().any(|(_, segment)| limit_is_odd(segment))
        },
    },
    Rule {
        text: "RIP above 4 GiB needs 64-bit code",
        is_broken: |r, s| r.rip >> 32 != 0 && s.cs.l == 0,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::mode::tests::long;

    /// Breaks one thing of a good state, and tells which rules say so.
    fn broken_by(change: fn(&mut kvm_regs, &mut kvm_sregs)) -> Vec<&'static str> {
        let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
        regs.rflags = RFLAGS_1;
        let segment = kvm_segment { limit: 0xffff, present: 1, s: 1, ..Default::default() };
        sregs.cs = kvm_segment { r#type: TYPE_CODE, ..segment };
        sregs.ss = kvm_segment { r#type: TYPE_DATA, ..segment };
        sregs.tr = kvm_segment { r#type: TYPE_BUSY_TSS, s: 0, ..segment };
        sregs.cr0 = CR0_PE | CR0_ET;
        change(&mut regs, &mut sregs);
        broken(&regs, &sregs).map(|rule| rule.text).collect()
    }

    #[test]
    fn each_rule_can_be_broken_alone() {
        assert!(broken_by(|_, _| ()).is_empty());
        assert!(broken_by(|_, s| long(s)).is_empty());
        let changes: [fn(&mut kvm_regs, &mut kvm_sregs); RULES.len()] = [
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
        for (rule, change) in RULES.iter().zip(changes) {
            assert_eq!(broken_by(change), [rule.text]);
        }
    }
}
