//! Interrupt lines, from devices to the interrupt controllers.

use crate::host::mutex::Mutex;
use crate::layout::IO_APIC_LINES;
use crate::snapshot::fields::{Fields, Invalid, visit};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Where interrupt lines lead: to the controllers in the kernel, or to those of the program.
pub trait InterruptControllers: Send + Sync {
    /// Sets a line's level. The controllers decide whether the line is edge- or level-triggered.
    fn set_line(&self, gsi: u32, active: bool);
}

/// A machine's interrupt lines. Devices can share a line: it is active while one of them makes it so.
pub struct InterruptLines {
    controllers: Arc<dyn InterruptControllers>,
    /// How many ends of each line are active.
    active: Mutex<[u32; IO_APIC_LINES as usize]>,
}

impl InterruptLines {
    /// Lines that are inactive.
    pub fn new(controllers: Arc<dyn InterruptControllers>) -> InterruptLines {
        InterruptLines { controllers, active: Mutex::new([0; IO_APIC_LINES as usize]) }
    }

    /// An end of a line becomes active or inactive, if it is not so already.
    fn change(&self, gsi: u32, end: &AtomicBool, active: bool) {
        // Held over the call, so that the controllers see the changes in their order.
        let mut counts = self.active.lock();
        if end.swap(active, SeqCst) == active {
            return;
        }
        let count = &mut counts[gsi as usize];
        let was_active = *count > 0;
        match active {
            true => *count += 1,
            false => *count -= 1,
        }
        let is_active = *count > 0;
        if is_active != was_active {
            self.controllers.set_line(gsi, is_active);
        }
    }
}

/// A device's end of an interrupt line.
pub struct InterruptLine {
    lines: Arc<InterruptLines>,
    gsi: u32,
    /// Changed with the lock of `lines`.
    active: AtomicBool,
}

impl InterruptLine {
    /// An end that is inactive. `gsi`: below [`IO_APIC_LINES`].
    pub fn new(lines: Arc<InterruptLines>, gsi: u32) -> InterruptLine {
        InterruptLine { lines, gsi, active: AtomicBool::new(false) }
    }

    /// Makes it active or inactive.
    pub fn set(&self, active: bool) {
        self.lines.change(self.gsi, &self.active, active);
    }

    /// Its level. Restored, the controllers are not told: they have been saved as well, and have seen
    /// the edge.
    pub fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut counts = self.lines.active.lock();
        let mut active = self.active.load(SeqCst);
        visit!(fields; active);
        if fields.is_restoring() && active != self.active.swap(active, SeqCst) {
            let count = &mut counts[self.gsi as usize];
            *count = if active { *count + 1 } else { *count - 1 };
        }
        Ok(())
    }

    /// Likewise, and which line it is an end of.
    pub fn visit_moving(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut gsi = self.gsi;
        visit!(fields; gsi);
        fields.check(gsi < IO_APIC_LINES, "there is no such interrupt line")?;
        self.move_to(gsi);
        self.visit(fields)
    }

    /// From now on this is the end of another line. At the one that it leaves it becomes inactive.
    pub fn move_to(&mut self, gsi: u32) {
        if gsi != self.gsi {
            self.set(false);
            self.gsi = gsi;
        }
    }
}

/// Lines for tests, which keep what reaches the controllers.
#[cfg(test)]
pub mod fake {
    use super::*;

    #[derive(Default)]
    pub struct Controllers(Mutex<Vec<(u32, bool)>>);

    impl InterruptControllers for Controllers {
        fn set_line(&self, gsi: u32, active: bool) {
            self.0.lock().push((gsi, active));
        }
    }

    impl Controllers {
        /// What has come since the last call.
        pub fn take(&self) -> Vec<(u32, bool)> {
            core::mem::take(&mut *self.0.lock())
        }
    }

    pub fn lines() -> (Arc<InterruptLines>, Arc<Controllers>) {
        let controllers = Arc::new(Controllers::default());
        (Arc::new(InterruptLines::new(controllers.clone())), controllers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_active_while_one_of_its_ends_is() {
        let (lines, controllers) = fake::lines();
        let mut ends = [5, 5, 7].map(|gsi| InterruptLine::new(lines.clone(), gsi));
        ends[0].set(true);
        ends[1].set(true);
        ends[1].set(true);
        assert_eq!(controllers.take(), [(5, true)]);
        ends[0].set(false);
        assert_eq!(controllers.take(), []);
        ends[1].move_to(7);
        assert_eq!(controllers.take(), [(5, false)]);
        ends[2].set(true);
        ends[1].set(true);
        ends[2].move_to(5);
        assert_eq!(controllers.take(), [(7, true)]);
    }
}
