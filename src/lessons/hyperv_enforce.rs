//! `KVM_CAP_HYPERV_ENFORCE_CPUID`: a guest that takes KVM for a Hyper-V may use only what its CPUID offers.

use crate::config::Mode;
use crate::kvm::cpuid::Cpuid;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_HYPERV_CPUID, KVM_CAP_HYPERV_ENFORCE_CPUID};
use alloc::vec::Vec;

guest!(
    hyperv_enforce,
    "
    .code16
    movw    $hyperv_enforce_fault - hyperv_enforce_base, 4 * 13
hyperv_enforce_again:
    mov     $0x40000002, %ecx       # HV_X64_MSR_VP_INDEX: bit 6 of leaf 0x40000003, EAX, offers it
    rdmsr
    out     %eax, $0x11
    jmp     hyperv_enforce_again

hyperv_enforce_fault:               # #GP: goes on behind RDMSR, which has two bytes
    mov     $0xdead, %eax
    mov     %sp, %bp
    addw    $2, (%bp)
    iret
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_HYPERV_CPUID)?;
    lab.require(KVM_CAP_HYPERV_ENFORCE_CPUID)?;
    let vm = lab.vm(hyperv_enforce())?;
    vm.create_irqchip()?;
    let mut vcpu = lab.bare_vcpu(&vm, 0)?;
    let offered = vcpu.hyperv_cpuid()?;
    say!(lab, "KVM_GET_SUPPORTED_HV_CPUID on a vCPU: {} leaves", offered.entries().len());
    let first: Vec<_> = offered.entries().iter().filter(|entry| entry.function <= 0x4000_0001).copied().collect();
    vcpu.set_cpuid(&Cpuid::of_entries(&first))?;
    lab.start(&mut vcpu, Mode::Real)?;
    say!(lab, "With the first two alone, which offer nothing, the guest still reads its number: {}", lab.value(&mut vcpu)?);
    vcpu.enable(KVM_CAP_HYPERV_ENFORCE_CPUID, 1)?;
    say!(lab, "KVM_CAP_HYPERV_ENFORCE_CPUID is on");
    say!(lab, "The guest gets a #GP; its handler reports {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
