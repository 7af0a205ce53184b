//! The real-time clock, register by register.

use super::*;

/// 2024-10-04, a Friday, 13:59:58.
const FRIDAY: u64 = 20_000 * 86400 + 13 * 3600 + 59 * 60 + 58;
const MS: u64 = 1_000_000;

/// A clock, and the host's time.
struct Clock(Registers, u64);

impl Clock {
    fn at(seconds: u64) -> Clock {
        let now = seconds * NANOSECONDS;
        Clock(Registers::new(Kept::new([16 * MIB, 0]), now), now)
    }

    fn read(&mut self, register: usize) -> u8 {
        self.0.advance(self.1);
        self.0.index = register as u8;
        self.0.read(self.1)
    }

    fn write(&mut self, register: usize, byte: u8) {
        self.0.advance(self.1);
        self.0.index = register as u8;
        self.0.write(byte, self.1);
    }

    fn pass(&mut self, nanoseconds: u64) {
        self.1 += nanoseconds;
    }

    /// Seconds, minutes, hours, weekday, day, month, year, century.
    fn time(&mut self) -> [u8; 8] {
        TIME.map(|register| self.read(register))
    }
}

#[test]
fn the_time_is_the_host_s_in_each_form() {
    let mut clock = Clock::at(FRIDAY);
    assert_eq!(clock.time(), [0x58, 0x59, 0x13, 6, 4, 0x10, 0x24, 0x20]);
    clock.write(B, B_24_HOURS | B_BINARY);
    assert_eq!(clock.time(), [58, 59, 13, 6, 4, 10, 24, 20]);
    clock.write(B, 0);
    assert_eq!(clock.read(HOURS), 0x81, "1 in the afternoon");
    for (hour, shown) in [(0, 0x12), (1, 0x01), (11, 0x11), (12, 0x92), (23, 0x91)] {
        let mut clock = Clock::at(hour * 3600);
        clock.write(B, 0);
        assert_eq!(clock.read(HOURS), shown);
    }
}

#[test]
fn after_a_reset_nothing_is_enabled_and_what_the_battery_keeps_is_there() {
    let mut clock = Clock::at(FRIDAY);
    assert_eq!([A, B, C, D].map(|register| clock.read(register)), [0x26, 2, 0, 0x80]);
    clock.write(D, 0);
    assert_eq!(clock.read(D), 0x80, "D can't be written");
    for register in (14..SIZE).filter(|register| *register != CENTURY) {
        clock.write(register, !register as u8);
    }
    clock.write(SECONDS + 1, 0x33);
    clock.write(YEAR, 0x99);
    clock.write(B, INTERRUPTS | B_SQUARE_WAVE | B_BINARY);
    clock.pass(NANOSECONDS);
    assert_eq!(clock.read(C), 0xd0);
    let mut clock = Clock(Registers::new(clock.0.kept, clock.1), clock.1);
    assert_eq!((clock.read(B), clock.read(C)), (B_BINARY, 0));
    for register in (14..SIZE).filter(|register| *register != CENTURY) {
        assert_eq!(clock.read(register), !register as u8);
    }
    assert_eq!((clock.read(SECONDS + 1), clock.read(YEAR)), (0x33, 99));
}

#[test]
fn firmware_has_left_the_size_of_ram() {
    let size = |low, high| {
        let mut clock = Clock(Registers::new(Kept::new([low, high]), 0), 0);
        [0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d].map(|at| clock.read(at))
    };
    assert_eq!(size(16 * MIB, 0), [0x80, 2, 0, 0x3c, 0, 0x3c, 0, 0, 0, 0, 0]);
    assert_eq!(size(256 * MIB, 0), [0x80, 2, 0, 0xfc, 0, 0xfc, 0, 0x0f, 0, 0, 0]);
    assert_eq!(size(3 << 30, 2 << 30), [0x80, 2, 0, 0xfc, 0, 0xfc, 0, 0xbf, 0, 0x80, 0]);
    assert_eq!(size(MIB / 2, 0)[2..], [0; 9]);
}

#[test]
fn setting_the_time_stops_it_and_goes_on_from_there() {
    let mut clock = Clock::at(FRIDAY);
    clock.write(B, B_24_HOURS | B_SET | UPDATE);
    assert_eq!(clock.read(B), B_24_HOURS | B_SET, "no update interrupt while it is set");
    clock.pass(5 * NANOSECONDS);
    assert_eq!(clock.read(SECONDS), 0x58, "it stands");
    for (register, byte) in [
        (SECONDS, 0x59),
        (MINUTES, 0x59),
        (HOURS, 0x23),
        (WEEKDAY, 3),
        (DAY, 0x31),
        (MONTH, 0x12),
        (YEAR, 0x99),
        (CENTURY, 0x19),
    ] {
        clock.write(register, byte);
    }
    clock.write(B, B_24_HOURS);
    assert_eq!(clock.time(), [0x59, 0x59, 0x23, 3, 0x31, 0x12, 0x99, 0x19]);
    clock.pass(NANOSECONDS);
    assert_eq!(clock.time(), [0, 0, 0, 4, 1, 1, 0, 0x20], "the weekday counts as it was set");
    // A register at a time, while it runs.
    clock.write(HOURS, 0x07);
    assert_eq!(clock.time(), [0, 0, 7, 4, 1, 1, 0, 0x20]);
    // In 12 hours and binary numbers.
    clock.write(B, B_BINARY | B_SET);
    clock.write(HOURS, 12 | PM);
    clock.write(B, B_BINARY);
    assert_eq!(clock.read(HOURS), 0x8c);
    clock.write(B, B_BINARY | B_24_HOURS);
    assert_eq!(clock.read(HOURS), 12);
}

#[test]
fn an_update_is_seen_in_progress_for_2228_microseconds() {
    let mut clock = Clock::at(FRIDAY);
    let mut seen = 0;
    for _ in 0..10_000 {
        clock.pass(100_000);
        if clock.read(A) & A_UIP != 0 {
            seen += 1;
            assert_eq!(clock.read(SECONDS), 0x58, "the time changes at its end");
        }
    }
    assert_eq!((seen, clock.read(SECONDS)), (22, 0x59));
    clock.write(B, B_24_HOURS | B_SET);
    clock.pass(NANOSECONDS - 1);
    assert_eq!(clock.read(A), 0x26, "no update while it is set");
}

#[test]
fn the_divider_can_be_held_and_lets_go_half_a_second_before_an_update() {
    let mut clock = Clock::at(FRIDAY);
    clock.pass(123 * MS);
    clock.write(A, 0x76);
    clock.read(C);
    clock.pass(10 * NANOSECONDS);
    assert_eq!((clock.read(SECONDS), clock.read(C)), (0x58, 0), "it stands, and nothing happens");
    clock.write(A, 0x26);
    clock.pass(499 * MS);
    assert_eq!(clock.read(SECONDS), 0x58);
    clock.pass(MS);
    assert_eq!(clock.read(SECONDS), 0x59);
}

#[test]
fn each_update_sets_its_flag_which_a_read_clears() {
    let mut clock = Clock::at(FRIDAY);
    clock.write(A, 0x20);
    clock.pass(NANOSECONDS - 1);
    assert_eq!(clock.read(C), 0);
    clock.pass(1);
    assert_eq!([clock.read(C), clock.read(C)], [UPDATE, 0], "the flag comes without its interrupt");
    clock.write(B, B_24_HOURS | UPDATE);
    assert_eq!(clock.0.deadline(), Some(clock.1 + NANOSECONDS));
    clock.pass(NANOSECONDS);
    clock.0.advance(clock.1);
    assert!(clock.0.interrupt());
    assert_eq!(clock.0.deadline(), None, "it has come");
    assert_eq!(clock.read(C), C_IRQF | UPDATE);
    assert!(!clock.0.interrupt());
}

#[test]
fn periods_are_those_of_the_data_sheet() {
    let mut clock = Clock::at(FRIDAY);
    clock.write(B, B_24_HOURS | PERIODIC);
    for (rate, microseconds) in [
        (1, 3906),
        (2, 7812),
        (3, 122),
        (4, 244),
        (6, 976),
        (8, 3906),
        (9, 7812),
        (14, 250_000),
        (15, 500_000),
    ] {
        clock.write(A, 0x20 | rate);
        let first = clock.0.deadline().unwrap();
        clock.1 = first;
        assert_eq!(clock.read(C) & (C_IRQF | PERIODIC), C_IRQF | PERIODIC, "{rate}");
        let second = clock.0.deadline().unwrap();
        assert_eq!((second - first) / 1000, microseconds, "{rate}");
    }
    clock.write(A, 0x20);
    clock.read(C);
    assert_eq!(clock.0.deadline(), None, "rate 0 is none");
    clock.pass(NANOSECONDS);
    assert_eq!(clock.read(C) & PERIODIC, 0);
}

#[test]
fn an_alarm_comes_when_all_three_match() {
    let mut clock = Clock::at(FRIDAY);
    for (register, byte) in [(SECONDS, 0x05), (MINUTES, 0), (HOURS, 0x14)] {
        clock.write(register + 1, byte);
    }
    clock.write(B, B_24_HOURS | ALARM);
    assert_eq!(clock.0.deadline(), Some(clock.1 + 7 * NANOSECONDS));
    clock.pass(7 * NANOSECONDS - 1);
    assert!(!clock.0.advance(clock.1));
    clock.pass(1);
    assert!(clock.0.advance(clock.1), "an alarm that was wanted");
    assert_eq!(clock.read(C) & !PERIODIC, C_IRQF | ALARM | UPDATE);
    assert_eq!(clock.0.deadline(), Some(clock.1 + 86400 * NANOSECONDS), "tomorrow again");
    // Not wanted, its flag comes all the same.
    clock.write(B, B_24_HOURS);
    clock.pass(86400 * NANOSECONDS);
    assert!(!clock.0.advance(clock.1));
    assert_eq!(clock.read(C) & ALARM, ALARM);
}

#[test]
fn an_alarm_s_part_can_be_any_value_or_one_that_never_comes() {
    let next = |alarm: [u8; 3], b| {
        let mut clock = Clock::at(FRIDAY);
        for (register, byte) in [SECONDS, MINUTES, HOURS].into_iter().zip(alarm) {
            clock.write(register + 1, byte);
        }
        clock.write(B, b | ALARM);
        clock.0.deadline().map(|at| (at - clock.1) / NANOSECONDS)
    };
    assert_eq!(next([0xff, 0xc0, 0xd5], B_24_HOURS), Some(1), "each second");
    assert_eq!(next([0, 0xff, 0xff], B_24_HOURS), Some(2), "each minute");
    assert_eq!(next([0x57, 0x59, 0xff], B_24_HOURS), Some(3599), "each hour");
    assert_eq!(next([0x58, 0x59, 0x13], B_24_HOURS), Some(86400), "this second is over");
    assert_eq!(next([0, 0, 0x82], 0), Some(2), "2 in the afternoon");
    assert_eq!(next([0, 0, 14], B_24_HOURS | B_BINARY), Some(2));
    assert_eq!(next([0x60, 0xff, 0xff], B_24_HOURS), None);
    assert_eq!(next([0, 0, 0x25], B_24_HOURS), None);
}

#[test]
fn a_host_whose_clock_is_set_back_does_no_harm() {
    let mut clock = Clock::at(FRIDAY);
    clock.write(B, B_24_HOURS | INTERRUPTS);
    clock.1 -= 1000 * NANOSECONDS;
    assert!(!clock.0.advance(clock.1));
    assert_eq!((clock.read(C), clock.read(SECONDS)), (0, 0x18));
    assert!(clock.0.deadline().unwrap() > clock.1);
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (day, expected) in [
        (-1, (1969, 12, 31)),
        (0, (1970, 1, 1)),
        (58, (1970, 2, 28)),
        (59, (1970, 3, 1)),
        (365, (1971, 1, 1)),
        (789, (1972, 2, 29)),
        (790, (1972, 3, 1)),
        (11016, (2000, 2, 29)),
        (11017, (2000, 3, 1)),
        (11322, (2000, 12, 31)),
        (20_000, (2024, 10, 4)),
        (47_540, (2100, 2, 28)),
        (47_541, (2100, 3, 1)),
        (47_846, (2100, 12, 31)),
    ] {
        assert_eq!(date(day), expected);
    }
    // Day by day, from 1600 to 2500.
    let step = if cfg!(miri) { 1009 } else { 1 };
    for day in (-135_140..193_578).step_by(step) {
        let (year, month, in_month) = date(day);
        assert_eq!(days(year, month, in_month), day);
        assert!((1..=12).contains(&month) && (1..=31).contains(&in_month), "{day}");
    }
    assert_eq!(days(2023, 2, 29), days(2023, 3, 1), "a day too many counts on");
    assert_eq!(days(2023, 13, 1), days(2024, 1, 1));
}

/// A clock at its ports, with the changes of its line.
#[cfg(not(miri))]
fn at_its_ports() -> (Rtc, Arc<crate::kvm::interrupt_line::fake::Controllers>) {
    use crate::host::event::Event;
    use crate::kvm::interrupt_line::fake;
    use crate::lifecycle::Lifecycle;
    let (lines, controllers) = fake::lines();
    let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
    let pm = AcpiPm::new(InterruptLine::new(lines.clone(), 9), lifecycle, 0).unwrap();
    let kept = Kept::new([16 * MIB, 0]);
    (Rtc::new(kept, InterruptLine::new(lines, 8), Arc::new(pm)).unwrap(), controllers)
}

#[test]
#[cfg(not(miri))]
fn the_index_can_only_be_written_and_a_word_writes_both_ports() {
    use crate::devices::tests::vcpu;
    let (clock, _) = at_its_ports();
    let read = |port, size| {
        let mut data = vec![0; size];
        clock.read(port, &mut data);
        data
    };
    clock.write(INDEX, &[0x80 | 0x20, 0x5a], &vcpu());
    assert_eq!(read(DATA, 1), [0x5a], "bit 7 masks NMIs");
    assert_eq!(read(INDEX, 1), [0xff]);
    assert_eq!(read(INDEX, 2), [0xff, 0x5a]);
    assert_eq!(read(DATA, 4), [0x5a, 0xff, 0xff, 0xff]);
    clock.write(DATA, &[1, 2, 3, 4], &vcpu());
    assert_eq!(read(DATA, 1), [1], "behind the ports is nothing");
    clock.write(INDEX, &[CMOS_SHUTDOWN as u8, 0x0a], &vcpu());
    assert_eq!([clock.take_shutdown_code(), clock.take_shutdown_code()], [0x0a, 0]);
}

#[test]
#[cfg(not(miri))]
fn the_line_follows_an_interrupt_unless_the_hpet_has_taken_it() {
    use crate::devices::tests::vcpu;
    let (clock, controllers) = at_its_ports();
    let write = |register: usize, byte| clock.write(INDEX, &[register as u8, byte], &vcpu());
    let read_c = || {
        clock.write(INDEX, &[C as u8], &vcpu());
        clock.read(DATA, &mut [0]);
    };
    // The fastest rate: 122 us.
    write(A, A_OF_FIRMWARE & !A_RATE | 3);
    write(B, B_24_HOURS | PERIODIC);
    let start = std::time::Instant::now();
    while controllers.take().is_empty() {
        assert!(start.elapsed().as_secs() < 10, "there is no interrupt");
        clock.expired();
    }
    read_c();
    clock.connect(false);
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(2) {
        clock.expired();
    }
    assert!(!controllers.take().contains(&(8, true)));
    clock.connect(true);
    assert_eq!(controllers.take(), [(8, true)]);
    write(B, B_24_HOURS);
    assert_eq!(controllers.take(), [(8, false)]);
}
