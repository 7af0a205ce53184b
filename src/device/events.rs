//! The lessons' counter and log, in two ways each: by an exit for each write, and by what the kernel takes in the guest's
//! stead. [`crate::layout`] says where they are, and which doorbell turns which on.

use crate::error::Error;
use crate::fd::Fd;
use crate::layout::*;
use crate::sys::irqchip::{
    KVM_IOEVENTFD_FLAG_DATAMATCH, KVM_IOEVENTFD_FLAG_PIO, KVM_IRQFD_FLAG_DEASSIGN,
    KVM_IRQFD_FLAG_RESAMPLE, kvm_irq_routing_msi,
};
use crate::vm::Vm;

/// The counter and the log.
#[derive(Default)]
pub struct Events {
    /// Writes to the counter that left.
    pub counted: u64,
    /// Likewise, those that an event has told of.
    pub told: u64,
    /// Writes to the log: all, those that came through the ring, and the sum of what was written.
    pub logged: u64,
    pub ringed: u64,
    pub sum: u64,
    /// Rung by writes to the counter, once it has been made.
    event: Option<Fd>,
    /// Rung by acknowledgements.
    acknowledged: Option<Fd>,
    acknowledgements: u64,
    /// The GSI that the event raises. An event can raise one.
    raises: Option<u32>,
}

impl Events {
    /// A write to the log.
    pub fn log(&mut self, value: u64, ringed: bool) {
        self.logged += 1;
        self.ringed += u64::from(ringed);
        self.sum = self.sum.wrapping_add(value);
    }

    /// What a guest reads of them: the counter, how many writes the log has, their sum, and how often a level was
    /// acknowledged.
    pub fn read(&mut self, place: u64) -> u64 {
        let taken = |event: &Option<Fd>| event.as_ref().map_or(0, Fd::count);
        match place {
            LESSON_COUNTER => {
                self.told += taken(&self.event);
                self.counted + self.told
            }
            LESSON_LOGGED => self.logged,
            LESSON_SUM => self.sum,
            LESSON_ACKNOWLEDGED => {
                self.acknowledgements += taken(&self.acknowledged);
                self.acknowledgements
            }
            _ => u64::MAX,
        }
    }

    /// The doorbell asks for one of the kernel's ways. `scratch` is a message: its address, and its data. `None`: it means
    /// nothing here.
    #[inline(never)]
    pub fn ring(&mut self, value: u32, vm: &Vm, scratch: u64) -> Option<Result<(), Error>> {
        let message = kvm_irq_routing_msi {
            address_lo: scratch as u32,
            data: (scratch >> 32) as u32,
            ..Default::default()
        };
        Some(match value {
            RING_EVENT..=RING_ROUTE => self.bind(value, vm, message),
            RING_COALESCE => vm.coalesce(LESSON_LOG, LESSON_LOG_SIZE as u32, false),
            RING_COALESCE_PORT => vm.coalesce(LOG_PORT.into(), 1, true),
            RING_MSI => vm.send(message),
            _ => return None,
        })
    }

    fn bind(&mut self, value: u32, vm: &Vm, message: kvm_irq_routing_msi) -> Result<(), Error> {
        if self.event.is_none() {
            self.event = Some(Fd::event()?);
            self.acknowledged = Some(Fd::event()?);
        }
        let (Some(event), Some(acknowledged)) = (&self.event, &self.acknowledged) else {
            return Ok(());
        };
        let gsi = match value {
            RING_IRQ => EVENT_LINE,
            RING_IRQ_LEVEL => LEVEL_LINE,
            _ => ROUTED_LINE,
        };
        if value >= RING_IRQ
            && let Some(before) = self.raises.replace(gsi)
        {
            vm.interrupt_by(event, before, KVM_IRQFD_FLAG_DEASSIGN, None)?;
        }
        match value {
            RING_EVENT => vm.tell_by(event, (COUNTER_PORT.into(), 1), 0, KVM_IOEVENTFD_FLAG_PIO),
            RING_EVENT_MATCH => {
                let place = (LESSON_PAGE + LESSON_COUNTER, 4);
                vm.tell_by(event, place, COUNTER_MATCH, KVM_IOEVENTFD_FLAG_DATAMATCH)
            }
            RING_IRQ => vm.interrupt_by(event, gsi, 0, None),
            RING_IRQ_LEVEL => {
                vm.interrupt_by(event, gsi, KVM_IRQFD_FLAG_RESAMPLE, Some(acknowledged))
            }
            _ => {
                vm.set_routing(Some((gsi, message)))?;
                vm.interrupt_by(event, gsi, 0, None)
            }
        }
    }
}
