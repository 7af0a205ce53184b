//! The ways to reset a PC. The chipset's reset register resets everything. System control port A and the keyboard controller are
//! older: they reset the processors alone (INIT), which was the 80286's only way out of protected mode.

use crate::bus::Device;
use crate::lifecycle::{End, Lifecycle, Stop, VcpuControl};
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

// The ports, as registers of one device.
/// Port 0xcf9: bit 2 resets, bit 1 tells which kind of reset.
pub const RESET_CONTROL: u64 = 0;
/// Port 0x92: bit 0 resets, bit 1 is the A20 line.
pub const SYSTEM_CONTROL: u64 = 1;
/// Port 0x64: the keyboard controller's commands, and its status.
pub const KEYBOARD_COMMAND: u64 = 2;

const RESET: u8 = 1 << 2;
const FAST_INIT: u8 = 1 << 0;
const A20: u8 = 1 << 1;
/// The keyboard controller's commands 0xf0 to 0xff pulse its lowest four outputs for 6 us: those whose bit is clear. Output 0 is the
/// processors' reset line.
const PULSE: u8 = 0xf0;
const NOT_THE_RESET_LINE: u8 = 1 << 0;

/// Three ports.
pub struct Reset {
    lifecycle: Arc<Lifecycle>,
    /// What was written to the reset register.
    reset_control: AtomicU8,
    /// What was written to port 0x92. The line itself is always on: nothing wraps at 1 MiB here.
    a20: AtomicU8,
}

impl Reset {
    pub fn new(lifecycle: Arc<Lifecycle>) -> Reset {
        Reset { lifecycle, reset_control: AtomicU8::new(0), a20: AtomicU8::new(A20) }
    }
}

impl Saved for Reset {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        for register in [&self.reset_control, &self.a20] {
            let mut value = register.load(SeqCst);
            visit!(fields; value);
            register.store(value, SeqCst);
        }
        Ok(())
    }
}

impl Device for Reset {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "reset"
    }

    fn read(&self, register: u64, data: &mut [u8]) {
        data.fill(0xff);
        data[0] = match register {
            RESET_CONTROL => self.reset_control.load(SeqCst),
            SYSTEM_CONTROL => self.a20.load(SeqCst),
            // Its buffers are empty: it is ready for a command, and no key was pressed.
            _ => 0,
        };
    }

    fn write(&self, register: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        let value = data[0];
        let (lifecycle, vcpu) = (&self.lifecycle, Some(vcpu.number()));
        match register {
            RESET_CONTROL => {
                self.reset_control.store(value & !RESET, SeqCst);
                if value & RESET != 0 {
                    lifecycle.end(End::Reset, vcpu);
                }
            }
            SYSTEM_CONTROL => {
                self.a20.store(value & A20, SeqCst);
                if value & FAST_INIT != 0 {
                    lifecycle.stop(Stop::ProcessorReset, vcpu);
                }
            }
            _ if value & (PULSE | NOT_THE_RESET_LINE) == PULSE => {
                lifecycle.stop(Stop::ProcessorReset, vcpu);
            }
            _ => {}
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
        let (all, processors) = ((Some(End::Reset), None), (None, Some(Stop::ProcessorReset)));
        const NOTHING: (Option<End>, Option<Stop>) = (None, None);
        for (register, value, expected, reads) in [
            (RESET_CONTROL, 2, NOTHING, 2),
            (RESET_CONTROL, 6, all, 2),
            (RESET_CONTROL, 4, all, 0),
            (SYSTEM_CONTROL, 2, NOTHING, 2),
            (SYSTEM_CONTROL, 0, NOTHING, 0),
            (SYSTEM_CONTROL, 1, processors, 0),
            (KEYBOARD_COMMAND, 0xd1, NOTHING, 0),
            (KEYBOARD_COMMAND, 0xfe, processors, 0),
            (KEYBOARD_COMMAND, 0xf0, processors, 0),
            (KEYBOARD_COMMAND, 0xff, NOTHING, 0),
            (KEYBOARD_COMMAND, 0xee, NOTHING, 0),
        ] {
            let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
            let reset = Reset::new(lifecycle.clone());
            let mut data = [0x55];
            reset.read(register, &mut data);
            assert_eq!(data, [[0, 2, 0][register as usize]]);
            reset.write(register, &[value], &vcpu());
            let (end, stop) = (lifecycle.how(), lifecycle.take_stop());
            let found = (end.map(|end| end.0), stop.map(|stop| stop.0));
            assert_eq!(found, expected, "{register} {value:#x}");
            reset.read(register, &mut data);
            assert_eq!(data, [reads], "{register} {value:#x}");
        }
    }
}
