//! What a kernel can do: the extensions that `KVM_CHECK_EXTENSION` answers for (api.rst 4.4), of which those
//! are here that this program uses or tells about.

named_table! {
    /// Every capability here, by its name and number.
    CAPABILITIES,
    /// The name of a capability.
    name:

    /// `KVM_CREATE_IRQCHIP`.
    KVM_CAP_IRQCHIP = 0;
    /// Slots of user memory: api.rst 4.35.
    KVM_CAP_USER_MEMORY = 3;
    /// `KVM_SET_TSS_ADDR`.
    KVM_CAP_SET_TSS_ADDR = 4;
    /// `KVM_SET_CPUID2`.
    KVM_CAP_EXT_CPUID = 7;
    /// vCPUs that a VM should have at most.
    KVM_CAP_NR_VCPUS = 9;
    /// Slots that a VM can have.
    KVM_CAP_NR_MEMSLOTS = 10;
    /// Writes that go into a ring; the answer is the ring's page in a vCPU's mapping.
    KVM_CAP_COALESCED_MMIO = 15;
    /// KVM follows changes of this process' mappings.
    KVM_CAP_SYNC_MMU = 16;
    /// `KVM_SET_GUEST_DEBUG`.
    KVM_CAP_SET_GUEST_DEBUG = 23;
    /// GSIs that `KVM_SET_GSI_ROUTING` takes.
    KVM_CAP_IRQ_ROUTING = 25;
    /// `KVM_IRQFD`.
    KVM_CAP_IRQFD = 32;
    /// `KVM_CREATE_PIT2`.
    KVM_CAP_PIT2 = 33;
    /// `KVM_IOEVENTFD`.
    KVM_CAP_IOEVENTFD = 36;
    /// `KVM_SET_IDENTITY_MAP_ADDR`.
    KVM_CAP_SET_IDENTITY_MAP_ADDR = 37;
    /// `KVM_GET_CLOCK`; the answer has the flags that it knows: Linux 5.16.
    KVM_CAP_ADJUST_CLOCK = 39;
    /// `KVM_GET_XCRS`.
    KVM_CAP_XCRS = 56;
    /// The processor scales a guest's TSC: `KVM_SET_TSC_KHZ` takes smaller frequencies too.
    KVM_CAP_TSC_CONTROL = 60;
    /// `KVM_GET_TSC_KHZ`.
    KVM_CAP_GET_TSC_KHZ = 61;
    /// vCPUs that a VM can have.
    KVM_CAP_MAX_VCPUS = 66;
    /// The local APIC's timer can follow the TSC.
    KVM_CAP_TSC_DEADLINE_TIMER = 72;
    /// A bit for each kind of registers that `kvm_run` can carry: 6.74. On x86 since Linux 4.17.
    KVM_CAP_SYNC_REGS = 74;
    /// `KVM_SIGNAL_MSI`.
    KVM_CAP_SIGNAL_MSI = 77;
    /// `KVM_MEM_READONLY`.
    KVM_CAP_READONLY_MEM = 81;
    /// `KVM_IRQFD_FLAG_RESAMPLE`.
    KVM_CAP_IRQFD_RESAMPLE = 82;
    /// `KVM_GET_EMULATED_CPUID`: api.rst 4.88. Linux 3.13.
    KVM_CAP_EXT_EMUL_CPUID = 95;
    /// 7.5: of the interrupt controllers, only the local APICs are in the kernel. Linux 4.5.
    KVM_CAP_SPLIT_IRQCHIP = 121;
    /// vCPU numbers end below this.
    KVM_CAP_MAX_VCPU_ID = 128;
    /// `kvm_run.immediate_exit`: Linux 4.11.
    KVM_CAP_IMMEDIATE_EXIT = 136;
    /// `KVM_GET_NESTED_STATE`; the answer is the most room that it needs. 0: guests have none of their own. Linux 4.20.
    KVM_CAP_NESTED_STATE = 157;
    /// The ring takes ports too: Linux 4.20.
    KVM_CAP_COALESCED_PIO = 162;
    /// 7.21: MSRs that KVM doesn't know leave to user space. A bit for each reason. Linux 5.10.
    KVM_CAP_X86_USER_SPACE_MSR = 188;
    /// 8.34: hypercalls that leave to user space. A bit for each. Linux 5.14.
    KVM_CAP_EXIT_HYPERCALL = 201;
    /// `KVM_GET_SREGS2`: Linux 5.14.
    KVM_CAP_SREGS2 = 200;
    /// `KVM_GET_STATS_FD`: Linux 5.14.
    KVM_CAP_BINARY_STATS_FD = 203;
    /// `KVM_GET_XSAVE2`; asked of a VM, the answer is the size of the state: Linux 5.17.
    KVM_CAP_XSAVE2 = 208;
}

/// What `KVM_ENABLE_CAP` takes: api.rst 4.37.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_enable_cap {
    /// The capability.
    pub cap: u32,
    /// 0 so far.
    pub flags: u32,
    /// What they mean, the capability says: api.rst 6 and 7.
    pub args: [u64; 4],
    pub pad: [u8; 64],
}

/// In `args[0]` of [`KVM_CAP_X86_USER_SPACE_MSR`], and as the reason of such an exit: a value that the MSR
/// does not take. This and the next two: Linux 5.10.
pub const KVM_MSR_EXIT_REASON_INVAL: u32 = 1 << 0;
/// An MSR that KVM does not know.
pub const KVM_MSR_EXIT_REASON_UNKNOWN: u32 = 1 << 1;
/// An MSR that a filter keeps from the guest.
pub const KVM_MSR_EXIT_REASON_FILTER: u32 = 1 << 2;

/// The hypercall that [`KVM_CAP_EXIT_HYPERCALL`] lets out, as a bit of its `args[0]`: pages change between
/// private and shared. `Documentation/virt/kvm/x86/hypercalls.rst`; its number stands in `linux/kvm_para.h`.
pub const KVM_HC_MAP_GPA_RANGE: u64 = 12;
