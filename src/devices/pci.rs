//! PCI's configuration mechanism (PCI 3.0, 3.2.2.3.2), with a bus on which the host bridge is alone. A kernel that finds no
//! mechanism at all complains.

use crate::bus::Device;
use crate::host::mutex::Mutex;
use crate::lifecycle::VcpuControl;
use crate::show::number;
use alloc::sync::Arc;

// The registers, by their distance from the first port. The chipset's reset register lies at 1.
/// CONFIG_ADDRESS: only accesses of four bytes are for it.
const ADDRESS: u64 = 0;
/// CONFIG_DATA: four ports, for the four bytes of the register that is selected.
const DATA: u64 = 4;

/// Bit 31 of the address: the access is a configuration cycle.
const ENABLE: u32 = 1 << 31;
/// The others are reserved, and read as 0.
const ADDRESS_BITS: u32 = ENABLE | 0x00ff_fffc;
/// The address of the host bridge: bus, device and function 0, in bits 30 to 8.
const HOST_BRIDGE: u32 = 0;

/// Vendor and device. QEMU's PCI Express host bridge: one for which no kernel has a special treatment.
const ID: u32 = 0x0008_1b36;
/// Class 6: a bridge; subclass 0: to the host.
const CLASS: u32 = 0x0600_0000;

/// Ports 0xcf8 to 0xcff, but for the reset register.
#[derive(Default)]
pub struct PciBus {
    address: Mutex<u32>,
}

/// A register of the bus' configuration space.
fn configuration(address: u32) -> u32 {
    if address & ENABLE == 0 || address >> 8 & 0x7f_ffff != HOST_BRIDGE {
        return u32::MAX;
    }
    match address & 0xfc {
        0x00 => ID,
        0x08 => CLASS,
        _ => 0,
    }
}

impl Device for PciBus {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "PCI configuration"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let address = *self.address.lock();
        let register = match (offset, data.len()) {
            (ADDRESS, 4) => address.to_le_bytes(),
            (DATA.., _) => configuration(address).to_le_bytes(),
            _ => return,
        };
        let first = (offset % 4) as usize;
        data.iter_mut().zip(&register[first..]).for_each(|(to, from)| *to = *from);
    }

    /// Nothing in the configuration space can be changed.
    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        if offset == ADDRESS && data.len() == 4 {
            *self.address.lock() = number(data) as u32 & ADDRESS_BITS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    fn read(bus: &PciBus, offset: u64, size: usize) -> u64 {
        let mut data = vec![0; size];
        bus.read(offset, &mut data);
        number(&data)
    }

    #[test]
    fn the_mechanism_answers_as_kernels_probe_it() {
        let bus = PciBus::default();
        bus.write(ADDRESS, &0x8000_0000u32.to_le_bytes(), &vcpu());
        assert_eq!(read(&bus, ADDRESS, 4), 0x8000_0000);
        assert_eq!(read(&bus, DATA, 4), 0x0008_1b36);
        assert_eq!(read(&bus, DATA + 2, 2), 0x0008);
        // A byte is not for this register, and does not change it.
        bus.write(ADDRESS, &[0], &vcpu());
        assert_eq!((read(&bus, ADDRESS, 1), read(&bus, ADDRESS, 4)), (0xff, 0x8000_0000));
    }

    #[test]
    fn the_host_bridge_is_alone() {
        let bus = PciBus::default();
        let mut found = vec![];
        let step = if cfg!(miri) { 0x101 } else { 1 };
        for device in (0..0x1_0000u32).step_by(step) {
            bus.write(ADDRESS, &(0x8000_0000 | device << 8).to_le_bytes(), &vcpu());
            if read(&bus, DATA, 2) != 0xffff {
                found.push(device);
            }
        }
        assert_eq!(found, [0]);
        bus.write(ADDRESS, &0x8000_0008u32.to_le_bytes(), &vcpu());
        assert_eq!(read(&bus, DATA + 2, 2), 0x0600);
        bus.write(ADDRESS, &0u32.to_le_bytes(), &vcpu());
        assert_eq!(read(&bus, DATA, 4), 0xffff_ffff, "not enabled");
    }
}
