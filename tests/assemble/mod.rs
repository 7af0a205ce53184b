//! Guests that only tests run.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What is made of a source.
pub enum Guest {
    /// A Multiboot kernel.
    Kernel,
    /// 64-bit code that is entered at its first byte.
    #[allow(dead_code, reason = "each test program that includes this uses what it needs")]
    Image,
}

pub fn assemble(source: &str, file: &Path, guest: Guest) {
    let (bits, how): (_, &[&str]) = match guest {
        Guest::Kernel => ("--32", &["-m", "elf_i386", "-Ttext", "0x400000"]),
        Guest::Image => {
            ("--64", &["-m", "elf_x86_64", "-N", "-Ttext", "0x1000", "--oformat", "binary"])
        }
    };
    let object = file.with_extension("o");
    let run = |tool: &str, arguments: &[&str], input: &Path, output: &Path| {
        let mut command = Command::new(tool);
        command.args(arguments).arg("-o").arg(output).arg(input);
        assert!(command.status().expect(tool).success(), "{tool} {source}");
    };
    run("as", &[bits, "-I", "guest/kernel", "-I", "guest"], Path::new(source), &object);
    run("ld", &[&["-z", "noexecstack", "-e", "_start"], how].concat(), &object, file);
    fs::remove_file(object).unwrap();
}
