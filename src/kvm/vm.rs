//! A VM's descriptor.

use crate::host::event::Event;
use crate::host::fd::Fd;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::kvm::Error;
use crate::kvm::descriptor::{Descriptor, Kind};
use crate::kvm::interrupt_line::InterruptControllers;
use crate::kvm::routing::Routing;
use crate::layout::{PAGE_SIZE, SLOTS};
use crate::memory::GuestMemory;
use crate::memory::guest_memory::Region;
use crate::show::{Bits, Bytes};
use crate::sys::cap::{self, kvm_enable_cap};
use crate::sys::clock::kvm_clock_data;
use crate::sys::ioctl;
use crate::sys::irqchip::*;
use crate::sys::memory::{kvm_dirty_log, kvm_userspace_memory_region};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::c_int;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A virtual machine.
pub struct Vm {
    /// Dropped first: RAM stays mapped for as long as a vCPU could run.
    pub(super) descriptor: Descriptor,
    memory: Option<Arc<GuestMemory>>,
    /// The largest size that each slot has had, in bytes.
    slot_sizes: [AtomicU64; SLOTS],
    /// The table of `KVM_SET_GSI_ROUTING`, which is always set as a whole.
    routing: Mutex<Routing>,
}

impl Vm {
    pub(super) fn new(fd: Fd) -> Vm {
        let descriptor = Descriptor { kind: Kind::Vm, fd };
        let routing = Mutex::new(Routing::none());
        Vm { descriptor, memory: None, slot_sizes: Default::default(), routing }
    }

    /// A VM that is none: every request fails, with ENOTTY. Devices are tried with it where there is no KVM.
    pub fn without_kvm() -> Result<Vm, CallError> {
        Ok(Vm::new(Fd::open(c"/dev/null", libc::O_RDWR, 0)?))
    }

    /// Gives the VM the memory of which it will show parts to its guest.
    pub fn with_memory(mut self, memory: Arc<GuestMemory>) -> Vm {
        self.memory = Some(memory);
        self
    }

    /// A request that reads a structure during the call.
    pub(super) fn set<T>(
        &self,
        request: u32,
        value: &T,
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        // SAFETY: each caller passes the structure that its request takes, whose size is checked, without pointers in it but those
        // that it answers for itself.
        unsafe { self.descriptor.set(request, value, shown) }
    }

    /// `KVM_SET_TSS_ADDR`: three pages at this guest-physical address, below 4 GiB.
    pub fn set_tss_address(&self, gpa: u64) -> Result<(), Error> {
        let request = ioctl::KVM_SET_TSS_ADDR;
        // SAFETY: takes a number, and not its address as the next one does.
        unsafe { self.descriptor.ioctl(request, gpa, format_args!("GPA {gpa:#x}")) }?;
        Ok(())
    }

    /// `KVM_SET_IDENTITY_MAP_ADDR`: one page, likewise. EINVAL once there is a vCPU.
    pub fn set_identity_map_address(&self, gpa: u64) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_IDENTITY_MAP_ADDR, &gpa, format_args!("GPA {gpa:#x}")).map(drop)
    }

    /// `KVM_CHECK_EXTENSION` for this VM: 0 for no, else yes or a number.
    pub fn check_extension(&self, capability: u32) -> Result<i32, Error> {
        let name = cap::name(capability).unwrap_or("?");
        let request = ioctl::KVM_CHECK_EXTENSION;
        // SAFETY: takes a number.
        unsafe { self.descriptor.ioctl(request, capability.into(), format_args!("{name}")) }
    }

    /// `KVM_ENABLE_CAP`. EINVAL: this kernel does not have the capability, or not for a VM.
    pub fn enable(&self, capability: u32, value: u64) -> Result<(), Error> {
        let args = [value, 0, 0, 0];
        let enable = kvm_enable_cap { cap: capability, flags: 0, args, pad: [0; 64] };
        let shown = format_args!("{}, {value:#x}", cap::name(capability).unwrap_or("?"));
        self.set(ioctl::KVM_ENABLE_CAP, &enable, shown).map(drop)
    }

    /// `KVM_SET_USER_MEMORY_REGION`: shows the first `size` bytes of a region of RAM to the guest, from guest-physical
    /// address `gpa` on. Size 0 deletes the slot. `flags` are `KVM_MEM_*`. EEXIST: slots overlap.
    pub fn set_user_memory_region(
        &self,
        slot: u32,
        flags: u32,
        gpa: u64,
        region: &Region,
        size: u64,
    ) -> Result<(), Error> {
        let memory = self.memory.as_ref().ok_or(Error::SlotTooLarge)?;
        if size > region.size || !memory.regions().contains(region) {
            return Err(Error::SlotTooLarge);
        }
        self.slot_sizes[slot as usize].fetch_max(size, SeqCst);
        let slot = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: gpa,
            memory_size: size,
            userspace_addr: memory.host_address(region),
        };
        let shown = format_args!(
            "slot {}, GPA {gpa:#x}, {}, HVA {:#x}, flags {flags}{}",
            slot.slot,
            Bytes(size),
            slot.userspace_addr,
            Bits(flags.into(), "LOG_DIRTY_PAGES READONLY")
        );
        // The guest reads and writes this memory from now on. It is part of `self.memory`, which outlives the VM and its
        // vCPUs, and to which no Rust reference exists.
        self.set(ioctl::KVM_SET_USER_MEMORY_REGION, &slot, shown).map(drop)
    }

    /// `KVM_GET_DIRTY_LOG`: a bit for each 4 KiB of the slot that was written since the last call. ENOENT: the slot keeps no
    /// log.
    pub fn dirty_log(&self, slot: u32) -> Result<DirtyLog, Error> {
        let size = self.slot_sizes[slot as usize].load(SeqCst);
        // The kernel fills whole words of 64 bits, for as many pages as the slot has. The slot does not grow meanwhile: each
        // is made in one size only.
        let mut words = vec![0u64; (size / PAGE_SIZE).div_ceil(64) as usize];
        let dirty_bitmap = words.as_mut_ptr().expose_provenance() as u64;
        let log = kvm_dirty_log { slot, padding1: 0, dirty_bitmap };
        self.set(ioctl::KVM_GET_DIRTY_LOG, &log, format_args!("slot {slot}"))?;
        Ok(DirtyLog { words, pages: size / PAGE_SIZE })
    }

    /// `KVM_SET_GSI_ROUTING`: GSIs are pins of the interrupt controllers in the kernel, as on a PC.
    pub fn route_pins(&self) -> Result<(), Error> {
        self.change_routing(|routing| *routing = Routing::pc())
    }

    /// `KVM_SET_GSI_ROUTING`: from now on each of these GSIs sends a message, or leads nowhere.
    pub fn route_messages(
        &self,
        messages: impl Iterator<Item = (u32, Option<kvm_irq_routing_msi>)>,
    ) -> Result<(), Error> {
        self.change_routing(|routing| {
            messages.for_each(|(gsi, message)| routing.set_message(gsi, message));
        })
    }

    fn change_routing(&self, change: impl FnOnce(&mut Routing)) -> Result<(), Error> {
        // Held over the call, which waits for a moment (SRCU): the last table that is set has all changes.
        let mut routing = self.routing.lock();
        change(&mut routing);
        let shown = format_args!("{} entries", routing.count());
        self.set(ioctl::KVM_SET_GSI_ROUTING, &*routing, shown).map(drop)
    }

    /// `KVM_IRQ_LINE`: sets the level of an interrupt line. The interrupt controllers decide whether the line is edge- or level-triggered.
    pub fn set_line(&self, gsi: u32, active: bool) -> Result<(), Error> {
        let line = kvm_irq_level { irq: gsi, level: active.into() };
        let shown = format_args!("GSI {gsi}, level {}", line.level);
        self.set(ioctl::KVM_IRQ_LINE, &line, shown).map(drop)
    }

    /// `KVM_GET_CLOCK`: what the guest's kvmclock says, in nanoseconds. It began with the VM.
    pub fn clock(&self) -> Result<u64, Error> {
        Ok(self.clock_data()?.clock)
    }

    /// `KVM_SET_CLOCK`.
    pub fn set_clock(&self, nanoseconds: u64) -> Result<(), Error> {
        let data = kvm_clock_data { clock: nanoseconds, ..Default::default() };
        self.set(ioctl::KVM_SET_CLOCK, &data, format_args!("{nanoseconds} ns")).map(drop)
    }

    /// `KVM_SIGNAL_MSI`: sends an interrupt message. Whether a local APIC has taken it.
    pub fn signal_msi(&self, message: kvm_irq_routing_msi) -> Result<bool, Error> {
        let kvm_irq_routing_msi { address_lo, address_hi, data, .. } = message;
        let message = kvm_msi { address_lo, address_hi, data, ..Default::default() };
        let shown = format_args!("address {address_lo:#x}, data {data:#x}");
        self.set(ioctl::KVM_SIGNAL_MSI, &message, shown).map(|count| count > 0)
    }

    /// `KVM_IRQFD`: from now on the event raises this GSI. `flags` are `KVM_IRQFD_FLAG_*`: with RESAMPLE it is a level, and
    /// `resample` is signalled when the guest acknowledges it; with DEASSIGN the binding ends. EBUSY: an event can raise
    /// only one GSI.
    pub fn set_irqfd(
        &self,
        event: &Event,
        gsi: u32,
        flags: u32,
        resample: Option<&Event>,
    ) -> Result<(), Error> {
        let resamplefd = resample.map_or(0, |event| event.raw() as u32);
        let irqfd = kvm_irqfd { fd: event.raw() as u32, gsi, flags, resamplefd, pad: [0; 16] };
        let names = Bits(flags.into(), "DEASSIGN RESAMPLE");
        let shown = format_args!("fd {}, GSI {gsi}, flags {flags}{names}", event.raw());
        // The kernel holds the events for as long as it needs them.
        self.set(ioctl::KVM_IRQFD, &irqfd, shown).map(drop)
    }

    /// `KVM_IOEVENTFD`: from now on a write of `len` bytes (0: any) at `addr` signals the event and does not exit. With
    /// DATAMATCH among the `flags`, only a write of `datamatch` does. EEXIST: this place has such an event already.
    pub fn set_ioeventfd(
        &self,
        event: &Event,
        addr: u64,
        len: u32,
        datamatch: u64,
        flags: u32,
    ) -> Result<(), Error> {
        let fd = event.raw();
        let ioevent = kvm_ioeventfd { datamatch, addr, len, fd, flags, pad: [0; 36] };
        let names = Bits(flags.into(), "DATAMATCH PIO DEASSIGN");
        let shown = format_args!(
            "fd {fd}, at {addr:#x}, len {len}, value {datamatch:#x}, flags {flags}{names}"
        );
        // The kernel holds the event for as long as it needs it.
        self.set(ioctl::KVM_IOEVENTFD, &ioevent, shown).map(drop)
    }

    /// `KVM_REGISTER_COALESCED_MMIO`: from now on writes to these addresses go into the ring that [`RunPage::coalesced`]
    /// reads. With `is_port` (Linux 4.20) they are ports.
    pub fn coalesce(&self, addr: u64, size: u32, is_port: bool) -> Result<(), Error> {
        let zone = kvm_coalesced_mmio_zone { addr, size, pio: is_port.into() };
        let shown = format_args!("at {addr:#x}, {}", Bytes(size.into()));
        self.set(ioctl::KVM_REGISTER_COALESCED_MMIO, &zone, shown).map(drop)
    }

    /// `KVM_GET_STATS_FD`.
    pub fn stats(&self) -> Result<Fd, Error> {
        self.descriptor.stats()
    }

    /// The number of its descriptor, by which debugfs names it.
    pub fn descriptor_number(&self) -> c_int {
        self.descriptor.fd.raw()
    }

    /// `KVM_CREATE_VCPU`: the descriptor of a vCPU, for [`Vcpu::create`](crate::kvm::Vcpu::create).
    pub(super) fn create_vcpu(&self, number: u32) -> Result<Fd, Error> {
        let shown = format_args!("{number}");
        // SAFETY: takes a number, and makes a descriptor.
        unsafe { self.descriptor.make(ioctl::KVM_CREATE_VCPU, number.into(), shown) }
    }
}

impl InterruptControllers for Vm {
    fn set_line(&self, gsi: u32, active: bool) {
        // It fails only for a VM without interrupt controllers, where there is no such line.
        let _ = Vm::set_line(self, gsi, active);
    }
}

/// Which pages of a slot were written.
pub struct DirtyLog {
    words: Vec<u64>,
    pages: u64,
}

impl DirtyLog {
    /// Adds the pages of another log of the same slot.
    pub fn add(&mut self, other: &DirtyLog) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// The ranges of pages that were written: first page, and the page behind the last.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let is_dirty = |page: u64| self.words[(page / 64) as usize] >> (page % 64) & 1 != 0;
        let mut page = 0;
        core::iter::from_fn(move || {
            let first = (page..self.pages).find(|&page| is_dirty(page))?;
            let end = (first..self.pages).find(|&page| !is_dirty(page)).unwrap_or(self.pages);
            page = end;
            Some((first, end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dirty_log_is_shown_as_ranges() {
        let ranges = |words: &[u64], pages| {
            DirtyLog { words: words.to_vec(), pages }.ranges().collect::<Vec<_>>()
        };
        assert_eq!(ranges(&[0], 64), []);
        assert_eq!(ranges(&[0b1101], 4), [(0, 1), (2, 4)]);
        assert_eq!(ranges(&[1 << 63, 1], 128), [(63, 65)]);
        assert_eq!(ranges(&[u64::MAX], 3), [(0, 3)], "bits behind the last page mean nothing");
        let mut log = DirtyLog { words: vec![0b1], pages: 4 };
        log.add(&DirtyLog { words: vec![0b100], pages: 4 });
        assert_eq!(log.ranges().collect::<Vec<_>>(), [(0, 1), (2, 3)]);
    }
}
