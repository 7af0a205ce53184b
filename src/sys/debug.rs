//! A guest under a debugger's eyes: api.rst 4.15 and 4.87.

/// What `KVM_SET_GUEST_DEBUG` takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_guest_debug {
    /// [`KVM_GUESTDBG_ENABLE`] and what is wanted.
    pub control: u32,
    pub pad: u32,
    pub arch: kvm_guest_debug_arch,
}

/// Hardware breakpoints, which replace the guest's own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_guest_debug_arch {
    /// DR0 to DR7.
    pub debugreg: [u64; 8],
}

/// Debugging is on.
pub const KVM_GUESTDBG_ENABLE: u32 = 1;
/// Leave after each instruction, with `KVM_EXIT_DEBUG`.
pub const KVM_GUESTDBG_SINGLESTEP: u32 = 2;
/// Leave at INT3, instead of the guest's handler.
pub const KVM_GUESTDBG_USE_SW_BP: u32 = 0x0001_0000;
/// Leave at `arch.debugreg`'s breakpoints, and at every other #DB of the guest.
pub const KVM_GUESTDBG_USE_HW_BP: u32 = 0x0002_0000;
/// Give the guest a #DB. EBUSY: another exception waits.
pub const KVM_GUESTDBG_INJECT_DB: u32 = 0x0004_0000;
/// Give the guest a #BP: its own INT3.
pub const KVM_GUESTDBG_INJECT_BP: u32 = 0x0008_0000;
/// No interrupts meanwhile: Linux 5.15. Older kernels ignore it.
pub const KVM_GUESTDBG_BLOCKIRQ: u32 = 0x0010_0000;

/// `KVM_EXIT_DEBUG`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct kvm_debug_exit_arch {
    /// The vector: 1 for a step, 3 for a breakpoint.
    pub exception: u32,
    pub pad: u32,
    /// The linear address of the next instruction.
    pub pc: u64,
    /// DR6; its bit 14 says that it was a step.
    pub dr6: u64,
    pub dr7: u64,
}

/// `KVM_TRANSLATE`, api.rst 4.15: an address as the guest's own tables translate it now.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_translation {
    /// In.
    pub linear_address: u64,
    /// Out: guest-physical; all ones where it is not valid.
    pub physical_address: u64,
    /// Out: 0 where the tables map it to nothing.
    pub valid: u8,
    /// KVM sets these two to 1 and 0, whatever the tables say.
    pub writeable: u8,
    pub usermode: u8,
    pub pad: [u8; 5],
}

/// `KVM_GET_DEBUGREGS`, `KVM_SET_DEBUGREGS`: api.rst 4.33 and 4.34. The guest's own debug registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_debugregs {
    /// DR0 to DR3.
    pub db: [u64; 4],
    pub dr6: u64,
    pub dr7: u64,
    /// 0.
    pub flags: u64,
    pub reserved: [u64; 9],
}
