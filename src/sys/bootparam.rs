//! Linux' boot protocol on x86: `arch/x86/include/uapi/asm/bootparam.h`; `Documentation/arch/x86/boot.rst` (until Linux 6.5
//! `Documentation/x86/boot.rst`) explains the fields, and `zero-page.rst` beside it the page.

/// "The Real-Mode Kernel Header": in a bzImage at offset [`SETUP_HEADER_OFFSET`], and at the same place in the zero page.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct setup_header {
    /// Sectors of real-mode code behind the boot sector; 0 means 4.
    pub setup_sects: u8,
    pub root_flags: u16,
    /// The size of the rest of the kernel, in units of 16 bytes.
    pub syssize: u32,
    pub ram_size: u16,
    pub vid_mode: u16,
    pub root_dev: u16,
    /// [`BOOT_FLAG`].
    pub boot_flag: u16,
    /// A short jump, whose second byte is the distance from here to the header's end.
    pub jump: u16,
    /// [`HEADER_MAGIC`].
    pub header: u32,
    /// The boot protocol's version: 0x020f is 2.15.
    pub version: u16,
    pub realmode_swtch: u32,
    pub start_sys_seg: u16,
    pub kernel_version: u16,
    /// Filled by the loader: 0xff for one without a number.
    pub type_of_loader: u8,
    /// An OR of [`LOADED_HIGH`] and others.
    pub loadflags: u8,
    pub setup_move_size: u16,
    pub code32_start: u32,
    /// Filled by the loader: the initrd's address and size.
    pub ramdisk_image: u32,
    pub ramdisk_size: u32,
    pub bootsect_kludge: u32,
    pub heap_end_ptr: u16,
    pub ext_loader_ver: u8,
    pub ext_loader_type: u8,
    /// Filled by the loader: the command line's address.
    pub cmd_line_ptr: u32,
    /// The highest address that an initrd may have.
    pub initrd_addr_max: u32,
    pub kernel_alignment: u32,
    pub relocatable_kernel: u8,
    pub min_alignment: u8,
    /// An OR of [`XLF_KERNEL_64`] and others.
    pub xloadflags: u16,
    /// The longest command line, without its zero.
    pub cmdline_size: u32,
    pub hardware_subarch: u32,
    pub hardware_subarch_data: u64,
    pub payload_offset: u32,
    pub payload_length: u32,
    pub setup_data: u64,
    /// Where the kernel wants to be loaded.
    pub pref_address: u64,
    /// How much memory it needs from there on until it looks at the memory map.
    pub init_size: u32,
    pub handover_offset: u32,
    pub kernel_info_offset: u32,
}

/// A range of guest-physical addresses, and what it is.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct boot_e820_entry {
    pub addr: u64,
    pub size: u64,
    /// 1: usable RAM; 2: reserved.
    pub r#type: u32,
}

/// The "zero page": what a loader tells the kernel. Fields that this program does not use are gaps.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct boot_params {
    pub gap1: [u8; 0x070],
    /// Where ACPI's root pointer lies.
    pub acpi_rsdp_addr: u64,
    pub gap2: [u8; 0x1e8 - 0x078],
    pub e820_entries: u8,
    pub gap3: [u8; 0x1f1 - 0x1e9],
    pub hdr: setup_header,
    pub gap4: [u8; 0x2d0 - 0x1f1 - size_of::<setup_header>()],
    pub e820_table: [boot_e820_entry; E820_MAX_ENTRIES_ZEROPAGE],
    pub gap5: [u8; 0x1000 - 0xcd0],
}

/// How many ranges the page has room for.
pub const E820_MAX_ENTRIES_ZEROPAGE: usize = 128;
/// `setup_header::loadflags`: the kernel is loaded at 1 MiB or above.
pub const LOADED_HIGH: u8 = 1 << 0;
/// `setup_header::xloadflags`: the kernel has an entry for 64-bit mode, 0x200 bytes behind where it was loaded.
pub const XLF_KERNEL_64: u16 = 1 << 0;

// The header has no names for these.

/// Where the header lies in the file and in the zero page.
pub const SETUP_HEADER_OFFSET: usize = 0x1f1;
/// `setup_header::boot_flag`.
pub const BOOT_FLAG: u16 = 0xaa55;
/// `setup_header::header`: "HdrS".
pub const HEADER_MAGIC: u32 = 0x5372_6448;
