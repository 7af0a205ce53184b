//! A serial port: a 16550A, as its data sheet (National Semiconductor, PC16550D) has it, at the place of a PC's
//! first one. What is sent goes to standard output; what is received comes from standard input.
//!
//! Nothing takes time here: a byte is out when it has been written, so that the transmitter is always empty.

use crate::errno::Errno;
use crate::fd::Output;
use core::ffi::c_int;

// The registers, by their distance from the first port. With DLAB set, the first two are the divisor's.
/// RBR, to read, and THR, to write.
const DATA: u16 = 0;
const IER: u16 = 1;
/// IIR, to read, and FCR, to write.
const IIR: u16 = 2;
const LCR: u16 = 3;
const MCR: u16 = 4;
const LSR: u16 = 5;
const MSR: u16 = 6;
const SCR: u16 = 7;

// Interrupts enabled.
const IER_RECEIVED: u8 = 1 << 0;
const IER_EMPTY: u8 = 1 << 1;
const IER_LINE: u8 = 1 << 2;
const IER_MODEM: u8 = 1 << 3;

// Which interrupt, the most urgent first; bit 0 clear says that there is one.
const IIR_LINE: u8 = 0b0110;
const IIR_RECEIVED: u8 = 0b0100;
/// There is something, but less than the trigger level, and nothing more has come.
const IIR_TIMEOUT: u8 = 0b1100;
const IIR_EMPTY: u8 = 0b0010;
const IIR_MODEM: u8 = 0b0000;
const IIR_NONE: u8 = 0b0001;
/// The FIFOs are on.
const IIR_FIFOS: u8 = 0b1100_0000;

const FCR_ENABLE: u8 = 1 << 0;
const FCR_CLEAR_RECEIVED: u8 = 1 << 1;

const LCR_DLAB: u8 = 1 << 7;

const MCR_OUT2: u8 = 1 << 3;
const MCR_LOOP: u8 = 1 << 4;
const MCR_BITS: u8 = 0x1f;

const LSR_READY: u8 = 1 << 0;
const LSR_OVERRUN: u8 = 1 << 1;
const LSR_EMPTY: u8 = 1 << 5 | 1 << 6;

// The modem's lines: what the other end says, and in the low half which of them have changed.
const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;

/// A guest that reads LSR so often, and sends nothing, waits for a byte.
const ASKS: u8 = 16;

/// How many bytes the FIFO takes.
const FIFO: usize = 16;

/// A serial port.
#[repr(C)]
pub struct Serial {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    /// The lines' changes.
    changed: u8,
    scr: u8,
    divisor: [u8; 2],
    overrun: bool,
    /// The transmitter has become empty, and nobody has been told.
    empty: bool,
    received: [u8; FIFO],
    len: u8,
    /// How often LSR has been read since something was sent: up to [`ASKS`].
    asked: u8,
    /// What has been sent, and is not written out.
    pub sent: Output,
    /// There is something.
    pub waits: bool,
}

impl Serial {
    /// After a reset; it sends to this descriptor.
    pub fn new(fd: c_int) -> Serial {
        Serial {
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            changed: 0,
            scr: 0,
            // 9600 baud. The rate means nothing here.
            divisor: [12, 0],
            overrun: false,
            empty: false,
            received: [0; FIFO],
            len: 0,
            asked: 0,
            sent: Output::new(fd),
            waits: false,
        }
    }

    /// Whether its interrupt line is active.
    pub fn interrupt(&self) -> bool {
        self.reason() != IIR_NONE
    }

    /// How many bytes [`Serial::receive`] takes. None while the guest does not listen, by interrupt or by asking again and
    /// again: as it begins to, it empties the FIFO, and what was typed before would be lost. And none in the loop: the
    /// line is cut.
    pub fn room(&self) -> usize {
        // Linux tries the registers out with OUT2 off, which on a PC keeps interrupts from the controller.
        let interrupts = self.ier & IER_RECEIVED != 0 && self.mcr & MCR_OUT2 != 0;
        let listens = interrupts || self.asked == ASKS;
        if listens && self.mcr & MCR_LOOP == 0 { self.depth() - usize::from(self.len) } else { 0 }
    }

    /// A byte comes in.
    pub fn receive(&mut self, byte: u8) {
        let depth = self.depth();
        match self.received.get_mut(..depth).and_then(|fifo| fifo.get_mut(usize::from(self.len))) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            // Without FIFOs the old byte is lost, with them the new one.
            None => {
                self.overrun = true;
                if depth == 1 {
                    self.received[0] = byte;
                }
            }
        }
    }

    fn depth(&self) -> usize {
        if self.fcr & FCR_ENABLE != 0 { FIFO } else { 1 }
    }

    /// The guest reads a register.
    #[inline(never)]
    pub fn read(&mut self, register: u16) -> u8 {
        let divisor = self.lcr & LCR_DLAB != 0;
        match register {
            DATA | IER if divisor => self.divisor[usize::from(register == IER)],
            DATA => {
                let [byte, ..] = self.received;
                if self.len > 0 {
                    self.len -= 1;
                    self.received.rotate_left(1);
                }
                byte
            }
            IER => self.ier,
            IIR => {
                let reason = self.reason();
                // Having been told is what ends this one.
                self.empty &= reason != IIR_EMPTY;
                reason | if self.fcr & FCR_ENABLE != 0 { IIR_FIFOS } else { 0 }
            }
            LCR => self.lcr,
            MCR => self.mcr,
            LSR => {
                self.asked = (self.asked + 1).min(ASKS);
                let overrun = if core::mem::take(&mut self.overrun) { LSR_OVERRUN } else { 0 };
                let ready = if self.len > 0 { LSR_READY } else { 0 };
                LSR_EMPTY | overrun | ready
            }
            MSR => self.lines() | core::mem::take(&mut self.changed),
            SCR => self.scr,
            _ => 0xff,
        }
    }

    /// The guest writes a register. An error is one of the output.
    #[inline(never)]
    pub fn write(&mut self, register: u16, value: u8) -> Result<(), Errno> {
        let divisor = self.lcr & LCR_DLAB != 0;
        match register {
            DATA | IER if divisor => self.divisor[usize::from(register == IER)] = value,
            DATA => {
                (self.empty, self.asked) = (true, 0);
                if self.mcr & MCR_LOOP != 0 {
                    self.receive(value);
                } else {
                    self.waits = true;
                    self.sent.put(value)?;
                }
            }
            IER => {
                // Enabling it while the transmitter is empty is an interrupt at once.
                self.empty |= value & IER_EMPTY & !self.ier != 0;
                self.ier = value & 0x0f;
            }
            IIR => {
                // FIFOs that are switched off lose what is in them; a byte from before they were on is not in them.
                if value & FCR_ENABLE < self.fcr & FCR_ENABLE || value & FCR_CLEAR_RECEIVED != 0 {
                    self.len = 0;
                }
                self.fcr = if value & FCR_ENABLE != 0 { value } else { 0 };
            }
            LCR => self.lcr = value,
            MCR => {
                let before = self.lines();
                self.mcr = value & MCR_BITS;
                let now = self.lines();
                // RI counts where it ends, the others wherever they change.
                let edges = (before ^ now) & (MSR_CTS | MSR_DSR | MSR_DCD) | before & !now & MSR_RI;
                self.changed |= edges >> 4;
            }
            SCR => self.scr = value,
            _ => {}
        }
        Ok(())
    }

    /// What the modem says: there is one, and it is always ready. In the loop, it is our own lines.
    fn lines(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CTS | MSR_DSR | MSR_DCD;
        }
        // DTR is DSR, RTS is CTS, OUT1 is RI, OUT2 is DCD.
        let bit = |from: u8, to: u8| if self.mcr & from != 0 { to } else { 0 };
        bit(1, MSR_DSR) | bit(2, MSR_CTS) | bit(4, MSR_RI) | bit(8, MSR_DCD)
    }

    /// The most urgent reason for an interrupt.
    fn reason(&self) -> u8 {
        // FCR bits 7:6. Without FIFOs, one byte is all that there can be.
        let trigger = match self.fcr >> 6 {
            _ if self.fcr & FCR_ENABLE == 0 => 1,
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        };
        if self.ier & IER_LINE != 0 && self.overrun {
            IIR_LINE
        } else if self.ier & IER_RECEIVED != 0 && self.len >= trigger {
            IIR_RECEIVED
        } else if self.ier & IER_RECEIVED != 0 && self.len > 0 {
            IIR_TIMEOUT
        } else if self.ier & IER_EMPTY != 0 && self.empty {
            IIR_EMPTY
        } else if self.ier & IER_MODEM != 0 && self.changed != 0 {
            IIR_MODEM
        } else {
            IIR_NONE
        }
    }

    /// Writes out what has been sent.
    pub fn flush(&mut self) -> Result<(), Errno> {
        self.waits = false;
        self.sent.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port whose output stays in it.
    fn port() -> Serial {
        Serial::new(-1)
    }

    fn interrupt(serial: &mut Serial) -> u8 {
        serial.read(IIR) & 0x0f
    }

    #[test]
    fn after_a_reset_nothing_is_enabled_and_the_transmitter_is_empty() {
        let mut serial = port();
        assert_eq!([IER, IIR, LCR, MCR].map(|register| serial.read(register)), [0, 1, 0, 0]);
        assert_eq!(serial.read(LSR), 0x60);
        assert_eq!(serial.read(MSR), 0xb0);
        assert!(!serial.interrupt());
    }

    #[test]
    fn the_divisor_stands_behind_dlab_and_the_scratch_register_keeps_what_is_written() {
        let mut serial = port();
        serial.write(LCR, 0x83).unwrap();
        serial.write(DATA, 0x34).unwrap();
        serial.write(IER, 0x12).unwrap();
        assert_eq!((serial.read(DATA), serial.read(IER)), (0x34, 0x12));
        serial.write(LCR, 0x03).unwrap();
        assert_eq!((serial.read(DATA), serial.read(IER)), (0, 0));
        assert!(serial.sent.gathered().is_empty(), "the divisor is not sent");
        for value in [0, 0x5a, 0xff] {
            serial.write(SCR, value).unwrap();
            assert_eq!(serial.read(SCR), value);
        }
    }

    #[test]
    fn what_is_written_is_sent() {
        let mut serial = port();
        for byte in *b"ab" {
            serial.write(DATA, byte).unwrap();
        }
        assert_eq!((serial.sent.gathered(), serial.waits), (&b"ab"[..], true));
    }

    #[test]
    fn an_empty_transmitter_interrupts_once_for_each_byte_and_when_it_is_enabled() {
        let mut serial = port();
        serial.write(IER, IER_EMPTY).unwrap();
        assert!(serial.interrupt());
        assert_eq!(interrupt(&mut serial), IIR_EMPTY);
        assert_eq!(interrupt(&mut serial), IIR_NONE, "reading IIR ends it");
        serial.write(DATA, b'x').unwrap();
        assert_eq!(interrupt(&mut serial), IIR_EMPTY);
        serial.write(IER, IER_EMPTY).unwrap();
        assert_eq!(interrupt(&mut serial), IIR_NONE, "it was enabled before");
        serial.write(IER, 0).unwrap();
        serial.write(IER, IER_EMPTY).unwrap();
        assert_eq!(interrupt(&mut serial), IIR_EMPTY);
    }

    #[test]
    fn sixteen_bytes_wait_in_the_fifo_and_the_next_overruns() {
        let mut serial = port();
        serial.write(IIR, 0xc1).unwrap();
        serial.write(IER, IER_RECEIVED | IER_LINE).unwrap();
        serial.write(MCR, MCR_OUT2).unwrap();
        assert_eq!(serial.read(IIR) & 0xc0, 0xc0);
        assert_eq!(serial.room(), 16);
        for byte in 0..16 {
            assert_eq!(
                interrupt(&mut serial),
                [IIR_NONE, IIR_TIMEOUT, IIR_RECEIVED][match byte {
                    0 => 0,
                    1..14 => 1,
                    _ => 2,
                }]
            );
            serial.receive(byte);
        }
        assert_eq!(serial.room(), 0);
        assert_eq!(serial.read(LSR), 0x61);
        serial.receive(99);
        assert_eq!(interrupt(&mut serial), IIR_LINE);
        assert_eq!(serial.read(LSR), 0x63);
        assert_eq!(serial.read(LSR), 0x61, "reading LSR ends it");
        for byte in 0..16 {
            assert_eq!(serial.read(DATA), byte);
        }
        assert_eq!((serial.read(LSR), interrupt(&mut serial)), (0x60, IIR_NONE));
    }

    #[test]
    fn each_trigger_level_is_its_own() {
        for (bits, level) in [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] {
            let mut serial = port();
            serial.write(IIR, bits).unwrap();
            serial.write(IER, IER_RECEIVED).unwrap();
            (1..level).for_each(|_| serial.receive(0));
            assert_ne!(interrupt(&mut serial), IIR_RECEIVED, "{level}");
            serial.receive(0);
            assert_eq!(interrupt(&mut serial), IIR_RECEIVED, "{level}");
        }
    }

    #[test]
    fn without_fifos_there_is_room_for_one_and_switching_them_off_empties_them() {
        let mut serial = port();
        serial.write(IER, IER_RECEIVED).unwrap();
        serial.write(MCR, MCR_OUT2).unwrap();
        assert_eq!(serial.room(), 1);
        serial.receive(1);
        assert_eq!(serial.room(), 0);
        serial.receive(2);
        assert_eq!((serial.read(LSR), serial.read(DATA)), (0x63, 2));
        serial.receive(3);
        serial.write(IIR, FCR_ENABLE).unwrap();
        assert_eq!(serial.read(LSR), 0x61);
        serial.write(IIR, FCR_ENABLE | FCR_CLEAR_RECEIVED).unwrap();
        assert_eq!(serial.read(LSR), 0x60);
        serial.receive(4);
        serial.write(IIR, 0).unwrap();
        assert_eq!((serial.read(LSR), serial.read(IIR)), (0x60, 1));
    }

    #[test]
    fn nothing_comes_in_while_nobody_listens() {
        let mut serial = port();
        serial.write(IER, IER_RECEIVED).unwrap();
        assert_eq!(serial.room(), 0);
        serial.write(MCR, MCR_OUT2).unwrap();
        assert_eq!(serial.room(), 1);
        serial.write(IER, 0).unwrap();
        (0..ASKS).for_each(|_| _ = serial.read(LSR));
        assert_eq!(serial.room(), 1, "it asks again and again");
        serial.write(DATA, 0).unwrap();
        assert_eq!(serial.room(), 0);
    }

    #[test]
    fn in_the_loop_it_hears_itself_and_its_lines_are_the_modem_s() {
        let mut serial = port();
        serial.write(MCR, MCR_LOOP).unwrap();
        // CTS, DSR and DCD fell.
        assert_eq!(serial.read(MSR), 0x0b);
        for (line, seen) in [(1, 0x22), (2, 0x11), (8, 0x88)] {
            serial.write(MCR, MCR_LOOP | line).unwrap();
            assert_eq!(serial.read(MSR), seen);
            serial.write(MCR, MCR_LOOP).unwrap();
            assert_eq!(serial.read(MSR), seen & 0x0f, "it changed back");
        }
        serial.write(MCR, MCR_LOOP | 4).unwrap();
        assert_eq!(serial.read(MSR), 0x40, "RI counts where it ends");
        serial.write(IER, IER_MODEM).unwrap();
        serial.write(MCR, MCR_LOOP).unwrap();
        assert_eq!(interrupt(&mut serial), IIR_MODEM);
        assert_eq!(serial.read(MSR), 0x04);
        assert_eq!(interrupt(&mut serial), IIR_NONE);
        assert_eq!(serial.room(), 0, "nothing comes in from outside");
        serial.write(DATA, b'x').unwrap();
        assert!(serial.sent.gathered().is_empty());
        assert_eq!((serial.read(LSR), serial.read(DATA)), (0x61, b'x'));
    }
}
