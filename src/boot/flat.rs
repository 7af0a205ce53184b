//! A flat image: bytes that are code, started in real mode.

use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::memory::Memory;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use core::ffi::CStr;

/// An image file, open, and as far as can be told good.
pub struct Image(Fd);

impl Image {
    /// Opens the image. Refuses a directory, an empty file, and one that does not fit into `room`
    /// bytes; of a pipe or a device the size shows only when it is read.
    pub fn open(path: &CStr, room: u64) -> Result<Image, Error> {
        // Not to be kept waiting by a pipe that nobody writes to; `load` waits.
        let flags = libc::O_RDONLY | libc::O_NONBLOCK;
        let file = Fd::open(path, flags, 0).map_err(Call::OPEN_IMAGE.failed())?;
        let stat = file.stat().map_err(Call::STAT_IMAGE.failed())?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Err(Call::OPEN_IMAGE.error(libc::EISDIR)),
            libc::S_IFREG if stat.st_size == 0 => Err(Call::READ_IMAGE.error(libc::ENOEXEC)),
            libc::S_IFREG if stat.st_size as u64 > room => Err(Call::READ_IMAGE.error(libc::EFBIG)),
            _ => Ok(Image(file)),
        }
    }

    /// Reads all of it to `offset` in RAM.
    pub fn load(&self, memory: &Memory, offset: u64) -> Result<(), Error> {
        let mut end = offset;
        while end < memory.size() {
            match memory.read_from(&self.0, end).map_err(Call::READ_IMAGE.failed())? {
                0 if end == offset => return Err(Call::READ_IMAGE.error(libc::ENOEXEC)),
                0 => return Ok(()),
                count => end += count,
            }
        }
        // RAM is full. That is right only if the image ends here too.
        match self.0.read(&mut [0]).map_err(Call::READ_IMAGE.failed())? {
            0 => Ok(()),
            _ => Err(Call::READ_IMAGE.error(libc::EFBIG)),
        }
    }
}

/// The registers with which real-mode code at `entry`, below 4 GiB, starts. `sregs` are those of a
/// fresh vCPU, which is in the processor's reset state (SDM volume 3, "Processor State After
/// Reset"): real mode, segments at 0 but for CS, at 0xffff_0000.
pub fn real_mode(entry: u64, sregs: &mut kvm_sregs) -> kvm_regs {
    // Real mode's offsets end at 64 KiB (`limit` stays 0xffff). An entry above gets a CS base, as
    // the processor itself does it for its first instruction.
    let rip = entry & 0xffff;
    let base = entry - rip;
    sregs.cs.base = base;
    sregs.cs.selector = (base >> 4) as u16;
    kvm_regs {
        rip,
        // Bit 1 is always set (SDM volume 1, 3.4.3). Interrupts are off.
        rflags: 1 << 1,
        // As the original has them. A 16-bit push counts SP alone down, from 0xffff to 0xfffd.
        rsp: 0xffff_ffff,
        rbp: 0xffff_ffff,
        ..kvm_regs::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(entry: u64) -> (kvm_regs, kvm_sregs) {
        let mut sregs = kvm_sregs::default();
        sregs.cs.base = 0xffff_0000;
        sregs.cs.selector = 0xf000;
        (real_mode(entry, &mut sregs), sregs)
    }

    #[test]
    fn an_entry_below_64_kib_is_the_original_s_state() {
        let (regs, sregs) = start(0x1000);
        assert_eq!(
            (regs.rip, regs.rflags, regs.rsp, regs.rbp),
            (0x1000, 2, 0xffff_ffff, 0xffff_ffff)
        );
        assert_eq!(
            (regs.rax, regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi),
            (0, 0, 0, 0, 0, 0)
        );
        assert_eq!((sregs.cs.base, sregs.cs.selector), (0, 0));
    }

    #[test]
    fn an_entry_above_goes_through_cs() {
        for entry in [0x1_0000, 0x10_1234, 0xfffb_bfff] {
            let (regs, sregs) = start(entry);
            assert!(regs.rip <= 0xffff);
            assert_eq!(sregs.cs.base + regs.rip, entry);
        }
    }
}
