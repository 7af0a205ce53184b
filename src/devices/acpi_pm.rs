//! ACPI's power management registers PM1a: status and enable, which nothing ever sets but the guest, and control, by which
//! the guest switches the machine off. ACPI 6.4, 4.8.3.

use crate::bus::Device;
use crate::host::mutex::Mutex;
use crate::layout::SLEEP_OFF;
use crate::lifecycle::{End, Lifecycle, VcpuControl};
use alloc::sync::Arc;

// The registers, two bytes each.
const ENABLE: usize = 2;
const CONTROL: usize = 4;
const END: usize = 6;

// PM1 control: 4.8.3.2.1.
const SLP_TYP_SHIFT: u16 = 10;
const SLP_TYP_MASK: u16 = 7;
const SLP_EN: u16 = 1 << 13;

/// The registers.
pub struct AcpiPm {
    registers: Mutex<[u8; END]>,
    lifecycle: Arc<Lifecycle>,
}

impl AcpiPm {
    pub fn new(lifecycle: Arc<Lifecycle>) -> AcpiPm {
        AcpiPm { registers: Mutex::new([0; END]), lifecycle }
    }
}

impl Device for AcpiPm {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "ACPI power management"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let registers = self.registers.lock();
        for (byte, at) in data.iter_mut().zip(offset as usize..) {
            *byte = registers.get(at).copied().unwrap_or(0xff);
        }
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        let mut registers = self.registers.lock();
        for (byte, at) in data.iter().zip(offset as usize..END) {
            // A status bit is cleared by writing 1, and none is ever set.
            if at >= ENABLE {
                registers[at] = *byte;
            }
        }
        let control = u16::from_le_bytes([registers[CONTROL], registers[CONTROL + 1]]);
        drop(registers);
        if control & SLP_EN != 0 && control >> SLP_TYP_SHIFT & SLP_TYP_MASK == SLEEP_OFF {
            self.lifecycle.end(End::PoweredOff, Some(vcpu.number()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;
    use crate::host::event::Event;

    fn pm() -> (AcpiPm, Arc<Lifecycle>) {
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
        (AcpiPm::new(lifecycle.clone()), lifecycle)
    }

    #[test]
    fn only_the_type_of_s5_with_slp_en_switches_off() {
        for (control, off) in
            [(1 << 13 | 5 << 10, true), (5 << 10, false), (1 << 13 | 1 << 10, false)]
        {
            let (pm, lifecycle) = pm();
            pm.write(CONTROL as u64, &u16::to_le_bytes(control), &vcpu());
            assert_eq!(lifecycle.has_ended(), off, "{control:#x}");
        }
        // A byte at a time.
        let (pm, lifecycle) = pm();
        pm.write(CONTROL as u64, &[1], &vcpu());
        pm.write(CONTROL as u64 + 1, &[0x34], &vcpu());
        assert_eq!(lifecycle.how(), Some((End::PoweredOff, Some(0))));
    }

    #[test]
    fn a_status_is_never_set_and_what_is_enabled_is_kept() {
        let (pm, _) = pm();
        pm.write(0, &[0xff, 0xff, 0x20, 0x01], &vcpu());
        let mut data = [0x55; 4];
        pm.read(0, &mut data);
        assert_eq!(data, [0, 0, 0x20, 0x01]);
    }
}
