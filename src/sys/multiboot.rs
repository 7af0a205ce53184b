//! Multiboot 0.6.96: what a kernel's header asks for, and what a loader tells the kernel. The names are those of the
//! specification's example, `multiboot.h`.

/// 3.1.2: the header's `magic`.
pub const MULTIBOOT_HEADER_MAGIC: u32 = 0x1bad_b002;
/// 3.2: what EAX holds when the kernel starts.
pub const MULTIBOOT_BOOTLOADER_MAGIC: u32 = 0x2bad_b002;
/// 3.1: the header lies within so many bytes of the file's start.
pub const MULTIBOOT_SEARCH: usize = 8192;
/// 3.1.1: at a multiple of this.
pub const MULTIBOOT_HEADER_ALIGN: usize = 4;

// 3.1.2: the header's `flags`. A loader that does not know one of the lower 16 must not load the kernel.

/// Modules are aligned to pages.
pub const MULTIBOOT_PAGE_ALIGN: u32 = 1 << 0;
/// The kernel wants to know about memory.
pub const MULTIBOOT_MEMORY_INFO: u32 = 1 << 1;
/// The kernel wants to know about the screen.
pub const MULTIBOOT_VIDEO_MODE: u32 = 1 << 2;
/// The header says where the kernel goes; the file need not be ELF.
pub const MULTIBOOT_AOUT_KLUDGE: u32 = 1 << 16;

/// 3.1: the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct multiboot_header {
    pub magic: u32,
    pub flags: u32,
    /// Makes the sum of these three 0.
    pub checksum: u32,
    /// With [`MULTIBOOT_AOUT_KLUDGE`]: the address at which the header itself is loaded.
    pub header_addr: u32,
    /// Where what is loaded begins.
    pub load_addr: u32,
    /// Where it ends; 0 for the end of the file.
    pub load_end_addr: u32,
    /// Where the zeros behind it end.
    pub bss_end_addr: u32,
    /// The first instruction.
    pub entry_addr: u32,
}

/// 3.3: what EBX points to. `flags` tells which of the fields count.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct multiboot_info {
    pub flags: u32,
    /// KiB of memory from 0 on, and from 1 MiB on.
    pub mem_lower: u32,
    pub mem_upper: u32,
    pub boot_device: u32,
    pub cmdline: u32,
    pub mods_count: u32,
    pub mods_addr: u32,
    pub syms: [u32; 4],
    /// Bytes of memory map, and where it begins.
    pub mmap_length: u32,
    pub mmap_addr: u32,
    pub drives_length: u32,
    pub drives_addr: u32,
    pub config_table: u32,
    pub boot_loader_name: u32,
    pub apm_table: u32,
    pub vbe: [u32; 4],
}

/// `mem_lower` and `mem_upper` count.
pub const MULTIBOOT_INFO_MEMORY: u32 = 1 << 0;
/// `cmdline` counts.
pub const MULTIBOOT_INFO_CMDLINE: u32 = 1 << 2;
/// The modules count.
pub const MULTIBOOT_INFO_MODS: u32 = 1 << 3;
/// The memory map counts.
pub const MULTIBOOT_INFO_MEM_MAP: u32 = 1 << 6;
/// `boot_loader_name` counts.
pub const MULTIBOOT_INFO_BOOT_LOADER_NAME: u32 = 1 << 9;

/// 3.3: a module.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct multiboot_mod_list {
    pub mod_start: u32,
    pub mod_end: u32,
    /// Its name.
    pub cmdline: u32,
    pub pad: u32,
}

/// 3.3: a range of memory.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct multiboot_mmap_entry {
    /// How many bytes follow this field.
    pub size: u32,
    pub addr: u64,
    pub len: u64,
    /// 1: usable RAM; 2: reserved.
    pub r#type: u32,
}
