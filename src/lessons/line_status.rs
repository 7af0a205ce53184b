//! `KVM_IRQ_LINE_STATUS`: sets an interrupt line, and tells what has become of the interrupt.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_IRQ_INJECT_STATUS;

guest!(
    line_status,
    "
    .code16
    mov     $0x11, %al              # the first 8259: vectors from 0x20 on, the second at line 2, 8086 mode
    out     %al, $0x20
    mov     $0x20, %al
    out     %al, $0x21
    mov     $4, %al
    out     %al, $0x21
    mov     $1, %al
    out     %al, $0x21
    mov     $0, %al                 # no line is masked
    out     %al, $0x21
    out     %al, $0x11
    "
);

/// The keyboard's, on a PC.
const LINE: u32 = 1;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_IRQ_INJECT_STATUS)?;
    let vm = lab.vm(line_status())?;
    vm.create_irqchip()?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    // An edge: up, and down again, for which there is no interrupt.
    let edge = || -> Result<i32, Error> {
        let status = vm.set_line_with_status(LINE, true)?;
        vm.set_line_with_status(LINE, false)?;
        Ok(status)
    };
    lab.value(&mut vcpu)?;
    say!(lab, "The guest has set up the first 8259, and has interrupts off");
    let status = edge()?;
    say!(lab, "KVM_IRQ_LINE_STATUS, line {LINE}: {status}, {}", meaning(status));
    let status = edge()?;
    say!(lab, "Once more, before the guest has taken it: {status}, {}", meaning(status));
    Ok(())
}

/// What KVM says by it: the comment at `kvm_set_irq` in virt/kvm/irqchip.c.
fn meaning(status: i32) -> &'static str {
    match status {
        0 => "merged with the one that waits",
        ..0 => "delivered by no controller",
        _ => "delivered",
    }
}
