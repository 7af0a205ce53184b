//! `--dirty-log`: the pages that were written since the last time, when the guest asks by the doorbell, and at the end.

use crate::devices::window::Window;
use crate::kvm::dirty_log::DirtyLog;
use crate::kvm::{self, Vm};
use crate::layout::{PAGE_SIZE, WINDOW};
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::output::Output;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
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
        for text in self.texts()? {
            self.output.message(format_args!("{text}"), vcpu);
        }
        Ok(())
    }

    /// Likewise, as lines of text.
    pub fn text(&self) -> Result<String, kvm::Error> {
        Ok(self.texts()?.into_iter().map(|text| text + "\n").collect())
    }

    fn texts(&self) -> Result<Vec<String>, kvm::Error> {
        let mut texts = Vec::new();
        let mut add = |title: &str, gpa: u64, log: DirtyLog| {
            let mut text = String::from(title);
            for (first, end) in log.ranges() {
                let (from, last) = (gpa + first * PAGE_SIZE, gpa + end * PAGE_SIZE - 1);
                // A String takes all that fits into memory.
                let _ = write!(text, "\n  {from:#x} to {last:#x}: {}", end - first);
            }
            if log.ranges().next().is_none() {
                text.push_str(" none");
            }
            texts.push(text);
        };
        for (slot, region) in self.memory.slots() {
            add("pages written:", region.gpa, self.vm.dirty_log(slot)?);
        }
        // The same pages have an address in the window too, and a log of their own.
        if let Some(log) = self.window.take_dirty_log()? {
            add("pages written through the window:", WINDOW, log);
        }
        Ok(texts)
    }
}
