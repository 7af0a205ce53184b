//! A kernel and what goes with it: checked, loaded straight into RAM, and entered as its protocol says.

use crate::boot::companions::Companions;
use crate::boot::linux;
use crate::boot::multiboot::{InfoPage, Module};
use crate::boot::plan::{KernelFile, Plan, Refusal};
use crate::boot::{Error, acpi, firmware, format, mode, pvh};
use crate::config::{Config, Mode, Protocol};
use crate::devices::fw_cfg::{Items, Part};
use crate::host::fd::Fd;
use crate::layout::{
    ACPI, COMMAND_LINE, LINUX_GDT, MULTIBOOT_INFO, PAGE_SIZE, PVH_INFO, RESET_VECTOR, ZERO_PAGE,
};
use crate::memory::GuestMemory;
use crate::sys::fw_cfg::*;
use crate::sys::multiboot::MULTIBOOT_BOOTLOADER_MAGIC;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::CStr;

/// A kernel with its initrds or modules, all open and checked.
pub struct Kernel {
    path: &'static CStr,
    file: Arc<Fd>,
    size: u64,
    plan: Plan,
    initrds: Vec<Initrd>,
    /// Where the first initrd begins, and where the last one ends.
    initrd_range: (u64, u64),
    /// Of Multiboot.
    info: Option<InfoPage>,
}

struct Initrd {
    path: &'static CStr,
    file: Arc<Fd>,
    gpa: u64,
    size: u64,
}

/// Opens an option's file, which is to be read from any place in it; returns its size too.
pub fn open(path: &'static CStr, option: &'static str) -> Result<(Fd, u64), Error> {
    let file = Fd::open(path, libc::O_RDONLY | libc::O_NONBLOCK, 0)
        .map_err(|error| Error::Open { path, option, error })?;
    let stat = file.stat().map_err(|error| Error::Call { path, error })?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => Ok((file, stat.st_size as u64)),
        libc::S_IFDIR => Err(Error::Directory { path }),
        _ => Err(Error::NotRegular { path, option }),
    }
}

/// How much RAM a kernel needs with its initrds, where it is too small for the kernel alone.
fn with_initrds(ram_end: u64, initrds: &[&'static CStr]) -> Result<Refusal, Error> {
    let mut ram_end = ram_end;
    for path in initrds {
        let (_, size) = open(path, "--initrd")?;
        ram_end = ram_end.saturating_add(size).saturating_add(PAGE_SIZE);
    }
    Ok(Refusal::Initrd { ram_end })
}

/// Opens the file of an item of fw_cfg, whose size has 32 bits there.
pub fn open_item(path: &'static CStr) -> Result<(Fd, u64), Error> {
    match open(path, "--fw-cfg")? {
        (_, size) if size > u32::MAX.into() => Err(Error::LargeItem { path }),
        opened => Ok(opened),
    }
}

impl Kernel {
    /// Opens and checks a kernel and its initrds.
    pub fn open(path: &'static CStr, config: &Config) -> Result<Kernel, Error> {
        let refused = |refusal: Refusal| Error::Refused { path, refusal };
        let (file, size) = open(path, "--kernel")?;
        if size == 0 {
            return Err(Error::Empty { path });
        }
        let failed = Cell::new(None);
        let read = |offset, bytes: &mut [u8]| match file.read_at(offset, bytes) {
            Ok(count) => count == bytes.len(),
            Err(error) => {
                failed.set(Some(error));
                false
            }
        };
        let planned =
            format::plan(&KernelFile { size, read: &read }, config.low_end(), config.protocol);
        // A file that can't be read is not a bad kernel.
        if let Some(error) = failed.take() {
            return Err(Error::Call { path, error });
        }
        let plan = match planned {
            Err(Refusal::TooLarge { ram_end }) if !config.initrds.is_empty() => {
                return Err(refused(with_initrds(ram_end, &config.initrds)?));
            }
            planned => planned.map_err(refused)?,
        };
        let line = command_line(config, plan.protocol);
        let excess = (line.len() as u64).saturating_sub(plan.command_line);
        if excess > 0 {
            return Err(refused(Refusal::CommandLine { excess }));
        }
        // The initrds are placed one behind the other from 0 on, and then moved to where they fit together.
        let mut initrds = Vec::new();
        let mut total = 0;
        for &path in &config.initrds {
            let gpa = plan.next(total);
            let (file, size) = open(path, "--initrd")?;
            total = gpa.saturating_add(size);
            initrds.push(Initrd { path, file: Arc::new(file), gpa, size });
        }
        let first = plan.place(total).map_err(refused)?;
        initrds.iter_mut().for_each(|initrd| initrd.gpa += first);
        let initrd_range = (first, first + total);

        let modules: Vec<Module> = initrds
            .iter()
            .map(|initrd| Module { name: initrd.path, gpa: initrd.gpa, size: initrd.size })
            .collect();
        let ram = [config.low_size(), config.high_size()];
        let info = match plan.protocol {
            Protocol::Linux | Protocol::Pvh => None,
            Protocol::Multiboot => Some(InfoPage::new(path, line, &modules, ram).map_err(refused)?),
        };
        Ok(Kernel { path, file: Arc::new(file), size, plan, initrds, initrd_range, info })
    }

    /// Loads the kernel and its initrds, and writes what the protocol tells the kernel, ACPI's tables, and the tables of the
    /// mode in which it starts.
    pub fn load(&self, config: &Config, memory: &GuestMemory) -> Result<(), Error> {
        for piece in &self.plan.pieces {
            memory
                .read_file(&self.file, piece.from, piece.to, piece.size)
                .map_err(|error| Error::read(self.path, error))?;
            let behind = piece.to + piece.size;
            memory.zero_before_start(behind, piece.end() - behind)?;
        }
        for initrd in &self.initrds {
            memory
                .read_file(&initrd.file, 0, initrd.gpa, initrd.size)
                .map_err(|error| Error::read(initrd.path, error))?;
        }
        if config.has_acpi() {
            acpi::write(memory, config)?;
        }
        memory.write(RESET_VECTOR, &firmware::AT_RESET_VECTOR)?;
        let companions = Companions {
            ram: [config.low_size(), config.high_size()],
            initrd: self.initrd_range,
            command_line: command_line(config, self.plan.protocol),
            acpi: config.has_acpi().then_some(ACPI),
        };
        match (self.plan.protocol, &self.info) {
            (_, Some(info)) => info.write(memory)?,
            (Protocol::Pvh, None) => pvh::write(memory, &companions)?,
            (_, None) => linux::write(&self.plan, memory, &companions)?,
        }
        mode::write_tables(self.mode(), memory, config.low_end())
    }

    /// Adds what fw_cfg tells of the kernel, its initrds and its command line: where they lie in RAM, and their bytes.
    pub fn describe(&self, config: &Config, items: &mut Items) {
        let number = |items: &mut Items, item, value: u64| {
            items.add(item, &(value as u32).to_le_bytes());
        };
        let Plan { protocol, entry, ref pieces, .. } = self.plan;
        // A bzImage has its real-mode code before the kernel.
        let setup = if self.plan.header.is_some() { pieces[0].from } else { 0 };
        let part = |from, size| [Part::File { file: self.file.clone(), from, size }].into();
        let address = pieces.iter().map(|piece| piece.to).min().unwrap_or(0);
        number(items, FW_CFG_KERNEL_ADDR, address);
        number(items, FW_CFG_KERNEL_SIZE, self.size - setup);
        number(items, FW_CFG_KERNEL_ENTRY, entry);
        items.add_parts(FW_CFG_KERNEL_DATA, part(setup, self.size - setup));
        number(items, FW_CFG_SETUP_SIZE, setup);
        items.add_parts(FW_CFG_SETUP_DATA, part(0, setup));

        let (first, end) = self.initrd_range;
        number(items, FW_CFG_INITRD_ADDR, first);
        number(items, FW_CFG_INITRD_SIZE, end - first);
        let mut parts = Vec::new();
        let mut at = first;
        for Initrd { file, gpa, size, .. } in &self.initrds {
            // Between two of them there are zeros.
            parts.push(Part::Bytes(vec![0; (gpa - at) as usize]));
            parts.push(Part::File { file: file.clone(), from: 0, size: *size });
            at = gpa + size;
        }
        items.add_parts(FW_CFG_INITRD_DATA, parts);

        let line = [command_line(config, protocol), b"\0"].concat();
        let address = self.info.as_ref().map_or(COMMAND_LINE, InfoPage::command_line);
        number(items, FW_CFG_CMDLINE_ADDR, address);
        number(items, FW_CFG_CMDLINE_SIZE, line.len() as u64);
        items.add(FW_CFG_CMDLINE_DATA, &line);
    }

    /// How it is entered.
    pub fn protocol(&self) -> Protocol {
        self.plan.protocol
    }

    fn mode(&self) -> Mode {
        match self.plan.protocol {
            Protocol::Linux => Mode::Long,
            Protocol::Multiboot | Protocol::Pvh => Mode::Protected,
        }
    }

    /// The registers with which it starts.
    pub fn registers(&self, ram_end: u64, sregs: &mut kvm_sregs) -> kvm_regs {
        let regs = mode::registers(self.mode(), self.plan.entry, ram_end, sregs);
        match self.plan.protocol {
            Protocol::Multiboot => {
                kvm_regs { rax: MULTIBOOT_BOOTLOADER_MAGIC.into(), rbx: MULTIBOOT_INFO, ..regs }
            }
            Protocol::Pvh => kvm_regs { rbx: PVH_INFO, ..regs },
            Protocol::Linux => {
                sregs.gdt.base = LINUX_GDT;
                sregs.gdt.limit = linux::GDT_LIMIT;
                sregs.cs.selector = linux::BOOT_CS;
                let kvm_sregs { ds, es, fs, gs, ss, .. } = sregs;
                for segment in [ds, es, fs, gs, ss] {
                    segment.selector = linux::BOOT_DS;
                }
                kvm_regs { rsi: ZERO_PAGE, ..regs }
            }
        }
    }
}

/// The command line. Linux without one would say nothing.
fn command_line(config: &Config, protocol: Protocol) -> &'static [u8] {
    match (config.command_line, protocol) {
        (Some(line), _) => line.to_bytes(),
        (None, Protocol::Linux) => b"console=ttyS0",
        (None, Protocol::Multiboot | Protocol::Pvh) => b"",
    }
}
