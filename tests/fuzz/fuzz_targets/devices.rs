//! Accesses to all ports and addresses.
#![no_main]

mod accesses;

thread_local! {
    static MACHINE: accesses::Machine = accesses::Machine::new();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    MACHINE.with(|machine| {
        bytes.chunks_exact(16).for_each(|access| machine.access(access.try_into().unwrap()));
    });
});
