//! `--dirty-log`: the pages that were written since the last time, when the guest asks by the doorbell, and at the end.

use crate::devices::window::Window;
use crate::inspect::observer::{ExitObserver, ObservedExit};
use crate::kvm::exit::{self, Exit};
use crate::kvm::vm::DirtyLog;
use crate::kvm::{self, Vm};
use crate::layout::{DOORBELL_PORT, LESSON_DOORBELL, PAGE_SIZE, RING_DIRTY, WINDOW};
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::show::number;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;

/// Shows the dirty log.
#[derive(Clone)]
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

impl ExitObserver for DirtyLogView {
    fn exit(&mut self, exit: &mut ObservedExit) {
        let is_dirty = |data: &[u8]| number(data) as u32 == RING_DIRTY;
        let count = match exit::decode(exit.vcpu.page_mut()) {
            Exit::Port { write: true, port: DOORBELL_PORT, size, data } => {
                data.chunks(size).filter(|item| is_dirty(item)).count()
            }
            Exit::Mmio { write: true, address: LESSON_DOORBELL, data } => {
                usize::from(is_dirty(data))
            }
            _ => 0,
        };
        for _ in 0..count {
            if let Err(error) = self.show(Some(exit.control)) {
                let text = format!("{error}");
                self.output.message(format_args!("{text}"), Some(exit.control));
            }
        }
    }
}
