//! Signals: SIGINT, SIGTERM and SIGHUP stop the guest wherever it is; SIGUSR1 asks for statistics.
//!
//! With the board, each vCPU is a thread, and the first thread attends to the rest: it alone gets these signals, and
//! when the machine is to end it tells the others, by [`stop_all`] and by a signal of our own, [`KICK`].
//!
//! Where the program sleeps, a signal could come in the gap between "was there one?" and falling asleep:
//! - in `KVM_RUN`. The handler sets `kvm_run.immediate_exit`, which makes a `KVM_RUN` that begins
//!   afterwards return EINTR at once (api.rst 5).
//! - in a pause, before a write that the reader does not take, and before a read of an image that is
//!   a pipe. There the signals are blocked while we look, and ppoll(2) unblocks them in the same
//!   instant as it begins to wait; likewise where the first thread attends to input and output.
//! - for the lock, which another thread holds: it wakes several times a second, to look (`thread.rs`).

use crate::errno::Errno;
use crate::{syscall, terminal};
use core::ffi::{c_int, c_short, c_ulong};
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering::SeqCst};

/// Brings a thread out of `KVM_RUN` or a wait: a real-time signal that no C library uses for its own.
pub const KICK: c_int = 40;

/// The signals that can be caught here, as the kernel has a set: bit N-1 is signal N.
const CAUGHT_HERE: u64 = 1 << (libc::SIGINT - 1)
    | 1 << (libc::SIGTERM - 1)
    | 1 << (libc::SIGHUP - 1)
    | 1 << (libc::SIGUSR1 - 1)
    | 1 << (KICK - 1);

/// Others that end a program: with a terminal, it is given back first.
const ENDING: [c_int; 16] = [
    libc::SIGQUIT,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// The first stopping signal that came; 0 for none.
static CAUGHT: AtomicI32 = AtomicI32::new(0);
/// All threads but the first are to end.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// SIGUSR1 came.
static ASKED: AtomicBool = AtomicBool::new(false);
/// `kvm_run.immediate_exit` of the vCPU, while there is one.
static IMMEDIATE_EXIT: AtomicPtr<u8> = AtomicPtr::new(null_mut());

extern "C" fn stop(signal: c_int) {
    if signal == libc::SIGUSR1 {
        ASKED.store(true, SeqCst);
    } else {
        let _ = CAUGHT.compare_exchange(0, signal, SeqCst, SeqCst);
    }
    set_immediate_exit(1);
}

/// [`KICK`] does what it is for by coming.
extern "C" fn come(_: c_int) {}

/// Gives the terminal back, and dies of the signal as if it had not been caught.
extern "C" fn crash(signal: c_int) {
    terminal::give_back();
    set(signal, libc::SIG_DFL);
    // SAFETY: takes no memory. It is delivered when this handler returns.
    let _ = unsafe {
        let process = syscall!(libc::SYS_getpid).unwrap_or(0);
        syscall!(libc::SYS_kill, process, signal)
    };
}

fn set_immediate_exit(value: u8) {
    let immediate_exit = IMMEDIATE_EXIT.load(SeqCst);
    if !immediate_exit.is_null() {
        // SAFETY: `interrupt_at`'s caller keeps the mapping until it says otherwise, and the
        // kernel's own access to this byte is a plain read.
        unsafe { immediate_exit.write_volatile(value) };
    }
}

/// Installs the handlers; that of SIGUSR1 only where `asking`, else it kills as ever. A SIGHUP that is
/// ignored stays so: that is what nohup(1) is for. SIGPIPE is ignored: a closed pipe shows as EPIPE from
/// the write; and SIGXFSZ, a file size limit, as EFBIG.
pub fn install(asking: bool) {
    let stop = stop as extern "C" fn(c_int) as usize;
    set(libc::SIGINT, stop);
    set(libc::SIGTERM, stop);
    if asking {
        set(libc::SIGUSR1, stop);
    }
    if set(libc::SIGHUP, stop) == libc::SIG_IGN {
        set(libc::SIGHUP, libc::SIG_IGN);
    }
    set(libc::SIGPIPE, libc::SIG_IGN);
    set(libc::SIGXFSZ, libc::SIG_IGN);
}

/// Likewise for a machine of several threads, which has the terminal: whatever can be caught. SIGUSR1 too, where nobody is
/// `asking`.
pub fn install_all(asking: bool) {
    set(KICK, come as extern "C" fn(c_int) as usize);
    let crash = crash as extern "C" fn(c_int) as usize;
    for &signal in &ENDING {
        set(signal, crash);
    }
    if !asking {
        set(libc::SIGUSR1, crash);
    }
}

/// Tells all threads but the first to end, or that they may begin.
pub fn stop_all(stop: bool) {
    STOPPED.store(stop, SeqCst);
}

/// Whether they are to end.
pub fn stopped() -> bool {
    STOPPED.load(SeqCst)
}

/// Makes threads that are started within `start` leave all signals but [`KICK`] to this one.
pub fn alone<T>(start: impl FnOnce() -> T) -> T {
    let before = mask(libc::SIG_BLOCK, CAUGHT_HERE & !(1 << (KICK - 1)));
    let result = start();
    mask(libc::SIG_SETMASK, before);
    result
}

/// Waits until one of these is ready, or for some nanoseconds at most, or until a signal comes that is one of ours. Gives how
/// many are ready.
pub fn attend(fds: &mut [libc::pollfd], nanoseconds: Option<u64>) -> usize {
    let before = mask(libc::SIG_BLOCK, CAUGHT_HERE);
    let hurry = caught().is_some() || ASKED.load(SeqCst);
    let nanoseconds = if hurry { Some(0) } else { nanoseconds };
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: nanoseconds.unwrap_or(0) as i64 };
    let limit = if nanoseconds.is_some() { &raw mut time } else { null_mut() };
    let (size, mask_at) = (size_of_val(&before), &raw const before);
    // SAFETY: the kernel writes which are ready, and what time is left. The mask is read.
    let ready =
        unsafe { syscall!(libc::SYS_ppoll, fds.as_mut_ptr(), fds.len(), limit, mask_at, size) };
    mask(libc::SIG_SETMASK, before);
    ready.unwrap_or(0)
}

/// A handler comes with its own way back: include/uapi of x86, `asm/signal.h`.
pub const SA_RESTORER: c_ulong = 0x0400_0000;

/// rt_sigaction(2), the kernel's own: the C library's costs 750 bytes. Calls are not restarted.
/// Returns the handler before.
fn set(signal: c_int, handler: usize) -> usize {
    #[repr(C)]
    struct KernelAction {
        handler: usize,
        flags: c_ulong,
        restorer: extern "C" fn(),
        mask: u64,
    }
    let new = KernelAction { handler, flags: SA_RESTORER, restorer, mask: 0 };
    let mut old = MaybeUninit::<KernelAction>::zeroed();
    // SAFETY: the kernel reads the one and fills the other; `stop` does only what a signal handler
    // may. The call can't fail: the signals exist and can be caught.
    unsafe {
        let (new, old) = (&raw const new, old.as_mut_ptr());
        let _ = syscall!(libc::SYS_rt_sigaction, signal, new, old, size_of::<u64>());
        (*old).handler
    }
}

/// Where a handler returns to: x86-64's kernel leaves it to the program to say rt_sigreturn(2).
#[unsafe(naked)]
extern "C" fn restorer() {
    core::arch::naked_asm!("mov eax, {}", "syscall", const libc::SYS_rt_sigreturn);
}

/// From now on a signal writes 1 to this byte; null for none.
///
/// # Safety
/// The byte can be written to until the next call.
pub unsafe fn interrupt_at(immediate_exit: *mut u8) {
    IMMEDIATE_EXIT.store(immediate_exit, SeqCst);
}

/// The signal that asks the program to end, if one came.
pub fn caught() -> Option<u8> {
    match CAUGHT.load(SeqCst) {
        0 => None,
        signal => Some(signal as u8),
    }
}

/// Whether SIGUSR1 came since the last look. A stopping signal is to be looked for after this: its
/// `immediate_exit` may have been taken back.
pub fn asked() -> bool {
    let mut asked = false;
    // Once more behind each clearing: who comes after the last look sets it again.
    while ASKED.swap(false, SeqCst) {
        set_immediate_exit(0);
        asked = true;
    }
    asked
}

/// Sleeps for so many nanoseconds, or until SIGUSR1 comes, and gives what is left of them. EINTR where a stopping signal
/// has come or comes.
pub fn pause(nanoseconds: u64) -> Result<u64, Errno> {
    const SECOND: u64 = 1_000_000_000;
    let (tv_sec, tv_nsec) = ((nanoseconds / SECOND) as i64, (nanoseconds % SECOND) as i64);
    let mut time = libc::timespec { tv_sec, tv_nsec };
    wait(null_mut(), 0, &mut time)?;
    // The kernel counts it down.
    Ok(time.tv_sec as u64 * SECOND + time.tv_nsec as u64)
}

/// Waits until `fd` is ready for POLLIN or POLLOUT, or never will be. After a stopping signal it does
/// not wait: EINTR where `fd` isn't ready now.
pub fn wait_for(fd: c_int, events: c_short) -> Result<(), Errno> {
    wait(&mut libc::pollfd { fd, events, revents: 0 }, 1, null_mut())
}

fn wait(fds: *mut libc::pollfd, count: usize, time: *mut libc::timespec) -> Result<(), Errno> {
    let mut at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let before = mask(libc::SIG_BLOCK, CAUGHT_HERE);
    let asleep = count == 0;
    let ready = loop {
        let hurry = caught().is_some() || stopped() || asleep && ASKED.load(SeqCst);
        let time = if hurry { &raw mut at_once } else { time };
        let (size, before) = (size_of_val(&before), &raw const before);
        // SAFETY: `fds` and `time` are valid or null; the kernel writes to both, what is ready and what
        // time is left. The mask is read.
        let ready = unsafe { syscall!(libc::SYS_ppoll, fds, count, time, before, size) };
        if ready != Err(Errno(libc::EINTR)) || asleep || caught().is_some() || stopped() {
            break ready;
        }
    };
    mask(libc::SIG_SETMASK, before);
    if !matches!(ready, Ok(1..)) && (caught().is_some() || stopped()) {
        Err(Errno(libc::EINTR))
    } else {
        Ok(())
    }
}

/// rt_sigprocmask(2) with the kernel's own kind of set; returns what was blocked before.
fn mask(how: c_int, set: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: the kernel reads the one set and fills the other.
    unsafe {
        let (set, before) = (&raw const set, &raw mut before);
        let _ = syscall!(libc::SYS_rt_sigprocmask, how, set, before, size_of::<u64>());
    };
    before
}
