//! What every plan must keep, whatever the file: that is all that protects RAM from it. The same is tried in a bounded, seeded
//! run by `make test`: src/boot/format_tests.rs.

use kob_2m::boot::format::plan;
use kob_2m::boot::plan::{KernelFile, Plan};
use kob_2m::config::Protocol;
use kob_2m::layout::{LOADER_END, LOW_END, MIB, PAGE_SIZE, TABLES};

pub const RAM: u64 = 256 << 20;

/// A file that is in memory.
pub fn read(file: &[u8]) -> impl Fn(u64, &mut [u8]) -> bool {
    |offset, bytes| {
        let from = usize::try_from(offset).ok().and_then(|offset| file.get(offset..));
        match from.and_then(|from| from.get(..bytes.len())) {
            Some(from) => {
                bytes.copy_from_slice(from);
                true
            }
            None => false,
        }
    }
}

/// However the kernel is to be entered.
pub fn obey(file: &[u8]) {
    let protocols = [Protocol::Linux, Protocol::Multiboot, Protocol::Pvh].map(Some);
    for wanted in protocols.into_iter().chain([None]) {
        let read = read(file);
        let file = KernelFile { size: file.len() as u64, read: &read };
        if let Ok(planned) = plan(&file, RAM, wanted) {
            keeps_the_rules(&planned, file.size);
        }
    }
}

fn keeps_the_rules(planned: &Plan, file_size: u64) {
    let mut parts: Vec<(u64, u64)> = vec![];
    for piece in &planned.pieces {
        assert!(piece.from + piece.size <= file_size, "{piece:x?}");
        let end = piece.to + piece.room.max(piece.size);
        assert!(
            piece.to >= LOADER_END && end <= RAM - TABLES && (end <= LOW_END || piece.to >= MIB),
            "{piece:x?}"
        );
        assert!(parts.iter().all(|&(from, to)| end <= from || to <= piece.to), "{piece:x?}");
        parts.push((piece.to, end));
    }
    assert!(parts.iter().any(|&(from, to)| (from..to).contains(&planned.entry)));
    for total in [1, 4096, 70_001, RAM, u64::MAX] {
        if let Ok(first) = planned.place(total) {
            assert!(first >= planned.end.max(MIB) && first + total <= planned.initrd_limit());
            assert!(first % PAGE_SIZE == 0);
        }
    }
}
