//! `KVM_SET_GUEST_DEBUG`: an exit after each instruction. And `KVM_GET_DEBUGREGS`: the debug registers that are the guest's own.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_X86_ROBUST_SINGLESTEP;
use crate::sys::exit::{KVM_EXIT_DEBUG, KVM_EXIT_HLT};
use crate::x86::DR6_BS;

guest!(
    guest_debug,
    "
    .code16
    mov     $0x1234, %eax
    mov     %eax, %dr0
    out     %al, $0x11
    mov     %dr0, %eax
    out     %eax, $0x11
    inc     %bx
    inc     %bx
    push    $2
    popf                            # RFLAGS.TF is 0 now, if it was the guest's
    inc     %bx
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_ROBUST_SINGLESTEP)?;
    let vm = lab.vm(guest_debug())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.value(&mut vcpu)?;
    let mut registers = vcpu.debug_registers()?;
    say!(lab, "KVM_GET_DEBUGREGS: the guest has set DR0 to {:#x}", registers.db[0]);
    registers.db[0] = 0x5678;
    vcpu.set_debug_registers(&registers)?;
    say!(lab, "KVM_SET_DEBUGREGS: DR0 = 0x5678; the guest reads {:#x}", lab.value(&mut vcpu)?);

    // The OUT ends only in the next KVM_RUN (api.rst 5); else it would be the first step.
    vcpu.finish_exit()?;
    say!(lab, "KVM_SET_GUEST_DEBUG, KVM_GUESTDBG_SINGLESTEP, before each step");
    for _ in 0..5 {
        // For each step: KVM sets RFLAGS.TF only at the instruction where it is asked to.
        vcpu.single_step()?;
        lab.expect(&mut vcpu, KVM_EXIT_DEBUG)?;
        let debug = vcpu.page().debug().arch;
        let is_step = debug.dr6 & DR6_BS != 0;
        let (pc, rbx) = (debug.pc, vcpu.page().registers().regs.rbx);
        say!(lab, "KVM_EXIT_DEBUG, DR6.BS: {is_step}; next is {pc:#x}, RBX = {rbx}");
    }
    say!(lab, "POPF has cleared RFLAGS.TF, and the next request has set it again");
    vcpu.stop_guest_debug()?;
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "KVM_SET_GUEST_DEBUG, off: KVM_EXIT_HLT");
    Ok(())
}
