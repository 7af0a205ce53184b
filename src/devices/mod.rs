//! Devices, each in one file. To add one: write the file, give it a place in [`crate::layout`], and attach it to a bus in
//! `machine/board.rs`, or in `machine/device_map.rs` where each machine is to have it.

pub mod acpi_pm;
pub mod clock;
pub mod console;
pub mod counter;
pub mod debug_exit;
pub mod doorbell;
pub mod fw_cfg;
pub mod hpet;
pub mod io_apic;
pub mod lesson_msr;
pub mod log;
pub mod open_bus;
pub mod page_drop;
pub mod pci;
pub mod pci_function;
pub mod pci_testdev;
pub mod pic;
pub mod pit;
pub mod reset;
pub mod rtc;
pub mod scratch;
pub mod serial;
pub mod test_lines;
pub mod test_memory;
pub mod vm_generation;
pub mod window;

use crate::host::timer::Timer;

/// A device that acts by itself when its time has come. The event loop waits for its timer.
pub trait Timed: Send + Sync {
    fn timer(&self) -> &Timer;

    /// The timer has expired.
    fn expired(&self);
}

/// Answers a read with the bytes of a little-endian register from `offset` on, and with ones behind its end.
fn read_register(register: u64, offset: u64, data: &mut [u8]) {
    let bytes = register.to_le_bytes();
    for (byte, at) in data.iter_mut().zip(offset..) {
        *byte = bytes.get(at as usize).copied().unwrap_or(0xff);
    }
}

#[cfg(test)]
pub mod tests {
    use crate::lifecycle::VcpuControl;
    use crate::output::Output;
    use std::io::{PipeReader, pipe};
    use std::os::fd::IntoRawFd;
    use std::sync::Arc;

    /// A vCPU whose thread the test is.
    pub fn vcpu() -> Arc<VcpuControl> {
        Arc::new(VcpuControl::new(0, None))
    }

    /// An output that comes out of a pipe.
    pub fn output() -> (Arc<Output>, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        let writer = writer.into_raw_fd();
        (Arc::new(Output::new(c"kob", writer, writer)), reader)
    }

    #[test]
    fn a_register_ends_and_then_there_are_ones() {
        let mut data = [0; 4];
        super::read_register(0x0807_0605_0403_0201, 6, &mut data);
        assert_eq!(data, [7, 8, 0xff, 0xff]);
    }
}
