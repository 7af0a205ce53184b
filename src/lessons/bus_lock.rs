//! `KVM_CAP_X86_BUS_LOCK_EXIT`: a guest that locks the bus slows all processors down. The lock is an atomic access that crosses two cache
//! lines.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_BUS_LOCK_DETECTION_EXIT, KVM_CAP_X86_BUS_LOCK_EXIT};
use crate::sys::exit::{KVM_EXIT_HLT, KVM_EXIT_X86_BUS_LOCK};
use crate::sys::run::KVM_RUN_X86_BUS_LOCK;

guest!(
    bus_lock,
    "
    .code32
    lock incl 0x8040                # in one line
    lock incl 0x803e                # in two
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let exit = u64::from(KVM_BUS_LOCK_DETECTION_EXIT);
    lab.require_bit(KVM_CAP_X86_BUS_LOCK_EXIT, exit, "KVM_BUS_LOCK_DETECTION_EXIT")?;
    let vm = lab.vm(bus_lock())?;
    vm.enable(KVM_CAP_X86_BUS_LOCK_EXIT, exit)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Protected)?;
    lab.expect(&mut vcpu, KVM_EXIT_X86_BUS_LOCK)?;
    let flag = vcpu.page().flags() & KVM_RUN_X86_BUS_LOCK != 0;
    say!(lab, "KVM_EXIT_X86_BUS_LOCK; KVM_RUN_X86_BUS_LOCK: {flag}");
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "KVM_EXIT_HLT: the access was made, and the guest went on");
    Ok(())
}
