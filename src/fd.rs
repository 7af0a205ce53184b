//! File descriptors that are closed when their owner goes, and the calls on them.
//!
//! System calls are made by number, through the C library's `syscall`: its wrappers, which serve
//! all architectures and old kernels, would cost the program 2 KiB. The structures are those of
//! the kernel, which on x86-64 are the C library's too.

use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::signal;
use core::ffi::{CStr, c_int, c_long, c_void};
use core::mem::MaybeUninit;

/// An open file descriptor.
#[derive(Debug)]
pub struct Fd(c_int);

impl Fd {
    /// open(2), close-on-exec. `mode` counts where `flags` has O_CREAT.
    pub fn open(path: &CStr, flags: c_int, mode: libc::mode_t) -> Result<Fd, Errno> {
        open_at(libc::AT_FDCWD, path, flags, mode)
    }

    /// Opens a file in the directory that this is, to read.
    pub fn open_in(&self, name: &CStr) -> Result<Fd, Errno> {
        open_at(self.0, name, libc::O_RDONLY, 0)
    }

    /// Takes a descriptor that the kernel has just made for us.
    pub fn from_kernel(fd: c_int) -> Fd {
        Fd(fd)
    }

    /// The descriptor's number, which stays this value's.
    pub fn raw(&self) -> c_int {
        self.0
    }

    /// ioctl(2): every KVM request of the program is made here, and an error knows which one it was.
    /// EINTR only where a stopping signal has come.
    ///
    /// # Safety
    /// `argument` is what `request` takes: a number, or the exposed address of a structure that nothing
    /// else uses during the call. Where the request shows memory to a guest, that memory is to stay
    /// mapped, and without a Rust reference to it, while a vCPU could run.
    pub unsafe fn ioctl(&self, request: u32, argument: u64) -> Result<c_int, Error> {
        loop {
            // SAFETY: the caller's promise.
            match check(unsafe { libc::syscall(libc::SYS_ioctl, self.0, request, argument) }) {
                Ok(result) => return Ok(result as c_int),
                // KVM_RUN, or KVM_CREATE_VM, cut short: by a debugger's stop, say.
                Err(Errno(libc::EINTR)) if signal::caught().is_none() => {}
                Err(errno) => return Err(Error { call: Call::ioctl(request), errno }),
            }
        }
    }

    /// fstat(2).
    pub fn stat(&self) -> Result<libc::stat, Errno> {
        let mut stat = MaybeUninit::uninit();
        // SAFETY: the kernel fills the structure, wholly where it returns 0.
        check(unsafe { libc::syscall(libc::SYS_fstat, self.0, stat.as_mut_ptr()) })?;
        // SAFETY: it returned 0.
        Ok(unsafe { stat.assume_init() })
    }

    /// fstatfs(2).
    pub fn statfs(&self) -> Result<libc::statfs, Errno> {
        let mut statfs = MaybeUninit::uninit();
        // SAFETY: as in `stat`.
        check(unsafe { libc::syscall(libc::SYS_fstatfs, self.0, statfs.as_mut_ptr()) })?;
        // SAFETY: it returned 0.
        Ok(unsafe { statfs.assume_init() })
    }

    /// flock(2), exclusive, without waiting: EAGAIN where another open file has the lock.
    pub fn lock(&self) -> Result<(), Errno> {
        let operation = libc::LOCK_EX | libc::LOCK_NB;
        // SAFETY: takes no memory.
        check(unsafe { libc::syscall(libc::SYS_flock, self.0, operation) }).map(drop)
    }

    /// ftruncate(2).
    pub fn set_size(&self, size: u64) -> Result<(), Errno> {
        // SAFETY: takes no memory. A size over i64::MAX would be negative: EINVAL.
        check(unsafe { libc::syscall(libc::SYS_ftruncate, self.0, size) }).map(drop)
    }

    /// fallocate(2): makes the first `size` bytes zeros by giving back the memory that holds them.
    pub fn empty(&self, size: u64) -> Result<(), Errno> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: takes no memory.
        check(unsafe { libc::syscall(libc::SYS_fallocate, self.0, mode, 0usize, size) }).map(drop)
    }

    /// read(2) into `bytes`; 0 at the end of the file.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the kernel writes at most `bytes.len()` bytes there.
        unsafe { self.read_at(bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// read(2) to any address, once there is something to read. EINTR where a signal has asked the
    /// program to end.
    ///
    /// # Safety
    /// The kernel may write `len` bytes at `start`, or fail with EFAULT where it can't.
    pub unsafe fn read_at(&self, start: *mut c_void, len: usize) -> Result<usize, Errno> {
        loop {
            signal::wait_for(self.0, libc::POLLIN)?;
            // SAFETY: the caller's promise.
            match check(unsafe { libc::syscall(libc::SYS_read, self.0, start, len) }) {
                Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
                result => return result,
            }
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: this value owned the descriptor.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

/// A mapping of memory, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: *mut c_void,
    size: usize,
}

impl Mapping {
    /// mmap(2), to read and write, of `size` bytes from the start of `fd`.
    pub fn new(fd: c_int, size: usize, flags: c_int) -> Result<Mapping, Errno> {
        // The kernel takes six longs here: an int would leave the upper half of one undefined.
        let protection = c_long::from(libc::PROT_READ | libc::PROT_WRITE);
        let (flags, fd) = (c_long::from(flags), c_long::from(fd));
        let (anywhere, offset): (c_long, c_long) = (0, 0);
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = check(unsafe {
            libc::syscall(libc::SYS_mmap, anywhere, size, protection, flags, fd, offset)
        })?;
        Ok(Mapping { start: core::ptr::with_exposed_provenance_mut(start), size })
    }

    /// madvise(2): keeps transparent huge pages out. A kernel that has none refuses the advice, and
    /// all is well too.
    pub fn no_huge_pages(&self) {
        // SAFETY: the mapping is ours, and this advice changes no contents.
        unsafe { libc::syscall(libc::SYS_madvise, self.start, self.size, libc::MADV_NOHUGEPAGE) };
    }

    /// Its first byte.
    pub fn start(&self) -> *mut c_void {
        self.start
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and who could still use it has borrowed it.
        unsafe { libc::syscall(libc::SYS_munmap, self.start, self.size) };
    }
}

fn open_at(at: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> Result<Fd, Errno> {
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: `path` ends in a zero byte.
    let fd = unsafe { libc::syscall(libc::SYS_openat, at, path.as_ptr(), flags, mode) };
    check(fd).map(|fd| Fd(fd as c_int))
}

/// The address of a structure, as an ioctl takes it; the compiler is told that the kernel gets it.
pub fn address<T>(structure: *const T) -> u64 {
    structure.expose_provenance() as u64
}

/// Turns the C library's -1 into the error number.
fn check(result: c_long) -> Result<usize, Errno> {
    if result == -1 { Err(Errno::last()) } else { Ok(result as usize) }
}

/// unlink(2).
pub fn remove(path: &CStr) {
    // SAFETY: `path` ends in a zero byte.
    unsafe { libc::syscall(libc::SYS_unlink, path.as_ptr()) };
}

/// Writes all of `bytes`, however slowly the reader takes them. EINTR where a signal has asked the
/// program to end.
pub fn write_all(fd: c_int, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // Waiting here, not in write(2), is what lets a signal stop us. A pipe that is ready takes 4 KiB
        // (PIPE_BUF) without blocking, and nobody here writes more at once; a terminal takes a byte.
        signal::wait_for(fd, libc::POLLOUT)?;
        // SAFETY: the kernel reads `bytes.len()` bytes.
        match check(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) }) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno(libc::EINTR | libc::EAGAIN)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Bytes on their way to a descriptor, which stays the caller's: they gather until they are flushed, or
/// fill the room.
pub struct Output {
    fd: c_int,
    bytes: [u8; 4096],
    len: usize,
}

impl Output {
    /// Nothing yet.
    pub fn new(fd: c_int) -> Output {
        Output { fd, bytes: [0; 4096], len: 0 }
    }

    /// Takes a byte. Errors as [`Output::flush`], where it was the last that there was room for.
    pub fn put(&mut self, byte: u8) -> Result<(), Errno> {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
        if self.len < self.bytes.len() { Ok(()) } else { self.flush() }
    }

    /// Writes out what has gathered; what can't be written is dropped. Errors as [`write_all`].
    pub fn flush(&mut self) -> Result<(), Errno> {
        let len = core::mem::take(&mut self.len);
        write_all(self.fd, self.bytes.get(..len).unwrap_or_default())
    }

    /// What has gathered.
    #[cfg(test)]
    pub fn gathered(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Whether the descriptor is a terminal.
pub fn is_terminal(fd: c_int) -> bool {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: the kernel fills the structure; a terminal has a size, and nothing else has.
    check(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::TIOCGWINSZ, size.as_mut_ptr()) })
        .is_ok()
}

/// Sees to it that descriptors 0, 1 and 2 are open, lest one of ours get such a number and the
/// guest's output land in it. Where one was closed, what is put there can't be written to.
pub fn reserve_standard() {
    // The lowest free number is the one that open(2) gives.
    while let Ok(fd) = Fd::open(c"/dev/null", libc::O_RDONLY, 0) {
        if fd.0 > libc::STDERR_FILENO {
            break;
        }
        core::mem::forget(fd);
    }
}
