//! What a PC has on its board beside the interrupt controllers: a serial port, the clock, the ways to switch it
//! off and to reset it; and the test devices that kernels written for QEMU expect. [`crate::layout`] says where.

use crate::device::serial::Serial;
use crate::errno::Errno;
use crate::fd::Buffer;
use crate::layout::*;
use crate::syscall;
use crate::words;
use crate::x86;
use core::ffi::c_int;

/// The board's devices.
#[repr(C)]
pub struct Board {
    cmos_index: u8,
    /// ACPI's registers, of which nothing is ever set but by the guest: PM1a status, enable, control.
    pm1: [u8; 6],
    /// The test devices' 64 KiB.
    scratch: Option<Buffer>,
    pub serial: Serial,
}

/// What an access to the board asks of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Nothing.
    None,
    /// The serial port's interrupt line may have changed.
    Serial,
    /// To switch it off.
    Off,
    /// To reset it.
    Reset,
    /// To set an interrupt line.
    Line(u8, bool),
    /// To drop the host's mapping of a page of RAM.
    Drop(u32),
}

impl Board {
    /// After power-on. The serial port sends to this descriptor; `scratch` is the memory at [`TEST_MEMORY`].
    pub fn new(fd: c_int, scratch: Option<Buffer>) -> Board {
        Board { cmos_index: 0, pm1: [0; 6], scratch, serial: Serial::new(fd) }
    }

    /// An access to a port. `None`: no device of the board is there. An error is one of the serial port's output.
    pub fn port(
        &mut self,
        write: bool,
        port: u16,
        item: &mut [u8],
    ) -> Result<Option<Event>, Errno> {
        if write { self.write(port, item) } else { Ok(self.read(port, item)) }
    }

    #[inline(never)]
    fn read(&mut self, port: u16, item: &mut [u8]) -> Option<Event> {
        let mut event = Event::None;
        for (port, byte) in (port..).zip(item) {
            *byte = match port {
                SERIAL_PORT..SERIAL_PORT_END => {
                    event = Event::Serial;
                    self.serial.read(port - SERIAL_PORT)
                }
                CMOS_DATA => cmos(self.cmos_index),
                PM1_EVENT..PM1_END => {
                    self.pm1.get(usize::from(port - PM1_EVENT)).copied().unwrap_or(0)
                }
                // Neither byte is full: it is ready for a command, and there is none from a key.
                KEYBOARD_COMMAND => 0,
                // A20 is on.
                SYSTEM_CONTROL => 2,
                CMOS_INDEX | PCI_CONFIG..PCI_CONFIG_END => 0xff,
                _ => return None,
            };
        }
        Some(event)
    }

    #[inline(never)]
    fn write(&mut self, port: u16, item: &[u8]) -> Result<Option<Event>, Errno> {
        let value = x86::number(item) as u32;
        Ok(Some(match port {
            SERIAL_PORT..SERIAL_PORT_END => {
                for (port, &byte) in (port - SERIAL_PORT..).zip(item) {
                    self.serial.write(port, byte)?;
                }
                Event::Serial
            }
            CMOS_INDEX => {
                self.cmos_index = value as u8 & 0x7f;
                Event::None
            }
            PM1_EVENT..PM1_END => {
                for (port, &byte) in (usize::from(port - PM1_EVENT)..).zip(item) {
                    // The status is cleared by ones, and nothing sets it.
                    if let Some(place) = self.pm1.get_mut(port).filter(|_| port >= 2) {
                        *place = byte;
                    }
                }
                // ACPI 4.8.3.2.1: SLP_EN, and SLP_TYP as `\_S5` has it.
                let [.., low, high] = self.pm1;
                match u16::from_le_bytes([low, high]) {
                    control if control & 1 << 13 != 0 && control >> 10 & 7 == SLEEP_OFF => {
                        Event::Off
                    }
                    _ => Event::None,
                }
            }
            // Bit 2 resets; 1 tells which kind.
            RESET_CONTROL if value & 4 != 0 => Event::Reset,
            SYSTEM_CONTROL if value & 1 != 0 => Event::Reset,
            KEYBOARD_COMMAND if value as u8 == 0xfe => Event::Reset,
            CMOS_DATA | PCI_CONFIG..PCI_CONFIG_END | SYSTEM_CONTROL | KEYBOARD_COMMAND => {
                Event::None
            }
            TEST_DROP => Event::Drop(value),
            TEST_LINES..TEST_LINES_END => Event::Line((port - TEST_LINES) as u8, value & 1 != 0),
            _ => return Ok(None),
        }))
    }

    /// An access to an address; `false`: nothing of the board is there.
    pub fn address(&mut self, write: bool, address: u64, data: &mut [u8]) -> bool {
        let Some(scratch) = &mut self.scratch else { return false };
        let place = address.wrapping_sub(TEST_MEMORY) as usize;
        let end = place.wrapping_add(data.len());
        let Some(bytes) = scratch.bytes_mut().get_mut(place..end) else { return false };
        match write {
            true => words::put(bytes, 0, data),
            false => words::put(data, 0, bytes),
        }
    }
}

/// A register of the clock: MC146818. It says the time in decimal digits, and never that it is being updated.
#[inline(never)]
fn cmos(index: u8) -> u8 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure.
    let _ = unsafe { syscall!(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &raw mut time) };
    let (days, second) = (time.tv_sec.cast_unsigned() / 86400, time.tv_sec.cast_unsigned() % 86400);
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
    (((value / 10) << 4) | (value % 10)) as u8
}

/// Year, month and day of so many days after the first of 1970; a year begins with March here, so that the odd day is its
/// last: until 2100, which has none.
fn date(days: u64) -> (u64, u64, u64) {
    // From the first of March 1968 on, four years have 1461 days.
    let days = days + 671 + u64::from(days > 47_540);
    let (four, day) = (days / 1461 * 4, days % 1461);
    let year = (day / 365).min(3);
    // Five months have 153 days, twice; then two are left.
    let day = day - 365 * year;
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    match month {
        10.. => (1969 + four + year, month - 9, day),
        _ => (1968 + four + year, month + 3, day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(-1, Some(Buffer::new(TEST_MEMORY_SIZE as usize).unwrap()))
    }

    fn write(board: &mut Board, port: u16, size: usize, value: u32) -> Option<Event> {
        board.port(true, port, &mut value.to_le_bytes()[..size]).unwrap()
    }

    fn read(board: &mut Board, port: u16, size: usize) -> u32 {
        let mut data = [0x55; 4];
        assert!(board.port(false, port, &mut data[..size]).unwrap().is_some());
        x86::number(&data[..size]) as u32
    }

    #[test]
    fn each_way_off_and_each_reset_is_one() {
        let mut board = board();
        for (port, size, value, event) in [
            (PM1_CONTROL, 2, 1 << 13 | 5 << 10, Event::Off),
            (PM1_CONTROL, 2, 5 << 10, Event::None),
            (PM1_CONTROL, 2, 1 << 13 | 1 << 10, Event::None),
            (RESET_CONTROL, 1, 2, Event::None),
            (RESET_CONTROL, 1, 6, Event::Reset),
            (SYSTEM_CONTROL, 1, 2, Event::None),
            (SYSTEM_CONTROL, 1, 1, Event::Reset),
            (KEYBOARD_COMMAND, 1, 0xd1, Event::None),
            (KEYBOARD_COMMAND, 1, 0xfe, Event::Reset),
            (TEST_LINES + 5, 1, 0xff, Event::Line(5, true)),
            (TEST_LINES + 23, 4, 2, Event::Line(23, false)),
            (TEST_DROP, 4, 0x40_0000, Event::Drop(0x40_0000)),
        ] {
            assert_eq!(write(&mut board, port, size, value), Some(event), "{port:#x} {value:#x}");
        }
        for port in [0x80, 0x2ff, TEST_LINES_END, SERIAL_PORT_END, 0x510] {
            assert_eq!(write(&mut board, port, 1, 0), None, "{port:#x}");
        }
    }

    #[test]
    fn control_bytes_are_one_register_and_a_status_is_never_set() {
        let mut board = board();
        assert_eq!(write(&mut board, PM1_CONTROL, 1, 1), Some(Event::None));
        assert_eq!(write(&mut board, PM1_CONTROL + 1, 1, 0x34), Some(Event::Off));
        assert_eq!(read(&mut board, PM1_CONTROL, 2), 0x3401);
        write(&mut board, PM1_EVENT, 2, 0xffff);
        write(&mut board, PM1_EVENT + 2, 2, 0x0120);
        assert_eq!(read(&mut board, PM1_EVENT, 4), 0x0120_0000);
    }

    #[test]
    fn pci_has_no_devices_and_the_keyboard_is_ready() {
        let mut board = board();
        write(&mut board, PCI_CONFIG, 4, 0x8000_0000);
        assert_eq!(read(&mut board, PCI_CONFIG, 4), u32::MAX);
        assert_eq!(read(&mut board, PCI_CONFIG + 4, 2), 0xffff);
        assert_eq!(read(&mut board, KEYBOARD_COMMAND, 1), 0);
    }

    #[test]
    fn the_clock_tells_the_time_in_decimal_digits() {
        let mut board = board();
        let mut register = |index| {
            write(&mut board, CMOS_INDEX, 1, index);
            read(&mut board, CMOS_DATA, 1)
        };
        assert_eq!([10, 11, 12, 13].map(&mut register), [0x26, 2, 0, 0x80]);
        let century = register(0x32);
        assert!(century == 0x20 || century == 0x21, "{century:#x}");
        for index in [0, 2, 4, 7, 8, 9] {
            let value = register(index);
            assert!(value & 0x0f < 10 && value >> 4 < 10, "{index}: {value:#x}");
        }
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, date_) in [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11016, (2000, 2, 29)),
            (11017, (2000, 3, 1)),
            (11322, (2000, 12, 31)),
            (20_000, (2024, 10, 4)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
            (47_846, (2100, 12, 31)),
            (365, (1971, 1, 1)),
            (789, (1972, 2, 29)),
            (790, (1972, 3, 1)),
        ] {
            assert_eq!(date(days), date_);
        }
    }

    #[test]
    fn the_test_memory_is_memory_in_every_size_up_to_its_end() {
        let mut board = board();
        assert!(board.address(true, TEST_MEMORY + 0xfff8, &mut [1, 2, 3, 4, 5, 6, 7, 8]));
        let mut data = [0; 2];
        assert!(board.address(false, TEST_MEMORY + 0xfffb, &mut data));
        assert_eq!(data, [4, 5]);
        assert!(!board.address(true, TEST_MEMORY + 0xffff, &mut [0; 2]));
        assert!(!board.address(false, TEST_MEMORY - 1, &mut data));
        assert!(!board.address(false, 0, &mut data));
    }
}
