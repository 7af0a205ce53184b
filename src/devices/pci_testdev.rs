//! QEMU's PCI test device (1b36:0005): QEMU's `docs/specs/pci-testdev.rst`. A guest that measures or tests writes finds three
//! tests behind a BAR of addresses, and three behind one of ports: a write that exits; one that signals an eventfd, whatever
//! its value; and one that signals it for one value alone. The device counts the writes that exit. As in QEMU, nobody waits
//! for the eventfd: to signal it is all that such a write does.

use crate::devices::pci_function::{Bar, Configuration, PciFunction};
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::kvm::Vm;
use crate::layout::*;
use crate::lifecycle::VcpuControl;
use crate::show::number;
use crate::snapshot::fields::{Fields, Invalid, visit};
use crate::sys::irqchip::{
    KVM_IOEVENTFD_FLAG_DATAMATCH, KVM_IOEVENTFD_FLAG_DEASSIGN, KVM_IOEVENTFD_FLAG_PIO,
};
use alloc::sync::Arc;
use alloc::vec::Vec;

const ID: u32 = 0x0005_1b36;
/// None of the classes that are defined.
const CLASS: u32 = 0xff_0000;

/// The BARs, and how large they are. In the upper half of each, its tests have a byte each.
const SIZES: [u32; 2] = [4096, 256];
const KINDS: [Bar; 6] =
    [Bar::Memory(SIZES[0]), Bar::Ports(SIZES[1]), Bar::None, Bar::None, Bar::None, Bar::None];

/// The tests of each BAR.
const NAMES: [[&str; 3]; 2] = [
    ["mmio-no-eventfd", "mmio-wildcard-eventfd", "mmio-datamatch-eventfd"],
    ["portio-no-eventfd", "portio-wildcard-eventfd", "portio-datamatch-eventfd"],
];
const NO_EVENTFD: usize = 0;
const WILDCARD: usize = 1;

/// What is to be written: the value that counts, or, where each does, another one.
const MATCH: u8 = 0xfa;
const ANY: u8 = 0xce;
/// In how many bytes.
const WIDTH: u8 = 1;

// The header, at the beginning of both BARs. Only the test's number can be written, which starts it.
const TEST: u64 = 0;
const HEADER: usize = 16;

/// The test that runs.
struct Running {
    bar: usize,
    test: usize,
    count: u32,
    /// Where the eventfd is registered.
    registered: Option<u64>,
}

impl Running {
    /// Its number in the header, where those of ports go on behind those of addresses.
    fn number(&self) -> u8 {
        (self.bar * NAMES[0].len() + self.test) as u8
    }

    /// The place in the BAR that is to be written.
    fn offset(&self) -> u64 {
        u64::from(SIZES[self.bar] / 2) + u64::from(self.number() * WIDTH)
    }

    fn data(&self) -> u8 {
        if self.test == WILDCARD { ANY } else { MATCH }
    }

    /// What the guest can read: number, width, two bytes of nothing, offset, data and count in four bytes each, and the name.
    fn header(&self) -> Vec<u8> {
        let mut header = Vec::from([self.number(), WIDTH, 0, 0]);
        for word in [self.offset() as u32, self.data().into(), self.count] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        debug_assert!(header.len() == HEADER);
        header.extend_from_slice(NAMES[self.bar][self.test].as_bytes());
        header.push(0);
        header
    }
}

/// The device.
pub struct PciTestDevice {
    configuration: Mutex<Configuration>,
    running: Mutex<Option<Running>>,
    event: Event,
    /// `None` in a unit test: then each write comes to the device.
    vm: Option<Arc<Vm>>,
}

impl PciTestDevice {
    pub fn new(vm: Option<Arc<Vm>>) -> Result<PciTestDevice, CallError> {
        let configuration = Mutex::new(Configuration::new(ID, CLASS, KINDS));
        Ok(PciTestDevice { configuration, running: Mutex::default(), event: Event::new()?, vm })
    }

    /// Registers the running test's eventfd where the BAR lies now, and nowhere else.
    fn register(&self, running: &mut Running) {
        let start = self.configuration.lock().range(running.bar).map(|range| range.start);
        // Outside the bus' windows no BAR answers, and KVM must not take the writes.
        let window = match running.bar {
            0 => PCI_MEMORY..PCI_MEMORY + PCI_MEMORY_SIZE,
            _ => PCI_PORTS.into()..u64::from(PCI_PORTS) + u64::from(PCI_PORTS_SIZE),
        };
        let wanted = start.filter(|start| running.test != NO_EVENTFD && window.contains(start));
        let wanted = wanted.map(|start| start + running.offset());
        if wanted == running.registered {
            return;
        }
        if let Some(at) = running.registered.take() {
            self.set_ioeventfd(running, at, KVM_IOEVENTFD_FLAG_DEASSIGN);
        }
        // Without the eventfd, the write exits.
        running.registered = wanted.filter(|&at| self.set_ioeventfd(running, at, 0));
    }

    /// Whether KVM has done it.
    fn set_ioeventfd(&self, running: &Running, at: u64, flag: u32) -> bool {
        let space = if running.bar == 0 { 0 } else { KVM_IOEVENTFD_FLAG_PIO };
        let value = if running.test == WILDCARD { 0 } else { KVM_IOEVENTFD_FLAG_DATAMATCH };
        let flags = space | value | flag;
        let data = if value == 0 { 0 } else { MATCH.into() };
        self.vm
            .as_ref()
            .is_some_and(|vm| vm.set_ioeventfd(&self.event, at, WIDTH.into(), data, flags).is_ok())
    }

    /// Ends the test that runs, and starts another one, if there is one with this number.
    fn start(&self, bar: usize, test: usize) {
        let mut running = self.running.lock();
        if let Some(before) = running.take()
            && let Some(at) = before.registered
        {
            self.set_ioeventfd(&before, at, KVM_IOEVENTFD_FLAG_DEASSIGN);
        }
        self.event.take();
        if test < NAMES[bar].len() {
            let mut started = Running { bar, test, count: 0, registered: None };
            self.register(&mut started);
            *running = Some(started);
        }
    }
}

impl PciFunction for PciTestDevice {
    fn name(&self) -> &'static str {
        "PCI test device"
    }

    fn configuration(&self) -> &Mutex<Configuration> {
        &self.configuration
    }

    fn read(&self, _: usize, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(running) = &*self.running.lock() {
            self.event.take();
            let header = running.header();
            for (byte, at) in data.iter_mut().zip(offset as usize..) {
                *byte = header.get(at).copied().unwrap_or(0);
            }
        }
    }

    fn write(&self, bar: usize, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        if offset == TEST {
            return self.start(bar, data[0].into());
        }
        if let Some(running) = &mut *self.running.lock()
            && (running.bar, running.offset()) == (bar, offset)
            && (running.test == WILDCARD || number(data) == MATCH.into() && data.len() == 1)
        {
            running.count = running.count.wrapping_add(1);
        }
    }

    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let numbers = |running: &Running| (running.bar as u8, running.test as u8, running.count);
        let running = self.running.lock().as_ref().map(numbers);
        let mut is_running = running.is_some();
        let (mut bar, mut test, mut count) = running.unwrap_or_default();
        visit!(fields; is_running, bar, test, count);
        if fields.is_restoring() && is_running {
            let is_test = |names: &[&str]| usize::from(test) < names.len();
            let names = NAMES.get(usize::from(bar));
            fields.check(names.is_some_and(|names| is_test(names)), "there is no such test")?;
            self.start(bar.into(), test.into());
            if let Some(running) = &mut *self.running.lock() {
                running.count = count;
            }
        }
        Ok(())
    }

    fn reconfigured(&self) {
        if let Some(running) = &mut *self.running.lock() {
            self.register(running);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    fn read(device: &PciTestDevice, offset: u64, size: usize) -> u64 {
        let mut data = vec![0; size];
        device.read(0, offset, &mut data);
        number(&data)
    }

    #[test]
    fn each_test_is_described_and_counts_what_it_is_about() {
        let device = PciTestDevice::new(None).unwrap();
        assert_eq!(read(&device, 0, 8), 0, "none runs");
        for (bar, offset, first) in [(0, 2048, 0), (1, 128, 3)] {
            for (test, &name) in NAMES[bar].iter().enumerate() {
                device.write(bar, TEST, &[test as u8], &vcpu());
                let number = first + test as u64;
                let place = offset + number;
                let data = if test == WILDCARD { 0xce } else { 0xfa };
                assert_eq!((read(&device, 0, 1), read(&device, 1, 1)), (number, 1));
                assert_eq!((read(&device, 4, 4), read(&device, 8, 4)), (place, data));
                let shown = (0..name.len()).map(|at| read(&device, 16 + at as u64, 1) as u8);
                assert_eq!(shown.collect::<Vec<_>>(), name.as_bytes());
                assert_eq!(read(&device, 16 + name.len() as u64, 4), 0);
                for _ in 0..3 {
                    device.write(bar, place, &[data as u8], &vcpu());
                }
                device.write(bar, place, &[1], &vcpu());
                device.write(bar, place + 1, &[data as u8], &vcpu());
                device.write(1 - bar, place, &[data as u8], &vcpu());
                assert_eq!(read(&device, 12, 4), if test == WILDCARD { 4 } else { 3 });
            }
            device.write(bar, TEST, &[3], &vcpu());
            assert_eq!(read(&device, 1, 1), 0, "the width of a test that does not exist");
        }
    }
}
