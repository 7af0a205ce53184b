//! The ways to reset a PC: the chipset's reset register, system control port A, and the keyboard controller.

use crate::bus::Device;
use crate::lifecycle::{End, Lifecycle, VcpuControl};
use alloc::sync::Arc;

/// Port 0xcf9: bit 2 resets, bit 1 tells which kind of reset.
pub const RESET_CONTROL: u64 = 0;
/// Port 0x92: bit 0 resets, bit 1 is the A20 line.
pub const SYSTEM_CONTROL: u64 = 1;
/// Port 0x64: the keyboard controller's commands, and its status.
pub const KEYBOARD_COMMAND: u64 = 2;

/// The keyboard controller's command that pulses the reset line.
const PULSE_RESET: u8 = 0xfe;

/// Three ports.
pub struct Reset(pub Arc<Lifecycle>);

impl Device for Reset {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "reset"
    }

    fn read(&self, register: u64, data: &mut [u8]) {
        data.fill(0xff);
        match register {
            // A20 is on.
            SYSTEM_CONTROL => data[0] = 1 << 1,
            // Its buffers are empty: it is ready for a command, and no key was pressed.
            KEYBOARD_COMMAND => data[0] = 0,
            _ => {}
        }
    }

    fn write(&self, register: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        let resets = match register {
            RESET_CONTROL => data[0] & 1 << 2 != 0,
            SYSTEM_CONTROL => data[0] & 1 != 0,
            _ => data[0] == PULSE_RESET,
        };
        if resets {
            self.0.end(End::Reset, Some(vcpu.number()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;
    use crate::host::event::Event;

    #[test]
    fn each_way_resets_and_nothing_else_does() {
        for (register, value, resets) in [
            (RESET_CONTROL, 2, false),
            (RESET_CONTROL, 6, true),
            (SYSTEM_CONTROL, 2, false),
            (SYSTEM_CONTROL, 1, true),
            (KEYBOARD_COMMAND, 0xd1, false),
            (KEYBOARD_COMMAND, 0xfe, true),
        ] {
            let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
            let reset = Reset(lifecycle.clone());
            reset.write(register, &[value], &vcpu());
            assert_eq!(lifecycle.has_ended(), resets, "{register} {value:#x}");
            let mut data = [0x55];
            reset.read(register, &mut data);
            assert_eq!(data, [[0xff, 2, 0][register as usize]]);
        }
    }
}
