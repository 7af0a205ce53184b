//! Locks and condition variables: those of the C library, holding what they protect.

use crate::host::clock;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};

/// A value that one thread uses at a time.
pub struct Mutex<T> {
    raw: UnsafeCell<libc::pthread_mutex_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock lets one thread at the value at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: a mutex that nobody holds is plain data in musl and in glibc; to move it, its owner must have it alone.
unsafe impl<T: Send> Send for Mutex<T> {}

impl<T> Mutex<T> {
    /// Free.
    pub const fn new(value: T) -> Mutex<T> {
        let raw = UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER);
        Mutex { raw, value: UnsafeCell::new(value) }
    }

    /// Waits until it is free, and holds it while the guard lives.
    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: it was initialized, and does not move while it is borrowed. Its errors are for uses that this type does
        // not allow.
        unsafe { libc::pthread_mutex_lock(self.raw.get()) };
        Guard(self, PhantomData)
    }

    /// Takes the value out.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

/// A mutex that is held. It stays in the thread that has locked it, which alone may unlock it: the pointer keeps it there.
pub struct Guard<'a, T>(&'a Mutex<T>, PhantomData<*mut ()>);

// SAFETY: a shared guard gives `&T` alone.
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the mutex is held.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the mutex is held, by this guard alone.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.0.raw.get()) };
    }
}

/// Lets a thread that holds a mutex wait until another thread has changed the value. POSIX does not let it be moved once it
/// is initialized, so it has a place of its own.
pub struct Condvar(Box<UnsafeCell<libc::pthread_cond_t>>);

// SAFETY: made to be used by several threads.
unsafe impl Sync for Condvar {}
// SAFETY: as above.
unsafe impl Send for Condvar {}

impl Condvar {
    /// Nobody waits. Its clock is CLOCK_MONOTONIC.
    pub fn new() -> Condvar {
        let raw = Box::new(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER));
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: each is initialized before it is used; with these arguments no call fails.
        unsafe {
            libc::pthread_condattr_init(attributes.as_mut_ptr());
            libc::pthread_condattr_setclock(attributes.as_mut_ptr(), libc::CLOCK_MONOTONIC);
            libc::pthread_cond_init(raw.get(), attributes.as_ptr());
            libc::pthread_condattr_destroy(attributes.as_mut_ptr());
        }
        Condvar(raw)
    }

    /// Releases the mutex, waits, and takes it again. It may return without a reason.
    pub fn wait<'a, T>(&self, guard: Guard<'a, T>) -> Guard<'a, T> {
        // SAFETY: this thread holds the mutex.
        unsafe { libc::pthread_cond_wait(self.0.get(), guard.0.raw.get()) };
        guard
    }

    /// Likewise, until [`clock::monotonic`] reaches `deadline` at the latest.
    pub fn wait_until<'a, T>(&self, guard: Guard<'a, T>, deadline: u64) -> Guard<'a, T> {
        let time = clock::timespec(deadline);
        // SAFETY: this thread holds the mutex; the C library reads the time.
        unsafe { libc::pthread_cond_timedwait(self.0.get(), guard.0.raw.get(), &raw const time) };
        guard
    }

    /// Wakes all who wait.
    pub fn wake_all(&self) {
        // SAFETY: it was initialized.
        unsafe { libc::pthread_cond_broadcast(self.0.get()) };
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_mutex_lets_one_thread_in_at_a_time() {
        let rounds = if cfg!(miri) { 50 } else { 50_000 };
        let sum = Arc::new(Mutex::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let sum = sum.clone();
                std::thread::spawn(move || (0..rounds).for_each(|_| *sum.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*sum.lock(), 4 * rounds);
    }

    #[test]
    fn a_wait_ends_with_a_wake_or_with_its_deadline() {
        let shared = Arc::new((Mutex::new(false), Condvar::new()));
        let other = shared.clone();
        let thread = std::thread::spawn(move || {
            *other.0.lock() = true;
            other.1.wake_all();
        });
        let mut guard = shared.0.lock();
        while !*guard {
            guard = shared.1.wait(guard);
        }
        thread.join().unwrap();
        let deadline = clock::monotonic() + 1_000_000;
        while clock::monotonic() < deadline {
            guard = shared.1.wait_until(guard, deadline);
        }
    }
}
