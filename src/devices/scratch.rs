//! The scratch register: eight bytes that keep what is written to them. Ports show the first four.

use crate::bus::Device;
use crate::devices::read_register;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The register.
#[derive(Default)]
pub struct Scratch(AtomicU64);

impl Scratch {
    /// What it holds.
    pub fn value(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

impl Device for Scratch {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "scratch register"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        read_register(self.value(), offset, data);
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let _ = self.0.fetch_update(SeqCst, SeqCst, |value| {
            let mut bytes = value.to_le_bytes();
            for (byte, at) in data.iter().zip(offset as usize..bytes.len()) {
                bytes[at] = *byte;
            }
            Some(u64::from_le_bytes(bytes))
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
    }
}
