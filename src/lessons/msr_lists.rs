//! The two lists of MSRs: those that a guest's state consists of, and those that tell what a guest's processor can have.

use crate::kvm;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, say};
use crate::sys::cap::KVM_CAP_GET_MSR_FEATURES;
use crate::x86::MSR_IA32_TSC;

pub fn run(lab: &Lab) -> Result<(), Error> {
    match lab.kvm().listed_msrs(1) {
        Err(kvm::Error::Ioctl { error, .. }) if error.is(libc::E2BIG) => {
            say!(lab, "KVM_GET_MSR_INDEX_LIST with room for 1: {}", error.errno);
        }
        Err(error) => return Err(error.into()),
        Ok(list) => say!(lab, "KVM_GET_MSR_INDEX_LIST with room for 1: {} is all it has", list.len()),
    }
    let state = lab.kvm().listed_msrs(1023)?;
    say!(lab, "With more room: {} MSRs of state", state.len());
    // The time-stamp counter is in every list of state.
    let has = if state.contains(&MSR_IA32_TSC) { "is" } else { "is not" };
    say!(lab, "IA32_TSC, MSR {MSR_IA32_TSC:#x}, {has} among them");

    lab.require(KVM_CAP_GET_MSR_FEATURES)?;
    let features = lab.kvm().feature_msrs()?;
    say!(lab, "KVM_GET_MSR_FEATURE_INDEX_LIST: {} MSRs of features", features.len());
    for index in features {
        // One that this processor does not have is in the list of some kernels.
        match lab.kvm().feature_msr(index) {
            Ok(value) => say!(lab, "  KVM_GET_MSRS on /dev/kvm: MSR {index:#x} = {value:#x}"),
            Err(kvm::Error::Msr { .. }) => say!(lab, "  MSR {index:#x}: KVM has no value"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
