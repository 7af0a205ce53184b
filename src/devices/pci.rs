//! PCI's configuration ports, with no bus behind them: reads give ones, which is how a PC says that there is no device.

use crate::bus::Device;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;

/// Ports 0xcf8 to 0xcff.
pub struct NoPci;

impl Device for NoPci {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "PCI: no bus"
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, _: u64, _: &[u8], _: &Arc<VcpuControl>) {}
}
