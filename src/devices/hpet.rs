//! The high precision event timer: a counter that runs at 100 MHz, and three comparators that interrupt when it reaches their
//! value. IA-PC HPET specification 1.0a; the numbers are its sections.
//!
//! Nothing runs between two accesses: the counter is worked out from the host's clock, and the event loop's timer is set for
//! the next match that interrupts.

use crate::bus::Device;
use crate::devices::Timed;
use crate::devices::pit::IntervalTimer;
use crate::devices::rtc::Rtc;
use crate::host::clock;
use crate::host::mutex::{Guard, Mutex};
use crate::host::syscall::CallError;
use crate::host::timer::Timer;
use crate::kvm::interrupt_line::{InterruptLine, InterruptLines};
use crate::layout::{RTC_LINE, TIMER_LINE};
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;

// The registers, eight bytes each: 2.3.1.
const CAPABILITIES: u64 = 0x000;
const CONFIGURATION: u64 = 0x010;
const STATUS: u64 = 0x020;
const COUNTER: u64 = 0x0f0;
/// Of comparator N: at `COMPARATORS + N * COMPARATOR_SIZE`.
const COMPARATORS: u64 = 0x100;
const COMPARATOR_SIZE: u64 = 0x20;
const OF_CONFIGURATION: u64 = 0;
const OF_VALUE: u64 = 8;

/// How many comparators.
const COUNT: usize = 3;
/// Nanoseconds of a count.
const PERIOD: u64 = 10;
/// The event loop looks at it no more often than this, in nanoseconds.
const SHORTEST_WAIT: u64 = 50_000;

/// 2.3.4: the period in femtoseconds, the maker, legacy replacement, a counter of 64 bits, the number of the last comparator,
/// revision 1. The ACPI table repeats its lower half.
pub const ID: u64 =
    (PERIOD * 1_000_000) << 32 | 0x8086 << 16 | 1 << 15 | 1 << 13 | (COUNT as u64 - 1) << 8 | 1;

// 2.3.5.
const ENABLE: u64 = 1 << 0;
const LEGACY: u64 = 1 << 1;

// 2.3.8.
const LEVEL: u64 = 1 << 1;
const INTERRUPT: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
/// The next write sets the value and not only the period. Reads as 0.
const SET_VALUE: u64 = 1 << 6;
const ONLY_32_BITS: u64 = 1 << 8;
const ROUTE_SHIFT: u64 = 9;
const ROUTE: u64 = 0x1f << ROUTE_SHIFT;
const WRITABLE: u64 = LEVEL | INTERRUPT | PERIODIC | SET_VALUE | ONLY_32_BITS | ROUTE;
/// Each can be periodic, has 64 bits, and can be routed to these lines of the I/O APIC: 16 to 23.
const ROUTES: u64 = 0x00ff_0000;
const FIXED: u64 = ROUTES << 32 | 1 << 5 | 1 << 4;

#[derive(Clone, Copy)]
struct Comparator {
    /// Without [`FIXED`].
    configuration: u64,
    value: u64,
    /// What is added to the value at each match, in counts.
    period: u64,
}

impl Comparator {
    /// 2.3.9: the value is all ones.
    const RESET: Comparator = Comparator { configuration: 0, value: u64::MAX, period: 0 };

    fn has(&self, bit: u64) -> bool {
        self.configuration & bit != 0
    }

    fn mask(&self) -> u64 {
        if self.has(ONLY_32_BITS) { u32::MAX.into() } else { u64::MAX }
    }

    /// In how many counts it matches; 1 at least.
    fn distance(&self, counter: u64) -> u64 {
        // Where the counter has the value now, that match was handled: the next one is a whole round away.
        self.value.wrapping_sub(counter).wrapping_sub(1) & self.mask()
    }

    /// The counter has gone from `before` to `now`. Whether it matched.
    fn advance(&mut self, before: u64, now: u64) -> bool {
        let passed = now.wrapping_sub(before);
        if passed == 0 || self.distance(before) > passed - 1 {
            return false;
        }
        if self.has(PERIODIC) && self.period > 0 {
            // Several matches that were missed give one interrupt.
            let late = now.wrapping_sub(self.value) & self.mask();
            let steps = late / self.period + 1;
            self.value = self.value.wrapping_add(steps.wrapping_mul(self.period)) & self.mask();
        }
        true
    }

    fn set_value(&mut self, value: u64) {
        let value = value & self.mask();
        if !self.has(PERIODIC) || self.has(SET_VALUE) {
            self.value = value;
        }
        if self.has(PERIODIC) {
            self.period = value;
        }
        self.configuration &= !SET_VALUE;
    }

    fn configure(&mut self, written: u64) {
        let mut configuration = written & WRITABLE;
        // A line that it can't have is not taken: 2.3.8, "Interrupt Rout".
        if ROUTES >> (configuration >> ROUTE_SHIFT & 0x1f) & 1 == 0 {
            configuration = configuration & !ROUTE | self.configuration & ROUTE;
        }
        self.configuration = configuration;
        self.value &= self.mask();
        self.period &= self.mask();
    }
}

/// The registers. Times are the host's, in nanoseconds.
struct Registers {
    configuration: u64,
    /// A bit for each comparator whose level-triggered interrupt is active.
    status: u64,
    comparators: [Comparator; COUNT],
    /// The counter as it was, and when.
    counter: u64,
    at: u64,
}

impl Registers {
    const RESET: Registers = Registers {
        configuration: 0,
        status: 0,
        comparators: [Comparator::RESET; COUNT],
        counter: 0,
        at: 0,
    };

    fn is_running(&self) -> bool {
        self.configuration & ENABLE != 0
    }

    fn is_legacy(&self) -> bool {
        self.configuration & LEGACY != 0
    }

    /// Brings the counter up to now. A bit for each comparator that interrupts because of that.
    fn advance(&mut self, now: u64) -> u64 {
        if !self.is_running() {
            self.at = now;
            return 0;
        }
        let counts = now.saturating_sub(self.at) / PERIOD;
        let before = self.counter;
        self.counter = before.wrapping_add(counts);
        // What is left of a count stays.
        self.at += counts * PERIOD;
        let mut fired = 0;
        for (number, comparator) in self.comparators.iter_mut().enumerate() {
            if comparator.advance(before, self.counter) {
                // The status of a level shows the match also where it does not interrupt: 2.3.8.
                self.status |= u64::from(comparator.has(LEVEL)) << number;
                fired |= u64::from(comparator.has(INTERRUPT)) << number;
            }
        }
        fired
    }

    /// When a comparator interrupts next.
    fn deadline(&self) -> Option<u64> {
        let waits = |(number, comparator): (usize, &Comparator)| {
            (comparator.has(INTERRUPT) && !self.level(number))
                .then(|| comparator.distance(self.counter))
        };
        let distance = self.comparators.iter().enumerate().filter_map(waits).min()?;
        let counts = distance.checked_add(1).filter(|_| self.is_running())?;
        self.at.checked_add(counts.checked_mul(PERIOD)?)
    }

    /// The line that a comparator's interrupt goes to: 2.3.5, "LegacyReplacement". `None`: the guest has not chosen one.
    fn line(&self, number: usize) -> Option<u32> {
        let route = (self.comparators[number].configuration & ROUTE) >> ROUTE_SHIFT;
        match number {
            0 if self.is_legacy() => Some(TIMER_LINE),
            1 if self.is_legacy() => Some(RTC_LINE),
            _ => (ROUTES >> route & 1 != 0).then_some(route as u32),
        }
    }

    /// Whether a comparator holds its line active.
    fn level(&self, number: usize) -> bool {
        let comparator = &self.comparators[number];
        let is_level = comparator.has(LEVEL) && comparator.has(INTERRUPT);
        self.status >> number & 1 != 0 && is_level && self.line(number).is_some()
    }

    /// A register of eight bytes, at a multiple of eight.
    fn read(&self, register: u64) -> u64 {
        match register {
            CAPABILITIES => ID,
            CONFIGURATION => self.configuration,
            STATUS => self.status,
            COUNTER => self.counter,
            _ => match self.find(register) {
                Some((number, OF_CONFIGURATION)) => {
                    self.comparators[number].configuration & !SET_VALUE | FIXED
                }
                Some((number, OF_VALUE)) => self.comparators[number].value,
                _ => 0,
            },
        }
    }

    /// The comparator that a register belongs to, and which of its registers it is.
    fn find(&self, register: u64) -> Option<(usize, u64)> {
        let offset = register.checked_sub(COMPARATORS)?;
        let number = (offset / COMPARATOR_SIZE) as usize;
        (number < COUNT).then_some((number, offset % COMPARATOR_SIZE))
    }

    /// Writes some bytes of a register; the mask has ones for these.
    fn write(&mut self, register: u64, bytes: u64, mask: u64) {
        let mixed = |old: u64| old & !mask | bytes & mask;
        match register {
            CONFIGURATION => self.configuration = mixed(self.configuration) & (ENABLE | LEGACY),
            STATUS => self.status &= !(bytes & mask),
            COUNTER => self.counter = mixed(self.counter),
            _ => match self.find(register) {
                Some((number, OF_CONFIGURATION)) => {
                    let comparator = &mut self.comparators[number];
                    comparator.configure(mixed(comparator.configuration));
                }
                Some((number, OF_VALUE)) => {
                    let comparator = &mut self.comparators[number];
                    // A half of the period is written beside its other half.
                    let is_period = comparator.has(PERIODIC) && !comparator.has(SET_VALUE);
                    let old = if is_period { comparator.period } else { comparator.value };
                    comparator.set_value(mixed(old));
                }
                _ => {}
            },
        }
    }
}

/// The device.
pub struct Hpet {
    inner: Mutex<Inner>,
    timer: Timer,
    pit: IntervalTimer,
    rtc: Arc<Rtc>,
}

struct Inner {
    registers: Registers,
    lines: [InterruptLine; COUNT],
}

impl Hpet {
    /// After a reset: it stands still.
    pub fn new(
        lines: &Arc<InterruptLines>,
        pit: IntervalTimer,
        rtc: Arc<Rtc>,
    ) -> Result<Hpet, CallError> {
        let lines = [(); COUNT].map(|()| InterruptLine::new(lines.clone(), 0));
        let inner = Inner { registers: Registers::RESET, lines };
        Ok(Hpet { inner: Mutex::new(inner), timer: Timer::machine()?, pit, rtc })
    }

    /// Brings the registers up to now.
    fn up_to_date(&self) -> Guard<'_, Inner> {
        let mut inner = self.inner.lock();
        let fired = inner.registers.advance(clock::machine());
        let Inner { registers, lines } = &*inner;
        for (number, line) in lines.iter().enumerate() {
            if fired >> number & 1 != 0 && registers.line(number).is_some() {
                line.set(true);
                // Where it is edge-triggered, this was the edge.
                line.set(registers.level(number));
            }
        }
        inner
    }

    /// Lines and timer follow the registers.
    fn follow(&self, inner: &mut Inner) {
        let Inner { registers, lines } = inner;
        for (number, line) in lines.iter_mut().enumerate() {
            if let Some(gsi) = registers.line(number) {
                line.move_to(gsi);
            }
            line.set(registers.level(number));
        }
        self.set_timer(registers);
    }

    /// Sets the timer for the next interrupt, but so that a guest's shortest period does not keep the event loop busy.
    fn set_timer(&self, registers: &Registers) {
        let least = registers.at + SHORTEST_WAIT;
        self.timer.set(registers.deadline().map(|at| at.max(least)));
    }
}

impl Field for Registers {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.configuration, self.status, self.counter, self.at);
        for comparator in &mut self.comparators {
            visit!(fields; comparator.configuration, comparator.value, comparator.period);
            let is_known = comparator.configuration & !WRITABLE == 0;
            fields.check(is_known, "a comparator is set to what there is not")?;
        }
        fields.check(
            self.configuration & !(ENABLE | LEGACY) == 0,
            "it is set to what there is not",
        )?;
        fields.check(self.at <= clock::machine(), "it is ahead of the machine's clock")
    }
}

impl Saved for Hpet {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut inner = self.inner.lock();
        inner.registers.visit(fields)?;
        inner.lines.iter_mut().try_for_each(|line| line.visit_moving(fields))
    }

    fn restored(&self) {
        self.expired();
    }
}

impl Device for Hpet {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "HPET"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let inner = self.up_to_date();
        for (byte, at) in data.iter_mut().zip(offset..) {
            *byte = inner.registers.read(at & !7).to_le_bytes()[(at & 7) as usize];
        }
        self.set_timer(&inner.registers);
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let mut inner = self.up_to_date();
        let was_legacy = inner.registers.is_legacy();
        let (mut bytes, mut mask) = ([0; 8], [0; 8]);
        for (&byte, at) in data.iter().zip((offset & 7) as usize..8) {
            (bytes[at], mask[at]) = (byte, 0xff);
        }
        let [bytes, mask] = [bytes, mask].map(u64::from_le_bytes);
        inner.registers.write(offset & !7, bytes, mask);
        self.follow(&mut inner);
        let is_legacy = inner.registers.is_legacy();
        if is_legacy != was_legacy {
            // The two lines were theirs.
            self.pit.connect(!is_legacy);
            self.rtc.connect(!is_legacy);
        }
    }
}

impl Timed for Hpet {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn expired(&self) {
        let inner = self.up_to_date();
        self.set_timer(&inner.registers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(miri))]
    use crate::{
        devices::{acpi_pm::AcpiPm, pit::Pit, rtc::Kept, tests::vcpu},
        host::event::Event,
        kvm::interrupt_line::fake,
        lifecycle::Lifecycle,
    };

    const WHOLE: u64 = u64::MAX;
    const MS: u64 = 1_000_000;

    fn comparator(number: u64, register: u64) -> u64 {
        COMPARATORS + number * COMPARATOR_SIZE + register
    }

    /// One that runs from time 0 on.
    fn running() -> Registers {
        let mut hpet = Registers::RESET;
        hpet.write(CONFIGURATION, ENABLE, WHOLE);
        hpet
    }

    #[test]
    fn it_says_what_it_is() {
        let hpet = Registers::RESET;
        assert_eq!(hpet.read(CAPABILITIES), 0x0098_9680_8086_a201);
        for number in 0..3 {
            let configuration = hpet.read(comparator(number, OF_CONFIGURATION));
            assert_eq!(configuration, 0x00ff_0000_0000_0030);
        }
        assert_eq!(hpet.read(comparator(2, OF_VALUE)), u64::MAX);
        for register in [CONFIGURATION, STATUS, COUNTER, 0x08, 0x110, 0x160, 0x3f8] {
            assert_eq!(hpet.read(register), 0, "{register:#x}");
        }
        let mut hpet = hpet;
        hpet.write(CAPABILITIES, 0, WHOLE);
        hpet.write(CONFIGURATION, WHOLE, WHOLE);
        assert_eq!((hpet.read(CAPABILITIES), hpet.read(CONFIGURATION)), (ID, 3));
    }

    #[test]
    fn the_counter_counts_while_it_is_enabled_and_can_be_set() {
        let mut hpet = Registers::RESET;
        hpet.advance(MS);
        assert_eq!(hpet.read(COUNTER), 0);
        hpet.write(COUNTER, 0x1_0000_0000, WHOLE);
        hpet.write(COUNTER, 7, 0xffff_ffff);
        assert_eq!(hpet.read(COUNTER), 0x1_0000_0007, "half of it");
        hpet.write(CONFIGURATION, ENABLE, WHOLE);
        for step in 0..10 {
            // A tenth of a count each.
            hpet.advance(MS + step);
        }
        assert_eq!(hpet.read(COUNTER), 0x1_0000_0007);
        hpet.advance(2 * MS);
        assert_eq!(hpet.read(COUNTER), 0x1_0000_0007 + 100_000);
        hpet.write(CONFIGURATION, 0, WHOLE);
        hpet.advance(9 * MS);
        assert_eq!(hpet.read(COUNTER), 0x1_0000_0007 + 100_000);
    }

    #[test]
    fn one_shot_interrupts_once_at_its_count() {
        let mut hpet = running();
        hpet.write(comparator(2, OF_CONFIGURATION), INTERRUPT | 17 << 9, WHOLE);
        hpet.write(comparator(2, OF_VALUE), 500, WHOLE);
        assert_eq!((hpet.deadline(), hpet.line(2)), (Some(5000), Some(17)));
        assert_eq!([hpet.advance(4999), hpet.advance(5000), hpet.advance(6000)], [0, 4, 0]);
        assert_eq!(hpet.read(STATUS), 0, "an edge leaves no status");
        assert_eq!(hpet.deadline(), None, "the next match is 5000 years away");
        // Not enabled, it matches in silence.
        hpet.write(comparator(2, OF_CONFIGURATION), 0, WHOLE);
        hpet.write(comparator(2, OF_VALUE), 700, WHOLE);
        assert_eq!((hpet.deadline(), hpet.advance(8000)), (None, 0));
    }

    #[test]
    fn in_32_bits_it_matches_in_each_round() {
        let mut hpet = running();
        hpet.write(comparator(0, OF_CONFIGURATION), INTERRUPT | ONLY_32_BITS, WHOLE);
        hpet.write(comparator(0, OF_VALUE), 0x5_0000_0064, WHOLE);
        assert_eq!(hpet.read(comparator(0, OF_VALUE)), 0x64);
        assert_eq!([hpet.advance(999), hpet.advance(1000)], [0, 1]);
        assert_eq!(hpet.deadline(), Some(1000 + (10 << 32)));
        assert_eq!([hpet.advance(999 + (10 << 32)), hpet.advance(1000 + (10 << 32))], [0, 1]);
        assert_eq!(hpet.advance(100 << 32), 1, "rounds that nobody noticed are one");
    }

    #[test]
    fn periodic_interrupts_again_and_again() {
        let mut hpet = running();
        // As Linux does it: the first match, then the period.
        let mode = INTERRUPT | PERIODIC | SET_VALUE | ONLY_32_BITS;
        hpet.write(comparator(0, OF_CONFIGURATION), mode, 0xffff_ffff);
        hpet.write(comparator(0, OF_VALUE), 1000, 0xffff_ffff);
        hpet.write(comparator(0, OF_VALUE), 100, 0xffff_ffff);
        let fired: Vec<u64> = (0..20).map(|step| hpet.advance(9000 + step * 500)).collect();
        assert_eq!(fired[..7], [0, 0, 1, 0, 1, 0, 1]);
        assert_eq!(fired.iter().sum::<u64>(), 9);
        assert_eq!(hpet.deadline(), Some(19_000));
        // A host that was late: one interrupt, and on with the beat.
        assert_eq!(hpet.advance(25_500), 1);
        assert_eq!((hpet.deadline(), hpet.read(comparator(0, OF_VALUE))), (Some(26_000), 2600));
        // A period in two halves, while the value has its upper half.
        let mut wide = running();
        wide.write(comparator(1, OF_CONFIGURATION), INTERRUPT | PERIODIC | SET_VALUE, WHOLE);
        wide.write(comparator(1, OF_VALUE), 1 << 32, WHOLE);
        wide.write(comparator(1, OF_VALUE), 100, 0xffff_ffff);
        wide.write(comparator(1, OF_VALUE), 0, WHOLE << 32);
        assert_eq!(wide.comparators[1].period, 100);
        // Without a period it is as one-shot.
        hpet.write(comparator(0, OF_VALUE), 0, 0xffff_ffff);
        assert_eq!([hpet.advance(26_000), hpet.advance(90_000)], [1, 0]);
    }

    #[test]
    fn a_level_stays_until_its_status_is_cleared() {
        let mut hpet = running();
        hpet.write(comparator(1, OF_CONFIGURATION), INTERRUPT | LEVEL | 20 << 9, WHOLE);
        hpet.write(comparator(1, OF_VALUE), 100, WHOLE);
        assert_eq!((hpet.advance(1000), hpet.read(STATUS), hpet.level(1)), (2, 2, true));
        hpet.write(STATUS, 1, WHOLE);
        assert!(hpet.level(1), "another one's bit");
        hpet.write(STATUS, 2, WHOLE);
        assert!(!hpet.level(1));
        hpet.write(comparator(1, OF_VALUE), 200, WHOLE);
        hpet.advance(2000);
        hpet.write(comparator(1, OF_CONFIGURATION), LEVEL | 20 << 9, WHOLE);
        assert!(!hpet.level(1), "switched off");
        assert_eq!(hpet.read(STATUS), 2, "the status shows the match all the same");
        hpet.write(STATUS, 2, WHOLE);
        assert_eq!(hpet.read(STATUS), 0);
    }

    #[test]
    fn lines_are_those_that_it_offers_or_a_pc_s_old_ones() {
        let mut hpet = running();
        for (written, line) in [(16, 16), (23, 23), (5, 23), (31, 23), (19, 19)] {
            hpet.write(comparator(0, OF_CONFIGURATION), written << 9, WHOLE);
            assert_eq!(hpet.line(0), Some(line));
            assert_eq!(hpet.read(comparator(0, OF_CONFIGURATION)) >> 9 & 0x1f, u64::from(line));
        }
        hpet.write(CONFIGURATION, ENABLE | LEGACY, WHOLE);
        hpet.write(comparator(2, OF_CONFIGURATION), 18 << 9, WHOLE);
        assert_eq!([0, 1, 2].map(|number| hpet.line(number)), [Some(0), Some(8), Some(18)]);
        assert_eq!(running().line(0), None, "none was chosen");
    }

    /// One with the two devices whose lines it can take, and what reaches the interrupt controllers.
    #[cfg(not(miri))]
    fn devices() -> (Hpet, Arc<Pit>, Arc<Rtc>, Arc<fake::Controllers>) {
        let (lines, controllers) = fake::lines();
        let line = |gsi| InterruptLine::new(lines.clone(), gsi);
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
        let pit = Arc::new(Pit::new(line(0)).unwrap());
        let pm = Arc::new(AcpiPm::new(line(9), lifecycle, 0).unwrap());
        let rtc = Arc::new(Rtc::new(Kept::new([1 << 20, 0]), line(8), pm).unwrap());
        let hpet = Hpet::new(&lines, IntervalTimer::Ours(pit.clone()), rtc.clone()).unwrap();
        (hpet, pit, rtc, controllers)
    }

    #[test]
    #[cfg(not(miri))]
    fn legacy_replacement_takes_the_lines_of_the_interval_timer_and_the_clock() {
        let (hpet, pit, rtc, controllers) = devices();
        let write = |register, value: u64| hpet.write(register, &value.to_le_bytes(), &vcpu());
        let wait = || {
            std::thread::sleep(std::time::Duration::from_millis(2));
            pit.expired();
            rtc.expired();
            hpet.expired();
        };
        // Both interrupt: the timer after 84 us, the clock 1024 times a second.
        for byte in [0x30, 100, 0] {
            pit.write(if byte == 0x30 { 3 } else { 0 }, &[byte], &vcpu());
        }
        rtc.write(0, &[0x0b, 0x42], &vcpu());
        wait();
        // On a busy host the clock can be the first.
        let mut raised = controllers.take();
        raised.sort();
        assert_eq!(raised, [(0, true), (8, true)]);
        write(CONFIGURATION, ENABLE | LEGACY);
        assert_eq!(controllers.take(), [(0, false), (8, false)]);
        wait();
        assert_eq!(controllers.take(), []);
        // The first two comparators have the lines now, for an edge each.
        for number in 0..2 {
            write(comparator(number, OF_CONFIGURATION), INTERRUPT);
            let now = hpet.up_to_date().registers.counter;
            write(comparator(number, OF_VALUE), now + 100_000);
        }
        wait();
        assert_eq!(controllers.take(), [(0, true), (0, false), (8, true), (8, false)]);
        // The clock still waits for its interrupt to be acknowledged.
        write(CONFIGURATION, ENABLE);
        assert_eq!(controllers.take(), [(8, true)]);
    }

    #[test]
    #[cfg(not(miri))]
    fn parts_of_registers_are_read_and_written() {
        let (hpet, ..) = devices();
        let read = |offset, size: usize| {
            let mut data = [0; 8];
            hpet.read(offset, &mut data[..size]);
            u64::from_le_bytes(data)
        };
        hpet.write(COUNTER + 2, &[7], &vcpu());
        assert_eq!(
            (read(COUNTER, 8), read(COUNTER + 2, 1), read(COUNTER + 1, 2)),
            (7 << 16, 7, 7 << 8)
        );
        // The upper half of one register and the lower half of the next one.
        assert_eq!(read(4, 8), ID >> 32);
        hpet.write(COUNTER + 4, &[1; 8], &vcpu());
        assert_eq!(read(COUNTER, 8), 0x0101_0101_0007_0000, "a write ends with the register");
    }

    #[test]
    fn no_value_makes_it_panic_or_hang() {
        let mut hpet = running();
        let mut random = 7u64;
        let mut now = 0u64;
        for _ in 0..if cfg!(miri) { 500 } else { 100_000 } {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let register = random >> 40 & 0x3f8;
            let mask = [WHOLE, 0xffff_ffff, WHOLE << 32, 0xff00][(random >> 20) as usize % 4];
            hpet.write(register, random.rotate_left(17), mask);
            hpet.read(register);
            now = now.saturating_add(random >> (20 + random % 40));
            hpet.advance(now);
            let deadline = hpet.deadline();
            assert!(deadline.is_none_or(|at| at > now - PERIOD), "{deadline:?} {now}");
        }
    }
}
