//! The VM generation ID: 16 random bytes in RAM that change when a snapshot is restored. A guest that was copied with its memory would
//! give the same random numbers as its copies; by this it learns that it has to gather new randomness. Microsoft's "Virtual Machine
//! Generation ID"; Linux' driver is `drivers/virt/vmgenid.c`.
//!
//! The guest finds the bytes by a device in the ACPI tables, which is notified of a change by a general-purpose event.

use crate::devices::acpi_pm::AcpiPm;
use crate::host::random;
use crate::layout::VM_GENERATION;
use crate::memory::GuestMemory;
use crate::memory::guest_memory::AccessError;

/// A new ID. The guest does not run, or not yet.
pub fn set(memory: &GuestMemory) -> Result<(), AccessError> {
    memory.write(VM_GENERATION, &random::bytes())
}

/// A new ID, of which the guest is told.
pub fn change(memory: &GuestMemory, pm: &AcpiPm) -> Result<(), AccessError> {
    set(memory)?;
    pm.generation_changed();
    Ok(())
}
