//! `KVM_CAP_X86_APIC_BUS_CYCLES_NS`: how fast the local APIC's timer counts. KVM's own choice is a tick each nanosecond, which no real one
//! has.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_X86_APIC_BUS_CYCLES_NS;

guest!(
    apic_bus,
    "
    .code16
    mov     $0x1b, %ecx             # IA32_APIC_BASE: x2APIC, whose registers are MSRs
    rdmsr
    or      $0xc00, %eax
    wrmsr
    xor     %edx, %edx
    mov     $0x80f, %ecx            # the spurious vector: the APIC is on
    mov     $0x1ff, %eax
    wrmsr
    mov     $0x83e, %ecx            # the timer: each tick counts
    mov     $0xb, %eax
    wrmsr
    mov     $0x838, %ecx            # it counts down from here
    mov     $0xffffffff, %eax
    wrmsr
apic_bus_again:
    mov     $0x839, %ecx
    rdmsr
    out     %eax, $0x11
    jmp     apic_bus_again
    "
);

/// How long the timer is watched, in nanoseconds.
const WATCHED: u64 = 500_000_000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_APIC_BUS_CYCLES_NS)?;
    for nanoseconds in [None, Some(40)] {
        let vm = lab.vm(apic_bus())?;
        vm.create_irqchip()?;
        if let Some(nanoseconds) = nanoseconds {
            vm.enable(KVM_CAP_X86_APIC_BUS_CYCLES_NS, nanoseconds)?;
            say!(lab, "KVM_CAP_X86_APIC_BUS_CYCLES_NS: {nanoseconds}");
        }
        let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
        let ([before, after], passed) = lab.watch(&mut vcpu, WATCHED)?;
        let ticks = u64::from(before - after).max(1);
        let each = (passed + ticks / 2) / ticks;
        say!(lab, "Nanoseconds to a tick of the guest's timer: {each}");
    }
    Ok(())
}
