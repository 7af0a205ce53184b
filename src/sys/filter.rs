//! What the guest may touch of its MSRs (api.rst 4.97), and count with its performance counters (4.120).

/// What `KVM_X86_SET_MSR_FILTER` takes: Linux 5.10.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_msr_filter {
    /// For an MSR in none of the ranges: 0 allows it, [`KVM_MSR_FILTER_DEFAULT_DENY`] does not.
    pub flags: u32,
    pub ranges: [kvm_msr_filter_range; KVM_MSR_FILTER_MAX_RANGES],
}

/// MSRs from `base` on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_msr_filter_range {
    /// Which accesses the bits are about: [`KVM_MSR_FILTER_READ`], [`KVM_MSR_FILTER_WRITE`]. 0: the range is not used.
    pub flags: u32,
    pub nmsrs: u32,
    pub base: u32,
    /// The address of a bit for each MSR: 1 allows, 0 denies. In C a pointer.
    pub bitmap: u64,
}

/// Ranges that a filter has at most.
pub const KVM_MSR_FILTER_MAX_RANGES: usize = 16;
/// Reads.
pub const KVM_MSR_FILTER_READ: u32 = 1 << 0;
/// Writes.
pub const KVM_MSR_FILTER_WRITE: u32 = 1 << 1;
/// See [`kvm_msr_filter::flags`].
pub const KVM_MSR_FILTER_DEFAULT_DENY: u32 = 1 << 0;

/// What `KVM_SET_PMU_EVENT_FILTER` takes: Linux 5.3. `nevents` numbers of 8 bytes follow: an event's select and unit mask, as in
/// bits 0-15 and 32-35 of its MSR.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pmu_event_filter {
    /// [`KVM_PMU_EVENT_ALLOW`] or [`KVM_PMU_EVENT_DENY`] what the list has.
    pub action: u32,
    pub nevents: u32,
    /// The counters of one event each, a bit for each.
    pub fixed_counter_bitmap: u32,
    /// 0, or [`KVM_PMU_EVENT_FLAG_MASKED_EVENTS`].
    pub flags: u32,
    pub pad: [u32; 4],
}

/// An entry is a set of unit masks: the mask that counts in bits 56-63, what it must be in bits 8-15. Linux 6.3.
pub const KVM_PMU_EVENT_FLAG_MASKED_EVENTS: u32 = 1 << 0;
/// The general counters can count the list's events only. For the fixed ones the bitmap says.
pub const KVM_PMU_EVENT_ALLOW: u32 = 0;
/// All but the list's.
pub const KVM_PMU_EVENT_DENY: u32 = 1;
/// In `args[0]` of `KVM_CAP_PMU_CAPABILITY`: the VM has no performance counters.
pub const KVM_PMU_CAP_DISABLE: u32 = 1 << 0;
