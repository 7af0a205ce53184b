//! A counter of writes. A write can exit, or the kernel can count it by an eventfd (ioeventfd) without an exit. The eventfd
//! can also raise an interrupt (irqfd), so that a write of one vCPU is an interrupt for another and the program sees
//! neither.

use crate::bus::Device;
use crate::devices::read_register;
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::kvm::{self, Vm};
use crate::layout::*;
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use crate::sys::irqchip::*;
use alloc::sync::Arc;

/// The register that a write counts in; a read gives the count.
pub const COUNT: u64 = 0;
/// How often the guest has acknowledged a level-triggered interrupt of the counter's.
pub const ACKNOWLEDGED: u64 = 8;

/// The counter.
pub struct Counter {
    vm: Arc<Vm>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Writes that exited.
    exited: u64,
    /// Writes that the kernel has counted.
    counted: u64,
    acknowledged: u64,
    /// Made when they are first needed.
    events: Option<Events>,
    /// Whether the kernel counts writes to the port, and to the address.
    counts_by_event: [bool; 2],
    /// What the event raises: it can raise one GSI.
    raises: Option<Raised>,
}

/// How the event is an interrupt.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Raised {
    gsi: u32,
    is_level: bool,
    message: Option<kvm_irq_routing_msi>,
}

struct Events {
    written: Event,
    acknowledged: Event,
}

impl Events {
    fn new() -> Result<Events, CallError> {
        Ok(Events { written: Event::new()?, acknowledged: Event::new()? })
    }
}

impl State {
    /// Takes over what the kernel has counted.
    fn collect(&mut self) {
        if let Some(events) = &self.events {
            self.counted += events.written.take();
            self.acknowledged += events.acknowledged.take();
        }
    }
}

impl Counter {
    pub fn new(vm: Arc<Vm>) -> Counter {
        Counter { vm, state: Mutex::new(State::default()) }
    }

    /// How many writes the kernel has counted without an exit.
    pub fn counted_by_event(&self) -> u64 {
        let mut state = self.state.lock();
        state.collect();
        state.counted
    }

    /// [`RING_EVENT`] and [`RING_EVENT_MATCH`]: from now on the kernel counts.
    pub fn count_by_event(&self, only_match: bool) -> Result<(), kvm::Error> {
        let mut state = self.state.lock();
        let events = events(&mut state)?;
        if only_match {
            let flags = KVM_IOEVENTFD_FLAG_DATAMATCH;
            self.vm.set_ioeventfd(&events.written, LESSON_COUNTER, 4, COUNTER_MATCH, flags)?;
        } else {
            let flags = KVM_IOEVENTFD_FLAG_PIO;
            self.vm.set_ioeventfd(&events.written, COUNTER_PORT.into(), 1, 0, flags)?;
        }
        state.counts_by_event[usize::from(only_match)] = true;
        Ok(())
    }

    /// [`RING_IRQ`], [`RING_IRQ_LEVEL`] and [`RING_ROUTE`]: from now on the event raises this GSI, as an edge, as a level, or
    /// as a message.
    pub fn raise(
        &self,
        gsi: u32,
        is_level: bool,
        message: Option<kvm_irq_routing_msi>,
    ) -> Result<(), kvm::Error> {
        // Held over all calls: no other vCPU changes the wiring between two of them. KVM waits in them for a moment (SRCU).
        let mut state = self.state.lock();
        let before = state.raises.take();
        let events = events(&mut state)?;
        if let Some(before) = before {
            self.vm.set_irqfd(&events.written, before.gsi, KVM_IRQFD_FLAG_DEASSIGN, None)?;
        }
        if let Some(message) = message {
            self.vm.route_messages([(gsi, Some(message))].into_iter())?;
        }
        if is_level {
            let acknowledged = Some(&events.acknowledged);
            self.vm.set_irqfd(&events.written, gsi, KVM_IRQFD_FLAG_RESAMPLE, acknowledged)?;
        } else {
            self.vm.set_irqfd(&events.written, gsi, 0, None)?;
        }
        state.raises = Some(Raised { gsi, is_level, message });
        Ok(())
    }
}

/// Restored, KVM is asked to count and to raise interrupts again.
impl Saved for Counter {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.collect();
        visit!(fields; state.exited, state.counted, state.acknowledged);
        let (mut counts, raises) = (state.counts_by_event, state.raises);
        drop(guard);
        let mut is_raising = raises.is_some();
        let none = Raised { gsi: 0, is_level: false, message: None };
        let Raised { mut gsi, mut is_level, message } = raises.unwrap_or(none);
        let mut has_message = message.is_some();
        let mut message = message.unwrap_or_default();
        let [by_port, by_address] = &mut counts;
        visit!(fields; *by_port, *by_address, is_raising, gsi, is_level, has_message);
        visit!(fields; message.address_lo, message.address_hi, message.data);
        if !fields.is_restoring() {
            return Ok(());
        }
        fields.check(gsi <= ROUTED_LINE, "there is no such interrupt line")?;
        let refused = |_| Invalid("KVM refuses its events");
        for only_match in [false, true] {
            if counts[usize::from(only_match)] {
                self.count_by_event(only_match).map_err(refused)?;
            }
        }
        if is_raising {
            self.raise(gsi, is_level, has_message.then_some(message)).map_err(refused)?;
        }
        Ok(())
    }
}

fn events(state: &mut State) -> Result<&Events, kvm::Error> {
    if state.events.is_none() {
        state.events = Some(Events::new().map_err(kvm::Error::Event)?);
    }
    Ok(state.events.as_ref().expect("made above"))
}

impl Device for Counter {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "counter"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let mut state = self.state.lock();
        state.collect();
        match offset {
            COUNT => read_register(state.exited + state.counted, 0, data),
            ACKNOWLEDGED => read_register(state.acknowledged, 0, data),
            _ => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, _: &[u8], _: &Arc<VcpuControl>) {
        if offset == COUNT {
            self.state.lock().exited += 1;
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    fn read(counter: &Counter, register: u64) -> u64 {
        let mut data = [0; 8];
        counter.read(register, &mut data);
        u64::from_le_bytes(data)
    }

    #[test]
    fn a_write_that_exits_counts_whatever_it_writes() {
        let counter = Counter::new(Arc::new(Vm::without_kvm().unwrap()));
        for (register, data) in [(COUNT, &[0][..]), (COUNT, &[1; 4]), (ACKNOWLEDGED, &[1])] {
            counter.write(register, data, &vcpu());
        }
        assert_eq!([COUNT, ACKNOWLEDGED, 16].map(|at| read(&counter, at)), [2, 0, u64::MAX]);
        assert_eq!(counter.counted_by_event(), 0);
    }

    #[test]
    fn what_the_kernel_has_counted_is_added() {
        let counter = Counter::new(Arc::new(Vm::without_kvm().unwrap()));
        counter.write(COUNT, &[1], &vcpu());
        {
            // KVM does this at an ioeventfd, and at an end of interrupt.
            let mut state = counter.state.lock();
            let events = events(&mut state).unwrap();
            (0..3).for_each(|_| events.written.signal());
            events.acknowledged.signal();
        }
        assert_eq!([COUNT, ACKNOWLEDGED].map(|at| read(&counter, at)), [4, 1]);
        assert_eq!((read(&counter, COUNT), counter.counted_by_event()), (4, 3), "counted once");
    }

    #[test]
    fn what_kvm_refuses_leaves_no_interrupt_behind() {
        let counter = Counter::new(Arc::new(Vm::without_kvm().unwrap()));
        assert!(counter.count_by_event(false).is_err() && counter.count_by_event(true).is_err());
        for message in [None, Some(Default::default())] {
            assert!(counter.raise(EVENT_LINE, false, message).is_err());
            assert_eq!(counter.state.lock().raises, None);
        }
        counter.write(COUNT, &[1], &vcpu());
        assert_eq!(read(&counter, COUNT), 1);
    }
}
