//! PVH: what a loader tells a kernel that names its 32-bit entry in an ELF note. Linux' `include/xen/interface/hvm/start_info.h`
//! and `include/xen/interface/elfnote.h`; Xen's `docs/misc/pvh.pandoc`.

/// The note's type; its name is "Xen". It holds the entry's physical address, in 4 or 8 bytes.
pub const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// In `magic`: "xEn3" with the 0x80 bit of the "E" set.
pub const XEN_HVM_START_MAGIC_VALUE: u32 = 0x336e_c578;

/// What EBX points to. All addresses are physical.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct hvm_start_info {
    pub magic: u32,
    /// 1: there is a memory map.
    pub version: u32,
    pub flags: u32,
    pub nr_modules: u32,
    pub modlist_paddr: u64,
    /// Text that ends in a zero.
    pub cmdline_paddr: u64,
    /// ACPI's root pointer, or 0.
    pub rsdp_paddr: u64,
    pub memmap_paddr: u64,
    pub memmap_entries: u32,
    pub reserved: u32,
}

/// A module.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct hvm_modlist_entry {
    pub paddr: u64,
    pub size: u64,
    pub cmdline_paddr: u64,
    pub reserved: u64,
}

/// A range of the memory map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct hvm_memmap_table_entry {
    pub addr: u64,
    pub size: u64,
    /// One of `XEN_HVM_MEMMAP_TYPE_*`, the numbers of E820.
    pub r#type: u32,
    pub reserved: u32,
}

pub const XEN_HVM_MEMMAP_TYPE_RAM: u32 = 1;
pub const XEN_HVM_MEMMAP_TYPE_RESERVED: u32 = 2;
