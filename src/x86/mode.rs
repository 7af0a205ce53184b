//! Which mode the registers amount to, and what that makes of an address.

use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::x86::{CR0_PE, CR0_PG, CR4_LA57, CR4_PAE, EFER_LMA, RFLAGS_VM};
use core::fmt;

/// A processor's operating mode: SDM 2.2, APM 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatingMode {
    Real,
    Virtual8086,
    Protected16,
    Protected32,
    Long64,
    Compatibility,
}

impl OperatingMode {
    pub fn of(regs: &kvm_regs, sregs: &kvm_sregs) -> OperatingMode {
        if sregs.cr0 & CR0_PE == 0 {
            OperatingMode::Real
        } else if sregs.efer & EFER_LMA != 0 {
            if sregs.cs.l != 0 { OperatingMode::Long64 } else { OperatingMode::Compatibility }
        } else if regs.rflags & RFLAGS_VM != 0 {
            OperatingMode::Virtual8086
        } else if sregs.cs.db != 0 {
            OperatingMode::Protected32
        } else {
            OperatingMode::Protected16
        }
    }

    /// The linear address of an offset into a segment that starts at `base`. In 64-bit mode only FS and GS have a base,
    /// which is not asked for here; elsewhere linear addresses have 32 bits. SDM 3.3 and 3.4.
    pub fn linear(self, base: u64, offset: u64) -> u64 {
        match self {
            OperatingMode::Long64 => offset,
            _ => base.wrapping_add(offset) & 0xffff_ffff,
        }
    }
}

impl fmt::Display for OperatingMode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            OperatingMode::Real => "real mode",
            OperatingMode::Virtual8086 => "virtual-8086 mode",
            OperatingMode::Protected16 => "16-bit protected mode",
            OperatingMode::Protected32 => "32-bit protected mode",
            OperatingMode::Long64 => "64-bit mode (long mode)",
            OperatingMode::Compatibility => "compatibility mode (long mode, 32-bit code)",
        })
    }
}

/// How linear addresses are translated: SDM 4.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    Off,
    TwoLevels,
    Pae,
    FourLevels,
    FiveLevels,
}

impl Paging {
    pub fn of(sregs: &kvm_sregs) -> Paging {
        if sregs.cr0 & CR0_PG == 0 {
            Paging::Off
        } else if sregs.efer & EFER_LMA != 0 {
            if sregs.cr4 & CR4_LA57 != 0 { Paging::FiveLevels } else { Paging::FourLevels }
        } else if sregs.cr4 & CR4_PAE != 0 {
            Paging::Pae
        } else {
            Paging::TwoLevels
        }
    }
}

impl fmt::Display for Paging {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Paging::Off => "no paging",
            Paging::TwoLevels => "32-bit paging, 2 levels",
            Paging::Pae => "PAE paging, 3 levels",
            Paging::FourLevels => "4-level paging",
            Paging::FiveLevels => "5-level paging",
        })
    }
}

/// The linear address of the next instruction.
pub fn instruction(regs: &kvm_regs, sregs: &kvm_sregs) -> u64 {
    OperatingMode::of(regs, sregs).linear(sregs.cs.base, regs.rip)
}

/// The linear address of the top of the stack. Outside 64-bit mode a push counts as many bits of RSP as the stack segment
/// says: 16 or 32.
pub fn stack(regs: &kvm_regs, sregs: &kvm_sregs) -> u64 {
    let mode = OperatingMode::of(regs, sregs);
    let mask = match mode {
        OperatingMode::Long64 => u64::MAX,
        _ if sregs.ss.db != 0 => 0xffff_ffff,
        _ => 0xffff,
    };
    mode.linear(sregs.ss.base, regs.rsp & mask)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::x86::{EFER_LMA, EFER_LME};

    /// Turns 64-bit mode on.
    pub fn long(sregs: &mut kvm_sregs) {
        sregs.cr0 |= CR0_PG;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
        sregs.cs.l = 1;
    }

    #[test]
    fn modes_and_paging_are_told_apart() {
        let of = |change: fn(&mut kvm_regs, &mut kvm_sregs)| {
            let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
            change(&mut regs, &mut sregs);
            (OperatingMode::of(&regs, &sregs), Paging::of(&sregs))
        };
        assert_eq!(of(|_, _| ()), (OperatingMode::Real, Paging::Off));
        assert_eq!(of(|_, s| s.cr0 = CR0_PE), (OperatingMode::Protected16, Paging::Off));
        assert_eq!(
            of(|_, s| (s.cr0 = CR0_PE | CR0_PG, s.cs.db = 1).0),
            (OperatingMode::Protected32, Paging::TwoLevels)
        );
        assert_eq!(of(|_, s| long(s)), (OperatingMode::Real, Paging::FourLevels), "PE is missing");
        assert_eq!(
            of(|_, s| (s.cr0 = CR0_PE, long(s)).0),
            (OperatingMode::Long64, Paging::FourLevels)
        );
        assert_eq!(
            of(|_, s| (s.cr0 = CR0_PE, long(s), s.cs.l = 0).0),
            (OperatingMode::Compatibility, Paging::FourLevels)
        );
        assert_eq!(
            of(|r, s| (s.cr0 = CR0_PE, r.rflags = RFLAGS_VM).0),
            (OperatingMode::Virtual8086, Paging::Off)
        );
    }

    #[test]
    fn addresses_are_those_of_the_mode() {
        assert_eq!(OperatingMode::Real.linear(0xffff_0000, 0x1_fff0), 0xfff0);
        assert_eq!(OperatingMode::Long64.linear(0x1000, 1 << 40), 1 << 40);
        let mut sregs = kvm_sregs::default();
        sregs.ss.base = 0x10000;
        let regs = kvm_regs { rsp: 0xffff_fffd, ..Default::default() };
        assert_eq!(stack(&regs, &sregs), 0x1fffd, "16-bit code counts SP alone");
    }
}
