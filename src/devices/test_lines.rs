//! A test device of QEMU's: a write to the Nth port sets interrupt line N to the value's low bit.

use crate::bus::Device;
use crate::kvm::interrupt_line::{InterruptLine, InterruptLines};
use crate::layout::IO_APIC_LINES;
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Fields, Invalid, Saved};
use alloc::sync::Arc;

/// Ports 0x2000 and following.
pub struct TestLines([InterruptLine; IO_APIC_LINES as usize]);

impl TestLines {
    pub fn new(lines: &Arc<InterruptLines>) -> TestLines {
        TestLines(core::array::from_fn(|gsi| InterruptLine::new(lines.clone(), gsi as u32)))
    }
}

impl Saved for TestLines {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        self.0.iter().try_for_each(|line| line.visit(fields))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;
    use crate::kvm::interrupt_line::fake;

    #[test]
    fn each_port_moves_its_line_by_the_lowest_bit() {
        let (lines, controllers) = fake::lines();
        let device = TestLines::new(&lines);
        for (line, value) in [(5, 1), (23, 0xff), (5, 3), (5, 0xfe), (24, 1)] {
            device.write(line, &[value, 0, 0, 0], &vcpu());
        }
        assert_eq!(controllers.take(), [(5, true), (23, true), (5, false)]);
        let mut data = [0; 2];
        device.read(5, &mut data);
        assert_eq!(data, [0xff; 2]);
    }

    #[test]
    fn two_vcpus_at_one_port_do_not_lose_count() {
        let (lines, controllers) = fake::lines();
        let device = TestLines::new(&lines);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for value in 0..if cfg!(miri) { 20 } else { 10_000 } {
                        device.write(5, &[value as u8], &vcpu());
                    }
                });
            }
        });
        device.write(5, &[0], &vcpu());
        let changes = controllers.take();
        let alternate = |pair: &[(u32, bool)]| pair[0].1 != pair[1].1;
        assert!(changes.windows(2).all(alternate) && changes.last() == Some(&(5, false)));
    }
}
