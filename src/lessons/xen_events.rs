//! Xen's event channels: KVM sets the event's bit in the pages that it shares with the guest, and sends an interrupt.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, say};
use crate::sys::cap::KVM_CAP_XEN_HVM;
use crate::sys::xen::*;

guest!(
    xen_events,
    "
    .code16
    movw    $xen_events_handler - xen_events_base, 4 * 0x30
    out     %al, $0x11
    sti
xen_events_wait:
    jmp     xen_events_wait

xen_events_handler:
    mov     $0xc000, %si            # the vCPU's vcpu_info
    mov     (%si), %al              # evtchn_upcall_pending
    out     %al, $0x11
    iret
    "
);

/// The page that Xen shares with its guest; struct shared_info. An event's bit is in the 64 words from this offset on.
const SHARED_INFO: u64 = 0xa000;
const PENDING: u64 = 0x800;
/// The vCPU's struct vcpu_info.
const VCPU_INFO: u64 = 0xc000;
const EVENT: u32 = 5;

pub fn run(lab: &Lab) -> Result<(), Error> {
    // Linux 5.19, built with CONFIG_KVM_XEN.
    let send = u64::from(KVM_XEN_HVM_CONFIG_EVTCHN_SEND);
    lab.require_bit(KVM_CAP_XEN_HVM, send, "KVM_XEN_HVM_CONFIG_EVTCHN_SEND")?;
    let vm = lab.vm(xen_events())?;
    vm.create_irqchip()?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    vm.set_xen_config(0x4000_0000, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL | KVM_XEN_HVM_CONFIG_EVTCHN_SEND)?;
    vm.set_xen_attribute(KVM_XEN_ATTR_TYPE_LONG_MODE, 1)?;
    vm.set_xen_attribute(KVM_XEN_ATTR_TYPE_SHARED_INFO, SHARED_INFO >> 12)?;
    vm.set_xen_attribute(KVM_XEN_ATTR_TYPE_UPCALL_VECTOR, 0x30)?;
    let page = vm.xen_attribute(KVM_XEN_ATTR_TYPE_SHARED_INFO)?;
    say!(lab, "KVM_XEN_HVM_SET_ATTR: shared_info is page {page:#x}, events come as vector 0x30");
    vcpu.set_xen_attribute(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO, VCPU_INFO)?;
    vcpu.set_xen_attribute(KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID, 0)?;
    let address = vcpu.xen_attribute(KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO)?;
    say!(lab, "KVM_XEN_VCPU_SET_ATTR: vcpu_info is at {address:#x}");

    lab.value(&mut vcpu)?;
    vm.send_xen_event(EVENT, 0)?;
    let pending: u64 = memory(&vm).read_value(SHARED_INFO + PENDING)?;
    say!(lab, "KVM_XEN_HVM_EVTCHN_SEND, event {EVENT}: shared_info's evtchn_pending[0] = {pending:#x}");
    let upcall = lab.value(&mut vcpu)?;
    say!(lab, "The guest's handler finds evtchn_upcall_pending = {upcall}");
    Ok(())
}
