//! `KVM_SET_SIGNAL_MASK`: a signal that ends `KVM_RUN` although no handler ever runs. It closes the same race as
//! `kvm_run.immediate_exit`, which is simpler and came later.

use crate::config::Mode;
use crate::host::signal::BlockedSignal;
use crate::kvm;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::exit::KVM_EXIT_INTR;

guest!(
    signal_mask,
    "
    .code16
    out     %al, $0x11
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(signal_mask())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;

    let signal = BlockedSignal::new(libc::SIGUSR1);
    vcpu.set_signal_mask(Some(0))?;
    say!(lab, "SIGUSR1 is blocked in this thread; KVM_SET_SIGNAL_MASK: none is blocked during KVM_RUN");
    signal.send_to_this_thread();
    say!(lab, "SIGUSR1 comes before KVM_RUN, and waits");
    match vcpu.run() {
        Err(kvm::Error::Ioctl { error, .. }) if error.is(libc::EINTR) => {
            let is_interrupted = vcpu.page().exit_reason() == KVM_EXIT_INTR;
            say!(lab, "KVM_RUN: {}, KVM_EXIT_INTR: {is_interrupted}; the guest has not run", error.errno);
        }
        Ok(()) => {
            return Err(Error::OtherExit {
                expected: KVM_EXIT_INTR,
                reason: vcpu.page().exit_reason(),
            });
        }
        Err(error) => return Err(error.into()),
    }
    say!(lab, "sigtimedwait(2) takes the signal: {}", signal.take());
    lab.value(&mut vcpu)?;
    say!(lab, "KVM_RUN: now the guest runs");
    vcpu.set_signal_mask(None)?;
    Ok(())
}
