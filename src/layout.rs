//! Every guest-physical address, port and interrupt line that the program chooses, each with its reason.
//!
//! ```text
//!   4 GiB + rest  +------------------------+
//!                 |  RAM behind the hole   |  HIGH, slot 2
//!   0x1_0000_0000 +------------------------+
//!                 |  TSS, identity map     |  for KVM's own use: TSS, IDENTITY_MAP
//!   0xfffb_c000   +------------------------+  RAM_LIMIT
//!                 |  test memory   (board) |  0xff00_0000 TEST_MEMORY
//!                 |  local APICs   (board) |  0xfee0_0000 LOCAL_APIC
//!                 |  HPET          (board) |  0xfed0_0000 HPET
//!                 |  I/O APIC      (board) |  0xfec0_0000 IO_APIC
//!                 |  PCI registers (board) |  0xf000_0000 PCI_MEMORY
//!                 |  PCI ECAM      (board) |  0xe800_0000 PCI_ECAM, the board's lowest
//!                 |  the lessons' page     |  0xe000_0000 LESSON_PAGE
//!                 |  the window, slot 1    |  0xc000_0000 WINDOW: only while a guest has it open
//!   0xc000_0000   +------------------------+  HOLE
//!                 |  tables, 7 pages       |  TABLES, at the end of low RAM: not in real mode
//!                 |  initrd                |
//!                 |  RAM, slot 0           |
//!                 |  a kernel              |  from 1 MiB on, where it wants to be
//!   0x0010_0000   +------------------------+
//!                 |  a few bytes of code   |  0xf_fff0 RESET_VECTOR
//!                 |  ACPI tables           |  0xe_0000 ACPI
//!                 |  reserved              |  a PC has its screen and firmware there
//!   0x0009_fc00   +------------------------+  LOW_END
//!                 |  free                  |  a kernel starts its other vCPUs from there
//!   0x0000_6000   +------------------------+
//!                 |  what a loader leaves  |  LINUX_GDT to MULTIBOOT_INFO
//!   0x0000_1000   |  or an image           |  IMAGE
//!   0x0000_0000   +------------------------+  RAM_BASE
//! ```

// ---- RAM

/// x86's smallest page: slots are aligned to it, and KVM falls back to it.
pub const PAGE_SIZE: u64 = 4096;

/// The pages of the default pool, and the larger of those that KVM maps guests by everywhere.
pub const HUGE_PAGE: u64 = 2 << 20;

/// Where RAM starts. KVM uses 2 MiB pages only where guest-physical and host-virtual addresses agree modulo 2 MiB. A
/// mapping of a hugetlbfs file starts at a multiple of 2 MiB, and so does the slot. (The original's slot started at
/// 0x1000, and KVM mapped it in 4 KiB pages only.)
pub const RAM_BASE: u64 = 0;
/// How much RAM there is by default: 8 pages of 2 MiB.
pub const RAM_SIZE: u64 = 16 << 20;
/// How much RAM a kernel has by default.
pub const KERNEL_RAM: u64 = 256 << 20;

/// RAM that begins below this address ends here at the latest, as on a PC, which has its devices above. A multiple of
/// 1 GiB, so that RAM above 4 GiB is aligned to its pages as the rest is.
pub const HOLE: u64 = 0xc000_0000;
/// Where RAM goes on behind the hole.
pub const HIGH: u64 = 1 << 32;

/// The memory slots: RAM below the hole, the window, RAM above 4 GiB.
pub const LOW_SLOT: u32 = 0;
pub const WINDOW_SLOT: u32 = 1;
pub const HIGH_SLOT: u32 = 2;
/// Slots have numbers below this.
pub const SLOTS: usize = 3;

/// Where an image is loaded and the vCPU starts. The images are linked for this address. Page 0 stays free for the
/// interrupt vectors of real mode (SDM volume 3, "8086 Emulation").
pub const IMAGE: u64 = 0x1000;

/// The three pages of `KVM_SET_TSS_ADDR`: just below the 256 KiB that end at 4 GiB, where a PC has its ROM.
pub const TSS: u64 = HIGH - (256 << 10) - 3 * PAGE_SIZE;
/// The page of `KVM_SET_IDENTITY_MAP_ADDR`: just below those.
pub const IDENTITY_MAP: u64 = TSS - PAGE_SIZE;
/// RAM that begins above the hole ends here at the latest. On Intel processors without unrestricted guest, KVM makes
/// slots of its own of the pages above, and slots must not overlap. Elsewhere the limit is the same, so that the same
/// guests run everywhere.
pub const RAM_LIMIT: u64 = IDENTITY_MAP;

// ---- what a mode other than real mode needs

/// Bytes at the end of low RAM that hold the tables. An image is kept out of there; a guest that overwrites them must
/// have made its own before.
///
/// ```text
///   end - 7 pages  GDT: null, CODE_32, DATA, CODE_64, USER_DATA, USER_CODE
///   end - 6        PML4: one entry          } for --mode long and user. They map 0 to 4 GiB to the same
///   end - 5        PDPT: four entries       } physical addresses, open to ring 3, in pages of 2 MiB:
///   end - 4 to 1   PD: 512 entries each     } pages of 1 GiB would need a feature of the processor
/// ```
pub const TABLES: u64 = 7 * PAGE_SIZE;

/// Where the tables lie if low RAM ends at this address. The stack begins there too, and grows down.
pub const fn tables(ram_end: u64) -> u64 {
    ram_end.saturating_sub(TABLES)
}

// Selectors in that GDT: the index times 8, and for ring 3 the ring's number.

/// 32-bit code of ring 0, from 0 to 4 GiB.
pub const CODE_32: u16 = 1 << 3;
/// Data of ring 0, likewise.
pub const DATA: u16 = 2 << 3;
/// 64-bit code of ring 0.
pub const CODE_64: u16 = 3 << 3;
/// Data of ring 3. It comes before the code, where SYSRET expects it.
pub const USER_DATA: u16 = 4 << 3 | 3;
/// 64-bit code of ring 3.
pub const USER_CODE: u16 = 5 << 3 | 3;

// ---- the console and the lessons' devices: every machine has them

/// A byte, or the low byte of a larger access, that is written here goes to standard output. It is the original guest's
/// port; a PC's first DMA controller ends just below, at 0x0f.
pub const CONSOLE_PORT: u16 = 0x10;

/// The scratch register: four ports. An access of 1, 2 or 4 bytes reads or writes as many bytes of the register, from its
/// own port on. QEMU's test device has the same here, and kernels that were written for QEMU expect it.
pub const SCRATCH_PORT: u16 = 0xe0;
/// The scratch register again, where QEMU has it for accesses of single bytes.
pub const SCRATCH_BYTES_PORT: u16 = 0xe8;
/// The ports of the scratch register.
pub const SCRATCH_PORTS: u16 = 4;

/// The doorbell. What is written, in any size, is one of `RING_*`; other values give a warning. A read gives the time in
/// microseconds of the host's monotonic clock.
pub const DOORBELL_PORT: u16 = 0xec;

crate::sys::named! {
    /// The name of a value for the doorbell.
    ring_name:

    /// Closes the window.
    RING_CLOSE = 0;
    /// Opens the window: the first bytes of RAM appear a second time, at [`WINDOW`].
    RING_OPEN = 1;
    /// Opens the window read-only: a write to it exits to the program.
    RING_OPEN_READONLY = 2;
    /// With `--dirty-log`: shows the pages that were written since the last time.
    RING_DIRTY = 3;
    /// Ends the run as HLT does, for ring 3, which may not execute HLT.
    RING_END = 4;

    // What the kernel can do with a write instead of an exit. All but the log on a port need the board.

    /// From now on an eventfd counts the bytes that are written to [`COUNTER_PORT`].
    RING_EVENT = 5;
    /// Likewise for 4 bytes at [`LESSON_COUNTER`] that are [`COUNTER_MATCH`]; other values still exit.
    RING_EVENT_MATCH = 6;
    /// The eventfd raises [`EVENT_LINE`].
    RING_IRQ = 7;
    /// The eventfd raises [`LEVEL_LINE`], level-triggered, until the guest acknowledges it.
    RING_IRQ_LEVEL = 8;
    /// The eventfd sends a message (MSI). The scratch register holds the message's address (low four bytes) and data.
    RING_ROUTE = 9;
    /// From now on, writes to the log's addresses go into the ring of coalesced writes.
    RING_COALESCE = 10;
    /// Likewise for the log's port.
    RING_COALESCE_PORT = 11;
    /// Sends the message in the scratch register at once.
    RING_MSI = 12;
    /// Saves the machine, as SIGUSR2 does. The guest goes on behind this write: at once, or when it is restored.
    RING_SAVE = 13;
}

/// The counter's port: each write counts 1, a read gives the count.
pub const COUNTER_PORT: u16 = 0xee;
/// What [`RING_EVENT_MATCH`] looks for.
pub const COUNTER_MATCH: u64 = 1;
/// The log's port: each byte that is written is added to the log's sum.
pub const LOG_PORT: u16 = 0xef;
/// The lines that the counter's eventfd can raise, and the first GSI behind the I/O APIC's.
pub const EVENT_LINE: u32 = 5;
pub const LEVEL_LINE: u32 = 10;
pub const ROUTED_LINE: u32 = IO_APIC_LINES;

/// The window: slot 1 while it is open.
pub const WINDOW: u64 = HOLE;
/// How much of RAM the window shows, or all of RAM where that is less.
pub const WINDOW_SIZE: u64 = 64 << 10;

/// The lessons' page, for accesses of 1, 2, 4 and 8 bytes. Between its registers, reads give ones.
pub const LESSON_PAGE: u64 = 0xe000_0000;
/// Eight bytes, of which the ports show the first four.
pub const LESSON_SCRATCH: u64 = LESSON_PAGE;
/// The time, as at [`DOORBELL_PORT`].
pub const LESSON_TIME: u64 = LESSON_PAGE + 8;
/// The doorbell.
pub const LESSON_DOORBELL: u64 = LESSON_PAGE + 16;
/// The counter: each write counts 1, a read gives the count.
pub const LESSON_COUNTER: u64 = LESSON_PAGE + 24;
/// How many writes the log has had, their sum, and how often the guest has acknowledged a level-triggered interrupt.
pub const LESSON_LOGGED: u64 = LESSON_PAGE + 32;
pub const LESSON_SUM: u64 = LESSON_PAGE + 40;
pub const LESSON_ACKNOWLEDGED: u64 = LESSON_PAGE + 48;
/// The log: each write is added to its sum. Its writes can be coalesced.
pub const LESSON_LOG: u64 = LESSON_PAGE + LESSON_LOG_SIZE;
pub const LESSON_LOG_SIZE: u64 = 2048;

/// The lessons' MSR, "KOB2" in ASCII: it keeps what is written to it. KVM does not know it. (Linux reserves 0x4b564dxx for
/// KVM's own.) Any other MSR that KVM does not know gives the guest a #GP.
pub const LESSON_MSR: u32 = 0x4b4f_4232;

// ---- a kernel's first MiB

/// Where a guest leaves the address, offset and segment, at which it wants to go on after its processor was reset: 40:67.
pub const FIRMWARE_RESUME: u64 = 0x467;

/// The end of what a kernel may use below 1 MiB. Behind it a PC has extended BIOS data, screen and firmware.
pub const LOW_END: u64 = 0x9_fc00;
/// Where usable RAM goes on.
pub const MIB: u64 = 1 << 20;

/// The GDT with which Linux starts: its boot protocol wants code at selector 0x10 and data at 0x18.
pub const LINUX_GDT: u64 = 0x1000;
/// Linux' "zero page", `struct boot_params`.
pub const ZERO_PAGE: u64 = 0x2000;
/// The command line of Linux and PVH, up to two pages with its final zero.
pub const COMMAND_LINE: u64 = 0x3000;
/// The longest that there is room for, without that zero.
pub const LONGEST_LINE: u64 = MULTIBOOT_INFO - COMMAND_LINE - 1;
/// Multiboot's information, with module list, names and command line: one page.
pub const MULTIBOOT_INFO: u64 = 0x5000;
/// PVH's start information, with module list and memory map, in the same page: a kernel has only one of the two.
pub const PVH_INFO: u64 = MULTIBOOT_INFO;
/// What a loader writes lies between [`LINUX_GDT`] and here.
pub const LOADER_END: u64 = MULTIBOOT_INFO + PAGE_SIZE;

/// ACPI's tables, the root pointer first: one of the places where a kernel looks for it.
pub const ACPI: u64 = 0xe_0000;
/// Room for them.
pub const ACPI_SIZE: u64 = RESET_VECTOR - ACPI;
/// The VM generation ID, behind the root pointer and the FACS. Its place must not be usable RAM; a multiple of 8 will do.
pub const VM_GENERATION: u64 = ACPI + 128;
pub const VM_GENERATION_SIZE: u64 = 16;
/// Where firmware of a PC begins in real mode, f000:fff0.
pub const RESET_VECTOR: u64 = 0xf_fff0;

// ---- the board

/// The most vCPUs. A vCPU's number is its APIC id, which has 8 bits in xAPIC mode, and 255 is the broadcast. More would need
/// x2APIC ids everywhere: `KVM_CAP_X2APIC_API`, x2APIC entries in the MADT.
pub const MAX_VCPUS: u32 = 255;

/// The local APICs, each at the same address for its own vCPU: SDM volume 3, 11.4.1.
pub const LOCAL_APIC: u64 = 0xfee0_0000;
/// The I/O APIC.
pub const IO_APIC: u64 = 0xfec0_0000;
/// How many lines it has.
pub const IO_APIC_LINES: u32 = 24;
/// Its registers.
pub const IO_APIC_SIZE: u64 = 0x50;
/// The one of its pins to which [`TIMER_LINE`] leads. All other lines have a pin with their own number.
pub const IO_APIC_TIMER_PIN: u32 = 2;

/// The first and the second 8259: two ports each, and a register of the chipset's for each.
pub const PIC: u16 = 0x20;
pub const SECOND_PIC: u16 = 0xa0;
pub const PIC_TRIGGER: u16 = 0x4d0;
/// The interval timer's ports, and the speaker's.
pub const PIT: u16 = 0x40;
pub const PIT_PORTS: u16 = 4;
pub const SPEAKER_PORT: u16 = 0x61;

/// The interval timer's interrupt, which an HPET can take.
pub const TIMER_LINE: u32 = 0;

/// The high precision event timer, at the place where chipsets have it.
pub const HPET: u64 = 0xfed0_0000;
pub const HPET_SIZE: u64 = 1 << 10;

/// A PC's first serial port.
pub const SERIAL_PORT: u16 = 0x3f8;
pub const SERIAL_PORTS: u16 = 8;
/// Its interrupt.
pub const SERIAL_LINE: u32 = 4;

/// The real-time clock: the register's number, and behind it its value.
pub const RTC_PORT: u16 = 0x70;
pub const RTC_PORTS: u16 = 2;
/// Its interrupt.
pub const RTC_LINE: u32 = 8;
/// The byte of its RAM that tells firmware where a processor that was reset goes on.
pub const CMOS_SHUTDOWN: usize = 0x0f;

/// ACPI's PM1a event registers: two bytes of status and two of what is enabled. No port that a PC has for itself.
pub const PM1_EVENT: u16 = 0x600;
/// ACPI's PM1a control register: two bytes.
pub const PM1_CONTROL: u16 = PM1_EVENT + 4;
/// ACPI's general-purpose events: a byte of status, and one of what is enabled.
pub const GPE: u16 = PM1_EVENT + 6;
/// ACPI's power management timer: four bytes.
pub const PM_TIMER: u16 = PM1_EVENT + 8;
pub const PM_PORTS: u16 = 12;
/// What a guest writes to SLP_TYP for "off", as `\_S5` tells it, and for "sleep, keep RAM", as `\_S3` does: those of QEMU, which
/// some kernels know by heart.
pub const SLEEP_OFF: u16 = 0;
pub const SLEEP_TO_RAM: u16 = 1;
/// ACPI's interrupt.
pub const ACPI_LINE: u32 = 9;

/// fw_cfg, QEMU's description of the machine: selector and data, and from the fifth port on the address of DMA.
pub const FW_CFG: u16 = 0x510;
pub const FW_CFG_PORTS: u16 = 12;

/// The ports and addresses at which the functions on the PCI bus may have their registers.
pub const PCI_PORTS: u16 = 0xc000;
pub const PCI_PORTS_SIZE: u16 = 0x1000;
pub const PCI_MEMORY: u64 = 0xf000_0000;
pub const PCI_MEMORY_SIZE: u64 = 128 << 20;
/// PCI Express' configuration space, of bus 0 alone: 4 KiB for each of its 256 functions.
pub const PCI_ECAM: u64 = 0xe800_0000;
pub const PCI_ECAM_SIZE: u64 = 1 << 20;
/// The interrupts of PCI functions: the I/O APIC's lines from here on, which no older device has.
pub const PCI_LINES: u32 = 16;
pub const PCI_LINE_COUNT: u32 = 8;
/// How many device numbers are in use: the host bridge and the test device.
pub const PCI_DEVICES: u32 = 2;

/// PCI's configuration mechanism, address and data.
pub const PCI_CONFIG: u16 = 0xcf8;
pub const PCI_CONFIG_END: u16 = PCI_CONFIG + 8;
/// A PC chipset's reset register; here it is ACPI's too.
pub const RESET_CONTROL: u16 = 0xcf9;
/// The keyboard controller's command port, and system control port A, which can reset a PC too.
pub const KEYBOARD_COMMAND: u16 = 0x64;
pub const SYSTEM_CONTROL: u16 = 0x92;

// ---- QEMU's test devices, which kernels that test a hypervisor expect: hw/misc/debugexit.c and pc-testdev.c

/// A write of V ends the run with status (V << 1) | 1. Every machine has it.
pub const TEST_EXIT: u16 = 0xf4;
/// A write of the guest-physical address of a page of RAM makes the host drop its mapping, so that the next access faults.
pub const TEST_DROP: u16 = 0xe4;
/// A write to the Nth port sets interrupt line N to the value's low bit.
pub const TEST_LINES: u16 = 0x2000;
/// 64 KiB that read as they were written, but each access exits.
pub const TEST_MEMORY: u64 = 0xff00_0000;
pub const TEST_MEMORY_SIZE: u64 = 64 << 10;
