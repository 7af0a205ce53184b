//! Whether the machine runs, and how its run ended. Devices, vCPU threads and the event loop share this.

pub mod vcpu_control;

pub use vcpu_control::{Request, Stopped, VcpuControl, VcpuState};

use crate::host::errno::Errno;
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::kvm;
use crate::kvm::exit::Death;
use alloc::sync::Arc;
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
    /// The guest asked for this exit status: [`crate::layout::TEST_EXIT`].
    Status(u8),
    /// A signal asked the program to stop.
    Signal(u8),
    /// The user pressed Ctrl-A X.
    UserQuit,
    /// Nobody reads standard output any more.
    OutputClosed,
    /// Standard output can't be written.
    OutputFailed(Errno),
    /// KVM refused a call.
    Failed(kvm::Error),
}

/// Whether the run has ended, how, and on which vCPU.
pub struct Lifecycle {
    has_ended: AtomicBool,
    end: Mutex<Option<(End, Option<u32>)>>,
    /// Wakes the event loop.
    attention: Arc<Event>,
}

impl Lifecycle {
    /// A run that goes on.
    pub fn new(attention: Arc<Event>) -> Lifecycle {
        Lifecycle { has_ended: AtomicBool::new(false), end: Mutex::new(None), attention }
    }

    /// Ends the run. The first end counts. The vCPU that asks for it does not enter the guest again; the event loop stops the
    /// others.
    pub fn end(&self, end: End, vcpu: Option<u32>) {
        self.end.lock().get_or_insert((end, vcpu));
        self.has_ended.store(true, SeqCst);
        self.attention.signal();
    }

    /// Whether the run has ended. Asked after each exit.
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(SeqCst)
    }

    /// How it ended, and on which vCPU, if it was one.
    pub fn how(&self) -> Option<(End, Option<u32>)> {
        *self.end.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_counts_and_wakes_the_event_loop() {
        let attention = Arc::new(Event::new().unwrap());
        let lifecycle = Lifecycle::new(attention.clone());
        assert!(!lifecycle.has_ended());
        lifecycle.end(End::PoweredOff, Some(1));
        lifecycle.end(End::Reset, Some(0));
        assert_eq!(
            (lifecycle.has_ended(), lifecycle.how()),
            (true, Some((End::PoweredOff, Some(1))))
        );
        assert_eq!(attention.take(), 2);
    }
}
