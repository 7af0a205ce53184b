//! `kvm_run` and the pages behind it, which a vCPU shares with KVM.
//!
//! The kernel writes here during `KVM_RUN`, and another thread sets `immediate_exit` at any time. So no Rust reference to
//! `kvm_run` as a whole ever exists, only a raw pointer. Between two `KVM_RUN`s nobody writes anything but that byte, and
//! the rest is read like any memory.

use crate::host::fd::Fd;
use crate::host::mapping::Mapping;
use crate::kvm::Error;
use crate::layout::PAGE_SIZE;
use crate::sys::hyperv::*;
use crate::sys::irqchip::{
    KVM_COALESCED_MMIO_PAGE_OFFSET, kvm_coalesced_mmio, kvm_coalesced_mmio_ring,
};
use crate::sys::run::*;
use crate::sys::xen::{kvm_xen_exit, kvm_xen_exit_hcall};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst, compiler_fence};

/// A vCPU's mapping.
pub struct RunPage(Arc<Mapping>);

/// `kvm_run.immediate_exit` of a vCPU, for other threads. It keeps the page mapped.
pub struct ImmediateExit(Arc<Mapping>);

impl ImmediateExit {
    /// With 1, the next `KVM_RUN` returns EINTR, and also the one that is going on, if its thread gets a signal.
    pub fn set(&self, value: u8) {
        let run = self.0.start().cast::<kvm_run>();
        // SAFETY: inside the mapping; in this process the byte is used as an atomic only. The kernel reads it in `KVM_RUN`.
        let byte = unsafe { AtomicU8::from_ptr(&raw mut (*run).immediate_exit) };
        byte.store(value, SeqCst);
    }
}

impl RunPage {
    /// mmap(2) of `size` bytes of a vCPU's descriptor, as `KVM_GET_VCPU_MMAP_SIZE` told.
    pub(super) fn map(vcpu: &Fd, size: usize) -> Result<RunPage, Error> {
        if size < size_of::<kvm_run>() {
            return Err(Error::RunPageSize(size));
        }
        let mapping = Mapping::new(Some(vcpu), size, libc::MAP_SHARED);
        mapping.map(|mapping| RunPage(Arc::new(mapping))).map_err(Error::MapRunPage)
    }

    fn start(&self) -> *mut kvm_run {
        self.0.start().cast()
    }

    /// Its `immediate_exit`.
    pub fn immediate_exit(&self) -> ImmediateExit {
        ImmediateExit(self.0.clone())
    }

    /// Where the arms of the union lie.
    fn exit(&self) -> *mut kvm_run_exit {
        // SAFETY: inside the mapping.
        unsafe { &raw mut (*self.start()).exit }
    }

    /// Takes the oldest write out of the ring of coalesced writes: what was written. The ring is one for the whole VM; the
    /// caller sees to it that one thread at a time does this.
    pub fn coalesced(&mut self) -> Option<u64> {
        const PAGE: usize = PAGE_SIZE as usize;
        const START: usize = KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE;
        const HEADER: usize = size_of::<kvm_coalesced_mmio_ring>();
        const ENTRIES: u32 = ((PAGE - HEADER) / size_of::<kvm_coalesced_mmio>()) as u32;
        if self.0.size() < START + PAGE {
            return None;
        }
        // SAFETY: inside the mapping. The kernel, on behalf of any vCPU, writes entries and then moves `last` behind them;
        // this side reads entries and then moves `first`.
        unsafe {
            let ring = self.start().byte_add(START).cast::<kvm_coalesced_mmio_ring>();
            let first = (&raw const (*ring).first).read_volatile();
            if first == (&raw const (*ring).last).read_volatile() || first >= ENTRIES {
                return None;
            }
            compiler_fence(SeqCst);
            let entries = ring.byte_add(HEADER).cast::<kvm_coalesced_mmio>();
            let entry = entries.add(first as usize).read();
            compiler_fence(SeqCst);
            (&raw mut (*ring).first).write_volatile((first + 1) % ENTRIES);
            let bits = 8 * entry.len.clamp(1, 8);
            Some(u64::from_le_bytes(entry.data) & u64::MAX >> (64 - bits))
        }
    }

    /// From now on KVM leaves the registers in the page at each exit.
    pub fn request_registers(&mut self) {
        self.request(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
    }

    /// From now on KVM leaves these parts of the vCPU's state in the page at each exit, `KVM_SYNC_X86_*`.
    pub fn request(&mut self, parts: u64) {
        // SAFETY: inside the mapping; the kernel reads it in `KVM_RUN` alone.
        unsafe { (&raw mut (*self.start()).kvm_valid_regs).write(parts) };
    }

    /// The next `KVM_RUN` takes these parts of the vCPU's state from the page, as if they were set before.
    pub fn replace(&mut self, parts: u64, state: &kvm_sync_regs) {
        // SAFETY: inside the mapping; the kernel reads both in `KVM_RUN` alone.
        unsafe {
            (&raw mut (*self.start()).s.regs).write(*state);
            (&raw mut (*self.start()).kvm_dirty_regs).write(parts);
        }
    }

    /// `KVM_RUN_X86_*`.
    pub fn flags(&self) -> u16 {
        // SAFETY: inside the mapping; the kernel writes it in `KVM_RUN` alone.
        unsafe { (&raw const (*self.start()).flags).read() }
    }

    /// Sets the task priority, which `KVM_RUN` takes from here while the local APIC is not in the kernel.
    pub fn set_cr8(&self, value: u64) {
        // SAFETY: inside the mapping; in this process it is used as an atomic only. The kernel reads it in `KVM_RUN` alone.
        let cr8 = unsafe { AtomicU64::from_ptr(&raw mut (*self.start()).cr8) };
        cr8.store(value, SeqCst);
    }

    /// The task priority as the last exit left it, likewise.
    pub fn cr8(&self) -> u64 {
        // SAFETY: as above; the kernel writes it in `KVM_RUN` alone.
        unsafe { AtomicU64::from_ptr(&raw mut (*self.start()).cr8) }.load(SeqCst)
    }

    /// Whether the guest would have taken an interrupt at the last exit. Known while the 8259s are not in the kernel.
    pub fn is_ready_for_interrupt(&self) -> bool {
        // SAFETY: inside the mapping; the kernel writes it in `KVM_RUN` alone.
        unsafe { (&raw const (*self.start()).ready_for_interrupt_injection).read() != 0 }
    }

    /// From now on, until the next `KVM_RUN`, the guest is taken to be not ready: its processor was reset.
    pub fn set_not_ready_for_interrupt(&mut self) {
        // SAFETY: inside the mapping; the kernel writes it in `KVM_RUN` alone, and never reads it.
        unsafe { (&raw mut (*self.start()).ready_for_interrupt_injection).write(0) };
    }

    /// Whether RFLAGS.IF was set at the last exit.
    pub fn has_interrupts_on(&self) -> bool {
        // SAFETY: inside the mapping; the kernel writes it in `KVM_RUN` alone.
        unsafe { (&raw const (*self.start()).if_flag).read() != 0 }
    }

    /// Whether `KVM_RUN` is to return as soon as the guest would take an interrupt.
    pub fn request_interrupt_window(&mut self, is_wanted: bool) {
        // SAFETY: inside the mapping; the kernel reads it in `KVM_RUN` alone.
        unsafe { (&raw mut (*self.start()).request_interrupt_window).write(is_wanted.into()) };
    }

    /// The registers as the last exit left them, after [`RunPage::request_registers`]; else zeros.
    pub fn registers(&self) -> &kvm_sync_regs {
        // SAFETY: inside the mapping, made of integers, and behind `immediate_exit`; the kernel writes it in `KVM_RUN`
        // alone, which needs `&mut` of the vCPU.
        unsafe { &(*self.start()).s.regs }
    }

    /// One of `KVM_EXIT_*`.
    pub fn exit_reason(&self) -> u32 {
        // SAFETY: inside the mapping; any bits are a u32.
        unsafe { (&raw const (*self.start()).exit_reason).read() }
    }

    /// `len` bytes at `offset` from the start of `kvm_run`, where I/O data lies: after `kvm_run` itself and before the
    /// coalesced ring. `None` for any other place.
    #[inline]
    pub fn data(&mut self, offset: u64, len: usize) -> Option<&mut [u8]> {
        let offset = usize::try_from(offset).ok()?;
        let end = self.0.size().min(KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE_SIZE as usize);
        if offset < size_of::<kvm_run>() || offset.checked_add(len)? > end {
            return None;
        }
        // SAFETY: inside the mapping, and neither in the structure with `immediate_exit` nor in the ring that other vCPUs
        // fill. The kernel touches these bytes only in `KVM_RUN`, which needs `&mut` of the vCPU.
        Some(unsafe { core::slice::from_raw_parts_mut(self.start().cast::<u8>().add(offset), len) })
    }

    /// The `hypercall` arm, to be answered.
    pub fn hypercall_mut(&mut self) -> &mut kvm_run_hypercall {
        // SAFETY: inside the mapping; nobody else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).hypercall }
    }

    /// The `msr` arm, to be answered.
    pub fn msr_mut(&mut self) -> &mut kvm_run_msr {
        // SAFETY: inside the mapping; nobody else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).msr }
    }

    /// Of the `hyperv` arm: the synthetic interrupt controller's registers. `type` says whether it is that.
    pub fn hyperv_synic(&self) -> &kvm_hyperv_exit_synic {
        // SAFETY: any bits are such a structure.
        unsafe { &self.hyperv().u.synic }
    }

    /// Of the `hyperv` arm: a hypercall, to be answered.
    pub fn hyperv_hypercall_mut(&mut self) -> &mut kvm_hyperv_exit_hcall {
        // SAFETY: inside the mapping; nobody else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).hyperv.u.hcall }
    }

    /// Of the `xen` arm: a hypercall, to be answered.
    pub fn xen_hypercall_mut(&mut self) -> &mut kvm_xen_exit_hcall {
        // SAFETY: inside the mapping; nobody else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).xen.u.hcall }
    }

    /// The data bytes of the `mmio` arm, of which the first `len` count.
    pub fn mmio_data(&mut self, len: usize) -> Option<&mut [u8]> {
        // SAFETY: inside the mapping; nobody else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).mmio.data }.get_mut(..len)
    }
}

/// One accessor for each arm of the union: which one counts, [`RunPage::exit_reason`] says. Every arm is made of integers,
/// so that reading the wrong one gives a wrong number and nothing worse.
macro_rules! arms {
    ($($name:ident: $arm:ty),+) => {
        impl RunPage {
            $(pub fn $name(&self) -> &$arm {
                // SAFETY: inside the mapping; any bits are such a structure, and nobody else touches it outside `KVM_RUN`.
                unsafe { &(*self.exit()).$name }
            })+
        }
    };
}

arms! {
    hw: kvm_run_hw,
    fail_entry: kvm_run_fail_entry,
    debug: kvm_run_debug,
    io: kvm_run_io,
    mmio: kvm_run_mmio,
    internal: kvm_run_internal,
    emulation_failure: kvm_run_emulation_failure,
    eoi: kvm_run_eoi,
    tpr_access: kvm_run_tpr_access,
    system_event: kvm_run_system_event,
    hyperv: kvm_hyperv_exit,
    xen: kvm_xen_exit,
    notify: kvm_run_notify,
    memory_fault: kvm_run_memory_fault
}

/// Pages for tests, with what KVM would write into them.
#[cfg(test)]
pub mod fake {
    use super::*;

    /// As large as Linux 6.1 makes it: `kvm_run`, the I/O data, the coalesced ring.
    pub const SIZE: usize = 3 * 4096;

    pub fn page(reason: u32, arm: kvm_run_exit) -> RunPage {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mut page = RunPage(Arc::new(Mapping::new(None, SIZE, flags).unwrap()));
        set(&mut page, reason, arm);
        page
    }

    pub fn set(page: &mut RunPage, reason: u32, arm: kvm_run_exit) {
        // SAFETY: inside the mapping.
        unsafe {
            (*page.start()).exit_reason = reason;
            (*page.start()).exit = arm;
        }
    }
}
