//! The serial port: a 16550A, as its data sheet has it (National Semiconductor, PC16550D), at the place of a PC's first one.
//! What the guest sends goes to standard output; standard input is received.
//!
//! Sending takes no time: the transmitter is always empty.

use crate::bus::Device;
use crate::host::clock;
use crate::host::event::Event;
use crate::host::mutex::Mutex;
use crate::kvm::interrupt_line::InterruptLine;
use crate::lifecycle::VcpuControl;
use crate::output::Output;
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;

// The registers, by their distance from the first port. With DLAB set, the first two are the divisor latch.
/// RBR, to read, and THR, to write.
const DATA: u64 = 0;
const IER: u64 = 1;
/// IIR, to read, and FCR, to write.
const IIR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCR: u64 = 7;

// Interrupts enabled.
const IER_RECEIVED: u8 = 1 << 0;
const IER_EMPTY: u8 = 1 << 1;
const IER_LINE: u8 = 1 << 2;
const IER_MODEM: u8 = 1 << 3;

// Which interrupt is pending, the most urgent first. Bit 0 is clear where one is.
const IIR_LINE: u8 = 0b0110;
const IIR_RECEIVED: u8 = 0b0100;
/// The FIFO holds less than the trigger level, and nothing more has come.
const IIR_TIMEOUT: u8 = 0b1100;
const IIR_EMPTY: u8 = 0b0010;
const IIR_MODEM: u8 = 0b0000;
const IIR_NONE: u8 = 0b0001;
/// The FIFOs are enabled.
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

// The modem's lines, and in the low half of the register which of them have changed.
const MSR_CTS: u8 = 1 << 4;
const MSR_DSR: u8 = 1 << 5;
const MSR_RI: u8 = 1 << 6;
const MSR_DCD: u8 = 1 << 7;

/// After so many reads of LSR without a byte sent, the guest polls for input.
const POLLS: u8 = 16;

/// How many bytes the receive FIFO holds.
const FIFO: usize = 16;

/// How long nothing is received after the guest has connected the interrupt (OUT2) or switched the FIFOs, in nanoseconds. Linux
/// does both when it opens the port, one after the other, and the switch clears the FIFOs: what was typed before would be lost.
const SETTLE: u64 = 200_000_000;

/// What [`Serial::receive`] has taken.
pub struct Received {
    /// How many bytes.
    pub count: usize,
    /// After how many nanoseconds it is worth trying again.
    pub wait: Option<u64>,
}

/// A serial port.
pub struct Serial {
    registers: Mutex<Registers>,
    line: InterruptLine,
    output: Arc<Output>,
    /// Wakes the event loop, where input waits for room.
    attention: Arc<Event>,
}

impl Serial {
    /// After a reset.
    pub fn new(line: InterruptLine, output: Arc<Output>, attention: Arc<Event>) -> Serial {
        Serial { registers: Mutex::new(Registers::default()), line, output, attention }
    }

    /// Receives as many of the bytes as there is room for. Where that is not all, the event loop is woken as soon as there is
    /// room, or has to come back after [`Received::wait`].
    pub fn receive(&self, bytes: &[u8]) -> Received {
        let mut registers = self.registers.lock();
        let wait = registers.settled_at.saturating_sub(clock::machine());
        if wait > 0 {
            return Received { count: 0, wait: Some(wait) };
        }
        let count = registers.room().min(bytes.len());
        bytes[..count].iter().for_each(|&byte| registers.receive(byte));
        registers.input_waits = count < bytes.len();
        self.line.set(registers.interrupt());
        Received { count, wait: None }
    }

    /// After an access: the interrupt line follows the registers, and input may go on.
    fn changed(&self, registers: &mut Registers) {
        self.line.set(registers.interrupt());
        if registers.input_waits && registers.room() > 0 {
            registers.input_waits = false;
            self.attention.signal();
        }
    }
}

impl Device for Serial {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "serial port"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let mut registers = self.registers.lock();
        for (byte, register) in data.iter_mut().zip(offset..) {
            *byte = registers.read(register);
        }
        self.changed(&mut registers);
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        for (&byte, register) in data.iter().zip(offset..) {
            let mut registers = self.registers.lock();
            let sent = registers.write(register, byte);
            self.changed(&mut registers);
            // The line was low for a moment, so that an edge-triggered controller sees the next interrupt.
            if registers.transmit() {
                self.changed(&mut registers);
            }
            drop(registers);
            if let Some(byte) = sent {
                self.output.serial_byte(byte, vcpu);
            }
        }
    }
}

/// The registers, and what is received.
struct Registers {
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    /// Which of the modem's lines have changed.
    changed: u8,
    scr: u8,
    divisor: [u8; 2],
    overrun: bool,
    /// THR holds a byte.
    is_sending: bool,
    /// The transmitter has become empty, and the guest has not been told.
    thre_pending: bool,
    received: [u8; FIFO],
    len: usize,
    /// How often LSR has been read since something was sent: up to [`POLLS`].
    lsr_polls: u8,
    /// The event loop has input for which there was no room.
    input_waits: bool,
    /// When bytes may be received: see [`SETTLE`].
    settled_at: u64,
}

impl Default for Registers {
    /// After a reset.
    fn default() -> Registers {
        Registers {
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            changed: 0,
            scr: 0,
            // 9600 baud. The rate means nothing here.
            divisor: [12, 0],
            overrun: false,
            is_sending: false,
            thre_pending: false,
            received: [0; FIFO],
            len: 0,
            lsr_polls: 0,
            input_waits: false,
            settled_at: 0,
        }
    }
}

impl Saved for Serial {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        self.registers.lock().visit(fields)?;
        self.line.visit(fields)
    }
}

impl Field for Registers {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut len = self.len as u8;
        visit!(fields; self.ier, self.fcr, self.lcr, self.mcr, self.changed, self.scr, self.divisor);
        visit!(fields; self.overrun, self.is_sending, self.thre_pending, self.received, len);
        visit!(fields; self.lsr_polls, self.settled_at);
        fields.check(usize::from(len) <= FIFO, "more bytes than the FIFO holds")?;
        fields.check(self.lsr_polls <= POLLS, "too many polls")?;
        let latest = clock::machine() + SETTLE;
        fields.check(self.settled_at <= latest, "it settles later than it can")?;
        self.len = len.into();
        Ok(())
    }
}

impl Registers {
    /// Whether the interrupt line is active. On a PC, OUT2 connects it to the interrupt controller; loopback mode forces
    /// OUT2 inactive.
    fn interrupt(&self) -> bool {
        self.reason() != IIR_NONE && self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2
    }

    /// Sends what is in THR, which takes no time. Whether there was something.
    fn transmit(&mut self) -> bool {
        self.thre_pending |= self.is_sending;
        core::mem::take(&mut self.is_sending)
    }

    /// How many bytes can be received. None while the guest does not listen, by interrupt or by polling LSR: when it begins
    /// to, it empties the FIFO, and what was typed before would be lost. And none in loopback mode, which cuts the line.
    fn room(&self) -> usize {
        let interrupts = self.ier & IER_RECEIVED != 0 && self.mcr & MCR_OUT2 != 0;
        let listens = interrupts || self.lsr_polls == POLLS;
        if listens && self.mcr & MCR_LOOP == 0 {
            self.depth() - self.len.min(self.depth())
        } else {
            0
        }
    }

    fn settle_if(&mut self, has_changed: bool) {
        if has_changed {
            self.settled_at = clock::machine() + SETTLE;
        }
    }

    /// A byte comes in.
    fn receive(&mut self, byte: u8) {
        if self.len < self.depth() {
            self.received[self.len] = byte;
            self.len += 1;
        } else {
            self.overrun = true;
            // Without FIFOs the old byte is lost, with them the new one.
            if self.depth() == 1 {
                self.received[0] = byte;
            }
        }
    }

    fn depth(&self) -> usize {
        if self.fcr & FCR_ENABLE != 0 { FIFO } else { 1 }
    }

    /// The guest reads a register.
    fn read(&mut self, register: u64) -> u8 {
        let is_divisor = self.lcr & LCR_DLAB != 0;
        match register {
            DATA | IER if is_divisor => self.divisor[register as usize],
            DATA => {
                let byte = self.received[0];
                if self.len > 0 {
                    self.len -= 1;
                    self.received.rotate_left(1);
                }
                byte
            }
            IER => self.ier,
            IIR => {
                let reason = self.reason();
                // Reading this reason ends it.
                self.thre_pending &= reason != IIR_EMPTY;
                reason | if self.fcr & FCR_ENABLE != 0 { IIR_FIFOS } else { 0 }
            }
            LCR => self.lcr,
            MCR => self.mcr,
            LSR => {
                self.lsr_polls = (self.lsr_polls + 1).min(POLLS);
                let overrun = if core::mem::take(&mut self.overrun) { LSR_OVERRUN } else { 0 };
                let ready = if self.len > 0 { LSR_READY } else { 0 };
                LSR_EMPTY | overrun | ready
            }
            MSR => self.lines() | core::mem::take(&mut self.changed),
            SCR => self.scr,
            _ => 0xff,
        }
    }

    /// The guest writes a register. Returns a byte that is sent.
    fn write(&mut self, register: u64, value: u8) -> Option<u8> {
        let is_divisor = self.lcr & LCR_DLAB != 0;
        match register {
            DATA | IER if is_divisor => self.divisor[register as usize] = value,
            DATA => {
                // A byte in THR ends the transmitter's interrupt.
                (self.is_sending, self.thre_pending, self.lsr_polls) = (true, false, 0);
                if self.mcr & MCR_LOOP == 0 {
                    return Some(value);
                }
                self.receive(value);
            }
            IER => {
                // Enabling this interrupt while the transmitter is empty raises it at once.
                self.thre_pending |= value & IER_EMPTY & !self.ier != 0;
                self.ier = value & 0x0f;
            }
            IIR => {
                // Switching the FIFOs on or off clears them. Without bit 0, the other bits are not programmed.
                let value = if value & FCR_ENABLE != 0 { value } else { 0 };
                let is_switched = (value ^ self.fcr) & FCR_ENABLE != 0;
                if is_switched || value & FCR_CLEAR_RECEIVED != 0 {
                    self.len = 0;
                }
                self.settle_if(is_switched);
                self.fcr = value;
            }
            LCR => self.lcr = value,
            MCR => {
                let before = self.lines();
                self.settle_if(value & MCR_OUT2 & !self.mcr != 0);
                self.mcr = value & MCR_BITS;
                let now = self.lines();
                // RI counts where it ends, the others wherever they change.
                let edges = (before ^ now) & (MSR_CTS | MSR_DSR | MSR_DCD) | before & !now & MSR_RI;
                self.changed |= edges >> 4;
            }
            SCR => self.scr = value,
            _ => {}
        }
        None
    }

    /// The modem's lines: a modem is there and always ready. In loopback mode they are the port's own lines.
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
        // FCR bits 7:6. Without FIFOs there is one byte at most.
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
        } else if self.ier & IER_EMPTY != 0 && self.thre_pending {
            IIR_EMPTY
        } else if self.ier & IER_MODEM != 0 && self.changed != 0 {
            IIR_MODEM
        } else {
            IIR_NONE
        }
    }
}

#[cfg(test)]
#[path = "serial_tests.rs"]
mod tests;
