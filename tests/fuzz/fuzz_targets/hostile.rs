//! Snapshots whose bytes are anybody's. The same is tried in a bounded, seeded run by `make test`: src/machine/board_tests.rs.

use super::accesses::Machine;
use kob_2m::cli;
use kob_2m::kvm::vm_state::VmState;
use kob_2m::machine::sections::{self, Host, OwnFile, SavedVcpu};
use kob_2m::snapshot::file::find_sections;
use kob_2m::snapshot::{Field, Fields, Sections, Tag};
use std::ffi::CString;

/// The sections of a snapshot: with right checksums, whatever is in them.
pub fn packed(sections: &[(Tag, Vec<u8>)]) -> Vec<u8> {
    let mut packed = Sections::default();
    for (tag, bytes) in sections {
        packed.add(*tag, 0, |fields| fields.bytes(&mut bytes.clone()));
    }
    packed.bytes().to_vec()
}

/// A snapshot with some state in each section that is not a device's, and with the devices'.
pub fn valid(machine: &Machine) -> Vec<(Tag, Vec<u8>)> {
    fn saved(value: &mut dyn Field) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.visit(&mut Fields::Save(&mut bytes)).unwrap();
        bytes
    }
    let mut words = vec![b"--kernel".to_vec(), b"k".to_vec(), b"-c2".to_vec()];
    let mut arguments = Vec::new();
    sections::words(&mut Fields::Save(&mut arguments), &mut words).unwrap();
    let mut vcpu = SavedVcpu::default();
    vcpu.state.xsave = vec![1; 512];
    vcpu.state.cpuid = vec![Default::default(); 3];
    let mut all = vec![
        (sections::ARGUMENTS, arguments),
        (sections::HOST, saved(&mut Host { boot_id: "x".into(), ..Host::default() })),
        (sections::RAM, saved(&mut OwnFile { path: b"/x".to_vec(), ..OwnFile::default() })),
        (sections::VM, saved(&mut VmState { chips: vec![[1; 512]; 3], ..VmState::default() })),
        (sections::VCPU, saved(&mut vcpu)),
    ];
    all.extend(machine.state());
    all
}

/// Restores from these bytes, and lets the guest go on where a device has taken them. Returns whether they were taken.
pub fn restore(machine: &Machine, tag: Tag, bytes: &[u8], accesses: &[[u8; 16]]) -> bool {
    fn is_value<T: Field + Default>(bytes: &[u8]) -> bool {
        let (mut value, mut fields) = (T::default(), Fields::Restore(bytes));
        value.visit(&mut fields).and_then(|()| fields.end()).is_ok()
    }
    match tag {
        sections::HOST => is_value::<Host>(bytes),
        sections::RAM => is_value::<OwnFile>(bytes),
        sections::VM => is_value::<VmState>(bytes),
        sections::VCPU => is_value::<SavedVcpu>(bytes),
        sections::ARGUMENTS => {
            let mut words = Vec::new();
            let is_read = sections::words(&mut Fields::Restore(bytes), &mut words).is_ok();
            let leak = |word: Vec<u8>| &*Box::leak(CString::new(word).unwrap().into_boxed_c_str());
            // A command line of nonsense is an error, and no panic.
            is_read && cli::parse(words.into_iter().map(leak)).is_ok()
        }
        _ => {
            let is_taken = machine.restore(tag, bytes).is_ok();
            if is_taken {
                accesses.iter().for_each(|&access| machine.access(access));
            }
            is_taken
        }
    }
}

/// Looks for sections in bytes that nobody has made.
pub fn find(bytes: &[u8]) -> bool {
    find_sections(bytes, c"fuzz", sections::is_known).is_ok()
}
