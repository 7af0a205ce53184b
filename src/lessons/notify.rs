//! `KVM_CAP_X86_NOTIFY_VMEXIT`: the processor exits when the guest gives it no chance to deliver an event for some time, for example
//! while #AC or #DB causes itself without end. KVM intercepts these two, so that the lesson can only ask for the exit, and show that a
//! plain loop does not cause it.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::*;
use crate::sys::exit::{KVM_EXIT_HLT, KVM_EXIT_NOTIFY};
use crate::sys::run::KVM_NOTIFY_CONTEXT_INVALID;

guest!(
    notify,
    "
    .code16
    mov     $0x10000, %ecx
notify_again:
    dec     %ecx
    jnz     notify_again
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_NOTIFY_VMEXIT)?;
    let vm = lab.vm(notify())?;
    // The window is in the upper half, in ticks of the processor's clock; the processor adds its own minimum.
    let window = 0x2_0000u64 << 32;
    vm.enable(
        KVM_CAP_X86_NOTIFY_VMEXIT,
        window | KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER,
    )?;
    say!(lab, "KVM_CAP_X86_NOTIFY_VMEXIT: a window of 131072 ticks");
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    match lab.run(&mut vcpu)? {
        KVM_EXIT_NOTIFY => {
            let is_lost = vcpu.page().notify().flags & KVM_NOTIFY_CONTEXT_INVALID != 0;
            say!(lab, "KVM_EXIT_NOTIFY; the guest's state is lost: {is_lost}");
        }
        KVM_EXIT_HLT => say!(lab, "KVM_EXIT_HLT: a loop takes events between its instructions"),
        reason => return Err(Error::OtherExit { expected: KVM_EXIT_HLT, reason }),
    }
    Ok(())
}
