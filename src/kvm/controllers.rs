//! The interrupt controllers and the interval timer that KVM has.

use crate::kvm::{Error, Vm};
use crate::show::Bits;
use crate::sys::ioctl;
use crate::sys::irqchip::*;

impl Vm {
    /// `KVM_CREATE_IRQCHIP`: a pair of 8259, an I/O APIC, and a local APIC for each vCPU that is made from now on.
    pub fn create_irqchip(&self) -> Result<(), Error> {
        // SAFETY: takes no argument.
        unsafe { self.descriptor.ioctl(ioctl::KVM_CREATE_IRQCHIP, 0, format_args!("")) }?;
        Ok(())
    }

    /// `KVM_CREATE_PIT2`: the interval timer, and the speaker's port.
    pub fn create_pit(&self) -> Result<(), Error> {
        let config = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
        self.set(ioctl::KVM_CREATE_PIT2, &config, format_args!("")).map(drop)
    }

    /// `KVM_CREATE_PIT`: the same, as Linux had it before 2.6.32. EEXIST: there is one.
    pub fn create_old_pit(&self) -> Result<(), Error> {
        // SAFETY: takes no argument.
        unsafe { self.descriptor.ioctl(ioctl::KVM_CREATE_PIT, 0, format_args!("")) }.map(drop)
    }

    /// `KVM_GET_PIT`: the interval timer's channels.
    pub fn old_pit(&self) -> Result<kvm_pit_state, Error> {
        let mut state = kvm_pit_state::default();
        // SAFETY: the kernel fills the structure.
        unsafe { self.descriptor.fill(ioctl::KVM_GET_PIT, &mut state, format_args!("")) }?;
        Ok(state)
    }

    /// `KVM_SET_PIT`.
    pub fn set_old_pit(&self, state: &kvm_pit_state) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_PIT, state, format_args!("")).map(drop)
    }

    /// `KVM_REINJECT_CONTROL`: whether ticks of the interval timer that the guest had no time for come later. ENXIO: there is none.
    pub fn set_pit_reinjection(&self, is_wanted: bool) -> Result<(), Error> {
        let control = kvm_reinject_control { pit_reinject: is_wanted.into(), ..Default::default() };
        let shown = format_args!("{}", control.pit_reinject);
        // The request's number does not tell the structure's size.
        self.set(ioctl::KVM_REINJECT_CONTROL, &control, shown).map(drop)
    }

    /// `KVM_IRQ_LINE_STATUS`: as [`Vm::set_line`]. Above 0: the interrupt was delivered, to so many vCPUs; 0: the one before it
    /// still waits, and both become one; below: it is ignored, for example since it is masked.
    pub fn set_line_with_status(&self, gsi: u32, active: bool) -> Result<i32, Error> {
        let level = u32::from(active);
        let mut line = kvm_irq_level { irq: gsi, level };
        let shown = format_args!("GSI {gsi}, level {level}");
        // SAFETY: the kernel reads and fills the structure.
        unsafe { self.descriptor.fill(ioctl::KVM_IRQ_LINE_STATUS, &mut line, shown) }?;
        // In C it is a union with the line's number.
        Ok(line.irq as i32)
    }

    /// `KVM_GET_PIT2`: the interval timer's state. ENXIO: there is none.
    pub fn pit(&self) -> Result<kvm_pit_state2, Error> {
        let mut state = kvm_pit_state2::default();
        // SAFETY: the kernel fills the structure.
        unsafe { self.descriptor.fill(ioctl::KVM_GET_PIT2, &mut state, format_args!("")) }?;
        Ok(state)
    }

    /// `KVM_SET_PIT2`. KVM begins the counters anew: a tick comes up to one period later.
    pub fn set_pit(&self, state: &kvm_pit_state2) -> Result<(), Error> {
        let shown =
            format_args!("flags {}{}", state.flags, Bits(state.flags.into(), "HPET_LEGACY"));
        self.set(ioctl::KVM_SET_PIT2, state, shown).map(drop)
    }

    /// Whether the interval timer's interrupt reaches the interrupt controllers. An HPET can take its line. ENXIO: there is no interval
    /// timer.
    pub fn connect_pit(&self, connected: bool) -> Result<(), Error> {
        let mut state = self.pit()?;
        state.flags &= !KVM_PIT_FLAGS_HPET_LEGACY;
        state.flags |= if connected { 0 } else { KVM_PIT_FLAGS_HPET_LEGACY };
        self.set_pit(&state)
    }

    /// `KVM_GET_IRQCHIP`: the state of one controller, `KVM_IRQCHIP_*`.
    pub(super) fn irqchip(&self, chip_id: u32) -> Result<kvm_irqchip, Error> {
        let chip = kvm_irqchip_state { dummy: [0; 512] };
        let mut irqchip = kvm_irqchip { chip_id, pad: 0, chip };
        let shown = format_args!("{}", name(chip_id));
        // SAFETY: the kernel reads which chip it is, and fills its state.
        unsafe { self.descriptor.fill(ioctl::KVM_GET_IRQCHIP, &mut irqchip, shown) }?;
        Ok(irqchip)
    }

    /// `KVM_SET_IRQCHIP`.
    pub(super) fn set_irqchip(&self, irqchip: &kvm_irqchip) -> Result<(), Error> {
        let shown = format_args!("{}", name(irqchip.chip_id));
        self.set(ioctl::KVM_SET_IRQCHIP, irqchip, shown).map(drop)
    }

    /// `KVM_GET_IRQCHIP` of an 8259, `KVM_IRQCHIP_PIC_*`.
    pub fn pic_state(&self, chip_id: u32) -> Result<kvm_pic_state, Error> {
        let irqchip = self.irqchip(chip_id)?;
        // SAFETY: made of integers, for which any bytes are values.
        Ok(unsafe { irqchip.chip.pic })
    }

    /// `KVM_SET_IRQCHIP` of an 8259.
    pub fn set_pic_state(&self, chip_id: u32, pic: kvm_pic_state) -> Result<(), Error> {
        let mut chip = kvm_irqchip_state { dummy: [0; 512] };
        chip.pic = pic;
        self.set_irqchip(&kvm_irqchip { chip_id, pad: 0, chip })
    }

    /// The redirection entries of the I/O APIC, one for each of its lines.
    pub fn io_apic_entries(&self) -> Result<[u64; 24], Error> {
        let irqchip = self.irqchip(KVM_IRQCHIP_IOAPIC)?;
        // SAFETY: made of integers, for which any bytes are values.
        Ok(unsafe { irqchip.chip.ioapic.redirtbl })
    }

    /// Ends the most urgent interrupt that each 8259 has in service. Both are read and written whole: a tick of KVM's own PIT that
    /// comes between the two requests is lost.
    pub fn end_of_interrupt(&self) -> Result<(), Error> {
        for chip_id in [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE] {
            let mut irqchip = self.irqchip(chip_id)?;
            // SAFETY: made of integers, for which any bytes are values.
            let pic = unsafe { &mut irqchip.chip.pic };
            // From this line on they are less and less urgent; a guest can rotate them (OCW2).
            let first = u32::from(pic.priority_add);
            let isr = pic.isr.rotate_right(first);
            pic.isr = (isr & isr.wrapping_sub(1)).rotate_left(first);
            self.set_irqchip(&irqchip)?;
        }
        Ok(())
    }
}

fn name(chip_id: u32) -> &'static str {
    match chip_id {
        KVM_IRQCHIP_PIC_MASTER => "first 8259",
        KVM_IRQCHIP_PIC_SLAVE => "second 8259",
        _ => "I/O APIC",
    }
}
