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
    check_is_no_input(config, path)?;
    // A FIFO that nobody reads is an error (ENXIO), and not a wait.
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NONBLOCK;
    let failed = |error| Error::TraceFile { path, error };
    let file = Fd::open(path, flags, 0o666).map_err(failed)?;
    if is_regular(config, path, &file)? {
        // Two runs would write over each other's lines.
        file.lock().map_err(failed)?;
        file.set_size(0).map_err(failed)?;
    }
    Ok(Some(file))
}

/// Whether it is a regular file. For a timeline it must be: each write begins where the one before ended its array.
fn is_regular(config: &Config, path: &'static CStr, file: &Fd) -> Result<bool, Error> {
    let failed = |error| Error::TraceFile { path, error };
    let is_regular = fd::is_regular(&file.stat().map_err(failed)?);
    if config.instruments.timeline && !is_regular {
        let call = Name::Function("lseek");
        return Err(failed(CallError { call, errno: Errno(libc::ESPIPE) }));
    }
    Ok(is_regular)
}

/// Whether it could be opened, for `--check`. What is there stays.
pub fn probe(config: &Config, path: &'static CStr) -> Result<(), Error> {
    check_is_no_input(config, path)?;
    let open = |flags| Fd::open(path, libc::O_WRONLY | libc::O_NONBLOCK | flags, 0o666);
    let file = match open(0) {
        Err(error) if error.is(libc::ENOENT) => {
            open(libc::O_CREAT | libc::O_EXCL).inspect(|_| fd::remove(path))
        }
        opened => opened,
    };
    let file = file.map_err(|error| Error::TraceFile { path, error })?;
    is_regular(config, path, &file).map(drop)
}

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
