//! `KVM_CAP_DISABLE_QUIRKS2`: old bugs of KVM that guests depend on; each can be switched off. This one is about how a local APIC starts.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::show::number;
use crate::sys::cap::{KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED};
use crate::x86::LVT_LINT0;

guest!(quirks, "hlt");

pub fn run(lab: &Lab) -> Result<(), Error> {
    let (capability, quirk) = (KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED);
    lab.require_bit(capability, quirk, "KVM_X86_QUIRK_LINT0_REENABLED")?;
    for is_disabled in [false, true] {
        let vm = lab.vm(quirks())?;
        vm.create_irqchip()?;
        if is_disabled {
            vm.enable(capability, quirk)?;
            say!(lab, "KVM_CAP_DISABLE_QUIRKS2: the quirk KVM_X86_QUIRK_LINT0_REENABLED is off");
        }
        let vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
        // Bit 16 masks it; 0x700 lets the 8259s' interrupts in.
        let lint0 = number(&vcpu.lapic()?.regs[LVT_LINT0..LVT_LINT0 + 4]);
        say!(lab, "A new local APIC has LINT0 at {lint0:#x}");
    }
    Ok(())
}
