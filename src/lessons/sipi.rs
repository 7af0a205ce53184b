//! `KVM_SET_MP_STATE`: starts an application processor by hand, as INIT and SIPI from another processor would.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, say};
use crate::sys::events::*;

guest!(
    sipi,
    "
    .code16
    mov     %cs, %ax
    out     %ax, $0x11
    hlt
    "
);

/// A SIPI's vector is the number of the page at which the processor starts, in real mode.
const VECTOR: u32 = 5;

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(&[])?;
    vm.create_irqchip()?;
    memory(&vm).write(u64::from(VECTOR) << 12, sipi())?;
    let _boot = lab.vcpu(&vm, 0, Mode::Real)?;
    let mut vcpu = lab.vcpu(&vm, 1, Mode::Real)?;
    say!(lab, "vCPU 1 is an application processor: mp_state = {}", name(vcpu.mp_state()?));

    vcpu.set_mp_state(KVM_MP_STATE_INIT_RECEIVED)?;
    say!(lab, "INIT: mp_state = {}", name(vcpu.mp_state()?));
    let mut events = vcpu.events()?;
    events.sipi_vector = VECTOR;
    events.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    vcpu.set_events(&events)?;
    vcpu.set_mp_state(KVM_MP_STATE_SIPI_RECEIVED)?;
    say!(lab, "SIPI with vector {VECTOR}, which KVM_SET_VCPU_EVENTS has set");

    let cs = lab.value(&mut vcpu)?;
    say!(lab, "KVM_RUN: the guest runs with CS = {cs:#x}");
    Ok(())
}

fn name(mp_state: u32) -> &'static str {
    match mp_state {
        KVM_MP_STATE_RUNNABLE => "KVM_MP_STATE_RUNNABLE",
        KVM_MP_STATE_UNINITIALIZED => "KVM_MP_STATE_UNINITIALIZED",
        KVM_MP_STATE_INIT_RECEIVED => "KVM_MP_STATE_INIT_RECEIVED",
        KVM_MP_STATE_HALTED => "KVM_MP_STATE_HALTED",
        _ => "another one",
    }
}
