//! `--trace-file`: the file that a trace goes to.

use crate::config::{Backing, Config};
use crate::host::errno::Errno;
use crate::host::fd::{self, Fd};
use crate::host::syscall::{CallError, Name};
use crate::machine::Error;
use core::ffi::CStr;

/// Opens and empties it; `None` without the option. Refused where it is a file that the machine is made of, which would be lost.
pub fn open(config: &Config) -> Result<Option<Fd>, Error> {
    let Some(path) = config.instruments.trace_file else { return Ok(None) };
    check_may_be_written(config, path)?;
    // A FIFO that nobody reads is an error (ENXIO), and not a wait.
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK;
    let failed = |error| Error::TraceFile { path, error };
    let file = Fd::open(path, flags, 0o666).map_err(failed)?;
    if fd::is_regular(&file.stat().map_err(failed)?) {
        // Two runs would write over each other's lines.
        file.lock().map_err(failed)?;
        file.set_size(0).map_err(failed)?;
    }
    Ok(Some(file))
}

/// Whether it could be opened, for `--check`. What is there stays.
pub fn probe(config: &Config, path: &'static CStr) -> Result<(), Error> {
    check_may_be_written(config, path)?;
    let open = |flags| Fd::open(path, libc::O_WRONLY | libc::O_NONBLOCK | flags, 0o666);
    let file = match open(0) {
        Err(error) if error.is(libc::ENOENT) => {
            open(libc::O_CREAT | libc::O_EXCL).inspect(|_| fd::remove(path))
        }
        opened => opened,
    };
    file.map(drop).map_err(|error| Error::TraceFile { path, error })
}

/// Whether what is there now may be written. For a timeline it must be a regular file: each write begins where the one before
/// ended its array.
fn check_may_be_written(config: &Config, path: &'static CStr) -> Result<(), Error> {
    if config.instruments.timeline && fd::stat(path).is_ok_and(|stat| !fd::is_regular(&stat)) {
        let error = CallError { call: Name::Function("lseek"), errno: Errno(libc::ESPIPE) };
        return Err(Error::TraceFile { path, error });
    }
    check_is_no_input(config, path)
}

/// Whether it is no file that the machine is made of, and not standard output.
fn check_is_no_input(config: &Config, path: &'static CStr) -> Result<(), Error> {
    let identity = |path: &CStr| {
        let stat = fd::stat(path).ok()?;
        fd::is_regular(&stat).then(|| fd::inode(&stat))
    };
    let backing = match config.backing {
        Backing::File(path) => Some(path),
        _ => None,
    };
    let snapshots = config.snapshot.into_iter().chain(config.save.map(|save| save.path));
    let inputs = config.initrds.iter().copied().chain([config.path()]).chain(backing);
    let standard_output = c"/proc/self/fd/1";
    let inputs = inputs.chain(snapshots).chain([standard_output]);
    match identity(path) {
        Some(trace) if inputs.filter_map(identity).any(|input| input == trace) => {
            Err(Error::TraceFileIsInput { path })
        }
        _ => Ok(()),
    }
}
