//! `KVM_SET_BOOT_CPU_ID`: which vCPU runs at once, and which wait to be started.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, outcome, say};
use crate::sys::cap::KVM_CAP_SET_BOOT_CPU_ID;
use crate::sys::events::KVM_MP_STATE_RUNNABLE;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_SET_BOOT_CPU_ID)?;
    let vm = lab.vm(&[])?;
    vm.create_irqchip()?;
    vm.set_boot_cpu(1)?;
    say!(lab, "KVM_SET_BOOT_CPU_ID: 1");
    for number in 0..2 {
        let vcpu = lab.vcpu(&vm, number, Mode::Real)?;
        let state = match vcpu.mp_state()? {
            KVM_MP_STATE_RUNNABLE => "runs",
            _ => "waits for INIT and SIPI",
        };
        say!(lab, "vCPU {number} {state}");
        // It lives on: KVM keeps a VM's vCPUs until the VM ends.
    }
    say!(lab, "Once there are vCPUs: {}", outcome(vm.set_boot_cpu(0)));
    Ok(())
}
