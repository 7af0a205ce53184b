//! File descriptors that are closed when their owner is dropped, and the calls on them.

use crate::host::errno::Errno;
use crate::host::signal;
use crate::host::syscall::{Call, CallError, Name};
use crate::show::{Bytes, Text};
use alloc::vec::Vec;
use core::ffi::{CStr, c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;

/// An open file descriptor.
#[derive(Debug)]
pub struct Fd(c_int);

impl Fd {
    /// open(2), close-on-exec. `mode` counts where `flags` has O_CREAT.
    pub fn open(path: &CStr, flags: c_int, mode: libc::mode_t) -> Result<Fd, CallError> {
        let shown = Text::from(path);
        // SAFETY: `path` ends in a zero byte.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) };
        let fd = Call::new("open", format_args!("\"{shown}\"")).returned(fd as isize)?;
        Ok(Fd(fd as c_int))
    }

    /// memfd_create(2): a file without a name. `flags` are `MFD_*`.
    pub fn memfd(name: &CStr, flags: u32) -> Result<Fd, CallError> {
        let shown = Text::from(name);
        // SAFETY: `name` ends in a zero byte.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), flags | libc::MFD_CLOEXEC) };
        let fd = Call::new("memfd_create", format_args!("\"{shown}\"")).returned(fd as isize)?;
        Ok(Fd(fd as c_int))
    }

    /// Takes a descriptor over.
    ///
    /// # Safety
    /// `fd` is open, and nobody else closes it.
    pub unsafe fn from_raw(fd: c_int) -> Fd {
        Fd(fd)
    }

    /// The descriptor's number, which stays this value's.
    pub fn raw(&self) -> c_int {
        self.0
    }

    /// Gives the descriptor up without closing it.
    pub fn into_raw(self) -> c_int {
        let fd = self.0;
        core::mem::forget(self);
        fd
    }

    /// ioctl(2) with a KVM request; `shown` is its argument for a trace. A call that is interrupted is made again, unless
    /// a signal has asked the program to stop.
    ///
    /// # Safety
    /// `argument` is what `request` takes, and nothing else uses the memory that it points to during the call. Where the
    /// request gives memory to a guest, that memory stays mapped, and without a Rust reference to it, while a vCPU could
    /// run.
    pub unsafe fn ioctl(
        &self,
        request: u32,
        argument: u64,
        shown: fmt::Arguments,
    ) -> Result<c_int, CallError> {
        loop {
            let call = Call { name: Name::Request(request), fd: Some(self.0), arguments: shown };
            // SAFETY: the caller's promise.
            let result = unsafe { libc::ioctl(self.0, request as libc::Ioctl, argument) };
            match call.returned(result as isize) {
                Ok(result) => return Ok(result as c_int),
                Err(error) if error.is(libc::EINTR) && signal::stopping().is_none() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// fcntl(2): a second descriptor of the same open file, and so with the same lock.
    pub fn duplicate(&self) -> Result<Fd, CallError> {
        // SAFETY: takes no memory.
        let fd = unsafe { libc::fcntl(self.0, libc::F_DUPFD_CLOEXEC, 0) };
        let fd =
            Call::on(self.0, "fcntl", format_args!("F_DUPFD_CLOEXEC")).returned(fd as isize)?;
        Ok(Fd(fd as c_int))
    }

    /// readlink(2): the absolute path by which the kernel knows the open file.
    pub fn path(&self) -> Result<Vec<u8>, CallError> {
        let link = alloc::format!("/proc/self/fd/{}\0", self.0);
        let mut path = alloc::vec![0; libc::PATH_MAX as usize];
        // SAFETY: the name ends in a zero byte; the kernel writes at most as many bytes as there is room for.
        let result =
            unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len()) };
        let len = Call::on(self.0, "readlink", format_args!("")).returned(result)?;
        path.truncate(len);
        Ok(path)
    }

    /// fstat(2).
    pub fn stat(&self) -> Result<libc::stat, CallError> {
        let mut stat = MaybeUninit::uninit();
        // SAFETY: the kernel fills the structure, wholly where it returns 0.
        let result = unsafe { libc::fstat(self.0, stat.as_mut_ptr()) };
        Call::on(self.0, "fstat", format_args!("")).returned(result as isize)?;
        // SAFETY: it returned 0.
        Ok(unsafe { stat.assume_init() })
    }

    /// fstatfs(2).
    pub fn statfs(&self) -> Result<libc::statfs, CallError> {
        let mut statfs = MaybeUninit::uninit();
        // SAFETY: as in `stat`.
        let result = unsafe { libc::fstatfs(self.0, statfs.as_mut_ptr()) };
        Call::on(self.0, "fstatfs", format_args!("")).returned(result as isize)?;
        // SAFETY: it returned 0.
        Ok(unsafe { statfs.assume_init() })
    }

    /// flock(2), exclusive, without waiting. EAGAIN: another open file has the lock.
    pub fn lock(&self) -> Result<(), CallError> {
        // SAFETY: takes no memory.
        let result = unsafe { libc::flock(self.0, libc::LOCK_EX | libc::LOCK_NB) };
        Call::on(self.0, "flock", format_args!("")).returned(result as isize).map(drop)
    }

    /// flock(2), shared with others who only read, without waiting. EAGAIN: another open file has it for itself.
    pub fn lock_shared(&self) -> Result<(), CallError> {
        // SAFETY: takes no memory.
        let result = unsafe { libc::flock(self.0, libc::LOCK_SH | libc::LOCK_NB) };
        Call::on(self.0, "flock", format_args!("shared")).returned(result as isize).map(drop)
    }

    /// futimens(2): the file was changed just now.
    pub fn touch(&self) -> Result<(), CallError> {
        // SAFETY: a null pointer stands for this moment.
        let result = unsafe { libc::futimens(self.0, core::ptr::null()) };
        Call::on(self.0, "futimens", format_args!("")).returned(result as isize).map(drop)
    }

    /// fsync(2): what was written is on the disk.
    pub fn sync(&self) -> Result<(), CallError> {
        // SAFETY: takes no memory.
        let result = unsafe { libc::fsync(self.0) };
        Call::on(self.0, "fsync", format_args!("")).returned(result as isize).map(drop)
    }

    /// lseek(2): where the file has data next, from `offset` on. ENXIO: only holes follow.
    pub fn seek_data(&self, offset: u64) -> Result<u64, CallError> {
        self.seek(offset, libc::SEEK_DATA)
    }

    /// Likewise, where it has a hole next; its end counts as one.
    pub fn seek_hole(&self, offset: u64) -> Result<u64, CallError> {
        self.seek(offset, libc::SEEK_HOLE)
    }

    fn seek(&self, offset: u64, whence: c_int) -> Result<u64, CallError> {
        // SAFETY: takes no memory.
        let result = unsafe { libc::lseek(self.0, offset as libc::off_t, whence) };
        let shown = format_args!("{offset:#x}, {whence}");
        Ok(Call::on(self.0, "lseek", shown).returned(result as isize)? as u64)
    }

    /// pwrite(2) of all bytes.
    pub fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<(), CallError> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let at = offset + done as u64;
            // SAFETY: the kernel reads at most `rest.len()` bytes there.
            let result = unsafe {
                libc::pwrite(self.0, rest.as_ptr().cast(), rest.len(), at as libc::off_t)
            };
            let shown = format_args!("{} at {at:#x}", Bytes(rest.len() as u64));
            match Call::on(self.0, "pwrite", shown).returned(result) {
                Ok(count) => done += count,
                Err(error) if error.is(libc::EINTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// ftruncate(2).
    pub fn set_size(&self, size: u64) -> Result<(), CallError> {
        // SAFETY: takes no memory. A size above i64::MAX is negative for the kernel: EINVAL.
        let result = unsafe { libc::ftruncate(self.0, size as libc::off_t) };
        let size = Bytes(size);
        Call::on(self.0, "ftruncate", format_args!("{size}")).returned(result as isize).map(drop)
    }

    /// fallocate(2): empties the first `size` bytes: they read as zeros, and the memory that held them is given back.
    pub fn punch_hole(&self, size: u64) -> Result<(), CallError> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: takes no memory.
        let result = unsafe { libc::fallocate(self.0, mode, 0, size as libc::off_t) };
        let size = Bytes(size);
        Call::on(self.0, "fallocate", format_args!("{size}")).returned(result as isize).map(drop)
    }

    /// read(2), once there is something to read; 0 at the end of the file. EINTR where a signal has asked the program to
    /// stop.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, CallError> {
        // SAFETY: the kernel writes at most `bytes.len()` bytes there.
        unsafe { self.read_to(bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// Likewise to any address.
    ///
    /// # Safety
    /// The kernel may write `len` bytes at `start`; where it can't, it returns EFAULT.
    pub unsafe fn read_to(&self, start: *mut c_void, len: usize) -> Result<usize, CallError> {
        let name = "read";
        loop {
            signal::wait_for(self.0, libc::POLLIN)
                .map_err(|errno| CallError { call: Name::Function(name), errno })?;
            // SAFETY: the caller's promise.
            let result = unsafe { libc::read(self.0, start, len) };
            match Call::on(self.0, name, format_args!("{}", Bytes(len as u64))).returned(result) {
                Err(error) if error.is(libc::EAGAIN) || error.is(libc::EINTR) => {}
                result => return result,
            }
        }
    }

    /// pread(2) from `offset` on; 0 behind the end of the file.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, CallError> {
        // SAFETY: the kernel writes at most `bytes.len()` bytes there.
        unsafe { self.read_at_to(offset, bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// Likewise to any address.
    ///
    /// # Safety
    /// As for [`Fd::read_to`].
    pub unsafe fn read_at_to(
        &self,
        offset: u64,
        start: *mut c_void,
        len: usize,
    ) -> Result<usize, CallError> {
        loop {
            // SAFETY: the caller's promise.
            let result = unsafe { libc::pread(self.0, start, len, offset as libc::off_t) };
            let shown = format_args!("{} at {offset:#x}", Bytes(len as u64));
            match Call::on(self.0, "pread", shown).returned(result) {
                Err(error) if error.is(libc::EINTR) && signal::stopping().is_none() => {}
                result => return result,
            }
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: this value owned the descriptor.
        let result = unsafe { libc::close(self.0) };
        // A descriptor that could not be closed has nobody who could do more about it.
        let _ = Call::on(self.0, "close", format_args!("")).returned(result as isize);
    }
}

/// What a file is, without opening it to read or write.
pub fn stat(path: &CStr) -> Result<libc::stat, CallError> {
    Fd::open(path, libc::O_PATH, 0)?.stat()
}

/// rename(2): a file takes another one's place.
pub fn rename(from: &CStr, to: &CStr) -> Result<(), CallError> {
    // SAFETY: both end in a zero byte.
    let result = unsafe { libc::rename(from.as_ptr(), to.as_ptr()) };
    let shown = format_args!("\"{}\", \"{}\"", Text::from(from), Text::from(to));
    Call::new("rename", shown).returned(result as isize).map(drop)
}

/// Whether it is a regular file: it has a size, and can be read again.
pub fn is_regular(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// By what a file is known: the numbers of its file system and in it.
pub fn inode(stat: &libc::stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// unlink(2). A file that could not be removed stays.
pub fn remove(path: &CStr) {
    // SAFETY: `path` ends in a zero byte.
    let result = unsafe { libc::unlink(path.as_ptr()) };
    let _ = Call::new("unlink", format_args!("\"{}\"", Text::from(path))).returned(result as isize);
}

/// write(2), which may wait. The plain call: output is not traced.
pub fn write(fd: c_int, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads `bytes.len()` bytes.
    match unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) } {
        -1 => Err(Errno::last()),
        written => Ok(written.cast_unsigned()),
    }
}

/// ftruncate(2) of a trace's file: unlike other calls it is not traced, which would write to that file again.
pub fn cut(fd: c_int, size: u64) {
    // SAFETY: takes no memory. Where it fails, the file stays longer than it should be.
    let _ = unsafe { libc::ftruncate(fd, size as libc::off_t) };
}

/// pwrite(2). The plain call: output is not traced.
pub fn write_at(fd: c_int, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads `bytes.len()` bytes.
    match unsafe { libc::pwrite(fd, bytes.as_ptr().cast(), bytes.len(), offset as libc::off_t) } {
        -1 => Err(Errno::last()),
        written => Ok(written.cast_unsigned()),
    }
}

/// read(2), which may wait. The plain call: what the user types is not traced.
pub fn read(fd: c_int, bytes: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `bytes.len()` bytes there.
    match unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) } {
        -1 => Err(Errno::last()),
        count => Ok(count.cast_unsigned()),
    }
}

/// Opens descriptors 0, 1 and 2 where they are closed. Otherwise one of ours would get such a number, and the guest's
/// output would land in it. What is opened here can't be written to.
pub fn reserve_standard_descriptors() {
    // open(2) gives the lowest number that is free.
    while let Ok(fd) = Fd::open(c"/dev/null", libc::O_RDONLY, 0) {
        if fd.raw() > libc::STDERR_FILENO {
            break;
        }
        fd.into_raw();
    }
}
