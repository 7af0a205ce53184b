//! ACPI tables: how a kernel learns of processors, interrupt controllers, and the way off. ACPI 6.4, 5.2.
//!
//! ```text
//!   RSDP ─▶ XSDT ─┬▶ FADT ─┬▶ DSDT   \_S5: what to write to switch off
//!                 │        └▶ FACS   nothing, but it must be there
//!                 └▶ MADT            processors, I/O APIC
//! ```

use crate::error::Error;
use crate::fd::Buffer;
use crate::layout::*;
use crate::memory::Memory;

/// The tables, one behind the other as they will lie in RAM.
struct Area {
    buffer: Buffer,
    len: usize,
}

impl Area {
    /// Behind what is there; what there is no room for is lost.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.buffer.bytes_mut().get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// At a place that is there already.
    fn set(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.buffer.bytes_mut().get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Makes the bytes from `from` on sum up to 0, by the one at `at`.
    fn sum_up(&mut self, from: usize, at: usize) {
        let bytes = self.buffer.bytes().get(from..self.len).unwrap_or_default();
        let sum = bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
        self.set(at, &[sum.wrapping_neg()]);
    }

    /// Begins a table: 5.2.6, the common header. Gives where.
    fn begin(&mut self, signature: &[u8; 4], revision: u8) -> usize {
        self.len = self.len.next_multiple_of(64);
        let start = self.len;
        self.put(signature);
        self.put(&[0, 0, 0, 0, revision, 0]);
        self.put(b"KOB-2MBiscuit \x01\0\0\0KOB2\x01\0\0\0");
        start
    }

    /// Ends it: its length, its sum.
    fn end(&mut self, start: usize) {
        let length = (self.len - start) as u32;
        self.set(start + 4, &length.to_le_bytes());
        self.sum_up(start, start + 9);
    }
}

/// An address, as a table names it.
fn address(place: usize) -> u64 {
    ACPI + place as u64
}

/// Writes the tables of a machine with so many processors, whose APIC ids count from 0.
pub fn write(memory: &Memory, cpus: u32) -> Result<(), Error> {
    let mut area = Area { buffer: Buffer::new(ACPI_SIZE as usize)?, len: 0 };
    fill(&mut area, cpus);
    memory.write_all(ACPI, area.buffer.bytes().get(..area.len).unwrap_or_default())
}

fn fill(area: &mut Area, cpus: u32) {
    // 5.2.5.3: the root pointer, version 2, has two sums: of the first 20 bytes, and of all 36.
    area.put(b"RSD PTR \0KOB-2M\x02\0\0\0\0");
    area.sum_up(0, 8);
    area.put(&36u32.to_le_bytes());
    area.put(&[0; 12]);

    // 5.2.10: the firmware's own, of which a kernel wants to know the address alone.
    area.len = 64;
    let facs = area.len;
    area.put(b"FACS\x40\0\0\0");
    area.len = 128;
    area.set(facs + 32, &[2]);

    // 5.2.11.1, in ACPI's own byte code (20.2): Name(\_S5, Package(4) { SLEEP_OFF, 0, 0, 0 }).
    let dsdt = area.begin(b"DSDT", 2);
    area.put(b"\x08_S5_\x12\x07\x04\x0a");
    area.put(&[SLEEP_OFF as u8, 0, 0, 0]);
    area.end(dsdt);

    let fadt = area.begin(b"FACP", 5);
    fixed(area, fadt, facs, dsdt);
    area.end(fadt);

    let madt = area.begin(b"APIC", 3);
    processors(area, cpus);
    area.end(madt);

    let xsdt = area.begin(b"XSDT", 1);
    area.put(&address(fadt).to_le_bytes());
    area.put(&address(madt).to_le_bytes());
    area.end(xsdt);

    let end = core::mem::replace(&mut area.len, 36);
    area.set(24, &address(xsdt).to_le_bytes());
    area.sum_up(0, 32);
    area.len = end;
}

/// 5.2.9: the FADT. What is 0 is not there.
fn fixed(area: &mut Area, start: usize, facs: usize, dsdt: usize) {
    /// 5.2.3.2, "Generic Address Structure": a port, its width, and how it is accessed.
    const fn port(number: u16, bytes: u8) -> [u8; 12] {
        let [low, high] = number.to_le_bytes();
        [1, 8 * bytes, 0, bytes, low, high, 0, 0, 0, 0, 0, 0]
    }
    // Version 5 has 268 bytes.
    const END: usize = 268;
    // Power and sleep buttons and the clock's alarm are no fixed hardware; there is a reset register.
    const FLAGS: u32 = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10;
    // Older devices are there (a serial port), a screen and a keyboard are not.
    const DEVICES: u16 = 1 << 0 | 1 << 2;
    area.len = start + END;
    for (at, number) in [
        (36, address(facs)),
        (40, address(dsdt)),
        (56, PM1_EVENT.into()),
        (64, PM1_CONTROL.into()),
        (112, FLAGS.into()),
    ] {
        area.set(start + at, &(number as u32).to_le_bytes());
    }
    area.set(start + 46, &ACPI_LINE.to_le_bytes());
    // The lengths of PM1's registers; latencies of states that there are not; where the clock has the century.
    area.set(start + 88, &[4, 2]);
    area.set(start + 96, &[0xff, 0x0f, 0xff, 0x0f]);
    area.set(start + 108, &[0x32]);
    area.set(start + 109, &DEVICES.to_le_bytes());
    area.set(start + 116, &port(RESET_CONTROL, 1));
    area.set(start + 128, &[6]);
    area.set(start + 132, &address(facs).to_le_bytes());
    area.set(start + 140, &address(dsdt).to_le_bytes());
    area.set(start + 148, &port(PM1_EVENT, 4));
    area.set(start + 172, &port(PM1_CONTROL, 2));
}

/// 5.2.12: the MADT.
fn processors(area: &mut Area, cpus: u32) {
    area.put(&(LOCAL_APIC as u32).to_le_bytes());
    // There is a pair of 8259 too.
    area.put(&[1, 0, 0, 0]);
    for number in 0..cpus {
        let [low, high, ..] = number.to_le_bytes();
        match number {
            // 5.2.12.2: processor, APIC id, enabled.
            0..255 => area.put(&[0, 8, low, low, 1, 0, 0, 0]),
            // 5.2.12.12: an id that needs the x2APIC.
            _ => area.put(&[9, 16, 0, 0, low, high, 0, 0, 1, 0, 0, 0, low, high, 0, 0]),
        }
    }
    // 5.2.12.3: the I/O APIC, whose id is 0, and whose lines are GSI 0 and following.
    area.put(&[1, 12, 0, 0]);
    area.put(&(IO_APIC as u32).to_le_bytes());
    area.put(&[0; 4]);
    // 5.2.12.5: the timer, ISA 0, is line 2, as on a PC; ACPI's own is active high, a level.
    area.put(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    area.put(&[2, 10, 0, ACPI_LINE as u8, ACPI_LINE as u8, 0, 0, 0, 0x0d, 0]);
    // 5.2.12.7: LINT1 of every processor is the NMI.
    area.put(&[4, 6, 0xff, 0, 0, 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(cpus: u32) -> Vec<u8> {
        let mut area = Area { buffer: Buffer::new(ACPI_SIZE as usize).unwrap(), len: 0 };
        fill(&mut area, cpus);
        area.buffer.bytes()[..area.len].to_vec()
    }

    fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
        crate::x86::number(&bytes[at..at + size])
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
    }

    /// The table at an address.
    fn table(all: &[u8], address: u64) -> &[u8] {
        let table = &all[(address - ACPI) as usize..];
        &table[..number(table, 4, 4) as usize]
    }

    #[test]
    fn from_the_root_pointer_each_table_is_found_and_sums_up_to_0() {
        let all = tables(2);
        assert_eq!(&all[..8], b"RSD PTR ");
        assert_eq!((sum(&all[..20]), sum(&all[..36])), (0, 0));
        let xsdt = table(&all, number(&all, 24, 8));
        assert_eq!((&xsdt[..4], xsdt.len()), (&b"XSDT"[..], 36 + 16));
        let fadt = table(&all, number(xsdt, 36, 8));
        let madt = table(&all, number(xsdt, 44, 8));
        let dsdt = table(&all, number(fadt, 140, 8));
        assert_eq!(number(fadt, 40, 4), number(fadt, 140, 8));
        for (table, signature) in
            [(xsdt, b"XSDT"), (fadt, b"FACP"), (madt, b"APIC"), (dsdt, b"DSDT")]
        {
            assert_eq!((&table[..4], sum(table)), (&signature[..], 0));
            assert_eq!(&table[10..16], b"KOB-2M");
        }
        assert_eq!(fadt.len(), 268);
        assert_eq!((number(fadt, 56, 4), number(fadt, 64, 4)), (0x600, 0x604));
        assert_eq!((fadt[116], number(fadt, 120, 8), fadt[128]), (1, 0xcf9, 6));
        assert_eq!(&dsdt[36..], b"\x08_S5_\x12\x07\x04\x0a\x05\0\0\0");
        let facs = &all[(number(fadt, 132, 8) - ACPI) as usize..];
        assert_eq!((&facs[..4], number(facs, 4, 4)), (&b"FACS"[..], 64));
    }

    #[test]
    fn each_processor_has_its_entry_and_a_large_machine_s_fit() {
        for cpus in [1, 2, 255, 256, 4096] {
            let all = tables(cpus);
            let xsdt = table(&all, number(&all, 24, 8));
            let madt = table(&all, number(xsdt, 44, 8));
            assert_eq!((number(madt, 36, 4), madt[40]), (0xfee0_0000, 1));
            let (mut at, mut ids) = (44, vec![]);
            while at < madt.len() {
                match madt[at] {
                    0 => ids.push(u32::from(madt[at + 3])),
                    9 => ids.push(number(madt, at + 4, 4) as u32),
                    _ => {}
                }
                at += usize::from(madt[at + 1]);
            }
            assert_eq!(at, madt.len());
            assert_eq!(ids, (0..cpus).collect::<Vec<_>>());
        }
    }
}
