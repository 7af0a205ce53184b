//! ACPI's fixed hardware: the events and the control register of power management (PM1a), and the power management timer.
//! ACPI 6.4, 4.8.3.
//!
//! An event has a status bit, which the hardware sets and the guest clears by writing 1, and an enable bit. Where both are
//! set, the system control interrupt (SCI) is active. Three fixed events exist here: the timer's highest bit has changed, the power
//! button was pressed, and the real-time clock's alarm has come. The last two wake a machine that sleeps.

use crate::bus::Device;
use crate::devices::Timed;
use crate::host::clock::{self, NANOSECONDS};
use crate::host::mutex::{Guard, Mutex};
use crate::host::syscall::CallError;
use crate::host::timer::Timer;
use crate::kvm::interrupt_line::InterruptLine;
use crate::layout::{SLEEP_OFF, SLEEP_TO_RAM};
use crate::lifecycle::{End, Lifecycle, Stop, VcpuControl};
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;

// The registers: two bytes of status, of what is enabled, and of control; then, behind a gap, the timer's four.
const STATUS: usize = 0;
const ENABLE: usize = 2;
const CONTROL: usize = 4;
/// General-purpose events, 4.8.4.1: a byte of status, and one of what is enabled. They lie in the gap behind control.
const GPE_STATUS: usize = 6;
const GPE_ENABLE: usize = 7;
const TIMER: usize = 8;
const END: usize = 12;

// Events, in status and enable: 4.8.3.1.
const TMR: u16 = 1 << 0;
const PWRBTN: u16 = 1 << 8;
const RTC: u16 = 1 << 10;
/// In the status alone: the machine has slept.
const WAK: u16 = 1 << 15;
/// Those that can interrupt.
const EVENTS: u16 = TMR | PWRBTN | RTC;

/// The general-purpose event that says that the machine was restored: `devices/vm_generation.rs`.
pub const GENERATION_EVENT: u8 = 0;
const GPE_EVENTS: u8 = 1 << GENERATION_EVENT;

// Control: 4.8.3.2.1.
/// Events interrupt by the SCI. Always set: there is no other mode.
const SCI_EN: u16 = 1 << 0;
const SLP_TYP_SHIFT: u16 = 10;
const SLP_TYP_MASK: u16 = 7;
/// Reads as 0.
const SLP_EN: u16 = 1 << 13;

/// The timer's rate: 4.8.3.3.
const HERTZ: u64 = 3_579_545;
/// The timer's event: this bit has changed.
const HIGHEST_BIT: u32 = 31;

/// What the machine does after a write or an event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Nothing,
    Off,
    Sleep,
    WakeUp,
}

/// The registers.
struct Registers {
    status: u16,
    enable: u16,
    control: u16,
    /// General-purpose events: those that have come, and those that interrupt.
    gpe_status: u8,
    gpe_enable: u8,
    is_asleep: bool,
    /// When the timer was 0.
    started: u64,
    /// How often the highest bit had changed when that was last looked at.
    changes_seen: u64,
}

impl Registers {
    fn new(status: u16, now: u64) -> Registers {
        Registers {
            status,
            enable: 0,
            control: 0,
            gpe_status: 0,
            gpe_enable: 0,
            is_asleep: false,
            started: now,
            changes_seen: 0,
        }
    }

    /// How far the timer has counted. The register has the lower 32 bits.
    fn count(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.started);
        passed / NANOSECONDS * HERTZ + passed % NANOSECONDS * HERTZ / NANOSECONDS
    }

    /// When the timer's highest bit changes next.
    fn next_change(&self) -> u64 {
        let count = (self.changes_seen + 1) << HIGHEST_BIT;
        let passed = count / HERTZ * NANOSECONDS + (count % HERTZ * NANOSECONDS).div_ceil(HERTZ);
        self.started + passed
    }

    /// Sets the timer's event if its highest bit has changed.
    fn advance(&mut self, now: u64) {
        let changes = self.count(now) >> HIGHEST_BIT;
        if changes != core::mem::replace(&mut self.changes_seen, changes) {
            self.status |= TMR;
        }
    }

    /// When the timer has to interrupt.
    fn deadline(&self) -> Option<u64> {
        (self.enable & !self.status & TMR != 0).then(|| self.next_change())
    }

    fn interrupt(&self) -> bool {
        self.status & self.enable & EVENTS != 0 || self.gpe_status & self.gpe_enable != 0
    }

    fn bytes(&self, now: u64) -> [u8; END] {
        let mut bytes = [0xff; END];
        bytes[STATUS..ENABLE].copy_from_slice(&self.status.to_le_bytes());
        bytes[ENABLE..CONTROL].copy_from_slice(&self.enable.to_le_bytes());
        bytes[CONTROL..CONTROL + 2].copy_from_slice(&(self.control | SCI_EN).to_le_bytes());
        (bytes[GPE_STATUS], bytes[GPE_ENABLE]) = (self.gpe_status, self.gpe_enable);
        bytes[TIMER..].copy_from_slice(&(self.count(now) as u32).to_le_bytes());
        bytes
    }

    fn write(&mut self, offset: usize, data: &[u8]) -> Then {
        let mut cleared = [0; 2];
        for (&byte, at) in data.iter().zip(offset..) {
            match at {
                STATUS..ENABLE => cleared[at - STATUS] = byte,
                ENABLE..CONTROL => set_byte(&mut self.enable, at - ENABLE, byte),
                CONTROL..GPE_STATUS => set_byte(&mut self.control, at - CONTROL, byte),
                GPE_STATUS => self.gpe_status &= !byte,
                GPE_ENABLE => self.gpe_enable = byte & GPE_EVENTS,
                _ => {}
            }
        }
        self.status &= !u16::from_le_bytes(cleared);
        if self.control & SLP_EN == 0 {
            return Then::Nothing;
        }
        self.control &= !SLP_EN;
        match self.control >> SLP_TYP_SHIFT & SLP_TYP_MASK {
            SLEEP_OFF => Then::Off,
            SLEEP_TO_RAM => self.fall_asleep(),
            _ => Then::Nothing,
        }
    }

    fn fall_asleep(&mut self) -> Then {
        self.is_asleep = true;
        // An event that has come meanwhile wakes it again.
        if self.is_woken() { Then::WakeUp } else { Then::Sleep }
    }

    /// Whether an event has come that wakes the machine: the power button always does.
    fn is_woken(&self) -> bool {
        self.is_asleep && self.status & (self.enable & RTC | PWRBTN) != 0
    }

    /// An event has come.
    fn set(&mut self, event: u16) -> Then {
        self.status |= event;
        if self.is_woken() { Then::WakeUp } else { Then::Nothing }
    }
}

fn set_byte(register: &mut u16, at: usize, byte: u8) {
    let mut bytes = register.to_le_bytes();
    bytes[at] = byte;
    *register = u16::from_le_bytes(bytes);
}

/// The fixed hardware.
pub struct AcpiPm {
    registers: Mutex<Registers>,
    line: InterruptLine,
    timer: Timer,
    lifecycle: Arc<Lifecycle>,
}

impl AcpiPm {
    /// After a reset. `status`: that of a machine that has slept, from [`AcpiPm::wake_status`], or 0.
    pub fn new(
        line: InterruptLine,
        lifecycle: Arc<Lifecycle>,
        status: u16,
    ) -> Result<AcpiPm, CallError> {
        let registers = Mutex::new(Registers::new(status, clock::machine()));
        Ok(AcpiPm { registers, line, timer: Timer::machine()?, lifecycle })
    }

    /// The user presses the power button.
    pub fn press_power_button(&self) {
        self.event(PWRBTN);
    }

    /// Whether the guest has enabled the button's event, or sleeps.
    pub fn listens_to_power_button(&self) -> bool {
        let registers = self.registers.lock();
        registers.enable & PWRBTN != 0 || registers.is_asleep
    }

    /// The real-time clock's alarm has come.
    pub fn alarm(&self) {
        self.event(RTC);
    }

    /// The status with which the machine wakes up: that it has slept, and the event that woke it.
    pub fn wake_status(&self) -> u16 {
        self.registers.lock().status & EVENTS | WAK
    }

    /// Wakes the machine if an event has come that does so, since it fell asleep.
    pub fn wake_if_due(&self) {
        if self.registers.lock().is_woken() {
            self.lifecycle.stop(Stop::WakeUp, None);
        }
    }

    /// The machine has a new generation ID.
    pub fn generation_changed(&self) {
        let mut registers = self.registers.lock();
        registers.gpe_status |= 1 << GENERATION_EVENT;
        self.changed(registers);
    }

    /// Whether the machine sleeps.
    pub fn is_asleep(&self) -> bool {
        self.registers.lock().is_asleep
    }

    fn event(&self, event: u16) {
        let mut registers = self.registers.lock();
        let then = registers.set(event);
        self.changed(registers);
        self.carry_out(then, None);
    }

    /// The interrupt and the timer follow the registers.
    fn changed(&self, registers: Guard<Registers>) {
        self.line.set(registers.interrupt());
        self.timer.set(registers.deadline());
    }

    fn carry_out(&self, then: Then, vcpu: Option<u32>) {
        match then {
            Then::Nothing => {}
            Then::Off => self.lifecycle.end(End::PoweredOff, vcpu),
            Then::Sleep => self.lifecycle.stop(Stop::Sleep, vcpu),
            Then::WakeUp => self.lifecycle.stop(Stop::WakeUp, vcpu),
        }
    }
}

impl Field for Registers {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.status, self.enable, self.control, self.gpe_status, self.gpe_enable);
        visit!(fields; self.started, self.changes_seen, self.is_asleep);
        let now = clock::machine();
        fields.check(self.started <= now, "its timer is ahead of the machine's clock")?;
        let changes = self.count(now) >> HIGHEST_BIT;
        fields.check(self.changes_seen <= changes, "its timer has not changed as often")?;
        let is_known = self.control & SLP_EN == 0 && self.gpe_enable & !GPE_EVENTS == 0;
        fields.check(is_known, "a bit is set that always reads as 0")
    }
}

impl Saved for AcpiPm {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        self.registers.lock().visit(fields)?;
        self.line.visit(fields)
    }

    fn restored(&self) {
        self.expired();
    }
}

impl Device for AcpiPm {
    fn name(&self, offset: u64, _: bool) -> &'static str {
        match offset as usize {
            TIMER.. => "ACPI PM timer",
            _ => "ACPI power management",
        }
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let mut registers = self.registers.lock();
        // Read under the lock, so that it does not go back.
        let now = clock::machine();
        registers.advance(now);
        let bytes = registers.bytes(now);
        for (byte, at) in data.iter_mut().zip(offset as usize..) {
            *byte = bytes.get(at).copied().unwrap_or(0xff);
        }
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        let mut registers = self.registers.lock();
        registers.advance(clock::machine());
        let then = registers.write(offset as usize, data);
        self.changed(registers);
        self.carry_out(then, Some(vcpu.number()));
    }
}

impl Timed for AcpiPm {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(&self) {
        let mut registers = self.registers.lock();
        registers.advance(clock::machine());
        self.changed(registers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: [u8; 2] = (SLP_EN | SLEEP_OFF << 10).to_le_bytes();
    const TO_RAM: [u8; 2] = (SLP_EN | SLEEP_TO_RAM << 10).to_le_bytes();

    fn registers() -> Registers {
        Registers::new(0, 0)
    }

    fn read(registers: &Registers, at: usize) -> u16 {
        let bytes = registers.bytes(0);
        u16::from_le_bytes([bytes[at], bytes[at + 1]])
    }

    #[test]
    fn only_the_type_of_s5_with_slp_en_switches_off() {
        for (control, then) in [
            (1 << 13, Then::Off),
            (0, Then::Nothing),
            (1 << 13 | 5 << 10, Then::Nothing),
            (1 << 13 | 1 << 10, Then::Sleep),
        ] {
            let written = registers().write(CONTROL, &u16::to_le_bytes(control));
            assert_eq!(written, then, "{control:#x}");
        }
        // A byte at a time. The sleep type stays, SLP_EN is not kept, and SCI_EN is always set.
        let mut pm = registers();
        assert_eq!(pm.write(CONTROL, &[2]), Then::Nothing);
        assert_eq!(pm.write(CONTROL + 1, &[0x24]), Then::Sleep);
        assert_eq!(read(&pm, CONTROL), 0x0403);
        assert_eq!(registers().write(ENABLE, &[0, 0, OFF[0], OFF[1]]), Then::Off, "in four bytes");
    }

    #[test]
    fn a_status_is_cleared_by_writing_1_and_what_is_enabled_is_kept() {
        let mut pm = registers();
        pm.set(PWRBTN | RTC);
        pm.write(STATUS, &[0, 1, 0x20, 0x01]);
        assert_eq!([STATUS, ENABLE].map(|at| read(&pm, at)), [RTC, 0x0120]);
        pm.write(STATUS + 1, &[0xff]);
        assert_eq!(read(&pm, STATUS), 0);
    }

    #[test]
    fn an_event_interrupts_where_it_is_enabled() {
        for event in [TMR, PWRBTN, RTC] {
            let mut pm = registers();
            assert_eq!(pm.set(event), Then::Nothing);
            assert!(!pm.interrupt(), "{event:#x}");
            pm.write(ENABLE, &event.to_le_bytes());
            assert!(pm.interrupt(), "{event:#x}");
            pm.write(STATUS, &event.to_le_bytes());
            assert!(!pm.interrupt(), "{event:#x}");
        }
        let mut pm = Registers::new(WAK, 0);
        pm.write(ENABLE, &[0xff; 2]);
        assert!(!pm.interrupt(), "that it has slept is no interrupt");
    }

    #[test]
    fn a_general_purpose_event_interrupts_until_it_is_cleared() {
        let mut pm = registers();
        pm.gpe_status |= 1 << GENERATION_EVENT;
        assert!(!pm.interrupt(), "it is not enabled");
        pm.write(GPE_ENABLE, &[0xff]);
        assert!(pm.interrupt());
        assert_eq!(pm.bytes(0)[GPE_STATUS..TIMER], [1, 1], "there is one event");
        pm.write(GPE_STATUS, &[1]);
        assert_eq!((pm.interrupt(), pm.bytes(0)[GPE_ENABLE]), (false, 1));
        assert_eq!(pm.set(TMR), Then::Nothing);
        assert!(!pm.interrupt(), "the two kinds of event are apart");
    }

    #[test]
    fn the_button_and_an_enabled_alarm_wake_it() {
        for (enable, event, then) in [
            (0, PWRBTN, Then::WakeUp),
            (0, RTC, Then::Nothing),
            (RTC, RTC, Then::WakeUp),
            (TMR, TMR, Then::Nothing),
        ] {
            let mut pm = registers();
            pm.write(ENABLE, &u16::to_le_bytes(enable));
            assert_eq!(pm.write(CONTROL, &TO_RAM), Then::Sleep);
            assert_eq!(pm.set(event), then, "{enable:#x} {event:#x}");
            // An event that comes just before.
            let mut pm = registers();
            pm.write(ENABLE, &u16::to_le_bytes(enable));
            assert_eq!(pm.set(event), Then::Nothing, "it is awake");
            let falls = if then == Then::WakeUp { Then::WakeUp } else { Then::Sleep };
            assert_eq!(pm.write(CONTROL, &TO_RAM), falls, "{enable:#x} {event:#x}");
        }
    }

    #[test]
    fn the_timer_counts_at_its_rate_and_says_when_its_highest_bit_changes() {
        let mut pm = Registers::new(0, 5);
        let timer =
            |pm: &Registers, now| u32::from_le_bytes(pm.bytes(now)[8..].try_into().unwrap());
        assert_eq!(timer(&pm, 5), 0);
        assert_eq!(timer(&pm, NANOSECONDS + 5), 3_579_545);
        assert_eq!(timer(&pm, 5 + 3600 * NANOSECONDS), (3600 * HERTZ % (1 << 32)) as u32);
        assert_eq!(pm.deadline(), None, "nobody wants to know");
        pm.write(ENABLE, &[1, 0]);
        for change in 1..5u64 {
            let at = pm.deadline().unwrap();
            pm.advance(at - 1);
            assert_eq!(read(&pm, STATUS), 0, "not before");
            pm.advance(at);
            assert_eq!((read(&pm, STATUS), pm.deadline()), (TMR, None));
            assert_eq!(u64::from(timer(&pm, at)), (change << 31) & 0xffff_ffff);
            pm.write(STATUS, &[1]);
        }
    }
}
