//! The board: the devices of a PC, and where they are.

use crate::bus::Bus;
use crate::config::{Config, Irqchip, PitPlace};
use crate::devices::Timed;
use crate::devices::acpi_pm::AcpiPm;
use crate::devices::fw_cfg::FwCfg;
use crate::devices::hpet::Hpet;
use crate::devices::io_apic::IoApic;
use crate::devices::page_drop::PageDrop;
use crate::devices::pci::{HostBridge, PciBus, PciEcam, PciPorts, PciWindow};
use crate::devices::pci_function::PciFunction;
use crate::devices::pci_testdev::PciTestDevice;
use crate::devices::pic::{self, Pic};
use crate::devices::pit::{self, IntervalTimer, Pit};
use crate::devices::reset::{self, Reset};
use crate::devices::rtc::{self, Rtc};
use crate::devices::serial::Serial;
use crate::devices::test_lines::TestLines;
use crate::devices::test_memory::TestMemory;
use crate::host::event::Event;
use crate::host::syscall::CallError;
use crate::kvm::Vm;
use crate::kvm::interrupt_line::{InterruptLine, InterruptLines};
use crate::layout::*;
use crate::lifecycle::Lifecycle;
use crate::machine::controllers::Controllers;
use crate::machine::sections::{self, SavedDevice};
use crate::memory::GuestMemory;
use crate::output::Output;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What the board's devices act on.
pub struct Handles<'a> {
    pub vm: &'a Arc<Vm>,
    pub memory: &'a Arc<GuestMemory>,
    pub lifecycle: &'a Arc<Lifecycle>,
    pub output: &'a Arc<Output>,
    /// Wakes the event loop.
    pub attention: &'a Arc<Event>,
}

/// With what the devices start.
pub struct BoardStart {
    pub pit: PitPlace,
    pub fw_cfg: Arc<FwCfg>,
    /// What the clock's battery has kept.
    pub clock: rtc::Kept,
    /// ACPI's status after sleep, or 0.
    pub wake_status: u16,
}

/// The devices that others must reach.
pub struct Board {
    pub serial: Arc<Serial>,
    pub pm: Arc<AcpiPm>,
    pub rtc: Arc<Rtc>,
    pub fw_cfg: Arc<FwCfg>,
    /// Where they are not KVM's.
    pub controllers: Option<Arc<Controllers>>,
    /// KVM has local APICs for its processors.
    pub has_lapics: bool,
    lines: Arc<InterruptLines>,
    pit: IntervalTimer,
    hpet: Option<Arc<Hpet>>,
    pci: Arc<PciBus>,
}

/// The interrupt controllers that are not KVM's.
fn own_controllers(
    config: &Config,
    vm: &Arc<Vm>,
    lifecycle: &Arc<Lifecycle>,
) -> Option<Arc<Controllers>> {
    if config.irqchip() == Irqchip::Full {
        return None;
    }
    let io_apic = config.has_lapic().then(|| Arc::new(IoApic::new(vm.clone())));
    Some(Arc::new(Controllers { pic: Arc::new(Pic::new(lifecycle.clone())), io_apic }))
}

impl Board {
    /// The devices after a reset.
    pub fn new(config: &Config, handles: &Handles, start: BoardStart) -> Result<Board, CallError> {
        let BoardStart { pit, fw_cfg, clock, wake_status } = start;
        let Handles { vm, lifecycle, output, attention, .. } = *handles;
        let controllers = own_controllers(config, vm, lifecycle);
        let lines = Arc::new(InterruptLines::new(match &controllers {
            Some(controllers) => controllers.clone(),
            None => vm.clone(),
        }));
        let line = |gsi| InterruptLine::new(lines.clone(), gsi);
        let pit = match pit {
            PitPlace::Absent => IntervalTimer::None,
            PitPlace::Kernel => IntervalTimer::Kvm(vm.clone()),
            PitPlace::Program => IntervalTimer::Ours(Arc::new(Pit::new(line(TIMER_LINE))?)),
        };
        let serial = Serial::new(line(SERIAL_LINE), output.clone(), attention.clone());
        let pm = Arc::new(AcpiPm::new(line(ACPI_LINE), lifecycle.clone(), wake_status)?);
        let rtc = Arc::new(Rtc::new(clock, line(RTC_LINE), pm.clone())?);
        let hpet = match config.hpet {
            true => Some(Arc::new(Hpet::new(&lines, pit.clone(), rtc.clone())?)),
            false => None,
        };
        // Their device numbers are 0, 1, …: the ACPI tables have interrupts for as many.
        let functions: [Arc<dyn PciFunction>; PCI_DEVICES as usize] =
            [Arc::new(HostBridge::new()), Arc::new(PciTestDevice::new(Some(vm.clone()))?)];
        let bus = PciBus::new(functions.into());
        let has_lapics = config.has_lapic_in_kernel();
        let (serial, pci) = (Arc::new(serial), Arc::new(bus));
        Ok(Board { serial, pm, rtc, fw_cfg, controllers, has_lapics, lines, pit, hpet, pci })
    }

    /// The devices for whose timers the event loop waits.
    pub fn timed(&self) -> Vec<Arc<dyn Timed>> {
        let mut timed: Vec<Arc<dyn Timed>> =
            Vec::from([self.pm.clone() as _, self.rtc.clone() as _]);
        timed.extend(self.hpet.iter().map(|hpet| hpet.clone() as _));
        if let IntervalTimer::Ours(pit) = &self.pit {
            timed.push(pit.clone());
        }
        timed
    }

    /// The I/O APIC, where it is not KVM's.
    pub fn own_io_apic(&self) -> Option<&IoApic> {
        self.controllers.as_ref()?.io_apic.as_deref()
    }

    /// Where the interval timer is.
    pub fn pit_place(&self) -> PitPlace {
        match self.pit {
            IntervalTimer::None => PitPlace::Absent,
            IntervalTimer::Kvm(_) => PitPlace::Kernel,
            IntervalTimer::Ours(_) => PitPlace::Program,
        }
    }

    /// Attaches all devices to the two buses. Returns those that have a state.
    pub fn attach(
        &self,
        ports: &mut Bus,
        addresses: &mut Bus,
        handles: &Handles,
    ) -> Vec<SavedDevice> {
        let Handles { memory, lifecycle, output, .. } = *handles;
        self.attach_controllers(ports, addresses);
        ports.attach(SERIAL_PORT.into(), SERIAL_PORTS.into(), self.serial.clone(), 0);
        ports.attach(RTC_PORT.into(), RTC_PORTS.into(), self.rtc.clone(), 0);
        ports.attach(PM1_EVENT.into(), PM_PORTS.into(), self.pm.clone(), 0);
        ports.attach(FW_CFG.into(), FW_CFG_PORTS.into(), self.fw_cfg.clone(), 0);
        if let Some(hpet) = &self.hpet {
            addresses.attach(HPET, HPET_SIZE, hpet.clone(), 0);
        }
        let configuration = self.attach_pci(ports, addresses);

        let reset = Arc::new(Reset::new(lifecycle.clone()));
        ports.attach(RESET_CONTROL.into(), 1, reset.clone(), reset::RESET_CONTROL);
        ports.attach(SYSTEM_CONTROL.into(), 1, reset.clone(), reset::SYSTEM_CONTROL);
        ports.attach(KEYBOARD_COMMAND.into(), 1, reset.clone(), reset::KEYBOARD_COMMAND);

        let drop = PageDrop::new(memory.clone(), lifecycle.clone(), output.clone());
        ports.attach(TEST_DROP.into(), 1, Arc::new(drop), 0);
        let lines = Arc::new(TestLines::new(&self.lines));
        ports.attach(TEST_LINES.into(), IO_APIC_LINES.into(), lines.clone(), 0);
        let test_memory = Arc::new(TestMemory::default());
        addresses.attach(TEST_MEMORY, TEST_MEMORY_SIZE, test_memory.clone(), 0);

        let mut saved = self.saved();
        saved.extend([
            (sections::PCI_PORTS, configuration as _),
            (sections::RESET, reset as _),
            (sections::TEST_LINES, lines as _),
            (sections::TEST_MEMORY, test_memory as _),
        ] as [SavedDevice; 4]);
        saved
    }

    /// Those of its own devices that have a state. KVM's are saved with the VM.
    fn saved(&self) -> Vec<SavedDevice> {
        let mut saved: Vec<SavedDevice> = Vec::from([
            (sections::SERIAL, self.serial.clone() as _),
            (sections::POWER, self.pm.clone() as _),
            (sections::CLOCK, self.rtc.clone() as _),
            (sections::FW_CFG, self.fw_cfg.clone() as _),
            (sections::PCI, self.pci.clone() as _),
        ]);
        if let Some(hpet) = &self.hpet {
            saved.push((sections::HPET, hpet.clone()));
        }
        if let IntervalTimer::Ours(pit) = &self.pit {
            saved.push((sections::PIT, pit.clone()));
        }
        if let Some(Controllers { pic, io_apic }) = self.controllers.as_deref() {
            saved.push((sections::PIC, pic.clone()));
            if let Some(io_apic) = io_apic {
                saved.push((sections::IO_APIC, io_apic.clone()));
            }
        }
        saved
    }

    /// KVM answers for its own.
    fn attach_controllers(&self, ports: &mut Bus, addresses: &mut Bus) {
        if let Some(Controllers { pic, io_apic }) = self.controllers.as_deref() {
            for (port, register) in [
                (PIC, pic::COMMAND),
                (SECOND_PIC, pic::SECOND_COMMAND),
                (PIC_TRIGGER, pic::TRIGGER),
            ] {
                ports.attach(port.into(), 2, pic.clone(), register);
            }
            if let Some(io_apic) = io_apic {
                addresses.attach(IO_APIC, IO_APIC_SIZE, io_apic.clone(), 0);
            }
        }
        if let IntervalTimer::Ours(pit) = &self.pit {
            ports.attach(PIT.into(), PIT_PORTS.into(), pit.clone(), 0);
            ports.attach(SPEAKER_PORT.into(), 1, pit.clone(), pit::SPEAKER);
        }
    }

    fn attach_pci(&self, ports: &mut Bus, addresses: &mut Bus) -> Arc<PciPorts> {
        // The reset register lies among the ports.
        let configuration = Arc::new(PciPorts::new(self.pci.clone()));
        let before = (RESET_CONTROL - PCI_CONFIG).into();
        ports.attach(PCI_CONFIG.into(), before, configuration.clone(), 0);
        let behind = RESET_CONTROL + 1;
        let (size, offset) = (PCI_CONFIG_END - behind, behind - PCI_CONFIG);
        ports.attach(behind.into(), size.into(), configuration.clone(), offset.into());
        addresses.attach(PCI_ECAM, PCI_ECAM_SIZE, Arc::new(PciEcam(self.pci.clone())), 0);

        // Offsets in the windows are ports and addresses.
        let window = |has_ports| Arc::new(PciWindow { bus: self.pci.clone(), has_ports });
        ports.attach(PCI_PORTS.into(), PCI_PORTS_SIZE.into(), window(true), PCI_PORTS.into());
        addresses.attach(PCI_MEMORY, PCI_MEMORY_SIZE, window(false), PCI_MEMORY);
        configuration
    }
}

#[cfg(all(test, not(miri)))]
#[path = "board_tests.rs"]
mod tests;
