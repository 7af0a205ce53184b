//! A vCPU descriptor, and the page that it shares with KVM.

use crate::error::{Call, Error};
use crate::fd::{Argument, Fd, Mapping, address};
use crate::kvm::{Cpuid, Kvm};
use crate::layout;
use crate::memory::Memory;
use crate::signal;
use crate::sys::cap::KVM_CAP_TSC_DEADLINE_TIMER;
use crate::sys::debug::*;
use crate::sys::ioctl;
use crate::sys::irqchip::*;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::sys::run::*;
use crate::words;
use core::ffi::c_int;
use core::marker::PhantomData;
use core::ptr::null_mut;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

/// A virtual processor; `'m` as for [`crate::vm::Vm`].
pub struct Vcpu<'m> {
    fd: Fd,
    run: RunPage,
    memory: PhantomData<&'m Memory<'m>>,
}

impl Vcpu<'_> {
    pub(crate) fn new(fd: Fd, mmap_size: usize) -> Result<Self, Error> {
        let run = RunPage::map(fd.raw(), libc::MAP_SHARED, mmap_size)?;
        Ok(Vcpu { fd, run, memory: PhantomData })
    }

    /// From now on a signal that ends the program interrupts this vCPU, which this thread runs, and no other.
    pub fn heed_signals(&self) {
        // SAFETY: the page stays mapped for as long as this value lives; `drop` takes it back first.
        unsafe { signal::interrupt_at(self.run.immediate_exit()) };
    }

    /// `KVM_RUN`: enters the guest and comes back with a reason in the run page. EINTR where a
    /// signal, or `immediate_exit`, stopped it.
    pub fn run(&mut self) -> Result<(), Error> {
        // SAFETY: the guest touches only what its VM's slots show it, and the kernel the run page, to which
        // `&mut self` proves that no reference is left.
        unsafe { self.fd.run() }
    }

    /// What the last [`Vcpu::run`] left.
    pub fn page(&self) -> &RunPage {
        &self.run
    }

    /// Likewise, to be answered.
    pub fn run_page(&mut self) -> &mut RunPage {
        &mut self.run
    }

    /// `KVM_GET_REGS`.
    pub fn regs(&self, regs: &mut kvm_regs) -> Result<(), Error> {
        let regs = Argument::Out(address(&raw mut *regs));
        // SAFETY: the kernel fills them during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_REGS, regs) }.map(drop)
    }

    /// `KVM_SET_REGS`.
    pub fn set_regs(&self, regs: &kvm_regs) -> Result<(), Error> {
        // SAFETY: the kernel reads `regs` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_REGS, Argument::Regs(regs)) }.map(drop)
    }

    /// `KVM_GET_SREGS`.
    pub fn sregs(&self, sregs: &mut kvm_sregs) -> Result<(), Error> {
        let sregs = Argument::Out(address(&raw mut *sregs));
        // SAFETY: the kernel fills them during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_SREGS, sregs) }.map(drop)
    }

    /// Both, into what a run page has for them.
    pub fn registers(&self, registers: &mut kvm_sync_regs) -> Result<(), Error> {
        self.regs(&mut registers.regs)?;
        self.sregs(&mut registers.sregs)
    }

    /// `KVM_SET_SREGS`; `before` is what they were, for a trace to tell what changes. EINVAL where they
    /// contradict each other, as far as KVM looks.
    pub fn set_sregs(&self, sregs: &kvm_sregs, before: &kvm_sregs) -> Result<(), Error> {
        // SAFETY: the kernel reads `sregs` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_SREGS, Argument::Sregs(sregs, before)) }.map(drop)
    }

    /// `KVM_SET_CPUID2`: from now on the guest's CPUID says what the host's KVM supports; with the board, that it
    /// is processor `number` of `cpus`.
    #[inline(never)]
    pub fn set_cpuid(&self, kvm: &Kvm, board: Option<(u32, u32)>) -> Result<(), Error> {
        let mut cpuid = Cpuid::default();
        kvm.supported_cpuid(&mut cpuid)?;
        if let Some((number, cpus)) = board {
            cpuid.place(number, cpus, kvm.check_extension(KVM_CAP_TSC_DEADLINE_TIMER)? != 0);
        }
        // SAFETY: the kernel reads the header and as many entries as it says: those it has written itself, or `place` has.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_CPUID2, Argument::Cpuid(&cpuid.header)) }.map(drop)
    }

    /// What firmware would leave in a processor. Of the first one, LINT0 takes what the 8259s send, and LINT1 is the NMI: SDM
    /// volume 3, 11.5.1. All have fast string copies on, and memory that is written back where no range says otherwise (12.11.2.1).
    #[inline(never)]
    pub fn set_up(&self, first: bool) -> Result<(), Error> {
        const LVT_LINT0: usize = 0x350;
        const LVT_LINT1: usize = 0x360;
        const DELIVER_EXTINT: u8 = 7;
        const DELIVER_NMI: u8 = 4;
        const MSR_IA32_MISC_ENABLE: u32 = 0x1a0;
        const FAST_STRING: u64 = 1 << 0;
        const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
        const ENABLE_WRITE_BACK: u64 = 1 << 11 | 6;
        if first {
            let mut lapic = kvm_lapic_state { regs: [0; 1024] };
            let out = Argument::Out(address(&raw mut lapic));
            // SAFETY: the kernel fills it.
            unsafe { self.fd.ioctl(ioctl::KVM_GET_LAPIC, out) }?;
            for &(register, delivery) in &[(LVT_LINT0, DELIVER_EXTINT), (LVT_LINT1, DELIVER_NMI)] {
                // Bits 10:8 say how; all others are 0: at once, edge, not masked.
                words::put(&mut lapic.regs, register, &[0, delivery, 0, 0]);
            }
            // SAFETY: the kernel reads it.
            unsafe {
                self.fd.ioctl(ioctl::KVM_SET_LAPIC, Argument::Out(address(&raw const lapic)))
            }?;
        }
        #[repr(C)]
        struct Values {
            header: kvm_msrs,
            entries: [kvm_msr_entry; 2],
        }
        let entry = |index, data| kvm_msr_entry { index, reserved: 0, data };
        let values = Values {
            header: kvm_msrs { nmsrs: 2, ..Default::default() },
            entries: [
                entry(MSR_IA32_MISC_ENABLE, FAST_STRING),
                entry(MSR_MTRR_DEF_TYPE, ENABLE_WRITE_BACK),
            ],
        };
        let argument = Argument::Entries(values.header.nmsrs, address(&raw const values));
        // SAFETY: the kernel reads the header and as many entries as it says. It stops at one that it does not know, which both are not.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_MSRS, argument) }.map(drop)
    }

    /// `KVM_SET_GUEST_DEBUG`: from now on `KVM_EXIT_DEBUG` follows each instruction.
    pub fn single_step(&self) -> Result<(), Error> {
        let control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
        let debug = kvm_guest_debug { control, ..Default::default() };
        // SAFETY: the kernel reads `debug` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_GUEST_DEBUG, Argument::Debug(&debug)) }.map(drop)
    }

    /// `KVM_TRANSLATE`: the guest-physical address of a linear one, by the guest's own tables; `None` where
    /// they map it to nothing.
    pub fn translate(&self, linear_address: u64) -> Option<u64> {
        let mut translation = kvm_translation { linear_address, ..Default::default() };
        let argument = Argument::Out(address(&raw mut translation));
        // SAFETY: the kernel reads and fills `translation` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_TRANSLATE, argument) }.ok()?;
        (translation.valid != 0).then_some(translation.physical_address)
    }

    /// `KVM_GET_STATS_FD`. EINVAL before Linux 5.14.
    pub fn stats(&self) -> Result<Fd, Error> {
        // SAFETY: takes no argument. The new descriptor is ours alone.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_STATS_FD, Argument::None) }.map(Fd::from_kernel)
    }
}

impl Drop for Vcpu<'_> {
    fn drop(&mut self) {
        // The handler must not write to a page that is about to be unmapped; whose it is, is all the same then.
        // SAFETY: null is no byte.
        unsafe { signal::interrupt_at(null_mut()) };
    }
}

/// `kvm_run` and the pages behind it.
///
/// The kernel writes here during `KVM_RUN`, and a signal handler sets `immediate_exit` at any time: so
/// no Rust reference to `kvm_run` ever exists, only a raw pointer. Between two `KVM_RUN`s nobody writes
/// anything but that byte, so that the rest is read like any memory.
pub struct RunPage(Mapping);

impl RunPage {
    /// mmap(2) of `size` bytes of `fd`, as `KVM_GET_VCPU_MMAP_SIZE` told.
    pub(crate) fn map(fd: c_int, flags: c_int, size: usize) -> Result<RunPage, Error> {
        if size < size_of::<kvm_run>() {
            return Err(Call::ioctl(ioctl::KVM_GET_VCPU_MMAP_SIZE).error(libc::ERANGE));
        }
        Mapping::new(Call::MAP_RUN, fd, size, flags).map(RunPage)
    }

    fn start(&self) -> *mut kvm_run {
        self.0.start().cast()
    }

    /// `immediate_exit`. Other threads may write 1 to it: the next `KVM_RUN`, or the one that is going on and gets a signal,
    /// returns EINTR. It is there as long as this page.
    pub fn immediate_exit(&self) -> *mut u8 {
        // SAFETY: inside the mapping.
        unsafe { &raw mut (*self.start()).immediate_exit }
    }

    /// Where the arms of the union lie.
    fn exit(&self) -> *mut kvm_run_exit {
        // SAFETY: inside the mapping.
        unsafe { &raw mut (*self.start()).exit }
    }

    /// Takes the next write out of the ring of coalesced ones: what was written.
    #[inline(never)]
    pub fn coalesced(&mut self) -> Option<u64> {
        const PAGE: usize = layout::PAGE_SIZE as usize;
        const START: usize = KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE;
        const HEADER: usize = size_of::<kvm_coalesced_mmio_ring>();
        const ENTRIES: u32 = ((PAGE - HEADER) / size_of::<kvm_coalesced_mmio>()) as u32;
        if self.0.size() < START + PAGE {
            return None;
        }
        // SAFETY: inside the mapping, which this value owns. Other vCPUs' threads are in the kernel when they fill it, or
        // wait for the lock that we hold; the kernel moves `last`, behind the entry that it has written.
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

    /// From now on each exit brings the registers along: KVM leaves them in the page.
    pub fn want_registers(&mut self) {
        // SAFETY: inside the mapping; the kernel reads it in `KVM_RUN` alone.
        unsafe {
            (&raw mut (*self.start()).kvm_valid_regs).write(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
        }
    }

    /// The task priority, which `KVM_RUN` takes from here while the local APIC is not in the kernel.
    pub fn set_cr8(&mut self, cr8: u64) {
        // SAFETY: inside the mapping; the kernel reads it in `KVM_RUN` alone.
        unsafe { (&raw mut (*self.start()).cr8).write(cr8) };
    }

    /// The registers as the last exit left them, where [`RunPage::want_registers`] asked; else zeros.
    pub fn registers(&self) -> &kvm_sync_regs {
        // SAFETY: inside the mapping, made of integers, and behind the signal handler's byte; the kernel
        // writes it in `KVM_RUN` alone, which needs `&mut` of the vCPU.
        unsafe { &(*self.start()).s.regs }
    }

    /// One of `KVM_EXIT_*`.
    pub fn exit_reason(&self) -> u32 {
        // SAFETY: inside the mapping; any bits are a u32.
        unsafe { (&raw const (*self.start()).exit_reason).read() }
    }

    /// `len` bytes at `offset` from the start of `kvm_run`, where I/O data lies; `None` where that
    /// is not inside the mapping, or not behind `kvm_run` itself.
    pub fn data(&mut self, offset: u64, len: usize) -> Option<&mut [u8]> {
        let offset = usize::try_from(offset).ok()?;
        if offset < size_of::<kvm_run>() || offset.checked_add(len)? > self.0.size() {
            return None;
        }
        // SAFETY: inside the mapping, and behind the structure, so that the signal handler's byte
        // is not in it. The kernel touches it only in `KVM_RUN`, which needs `&mut` of the vCPU.
        Some(unsafe { core::slice::from_raw_parts_mut(self.start().cast::<u8>().add(offset), len) })
    }

    /// The `hypercall` arm, to be answered.
    pub fn hypercall_mut(&mut self) -> &mut kvm_run_hypercall {
        // SAFETY: inside the mapping; no one else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).hypercall }
    }

    /// The `msr` arm, to be answered.
    pub fn msr_mut(&mut self) -> &mut kvm_run_msr {
        // SAFETY: inside the mapping; no one else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).msr }
    }

    /// Writes what KVM would.
    #[cfg(test)]
    pub fn fake(&mut self, reason: u32, arm: kvm_run_exit) {
        // SAFETY: inside the mapping.
        unsafe {
            (*self.start()).exit_reason = reason;
            (*self.start()).exit = arm;
        }
    }

    /// The data bytes of the `mmio` arm, of which the first `len` count.
    pub fn mmio_data(&mut self, len: usize) -> Option<&mut [u8]> {
        // SAFETY: inside the mapping; no one else touches it outside `KVM_RUN`, as above.
        unsafe { &mut (*self.exit()).mmio.data }.get_mut(..len)
    }
}

/// One accessor an arm of the union: which one counts, [`RunPage::exit_reason`] says. Every arm is
/// made of integers, so that reading the wrong one gives a wrong number and nothing worse.
macro_rules! arms {
    ($($name:ident: $arm:ty),+) => {
        impl RunPage {
            $(pub fn $name(&self) -> &$arm {
                // SAFETY: inside the mapping; any bits are such a structure, and no one else touches it
                // outside `KVM_RUN`.
                unsafe { &(*self.exit()).$name }
            })+
        }
    };
}

arms! {
    hw: kvm_run_hw,
    fail_entry: kvm_run_fail_entry,
    io: kvm_run_io,
    mmio: kvm_run_mmio,
    internal: kvm_run_internal,
    emulation_failure: kvm_run_emulation_failure
}
