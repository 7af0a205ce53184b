//! A VM's state beside its RAM and its vCPUs: kvmclock, and those interrupt controllers and timers that are in the kernel.

use crate::kvm::{Error, Vm};
use crate::memory::plain::Plain;
use crate::snapshot::fields::{Field, Fields, Invalid, visit};
use crate::sys::cap::KVM_CAP_ADJUST_CLOCK;
use crate::sys::clock::*;
use crate::sys::ioctl;
use crate::sys::irqchip::*;
use alloc::vec::Vec;

// SAFETY: integers without gaps.
unsafe impl Plain for kvm_clock_data {}
// SAFETY: likewise.
unsafe impl Plain for kvm_pit_state2 {}

/// The state.
#[derive(Clone, Default)]
pub struct VmState {
    pub clock: kvm_clock_data,
    /// The two 8259 and the I/O APIC: 512 bytes of each. Empty where they are the program's.
    pub chips: Vec<[u8; CHIP_SIZE]>,
    /// `None` where it is the program's, or absent.
    pub pit: Option<kvm_pit_state2>,
}

const CHIP_SIZE: usize = size_of::<kvm_irqchip_state>();
const CHIPS: [u32; 3] = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC];

impl Field for VmState {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.clock, self.chips, self.pit);
        fields.check(
            self.chips.is_empty() || self.chips.len() == CHIPS.len(),
            "not all interrupt controllers are there",
        )
    }
}

impl Vm {
    /// The state. No vCPU runs.
    pub fn state(&self, has_chips: bool, has_pit: bool) -> Result<VmState, Error> {
        let mut state = VmState { clock: self.clock_data()?, ..VmState::default() };
        if has_chips {
            for chip_id in CHIPS {
                let irqchip = self.irqchip(chip_id)?;
                // SAFETY: made of integers, for which any bytes are values.
                state.chips.push(unsafe { irqchip.chip.dummy });
            }
        }
        if has_pit {
            state.pit = Some(self.pit()?);
        }
        Ok(state)
    }

    /// Sets all but the clock. The vCPUs' local APICs have their state: `KVM_SET_IRQCHIP` delivers pending interrupts to them at once.
    pub fn set_controllers(&self, state: &VmState) -> Result<(), Error> {
        for (&chip_id, chip) in CHIPS.iter().zip(&state.chips) {
            let chip = kvm_irqchip_state { dummy: *chip };
            self.set_irqchip(&kvm_irqchip { chip_id, pad: 0, chip })?;
        }
        if let Some(pit) = &state.pit {
            self.set_pit(pit)?;
        }
        Ok(())
    }

    /// `KVM_SET_CLOCK`: kvmclock goes on from what was saved, and `passed` nanoseconds. Where both kernels know the time of day that
    /// belongs to it, KVM itself adds what has passed.
    pub fn set_clock_after(&self, saved: &kvm_clock_data, passed: u64) -> Result<(), Error> {
        let known = self.check_extension(KVM_CAP_ADJUST_CLOCK)? as u32;
        let clock = saved.clock;
        let data = match known & saved.flags & KVM_CLOCK_REALTIME {
            0 => kvm_clock_data { clock: clock.wrapping_add(passed), ..Default::default() },
            flags => {
                let realtime = saved.realtime;
                kvm_clock_data { clock, flags, realtime, ..Default::default() }
            }
        };
        let shown = format_args!("{} ns, flags {}", data.clock, data.flags);
        self.set(ioctl::KVM_SET_CLOCK, &data, shown).map(drop)
    }

    /// `KVM_GET_CLOCK`, with what belongs to it.
    pub fn clock_data(&self) -> Result<kvm_clock_data, Error> {
        let mut data = kvm_clock_data::default();
        // SAFETY: the kernel fills the structure.
        unsafe { self.descriptor.fill(ioctl::KVM_GET_CLOCK, &mut data, format_args!("")) }?;
        Ok(data)
    }
}
