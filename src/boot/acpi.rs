//! ACPI tables: how a kernel learns of processors, interrupt controllers, and the way off. ACPI 6.4, 5.2.
//!
//! ```text
//!   RSDP ─▶ XSDT ─┬▶ FADT ─┬▶ DSDT   \_S5: what to write to switch off
//!                 │        └▶ FACS   nothing, but it must be there
//!                 └▶ MADT            processors, I/O APIC
//! ```

use crate::boot::kernel;
use crate::error::Error;
use crate::fd::Buffer;
use crate::layout::*;
use crate::memory::Memory;
use crate::words;

// Where each lies. All but the MADT, which comes last and grows with the machine, are made by the compiler.
const FACS: usize = 64;
const DSDT: usize = 128;
const DSDT_SIZE: usize = HEADER + 13;
const XSDT: usize = 192;
const XSDT_SIZE: usize = HEADER + 2 * 8;
const FADT: usize = 256;
/// Version 5's.
const FADT_SIZE: usize = 268;
const MADT: usize = 576;

/// 5.2.6: the header that all tables but the first two have. The sum stands at 9.
const HEADER: usize = 36;
const SUM: usize = 9;

/// An address, as a table names it.
const fn address(place: usize) -> u64 {
    ACPI + place as u64
}

/// Tables under construction.
#[derive(Clone, Copy)]
struct Area([u8; MADT + HEADER]);

impl Area {
    const fn bytes(mut self, at: usize, bytes: &[u8]) -> Area {
        let mut index = 0;
        while index < bytes.len() {
            self.0[at + index] = bytes[index];
            index += 1;
        }
        self
    }

    const fn number(self, at: usize, number: u64, size: usize) -> Area {
        let bytes = number.to_le_bytes();
        self.bytes(at, bytes.split_at(size).0)
    }

    /// A table's header, but for its sum.
    const fn header(self, at: usize, signature: &[u8; 4], size: usize, revision: u8) -> Area {
        self.bytes(at, signature)
            .number(at + 4, size as u64, 4)
            .bytes(at + 8, &[revision])
            .bytes(at + 10, b"KOB-2MBiscuit \x01\0\0\0KOB2\x01\0\0\0")
    }

    /// Makes `size` bytes sum up to 0, by the one at `sum`.
    const fn sum_up(self, at: usize, size: usize, sum: usize) -> Area {
        let (mut total, mut index) = (0u8, 0);
        while index < size {
            total = total.wrapping_add(self.0[at + index]);
            index += 1;
        }
        self.bytes(at + sum, &[total.wrapping_neg()])
    }
}

/// 5.2.3.2, "Generic Address Structure": a port, its width, and how it is accessed: 1, 2, 3 for 1, 2, 4 bytes.
const fn port(number: u16, bytes: u8) -> [u8; 12] {
    let [low, high] = number.to_le_bytes();
    [1, 8 * bytes, 0, bytes.ilog2() as u8 + 1, low, high, 0, 0, 0, 0, 0, 0]
}

/// All up to the MADT's header, of which the length and the sum are missing.
static TABLES: Area = {
    // 5.2.5.3: the root pointer, version 2, has two sums: of the first 20 bytes, and of all 36.
    let area = Area([0; MADT + HEADER])
        .bytes(0, b"RSD PTR \0KOB-2M\x02")
        .sum_up(0, 20, 8)
        .number(20, 36, 4)
        .number(24, address(XSDT), 8)
        .sum_up(0, 36, 32);

    // 5.2.10: the firmware's own, of which a kernel wants to know the address alone.
    let area = area.bytes(FACS, b"FACS\x40").bytes(FACS + 32, &[2]);

    // 5.2.11.1, in ACPI's own byte code (20.2): Name(\_S5, Package(4) { SLEEP_OFF, 0, 0, 0 }).
    let area = area
        .header(DSDT, b"DSDT", DSDT_SIZE, 2)
        .bytes(DSDT + HEADER, b"\x08_S5_\x12\x07\x04\x0a")
        .number(DSDT + HEADER + 9, SLEEP_OFF as u64, 1)
        .sum_up(DSDT, DSDT_SIZE, SUM);

    let area = area
        .header(XSDT, b"XSDT", XSDT_SIZE, 1)
        .number(XSDT + HEADER, address(FADT), 8)
        .number(XSDT + HEADER + 8, address(MADT), 8)
        .sum_up(XSDT, XSDT_SIZE, SUM);

    // 5.2.9. What is 0 is not there. Power and sleep buttons and the clock's alarm are no fixed hardware; there is a
    // reset register.
    const FLAGS: u64 = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10;
    // Older devices are there (a serial port), a screen and a keyboard are not.
    const DEVICES: u64 = 1 << 0 | 1 << 2;
    let area = area
        .header(FADT, b"FACP", FADT_SIZE, 5)
        .number(FADT + 36, address(FACS), 4)
        .number(FADT + 40, address(DSDT), 4)
        .number(FADT + 46, ACPI_LINE as u64, 2)
        .number(FADT + 56, PM1_EVENT as u64, 4)
        .number(FADT + 64, PM1_CONTROL as u64, 4)
        // The lengths of PM1's registers; latencies of states that there are not; where the clock has the century.
        .bytes(FADT + 88, &[4, 2])
        .bytes(FADT + 96, &[0xff, 0x0f, 0xff, 0x0f])
        .bytes(FADT + 108, &[0x32])
        .number(FADT + 109, DEVICES, 2)
        .number(FADT + 112, FLAGS, 4)
        .bytes(FADT + 116, &port(RESET_CONTROL, 1))
        .bytes(FADT + 128, &[6])
        .number(FADT + 132, address(FACS), 8)
        .number(FADT + 140, address(DSDT), 8)
        .bytes(FADT + 148, &port(PM1_EVENT, 4))
        .bytes(FADT + 172, &port(PM1_CONTROL, 2))
        .sum_up(FADT, FADT_SIZE, SUM);

    area.header(MADT, b"APIC", 0, 3)
};

/// What stands in the MADT, 5.2.12, before the processors: the local APICs' address, and that there is a pair of 8259 too.
static BEFORE: [u8; 8] = [0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
/// And behind them.
static BEHIND: [u8; 38] = [
    // 5.2.12.3: the I/O APIC, whose id is 0, and whose lines are GSI 0 and following.
    1,
    12,
    0,
    0,
    0,
    0,
    0xc0,
    0xfe,
    0,
    0,
    0,
    0,
    // 5.2.12.5: the timer, ISA 0, is line 2, as on a PC; ACPI's own is active high, a level.
    2,
    10,
    0,
    0,
    2,
    0,
    0,
    0,
    0,
    0,
    2,
    10,
    0,
    ACPI_LINE as u8,
    ACPI_LINE as u8,
    0,
    0,
    0,
    0x0d,
    0,
    // 5.2.12.7: LINT1 of every processor is the NMI.
    4,
    6,
    0xff,
    0,
    0,
    1,
];

/// Writes the tables of a machine with so many processors, whose APIC ids count from 0.
#[inline(never)]
pub fn write(memory: &Memory, cpus: u32) -> Result<(), Error> {
    let mut area = Buffer::new(ACPI_SIZE as usize)?;
    let len = fill(area.bytes_mut(), cpus);
    memory.write(ACPI, area.bytes().get(..len).unwrap_or_default())
}

/// Fills the area, and gives how much of it.
fn fill(area: &mut [u8], cpus: u32) -> usize {
    let mut len = 0;
    let mut put = |bytes: &[u8]| {
        if words::put(area, len, bytes) {
            len += bytes.len();
        }
    };
    put(&TABLES.0);
    put(&BEFORE);
    for number in 0..cpus {
        let [low, high, ..] = number.to_le_bytes();
        match number {
            // 5.2.12.2: processor, APIC id, enabled.
            0..255 => put(&[0, 8, low, low, 1, 0, 0, 0]),
            // 5.2.12.12: an id that needs the x2APIC.
            _ => put(&[9, 16, 0, 0, low, high, 0, 0, 1, 0, 0, 0, low, high, 0, 0]),
        }
    }
    put(&BEHIND);
    kernel::put(area, MADT + 4, (len - MADT) as u64, 4);
    let madt = area.get(MADT..len).unwrap_or_default();
    let sum = madt.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    kernel::put(area, MADT + SUM, sum.wrapping_neg().into(), 1);
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(cpus: u32) -> Vec<u8> {
        let mut area = vec![0; ACPI_SIZE as usize];
        let len = fill(&mut area, cpus);
        area.truncate(len);
        area
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
            assert_eq!((number(madt, 36, 4), madt[40]), (LOCAL_APIC, 1));
            let (mut at, mut ids) = (44, vec![]);
            while at < madt.len() {
                match madt[at] {
                    1 => assert_eq!(number(madt, at + 4, 4), IO_APIC),
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
