//! Hyper-V's interfaces, as KVM offers them: api.rst 4.113, 4.118 and 5.

/// What `KVM_HYPERV_EVENTFD` takes: the guest's `HvSignalEvent` on this connection signals the event. Linux 4.17.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_hyperv_eventfd {
    /// 24 bits.
    pub conn_id: u32,
    pub fd: i32,
    /// 0, or [`KVM_HYPERV_EVENTFD_DEASSIGN`].
    pub flags: u32,
    pub padding: [u32; 3],
}

/// Ends the binding.
pub const KVM_HYPERV_EVENTFD_DEASSIGN: u32 = 1 << 0;

/// `KVM_EXIT_HYPERV`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_hyperv_exit {
    /// [`KVM_EXIT_HYPERV_SYNIC`] or [`KVM_EXIT_HYPERV_HCALL`]; or the debugger's, which is not here.
    pub r#type: u32,
    pub pad1: u32,
    pub u: kvm_hyperv_exit_u,
}

/// Which arm counts, the type says. In C the union has no name, nor have its arms.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_hyperv_exit_u {
    pub synic: kvm_hyperv_exit_synic,
    pub hcall: kvm_hyperv_exit_hcall,
    pub padding: [u64; 6],
}

/// The guest has written an MSR of its synthetic interrupt controller; the values of all of them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_hyperv_exit_synic {
    pub msr: u32,
    pub pad2: u32,
    pub control: u64,
    pub evt_page: u64,
    pub msg_page: u64,
}

/// A hypercall for user space.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_hyperv_exit_hcall {
    pub input: u64,
    /// To be filled.
    pub result: u64,
    pub params: [u64; 2],
}

/// See [`kvm_hyperv_exit_synic`].
pub const KVM_EXIT_HYPERV_SYNIC: u32 = 1;
/// See [`kvm_hyperv_exit_hcall`].
pub const KVM_EXIT_HYPERV_HCALL: u32 = 2;
