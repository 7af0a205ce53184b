//! File descriptors that are closed when their owner goes, and the calls on them.
//!
//! The structures are those of the kernel, which on x86-64 are the C library's too.

use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::sys::cap::kvm_enable_cap;
use crate::sys::cpuid::kvm_cpuid2;
use crate::sys::debug::kvm_guest_debug;
use crate::sys::ioctl::KVM_RUN;
use crate::sys::irqchip::{
    kvm_coalesced_mmio_zone, kvm_ioeventfd, kvm_irq_level, kvm_irqfd, kvm_msi,
};
use crate::sys::memory::kvm_userspace_memory_region;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::{signal, syscall};
use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// What a call is about: what an ioctl takes, and what a trace shows.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// Nothing, or nothing that needs to be shown.
    None,
    /// A small number: an index, a type.
    Number(u64),
    /// Bytes.
    Size(u64),
    /// A guest-physical address.
    GpaValue(u64),
    /// The place where such an address stands.
    Gpa(&'a u64),
    /// A file's name.
    Path(&'a CStr),
    /// One of `KVM_CAP_*`.
    Capability(u64),
    /// Where the kernel is to put its answer: [`address`] of a structure.
    Out(u64),
    /// For `KVM_SET_USER_MEMORY_REGION`.
    Region(&'a kvm_userspace_memory_region),
    /// For `KVM_SET_REGS`.
    Regs(&'a kvm_regs),
    /// For `KVM_SET_SREGS`; and what `KVM_GET_SREGS` gave before.
    Sregs(&'a kvm_sregs, &'a kvm_sregs),
    /// For `KVM_ENABLE_CAP`.
    Enable(&'a kvm_enable_cap),
    /// For `KVM_SET_GUEST_DEBUG`.
    Debug(&'a kvm_guest_debug),
    /// For `KVM_SET_CPUID2`; the entries lie behind it.
    Cpuid(&'a kvm_cpuid2),
    /// For `KVM_IRQ_LINE`.
    Line(&'a kvm_irq_level),
    /// For `KVM_SET_GSI_ROUTING` and `KVM_SET_MSRS`: the number of entries, and the [`address`] of it all.
    Entries(u32, u64),
    /// For `KVM_IOEVENTFD`.
    IoEvent(&'a kvm_ioeventfd),
    /// For `KVM_IRQFD`.
    IrqEvent(&'a kvm_irqfd),
    /// For `KVM_SIGNAL_MSI`.
    Message(&'a kvm_msi),
    /// For `KVM_REGISTER_COALESCED_MMIO`.
    Zone(&'a kvm_coalesced_mmio_zone),
}

impl Argument<'_> {
    /// As the kernel takes it. The compiler is told that the kernel gets the address.
    fn value(&self) -> u64 {
        match *self {
            Argument::None => 0,
            Argument::Number(number)
            | Argument::Size(number)
            | Argument::GpaValue(number)
            | Argument::Capability(number)
            | Argument::Out(number) => number,
            Argument::Gpa(gpa) => address(gpa),
            Argument::Path(path) => address(path.as_ptr()),
            Argument::Region(region) => address(region),
            Argument::Regs(regs) => address(regs),
            Argument::Sregs(sregs, _) => address(sregs),
            Argument::Enable(enable) => address(enable),
            Argument::Debug(debug) => address(debug),
            Argument::Cpuid(cpuid) => address(cpuid),
            Argument::Line(line) => address(line),
            Argument::Entries(_, address) => address,
            Argument::IoEvent(event) => address(event),
            Argument::IrqEvent(event) => address(event),
            Argument::Message(message) => address(message),
            Argument::Zone(zone) => address(zone),
        }
    }
}

/// Who sees every call that builds, changes or runs the machine, after it: what was called, on which
/// descriptor (-1: none), about what, and what came back.
pub type Watcher = fn(Call, c_int, &Argument, Result<usize, Errno>);

/// The one [`Watcher`], or null. It is global because the alternative is a reference to it in every value
/// that owns a descriptor.
static WATCHER: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// From now on `watcher` sees every call.
pub fn watch(watcher: Watcher) {
    WATCHER.store(watcher as *mut (), Relaxed);
}

/// Turns what a system call returned into a result that knows its call, and shows it to who watches.
#[inline(never)]
fn told(
    call: Call,
    fd: c_int,
    argument: &Argument,
    result: Result<usize, Errno>,
) -> Result<usize, Error> {
    let watcher = WATCHER.load(Relaxed);
    if !watcher.is_null() && call != Call::LOOK {
        // SAFETY: `watch` alone writes it, and writes such a function.
        let watcher = unsafe { core::mem::transmute::<*mut (), Watcher>(watcher) };
        watcher(call, fd, argument, result);
    }
    result.map_err(call.failed())
}

/// An open file descriptor.
#[derive(Debug)]
pub struct Fd(c_int);

impl Fd {
    /// open(2), close-on-exec. `mode` counts where `flags` has O_CREAT.
    #[inline(never)]
    pub fn open(call: Call, path: &CStr, flags: c_int, mode: libc::mode_t) -> Result<Fd, Error> {
        let flags = flags | libc::O_CLOEXEC;
        // SAFETY: `path` ends in a zero byte.
        let fd = unsafe { syscall!(libc::SYS_open, path.as_ptr(), flags, mode) };
        told(call, -1, &Argument::Path(path), fd).map(|fd| Fd(fd as c_int))
    }

    /// Takes a descriptor that the kernel has just made for us.
    pub fn from_kernel(fd: c_int) -> Fd {
        Fd(fd)
    }

    /// The descriptor's number, which stays this value's.
    pub fn raw(&self) -> c_int {
        self.0
    }

    /// `KVM_RUN`, of a vCPU's descriptor: made as often as the guest exits, so that who watches calls is told of a failure
    /// alone. EINTR where a signal came.
    ///
    /// # Safety
    /// As for [`Fd::ioctl`]: nothing else uses the run page during the call.
    #[inline]
    pub unsafe fn run(&self) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        match unsafe { syscall!(libc::SYS_ioctl, self.0, KVM_RUN, 0usize) } {
            Ok(_) => Ok(()),
            failed => told(Call::ioctl(KVM_RUN), self.0, &Argument::None, failed).map(drop),
        }
    }

    /// ioctl(2): every other KVM request of the program is made here, and an error knows which one it was.
    /// EINTR only where a stopping signal has come.
    ///
    /// # Safety
    /// `argument` is what `request` takes, and nothing else uses it during the call. Where the request
    /// shows memory to a guest, that memory is to stay mapped, and without a Rust reference to it, while a
    /// vCPU could run.
    pub unsafe fn ioctl(&self, request: u32, argument: Argument) -> Result<c_int, Error> {
        loop {
            // SAFETY: the caller's promise.
            let result = unsafe { syscall!(libc::SYS_ioctl, self.0, request, argument.value()) };
            match told(Call::ioctl(request), self.0, &argument, result) {
                Ok(result) => return Ok(result as c_int),
                // KVM_CREATE_VM, say, cut short by a debugger's stop.
                Err(Error { errno: Errno(libc::EINTR), .. }) if signal::caught().is_none() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// fstat(2).
    pub fn stat(&self, call: Call) -> Result<libc::stat, Error> {
        let mut stat = MaybeUninit::uninit();
        // SAFETY: the kernel fills the structure, wholly where it returns 0.
        let result = unsafe { syscall!(libc::SYS_fstat, self.0, stat.as_mut_ptr()) };
        told(call, self.0, &Argument::None, result)?;
        // SAFETY: it returned 0.
        Ok(unsafe { stat.assume_init() })
    }

    /// fstatfs(2).
    pub fn statfs(&self, call: Call) -> Result<libc::statfs, Error> {
        let mut statfs = MaybeUninit::uninit();
        // SAFETY: as in `stat`.
        let result = unsafe { syscall!(libc::SYS_fstatfs, self.0, statfs.as_mut_ptr()) };
        told(call, self.0, &Argument::None, result)?;
        // SAFETY: it returned 0.
        Ok(unsafe { statfs.assume_init() })
    }

    /// flock(2), exclusive, without waiting: EAGAIN where another open file has the lock.
    pub fn lock(&self, call: Call) -> Result<(), Error> {
        let operation = libc::LOCK_EX | libc::LOCK_NB;
        // SAFETY: takes no memory.
        let result = unsafe { syscall!(libc::SYS_flock, self.0, operation) };
        told(call, self.0, &Argument::None, result).map(drop)
    }

    /// ftruncate(2).
    pub fn set_size(&self, call: Call, size: u64) -> Result<(), Error> {
        // SAFETY: takes no memory. A size over i64::MAX would be negative: EINVAL.
        let result = unsafe { syscall!(libc::SYS_ftruncate, self.0, size) };
        told(call, self.0, &Argument::Size(size), result).map(drop)
    }

    /// fallocate(2): makes the first `size` bytes zeros by giving back the memory that holds them.
    pub fn empty(&self, call: Call, size: u64) -> Result<(), Error> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: takes no memory.
        let result = unsafe { syscall!(libc::SYS_fallocate, self.0, mode, 0usize, size) };
        told(call, self.0, &Argument::Size(size), result).map(drop)
    }

    /// read(2) into `bytes`, for a look; 0 at the end of the file.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize, Error> {
        // SAFETY: the kernel writes at most `bytes.len()` bytes there.
        unsafe { self.read_at(Call::LOOK, bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// pread(2) into `bytes`, for a look: from `offset` on.
    pub fn read_from(&self, offset: u64, bytes: &mut [u8]) -> Result<usize, Error> {
        let (start, len) = (bytes.as_mut_ptr(), bytes.len());
        // SAFETY: the kernel writes at most `len` bytes at `start`.
        let result = unsafe { syscall!(libc::SYS_pread64, self.0, start, len, offset) };
        told(Call::LOOK, self.0, &Argument::None, result)
    }

    /// pread(2) to any address; a signal does not end it.
    ///
    /// # Safety
    /// The kernel may write `len` bytes at `start`, or fail with EFAULT where it can't.
    pub unsafe fn pread(
        &self,
        call: Call,
        start: *mut c_void,
        len: usize,
        offset: u64,
    ) -> Result<usize, Error> {
        loop {
            // SAFETY: the caller's promise.
            let result = unsafe { syscall!(libc::SYS_pread64, self.0, start, len, offset) };
            match told(call, self.0, &Argument::Size(len as u64), result) {
                Err(Error { errno: Errno(libc::EINTR), .. }) if signal::caught().is_none() => {}
                result => return result,
            }
        }
    }

    /// eventfd2(2): a counter, at 0. Reading it never waits.
    pub fn event() -> Result<Fd, Error> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: takes no memory.
        let fd = unsafe { syscall!(libc::SYS_eventfd2, 0, flags) };
        told(Call::EVENTFD, -1, &Argument::None, fd).map(|fd| Fd(fd as c_int))
    }

    /// Adds 1 to an event's counter.
    pub fn ring(&self) {
        // SAFETY: the kernel reads eight bytes.
        let _ = unsafe { syscall!(libc::SYS_write, self.0, &raw const ONE, size_of::<u64>()) };
    }

    /// Takes all that an event has counted.
    pub fn count(&self) -> u64 {
        let mut count = 0u64;
        // SAFETY: the kernel writes eight bytes, or nothing.
        let _ = unsafe { syscall!(libc::SYS_read, self.0, &raw mut count, size_of::<u64>()) };
        count
    }

    /// read(2) to any address, once there is something to read. EINTR where a signal has asked the
    /// program to end.
    ///
    /// # Safety
    /// The kernel may write `len` bytes at `start`, or fail with EFAULT where it can't.
    pub unsafe fn read_at(
        &self,
        call: Call,
        start: *mut c_void,
        len: usize,
    ) -> Result<usize, Error> {
        loop {
            signal::wait_for(self.0, libc::POLLIN).map_err(call.failed())?;
            // SAFETY: the caller's promise.
            let result = unsafe { syscall!(libc::SYS_read, self.0, start, len) };
            match told(call, self.0, &Argument::Size(len as u64), result) {
                Err(Error { errno: Errno(libc::EAGAIN | libc::EINTR), .. }) => {}
                result => return result,
            }
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: this value owned the descriptor.
        let _ = unsafe { syscall!(libc::SYS_close, self.0) };
    }
}

static ONE: u64 = 1;

/// A mapping of memory, unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    start: *mut c_void,
    size: usize,
}

impl Mapping {
    /// mmap(2), to read and write, of `size` bytes from the start of `fd`.
    pub fn new(call: Call, fd: c_int, size: usize, flags: c_int) -> Result<Mapping, Error> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (anywhere, offset) = (0, 0);
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start =
            unsafe { syscall!(libc::SYS_mmap, anywhere, size, protection, flags, fd, offset) };
        let start = told(call, fd, &Argument::Size(size as u64), start)?;
        Ok(Mapping { start: core::ptr::with_exposed_provenance_mut(start), size })
    }

    /// madvise(2): keeps transparent huge pages out. A kernel that has none refuses the advice, and
    /// all is well too.
    pub fn no_huge_pages(&self) {
        // SAFETY: the mapping is ours, and this advice changes no contents.
        let _ =
            unsafe { syscall!(libc::SYS_madvise, self.start, self.size, libc::MADV_NOHUGEPAGE) };
    }

    /// mprotect(2), to nothing and back: who follows this process' mappings forgets these pages. `offset` and
    /// `size` are multiples of the page size.
    pub fn protect_again(&self, offset: u64, size: u64) {
        let start = self.start.wrapping_byte_add(offset as usize);
        for rights in [libc::PROT_NONE, libc::PROT_READ | libc::PROT_WRITE] {
            // SAFETY: a guest's memory, of which no Rust reference exists: who meets it in between waits or fails.
            let _ = unsafe { syscall!(libc::SYS_mprotect, start, size, rights) };
        }
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
        let _ = unsafe { syscall!(libc::SYS_munmap, self.start, self.size) };
    }
}

/// Zeros of our own: memory that neither the kernel nor a guest touches but through what is borrowed here.
pub struct Buffer(Mapping);

impl Buffer {
    /// So many bytes, which take memory as they are touched.
    pub fn new(size: usize) -> Result<Buffer, Error> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Mapping::new(Call::LOOK, -1, size, flags).map(Buffer)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is of this size, and this value's alone.
        unsafe { core::slice::from_raw_parts(self.0.start.cast(), self.0.size) }
    }

    /// Its bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts_mut(self.0.start.cast(), self.0.size) }
    }
}

/// The address of a structure, as an ioctl takes it; the compiler is told that the kernel gets it.
pub fn address<T>(structure: *const T) -> u64 {
    structure.expose_provenance() as u64
}

/// CLOCK_MONOTONIC, in nanoseconds.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure.
    let _ = unsafe { syscall!(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Copies `len` bytes from the guest's memory to ours, or from ours to it: process_vm_writev(2) or process_vm_readv(2) with this process,
/// for which the guest's memory is the nearer side: what can't be had there is EFAULT and no signal.
///
/// # Safety
/// The kernel may write `len` bytes at `ours`, or where it is `to_guest` at `guest`; both may be any addresses.
#[inline(never)]
pub unsafe fn copy(
    to_guest: bool,
    guest: *mut c_void,
    ours: *mut c_void,
    len: usize,
) -> Result<(), Error> {
    let [near, far] = [guest, ours].map(|iov_base| libc::iovec { iov_base, iov_len: len });
    let number = if to_guest { libc::SYS_process_vm_readv } else { libc::SYS_process_vm_writev };
    // SAFETY: the caller's promise; the first takes no memory.
    let copied = unsafe {
        let process = syscall!(libc::SYS_getpid).unwrap_or(0);
        syscall!(number, process, &raw const near, 1, &raw const far, 1, 0)
    };
    match told(Call::LOOK, -1, &Argument::None, copied)? {
        copied if copied == len => Ok(()),
        _ => Err(Call::LOOK.error(libc::EFAULT)),
    }
}

/// read(2), which may wait.
pub fn read_now(fd: c_int, bytes: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most `bytes.len()` bytes there.
    unsafe { syscall!(libc::SYS_read, fd, bytes.as_mut_ptr(), bytes.len()) }
}

/// unlink(2).
pub fn remove(path: &CStr) {
    // SAFETY: `path` ends in a zero byte.
    let _ = unsafe { syscall!(libc::SYS_unlink, path.as_ptr()) };
}

/// Writes all of `bytes`, however slowly the reader takes them. EINTR where a signal has asked the
/// program to end.
pub fn write_all(fd: c_int, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // Waiting here, not in write(2), is what lets a signal stop us. A pipe that is ready takes 4 KiB
        // (PIPE_BUF) without blocking, and nobody here writes more at once; a terminal takes a byte.
        signal::wait_for(fd, libc::POLLOUT)?;
        // SAFETY: the kernel reads `bytes.len()` bytes.
        match unsafe { syscall!(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) } {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno(libc::EINTR | libc::EAGAIN)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Bytes on their way to a descriptor, which stays the caller's: they gather until they are flushed, or
/// fill the room.
#[repr(C)]
pub struct Output {
    fd: c_int,
    len: usize,
    bytes: [u8; 4096],
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
        // Text that stays here: more than there is room for is dropped.
        if self.fd < 0 {
            return Err(Errno(libc::EBADF));
        }
        let len = core::mem::take(&mut self.len);
        write_all(self.fd, self.bytes.get(..len).unwrap_or_default())
    }

    /// What has gathered.
    pub fn gathered(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Whether the descriptor is a terminal.
pub fn is_terminal(fd: c_int) -> bool {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: the kernel fills the structure; a terminal has a size, and nothing else has.
    unsafe { syscall!(libc::SYS_ioctl, fd, libc::TIOCGWINSZ, size.as_mut_ptr()) }.is_ok()
}

/// A descriptor that takes everything, and stays open.
pub fn nowhere() -> c_int {
    let file = Fd::open(Call::LOOK, c"/dev/null", libc::O_WRONLY, 0);
    file.map_or(-1, |file| {
        let fd = file.0;
        core::mem::forget(file);
        fd
    })
}

/// Sees to it that descriptors 0, 1 and 2 are open, lest one of ours get such a number and the
/// guest's output land in it. Where one was closed, what is put there can't be written to.
pub fn reserve_standard() {
    // The lowest free number is the one that open(2) gives.
    while let Ok(fd) = Fd::open(Call::LOOK, c"/dev/null", libc::O_RDONLY, 0) {
        if fd.0 > libc::STDERR_FILENO {
            break;
        }
        core::mem::forget(fd);
    }
}
