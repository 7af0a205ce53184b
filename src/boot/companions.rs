//! What goes with a kernel that is entered by Linux' protocol or by PVH. Each writes it in its own form; the command line lies at
//! the same place for both.

use crate::boot::Error;
use crate::layout::COMMAND_LINE;
use crate::memory::GuestMemory;

/// What a loader tells the kernel.
pub struct Companions<'a> {
    /// The sizes of RAM below and above the hole.
    pub ram: [u64; 2],
    /// All initrds, one behind the other: first address, and the address behind them.
    pub initrd: (u64, u64),
    pub command_line: &'a [u8],
    /// Where ACPI's tables begin, if there are any.
    pub acpi: Option<u64>,
}

impl Companions<'_> {
    /// Writes the command line, with its final zero.
    pub fn write_command_line(&self, memory: &GuestMemory) -> Result<(), Error> {
        memory.write(COMMAND_LINE, self.command_line)?;
        memory.write(COMMAND_LINE + self.command_line.len() as u64, &[0])?;
        Ok(())
    }
}
