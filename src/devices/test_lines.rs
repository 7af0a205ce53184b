//! A test device of QEMU's: a write to the Nth port sets interrupt line N to the value's low bit.

use crate::bus::Device;
use crate::kvm::Vm;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;

/// Ports 0x2000 and following.
pub struct TestLines(pub Arc<Vm>);

impl Device for TestLines {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "test device: interrupt lines"
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, line: u64, data: &[u8], _: &Arc<VcpuControl>) {
        // The board has all lines that have a port.
        let _ = self.0.set_line(line as u32, data[0] & 1 != 0);
    }
}
