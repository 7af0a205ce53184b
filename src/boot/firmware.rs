//! What firmware would leave in a processor of the board.

use crate::kvm::{self, Vcpu};
use crate::x86::{APIC_BASE_ENABLE, LVT_LINT0, LVT_LINT1, LVT_NMI};

// Of an LVT entry: delivery as ExtINT. With all else 0 the entry is edge-triggered and not masked.
const LVT_EXTINT: u32 = 7 << 8;

/// SDM volume 4, table 2-2.
const MSR_IA32_MISC_ENABLE: u32 = 0x1a0;
const FAST_STRING: u64 = 1 << 0;
/// SDM volume 3, 12.11.2.1.
const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
const MTRR_ENABLE: u64 = 1 << 11;
const WRITE_BACK: u64 = 6;

/// What stands at a PC's reset vector, [`crate::layout::RESET_VECTOR`], for a guest that jumps there to be reset, as Linux with
/// `reboot=bios`: 16-bit code that writes 6 to the chipset's reset register.
pub const AT_RESET_VECTOR: [u8; 8] = [
    0xba, 0xf9, 0x0c, // mov $0xcf9, %dx
    0xb0, 0x06, // mov $6, %al
    0xee, // out %al, %dx
    0xeb, 0xfd, // jmp to the out
];

/// The part that INIT takes away: the boot processor's local interrupts.
pub fn set_up_lapic(vcpu: &Vcpu) -> Result<(), kvm::Error> {
    let mut lapic = vcpu.lapic()?;
    for (register, entry) in [(LVT_LINT0, LVT_EXTINT), (LVT_LINT1, LVT_NMI)] {
        lapic.regs[register..register + 4].copy_from_slice(&entry.to_le_bytes());
    }
    vcpu.set_lapic(&lapic)
}

/// Sets up a vCPU. On the boot processor, LINT0 takes what the 8259s send and LINT1 is the NMI. On all, fast string
/// instructions are on, and memory is cached (write-back) where no range says otherwise.
///
/// `with_lapic`: otherwise the local APIC, which KVM makes all the same, is switched off.
pub fn set_up(vcpu: &Vcpu, with_lapic: bool) -> Result<(), kvm::Error> {
    if !with_lapic {
        let before = vcpu.sregs()?;
        let mut sregs = before;
        sregs.apic_base &= !APIC_BASE_ENABLE;
        vcpu.set_sregs(&sregs, &before)?;
    } else if vcpu.number() == 0 {
        set_up_lapic(vcpu)?;
    }
    // Its other bits say what this processor has.
    let misc_enable = vcpu.msr(MSR_IA32_MISC_ENABLE)? | FAST_STRING;
    vcpu.set_msrs([
        (MSR_IA32_MISC_ENABLE, misc_enable),
        (MSR_MTRR_DEF_TYPE, MTRR_ENABLE | WRITE_BACK),
    ])
}
