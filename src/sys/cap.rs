//! What a kernel can do: the extensions that `KVM_CHECK_EXTENSION` answers for (api.rst 4.4). All that Linux 6.12 can have on
//! x86 are here; other architectures' are not. `docs/api.md` says where each is used.

named_table! {
    /// Every capability here, by its name and number.
    CAPABILITIES,
    /// The name of a capability.
    name:

    /// `KVM_CREATE_IRQCHIP`.
    KVM_CAP_IRQCHIP = 0;
    /// KVM can report `hlt` as `KVM_EXIT_HLT`. Each kernel answers 1.
    KVM_CAP_HLT = 1;
    /// `KVM_SET_NR_MMU_PAGES`.
    KVM_CAP_MMU_SHADOW_CACHE_CONTROL = 2;
    /// Slots of user memory: api.rst 4.35.
    KVM_CAP_USER_MEMORY = 3;
    /// `KVM_SET_TSS_ADDR`.
    KVM_CAP_SET_TSS_ADDR = 4;
    /// `KVM_TPR_ACCESS_REPORTING` and `KVM_SET_VAPIC_ADDR`.
    KVM_CAP_VAPIC = 6;
    /// `KVM_SET_CPUID2`.
    KVM_CAP_EXT_CPUID = 7;
    /// The guest can have kvmclock.
    KVM_CAP_CLOCKSOURCE = 8;
    /// How many vCPUs a VM should have at most.
    KVM_CAP_NR_VCPUS = 9;
    /// How many slots a VM can have.
    KVM_CAP_NR_MEMSLOTS = 10;
    /// `KVM_CREATE_PIT`.
    KVM_CAP_PIT = 11;
    /// The guest need not wait after port I/O.
    KVM_CAP_NOP_IO_DELAY = 12;
    /// The guest could ask for changes of its page tables. The answer is 0 since Linux 3.3.
    KVM_CAP_PV_MMU = 13;
    /// `KVM_GET_MP_STATE`.
    KVM_CAP_MP_STATE = 14;
    /// Writes that go into a ring; the answer is the ring's page in a vCPU's mapping.
    KVM_CAP_COALESCED_MMIO = 15;
    /// KVM follows changes of this process' mappings.
    KVM_CAP_SYNC_MMU = 16;
    /// Device assignment before VFIO. The answer is 0 since Linux 4.12.
    KVM_CAP_IOMMU = 18;
    /// A slot of size 0 deletes it.
    KVM_CAP_DESTROY_MEMORY_REGION_WORKS = 21;
    /// `KVM_NMI`.
    KVM_CAP_USER_NMI = 22;
    /// `KVM_SET_GUEST_DEBUG`.
    KVM_CAP_SET_GUEST_DEBUG = 23;
    /// `KVM_REINJECT_CONTROL`.
    KVM_CAP_REINJECT_CONTROL = 24;
    /// How many GSIs `KVM_SET_GSI_ROUTING` takes.
    KVM_CAP_IRQ_ROUTING = 25;
    /// `KVM_IRQ_LINE_STATUS`.
    KVM_CAP_IRQ_INJECT_STATUS = 26;
    /// Device assignment before VFIO. The answer is 0 since Linux 4.12.
    KVM_CAP_ASSIGN_DEV_IRQ = 29;
    /// Two slots can become one.
    KVM_CAP_JOIN_MEMORY_REGIONS_WORKS = 30;
    /// Machine checks; the answer is the number of banks.
    KVM_CAP_MCE = 31;
    /// `KVM_IRQFD`.
    KVM_CAP_IRQFD = 32;
    /// `KVM_CREATE_PIT2`.
    KVM_CAP_PIT2 = 33;
    /// `KVM_SET_BOOT_CPU_ID`.
    KVM_CAP_SET_BOOT_CPU_ID = 34;
    /// `KVM_GET_PIT2`.
    KVM_CAP_PIT_STATE2 = 35;
    /// `KVM_IOEVENTFD`.
    KVM_CAP_IOEVENTFD = 36;
    /// `KVM_SET_IDENTITY_MAP_ADDR`.
    KVM_CAP_SET_IDENTITY_MAP_ADDR = 37;
    /// 8.30: Xen's interfaces; the answer has a bit for each, `KVM_XEN_HVM_CONFIG_*`.
    KVM_CAP_XEN_HVM = 38;
    /// `KVM_GET_CLOCK`; the answer has the flags that it knows: Linux 5.16.
    KVM_CAP_ADJUST_CLOCK = 39;
    /// `KVM_EXIT_INTERNAL_ERROR` comes with data.
    KVM_CAP_INTERNAL_ERROR_DATA = 40;
    /// `KVM_GET_VCPU_EVENTS`.
    KVM_CAP_VCPU_EVENTS = 41;
    /// Hyper-V's interfaces: MSRs and hypercalls.
    KVM_CAP_HYPERV = 44;
    /// Hyper-V's MSRs for the local APIC.
    KVM_CAP_HYPERV_VAPIC = 45;
    /// The guest may tell that it waits for a lock.
    KVM_CAP_HYPERV_SPIN = 46;
    /// Device assignment before VFIO; the answer stayed.
    KVM_CAP_PCI_SEGMENT = 47;
    /// `kvm_vcpu_events` has the interrupt shadow. x86 has it, and answers 0 all the same.
    KVM_CAP_INTR_SHADOW = 49;
    /// `KVM_GET_DEBUGREGS`.
    KVM_CAP_DEBUGREGS = 50;
    /// Single-stepping works across what changes RFLAGS, where it is asked for before each step.
    KVM_CAP_X86_ROBUST_SINGLESTEP = 51;
    /// `KVM_ENABLE_CAP` on a vCPU: on x86 since Linux 4.5.
    KVM_CAP_ENABLE_CAP = 54;
    /// `KVM_GET_XSAVE`.
    KVM_CAP_XSAVE = 55;
    /// `KVM_GET_XCRS`.
    KVM_CAP_XCRS = 56;
    /// The guest goes on while the host fetches a page: Documentation/virt/kvm/x86/msr.rst, `MSR_KVM_ASYNC_PF_EN`.
    KVM_CAP_ASYNC_PF = 59;
    /// The processor scales a guest's TSC: `KVM_SET_TSC_KHZ` takes smaller frequencies too.
    KVM_CAP_TSC_CONTROL = 60;
    /// `KVM_GET_TSC_KHZ`.
    KVM_CAP_GET_TSC_KHZ = 61;
    /// How many vCPUs a VM can have.
    KVM_CAP_MAX_VCPUS = 66;
    /// The local APIC's timer can follow the TSC.
    KVM_CAP_TSC_DEADLINE_TIMER = 72;
    /// A bit for each kind of registers that `kvm_run` can carry: 6.74. On x86 since Linux 4.17.
    KVM_CAP_SYNC_REGS = 74;
    /// Device assignment before VFIO. The answer is 0 since Linux 4.12.
    KVM_CAP_PCI_2_3 = 75;
    /// `KVM_KVMCLOCK_CTRL`.
    KVM_CAP_KVMCLOCK_CTRL = 76;
    /// `KVM_SIGNAL_MSI`.
    KVM_CAP_SIGNAL_MSI = 77;
    /// `KVM_MEM_READONLY`.
    KVM_CAP_READONLY_MEM = 81;
    /// `KVM_IRQFD_FLAG_RESAMPLE`.
    KVM_CAP_IRQFD_RESAMPLE = 82;
    /// `KVM_CREATE_DEVICE`. x86 has the request, and says so since Linux 6.8.
    KVM_CAP_DEVICE_CTRL = 89;
    /// `KVM_GET_EMULATED_CPUID`: api.rst 4.88. Linux 3.13.
    KVM_CAP_EXT_EMUL_CPUID = 95;
    /// Hyper-V's reference counter and TSC page.
    KVM_CAP_HYPERV_TIME = 96;
    /// The I/O APIC takes 1 for active, whatever polarity the guest sets.
    KVM_CAP_IOAPIC_POLARITY_IGNORED = 97;
    /// `KVM_ENABLE_CAP` on a VM: on x86 since Linux 4.2.
    KVM_CAP_ENABLE_CAP_VM = 98;
    /// An ioeventfd of length 0 at an address.
    KVM_CAP_IOEVENTFD_NO_LENGTH = 100;
    /// `KVM_CHECK_EXTENSION` on a VM.
    KVM_CAP_CHECK_EXTENSION_VM = 105;
    /// Old bugs of KVM that guests rely on can be switched off; without a list of them. Linux 4.2.
    KVM_CAP_DISABLE_QUIRKS = 116;
    /// `KVM_SMI`, and system management mode: Linux 4.2.
    KVM_CAP_X86_SMM = 117;
    /// A second set of slots, for system management mode: Linux 4.2.
    KVM_CAP_MULTI_ADDRESS_SPACE = 118;
    /// 7.5: of the interrupt controllers, only the local APICs are in the kernel. Linux 4.4.
    KVM_CAP_SPLIT_IRQCHIP = 121;
    /// An ioeventfd of length 0 at a port too: Linux 4.4.
    KVM_CAP_IOEVENTFD_ANY_LENGTH = 122;
    /// 8.2: Hyper-V's interrupt controller; Linux 4.5. Before Linux 5.15 it switches AVIC and APICv
    /// off; since then only while the guest uses auto-EOI.
    KVM_CAP_HYPERV_SYNIC = 123;
    /// A vCPU has attributes, `KVM_VCPU_TSC_CTRL`. On x86 since Linux 5.16.
    KVM_CAP_VCPU_ATTRIBUTES = 127;
    /// vCPU numbers end below this: Linux 4.7. It can be set since Linux 6.0.
    KVM_CAP_MAX_VCPU_ID = 128;
    /// 7.7: APIC ids of 32 bits: Linux 4.8.
    KVM_CAP_X2APIC_API = 129;
    /// `kvm_run.immediate_exit`: Linux 4.11.
    KVM_CAP_IMMEDIATE_EXIT = 136;
    /// 7.13: instructions that cause no exit: Linux 4.17.
    KVM_CAP_X86_DISABLE_EXITS = 143;
    /// 8.11: likewise, with a page that the guest clears itself. Linux 4.13.
    KVM_CAP_HYPERV_SYNIC2 = 148;
    /// 8.12: user space can set the MSR with a vCPU's number. Linux 4.13.
    KVM_CAP_HYPERV_VP_INDEX = 149;
    /// `KVM_GET_MSR_FEATURE_INDEX_LIST`: Linux 4.16.
    KVM_CAP_GET_MSR_FEATURES = 153;
    /// `KVM_HYPERV_EVENTFD`: Linux 4.17.
    KVM_CAP_HYPERV_EVENTFD = 154;
    /// 8.18: hypercalls that flush other vCPUs' TLBs: Linux 4.18.
    KVM_CAP_HYPERV_TLBFLUSH = 155;
    /// `KVM_GET_NESTED_STATE`; the answer is the most room that it needs. Linux 4.19; AMD since Linux 5.8. Whether guests may have guests
    /// of their own, CPUID's bits VMX and SVM say.
    KVM_CAP_NESTED_STATE = 157;
    /// 7.15: the guest may not read MSR_PLATFORM_INFO. Linux 4.19.
    KVM_CAP_MSR_PLATFORM_INFO = 159;
    /// 8.20: hypercalls that send interrupts to other vCPUs: Linux 4.20.
    KVM_CAP_HYPERV_SEND_IPI = 161;
    /// The ring takes ports too: Linux 4.20.
    KVM_CAP_COALESCED_PIO = 162;
    /// Intel: a VMCS in memory, for a guest's own guests: Linux 4.20.
    KVM_CAP_HYPERV_ENLIGHTENED_VMCS = 163;
    /// 7.17: `KVM_GET_VCPU_EVENTS` shows the CR2 or DR6 of a pending exception, and leaves the register as it is until the exception is
    /// taken: Linux 4.20.
    KVM_CAP_EXCEPTION_PAYLOAD = 164;
    /// Linux 5.0. It did not work; see [`KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`].
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT = 166;
    /// `KVM_GET_SUPPORTED_HV_CPUID` on a vCPU: Linux 5.0.
    KVM_CAP_HYPERV_CPUID = 167;
    /// 7.18: `KVM_CLEAR_DIRTY_LOG`; the answer has a bit for each way. Linux 5.2.
    KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 = 168;
    /// `KVM_SET_PMU_EVENT_FILTER`: Linux 5.3.
    KVM_CAP_PMU_EVENT_FILTER = 173;
    /// 8.21: the hardware's hypervisor flushes the TLBs of a guest's own guests: Linux 5.4.
    KVM_CAP_HYPERV_DIRECT_TLBFLUSH = 175;
    /// 7.20: how long KVM waits for an interrupt before it lets the thread sleep. Linux 5.8.
    KVM_CAP_HALT_POLL = 182;
    /// With [`KVM_CAP_ASYNC_PF`], an interrupt says that the page is there: Linux 5.8.
    KVM_CAP_ASYNC_PF_INT = 183;
    /// `KVM_EXIT_FAIL_ENTRY` tells the host's processor: Linux 5.9.
    KVM_CAP_LAST_CPU = 184;
    /// The guest may have fewer address bits than the host: where the host uses no EPT or NPT, or `kvm_intel` is told to. Linux 5.9.
    KVM_CAP_SMALLER_MAXPHYADDR = 185;
    /// 8.24: the guest can learn how long it was ready and did not run. Linux 5.9.
    KVM_CAP_STEAL_TIME = 187;
    /// 7.21: an MSR that KVM doesn't know, or refuses, causes an exit. A bit for each reason. Linux 5.10.
    KVM_CAP_X86_USER_SPACE_MSR = 188;
    /// 8.27: `KVM_X86_SET_MSR_FILTER`: Linux 5.10.
    KVM_CAP_X86_MSR_FILTER = 189;
    /// 8.28: the guest gets only those of KVM's own features that its CPUID has. Linux 5.10.
    KVM_CAP_ENFORCE_PV_FEATURE_CPUID = 190;
    /// `KVM_GET_SUPPORTED_HV_CPUID` on `/dev/kvm`: Linux 5.11.
    KVM_CAP_SYS_HYPERV_CPUID = 191;
    /// 8.29: rings of written pages; the answer is the largest size in bytes. Linux 5.11.
    KVM_CAP_DIRTY_LOG_RING = 192;
    /// 7.22: a bus lock of the guest causes an exit. A bit for each way to do so. Linux 5.12.
    KVM_CAP_X86_BUS_LOCK_EXIT = 193;
    /// The bits that `KVM_SET_GUEST_DEBUG` knows: Linux 5.13.
    KVM_CAP_SET_GUEST_DEBUG2 = 195;
    /// 7.25: Intel: which enclaves a guest may have. Linux 5.13.
    KVM_CAP_SGX_ATTRIBUTE = 196;
    /// 7.24: AMD SEV: two VMs with one key. Linux 5.13.
    KVM_CAP_VM_COPY_ENC_CONTEXT_FROM = 197;
    /// 8.33: the guest gets only those of Hyper-V's interfaces that its CPUID has. Linux 5.14.
    KVM_CAP_HYPERV_ENFORCE_CPUID = 199;
    /// `KVM_GET_SREGS2`: Linux 5.14.
    KVM_CAP_SREGS2 = 200;
    /// 8.34: hypercalls that cause an exit to user space. A bit for each. Linux 5.14.
    KVM_CAP_EXIT_HYPERCALL = 201;
    /// `KVM_GET_STATS_FD`: Linux 5.14.
    KVM_CAP_BINARY_STATS_FD = 203;
    /// 7.27: an instruction that KVM can't emulate always causes an exit. Linux 5.14.
    KVM_CAP_EXIT_ON_EMULATION_FAILURE = 204;
    /// 7.29: AMD SEV: another process takes the VM over. Linux 5.16.
    KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM = 206;
    /// `KVM_GET_XSAVE2`; asked of a VM, the answer is the size of the state: Linux 5.17.
    KVM_CAP_XSAVE2 = 208;
    /// `/dev/kvm` has attributes, `KVM_X86_XCOMP_GUEST_SUPP`: Linux 5.17.
    KVM_CAP_SYS_ATTRIBUTES = 209;
    /// 8.35: a VM without performance counters. Linux 5.18.
    KVM_CAP_PMU_CAPABILITY = 212;
    /// 7.31: as [`KVM_CAP_DISABLE_QUIRKS`], with a list of them. Linux 5.18.
    KVM_CAP_DISABLE_QUIRKS2 = 213;
    /// `KVM_SET_TSC_KHZ` on a VM, for vCPUs to come: Linux 5.19.
    KVM_CAP_VM_TSC_CONTROL = 214;
    /// `KVM_EXIT_SYSTEM_EVENT` comes with data: Linux 5.18.
    KVM_CAP_SYSTEM_EVENT_DATA = 215;
    /// `kvm_vcpu_events` has a triple fault: Linux 6.0.
    KVM_CAP_X86_TRIPLE_FAULT_EVENT = 218;
    /// 7.33: a guest that takes no events for too long causes an exit. Linux 6.0.
    KVM_CAP_X86_NOTIFY_VMEXIT = 219;
    /// 8.38: large pages may hold code, although an Intel processor has a fault with that. Linux 6.0.
    KVM_CAP_VM_DISABLE_NX_HUGE_PAGES = 220;
    /// 8.29: as [`KVM_CAP_DIRTY_LOG_RING`], for processors that order writes less strictly too. Linux 6.1.
    KVM_CAP_DIRTY_LOG_RING_ACQ_REL = 223;
    /// 8.29: a bitmap beside the ring, for pages that no vCPU writes. x86 needs none. Linux 6.2.
    KVM_CAP_DIRTY_LOG_RING_WITH_BITMAP = 225;
    /// `KVM_SET_PMU_EVENT_FILTER` takes masks: Linux 6.3.
    KVM_CAP_PMU_EVENT_MASKED_EVENTS = 226;
    /// `KVM_SET_USER_MEMORY_REGION2`: Linux 6.8.
    KVM_CAP_USER_MEMORY2 = 231;
    /// 7.34: `KVM_EXIT_MEMORY_FAULT` tells which page: Linux 6.8.
    KVM_CAP_MEMORY_FAULT_INFO = 232;
    /// `KVM_SET_MEMORY_ATTRIBUTES`; the answer is the attributes that there are. Linux 6.8.
    KVM_CAP_MEMORY_ATTRIBUTES = 233;
    /// `KVM_CREATE_GUEST_MEMFD`: Linux 6.8.
    KVM_CAP_GUEST_MEMFD = 234;
    /// 8.41: the types that `KVM_CREATE_VM` takes, a bit for each: Linux 6.8.
    KVM_CAP_VM_TYPES = 235;
    /// `KVM_PRE_FAULT_MEMORY`: Linux 6.11.
    KVM_CAP_PRE_FAULT_MEMORY = 236;
    /// 7.35: how fast the local APIC's timer counts: Linux 6.11.
    KVM_CAP_X86_APIC_BUS_CYCLES_NS = 237;
    /// 7.36: `kvm_run.flags` tells whether the guest's own guest ran: Linux 6.11.
    KVM_CAP_X86_GUEST_MODE = 238;
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

/// In `args[0]` of [`KVM_CAP_X86_DISABLE_EXITS`], and in the answer: HLT stays in the guest. Linux 4.17.
pub const KVM_X86_DISABLE_EXITS_HLT: u64 = 1 << 1;

/// In `args[0]` of [`KVM_CAP_X86_BUS_LOCK_EXIT`], and in the answer: each bus lock causes an exit. Linux 5.12.
pub const KVM_BUS_LOCK_DETECTION_EXIT: u32 = 1 << 1;

/// In the lower half of `args[0]` of [`KVM_CAP_X86_NOTIFY_VMEXIT`]; the upper half is the window. Linux 6.0.
pub const KVM_X86_NOTIFY_VMEXIT_ENABLED: u64 = 1 << 0;
/// User space gets an exit each time, and not only where the guest's state is lost.
pub const KVM_X86_NOTIFY_VMEXIT_USER: u64 = 1 << 1;

/// In `args[0]` of [`KVM_CAP_DISABLE_QUIRKS2`], and in the answer: a local APIC starts with its LINT0 open. Linux 4.2.
pub const KVM_X86_QUIRK_LINT0_REENABLED: u64 = 1 << 0;

/// In `args[0]` of [`KVM_CAP_X2APIC_API`]: `kvm_lapic_state` and messages have APIC ids of 32 bits. Linux 4.8.
pub const KVM_X2APIC_API_USE_32BIT_IDS: u64 = 1 << 0;
