//! The lessons' devices: a scratch register, the time, a doorbell and an MSR. [`crate::layout`] says where they
//! are and what they do.

use crate::device::events::Events;
use crate::fd;
use crate::layout::{
    LESSON_ACKNOWLEDGED, LESSON_COUNTER, LESSON_DOORBELL, LESSON_LOG_SIZE, LESSON_SUM, LESSON_TIME,
    LOG_PORT,
};
use crate::x86;

/// What the guest has left in them.
#[derive(Default)]
pub struct Lesson {
    scratch: [u8; 8],
    /// [`crate::layout::LESSON_MSR`].
    pub msr: u64,
    /// The counter and the log.
    pub events: Events,
}

impl Lesson {
    /// An access to one of the scratch ports. What would go past the last port reads ones, and is lost.
    pub fn port(&mut self, place: usize, write: bool, item: &mut [u8]) {
        for (at, byte) in (place..).zip(item) {
            match self.scratch.get_mut(at).filter(|_| at < 4) {
                Some(old) if write => *old = *byte,
                Some(old) => *byte = *old,
                None if write => {}
                None => *byte = 0xff,
            }
        }
    }

    /// A read of the doorbell's port, where the time is.
    pub fn time(&self, item: &mut [u8]) {
        copy(item, u64::from_le_bytes(time()));
    }

    /// An access to the counter's port, or the log's.
    pub fn count(&mut self, port: u16, write: bool, item: &mut [u8]) {
        match (write, port) {
            (true, LOG_PORT) => self.events.log(x86::number(item), false),
            (true, _) => self.events.counted += 1,
            (false, LOG_PORT) => copy(item, self.events.read(LESSON_SUM)),
            (false, _) => copy(item, self.events.read(LESSON_COUNTER)),
        }
    }

    /// The scratch register, as a number.
    pub fn scratch(&self) -> u64 {
        u64::from_le_bytes(self.scratch)
    }

    /// An access to the lessons' page. Gives what was written to the doorbell.
    #[inline(never)]
    pub fn page(&mut self, place: u64, write: bool, data: &mut [u8]) -> Option<u32> {
        if write && place == LESSON_DOORBELL {
            return Some(x86::number(data) as u32);
        }
        match place {
            LESSON_LOG_SIZE.. if write => {
                self.events.log(x86::number(data), false);
                return None;
            }
            LESSON_COUNTER if write => {
                self.events.counted += 1;
                return None;
            }
            LESSON_COUNTER..=LESSON_ACKNOWLEDGED if !write => {
                copy(data, self.events.read(place));
                return None;
            }
            _ => {}
        }
        // The clock is asked only where it is read.
        let end = place + data.len() as u64;
        let time = if write || end <= LESSON_TIME { [0xff; 8] } else { time() };
        for (at, byte) in (place as usize..).zip(data) {
            match self.scratch.get_mut(at) {
                Some(old) if write => *old = *byte,
                Some(old) => *byte = *old,
                None if write => {}
                None => *byte = time.get(at - LESSON_TIME as usize).copied().unwrap_or(0xff),
            }
        }
        None
    }
}

/// As many bytes of a number as there is room for.
#[inline(never)]
fn copy(item: &mut [u8], value: u64) {
    for (byte, value) in item.iter_mut().zip(value.to_le_bytes()) {
        *byte = value;
    }
}

fn time() -> [u8; 8] {
    (fd::now() / 1000).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::COUNTER_PORT;

    #[test]
    fn a_port_is_a_part_of_the_register() {
        let mut lesson = Lesson::default();
        lesson.port(0, true, &mut [1, 2, 3, 4]);
        lesson.port(1, true, &mut [7, 8]);
        let mut read = [0; 4];
        lesson.port(0, false, &mut read);
        assert_eq!(read, [1, 7, 8, 4]);
        lesson.port(3, false, &mut read[..2]);
        assert_eq!(read[..2], [4, 0xff], "behind the last port there is nothing");
    }

    #[test]
    fn the_counter_counts_and_the_log_adds() {
        let mut lesson = Lesson::default();
        lesson.count(COUNTER_PORT, true, &mut [9]);
        lesson.count(COUNTER_PORT, true, &mut [9, 9]);
        assert_eq!(lesson.page(LESSON_COUNTER, true, &mut [7; 4]), None);
        let mut read = [0; 4];
        lesson.count(COUNTER_PORT, false, &mut read);
        assert_eq!(read, [3, 0, 0, 0]);
        lesson.count(LOG_PORT, true, &mut [5]);
        lesson.page(LESSON_LOG_SIZE + 8, true, &mut [0, 1]);
        lesson.page(LESSON_SUM, false, &mut read);
        assert_eq!(read, [5, 1, 0, 0]);
        lesson.page(LESSON_SUM - 8, false, &mut read);
        assert_eq!(read, [2, 0, 0, 0]);
    }

    #[test]
    fn the_page_holds_the_register_the_time_and_the_doorbell() {
        let mut lesson = Lesson::default();
        assert_eq!(lesson.page(0, true, &mut [1, 2, 3, 4, 5, 6, 7, 8]), None);
        assert_eq!(lesson.page(LESSON_TIME, true, &mut [0xaa; 8]), None);
        assert_eq!(lesson.page(LESSON_DOORBELL, true, &mut [3, 0]), Some(3));
        let mut read = [0; 8];
        assert_eq!(lesson.page(0, false, &mut read), None);
        assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(lesson.page(LESSON_DOORBELL, false, &mut read), None);
        assert_eq!(read, [0xff; 8]);
        let mut times = [[0; 8]; 2];
        for time in &mut times {
            lesson.page(LESSON_TIME, false, time);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let passed = u64::from_le_bytes(times[1]) - u64::from_le_bytes(times[0]);
        assert!((2000..60_000_000).contains(&passed), "{passed} us");
    }
}
