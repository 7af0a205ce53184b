//! Interrupt routing: how interrupt lines lead to the interrupt controllers.

use crate::layout::{IO_APIC_LINES, IO_APIC_TIMER_PIN, TIMER_LINE};
use crate::sys::irqchip::*;

/// The table of `KVM_SET_GSI_ROUTING`: a header, and `nr` entries.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Routing {
    header: kvm_irq_routing,
    entries: [kvm_irq_routing_entry; ROUTES],
}

/// The lines of the two 8259, those of the I/O APIC, and one message.
const ROUTES: usize = 16 + IO_APIC_LINES as usize + 1;

const NOTHING: kvm_irq_routing_entry = kvm_irq_routing_entry {
    gsi: 0,
    r#type: 0,
    flags: 0,
    pad: 0,
    u: kvm_irq_routing_entry_u { pad: [0; 8] },
};

impl Routing {
    /// No GSI leads anywhere.
    pub fn none() -> Routing {
        Routing { header: kvm_irq_routing::default(), entries: [NOTHING; ROUTES] }
    }

    /// As a PC is wired. GSI 0 to 15 are pins of the 8259s, and all GSIs are pins of the I/O APIC with the same number, with
    /// two exceptions: the timer, GSI 0, is pin 2 of the I/O APIC; and GSI 2 leads nowhere, since that line connects the second
    /// 8259 to the first.
    pub fn pc() -> Routing {
        let mut routing = Routing::none();
        for gsi in 0..IO_APIC_LINES {
            match gsi {
                2 | 16.. => {}
                0..8 => routing.add_pin(gsi, KVM_IRQCHIP_PIC_MASTER, gsi),
                _ => routing.add_pin(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - 8),
            }
            match gsi {
                2 => {}
                TIMER_LINE => routing.add_pin(gsi, KVM_IRQCHIP_IOAPIC, IO_APIC_TIMER_PIN),
                _ => routing.add_pin(gsi, KVM_IRQCHIP_IOAPIC, gsi),
            }
        }
        routing
    }

    /// From now on this GSI sends a message, and nothing else; or leads nowhere.
    pub fn set_message(&mut self, gsi: u32, message: Option<kvm_irq_routing_msi>) {
        let mut kept = Routing::none();
        for entry in &self.entries[..self.header.nr as usize] {
            if entry.gsi != gsi {
                kept.push(*entry);
            }
        }
        if let Some(msi) = message {
            kept.add(gsi, KVM_IRQ_ROUTING_MSI, kvm_irq_routing_entry_u { msi });
        }
        *self = kept;
    }

    fn add_pin(&mut self, gsi: u32, irqchip: u32, pin: u32) {
        let irqchip = kvm_irq_routing_irqchip { irqchip, pin };
        self.add(gsi, KVM_IRQ_ROUTING_IRQCHIP, kvm_irq_routing_entry_u { irqchip });
    }

    fn add(&mut self, gsi: u32, r#type: u32, u: kvm_irq_routing_entry_u) {
        self.push(kvm_irq_routing_entry { gsi, r#type, flags: 0, pad: 0, u });
    }

    fn push(&mut self, entry: kvm_irq_routing_entry) {
        self.entries[self.header.nr as usize] = entry;
        self.header.nr += 1;
    }

    /// How many entries there are.
    pub fn count(&self) -> u32 {
        self.header.nr
    }
}
