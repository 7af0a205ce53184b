//! The guest's clocks: kvmclock, the paravirtual one (api.rst 4.29 and 4.30, older than Linux 5.0), and the TSC's offset.

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

/// In `flags`, and in the answer for `KVM_CAP_ADJUST_CLOCK`: all vCPUs' kvmclocks agree.
pub const KVM_CLOCK_TSC_STABLE: u32 = 1 << 1;
/// `realtime` is filled in; in `KVM_SET_CLOCK`: the time that has passed since then is added. Linux 5.16.
pub const KVM_CLOCK_REALTIME: u32 = 1 << 2;
/// `host_tsc` is filled in. Linux 5.16.
pub const KVM_CLOCK_HOST_TSC: u32 = 1 << 3;

/// A vCPU's group of attributes about its TSC: `Documentation/virt/kvm/devices/vcpu.rst`, 4. Linux 5.16.
pub const KVM_VCPU_TSC_CTRL: u32 = 0;
/// u64: what is added to the host's TSC, which was scaled before.
pub const KVM_VCPU_TSC_OFFSET: u64 = 0;
