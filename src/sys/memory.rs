//! A slot of guest memory: api.rst 4.35.

/// What `KVM_SET_USER_MEMORY_REGION` takes: the guest-physical addresses
/// `guest_phys_addr .. + memory_size` are this process' memory from `userspace_addr` on.
/// All three are multiples of 4 KiB (EINVAL); slots must not overlap (EEXIST).
///
/// KVM uses 2 MiB pages in a slot only where `guest_phys_addr` and `userspace_addr` agree in
/// their low 21 bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_userspace_memory_region {
    /// Bits 0-15 are the slot's number, below what `KVM_CAP_NR_MEMSLOTS` says.
    pub slot: u32,
    /// 0, or [`KVM_MEM_LOG_DIRTY_PAGES`], [`KVM_MEM_READONLY`].
    pub flags: u32,
    pub guest_phys_addr: u64,
    /// Bytes; 0 deletes the slot.
    pub memory_size: u64,
    pub userspace_addr: u64,
}

/// KVM keeps a bit for each page that it maps writable, which is when the guest first writes to it or, where
/// that comes for free, earlier; 2 MiB pages are split for it.
pub const KVM_MEM_LOG_DIRTY_PAGES: u32 = 1 << 0;
/// Reads are memory, writes leave with `KVM_EXIT_MMIO`; `KVM_CAP_READONLY_MEM`.
pub const KVM_MEM_READONLY: u32 = 1 << 1;

/// What `KVM_GET_DIRTY_LOG` takes: api.rst 4.8.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_dirty_log {
    pub slot: u32,
    pub padding1: u32,
    /// The address of the bits, one for each 4 KiB of the slot, in units of 8 bytes; the kernel fills them and
    /// starts anew. In C a pointer in a union.
    pub dirty_bitmap: u64,
}
