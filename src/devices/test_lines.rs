//! A test device of QEMU's: a write to the Nth port sets interrupt line N to the value's low bit.

use crate::bus::Device;
use crate::kvm::interrupt_line::{InterruptLine, InterruptLines};
use crate::layout::IO_APIC_LINES;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;

/// Ports 0x2000 and following.
pub struct TestLines([InterruptLine; IO_APIC_LINES as usize]);

impl TestLines {
    pub fn new(lines: &Arc<InterruptLines>) -> TestLines {
        TestLines(core::array::from_fn(|gsi| InterruptLine::new(lines.clone(), gsi as u32)))
    }
}

impl Device for TestLines {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "test device: interrupt lines"
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, line: u64, data: &[u8], _: &Arc<VcpuControl>) {
        if let Some(line) = self.0.get(line as usize) {
            line.set(data[0] & 1 != 0);
        }
    }
}
