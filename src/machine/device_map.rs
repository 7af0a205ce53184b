//! The devices that every machine has, the console and those of the lessons, and where they are on its two buses.

use crate::bus::Bus;
use crate::config::Config;
use crate::devices::clock::Clock;
use crate::devices::console::Console;
use crate::devices::counter::{self, Counter};
use crate::devices::debug_exit::DebugExit;
use crate::devices::doorbell::{self, Doorbell};
use crate::devices::log::{self, Log};
use crate::devices::open_bus::{OpenBus, Space};
use crate::devices::scratch::{self, Scratch};
use crate::devices::window::Window;
use crate::inspect::dirty_log::DirtyLogView;
use crate::kvm::Vm;
use crate::layout::*;
use crate::lifecycle::Lifecycle;
use crate::machine::sections::{self, SavedDevice};
use crate::memory::GuestMemory;
use crate::output::Output;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The devices that others must reach: the doorbell is wired to them, and statistics count what they have saved.
pub struct Devices {
    vm: Arc<Vm>,
    memory: Arc<GuestMemory>,
    lifecycle: Arc<Lifecycle>,
    output: Arc<Output>,
    no_port: Arc<OpenBus>,
    no_address: Arc<OpenBus>,
    scratch: Arc<Scratch>,
    pub counter: Arc<Counter>,
    pub log: Arc<Log>,
    pub window: Arc<Window>,
}

impl Devices {
    pub fn new(
        config: &Config,
        vm: &Arc<Vm>,
        memory: &Arc<GuestMemory>,
        lifecycle: &Arc<Lifecycle>,
        output: &Arc<Output>,
    ) -> Devices {
        // A kernel probes for many absent devices; there is no warning about them.
        let quiet = config.is_kernel();
        let open_bus = |space| Arc::new(OpenBus::new(space, output.clone(), quiet));
        let (no_port, no_address) = (open_bus(Space::Ports), open_bus(Space::Addresses));
        let window = Arc::new(Window::new(
            vm.clone(),
            memory.clone(),
            no_address.clone(),
            output.clone(),
            quiet,
            config.instruments.dirty_log,
        ));
        Devices {
            vm: vm.clone(),
            memory: memory.clone(),
            lifecycle: lifecycle.clone(),
            output: output.clone(),
            no_port,
            no_address,
            scratch: Arc::new(Scratch::default()),
            counter: Arc::new(Counter::new(vm.clone())),
            log: Arc::new(Log::new(vm.clone())),
            window,
        }
    }

    /// Those that have a state.
    pub fn saved(&self) -> Vec<SavedDevice> {
        Vec::from([
            (sections::SCRATCH, self.scratch.clone() as _),
            (sections::COUNTER, self.counter.clone() as _),
            (sections::LOG, self.log.clone() as _),
            (sections::WINDOW, self.window.clone() as _),
        ])
    }
}

/// Two buses, of ports and of addresses, with these devices.
pub fn buses(
    config: &Config,
    devices: &Devices,
    dirty_log: Option<&Arc<DirtyLogView>>,
) -> (Bus, Bus) {
    let Devices { vm, memory, lifecycle, output, scratch, counter, log, window, .. } = devices;
    let mut ports = Bus::new(devices.no_port.clone());
    let mut addresses = Bus::new(devices.no_address.clone());

    let console = Arc::new(Console::new(output.clone(), config.pause));
    ports.attach(CONSOLE_PORT.into(), 1, console, 0);
    ports.attach(TEST_EXIT.into(), 1, Arc::new(DebugExit(lifecycle.clone())), 0);
    for port in [SCRATCH_PORT, SCRATCH_BYTES_PORT] {
        ports.attach(port.into(), SCRATCH_PORTS.into(), scratch.clone(), scratch::PORTS);
    }
    addresses.attach(LESSON_SCRATCH, 8, scratch.clone(), scratch::ADDRESS);
    addresses.attach(LESSON_TIME, 8, Arc::new(Clock), 0);
    let show_dirty_log = dirty_log
        .cloned()
        .map(|view| -> doorbell::Show { Box::new(move |vcpu| view.show(Some(vcpu))) });
    let doorbell = Arc::new(Doorbell {
        vm: vm.clone(),
        window: window.clone(),
        counter: counter.clone(),
        log: log.clone(),
        scratch: scratch.clone(),
        lifecycle: lifecycle.clone(),
        output: output.clone(),
        show_dirty_log,
    });
    ports.attach(DOORBELL_PORT.into(), 1, doorbell.clone(), doorbell::PORT);
    addresses.attach(LESSON_DOORBELL, 8, doorbell, doorbell::ADDRESS);
    ports.attach(COUNTER_PORT.into(), 1, counter.clone(), counter::COUNT);
    addresses.attach(LESSON_COUNTER, 8, counter.clone(), counter::COUNT);
    addresses.attach(LESSON_ACKNOWLEDGED, 8, counter.clone(), counter::ACKNOWLEDGED);
    ports.attach(LOG_PORT.into(), 1, log.clone(), log::SUM);
    addresses.attach(LESSON_LOGGED, 8, log.clone(), log::LOGGED);
    addresses.attach(LESSON_SUM, 8, log.clone(), log::SUM);
    addresses.attach(LESSON_LOG, LESSON_LOG_SIZE, log.clone(), log::LOG);
    addresses.attach(WINDOW, Window::size(memory), window.clone(), 0);

    (ports, addresses)
}
