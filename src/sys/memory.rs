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
    /// 0, or `KVM_MEM_LOG_DIRTY_PAGES` (1), `KVM_MEM_READONLY` (2).
    pub flags: u32,
    pub guest_phys_addr: u64,
    /// Bytes; 0 deletes the slot.
    pub memory_size: u64,
    pub userspace_addr: u64,
}
