//! A test device of QEMU's: memory that reads as it was written, but each access exits.

use crate::bus::Device;
use crate::host::mutex::Mutex;
use crate::layout::TEST_MEMORY_SIZE;
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// 64 KiB of zeros, at first.
pub struct TestMemory(Mutex<Vec<u8>>);

impl Default for TestMemory {
    fn default() -> TestMemory {
        TestMemory(Mutex::new(vec![0; TEST_MEMORY_SIZE as usize]))
    }
}

/// While it is all zeros, nothing is saved.
impl Saved for TestMemory {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut memory = self.0.lock();
        let is_used = memory.iter().any(|&byte| byte != 0);
        let mut bytes = if is_used { memory.clone() } else { Vec::new() };
        bytes.visit(fields)?;
        let size = TEST_MEMORY_SIZE as usize;
        fields.check(bytes.is_empty() || bytes.len() == size, "it has another size")?;
        bytes.resize(size, 0);
        *memory = bytes;
        Ok(())
    }
}

impl Device for TestMemory {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "test device: memory"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let memory = self.0.lock();
        for (byte, at) in data.iter_mut().zip(offset as usize..) {
            *byte = memory.get(at).copied().unwrap_or(0xff);
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let mut memory = self.0.lock();
        for (byte, at) in data.iter().zip(offset as usize..TEST_MEMORY_SIZE as usize) {
            memory[at] = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    #[test]
    fn it_is_memory_in_every_size_up_to_its_end() {
        let memory = TestMemory::default();
        memory.write(0xfff8, &[1, 2, 3, 4, 5, 6, 7, 8], &vcpu());
        memory.write(0xffff, &[9, 9], &vcpu());
        let mut data = [0; 8];
        memory.read(0xfffb, &mut data);
        assert_eq!(data, [4, 5, 6, 7, 9, 0xff, 0xff, 0xff]);
    }
}
