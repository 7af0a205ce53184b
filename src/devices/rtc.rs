//! The real-time clock, as far as it tells the time: an MC146818, in decimal digits and 24 hours. An update is never in
//! progress.

use crate::bus::Device;
use crate::host::clock;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// Port 0x70: which register.
const INDEX: u64 = 0;
/// Port 0x71: its value.
const DATA: u64 = 1;

/// The clock.
#[derive(Default)]
pub struct Rtc {
    index: AtomicU8,
}

impl Device for Rtc {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "real-time clock"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if offset == DATA {
            data[0] = register(self.index.load(SeqCst), clock::seconds_since_1970());
        } else if let Some(value) = data.get_mut(1) {
            *value = register(self.index.load(SeqCst), clock::seconds_since_1970());
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        // Bit 7 masks NMIs. Values can't be set.
        if offset == INDEX {
            self.index.store(data[0] & 0x7f, SeqCst);
        }
    }
}

/// A register's value, so many seconds after the beginning of 1970.
fn register(index: u8, seconds: u64) -> u8 {
    let (days, second) = (seconds / 86400, seconds % 86400);
    let (year, month, day) = date(days);
    let value = match index {
        0 => second % 60,
        2 => second / 60 % 60,
        4 => second / 3600,
        // Sunday is 1, and the first day of 1970 was a Thursday.
        6 => (days + 4) % 7 + 1,
        7 => day,
        8 => month,
        9 => year % 100,
        0x32 => year / 100,
        // Register A: the divider runs; B: 24 hours; D: the battery is good.
        10 => return 0x26,
        11 => return 0x02,
        13 => return 0x80,
        _ => return 0,
    };
    let (tens, ones) = (value / 10, value % 10);
    (tens * 16 + ones) as u8
}

/// Year, month and day, so many days after the first of 1970.
///
/// A year begins with March here, so that a leap day is its last. In this way the months before have 153 days in five,
/// twice over.
fn date(days: u64) -> (u64, u64, u64) {
    // From the first of March 1968 on, four years have 1461 days. 2100 has no leap day.
    let days = days + 671 + u64::from(days > 47_540);
    let (four_years, day) = (days / 1461 * 4, days % 1461);
    let year = (day / 365).min(3);
    let day = day - 365 * year;
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    match month {
        10.. => (1969 + four_years + year, month - 9, day),
        _ => (1968 + four_years + year, month + 3, day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    #[test]
    fn the_time_is_told_in_decimal_digits() {
        // 2024-10-04, a Friday, 13:59:58.
        let seconds = 20_000 * 86400 + 13 * 3600 + 59 * 60 + 58;
        let read = |index| register(index, seconds);
        assert_eq!(
            [0, 2, 4, 6, 7, 8, 9, 0x32].map(read),
            [0x58, 0x59, 0x13, 6, 4, 0x10, 0x24, 0x20]
        );
        assert_eq!([10, 11, 12, 13].map(read), [0x26, 2, 0, 0x80]);
    }

    #[test]
    fn a_register_is_chosen_and_read() {
        let rtc = Rtc::default();
        rtc.write(INDEX, &[0x8d], &vcpu());
        let mut data = [0];
        rtc.read(DATA, &mut data);
        assert_eq!(data, [0x80]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in [
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
            assert_eq!(date(days), expected);
        }
    }
}
