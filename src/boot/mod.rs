//! How an image or a kernel gets into RAM, and in what state the vCPU starts.

pub mod acpi;
pub mod elf;
pub mod files;
pub mod flat;
pub mod kernel;
pub mod linux;
pub mod mode;
pub mod multiboot;
