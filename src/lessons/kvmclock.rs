//! kvmclock: the page that tells a guest the time, the clock behind it, and how the guest learns that it was stopped.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, outcome, say};
use crate::sys::cap::{KVM_CAP_CLOCKSOURCE, KVM_CAP_KVMCLOCK_CTRL};
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    kvmclock,
    "
    .code16
    out     %al, $0x11
    mov     $0x4b564d01, %ecx       # MSR_KVM_SYSTEM_TIME_NEW
    mov     $0x8001, %eax           # the page's address, and bit 0: on
    xor     %edx, %edx
    wrmsr
    mov     0x8014, %eax            # system_time, of struct pvclock_vcpu_time_info: its upper half
    out     %eax, $0x11
    mov     0x801d, %al             # flags
    and     $2, %al                 # PVCLOCK_GUEST_STOPPED
    out     %al, $0x11
    mov     0x801d, %al
    and     $2, %al
    out     %al, $0x11
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_CLOCKSOURCE)?;
    lab.require(KVM_CAP_KVMCLOCK_CTRL)?;
    let vm = lab.vm(kvmclock())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;

    lab.value(&mut vcpu)?;
    say!(lab, "KVM_KVMCLOCK_CTRL, before the guest has a clock: {}", outcome(vcpu.note_pause()));

    // In units of 2^32 ns, some 4.3 s; half of one more, so that the next seconds do not reach another one.
    vm.set_clock((7 << 32) + (1 << 31))?;
    say!(lab, "KVM_SET_CLOCK, in ns: 7.5 * 2^32; KVM_GET_CLOCK: 7 and a part: {}", vm.clock()? >> 32 == 7);
    let upper = lab.value(&mut vcpu)?;
    say!(lab, "The guest switches its clock on, and reads {upper} and a part");
    say!(lab, "PVCLOCK_GUEST_STOPPED: {}", lab.value(&mut vcpu)? != 0);
    vcpu.note_pause()?;
    let stopped = lab.value(&mut vcpu)? != 0;
    say!(lab, "KVM_KVMCLOCK_CTRL: the next entry tells the guest: PVCLOCK_GUEST_STOPPED: {stopped}");
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
