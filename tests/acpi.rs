//! ACPI's own compiler, `iasl`, takes the tables apart without a remark, and its result together again.

use kob_2m::boot::acpi::tables;
use kob_2m::config::Config;
use kob_2m::layout::ACPI;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    (0..size).rev().fold(0, |number, byte| number << 8 | u64::from(bytes[at + byte]))
}

/// The tables by their signatures, found as a kernel does it.
fn find(all: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut take = |address: u64| {
        let table = &all[(address - ACPI) as usize..];
        let table = table[..number(table, 4, 4) as usize].to_vec();
        let signature = String::from_utf8(table[..4].to_vec()).unwrap();
        found.insert(signature, table.clone());
        table
    };
    let xsdt = take(number(all, 24, 8));
    for at in (36..xsdt.len()).step_by(8) {
        let table = take(number(&xsdt, at, 8));
        if table.starts_with(b"FACP") {
            take(number(&table, 132, 8));
            take(number(&table, 140, 8));
        }
    }
    found
}

/// Runs iasl, and returns what it says.
fn iasl(directory: &str, arguments: &[&str]) -> String {
    let output = Command::new("iasl").args(arguments).current_dir(directory).output();
    let output = output.expect("iasl runs: `sh biscuitos/need iasl`");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "iasl {arguments:?}: {said}");
    said
}

#[test]
fn iasl_has_no_remarks() {
    for (cpus, hpet, apic) in
        [(1, true, true), (2, false, true), (255, true, true), (1, true, false)]
    {
        let directory = format!("{}/acpi-{cpus}-{apic}", env!("CARGO_TARGET_TMPDIR"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let tables = find(&tables(&Config { cpus, hpet, apic, ..Config::default() }));
        let names: Vec<&str> = tables.keys().map(String::as_str).collect();
        let mut expected = vec!["APIC", "DSDT", "FACP", "FACS", "HPET", "MCFG", "XSDT"];
        expected.retain(|name| (hpet || *name != "HPET") && (apic || *name != "APIC"));
        assert_eq!(names, expected);
        for (name, table) in &tables {
            fs::write(format!("{directory}/{name}.dat"), table).unwrap();
            let said = iasl(&directory, &["-d", &format!("{name}.dat")]);
            for word in ["Error", "Warning", "Remark", "nvalid", "Unknown", "mismatch"] {
                assert!(!said.contains(word), "{name}, {cpus} processors: {said}");
            }
            let source = fs::read_to_string(format!("{directory}/{name}.dsl")).unwrap();
            for word in ["Unknown", "nvalid", "Incorrect", "Warning", "Error"] {
                assert!(!source.contains(word), "{name}, {cpus} processors: {source}");
            }
            if name == "DSDT" {
                // The sleeps, the PCI bus, the HPET, fw_cfg; and where there is an I/O APIC, interrupts for each pin.
                for (word, is_there) in [
                    ("_S3", true),
                    ("_S5", true),
                    ("PNP0A08", true),
                    ("QEMU0002", true),
                    ("PNP0103", hpet),
                ] {
                    assert_eq!(source.contains(word), is_there, "{word}: {source}");
                }
                let routes = source.split_once("Name (_PRT, ").map(|(_, routes)| &routes[..14]);
                assert_eq!(routes, apic.then_some("Package (0x08)"), "{source}");
            }
            // Put together again: for the byte code this is where each resource and name is looked at.
            let said = iasl(&directory, &["-p", "again", &format!("{name}.dsl")]);
            let found = name != "DSDT" || said.contains("0 Errors, 0 Warnings, 0 Remarks");
            assert!(found && !said.contains("Warning  "), "{name}, {cpus} processors: {said}");
        }
    }
}
