//! The doorbell: a value that is written asks for something, [`crate::layout`] says what. A read of its port gives the
//! time.

use crate::bus::Device;
use crate::devices::clock::Clock;
use crate::devices::counter::Counter;
use crate::devices::log::Log;
use crate::devices::scratch::Scratch;
use crate::devices::window::Window;
use crate::kvm::{self, Vm};
use crate::layout::*;
use crate::lifecycle::{End, Lifecycle, VcpuControl};
use crate::output::Output;
use crate::show::number;
use crate::sys::irqchip::kvm_irq_routing_msi;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// The register at the port, where the time can be read.
pub const PORT: u64 = 0;
/// The register in the lessons' page.
pub const ADDRESS: u64 = 8;

/// What the doorbell is wired to.
pub struct Doorbell {
    pub vm: Arc<Vm>,
    pub window: Arc<Window>,
    pub counter: Arc<Counter>,
    pub log: Arc<Log>,
    pub scratch: Arc<Scratch>,
    pub lifecycle: Arc<Lifecycle>,
    pub output: Arc<Output>,
    /// With `--dirty-log`: [`RING_DIRTY`].
    pub show_dirty_log: Option<Show>,
}

/// Shows the dirty log, on behalf of a vCPU.
pub type Show = Box<dyn Fn(&Arc<VcpuControl>) -> Result<(), kvm::Error> + Send + Sync>;

impl Doorbell {
    fn handle_value(&self, value: u32, vcpu: &Arc<VcpuControl>) -> Result<(), kvm::Error> {
        match value {
            RING_CLOSE => self.window.close()?,
            RING_OPEN => self.window.open()?,
            RING_OPEN_READONLY => self.window.open_readonly()?,
            RING_DIRTY => match &self.show_dirty_log {
                Some(show) => show(vcpu)?,
                None => {
                    let text = format_args!("doorbell: there is no dirty log without --dirty-log");
                    self.output.message(text, Some(vcpu));
                }
            },
            RING_END => self.lifecycle.end(End::Done, Some(vcpu.number())),
            RING_EVENT => self.counter.count_by_event(false)?,
            RING_EVENT_MATCH => self.counter.count_by_event(true)?,
            RING_IRQ => self.counter.raise(EVENT_LINE, false, None)?,
            RING_IRQ_LEVEL => self.counter.raise(LEVEL_LINE, true, None)?,
            RING_ROUTE => self.counter.raise(ROUTED_LINE, false, Some(self.message()))?,
            RING_COALESCE => self.log.coalesce(false)?,
            RING_COALESCE_PORT => self.log.coalesce(true)?,
            RING_SAVE => self.lifecycle.stop_to_save(),
            RING_MSI => self.vm.signal_msi(self.message()).map(drop)?,
            _ => {
                self.output.message(format_args!("doorbell: {value} means nothing"), Some(vcpu));
            }
        }
        Ok(())
    }

    /// The interrupt message in the scratch register: address and data.
    fn message(&self) -> kvm_irq_routing_msi {
        let scratch = self.scratch.value();
        let (address_lo, data) = (scratch as u32, (scratch >> 32) as u32);
        kvm_irq_routing_msi { address_lo, data, ..Default::default() }
    }
}

impl Device for Doorbell {
    fn name(&self, offset: u64, is_write: bool) -> &'static str {
        match (offset, is_write) {
            (PORT, false) => "time",
            _ => "doorbell",
        }
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        match offset {
            PORT => Clock::read_time(0, data),
            _ => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        if offset != PORT && offset != ADDRESS {
            return;
        }
        let value = number(data) as u32;
        // KVM refuses a binding that exists already (EEXIST), or what needs the board. The guest may go on.
        if let Err(error) = self.handle_value(value, vcpu) {
            let name = ring_name(value).unwrap_or("?");
            self.output.message(format_args!("doorbell {value} ({name}): {error}"), Some(vcpu));
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::config::Backing;
    use crate::devices::open_bus::{OpenBus, Space};
    use crate::devices::tests::{output, vcpu};
    use crate::host::event::Event;
    use crate::memory::GuestMemory;
    use std::io::Read;

    /// A doorbell whose VM refuses everything. What it says comes out of the pipe.
    fn doorbell(show_dirty_log: Option<Show>) -> (Doorbell, impl Read) {
        let (output, said) = output();
        let memory = Arc::new(GuestMemory::map(Backing::Anonymous, &[(0, 0x1000)]).unwrap());
        let vm = Arc::new(Vm::without_kvm().unwrap().with_memory(memory.clone()));
        let open_bus = Arc::new(OpenBus::new(Space::Addresses, output.clone(), true));
        let window = Window::new(vm.clone(), memory, open_bus, output.clone(), true, false);
        let doorbell = Doorbell {
            window: Arc::new(window),
            counter: Arc::new(Counter::new(vm.clone())),
            log: Arc::new(Log::new(vm.clone())),
            scratch: Arc::default(),
            lifecycle: Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap()))),
            output,
            show_dirty_log,
            vm,
        };
        (doorbell, said)
    }

    /// What is said when these values are written.
    fn said(doorbell: &Doorbell, mut from: impl Read, values: &[u32]) -> String {
        for value in values {
            doorbell.write(PORT, &value.to_le_bytes(), &vcpu());
        }
        // So that there is something to read.
        doorbell.output.message(format_args!("end"), None);
        let mut bytes = [0; 4096];
        let len = from.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    #[test]
    fn a_read_of_the_port_gives_the_time_and_other_registers_ones() {
        let (doorbell, from) = doorbell(None);
        let time = || {
            let mut data = [0; 8];
            doorbell.read(PORT, &mut data);
            u64::from_le_bytes(data)
        };
        assert!(time() <= time() && time() != u64::MAX);
        let mut data = [0; 8];
        doorbell.read(ADDRESS, &mut data);
        assert_eq!(data, [0xff; 8]);
        doorbell.write(16, &[99], &vcpu());
        assert_eq!(said(&doorbell, from, &[]), "kob: end\n", "there is no such register");
    }

    #[test]
    fn the_guest_s_end_is_the_run_s() {
        let (doorbell, from) = doorbell(None);
        doorbell.write(ADDRESS, &RING_END.to_le_bytes(), &vcpu());
        assert_eq!(doorbell.lifecycle.how(), Some((End::Done, Some(0))));
        assert_eq!(said(&doorbell, from, &[]), "kob: end\n");
    }

    #[test]
    fn a_value_without_a_meaning_and_what_kvm_refuses_are_messages_and_the_guest_goes_on() {
        let (doorbell, from) = doorbell(None);
        let said = said(&doorbell, from, &[99, RING_OPEN, RING_MSI, RING_DIRTY, RING_EVENT]);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 6, "{said}");
        assert_eq!(lines[0], "kob: doorbell: 99 means nothing");
        assert!(lines[1].starts_with("kob: doorbell 1 (RING_OPEN): KVM_SET_USER_MEMORY_REGION"));
        assert!(lines[2].starts_with("kob: doorbell 12 (RING_MSI): KVM_SIGNAL_MSI"));
        assert_eq!(lines[3], "kob: doorbell: there is no dirty log without --dirty-log");
        assert!(lines[4].starts_with("kob: doorbell 5 (RING_EVENT): KVM_IOEVENTFD"), "{said}");
        assert_eq!(doorbell.lifecycle.how(), None);
    }

    #[test]
    fn a_message_s_address_and_data_are_in_the_scratch_register() {
        let (doorbell, _) = doorbell(None);
        doorbell.scratch.write(0, &0x0000_4055_fee0_1000u64.to_le_bytes(), &vcpu());
        let message = doorbell.message();
        assert_eq!(
            (message.address_lo, message.address_hi, message.data),
            (0xfee0_1000, 0, 0x4055)
        );
    }

    #[test]
    fn the_dirty_log_is_shown_where_there_is_one() {
        let shown = Arc::new(core::sync::atomic::AtomicU32::new(0));
        let seen = shown.clone();
        let show: Show = Box::new(move |vcpu| {
            seen.store(vcpu.number() + 1, core::sync::atomic::Ordering::Relaxed);
            Ok(())
        });
        let (doorbell, from) = doorbell(Some(show));
        assert_eq!(said(&doorbell, from, &[RING_DIRTY]), "kob: end\n");
        assert_eq!(shown.load(core::sync::atomic::Ordering::Relaxed), 1);
    }
}
