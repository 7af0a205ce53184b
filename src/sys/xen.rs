//! Xen's interfaces, as KVM offers them: api.rst 4.28, 4.126 to 4.129, 4.135, 5 and 8.30.

/// What `KVM_XEN_HVM_CONFIG` takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_xen_hvm_config {
    /// [`KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL`] and [`KVM_XEN_HVM_CONFIG_EVTCHN_SEND`], or 0.
    pub flags: u32,
    /// The MSR to which the guest writes where it wants its page of hypercalls.
    pub msr: u32,
    /// What that page is to hold, where KVM does not make it: a 32-bit and a 64-bit one.
    pub blob_addr_32: u64,
    pub blob_addr_64: u64,
    /// In pages.
    pub blob_size_32: u8,
    pub blob_size_64: u8,
    pub pad2: [u8; 30],
}

/// In the answer for `KVM_CAP_XEN_HVM`: the MSR can be set.
pub const KVM_XEN_HVM_CONFIG_HYPERCALL_MSR: u32 = 1 << 0;
/// KVM makes the page, and hypercalls leave with `KVM_EXIT_XEN`. Linux 5.12.
pub const KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL: u32 = 1 << 1;
/// `KVM_XEN_HVM_SET_ATTR` and its like. Linux 5.12.
pub const KVM_XEN_HVM_CONFIG_SHARED_INFO: u32 = 1 << 2;
/// Event channels as GSIs. Linux 5.17.
pub const KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL: u32 = 1 << 4;
/// KVM sends events by itself. Linux 5.19.
pub const KVM_XEN_HVM_CONFIG_EVTCHN_SEND: u32 = 1 << 5;

/// What `KVM_XEN_HVM_SET_ATTR` and `KVM_XEN_HVM_GET_ATTR` take: Linux 5.12.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_xen_hvm_attr {
    /// `KVM_XEN_ATTR_TYPE_*`.
    pub r#type: u16,
    pub pad: [u16; 3],
    pub u: kvm_xen_hvm_attr_u,
}

/// In C the union has no name.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_xen_hvm_attr_u {
    pub long_mode: u8,
    pub vector: u8,
    pub shared_info: u64,
    pub xen_version: u32,
    pub pad: [u64; 8],
}

/// u8: whether the guest's structures are 64-bit ones.
pub const KVM_XEN_ATTR_TYPE_LONG_MODE: u16 = 0;
/// u64: the page number of the page that Xen shares with its guest.
pub const KVM_XEN_ATTR_TYPE_SHARED_INFO: u16 = 1;
/// u8: the vector with which all vCPUs are told of events.
pub const KVM_XEN_ATTR_TYPE_UPCALL_VECTOR: u16 = 2;
/// u32: what the guest is told as Xen's version. Linux 5.19.
pub const KVM_XEN_ATTR_TYPE_XEN_VERSION: u16 = 4;

/// What `KVM_XEN_VCPU_SET_ATTR` and `KVM_XEN_VCPU_GET_ATTR` take: Linux 5.12.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_xen_vcpu_attr {
    /// `KVM_XEN_VCPU_ATTR_TYPE_*`.
    pub r#type: u16,
    pub pad: [u16; 3],
    pub u: kvm_xen_vcpu_attr_u,
}

/// In C the union has no name.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_xen_vcpu_attr_u {
    pub gpa: u64,
    pub vcpu_id: u32,
    pub vector: u8,
    pub pad: [u64; 8],
}

/// u64: the guest-physical address of a vCPU's `vcpu_info`.
pub const KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO: u16 = 0;
/// u32: the number by which Xen's guests call the vCPU. Linux 5.19.
pub const KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID: u16 = 6;
/// u8: the vector with which this vCPU is told of events. Linux 5.19.
pub const KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR: u16 = 8;

/// What `KVM_XEN_HVM_EVTCHN_SEND` takes (Linux 5.19), and a GSI that is an event channel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_irq_routing_xen_evtchn {
    pub port: u32,
    pub vcpu: u32,
    /// [`KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL`]: there is no other.
    pub priority: u32,
}

/// The only priority: two-level event channels.
pub const KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL: u32 = u32::MAX;

/// `KVM_EXIT_XEN`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_xen_exit {
    /// [`KVM_EXIT_XEN_HCALL`].
    pub r#type: u32,
    pub u: kvm_xen_exit_u,
}

/// In C the union has no name, nor has its arm.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_xen_exit_u {
    pub hcall: kvm_xen_exit_hcall,
}

/// A hypercall for user space.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_xen_exit_hcall {
    /// Whether the guest was in 64-bit mode.
    pub longmode: u32,
    /// In which ring.
    pub cpl: u32,
    pub input: u64,
    /// To be filled.
    pub result: u64,
    pub params: [u64; 6],
}

/// The only type.
pub const KVM_EXIT_XEN_HCALL: u32 = 1;
