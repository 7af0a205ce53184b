//! The interval timer of a PC, an 8254, where it is the program's and not KVM's: `--irqchip split` and `none`. And port 0x61,
//! which controls its third counter, the speaker's.
//!
//! Each of its three counters counts down from a value that the guest writes, 1,193,182 times a second. Its output is a
//! function of the time since then, and of one of six modes. When the first counter's output rises, interrupt line 0 does. Rises that
//! come while the program is busy are one. The second counter refreshed memory in old PCs; here it counts, and nothing uses its
//! output.
//!
//! Source: Intel's 8254 data sheet. Port 0x61 is described in chipsets' (ICH, 12.7.1).

use crate::bus::Device;
use crate::devices::Timed;
use crate::host::clock::{self, NANOSECONDS};
use crate::host::mutex::{Guard, Mutex};
use crate::host::syscall::CallError;
use crate::host::timer::Timer;
use crate::kvm::Vm;
use crate::kvm::interrupt_line::InterruptLine;
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;

// The ports, as registers of one device. Before the control word's come those of the counters.
const COUNTERS: u64 = 3;
const CONTROL: u64 = 3;
/// Port 0x61.
pub const SPEAKER: u64 = 4;

/// How often it counts in a second: a PC's oscillator of 14.318 MHz, divided by 12.
const FREQUENCY: u64 = 1_193_182;
/// A guest's shortest period does not keep the event loop busy: it waits at least so many nanoseconds.
const SHORTEST_WAIT: u64 = 100_000;

// The control word: bits 7:6 select a counter, and 3 is the read-back command.
const READ_BACK: u8 = 3;
const READ_BACK_NO_COUNT: u8 = 1 << 5;
const READ_BACK_NO_STATUS: u8 = 1 << 4;
const BCD: u8 = 1 << 0;

// Port 0x61.
const GATE: u8 = 1 << 0;
const SPEAKER_DATA: u8 = 1 << 1;
/// It toggles each 15 us.
const REFRESH: u8 = 1 << 4;
const OUTPUT: u8 = 1 << 5;

// Of the status that is read back.
const STATUS_OUTPUT: u8 = 1 << 7;
/// The counter waits for its value.
const STATUS_NULL: u8 = 1 << 6;

/// What a counter does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// 0: the output rises at the end of the count.
    Terminal = 0,
    /// 1: likewise, but it is the gate that starts the count.
    OneShot = 1,
    /// 2: the output is low for the last count of each period.
    Rate = 2,
    /// 3: the output is high in the first half of each period.
    Square = 3,
    /// 4: the output is low for one count at the end.
    Strobe = 4,
    /// 5: likewise, and the gate starts it.
    GatedStrobe = 5,
}

impl Mode {
    fn new(bits: u8) -> Mode {
        match bits & 7 {
            0 => Mode::Terminal,
            1 => Mode::OneShot,
            2 | 6 => Mode::Rate,
            3 | 7 => Mode::Square,
            4 => Mode::Strobe,
            _ => Mode::GatedStrobe,
        }
    }

    fn is_periodic(self) -> bool {
        matches!(self, Mode::Rate | Mode::Square)
    }

    fn is_started_by_gate(self) -> bool {
        matches!(self, Mode::OneShot | Mode::GatedStrobe)
    }
}

/// Which bytes of a count are read and written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Access {
    Low = 1,
    High = 2,
    /// First the low one, then the high one.
    Both = 3,
}

impl Access {
    fn new(bits: u8) -> Access {
        match bits & 3 {
            1 => Access::Low,
            2 => Access::High,
            _ => Access::Both,
        }
    }
}

/// One counter. Times are in its own counts.
#[derive(Clone, Copy, Debug)]
struct Counter {
    mode: Mode,
    access: Access,
    bcd: bool,
    /// From where it counts, 1 to 65536, and from where it will when it begins anew.
    from: u64,
    next_from: Option<u64>,
    gate: bool,
    /// When it began; `None`: it waits for its value, or for the gate.
    began: Option<u64>,
    /// How far it was when the gate stopped it.
    held: Option<u64>,
    /// The first of two bytes that are written.
    low: Option<u8>,
    /// The second of two bytes is to be read.
    reads_high: bool,
    latched: Option<u16>,
    latched_status: Option<u8>,
}

impl Counter {
    const fn new(gate: bool) -> Counter {
        Counter {
            mode: Mode::Terminal,
            access: Access::Both,
            bcd: false,
            from: 1 << 16,
            next_from: None,
            gate,
            began: None,
            held: None,
            low: None,
            reads_high: false,
            latched: None,
            latched_status: None,
        }
    }

    /// How many values it has.
    fn modulus(&self) -> u64 {
        if self.bcd { 10_000 } else { 1 << 16 }
    }

    /// How far it has counted.
    fn elapsed(&self, now: u64) -> Option<u64> {
        self.began.map(|began| self.held.unwrap_or(now.saturating_sub(began)))
    }

    /// What it has come to, as the guest reads it.
    fn count(&self, now: u64) -> u16 {
        let elapsed = self.elapsed(now).unwrap_or(0);
        let count = match self.mode {
            Mode::Rate => self.from - elapsed % self.from,
            // It counts by two.
            Mode::Square => self.from - 2 * elapsed % self.from,
            // At the end it goes on from the top.
            _ => self.modulus() + self.from - elapsed % self.modulus(),
        };
        let count = count % self.modulus();
        if !self.bcd {
            return count as u16;
        }
        [1000, 100, 10, 1].into_iter().fold(0, |bcd, power| bcd << 4 | (count / power % 10) as u16)
    }

    fn output(&self, now: u64) -> bool {
        let Some(elapsed) = self.elapsed(now) else { return self.mode != Mode::Terminal };
        match self.mode {
            Mode::Terminal | Mode::OneShot => elapsed >= self.from,
            Mode::Rate | Mode::Square if !self.gate => true,
            Mode::Rate => elapsed % self.from != self.from - 1,
            Mode::Square => elapsed % self.from < self.from.div_ceil(2),
            Mode::Strobe | Mode::GatedStrobe => elapsed != self.from,
        }
    }

    /// When the output rises next after that time.
    fn next_rise(&self, after: u64) -> Option<u64> {
        let (began, elapsed) = (self.began?, self.elapsed(after)?);
        let rise = match self.mode {
            Mode::Terminal | Mode::OneShot => self.from,
            Mode::Rate | Mode::Square => (elapsed / self.from + 1) * self.from,
            Mode::Strobe | Mode::GatedStrobe => self.from + 1,
        };
        (self.held.is_none() && rise > elapsed).then_some(began + rise)
    }

    fn set_mode(&mut self, control: u8) {
        let access = Access::new(control >> 4);
        let (mode, bcd) = (Mode::new(control >> 1), control & BCD != 0);
        *self = Counter { mode, access, bcd, ..Counter::new(self.gate) };
    }

    fn write(&mut self, value: u8, now: u64) {
        let value = match (self.access, self.low.take()) {
            (Access::Low, _) => u16::from(value),
            (Access::High, _) => u16::from(value) << 8,
            (Access::Both, Some(low)) => u16::from_le_bytes([low, value]),
            (Access::Both, None) => {
                self.low = Some(value);
                // The first byte stops the count.
                if self.mode == Mode::Terminal {
                    self.began = None;
                }
                return;
            }
        };
        let digits = (0..4).rev().map(|digit| u64::from(value >> (4 * digit) & 0xf));
        let value = match self.bcd {
            true => digits.fold(0, |number, digit| number * 10 + digit),
            false => value.into(),
        };
        let from = if value == 0 { self.modulus() } else { value };
        self.next_from = Some(from);
        // Modes 1 and 5 take it when the gate starts them. In modes 2 and 3 an 8254 finishes the period first; here, as in KVM, the
        // new one begins at once.
        if !self.mode.is_started_by_gate() {
            self.begin(now);
            self.held = (!self.gate).then_some(0);
        }
    }

    /// Starts from the top, if it has a value.
    fn begin(&mut self, now: u64) {
        if let Some(from) = self.next_from {
            (self.from, self.began, self.held) = (from, Some(now), None);
        }
    }

    fn read(&mut self, now: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let [low, high] = self.latched.unwrap_or(self.count(now)).to_le_bytes();
        let is_high = match self.access {
            Access::Low => false,
            Access::High => true,
            Access::Both => {
                self.reads_high = !self.reads_high;
                !self.reads_high
            }
        };
        // The latch holds until it has been read.
        if is_high || self.access == Access::Low {
            self.latched = None;
        }
        if is_high { high } else { low }
    }

    fn latch_count(&mut self, now: u64) {
        self.latched = self.latched.or(Some(self.count(now)));
    }

    fn latch_status(&mut self, now: u64) {
        let mut status = (self.access as u8) << 4 | (self.mode as u8) << 1 | u8::from(self.bcd);
        status |= if self.output(now) { STATUS_OUTPUT } else { 0 };
        status |= if self.began.is_none() { STATUS_NULL } else { 0 };
        self.latched_status = self.latched_status.or(Some(status));
    }

    fn set_gate(&mut self, gate: bool, now: u64) {
        if core::mem::replace(&mut self.gate, gate) == gate {
            return;
        }
        match (gate, self.mode.is_started_by_gate() || self.mode.is_periodic()) {
            (true, true) => self.begin(now),
            (false, true) if !self.mode.is_periodic() => {}
            (true, false) => {
                if let Some(held) = self.held.take() {
                    self.began = Some(now - held);
                }
            }
            (false, _) => self.held = self.elapsed(now),
        }
    }
}

/// All that the device is, but for time and interrupt.
#[derive(Clone, Debug)]
struct Registers {
    counters: [Counter; COUNTERS as usize],
    speaker: u8,
    /// Up to when the first counter's output has been followed.
    at: u64,
}

impl Registers {
    const RESET: Registers = Registers {
        counters: [Counter::new(true), Counter::new(true), Counter::new(false)],
        speaker: 0,
        at: 0,
    };

    /// Time goes on. Returns whether the first counter's output has risen.
    fn advance(&mut self, now: u64) -> bool {
        let has_risen = self.counters[0].next_rise(self.at).is_some_and(|rise| rise <= now);
        self.at = now;
        has_risen
    }

    fn write(&mut self, register: u64, value: u8) {
        let now = self.at;
        match register {
            0..COUNTERS => self.counters[register as usize].write(value, now),
            CONTROL => self.write_control(value),
            _ => {
                self.speaker = value & (GATE | SPEAKER_DATA);
                self.counters[2].set_gate(value & GATE != 0, now);
            }
        }
    }

    fn write_control(&mut self, value: u8) {
        let selected = value >> 6;
        if selected == READ_BACK {
            for (number, counter) in self.counters.iter_mut().enumerate() {
                if value >> (number + 1) & 1 == 0 {
                    continue;
                }
                if value & READ_BACK_NO_COUNT == 0 {
                    counter.latch_count(self.at);
                }
                if value & READ_BACK_NO_STATUS == 0 {
                    counter.latch_status(self.at);
                }
            }
            return;
        }
        let counter = &mut self.counters[usize::from(selected)];
        match value >> 4 & 3 {
            0 => counter.latch_count(self.at),
            _ => counter.set_mode(value),
        }
    }

    fn read(&mut self, register: u64) -> u8 {
        match register {
            0..COUNTERS => self.counters[register as usize].read(self.at),
            // It can't be read.
            CONTROL => 0xff,
            _ => {
                let output = if self.counters[2].output(self.at) { OUTPUT } else { 0 };
                let refresh = if self.at / 18 % 2 == 1 { REFRESH } else { 0 };
                self.speaker | output | refresh
            }
        }
    }
}

/// A time in nanoseconds, in counts.
fn counts(nanoseconds: u64) -> u64 {
    (u128::from(nanoseconds) * u128::from(FREQUENCY) / u128::from(NANOSECONDS)) as u64
}

/// The reverse, not before that count.
fn nanoseconds(counts: u64) -> u64 {
    (u128::from(counts) * u128::from(NANOSECONDS)).div_ceil(FREQUENCY.into()) as u64
}

/// The device.
pub struct Pit {
    inner: Mutex<Inner>,
    timer: Timer,
}

struct Inner {
    registers: Registers,
    line: InterruptLine,
    /// An HPET has not taken its line.
    is_connected: bool,
}

impl Pit {
    /// After a reset: no counter counts.
    pub fn new(line: InterruptLine) -> Result<Pit, CallError> {
        let inner = Inner { registers: Registers::RESET, line, is_connected: true };
        Ok(Pit { inner: Mutex::new(inner), timer: Timer::machine()? })
    }

    /// Brings the registers up to now.
    fn up_to_date(&self) -> Guard<'_, Inner> {
        let mut inner = self.inner.lock();
        if inner.registers.advance(counts(clock::machine())) && inner.is_connected {
            // It may have been high before: this makes it an edge.
            inner.line.set(false);
            inner.line.set(true);
        }
        inner
    }

    /// Line and timer follow the registers. The line rises in [`Pit::up_to_date`] alone: a new mode or count makes no edge.
    fn follow(&self, inner: &Inner) {
        let Inner { registers, line, is_connected } = inner;
        let counter = &registers.counters[0];
        if !*is_connected || !counter.output(registers.at) {
            line.set(false);
        }
        let soonest = nanoseconds(registers.at) + SHORTEST_WAIT;
        let rise = counter.next_rise(registers.at).filter(|_| *is_connected);
        self.timer.set(rise.map(|rise| nanoseconds(rise).max(soonest)));
    }

    fn connect(&self, is_connected: bool) {
        let mut inner = self.up_to_date();
        inner.is_connected = is_connected;
        self.follow(&inner);
    }
}

impl Field for Counter {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let (mut mode, mut access) = (self.mode as u8, self.access as u8);
        visit!(fields; mode, access, self.bcd, self.gate, self.from, self.next_from, self.began, self.held);
        visit!(fields; self.low, self.reads_high, self.latched, self.latched_status);
        let counts = 1..=self.modulus();
        let is_count = |from: &u64| counts.contains(from);
        let all = is_count(&self.from) && self.next_from.iter().all(is_count);
        fields.check(all, "a count that it can't have")?;
        fields.check(mode <= 5 && (1..=3).contains(&access), "a mode that it can't have")?;
        self.mode = Mode::new(mode);
        self.access = Access::new(access);
        Ok(())
    }
}

impl Field for Registers {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let [first, second, third] = &mut self.counters;
        visit!(fields; *first, *second, *third, self.speaker, self.at);
        let times = self.counters.iter().flat_map(|counter| [counter.began, counter.held]);
        let latest = times.flatten().max().unwrap_or(0);
        let now = counts(clock::machine());
        fields.check(latest <= self.at && self.at <= now, "it is ahead of the machine's clock")
    }
}

impl Saved for Pit {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut inner = self.inner.lock();
        let Inner { registers, is_connected, line } = &mut *inner;
        visit!(fields; *registers, *is_connected);
        line.visit(fields)
    }

    fn restored(&self) {
        self.expired();
    }
}

impl Device for Pit {
    fn name(&self, register: u64, _: bool) -> &'static str {
        if register == SPEAKER { "speaker" } else { "interval timer" }
    }

    fn read(&self, register: u64, data: &mut [u8]) {
        data.fill(0xff);
        let mut inner = self.up_to_date();
        data[0] = inner.registers.read(register);
        self.follow(&inner);
    }

    fn write(&self, register: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let mut inner = self.up_to_date();
        inner.registers.write(register, data[0]);
        self.follow(&inner);
    }
}

impl Timed for Pit {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(&self) {
        let inner = self.up_to_date();
        self.follow(&inner);
    }
}

/// The board's interval timer.
#[derive(Clone)]
pub enum IntervalTimer {
    None,
    Kvm(Arc<Vm>),
    Ours(Arc<Pit>),
}

impl IntervalTimer {
    /// Whether its interrupt reaches the interrupt controllers. An HPET can take its line.
    pub fn connect(&self, is_connected: bool) {
        match self {
            IntervalTimer::None => {}
            // KVM has it: it can't fail.
            IntervalTimer::Kvm(vm) => drop(vm.connect_pit(is_connected)),
            IntervalTimer::Ours(pit) => pit.connect(is_connected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One whose counter is set to this mode, and to this value.
    fn counting(counter: u64, mode: u8, value: u16) -> Registers {
        let mut registers = Registers::RESET;
        registers.advance(1000);
        start(&mut registers, counter, mode, value);
        registers
    }

    fn start(registers: &mut Registers, counter: u64, mode: u8, value: u16) {
        registers.write(CONTROL, (counter as u8) << 6 | 0x30 | mode << 1);
        value.to_le_bytes().into_iter().for_each(|byte| registers.write(counter, byte));
    }

    fn read(registers: &mut Registers, counter: u64) -> u16 {
        u16::from_le_bytes([(); 2].map(|()| registers.read(counter)))
    }

    /// The times, from the start on, at which the output of the first counter changes.
    fn changes(registers: &mut Registers, until: u64) -> Vec<(u64, bool)> {
        let mut output = registers.counters[0].output(1000);
        let mut changes = vec![(0, output)];
        for time in 1..=until {
            let has_risen = registers.advance(1000 + time);
            let now = registers.counters[0].output(1000 + time);
            assert_eq!(has_risen, now && !output, "at {time}");
            if now != output {
                changes.push((time, now));
            }
            output = now;
        }
        changes
    }

    #[test]
    fn each_mode_has_its_output() {
        let of = |mode| changes(&mut counting(0, mode, 5), 12);
        assert_eq!(of(0), [(0, false), (5, true)]);
        let rate = [(0, true), (4, false), (5, true), (9, false), (10, true)];
        assert_eq!(of(2), rate);
        assert_eq!(of(6), rate);
        let square = [(0, true), (3, false), (5, true), (8, false), (10, true)];
        assert_eq!(of(3), square);
        assert_eq!(of(4), [(0, true), (5, false), (6, true)]);
        // Nothing moves the first counter's gate.
        assert_eq!(of(1), [(0, true)]);
        assert_eq!(of(5), [(0, true)]);
    }

    #[test]
    fn a_count_is_read_while_it_runs_or_as_it_was_latched() {
        let mut registers = counting(0, 2, 1000);
        registers.advance(1300);
        assert_eq!(read(&mut registers, 0), 700);
        registers.write(CONTROL, 0x00);
        registers.advance(1400);
        registers.write(CONTROL, 0x00);
        assert_eq!(read(&mut registers, 0), 700, "the first latch holds");
        assert_eq!(read(&mut registers, 0), 600);
        registers.advance(2100);
        assert_eq!(read(&mut registers, 0), 900, "the next period");
        let mut square = counting(0, 3, 1000);
        square.advance(1300);
        assert_eq!(read(&mut square, 0), 400, "it counts by two");
        let mut once = counting(0, 0, 100);
        once.advance(1101);
        assert_eq!(read(&mut once, 0), 0xffff, "it goes on from the top");
        let mut whole = counting(0, 2, 0);
        assert_eq!(read(&mut whole, 0), 0);
        whole.advance(1001);
        assert_eq!(read(&mut whole, 0), 0xffff);
    }

    #[test]
    fn a_byte_alone_or_in_decimal() {
        let mut registers = Registers::RESET;
        registers.write(CONTROL, 0x14);
        registers.write(0, 100);
        registers.advance(30);
        assert_eq!([registers.read(0), registers.read(0)], [70, 70]);
        registers.write(CONTROL, 0x24);
        registers.write(0, 2);
        registers.advance(31);
        assert_eq!([registers.read(0), registers.read(0)], [1, 1]);
        registers.write(CONTROL, 0x35);
        registers.write(0, 0x34);
        registers.write(0, 0x12);
        registers.advance(31 + 235);
        assert_eq!(read(&mut registers, 0), 0x0999);
    }

    #[test]
    fn read_back_latches_status_and_count() {
        let mut registers = counting(0, 2, 1000);
        registers.advance(1001);
        registers.write(CONTROL, 0xc2);
        assert_eq!(registers.read(0), STATUS_OUTPUT | 0x30 | 2 << 1);
        assert_eq!(read(&mut registers, 0), 999);
        registers.write(CONTROL, 0x30);
        registers.write(CONTROL, 0xe2);
        assert_eq!(registers.read(0), STATUS_NULL | 0x30, "it has no value yet");
        registers.write(CONTROL, 0xe4);
        assert_eq!(registers.read(1) & STATUS_NULL, STATUS_NULL);
    }

    #[test]
    fn the_speaker_s_counter_follows_its_gate() {
        let mut registers = counting(2, 0, 100);
        let output = |registers: &mut Registers, at| {
            registers.advance(at);
            registers.read(SPEAKER) & OUTPUT != 0
        };
        assert!(!output(&mut registers, 9000), "the gate is closed");
        registers.write(SPEAKER, GATE);
        assert_eq!(registers.read(SPEAKER) & 0xf, GATE);
        assert!(!output(&mut registers, 9050));
        registers.write(SPEAKER, 0);
        assert!(!output(&mut registers, 9990));
        registers.write(SPEAKER, GATE);
        assert!(!output(&mut registers, 10_039));
        assert!(output(&mut registers, 10_040));
        // The gate starts a one-shot, again and again, but not without a value.
        registers.write(CONTROL, 0xb2);
        registers.write(SPEAKER, 0);
        registers.write(SPEAKER, GATE);
        assert!(output(&mut registers, 15_000));
        start(&mut registers, 2, 1, 10);
        assert!(output(&mut registers, 20_000));
        for at in [30_000, 40_000] {
            registers.advance(at);
            registers.write(SPEAKER, 0);
            registers.write(SPEAKER, GATE);
            assert!(!output(&mut registers, at + 9) && output(&mut registers, at + 10));
        }
        // A new value does not change the one that runs.
        registers.write(SPEAKER, 0);
        registers.write(SPEAKER, GATE);
        [200, 0].into_iter().for_each(|byte| registers.write(2, byte));
        assert!(output(&mut registers, 40_020));
        registers.write(SPEAKER, 0);
        registers.write(SPEAKER, GATE);
        assert!(!output(&mut registers, 40_219) && output(&mut registers, 40_220));
        registers.advance(40_230);
        assert_ne!(registers.read(SPEAKER) & REFRESH, {
            registers.advance(40_230 + 18);
            registers.read(SPEAKER) & REFRESH
        });
    }

    #[test]
    fn times_are_converted_and_back() {
        assert_eq!((counts(NANOSECONDS), nanoseconds(FREQUENCY)), (FREQUENCY, NANOSECONDS));
        for count in [1, 18, 11_932, 1 << 40] {
            assert_eq!(counts(nanoseconds(count)), count);
        }
    }

    #[test]
    #[cfg(not(miri))]
    fn the_first_counter_s_output_is_line_0_unless_an_hpet_has_it() {
        use crate::devices::tests::vcpu;
        use crate::kvm::interrupt_line::fake;
        let (lines, controllers) = fake::lines();
        let pit = Pit::new(InterruptLine::new(lines, 0)).unwrap();
        let start = |mode: u8, count: u16| {
            pit.write(CONTROL, &[0x30 | mode << 1], &vcpu());
            count.to_le_bytes().into_iter().for_each(|byte| pit.write(0, &[byte], &vcpu()));
        };
        let wait = || {
            std::thread::sleep(std::time::Duration::from_millis(1));
            pit.expired();
        };
        // Once, after 84 us.
        start(0, 100);
        wait();
        assert_eq!(controllers.take(), [(0, true)]);
        for mode in [2, 3, 4] {
            for _ in 0..3 {
                start(mode, 65535);
            }
            assert!(!controllers.take().contains(&(0, true)), "mode {mode}: no count has ended");
        }
        start(3, 100);
        wait();
        assert!(controllers.take().contains(&(0, true)));
        // Its end is not seen while an HPET has the line.
        start(0, 100);
        wait();
        assert_eq!(controllers.take().last(), Some(&(0, true)));
        pit.connect(false);
        assert_eq!(controllers.take(), [(0, false)]);
        start(0, 100);
        wait();
        pit.connect(true);
        assert_eq!(controllers.take(), []);
    }
}
