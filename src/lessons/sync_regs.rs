//! `KVM_CAP_SYNC_REGS`: registers in the page that user space and KVM share, in both directions, without a call for each.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::show::Bits;
use crate::sys::cap::KVM_CAP_SYNC_REGS;
use crate::sys::exit::KVM_EXIT_HLT;
use crate::sys::run::*;

guest!(
    sync_regs,
    "
    .code16
    mov     $0x1111, %bx
    out     %al, $0x11
    mov     %bx, %ax
    out     %ax, $0x11
    mov     %es, %ax
    out     %ax, $0x11
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let parts = lab.require(KVM_CAP_SYNC_REGS)?;
    say!(lab, "KVM_CAP_SYNC_REGS:{}", Bits(parts, "REGS SREGS EVENTS"));
    let vm = lab.vm(sync_regs())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    vcpu.page_mut().request(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS);

    lab.value(&mut vcpu)?;
    let mut state = *vcpu.page().registers();
    say!(lab, "kvm_valid_regs: the exit has left RBX = {:#x}", state.regs.rbx);
    say!(lab, "  and CR0 = {:#x}, nmi.masked = {}", state.sregs.cr0, state.events.nmi.masked);
    // RIP stays as it is: KVM moves it behind the OUT when it enters the guest.
    state.regs.rbx = 0x2222;
    state.sregs.es.selector = 0x3333;
    vcpu.page_mut().replace(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS, &state);
    say!(lab, "kvm_dirty_regs: KVM_RUN takes RBX = 0x2222 and ES = 0x3333 from there");
    say!(lab, "The guest has BX = {:#x}", lab.value(&mut vcpu)?);
    say!(lab, "  and ES = {:#x}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
