//! `KVM_CAP_MSR_PLATFORM_INFO`: whether the guest may read one MSR, which tells some guests how fast the TSC is.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_MSR_PLATFORM_INFO;

guest!(
    platform_info,
    "
    .code16
    movw    $platform_info_fault - platform_info_base, 4 * 13
platform_info_again:
    mov     $0xce, %ecx             # MSR_PLATFORM_INFO
    rdmsr
    out     %eax, $0x11
    jmp     platform_info_again

platform_info_fault:                # #GP: goes on behind RDMSR, which has two bytes
    mov     $0xdead, %eax
    mov     %sp, %bp
    addw    $2, (%bp)
    iret
    "
);

const MSR_PLATFORM_INFO: u32 = 0xce;
/// The one bit that KVM has in it: CPUID can be made to fault.
const CPUID_FAULT: u64 = 1 << 31;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_MSR_PLATFORM_INFO)?;
    let vm = lab.vm(platform_info())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    vcpu.set_msrs([(MSR_PLATFORM_INFO, CPUID_FAULT)])?;
    say!(lab, "The guest reads MSR_PLATFORM_INFO: {:#x}", lab.value(&mut vcpu)?);
    vm.enable(KVM_CAP_MSR_PLATFORM_INFO, 0)?;
    say!(lab, "KVM_CAP_MSR_PLATFORM_INFO: 0");
    say!(lab, "The guest gets a #GP; its handler reports {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
