//! Saving a machine: everything that it is goes into a file.
//!
//! The vCPUs' threads wait, and KVM has finished their last exits: only then are their registers those between two instructions. RAM on
//! hugetlbfs stays in its file, so that saving takes the same time for any size. The machine ends then, since going on it would change
//! what was saved. Other RAM is written too, and the machine goes on.

use crate::config::{Config, Irqchip, PitPlace, Save};
use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::fd::{self, Fd};
use crate::host::replacement::Replacement;
use crate::host::syscall::{CallError, Name};
use crate::host::terminal;
use crate::kvm::Kvm;
use crate::machine::keys::Input;
use crate::machine::sections::{self, Host, OwnFile, SavedVcpu};
use crate::machine::{Error, Machine};
use crate::memory::backing;
use crate::memory::saved_ram::Sums;
use crate::show::{Amount, Bytes, Text};
use crate::snapshot::file::{MAGIC, MAY_BE_SKIPPED};
use crate::snapshot::{self, Field, Header, RamPlace, Sections};
use alloc::vec::Vec;
use core::ffi::CStr;

/// What becomes of a machine that was saved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AfterSave {
    /// It has stayed in its RAM's file, and must not go on.
    Ends,
    GoesOn,
}

/// How often a terminal is told how far it is, in nanoseconds.
const PROGRESS: u64 = clock::NANOSECONDS;

/// Whether a snapshot could be written there, as far as can be told: better now than when it is wanted.
pub fn probe(config: &Config, save: Save) -> Result<(), snapshot::Error> {
    create_file(config, save.path).map(drop)
}

/// Makes the file, which takes an old snapshot's place when it is complete. No other file is replaced.
fn create_file(config: &Config, path: &'static CStr) -> Result<Replacement, snapshot::Error> {
    let failed = |error| snapshot::Error::Call { path, error };
    // Refused where there is something, and that is no regular file.
    let file = Replacement::create(path).map_err(failed)?;
    if would_lose(config, path).map_err(failed)? {
        return Err(snapshot::Error::WouldBeLost { path });
    }
    if backing::hugetlbfs_page_size(file.fd()).map_err(failed)?.is_some() {
        // It takes no write(2).
        let (call, errno) = (Name::Function("open"), Errno(libc::EINVAL));
        return Err(failed(CallError { call, errno }));
    }
    Ok(file)
}

/// Whether a regular file has contents that are no snapshot, or is the one that a trace is written to.
fn would_lose(config: &Config, path: &CStr) -> Result<bool, CallError> {
    let old = match Fd::open(path, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0) {
        Ok(old) => old,
        Err(error) if error.is(libc::ENOENT) => return Ok(false),
        Err(error) => return Err(error),
    };
    let stat = old.stat()?;
    let trace = config.instruments.trace_file.and_then(|trace| fd::stat(trace).ok());
    if trace.is_some_and(|trace| fd::inode(&trace) == fd::inode(&stat)) {
        return Ok(true);
    }
    let mut start = [0; MAGIC.len()];
    let len = old.read_at(0, &mut start)?;
    Ok(len > 0 && start != MAGIC)
}

impl Machine<'_> {
    /// Saves the machine, and tells the user. An old snapshot stays until the new one is complete.
    pub fn save(&self, save: Save, input: &Input) -> Result<AfterSave, Error> {
        let path = save.path;
        let failed = |error| snapshot::Error::Call { path, error };
        // Better refused before all is gathered.
        let file = create_file(self.config, path)?;
        // RAM has contents that are to stay, even where the guest has not run yet. It changes the file's identity.
        self.memory.ram().keep()?;
        let own_file = self.own_file(save).map_err(failed)?;
        let (place, after) = match own_file.path.is_empty() {
            true => (RamPlace::Here, AfterSave::GoesOn),
            false => (RamPlace::Elsewhere, AfterSave::Ends),
        };
        let before = self.sections(&own_file, input)?;
        let with_sums = |mut sums: Sums| {
            let mut sections = before.clone();
            if place == RamPlace::Here {
                sections.add(sections::RAM_SUMS, 0, |fields| sums.0.visit(fields));
            }
            sections
        };
        // RAM is written before the sections with its checksums, whose size is known already.
        let sections = with_sums(Sums::of_zeros(self.memory.size()));
        let header = Header::new(sections.bytes().len() as u64, self.memory.size(), place);
        let write = || -> Result<(), CallError> {
            let sections = match place {
                RamPlace::Here => with_sums(self.save_ram(&file, header.ram_offset)?),
                RamPlace::Elsewhere => sections,
            };
            file.fd().write_all_at(0, header.bytes())?;
            file.fd().write_all_at(header.bytes().len() as u64, sections.bytes())?;
            file.complete()
        };
        let written = write();
        if written.is_err() || after == AfterSave::GoesOn {
            self.note_pause();
        }
        written.map_err(failed)?;
        let path = Text::from(path);
        match after {
            AfterSave::Ends => self.output.message(
                format_args!(
                    "saved to {path}; RAM stays in {}, and the machine ends here",
                    Text(&own_file.path)
                ),
                None,
            ),
            AfterSave::GoesOn => {
                self.output.message(format_args!("saved to {path}, with RAM"), None);
            }
        }
        Ok(after)
    }

    /// The file in which RAM can stay.
    fn own_file(&self, save: Save) -> Result<OwnFile, CallError> {
        match self.memory.ram().own_file() {
            Some(file) if !save.with_ram => {
                let (path, identity) = file?;
                Ok(OwnFile { path, identity })
            }
            _ => Ok(OwnFile::default()),
        }
    }

    /// Everything but RAM.
    fn sections(&self, own_file: &OwnFile, input: &Input) -> Result<Sections, Error> {
        let config = self.config;
        let vm = self.runners[0].vcpu.vm();
        let msrs = Kvm::open()?.msr_indices()?;
        let has_lapic = config.has_lapic_in_kernel();
        let has_chips = config.has_board() && config.irqchip() == Irqchip::Full;
        let pit = self.board.as_ref().map(|board| board.pit_place());

        let mut sections = Sections::default();
        let mut words: Vec<Vec<u8>> =
            config.words.iter().map(|word| word.to_bytes().to_vec()).collect();
        sections.add(sections::ARGUMENTS, 0, |fields| sections::words(fields, &mut words));
        // The clocks, one right after the other.
        let mut vm_state = vm.state(has_chips, pit == Some(PitPlace::Kernel))?;
        let mut host = Host::here();
        sections.add(sections::HOST, 0, |fields| host.visit(fields));
        sections.add(sections::RAM, 0, |fields| own_file.clone().visit(fields));
        sections.add(sections::VM, 0, |fields| vm_state.visit(fields));
        for runner in &self.runners {
            let state = runner.vcpu.state(&msrs, has_lapic)?;
            let pin = runner.interrupt_pin.as_ref();
            let hidden_vector = pin.and_then(|pin| pin.hidden_vector(&runner.vcpu, &state));
            let mut vcpu = SavedVcpu { state, waits_at_hlt: runner.waits_at_hlt, hidden_vector };
            sections.add(sections::VCPU, 0, |fields| vcpu.visit(fields));
        }
        if let Some(mut pit) = pit {
            sections.add(sections::BOARD, 0, |fields| sections::pit_place(fields, &mut pit));
        }
        for (tag, device) in &self.devices {
            sections.add(*tag, 0, |fields| device.visit(fields));
        }
        let mut typed = input.held();
        sections.add(sections::TYPED, MAY_BE_SKIPPED, |fields| typed.visit(fields));
        Ok(sections)
    }

    fn save_ram(&self, file: &Replacement, offset: u64) -> Result<Sums, CallError> {
        let size = self.memory.size();
        let shows = terminal::is_terminal(libc::STDERR_FILENO);
        let mut next = clock::monotonic() + PROGRESS;
        self.memory.save(file.fd(), offset, &mut |done| {
            if shows && clock::monotonic() >= next {
                next = clock::monotonic() + PROGRESS;
                let text = format_args!("saving: {} of {}", Amount(done), Bytes(size));
                self.output.message(text, None);
                // Nobody else writes it meanwhile.
                self.output.write_some();
            }
        })
    }
}
