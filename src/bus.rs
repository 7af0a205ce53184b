//! A bus: which device answers which port, or which address. A machine has one bus for ports and one for guest-physical
//! addresses.

use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A device on a bus. It owns its registers and their lock, and acts through the handles that it was built with.
///
/// `offset` selects the register. If an access extends past the device's last register, the extra bytes read as ones, and
/// writes to them are ignored.
pub trait Device: Send + Sync {
    /// What a trace calls the device, or the register.
    fn name(&self, offset: u64, is_write: bool) -> &'static str;

    /// The guest reads `data.len()` bytes: 1 to 8. KVM splits an access where a page ends.
    fn read(&self, offset: u64, data: &mut [u8]);

    /// The guest writes. A device that must wait calls [`VcpuControl::sleep`] or [`VcpuControl::wait_until_woken`] of
    /// `vcpu`, the vCPU that it serves, and holds no lock meanwhile.
    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>);
}

struct Range {
    first: u64,
    last: u64,
    device: Arc<dyn Device>,
    /// The register at `first`.
    offset: u64,
}

/// Ranges, in ascending order.
pub struct Bus {
    ranges: Vec<Range>,
    open_bus: Arc<dyn Device>,
}

impl Bus {
    /// An empty bus. `open_bus` answers where no device does; its offsets are the addresses themselves.
    pub fn new(open_bus: Arc<dyn Device>) -> Bus {
        Bus { ranges: Vec::new(), open_bus }
    }

    /// Attaches `size` addresses, from `first` on, to the registers of a device from `offset` on. No two ranges overlap.
    pub fn attach(&mut self, first: u64, size: u64, device: Arc<dyn Device>, offset: u64) {
        let range = Range { first, last: first + (size - 1), device, offset };
        let place = self.ranges.partition_point(|other| other.first < first);
        let before = place.checked_sub(1).map(|before| &self.ranges[before]);
        let is_free = before.is_none_or(|before| before.last < first)
            && self.ranges.get(place).is_none_or(|behind| range.last < behind.first);
        assert!(is_free, "two devices at {first:#x}");
        self.ranges.insert(place, range);
    }

    /// The device at an address, and the register. The first ranges are looked at first: there are few, and the console is
    /// the first of them.
    #[inline]
    pub fn find(&self, address: u64) -> (&dyn Device, u64) {
        match self.ranges.iter().find(|range| address <= range.last) {
            Some(range) if address >= range.first => {
                (&*range.device, range.offset + (address - range.first))
            }
            _ => (&*self.open_bus, address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);
    impl Device for Named {
        fn name(&self, _: u64, _: bool) -> &'static str {
            self.0
        }
        fn read(&self, _: u64, _: &mut [u8]) {}
        fn write(&self, _: u64, _: &[u8], _: &Arc<VcpuControl>) {}
    }

    fn bus() -> Bus {
        let mut bus = Bus::new(Arc::new(Named("nobody")));
        bus.attach(0x60, 4, Arc::new(Named("b")), 8);
        bus.attach(0x10, 1, Arc::new(Named("a")), 0);
        bus.attach(u64::MAX, 1, Arc::new(Named("c")), 0);
        bus
    }

    #[test]
    fn each_address_finds_its_device_and_its_register() {
        let bus = bus();
        for (address, name, offset) in [
            (0, "nobody", 0),
            (0x10, "a", 0),
            (0x11, "nobody", 0x11),
            (0x60, "b", 8),
            (0x63, "b", 11),
            (0x64, "nobody", 0x64),
            (u64::MAX, "c", 0),
        ] {
            let (device, found) = bus.find(address);
            assert_eq!((device.name(found, false), found), (name, offset), "{address:#x}");
        }
    }

    #[test]
    #[should_panic(expected = "two devices at 0x62")]
    fn devices_do_not_overlap() {
        bus().attach(0x62, 1, Arc::new(Named("d")), 0);
    }
}
