//! The real-time clock with its battery-backed RAM: an MC146818, as its data sheet has it (Motorola, 1984), with the
//! register for the century that PCs have.
//!
//! The clock is the host's plus an offset. A guest that sets the time changes the offset. Nothing runs between two accesses:
//! what has happened since the last one is worked out from the time that has passed, and the event loop's timer is set only
//! while an interrupt is enabled and has yet to come.

use crate::bus::Device;
use crate::devices::Timed;
use crate::devices::acpi_pm::AcpiPm;
use crate::host::clock::{self, NANOSECONDS};
use crate::host::mutex::{Guard, Mutex};
use crate::host::syscall::CallError;
use crate::host::timer::Timer;
use crate::kvm::interrupt_line::InterruptLine;
use crate::layout::{CMOS_SHUTDOWN, MIB};
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;

/// Port 0x70: which register. Bit 7 masks NMIs, which nobody here raises.
const INDEX: u64 = 0;
/// Port 0x71: its value.
const DATA: u64 = 1;

// The time. Behind seconds, minutes and hours lies each one's alarm.
const SECONDS: usize = 0;
const MINUTES: usize = 2;
const HOURS: usize = 4;
/// Sunday is 1.
const WEEKDAY: usize = 6;
const DAY: usize = 7;
const MONTH: usize = 8;
const YEAR: usize = 9;
/// No MC146818 has it, but every PC since: the FADT names it.
pub const CENTURY: usize = 0x32;
const TIME: [usize; 8] = [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY];

/// Rate and divider, and whether the time is about to change.
const A: usize = 10;
/// Which interrupts are enabled, and the form of the time.
const B: usize = 11;
/// The interrupts' flags. A read clears them.
const C: usize = 12;
/// Whether the battery is good.
const D: usize = 13;

/// An update is in progress: the time must not be read.
const A_UIP: u8 = 1 << 7;
/// The divider: with both of these bits it is held at its start, and the time stands still.
const A_DIVIDER_RESET: u8 = 0b110 << 4;
const A_RATE: u8 = 0x0f;
/// The divider for a crystal of 32768 Hz, and 1024 interrupts a second, as PC firmware leaves it.
const A_OF_FIRMWARE: u8 = 0b010 << 4 | 6;

/// No updates: the guest sets the time.
const B_SET: u8 = 1 << 7;
const B_BINARY: u8 = 1 << 2;
const B_24_HOURS: u8 = 1 << 1;
/// Enable bits and flags of the three interrupts have the same places in B and C.
const PERIODIC: u8 = 1 << 6;
const ALARM: u8 = 1 << 5;
const UPDATE: u8 = 1 << 4;
const INTERRUPTS: u8 = PERIODIC | ALARM | UPDATE;
const B_SQUARE_WAVE: u8 = 1 << 3;

/// One of the three interrupts is active.
const C_IRQF: u8 = 1 << 7;
const D_VRT: u8 = 1 << 7;

/// In an alarm's register, the two highest bits: any value.
const ANY: u8 = 0b11 << 6;
/// In the hours, where there are 12: afternoon.
const PM: u8 = 1 << 7;

/// UIP rises 244 us before an update, which takes 1984 us with this crystal. The time changes at its end.
const UPDATE_TIME: u64 = 244_000 + 1_984_000;
/// The first update comes so long after the divider has been let go.
const AFTER_RESET: u64 = NANOSECONDS / 2;

const DAY_SECONDS: i64 = 86400;

/// How many bytes: registers, and 114 of RAM.
const SIZE: usize = 128;

/// What the battery keeps while the machine is reset, or sleeps.
#[derive(Clone)]
pub struct Kept {
    /// Registers and RAM. Those of [`TIME`] count only while the time stands still.
    bytes: [u8; SIZE],
    /// Seconds to add to the host's.
    offset: i64,
    /// Nanoseconds to add to the host's: when the seconds begin.
    phase: u64,
    /// Days to add to the weekday that the date has.
    weekday_offset: i64,
}

impl Kept {
    /// The clock of a new machine, with what firmware tells of its RAM: how much lies below the hole and above 4 GiB.
    pub fn new([low, high]: [u64; 2]) -> Kept {
        let mut bytes = [0; SIZE];
        bytes[A] = A_OF_FIRMWARE;
        bytes[B] = B_24_HOURS;
        // In KiB below 1 MiB; in KiB from there on, at most 63 MiB of them; in 64 KiB from 16 MiB on, and from 4 GiB on.
        let above = |start: u64, unit: u64, most: u64| (low.saturating_sub(start) / unit).min(most);
        let extended = above(MIB, 1 << 10, 0xfc00);
        for (at, number, size) in [
            (0x15, 640, 2),
            (0x17, extended, 2),
            (0x30, extended, 2),
            (0x34, above(16 * MIB, 64 << 10, 0xffff), 2),
            (0x5b, (high >> 16).min(0xff_ffff), 3),
        ] {
            bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
        }
        Kept { bytes, offset: 0, phase: 0, weekday_offset: 0 }
    }
}

/// The registers. Times are the host's, in nanoseconds since 1970.
struct Registers {
    kept: Kept,
    index: u8,
    /// The time of the last [`Registers::advance`]: what happened before is in C.
    seen: u64,
    /// The HPET has taken the interrupt line.
    is_disconnected: bool,
}

impl Registers {
    /// After a reset, which takes away what is enabled and what has happened.
    fn new(mut kept: Kept, now: u64) -> Registers {
        kept.bytes[B] &= !(INTERRUPTS | B_SQUARE_WAVE);
        kept.bytes[C] = 0;
        Registers { kept, index: 0, seen: now, is_disconnected: false }
    }

    fn has(&self, register: usize, bit: u8) -> bool {
        self.kept.bytes[register] & bit != 0
    }

    fn is_divider_held(&self) -> bool {
        self.kept.bytes[A] & A_DIVIDER_RESET == A_DIVIDER_RESET
    }

    /// Whether the registers of the time do not change.
    fn is_stopped(&self) -> bool {
        self.has(B, B_SET) || self.is_divider_held()
    }

    /// Nanoseconds on the divider's scale: a second begins at each multiple of [`NANOSECONDS`].
    fn divided(&self, now: u64) -> u64 {
        now + self.kept.phase
    }

    /// The clock's seconds since 1970.
    fn seconds(&self, now: u64) -> i64 {
        (self.divided(now) / NANOSECONDS) as i64 + self.kept.offset
    }

    /// How long a period is, in nanoseconds.
    fn period(&self) -> Option<u64> {
        let shift = match self.kept.bytes[A] & A_RATE {
            0 => return None,
            // With this crystal, rates 1 and 2 mean 256 and 128 times a second.
            rate @ 1..=2 => rate + 6,
            rate => rate - 1,
        };
        Some((NANOSECONDS << shift) / 32768)
    }

    /// Notes what has happened until now; returns whether an alarm came that was wanted.
    fn advance(&mut self, now: u64) -> bool {
        let before = core::mem::replace(&mut self.seen, now);
        // The host's clock may have been set back.
        if now < before {
            return false;
        }
        let mut flags = 0;
        if let Some(period) = self.period().filter(|_| !self.is_divider_held())
            && self.divided(now) / period > self.divided(before) / period
        {
            flags |= PERIODIC;
        }
        if !self.is_stopped() && self.seconds(now) > self.seconds(before) {
            flags |= UPDATE;
            if self.next_alarm(self.seconds(before)).is_some_and(|at| at <= self.seconds(now)) {
                flags |= ALARM;
            }
        }
        let is_new = flags & !self.kept.bytes[C] & ALARM != 0;
        self.kept.bytes[C] |= flags;
        is_new && self.has(B, ALARM)
    }

    /// The first second behind `after` at which the alarm comes: within a day, or never.
    fn next_alarm(&self, after: i64) -> Option<i64> {
        let matches = |register: usize, value: i64| {
            let alarm = self.kept.bytes[register + 1];
            alarm & ANY == ANY || alarm == self.shown(register, value)
        };
        // What matches no hour, minute or second at all never comes.
        for (register, values) in [(HOURS, 24), (MINUTES, 60), (SECONDS, 60)] {
            if !(0..values).any(|value| matches(register, value)) {
                return None;
            }
        }
        let mut at = after + 1;
        while at <= after + DAY_SECONDS {
            let time = at.rem_euclid(DAY_SECONDS);
            // Where a part does not match, on to where that part changes.
            if !matches(HOURS, time / 3600) {
                at += 3600 - time % 3600;
            } else if !matches(MINUTES, time / 60 % 60) {
                at += 60 - time % 60;
            } else if !matches(SECONDS, time % 60) {
                at += 1;
            } else {
                return Some(at);
            }
        }
        None
    }

    /// When an interrupt that is enabled, and has not come yet, will come.
    fn deadline(&self) -> Option<u64> {
        let awaited = self.kept.bytes[B] & !self.kept.bytes[C];
        let at = |divided: u64| divided - self.kept.phase;
        let at_second = |second: i64| at((second - self.kept.offset) as u64 * NANOSECONDS);
        let period = self.period().filter(|_| awaited & PERIODIC != 0 && !self.is_divider_held());
        let periodic = period.map(|period| at((self.divided(self.seen) / period + 1) * period));
        let second = self.seconds(self.seen);
        let runs = !self.is_stopped();
        let update = (runs && awaited & UPDATE != 0).then(|| at_second(second + 1));
        let alarm = (runs && awaited & ALARM != 0).then(|| self.next_alarm(second));
        let alarm = alarm.flatten().map(at_second);
        [periodic, update, alarm].into_iter().flatten().min()
    }

    fn interrupt(&self) -> bool {
        self.kept.bytes[B] & self.kept.bytes[C] & INTERRUPTS != 0
    }

    /// A number as a register shows it: decimal digits or binary; of hours perhaps 12.
    fn shown(&self, register: usize, value: i64) -> u8 {
        let (value, mark) = match register {
            HOURS if !self.has(B, B_24_HOURS) => {
                ((value + 11) % 12 + 1, if value >= 12 { PM } else { 0 })
            }
            _ => (value, 0),
        };
        let digits = if self.has(B, B_BINARY) { value } else { value / 10 * 16 + value % 10 };
        digits as u8 | mark
    }

    /// The number that a register shows.
    fn meant(&self, register: usize) -> i64 {
        let byte = self.kept.bytes[register];
        let has_12_hours = register == HOURS && !self.has(B, B_24_HOURS);
        let digits = i64::from(if has_12_hours { byte & !PM } else { byte });
        let value = if self.has(B, B_BINARY) { digits } else { digits / 16 * 10 + digits % 16 };
        match has_12_hours {
            true => value % 12 + if byte & PM != 0 { 12 } else { 0 },
            false => value,
        }
    }

    /// Puts the time of this moment into its registers.
    fn show_time(&mut self, now: u64) {
        let seconds = self.seconds(now);
        let (days, time) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        let (year, month, day) = date(days);
        let weekday = weekday(days, self.kept.weekday_offset);
        for (register, value) in [
            (SECONDS, time % 60),
            (MINUTES, time / 60 % 60),
            (HOURS, time / 3600),
            (WEEKDAY, weekday),
            (DAY, day),
            (MONTH, month),
            (YEAR, year % 100),
            (CENTURY, year / 100),
        ] {
            self.kept.bytes[register] = self.shown(register, value);
        }
    }

    /// Goes on from the time that its registers show.
    fn take_time(&mut self, now: u64) {
        let year = self.meant(CENTURY) * 100 + self.meant(YEAR);
        let days = days(year, self.meant(MONTH), self.meant(DAY));
        let time = self.meant(HOURS) * 3600 + self.meant(MINUTES) * 60 + self.meant(SECONDS);
        self.kept.offset += days * DAY_SECONDS + time - self.seconds(now);
        self.kept.weekday_offset = self.meant(WEEKDAY) - weekday(days, 0);
    }

    fn read(&mut self, now: u64) -> u8 {
        let register = usize::from(self.index);
        if TIME.contains(&register) && !self.is_stopped() {
            self.show_time(now);
        }
        let is_updating =
            !self.is_stopped() && self.divided(now) % NANOSECONDS >= NANOSECONDS - UPDATE_TIME;
        let byte = self.kept.bytes[register];
        match register {
            A if is_updating => byte | A_UIP,
            C => {
                let is_active = self.interrupt();
                self.kept.bytes[C] = 0;
                byte | if is_active { C_IRQF } else { 0 }
            }
            D => D_VRT,
            _ => byte,
        }
    }

    fn write(&mut self, byte: u8, now: u64) {
        let register = usize::from(self.index);
        let (was_stopped, was_held) = (self.is_stopped(), self.is_divider_held());
        match register {
            A => self.set_control(A, byte & !A_UIP, now),
            // SET clears UIE: data sheet, register B.
            B if byte & B_SET != 0 => self.set_control(B, byte & !UPDATE, now),
            B => self.set_control(B, byte, now),
            C | D => {}
            _ if TIME.contains(&register) && !was_stopped => {
                self.show_time(now);
                self.kept.bytes[register] = byte;
                self.take_time(now);
            }
            _ => self.kept.bytes[register] = byte,
        }
        if was_held && !self.is_divider_held() {
            let since = self.divided(now) % NANOSECONDS;
            self.kept.phase = (self.kept.phase + NANOSECONDS - since + AFTER_RESET) % NANOSECONDS;
        }
        if was_stopped && !self.is_stopped() {
            self.take_time(now);
        }
    }

    /// A write to A or B. Where it stops the time, the registers keep that of this moment.
    fn set_control(&mut self, register: usize, byte: u8, now: u64) {
        let was_stopped = self.is_stopped();
        let before = core::mem::replace(&mut self.kept.bytes[register], byte);
        if !was_stopped && self.is_stopped() {
            let after = core::mem::replace(&mut self.kept.bytes[register], before);
            self.show_time(now);
            self.kept.bytes[register] = after;
        }
    }
}

/// The day of the week, 1 to 7. The first day of 1970 was a Thursday.
fn weekday(days: i64, offset: i64) -> i64 {
    (days + 4 + offset).rem_euclid(7) + 1
}

/// Days from the beginning of 1970 to a date of the Gregorian calendar. A month or a day beyond the calendar's counts on.
///
/// A year begins with March here, so that a leap day is its last. The months from there on have 153 days in five.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let months = year * 12 + month - 3;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // The first of March of the year 0 was 719468 days before.
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Year, month and day, so many days after the beginning of 1970.
fn date(since_1970: i64) -> (i64, i64, i64) {
    // The year with March as its first month: a guess that is never too late, and too early by one at most.
    let mut year = (since_1970 * 400).div_euclid(146_097) + 1969;
    if days(year + 1, 3, 1) <= since_1970 {
        year += 1;
    }
    let day = since_1970 - days(year, 3, 1);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    match month {
        10.. => (year + 1, month - 9, day),
        _ => (year, month + 3, day),
    }
}

/// The clock.
pub struct Rtc {
    registers: Mutex<Registers>,
    line: InterruptLine,
    timer: Timer,
    /// Is told when the alarm comes.
    pm: Arc<AcpiPm>,
}

impl Rtc {
    /// After a reset.
    pub fn new(kept: Kept, line: InterruptLine, pm: Arc<AcpiPm>) -> Result<Rtc, CallError> {
        let registers = Mutex::new(Registers::new(kept, clock::real()));
        Ok(Rtc { registers, line, timer: Timer::real()?, pm })
    }

    /// What the battery keeps.
    pub fn kept(&self) -> Kept {
        self.registers.lock().kept.clone()
    }

    /// The shutdown code: where a processor that was reset goes on. It is cleared, as firmware does it.
    pub fn take_shutdown_code(&self) -> u8 {
        core::mem::take(&mut self.registers.lock().kept.bytes[CMOS_SHUTDOWN])
    }

    /// Whether its interrupt reaches the interrupt controllers. The HPET can take the line.
    pub fn connect(&self, connected: bool) {
        self.access(|registers, _| registers.is_disconnected = !connected);
    }

    /// Works out what has happened, does something with the registers, and sets the interrupt line and the timer.
    fn access<T>(&self, act: impl FnOnce(&mut Registers, u64) -> T) -> T {
        let mut registers = self.registers.lock();
        // Read under the lock, so that it does not go back.
        let now = clock::real();
        let has_alarm = registers.advance(now);
        let result = act(&mut registers, now);
        self.follow(registers);
        if has_alarm {
            self.pm.alarm();
        }
        result
    }

    fn follow(&self, registers: Guard<Registers>) {
        self.line.set(registers.interrupt() && !registers.is_disconnected);
        self.timer.set(registers.deadline());
    }
}

impl Field for Registers {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let Registers { kept, index, seen, is_disconnected } = self;
        visit!(fields; kept.bytes, kept.offset, kept.phase, kept.weekday_offset);
        visit!(fields; *index, *seen, *is_disconnected);
        // Further than any date that its registers can show.
        let is_near = |offset: i64, most: u64| offset.unsigned_abs() < most;
        fields.check(is_near(kept.offset, 1 << 41), "a date that it can't show")?;
        fields.check(is_near(kept.weekday_offset, 1 << 10), "a weekday that it can't show")?;
        fields.check(*seen < 1 << 62, "a time that it can't have seen")?;
        fields.check(kept.phase < NANOSECONDS, "a phase of more than a second")?;
        fields.check(usize::from(*index) < SIZE, "there is no such register")
    }
}

impl Saved for Rtc {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        self.registers.lock().visit(fields)?;
        self.line.visit(fields)
    }

    fn restored(&self) {
        self.expired();
    }
}

impl Device for Rtc {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "real-time clock"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        // The index can't be read.
        if let Some(byte) = data.get_mut((DATA - offset) as usize) {
            *byte = self.access(Registers::read);
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        for (&byte, at) in data.iter().zip(offset..) {
            match at {
                INDEX => self.registers.lock().index = byte & (SIZE - 1) as u8,
                DATA => self.access(|registers, now| registers.write(byte, now)),
                _ => {}
            }
        }
    }
}

impl Timed for Rtc {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(&self) {
        self.access(|_, _| ());
    }
}

#[cfg(test)]
#[path = "rtc_tests.rs"]
mod tests;
