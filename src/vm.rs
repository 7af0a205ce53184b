//! A VM descriptor.

use crate::error::{Call, Error};
use crate::fd::{Argument, Buffer, Fd, address};
use crate::layout::{HIGH, IO_APIC_LINES, PAGE_SIZE, RAM_LIMIT};
use crate::memory::Memory;
use crate::sys::cap::kvm_enable_cap;
use crate::sys::ioctl;
use crate::sys::irqchip::*;
use crate::sys::memory::{kvm_dirty_log, kvm_userspace_memory_region};
use crate::vcpu::Vcpu;
use core::cell::Cell;
use core::ffi::c_int;
use core::marker::PhantomData;

/// A virtual machine. `'m` is the life of the memory that its guest may touch: the compiler sees to
/// it that RAM stays mapped for as long as a vCPU could run.
pub struct Vm<'m> {
    fd: Fd,
    /// In a Cell, so that 'm can't be shortened behind the compiler's back.
    memory: PhantomData<Cell<&'m Memory<'m>>>,
}

impl<'m> Vm<'m> {
    pub(crate) fn new(fd: Fd) -> Vm<'m> {
        Vm { fd, memory: PhantomData }
    }

    /// `KVM_SET_TSS_ADDR`: three pages at this guest-physical address, below 4 GiB.
    pub fn set_tss_address(&self, gpa: u64) -> Result<(), Error> {
        // SAFETY: takes a number, not its address as the next one does.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_TSS_ADDR, Argument::GpaValue(gpa)) }.map(drop)
    }

    /// `KVM_SET_IDENTITY_MAP_ADDR`: one page, likewise. EINVAL once there is a vCPU.
    pub fn set_identity_map_address(&self, gpa: u64) -> Result<(), Error> {
        // SAFETY: takes the address of a u64, which the kernel reads during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_IDENTITY_MAP_ADDR, Argument::Gpa(&gpa)) }.map(drop)
    }

    /// `KVM_ENABLE_CAP`. EINVAL: this kernel doesn't have it, or not for a VM.
    pub fn enable(&self, capability: u32, value: u64) -> Result<(), Error> {
        let args = [value, 0, 0, 0];
        let enable = kvm_enable_cap { cap: capability, flags: 0, args, pad: [0; 64] };
        // SAFETY: the kernel reads `enable` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_ENABLE_CAP, Argument::Enable(&enable)) }.map(drop)
    }

    /// `KVM_CREATE_IRQCHIP`: the pair of 8259, the I/O APIC, and a local APIC for each vCPU that is made from now on.
    pub fn create_irqchip(&self) -> Result<(), Error> {
        // SAFETY: takes no argument.
        unsafe { self.fd.ioctl(ioctl::KVM_CREATE_IRQCHIP, Argument::None) }.map(drop)
    }

    /// `KVM_CREATE_PIT2`: the timer, and the speaker's port.
    pub fn create_pit(&self) -> Result<(), Error> {
        let config = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
        // SAFETY: the kernel reads `config` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_CREATE_PIT2, Argument::Out(address(&config))) }.map(drop)
    }

    /// `KVM_SET_GSI_ROUTING`: as a PC is wired. GSI 0 to 15 are pins of the 8259s, all are pins of the I/O APIC, of which 0, the
    /// timer, is pin 2. `message` is one more, a message.
    #[inline(never)]
    pub fn set_routing(&self, message: Option<(u32, kvm_irq_routing_msi)>) -> Result<(), Error> {
        #[repr(C)]
        struct Table {
            header: kvm_irq_routing,
            entries: [kvm_irq_routing_entry; ROUTES],
        }
        const ROUTES: usize = 16 + IO_APIC_LINES as usize + 1;
        let mut count = 0;
        let none = kvm_irq_routing_entry_u { pad: [0; 8] };
        let entry = kvm_irq_routing_entry { gsi: 0, r#type: 0, flags: 0, pad: 0, u: none };
        let mut table = Table { header: kvm_irq_routing::default(), entries: [entry; ROUTES] };
        let mut add = |gsi, r#type, u| {
            if let Some(place) = table.entries.get_mut(count) {
                *place = kvm_irq_routing_entry { gsi, r#type, flags: 0, pad: 0, u };
                count += 1;
            }
        };
        let pin = |irqchip, pin| kvm_irq_routing_entry_u {
            irqchip: kvm_irq_routing_irqchip { irqchip, pin },
        };
        for gsi in 0..IO_APIC_LINES {
            // The second 8259 is wired to the first at its 2.
            match gsi {
                2 | 16.. => {}
                0..8 => add(gsi, KVM_IRQ_ROUTING_IRQCHIP, pin(KVM_IRQCHIP_PIC_MASTER, gsi)),
                _ => add(gsi, KVM_IRQ_ROUTING_IRQCHIP, pin(KVM_IRQCHIP_PIC_SLAVE, gsi - 8)),
            }
            match gsi {
                2 => {}
                0 => add(gsi, KVM_IRQ_ROUTING_IRQCHIP, pin(KVM_IRQCHIP_IOAPIC, 2)),
                _ => add(gsi, KVM_IRQ_ROUTING_IRQCHIP, pin(KVM_IRQCHIP_IOAPIC, gsi)),
            }
        }
        if let Some((gsi, msi)) = message {
            add(gsi, KVM_IRQ_ROUTING_MSI, kvm_irq_routing_entry_u { msi });
        }
        table.header.nr = count as u32;
        let argument = Argument::Entries(table.header.nr, address(&raw const table));
        // SAFETY: the kernel reads the header, and as many entries as it says.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_GSI_ROUTING, argument) }.map(drop)
    }

    /// `KVM_IRQ_LINE`: the level of an interrupt line. The controllers make of it what they have been told to.
    pub fn set_line(&self, gsi: u32, active: bool) -> Result<(), Error> {
        let line = kvm_irq_level { irq: gsi, level: active.into() };
        // SAFETY: the kernel reads `line` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_IRQ_LINE, Argument::Line(&line)) }.map(drop)
    }

    /// `KVM_SIGNAL_MSI`: a message, at once.
    pub fn send(&self, message: kvm_irq_routing_msi) -> Result<(), Error> {
        let kvm_irq_routing_msi { address_lo, address_hi, data, .. } = message;
        let message = kvm_msi { address_lo, address_hi, data, ..Default::default() };
        // SAFETY: the kernel reads `message` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SIGNAL_MSI, Argument::Message(&message)) }.map(drop)
    }

    /// `KVM_IRQFD`: from now on the event raises this GSI. `flags` are `KVM_IRQFD_FLAG_*`: as a level, of whose
    /// acknowledgements the second event tells; or no longer. EBUSY: an event can raise one.
    pub fn interrupt_by(
        &self,
        event: &Fd,
        gsi: u32,
        flags: u32,
        resample: Option<&Fd>,
    ) -> Result<(), Error> {
        let resamplefd = resample.map_or(0, |fd| fd.raw() as u32);
        let irqfd = kvm_irqfd { fd: event.raw() as u32, gsi, flags, resamplefd, pad: [0; 16] };
        // SAFETY: the kernel reads `irqfd`, and holds the events for as long as it needs them.
        unsafe { self.fd.ioctl(ioctl::KVM_IRQFD, Argument::IrqEvent(&irqfd)) }.map(drop)
    }

    /// `KVM_IOEVENTFD`: from now on a write there, of `len` bytes (0: any), or only of the value, signals the event, and the
    /// guest does not leave. `flags` are `KVM_IOEVENTFD_FLAG_*`.
    pub fn tell_by(
        &self,
        event: &Fd,
        (addr, len): (u64, u32),
        datamatch: u64,
        flags: u32,
    ) -> Result<(), Error> {
        let event = kvm_ioeventfd { datamatch, addr, len, fd: event.raw(), flags, pad: [0; 36] };
        // SAFETY: the kernel reads `event`, and holds the eventfd for as long as it needs it.
        unsafe { self.fd.ioctl(ioctl::KVM_IOEVENTFD, Argument::IoEvent(&event)) }.map(drop)
    }

    /// `KVM_REGISTER_COALESCED_MMIO`: from now on writes there go into the ring: [`crate::vcpu::RunPage::coalesced`]. For a port, since
    /// Linux 4.20: `pio`.
    pub fn coalesce(&self, addr: u64, size: u32, pio: bool) -> Result<(), Error> {
        let zone = kvm_coalesced_mmio_zone { addr, size, pio: pio.into() };
        // SAFETY: the kernel reads `zone` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_REGISTER_COALESCED_MMIO, Argument::Zone(&zone)) }
            .map(drop)
    }

    /// `KVM_SET_USER_MEMORY_REGION`: shows `size` bytes of `memory`, from `offset` on, to the guest, from the
    /// guest-physical address `base` on. Size 0 takes the slot away. `flags` are `KVM_MEM_*`.
    pub fn set_memory(
        &self,
        slot: u32,
        flags: u32,
        base: u64,
        memory: &'m Memory<'m>,
        offset: u64,
        size: u64,
    ) -> Result<(), Error> {
        // Between there are slots of KVM's own.
        let free = base >= HIGH || base.saturating_add(size) <= RAM_LIMIT;
        if offset.saturating_add(size) > memory.size() || !free {
            return Err(Call::ioctl(ioctl::KVM_SET_USER_MEMORY_REGION).error(libc::EINVAL));
        }
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: base,
            memory_size: size,
            userspace_addr: memory.host_address() + offset,
        };
        let argument = Argument::Region(&region);
        // SAFETY: the kernel reads `region` during the call. From then on the guest reads and
        // writes `memory`, which outlives this VM and its vCPUs ('m), and of which no Rust
        // reference exists.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_USER_MEMORY_REGION, argument) }.map(drop)
    }

    /// `KVM_GET_DIRTY_LOG`: a bit for each 4 KiB of the slot that was written since the last call, in
    /// words of 8 bytes, of which there are as many as the slot needs: ENOENT where the slot keeps no log.
    pub fn dirty_log(&self, slot: u32, bitmap: &mut DirtyBitmap) -> Result<(), Error> {
        let dirty_bitmap = address(bitmap.0.bytes_mut().as_mut_ptr());
        let log = kvm_dirty_log { slot, padding1: 0, dirty_bitmap };
        let argument = Argument::Out(address(&log));
        // SAFETY: the kernel reads `log`, and fills a bit for each page of the slot, rounded up to 64: the bitmap has as many
        // for all the memory, of which a slot shows no more than there is.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_DIRTY_LOG, argument) }.map(drop)
    }

    /// `KVM_GET_STATS_FD`. ENOTTY before Linux 5.14.
    pub fn stats(&self) -> Result<Fd, Error> {
        // SAFETY: takes no argument. The new descriptor is ours alone.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_STATS_FD, Argument::None) }.map(Fd::from_kernel)
    }

    /// The number of its descriptor, by which debugfs calls it.
    pub fn descriptor(&self) -> c_int {
        self.fd.raw()
    }

    /// `KVM_CREATE_VCPU`, and the mapping of its `kvm_run`, of `mmap_size` bytes.
    pub fn create_vcpu(&self, id: u32, mmap_size: usize) -> Result<Vcpu<'m>, Error> {
        // SAFETY: takes a number. The new descriptor is ours alone.
        let fd = unsafe { self.fd.ioctl(ioctl::KVM_CREATE_VCPU, Argument::Number(id.into())) }?;
        Vcpu::new(Fd::from_kernel(fd), mmap_size)
    }
}

/// A bit for each page of RAM.
pub struct DirtyBitmap(Buffer);

impl DirtyBitmap {
    /// All zeros; for any slot of the VM that shows this memory.
    pub fn new(memory: &Memory) -> Result<DirtyBitmap, Error> {
        Buffer::new((memory.size() / PAGE_SIZE).div_ceil(64) as usize * 8).map(DirtyBitmap)
    }

    /// Whether page `index` of the slot was written.
    pub fn is_dirty(&self, index: u64) -> bool {
        self.0.bytes().get((index / 8) as usize).is_some_and(|byte| byte >> (index % 8) & 1 != 0)
    }
}
