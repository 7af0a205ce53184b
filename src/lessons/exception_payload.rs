//! `KVM_CAP_EXCEPTION_PAYLOAD`: `KVM_GET_VCPU_EVENTS` and `KVM_SET_VCPU_EVENTS` carry the CR2 or DR6 of a pending exception beside it. The
//! register itself changes only when the guest takes the exception.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_EXCEPTION_PAYLOAD;
use crate::sys::events::KVM_VCPUEVENT_VALID_PAYLOAD;

guest!(
    exception_payload,
    "
    .code16
    movw    $exception_payload_handler - exception_payload_base, 4 * 1
    out     %al, $0x11
    hlt

exception_payload_handler:          # #DB
    mov     %dr6, %eax
    and     $0xf, %eax
    out     %eax, $0x11
    "
);

/// The vector of #DB; what it has to say: that breakpoint 2 was met.
const DEBUG: u8 = 1;
const BREAKPOINT_2: u64 = 1 << 2;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_EXCEPTION_PAYLOAD)?;
    let vm = lab.vm(exception_payload())?;
    vm.enable(KVM_CAP_EXCEPTION_PAYLOAD, 1)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.value(&mut vcpu)?;
    // The OUT ends only in the next KVM_RUN (api.rst 5).
    vcpu.finish_exit()?;

    let mut events = vcpu.events()?;
    (events.exception.nr, events.exception.pending) = (DEBUG, 1);
    (events.exception_has_payload, events.exception_payload) = (1, BREAKPOINT_2);
    events.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
    vcpu.set_events(&events)?;
    let waits = vcpu.events()?.exception_payload;
    say!(lab, "KVM_SET_VCPU_EVENTS: a #DB waits, with payload {waits:#x}");
    say!(lab, "DR6's low bits are {:#x}", vcpu.debug_registers()?.dr6 & 0xf);
    say!(lab, "The guest takes it; its handler finds {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
