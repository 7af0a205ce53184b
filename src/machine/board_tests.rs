//! All devices at once.

#[path = "../../tests/fuzz/fuzz_targets/accesses.rs"]
mod accesses;

/// Pages of memory that this process has.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn whatever_is_accessed_nothing_panics_hangs_or_grows() {
    let machine = accesses::Machine::new();
    let mut seed = 0x4b4f_4232_u64;
    let mut random = || {
        // xorshift64.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
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
