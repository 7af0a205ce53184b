//! `struct kvm_run`: api.rst 5. One for each vCPU, in memory that KVM and user space share.
//!
//! The union in its middle says why `KVM_RUN` came back; `exit_reason` tells which arm of it counts.
//! Of the arms, those are here that this program reads.

use super::debug::kvm_debug_exit_arch;
use super::events::kvm_vcpu_events;
use super::hyperv::kvm_hyperv_exit;
use super::regs::{kvm_regs, kvm_sregs};
use super::xen::kvm_xen_exit;

/// `KVM_EXIT_UNKNOWN`: the hardware left the guest for a reason that KVM has no name for.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_hw {
    pub hardware_exit_reason: u64,
}

/// `KVM_EXIT_FAIL_ENTRY`: the hardware refused to enter the guest.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_fail_entry {
    /// Intel: the VMX exit reason with bit 31 set, or a VM-instruction error. AMD: the exit code.
    pub hardware_entry_failure_reason: u64,
    /// The host processor on which it happened; since Linux 5.9.
    pub cpu: u32,
}

/// `KVM_EXIT_IO`: an `in` or `out`, or one stretch of an `ins` or `outs`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_io {
    /// [`KVM_EXIT_IO_IN`] or [`KVM_EXIT_IO_OUT`], seen from the guest.
    pub direction: u8,
    /// Bytes an item: 1, 2 or 4.
    pub size: u8,
    pub port: u16,
    /// Items: 1, or more for a string instruction with a repeat prefix.
    pub count: u32,
    /// Where the items lie, packed, in bytes from the start of `kvm_run`.
    pub data_offset: u64,
}

/// `in`, `ins`.
pub const KVM_EXIT_IO_IN: u8 = 0;
/// `out`, `outs`.
pub const KVM_EXIT_IO_OUT: u8 = 1;

/// `KVM_EXIT_MMIO`: an access to an address that no slot covers, or a write to a read-only slot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_mmio {
    pub phys_addr: u64,
    /// The written bytes; for a read, the answer goes here before the next `KVM_RUN`.
    pub data: [u8; 8],
    /// 1 to 8.
    pub len: u32,
    pub is_write: u8,
}

/// `KVM_EXIT_INTERNAL_ERROR`: KVM could not go on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_internal {
    /// One of `KVM_INTERNAL_ERROR_*` in [`super::exit`].
    pub suberror: u32,
    /// How many of `data` are filled; `KVM_CAP_INTERNAL_ERROR_DATA`.
    pub ndata: u32,
    pub data: [u64; 16],
}

/// The same arm for `KVM_INTERNAL_ERROR_EMULATION`, since Linux 5.14: an overlay of
/// [`kvm_run_internal`], in which `flags` stands where `data[0]` does.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_emulation_failure {
    pub suberror: u32,
    /// 0 on kernels that fill in nothing below.
    pub ndata: u32,
    /// Which of the fields below are valid.
    pub flags: u64,
    /// How many of `insn_bytes` KVM had fetched; the instruction may be shorter.
    pub insn_size: u8,
    pub insn_bytes: [u8; 15],
}

/// In `flags`: `insn_size` and `insn_bytes` are valid.
pub const KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES: u64 = 1 << 0;

/// `KVM_EXIT_DEBUG`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_debug {
    pub arch: kvm_debug_exit_arch,
}

/// `KVM_EXIT_HYPERCALL`: `vmcall` or `vmmcall`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct kvm_run_hypercall {
    /// RAX.
    pub nr: u64,
    /// RBX, RCX, RDX of the guest; KVM leaves the others as they were.
    pub args: [u64; 6],
    /// To be filled: what RAX will be.
    pub ret: u64,
    /// Before Linux 6.4 `longmode` (u32), whether the guest was in 64-bit mode, and a gap. In C a union of both.
    pub flags: u64,
}

/// `KVM_EXIT_X86_RDMSR`, `KVM_EXIT_X86_WRMSR`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct kvm_run_msr {
    /// To be filled: not 0 for a #GP in the guest.
    pub error: u8,
    pub pad: [u8; 7],
    /// One of `KVM_MSR_EXIT_REASON_*` in [`super::cap`].
    pub reason: u32,
    /// ECX.
    pub index: u32,
    /// EDX:EAX; of a read, to be filled.
    pub data: u64,
}

/// `KVM_EXIT_IOAPIC_EOI`: a vCPU has ended a level-triggered interrupt, and the I/O APIC is not in the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_eoi {
    pub vector: u8,
}

/// `KVM_EXIT_TPR_ACCESS`: the guest has touched its local APIC's task priority.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_tpr_access {
    pub rip: u64,
    pub is_write: u32,
    pub pad: u32,
}

/// `KVM_EXIT_SYSTEM_EVENT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_system_event {
    /// One of `KVM_SYSTEM_EVENT_*`.
    pub r#type: u32,
    /// How many of `data` are filled. Since Linux 5.18.
    pub ndata: u32,
    pub data: [u64; 16],
}

/// The guest wants to be switched off.
pub const KVM_SYSTEM_EVENT_SHUTDOWN: u32 = 1;
/// It wants to be reset.
pub const KVM_SYSTEM_EVENT_RESET: u32 = 2;
/// It says that it has crashed.
pub const KVM_SYSTEM_EVENT_CRASH: u32 = 3;

/// `KVM_EXIT_NOTIFY`: the guest has taken no event for too long.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_notify {
    /// 0, or [`KVM_NOTIFY_CONTEXT_INVALID`].
    pub flags: u32,
}

/// The guest's state is lost, and it can't go on.
pub const KVM_NOTIFY_CONTEXT_INVALID: u32 = 1 << 0;

/// `KVM_EXIT_MEMORY_FAULT`: `KVM_RUN` itself returns EFAULT or EHWPOISON.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_run_memory_fault {
    /// 0, or [`KVM_MEMORY_EXIT_FLAG_PRIVATE`].
    pub flags: u64,
    pub gpa: u64,
    pub size: u64,
}

/// The guest meant private memory.
pub const KVM_MEMORY_EXIT_FLAG_PRIVATE: u64 = 1 << 3;

/// The union. `padding` fixes its size for all kernels.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_run_exit {
    pub hw: kvm_run_hw,
    pub fail_entry: kvm_run_fail_entry,
    pub io: kvm_run_io,
    pub mmio: kvm_run_mmio,
    pub internal: kvm_run_internal,
    pub emulation_failure: kvm_run_emulation_failure,
    pub debug: kvm_run_debug,
    pub hypercall: kvm_run_hypercall,
    pub msr: kvm_run_msr,
    pub eoi: kvm_run_eoi,
    pub tpr_access: kvm_run_tpr_access,
    pub system_event: kvm_run_system_event,
    pub hyperv: kvm_hyperv_exit,
    pub xen: kvm_xen_exit,
    pub notify: kvm_run_notify,
    pub memory_fault: kvm_run_memory_fault,
    pub padding: [u8; 256],
}

/// `mmap` of a vCPU's descriptor at offset 0 gives this; `KVM_GET_VCPU_MMAP_SIZE` its size, which
/// is larger: behind it come the page for I/O data and the ring of coalesced MMIO.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_run {
    /// In: leave the guest as soon as it would take an interrupt, with `KVM_EXIT_IRQ_WINDOW_OPEN`. Only while the 8259s are not
    /// in the kernel.
    pub request_interrupt_window: u8,
    /// In: where not 0, `KVM_RUN` returns EINTR before it enters the guest. Since Linux 4.11,
    /// `KVM_CAP_IMMEDIATE_EXIT`.
    pub immediate_exit: u8,
    pub padding1: [u8; 6],

    /// Out: one of `KVM_EXIT_*` in [`super::exit`]; valid where `KVM_RUN` returned 0. With EINTR it is
    /// `KVM_EXIT_INTR`; with EFAULT or EHWPOISON it can be `KVM_EXIT_MEMORY_FAULT`.
    pub exit_reason: u32,
    /// Out: the guest would take an interrupt now. Always 1 while the 8259s are in the kernel.
    pub ready_for_interrupt_injection: u8,
    /// Out: RFLAGS.IF.
    pub if_flag: u8,
    /// Out: `KVM_RUN_X86_*`.
    pub flags: u16,

    /// In and out, while the local APIC is not in the kernel.
    pub cr8: u64,
    /// Out. (api.rst calls it an input too; KVM does not read it.)
    pub apic_base: u64,

    /// In C the union has no name.
    pub exit: kvm_run_exit,

    /// In: which registers KVM is to leave in `s` at each exit: `KVM_SYNC_X86_*`. api.rst 6.74,
    /// `KVM_CAP_SYNC_REGS`.
    pub kvm_valid_regs: u64,
    /// In: which ones it is to take from there when it enters.
    pub kvm_dirty_regs: u64,
    pub s: kvm_run_s,
}

/// The registers; `padding` fixes the size for all kernels. In C the union has no name.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_run_s {
    pub regs: kvm_sync_regs,
    pub padding: [u8; SYNC_REGS_SIZE_BYTES],
}

/// What `KVM_GET_REGS`, `KVM_GET_SREGS` and `KVM_GET_VCPU_EVENTS` give, without a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_sync_regs {
    pub regs: kvm_regs,
    pub sregs: kvm_sregs,
    pub events: kvm_vcpu_events,
}

impl Default for kvm_sync_regs {
    fn default() -> Self {
        let (regs, sregs) = (kvm_regs::default(), kvm_sregs::default());
        kvm_sync_regs { regs, sregs, events: kvm_vcpu_events::default() }
    }
}

/// In `kvm_valid_regs`: the general registers.
pub const KVM_SYNC_X86_REGS: u64 = 1 << 0;
/// Segments and control registers.
pub const KVM_SYNC_X86_SREGS: u64 = 1 << 1;
/// Exceptions, interrupts and NMIs in flight.
pub const KVM_SYNC_X86_EVENTS: u64 = 1 << 2;

/// In `flags`: the vCPU is in system management mode.
pub const KVM_RUN_X86_SMM: u16 = 1 << 0;
/// It has locked the bus. Linux 5.12.
pub const KVM_RUN_X86_BUS_LOCK: u16 = 1 << 1;
/// The guest's own guest ran. Linux 6.11.
pub const KVM_RUN_X86_GUEST_MODE: u16 = 1 << 2;

/// What `KVM_SET_SIGNAL_MASK` takes: api.rst 4.21. The mask follows, `len` bytes of it, in the kernel's own form: 8 bytes, signal N
/// at bit N - 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_signal_mask {
    pub len: u32,
    pub sigset: [u8; 0],
}

/// The room for registers that are passed in `kvm_run` itself.
pub const SYNC_REGS_SIZE_BYTES: usize = 2048;
