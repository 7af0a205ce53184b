//! The machine: how it is put together, run, and taken apart again.
//!
//! ```text
//!   main thread                                      a thread for each vCPU
//!   ┌───────────────────────────────┐               ┌──────────────────────────────┐
//!   │ builder: /dev/kvm ─▶ VM ─▶    │               │        ┌─▶ KVM_RUN ──┐       │
//!   │          vCPUs, RAM, devices  │ ── starts ──▶ │        │   (guest)   │ exit  │
//!   │                               │               │        │             ▼       │
//!   │ event_loop: input, output,    │ ◀── events ── │        └── decode, answer    │
//!   │             signals, the end  │ ── kicks ───▶ │            by a device       │
//!   └───────────────────────────────┘               └──────────────────────────────┘
//! ```

pub mod board;
pub mod builder;
pub mod check;
pub mod controllers;
pub mod cpu_model;
pub mod debugger;
pub mod device_map;
pub mod event_loop;
pub mod exit_handler;
pub mod halt_watch;
pub mod keys;
pub mod processor_reset;
pub mod report;
pub mod restore;
pub mod run;
pub mod save;
pub mod sections;
pub mod trace_file;
pub mod vcpu_thread;

use crate::boot;
use crate::boot::acpi::{self, WakingVector};
use crate::boot::image::Image;
use crate::config::{Config, GdbAddress, OnReset, PitPlace};
use crate::devices::fw_cfg::FwCfg;
use crate::devices::rtc;
use crate::host::errno::{Errno, TOO_MANY_FILES};
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::host::signal;
use crate::host::syscall::{CallError, Name};
use crate::inspect::dirty_log::DirtyLogView;
use crate::inspect::replay::Replay;
use crate::inspect::statistics::Statistics;
use crate::kvm;
use crate::kvm::backend::{self, Backend};
use crate::kvm::exit::Death;
use crate::lifecycle::{End, Lifecycle};
use crate::memory::{self, GuestMemory};
use crate::output::{Output, Unwritten};
use crate::show::Text;
use crate::snapshot;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use board::Board;
use core::ffi::CStr;
use core::fmt;
use debugger::Debugger;
use event_loop::User;
use restore::Restored;
use sections::SavedDevice;
use vcpu_thread::VcpuRunner;

/// A machine that is ready to run. RAM is dropped after the vCPUs.
pub struct Machine<'a> {
    pub config: &'a Config,
    pub start_state: StartState,
    pub runners: Vec<VcpuRunner>,
    pub board: Option<Board>,
    pub lifecycle: Arc<Lifecycle>,
    /// Wakes the event loop.
    pub attention: Arc<Event>,
    /// What the user is told.
    pub output: Arc<Output>,
    pub statistics: Statistics,
    pub dirty_log: Option<Arc<DirtyLogView>>,
    /// The devices that have a state.
    pub devices: Vec<SavedDevice>,
    pub replay: Option<Arc<Mutex<Replay>>>,
    pub memory: Arc<GuestMemory>,
}

/// Registers of the boot processor.
pub struct StartState {
    /// With which the guest starts.
    pub regs: kvm_regs,
    pub sregs: kvm_sregs,
    /// Those of a fresh vCPU: a processor after a reset.
    pub after_reset: kvm_sregs,
}

/// What outlives a machine that is reset, that sleeps, or that was saved.
#[derive(Default)]
pub struct Kept {
    /// RAM with its contents.
    pub memory: Option<Arc<GuestMemory>>,
    /// The real-time clock.
    pub clock: Option<rtc::Kept>,
    /// Where the guest goes on after sleep.
    pub wake_up: Option<WakeUp>,
    /// The machine goes on from a snapshot.
    pub restored: Option<Box<Restored>>,
}

/// See [`Kept::wake_up`].
pub struct WakeUp {
    pub vector: WakingVector,
    /// ACPI's status.
    pub status: u16,
    /// kvmclock when the machine wakes up, in nanoseconds. It counts during sleep.
    pub kvm_clock: u64,
    /// Where its interval timer is.
    pub pit: PitPlace,
    /// It describes what was loaded at the start.
    pub fw_cfg: Arc<FwCfg>,
}

impl Machine<'_> {
    /// Tells the guest's kvmclock that it has not run for a while.
    fn note_pause(&self) {
        for runner in &self.runners {
            // EINVAL: it has none.
            let _ = runner.vcpu.note_pause();
        }
    }

    /// What outlives this machine.
    fn keep(&self) -> Kept {
        let clock = self.board.as_ref().map(|board| board.rtc.kept());
        Kept { memory: Some(self.memory.clone()), clock, ..Kept::default() }
    }

    /// Whether another machine follows such an end.
    pub fn is_followed(&self, end: End) -> bool {
        self.replay.is_none()
            && match end {
                End::Woken => true,
                // A triple fault resets a PC too.
                End::Reset | End::Died(Death::Shutdown) => {
                    self.config.on_reset != OnReset::End && can_be_read_again(self.config)
                }
                _ => false,
            }
    }

    /// What the next machine goes on from, if there is to be one after such an end.
    fn next(&self, end: End) -> Result<Option<Kept>, Error> {
        match (end, self.config.on_reset) {
            _ if !self.is_followed(end) => Ok(None),
            (End::Woken, _) => self.keep_to_wake_up(),
            (_, OnReset::Cold) => Ok(Some(Kept { memory: None, ..self.keep() })),
            _ => Ok(Some(self.keep())),
        }
    }

    /// Where the guest wants to go on after sleep.
    fn waking_vector(&self) -> Result<Option<WakingVector>, Error> {
        match self.config.has_acpi() {
            true => Ok(acpi::waking_vector(&self.memory)?),
            false => Ok(None),
        }
    }

    /// What a machine that wakes up goes on from. `None`: the guest has not said where it wants to go on.
    fn keep_to_wake_up(&self) -> Result<Option<Kept>, Error> {
        let (Some(vector), Some(board)) = (self.waking_vector()?, &self.board) else {
            return Ok(None);
        };
        let wake_up = WakeUp {
            vector,
            status: board.pm.wake_status(),
            kvm_clock: self.runners[0].vcpu.vm().clock()?,
            pit: board.pit_place(),
            fw_cfg: board.fw_cfg.clone(),
        };
        Ok(Some(Kept { wake_up: Some(wake_up), ..self.keep() }))
    }
}

/// Why there is no machine, or no more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    Boot(boot::Error),
    Snapshot(snapshot::Error),
    Memory(memory::Error),
    Kvm(kvm::Error),
    /// The program can't have what it needs to run a machine: a thread, an event.
    Host(CallError),
    /// Nobody can connect a debugger there.
    Debugger {
        address: GdbAddress,
        error: CallError,
    },
    /// This host's KVM can't offer a feature of the processor.
    NoFeature(&'static str),
    /// Standard error is no terminal, and the screens of `--stats=live` go there.
    NoScreen,
    /// Standard output can't be written.
    Output(Errno),
    /// The file of `--trace-file` can't be opened.
    TraceFile {
        path: &'static CStr,
        error: CallError,
    },
    /// That file is one that the machine is made of.
    TraceFileIsInput {
        path: &'static CStr,
    },
    /// The trace can't be written: to this file, or to standard error.
    Trace {
        path: Option<&'static CStr>,
        errno: Errno,
    },
}

impl From<boot::Error> for Error {
    fn from(error: boot::Error) -> Error {
        Error::Boot(error)
    }
}

impl From<memory::Error> for Error {
    fn from(error: memory::Error) -> Error {
        Error::Memory(error)
    }
}

impl From<kvm::Error> for Error {
    fn from(error: kvm::Error) -> Error {
        Error::Kvm(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        Error::Host(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Error::Boot(error) => error.fmt(f),
            Error::Snapshot(error) => error.fmt(f),
            Error::Memory(error) => error.fmt(f),
            Error::Kvm(error) => error.fmt(f),
            Error::Host(CallError { call, errno }) => {
                write!(f, "{call}: {errno}")?;
                f.write_str(match (call, errno.0) {
                    (Name::Function("pthread_create"), libc::EAGAIN) => {
                        ": no more threads\n  Raise ulimit -u or ulimit -v, or the cgroup's pids.max"
                    }
                    (_, libc::EMFILE) => TOO_MANY_FILES,
                    _ => "",
                })
            }
            Error::Debugger { address, error } => {
                write!(f, "--gdb {address}: {}: {}", error.call, error.errno)?;
                f.write_str(match error.errno.0 {
                    libc::EADDRINUSE => {
                        ": another program or a file is there\n  Name another --gdb"
                    }
                    libc::EACCES | libc::EPERM => ": permission denied\n  Name another --gdb",
                    libc::ENOENT => ": no such directory\n  Check the path of --gdb",
                    libc::ENAMETOOLONG => {
                        ": a socket's path has at most 107 bytes\n  Name a shorter one"
                    }
                    _ => "",
                })
            }
            Error::NoFeature(name) => write!(
                f,
                "--cpu: this host's KVM cannot offer {name}\n  --cpu help lists what it can offer"
            ),
            Error::NoScreen => f.write_str(
                "--stats=live: standard error is no terminal\n  Run it in one, or take --stats and send SIGUSR1",
            ),
            Error::Output(errno) => Unwritten(errno).fmt(f),
            Error::TraceFile { path, error } => {
                write!(f, "open {}: {}", Text::from(path), error.errno)?;
                f.write_str(match error.errno.0 {
                    libc::EISDIR => ": a directory\n  Name a file in it",
                    libc::ENOENT => ": no such directory\n  Check the path of --trace-file",
                    libc::EAGAIN => ": another run writes it\n  Name another --trace-file",
                    libc::ETXTBSY => ": a program that runs\n  Name another --trace-file",
                    libc::ENXIO => {
                        ": a FIFO that nobody reads, a socket, or a device without a driver\n  Start the FIFO's reader first"
                    }
                    libc::ESPIPE => ": a timeline needs a regular file\n  Name one",
                    libc::EACCES | libc::EPERM => {
                        ": permission denied\n  Name another --trace-file"
                    }
                    _ => "\n  Check the path of --trace-file",
                })
            }
            Error::TraceFileIsInput { path } => write!(
                f,
                "--trace-file {}: this file is part of the machine, or standard output, and would be lost\n  Name another file",
                Text::from(path)
            ),
            Error::Trace { path, errno } => {
                let path = path.unwrap_or(c"standard error");
                write!(f, "write {}: {errno}\n  The trace is incomplete", Text::from(path))?;
                f.write_str(match errno.0 {
                    libc::EAGAIN => ": its reader has not taken it",
                    libc::EFBIG => ". Raise ulimit -f",
                    libc::ENOSPC => ". Make room, or name another --trace-file",
                    _ => "",
                })
            }
        }
    }
}

/// Runs the machine to its end. After a reset, if the user wants that, and after sleep, it is built and run again. Where the
/// guest dies and `--replay` asks for it, the guest runs once more, single-stepped.
pub fn run(
    config: &Config,
    output: &Arc<Output>,
    debugger: Option<Box<dyn Debugger>>,
    restored: Option<Restored>,
) -> Result<End, Error> {
    if let Some(save) = config.save {
        save::probe(config, save)?;
    }
    check::has_screen(config)?;
    let mut user = User::new(config, debugger);
    let result = run_machines(config, output, &mut user, restored);
    if let Some(debugger) = &mut user.debugger {
        debugger.ended(result.map_or(FAILED, status));
    }
    result
}

/// Runs one machine after the other. The first one may go on from a snapshot.
fn run_machines(
    config: &Config,
    output: &Arc<Output>,
    user: &mut User,
    restored: Option<Restored>,
) -> Result<End, Error> {
    if let Some(restored) = &restored {
        restored.check(config)?;
        restored.start_clock();
        user.input.hold(&restored.typed()?);
    }
    let mut kept = Kept { restored: restored.map(Box::new), ..Kept::default() };
    let mut is_first = true;
    loop {
        let machine = builder::build(config, output, kept, None)?;
        if core::mem::take(&mut is_first) && Backend::of_this_host() == Backend::Software {
            output.message(format_args!("{}", backend::SOFTWARE), None);
        }
        let (end, then) = machine.run(user)?;
        kept = match (then, end) {
            (Some(kept), _) => kept,
            (None, End::Died(_)) if config.instruments.replay => {
                return match replay(config, output) {
                    Ok(stopped @ End::Signal(_)) => Ok(stopped),
                    Ok(_) => Ok(end),
                    Err(error) => {
                        output.message(format_args!("{error}"), None);
                        Ok(end)
                    }
                };
            }
            (None, _) => return Ok(end),
        };
    }
}

/// Runs the guest again to show its last instructions.
fn replay(config: &Config, output: &Arc<Output>) -> Result<End, Error> {
    let (text, possible) = match (config.cpus, can_be_read_again(config)) {
        (2.., _) => ("not possible with several vCPUs: no two runs are alike", false),
        (_, false) => ("not possible: IMAGE is not a regular file, and can't be read again", false),
        (_, true) => {
            ("running the guest again, step by step; this can take long, and Ctrl-C ends it", true)
        }
    };
    output.message(format_args!("replay: {text}"), None);
    match possible {
        true => {
            let machine = builder::build(config, output, Kept::default(), Some(Arc::default()))?;
            Ok(machine.run(&mut User::without_input())?.0)
        }
        false => Ok(End::Done),
    }
}

/// Whether what is run can be read a second time. A pipe can't.
fn can_be_read_again(config: &Config) -> bool {
    config.is_kernel() || Image::can_be_read_again(config.path())
}

/// How a failed write of standard output ends a run.
pub fn without_output(errno: Errno) -> End {
    match (errno.0, signal::stopping()) {
        (libc::EPIPE, _) => End::OutputClosed,
        (libc::EINTR, Some(signal)) => End::Signal(signal),
        _ => End::OutputFailed(errno),
    }
}

// Exit statuses, besides 128+N for signal N.

/// The guest halted, switched off or reset, or the program has answered a question.
pub const SUCCESS: i32 = 0;
/// The host or the program failed.
pub const FAILED: i32 = 1;
/// The command line is wrong.
pub const BAD_USAGE: i32 = 2;
/// The guest died, or nothing can wake it.
pub const GUEST_DIED: i32 = 3;

/// The exit status of a run that ended like this.
pub fn status(end: End) -> i32 {
    match end {
        End::Halted | End::Done | End::PoweredOff | End::Reset | End::UserQuit | End::Saved => {
            SUCCESS
        }
        // The next machine goes on from it.
        End::Woken => SUCCESS,
        End::Status(status) => status.into(),
        End::Died(_) | End::NeverWakes => GUEST_DIED,
        End::Signal(signal) => 128 + i32::from(signal),
        End::OutputClosed => 128 + libc::SIGPIPE,
        End::Failed(_) | End::OutputFailed(_) => FAILED,
    }
}

/// Says why there is no machine, or no more, and returns the exit status.
pub fn fail(output: &Output, error: Error) -> i32 {
    // A call that a signal cut short is not what went wrong.
    if let Some(signal) = signal::stopping() {
        return 128 + i32::from(signal);
    }
    output.message(format_args!("{error}"), None);
    failure_status(&error)
}

/// The exit status where there is no machine.
pub fn failure_status(error: &Error) -> i32 {
    match error {
        Error::Memory(error) if error.is_usage() => BAD_USAGE,
        Error::TraceFileIsInput { .. } => BAD_USAGE,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_nobody_reads_ends_the_run() {
        assert_eq!(without_output(Errno(libc::EPIPE)), End::OutputClosed);
        let full = Errno(libc::ENOSPC);
        assert_eq!(status(without_output(full)), FAILED);
        assert_eq!(Error::Output(Errno(libc::EIO)).to_string(), "write standard output: EIO (5)");
    }
}
