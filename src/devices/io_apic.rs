//! The I/O APIC, where it is the program's and not KVM's: `--irqchip split`.
//!
//! It turns each of its 24 lines into a message to the local APICs, which are in the kernel. The message's address and data
//! come from the line's redirection entry. A level-triggered line sends one message and then waits for the end of that
//! interrupt (EOI). KVM must exit for it ([`IoApic::end_of_interrupt`]), and finds the vectors in question in its routing
//! table: the program keeps the lines' messages there too.
//!
//! Sources: Intel's 82093AA data sheet; the EOI register is from its successors (ICH, 12.5.1.6), whose version 0x20 this is.

use crate::bus::Device;
use crate::devices::read_register;
use crate::host::mutex::Mutex;
use crate::kvm::Vm;
use crate::layout::IO_APIC_LINES;
use crate::lifecycle::VcpuControl;
use crate::show::number;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use crate::sys::irqchip::kvm_irq_routing_msi;
use alloc::sync::Arc;

/// How many lines.
const LINES: usize = IO_APIC_LINES as usize;

// The registers that the guest sees in memory.
/// Selects one of the others.
const SELECT: u64 = 0x00;
/// The register that is selected.
const WINDOW: u64 = 0x10;
/// The vector of an interrupt that is over.
const EOI: u64 = 0x40;

// The others, each of 32 bits.
const ID: u32 = 0x00;
const VERSION: u32 = 0x01;
const ARBITRATION: u32 = 0x02;
/// The redirection entries, two registers each.
const ENTRIES: u32 = 0x10;

/// The version, and in bits 23:16 the number of the last line.
const VERSION_VALUE: u32 = 0x20 | (IO_APIC_LINES - 1) << 16;
const ID_BITS: u32 = 0x0f00_0000;

// A redirection entry.
const VECTOR: u64 = 0xff;
const DELIVERY: u64 = 7 << 8;
const LOGICAL_DESTINATION: u64 = 1 << 11;
/// An interrupt of a level-triggered line has been sent, and is not over.
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
const DESTINATION_SHIFT: u32 = 56;
/// What a guest can write: not the delivery status, which is always "idle" here, nor [`REMOTE_IRR`].
const WRITABLE: u64 =
    0xff << DESTINATION_SHIFT | MASKED | LEVEL | 1 << 13 | LOGICAL_DESTINATION | DELIVERY | VECTOR;

// A message's address and data: SDM 11.11.
const MESSAGE_ADDRESS: u32 = 0xfee0_0000;
const MESSAGE_LOGICAL: u32 = 1 << 2;
/// Of [`LOWEST_PRIORITY`]: the destination is any of several processors.
const MESSAGE_REDIRECTION: u32 = 1 << 3;
const MESSAGE_ASSERT: u32 = 1 << 14;
const LOWEST_PRIORITY: u64 = 1 << 8;

/// An interrupt message.
type Message = kvm_irq_routing_msi;

/// The message of a redirection entry. Delivery and trigger mode have the same places in its data.
fn message(entry: u64) -> Message {
    let destination = (entry >> DESTINATION_SHIFT) as u32;
    let mut address_lo = MESSAGE_ADDRESS | destination << 12;
    if entry & LOGICAL_DESTINATION != 0 {
        address_lo |= MESSAGE_LOGICAL;
    }
    if entry & DELIVERY == LOWEST_PRIORITY {
        address_lo |= MESSAGE_REDIRECTION;
    }
    let data = (entry & (LEVEL | DELIVERY | VECTOR)) as u32 | MESSAGE_ASSERT;
    Message { address_lo, data, ..Message::default() }
}

#[derive(Clone)]
struct Registers {
    select: u32,
    id: u32,
    /// The lines as they are.
    lines: u32,
    entries: [u64; LINES],
}

/// Lines whose messages are to be sent, a bit for each.
type Sends = u32;

impl Registers {
    /// After a reset all lines are masked.
    const RESET: Registers = Registers { select: 0, id: 0, lines: 0, entries: [MASKED; LINES] };

    fn is_level(&self, line: usize) -> bool {
        self.entries[line] & LEVEL != 0
    }

    /// Of these lines, the level-triggered ones that are active and not masked, and await no EOI. From now on they await one.
    fn send_levels(&mut self, lines: u32) -> Sends {
        let mut sends = 0;
        for (line, entry) in self.entries.iter_mut().enumerate() {
            let is_active = (lines & self.lines) >> line & 1 != 0;
            if is_active && *entry & (LEVEL | MASKED | REMOTE_IRR) == LEVEL {
                *entry |= REMOTE_IRR;
                sends |= 1 << line;
            }
        }
        sends
    }

    fn set_line(&mut self, line: usize, active: bool) -> Sends {
        let (bit, was_active) = (1 << line, self.lines >> line & 1 != 0);
        self.lines = if active { self.lines | bit } else { self.lines & !bit };
        if self.is_level(line) {
            return self.send_levels(bit);
        }
        // An edge of a masked line is lost.
        let is_edge = active && !was_active && self.entries[line] & MASKED == 0;
        if is_edge { bit } else { 0 }
    }

    /// The interrupt with this vector is over. What is still active interrupts again.
    fn end_of_interrupt(&mut self, vector: u8) -> Sends {
        let mut ended = 0;
        for (line, entry) in self.entries.iter_mut().enumerate() {
            if *entry & VECTOR == vector.into() && *entry & REMOTE_IRR != 0 {
                *entry &= !REMOTE_IRR;
                ended |= 1 << line;
            }
        }
        self.send_levels(ended)
    }

    /// Reads the register that is selected.
    fn read(&self) -> u32 {
        match self.select {
            // The arbitration ID reads as the ID.
            ID | ARBITRATION => self.id,
            VERSION => VERSION_VALUE,
            _ => match self.selected_entry() {
                Some((line, is_high)) => (self.entries[line] >> (32 * u32::from(is_high))) as u32,
                None => 0,
            },
        }
    }

    fn write(&mut self, value: u32) -> Sends {
        if self.select == ID {
            self.id = value & ID_BITS;
        }
        let Some((line, is_high)) = self.selected_entry() else { return 0 };
        let entry = &mut self.entries[line];
        let shift = 32 * u32::from(is_high);
        let written = WRITABLE & 0xffff_ffff << shift;
        *entry = *entry & !written | u64::from(value) << shift & written;
        if *entry & LEVEL == 0 {
            // Without an EOI register, a guest ends an interrupt by making the line edge-triggered for a moment.
            *entry &= !REMOTE_IRR;
        }
        self.send_levels(1 << line)
    }

    /// The entry that is selected, and whether it is the upper half.
    fn selected_entry(&self) -> Option<(usize, bool)> {
        let index = self.select.checked_sub(ENTRIES)?;
        let line = index as usize / 2;
        (line < LINES).then_some((line, index % 2 == 1))
    }

    /// What KVM is to know of a line: the message of one that is not masked, or whose interrupt awaits its EOI.
    fn route(&self, line: usize) -> Option<Message> {
        let entry = self.entries[line];
        (entry & MASKED == 0 || entry & REMOTE_IRR != 0).then(|| message(entry))
    }
}

/// The device.
pub struct IoApic {
    vm: Arc<Vm>,
    inner: Mutex<Inner>,
}

struct Inner {
    registers: Registers,
    /// What KVM knows.
    routes: [Option<Message>; LINES],
}

impl IoApic {
    /// After a reset.
    pub fn new(vm: Arc<Vm>) -> IoApic {
        let inner = Inner { registers: Registers::RESET, routes: [None; LINES] };
        IoApic { vm, inner: Mutex::new(inner) }
    }

    pub fn set_line(&self, line: u32, active: bool) {
        self.change(|registers| registers.set_line(line as usize, active));
    }

    /// `KVM_EXIT_IOAPIC_EOI`: a vCPU has ended the interrupt with this vector.
    pub fn end_of_interrupt(&self, vector: u8) {
        self.change(|registers| registers.end_of_interrupt(vector));
    }

    /// Its redirection entries.
    pub fn entries(&self) -> [u64; LINES] {
        self.inner.lock().registers.entries
    }

    /// Changes the registers. KVM gets to know of it, and then the messages are sent.
    fn change(&self, change: impl FnOnce(&mut Registers) -> Sends) {
        // Held over the calls, so that messages leave in the order of their causes. KVM waits in them for a moment (SRCU).
        let mut inner = self.inner.lock();
        let Inner { registers, routes } = &mut *inner;
        let sends = change(registers);
        let wanted: [_; LINES] = core::array::from_fn(|line| registers.route(line));
        if wanted != *routes {
            let lines = (0..).zip(wanted).zip(*routes);
            let changed = lines.filter(|((_, new), old)| new != old).map(|(new, _)| new);
            // Where the host has no memory for it, the next change tries again.
            if self.vm.route_messages(changed).is_ok() {
                *routes = wanted;
            }
        }
        for (line, entry) in registers.entries.iter_mut().enumerate() {
            if sends >> line & 1 != 0 && self.vm.signal_msi(message(*entry)) != Ok(true) {
                // No local APIC has taken it, so that no EOI will come.
                *entry &= !REMOTE_IRR;
            }
        }
    }
}

impl Saved for IoApic {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let registers = &mut self.inner.lock().registers;
        visit!(fields; registers.select, registers.id, registers.lines, registers.entries);
        fields.check(registers.select <= 0xff, "there is no such register")?;
        fields.check(registers.lines >> LINES == 0, "there is no such line")
    }

    /// KVM gets to know where interrupts lead.
    fn restored(&self) {
        self.change(|_| 0);
    }
}

impl IoApic {
    /// After it was restored: ends the interrupts that no local APIC has any more. `has`: whether one has a vector requested or in
    /// service. (An EOI that a vCPU has made just before it was saved is lost with KVM's request to tell of it.)
    pub fn end_lost_interrupts(&self, has: impl Fn(u8) -> bool) {
        let entries = self.entries();
        let awaits = |entry: &&u64| **entry & REMOTE_IRR != 0;
        for vector in entries.iter().filter(awaits).map(|entry| (entry & VECTOR) as u8) {
            if !has(vector) {
                self.end_of_interrupt(vector);
            }
        }
    }
}

impl Device for IoApic {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "I/O APIC"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let registers = &self.inner.lock().registers;
        let value = match offset & !0xf {
            SELECT => registers.select,
            WINDOW => registers.read(),
            _ => 0,
        };
        read_register(value.into(), offset & 0xf, data);
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        let value = number(data) as u32;
        match offset {
            SELECT => self.inner.lock().registers.select = value & 0xff,
            WINDOW => self.change(|registers| registers.write(value)),
            EOI => self.end_of_interrupt(value as u8),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(registers: &mut Registers, register: u32, value: u32) -> Sends {
        registers.select = register;
        registers.write(value)
    }

    fn read(registers: &mut Registers, register: u32) -> u32 {
        registers.select = register;
        registers.read()
    }

    /// Line 5 has edges and vector 0x35, line 10 levels and vector 0x3a; neither is masked.
    fn registers() -> Registers {
        let mut registers = Registers::RESET;
        write(&mut registers, ENTRIES + 10, 0x35);
        write(&mut registers, ENTRIES + 20, 0x803a);
        registers
    }

    #[test]
    fn it_says_what_it_is_and_takes_what_can_be_written() {
        let mut registers = Registers::RESET;
        assert_eq!(read(&mut registers, VERSION), 0x0017_0020);
        assert_eq!(read(&mut registers, ID), 0);
        write(&mut registers, ID, u32::MAX);
        assert_eq!(read(&mut registers, ID), 0x0f00_0000);
        assert_eq!(read(&mut registers, ARBITRATION), 0x0f00_0000);
        for entry in [ENTRIES, ENTRIES + 46] {
            assert_eq!(read(&mut registers, entry), 0x1_0000, "masked");
            write(&mut registers, entry, u32::MAX);
            write(&mut registers, entry + 1, u32::MAX);
            assert_eq!(read(&mut registers, entry), 0x1_afff);
            assert_eq!(read(&mut registers, entry + 1), 0xff00_0000);
        }
        for none in [3, ENTRIES + 48, 0xff] {
            write(&mut registers, none, u32::MAX);
            assert_eq!(read(&mut registers, none), 0, "{none:#x}");
        }
    }

    #[test]
    fn an_edge_is_sent_once_and_lost_where_it_is_masked() {
        let mut registers = registers();
        assert_eq!(registers.set_line(5, true), 1 << 5);
        assert_eq!(registers.set_line(5, true), 0);
        assert_eq!(registers.end_of_interrupt(0x35), 0);
        assert_eq!(registers.set_line(5, false), 0);
        assert_eq!(registers.set_line(6, true), 0);
        assert_eq!(write(&mut registers, ENTRIES + 12, 0x36), 0, "it was masked");
    }

    #[test]
    fn a_level_is_sent_again_after_each_eoi_while_it_lasts() {
        let mut registers = registers();
        assert_eq!(registers.set_line(10, true), 1 << 10);
        assert_eq!(read(&mut registers, ENTRIES + 20), 0xc03a, "it awaits EOI");
        assert_eq!(registers.set_line(10, true), 0);
        assert_eq!(registers.end_of_interrupt(0x35), 0, "another one's");
        assert_eq!(registers.end_of_interrupt(0x3a), 1 << 10);
        assert_eq!(registers.set_line(10, false), 0);
        assert_eq!(registers.end_of_interrupt(0x3a), 0);
        assert_eq!(read(&mut registers, ENTRIES + 20), 0x803a);
        // Masked, it waits.
        write(&mut registers, ENTRIES + 20, 0x1_803a);
        assert_eq!(registers.set_line(10, true), 0);
        assert_eq!(write(&mut registers, ENTRIES + 20, 0x803a), 1 << 10);
    }

    #[test]
    fn a_line_that_is_made_an_edge_awaits_nothing() {
        let mut registers = registers();
        registers.set_line(10, true);
        assert_eq!(write(&mut registers, ENTRIES + 20, 0x1_003a), 0);
        assert_eq!(write(&mut registers, ENTRIES + 20, 0x803a), 1 << 10);
    }

    #[test]
    fn messages_say_what_the_entries_say() {
        let of = |entry| {
            let message = message(entry);
            (message.address_lo, message.data)
        };
        assert_eq!(of(0x35), (0xfee0_0000, 0x4035));
        assert_eq!(of(0x0300_0000_0000_803a), (0xfee0_3000, 0xc03a));
        assert_eq!(of(0xff00_0000_0001_0931), (0xfeef_f00c, 0x4131), "logical, lowest priority");
        assert_eq!(of(0x0000_0000_0000_0400), (0xfee0_0000, 0x4400), "NMI");
    }

    #[test]
    fn kvm_knows_a_masked_line_only_while_it_awaits_its_eoi() {
        let mut registers = registers();
        let known = |registers: &Registers| {
            (0..LINES).filter(|&line| registers.route(line).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(known(&registers), [5, 10]);
        write(&mut registers, ENTRIES + 10, 0x1_0035);
        registers.set_line(10, true);
        write(&mut registers, ENTRIES + 20, 0x1_803a);
        assert_eq!(known(&registers), [10]);
        registers.end_of_interrupt(0x3a);
        assert_eq!(known(&registers), []);
    }
}
