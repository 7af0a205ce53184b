//! Breakpoints. Those in software are an INT3 in the guest's RAM, so all vCPUs have them; the four in hardware are set for each vCPU
//! when it goes on.

use crate::memory::GuestMemory;
use alloc::vec::Vec;

/// INT3.
pub const INT3: u8 = 0xcc;

/// An INT3 in RAM.
struct Software {
    /// Where gdb wants it.
    address: u64,
    /// Where that is in RAM.
    gpa: u64,
    /// The byte that it has replaced.
    original: u8,
}

/// What a breakpoint in hardware waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    Execute,
    Write,
    /// Reads and writes.
    Any,
}

/// A breakpoint in hardware: SDM volume 3, 18.2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hardware {
    pub address: u64,
    pub access: Access,
    /// 1, 2, 4 or 8 bytes.
    pub size: u64,
}

impl Hardware {
    /// `None`: the processor can't watch as many bytes there.
    pub fn new(address: u64, access: Access, size: u64) -> Option<Hardware> {
        let size = if access == Access::Execute { 1 } else { size };
        let fits = matches!(size, 1 | 2 | 4 | 8) && address.is_multiple_of(size);
        fits.then_some(Hardware { address, access, size })
    }

    /// Its bits in DR7, as the breakpoint with this number: enabled, access and size.
    fn control(self, number: usize) -> u64 {
        let access = match self.access {
            Access::Execute => 0,
            Access::Write => 1,
            Access::Any => 3,
        };
        let size = match self.size {
            1 => 0,
            2 => 1,
            8 => 2,
            _ => 3,
        };
        2 << (2 * number) | (access | size << 2) << (16 + 4 * number)
    }
}

/// How many the processor has.
const SLOTS: usize = 4;

/// Why a breakpoint could not be set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refused {
    /// There is no RAM.
    NoRam,
    /// All of the hardware's are taken.
    Full,
}

/// All breakpoints of the debugger.
#[derive(Default)]
pub struct Breakpoints {
    software: Vec<Software>,
    hardware: [Option<Hardware>; SLOTS],
}

impl Breakpoints {
    /// Sets one at an address that lies at `gpa`. Does nothing if it exists. Several addresses can lie at one place of RAM.
    pub fn insert(&mut self, memory: &GuestMemory, address: u64, gpa: u64) -> Result<(), Refused> {
        if self.software.iter().any(|other| (other.address, other.gpa) == (address, gpa)) {
            return Ok(());
        }
        let mut byte = [0];
        let original = match self.software.iter().find(|other| other.gpa == gpa) {
            Some(other) => other.original,
            None => {
                memory.read(gpa, &mut byte).map_err(|_| Refused::NoRam)?;
                memory.write(gpa, &[INT3]).map_err(|_| Refused::NoRam)?;
                byte[0]
            }
        };
        self.software.push(Software { address, gpa, original });
        Ok(())
    }

    /// Takes it away again, wherever the guest's tables lead now.
    pub fn remove(&mut self, memory: &GuestMemory, address: u64) {
        let (removed, left): (Vec<Software>, Vec<Software>) =
            self.software.drain(..).partition(|breakpoint| breakpoint.address == address);
        self.software = left;
        for breakpoint in removed.into_iter().filter(|breakpoint| !self.is_ours(breakpoint.gpa)) {
            breakpoint.restore(memory);
        }
    }

    /// Sets one of the hardware's. Does nothing if it exists.
    pub fn insert_hardware(&mut self, breakpoint: Hardware) -> Result<(), Refused> {
        if self.has_hardware(breakpoint) {
            return Ok(());
        }
        let free = self.hardware.iter_mut().find(|slot| slot.is_none()).ok_or(Refused::Full)?;
        *free = Some(breakpoint);
        Ok(())
    }

    pub fn remove_hardware(&mut self, breakpoint: Hardware) {
        for slot in &mut self.hardware {
            slot.take_if(|other| *other == breakpoint);
        }
    }

    pub fn has_hardware(&self, breakpoint: Hardware) -> bool {
        self.hardware.contains(&Some(breakpoint))
    }

    /// Takes all away.
    pub fn clear(&mut self, memory: &GuestMemory) {
        self.clear_software(memory);
        self.hardware = Default::default();
    }

    /// Takes those in software away.
    pub fn clear_software(&mut self, memory: &GuestMemory) {
        self.software.drain(..).for_each(|breakpoint| breakpoint.restore(memory));
    }

    /// Whether an INT3 at `gpa` is the debugger's, and not the guest's.
    pub fn is_ours(&self, gpa: u64) -> bool {
        self.software.iter().any(|breakpoint| breakpoint.gpa == gpa)
    }

    /// Puts the guest's own bytes into what was read from `gpa` on.
    pub fn hide(&self, gpa: u64, bytes: &mut [u8]) {
        for breakpoint in &self.software {
            if let Some(byte) = at(gpa, bytes, breakpoint.gpa) {
                *byte = breakpoint.original;
            }
        }
    }

    /// Writes to RAM. At a breakpoint the saved byte changes, and INT3 stays.
    pub fn write(
        &mut self,
        memory: &GuestMemory,
        gpa: u64,
        bytes: &mut [u8],
    ) -> Result<(), Refused> {
        for breakpoint in &mut self.software {
            if let Some(byte) = at(gpa, bytes, breakpoint.gpa) {
                breakpoint.original = *byte;
            }
        }
        for breakpoint in &self.software {
            if let Some(byte) = at(gpa, bytes, breakpoint.gpa) {
                *byte = INT3;
            }
        }
        memory.write(gpa, bytes).map_err(|_| Refused::NoRam)
    }

    pub fn has_software(&self) -> bool {
        !self.software.is_empty()
    }

    /// One of the hardware's, by the number that DR6 has for it.
    pub fn hardware(&self, number: usize) -> Option<Hardware> {
        self.hardware.get(number).copied().flatten()
    }

    /// DR0 to DR7 with those of the hardware, and in a free place one more for a moment, to stop at this address. `None`: none is
    /// wanted.
    pub fn debug_registers(&self, also: Option<u64>) -> Option<[u64; 8]> {
        let mut all = self.hardware;
        if let Some(address) = also
            && let Some(free) = all.iter_mut().find(|slot| slot.is_none())
        {
            *free = Some(Hardware { address, access: Access::Execute, size: 1 });
        }
        let mut registers = [0; 8];
        for (number, breakpoint) in all.iter().enumerate() {
            if let Some(breakpoint) = breakpoint {
                registers[number] = breakpoint.address;
                registers[7] |= breakpoint.control(number);
            }
        }
        (registers[7] != 0).then_some(registers)
    }
}

impl Software {
    /// If the guest has written something else there, that stays.
    fn restore(&self, memory: &GuestMemory) {
        let mut byte = [0];
        if memory.read(self.gpa, &mut byte).is_ok() && byte == [INT3] {
            // It could be read, and so it can be written.
            let _ = memory.write(self.gpa, &[self.original]);
        }
    }
}

/// The byte at a guest-physical address, of bytes that begin at `start`.
fn at(start: u64, bytes: &mut [u8], gpa: u64) -> Option<&mut u8> {
    bytes.get_mut(usize::try_from(gpa.checked_sub(start)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backing;

    fn memory() -> GuestMemory {
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, 0x2000)]).unwrap();
        memory.write(0x1000, &[1, 2, 3, 4]).unwrap();
        memory
    }

    fn bytes(memory: &GuestMemory) -> [u8; 4] {
        let mut bytes = [0; 4];
        memory.read(0x1000, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_breakpoint_in_software_is_hidden_and_leaves_nothing_behind() {
        let (memory, mut all) = (memory(), Breakpoints::default());
        for _ in 0..2 {
            all.insert(&memory, 0x8000_1001, 0x1001).unwrap();
        }
        assert_eq!(bytes(&memory), [1, INT3, 3, 4]);
        assert!(all.is_ours(0x1001) && !all.is_ours(0x1000) && all.has_software());
        let mut seen = bytes(&memory);
        all.hide(0x1000, &mut seen);
        assert_eq!(seen, [1, 2, 3, 4]);
        all.write(&memory, 0x1000, &mut [5, 6, 7, 8]).unwrap();
        assert_eq!(bytes(&memory), [5, INT3, 7, 8]);
        all.remove(&memory, 0x8000_1001);
        assert_eq!((bytes(&memory), all.has_software()), ([5, 6, 7, 8], false));
        assert_eq!(all.insert(&memory, 0, 0x2000), Err(Refused::NoRam));
    }

    #[test]
    fn two_addresses_of_one_place_are_two_breakpoints() {
        let (memory, mut all) = (memory(), Breakpoints::default());
        all.insert(&memory, 0x1001, 0x1001).unwrap();
        all.insert(&memory, 0x8000_1001, 0x1001).unwrap();
        all.write(&memory, 0x1001, &mut [9]).unwrap();
        all.remove(&memory, 0x1001);
        assert_eq!(bytes(&memory), [1, INT3, 3, 4]);
        all.remove(&memory, 0x8000_1001);
        assert_eq!(bytes(&memory), [1, 9, 3, 4]);
    }

    #[test]
    fn what_the_guest_has_written_over_a_breakpoint_stays() {
        let (memory, mut all) = (memory(), Breakpoints::default());
        all.insert(&memory, 0x1000, 0x1000).unwrap();
        all.insert(&memory, 0x1002, 0x1002).unwrap();
        memory.write(0x1000, &[9]).unwrap();
        all.clear(&memory);
        assert_eq!(bytes(&memory), [9, 2, 3, 4]);
    }

    #[test]
    fn the_hardware_has_four() {
        let mut all = Breakpoints::default();
        assert_eq!(all.debug_registers(None), None);
        let breakpoints = [
            Hardware::new(0x10, Access::Execute, 7).unwrap(),
            Hardware::new(0x20, Access::Write, 8).unwrap(),
            Hardware::new(0x34, Access::Any, 4).unwrap(),
        ];
        for breakpoint in breakpoints.into_iter().chain(breakpoints) {
            all.insert_hardware(breakpoint).unwrap();
        }
        // The manual's DR7: G0 to G2; access and length of each four bits wide from bit 16 on.
        let registers = [0x10, 0x20, 0x34, 0, 0, 0, 0, 0xf << 24 | 0x9 << 20 | 0x2a];
        assert_eq!(all.debug_registers(None), Some(registers));
        let with_one_more = all.debug_registers(Some(0x40)).unwrap();
        assert_eq!((with_one_more[3], with_one_more[7] & 0xff), (0x40, 0xaa));
        let fourth = Hardware::new(0x50, Access::Write, 1).unwrap();
        all.insert_hardware(fourth).unwrap();
        let fifth = Hardware::new(0x60, Access::Write, 1).unwrap();
        assert_eq!(all.insert_hardware(fifth), Err(Refused::Full));
        assert_eq!(all.debug_registers(Some(0x40)), all.debug_registers(None));
        assert_eq!((all.hardware(3), all.hardware(4)), (Some(fourth), None));
        all.remove_hardware(fourth);
        assert_eq!(all.hardware(3), None);
    }

    #[test]
    fn the_hardware_watches_what_is_aligned() {
        for (address, size, can) in
            [(0x1002, 2, true), (0x1002, 4, false), (0x1004, 8, false), (0x1000, 3, false)]
        {
            assert_eq!(Hardware::new(address, Access::Write, size).is_some(), can);
        }
    }
}
