//! `KVM_CREATE_DEVICE`: devices in the kernel that have a descriptor. x86 has one: it connects VFIO's files to the VM. And `/dev/kvm`
//! has an attribute of its own.

use crate::kvm;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, Outcome, outcome, say};
use crate::sys::cap::KVM_CAP_SYS_ATTRIBUTES;
use crate::sys::device::*;

/// Arm's interrupt controller.
const KVM_DEV_TYPE_ARM_VGIC_V2: u32 = 5;

pub fn run(lab: &Lab) -> Result<(), Error> {
    // This lesson does not require KVM_CAP_DEVICE_CTRL: before Linux 6.8, x86 has the request but answers 0.
    let vm = lab.kvm().create_vm()?;
    say!(lab, "KVM_CREATE_DEVICE_TEST, an Arm's GIC: {}", presence(vm.has_device(KVM_DEV_TYPE_ARM_VGIC_V2)));
    let vfio = vm.has_device(KVM_DEV_TYPE_VFIO);
    say!(lab, "KVM_CREATE_DEVICE_TEST, VFIO: {}", presence(vfio));
    if vfio.is_err() {
        return Err(Error::Lacks("this kernel was built without CONFIG_KVM_VFIO"));
    }
    let device = vm.create_device(KVM_DEV_TYPE_VFIO)?;
    say!(lab, "KVM_CREATE_DEVICE, VFIO: it has a descriptor");
    say!(lab, "  a second one: {}", outcome(vm.create_device(KVM_DEV_TYPE_VFIO).map(drop)));
    let add = device.has_attribute(KVM_DEV_VFIO_FILE, KVM_DEV_VFIO_FILE_ADD);
    say!(lab, "  KVM_HAS_DEVICE_ATTR, KVM_DEV_VFIO_FILE_ADD: {}", presence(add));
    say!(lab, "  KVM_HAS_DEVICE_ATTR, group 9: {}", presence(device.has_attribute(9, 0)));

    lab.require(KVM_CAP_SYS_ATTRIBUTES)?;
    let states = lab.kvm().attribute(KVM_X86_XCOMP_GUEST_SUPP)?;
    let has_sse = states & 3 == 3;
    say!(lab, "/dev/kvm, KVM_X86_XCOMP_GUEST_SUPP: guests can have x87 and SSE: {has_sse}");
    Ok(())
}

fn presence(result: Result<(), kvm::Error>) -> Outcome<&'static str> {
    Outcome(result.map(|()| "it is there"))
}
