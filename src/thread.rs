//! Threads, one for each vCPU, and what they share. Without the C library a thread is a stack, a system call,
//! and a word that the kernel clears when it has ended.

use crate::error::{Call, Error};
use crate::fd::{Buffer, Mapping};
use crate::{signal, syscall};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::SeqCst};

/// Enough for a report: texts of 4 KiB, and what calls them. It takes memory as it is touched.
const STACK: usize = 128 << 10;

/// A thread of this process, or none yet, or none any more.
pub struct Thread {
    /// Its number; the kernel sets it to 0 when the thread ends, and wakes who waits for that.
    number: AtomicI32,
    stack: UnsafeCell<Option<Mapping>>,
}

impl Thread {
    /// None yet.
    pub const fn none() -> Thread {
        Thread { number: AtomicI32::new(0), stack: UnsafeCell::new(None) }
    }

    /// Starts it: `entry` with `argument`. EAGAIN: this user has no more threads.
    ///
    /// # Safety
    /// It is called once; this value stays where it is, and all that the thread uses stays there, until
    /// [`Thread::join`] has returned.
    pub unsafe fn start(
        &self,
        entry: extern "C" fn(*const ()),
        argument: *const (),
    ) -> Result<(), Error> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let stack = Mapping::new(Call::LOOK, -1, STACK, flags)?;
        let top = stack.start().wrapping_byte_add(STACK);
        // SAFETY: it is called once.
        unsafe { *self.stack.get() = Some(stack) };
        let flags = libc::CLONE_VM
            | libc::CLONE_FS
            | libc::CLONE_FILES
            | libc::CLONE_SIGHAND
            | libc::CLONE_THREAD
            | libc::CLONE_SYSVSEM
            | libc::CLONE_PARENT_SETTID
            | libc::CLONE_CHILD_CLEARTID;
        let number = self.number.as_ptr();
        // SAFETY: the stack is new, and the caller's promise.
        let result = unsafe { clone(flags as usize, top.cast(), number, number, entry, argument) };
        syscall::check(result).map(drop).map_err(Call::CLONE.failed())
    }

    /// Waits until it has ended.
    pub fn join(&self) {
        loop {
            match self.number.load(SeqCst) {
                0 => return,
                number => futex(self.number.as_ptr().cast(), libc::FUTEX_WAIT, number as u32),
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: c_int) {
        let number = self.number.load(SeqCst);
        if number != 0 {
            // SAFETY: takes no memory. A number that has just become free is no thread of ours: ESRCH.
            let _ = unsafe {
                let process = syscall!(libc::SYS_getpid).unwrap_or(0);
                syscall!(libc::SYS_tgkill, process, number, signal)
            };
        }
    }
}

/// clone(2): the new thread calls `entry` on its own stack, and ends when that returns.
///
/// # Safety
/// As for [`Thread::start`]; `top` is the end of a stack, a multiple of 16.
#[unsafe(naked)]
unsafe extern "C" fn clone(
    flags: usize,
    top: *mut u8,
    parent: *mut i32,
    child: *mut i32,
    entry: extern "C" fn(*const ()),
    argument: *const (),
) -> isize {
    core::arch::naked_asm!(
        "mov [rsi - 16], r8",
        "mov [rsi - 8], r9",
        "sub rsi, 16",
        "mov r10, rcx",
        "mov eax, {clone}",
        "syscall",
        "test rax, rax",
        "jz 2f",
        "ret",
        "2: xor ebp, ebp",
        "pop rax",
        "pop rdi",
        "call rax",
        "xor edi, edi",
        "mov eax, {exit}",
        "syscall",
        clone = const libc::SYS_clone,
        exit = const libc::SYS_exit,
    )
}

/// futex(2): waits while the word has the value, for a tenth of a second at most, or wakes so many; a signal ends the wait.
fn futex(word: *const u32, operation: c_int, value: u32) {
    let limit = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    // SAFETY: the kernel reads the word and the limit.
    let _ = unsafe { syscall!(libc::SYS_futex, word, operation, value, &raw const limit) };
}

/// Does `here`, and `there` at once on a thread of its own, if it is to be `apart` and this user may have one more thread; else before.
///
/// # Safety
/// What both use, two threads may use at once.
pub unsafe fn both<T>(apart: bool, mut there: &mut dyn FnMut(), here: impl FnOnce() -> T) -> T {
    extern "C" fn run(work: *const ()) {
        // SAFETY: while the thread runs, it has this to itself.
        unsafe { (*work.cast_mut().cast::<&mut dyn FnMut()>())() };
    }
    let (work, thread) = ((&raw mut there).cast_const().cast(), Thread::none());
    // SAFETY: once; it is waited for; the caller's promise.
    let start = || unsafe { thread.start(run, work) };
    if !apart || signal::alone(start).is_err() {
        run(work);
    }
    let here = here();
    thread.join();
    here
}

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may wait.
const WANTED: u32 = 2;

/// A value that one thread uses at a time.
pub struct Lock<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

impl<T> Lock<T> {
    /// Free.
    pub const fn new(value: T) -> Lock<T> {
        Lock { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }

    /// Waits until it is free, and holds it while what is returned lives.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        if self.state.compare_exchange(FREE, HELD, SeqCst, SeqCst).is_err() {
            self.wait(&|| {});
        }
        Guard(self)
    }

    /// Likewise; while it waits, it does this several times a second, and when a signal has come.
    #[inline(never)]
    pub fn lock_but(&self, waiting: &dyn Fn()) -> Guard<'_, T> {
        self.wait(waiting);
        Guard(self)
    }

    #[cold]
    fn wait(&self, waiting: &dyn Fn()) {
        while self.state.swap(WANTED, SeqCst) != FREE {
            futex(self.state.as_ptr(), libc::FUTEX_WAIT, WANTED);
            waiting();
        }
    }
}

/// A lock that is held.
pub struct Guard<'a, T>(&'a Lock<T>);

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and by this value alone.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.0.state.swap(FREE, SeqCst) == WANTED {
            futex(self.0.state.as_ptr(), libc::FUTEX_WAKE, 1);
        }
    }
}

/// Values in a row that stay where they are: as many as there is room for, which is fixed.
pub struct Row<T> {
    buffer: Buffer,
    room: usize,
    len: usize,
    values: core::marker::PhantomData<T>,
}

impl<T> Row<T> {
    /// Room for so many.
    pub fn new(room: usize) -> Result<Row<T>, Error> {
        // A page boundary is boundary enough.
        let buffer = Buffer::new((room * size_of::<T>()).max(1))?;
        Ok(Row { buffer, room, len: 0, values: core::marker::PhantomData })
    }

    /// Appends one; what there is no room for is lost.
    pub fn push(&mut self, value: T) {
        if self.len < self.room {
            // SAFETY: inside the buffer, at a multiple of the size from its start, which is a page's.
            unsafe { self.buffer.bytes_mut().as_mut_ptr().cast::<T>().add(self.len).write(value) };
            self.len += 1;
        }
    }
}

impl<T> Deref for Row<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: as many have been written.
        unsafe { core::slice::from_raw_parts(self.buffer.bytes().as_ptr().cast(), self.len) }
    }
}

impl<T> DerefMut for Row<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as many have been written.
        unsafe {
            core::slice::from_raw_parts_mut(self.buffer.bytes_mut().as_mut_ptr().cast(), self.len)
        }
    }
}

impl<T> Drop for Row<T> {
    fn drop(&mut self) {
        let first = self.buffer.bytes_mut().as_mut_ptr().cast::<T>();
        // SAFETY: they have been written, and nobody uses them any more.
        unsafe { core::ptr::slice_from_raw_parts_mut(first, self.len).drop_in_place() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_lock_lets_one_in_at_a_time() {
        struct Shared(Lock<u64>);
        // SAFETY: the lock is what is tested.
        unsafe impl Sync for Shared {}
        let sum = Arc::new(Shared(Lock::new(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sum = sum.clone();
                std::thread::spawn(move || {
                    for _ in 0..50_000 {
                        *sum.0.lock() += 1;
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*sum.0.lock(), 200_000);
    }

    #[test]
    fn a_thread_runs_on_its_own_stack_and_can_be_waited_for() {
        extern "C" fn entry(argument: *const ()) {
            // No standard library here: its threads have storage that this one has not.
            // SAFETY: the test's word.
            unsafe { (*argument.cast::<AtomicU32>()).store(7, SeqCst) };
        }
        let word = AtomicU32::new(0);
        let thread = Thread::none();
        // SAFETY: both live until it has ended.
        unsafe { thread.start(entry, (&raw const word).cast()).unwrap() };
        thread.join();
        assert_eq!(word.load(SeqCst), 7);
    }

    #[test]
    fn two_things_are_done_at_once() {
        let flag = AtomicU32::new(0);
        // Waits for what is done here.
        let mut there = || {
            while flag.load(SeqCst) == 0 {
                core::hint::spin_loop();
            }
            flag.store(2, SeqCst);
        };
        // SAFETY: they share an atomic.
        unsafe { both(true, &mut there, || flag.store(1, SeqCst)) };
        assert_eq!(flag.load(SeqCst), 2);
        // One after the other.
        // SAFETY: there is one thread.
        assert_eq!(unsafe { both(false, &mut || flag.store(3, SeqCst), || flag.load(SeqCst)) }, 3);
    }

    #[test]
    fn a_row_keeps_its_order_and_drops_what_is_in_it() {
        let value = Arc::new(());
        let mut row = Row::new(2).unwrap();
        row.push((1, value.clone()));
        row.push((2, value.clone()));
        assert_eq!(row.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(Arc::strong_count(&value), 3);
        drop(row);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
