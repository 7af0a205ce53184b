//! `KVM_CAP_PMU_EVENT_MASKED_EVENTS`: an entry of `KVM_SET_PMU_EVENT_FILTER` for many unit masks of one event.

use crate::lessons::Error;
use crate::lessons::lab::{Lab, outcome, say};
use crate::sys::cap::KVM_CAP_PMU_EVENT_MASKED_EVENTS;
use crate::sys::filter::*;

/// AMD's loads and stores, event 0x29; of the unit mask bit 0, loads. Bits 56-63: the bits that count; 8-15: what they must be.
const LOADS: u64 = 0x29 | 1 << 56 | 1 << 8;

/// Bit 16 says nothing in an entry.
const WRONG: u64 = LOADS | 1 << 16;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_PMU_EVENT_MASKED_EVENTS)?;
    let vm = lab.kvm().create_vm()?;
    let deny = |events: [u64; 1]| {
        outcome(vm.filter_events(KVM_PMU_EVENT_DENY, KVM_PMU_EVENT_FLAG_MASKED_EVENTS, events))
    };
    say!(lab, "Denied is event 0x29 with each unit mask that has bit 0, an entry for 128 masks: {}", deny([LOADS]));
    say!(lab, "The same with a bit that says nothing: {}", deny([WRONG]));
    Ok(())
}
