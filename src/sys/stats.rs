//! KVM's statistics in binary form: api.rst 4.133, since Linux 5.14.
//!
//! `KVM_GET_STATS_FD` gives a descriptor to read: a header, a name of what is counted, descriptors, data;
//! where each begins, the header says.

/// The header, at offset 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_stats_header {
    /// 0 so far.
    pub flags: u32,
    /// Bytes of each descriptor's name, with its zeros.
    pub name_size: u32,
    /// Descriptors.
    pub num_desc: u32,
    /// Where a string tells what is counted: `kvm-PID`, `kvm-PID/vcpu-N`.
    pub id_offset: u32,
    /// Where the descriptors begin.
    pub desc_offset: u32,
    /// Where the values begin.
    pub data_offset: u32,
}

/// A descriptor; its name follows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_stats_desc {
    /// Type, unit and base: see the constants.
    pub flags: u32,
    /// A value counts base^exponent units.
    pub exponent: i16,
    /// How many values there are, of 8 bytes each: more than one for a histogram.
    pub size: u16,
    /// Where they lie, in bytes from `data_offset`.
    pub offset: u32,
    /// Of a linear histogram: the width of a bucket.
    pub bucket_size: u32,
    pub name: [u8; 0],
}

/// Which bits of `flags` are the type.
pub const KVM_STATS_TYPE_MASK: u32 = 0xf;
/// A value that is now, not a count since the beginning.
pub const KVM_STATS_TYPE_INSTANT: u32 = 1;
/// The largest that there was.
pub const KVM_STATS_TYPE_PEAK: u32 = 2;
/// A histogram with buckets of one width; each value counts the events in its bucket.
pub const KVM_STATS_TYPE_LINEAR_HIST: u32 = 3;
/// Likewise; each bucket is twice as wide as the one before.
pub const KVM_STATS_TYPE_LOG_HIST: u32 = 4;
/// Where the unit begins: 0 none, 1 bytes, 2 seconds, 3 cycles, 4 boolean.
pub const KVM_STATS_UNIT_SHIFT: u32 = 4;
/// Which bits of `flags` are the base.
pub const KVM_STATS_BASE_MASK: u32 = 0xf00;
/// A base of 2; without it, of 10.
pub const KVM_STATS_BASE_POW2: u32 = 0x100;
