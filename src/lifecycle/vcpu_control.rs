//! A vCPU's state, and what is asked of its thread.
//!
//! ```text
//!             Request::Pause            Request::Stop
//!   Running ───────────────▶ Paused ─────────────────▶ Stopped
//!      ▲                       │                          ▲
//!      └───────────────────────┘                          │
//!             Request::Run          Running ──────────────┘
//! ```
//!
//! There is one way to get a vCPU's attention, the *kick*: [`VcpuControl::request`] notes what is wanted, sets
//! `immediate_exit`, and ends the wait of a thread that waits here; then a signal brings a thread out of `KVM_RUN`. Whether
//! the signal comes before, in or after `KVM_RUN`, that call returns EINTR (api.rst 5, `immediate_exit`).
//!
//! A device that must wait does so here too, on behalf of the vCPU that it serves, so that a kick ends that wait like any
//! other.

use crate::host::clock;
use crate::host::mutex::{Condvar, Guard, Mutex};
use crate::kvm::run_page::ImmediateExit;

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcpuState {
    /// It runs the guest, or answers an exit.
    Running,
    /// It waits for the next request: between two entries of the guest, or in a device's wait.
    Paused,
    /// Its thread does not enter the guest any more.
    Stopped,
}

/// What is asked of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Run,
    Pause,
    Stop,
}

/// The vCPU is asked to stop: what its thread waited for does not matter any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Shared by a vCPU's thread and the threads that control it.
pub struct VcpuControl {
    number: u32,
    immediate_exit: Option<ImmediateExit>,
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    request: Request,
    state: VcpuState,
    /// What [`VcpuControl::wait_until_woken`] waits for.
    woken: bool,
    question: Question,
    /// See [`VcpuControl::leave_hlt`].
    has_left_hlt: bool,
}

/// What the guest of a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    Runs,
    /// It has executed HLT, and an interrupt could wake it.
    WaitsForInterrupt,
    /// It waits, and at most another vCPU could wake it.
    NeedsOtherVcpu,
}

/// Of [`VcpuControl::ask_activity`].
#[derive(Clone, Copy, PartialEq)]
enum Question {
    NotAsked,
    Asked,
    Answered(Activity),
}

impl VcpuControl {
    /// The control of vCPU `number`, which is asked to run.
    pub fn new(number: u32, immediate_exit: Option<ImmediateExit>) -> VcpuControl {
        let state = VcpuState::Running;
        let question = Question::NotAsked;
        let inner =
            Inner { request: Request::Run, state, woken: false, question, has_left_hlt: false };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        VcpuControl { number, immediate_exit, inner, changed }
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    // ---- for others

    /// Asks for something. The caller then signals the vCPU's thread.
    pub fn request(&self, request: Request) {
        let mut inner = self.inner.lock();
        inner.request = request;
        if request == Request::Run && inner.state == VcpuState::Paused {
            // Its thread has yet to wake, but nobody may take it for paused any more.
            inner.state = VcpuState::Running;
        }
        self.set_immediate_exit(1);
        drop(inner);
        self.changed.wake_all();
    }

    /// Ends a [`VcpuControl::wait_until_woken`], or the next one.
    pub fn wake(&self) {
        self.inner.lock().woken = true;
        self.changed.wake_all();
    }

    /// Asks what the guest does. The caller then signals the vCPU's thread.
    pub fn ask_activity(&self) {
        let mut inner = self.inner.lock();
        inner.question = Question::Asked;
        self.set_immediate_exit(1);
        drop(inner);
        self.changed.wake_all();
    }

    /// The answer; `None` while there is none.
    pub fn activity(&self) -> Option<Activity> {
        match self.inner.lock().question {
            Question::Answered(activity) => Some(activity),
            Question::NotAsked | Question::Asked => None,
        }
    }

    /// Its state.
    pub fn state(&self) -> VcpuState {
        self.inner.lock().state
    }

    /// Waits until the vCPU does not run.
    pub fn wait_until_not_running(&self) {
        let mut inner = self.inner.lock();
        while inner.state == VcpuState::Running {
            inner = self.changed.wait(inner);
        }
    }

    // ---- for the vCPU's thread

    /// Does what was requested, after `KVM_RUN` has returned EINTR: goes on, waits while it is to pause, or stops.
    pub fn handle_request(&self) -> Result<(), Stopped> {
        let inner = self.inner.lock();
        // Requests are made under the lock: one that comes after this sets it again.
        self.set_immediate_exit(0);
        self.pause_while_asked(inner).map(drop)
    }

    /// Whether [`VcpuControl::ask_activity`] waits for an answer. To be looked at after
    /// [`VcpuControl::handle_request`].
    pub fn is_asked(&self) -> bool {
        self.inner.lock().question == Question::Asked
    }

    /// Answers [`VcpuControl::ask_activity`].
    pub fn answer(&self, activity: Activity) {
        self.inner.lock().question = Question::Answered(activity);
    }

    /// Waits for some nanoseconds.
    pub fn sleep(&self, nanoseconds: u64) -> Result<(), Stopped> {
        let deadline = clock::monotonic().saturating_add(nanoseconds);
        let mut inner = self.pause_while_asked(self.inner.lock())?;
        while clock::monotonic() < deadline {
            inner = self.changed.wait_until(inner, deadline);
            inner = self.pause_while_asked(inner)?;
        }
        Ok(())
    }

    /// Waits until [`VcpuControl::wake`] is called, or was called before.
    pub fn wait_until_woken(&self) -> Result<(), Stopped> {
        self.wait_until(|inner| inner.woken)
    }

    /// Likewise, or until [`VcpuControl::ask_activity`] waits for an answer.
    pub fn wait_until_woken_or_asked(&self) -> Result<(), Stopped> {
        self.wait_until(|inner| inner.woken || inner.question == Question::Asked)
    }

    fn wait_until(&self, is_enough: impl Fn(&Inner) -> bool) -> Result<(), Stopped> {
        let mut inner = self.pause_while_asked(self.inner.lock())?;
        while !is_enough(&inner) {
            inner = self.changed.wait(inner);
            inner = self.pause_while_asked(inner)?;
        }
        inner.woken = false;
        Ok(())
    }

    /// The thread was stopped while the guest waited at HLT. If it goes on, that is where.
    pub fn leave_hlt(&self) {
        self.inner.lock().has_left_hlt = true;
    }

    /// Whether it was.
    pub fn has_left_hlt(&self) -> bool {
        self.inner.lock().has_left_hlt
    }

    /// The thread will not enter the guest any more.
    pub fn stopped(&self) {
        self.inner.lock().state = VcpuState::Stopped;
        self.changed.wake_all();
    }

    fn pause_while_asked<'a>(
        &'a self,
        mut inner: Guard<'a, Inner>,
    ) -> Result<Guard<'a, Inner>, Stopped> {
        loop {
            match inner.request {
                Request::Stop => return Err(Stopped),
                Request::Run => {
                    inner.state = VcpuState::Running;
                    return Ok(inner);
                }
                Request::Pause => {
                    inner.state = VcpuState::Paused;
                    self.changed.wake_all();
                    inner = self.changed.wait(inner);
                }
            }
        }
    }

    fn set_immediate_exit(&self, value: u8) {
        if let Some(immediate_exit) = &self.immediate_exit {
            immediate_exit.set(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;

    fn control() -> Arc<VcpuControl> {
        Arc::new(VcpuControl::new(0, None))
    }

    #[test]
    fn a_vcpu_that_is_asked_to_pause_pauses_until_it_is_asked_to_run() {
        let control = control();
        let other = control.clone();
        let rounds = Arc::new(AtomicU64::new(0));
        let counted = rounds.clone();
        // A guest that leaves again and again.
        let vcpu = thread::spawn(move || {
            while other.handle_request().is_ok() {
                counted.fetch_add(1, SeqCst);
            }
            other.stopped();
        });
        for _ in 0..100 {
            control.request(Request::Pause);
            control.wait_until_not_running();
            assert_eq!(control.state(), VcpuState::Paused);
            let before = rounds.load(SeqCst);
            control.request(Request::Run);
            while rounds.load(SeqCst) == before {
                thread::yield_now();
            }
        }
        control.request(Request::Stop);
        control.wait_until_not_running();
        assert_eq!(control.state(), VcpuState::Stopped);
        vcpu.join().unwrap();
    }

    #[test]
    fn a_vcpu_in_a_device_s_wait_can_be_paused_and_stopped() {
        let control = control();
        let other = control.clone();
        let vcpu = thread::spawn(move || other.sleep(u64::MAX));
        control.request(Request::Pause);
        control.wait_until_not_running();
        control.request(Request::Stop);
        assert_eq!(vcpu.join().unwrap(), Err(Stopped));
    }

    #[test]
    fn a_question_is_answered_by_the_vcpu_s_thread() {
        let control = control();
        assert_eq!((control.is_asked(), control.activity()), (false, None));
        control.ask_activity();
        assert_eq!((control.is_asked(), control.activity()), (true, None));
        control.answer(Activity::Runs);
        assert_eq!((control.is_asked(), control.activity()), (false, Some(Activity::Runs)));
        control.ask_activity();
        assert_eq!(control.activity(), None, "an old answer does not count");
    }

    #[test]
    fn a_wake_ends_one_wait_also_where_it_comes_first() {
        let control = control();
        control.wake();
        assert_eq!(control.wait_until_woken(), Ok(()));
        let other = control.clone();
        let vcpu = thread::spawn(move || other.wait_until_woken());
        control.wake();
        assert_eq!(vcpu.join().unwrap(), Ok(()));
        assert_eq!(control.sleep(1000), Ok(()));
    }
}
