//! A test device of QEMU's: a write of the guest-physical address of a page of RAM makes the host drop its mapping and give
//! it back, so that KVM must map the page again.

use crate::bus::Device;
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::show::number;
use alloc::sync::Arc;

/// Port 0xe4.
pub struct PageDrop(pub Arc<GuestMemory>);

impl Device for PageDrop {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "test device: drops a page"
    }

    fn read(&self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write(&self, _: u64, data: &[u8], _: &Arc<VcpuControl>) {
        self.0.drop_page(number(data));
    }
}
