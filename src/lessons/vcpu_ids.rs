//! `KVM_CAP_MAX_VCPU_ID`, set for one VM: vCPU numbers end there, so that KVM need not make room for more.

use crate::kvm;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, outcome, say};
use crate::sys::cap::KVM_CAP_MAX_VCPU_ID;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_MAX_VCPU_ID)?;
    let vm = lab.vm(&[])?;
    match vm.enable(KVM_CAP_MAX_VCPU_ID, 2) {
        Err(kvm::Error::Ioctl { error, .. }) if error.is(libc::EINVAL) => {
            return Err(Error::Lacks("KVM_CAP_MAX_VCPU_ID can't be set: Linux 6.0 is the first"));
        }
        result => result?,
    }
    say!(lab, "KVM_CAP_MAX_VCPU_ID: 2");
    for number in [1, 2] {
        let made = lab.bare_vcpu(&vm, number).map(drop);
        match made {
            Ok(()) => say!(lab, "vCPU {number}: made"),
            Err(Error::Kvm(error)) => say!(lab, "vCPU {number}: {}", outcome(Err(error))),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
