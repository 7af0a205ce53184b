//! `--dirty-log`: the pages that were written since the last time, when the guest asks by the doorbell, and at the end.

use crate::devices::window::Window;
use crate::kvm::vm::DirtyLog;
use crate::kvm::{self, Vm};
use crate::layout::{PAGE_SIZE, WINDOW};
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::output::Output;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;

/// Shows the dirty log.
pub struct DirtyLogView {
    pub vm: Arc<Vm>,
    pub memory: Arc<GuestMemory>,
    pub window: Arc<Window>,
    pub output: Arc<Output>,
}

impl DirtyLogView {
    /// Shows what was written since the last call.
    pub fn show(&self, vcpu: Option<&Arc<VcpuControl>>) -> Result<(), kvm::Error> {
        let show = |title: &str, gpa: u64, log: DirtyLog| {
            let mut text = String::from(title);
            for (first, end) in log.ranges() {
                let (from, last) = (gpa + first * PAGE_SIZE, gpa + end * PAGE_SIZE - 1);
                // A String takes all that fits into memory.
                let _ = write!(text, "\n  {from:#x} to {last:#x}: {}", end - first);
            }
            if log.ranges().next().is_none() {
                text.push_str(" none");
            }
            self.output.message(format_args!("{text}"), vcpu);
        };
        for (slot, region) in self.memory.slots() {
            show("pages written:", region.gpa, self.vm.dirty_log(slot)?);
        }
        // The same pages have an address in the window too, and a log of their own.
        if let Some(log) = self.window.take_dirty_log()? {
            show("pages written through the window:", WINDOW, log);
        }
        Ok(())
    }
}
