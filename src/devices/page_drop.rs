//! A test device of QEMU's: a write of the guest-physical address of a page of RAM makes KVM forget that page, 4 KiB, so that it
//! must map it again at the next access.

use crate::bus::Device;
use crate::host::syscall::CallError;
use crate::lifecycle::{Lifecycle, Stopped, VcpuControl};
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::show::number;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Port 0xe4.
pub struct PageDrop {
    memory: Arc<GuestMemory>,
    lifecycle: Arc<Lifecycle>,
    output: Arc<Output>,
    has_warned: AtomicBool,
}

impl PageDrop {
    pub fn new(
        memory: Arc<GuestMemory>,
        lifecycle: Arc<Lifecycle>,
        output: Arc<Output>,
    ) -> PageDrop {
        PageDrop { memory, lifecycle, output, has_warned: AtomicBool::new(false) }
    }

    fn drop_page(&self, gpa: u64, vcpu: &Arc<VcpuControl>) -> Result<(), CallError> {
        if self.memory.must_move(gpa) {
            let memory = self.memory.clone();
            match self.lifecycle.while_paused(vcpu, move || memory.move_to_small_pages(gpa)) {
                Ok(moved) => moved?,
                // If a debugger lets the vCPU go on, the page has stayed.
                Err(Stopped) => return Ok(()),
            }
        }
        self.memory.drop_page(gpa)
    }
}

impl Device for PageDrop {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "test device: drops a page"
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, _: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        if let Err(CallError { call, errno }) = self.drop_page(number(data), vcpu)
            && !self.has_warned.swap(true, Relaxed)
        {
            let text = format_args!("a page was not dropped: {call}: {errno} (reported once)");
            self.output.message(text, Some(vcpu));
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::config::Backing;
    use crate::devices::tests::{output, vcpu};
    use crate::host::event::Event;
    use crate::lifecycle::Request;

    #[test]
    fn where_there_is_no_ram_nothing_is_dropped_or_said() {
        let memory = Arc::new(GuestMemory::map(Backing::Anonymous, &[(0, 2 << 20)]).unwrap());
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
        let (output, _reader) = output();
        let device = PageDrop::new(memory.clone(), lifecycle.clone(), output.clone());
        device.write(0, &(2u32 << 20).to_le_bytes(), &vcpu());
        device.write(0, &[0xff; 4], &vcpu());
        assert!(lifecycle.take_paused_work().is_empty());
        // A page of RAM wants all vCPUs paused. One that is to stop does not wait for that.
        let stopped = vcpu();
        stopped.request(Request::Stop);
        device.write(0, &0x3000u32.to_le_bytes(), &stopped);
        assert_eq!(lifecycle.take_paused_work().len(), 1);
        assert!(!memory.has_moved());
        assert!(output.pending().is_none());
    }
}
