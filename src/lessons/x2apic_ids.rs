//! `KVM_CAP_X2APIC_API`: APIC ids of 32 bits, in messages and in a local APIC's state.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS};
use crate::sys::events::KVM_MP_STATE_RUNNABLE;
use crate::sys::irqchip::kvm_irq_routing_msi;
use crate::x86::APIC_BASE_X2APIC;

guest!(
    x2apic_ids,
    "
    .code16
    movw    $x2apic_ids_handler - x2apic_ids_base, 4 * 0x46
    mov     $0x802, %ecx            # the x2APIC's id
    rdmsr
    out     %eax, $0x11
    mov     $0x80f, %ecx            # its spurious vector: on
    mov     $0x1ff, %eax
    xor     %edx, %edx
    wrmsr
    out     %al, $0x11
    sti
x2apic_ids_wait:
    jmp     x2apic_ids_wait

x2apic_ids_handler:
    mov     $0x46, %al
    out     %al, $0x11
    "
);

/// The vCPU's number, which is its APIC id: 0x12c.
const NUMBER: u32 = 300;
/// Its low eight bits stand in the address, the others in its upper half.
const MESSAGE: kvm_irq_routing_msi = kvm_irq_routing_msi {
    address_lo: 0xfee0_0000 | (NUMBER & 0xff) << 12,
    address_hi: NUMBER & !0xff,
    data: 0x46,
    pad: 0,
};

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X2APIC_API)?;
    let vm = lab.vm(x2apic_ids())?;
    vm.create_irqchip()?;
    vm.enable(KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS)?;
    say!(lab, "KVM_CAP_X2APIC_API: KVM_X2APIC_API_USE_32BIT_IDS");
    let mut vcpu = lab.vcpu(&vm, NUMBER, Mode::Real)?;
    vcpu.set_mp_state(KVM_MP_STATE_RUNNABLE)?;
    let before = vcpu.sregs()?;
    let mut sregs = before;
    sregs.apic_base |= APIC_BASE_X2APIC;
    vcpu.set_sregs(&sregs, &before)?;
    say!(lab, "The guest of vCPU {NUMBER} reads its x2APIC's id: {:#x}", lab.value(&mut vcpu)?);
    lab.value(&mut vcpu)?;
    let is_taken = vm.signal_msi(MESSAGE)?;
    say!(lab, "KVM_SIGNAL_MSI to it, upper half of the address {:#x}: taken: {is_taken}", MESSAGE.address_hi);
    say!(lab, "The guest has taken vector {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
