//! `KVM_CAP_X86_TRIPLE_FAULT_EVENT`: a triple fault that waits is a part of the vCPU's state, and user space can set it.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_X86_TRIPLE_FAULT_EVENT;
use crate::sys::events::KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
use crate::sys::exit::KVM_EXIT_SHUTDOWN;

guest!(triple_fault, "hlt");

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_TRIPLE_FAULT_EVENT)?;
    let vm = lab.vm(triple_fault())?;
    vm.enable(KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let mut events = vcpu.events()?;
    let is_valid = events.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT != 0;
    say!(lab, "KVM_GET_VCPU_EVENTS: KVM_VCPUEVENT_VALID_TRIPLE_FAULT: {is_valid}");
    events.triple_fault.pending = 1;
    vcpu.set_events(&events)?;
    say!(lab, "KVM_SET_VCPU_EVENTS: triple_fault.pending = 1");
    lab.expect(&mut vcpu, KVM_EXIT_SHUTDOWN)?;
    say!(lab, "KVM_EXIT_SHUTDOWN, before the guest's first instruction");
    Ok(())
}
