//! Every guest-physical address and every port that the program chooses, each with its reason.
//!
//! ```text
//!   0xffff_ffff  +------------------------+
//!                |  nothing: ones         |
//!   0xfffc_0000  +------------------------+
//!                |  TSS, 3 pages          |  KVM's own, for Intel's real mode
//!   0xfffb_d000  +------------------------+
//!                |  identity map, 1 page  |  likewise
//!   0xfffb_c000  +------------------------+  RAM_LIMIT
//!                |  nothing: ones         |
//!   0xe000_1000  +------------------------+
//!                |  the lessons' page     |  LESSON_PAGE
//!   0xe000_0000  +------------------------+
//!                |  nothing: ones         |
//!   0xc001_0000  +------------------------+
//!                |  the window, slot 1    |  WINDOW: only while a guest has it opened
//!   0xc000_0000  +------------------------+
//!                |  nothing: ones         |
//!                +------------------------+  --base + --memory
//!                |  tables, 7 pages       |  TABLES: not in real mode
//!                +------------------------+
//!                |  RAM, slot 0           |
//!   0x0000_1000  |  - the image, --load   |
//!   0x0000_0000  +------------------------+  --base
//! ```
//!
//! RAM that reaches up to the window or to the lessons' page covers it, and that one is gone: RAM is not to be
//! taken away.

/// Where the slot starts. KVM uses 2 MiB pages only where guest-physical and host-virtual addresses
/// agree modulo 2 MiB. A hugetlbfs mapping starts at a multiple of 2 MiB, so the slot does too.
/// (The original's slot started at 0x1000 and was mapped by 4 KiB pages alone.)
pub const RAM_BASE: u64 = 0;

/// How much RAM there is by default: 8 pages of 2 MiB.
pub const RAM_SIZE: u64 = 16 << 20;

/// Where the image goes and the vCPU starts. It is linked for this address; page 0 stays free for
/// the interrupt vectors of real mode (SDM volume 3, "8086 Emulation").
pub const IMAGE: u64 = 0x1000;

/// The three pages of `KVM_SET_TSS_ADDR`: the last ones below what would be a PC's 256 KiB of ROM
/// that end at 4 GiB.
pub const TSS: u64 = 0x1_0000_0000 - (256 << 10) - 3 * PAGE_SIZE;

/// The page of `KVM_SET_IDENTITY_MAP_ADDR`, just below.
pub const IDENTITY_MAP: u64 = TSS - PAGE_SIZE;

/// RAM ends here at the latest. On Intel hosts without unrestricted guest the pages above are slots
/// of KVM's own, and slots must not overlap (EEXIST); elsewhere it is so for the same guests to run.
pub const RAM_LIMIT: u64 = IDENTITY_MAP;

/// What slots are aligned to, and what KVM falls back to: x86's smallest page.
pub const PAGE_SIZE: u64 = 4096;

/// A byte, or the low byte of a word or doubleword, that is written here goes to standard output.
/// The original guest's port; on a PC the first DMA controller ends just below, at 0x0f.
pub const CONSOLE_PORT: u16 = 0x10;

/// What a mode other than real mode needs in RAM: its last seven pages. The image is kept out of there; a
/// guest that overwrites them must have its own.
///
/// ```text
///   end - 7 pages  GDT: 0, CODE_32, DATA, CODE_64, USER_DATA, USER_CODE
///   end - 6        PML4: one entry          } --mode long and user: addresses 0 to 4 GiB stand for
///   end - 5        PDPT: four entries       } themselves, in pages of 2 MiB (pages of 1 GiB would need a
///   end - 4 to 1   PD: 512 entries each     } feature of the processor), open to ring 3
/// ```
pub const TABLES: u64 = 7 * PAGE_SIZE;

/// Where those lie in a RAM that ends at this address; the stack begins here and grows down.
pub const fn tables(ram_end: u64) -> u64 {
    ram_end.saturating_sub(TABLES)
}

// Selectors in that GDT: the index times 8, and for ring 3 its number.

/// 32-bit code of ring 0, from 0 to 4 GiB.
pub const CODE_32: u16 = 1 << 3;
/// Data of ring 0, likewise.
pub const DATA: u16 = 2 << 3;
/// 64-bit code of ring 0.
pub const CODE_64: u16 = 3 << 3;
/// Data of ring 3. It comes before the code as SYSRET would have it.
pub const USER_DATA: u16 = 4 << 3 | 3;
/// 64-bit code of ring 3.
pub const USER_CODE: u16 = 5 << 3 | 3;

/// The lessons' scratch register: four ports. An access of 1, 2 or 4 bytes reads or writes as many bytes of
/// the register, from its own place on. QEMU's test device has the like here, and kernels written for it
/// expect it.
pub const SCRATCH_PORT: u16 = 0xe0;
/// The first port behind.
pub const SCRATCH_PORT_END: u16 = SCRATCH_PORT + 4;

/// The lessons' doorbell: what is written, in any size, is one of `RING_*`, else nothing happens but a
/// message. A read gives the time, in microseconds of the host's monotonic clock, as far as its bytes go.
pub const DOORBELL_PORT: u16 = 0xec;

/// Takes the window away.
pub const RING_CLOSE: u32 = 0;
/// Opens the window: the first bytes of RAM a second time, at [`WINDOW`].
pub const RING_OPEN: u32 = 1;
/// Opens it to be read only: writes leave to the program.
pub const RING_OPEN_READONLY: u32 = 2;
/// Shows the pages that were written since the last time, with `--dirty-log`.
pub const RING_DIRTY: u32 = 3;
/// Ends the run, as HLT does, which ring 3 may not execute.
pub const RING_END: u32 = 4;

// What a write can be told by, other than by an exit; all but the log's on ports need the board.

/// From now on a byte that is written to [`COUNTER_PORT`] is counted by an event of the kernel's.
pub const RING_EVENT: u32 = 5;
/// And 4 bytes at [`LESSON_COUNTER`], where they are [`COUNTER_MATCH`]; others leave.
pub const RING_EVENT_MATCH: u32 = 6;
/// The event raises [`EVENT_LINE`].
pub const RING_IRQ: u32 = 7;
/// Or [`LEVEL_LINE`], as a level, until it is acknowledged.
pub const RING_IRQ_LEVEL: u32 = 8;
/// Or a message, of which the scratch register holds the address (its low four bytes) and the data.
pub const RING_ROUTE: u32 = 9;
/// From now on, writes to the log's addresses go into the ring of coalesced writes.
pub const RING_COALESCE: u32 = 10;
/// And those to its port.
pub const RING_COALESCE_PORT: u32 = 11;
/// Sends a message at once; the scratch register holds it, as above.
pub const RING_MSI: u32 = 12;

/// The counter's port: each write counts. A read gives the count.
pub const COUNTER_PORT: u16 = 0xee;
/// What [`RING_EVENT_MATCH`] looks for.
pub const COUNTER_MATCH: u64 = 1;
/// The log's port: each byte that is written is added to its sum.
pub const LOG_PORT: u16 = 0xef;
/// The lines that the counter's event can raise, and the first GSI behind the I/O APIC's.
pub const EVENT_LINE: u32 = 5;
pub const LEVEL_LINE: u32 = 10;
pub const ROUTED_LINE: u32 = IO_APIC_LINES;

/// The window: slot 1, of which only the guest knows when it is there. Below, RAM has 3 GiB of room.
pub const WINDOW: u64 = 0xc000_0000;
/// How much of RAM the window shows, or all of it where that is less.
pub const WINDOW_SIZE: u64 = 64 << 10;

/// The lessons' page of addresses, for accesses of 1, 2, 4 and 8 bytes, at
/// - 0 to 7: the scratch register, of whose bytes the ports show the first four
/// - 8 to 15: the time as above; writes are lost
/// - 16: the doorbell; reads give ones
/// - 24: the counter: each write counts, a read gives the count
/// - 32, 40: how many writes the log has had, and their sum
/// - 48: how often a level was acknowledged
/// - 2048 to 4095: the log: each write is added to its sum
///
/// All else reads ones.
pub const LESSON_PAGE: u64 = 0xe000_0000;
/// Where in that page the time stands.
pub const LESSON_TIME: u64 = 8;
/// And the doorbell.
pub const LESSON_DOORBELL: u64 = 16;

/// The counter.
pub const LESSON_COUNTER: u64 = 24;
/// What the log tells.
pub const LESSON_LOGGED: u64 = 32;
pub const LESSON_SUM: u64 = 40;
/// And the level.
pub const LESSON_ACKNOWLEDGED: u64 = 48;
/// The log, whose writes can be coalesced.
pub const LESSON_LOG: u64 = LESSON_PAGE + LESSON_LOG_SIZE;
pub const LESSON_LOG_SIZE: u64 = 2048;

/// The lessons' MSR: it keeps what is written to it. Linux reserves 0x4b564dxx for KVM's own (its letters);
/// this one is "KOB2", and KVM doesn't know it. Reading or writing any other that KVM doesn't know is a #GP.
pub const LESSON_MSR: u32 = 0x4b4f_4232;

// ---- the board: what a PC has, with a kernel or with --irqchip
//
// ```text
//   4 GiB + rest  +------------------------+
//                 |  RAM past the hole     |  HIGH, slot 2
//   0x1_0000_0000 +------------------------+
//                 |  0xff00_0000: the test |  TEST_MEMORY, 64 KiB
//                 |  devices' memory       |
//                 |  0xfee0_0000: LAPICs   |  the kernel's own
//                 |  0xfec0_0000: IOAPIC   |  likewise
//                 |  the lessons' places   |  as above
//   0xc000_0000   +------------------------+  HOLE
//                 |  tables, 7 pages       |  at the end of what is below the hole
//                 |  initrd                |
//                 |  RAM: slot 0           |
//                 |  the kernel            |  from 1 MiB, or where it wants to be
//   0x0010_0000   +------------------------+
//                 |  ACPI tables           |  ACPI, reserved
//   0x000e_0000   +------------------------+
//                 |  RAM, but reserved, as |  a PC has a screen and firmware there
//   0x0009_fc00   +------------------------+  LOW_END
//                 |  free: a kernel's own  |
//                 |  start of other vCPUs  |
//   0x0000_6000   +------------------------+
//                 |  what a loader leaves  |  of Linux four pages, of Multiboot one
//   0x0000_0000   +------------------------+
// ```

/// How much RAM a kernel has by default.
pub const KERNEL_RAM: u64 = 256 << 20;

/// RAM below 4 GiB ends here at the latest, with the board: above, a PC has its devices. A multiple of 1 GiB, so
/// that what goes above 4 GiB is as congruent as what stays.
pub const HOLE: u64 = 0xc000_0000;
/// Where RAM past the hole begins.
pub const HIGH: u64 = 1 << 32;
/// The slot of that.
pub const HIGH_SLOT: u32 = 2;

/// The end of what a kernel may use below 1 MiB. Behind, a PC has its extended BIOS data, screen and firmware.
pub const LOW_END: u64 = 0x9_fc00;
/// Where RAM goes on.
pub const MIB: u64 = 1 << 20;

/// The GDT with which Linux starts: its boot protocol wants code at selector 0x10 and data at 0x18.
pub const LINUX_GDT: u64 = 0x1000;
/// Linux' "zero page", `struct boot_params`.
pub const ZERO_PAGE: u64 = 0x2000;
/// Its command line, up to two pages.
pub const COMMAND_LINE: u64 = 0x3000;
/// Multiboot's information, modules, names and command line: one page.
pub const MULTIBOOT_INFO: u64 = 0x5000;

/// ACPI's tables, the root pointer first: one of the places where a kernel looks for it.
pub const ACPI: u64 = 0xe_0000;
/// Room for them.
pub const ACPI_SIZE: u64 = 128 << 10;

/// The local APICs, each processor's at the same address: SDM volume 3, 11.4.1.
pub const LOCAL_APIC: u64 = 0xfee0_0000;
/// The I/O APIC.
pub const IO_APIC: u64 = 0xfec0_0000;
/// How many lines it has.
pub const IO_APIC_LINES: u32 = 24;

/// A PC's first serial port, and the first port behind.
pub const SERIAL_PORT: u16 = 0x3f8;
pub const SERIAL_PORT_END: u16 = SERIAL_PORT + 8;
/// Its interrupt.
pub const SERIAL_LINE: u32 = 4;

/// The clock's registers: which one, and its value.
pub const CMOS_INDEX: u16 = 0x70;
pub const CMOS_DATA: u16 = 0x71;

/// ACPI's PM1a: two bytes of status and two of what is enabled, then two of control. None of a PC's own.
pub const PM1_EVENT: u16 = 0x600;
pub const PM1_CONTROL: u16 = PM1_EVENT + 4;
pub const PM1_END: u16 = PM1_EVENT + 6;
/// SLP_TYP for "off", as `\_S5` says it.
pub const SLEEP_OFF: u16 = 5;
/// ACPI's interrupt, on which nothing is ever sent.
pub const ACPI_LINE: u16 = 9;

/// PCI's configuration space, where there is nothing.
pub const PCI_CONFIG: u16 = 0xcf8;
pub const PCI_CONFIG_END: u16 = PCI_CONFIG + 8;
/// A PC chipset's reset, which is ACPI's reset register here.
pub const RESET_CONTROL: u16 = 0xcf9;
/// The keyboard controller's, and the system's, which can reset too.
pub const KEYBOARD_COMMAND: u16 = 0x64;
pub const SYSTEM_CONTROL: u16 = 0x92;

// QEMU's test devices, which kernels written to test a hypervisor expect: hw/misc/debugexit.c and pc-testdev.c.

/// A write of V ends the run with status (V << 1) | 1.
pub const TEST_EXIT: u16 = 0xf4;
/// A write of the address of a page of RAM: the host's mapping of it is dropped, and comes back by a fault.
pub const TEST_DROP: u16 = 0xe4;
/// The scratch register once more, which QEMU has here for accesses of single bytes.
pub const SCRATCH_BYTES: u16 = 0xe8;
pub const SCRATCH_BYTES_END: u16 = SCRATCH_BYTES + 4;
/// A write to the Nth sets interrupt line N to its low bit.
pub const TEST_LINES: u16 = 0x2000;
pub const TEST_LINES_END: u16 = TEST_LINES + IO_APIC_LINES as u16;
/// 64 KiB that are memory, but for KVM: each access leaves to us.
pub const TEST_MEMORY: u64 = 0xff00_0000;
pub const TEST_MEMORY_SIZE: u64 = 64 << 10;
