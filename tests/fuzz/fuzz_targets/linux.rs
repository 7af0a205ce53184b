//! A bzImage, from any bytes.
#![no_main]

mod obey;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut file = bytes.to_vec();
    // So that it gets past the first look.
    if file.len() > 0x264 {
        file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        file[0x202..0x206].copy_from_slice(b"HdrS");
    }
    obey::obey(&file);
});
