//! Whether the machine runs, and how its run ended. Devices, vCPU threads and the event loop share this.

pub mod vcpu_control;

pub use vcpu_control::{Activity, Request, Stopped, VcpuControl, VcpuState};

use crate::host::errno::Errno;
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::kvm;
use crate::kvm::exit::Death;
use crate::sys::debug::kvm_debug_exit_arch;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The guest executed HLT, and nothing could wake it.
    Halted,
    /// With the board: every vCPU has halted, and no interrupt can wake one.
    NeverWakes,
    /// The guest could not go on.
    Died(Death),
    /// The guest asked for the end: [`crate::layout::RING_END`].
    Done,
    /// The guest switched its machine off.
    PoweredOff,
    /// The guest reset its machine.
    Reset,
    /// The machine wakes up from sleep, and has to be built anew around its RAM.
    Woken,
    /// The guest asked for this exit status: [`crate::layout::TEST_EXIT`].
    Status(u8),
    /// A signal asked the program to stop.
    Signal(u8),
    /// The user pressed Ctrl-A X.
    UserQuit,
    /// The machine was saved, and has stayed in its RAM's file.
    Saved,
    /// Nobody reads standard output any more.
    OutputClosed,
    /// Standard output can't be written.
    OutputFailed(Errno),
    /// KVM refused a call.
    Failed(kvm::Error),
}

/// Why the vCPUs stop while the run goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// The guest reset the processors alone. Firmware decides what comes of it.
    ProcessorReset,
    /// The guest sent its machine to sleep. RAM stays.
    Sleep,
    /// Something wakes the machine from that.
    WakeUp,
}

/// Why a debugger gets the machine: see [`Lifecycle::stop_for_debugger`].
#[derive(Clone, Copy, Debug)]
pub struct DebugStop {
    pub vcpu: u32,
    /// What `KVM_EXIT_DEBUG` says.
    pub event: kvm_debug_exit_arch,
}

/// See [`Lifecycle::while_paused`].
pub type Work = Box<dyn FnOnce() + Send>;

/// Whether the run has ended, how, and on which vCPU; and what needs all vCPUs paused.
pub struct Lifecycle {
    /// There is an end, or a stop.
    is_stopping: AtomicBool,
    stop: Mutex<Option<(Stop, Option<u32>)>>,
    end: Mutex<Option<(End, Option<u32>)>>,
    /// A debugger wants the vCPUs to stop; and what they have met.
    debugger: Mutex<Option<Vec<DebugStop>>>,
    /// The machine is to be saved.
    save: AtomicBool,
    /// What waits for all vCPUs to be paused.
    paused_work: Mutex<Vec<Work>>,
    /// See [`Lifecycle::interrupt_boot_processor`].
    has_interrupt: AtomicBool,
    /// Wakes the event loop.
    attention: Arc<Event>,
}

impl Lifecycle {
    /// A run that goes on.
    pub fn new(attention: Arc<Event>) -> Lifecycle {
        Lifecycle {
            is_stopping: AtomicBool::new(false),
            stop: Mutex::default(),
            end: Mutex::default(),
            debugger: Mutex::default(),
            save: AtomicBool::new(false),
            paused_work: Mutex::default(),
            has_interrupt: AtomicBool::new(false),
            attention,
        }
    }

    /// Has the event loop do something while all vCPUs are paused, on behalf of `vcpu`, whose thread waits here for what comes
    /// of it.
    pub fn while_paused<T: Send + 'static>(
        &self,
        vcpu: &Arc<VcpuControl>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let result = Arc::new(Mutex::new(None));
        let (place, waiting) = (result.clone(), vcpu.clone());
        let work = move || {
            *place.lock() = Some(work());
            waiting.wake();
        };
        self.paused_work.lock().push(Box::new(work));
        self.attention.signal();
        loop {
            if let Some(value) = result.lock().take() {
                return Ok(value);
            }
            vcpu.wait_until_woken()?;
        }
    }

    /// What is to be done now, with all vCPUs paused.
    pub fn take_paused_work(&self) -> Vec<Work> {
        core::mem::take(&mut *self.paused_work.lock())
    }

    /// Has the event loop kick the boot processor, so that it looks for an interrupt before it enters the guest again.
    pub fn interrupt_boot_processor(&self) {
        self.has_interrupt.store(true, SeqCst);
        self.attention.signal();
    }

    /// Takes the request: whether [`Lifecycle::interrupt_boot_processor`] was called since the last time.
    pub fn take_interrupt(&self) -> bool {
        self.has_interrupt.swap(false, SeqCst)
    }

    /// Ends the run. The first end counts. The vCPU that asks for it does not enter the guest again; the event loop stops the
    /// others.
    pub fn end(&self, end: End, vcpu: Option<u32>) {
        self.end.lock().get_or_insert((end, vcpu));
        self.is_stopping.store(true, SeqCst);
        self.attention.signal();
    }

    /// Stops the vCPUs, though the run goes on. The first stop counts until it is taken.
    pub fn stop(&self, stop: Stop, vcpu: Option<u32>) {
        self.stop.lock().get_or_insert((stop, vcpu));
        self.is_stopping.store(true, SeqCst);
        self.attention.signal();
    }

    /// Why the vCPUs have stopped, and which one wanted it. From now on they may run again, unless the run has ended.
    pub fn take_stop(&self) -> Option<(Stop, Option<u32>)> {
        let stop = self.stop.lock().take();
        self.stop_no_longer();
        stop
    }

    /// Stops the vCPUs for a debugger. `stop`: what one of them has met; `None`: the debugger wants it. Several can meet something
    /// at once.
    pub fn stop_for_debugger(&self, stop: Option<DebugStop>) {
        self.debugger.lock().get_or_insert_default().extend(stop);
        self.is_stopping.store(true, SeqCst);
        self.attention.signal();
    }

    /// Whether a debugger has stopped the vCPUs, and what they have met, in order. From now on they may run again, unless something
    /// else stops them.
    pub fn take_debug_stops(&self) -> Option<Vec<DebugStop>> {
        let stops = self.debugger.lock().take();
        self.stop_no_longer();
        stops
    }

    /// Stops the vCPUs, so that the machine can be saved. What else stops them meanwhile comes first.
    pub fn stop_to_save(&self) {
        self.save.store(true, SeqCst);
        self.is_stopping.store(true, SeqCst);
        self.attention.signal();
    }

    /// Whether that is wanted. From now on they may run again, unless something else stops them.
    pub fn take_save(&self) -> bool {
        let is_wanted = self.save.swap(false, SeqCst);
        self.stop_no_longer();
        is_wanted
    }

    /// An end or a stop that has come meanwhile is not lost.
    fn stop_no_longer(&self) {
        self.is_stopping.store(false, SeqCst);
        let has_stop = self.stop.lock().is_some() || self.debugger.lock().is_some();
        if has_stop || self.save.load(SeqCst) || self.how().is_some() {
            self.is_stopping.store(true, SeqCst);
        }
    }

    /// Whether the vCPUs must not run, since the run has ended or they stop. Asked after each exit.
    #[inline]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(SeqCst)
    }

    /// How it ended, and on which vCPU, if it was one.
    pub fn how(&self) -> Option<(End, Option<u32>)> {
        *self.end.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn work_is_done_while_the_vcpu_that_wants_it_is_paused() {
        let attention = Arc::new(Event::new().unwrap());
        let lifecycle = Arc::new(Lifecycle::new(attention.clone()));
        let control = Arc::new(VcpuControl::new(0, None));
        let (asking, vcpu) = (lifecycle.clone(), control.clone());
        let seen = control.clone();
        let thread = thread::spawn(move || asking.while_paused(&vcpu, move || seen.state() as u8));
        // The event loop.
        let mut work = lifecycle.take_paused_work();
        while work.is_empty() {
            thread::yield_now();
            work = lifecycle.take_paused_work();
        }
        control.request(Request::Pause);
        control.wait_until_not_running();
        work.into_iter().for_each(|work| work());
        assert!(!thread.is_finished());
        control.request(Request::Run);
        assert_eq!(thread.join().unwrap(), Ok(VcpuState::Paused as u8));
        // One who stops does not wait.
        control.request(Request::Stop);
        assert_eq!(lifecycle.while_paused(&control, || ()), Err(Stopped));
    }

    #[test]
    fn a_stop_is_taken_and_does_not_take_an_end_with_it() {
        let lifecycle = Lifecycle::new(Arc::new(Event::new().unwrap()));
        lifecycle.stop(Stop::Sleep, Some(1));
        lifecycle.stop(Stop::ProcessorReset, Some(0));
        assert!(lifecycle.is_stopping());
        assert_eq!(lifecycle.take_stop(), Some((Stop::Sleep, Some(1))));
        assert_eq!((lifecycle.is_stopping(), lifecycle.take_stop()), (false, None));
        lifecycle.stop(Stop::ProcessorReset, Some(0));
        lifecycle.end(End::UserQuit, None);
        assert_eq!(lifecycle.take_stop(), Some((Stop::ProcessorReset, Some(0))));
        assert_eq!((lifecycle.is_stopping(), lifecycle.how()), (true, Some((End::UserQuit, None))));
    }

    #[test]
    fn a_save_waits_for_what_else_stops_the_vcpus() {
        let lifecycle = Lifecycle::new(Arc::new(Event::new().unwrap()));
        lifecycle.stop_to_save();
        lifecycle.stop(Stop::Sleep, Some(0));
        assert_eq!(lifecycle.take_stop(), Some((Stop::Sleep, Some(0))));
        assert!(lifecycle.is_stopping(), "it is still wanted");
        assert!(lifecycle.take_save() && !lifecycle.is_stopping() && !lifecycle.take_save());
        lifecycle.stop_to_save();
        lifecycle.stop(Stop::WakeUp, None);
        assert!(lifecycle.take_save() && lifecycle.is_stopping());
    }

    #[test]
    fn a_debugger_s_stop_takes_no_other_stop_with_it() {
        let lifecycle = Lifecycle::new(Arc::new(Event::new().unwrap()));
        let met = |vcpu| DebugStop { vcpu, event: Default::default() };
        lifecycle.stop_for_debugger(Some(met(1)));
        lifecycle.stop_for_debugger(None);
        lifecycle.stop(Stop::ProcessorReset, Some(0));
        lifecycle.stop_for_debugger(Some(met(0)));
        let stops = lifecycle.take_debug_stops().unwrap();
        assert_eq!(stops.iter().map(|stop| stop.vcpu).collect::<Vec<_>>(), [1, 0], "in order");
        assert!(lifecycle.is_stopping() && lifecycle.take_debug_stops().is_none());
        assert_eq!(lifecycle.take_stop(), Some((Stop::ProcessorReset, Some(0))));
        assert!(!lifecycle.is_stopping());
        lifecycle.stop_for_debugger(None);
        assert!(lifecycle.take_debug_stops().unwrap().is_empty(), "the debugger's own wish");
    }

    #[test]
    fn the_first_end_counts_and_wakes_the_event_loop() {
        let attention = Arc::new(Event::new().unwrap());
        let lifecycle = Lifecycle::new(attention.clone());
        assert!(!lifecycle.is_stopping());
        lifecycle.end(End::PoweredOff, Some(1));
        lifecycle.end(End::Reset, Some(0));
        assert_eq!(
            (lifecycle.is_stopping(), lifecycle.how()),
            (true, Some((End::PoweredOff, Some(1))))
        );
        assert_eq!(attention.take(), 2);
    }
}
