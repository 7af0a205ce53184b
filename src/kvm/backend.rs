//! By what means the host's KVM runs a guest.

use crate::host::procfs;
use core::arch::x86_64::__cpuid;

/// The warning where KVM has no help of the processor.
pub const SOFTWARE: &str = "warning: this KVM is a software backend (no VMX, no SVM): it is slow, shows no 2 MiB pages, and some guests and lessons fail on it";

/// What executes the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Intel's VMX.
    Vmx,
    /// AMD's SVM.
    Svm,
    /// Neither: a part of the kernel that stands for them. Those that were tried count no pages that they map for a guest.
    Software,
}

impl Backend {
    /// This processor's. SDM volume 2, CPUID leaf 1, ECX bit 5; APM volume 3, leaf 0x8000_0001, ECX bit 2.
    pub fn of_this_host() -> Backend {
        if __cpuid(1).ecx >> 5 & 1 != 0 {
            Backend::Vmx
        } else if __cpuid(0x8000_0001).ecx >> 2 & 1 != 0 {
            Backend::Svm
        } else {
            Backend::Software
        }
    }

    /// How it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Vmx => "Intel VMX",
            Backend::Svm => "AMD SVM",
            Backend::Software => "software: this processor has neither VMX nor SVM",
        }
    }

    /// Whether the processor walks page tables of KVM's for guest-physical addresses (EPT, NPT); `None` where the module
    /// does not tell.
    pub fn has_nested_paging(self) -> Option<bool> {
        let path = match self {
            Backend::Vmx => "/sys/module/kvm_intel/parameters/ept",
            Backend::Svm => "/sys/module/kvm_amd/parameters/npt",
            Backend::Software => return None,
        };
        procfs::read(path).map(|text| matches!(&*text, b"Y\n" | b"1\n"))
    }
}
