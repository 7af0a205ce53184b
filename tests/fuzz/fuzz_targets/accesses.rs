//! All devices of a machine on their two buses, without KVM, and accesses to them of any kind. The same is tried in a bounded,
//! seeded run by `make test`: src/machine/board_tests.rs.

use kob_2m::bus::{Bus, Device};
use kob_2m::config::{Backing, Config, Guest, Irqchip, PitPlace};
use kob_2m::devices::Timed;
use kob_2m::devices::fw_cfg::{FwCfg, Items, Part};
use kob_2m::devices::rtc;
use kob_2m::host::event::Event;
use kob_2m::kvm::Vm;
use kob_2m::lifecycle::{Lifecycle, Request, VcpuControl};
use kob_2m::machine::board::{Board, BoardStart, Handles};
use kob_2m::machine::device_map::{Devices, buses};
use kob_2m::machine::sections::SavedDevice;
use kob_2m::memory::GuestMemory;
use kob_2m::output::Output;
use kob_2m::snapshot::{Fields, Invalid, Tag};
use std::sync::Arc;

/// Ranges with devices, and what lies around them: where an access is tried more often than elsewhere.
const PORTS: [u64; 18] = [
    0x10, 0x20, 0x40, 0x61, 0x64, 0x70, 0x92, 0xa0, 0xe0, 0xe8, 0xf4, 0x3f8, 0x510, 0x600, 0xcf8,
    0x2000, 0xc000, 0xc0f8,
];
const ADDRESSES: [u64; 10] = [
    0xc000_0000,
    0xe000_0000,
    0xe800_0000,
    0xe800_8000,
    0xf000_0000,
    0xf000_0ff8,
    0xfec0_0000,
    0xfed0_0000,
    0xfed0_0100,
    0xff00_0000,
];

pub struct Machine {
    ports: Bus,
    addresses: Bus,
    timed: Vec<Arc<dyn Timed>>,
    saved: Vec<SavedDevice>,
    lifecycle: Arc<Lifecycle>,
    vcpu: Arc<VcpuControl>,
}

impl Machine {
    pub fn new() -> Machine {
        // With as many devices as there can be.
        let irqchip = Some(Irqchip::Split);
        let config = Config { guest: Guest::Kernel(c"k"), irqchip, pause: 0, ..Config::default() };
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, 1 << 20)]).unwrap();
        let memory = Arc::new(memory);
        let vm = Arc::new(Vm::without_kvm().unwrap().with_memory(memory.clone()));
        let output = Arc::new(Output::silent());
        let attention = Arc::new(Event::new().unwrap());
        let lifecycle = Arc::new(Lifecycle::new(attention.clone()));
        let devices = Devices::new(&config, &vm, &memory, &lifecycle, &output);
        let (mut ports, mut addresses) = buses(&config, &devices, None);
        let (lifecycle, attention) = (&lifecycle, &attention);
        let handles = Handles { vm: &vm, memory: &memory, lifecycle, output: &output, attention };
        let mut items = Items::new(2, 1 << 20);
        items.add_file(b"opt/x".to_vec(), Part::Bytes(vec![7; 100]));
        let fw_cfg = Arc::new(FwCfg::new(items, memory.clone()));
        let clock = rtc::Kept::new([1 << 20, 0]);
        let start = BoardStart { pit: PitPlace::Program, fw_cfg, clock, wake_status: 0 };
        let board = Board::new(&config, &handles, start).unwrap();
        let mut saved = devices.saved();
        saved.extend(board.attach(&mut ports, &mut addresses, &handles));
        // A vCPU that is asked to stop waits for nothing.
        let vcpu = Arc::new(VcpuControl::new(0, None));
        vcpu.request(Request::Stop);
        let (timed, lifecycle) = (board.timed(), lifecycle.clone());
        Machine { ports, addresses, timed, saved, lifecycle, vcpu }
    }

    /// The tag and the state of each device.
    pub fn state(&self) -> Vec<(Tag, Vec<u8>)> {
        let state = |(tag, device): &SavedDevice| {
            let mut bytes = Vec::new();
            device.visit(&mut Fields::Save(&mut bytes)).unwrap();
            (*tag, bytes)
        };
        self.saved.iter().map(state).collect()
    }

    /// Restores a device, for which time goes on.
    pub fn restore(&self, tag: Tag, bytes: &[u8]) -> Result<(), Invalid> {
        self.restore_only(tag, bytes)?;
        self.saved.iter().for_each(|(_, device)| device.restored());
        Ok(())
    }

    /// Restores a device.
    pub fn restore_only(&self, tag: Tag, bytes: &[u8]) -> Result<(), Invalid> {
        let (_, device) = self.saved.iter().find(|(other, _)| *other == tag).unwrap();
        let mut fields = Fields::Restore(bytes);
        device.visit(&mut fields)?;
        fields.end()
    }

    /// Makes the access that these bytes stand for: where (0 to 7), how (8), with what (9 to 15).
    pub fn access(&self, bytes: [u8; 16]) {
        let number = |from: usize| u64::from_le_bytes(bytes[from..from + 8].try_into().unwrap());
        let (place, how) = (number(0), bytes[8]);
        let near = |starts: &[u64]| starts[place as usize % starts.len()] + (place >> 8) % 0x110;
        let mut data = number(8).to_be_bytes();
        let is_port = how & 1 != 0;
        let size = match is_port {
            true => 1 << ((how >> 4) % 3),
            // KVM splits an access where a page ends.
            false => 1 + usize::from(how >> 4) % 8,
        };
        let data = &mut data[..size];
        let (device, offset) = match (is_port, how & 4 != 0) {
            (true, true) => self.ports.find(near(&PORTS)),
            (true, false) => self.ports.find(place & 0xffff),
            (false, true) => self.addresses.find(near(&ADDRESSES)),
            (false, false) => self.addresses.find(place >> (how & 0x20)),
        };
        self.perform(device, offset, data, how);
        self.lifecycle.take_stop();
    }

    fn perform(&self, device: &dyn Device, offset: u64, data: &mut [u8], how: u8) {
        assert!(!device.name(offset, how & 2 != 0).is_empty());
        match how & 2 != 0 {
            true => device.write(offset, data, &self.vcpu),
            false => device.read(offset, data),
        }
        // Now and then time passes for those that wait for it.
        if how & 8 != 0 {
            self.timed.iter().for_each(|device| device.expired());
        }
    }
}
