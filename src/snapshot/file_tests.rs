//! Files that are snapshots, and files that are not.

use super::*;
use crate::snapshot::fields::visit;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;

const A: Tag = *b"AAAA";
const B: Tag = *b"BBBB";

fn is_known(tag: Tag) -> bool {
    [A, B].contains(&tag)
}

/// A path for a test's file, in a directory of its own.
fn path(test: &str) -> &'static CStr {
    let directory =
        std::env::temp_dir().join(format!("kob-snapshot-{}-{test}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = CString::new(directory.join("file").as_os_str().as_bytes()).unwrap();
    Box::leak(path.into_boxed_c_str())
}

fn name_of(path: &CStr) -> &std::path::Path {
    std::path::Path::new(path.to_str().unwrap())
}

fn sections() -> Sections {
    let mut sections = Sections::default();
    sections.add(A, 0, |fields| {
        visit!(fields; 7u32);
        Ok(())
    });
    sections.add(*b"skip", MAY_BE_SKIPPED, |fields| fields.bytes(&mut [1; 5]));
    sections.add(B, 0, |_| Ok(()));
    sections.add(A, 0, |fields| {
        visit!(fields; 8u32);
        Ok(())
    });
    sections
}

fn file(sections: &Sections) -> Vec<u8> {
    let header = Header::new(sections.bytes().len() as u64, 1 << 20, RamPlace::Elsewhere);
    [header.bytes(), sections.bytes()].concat()
}

#[test]
fn sections_are_found_by_tag_and_number() {
    let path = path("found");
    fs::write(name_of(path), file(&sections())).unwrap();
    let snapshot = Snapshot::open(path, is_known).unwrap();
    assert_eq!(snapshot.header.ram_size, 1 << 20);
    assert_eq!([0, 1].map(|nth| snapshot.value::<u32>(A, nth)), [Ok(7), Ok(8)]);
    assert_eq!(snapshot.value::<u32>(A, 2), Err(Error::Missing { path, tag: A }));
    assert_eq!(snapshot.section(B, 0), Some(&[][..]));
    let why = Invalid("it ends too early");
    assert_eq!(snapshot.value::<u64>(A, 0), Err(Error::Invalid { path, tag: A, why }));
    let why = Invalid("it is too long");
    assert_eq!(snapshot.value::<u16>(A, 0), Err(Error::Invalid { path, tag: A, why }));
    fs::remove_dir_all(name_of(path).parent().unwrap()).unwrap();
}

#[test]
fn what_is_not_whole_is_refused() {
    let path = path("whole");
    let open = |bytes: &[u8]| {
        fs::write(name_of(path), bytes).unwrap();
        Snapshot::open(path, is_known).map(drop)
    };
    let whole = file(&sections());
    assert_eq!(open(&whole), Ok(()));
    for len in 0..whole.len() {
        assert!(open(&whole[..len]).is_err(), "{len} bytes");
    }
    assert!(open(&[&*whole, &[0]].concat()).is_err(), "a byte more");
    for at in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        assert!(open(&bytes).is_err(), "bit {at}");
    }
    assert_eq!(open(b"ELF"), Err(Error::NotASnapshot { path }));
    assert_eq!(open(&[0; 4096]), Err(Error::NotASnapshot { path }));
    let mut newer = whole.clone();
    newer[8] = 2;
    assert_eq!(open(&newer), Err(Error::Version { path, version: 2 }));
    let mut unknown = sections();
    unknown.add(*b"NEW ", 0, |_| Ok(()));
    assert_eq!(open(&file(&unknown)), Err(Error::UnknownSection { path, tag: *b"NEW " }));
    fs::remove_dir_all(name_of(path).parent().unwrap()).unwrap();
}

#[test]
fn ram_in_the_file_lies_at_a_huge_page_s_boundary() {
    for (place, offset, size) in
        [(RamPlace::Here, 2 << 20, 6 << 20), (RamPlace::Elsewhere, 0, HEADER_SIZE + 100)]
    {
        let header = Header::new(100, 4 << 20, place);
        assert_eq!((header.ram_offset, header.file_size()), (offset, size));
        assert_eq!(header.check(c"x", size), Ok(()));
        assert!(header.check(c"x", size + 1).is_err());
    }
    let [first, second] = [(); 2].map(|()| Header::new(1, 1, RamPlace::Here).id);
    assert_ne!(first, second);
}
