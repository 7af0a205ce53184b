//! ACPI tables: how a kernel learns of the board. ACPI 6.4, 5.2.
//!
//! ```text
//!   RSDP ─▶ XSDT ─┬▶ FADT ─┬▶ DSDT   devices; what to write to sleep and to switch off
//!                 │        └▶ FACS   where to go on after sleep
//!                 ├▶ MADT            processors, I/O APIC
//!                 ├▶ MCFG            PCI Express' configuration space
//!                 └▶ HPET
//! ```

use crate::boot::Error;
use crate::boot::aml;
use crate::config::Config;
use crate::devices::{hpet, rtc};
use crate::layout::*;
use crate::memory::GuestMemory;
use alloc::vec;
use alloc::vec::Vec;

/// Writes the tables of a machine.
pub fn write(memory: &GuestMemory, config: &Config) -> Result<(), Error> {
    let tables = tables(config);
    assert!(tables.len() as u64 <= ACPI_SIZE, "no room for the tables of {} CPUs", config.cpus);
    Ok(memory.write(ACPI, &tables)?)
}

/// The size of the root pointer, which comes first and names the XSDT, which comes last.
const RSDP_SIZE: usize = 36;
/// FACS must be at a multiple of 64.
const FACS_OFFSET: usize = 64;
const FACS_SIZE: usize = 64;
/// Where it lies.
const FACS: u64 = ACPI + FACS_OFFSET as u64;

/// All tables, as they lie from [`ACPI`] on.
pub fn tables(config: &Config) -> Vec<u8> {
    // The RSDP is filled in at the end, when it is known where the XSDT lies.
    let mut area = vec![0; FACS_OFFSET];
    area.extend_from_slice(&facs());
    // The VM generation ID.
    area.resize((VM_GENERATION + VM_GENERATION_SIZE - ACPI) as usize, 0);
    let dsdt = append(&mut area, dsdt(config));
    let mut tables = vec![append(&mut area, fadt(FACS, dsdt))];
    if config.apic {
        tables.push(append(&mut area, madt(config.cpus)));
    }
    tables.push(append(&mut area, mcfg()));
    if config.hpet {
        tables.push(append(&mut area, hpet_table()));
    }
    let xsdt = append(&mut area, xsdt(&tables));
    area[..RSDP_SIZE].copy_from_slice(&rsdp(xsdt));
    area
}

/// Where the guest wants to go on after sleep: 5.2.10, "Waking Vector".
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WakingVector {
    /// In real mode, at this address below 1 MiB.
    Real(u64),
    /// In protected mode, without paging.
    Protected(u64),
}

/// What the guest has left in the FACS. `None`: nowhere.
pub fn waking_vector(memory: &GuestMemory) -> Result<Option<WakingVector>, Error> {
    let real: u32 = memory.read_value(FACS + 12)?;
    let protected: u64 = memory.read_value(FACS + 24)?;
    Ok(match (protected, real) {
        (0, 0) => None,
        (0, real) => Some(WakingVector::Real(real.into())),
        (protected, _) => Some(WakingVector::Protected(protected)),
    })
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

/// 5.2.10: what firmware and kernel tell each other. The kernel writes its waking vector there.
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

/// 5.2.11.1, in ACPI's own byte code: the sleep states, and the devices that no bus tells of.
fn dsdt(config: &Config) -> Table {
    use aml::*;
    let sleep = |state: u16| {
        // What to write to SLP_TYP of PM1a, and of PM1b, which is not there.
        package(&[integer(state.into()), integer(0), integer(0), integer(0)])
    };
    let isa = |device: &str, id: u16, descriptors: &[Vec<u8>]| {
        aml::device(device, &[name("_HID", pnp(id)), resources(descriptors)])
    };
    let mut devices = vec![
        pci_bridge(config),
        // Ports and addresses that belong to the board itself. PCI Express' configuration space must be among them.
        isa(
            "MBRD",
            0x0c02,
            &[
                ports(SYSTEM_CONTROL, 1),
                ports(PM1_EVENT, PM_PORTS as u8),
                addresses(PCI_ECAM, PCI_ECAM_SIZE),
            ],
        ),
        isa("RTC_", 0x0b00, &[ports(RTC_PORT, RTC_PORTS as u8), interrupt(RTC_LINE)]),
        isa("COM1", 0x0501, &[ports(SERIAL_PORT, SERIAL_PORTS as u8), interrupt(SERIAL_LINE)]),
        // Not to be shown to users: bits 0, 1 and 3 say that it is there, in use, and works.
        device(
            "FWCF",
            &[
                name("_HID", string("QEMU0002")),
                name("_STA", integer(1 << 3 | 1 << 1 | 1 << 0)),
                resources(&[ports(FW_CFG, FW_CFG_PORTS as u8)]),
            ],
        ),
    ];
    devices.push(vm_generation());
    if config.hpet {
        devices.push(isa("HPET", 0x0103, &[addresses(HPET, HPET_SIZE)]));
    }
    let mut dsdt = Table::new(b"DSDT", 2);
    dsdt.put(&name("\\_S3_", sleep(SLEEP_TO_RAM)))
        .put(&name("\\_S5_", sleep(SLEEP_OFF)))
        .put(&scope("\\_SB_", &devices))
        // 5.6.4: this method runs when the event comes, and 0x80 says that the device has changed.
        .put(&scope("\\_GPE", &[method("_E00", &[notify(&["_SB_", GENERATION_DEVICE], 0x80)])]));
    dsdt
}

/// The device that tells where the VM generation ID lies.
fn vm_generation() -> aml::Term {
    use aml::*;
    let (low, high) = (VM_GENERATION & 0xffff_ffff, VM_GENERATION >> 32);
    device(
        GENERATION_DEVICE,
        &[
            name("_HID", string("KOBM0001")),
            name("_CID", string("VM_Gen_Counter")),
            name("_DDN", string("VM_Gen_Counter")),
            name("ADDR", package(&[low, high].map(integer))),
        ],
    )
}

const GENERATION_DEVICE: &str = "VGEN";

/// The PCI bus: which numbers, ports and addresses its bridge hands on, and which interrupts its functions have.
fn pci_bridge(config: &Config) -> aml::Term {
    use aml::*;
    let mut terms = vec![
        // PCI Express, and for older kernels PCI.
        name("_HID", pnp(0x0a08)),
        name("_CID", pnp(0x0a03)),
        name("_UID", integer(0)),
        resources(&[
            window(Window::Buses { first: 0, count: 1 }),
            ports(PCI_CONFIG, (PCI_CONFIG_END - PCI_CONFIG) as u8),
            window(Window::Ports { first: PCI_PORTS, size: PCI_PORTS_SIZE }),
            window(Window::Addresses { first: PCI_MEMORY, size: PCI_MEMORY_SIZE }),
        ]),
    ];
    // The 8259s do not have the lines of PCI's interrupts.
    if config.apic {
        terms.push(name("_PRT", interrupt_routes()));
    }
    device("PCI0", &terms)
}

/// 6.2.13: for each pin of each device on the PCI bus, the I/O APIC's line. They differ from device to device, as on a PC.
fn interrupt_routes() -> aml::Term {
    use aml::*;
    let routes: Vec<Term> = (0..PCI_DEVICES)
        .flat_map(|device| (0..4).map(move |pin| (device, pin)))
        .map(|(device, pin)| {
            let any_function = u64::from(device) << 16 | 0xffff;
            let line = PCI_LINES + (device + pin) % PCI_LINE_COUNT;
            package(&[any_function, pin.into(), 0, line.into()].map(integer))
        })
        .collect();
    package(&routes)
}

/// 5.2.3.2, "Generic Address Structure": a port, its width, and how it is accessed: 1, 2, 3 for 1, 2, 4 bytes.
fn port(number: u16, bytes: u8) -> [u8; 12] {
    let [low, high] = number.to_le_bytes();
    [1, 8 * bytes, 0, bytes.ilog2() as u8 + 1, low, high, 0, 0, 0, 0, 0, 0]
}

/// 5.2.9: the fixed hardware. What is 0 is not there.
fn fadt(facs: u64, dsdt: u64) -> Table {
    /// WBINVD works; processors have C1; there is no sleep button; the timer has 32 bits; there is a reset register. What is 0
    /// tells that the power button and the clock's alarm are fixed hardware.
    const FLAGS: u32 = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 8 | 1 << 10;
    /// Older devices are there (a serial port), a screen is not.
    const DEVICES: u16 = 1 << 0 | 1 << 2;
    /// Version 5's.
    const SIZE: usize = 268;
    let mut fadt = Table::new(b"FACP", 5);
    fadt.put_at(36, &(facs as u32).to_le_bytes())
        .put_at(40, &(dsdt as u32).to_le_bytes())
        .put_at(46, &(ACPI_LINE as u16).to_le_bytes())
        .put_at(56, &u32::from(PM1_EVENT).to_le_bytes())
        .put_at(64, &u32::from(PM1_CONTROL).to_le_bytes())
        .put_at(76, &u32::from(PM_TIMER).to_le_bytes())
        .put_at(80, &u32::from(GPE).to_le_bytes())
        // The lengths of PM1's registers, of the timer and of the general-purpose events; latencies of processor states that are not
        // there; the clock's register for the century.
        .put_at(88, &[4, 2, 0, 4, 2])
        .put_at(96, &[0xff, 0x0f, 0xff, 0x0f])
        .put_at(108, &[rtc::CENTURY as u8])
        .put_at(109, &DEVICES.to_le_bytes())
        .put_at(112, &FLAGS.to_le_bytes())
        // The reset register, and what to write to it.
        .put_at(116, &port(RESET_CONTROL, 1))
        .put_at(128, &[6])
        .put_at(132, &facs.to_le_bytes())
        .put_at(140, &dsdt.to_le_bytes())
        .put_at(148, &port(PM1_EVENT, 4))
        .put_at(172, &port(PM1_CONTROL, 2))
        .put_at(208, &port(PM_TIMER, 4))
        .put_at(220, &port(GPE, 2))
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

/// PCI Firmware Specification 3.0, 4.1.2: where the configuration space lies, of which buses.
fn mcfg() -> Table {
    let mut mcfg = Table::new(b"MCFG", 1);
    // Segment 0, buses 0 to 0.
    mcfg.put(&[0; 8]).put(&PCI_ECAM.to_le_bytes()).put(&[0, 0, 0, 0, 0, 0, 0, 0]);
    mcfg
}

/// IA-PC HPET specification 1.0a, 3.2.4.
fn hpet_table() -> Table {
    /// Periods of less are not worth while, in counts: 100 us.
    const LEAST: u16 = 10_000;
    let mut table = Table::new(b"HPET", 1);
    table.put(&(hpet::ID as u32).to_le_bytes());
    // An address and not a port; the first HPET.
    table.put(&[0, 64, 0, 0]).put(&HPET.to_le_bytes()).put(&[0]);
    table.put(&LEAST.to_le_bytes()).put(&[0]);
    table
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
        let all = tables(&Config { cpus: 2, ..Config::default() });
        assert_eq!(&all[..8], b"RSD PTR ");
        assert_eq!((sum(&all[..20]), sum(&all[..36])), (0, 0));
        let xsdt = table(&all, number(&all, 24, 8));
        assert_eq!((&xsdt[..4], xsdt.len()), (&b"XSDT"[..], 36 + 32));
        let fadt = table(&all, number(xsdt, 36, 8));
        let madt = table(&all, number(xsdt, 44, 8));
        let dsdt = table(&all, number(fadt, 140, 8));
        assert_eq!(number(fadt, 40, 4), number(fadt, 140, 8));
        let mcfg = table(&all, number(xsdt, 52, 8));
        let hpet = table(&all, number(xsdt, 60, 8));
        for (table, signature) in [
            (xsdt, b"XSDT"),
            (fadt, b"FACP"),
            (madt, b"APIC"),
            (dsdt, b"DSDT"),
            (mcfg, b"MCFG"),
            (hpet, b"HPET"),
        ] {
            assert_eq!((&table[..4], sum(table)), (&signature[..], 0));
            assert_eq!(&table[10..16], b"KOB-2M");
        }
        assert_eq!(fadt.len(), 268);
        assert_eq!((number(fadt, 56, 4), number(fadt, 64, 4)), (0x600, 0x604));
        assert_eq!((fadt[116], number(fadt, 120, 8), fadt[128]), (1, 0xcf9, 6));
        let timer = [number(fadt, 76, 4), number(fadt, 91, 1), number(fadt, 212, 8)];
        assert_eq!(timer, [0x608, 4, 0x608]);
        assert_eq!((mcfg.len(), number(mcfg, 44, 8)), (60, 0xe800_0000));
        assert_eq!((hpet.len(), number(hpet, 44, 8)), (56, 0xfed0_0000));
        assert!(dsdt[36..].starts_with(b"\x08\\_S3_\x12\x06\x04\x01\0\0\0"));
        let without = tables(&Config { cpus: 2, hpet: false, ..Config::default() });
        assert_eq!(table(&without, number(&without, 24, 8)).len(), 36 + 24);
        let has = |all: &[u8]| all.windows(4).any(|bytes| bytes == b"HPET");
        assert_eq!((has(&all), has(&without)), (true, false));
        let facs = &all[(number(fadt, 132, 8) - ACPI) as usize..];
        assert_eq!((&facs[..4], number(facs, 4, 4)), (&b"FACS"[..], 64));
    }

    #[test]
    fn each_processor_has_its_entry_and_a_large_machine_s_fit() {
        for cpus in [1, 2, MAX_VCPUS] {
            let all = tables(&Config { cpus, ..Config::default() });
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
