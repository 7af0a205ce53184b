//! Interrupt controllers that are the program's own: how interrupt lines lead to them, and how the 8259s' interrupts get to
//! the boot processor. By default all of this is KVM's.

use crate::devices::io_apic::IoApic;
use crate::devices::pic::Pic;
use crate::kvm::interrupt_line::InterruptControllers;
use crate::kvm::vcpu_state::VcpuState;
use crate::kvm::{Error, Vcpu};
use crate::layout::{IO_APIC_TIMER_PIN, TIMER_LINE};
use crate::lifecycle::{Activity, Stopped, VcpuControl};
use crate::show::number;
use crate::x86::{LVT_LINT0, RFLAGS_IF};
use alloc::sync::Arc;

/// The controllers.
pub struct Controllers {
    pub pic: Arc<Pic>,
    /// There is one only where there are local APICs.
    pub io_apic: Option<Arc<IoApic>>,
}

impl InterruptControllers for Controllers {
    /// As [`crate::kvm::routing::Routing::pc`] has it.
    fn set_line(&self, gsi: u32, active: bool) {
        const CASCADE: u32 = 2;
        if gsi == CASCADE {
            return;
        }
        if gsi < 16 {
            self.pic.set_line(gsi, active);
        }
        if let Some(io_apic) = &self.io_apic {
            let pin = if gsi == TIMER_LINE { IO_APIC_TIMER_PIN } else { gsi };
            io_apic.set_line(pin, active);
        }
    }
}

impl Controllers {
    /// Answers HLT, which exits where the local APIC is not in the kernel: blocks the vCPU's thread until the 8259s have an
    /// interrupt. Where RFLAGS.IF is clear, `takes_interrupts` is false and none can come.
    pub fn wait_for_interrupt(
        &self,
        vcpu: &VcpuControl,
        takes_interrupts: bool,
    ) -> Result<(), Stopped> {
        let activity = match takes_interrupts {
            true => Activity::WaitsForInterrupt,
            false => Activity::NeedsOtherVcpu,
        };
        while !takes_interrupts || !self.pic.asks() {
            vcpu.wait_until_woken_or_asked()?;
            if vcpu.is_asked() {
                vcpu.answer(activity);
            }
        }
        Ok(())
    }
}

/// The boot processor's interrupt pin. A processor acknowledges an interrupt when it takes it, and gets the vector then. So
/// the vector is asked for as late as possible: when KVM says that the guest would take an interrupt.
pub struct InterruptPin {
    controllers: Arc<Controllers>,
    /// The vector that KVM was given last, if the guest may not have taken it yet.
    given: Option<u8>,
}

impl InterruptPin {
    pub fn new(controllers: Arc<Controllers>) -> InterruptPin {
        InterruptPin { controllers, given: None }
    }

    /// Before the guest is entered: gives it an interrupt if it would take one. If it would not, `KVM_RUN` returns when it would.
    /// (A vector that it has been given and has not taken yet keeps it from being ready.)
    pub fn update(&mut self, vcpu: &mut Vcpu) -> Result<(), Error> {
        // KVM would not look at `KVM_GUESTDBG_BLOCKIRQ`: a vector that it has been given is on its way already.
        if vcpu.blocks_interrupts() {
            vcpu.page_mut().request_interrupt_window(false);
            return Ok(());
        }
        let pic = self.controllers.pic.clone();
        if vcpu.page().is_ready_for_interrupt() {
            self.given = None;
            if pic.asks() {
                self.give(vcpu, pic.acknowledge())?;
            }
        }
        vcpu.page_mut().request_interrupt_window(pic.asks());
        Ok(())
    }

    /// Gives the guest a vector.
    pub fn give(&mut self, vcpu: &Vcpu, vector: u8) -> Result<(), Error> {
        vcpu.interrupt(vector)?;
        self.given = Some(vector);
        Ok(())
    }

    /// A vector that KVM has and that no request shows: with a local APIC in the kernel it is not among what is under way until KVM
    /// has entered the guest. But KVM says then that the guest would not take an interrupt, and nothing else keeps it from that.
    pub fn hidden_vector(&self, vcpu: &Vcpu, state: &VcpuState) -> Option<u8> {
        const EXTINT: u64 = 7 << 8;
        const MASKED_AND_DELIVERY: u64 = 1 << 16 | 7 << 8;
        let lint0 = number(&state.lapic?.regs[LVT_LINT0..LVT_LINT0 + 4]);
        let events = &state.events;
        let is_busy = events.exception.injected
            | events.exception.pending
            | events.interrupt.injected
            | events.interrupt.shadow
            | events.nmi.injected
            | events.nmi.pending;
        let would_take_one = state.regs.rflags & RFLAGS_IF != 0
            && lint0 & MASKED_AND_DELIVERY == EXTINT
            && is_busy == 0;
        self.given.filter(|_| would_take_one && !vcpu.page().is_ready_for_interrupt())
    }
}
