//! The VM generation ID: 16 random bytes in RAM that change when a snapshot is restored. A guest that was copied with its memory would
//! give the same random numbers as its copies; by this it learns that it has to gather new randomness. Microsoft's "Virtual Machine
//! Generation ID"; Linux' driver is `drivers/virt/vmgenid.c`.
//!
//! The guest finds the bytes by a device in the ACPI tables, which is notified of a change by a general-purpose event.

use crate::devices::acpi_pm::AcpiPm;
use crate::host::random;
use crate::layout::{VM_GENERATION, VM_GENERATION_SIZE};
use crate::memory::GuestMemory;
use crate::memory::guest_memory::AccessError;

/// An ID.
pub type Id = [u8; VM_GENERATION_SIZE as usize];

/// An ID that no other machine has.
pub fn new_id() -> Id {
    random::bytes()
}

/// The machine's.
pub fn id(memory: &GuestMemory) -> Result<Id, AccessError> {
    memory.read_value(VM_GENERATION)
}

/// Sets it before the guest runs.
pub fn set_id(memory: &GuestMemory, id: &Id) -> Result<(), AccessError> {
    memory.write_value(VM_GENERATION, id)
}

/// The machine was restored: it gets a new ID, of which the guest is told.
pub fn change(memory: &GuestMemory, pm: &AcpiPm) -> Result<(), AccessError> {
    set_id(memory, &new_id())?;
    pm.generation_changed();
    Ok(())
}
