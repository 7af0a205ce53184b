//! `KVM_UNREGISTER_COALESCED_MMIO`: until now writes to this port went to a ring; after this request they exit again.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, REPORT, guest, say};
use crate::sys::cap::{KVM_CAP_COALESCED_MMIO, KVM_CAP_COALESCED_PIO};
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    uncoalesce,
    "
    .code16
    mov     $1, %al
    out     %al, $0x11
    inc     %al
    out     %al, $0x11
    hlt
    inc     %al
    out     %al, $0x11
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_COALESCED_MMIO)?;
    lab.require(KVM_CAP_COALESCED_PIO)?;
    let vm = lab.vm(uncoalesce())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    vm.coalesce(REPORT.into(), 1, true)?;
    say!(lab, "KVM_REGISTER_COALESCED_MMIO: port {REPORT:#x}");
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "The guest has written twice, and left for HLT alone. In the ring:");
    while let Some(value) = vcpu.page_mut().coalesced() {
        say!(lab, "  {value}");
    }
    vm.stop_coalescing(REPORT.into(), 1, true)?;
    say!(lab, "KVM_UNREGISTER_COALESCED_MMIO: the write is an exit again: {}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
