//! `KVM_NMI`: one NMI is in progress until IRET, one waits behind it, and a third is lost.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    nmi,
    "
    .code16
    movw    $nmi_handler - nmi_base, 4 * 2
    cli                             # does not keep NMIs off
nmi_wait:
    hlt
    jmp     nmi_wait

nmi_handler:
    incb    %cs:nmi_count - nmi_base
    mov     %cs:nmi_count - nmi_base, %al
    out     %al, $0x11
    iret

nmi_count:
    .byte   0
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(nmi())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;

    // The guest sets its vector first.
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    vcpu.nmi()?;
    say!(lab, "KVM_NMI, while the guest halts with interrupts off");
    let number = lab.value(&mut vcpu)?;
    say!(lab, "The handler runs: NMI {number}");
    say!(lab, "KVM_GET_VCPU_EVENTS: nmi.masked = {}", vcpu.events()?.nmi.masked);

    for _ in 0..2 {
        vcpu.nmi()?;
    }
    say!(lab, "KVM_NMI twice, in the handler: nmi.pending = {}", vcpu.events()?.nmi.pending);
    let number = lab.value(&mut vcpu)?;
    say!(lab, "IRET lets the one that waits in: NMI {number}");
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "KVM_EXIT_HLT: no third one came; nmi.masked = {}", vcpu.events()?.nmi.masked);
    Ok(())
}
