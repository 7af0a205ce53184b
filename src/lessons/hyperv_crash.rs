//! A guest that takes KVM for a Hyper-V says that it has crashed, and asks for a reset: `KVM_EXIT_SYSTEM_EVENT`.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_HYPERV, KVM_CAP_SYS_HYPERV_CPUID};
use crate::sys::exit::KVM_EXIT_SYSTEM_EVENT;
use crate::sys::run::{KVM_SYSTEM_EVENT_CRASH, KVM_SYSTEM_EVENT_RESET};

// Microsoft's Hypervisor Top Level Functional Specification has these MSRs.
guest!(
    hyperv_crash,
    "
    .code16
    mov     $0x40000100, %ecx       # HV_X64_MSR_CRASH_P0: five values of the guest's choice
    mov     $0xdead, %eax
    xor     %edx, %edx
    wrmsr
    mov     $0x40000105, %ecx       # HV_X64_MSR_CRASH_CTL
    xor     %eax, %eax
    mov     $1 << 31, %edx          # bit 63: notify the hypervisor
    wrmsr
    mov     $0x40000003, %ecx       # HV_X64_MSR_RESET
    mov     $1, %eax
    xor     %edx, %edx
    wrmsr
    hlt
    "
);

/// HV_X64_MSR_CRASH_P0.
const CRASH_P0: u32 = 0x4000_0100;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_HYPERV)?;
    lab.require(KVM_CAP_SYS_HYPERV_CPUID)?;
    let vm = lab.vm(hyperv_crash())?;
    let mut vcpu = lab.hyperv_vcpu(&vm, Mode::Real)?;

    lab.expect(&mut vcpu, KVM_EXIT_SYSTEM_EVENT)?;
    let is_crash = vcpu.page().system_event().r#type == KVM_SYSTEM_EVENT_CRASH;
    say!(lab, "KVM_EXIT_SYSTEM_EVENT; type is KVM_SYSTEM_EVENT_CRASH: {is_crash}");
    say!(lab, "KVM_GET_MSRS: the guest left {:#x} in the first of its five words", vcpu.msr(CRASH_P0)?);
    lab.expect(&mut vcpu, KVM_EXIT_SYSTEM_EVENT)?;
    let is_reset = vcpu.page().system_event().r#type == KVM_SYSTEM_EVENT_RESET;
    say!(lab, "KVM_EXIT_SYSTEM_EVENT; type is KVM_SYSTEM_EVENT_RESET: {is_reset}");
    Ok(())
}
