//! The sections of a snapshot, and what stands in those that are not a device's.
//!
//! | tag    | how many       | contents                                                                           |
//! |--------|----------------|------------------------------------------------------------------------------------|
//! | `ARGS` | 1              | the words of the command line                                                      |
//! | `HOST` | 1              | where and when: the processor's maker, this start of the kernel, the clocks        |
//! | `RAM ` | 1              | which file RAM has stayed in, and how that is known again; or nothing              |
//! | `SUMS` | 1 with RAM in it | a checksum for each 2 MiB of RAM                                                  |
//! | `VM  ` | 1              | kvmclock, and KVM's interrupt controllers and interval timer                       |
//! | `VCPU` | 1 for each     | registers and all else that KVM has of it                                          |
//! | `BORD` | 1 with a board | where the interval timer is                                                        |
//! | `TYPE` | 1, may be skipped | what was typed, and the guest has not taken                                     |
//! | others | 1 for each     | a device: its file's `visit` says what                                             |

use crate::config::PitPlace;
use crate::host::{clock, procfs};
use crate::kvm::vcpu_state::VcpuState;
use crate::memory::ram_file::FileIdentity;
use crate::show::number;
use crate::snapshot::Tag;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use crate::sys::irqchip::kvm_lapic_state;
use crate::x86;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub const ARGUMENTS: Tag = *b"ARGS";
pub const HOST: Tag = *b"HOST";
pub const RAM: Tag = *b"RAM ";
pub const RAM_SUMS: Tag = *b"SUMS";
pub const VM: Tag = *b"VM  ";
pub const VCPU: Tag = *b"VCPU";
pub const BOARD: Tag = *b"BORD";
pub const TYPED: Tag = *b"TYPE";

// The devices that every machine has.
pub const SCRATCH: Tag = *b"SCRA";
pub const COUNTER: Tag = *b"COUN";
pub const LOG: Tag = *b"LOG ";
pub const WINDOW: Tag = *b"WIND";
pub const LESSON_MSR: Tag = *b"LMSR";
// Those of the board.
pub const SERIAL: Tag = *b"SERI";
pub const POWER: Tag = *b"ACPI";
pub const CLOCK: Tag = *b"RTC ";
pub const FW_CFG: Tag = *b"FWCF";
pub const HPET: Tag = *b"HPET";
pub const PIT: Tag = *b"PIT ";
pub const PIC: Tag = *b"PIC ";
pub const IO_APIC: Tag = *b"IOAP";
pub const PCI: Tag = *b"PCI ";
pub const PCI_PORTS: Tag = *b"PCIP";
pub const RESET: Tag = *b"RSET";
pub const TEST_LINES: Tag = *b"LINE";
pub const TEST_MEMORY: Tag = *b"TMEM";

const KNOWN: [Tag; 26] = [
    ARGUMENTS,
    HOST,
    RAM,
    RAM_SUMS,
    VM,
    VCPU,
    BOARD,
    TYPED,
    SCRATCH,
    COUNTER,
    LOG,
    WINDOW,
    LESSON_MSR,
    SERIAL,
    POWER,
    CLOCK,
    FW_CFG,
    HPET,
    PIT,
    PIC,
    IO_APIC,
    PCI,
    PCI_PORTS,
    RESET,
    TEST_LINES,
    TEST_MEMORY,
];

/// Whether this program reads such a section.
pub fn is_known(tag: Tag) -> bool {
    KNOWN.contains(&tag)
}

/// A device, and the tag of its section.
pub type SavedDevice = (Tag, Arc<dyn Saved>);

/// Where and when a machine was saved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    /// The versions of this program and of Linux.
    pub program: String,
    pub kernel: String,
    /// Who made the processor: twelve letters of CPUID.
    pub vendor: [u8; 12],
    /// `/proc/sys/kernel/random/boot_id`: on the same start of the same host, its TSC has gone on.
    pub boot_id: String,
    /// The machine's clock, the host's, and the time of day, in nanoseconds.
    pub machine: u64,
    pub monotonic: u64,
    pub real: u64,
}

impl Host {
    /// This host, now.
    pub fn here() -> Host {
        let text = |path| {
            let text = procfs::read(path).unwrap_or_default();
            String::from_utf8_lossy(text.trim_ascii()).into_owned()
        };
        Host {
            program: env!("CARGO_PKG_VERSION").into(),
            kernel: text("/proc/sys/kernel/osrelease"),
            vendor: x86::vendor(),
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            machine: clock::machine(),
            monotonic: clock::monotonic(),
            real: clock::real(),
        }
    }
}

impl Field for Host {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        /// A century.
        const LATEST: u64 = 1 << 62;
        visit!(fields; self.program, self.kernel, self.vendor, self.boot_id, self.machine, self.monotonic, self.real);
        let is_sane = self.machine < LATEST && self.real < LATEST && self.monotonic < LATEST;
        fields.check(is_sane, "a clock is off by a century")
    }
}

/// Where RAM has stayed; no path: it is in the snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnFile {
    pub path: Vec<u8>,
    pub identity: FileIdentity,
}

impl Field for OwnFile {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.path, self.identity);
        fields.check(!self.path.contains(&0), "a path has a zero byte")
    }
}

/// A vCPU.
#[derive(Clone, Default)]
pub struct SavedVcpu {
    pub state: VcpuState,
    /// Without a local APIC in the kernel: it waits at HLT.
    pub waits_at_hlt: bool,
    /// A vector of the program's 8259s that KVM has been given, where it does not show it.
    pub hidden_vector: Option<u8>,
}

impl SavedVcpu {
    /// Whether its local APIC has an interrupt with this vector requested or in service: SDM volume 3, 11.8.4.
    pub fn has_vector(&self, vector: u8) -> bool {
        const IN_SERVICE: usize = 0x100;
        const REQUESTED: usize = 0x200;
        // Of 32 bits, registers lie 16 bytes apart.
        let (register, bit) = (usize::from(vector / 32) * 16, vector % 32);
        let has = |lapic: &kvm_lapic_state, from: usize| {
            number(&lapic.regs[from + register..][..4]) >> bit & 1 != 0
        };
        let lapic = self.state.lapic.as_ref();
        lapic.is_some_and(|lapic| has(lapic, IN_SERVICE) || has(lapic, REQUESTED))
    }
}

impl Field for SavedVcpu {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.state, self.waits_at_hlt, self.hidden_vector);
        Ok(())
    }
}

/// The words of a command line, each with a zero behind it.
pub fn words(fields: &mut Fields, words: &mut Vec<Vec<u8>>) -> Result<(), Invalid> {
    let mut bytes: Vec<u8> =
        words.iter().flat_map(|word| word.iter().copied().chain([0])).collect();
    visit!(fields; bytes);
    fields.check(bytes.last().is_none_or(|&last| last == 0), "the last word is cut off")?;
    let mut split: Vec<Vec<u8>> = bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect();
    // Behind the last zero there is nothing.
    split.pop();
    *words = split;
    Ok(())
}

/// Where the interval timer is.
pub fn pit_place(fields: &mut Fields, place: &mut PitPlace) -> Result<(), Invalid> {
    const PLACES: [PitPlace; 3] = [PitPlace::Absent, PitPlace::Kernel, PitPlace::Program];
    let mut number = *place as u8;
    visit!(fields; number);
    *place = *PLACES.get(usize::from(number)).ok_or(Invalid("there is no such place"))?;
    Ok(())
}
