//! Kernels of every format, whole and broken.

use super::*;
use crate::boot::kernel::Kernel;
use crate::boot::multiboot::{InfoPage, Module};
use crate::boot::plan::Piece;
use crate::config::{Backing, Config, Guest};
use crate::layout::{COMMAND_LINE, LOW_END, MIB, MULTIBOOT_INFO, TABLES};
use crate::memory::GuestMemory;
use crate::show::number as number_of;
use std::ffi::CString;

/// The fuzz targets' too.
#[path = "../../tests/fuzz/fuzz_targets/obey.rs"]
mod obey;
use obey::{RAM, obey, read};

fn plan_of(file: &[u8], ram: u64) -> Result<Plan, Refusal> {
    plan(&KernelFile { size: file.len() as u64, read: &read(file) }, ram, None)
}

fn good(file: &[u8]) -> Plan {
    plan_of(file, RAM).unwrap()
}

fn put(bytes: &mut [u8], at: usize, value: u64, size: usize) {
    if let Some(place) = bytes.get_mut(at..at + size) {
        place.copy_from_slice(&value.to_le_bytes()[..size]);
    }
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    number_of(bytes.get(at..at + size).unwrap_or_default())
}

/// A bzImage: five sectors of set-up, 4 KiB of kernel.
fn bzimage() -> Vec<u8> {
    let mut file = vec![0x90; 5 * 512 + 4096];
    for (at, value, size) in [
        (0x1f1, 4, 1),
        (0x1f4, 4096 / 16, 4),
        (0x1fe, 0xaa55, 2),
        (0x201, 0x6a, 1),
        (0x202, 0x5372_6448, 4),
        (0x206, 0x20f, 2),
        (0x211, 1, 1),
        (0x22c, 0x7fff_ffff, 4),
        (0x230, 2 << 20, 4),
        (0x234, 1, 1),
        (0x236, 1, 2),
        (0x238, 2047, 4),
        (0x258, 16 << 20, 8),
        (0x260, 4 << 20, 4),
    ] {
        put(&mut file, at, value, size);
    }
    file
}

/// An ELF file with these segments: offset, address, size in the file, size in memory.
fn elf(wide: bool, entry: u64, segments: &[[u64; 4]]) -> Vec<u8> {
    let mut file = vec![0; 0x3000];
    file[..4].copy_from_slice(b"\x7fELF");
    let (machine, headers, each) = if wide { (62, 64, 56) } else { (3, 52, 32) };
    put(&mut file, 4, if wide { 0x0102 } else { 0x0101 }, 2);
    put(&mut file, 16, 2, 2);
    put(&mut file, 18, machine, 2);
    let word = if wide { 8 } else { 4 };
    put(&mut file, 24, entry, word);
    put(&mut file, 24 + word, headers, word);
    let (size_at, count_at) = if wide { (54, 56) } else { (42, 44) };
    put(&mut file, size_at, each, 2);
    put(&mut file, count_at, segments.len() as u64, 2);
    for (index, values) in segments.iter().enumerate() {
        let at = (headers + index as u64 * each) as usize;
        put(&mut file, at, 1, 4);
        let fields = if wide { [8, 24, 32, 40] } else { [4, 12, 16, 20] };
        for (field, value) in fields.iter().zip(values) {
            put(&mut file, at + field, *value, word);
        }
    }
    file
}

fn multiboot_header(file: &mut [u8], at: usize, flags: u64, addresses: &[u64]) {
    put(file, at, 0x1bad_b002, 4);
    put(file, at + 4, flags, 4);
    put(file, at + 8, 0x1_0000_0000 - 0x1bad_b002 - flags, 4);
    for (index, value) in addresses.iter().enumerate() {
        put(file, at + 12 + 4 * index, *value, 4);
    }
}

#[test]
fn a_bzimage_goes_where_it_wants_or_is_refused() {
    let plan = good(&bzimage());
    assert_eq!((plan.protocol, plan.entry), (Protocol::Linux, (16 << 20) + 0x200));
    let piece = Piece { from: 2560, size: 4096, to: 16 << 20, room: 4 << 20 };
    assert_eq!((plan.pieces, plan.end, plan.command_line), (vec![piece], 20 << 20, 2047));
    // Its decompressor would move it there from lower.
    let refused = Refusal::TooLarge { ram_end: (20 << 20) + TABLES };
    assert_eq!(plan_of(&bzimage(), 8 << 20), Err(refused));
    assert_eq!(refused.to_string(), "it needs at least --memory 22M");
    assert!(plan_of(&bzimage(), 22 << 20).is_ok());
}

#[test]
fn each_thing_that_is_wrong_with_a_bzimage_is_told() {
    for (at, value, size, refused) in [
        (0x206, 0x20b, 2, Refusal::OldLinux { version: 0x20b }),
        (0x236, 0, 2, Refusal::Narrow),
        (0x230, 3, 4, Refusal::BadHeader),
        (0x230, 0, 4, Refusal::BadHeader),
        (0x211, 0, 1, Refusal::BadHeader),
        (0x1f4, 0x101, 4, Refusal::Truncated { missing: 16 }),
        (0x1f4, 0xffff_ffff, 4, Refusal::Truncated { missing: 0xffff_ffff * 16 - 4096 }),
    ] {
        let mut file = bzimage();
        put(&mut file, at, value, size);
        assert_eq!(plan_of(&file, RAM), Err(refused), "{at:#x}");
    }
    for (length, missing) in [(2560, 4096), (1024, 5632), (6656 - 16, 16), (0x210, 1)] {
        assert_eq!(plan_of(&bzimage()[..length], RAM), Err(Refusal::Truncated { missing }));
    }
    let mut file = bzimage();
    put(&mut file, 0x258, 0x9_0000, 8);
    assert_eq!(plan_of(&file, RAM), Err(Refusal::Place { gpa: 0x9_0000 }));
    put(&mut file, 0x258, u64::MAX, 8);
    file[0x234] = 0;
    assert!(matches!(plan_of(&file, RAM), Err(Refusal::TooLarge { .. })));
}

#[test]
fn a_vmlinux_s_segments_go_to_their_physical_addresses() {
    let text = [0x1000, 16 << 20, 0x1000, 0x1000];
    let data = [0x2000, 18 << 20, 0x800, 0x20_0000];
    let plan = good(&elf(true, (16 << 20) + 0x40, &[text, data]));
    assert_eq!((plan.protocol, plan.entry), (Protocol::Linux, (16 << 20) + 0x40));
    assert_eq!(plan.pieces.len(), 2);
    assert_eq!(plan.pieces[1], Piece { from: 0x2000, size: 0x800, to: 18 << 20, room: 0x20_0000 });
    assert_eq!(plan.end, 20 << 20);
}

#[test]
fn each_thing_that_is_wrong_with_an_elf_file_is_told() {
    let good = [0x1000, 16 << 20, 0x1000, 0x1000];
    let entry = 16 << 20;
    for (segments, refused) in [
        (vec![[0x1000, entry, 0x2001, 0x2001]], Refusal::Truncated { missing: 1 }),
        (
            vec![[u64::MAX, entry, 0x1000, 0x1000]],
            Refusal::Truncated { missing: u64::MAX - 0x3000 },
        ),
        (vec![[0x1000, entry, u64::MAX, 0]], Refusal::Truncated { missing: u64::MAX - 0x3000 }),
        (vec![[0x1000, 0x1000, 0x1000, 0x1000]], Refusal::Place { gpa: 0x1000 }),
        (vec![[0x1000, 0x9_f000, 0x1000, 0x1000]], Refusal::Place { gpa: 0x9_f000 }),
        (vec![[0x1000, RAM, 0x1000, 0x1000]], Refusal::TooLarge { ram_end: RAM + 0x1000 + TABLES }),
        (vec![[0x1000, entry, 0x1000, u64::MAX]], Refusal::TooLarge { ram_end: u64::MAX }),
        (vec![good, [0x1000, entry + 0xfff, 1, 1]], Refusal::Overlap { gpa: entry + 0xfff }),
        (vec![[0x1000, entry + 1, 0x1000, 0x1000]], Refusal::Entry { gpa: entry }),
        (vec![good; 17], Refusal::Segments { count: 17 }),
        (vec![good; 65], Refusal::Segments { count: 65 }),
        (vec![], Refusal::Segments { count: 0 }),
    ] {
        assert_eq!(plan_of(&elf(true, entry, &segments), RAM), Err(refused), "{segments:x?}");
    }
    let narrow = elf(false, entry, &[good]);
    assert_eq!(plan_of(&narrow, RAM), Err(Refusal::Narrow), "without Multiboot's header");
    let mut arm = elf(true, entry, &[good]);
    put(&mut arm, 18, 183, 2);
    let refused = Refusal::NotOurs { machine: 183, is_64_bit: true, is_big_endian: false };
    assert_eq!(plan_of(&arm, RAM), Err(refused));
    assert!(refused.to_string().starts_with("an ELF file of 64 bits for AArch64"), "{refused}");
    let mut mixed = elf(true, entry, &[good]);
    put(&mut mixed, 4, 0x0101, 2);
    let refused = Refusal::NotOurs { machine: 62, is_64_bit: false, is_big_endian: false };
    assert_eq!(plan_of(&mixed, RAM), Err(refused), "x32");
    let mut s390 = elf(true, entry, &[good]);
    put(&mut s390, 4, 0x0202, 2);
    put(&mut s390, 18, 0x1600, 2);
    let refused = Refusal::NotOurs { machine: 22, is_64_bit: true, is_big_endian: true };
    assert_eq!(plan_of(&s390, RAM), Err(refused));
    let mut object = elf(true, entry, &[good]);
    put(&mut object, 16, 1, 2);
    assert_eq!(plan_of(&object, RAM), Err(Refusal::NotAProgram));
    assert_eq!(plan_of(b"\x7fELF", RAM), Err(Refusal::Truncated { missing: 60 }));
    let mut far = elf(true, entry, &[good]);
    put(&mut far, 32, u64::MAX - 8, 8);
    assert!(matches!(plan_of(&far, RAM), Err(Refusal::Truncated { .. })));
}

#[test]
fn a_multiboot_kernel_is_an_elf_file_or_has_its_addresses_in_the_header() {
    let mut file = elf(false, 0x40_0010, &[[0x1000, 0x40_0000, 0x1000, 0x1800]]);
    multiboot_header(&mut file, 0x1ff4, 3, &[]);
    let plan = good(&file);
    assert_eq!((plan.protocol, plan.entry), (Protocol::Multiboot, 0x40_0010));
    assert_eq!(plan.pieces[0], Piece { from: 0x1000, size: 0x1000, to: 0x40_0000, room: 0x1800 });

    let mut file = vec![0; 0x1000];
    multiboot_header(&mut file, 0x20, 1 << 16, &[0x10_0010, 0x10_0000, 0, 0x10_2000, 0x10_0040]);
    let plan = good(&file);
    let piece = Piece { from: 0x10, size: 0xff0, to: 0x10_0000, room: 0x2000 };
    assert_eq!((plan.pieces, plan.entry), (vec![piece], 0x10_0040));
    put(&mut file, 0x20 + 20, 0x10_0100, 4);
    assert_eq!(good(&file).pieces[0].size, 0x100);
}

#[test]
fn each_thing_that_is_wrong_with_a_multiboot_header_is_told() {
    let mut file = vec![0; 0x1000];
    multiboot_header(&mut file, 0, 8, &[]);
    assert_eq!(plan_of(&file, RAM), Err(Refusal::UnknownFlags { flags: 8 }));
    multiboot_header(&mut file, 0, 7, &[]);
    assert_eq!(plan_of(&file, RAM), Err(Refusal::Video));
    for addresses in [
        [0x10_0000, 0x10_0001, 0, 0, 0x10_0000],
        [0x10_0021, 0x10_0000, 0, 0, 0x10_0000],
        [0x10_0000, 0x10_0000, 0xf_ffff, 0, 0x10_0000],
    ] {
        multiboot_header(&mut file, 0x20, 1 << 16, &addresses);
        file[..4].fill(0);
        assert_eq!(plan_of(&file, RAM), Err(Refusal::BadHeader), "{addresses:x?}");
    }
    multiboot_header(&mut file, 0x20, 1 << 16, &[0x10_0000, 0x10_0000, 0x10_2000, 0, 0x10_0000]);
    assert_eq!(plan_of(&file, RAM), Err(Refusal::Truncated { missing: 0x1020 }));
    // A sum that is wrong is no header, and behind 8 KiB nobody looks.
    put(&mut file, 0x28, 0, 4);
    assert_eq!(plan_of(&file, RAM), Err(Refusal::UnknownFormat));
    let mut file = vec![0; 0x3000];
    multiboot_header(&mut file, 0x2000, 0, &[]);
    assert_eq!(plan_of(&file, RAM), Err(Refusal::UnknownFormat));
}

#[test]
fn what_is_no_kernel_is_refused() {
    for file in [&b""[..], b"x", &[0x90; 8192]] {
        assert_eq!(plan_of(file, RAM), Err(Refusal::UnknownFormat));
    }
}

#[test]
fn an_initrd_goes_high_and_modules_behind_the_kernel() {
    let linux = good(&bzimage());
    assert_eq!(linux.place(5000), Ok(RAM - TABLES - 8192));
    assert_eq!(linux.next(5001), 5004);
    let room = RAM - TABLES - (20 << 20);
    assert_eq!(linux.place(room), Ok(20 << 20));
    assert_eq!(linux.place(room + 1), Err(Refusal::Initrd { ram_end: RAM + 1 }));
    assert!(matches!(linux.place(u64::MAX), Err(Refusal::InitrdLimit { .. })));
    let mut old = bzimage();
    put(&mut old, 0x22c, (64 << 20) - 1, 4);
    assert_eq!(good(&old).place(4096), Ok((64 << 20) - 4096));
    let limit = Refusal::InitrdLimit { limit: 64 << 20 };
    assert_eq!(good(&old).place(60 << 20), Err(limit), "more RAM would not help");

    let mut file = elf(false, 0x40_0000, &[[0x1000, 0x40_0000, 0x1000, 0x1801]]);
    multiboot_header(&mut file, 0x1000, 0, &[]);
    let plan = good(&file);
    assert_eq!((plan.place(0x1001), plan.next(0x40_2001)), (Ok(0x40_2000), 0x40_3000));
}

#[test]
fn multiboot_s_page_tells_it_all_and_a_line_that_is_too_long_by_how_much() {
    let make = |line: &[u8]| {
        let modules = [Module { name: c"env", gpa: 0x50_0000, size: 10 }];
        InfoPage::new(c"k", line, &modules, [16 << 20, 0])
    };
    let info = make(b"a b").unwrap();
    let page = info.bytes();
    let word = |at| number(page, at, 4);
    let text = |address: u64| {
        let from = &page[(address - MULTIBOOT_INFO) as usize..];
        &from[..from.iter().position(|&byte| byte == 0).unwrap()]
    };
    assert_eq!((word(0), word(4), word(8)), (0x24d, 639, 15 << 10));
    assert_eq!((text(word(16)), text(word(64))), (&b"k a b"[..], &b"KOB-2M"[..]));
    let module = (word(24) - MULTIBOOT_INFO) as usize;
    assert_eq!((word(20), word(module), word(module + 4)), (1, 0x50_0000, 0x50_000a));
    assert_eq!(text(word(module + 8)), b"env");
    let map = (word(48) - MULTIBOOT_INFO) as usize;
    assert_eq!((word(44), word(map), word(map + 24 + 4)), (4 * 24, 20, LOW_END));
    let used = 88 + 4 * 24 + 16 + b"KOB-2M\0env\0k \0".len();
    assert!(make(&vec![b'x'; 4096 - used]).is_ok());
    let excess = make(&vec![b'x'; 4096 - used + 3]).err();
    assert_eq!(excess, Some(Refusal::InfoPage { excess: 3 }));
}

#[test]
fn no_file_however_broken_leads_outside_of_itself_or_of_ram() {
    let mut seed = 0x4b4f_4232_u64;
    let mut random = move |below: u64| {
        // xorshift64.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut addressed = vec![0x90; 0x1000];
    let addresses = [0x10_0010, 0x10_0000, 0x10_0800, 0x10_2000, 0x10_0040];
    multiboot_header(&mut addressed, 0x20, 1 << 16, &addresses);
    let mut narrow = elf(false, 0x40_0010, &[[0x1000, 0x40_0000, 0x1000, 0x1800]; 2]);
    multiboot_header(&mut narrow, 0x1000, 3, &[]);
    let text = [0x1000, 16 << 20, 0x1000, 0x1000];
    let wide = elf(true, 16 << 20, &[text, [0x2000, 18 << 20, 0x800, 0x20_0000]]);
    let files = [bzimage(), addressed, narrow, wide];
    let odd =
        [0, 1, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x10_0000, RAM, u64::MAX, 1 << 63];
    let mut planned = 0;
    for round in 0..10_000 {
        let mut file = files[round % files.len()].clone();
        for _ in 0..1 + random(4) {
            // Where the headers are.
            let (start, len) =
                [(0x1f0, 0x80), (0x20, 0x20), (0, 0x80), (0, 0xb0)][round % files.len()];
            let at = (start + random(len)) as usize;
            let size = [1, 2, 4, 8][random(4) as usize];
            let value = match random(3) {
                0 => odd[random(odd.len() as u64) as usize],
                1 => number(&file, at, size).wrapping_add(random(64)).wrapping_sub(32),
                _ => random(u64::MAX),
            };
            put(&mut file, at, value, size);
        }
        if random(4) == 0 {
            file.truncate(random(file.len() as u64) as usize);
        }
        planned += u32::from(plan_of(&file, RAM).is_ok());
        obey(&file);
    }
    assert!(
        planned > 500,
        "only {planned} were planned: what is tried is too broken to show anything"
    );
}

/// Device memory keeps what was in it, as that of the boot before.
#[test]
fn on_a_device_a_kernel_finds_zeros_where_it_expects_them() {
    let path = std::env::temp_dir().join(format!("kob-2m-bss-{}.elf", std::process::id()));
    std::fs::write(&path, elf(true, MIB, &[[0x1000, MIB, 16, 0x2000]])).unwrap();
    let name = Box::leak(CString::new(path.to_str().unwrap()).unwrap().into_boxed_c_str());
    let config = Config {
        memory: 4 * MIB,
        backing: Backing::File(c"/dev/zero"),
        guest: Guest::Kernel(name),
        command_line: Some(c"abc"),
        ..Config::default()
    };
    let kernel = Kernel::open(name, &config).unwrap();
    std::fs::remove_file(&path).unwrap();
    let memory = GuestMemory::map(config.backing, &config.regions()).unwrap();
    for page in 0..config.memory / 4096 {
        memory.write(page * 4096, &[0xaa; 4096]).unwrap();
    }
    kernel.load(&config, &memory).unwrap();
    let mut bss = [1; 0x2000 - 16];
    memory.read(MIB + 16, &mut bss).unwrap();
    assert!(bss.iter().all(|&byte| byte == 0));
    assert_eq!(memory.read_value::<u8>(MIB + 0x2000), Ok(0xaa), "behind it all stays");
    assert_eq!(memory.read_value::<[u8; 4]>(COMMAND_LINE), Ok(*b"abc\0"));
}

/// Notes of a file: name, type and value.
fn notes(notes: &[(&[u8], u32, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![];
    for (name, kind, value) in notes {
        for word in [name.len() as u32, value.len() as u32, *kind] {
            bytes.extend(word.to_le_bytes());
        }
        for part in [name, value] {
            bytes.extend(*part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// An ELF file whose second segment is notes, at 0x2000.
fn elf_with_notes(wide: bool, listed: &[(&[u8], u32, &[u8])]) -> Vec<u8> {
    let bytes = notes(listed);
    let size = bytes.len() as u64;
    let mut file =
        elf(wide, 0x20_0000, &[[0x1000, 0x20_0000, 0x1000, 0x1000], [0x2000, 0, size, size]]);
    file[0x2000..0x2000 + bytes.len()].copy_from_slice(&bytes);
    let second = if wide { 64 + 56 } else { 52 + 32 };
    put(&mut file, second, 4, 4);
    file
}

#[test]
fn a_note_names_pvh_s_entry() {
    let entry = (0x20_0040u64).to_le_bytes();
    for wide in [true, false] {
        for size in [4, 8] {
            let file =
                elf_with_notes(wide, &[(b"GNU\0", 3, &[1; 20]), (b"Xen\0", 18, &entry[..size])]);
            let plan = good(&file);
            assert_eq!((plan.protocol, plan.entry), (Protocol::Pvh, 0x20_0040), "{wide} {size}");
            assert_eq!((plan.command_line, plan.next(5)), (0x1fff, 8));
        }
    }
    let outside = elf_with_notes(true, &[(b"Xen\0", 18, &[0; 4])]);
    assert_eq!(plan_of(&outside, RAM), Err(Refusal::Entry { gpa: 0 }));
    // Another's note of this type, another type, a value that is no address; one that is cut off.
    for note in [(&b"GNU\0"[..], 18, &entry[..]), (b"Xen\0", 17, &entry), (b"Xen\0", 18, &[1, 2])] {
        assert_eq!(good(&elf_with_notes(true, &[note])).protocol, Protocol::Linux, "{note:?}");
    }
    let mut cut = elf_with_notes(true, &[(b"Xen\0", 18, &entry)]);
    put(&mut cut, 64 + 56 + 32, 20, 8);
    assert_eq!(good(&cut).protocol, Protocol::Linux);
}

#[test]
fn a_kernel_that_can_be_entered_in_several_ways_is_entered_as_the_user_wants() {
    let by = |file: &[u8], wanted| {
        let read = read(file);
        plan(&KernelFile { size: file.len() as u64, read: &read }, RAM, wanted)
            .map(|plan| plan.protocol)
    };
    let entry = (0x20_0040u64).to_le_bytes();
    let mut linux = elf_with_notes(true, &[(b"Linux\0", 257, &[]), (b"Xen\0", 18, &entry)]);
    let other = elf_with_notes(true, &[(b"Xen\0", 18, &entry)]);
    let (pvh, multiboot) = (Some(Protocol::Pvh), Some(Protocol::Multiboot));
    assert_eq!(by(&linux, None), Ok(Protocol::Linux), "Linux has its own");
    assert_eq!(by(&linux, pvh), Ok(Protocol::Pvh));
    assert_eq!(by(&other, Some(Protocol::Linux)), Ok(Protocol::Linux));
    assert_eq!(by(&linux, multiboot), Err(Refusal::NotFor(Protocol::Multiboot)));
    assert_eq!(by(&bzimage(), pvh), Err(Refusal::NotFor(Protocol::Pvh)));
    assert_eq!(by(&bzimage(), Some(Protocol::Linux)), Ok(Protocol::Linux));
    assert_eq!(by(&[0x90; 9000], Some(Protocol::Linux)), Err(Refusal::NotFor(Protocol::Linux)));
    linux.truncate(0x2010);
    assert!(by(&linux, pvh).is_err(), "the note is cut off");
}
