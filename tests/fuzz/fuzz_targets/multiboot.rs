//! A Multiboot kernel, of which the header is right, from any bytes.
#![no_main]

mod obey;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    if file.len() > 64 {
        let flags = u32::from_le_bytes([file[4], 0, file[6] & 1, 0]) & 0x1_0007;
        file[..4].copy_from_slice(&0x1bad_b002u32.to_le_bytes());
        file[4..8].copy_from_slice(&flags.to_le_bytes());
        let sum = 0u32.wrapping_sub(0x1bad_b002).wrapping_sub(flags);
        file[8..12].copy_from_slice(&sum.to_le_bytes());
    }
    obey::obey(&file);
});
