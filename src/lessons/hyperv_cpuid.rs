//! `KVM_GET_SUPPORTED_HV_CPUID`: what a guest is told that takes KVM for a Hyper-V.

use crate::lessons::Error;
use crate::lessons::lab::{Lab, say};
use crate::show::Text;
use crate::sys::cap::KVM_CAP_SYS_HYPERV_CPUID;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_SYS_HYPERV_CPUID)?;
    for entry in lab.kvm().hyperv_cpuid()?.entries() {
        let (leaf, eax) = (entry.function, entry.eax);
        let words = [entry.ebx, entry.ecx, entry.edx].map(u32::to_le_bytes);
        match leaf {
            0x4000_0000 => say!(lab, "Leaf {leaf:#x}: the last is {eax:#x}, the maker \"{}\"", Text(words.as_flattened())),
            0x4000_0001 => say!(lab, "Leaf {leaf:#x}: the interface is \"{}\"", Text(&eax.to_le_bytes())),
            0x4000_0003 => say!(lab, "Leaf {leaf:#x}: EAX bit 5, the guest can make hypercalls: {}", eax & 1 << 5 != 0),
            _ => {}
        }
    }
    Ok(())
}
