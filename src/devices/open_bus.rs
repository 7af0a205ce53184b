//! Where no device answers, a PC's bus floats: reads give ones, writes are lost. The user is warned once.

use crate::bus::Device;
use crate::lifecycle::VcpuControl;
use crate::output::Output;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Which bus it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Space {
    Ports,
    Addresses,
}

/// What a trace says where no device answers.
pub fn name(is_write: bool) -> &'static str {
    if is_write { "no device: lost" } else { "no device: ones" }
}

/// An empty bus.
pub struct OpenBus {
    space: Space,
    output: Arc<Output>,
    /// The user has been warned, or shall not be.
    has_warned: AtomicBool,
}

impl OpenBus {
    /// `quiet`: a kernel looks for much that is not there, and the user need not know.
    pub fn new(space: Space, output: Arc<Output>, quiet: bool) -> OpenBus {
        OpenBus { space, output, has_warned: AtomicBool::new(quiet) }
    }

    fn warn(&self, at: u64) {
        if !self.has_warned.swap(true, Relaxed) {
            let what = match self.space {
                Space::Ports => "no device at port",
                Space::Addresses => "no RAM or device at address",
            };
            let text =
                format_args!("{what} {at:#x}: reads give ones, writes are lost (reported once)");
            self.output.message(text, None);
        }
    }
}

impl Device for OpenBus {
    fn name(&self, _: u64, is_write: bool) -> &'static str {
        name(is_write)
    }

    fn read(&self, at: u64, data: &mut [u8]) {
        data.fill(0xff);
        self.warn(at);
    }

    fn write(&self, at: u64, _: &[u8], _: &Arc<VcpuControl>) {
        self.warn(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::{output, vcpu};
    use std::io::Read;

    #[test]
    fn reads_give_ones_and_the_user_is_told_once() {
        let (output, mut reader) = output();
        let open_bus = OpenBus::new(Space::Addresses, output.clone(), false);
        let mut data = [0; 8];
        open_bus.read(0xd000_0000, &mut data);
        open_bus.write(0xd000_0008, &[1], &vcpu());
        OpenBus::new(Space::Ports, output, true).read(0x80, &mut [0]);
        assert_eq!(data, [0xff; 8]);
        let mut said = [0; 256];
        let len = reader.read(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..len]);
        assert!(said.starts_with("kob: no RAM or device at address 0xd0000000: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
