//! How fast a guest's time-stamp counter runs, and from where: `KVM_SET_TSC_KHZ`, and the offset, which is a vCPU's attribute.

use crate::config::Mode;
use crate::kvm;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::*;
use crate::x86::MSR_IA32_TSC;

guest!(
    tsc,
    "
    .code16
    rdtsc
    out     %eax, $0x11             # its lower half, twice
    rdtsc
    out     %eax, $0x11
    rdtsc
    mov     %edx, %eax              # and its upper half
    out     %eax, $0x11
    rdtsc
    mov     %edx, %eax
    out     %eax, $0x11
    "
);

/// How long the counter is watched, in nanoseconds: fewer than 2^32 ticks.
const WATCHED: u64 = 50_000_000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_GET_TSC_KHZ)?;
    let vm = lab.vm(tsc())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let host = vcpu.tsc_khz()?;
    say!(lab, "KVM_GET_TSC_KHZ: {host} kHz, the host's");

    vcpu.set_tsc_khz(2 * host)?;
    let is_doubled = vcpu.tsc_khz()? == 2 * host;
    say!(lab, "KVM_SET_TSC_KHZ, twice as fast: taken: {is_doubled}");
    let ([before, after], passed) = lab.watch(&mut vcpu, WATCHED)?;
    // Ticks of the host's counter meanwhile: nanoseconds times its kHz over 10^6.
    let of_host = passed * u64::from(host) / 1_000_000;
    let ticks = u64::from(after.wrapping_sub(before));
    say!(lab, "The guest's counter, as a multiple of the host's: {}", (ticks + of_host / 2) / of_host.max(1));
    match (vcpu.set_tsc_khz(host / 2), lab.kvm().check_extension(KVM_CAP_TSC_CONTROL)?) {
        (Ok(()), _) => say!(lab, "Half as fast: taken, for this processor scales the counter"),
        (Err(kvm::Error::Ioctl { error, .. }), 0) => {
            say!(lab, "Half as fast: {}, for there is no KVM_CAP_TSC_CONTROL", error.errno);
        }
        (Err(error), _) => return Err(error.into()),
    }
    vcpu.set_tsc_khz(host)?;

    if lab.kvm().check_extension(KVM_CAP_VM_TSC_CONTROL)? != 0 {
        // Newer kernels take it only before the first vCPU.
        let vm = lab.vm(tsc())?;
        vm.set_tsc_khz(3 * host)?;
        let other = lab.vcpu(&vm, 0, Mode::Real)?;
        let is_tripled = other.tsc_khz()? == 3 * host;
        say!(lab, "KVM_SET_TSC_KHZ on the VM: new vCPUs run three times as fast: {is_tripled}");
    } else {
        say!(lab, "This host has no KVM_CAP_VM_TSC_CONTROL");
    }

    // Where the counter begins: its upper half does not change soon.
    vcpu.set_msrs([(MSR_IA32_TSC, 0x7000 << 32)])?;
    say!(lab, "KVM_SET_MSRS: IA32_TSC = 0x7000 * 2^32; the guest reads {:#x} * 2^32", lab.value(&mut vcpu)?);
    match vcpu.offset_of_tsc() {
        Some(offset) => {
            vcpu.set_offset_of_tsc(offset.wrapping_add(0x100 << 32))?;
            say!(lab, "KVM_VCPU_TSC_OFFSET plus 0x100 * 2^32: it reads {:#x} * 2^32", lab.value(&mut vcpu)?);
        }
        None => say!(lab, "This kernel's vCPUs have no KVM_VCPU_TSC_OFFSET, or no attributes (KVM_CAP_VCPU_ATTRIBUTES)"),
    }
    Ok(())
}
