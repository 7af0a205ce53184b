//! What every plan must keep, whatever the file: that is all that protects RAM from it. The same is tried in a bounded, seeded
//! run by `make test`: src/boot/kernel_tests.rs.

use kob_2m::boot::kernel::{Plan, Protocol, plan};
use kob_2m::layout::{LOW_END, MIB, TABLES};

const RAM: u64 = 256 << 20;

pub fn obey(file: &[u8]) {
    let mut read = |offset: u64, bytes: &mut [u8]| {
        let from = usize::try_from(offset).ok().and_then(|offset| file.get(offset..));
        from.and_then(|from| from.get(..bytes.len())).is_some_and(|from| {
            bytes.copy_from_slice(from);
            true
        })
    };
    let mut planned = Plan::default();
    if plan(&mut planned, file.len() as u64, &mut read, RAM).is_err() {
        return;
    }
    let mut parts: Vec<(u64, u64)> = vec![];
    for piece in planned.pieces() {
        assert!(piece.from + piece.size <= file.len() as u64);
        let end = piece.to + piece.room.max(piece.size);
        assert!(piece.to >= 0x6000 && end <= RAM - TABLES && (end <= LOW_END || piece.to >= MIB));
        assert!(parts.iter().all(|&(from, to)| end <= from || to <= piece.to));
        parts.push((piece.to, end));
    }
    if planned.protocol != Protocol::Flat {
        assert!(parts.iter().any(|&(from, to)| (from..to).contains(&planned.entry)));
    }
    for total in [1, 4096, RAM, u64::MAX] {
        if let Ok(first) = planned.place(total) {
            assert!(first >= planned.end && first + total <= planned.initrd_limit);
        }
    }
}
