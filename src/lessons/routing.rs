//! `KVM_SET_GSI_ROUTING`: what an interrupt line is. Here line 30 sends a message, as a PCI device's MSI does.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::irqchip::kvm_irq_routing_msi;

guest!(
    routing,
    "
    .code16
    movw    $routing_handler - routing_base, 4 * 0x45
    out     %al, $0x11
    sti
routing_wait:
    jmp     routing_wait

routing_handler:
    mov     $0x45, %al
    out     %al, $0x11
    "
);

const LINE: u32 = 30;
/// SDM volume 3, "Message Address Register Format": to the local APIC with id 0; and the vector.
const MESSAGE: kvm_irq_routing_msi =
    kvm_irq_routing_msi { address_lo: 0xfee0_0000, address_hi: 0, data: 0x45, pad: 0 };

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(routing())?;
    vm.create_irqchip()?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.switch_lapic_on(&vcpu)?;
    lab.value(&mut vcpu)?;
    // The table is replaced: the pins of the controllers, which KVM_CREATE_IRQCHIP has put into it, are gone.
    vm.route_messages([(LINE, Some(MESSAGE))].into_iter())?;
    say!(lab, "KVM_SET_GSI_ROUTING: GSI {LINE} is a message with vector {:#x}", MESSAGE.data);
    vm.set_line(LINE, true)?;
    say!(lab, "KVM_IRQ_LINE: GSI {LINE}");
    say!(lab, "The guest has taken vector {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
