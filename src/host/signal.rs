//! Signals: SIGINT, SIGTERM and SIGHUP ask the program to stop, SIGUSR1 asks for statistics, SIGUSR2 for a snapshot, SIGCONT says
//! that the program was stopped and goes on.
//!
//! The main thread alone receives these. Other threads block them ([`block_for_new_thread`]) and take only [`KICK`], by
//! which the main thread brings a vCPU's thread out of `KVM_RUN`.
//!
//! A handler only sets a flag. The main thread looks at the flags before it sleeps, and a signal could come between the
//! look and the sleep. So the signals are blocked while it looks, and ppoll(2) unblocks them in the same instant as it
//! begins to wait.

use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::syscall::{CallError, Name};
use crate::host::{guarded, terminal};
use core::ffi::{c_int, c_short, c_void};
use core::mem::MaybeUninit;
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

/// The signal that interrupts a thread's system call. It is not a real-time signal: those are queued, and sending one fails
/// where the user's queue is full (`ulimit -i`). Nobody else sends this one by chance, and it does no harm by default.
pub const KICK: c_int = libc::SIGURG;

/// The signals that the main thread handles.
const HANDLED: [c_int; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGCONT];

/// Signals that end a program by default. While the guest has the terminal, it is restored first.
const FATAL: [c_int; 14] = [
    libc::SIGQUIT,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGXCPU,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGSTKFLT,
    libc::SIGSEGV,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Signals that an instruction of the thread itself causes: to block them would be fatal.
const FAULTS: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
];

/// The first signal that asked the program to stop; 0 for none.
static STOPPING: AtomicI32 = AtomicI32::new(0);
/// SIGUSR1 came.
static STATISTICS_WANTED: AtomicBool = AtomicBool::new(false);
/// SIGUSR2 came.
static SNAPSHOT_WANTED: AtomicBool = AtomicBool::new(false);
/// SIGCONT came.
static CONTINUED: AtomicBool = AtomicBool::new(false);

/// The next SIGTERM presses the power button, and does not ask the program to stop.
static TERMINATE_IS_BUTTON: AtomicBool = AtomicBool::new(false);
/// It has.
static BUTTON_PRESSED: AtomicBool = AtomicBool::new(false);

extern "C" fn on_stop(signal: c_int) {
    if signal == libc::SIGTERM && TERMINATE_IS_BUTTON.swap(false, SeqCst) {
        return BUTTON_PRESSED.store(true, SeqCst);
    }
    let _ = STOPPING.compare_exchange(0, signal, SeqCst, SeqCst);
}

extern "C" fn on_statistics_wanted(_: c_int) {
    STATISTICS_WANTED.store(true, SeqCst);
}

extern "C" fn on_snapshot_wanted(_: c_int) {
    SNAPSHOT_WANTED.store(true, SeqCst);
}

extern "C" fn on_continued(_: c_int) {
    CONTINUED.store(true, SeqCst);
}

/// [`KICK`] has done its work by arriving.
extern "C" fn on_kick(_: c_int) {}

/// SIGTSTP: restores the terminal, and stops as the signal does by default. Whoever continues the program sends SIGCONT.
extern "C" fn on_terminal_stop(signal: c_int) {
    // What was interrupted may be about to read it.
    let errno = Errno::last();
    stop_by_default(signal);
    errno.restore();
}

fn stop_by_default(signal: c_int) {
    terminal::restore();
    if set_handler(signal, libc::SIG_DFL, 0).is_err() {
        return;
    }
    let only_this = set_of(&[signal]);
    // SAFETY: takes no memory. The signal is blocked while its handler runs, and comes when it is unblocked.
    unsafe { libc::raise(signal) };
    change_blocked(libc::SIG_UNBLOCK, &only_this);
    change_blocked(libc::SIG_BLOCK, &only_this);
    // It has worked before.
    let _ = set_handler(signal, on_terminal_stop as extern "C" fn(c_int) as usize, 0);
}

/// A page that the host can't provide. In a guarded access the thread goes on behind it; anywhere else it is fatal.
extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes both to a handler with SA_SIGINFO: why, and the interrupted thread's registers.
    let (code, registers) =
        unsafe { ((*info).si_code, &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs) };
    match guarded::after_fault(registers[libc::REG_RIP as usize] as usize) {
        Some(next) => {
            registers[libc::REG_RIP as usize] = next as i64;
            registers[libc::REG_RDX as usize] = code.into();
        }
        None => on_fatal(signal),
    }
}

/// Restores the terminal and lets the signal do what it does by default.
extern "C" fn on_fatal(signal: c_int) {
    terminal::restore();
    match set_handler(signal, libc::SIG_DFL, 0) {
        // SAFETY: takes no memory. The signal is delivered when this handler returns.
        Ok(_) => unsafe { _ = libc::raise(signal) },
        // SAFETY: ends the process, with a shell's status for this signal.
        Err(_) => unsafe { libc::_exit(128 + signal) },
    }
}

/// Ignores SIGXFSZ, so that write(2) beyond `ulimit -f` gives EFBIG, which is reported. Called once, first of all.
pub fn let_large_files_fail() -> Result<(), CallError> {
    set_handler(libc::SIGXFSZ, libc::SIG_IGN, 0).map(drop)
}

/// Installs the handlers. A SIGHUP that is ignored stays ignored: that is what nohup(1) is for. SIGPIPE is ignored, so that
/// a closed pipe shows as EPIPE.
pub fn install() -> Result<(), CallError> {
    let on_stop = on_stop as extern "C" fn(c_int) as usize;
    for (signal, handler) in [
        (libc::SIGINT, on_stop),
        (libc::SIGTERM, on_stop),
        (libc::SIGUSR1, on_statistics_wanted as extern "C" fn(c_int) as usize),
        (libc::SIGUSR2, on_snapshot_wanted as extern "C" fn(c_int) as usize),
        (libc::SIGCONT, on_continued as extern "C" fn(c_int) as usize),
        (KICK, on_kick as extern "C" fn(c_int) as usize),
        (libc::SIGPIPE, libc::SIG_IGN),
    ] {
        set_handler(signal, handler, 0)?;
    }
    if set_handler(libc::SIGHUP, on_stop, 0)? == libc::SIG_IGN {
        set_handler(libc::SIGHUP, libc::SIG_IGN, 0)?;
    }
    let on_bus_error =
        on_bus_error as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    set_handler(libc::SIGBUS, on_bus_error, libc::SA_SIGINFO).map(drop)
}

/// From now on the terminal is restored before a signal ends the program, or stops it.
pub fn guard_terminal() -> Result<(), CallError> {
    let on_fatal = on_fatal as extern "C" fn(c_int) as usize;
    let on_stop = on_terminal_stop as extern "C" fn(c_int) as usize;
    let guards = FATAL.map(|signal| (signal, on_fatal)).into_iter();
    for (signal, handler) in guards.chain([(libc::SIGTSTP, on_stop)]) {
        let before = set_handler(signal, handler, 0)?;
        // Ignored by whoever started the program; or handled already, in an earlier life of the machine.
        if before != libc::SIG_DFL && before != handler {
            set_handler(signal, before, 0)?;
        }
    }
    Ok(())
}

/// sigaction(2). System calls that the signal interrupts are not restarted. Returns the handler before.
fn set_handler(signal: c_int, handler: usize, flags: c_int) -> Result<usize, CallError> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the structures are made of integers; the handlers do only what a signal handler may.
    unsafe {
        let mut new = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        new.sa_sigaction = handler;
        new.sa_flags = flags;
        match libc::sigaction(signal, &raw const new, old.as_mut_ptr()) {
            0 => Ok(old.assume_init().sa_sigaction),
            _ => Err(CallError { call: Name::Function("sigaction"), errno: Errno::last() }),
        }
    }
}

/// The signal that asked the program to stop, if one came.
pub fn stopping() -> Option<u8> {
    match STOPPING.load(SeqCst) {
        0 => None,
        signal => Some(signal as u8),
    }
}

/// From now on the first SIGTERM does not ask the program to stop: see [`take_button_pressed`].
pub fn let_terminate_press_button() {
    TERMINATE_IS_BUTTON.store(true, SeqCst);
}

/// Whether that SIGTERM has come since the last call.
pub fn take_button_pressed() -> bool {
    BUTTON_PRESSED.swap(false, SeqCst)
}

/// Whether SIGUSR1 has come since the last call.
pub fn take_statistics_wanted() -> bool {
    STATISTICS_WANTED.swap(false, SeqCst)
}

/// Whether SIGUSR2 has come since the last call.
pub fn take_snapshot_wanted() -> bool {
    SNAPSHOT_WANTED.swap(false, SeqCst)
}

/// Whether the program was stopped and has gone on since the last call.
pub fn take_continued() -> bool {
    CONTINUED.swap(false, SeqCst)
}

/// Blocks all signals but [`KICK`] and faults, for a thread that is about to be made, and returns what was blocked before,
/// for [`set_blocked`].
pub fn block_for_new_thread() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset fills the set.
    let mut set = unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in FAULTS.into_iter().chain([KICK]) {
        // SAFETY: the set is ours.
        unsafe { libc::sigdelset(&raw mut set, signal) };
    }
    change_blocked(libc::SIG_SETMASK, &set)
}

/// Blocks these signals for this thread and no others.
pub fn set_blocked(set: &libc::sigset_t) {
    change_blocked(libc::SIG_SETMASK, set);
}

fn change_blocked(how: c_int, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = MaybeUninit::zeroed();
    // SAFETY: the C library reads one set and fills the other.
    unsafe {
        libc::pthread_sigmask(how, set, before.as_mut_ptr());
        before.assume_init()
    }
}

/// A signal that this thread blocks: it waits until somebody takes it. When this value is dropped, it is no longer blocked.
pub struct BlockedSignal {
    signal: c_int,
    before: libc::sigset_t,
}

impl BlockedSignal {
    /// pthread_sigmask(3).
    pub fn new(signal: c_int) -> BlockedSignal {
        let before = change_blocked(libc::SIG_BLOCK, &set_of(&[signal]));
        BlockedSignal { signal, before }
    }

    /// raise(3).
    pub fn send_to_this_thread(&self) {
        // SAFETY: takes no memory. The signal is blocked, so that no handler runs.
        unsafe { libc::raise(self.signal) };
    }

    /// sigtimedwait(2) without waiting: whether the signal had come.
    pub fn take(&self) -> bool {
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the C library reads the set and the time.
        unsafe {
            libc::sigtimedwait(&set_of(&[self.signal]), core::ptr::null_mut(), &now) == self.signal
        }
    }
}

impl Drop for BlockedSignal {
    fn drop(&mut self) {
        self.take();
        set_blocked(&self.before);
    }
}

/// A set of these signals.
fn set_of(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for &signal in signals {
        // SAFETY: the set is ours.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Waits until one of the descriptors is ready, or for some nanoseconds (`None`: for ever), or until a handled signal
/// comes. Does not wait where one has come already. For the main thread.
pub fn wait(fds: &mut [libc::pollfd], nanoseconds: Option<u64>) {
    // It fails only for descriptors that no process could have, or without memory: then there is nothing to wait for.
    let _ = poll(fds, nanoseconds, || {
        stopping().is_some()
            || [&STATISTICS_WANTED, &SNAPSHOT_WANTED, &CONTINUED, &BUTTON_PRESSED]
                .iter()
                .any(|flag| flag.load(SeqCst))
    });
}

/// Waits until `fd` is ready for POLLIN or POLLOUT, or never will be. EINTR: a signal asks the program to stop, and `fd`
/// is not ready. Another error: it can't be waited for.
pub fn wait_for(fd: c_int, events: c_short) -> Result<(), Errno> {
    loop {
        let mut fds = [libc::pollfd { fd, events, revents: 0 }];
        let asked_before = stopping().is_some();
        poll(&mut fds, None, || stopping().is_some())?;
        match fds[0].revents {
            0 if asked_before => return Err(Errno(libc::EINTR)),
            0 => {}
            _ => return Ok(()),
        }
    }
}

/// ppoll(2); does not wait where a signal has `come`. A signal that comes is no error.
fn poll(
    fds: &mut [libc::pollfd],
    nanoseconds: Option<u64>,
    come: impl Fn() -> bool,
) -> Result<(), Errno> {
    let before = change_blocked(libc::SIG_BLOCK, &set_of(&HANDLED));
    let time = (if come() { Some(0) } else { nanoseconds }).map(clock::timespec);
    let limit = time.as_ref().map_or(null(), |time| &raw const *time);
    let count = fds.len() as libc::nfds_t;
    // SAFETY: the kernel writes which descriptors are ready, and reads the rest.
    let ready = unsafe { libc::ppoll(fds.as_mut_ptr(), count, limit, &raw const before) };
    let result = if ready < 0 { Err(Errno::last()) } else { Ok(()) };
    set_blocked(&before);
    match result {
        Ok(()) => Ok(()),
        Err(errno) => {
            // No descriptor was looked at.
            fds.iter_mut().for_each(|fd| fd.revents = 0);
            if errno.0 == libc::EINTR { Ok(()) } else { Err(errno) }
        }
    }
}
