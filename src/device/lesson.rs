//! The lessons' devices: a scratch register, the time, a doorbell and an MSR. [`crate::layout`] says where they
//! are and what they do.

use crate::fd;
use crate::layout::{LESSON_DOORBELL, LESSON_TIME};
use crate::x86;

/// What the guest has left in them.
#[derive(Default)]
pub struct Lesson {
    scratch: [u8; 8],
    /// [`crate::layout::LESSON_MSR`].
    pub msr: u64,
}

impl Lesson {
    /// An access to one of the scratch ports, item after item at the same place. What would go past the last
    /// port reads ones, and is lost.
    pub fn port(&mut self, place: usize, write: bool, size: usize, data: &mut [u8]) {
        for item in data.chunks_mut(size.max(1)) {
            for (at, byte) in (place..).zip(item) {
                match self.scratch.get_mut(at).filter(|_| at < 4) {
                    Some(old) if write => *old = *byte,
                    Some(old) => *byte = *old,
                    None if write => {}
                    None => *byte = 0xff,
                }
            }
        }
    }

    /// A read of the doorbell's port, where the time is.
    pub fn time(&self, size: usize, data: &mut [u8]) {
        let time = time();
        for item in data.chunks_mut(size.max(1)) {
            for (byte, value) in item.iter_mut().zip(time) {
                *byte = value;
            }
        }
    }

    /// An access to the lessons' page. Gives what was written to the doorbell.
    pub fn page(&mut self, place: u64, write: bool, data: &mut [u8]) -> Option<u32> {
        if write && place == LESSON_DOORBELL {
            return Some(x86::number(data) as u32);
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

fn time() -> [u8; 8] {
    (fd::now() / 1000).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_part_of_the_register() {
        let mut lesson = Lesson::default();
        lesson.port(0, true, 4, &mut [1, 2, 3, 4]);
        lesson.port(1, true, 2, &mut [7, 8]);
        let mut read = [0; 4];
        lesson.port(0, false, 4, &mut read);
        assert_eq!(read, [1, 7, 8, 4]);
        lesson.port(3, false, 2, &mut read);
        assert_eq!(read, [4, 0xff, 4, 0xff], "behind the last port there is nothing");
    }

    #[test]
    fn a_string_s_items_go_to_one_place() {
        let mut lesson = Lesson::default();
        lesson.port(0, true, 1, &mut b"abc".clone());
        let mut read = [0; 3];
        lesson.port(0, false, 1, &mut read);
        assert_eq!(&read, b"ccc");
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
