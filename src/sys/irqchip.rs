//! Interrupts and events that the kernel carries: the interrupt controllers and the timer in the kernel, routing,
//! eventfds that raise interrupts or take writes, and the ring of coalesced writes. api.rst 4.24 to 4.77; the ring is 4.116. All older than Linux 5.0.

/// `KVM_CREATE_PIT2`: api.rst 4.71.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pit_config {
    /// 0, or [`KVM_PIT_SPEAKER_DUMMY`].
    pub flags: u32,
    pub pad: [u32; 15],
}

/// The kernel answers port 0x61, the speaker's, too.
pub const KVM_PIT_SPEAKER_DUMMY: u32 = 1;

/// One of the interval timer's three channels.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pit_channel_state {
    pub count: u32,
    pub latched_count: u16,
    pub count_latched: u8,
    pub status_latched: u8,
    pub status: u8,
    pub read_state: u8,
    pub write_state: u8,
    pub write_latch: u8,
    pub rw_mode: u8,
    pub mode: u8,
    pub bcd: u8,
    pub gate: u8,
    pub count_load_time: i64,
}

/// `KVM_GET_PIT2`, `KVM_SET_PIT2`: api.rst 4.72 and 4.73.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pit_state2 {
    pub channels: [kvm_pit_channel_state; 3],
    /// 0, or [`KVM_PIT_FLAGS_HPET_LEGACY`].
    pub flags: u32,
    pub reserved: [u32; 9],
}

/// Interrupt line 0 is an HPET's.
pub const KVM_PIT_FLAGS_HPET_LEGACY: u32 = 1;

/// `KVM_IRQ_LINE`: api.rst 4.25. Sets the level of an interrupt line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_irq_level {
    /// The GSI. In C a union with `status`.
    pub irq: u32,
    /// 1: active.
    pub level: u32,
}

/// `KVM_INTERRUPT`: api.rst 4.16.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_interrupt {
    /// A vector, 0 to 255.
    pub irq: u32,
}

/// In a routing entry: a pin of an interrupt controller in the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_irq_routing_irqchip {
    /// One of `KVM_IRQCHIP_*`.
    pub irqchip: u32,
    pub pin: u32,
}

/// In a routing entry: a message, as a PCI device would write it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct kvm_irq_routing_msi {
    pub address_lo: u32,
    pub address_hi: u32,
    pub data: u32,
    /// In C a union with `devid`; 0 on x86.
    pub pad: u32,
}

/// What a GSI leads to.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_irq_routing_entry_u {
    pub irqchip: kvm_irq_routing_irqchip,
    pub msi: kvm_irq_routing_msi,
    pub pad: [u32; 8],
}

/// A line of the routing table: api.rst 4.52.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_irq_routing_entry {
    pub gsi: u32,
    /// One of `KVM_IRQ_ROUTING_*`.
    pub r#type: u32,
    pub flags: u32,
    pub pad: u32,
    pub u: kvm_irq_routing_entry_u,
}

/// `KVM_SET_GSI_ROUTING`: api.rst 4.52. Replaces the whole table; `nr` entries lie behind.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct kvm_irq_routing {
    pub nr: u32,
    pub flags: u32,
    pub entries: [kvm_irq_routing_entry; 0],
}

/// The interrupt controller of ISA interrupts 0 to 7.
pub const KVM_IRQCHIP_PIC_MASTER: u32 = 0;
/// Of 8 to 15.
pub const KVM_IRQCHIP_PIC_SLAVE: u32 = 1;
/// The I/O APIC.
pub const KVM_IRQCHIP_IOAPIC: u32 = 2;
/// In `kvm_irq_routing_entry::type`: a pin.
pub const KVM_IRQ_ROUTING_IRQCHIP: u32 = 1;
/// A message.
pub const KVM_IRQ_ROUTING_MSI: u32 = 2;

/// `KVM_IRQFD`: api.rst 4.75. A write to the eventfd raises the GSI.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_irqfd {
    pub fd: u32,
    pub gsi: u32,
    /// An OR of `KVM_IRQFD_FLAG_*`.
    pub flags: u32,
    /// Signalled when the guest has acknowledged the interrupt, with `KVM_IRQFD_FLAG_RESAMPLE`.
    pub resamplefd: u32,
    pub pad: [u8; 16],
}

/// Takes the binding away.
pub const KVM_IRQFD_FLAG_DEASSIGN: u32 = 1 << 0;
/// The line is a level: it stays active until it is acknowledged.
pub const KVM_IRQFD_FLAG_RESAMPLE: u32 = 1 << 1;

/// `KVM_IOEVENTFD`: api.rst 4.59. A write to the place signals the eventfd, and the guest goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_ioeventfd {
    /// The value that counts, with `KVM_IOEVENTFD_FLAG_DATAMATCH`.
    pub datamatch: u64,
    /// A guest-physical address or a port.
    pub addr: u64,
    /// 1, 2, 4 or 8 bytes; 0 for any.
    pub len: u32,
    pub fd: i32,
    /// An OR of `KVM_IOEVENTFD_FLAG_*`.
    pub flags: u32,
    pub pad: [u8; 36],
}

/// Only writes of `datamatch` count.
pub const KVM_IOEVENTFD_FLAG_DATAMATCH: u32 = 1 << 0;
/// `addr` is a port.
pub const KVM_IOEVENTFD_FLAG_PIO: u32 = 1 << 1;
/// Takes it away.
pub const KVM_IOEVENTFD_FLAG_DEASSIGN: u32 = 1 << 2;

/// `KVM_SIGNAL_MSI`: api.rst 4.71. Sends a message at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_msi {
    pub address_lo: u32,
    pub address_hi: u32,
    pub data: u32,
    pub flags: u32,
    pub devid: u32,
    pub pad: [u8; 12],
}

/// `KVM_REGISTER_COALESCED_MMIO`: api.rst 4.116. Writes to the zone are kept in the ring; the guest goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_coalesced_mmio_zone {
    pub addr: u64,
    pub size: u32,
    /// 1: `addr` is a port, with `KVM_CAP_COALESCED_PIO`. In C a union with `pad`.
    pub pio: u32,
}

/// A write in the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_coalesced_mmio {
    pub phys_addr: u64,
    pub len: u32,
    /// As in the zone.
    pub pio: u32,
    pub data: [u8; 8],
}

/// The ring, [`KVM_COALESCED_MMIO_PAGE_OFFSET`] pages behind the start of each vCPU's `kvm_run`; one for the whole
/// VM. It is empty where both indices are equal.
#[repr(C)]
pub struct kvm_coalesced_mmio_ring {
    /// Ours to move: the first entry that has not been taken.
    pub first: u32,
    /// The kernel's: behind the last one.
    pub last: u32,
    /// As many as fit into the page.
    pub coalesced_mmio: [kvm_coalesced_mmio; 0],
}

/// In pages; `KVM_CAP_COALESCED_MMIO` says the same.
pub const KVM_COALESCED_MMIO_PAGE_OFFSET: usize = 2;

/// `KVM_GET_LAPIC`, `KVM_SET_LAPIC`: api.rst 4.57. The registers lie 16 bytes apart: SDM volume 3, 11.4.1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_lapic_state {
    pub regs: [u8; 1024],
}

impl Default for kvm_lapic_state {
    fn default() -> Self {
        kvm_lapic_state { regs: [0; 1024] }
    }
}

/// `KVM_GET_IRQCHIP`: api.rst 4.26. Which chip, and its state, in C a union.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct kvm_irqchip {
    /// One of `KVM_IRQCHIP_*`.
    pub chip_id: u32,
    pub pad: u32,
    pub chip: kvm_irqchip_state,
}

/// The arms of the union that are used here, and its size.
#[repr(C)]
#[derive(Clone, Copy)]
pub union kvm_irqchip_state {
    pub dummy: [u8; 512],
    pub pic: kvm_pic_state,
    pub ioapic: kvm_ioapic_state,
}

/// An 8259.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pic_state {
    /// The lines as they were last.
    pub last_irr: u8,
    /// A bit for each line: requested, masked, in service.
    pub irr: u8,
    pub imr: u8,
    pub isr: u8,
    /// The highest priority.
    pub priority_add: u8,
    pub irq_base: u8,
    pub read_reg_select: u8,
    pub poll: u8,
    pub special_mask: u8,
    pub init_state: u8,
    pub auto_eoi: u8,
    pub rotate_on_auto_eoi: u8,
    pub special_fully_nested_mode: u8,
    /// The guest initializes it with four words.
    pub init4: u8,
    /// Which lines are level-triggered, and which ones may be.
    pub elcr: u8,
    pub elcr_mask: u8,
}

/// The I/O APIC. A redirection entry is as the hardware's (Intel 82093AA, 3.2.4): bits 10:8 the delivery, bit 16 the mask.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_ioapic_state {
    pub base_address: u64,
    pub ioregsel: u32,
    pub id: u32,
    pub irr: u32,
    pub pad: u32,
    pub redirtbl: [u64; 24],
}

/// What `KVM_TPR_ACCESS_REPORTING` takes. Not in api.rst.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_tpr_access_ctl {
    pub enabled: u32,
    /// 0.
    pub flags: u32,
    pub reserved: [u32; 8],
}

/// What `KVM_SET_VAPIC_ADDR` takes. Not in api.rst.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_vapic_addr {
    /// The guest-physical address of four bytes: task priority, the most urgent interrupt in service, 0, and the most urgent that
    /// waits. KVM keeps them.
    pub vapic_addr: u64,
}

/// `KVM_GET_PIT`, `KVM_SET_PIT`: as [`kvm_pit_state2`], without flags. Not in api.rst.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_pit_state {
    pub channels: [kvm_pit_channel_state; 3],
}

/// What `KVM_REINJECT_CONTROL` takes: api.rst 4.99.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_reinject_control {
    /// 1: ticks that the guest had no time to take come later. 0: they are lost.
    pub pit_reinject: u8,
    pub reserved: [u8; 31],
}
