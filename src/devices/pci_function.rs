//! What the functions on a PCI bus have in common: the configuration space, with base address registers (BARs) by which the
//! guest says where a function's registers lie. PCI Local Bus Specification 3.0, 6.1 and 6.2.

use crate::host::mutex::Mutex;
use crate::lifecycle::VcpuControl;
use crate::snapshot::fields::{Field, Fields, Invalid, visit};
use alloc::sync::Arc;
use core::ops::Range;

/// A function on a bus.
pub trait PciFunction: Send + Sync {
    /// What a trace calls it.
    fn name(&self) -> &'static str;

    fn configuration(&self) -> &Mutex<Configuration>;

    /// The guest reads the function's registers behind a BAR.
    fn read(&self, _bar: usize, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    /// The guest writes them.
    fn write(&self, _bar: usize, _offset: u64, _data: &[u8], _vcpu: &Arc<VcpuControl>) {}

    /// The guest has written to the configuration space: the BARs may lie elsewhere.
    fn reconfigured(&self) {}

    /// Saves or restores what it has beside its configuration.
    fn visit(&self, _: &mut Fields) -> Result<(), Invalid> {
        Ok(())
    }
}

// The configuration space's registers.
const COMMAND: usize = 0x04;
const BARS: usize = 0x10;
const SUBSYSTEM: usize = 0x2c;
const INTERRUPT_LINE: usize = 0x3c;

/// The size of the configuration space.
pub const SIZE: usize = 256;
/// How many BARs a function can have.
const BAR_COUNT: usize = 6;

// In the command register: the function answers at its ports, at its addresses, and may access memory itself.
pub const COMMAND_IO: u16 = 1 << 0;
pub const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_MASTER: u16 = 1 << 2;
const COMMAND_NO_INTERRUPT: u16 = 1 << 10;
const COMMAND_WRITABLE: u16 = COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_NO_INTERRUPT;

/// Red Hat's numbers for subsystems, by which QEMU's devices are known.
const SUBSYSTEM_QEMU: u32 = 0x1100_1af4;

/// What a BAR is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    None,
    /// So many ports: a power of two, 4 at least.
    Ports(u32),
    /// So many bytes of addresses below 4 GiB: a power of two, 16 at least.
    Memory(u32),
}

impl Bar {
    fn size(self) -> u32 {
        match self {
            Bar::None => 0,
            Bar::Ports(size) | Bar::Memory(size) => size,
        }
    }

    /// The bits that tell its kind: 6.2.5.1.
    fn kind(self) -> u32 {
        u32::from(matches!(self, Bar::Ports(_)))
    }

    /// The command register's bit that enables it.
    fn enable(self) -> u16 {
        if matches!(self, Bar::Ports(_)) { COMMAND_IO } else { COMMAND_MEMORY }
    }
}

/// A function's configuration space.
pub struct Configuration {
    bytes: [u8; SIZE],
    bars: [Bar; BAR_COUNT],
}

/// Restored, only that changes which the guest could change.
impl Field for Configuration {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut bytes = self.bytes;
        visit!(fields; bytes);
        self.write(0, &bytes);
        Ok(())
    }
}

impl Configuration {
    /// Of a function with these numbers: vendor (low half) and device; class code, of three bytes; and BARs.
    pub fn new(id: u32, class: u32, bars: [Bar; BAR_COUNT]) -> Configuration {
        let mut configuration = Configuration { bytes: [0; SIZE], bars };
        configuration.put(0, id);
        configuration.put(8, class << 8);
        configuration.put(SUBSYSTEM, SUBSYSTEM_QEMU);
        for number in 0..BAR_COUNT {
            configuration.set_bar(number, 0);
        }
        configuration
    }

    fn put(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn get(&self, at: usize) -> u32 {
        crate::show::number(&self.bytes[at..at + 4]) as u32
    }

    fn command(&self) -> u16 {
        self.get(COMMAND) as u16
    }

    /// The kind of each BAR.
    pub fn bars(&self) -> [Bar; BAR_COUNT] {
        self.bars
    }

    /// Sets a BAR's address. The bits below its size read as 0: that is how the guest learns the size.
    fn set_bar(&mut self, number: usize, value: u32) {
        let bar = self.bars[number];
        let below = bar.size().wrapping_sub(1);
        self.put(BARS + 4 * number, if bar == Bar::None { 0 } else { value & !below | bar.kind() });
    }

    /// Sets a BAR's address, and lets the function answer there, as firmware does.
    pub fn assign(&mut self, number: usize, address: u32) {
        self.set_bar(number, address);
        let command = self.command() | self.bars[number].enable();
        self.bytes[COMMAND..COMMAND + 2].copy_from_slice(&command.to_le_bytes());
    }

    /// The addresses or ports of a BAR; `None` where it is disabled.
    pub fn range(&self, number: usize) -> Option<Range<u64>> {
        let bar = self.bars[number];
        if bar == Bar::None || self.command() & bar.enable() == 0 {
            return None;
        }
        let start = u64::from(self.get(BARS + 4 * number) & !bar.kind());
        Some(start..start + u64::from(bar.size()))
    }

    /// The BAR that has an address, or a port, and the register behind it.
    pub fn find(&self, is_port: bool, at: u64) -> Option<(usize, u64)> {
        let fits = |number: &usize| {
            let range = self.range(*number).filter(|range| range.contains(&at));
            range.is_some() && (self.bars[*number].enable() == COMMAND_IO) == is_port
        };
        let number = (0..BAR_COUNT).find(fits)?;
        Some((number, at - self.range(number)?.start))
    }

    /// Reads from a register on; behind the end of the space there are ones.
    pub fn read(&self, register: usize, data: &mut [u8]) {
        for (byte, at) in data.iter_mut().zip(register..) {
            *byte = self.bytes.get(at).copied().unwrap_or(0xff);
        }
    }

    /// Writes what can be written: the command, the BARs and the number of the interrupt line, which means something to the
    /// guest alone.
    pub fn write(&mut self, register: usize, data: &[u8]) {
        let mut bytes = self.bytes;
        for (&byte, at) in data.iter().zip(register..SIZE) {
            bytes[at] = byte;
        }
        let word = |at: usize| crate::show::number(&bytes[at..at + 4]) as u32;
        let command = word(COMMAND) as u16 & COMMAND_WRITABLE;
        self.bytes[COMMAND..COMMAND + 2].copy_from_slice(&command.to_le_bytes());
        for number in 0..BAR_COUNT {
            self.set_bar(number, word(BARS + 4 * number));
        }
        self.bytes[INTERRUPT_LINE] = bytes[INTERRUPT_LINE];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> Configuration {
        let bars =
            [Bar::Memory(0x1000), Bar::Ports(0x100), Bar::None, Bar::None, Bar::None, Bar::None];
        Configuration::new(0x0005_1b36, 0xff_0000, bars)
    }

    fn word(configuration: &Configuration, register: usize) -> u32 {
        let mut data = [0; 4];
        configuration.read(register, &mut data);
        u32::from_le_bytes(data)
    }

    #[test]
    fn it_says_what_it_is_and_that_can_t_be_changed() {
        let mut function = function();
        for round in 0..2 {
            assert_eq!(word(&function, 0), 0x0005_1b36, "{round}");
            assert_eq!(word(&function, 8), 0xff00_0000);
            assert_eq!(word(&function, 0x2c), 0x1100_1af4);
            assert_eq!(word(&function, 0xfe), 0xffff_0000, "behind the end");
            for register in [0, 6, 8, 0xc, 0x2c, 0x30, 0x34, 0x3d, 0x40, 0xfc] {
                function.write(register, &[0xff; 4]);
            }
        }
        assert_eq!(word(&function, 4), 0, "writes beside the command do not change it");
    }

    #[test]
    fn a_bar_tells_its_size_and_moves() {
        let mut function = function();
        for (register, sizing, address, shown) in [
            (0x10, 0xffff_f000, 0xf123_4567, 0xf123_4000),
            (0x14, 0xffff_ff01, 0xc234, 0xc201),
            (0x18, 0, 0xf000_0000, 0),
        ] {
            function.write(register, &[0xff; 4]);
            assert_eq!(word(&function, register), sizing, "{register:#x}");
            function.write(register, &u32::to_le_bytes(address));
            assert_eq!(word(&function, register), shown, "{register:#x}");
        }
        assert_eq!(function.find(false, 0xf123_4000), None, "disabled");
        function.write(COMMAND, &COMMAND_MEMORY.to_le_bytes());
        assert_eq!(function.find(false, 0xf123_4fff), Some((0, 0xfff)));
        assert_eq!(function.find(false, 0xf123_5000), None);
        assert_eq!(function.find(true, 0xc200), None, "ports are not enabled");
        function.write(COMMAND, &(COMMAND_MEMORY | COMMAND_IO).to_le_bytes());
        assert_eq!(function.find(true, 0xc2ff), Some((1, 0xff)));
        assert_eq!(function.find(false, 0xc2ff), None, "a port is no address");
        function.write(0x10, &0xf000_0000u32.to_le_bytes());
        assert_eq!(function.find(false, 0xf123_4000), None, "moved");
        assert_eq!(function.find(false, 0xf000_0004), Some((0, 4)));
        // A byte of it.
        function.write(0x13, &[0xf1]);
        assert_eq!(function.range(0), Some(0xf100_0000..0xf100_1000));
    }

    #[test]
    fn firmware_gives_it_a_place() {
        let mut function = function();
        function.assign(1, 0xc000);
        assert_eq!(function.find(true, 0xc010), Some((1, 0x10)));
        assert_eq!(function.range(0), None);
        function.write(COMMAND, &[0xff; 2]);
        assert_eq!(word(&function, COMMAND), 0x0407, "only these bits exist");
        function.write(INTERRUPT_LINE, &[11]);
        assert_eq!(word(&function, INTERRUPT_LINE), 11);
    }
}
