//! `KVM_CAP_EXIT_ON_EMULATION_FAILURE`: an instruction in the guest's user mode that KVM can't emulate. Without the capability the guest
//! gets a #UD.

use crate::config::Mode;
use crate::kvm::exit::emulation_bytes;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::show::Dump;
use crate::sys::cap::KVM_CAP_EXIT_ON_EMULATION_FAILURE;
use crate::sys::exit::*;

guest!(
    emulation_failure,
    "
    .code64
    mov     $0xd0000000, %ebx       # no RAM is there, so that KVM must carry the access out
    fbld    (%rbx)                  # and its emulator does not know this one
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_EXIT_ON_EMULATION_FAILURE)?;
    let vm = lab.vm(emulation_failure())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::User)?;
    lab.expect(&mut vcpu, KVM_EXIT_SHUTDOWN)?;
    say!(lab, "KVM_EXIT_SHUTDOWN: the guest got a #UD, for which it has no handler");

    let vm = lab.vm(emulation_failure())?;
    vm.enable(KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1)?;
    say!(lab, "KVM_CAP_EXIT_ON_EMULATION_FAILURE is on");
    let mut vcpu = lab.vcpu(&vm, 0, Mode::User)?;
    lab.expect(&mut vcpu, KVM_EXIT_INTERNAL_ERROR)?;
    let failure = vcpu.page().emulation_failure();
    let bytes = emulation_bytes(failure);
    say!(lab, "KVM_EXIT_INTERNAL_ERROR, suberror {}, KVM_INTERNAL_ERROR_EMULATION:{}", failure.suberror, Dump(&bytes[..bytes.len().min(2)]));
    Ok(())
}
