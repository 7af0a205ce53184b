//! Guest memory: slots, which of their pages were written, and memory that user space cannot map.

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

/// KVM keeps a bit for each page that it maps writable: when the guest first writes to it, or earlier, if a read fault already mapped it
/// writable. 2 MiB pages are split for it.
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

/// What `KVM_CLEAR_DIRTY_LOG` takes: api.rst 4.117. The bits of `num_pages` pages from `first_page` on, both multiples of 64 but
/// at the slot's end; the pages whose bit is set are watched again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_clear_dirty_log {
    pub slot: u32,
    pub num_pages: u32,
    pub first_page: u64,
    /// As in [`kvm_dirty_log`].
    pub dirty_bitmap: u64,
}

/// In `args[0]` of `KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2`: `KVM_GET_DIRTY_LOG` only reads, `KVM_CLEAR_DIRTY_LOG` starts anew.
pub const KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE: u32 = 1 << 0;
/// And all pages count as written when the log begins, so that none need be watched before the first clearing. Linux 5.7.
pub const KVM_DIRTY_LOG_INITIALLY_SET: u32 = 1 << 1;

/// An entry of a vCPU's dirty ring: api.rst 8.29.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct kvm_dirty_gfn {
    /// KVM sets [`KVM_DIRTY_GFN_F_DIRTY`]; whoever collects the entry sets [`KVM_DIRTY_GFN_F_RESET`].
    pub flags: u32,
    /// Bits 0-15 the slot, 16-31 its address space.
    pub slot: u32,
    /// The page's number in the slot.
    pub offset: u64,
}

/// The page was written.
pub const KVM_DIRTY_GFN_F_DIRTY: u32 = 1 << 0;
/// The entry was collected, and `KVM_RESET_DIRTY_RINGS` may take it back.
pub const KVM_DIRTY_GFN_F_RESET: u32 = 1 << 1;

/// The ring lies in the mapping of a vCPU from this page on.
pub const KVM_DIRTY_LOG_PAGE_OFFSET: usize = 64;

/// What `KVM_SET_USER_MEMORY_REGION2` takes: api.rst 4.140, Linux 6.8.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_userspace_memory_region2 {
    pub slot: u32,
    /// As in [`kvm_userspace_memory_region`], and [`KVM_MEM_GUEST_MEMFD`].
    pub flags: u32,
    pub guest_phys_addr: u64,
    pub memory_size: u64,
    pub userspace_addr: u64,
    /// Where in the guest_memfd the slot begins, in bytes.
    pub guest_memfd_offset: u64,
    pub guest_memfd: u32,
    pub pad1: u32,
    pub pad2: [u64; 14],
}

/// The slot's private pages are a guest_memfd's. Linux 6.8.
pub const KVM_MEM_GUEST_MEMFD: u32 = 1 << 2;

/// What `KVM_SET_MEMORY_ATTRIBUTES` takes: api.rst 4.141, Linux 6.8.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_memory_attributes {
    /// Guest-physical; this and `size` are multiples of 4 KiB.
    pub address: u64,
    pub size: u64,
    /// 0, or [`KVM_MEMORY_ATTRIBUTE_PRIVATE`].
    pub attributes: u64,
    /// 0.
    pub flags: u64,
}

/// These pages are the guest_memfd's.
pub const KVM_MEMORY_ATTRIBUTE_PRIVATE: u64 = 1 << 3;

/// What `KVM_CREATE_GUEST_MEMFD` takes: api.rst 4.142, Linux 6.8.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_create_guest_memfd {
    /// In bytes, a multiple of 4 KiB.
    pub size: u64,
    pub flags: u64,
    pub reserved: [u64; 6],
}

/// The type for `KVM_CREATE_VM` of a VM with private memory that nothing protects: for tests of the interface. Linux 6.8,
/// `CONFIG_KVM_SW_PROTECTED_VM`.
pub const KVM_X86_SW_PROTECTED_VM: u32 = 1;

/// What `KVM_PRE_FAULT_MEMORY` takes: api.rst 4.143, Linux 6.11.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pre_fault_memory {
    /// KVM moves it behind what it has mapped, and lessens `size` by as much.
    pub gpa: u64,
    pub size: u64,
    /// 0.
    pub flags: u64,
    pub padding: [u64; 5],
}
