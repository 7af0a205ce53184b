//! A device's end of an interrupt line.

use crate::kvm::vm::Vm;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// A device's interrupt line.
pub struct InterruptLine {
    vm: Arc<Vm>,
    gsi: u32,
    active: AtomicBool,
}

impl InterruptLine {
    /// A line that is inactive.
    pub fn new(vm: Arc<Vm>, gsi: u32) -> InterruptLine {
        InterruptLine { vm, gsi, active: AtomicBool::new(false) }
    }

    /// Sets the line's level, by `KVM_IRQ_LINE`, where it changes. The device holds its lock, so that one thread at a time
    /// does this.
    pub fn set(&self, active: bool) {
        if self.active.swap(active, SeqCst) != active {
            // It fails only for a VM without interrupt controllers, where there is no such line.
            let _ = self.vm.set_line(self.gsi, active);
        }
    }

    /// Whether this is the line.
    pub fn is(&self, gsi: u32) -> bool {
        self.gsi == gsi
    }

    /// From now on this is another line. The one that it was becomes inactive.
    pub fn move_to(&mut self, gsi: u32) {
        if gsi != self.gsi {
            self.set(false);
            self.gsi = gsi;
        }
    }
}
