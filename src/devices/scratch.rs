//! The scratch register: eight bytes that keep what is written to them. Ports have the first four.

use crate::bus::Device;
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// All eight bytes.
pub const ADDRESS: u64 = 0;
/// The first four, and nothing behind them.
pub const PORTS: u64 = 8;

/// Which bytes of the register an access at `offset` can reach.
fn bytes(offset: u64) -> Range<usize> {
    let offset = offset as usize;
    if offset < PORTS as usize { offset..8 } else { offset - PORTS as usize..4 }
}

/// The register.
#[derive(Default)]
pub struct Scratch(AtomicU64);

impl Scratch {
    /// What it holds.
    pub fn value(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

impl Saved for Scratch {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut value = self.value();
        visit!(fields; value);
        self.0.store(value, SeqCst);
        Ok(())
    }
}

impl Device for Scratch {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "scratch register"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let value = self.value().to_le_bytes();
        data.fill(0xff);
        for (byte, at) in data.iter_mut().zip(bytes(offset)) {
            *byte = value[at];
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let _ = self.0.fetch_update(SeqCst, SeqCst, |value| {
            let mut value = value.to_le_bytes();
            for (byte, at) in data.iter().zip(bytes(offset)) {
                value[at] = *byte;
            }
            Some(u64::from_le_bytes(value))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    #[test]
    fn an_access_is_a_part_of_the_register() {
        let scratch = Scratch::default();
        scratch.write(0, &[1, 2, 3, 4], &vcpu());
        scratch.write(1, &[7, 8], &vcpu());
        let mut data = [0; 4];
        scratch.read(0, &mut data);
        assert_eq!(data, [1, 7, 8, 4]);
        scratch.write(7, &[9, 9], &vcpu());
        scratch.read(6, &mut data);
        assert_eq!(data, [0, 9, 0xff, 0xff], "the register ends there");
        assert_eq!(scratch.value(), 0x0900_0000_0408_0701);
        scratch.write(PORTS + 3, &[5, 6], &vcpu());
        scratch.read(PORTS + 2, &mut data);
        assert_eq!(data, [8, 5, 0xff, 0xff], "ports have four bytes");
        assert_eq!(scratch.value(), 0x0900_0000_0508_0701);
    }
}
