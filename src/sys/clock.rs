//! The paravirtual clock, kvmclock: api.rst 4.29 and 4.30. Older than Linux 5.0.

/// `KVM_GET_CLOCK`, `KVM_SET_CLOCK`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_clock_data {
    /// Nanoseconds since the VM was made, or since what was set.
    pub clock: u64,
    /// What else is filled in. To set the clock alone: 0.
    pub flags: u32,
    pub pad0: u32,
    /// The host's CLOCK_REALTIME at that moment, since Linux 5.16.
    pub realtime: u64,
    /// The host's TSC, likewise.
    pub host_tsc: u64,
    pub pad: [u32; 4],
}
