//! All devices at once.

#[path = "../../tests/fuzz/fuzz_targets/accesses.rs"]
mod accesses;

#[path = "../../tests/fuzz/fuzz_targets/hostile.rs"]
mod hostile;

/// Pages of memory that this process has.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Numbers that look random, and are the same in each run: xorshift64.
fn random() -> impl FnMut() -> u64 {
    let mut seed = 0x4b4f_4232_u64;
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

#[test]
fn whatever_is_accessed_nothing_panics_hangs_or_grows() {
    let machine = accesses::Machine::new();
    let mut random = random();
    let mut accesses = |count: u32| {
        for _ in 0..count {
            let bytes = [random(), random()].map(u64::to_le_bytes).concat();
            machine.access(bytes.try_into().unwrap());
        }
    };
    accesses(200_000);
    let before = resident();
    accesses(1_000_000);
    assert!(resident() < before + 256, "1 MiB more than before");
}

#[test]
fn a_machine_that_is_restored_is_as_it_was_saved() {
    let mut random = random();
    let [first, second] = [(); 2].map(|()| accesses::Machine::new());
    for _ in 0..50 {
        for _ in 0..2000 {
            let bytes = [random(), random()].map(u64::to_le_bytes).concat();
            first.access(bytes.try_into().unwrap());
        }
        let saved = first.state();
        for (tag, bytes) in &saved {
            let name = String::from_utf8_lossy(tag).into_owned();
            assert_eq!(second.restore_only(*tag, bytes), Ok(()), "{name}");
        }
        for ((tag, bytes), (_, again)) in saved.iter().zip(second.state()) {
            assert_eq!(*bytes, again, "{}", String::from_utf8_lossy(tag));
        }
    }
}

#[test]
fn a_hostile_snapshot_is_refused_or_does_no_harm() {
    let machine = accesses::Machine::new();
    let sections = hostile::valid(&machine);
    for (tag, bytes) in &sections {
        assert!(hostile::restore(&machine, *tag, bytes, &[]), "{}", String::from_utf8_lossy(tag));
    }
    let packed = hostile::packed(&sections);
    assert!(hostile::find(&packed));
    let mut random = random();
    let (mut refused, mut taken, before) = (0, 0, resident());
    let runs = std::env::var("RUNS").map_or(100_000, |runs| runs.parse().unwrap());
    for _ in 0..runs {
        // In a section whose checksum is right.
        let (tag, bytes) = &sections[random() as usize % sections.len()];
        let before = bytes;
        let mut bytes = bytes.clone();
        for _ in 0..1 + random() % 4 {
            let at = random() as usize % bytes.len();
            bytes[at] = if random().is_multiple_of(2) { 0xff } else { random() as u8 };
        }
        if random().is_multiple_of(8) {
            bytes.truncate(random() as usize % bytes.len());
        }
        let accesses: [[u8; 16]; 4] = std::array::from_fn(|_| {
            [random(), random()].map(u64::to_le_bytes).concat().try_into().unwrap()
        });
        match hostile::restore(&machine, *tag, &bytes, &accesses) {
            true => taken += 1,
            false => {
                refused += 1;
                // A program would end here.
                assert!(hostile::restore(&machine, *tag, before, &[]));
            }
        }
        // Anywhere.
        let mut bytes = packed.clone();
        let at = random() as usize % bytes.len();
        bytes[at] ^= 1 << (random() % 8);
        hostile::find(&bytes);
        hostile::find(&bytes[..random() as usize % bytes.len()]);
    }
    assert!(refused > runs / 10 && taken > runs / 10, "{refused} {taken}");
    // Words of command lines are kept, and nothing else.
    assert!(resident() < before + 4096 * (1 + runs / 100_000));
}
