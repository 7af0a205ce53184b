//! Restoring a machine: it is checked whether the snapshot fits this host, the builder makes an equal machine, and then everything that was
//! saved is put into it.

use crate::config::{Backing, Config, PitPlace};
use crate::devices::vm_generation;
use crate::host::clock::{self, NANOSECONDS};
use crate::host::fd::Fd;
use crate::inspect::death::BrokenRules;
use crate::inspect::registers::Registers;
use crate::kvm::Kvm;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::vcpu_state::TscStart;
use crate::kvm::vm_state::VmState;
use crate::machine::board::Board;
use crate::machine::sections::{self, Host, OwnFile, SavedVcpu};
use crate::machine::{Error, Machine, StartState, cpu_model};
use crate::memory::GuestMemory;
use crate::memory::ram_file::FileIdentity;
use crate::memory::saved_ram::{RestoreError, SavedRam, Sums};
use crate::show::Text;
use crate::snapshot::{self, Header, Snapshot};
use crate::sys::regs::kvm_sregs;
use crate::x86::features::{Feature, WORDS};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::fmt;

/// A snapshot, read and checked.
pub struct Restored {
    snapshot: Snapshot,
    host: Host,
    vm: VmState,
    vcpus: Vec<SavedVcpu>,
    own_file: Option<(&'static CStr, FileIdentity)>,
}

impl Restored {
    /// Opens a snapshot and reads all that is not a device's.
    pub fn open(path: &'static CStr) -> Result<Restored, snapshot::Error> {
        let snapshot = Snapshot::open(path, sections::is_known)?;
        let host: Host = snapshot.value(sections::HOST, 0)?;
        let vm = snapshot.value(sections::VM, 0)?;
        let own_file: OwnFile = snapshot.value(sections::RAM, 0)?;
        let mut vcpus = Vec::new();
        while snapshot.section(sections::VCPU, vcpus.len()).is_some() || vcpus.is_empty() {
            vcpus.push(snapshot.value(sections::VCPU, vcpus.len())?);
        }
        let own_file = match own_file.path.is_empty() {
            true => None,
            false => Some((leak(own_file.path), own_file.identity)),
        };
        Ok(Restored { snapshot, host, vm, vcpus, own_file })
    }

    /// How long ago it was saved, in nanoseconds.
    fn passed(&self) -> u64 {
        clock::real().saturating_sub(self.host.real)
    }

    /// Whether this host's TSC has gone on since then: it has not been started anew, or slept, and nobody has set its clock.
    fn has_tsc_gone_on(&self) -> bool {
        const CLOSE: u64 = NANOSECONDS;
        let now = Host::here();
        let awake = now.monotonic.wrapping_sub(self.host.monotonic);
        let all = now.real.wrapping_sub(self.host.real);
        !now.boot_id.is_empty() && now.boot_id == self.host.boot_id && awake.abs_diff(all) < CLOSE
    }

    /// The words of the command line that made the machine.
    pub fn words(&self) -> Result<Vec<&'static CStr>, snapshot::Error> {
        let mut words = Vec::new();
        self.snapshot
            .restore(sections::ARGUMENTS, 0, |fields| sections::words(fields, &mut words))?;
        Ok(words.into_iter().map(leak).collect())
    }

    /// Whether this host can run it.
    pub fn check(&self, config: &Config) -> Result<(), Error> {
        let (path, host) = (self.snapshot.path, Host::here().vendor);
        if host != self.host.vendor {
            let saved = self.host.vendor;
            return Err(snapshot::Error::Vendor { path, saved, host }.into());
        }
        if self.vcpus.len() != config.cpus as usize {
            let what = "its options say another number of vCPUs";
            return Err(snapshot::Error::Damaged { path, what }.into());
        }
        if self.snapshot.header.ram_size != config.memory {
            let what = "its RAM is not as large as its options say";
            return Err(snapshot::Error::Damaged { path, what }.into());
        }
        if self.own_file.is_none() == (self.snapshot.header.ram_offset == 0) {
            let what = "RAM must be either in it or in a file of its own";
            return Err(snapshot::Error::Damaged { path, what }.into());
        }
        let kvm = Kvm::open()?;
        kvm.api_version()?;
        let mut offered = cpu_model::most(&kvm)?;
        for vcpu in &self.vcpus {
            let mut cpuid = Cpuid::of_entries(&vcpu.state.cpuid);
            for word in 0..WORDS.len() {
                let missing = cpuid.word(word) & !offered.word(word);
                if missing != 0 {
                    let name = Feature { word, bit: missing.trailing_zeros() }.name();
                    return Err(snapshot::Error::NoFeature { path, name }.into());
                }
            }
        }
        self.check_own_file()
    }

    /// The file in which RAM has stayed, open to be read.
    fn open_own_file(&self, ram: &'static CStr) -> Result<Fd, Error> {
        let path = self.snapshot.path;
        // O_NONBLOCK: nobody may write to a FIFO.
        Fd::open(ram, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0).map_err(|error| {
            match error.errno.0 {
                libc::ENOENT => snapshot::Error::Ram { path, ram, why: "the file is gone" },
                _ => snapshot::Error::RamCall { path, ram, error },
            }
            .into()
        })
    }

    fn own_file_to_read(&self) -> Result<Option<Fd>, Error> {
        self.own_file.map(|(ram, _)| self.open_own_file(ram)).transpose()
    }

    /// RAM, in its own file or in the snapshot.
    fn saved_ram<'a>(&'a self, own: &'a Option<Fd>) -> SavedRam<'a> {
        SavedRam {
            fd: own.as_ref().unwrap_or(&self.snapshot.fd),
            offset: self.snapshot.header.ram_offset,
            own_file: self.own_file.map(|(_, identity)| identity),
        }
    }

    fn check_own_file(&self) -> Result<(), Error> {
        let Some((ram, identity)) = self.own_file else { return Ok(()) };
        let path = self.snapshot.path;
        let stat = self.open_own_file(ram)?.stat();
        let stat = stat.map_err(|error| snapshot::Error::RamCall { path, ram, error })?;
        let refused = |why| Err(snapshot::Error::Ram { path, ram, why }.into());
        if FileIdentity::from(stat) != identity {
            return refused(
                "another machine has run in this file since, or its mode or owner was changed",
            );
        }
        if stat.st_size as u64 != self.snapshot.header.ram_size {
            return refused("it is not as large as the machine's");
        }
        Ok(())
    }

    /// Whether RAM is as it was saved, and there is memory for it. All of it is read.
    pub fn check_memory(&self, config: &Config) -> Result<(), Error> {
        self.check_ram()?;
        let own = self.own_file_to_read()?;
        Ok(self.saved_ram(&own).probe(config.backing, config.memory)?)
    }

    /// Whether RAM that is in the snapshot is as it was written.
    fn check_ram(&self) -> Result<(), snapshot::Error> {
        let path = self.snapshot.path;
        if self.own_file.is_some() {
            return Ok(());
        }
        let Header { ram_offset, ram_size, .. } = self.snapshot.header;
        let saved = Sums(self.snapshot.value(sections::RAM_SUMS, 0)?);
        let now = Sums::of_file(&self.snapshot.fd, ram_offset, ram_size);
        match now.map_err(|error| snapshot::Error::Call { path, error })? == saved {
            true => Ok(()),
            false => Err(snapshot::Error::Damaged { path, what: "RAM has changed" }),
        }
    }

    /// RAM again.
    pub fn memory(&self, config: &Config) -> Result<GuestMemory, Error> {
        let path = self.snapshot.path;
        if config.backing != Backing::Private {
            self.check_ram()?;
        }
        let own = self.own_file_to_read()?;
        GuestMemory::restore(self.saved_ram(&own), config.backing, &config.regions()).map_err(
            |error| match error {
                RestoreError::Memory(error) => error.into(),
                RestoreError::Read(error) => {
                    let path = self.own_file.map_or(path, |(ram, _)| ram);
                    crate::boot::Error::read(path, error).into()
                }
            },
        )
    }

    /// The machine's clock goes on from where it was, and what has passed. This comes before there are devices.
    pub fn start_clock(&self) {
        clock::set_machine(self.host.machine.saturating_add(self.passed()));
    }

    /// Where the interval timer was.
    pub fn pit_place(&self) -> Result<PitPlace, snapshot::Error> {
        let mut place = PitPlace::Absent;
        self.snapshot
            .restore(sections::BOARD, 0, |fields| sections::pit_place(fields, &mut place))?;
        Ok(place)
    }

    /// What was typed, and the guest has not taken. The section may be missing.
    pub fn typed(&self) -> Result<Vec<u8>, snapshot::Error> {
        match self.snapshot.section(sections::TYPED, 0) {
            Some(_) => self.snapshot.value(sections::TYPED, 0),
            None => Ok(Vec::new()),
        }
    }

    /// Puts everything into a machine that was built as this one was. The order is KVM's: the
    /// local APICs before the controllers that send to them, and these before the devices.
    pub fn put_into(&self, machine: &mut Machine) -> Result<(), Error> {
        // RAM may have taken its time: all clocks are set by what has passed until now.
        self.start_clock();
        let has_tsc_gone_on = self.has_tsc_gone_on();
        machine.runners[0].vcpu.vm().set_clock_after(&self.vm.clock, self.passed())?;
        for (runner, saved) in machine.runners.iter_mut().zip(&self.vcpus) {
            let keeps_offset = has_tsc_gone_on && runner.vcpu.has_tsc_offset();
            let tsc = self.tsc_start(saved, keeps_offset);
            runner.vcpu.set_state(&saved.state, tsc).inspect_err(|_| {
                let (regs, sregs) = (&saved.state.regs, &saved.state.sregs.old());
                let (shown, rules) = (Registers(regs, sregs), BrokenRules(regs, sregs));
                let text = format_args!("the registers that were saved:{shown}{rules}");
                machine.output.message(text, None);
            })?;
            runner.waits_at_hlt = saved.waits_at_hlt;
            if let (Some(pin), Some(vector)) = (&mut runner.interrupt_pin, saved.hidden_vector) {
                pin.give(&runner.vcpu, vector)?;
            }
        }
        machine.runners[0].vcpu.vm().set_controllers(&self.vm)?;
        for (tag, device) in &machine.devices {
            self.snapshot.restore(*tag, 0, |fields| device.visit(fields))?;
        }
        if let Some(board) = &machine.board
            && machine.config.has_acpi()
        {
            vm_generation::change(&machine.memory, &board.pm).map_err(crate::boot::Error::from)?;
        }
        machine.devices.iter().for_each(|(_, device)| device.restored());
        if let Some(io_apic) = machine.board.as_ref().and_then(Board::own_io_apic) {
            io_apic.end_lost_interrupts(|vector| {
                self.vcpus.iter().any(|vcpu| vcpu.has_vector(vector))
            });
        }
        machine.note_pause();
        Ok(())
    }

    /// The registers with which the boot processor goes on; `after_reset`: those of a fresh vCPU.
    pub fn start_state(&self, after_reset: kvm_sregs) -> StartState {
        let state = &self.vcpus[0].state;
        StartState { regs: state.regs, sregs: state.sregs.old(), after_reset }
    }

    /// Where the host's TSC has gone on, the guest's keeps its offset to it. Anywhere else its value goes on by what has passed.
    fn tsc_start(&self, saved: &SavedVcpu, keeps_offset: bool) -> TscStart {
        let tsc = saved.state.tsc;
        match tsc.offset {
            Some(offset) if keeps_offset => TscStart::Offset(offset),
            _ => {
                let counts = u128::from(self.passed()) * u128::from(tsc.khz) / 1_000_000;
                TscStart::Value(tsc.value.wrapping_add(counts as u64))
            }
        }
    }
}

/// Who has saved it.
impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Host { program, kernel, .. } = &self.host;
        let (program, kernel) = (Text(program.as_bytes()), Text(kernel.as_bytes()));
        let seconds = self.passed() / NANOSECONDS;
        write!(f, "saved by KOB-2M {program} on Linux {kernel}, {seconds} s ago")
    }
}

impl From<snapshot::Error> for Error {
    fn from(error: snapshot::Error) -> Error {
        Error::Snapshot(error)
    }
}

/// A path or a word of the command line, for as long as the program runs.
fn leak(bytes: Vec<u8>) -> &'static CStr {
    // That it has no zero byte was checked when it was read.
    Box::leak(CString::new(bytes).expect("no zero byte").into_boxed_c_str())
}
