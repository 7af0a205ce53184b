//! Why `KVM_RUN` came back: `kvm_run::exit_reason`, api.rst 5.
//!
//! All reasons of Linux 6.12 are here, those of other architectures too, so that the names never
//! end before the numbers do.

named_table! {
    /// Every reason with its number, in order from 0 without a gap.
    REASONS,
    /// The C name of an exit reason; `None` for a number that Linux 6.12 does not have.
    name:

    /// KVM has no name for the hardware's reason, which in Linux 6.1 only Intel's SGX causes:
    /// [`super::run::kvm_run_hw`]. `KVM_RUN` also begins with it, so that it is what a path in KVM leaves that gives no reason. Others are [`KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON`].
    KVM_EXIT_UNKNOWN = 0;
    /// Intel: an exception that KVM intercepted and does not know. api.rst calls it unused.
    KVM_EXIT_EXCEPTION = 1;
    /// A port was read or written: [`super::run::kvm_run_io`].
    KVM_EXIT_IO = 2;
    /// The guest asked for a service of user space; only with `KVM_CAP_EXIT_HYPERCALL` (Linux 5.14).
    KVM_EXIT_HYPERCALL = 3;
    /// A breakpoint or a single step; only after `KVM_SET_GUEST_DEBUG`.
    KVM_EXIT_DEBUG = 4;
    /// `hlt`; only while the local APIC is not in the kernel.
    KVM_EXIT_HLT = 5;
    /// An address was read or written that no slot covers, or written that is read-only: [`super::run::kvm_run_mmio`].
    KVM_EXIT_MMIO = 6;
    /// The guest can take an interrupt now; only where `request_interrupt_window` asked.
    KVM_EXIT_IRQ_WINDOW_OPEN = 7;
    /// A triple fault.
    KVM_EXIT_SHUTDOWN = 8;
    /// The hardware refused the guest's state: [`super::run::kvm_run_fail_entry`].
    KVM_EXIT_FAIL_ENTRY = 9;
    /// A signal; `KVM_RUN` itself returns EINTR.
    KVM_EXIT_INTR = 10;
    /// CR8 was lowered; only while the local APIC is not in the kernel.
    KVM_EXIT_SET_TPR = 11;
    /// The task priority was touched; only after `KVM_TPR_ACCESS_REPORTING`.
    KVM_EXIT_TPR_ACCESS = 12;
    /// s390.
    KVM_EXIT_S390_SIEIC = 13;
    /// s390.
    KVM_EXIT_S390_RESET = 14;
    /// PowerPC; deprecated.
    KVM_EXIT_DCR = 15;
    /// Was a host NMI on x86; no longer used.
    KVM_EXIT_NMI = 16;
    /// KVM could not go on: [`super::run::kvm_run_internal`].
    KVM_EXIT_INTERNAL_ERROR = 17;
    /// PowerPC.
    KVM_EXIT_OSI = 18;
    /// PowerPC.
    KVM_EXIT_PAPR_HCALL = 19;
    /// s390.
    KVM_EXIT_S390_UCONTROL = 20;
    /// PowerPC.
    KVM_EXIT_WATCHDOG = 21;
    /// s390.
    KVM_EXIT_S390_TSCH = 22;
    /// PowerPC.
    KVM_EXIT_EPR = 23;
    /// The guest asked to be shut down or reset, or says that it crashed. On x86 since Linux 4.3: Hyper-V, SEV.
    KVM_EXIT_SYSTEM_EVENT = 24;
    /// s390.
    KVM_EXIT_S390_STSI = 25;
    /// An EOI for the IOAPIC in user space; only with `KVM_CAP_SPLIT_IRQCHIP`. Linux 4.4.
    KVM_EXIT_IOAPIC_EOI = 26;
    /// A Hyper-V service for user space; only where its capabilities are enabled. Linux 4.5.
    KVM_EXIT_HYPERV = 27;
    /// Arm, Linux 5.5.
    KVM_EXIT_ARM_NISV = 28;
    /// `rdmsr` of an MSR that user space answers; `KVM_CAP_X86_USER_SPACE_MSR`, Linux 5.10.
    KVM_EXIT_X86_RDMSR = 29;
    /// `wrmsr` likewise; Linux 5.10.
    KVM_EXIT_X86_WRMSR = 30;
    /// The dirty ring is full; `KVM_CAP_DIRTY_LOG_RING`, Linux 5.11.
    KVM_EXIT_DIRTY_RING_FULL = 31;
    /// An SEV-ES processor waits for its start-up; Linux 5.11.
    KVM_EXIT_AP_RESET_HOLD = 32;
    /// A bus lock; `KVM_CAP_X86_BUS_LOCK_EXIT`, Linux 5.12.
    KVM_EXIT_X86_BUS_LOCK = 33;
    /// A Xen hypercall; `KVM_CAP_XEN_HVM`, Linux 5.12.
    KVM_EXIT_XEN = 34;
    /// RISC-V, Linux 5.17.
    KVM_EXIT_RISCV_SBI = 35;
    /// RISC-V, Linux 6.0.
    KVM_EXIT_RISCV_CSR = 36;
    /// The guest opened no window for events for too long; `KVM_CAP_X86_NOTIFY_VMEXIT`, Linux 6.0.
    KVM_EXIT_NOTIFY = 37;
    /// LoongArch, Linux 6.7.
    KVM_EXIT_LOONGARCH_IOCSR = 38;
    /// KVM could not provide a page that the guest touched; only with guest_memfd on x86. Linux 6.8,
    /// `KVM_CAP_MEMORY_FAULT_INFO`.
    KVM_EXIT_MEMORY_FAULT = 39;
}

/// [`KVM_EXIT_INTERNAL_ERROR`]'s suberrors. KVM's emulator has no such instruction.
pub const KVM_INTERNAL_ERROR_EMULATION: u32 = 1;
/// Two exceptions at once that KVM cannot deliver in order.
pub const KVM_INTERNAL_ERROR_SIMUL_EX: u32 = 2;
/// The hardware left the guest while it delivered an event.
pub const KVM_INTERNAL_ERROR_DELIVERY_EV: u32 = 3;
/// An exit that KVM never asked the hardware for; Linux 5.4.
pub const KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: u32 = 4;
