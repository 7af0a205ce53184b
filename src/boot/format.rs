//! The formats of kernel files: which one a file has, and the [`Plan`] that comes of it.
//!
//! A kernel file is not trusted. Each number in it is checked against the file's size and against RAM before it is used, so
//! that nothing is ever read or written elsewhere: `tests/fuzz` tries.

use crate::boot::plan::{KernelFile, Plan, Refusal};
use crate::boot::{linux, multiboot};
use crate::layout::tables;

/// Plans a kernel, for a machine whose low RAM ends at `ram_end`.
pub fn plan(file: &KernelFile, ram_end: u64) -> Result<Plan, Refusal> {
    let is_elf = file.bytes(0) == Some(*b"\x7fELF");
    let plan = if let Some(plan) = linux::plan(file)? {
        plan
    } else if let Some(plan) = multiboot::plan(file)? {
        plan
    } else if is_elf {
        linux::plan_elf(file)?
    } else {
        return Err(Refusal::UnknownFormat);
    };
    plan.check(file.size, tables(ram_end))
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
