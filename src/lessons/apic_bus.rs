//! `KVM_CAP_X86_APIC_BUS_CYCLES_NS`: how fast the local APIC's timer counts. KVM's own choice is a tick each nanosecond, which no real one
//! has. The guest asks as it would ask Hyper-V.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_SYS_HYPERV_CPUID, KVM_CAP_X86_APIC_BUS_CYCLES_NS};

guest!(
    apic_bus,
    "
    .code16
    mov     $0x40000023, %ecx       # HV_X64_MSR_APIC_FREQUENCY
    rdmsr
    out     %eax, $0x11
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_APIC_BUS_CYCLES_NS)?;
    lab.require(KVM_CAP_SYS_HYPERV_CPUID)?;
    for nanoseconds in [None, Some(40)] {
        let vm = lab.vm(apic_bus())?;
        vm.create_irqchip()?;
        if let Some(nanoseconds) = nanoseconds {
            vm.enable(KVM_CAP_X86_APIC_BUS_CYCLES_NS, nanoseconds)?;
            say!(lab, "KVM_CAP_X86_APIC_BUS_CYCLES_NS: a tick each {nanoseconds} nanoseconds");
        }
        let mut vcpu = lab.hyperv_vcpu(&vm, Mode::Real)?;
        say!(lab, "The guest is told {} ticks a second", lab.value(&mut vcpu)?);
    }
    Ok(())
}
