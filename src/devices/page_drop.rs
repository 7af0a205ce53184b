//! A test device of QEMU's: a write of the guest-physical address of a page of RAM makes KVM forget that page, so that it must
//! map it again at the next access.
//!
//! The host can change its mapping of a huge page only as a whole, so KVM forgets all of it. From the first drop on, KVM maps
//! RAM in pages of 4 KiB: each of them comes back when it is touched itself, and the dropped one stays missing until then.

use crate::bus::Device;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::kvm::{self, Vm};
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::show::number;
use crate::sys::memory::KVM_MEM_LOG_DIRTY_PAGES;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Port 0xe4.
pub struct PageDrop {
    vm: Arc<Vm>,
    memory: Arc<GuestMemory>,
    output: Arc<Output>,
    /// KVM maps RAM in pages of 4 KiB only.
    is_split: Mutex<bool>,
    has_warned: AtomicBool,
}

impl PageDrop {
    /// `logs_dirty_pages`: the slots are so already.
    pub fn new(
        vm: Arc<Vm>,
        memory: Arc<GuestMemory>,
        output: Arc<Output>,
        logs_dirty_pages: bool,
    ) -> PageDrop {
        let is_split = Mutex::new(logs_dirty_pages || !memory.is_in_huge_pages());
        PageDrop { vm, memory, output, is_split, has_warned: AtomicBool::new(false) }
    }

    /// Makes KVM map RAM in 4 KiB pages, as it does for a slot with a dirty log. Switching that log on is the one change of a
    /// slot during which no vCPU finds the slot missing.
    fn split(&self) -> Result<(), kvm::Error> {
        // Held over the calls: no page is dropped before all slots are so. KVM waits in them for a moment (SRCU).
        let mut is_split = self.is_split.lock();
        if !*is_split {
            let flags = KVM_MEM_LOG_DIRTY_PAGES;
            for (slot, region) in self.memory.slots() {
                self.vm.set_user_memory_region(slot, flags, region.gpa, region, region.size)?;
            }
            self.memory.note_split();
            *is_split = true;
        }
        Ok(())
    }

    fn warn(&self, error: fmt::Arguments, vcpu: &Arc<VcpuControl>) {
        if !self.has_warned.swap(true, Relaxed) {
            let text = format_args!("a page was not dropped: {error} (reported once)");
            self.output.message(text, Some(vcpu));
        }
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
        if let Err(error) = self.split() {
            return self.warn(format_args!("{error}"), vcpu);
        }
        if let Err(CallError { call, errno }) = self.memory.drop_page(number(data)) {
            self.warn(format_args!("{call}: {errno}"), vcpu);
        }
    }
}
