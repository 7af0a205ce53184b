//! The console: bytes that the guest writes to [`crate::layout::CONSOLE_PORT`] go to standard output, unchanged. After a
//! newline the vCPU that wrote it pauses.

use crate::bus::Device;
use crate::devices::open_bus;
use crate::lifecycle::VcpuControl;
use crate::output::Output;
use alloc::sync::Arc;

/// Port 0x10.
pub struct Console {
    output: Arc<Output>,
    /// In nanoseconds.
    pause: u64,
}

impl Console {
    pub fn new(output: Arc<Output>, pause: u64) -> Console {
        Console { output, pause }
    }
}

impl Device for Console {
    fn name(&self, _: u64, is_write: bool) -> &'static str {
        if is_write { "standard output" } else { open_bus::name(false) }
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    #[inline]
    fn write(&self, _: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        // x86 is little-endian: the first byte is the low one.
        self.output.console_byte(data[0], vcpu);
        if data[0] == b'\n' && self.pause > 0 {
            // A stop cuts the pause short.
            let _ = vcpu.sleep(self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::{output, vcpu};
    use crate::lifecycle::Request;
    use std::io::Read;

    #[test]
    fn the_low_byte_of_each_access_is_written() {
        let (output, mut reader) = output();
        let console = Console::new(output, 0);
        for data in [&b"a"[..], b"b1", b"\n123"] {
            console.write(0, data, &vcpu());
        }
        let mut line = [0; 3];
        reader.read_exact(&mut line).unwrap();
        assert_eq!(line, *b"ab\n");
        let mut data = [0];
        console.read(0, &mut data);
        assert_eq!(data, [0xff]);
    }

    #[test]
    fn a_pause_ends_when_the_vcpu_is_stopped() {
        let (output, _reader) = output();
        let vcpu = vcpu();
        vcpu.request(Request::Stop);
        Console::new(output, u64::MAX).write(0, b"\n", &vcpu);
    }
}
