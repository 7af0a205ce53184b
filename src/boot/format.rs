//! The formats of kernel files: which one a file has, and the [`Plan`] that comes of it.
//!
//! A kernel file is not trusted. Each number in it is checked against the file's size and against RAM before it is used, so
//! that nothing is ever read or written elsewhere: `tests/fuzz` tries.

use crate::boot::plan::{KernelFile, Plan, Refusal};
use crate::boot::{elf, linux, multiboot, pvh};
use crate::config::Protocol;
use crate::layout::tables;

/// Plans a kernel, for a machine whose low RAM ends at `ram_end`. `wanted`: how it is to be entered, where its file allows
/// several ways. Otherwise Linux is entered by its own protocol, and another kernel as its file says, by Multiboot first.
pub fn plan(file: &KernelFile, ram_end: u64, wanted: Option<Protocol>) -> Result<Plan, Refusal> {
    let plan = match wanted {
        Some(protocol) => plan_for(protocol, file)?.ok_or(Refusal::NotFor(protocol))?,
        None => plan_any(file)?,
    };
    plan.check(file.size, tables(ram_end))
}

fn is_elf(file: &KernelFile) -> bool {
    file.bytes(0) == Some(*b"\x7fELF")
}

fn plan_any(file: &KernelFile) -> Result<Plan, Refusal> {
    if let Some(plan) = linux::plan(file)? {
        return Ok(plan);
    }
    if let Some(plan) = multiboot::plan(file)? {
        return Ok(plan);
    }
    if !is_elf(file) {
        return Err(Refusal::UnknownFormat);
    }
    let elf = elf::read(file)?;
    match pvh::plan(&elf).filter(|_| !pvh::is_linux(&elf)) {
        Some(plan) => Ok(plan),
        None => linux::plan_elf(file, elf),
    }
}

/// `None` where the file does not have this format.
fn plan_for(protocol: Protocol, file: &KernelFile) -> Result<Option<Plan>, Refusal> {
    match protocol {
        Protocol::Multiboot => multiboot::plan(file),
        Protocol::Pvh if is_elf(file) => Ok(pvh::plan(&elf::read(file)?)),
        Protocol::Linux => match linux::plan(file)? {
            None if is_elf(file) => match linux::plan_elf(file, elf::read(file)?) {
                // Linux is what it is not.
                Err(Refusal::Narrow) => Ok(None),
                plan => plan.map(Some),
            },
            plan => Ok(plan),
        },
        Protocol::Pvh => Ok(None),
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
