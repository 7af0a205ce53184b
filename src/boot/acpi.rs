//! ACPI tables: how a kernel learns of processors, interrupt controllers, and the way to switch off. ACPI 6.4, 5.2.
//!
//! ```text
//!   RSDP ─▶ XSDT ─┬▶ FADT ─┬▶ DSDT   \_S5: what to write to switch off
//!                 │        └▶ FACS   says nothing, but must be there
//!                 └▶ MADT            processors, I/O APIC
//! ```

use crate::boot::Error;
use crate::layout::*;
use crate::memory::GuestMemory;
use alloc::vec;
use alloc::vec::Vec;

/// Writes the tables of a machine with so many processors, whose APIC ids count from 0.
pub fn write(memory: &GuestMemory, cpus: u32) -> Result<(), Error> {
    let tables = tables(cpus);
    assert!(tables.len() as u64 <= ACPI_SIZE, "no room for the tables of {cpus} processors");
    Ok(memory.write(ACPI, &tables)?)
}

/// The size of the root pointer, which comes first and names the XSDT, which comes last.
const RSDP_SIZE: usize = 36;
/// FACS must be at a multiple of 64.
const FACS_OFFSET: usize = 64;
const FACS_SIZE: usize = 64;

/// All tables, as they lie from [`ACPI`] on.
fn tables(cpus: u32) -> Vec<u8> {
    // The RSDP comes last, when it is known where the XSDT lies.
    let mut area = vec![0; FACS_OFFSET];
    area.extend_from_slice(&facs());
    let facs = ACPI + FACS_OFFSET as u64;
    let dsdt = append(&mut area, dsdt());
    let fadt = append(&mut area, fadt(facs, dsdt));
    let madt = append(&mut area, madt(cpus));
    let xsdt = append(&mut area, xsdt(&[fadt, madt]));
    area[..RSDP_SIZE].copy_from_slice(&rsdp(xsdt));
    area
}

/// Appends a table at a multiple of eight bytes, and returns its guest-physical address.
fn append(area: &mut Vec<u8>, table: Table) -> u64 {
    area.resize(area.len().next_multiple_of(8), 0);
    let address = ACPI + area.len() as u64;
    area.extend_from_slice(&table.finish());
    address
}

/// A table with the header that all but the first two have: 5.2.6.
struct Table(Vec<u8>);

/// Where that header has the length, and the byte that makes the sum 0.
const LENGTH: usize = 4;
const CHECKSUM: usize = 9;

impl Table {
    fn new(signature: &[u8; 4], revision: u8) -> Table {
        let mut table = Table(Vec::new());
        table.put(signature).put(&[0; 4]).put(&[revision, 0]);
        // The maker's id and the table's, and its revision; the same of the tool that made it.
        table.put(b"KOB-2M").put(b"Biscuit ").put(&1u32.to_le_bytes());
        table.put(b"KOB2").put(&1u32.to_le_bytes());
        table
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Table {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Puts bytes at an offset, with zeros before them where the table was shorter.
    fn put_at(&mut self, offset: usize, bytes: &[u8]) -> &mut Table {
        let end = offset + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[offset..end].copy_from_slice(bytes);
        self
    }

    /// Fills in the length and the checksum.
    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.put_at(LENGTH, &length.to_le_bytes());
        self.0[CHECKSUM] = checksum(&self.0);
        self.0
    }
}

/// The byte that makes the sum of all bytes 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte)).wrapping_neg()
}

/// 5.2.5.3: the root pointer, version 2, with two checksums: of its first 20 bytes, and of all.
fn rsdp(xsdt: u64) -> [u8; RSDP_SIZE] {
    let mut rsdp = [0; RSDP_SIZE];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(b"KOB-2M");
    rsdp[15] = 2;
    rsdp[20] = RSDP_SIZE as u8;
    rsdp[24..32].copy_from_slice(&xsdt.to_le_bytes());
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(&rsdp);
    rsdp
}

/// 5.2.10: the firmware's own table, of which a kernel only wants to know the address.
fn facs() -> [u8; FACS_SIZE] {
    let mut facs = [0; FACS_SIZE];
    facs[..4].copy_from_slice(b"FACS");
    facs[4] = FACS_SIZE as u8;
    facs[32] = 2;
    facs
}

/// 5.2.8: the addresses of the other tables.
fn xsdt(tables: &[u64]) -> Table {
    let mut xsdt = Table::new(b"XSDT", 1);
    for address in tables {
        xsdt.put(&address.to_le_bytes());
    }
    xsdt
}

/// 5.2.11.1, in ACPI's own byte code (20.2): `Name(\_S5, Package(4) { SLEEP_OFF, 0, 0, 0 })`.
fn dsdt() -> Table {
    let mut dsdt = Table::new(b"DSDT", 2);
    dsdt.put(b"\x08_S5_\x12\x07\x04\x0a").put(&[SLEEP_OFF as u8, 0, 0, 0]);
    dsdt
}

/// 5.2.3.2, "Generic Address Structure": a port, its width, and how it is accessed: 1, 2, 3 for 1, 2, 4 bytes.
fn port(number: u16, bytes: u8) -> [u8; 12] {
    let [low, high] = number.to_le_bytes();
    [1, 8 * bytes, 0, bytes.ilog2() as u8 + 1, low, high, 0, 0, 0, 0, 0, 0]
}

/// 5.2.9: the fixed hardware. What is 0 is not there.
fn fadt(facs: u64, dsdt: u64) -> Table {
    /// WBINVD works; power button, sleep button and RTC alarm are no fixed hardware; there is a reset register.
    const FLAGS: u32 = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10;
    /// Older devices are there (a serial port), a screen is not.
    const DEVICES: u16 = 1 << 0 | 1 << 2;
    /// Version 5's.
    const SIZE: usize = 268;
    let mut fadt = Table::new(b"FACP", 5);
    fadt.put_at(36, &(facs as u32).to_le_bytes())
        .put_at(40, &(dsdt as u32).to_le_bytes())
        .put_at(46, &ACPI_LINE.to_le_bytes())
        .put_at(56, &u32::from(PM1_EVENT).to_le_bytes())
        .put_at(64, &u32::from(PM1_CONTROL).to_le_bytes())
        // The lengths of PM1's registers; latencies of sleep states that are not there; the clock's register for the century.
        .put_at(88, &[4, 2])
        .put_at(96, &[0xff, 0x0f, 0xff, 0x0f])
        .put_at(108, &[0x32])
        .put_at(109, &DEVICES.to_le_bytes())
        .put_at(112, &FLAGS.to_le_bytes())
        // The reset register, and what to write to it.
        .put_at(116, &port(RESET_CONTROL, 1))
        .put_at(128, &[6])
        .put_at(132, &facs.to_le_bytes())
        .put_at(140, &dsdt.to_le_bytes())
        .put_at(148, &port(PM1_EVENT, 4))
        .put_at(172, &port(PM1_CONTROL, 2))
        .put_at(SIZE - 1, &[0]);
    fadt
}

/// 5.2.12: processors and interrupt controllers.
fn madt(cpus: u32) -> Table {
    let mut madt = Table::new(b"APIC", 3);
    // The local APICs' address, and that there is a pair of 8259 too.
    madt.put(&(LOCAL_APIC as u32).to_le_bytes()).put(&1u32.to_le_bytes());
    // An APIC id is one byte here, for which MAX_VCPUS is low enough.
    for id in (0..=u8::MAX).take(cpus as usize) {
        // 5.2.12.2: processor, APIC id, enabled.
        madt.put(&[0, 8, id, id, 1, 0, 0, 0]);
    }
    // 5.2.12.3: the I/O APIC with id 0, whose lines are the GSIs from 0 on.
    madt.put(&[1, 12, 0, 0]).put(&(IO_APIC as u32).to_le_bytes()).put(&[0; 4]);
    // 5.2.12.5: ISA interrupt 0, the timer, is line 2, as on a PC. ACPI's own is active high and level-triggered.
    let line = ACPI_LINE as u8;
    madt.put(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    madt.put(&[2, 10, 0, line, line, 0, 0, 0, 0x0d, 0]);
    // 5.2.12.7: LINT1 of every processor is the NMI.
    madt.put(&[4, 6, 0xff, 0, 0, 1]);
    madt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
        crate::show::number(&bytes[at..at + size])
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
        for cpus in [1, 2, MAX_VCPUS] {
            let all = tables(cpus);
            let xsdt = table(&all, number(&all, 24, 8));
            let madt = table(&all, number(xsdt, 44, 8));
            assert_eq!((number(madt, 36, 4), madt[40]), (LOCAL_APIC, 1));
            let (mut at, mut ids) = (44, vec![]);
            while at < madt.len() {
                match madt[at] {
                    1 => assert_eq!(number(madt, at + 4, 4), IO_APIC),
                    0 => ids.push(u32::from(madt[at + 3])),
                    _ => {}
                }
                at += usize::from(madt[at + 1]);
            }
            assert_eq!(at, madt.len());
            assert_eq!(ids, (0..cpus).collect::<Vec<_>>());
        }
    }
}
