//! `KVM_CAP_ENFORCE_PV_FEATURE_CPUID`: KVM's own features, such as kvmclock, without the CPUID leaf that offers them.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_ENFORCE_PV_FEATURE_CPUID;

guest!(
    pv_features,
    "
    .code16
    movw    $pv_features_fault - pv_features_base, 4 * 13
pv_features_again:
    mov     $0x4b564d01, %ecx       # MSR_KVM_SYSTEM_TIME_NEW
    mov     $0x8001, %eax
    xor     %edx, %edx
    wrmsr
    out     %eax, $0x11
    jmp     pv_features_again

pv_features_fault:                  # #GP: goes on behind WRMSR, which has two bytes
    mov     $0xdead, %eax
    mov     %sp, %bp
    addw    $2, (%bp)
    iret
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_ENFORCE_PV_FEATURE_CPUID)?;
    let vm = lab.vm(pv_features())?;
    let mut vcpu = lab.bare_vcpu(&vm, 0)?;
    lab.start(&mut vcpu, Mode::Real)?;
    say!(lab, "A vCPU without any CPUID switches kvmclock on: it writes {:#x}", lab.value(&mut vcpu)?);
    vcpu.enable(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1)?;
    say!(lab, "KVM_CAP_ENFORCE_PV_FEATURE_CPUID is on");
    say!(lab, "The guest gets a #GP; its handler reports {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
