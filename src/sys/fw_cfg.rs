//! fw_cfg: Linux' `include/uapi/linux/qemu_fw_cfg.h`, and QEMU's `docs/specs/fw_cfg.rst`.

// Items. Numbers in them are little-endian.

/// "QEMU".
pub const FW_CFG_SIGNATURE: u16 = 0x00;
/// An OR of `FW_CFG_VERSION*`.
pub const FW_CFG_ID: u16 = 0x01;
/// Bytes of RAM, 64 bits.
pub const FW_CFG_RAM_SIZE: u16 = 0x03;
/// Processors that are there at the start, 16 bits.
pub const FW_CFG_NB_CPUS: u16 = 0x05;
/// The most that there can be, likewise.
pub const FW_CFG_MAX_CPUS: u16 = 0x0f;
/// Where in RAM the kernel lies, its size, and its entry: 32 bits each. Then its bytes.
pub const FW_CFG_KERNEL_ADDR: u16 = 0x07;
pub const FW_CFG_KERNEL_SIZE: u16 = 0x08;
pub const FW_CFG_KERNEL_ENTRY: u16 = 0x10;
pub const FW_CFG_KERNEL_DATA: u16 = 0x11;
/// Likewise the initrd.
pub const FW_CFG_INITRD_ADDR: u16 = 0x0a;
pub const FW_CFG_INITRD_SIZE: u16 = 0x0b;
pub const FW_CFG_INITRD_DATA: u16 = 0x12;
/// Likewise the command line; its size includes a final zero.
pub const FW_CFG_CMDLINE_ADDR: u16 = 0x13;
pub const FW_CFG_CMDLINE_SIZE: u16 = 0x14;
pub const FW_CFG_CMDLINE_DATA: u16 = 0x15;
/// Of a bzImage, likewise: the real-mode code, which comes before the kernel in its file.
pub const FW_CFG_SETUP_ADDR: u16 = 0x16;
pub const FW_CFG_SETUP_SIZE: u16 = 0x17;
pub const FW_CFG_SETUP_DATA: u16 = 0x18;
/// The directory: big-endian, how many files, and of each its size, item, two zeros, and its name.
pub const FW_CFG_FILE_DIR: u16 = 0x19;
/// The first item with a name.
pub const FW_CFG_FILE_FIRST: u16 = 0x20;

/// In a selector: the guest means to write.
pub const FW_CFG_WRITE_CHANNEL: u16 = 0x4000;
/// The size of a name with its final zero.
pub const FW_CFG_MAX_FILE_PATH: usize = 56;

/// The items can be read through the ports.
pub const FW_CFG_VERSION: u32 = 0x01;
/// There is DMA.
pub const FW_CFG_VERSION_DMA: u32 = 0x02;

// The control field of a request.
pub const FW_CFG_DMA_CTL_ERROR: u32 = 0x01;
pub const FW_CFG_DMA_CTL_READ: u32 = 0x02;
pub const FW_CFG_DMA_CTL_SKIP: u32 = 0x04;
/// Selects the item in bits 31 to 16 first.
pub const FW_CFG_DMA_CTL_SELECT: u32 = 0x08;
pub const FW_CFG_DMA_CTL_WRITE: u32 = 0x10;

/// What the DMA register reads as, big-endian: "QEMU CFG".
pub const FW_CFG_DMA_SIGNATURE: u64 = 0x5145_4d55_2043_4647;

/// A request in RAM. All fields are big-endian.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct fw_cfg_dma_access {
    /// `FW_CFG_DMA_CTL_*`; afterwards 0, or [`FW_CFG_DMA_CTL_ERROR`].
    pub control: u32,
    pub length: u32,
    /// A guest-physical address.
    pub address: u64,
}
