//! A PCI bus: its host bridge, the two ways to the configuration space, and the windows in which the functions' own registers
//! lie. PCI Local Bus Specification 3.0, 3.2.2.3.2; PCI Express Base Specification 3.0, 7.2.2.

use crate::bus::Device;
use crate::devices::pci_function::{Bar, Configuration, PciFunction};
use crate::host::mutex::Mutex;
use crate::layout::*;
use crate::lifecycle::VcpuControl;
use crate::show::number;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The functions on bus 0, one for each device number from 0 on.
pub struct PciBus {
    functions: Vec<Arc<dyn PciFunction>>,
}

impl PciBus {
    /// A bus on which the functions have their places, as firmware leaves it.
    pub fn new(functions: Vec<Arc<dyn PciFunction>>) -> PciBus {
        let (mut port, mut address) = (PCI_PORTS, PCI_MEMORY);
        for function in &functions {
            let mut configuration = function.configuration().lock();
            for (number, bar) in configuration.bars().into_iter().enumerate() {
                match bar {
                    Bar::None => {}
                    Bar::Ports(size) => {
                        port = port.next_multiple_of(size as u16);
                        configuration.assign(number, port.into());
                        port += size as u16;
                    }
                    Bar::Memory(size) => {
                        address = address.next_multiple_of(size.into());
                        configuration.assign(number, address as u32);
                        address += u64::from(size);
                    }
                }
            }
        }
        PciBus { functions }
    }

    /// The function with a number: bus in bits 15 to 8, device in bits 7 to 3, function in bits 2 to 0.
    fn function(&self, number: u64) -> Option<&Arc<dyn PciFunction>> {
        let device = number >> 3;
        self.functions.get(device as usize).filter(|_| number & 7 == 0)
    }

    fn read_configuration(&self, function: u64, register: usize, data: &mut [u8]) {
        match self.function(function) {
            Some(function) => function.configuration().lock().read(register, data),
            None => data.fill(0xff),
        }
    }

    fn write_configuration(&self, function: u64, register: usize, data: &[u8]) {
        if let Some(function) = self.function(function) {
            function.configuration().lock().write(register, data);
            function.reconfigured();
        }
    }

    /// The function, the BAR and the register at a port or an address.
    fn find(&self, is_port: bool, at: u64) -> Option<(&Arc<dyn PciFunction>, usize, u64)> {
        self.functions.iter().find_map(|function| {
            let (bar, offset) = function.configuration().lock().find(is_port, at)?;
            Some((function, bar, offset))
        })
    }
}

impl Saved for PciBus {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        for function in &self.functions {
            function.configuration().lock().visit(fields)?;
            function.visit(fields)?;
        }
        Ok(())
    }
}

/// The bridge to the processor. It has no registers but its configuration space.
pub struct HostBridge(Mutex<Configuration>);

impl HostBridge {
    /// QEMU's PCI Express host bridge (1b36:0008, class 06 00): one for which no kernel has a special treatment.
    const ID: u32 = 0x0008_1b36;
    const CLASS: u32 = 0x06_0000;

    pub fn new() -> HostBridge {
        let configuration = Configuration::new(HostBridge::ID, HostBridge::CLASS, [Bar::None; 6]);
        HostBridge(Mutex::new(configuration))
    }
}

impl Default for HostBridge {
    fn default() -> HostBridge {
        HostBridge::new()
    }
}

impl PciFunction for HostBridge {
    fn name(&self) -> &'static str {
        "PCI host bridge"
    }

    fn configuration(&self) -> &Mutex<Configuration> {
        &self.0
    }
}

// Configuration mechanism 1: two ports of four bytes. The chipset's reset register lies among them.
/// CONFIG_ADDRESS: only accesses of four bytes are for it.
const ADDRESS: u64 = 0;
/// CONFIG_DATA: four ports, for the four bytes of the register that is selected.
const DATA: u64 = 4;
/// In the address: the access is a configuration cycle. Bits 23 to 8 are the function, 7 to 2 the register.
const ENABLE: u32 = 1 << 31;
/// The others are reserved, and read as 0.
const ADDRESS_BITS: u32 = ENABLE | 0x00ff_fffc;

/// Ports 0xcf8 to 0xcff, but for the reset register.
pub struct PciPorts {
    bus: Arc<PciBus>,
    address: Mutex<u32>,
}

impl PciPorts {
    pub fn new(bus: Arc<PciBus>) -> PciPorts {
        PciPorts { bus, address: Mutex::new(0) }
    }

    /// The function and the register for an access to the data ports.
    fn selected(&self, offset: u64) -> Option<(u64, usize)> {
        let address = *self.address.lock();
        let register = (address & 0xfc) as usize + (offset - DATA) as usize;
        (address & ENABLE != 0).then_some((u64::from(address >> 8 & 0xffff), register))
    }
}

impl Saved for PciPorts {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut address = self.address.lock();
        visit!(fields; *address);
        fields.check(*address & !ADDRESS_BITS == 0, "a reserved bit of the address is set")
    }
}

impl Device for PciPorts {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "PCI configuration"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        match (offset, data.len()) {
            (ADDRESS, 4) => data.copy_from_slice(&self.address.lock().to_le_bytes()),
            (DATA.., _) => {
                if let Some((function, register)) = self.selected(offset) {
                    self.bus.read_configuration(function, register, data);
                }
            }
            _ => {}
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        match (offset, data.len()) {
            (ADDRESS, 4) => *self.address.lock() = number(data) as u32 & ADDRESS_BITS,
            (DATA.., _) => {
                if let Some((function, register)) = self.selected(offset) {
                    self.bus.write_configuration(function, register, data);
                }
            }
            _ => {}
        }
    }
}

/// PCI Express' way: each function has 4 KiB of addresses, one behind the other (ECAM). Of these, 256 bytes exist.
pub struct PciEcam(pub Arc<PciBus>);

impl Device for PciEcam {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "PCI configuration (ECAM)"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        self.0.read_configuration(offset >> 12, (offset & 0xfff) as usize, data);
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        self.0.write_configuration(offset >> 12, (offset & 0xfff) as usize, data);
    }
}

/// A range of ports or addresses in which the guest can place the functions' registers. Offsets are ports or addresses.
pub struct PciWindow {
    pub bus: Arc<PciBus>,
    pub has_ports: bool,
}

impl Device for PciWindow {
    fn name(&self, offset: u64, _: bool) -> &'static str {
        self.bus.find(self.has_ports, offset).map_or("PCI: no function", |found| found.0.name())
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        match self.bus.find(self.has_ports, offset) {
            Some((function, bar, offset)) => function.read(bar, offset, data),
            None => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        if let Some((function, bar, offset)) = self.bus.find(self.has_ports, offset) {
            function.write(bar, offset, data, vcpu);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    /// A function that keeps what is written behind its BARs.
    struct Keeper(Mutex<Configuration>, Mutex<Vec<(usize, u64, Vec<u8>)>>);

    impl PciFunction for Keeper {
        fn name(&self) -> &'static str {
            "keeper"
        }
        fn configuration(&self) -> &Mutex<Configuration> {
            &self.0
        }
        fn read(&self, bar: usize, offset: u64, data: &mut [u8]) {
            data.fill(bar as u8 * 16 + offset as u8);
        }
        fn write(&self, bar: usize, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
            self.1.lock().push((bar, offset, data.to_vec()));
        }
    }

    fn bus() -> (Arc<PciBus>, Arc<Keeper>) {
        let mut bars = [Bar::None; 6];
        bars[..3].copy_from_slice(&[Bar::Memory(0x1000), Bar::Ports(0x100), Bar::Memory(0x2000)]);
        let configuration = Mutex::new(Configuration::new(0x0005_1b36, 0xff_0000, bars));
        let keeper = Arc::new(Keeper(configuration, Mutex::default()));
        (Arc::new(PciBus::new(vec![Arc::new(HostBridge::new()), keeper.clone()])), keeper)
    }

    fn read(device: &dyn Device, offset: u64, size: usize) -> u64 {
        let mut data = vec![0; size];
        device.read(offset, &mut data);
        number(&data)
    }

    #[test]
    fn the_mechanism_answers_as_kernels_probe_it() {
        let ports = PciPorts::new(bus().0);
        ports.write(ADDRESS, &0x8000_0000u32.to_le_bytes(), &vcpu());
        assert_eq!(read(&ports, ADDRESS, 4), 0x8000_0000);
        assert_eq!(read(&ports, DATA, 4), 0x0008_1b36);
        assert_eq!(read(&ports, DATA + 2, 2), 0x0008);
        // A byte is not for this register, and does not change it.
        ports.write(ADDRESS, &[0], &vcpu());
        assert_eq!((read(&ports, ADDRESS, 1), read(&ports, ADDRESS, 4)), (0xff, 0x8000_0000));
        ports.write(ADDRESS, &0x8000_0008u32.to_le_bytes(), &vcpu());
        assert_eq!(read(&ports, DATA + 2, 2), 0x0600);
        ports.write(ADDRESS, &0u32.to_le_bytes(), &vcpu());
        assert_eq!(read(&ports, DATA, 4), 0xffff_ffff, "not enabled");
    }

    #[test]
    fn both_ways_find_the_same_functions_and_no_others() {
        let (bus, _) = bus();
        let (ports, ecam) = (PciPorts::new(bus.clone()), PciEcam(bus));
        let mut found = vec![];
        let step = if cfg!(miri) { 0x101 } else { 1 };
        for function in (0..0x1_0000u32).step_by(step).chain([8]) {
            ports.write(ADDRESS, &(0x8000_0000 | function << 8).to_le_bytes(), &vcpu());
            let id = read(&ports, DATA, 4);
            if function < 256 {
                assert_eq!(read(&ecam, u64::from(function) << 12, 4), id);
            }
            if id != 0xffff_ffff {
                found.push((function, id));
            }
        }
        found.dedup();
        found.sort();
        found.dedup();
        assert_eq!(found, [(0, 0x0008_1b36), (8, 0x0005_1b36)]);
        assert_eq!(read(&ecam, 0x100, 4), 0xffff_ffff, "the space has 256 bytes");
    }

    #[test]
    fn a_function_answers_where_firmware_and_guest_have_put_it() {
        let (bus, keeper) = bus();
        let memory = PciWindow { bus: bus.clone(), has_ports: false };
        let io = PciWindow { bus: bus.clone(), has_ports: true };
        assert_eq!(read(&memory, PCI_MEMORY + 3, 2), 0x0303);
        assert_eq!(read(&io, u64::from(PCI_PORTS) + 5, 1), 0x15);
        assert_eq!(read(&memory, PCI_MEMORY + 0x2001, 1), 0x21, "aligned to its size");
        assert_eq!(read(&memory, PCI_MEMORY + 0x1000, 4), 0xffff_ffff);
        assert_eq!(
            (memory.name(PCI_MEMORY, false), io.name(0, true)),
            ("keeper", "PCI: no function")
        );
        // The guest moves BAR 0.
        let ecam = PciEcam(bus);
        ecam.write(1 << 15 | 0x10, &((PCI_MEMORY + 0x8000) as u32).to_le_bytes(), &vcpu());
        memory.write(PCI_MEMORY, &[1], &vcpu());
        memory.write(PCI_MEMORY + 0x8007, &[2], &vcpu());
        io.write(u64::from(PCI_PORTS), &[3, 4], &vcpu());
        // And switches memory off.
        ecam.write(1 << 15 | 4, &[1], &vcpu());
        memory.write(PCI_MEMORY + 0x8007, &[5], &vcpu());
        assert_eq!(*keeper.1.lock(), [(0, 7, vec![2]), (1, 0, vec![3, 4])]);
    }
}
