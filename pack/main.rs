//! `pack PROGRAM DIRECTORY`: PROGRAM's memory image, deflated, as DIRECTORY/plain.rs, which `src/packed.rs`
//! includes. Runs where the program is built.

use kob_2m::inflate::{inflate, move_targets};
use std::path::Path;
use std::process::Command;
use std::{env, error::Error, fs};

// The ELF-64 object file format: the file header, program headers, segment types and flags.
const E_ENTRY: usize = 24;
const E_PHOFF: usize = 32;
const E_PHNUM: usize = 56;
const PHENTSIZE: usize = 56;
const PT_LOAD: u64 = 1;
const PF_W: u64 = 2;
const PAGE: u64 = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let [_, program, directory] = &env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: pack PROGRAM DIRECTORY".into());
    };
    let (file, directory) = (fs::read(program)?, Path::new(directory));
    let word = |at: usize, size: usize| {
        file[at..at + size].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    };

    // The image as the kernel would map it, and the pages at its start that are not written.
    let (mut image, mut size, mut code) = (Vec::new(), 0, 0);
    for index in 0..word(E_PHNUM, 2) as usize {
        let header = word(E_PHOFF, 8) as usize + index * PHENTSIZE;
        let [offset, address, _, filed, all] = [8, 16, 24, 32, 40].map(|at| word(header + at, 8));
        if word(header, 4) != PT_LOAD {
            continue;
        }
        if word(header + 4, 4) & PF_W == 0 {
            assert_eq!(address, code, "what is read only comes first, from 0");
            code = (address + all).next_multiple_of(PAGE);
        } else {
            assert!(address >= code, "what is written begins on a page of its own");
        }
        image.resize(address as usize, 0);
        image.extend(&file[offset as usize..][..filed as usize]);
        size = (address + all).next_multiple_of(PAGE);
    }
    image.resize(image.len().max(code as usize), 0);
    // The headers have told what they have to tell.
    let headers = word(E_PHOFF, 8) as usize + word(E_PHNUM, 2) as usize * PHENTSIZE;
    image[..headers].fill(0);

    let mut moved = image.clone();
    move_targets(&mut moved[..code as usize], true);
    let path = directory.join("image");
    fs::write(&path, &moved)?;
    let packed = Command::new("zopfli").args(["--deflate", "--i60", "-c"]).arg(&path).output()?;
    if !packed.status.success() {
        return Err("zopfli failed".into());
    }
    fs::write(directory.join("packed"), &packed.stdout)?;

    // Behind it, what is read and not used: in the program, its code.
    let packed = [&packed.stdout[..], &[0; 8]].concat();
    let mut again = vec![0; size as usize];
    let mut tables = Box::new([[0; 1 << 15]; 2]);
    // SAFETY: zopfli stores nothing but what can't be packed, and that is not a program.
    let end = unsafe { inflate(packed.as_ptr(), again.as_mut_ptr(), &mut tables) };
    move_targets(&mut again[..code as usize], false);
    assert_eq!(end, again.as_mut_ptr().wrapping_add(image.len()));
    assert!(again.starts_with(&image), "what was packed is not what comes out");

    let shape = format!(
        "pub const SIZE: usize = {size};\npub const CODE: usize = {code};\n\
         pub const ENTRY: usize = {};\npub static IMAGE: [u8; {}] = *include_bytes!(\"packed\");\n",
        word(E_ENTRY, 8),
        packed.len() - 8
    );
    fs::write(directory.join("plain.rs"), shape)?;
    Ok(())
}
