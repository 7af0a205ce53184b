//! A vmlinux, from any bytes.
#![no_main]

mod obey;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    if file.len() > 64 {
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16..20].copy_from_slice(&[2, 0, 62, 0]);
    }
    obey::obey(&file);
});
