//! `KVM_GET_SUPPORTED_HV_CPUID`: what CPUID tells a guest that takes KVM for a Hyper-V.

use crate::lessons::Error;
use crate::lessons::lab::{Lab, say};
use crate::show::{Bits, Text};
use crate::sys::cap::KVM_CAP_SYS_HYPERV_CPUID;

/// Leaf 0x40000003, EAX: what of Hyper-V's a guest may use. The bits that all kernels have. `KVM_CAP_HYPERV_TIME` says that there is
/// TIME_REF_COUNT, `KVM_CAP_HYPERV_VAPIC` APIC.
const PRIVILEGES: &str = "VP_RUNTIME TIME_REF_COUNT SYNIC SYNTIMER APIC HYPERCALL VP_INDEX RESET";

/// Leaf 0x40000004, EAX: what a guest had better use, since it is faster. `KVM_CAP_HYPERV_TLBFLUSH` says that there is REMOTE_TLB_FLUSH,
/// `KVM_CAP_HYPERV_SEND_IPI` CLUSTER_IPI; `KVM_CAP_HYPERV_SPIN`, that the leaf's EBX counts.
const RECOMMENDED: &str = "- - REMOTE_TLB_FLUSH APIC - RELAXED_TIMING - - - - CLUSTER_IPI";

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_SYS_HYPERV_CPUID)?;
    for entry in lab.kvm().hyperv_cpuid()?.entries() {
        let (leaf, eax) = (entry.function, entry.eax);
        let words = [entry.ebx, entry.ecx, entry.edx].map(u32::to_le_bytes);
        match leaf {
            0x4000_0000 => say!(lab, "Leaf {leaf:#x}: the last is {eax:#x}, the maker \"{}\"", Text(words.as_flattened())),
            0x4000_0001 => say!(lab, "Leaf {leaf:#x}: the interface is \"{}\"", Text(&eax.to_le_bytes())),
            0x4000_0003 => say!(lab, "Leaf {leaf:#x}, may use:{}", Bits(eax.into(), PRIVILEGES)),
            0x4000_0004 => {
                say!(lab, "Leaf {leaf:#x}, recommended:{}", Bits(eax.into(), RECOMMENDED));
                say!(lab, "  and to notify the hypervisor after {} tries for a busy lock", entry.ebx);
            }
            _ => {}
        }
    }
    Ok(())
}
