//! What a guest's CPUID instruction gives: api.rst 4.20 and 4.46.

/// What `KVM_GET_SUPPORTED_CPUID` and `KVM_SET_CPUID2` take: this, and `nent` entries behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_cpuid2 {
    /// In: how many entries there is room for (E2BIG: too few); out: how many there are.
    pub nent: u32,
    pub padding: u32,
    pub entries: [kvm_cpuid_entry2; 0],
}

/// The answer to one value of EAX, and of ECX where it matters.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_cpuid_entry2 {
    /// EAX before.
    pub function: u32,
    /// ECX before, where `flags` says that it counts (bit 0).
    pub index: u32,
    pub flags: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub padding: [u32; 3],
}

/// In `flags`: the entry is for one value of ECX. The spelling is the kernel's.
pub const KVM_CPUID_FLAG_SIGNIFCANT_INDEX: u32 = 1 << 0;

/// What `KVM_SET_CPUID` takes, which knows no sub-leaves: api.rst 4.20. `nent` entries follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_cpuid {
    pub nent: u32,
    pub padding: u32,
}

/// What CPUID says for one leaf, whatever ECX is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_cpuid_entry {
    pub function: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub padding: u32,
}
