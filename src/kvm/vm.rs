//! A VM's descriptor.

use crate::host::event::Event;
use crate::host::fd::Fd;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::kvm::Error;
use crate::kvm::descriptor::{Descriptor, Kind};
use crate::kvm::interrupt_line::InterruptControllers;
use crate::kvm::routing::Routing;
use crate::layout::SLOTS;
use crate::memory::GuestMemory;
use crate::memory::guest_memory::Region;
use crate::show::{Bits, Bytes};
use crate::sys::clock::kvm_clock_data;
use crate::sys::ioctl;
use crate::sys::irqchip::*;
use crate::sys::memory::kvm_userspace_memory_region;
use alloc::sync::Arc;
use core::ffi::c_int;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A virtual machine.
pub struct Vm {
    /// Dropped first: RAM stays mapped for as long as a vCPU could run.
    pub(super) descriptor: Descriptor,
    memory: Option<Arc<GuestMemory>>,
    /// The largest size that each slot has had, in bytes.
    pub(super) slot_sizes: [AtomicU64; SLOTS],
    /// The table of `KVM_SET_GSI_ROUTING`, which is always set as a whole.
    routing: Mutex<Routing>,
}

impl Vm {
    pub(super) fn new(fd: Fd) -> Vm {
        let descriptor = Descriptor { kind: Kind::Vm, fd };
        let routing = Mutex::new(Routing::none());
        Vm { descriptor, memory: None, slot_sizes: Default::default(), routing }
    }

    /// A placeholder without KVM: every request fails with ENOTTY. Devices are tested with it.
    pub fn without_kvm() -> Result<Vm, CallError> {
        Ok(Vm::new(Fd::open(c"/dev/null", libc::O_RDWR, 0)?))
    }

    /// The memory that it can show its guest.
    pub fn memory(&self) -> Option<&Arc<GuestMemory>> {
        self.memory.as_ref()
    }

    /// Gives the VM the memory of which it will show parts to its guest.
    pub fn with_memory(mut self, memory: Arc<GuestMemory>) -> Vm {
        self.memory = Some(memory);
        self
    }

    /// A request that reads a structure without pointers during the call.
    pub(super) fn set<T>(
        &self,
        request: u32,
        value: &T,
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        // SAFETY: each caller passes the structure that its request takes, whose size is checked, without pointers in it.
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
        self.descriptor.check_extension(capability)
    }

    /// `KVM_ENABLE_CAP`. EINVAL: this kernel does not have the capability, or not for a VM.
    pub fn enable(&self, capability: u32, value: u64) -> Result<(), Error> {
        self.descriptor.enable(capability, value)
    }

    /// `KVM_SET_USER_MEMORY_REGION`: shows the first `size` bytes of a region of RAM to the guest, from guest-physical
    /// address `gpa` on. Size 0 deletes the slot. `flags` are `KVM_MEM_*`. EEXIST: slots overlap. Bits 16 and up of `slot` are the
    /// address space: 1 is what a vCPU sees in system management mode.
    pub fn set_user_memory_region(
        &self,
        slot: u32,
        flags: u32,
        gpa: u64,
        region: &Region,
        size: u64,
    ) -> Result<(), Error> {
        let userspace_addr = self.memory_of_slot(slot, region, size)?;
        let slot = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: gpa,
            memory_size: size,
            userspace_addr,
        };
        let shown = format_args!(
            "slot {}, GPA {gpa:#x}, {}, HVA {:#x}, flags {flags}{}",
            slot.slot,
            Bytes(size),
            slot.userspace_addr,
            Bits(flags.into(), "LOG_DIRTY_PAGES READONLY")
        );
        // SAFETY: the memory at the slot's address is guest RAM, which the VM keeps (`memory_of_slot`), and no Rust reference is to it.
        unsafe { self.descriptor.set(ioctl::KVM_SET_USER_MEMORY_REGION, &slot, shown) }.map(drop)
    }

    /// The host-virtual address of what a slot is about to show, whose size is noted. The guest reads and writes this memory from then on.
    /// It is part of `self.memory`, which outlives the VM and its vCPUs, and to which no Rust reference exists.
    pub(super) fn memory_of_slot(
        &self,
        slot: u32,
        region: &Region,
        size: u64,
    ) -> Result<u64, Error> {
        let memory = self.memory.as_ref().ok_or(Error::NotItsRam)?;
        if size > region.size || !memory.regions().contains(region) {
            return Err(Error::NotItsRam);
        }
        self.slot_sizes[slot_number(slot)].fetch_max(size, SeqCst);
        Ok(memory.host_address(region))
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
        let mut changed = *routing;
        change(&mut changed);
        let shown = format_args!("{} entries", changed.count());
        self.set(ioctl::KVM_SET_GSI_ROUTING, &changed, shown)?;
        *routing = changed;
        Ok(())
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
        let address = u64::from(address_hi) << 32 | u64::from(address_lo);
        let shown = format_args!("address {address:#x}, data {data:#x}");
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
        self.coalesced_zone(ioctl::KVM_REGISTER_COALESCED_MMIO, addr, size, is_port)
    }

    /// `KVM_UNREGISTER_COALESCED_MMIO`: from now on these writes exit again.
    pub fn stop_coalescing(&self, addr: u64, size: u32, is_port: bool) -> Result<(), Error> {
        self.coalesced_zone(ioctl::KVM_UNREGISTER_COALESCED_MMIO, addr, size, is_port)
    }

    fn coalesced_zone(
        &self,
        request: u32,
        addr: u64,
        size: u32,
        is_port: bool,
    ) -> Result<(), Error> {
        let zone = kvm_coalesced_mmio_zone { addr, size, pio: is_port.into() };
        let shown = format_args!("at {addr:#x}, {}", Bytes(size.into()));
        self.set(request, &zone, shown).map(drop)
    }

    /// `KVM_GET_NR_MMU_PAGES`: how many pages KVM's shadow page tables for this VM may take. The TDP MMU's do not count. ENOTTY: this
    /// kernel has the request no more, as Linux 6.12.
    pub fn mmu_pages(&self) -> Result<u32, Error> {
        let request = ioctl::KVM_GET_NR_MMU_PAGES;
        // SAFETY: takes no argument.
        Ok(unsafe { self.descriptor.ioctl(request, 0, format_args!("")) }? as u32)
    }

    /// `KVM_SET_NR_MMU_PAGES`. EINVAL: fewer than 64.
    pub fn set_mmu_pages(&self, pages: u32) -> Result<(), Error> {
        let request = ioctl::KVM_SET_NR_MMU_PAGES;
        // SAFETY: takes a number.
        unsafe { self.descriptor.ioctl(request, pages.into(), format_args!("{pages}")) }.map(drop)
    }

    /// `KVM_SET_TSC_KHZ`: how fast the TSC runs of vCPUs to come. Linux 5.19, `KVM_CAP_VM_TSC_CONTROL`.
    pub fn set_tsc_khz(&self, khz: u32) -> Result<(), Error> {
        self.descriptor.set_tsc_khz(khz)
    }

    /// `KVM_SET_BOOT_CPU_ID`: which vCPU runs at once; the others wait for it to start them. EBUSY once there is a vCPU.
    pub fn set_boot_cpu(&self, number: u32) -> Result<(), Error> {
        let request = ioctl::KVM_SET_BOOT_CPU_ID;
        // SAFETY: takes a number.
        unsafe { self.descriptor.ioctl(request, number.into(), format_args!("{number}")) }.map(drop)
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

/// A slot's number in its address space.
pub(super) fn slot_number(slot: u32) -> usize {
    usize::from(slot as u16)
}

impl InterruptControllers for Vm {
    fn set_line(&self, gsi: u32, active: bool) {
        // It fails only for a VM without interrupt controllers, where there is no such line.
        let _ = Vm::set_line(self, gsi, active);
    }
}
