//! Hostile snapshots. The first byte chooses a section, the next two where it is changed; what is to be written there follows, and then
//! accesses of 16 bytes each.
#![no_main]

mod accesses;
mod hostile;

thread_local! {
    static MACHINE: accesses::Machine = accesses::Machine::new();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    MACHINE.with(|machine| {
        hostile::find(bytes);
        let [which, low, high, len, rest @ ..] = bytes else { return };
        let sections = hostile::valid(machine);
        let (tag, before) = &sections[usize::from(*which) % sections.len()];
        let mut state = before.clone();
        let at = usize::from(u16::from_le_bytes([*low, *high])) % (state.len() + 1);
        let (new, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        let end = (at + new.len()).min(state.len());
        state.splice(at..end, new.iter().copied());
        let accesses: Vec<[u8; 16]> =
            rest.chunks_exact(16).map(|access| access.try_into().unwrap()).collect();
        if !hostile::restore(machine, *tag, &state, &accesses) {
            // A program would end here.
            assert!(hostile::restore(machine, *tag, before, &[]));
        }
    });
});
