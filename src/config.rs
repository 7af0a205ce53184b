//! What the machine shall be: plain data that `cli` fills in and everything below reads.

use crate::layout::*;
use crate::show::Text;
use crate::x86::features::Feature;
use crate::x86::registers::Setting;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt;

/// Where BiscuitOS' users look at guest memory while the guest runs.
pub const DEFAULT_BACKING: &CStr = c"/mnt/HugePagefs/BiscuitOS_HugePage";
/// Where `make install` puts the first guest.
pub const DEFAULT_IMAGE: &CStr = c"/usr/bin/firmware/_BiscuitOS-VM.iso";

/// What names of fw_cfg's items begin with that the user adds.
pub const FW_CFG_PREFIX: &[u8] = b"opt/";

/// A machine to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Bytes of RAM, a multiple of 4 KiB, not 0.
    pub memory: u64,
    /// Where RAM comes from.
    pub backing: Backing,
    /// The guest-physical address at which RAM starts, a multiple of 4 KiB.
    pub base: u64,
    /// What is run.
    pub guest: Guest,
    /// The guest-physical address at which an image is loaded.
    pub load: u64,
    /// The guest-physical address of an image's first instruction.
    pub entry: u64,
    /// The state in which the vCPU starts an image.
    pub mode: Mode,
    /// Registers that are set after that, in this order.
    pub set: Vec<Setting>,
    /// How long a vCPU pauses after a newline on port 0x10, in nanoseconds.
    pub pause: u64,
    /// How a kernel is entered; `None` for what its file prefers.
    pub protocol: Option<Protocol>,
    /// A kernel's command line; `None` for the default of its format.
    pub command_line: Option<&'static CStr>,
    /// Linux' initrds, or Multiboot's modules.
    pub initrds: Vec<&'static CStr>,
    /// vCPUs, 1 to [`crate::layout::MAX_VCPUS`].
    pub cpus: u32,
    /// What kind of processor they are.
    pub cpu: CpuModel,
    /// How fast their TSC runs, in kHz; `None`: as the host's.
    pub tsc_khz: Option<u32>,
    /// Where the interrupt controllers are. If this is given, an image has them too, and a PC's devices.
    pub irqchip: Option<Irqchip>,
    /// Where the board's interval timer is; `None` for the default of what is run.
    pub pit: Option<PitPlace>,
    /// The board has local APICs and an I/O APIC, beside the two 8259.
    pub apic: bool,
    /// What a reset does.
    pub on_reset: OnReset,
    /// ACPI tables for a kernel.
    pub acpi: bool,
    /// The board has a high precision event timer.
    pub hpet: bool,
    /// Items that the user adds to fw_cfg.
    pub fw_cfg: Vec<NamedItem>,
    /// How long a guest may take to switch off after SIGTERM has pressed the power button, in nanoseconds; 0: SIGTERM ends
    /// the run at once.
    pub grace: u64,
    /// Where a debugger connects.
    pub gdb: Option<GdbAddress>,
    /// The guest waits for it before its first instruction.
    pub gdb_wait: bool,
    /// Where the machine is saved when that is asked for.
    pub save: Option<Save>,
    /// The snapshot from which it goes on.
    pub snapshot: Option<&'static CStr>,
    /// The command line that says all of this, for a snapshot.
    pub words: Vec<&'static CStr>,
    pub instruments: Instruments,
}

/// Where a machine is saved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Save {
    pub path: &'static CStr,
    /// RAM is to be in the same file. Otherwise it stays in its own, if that is on hugetlbfs.
    pub with_ram: bool,
}

/// Where a debugger connects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GdbAddress {
    /// A Unix socket.
    Path(&'static CStr),
    /// A TCP port of the loopback interface.
    Port(u16),
}

/// As gdb's `target remote` takes it.
impl fmt::Display for GdbAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            GdbAddress::Path(path) => write!(f, "{}", Text::from(*path)),
            GdbAddress::Port(port) => write!(f, ":{port}"),
        }
    }
}

/// Where the interrupt controllers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Irqchip {
    /// All are in the kernel.
    Full,
    /// The local APICs are in the kernel. The program has the others.
    Split,
    /// None is in the kernel (`--irqchip none`). The program has the 8259s, and there are no APICs.
    Program,
}

/// Where the interval timer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PitPlace {
    /// There is none.
    Absent,
    Kernel,
    Program,
}

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Guest {
    /// A file whose bytes are code.
    Image(&'static CStr),
    /// A file in a kernel's format.
    Kernel(&'static CStr),
}

/// An item of fw_cfg.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NamedItem {
    /// Without [`FW_CFG_PREFIX`].
    pub name: &'static [u8],
    /// The file with its contents.
    pub file: &'static CStr,
}

/// How a kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    /// Linux' 64-bit boot protocol: `Documentation/arch/x86/boot.rst`, "64-bit Boot Protocol".
    Linux,
    /// Multiboot 0.6.96, 3.2.
    Multiboot,
    /// An ELF note's 32-bit entry: Xen's `docs/misc/pvh.pandoc`.
    Pvh,
}

impl Protocol {
    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Linux => "linux",
            Protocol::Multiboot => "multiboot",
            Protocol::Pvh => "pvh",
        }
    }
}

/// A kind of processor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CpuModel {
    pub base: CpuBase,
    /// Features that it has as well, or has not.
    pub changes: Vec<(Feature, bool)>,
    /// What CPUID shall say of it instead.
    pub vendor: Option<[u8; 12]>,
    /// 0 to 270.
    pub family: Option<u32>,
    /// 0 to 255.
    pub model: Option<u32>,
    /// 0 to 15.
    pub stepping: Option<u32>,
    /// 48 bytes at most.
    pub brand: Option<&'static [u8]>,
}

/// With which features it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum CpuBase {
    /// What KVM offers on this host.
    #[default]
    Host,
    /// With what KVM emulates as well.
    Max,
    /// [`crate::x86::features::BASELINE`].
    Baseline,
}

/// Where RAM comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backing {
    /// A file on hugetlbfs, or a character device.
    File(&'static CStr),
    /// Anonymous memory in pages of 4 KiB.
    Anonymous,
    /// Anonymous memory in transparent huge pages.
    Transparent,
    /// A file without a name, in pages of 2 MiB: hugetlbfs without a mount.
    Memfd,
    /// A snapshot's RAM, mapped privately: what the guest writes, it alone sees.
    Private,
}

impl Backing {
    /// The least size of memory of this kind that holds so many bytes. Of a file, which is not open yet, pages of 2 MiB are
    /// assumed.
    pub fn rounded_up(self, bytes: u64) -> u64 {
        let page = match self {
            Backing::File(_) | Backing::Memfd => HUGE_PAGE,
            Backing::Anonymous | Backing::Transparent | Backing::Private => PAGE_SIZE,
        };
        bytes.checked_next_multiple_of(page).unwrap_or(u64::MAX - (page - 1))
    }
}

/// The state in which a vCPU starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// As after a reset: 16-bit code, segments of 64 KiB, no protection.
    Real,
    /// 32-bit protected mode, flat segments, no paging, ring 0.
    Protected,
    /// 64-bit mode, the first 4 GiB mapped to themselves, ring 0.
    Long,
    /// Likewise in ring 3, with port I/O allowed.
    User,
}

impl Mode {
    /// How many bytes at the end of low RAM hold the tables that this mode needs.
    pub fn tables_size(self) -> u64 {
        if self == Mode::Real { 0 } else { TABLES }
    }
}

/// What a reset by the guest does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnReset {
    /// It ends the run.
    End,
    /// What is run is loaded and started again, and the rest of RAM keeps its contents.
    Restart,
    /// Likewise, in RAM that is cleared before.
    Cold,
}

/// What is shown of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Instruments {
    /// Each system call that concerns the machine.
    pub trace_calls: bool,
    /// Each exit.
    pub trace_exits: bool,
    /// The file that the trace goes to; `None` for standard error.
    pub trace_file: Option<&'static CStr>,
    /// The trace is events for Perfetto, and not lines.
    pub timeline: bool,
    /// Each instruction.
    pub step: bool,
    /// Counts of exits, and KVM's statistics.
    pub stats: bool,
    /// The statistics come as one screen a second, too.
    pub live: bool,
    /// Statistics, or the findings of a check, are one JSON object.
    pub json: bool,
    /// A picture of guest RAM.
    pub map: bool,
    /// The pages that were written.
    pub dirty_log: bool,
    /// Where the guest dies, its last instructions.
    pub replay: bool,
}

impl Instruments {
    /// Whether some report on standard error, beside a trace.
    pub fn report(&self) -> bool {
        self.stats || self.map || self.dirty_log || self.replay
    }

    /// Whether there are lines of a trace.
    pub fn shows_trace(&self) -> bool {
        self.trace_calls || self.trace_exits || self.step
    }
}

impl Default for Config {
    /// 16 MiB of RAM at 0, one vCPU, and BiscuitOS' first guest in real mode.
    fn default() -> Config {
        Config {
            memory: RAM_SIZE,
            backing: Backing::File(DEFAULT_BACKING),
            base: RAM_BASE,
            guest: Guest::Image(DEFAULT_IMAGE),
            load: IMAGE,
            entry: IMAGE,
            mode: Mode::Real,
            set: Vec::new(),
            pause: 6_000_000_000,
            protocol: None,
            command_line: None,
            initrds: Vec::new(),
            cpus: 1,
            cpu: CpuModel::default(),
            tsc_khz: None,
            gdb: None,
            gdb_wait: false,
            pit: None,
            apic: true,
            irqchip: None,
            on_reset: OnReset::End,
            acpi: true,
            hpet: true,
            fw_cfg: Vec::new(),
            grace: 0,
            save: None,
            snapshot: None,
            words: Vec::new(),
            instruments: Instruments::default(),
        }
    }
}

impl Config {
    /// How much RAM a guest of this kind has by default.
    pub fn default_memory(guest: Guest) -> u64 {
        match guest {
            Guest::Image(_) => RAM_SIZE,
            Guest::Kernel(_) => KERNEL_RAM,
        }
    }

    /// Whether a kernel's file is run.
    pub fn is_kernel(&self) -> bool {
        matches!(self.guest, Guest::Kernel(_))
    }

    /// Whether the machine has the board: interrupt controllers and a PC's devices. Several vCPUs could not start each other without it.
    pub fn has_board(&self) -> bool {
        self.irqchip.is_some() || self.cpus > 1 || self.is_kernel()
    }

    /// Where the interrupt controllers of the board are.
    pub fn irqchip(&self) -> Irqchip {
        self.irqchip.unwrap_or(Irqchip::Full)
    }

    /// Whether KVM has the local APICs. Then HLT waits in the kernel.
    pub fn has_lapic_in_kernel(&self) -> bool {
        self.has_board() && self.irqchip() != Irqchip::Program
    }

    /// Whether the guest has local APICs.
    pub fn has_lapic(&self) -> bool {
        self.has_board() && self.apic
    }

    /// Whether there are ACPI tables.
    pub fn has_acpi(&self) -> bool {
        self.is_kernel() && self.acpi
    }

    /// The file that is run.
    pub fn path(&self) -> &'static CStr {
        match self.guest {
            Guest::Image(path) | Guest::Kernel(path) => path,
        }
    }

    /// The size of low RAM: what lies below 4 GiB. RAM that begins below the hole ends there at the latest, and what is left
    /// of it lies above 4 GiB.
    pub fn low_size(&self) -> u64 {
        if self.base < HOLE { self.memory.min(HOLE - self.base) } else { self.memory }
    }

    /// The guest-physical address behind low RAM.
    pub fn low_end(&self) -> u64 {
        self.base + self.low_size()
    }

    /// How many bytes of RAM lie above 4 GiB.
    pub fn high_size(&self) -> u64 {
        self.memory - self.low_size()
    }

    /// RAM as the guest sees it: first address and size of each region. The last one may be empty.
    pub fn regions(&self) -> [(u64, u64); 2] {
        [(self.base, self.low_size()), (HIGH, self.high_size())]
    }

    /// Where RAM below 4 GiB must end: at the hole; or, where RAM begins in it, at the board's first device or at the pages that
    /// KVM needs.
    pub fn low_limit(&self) -> u64 {
        match (self.base < HOLE, self.has_board()) {
            (true, _) => HOLE,
            (false, true) => PCI_ECAM,
            (false, false) => RAM_LIMIT,
        }
    }

    /// The guest-physical address behind the room for an image: the mode's tables begin there.
    pub fn image_end(&self) -> u64 {
        self.low_end().saturating_sub(self.mode.tables_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_is_split_at_the_hole() {
        let config = Config { memory: 5 << 30, ..Config::default() };
        assert_eq!(config.regions(), [(0, 3 << 30), (4 << 30, 2 << 30)]);
        let config = Config { memory: 3 << 30, base: 1 << 20, ..Config::default() };
        assert_eq!(config.regions(), [(1 << 20, (3 << 30) - (1 << 20)), (4 << 30, 1 << 20)]);
        let above = Config { base: 0xff00_0000, memory: 2 << 20, ..Config::default() };
        assert_eq!(above.regions(), [(0xff00_0000, 2 << 20), (4 << 30, 0)]);
    }

    #[test]
    fn several_vcpus_need_the_board() {
        assert!(!Config::default().has_board());
        assert!(Config { cpus: 2, ..Config::default() }.has_board());
        assert!(Config { guest: Guest::Kernel(c"k"), ..Config::default() }.has_board());
    }
}
