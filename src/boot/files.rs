//! The files of a kernel: opened and looked at before anything is changed, and read straight into RAM.

use crate::boot::kernel::{self, Plan, Protocol, Refused, What};
use crate::boot::mode::{self, Mode};
use crate::boot::{acpi, linux, multiboot};
use crate::cli::{INITRDS, Options};
use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::layout::{LINUX_GDT, MULTIBOOT_INFO, ZERO_PAGE};
use crate::memory::Memory;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use core::ffi::CStr;

/// A kernel, its initrds or modules, and what is to be done with them; or nothing.
#[derive(Default)]
pub struct Files {
    kernel: Option<Fd>,
    initrds: [Initrd; INITRDS],
    /// Where the first initrd goes, and where the last one ends.
    place: (u64, u64),
    pub plan: Plan,
}

/// Where an initrd or a module goes, and its size.
#[derive(Clone, Copy, Default)]
pub struct Initrd {
    pub at: u64,
    pub size: u64,
}

/// As an error, which is two numbers; the third stays with the options.
fn refuse(options: &Options, Refused(what, number): Refused) -> Error {
    options.refused.set(number);
    Call::KERNEL.error(what as i32)
}

/// Opens a file that is to be read from any place in it. Gives its size too.
#[inline(never)]
fn open(open: Call, path: &CStr) -> Result<(Fd, u64), Error> {
    let file = Fd::open(open, path, libc::O_RDONLY | libc::O_NONBLOCK, 0)?;
    let status = file.stat(Call::LOOK)?;
    match status.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok((file, status.st_size as u64)),
        libc::S_IFDIR => Err(open.error(libc::EISDIR)),
        _ => Err(open.error(libc::ESPIPE)),
    }
}

impl Files {
    /// Opens the kernel and what goes with it, if there is one, and plans. [`Call::KERNEL`]: it can't be, in this RAM.
    #[inline(never)]
    pub fn open(&mut self, options: &Options) -> Result<(), Error> {
        let Some(path) = options.kernel else { return Ok(()) };
        let (kernel, size) = open(Call::OPEN_KERNEL, path)?;
        let mut read = |offset, bytes: &mut [u8]| {
            let len = bytes.len();
            kernel.read_from(offset, bytes) == Ok(len)
        };
        let refuse = |refused| refuse(options, refused);
        let plan = &mut self.plan;
        kernel::plan(plan, size, &mut read, options.low_end()).map_err(refuse)?;
        if plan.protocol == Protocol::Flat {
            return Ok(());
        }
        let line = options.command_line(plan.protocol).len() as u64;
        if line > plan.command_line {
            return Err(refuse(Refused(What::CommandLine, line - plan.command_line)));
        }
        let mut total = 0;
        for (path, initrd) in options.initrds().zip(&mut self.initrds) {
            initrd.at = plan.next(total);
            initrd.size = open(Call::OPEN_INITRD, path)?.1;
            total = initrd.at.saturating_add(initrd.size);
        }
        let first = plan.place(total).map_err(refuse)?;
        self.place = (first, first + total);
        self.initrds.iter_mut().for_each(|initrd| initrd.at += first);
        self.kernel = Some(kernel);
        Ok(())
    }

    /// Whether there is a kernel that is more than an image.
    pub fn is_kernel(&self) -> bool {
        self.plan.protocol != Protocol::Flat
    }

    /// Closes what has been read.
    pub fn close(&mut self) {
        self.kernel = None;
    }

    /// Puts all into RAM: the pieces, the initrds, what the protocol says of them, and ACPI's tables.
    #[inline(never)]
    pub fn load(&self, options: &Options, memory: &Memory) -> Result<(), Error> {
        let Some(kernel) = &self.kernel else { return Ok(()) };
        for piece in self.plan.pieces() {
            memory.read_file(Call::READ_KERNEL, kernel, piece.from, piece.to, piece.size)?;
        }
        for (path, initrd) in options.initrds().zip(&self.initrds) {
            // Once more, by its name: one that has become smaller meanwhile is EIO, of a larger one the first part is taken.
            let (file, _) = open(Call::OPEN_INITRD, path)?;
            memory.read_file(Call::READ_INITRD, &file, 0, initrd.at, initrd.size)?;
        }
        acpi::write(memory, options.cpus)?;
        let ram = [options.low_size(), options.memory - options.low_size()];
        let line = options.command_line(self.plan.protocol);
        if self.plan.protocol == Protocol::Linux {
            return linux::write(&self.plan, kernel, memory, ram, self.place, line);
        }
        multiboot::write(memory, options, ram, &self.initrds)?
            .map_err(|refused| refuse(options, refused))
    }

    /// The mode in which the kernel starts.
    pub fn mode(&self) -> Mode {
        if self.plan.protocol == Protocol::Linux { Mode::Long } else { Mode::Protected }
    }

    /// The registers with which it starts.
    #[inline(never)]
    pub fn registers(&self, options: &Options, sregs: &mut kvm_sregs) -> kvm_regs {
        let regs = mode::registers(self.mode(), self.plan.entry, options.low_end(), sregs);
        if self.plan.protocol == Protocol::Multiboot {
            return kvm_regs { rax: multiboot::MAGIC, rbx: MULTIBOOT_INFO, ..regs };
        }
        // "64-bit Boot Protocol": __BOOT_CS is 0x10, __BOOT_DS is 0x18; RSI has the zero page.
        sregs.gdt.base = LINUX_GDT;
        sregs.gdt.limit = 4 * 8 - 1;
        sregs.cs.selector = 0x10;
        for segment in [&mut sregs.ds, &mut sregs.es, &mut sregs.fs, &mut sregs.gs, &mut sregs.ss] {
            segment.selector = 0x18;
        }
        kvm_regs { rsi: ZERO_PAGE, ..regs }
    }
}
