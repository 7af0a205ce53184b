//! `KVM_PRE_FAULT_MEMORY`: maps guest memory before the guest touches it, so that it never waits for a page.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, RAM, guest, say};
use crate::sys::cap::KVM_CAP_PRE_FAULT_MEMORY;
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    pre_fault,
    "
    .code16
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_PRE_FAULT_MEMORY)?;
    let vm = lab.vm(pre_fault())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    // How many pages of 4 KiB KVM's tables map.
    let mapped = || lab.statistic(vm.stats()?, "pages_4k");
    say!(lab, "KVM maps {} pages of 4 KiB", mapped()?);
    let left = vcpu.pre_fault(0, RAM / 2)?;
    say!(lab, "KVM_PRE_FAULT_MEMORY of 1 MiB: {left} bytes are left");
    say!(lab, "KVM maps {} pages of 4 KiB", mapped()?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "The guest has run: {}", mapped()?);
    Ok(())
}
