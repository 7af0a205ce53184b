//! Threads: those of the C library, which gives each a stack with guard pages.

use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::mutex::{Condvar, Mutex};
use crate::host::signal;
use crate::host::syscall::{CallError, Name};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};

/// A thread that returns a `T`. It takes no signals but [`signal::KICK`].
pub struct Thread<T> {
    id: libc::pthread_t,
    result: Arc<Mutex<Option<T>>>,
}

// SAFETY: any thread may join or signal another one; in musl the id is a pointer, and so not `Send` by itself.
unsafe impl<T: Send> Send for Thread<T> {}

type Work = Box<dyn FnOnce() + Send>;

extern "C" fn run(work: *mut c_void) -> *mut c_void {
    // Set the mask again here: the inherited one is wrong if a call of the C library's has failed in the other thread.
    signal::block_for_new_thread();
    // SAFETY: `spawn` made it with `Box::into_raw`, and gave it to this thread alone.
    let work = unsafe { Box::from_raw(work.cast::<Work>()) };
    work();
    null_mut()
}

impl<T: Send + 'static> Thread<T> {
    /// Starts a thread. EAGAIN: this user may have no more threads.
    pub fn spawn(work: impl FnOnce() -> T + Send + 'static) -> Result<Thread<T>, CallError> {
        // SAFETY: the closure owns what it uses.
        unsafe { Thread::spawn_unchecked(work) }
    }
}

impl<T: Send> Thread<T> {
    /// # Safety
    /// What the closure borrows lives until the thread was joined.
    unsafe fn spawn_unchecked<'a>(
        work: impl FnOnce() -> T + Send + 'a,
    ) -> Result<Thread<T>, CallError>
    where
        T: 'a,
    {
        let result = Arc::new(Mutex::new(None));
        let place = result.clone();
        let work: Box<dyn FnOnce() + Send + 'a> = Box::new(move || {
            let value = work();
            *place.lock() = Some(value);
        });
        // SAFETY: only the lifetime is forgotten, for which the caller answers.
        let work: Work = unsafe { core::mem::transmute(work) };
        let argument = Box::into_raw(Box::new(work));
        let mut id = MaybeUninit::uninit();
        let before = signal::block_for_new_thread();
        // SAFETY: `run` takes such an argument.
        let failed = unsafe { libc::pthread_create(id.as_mut_ptr(), null(), run, argument.cast()) };
        signal::set_blocked(&before);
        if failed != 0 {
            // SAFETY: there is no thread that would take it.
            drop(unsafe { Box::from_raw(argument) });
            return Err(CallError { call: Name::Function("pthread_create"), errno: Errno(failed) });
        }
        // SAFETY: the call succeeded.
        Ok(Thread { id: unsafe { id.assume_init() }, result })
    }

    /// Waits until the thread has ended, and takes what it returned.
    pub fn join(self) -> T {
        // SAFETY: joined once, here.
        unsafe { libc::pthread_join(self.id, null_mut()) };
        self.result.lock().take().expect("a thread leaves its result")
    }

    /// Sends [`signal::KICK`].
    pub fn kick(&self) -> Result<(), CallError> {
        // SAFETY: the thread was not joined, so that its id is valid.
        match unsafe { libc::pthread_kill(self.id, signal::KICK) } {
            0 => Ok(()),
            // pthread_kill(3) is tkill(2), which strace(1) shows.
            errno => Err(CallError { call: Name::Function("tkill"), errno: Errno(errno) }),
        }
    }

    /// How long the thread has run on a processor, in nanoseconds. A guest's time is its vCPU's.
    pub fn processor_time(&self) -> u64 {
        let mut clock = 0;
        // SAFETY: as above; the C library writes the clock's number. It can't fail for a thread that exists.
        unsafe { libc::pthread_getcpuclockid(self.id, &raw mut clock) };
        clock::nanoseconds(clock)
    }
}

/// A thread that works on a `T` whenever it is given one, gives it back, and waits for the next one.
pub struct Worker<T> {
    thread: Option<Thread<()>>,
    slot: Arc<JobSlot<T>>,
}

/// Where a worker takes its work from, and puts it when it is done.
struct JobSlot<T> {
    state: Mutex<JobState<T>>,
    changed: Condvar,
}

enum JobState<T> {
    /// It waits for work, or works.
    Empty,
    Given(T),
    Done(T),
    /// There will be no more work.
    Over,
}

impl<T: Send + 'static> Worker<T> {
    /// Starts a worker thread. It waits for its first work. Errors: see [`Thread::spawn`].
    pub fn start(work: fn(&mut T)) -> Result<Worker<T>, CallError> {
        let slot =
            Arc::new(JobSlot { state: Mutex::new(JobState::Empty), changed: Condvar::new() });
        let there = slot.clone();
        let thread = Thread::spawn(move || {
            while let Some(mut value) = there.take() {
                work(&mut value);
                there.put(JobState::Done(value));
            }
        })?;
        Ok(Worker { thread: Some(thread), slot })
    }

    /// Lets it work on `value`.
    pub fn give(&self, value: T) {
        self.slot.put(JobState::Given(value));
    }

    /// Waits until it is done, and takes the value back.
    pub fn take_back(&self) -> T {
        let mut state = self.slot.state.lock();
        loop {
            match core::mem::replace(&mut *state, JobState::Empty) {
                JobState::Done(value) => return value,
                before => *state = before,
            }
            state = self.slot.changed.wait(state);
        }
    }

    /// Its thread.
    pub fn thread(&self) -> &Thread<()> {
        self.thread.as_ref().expect("it is joined when the worker goes")
    }
}

impl<T> JobSlot<T> {
    fn put(&self, next: JobState<T>) {
        let mut state = self.state.lock();
        // The end stays, even where a worker that was at work puts something here later.
        if !matches!(*state, JobState::Over) {
            *state = next;
        }
        drop(state);
        self.changed.wake_all();
    }

    /// Waits for work; `None`: there will be no more.
    fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        loop {
            match core::mem::replace(&mut *state, JobState::Empty) {
                JobState::Given(value) => return Some(value),
                JobState::Over => return None,
                before => *state = before,
            }
            state = self.changed.wait(state);
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.slot.put(JobState::Over);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// Does `there` on a thread of its own and `here` on this one, and returns when both are done. Where this user may have no
/// more threads, one is done after the other.
pub fn run_concurrently<A: Send, B>(
    there: impl FnOnce() -> A + Send,
    here: impl FnOnce() -> B,
) -> (A, B) {
    let there = Mutex::new(Some(there));
    let work = || {
        let there = there.lock().take();
        there.map(|there| there())
    };
    // SAFETY: the thread is joined below, before anything that it borrows goes. (A panic of `here` ends the program.)
    let thread = unsafe { Thread::spawn_unchecked(work) };
    let here = here();
    let done = match thread {
        Ok(thread) => thread.join(),
        Err(_) => work(),
    };
    (done.expect("the work was done once"), here)
}

/// With less stack than this, `work` in [`with_enough_stack`] gets a thread.
const ENOUGH_STACK: libc::rlim_t = 256 << 10;

/// Does `work` on the main thread; or, where `ulimit -s` leaves that thread too little stack, on a new one, which the C
/// library gives a stack of its own. That one then takes the program's signals. Called once, first of all.
pub fn with_enough_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the kernel fills the structure, or leaves it.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
    if limit.rlim_cur >= ENOUGH_STACK {
        return work();
    }
    let before = signal::block_for_new_thread();
    let there = || {
        signal::set_blocked(&before);
        work()
    };
    run_concurrently(there, || ()).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    #[test]
    fn a_thread_returns_a_value() {
        let word = Arc::new(AtomicU32::new(0));
        let other = word.clone();
        let thread = Thread::spawn(move || other.swap(7, SeqCst) + 1).unwrap();
        assert_eq!((thread.join(), word.load(SeqCst)), (1, 7));
    }

    #[test]
    fn a_worker_does_all_its_work_on_one_thread() {
        type Seen = (u32, Option<std::thread::ThreadId>);
        let worker = Worker::<Seen>::start(|(count, thread)| {
            *count += 1;
            *thread = Some(std::thread::current().id());
        });
        let worker = worker.unwrap();
        worker.give((0, None));
        let first = worker.take_back();
        worker.give(first);
        assert_eq!(worker.take_back(), (2, first.1));
        assert_ne!(first.1, Some(std::thread::current().id()));
    }

    #[test]
    fn two_things_are_done_at_once() {
        let flag = AtomicU32::new(0);
        let there = || {
            // Waits for what is done here.
            while flag.load(SeqCst) == 0 {
                core::hint::spin_loop();
            }
            "there"
        };
        assert_eq!(run_concurrently(there, || flag.store(1, SeqCst)), ("there", ()));
    }
}
