//! What is under way in a vCPU, beside its registers: api.rst 4.31 and 4.32; whether it runs or waits, 4.38; and of a guest's own
//! guest, 4.114 and 4.115.

/// `KVM_GET_VCPU_EVENTS`, `KVM_SET_VCPU_EVENTS`. In C the parts are structures without a name.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vcpu_events {
    pub exception: kvm_vcpu_events_exception,
    pub interrupt: kvm_vcpu_events_interrupt,
    pub nmi: kvm_vcpu_events_nmi,
    /// The kernel never fills it in.
    pub sipi_vector: u32,
    /// Which of the parts count that older kernels did not have: `KVM_VCPUEVENT_VALID_*`.
    pub flags: u32,
    pub smi: kvm_vcpu_events_smi,
    /// A triple fault waits. Linux 6.0.
    pub triple_fault: kvm_vcpu_events_triple_fault,
    pub reserved: [u8; 26],
    pub exception_has_payload: u8,
    pub exception_payload: u64,
}

/// An exception that is being delivered.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vcpu_events_exception {
    pub injected: u8,
    pub nr: u8,
    pub has_error_code: u8,
    /// It waits.
    pub pending: u8,
    pub error_code: u32,
}

/// An interrupt, likewise.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vcpu_events_interrupt {
    pub injected: u8,
    pub nr: u8,
    pub soft: u8,
    /// The last instruction keeps interrupts off for one more: MOV SS is 1, STI is 2.
    pub shadow: u8,
}

/// NMIs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vcpu_events_nmi {
    pub injected: u8,
    pub pending: u8,
    pub masked: u8,
    pub pad: u8,
}

/// System management.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vcpu_events_smi {
    pub smm: u8,
    pub pending: u8,
    pub smm_inside_nmi: u8,
    pub latched_init: u8,
}

/// See [`kvm_vcpu_events::triple_fault`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vcpu_events_triple_fault {
    pub pending: u8,
}

/// `KVM_GET_NESTED_STATE`, `KVM_SET_NESTED_STATE`: Linux 4.19. The header; the state of the guest's guest lies behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_nested_state {
    pub flags: u16,
    /// Of VMX or SVM.
    pub format: u16,
    /// Of all, in bytes. In: how much room there is. E2BIG: it says how much is needed.
    pub size: u32,
    /// What depends on the format.
    pub hdr: [u64; 15],
}

/// In `flags`: `nmi.pending` counts. KVM sets this bit at each reading, and those of SHADOW and SMM; those of PAYLOAD and TRIPLE_FAULT once
/// their capability is enabled; that of SIPI_VECTOR never.
pub const KVM_VCPUEVENT_VALID_NMI_PENDING: u32 = 1 << 0;
/// `sipi_vector` counts.
pub const KVM_VCPUEVENT_VALID_SIPI_VECTOR: u32 = 1 << 1;
/// `interrupt.shadow` counts.
pub const KVM_VCPUEVENT_VALID_SHADOW: u32 = 1 << 2;
/// `smi` counts.
pub const KVM_VCPUEVENT_VALID_SMM: u32 = 1 << 3;
/// `exception.pending` and the payload count; `KVM_CAP_EXCEPTION_PAYLOAD`.
pub const KVM_VCPUEVENT_VALID_PAYLOAD: u32 = 1 << 4;
/// `triple_fault` counts; `KVM_CAP_X86_TRIPLE_FAULT_EVENT`.
pub const KVM_VCPUEVENT_VALID_TRIPLE_FAULT: u32 = 1 << 5;

/// In `kvm_nested_state::flags`: the guest's own guest runs.
pub const KVM_STATE_NESTED_GUEST_MODE: u64 = 1 << 0;

/// `KVM_GET_MP_STATE`: api.rst 4.38.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_mp_state {
    pub mp_state: u32,
}

/// The vCPU is runnable.
pub const KVM_MP_STATE_RUNNABLE: u32 = 0;
/// An application processor that nobody has started.
pub const KVM_MP_STATE_UNINITIALIZED: u32 = 1;
/// It has had INIT and waits for SIPI.
pub const KVM_MP_STATE_INIT_RECEIVED: u32 = 2;
/// It has executed HLT and waits for an interrupt.
pub const KVM_MP_STATE_HALTED: u32 = 3;
/// A SIPI has come: the vCPU starts at its vector. Used with `KVM_SET_MP_STATE` only; KVM never reports it.
pub const KVM_MP_STATE_SIPI_RECEIVED: u32 = 4;
