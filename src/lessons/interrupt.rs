//! An interrupt without an interrupt controller in the kernel: user space waits for the moment at which the guest would take it.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::exit::{KVM_EXIT_HLT, KVM_EXIT_IRQ_WINDOW_OPEN};

guest!(
    interrupt,
    "
    .code16
    movw    $interrupt_handler - interrupt_base, 4 * 0x20
    out     %al, $0x11              # interrupts are off
    sti
    nop
    hlt

interrupt_handler:
    mov     $interrupt_text - interrupt_base, %si
    mov     $10, %cx
    mov     $0x10, %dx
    rep outsb
    iret

interrupt_text:
    .ascii  \"vector 20\\n\"
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(interrupt())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;

    lab.value(&mut vcpu)?;
    let is_ready = |vcpu: &crate::kvm::Vcpu| u8::from(vcpu.page().is_ready_for_interrupt());
    say!(lab, "The guest has interrupts off: ready_for_interrupt_injection = {}", is_ready(&vcpu));

    vcpu.page_mut().request_interrupt_window(true);
    say!(lab, "request_interrupt_window = 1, then KVM_RUN");
    lab.expect(&mut vcpu, KVM_EXIT_IRQ_WINDOW_OPEN)?;
    say!(lab, "KVM_EXIT_IRQ_WINDOW_OPEN: ready_for_interrupt_injection = {}", is_ready(&vcpu));

    vcpu.page_mut().request_interrupt_window(false);
    vcpu.interrupt(0x20)?;
    say!(lab, "KVM_INTERRUPT: vector 0x20 is queued");
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "KVM_EXIT_HLT: the handler has run");
    Ok(())
}
