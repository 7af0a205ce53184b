//! QEMU's `isa-debug-exit`: a write of V ends the run with status (V << 1) | 1.

use crate::bus::Device;
use crate::lifecycle::{End, Lifecycle, VcpuControl};
use crate::show::number;
use alloc::sync::Arc;

/// Port 0xf4.
pub struct DebugExit(pub Arc<Lifecycle>);

impl Device for DebugExit {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "the run ends"
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, _: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        // An exit status has eight bits.
        let status = (number(data) << 1 | 1) as u8;
        self.0.end(End::Status(status), Some(vcpu.number()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;
    use crate::host::event::Event;

    #[test]
    fn the_value_is_in_the_status() {
        for (value, status) in [(0u32, 1), (1, 3), (0x7f, 255), (0x80, 1)] {
            let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
            DebugExit(lifecycle.clone()).write(0, &value.to_le_bytes(), &vcpu());
            assert_eq!(lifecycle.how(), Some((End::Status(status), Some(0))));
        }
    }
}
