//! `KVM_CREATE_PIT` and its like: the interval timer by older requests, which kernels still have; and what
//! becomes of ticks that a guest had no time for.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, outcome, say};
use crate::sys::cap::{KVM_CAP_PIT, KVM_CAP_REINJECT_CONTROL};

guest!(
    old_pit,
    "
    .code16
    mov     $0x34, %al              # channel 0: mode 2, low byte and high byte
    out     %al, $0x43
    mov     $0x34, %al
    out     %al, $0x40
    mov     $0x12, %al
    out     %al, $0x40
    out     %al, $0x11
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_PIT)?;
    let vm = lab.vm(old_pit())?;
    vm.create_irqchip()?;
    vm.create_old_pit()?;
    say!(lab, "KVM_CREATE_PIT");
    say!(lab, "KVM_CREATE_PIT2, a second one: {}", outcome(vm.create_pit()));
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.value(&mut vcpu)?;
    let mut state = vm.old_pit()?;
    let channel = state.channels[0];
    say!(lab, "The guest has set it. KVM_GET_PIT: count {:#x}, mode {}", channel.count, channel.mode);
    state.channels[0].count = 0x4321;
    vm.set_old_pit(&state)?;
    say!(lab, "KVM_SET_PIT; KVM_GET_PIT: count {:#x}", vm.old_pit()?.channels[0].count);
    lab.require(KVM_CAP_REINJECT_CONTROL)?;
    vm.set_pit_reinjection(false)?;
    say!(lab, "KVM_REINJECT_CONTROL, off: taken; KVM drops ticks that the guest missed");
    Ok(())
}
