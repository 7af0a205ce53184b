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
