//! The 8259A interrupt controllers of a PC, where they are the program's and not KVM's: `--irqchip split` and `none`.
//!
//! ```text
//!   lines 0, 1, 3 to 7 ──▶ ┌───────┐
//!                          │ first │ ──▶ the boot processor's interrupt pin
//!   lines 8 to 15 ──▶ ┌────┴──┐    │
//!                     │ second│ ─2─│
//!                     └───────┘────┘
//! ```
//!
//! Sources: Intel's 8259A data sheet, whose names for commands these are; the two edge/level control registers are from the
//! chipsets' (PIIX3, 2.5.5).
//!
//! Each line goes through three registers. A request is kept in IRR. If IMR does not mask it and nothing as urgent is in
//! service, the controller asks the processor for an interrupt. When that acknowledges it, the request moves to ISR, in
//! service, and stays there until the guest's handler ends it (EOI).

use crate::bus::Device;
use crate::host::mutex::{Guard, Mutex};
use crate::lifecycle::{Lifecycle, VcpuControl};
use crate::snapshot::fields::{Field, Fields, Invalid, Saved, visit};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

// The ports, as registers of one device: of the first controller, then of the second.
pub const COMMAND: u64 = 0;
pub const DATA: u64 = 1;
pub const SECOND_COMMAND: u64 = 2;
pub const SECOND_DATA: u64 = 3;
/// Which lines are level-triggered.
pub const TRIGGER: u64 = 4;
pub const SECOND_TRIGGER: u64 = 5;

/// The line of the first controller to which the second one is connected.
const CASCADE: u32 = 2;
/// The lines that can be level-triggered. Timer, keyboard, cascade, real-time clock and coprocessor always have edges.
const CAN_BE_LEVEL: [u8; 2] = [0xf8, 0xde];

// A write to the command port.
/// It is ICW1: initialization begins.
const ICW1: u8 = 1 << 4;
const ICW1_NEEDS_ICW4: u8 = 1 << 0;
const ICW1_SINGLE: u8 = 1 << 1;
/// It is OCW3.
const OCW3: u8 = 1 << 3;
const OCW3_POLL: u8 = 1 << 2;
const OCW3_SELECT_REGISTER: u8 = 1 << 1;
const OCW3_ISR: u8 = 1 << 0;
const OCW3_SET_SPECIAL_MASK: u8 = 1 << 6;
const OCW3_SPECIAL_MASK: u8 = 1 << 5;
/// Else it is OCW2, with a line's number in the lowest three bits.
const OCW2_EOI: u8 = 1 << 5;
const OCW2_SPECIFIC: u8 = 1 << 6;
const OCW2_ROTATE: u8 = 1 << 7;
// ICW4.
const ICW4_AUTO_EOI: u8 = 1 << 1;
const ICW4_SPECIAL_NESTED: u8 = 1 << 4;

/// In what a poll reads: there is an interrupt, and its line is in the lowest three bits.
const POLL_HAS_INTERRUPT: u8 = 1 << 7;

/// What a write to the data port is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Expects {
    #[default]
    Mask,
    Icw2,
    Icw3,
    Icw4,
}

/// One controller.
#[derive(Clone, Copy, Debug, Default)]
struct Chip {
    /// The lines as they are.
    lines: u8,
    /// Requests, masked lines, and what is in service.
    irr: u8,
    imr: u8,
    isr: u8,
    /// Which lines are level-triggered.
    level: u8,
    /// The vector of line 0.
    base: u8,
    /// The least urgent line; the next one (modulo 8) is the most urgent. 7 until the guest rotates.
    last: u32,
    expects: Expects,
    is_single: bool,
    needs_icw4: bool,
    auto_eoi: bool,
    rotates_on_auto_eoi: bool,
    special_mask: bool,
    special_nested: bool,
    /// A read of the command port gives ISR instead of IRR.
    shows_isr: bool,
    /// The next read acknowledges an interrupt.
    is_polled: bool,
}

impl Chip {
    fn new() -> Chip {
        Chip { last: 7, ..Chip::default() }
    }

    /// The most urgent of these lines: its number, and how many are more urgent than it.
    fn most_urgent(&self, lines: u8) -> Option<(u32, u32)> {
        (0..8)
            .map(|rank| ((self.last + 1 + rank) % 8, rank))
            .find(|(line, _)| lines >> line & 1 != 0)
    }

    /// The line for which it asks for an interrupt.
    fn request(&self) -> Option<u32> {
        if self.expects != Expects::Mask {
            return None;
        }
        let (line, rank) = self.most_urgent(self.irr & !self.imr)?;
        let mut in_service = self.isr;
        if self.special_mask {
            in_service &= !self.imr;
        }
        if self.special_nested {
            // The second controller sorts out its own.
            in_service &= !(1 << CASCADE);
        }
        match self.most_urgent(in_service) {
            Some((_, busy)) if busy <= rank => None,
            _ => Some(line),
        }
    }

    fn set_line(&mut self, line: u32, active: bool) {
        let (bit, before) = (1 << line, self.lines);
        self.lines = if active { before | bit } else { before & !bit };
        if self.level & bit != 0 {
            self.irr = self.irr & !bit | self.lines & bit;
        } else {
            // An edge stays until it is acknowledged.
            self.irr |= self.lines & !before & bit;
        }
    }

    /// The processor takes the interrupt of a line.
    fn acknowledge(&mut self, line: u32) {
        let bit = 1 << line;
        if self.level & bit == 0 {
            self.irr &= !bit;
        }
        if !self.auto_eoi {
            self.isr |= bit;
        } else if self.rotates_on_auto_eoi {
            self.last = line;
        }
    }

    /// EOI: of this line, or else of the most urgent one in service.
    fn end(&mut self, specific: Option<u32>) -> Option<u32> {
        let masked = if self.special_mask { self.imr } else { 0 };
        let line = specific.or(self.most_urgent(self.isr & !masked).map(|(line, _)| line))?;
        self.isr &= !(1 << line);
        Some(line)
    }

    fn write_command(&mut self, value: u8) {
        if value & ICW1 != 0 {
            *self = Chip {
                lines: self.lines,
                // Requests of edge-triggered lines are dropped: such a line must rise again.
                irr: self.lines & self.level,
                level: self.level,
                base: self.base,
                expects: Expects::Icw2,
                is_single: value & ICW1_SINGLE != 0,
                needs_icw4: value & ICW1_NEEDS_ICW4 != 0,
                ..Chip::new()
            };
        } else if value & OCW3 != 0 {
            self.is_polled = value & OCW3_POLL != 0;
            if value & OCW3_SELECT_REGISTER != 0 {
                self.shows_isr = value & OCW3_ISR != 0;
            }
            if value & OCW3_SET_SPECIAL_MASK != 0 {
                self.special_mask = value & OCW3_SPECIAL_MASK != 0;
            }
        } else {
            self.write_ocw2(value);
        }
    }

    fn write_ocw2(&mut self, value: u8) {
        let [ends, is_specific, rotates] =
            [OCW2_EOI, OCW2_SPECIFIC, OCW2_ROTATE].map(|bit| value & bit != 0);
        let line = is_specific.then_some(u32::from(value & 7));
        match (ends, line) {
            (true, _) => {
                let ended = self.end(line);
                if let (true, Some(line)) = (rotates, ended) {
                    self.last = line;
                }
            }
            (false, Some(line)) if rotates => self.last = line,
            (false, Some(_)) => {}
            (false, None) => self.rotates_on_auto_eoi = rotates,
        }
    }

    fn write_data(&mut self, value: u8) {
        let behind_icw3 = if self.needs_icw4 { Expects::Icw4 } else { Expects::Mask };
        self.expects = match self.expects {
            Expects::Mask => {
                self.imr = value;
                Expects::Mask
            }
            Expects::Icw2 => {
                self.base = value & !7;
                if self.is_single { behind_icw3 } else { Expects::Icw3 }
            }
            // How the two are connected: as in every PC.
            Expects::Icw3 => behind_icw3,
            Expects::Icw4 => {
                self.auto_eoi = value & ICW4_AUTO_EOI != 0;
                self.special_nested = value & ICW4_SPECIAL_NESTED != 0;
                Expects::Mask
            }
        };
    }

    fn read(&mut self, is_data: bool) -> u8 {
        if core::mem::take(&mut self.is_polled) {
            return match self.request() {
                Some(line) => {
                    self.acknowledge(line);
                    POLL_HAS_INTERRUPT | line as u8
                }
                None => 0,
            };
        }
        match (is_data, self.shows_isr) {
            (true, _) => self.imr,
            (false, true) => self.isr,
            (false, false) => self.irr,
        }
    }
}

/// The two controllers.
#[derive(Clone, Copy, Debug)]
struct Pair([Chip; 2]);

impl Pair {
    fn new() -> Pair {
        Pair([Chip::new(); 2])
    }

    /// The second controller's output is a line of the first.
    fn connect(&mut self) {
        let asks = self.0[1].request().is_some();
        // It may ask again while the line has not been down.
        self.0[0].set_line(CASCADE, false);
        self.0[0].irr &= !(1 << CASCADE);
        self.0[0].set_line(CASCADE, asks);
    }

    fn set_line(&mut self, line: u32, active: bool) {
        match line {
            CASCADE => {}
            0..8 => self.0[0].set_line(line, active),
            _ => self.0[1].set_line(line - 8, active),
        }
        self.connect();
    }

    /// The processor takes an interrupt: its vector. If the request has gone, that of the least urgent line, as the
    /// hardware does.
    fn acknowledge(&mut self) -> u8 {
        const SPURIOUS: u32 = 7;
        let [first, second] = &mut self.0;
        let take = |chip: &mut Chip| {
            let line = chip.request();
            if let Some(line) = line {
                chip.acknowledge(line);
            }
            line.unwrap_or(SPURIOUS)
        };
        let vector = match take(first) {
            CASCADE => second.base + take(second) as u8,
            line => first.base + line as u8,
        };
        self.connect();
        vector
    }

    fn read(&mut self, register: u64) -> u8 {
        let [first, second] = &mut self.0;
        let value = match register {
            COMMAND | DATA => first.read(register == DATA),
            SECOND_COMMAND | SECOND_DATA => second.read(register == SECOND_DATA),
            TRIGGER => first.level,
            _ => second.level,
        };
        self.connect();
        value
    }

    fn write(&mut self, register: u64, value: u8) {
        let [first, second] = &mut self.0;
        match register {
            COMMAND => first.write_command(value),
            DATA => first.write_data(value),
            SECOND_COMMAND => second.write_command(value),
            SECOND_DATA => second.write_data(value),
            TRIGGER => first.level = value & CAN_BE_LEVEL[0],
            _ => second.level = value & CAN_BE_LEVEL[1],
        }
        self.connect();
    }
}

/// The device.
pub struct Pic {
    pair: Mutex<Pair>,
    /// Whether they ask for an interrupt.
    asks: AtomicBool,
    lifecycle: Arc<Lifecycle>,
}

impl Pic {
    /// As KVM's are at first: no line is masked, and line 0 is vector 0.
    pub fn new(lifecycle: Arc<Lifecycle>) -> Pic {
        Pic { pair: Mutex::new(Pair::new()), asks: AtomicBool::new(false), lifecycle }
    }

    pub fn set_line(&self, line: u32, active: bool) {
        let mut pair = self.pair.lock();
        pair.set_line(line, active);
        self.follow(&pair);
    }

    /// Whether the boot processor is to take an interrupt.
    pub fn asks(&self) -> bool {
        self.asks.load(SeqCst)
    }

    /// The boot processor takes the interrupt. Returns its vector.
    pub fn acknowledge(&self) -> u8 {
        let mut pair = self.pair.lock();
        let vector = pair.acknowledge();
        self.follow(&pair);
        vector
    }

    /// Ends the most urgent interrupt that each has in service.
    pub fn end_of_interrupt(&self) {
        let mut pair = self.pair.lock();
        for chip in &mut pair.0 {
            chip.end(None);
        }
        pair.connect();
        self.follow(&pair);
    }

    /// The output follows the registers.
    fn follow(&self, pair: &Guard<Pair>) {
        let asks = pair.0[0].request().is_some();
        if !self.asks.swap(asks, SeqCst) && asks {
            self.lifecycle.interrupt_boot_processor();
        }
    }
}

impl Field for Chip {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        const EXPECTS: [Expects; 4] = [Expects::Mask, Expects::Icw2, Expects::Icw3, Expects::Icw4];
        let mut expects = self.expects as u8;
        visit!(fields; self.lines, self.irr, self.imr, self.isr, self.level, self.base, self.last);
        visit!(fields; expects, self.is_single, self.needs_icw4, self.auto_eoi, self.rotates_on_auto_eoi);
        visit!(fields; self.special_mask, self.special_nested, self.shows_isr, self.is_polled);
        fields.check(self.last < 8 && self.base & 7 == 0, "there is no such line")?;
        let expects = EXPECTS.get(usize::from(expects));
        self.expects = *expects.ok_or(Invalid("there is no such command word"))?;
        Ok(())
    }
}

impl Saved for Pic {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut pair = self.pair.lock();
        let [first, second] = &mut pair.0;
        visit!(fields; *first, *second);
        self.follow(&pair);
        Ok(())
    }
}

impl Device for Pic {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "8259"
    }

    fn read(&self, register: u64, data: &mut [u8]) {
        data.fill(0xff);
        let mut pair = self.pair.lock();
        data[0] = pair.read(register);
        self.follow(&pair);
    }

    fn write(&self, register: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let mut pair = self.pair.lock();
        pair.write(register, data[0]);
        self.follow(&pair);
    }
}

#[cfg(test)]
#[path = "pic_tests.rs"]
mod tests;
