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
const PF_X: u64 = 1;
const PAGE: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let [_, program, directory] = &env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: pack PROGRAM DIRECTORY".into());
    };
    let (file, directory) = (fs::read(program)?, Path::new(directory));
    let word = |at: usize, size: usize| {
        file[at..at + size].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
    };

    // The program as the kernel would map it, and its three parts: what is read and executed, what is written, and what is executed
    // later. Where there is nothing in the file, there are zeros.
    let (mut image, mut parts, mut written) = (Vec::new(), Vec::new(), 0);
    for index in 0..word(E_PHNUM, 2) as usize {
        let header = word(E_PHOFF, 8) as usize + index * PHENTSIZE;
        let [offset, address, _, filed, all] =
            [8, 16, 24, 32, 40].map(|at| word(header + at, 8) as usize);
        if word(header, 4) != PT_LOAD {
            continue;
        }
        if word(header + 4, 4) & PF_X == 0 {
            written = address + all;
        }
        if filed != 0 {
            image.resize(address, 0);
            image.extend(&file[offset..][..filed]);
            parts.push((word(header + 4, 4) & PF_X != 0, address..image.len()));
        }
    }
    let [(true, text), (false, data), (true, cold)] = &parts[..] else {
        return Err(format!("segments that packed.rs does not expect: {parts:x?}").into());
    };
    let page = cold.start / PAGE * PAGE;
    assert!(text.start == 0 && data.start / PAGE > text.end / PAGE && page >= written);
    // The headers have told what they have to tell.
    let headers = word(E_PHOFF, 8) as usize + word(E_PHNUM, 2) as usize * PHENTSIZE;
    image[..headers].fill(0);
    let whole = image.clone();
    move_targets(&mut image, text.clone(), true);
    move_targets(&mut image, page..cold.end, true);
    let parts = [text, data, cold].map(|part| &image[part.clone()]).concat();
    let hot = text.len() + data.len();

    let path = directory.join("image");
    fs::write(&path, &parts)?;
    let packed = Command::new("zopfli").args(["--deflate", "--i60", "-c"]).arg(&path).output()?;
    if !packed.status.success() {
        return Err("zopfli failed".into());
    }
    fs::write(directory.join("packed"), &packed.stdout)?;

    // Behind it, what is read and not used: in the program, its code.
    let packed = [&packed.stdout[..], &[0; 8]].concat();
    let mut tables = Box::new([[0; 1 << 15]; 2]);
    for until in [hot, parts.len()] {
        let mut again = vec![0; parts.len()];
        let to = again.as_mut_ptr();
        // SAFETY: a whole stream, and room for all that was packed.
        let end = unsafe { inflate(packed.as_ptr(), to, &mut tables, to.wrapping_add(until)) };
        assert!(end.addr() - to.addr() < until + PAGE, "too much at once");
        assert!(again[..until] == parts[..until], "what was packed is not what comes out");
    }
    for code in [text.clone(), page..cold.end] {
        move_targets(&mut image, code, false);
    }
    for part in [text, data, cold] {
        assert!(image[part.clone()] == whole[part.clone()], "what was moved does not come back");
    }

    let shape = [
        ("TEXT", text.end),
        ("DATA", data.start),
        ("HOT", hot),
        ("COLD", cold.start),
        ("END", cold.end),
        ("ENTRY", word(E_ENTRY, 8) as usize),
    ]
    .map(|(name, value)| format!("pub const {name}: usize = {value};\n"))
    .concat();
    let image =
        format!("pub static IMAGE: [u8; {}] = *include_bytes!(\"packed\");\n", packed.len() - 8);
    fs::write(directory.join("plain.rs"), shape + &image)?;
    Ok(())
}
