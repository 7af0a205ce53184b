//! fw_cfg: how QEMU tells firmware and test kernels of the machine. QEMU's `docs/specs/fw_cfg.rst`.
//!
//! There are numbered items. The guest selects one and reads it byte by byte from a port, or lets the device copy it into RAM
//! ("DMA"). A directory item lists those items that have names.

use crate::bus::Device;
use crate::host::fd::Fd;
use crate::host::mutex::Mutex;
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::memory::plain::Plain;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use crate::sys::fw_cfg::*;
use alloc::sync::Arc;
use alloc::vec::Vec;

// The ports, by their distance from the first.
/// Two bytes that are written select an item.
const SELECTOR: u64 = 0;
/// Each byte that is read is the item's next.
const DATA: u64 = 1;
/// Eight bytes, big-endian: where in RAM the request lies. A write of the lower half carries it out.
const DMA: u64 = 4;
const DMA_LOW: u64 = DMA + 4;

// SAFETY: made of integers without gaps.
unsafe impl Plain for fw_cfg_dma_access {}

/// A part of an item.
pub enum Part {
    Bytes(Vec<u8>),
    /// So many bytes of a file, from an offset on.
    File {
        file: Arc<Fd>,
        from: u64,
        size: u64,
    },
}

impl Part {
    fn size(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File { size, .. } => *size,
        }
    }
}

/// What the guest can read.
#[derive(Default)]
pub struct Items {
    items: Vec<(u16, Vec<Part>)>,
    /// Of those from [`FW_CFG_FILE_FIRST`] on.
    names: Vec<Vec<u8>>,
}

impl Items {
    /// Those that every machine has: with so many processors, and so many bytes of RAM.
    pub fn new(cpus: u32, ram: u64) -> Items {
        let mut items = Items::default();
        items.add(FW_CFG_SIGNATURE, b"QEMU");
        items.add(FW_CFG_ID, &(FW_CFG_VERSION | FW_CFG_VERSION_DMA).to_le_bytes());
        items.add(FW_CFG_RAM_SIZE, &ram.to_le_bytes());
        for item in [FW_CFG_NB_CPUS, FW_CFG_MAX_CPUS] {
            items.add(item, &(cpus as u16).to_le_bytes());
        }
        items
    }

    /// Adds an item, or replaces it.
    pub fn add(&mut self, item: u16, bytes: &[u8]) {
        self.add_parts(item, [Part::Bytes(bytes.to_vec())].into());
    }

    /// Likewise, of several parts.
    pub fn add_parts(&mut self, item: u16, parts: Vec<Part>) {
        self.items.retain(|(other, _)| *other != item);
        self.items.push((item, parts));
    }

    /// Adds an item to the directory. Its name has at most 55 bytes.
    pub fn add_file(&mut self, name: Vec<u8>, part: Part) {
        let item = FW_CFG_FILE_FIRST + self.names.len() as u16;
        self.add_parts(item, [part].into());
        self.names.push(name);
        self.add(FW_CFG_FILE_DIR, &self.directory());
    }

    /// The directory: how many entries, and each with its size, its item and its name.
    fn directory(&self) -> Vec<u8> {
        let mut directory = (self.names.len() as u32).to_be_bytes().to_vec();
        for (item, name) in (FW_CFG_FILE_FIRST..).zip(&self.names) {
            let size = self.parts(item).iter().map(Part::size).sum::<u64>() as u32;
            directory.extend_from_slice(&size.to_be_bytes());
            directory.extend_from_slice(&item.to_be_bytes());
            directory.extend_from_slice(&[0; 2]);
            let end = directory.len() + FW_CFG_MAX_FILE_PATH;
            directory.extend_from_slice(name);
            directory.resize(end, 0);
        }
        directory
    }

    /// None where there is no such item.
    fn parts(&self, item: u16) -> &[Part] {
        self.items.iter().find(|(other, _)| *other == item).map_or(&[], |(_, parts)| parts)
    }

    /// The part in which a place in an item lies, the place in that part, and how many bytes there are from there on. `None`
    /// behind the item's end, where it reads as zeros.
    fn find(&self, item: u16, offset: u64) -> Option<(&Part, u64, u64)> {
        let mut offset = offset;
        for part in self.parts(item) {
            if offset < part.size() {
                return Some((part, offset, part.size() - offset));
            }
            offset -= part.size();
        }
        None
    }

    /// A byte of an item.
    fn byte(&self, item: u16, offset: u64) -> u8 {
        let mut byte = [0];
        match self.find(item, offset) {
            Some((Part::Bytes(bytes), at, _)) => byte[0] = bytes[at as usize],
            // A file that can't be read, or has become shorter, reads as zeros.
            Some((Part::File { file, from, .. }, at, _)) => _ = file.read_at(from + at, &mut byte),
            None => {}
        }
        byte[0]
    }

    /// Copies a stretch of an item into RAM; `false` where that fails.
    fn copy(&self, memory: &GuestMemory, item: u16, offset: u64, gpa: u64, len: u64) -> bool {
        let mut done = 0;
        while done < len {
            let (to, left) = (gpa.wrapping_add(done), len - done);
            let (count, is_copied) = match self.find(item, offset.saturating_add(done)) {
                Some((Part::Bytes(bytes), at, rest)) => {
                    let (at, count) = (at as usize, rest.min(left) as usize);
                    (count as u64, memory.write(to, &bytes[at..at + count]).is_ok())
                }
                Some((Part::File { file, from, .. }, at, rest)) => {
                    let count = rest.min(left);
                    (count, memory.read_file(file, from + at, to, count).is_ok())
                }
                None => {
                    let zeros = [0; 4096];
                    let count = left.min(zeros.len() as u64);
                    (count, memory.write(to, &zeros[..count as usize]).is_ok())
                }
            };
            if !is_copied {
                return false;
            }
            done += count;
        }
        true
    }
}

/// What the guest has set.
#[derive(Default)]
struct Registers {
    item: u16,
    offset: u64,
    /// The higher half of a request's address.
    dma_high: u32,
}

impl Registers {
    fn select(&mut self, item: u16) {
        // Items that QEMU lets the guest write exist only for reading here.
        self.item = item & !FW_CFG_WRITE_CHANNEL;
        self.offset = 0;
    }
}

/// The device.
pub struct FwCfg {
    items: Items,
    memory: Arc<GuestMemory>,
    registers: Mutex<Registers>,
}

impl FwCfg {
    pub fn new(items: Items, memory: Arc<GuestMemory>) -> FwCfg {
        FwCfg { items, memory, registers: Mutex::default() }
    }

    /// As after power-on.
    pub fn reset(&self) {
        *self.registers.lock() = Registers::default();
    }

    fn take(&self, count: u64) -> (u16, u64) {
        self.select_and_take(None, count)
    }

    /// The place of `count` bytes, behind which the next ones are read; of another item if one is to be selected first.
    fn select_and_take(&self, select: Option<u16>, count: u64) -> (u16, u64) {
        let mut registers = self.registers.lock();
        if let Some(item) = select {
            registers.select(item);
        }
        let offset = registers.offset;
        registers.offset = offset.saturating_add(count);
        (registers.item, offset)
    }

    /// Carries out the request at a guest-physical address, and says there how that went.
    fn carry_out(&self, gpa: u64) {
        let Ok(request) = self.memory.read_value::<fw_cfg_dma_access>(gpa) else { return };
        let control = u32::from_be(request.control);
        let len = u32::from_be(request.length).into();
        let is = |bit: u32| control & bit != 0;
        let select = is(FW_CFG_DMA_CTL_SELECT).then_some((control >> 16) as u16);
        let moves = is(FW_CFG_DMA_CTL_READ) || is(FW_CFG_DMA_CTL_SKIP) && !is(FW_CFG_DMA_CTL_WRITE);
        let (item, offset) = self.select_and_take(select, if moves { len } else { 0 });
        let is_done = match is(FW_CFG_DMA_CTL_READ) {
            true => self.items.copy(&self.memory, item, offset, u64::from_be(request.address), len),
            // Nothing can be written.
            false => !is(FW_CFG_DMA_CTL_WRITE),
        };
        let control = if is_done { 0 } else { FW_CFG_DMA_CTL_ERROR };
        // The request was read there: it is RAM.
        let _ = self.memory.write(gpa, &control.to_be_bytes());
    }
}

/// The items are those of the restored machine's own files.
impl Saved for FwCfg {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let registers = &mut *self.registers.lock();
        visit!(fields; registers.item, registers.offset, registers.dma_high);
        Ok(())
    }
}

impl Device for FwCfg {
    fn name(&self, offset: u64, _: bool) -> &'static str {
        match offset {
            DMA.. => "fw_cfg DMA",
            _ => "fw_cfg",
        }
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let signature = FW_CFG_DMA_SIGNATURE.to_be_bytes();
        for (byte, at) in data.iter_mut().zip(offset..) {
            *byte = match at {
                DATA => {
                    let (item, offset) = self.take(1);
                    self.items.byte(item, offset)
                }
                DMA.. => signature.get((at - DMA) as usize).copied().unwrap_or(0xff),
                _ => 0xff,
            };
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        match (offset, data) {
            (SELECTOR, &[low, high]) => {
                self.registers.lock().select(u16::from_le_bytes([low, high]));
            }
            (DMA, &[a, b, c, d]) => {
                self.registers.lock().dma_high = u32::from_be_bytes([a, b, c, d]);
            }
            (DMA_LOW, &[a, b, c, d]) => {
                let high = core::mem::take(&mut self.registers.lock().dma_high);
                let low = u32::from_be_bytes([a, b, c, d]);
                self.carry_out(u64::from(high) << 32 | u64::from(low));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backing;
    use crate::devices::tests::vcpu;

    const RAM: u64 = 64 << 10;

    fn fw_cfg(items: Items) -> FwCfg {
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, RAM)]).unwrap();
        FwCfg::new(items, Arc::new(memory))
    }

    fn read(device: &FwCfg, item: u16, count: usize) -> Vec<u8> {
        device.write(SELECTOR, &item.to_le_bytes(), &vcpu());
        let byte = |_| {
            let mut byte = [0x55];
            device.read(DATA, &mut byte);
            byte[0]
        };
        (0..count).map(byte).collect()
    }

    /// A request at 0x100; returns what its control field says afterwards.
    fn dma(device: &FwCfg, control: u32, length: u32, address: u64) -> u32 {
        let request = fw_cfg_dma_access {
            control: control.to_be(),
            length: length.to_be(),
            address: address.to_be(),
        };
        device.memory.write_value(0x100, &request).unwrap();
        device.write(DMA, &[0; 4], &vcpu());
        device.write(DMA_LOW, &0x100u32.to_be_bytes(), &vcpu());
        u32::from_be(device.memory.read_value(0x100).unwrap())
    }

    fn ram(device: &FwCfg, gpa: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        device.memory.read(gpa, &mut bytes).unwrap();
        bytes
    }

    /// The number that a DMA request selects an item with.
    fn selecting(item: u16) -> u32 {
        u32::from(item) << 16 | FW_CFG_DMA_CTL_SELECT
    }

    #[test]
    fn the_machine_is_described_as_test_kernels_ask() {
        let device = fw_cfg(Items::new(4, 256 << 20));
        assert_eq!(read(&device, 0, 5), b"QEMU\0");
        assert_eq!(read(&device, 1, 4), [3, 0, 0, 0], "there is DMA");
        assert_eq!(read(&device, 3, 8), (256u64 << 20).to_le_bytes());
        assert_eq!([read(&device, 5, 2), read(&device, 15, 2)], [[4, 0], [4, 0]]);
        assert_eq!(read(&device, 0x1234, 3), [0; 3], "no such item");
        let mut data = [0; 4];
        device.read(DMA, &mut data);
        assert_eq!(&data, b"QEMU");
        device.read(DMA_LOW, &mut data);
        assert_eq!(&data, b" CFG");
        device.read(SELECTOR, &mut data[..2]);
        assert_eq!(data[0], 0xff, "the selector can't be read");
        device.write(DATA, &[1], &vcpu());
        assert_eq!(read(&device, 0, 4), b"QEMU", "nothing can be written");
    }

    #[test]
    fn the_directory_lists_what_has_a_name() {
        let mut items = Items::new(1, RAM);
        items.add_file(b"opt/one".to_vec(), Part::Bytes(b"first".to_vec()));
        items.add_file(vec![b'x'; 55], Part::Bytes(vec![7; 300]));
        let device = fw_cfg(items);
        let directory = read(&device, FW_CFG_FILE_DIR, 4 + 2 * 64);
        assert_eq!(directory[..12], [0, 0, 0, 2, 0, 0, 0, 5, 0, 0x20, 0, 0]);
        assert_eq!(directory[12..20], *b"opt/one\0");
        assert_eq!(directory[68..76], [0, 0, 1, 44, 0, 0x21, 0, 0]);
        assert_eq!((directory[130], directory[131]), (b'x', 0));
        assert_eq!(read(&device, 0x20, 6), b"first\0");
    }

    #[test]
    fn dma_selects_skips_and_copies() {
        let mut items = Items::new(1, RAM);
        let parts = [&b"abc"[..], b"", b"defg"].map(|bytes| Part::Bytes(bytes.to_vec()));
        items.add_parts(FW_CFG_INITRD_DATA, parts.into());
        let device = fw_cfg(items);
        device.memory.write(0x1000, &[0x55; 16]).unwrap();
        let item = selecting(FW_CFG_INITRD_DATA);
        assert_eq!(dma(&device, item | FW_CFG_DMA_CTL_SKIP, 1, 0), 0);
        assert_eq!(dma(&device, FW_CFG_DMA_CTL_READ, 4, 0x1000), 0);
        assert_eq!(ram(&device, 0x1000, 5), b"bcdeU");
        assert_eq!(dma(&device, FW_CFG_DMA_CTL_READ, 4, 0x1000), 0);
        assert_eq!(ram(&device, 0x1000, 5), b"fg\0\0U", "behind the end there are zeros");
        assert_eq!(dma(&device, item | FW_CFG_DMA_CTL_READ, 2, 0x1000), 0);
        assert_eq!(ram(&device, 0x1000, 2), b"ab");
        let mut byte = [0];
        device.read(DATA, &mut byte);
        assert_eq!(byte, *b"c", "the port goes on behind it");
    }

    #[test]
    fn a_request_that_can_t_be_met_says_so() {
        let device = fw_cfg(Items::new(1, RAM));
        for (control, len, address, result) in [
            (selecting(0) | FW_CFG_DMA_CTL_READ, 4, RAM - 4, 0),
            (selecting(0) | FW_CFG_DMA_CTL_READ, 5, RAM - 4, 1),
            (selecting(0) | FW_CFG_DMA_CTL_READ, u32::MAX, 0x1000, 1),
            (selecting(0) | FW_CFG_DMA_CTL_READ, u32::MAX, u64::MAX - 5, 1),
            (selecting(0) | FW_CFG_DMA_CTL_WRITE, 4, 0x1000, 1),
            (FW_CFG_DMA_CTL_SKIP, u32::MAX, 0, 0),
            (0, 0, 0, 0),
        ] {
            assert_eq!(dma(&device, control, len, address), result, "{control:#x} {address:#x}");
        }
        // A request that is no RAM has no place for an answer.
        device.write(DMA, &u32::MAX.to_be_bytes(), &vcpu());
        device.write(DMA_LOW, &u32::MAX.to_be_bytes(), &vcpu());
        device.reset();
        assert_eq!(device.take(1), (0, 0));
    }

    #[cfg(not(miri))]
    #[test]
    fn a_file_s_bytes_are_read_when_they_are_asked_for() {
        let file = Arc::new(Fd::open(c"/proc/self/exe", libc::O_RDONLY, 0).unwrap());
        let mut items = Items::new(1, RAM);
        items.add_file(b"opt/elf".to_vec(), Part::File { file, from: 1, size: 9000 });
        let device = fw_cfg(items);
        assert_eq!(read(&device, 0x20, 3), b"ELF");
        assert_eq!(dma(&device, selecting(0x20) | FW_CFG_DMA_CTL_READ, 9001, 0x1000), 0);
        assert_eq!(ram(&device, 0x1000, 3), b"ELF");
        let expected = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(ram(&device, 0x1000, 9000), expected[1..9001]);
    }
}
