//! `KVM_SET_PMU_EVENT_FILTER` and `KVM_CAP_PMU_CAPABILITY`: which performance counters a guest has, and what it may count with them.

use crate::lessons::Error;
use crate::lessons::lab::{Lab, outcome, say};
use crate::sys::cap::*;
use crate::sys::filter::*;

/// Instructions retired: event 0xc0, on AMD and on Intel.
const INSTRUCTIONS: u64 = 0xc0;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_PMU_EVENT_FILTER)?;
    let vm = lab.kvm().create_vm()?;
    vm.filter_events(KVM_PMU_EVENT_DENY, 0, [INSTRUCTIONS])?;
    say!(lab, "KVM_SET_PMU_EVENT_FILTER: general counters can count all but event {INSTRUCTIONS:#x}");
    vm.filter_events(KVM_PMU_EVENT_ALLOW, 0, [INSTRUCTIONS])?;
    say!(lab, "KVM_SET_PMU_EVENT_FILTER: they can count only event {INSTRUCTIONS:#x}");
    say!(lab, "Action 2: {}", outcome(vm.filter_events(2, 0, [INSTRUCTIONS])));
    match lab.kvm().check_extension(KVM_CAP_PMU_CAPABILITY)? {
        0 => say!(lab, "KVM_CAP_PMU_CAPABILITY is 0: no counters for guests here, or a kernel before 5.18"),
        _ => {
            vm.enable(KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE.into())?;
            say!(lab, "KVM_CAP_PMU_CAPABILITY: this VM has no performance counters");
        }
    }
    Ok(())
}
