//! `--stats`: the program's own count of exits, KVM's statistics, and which pages back the guest.

use crate::cli::Options;
use crate::error::Error;
use crate::fd::{Buffer, Fd};
use crate::layout::PAGE_SIZE;
use crate::look;
use crate::memory::{Backing, Memory};
use crate::sys::stats::*;
use crate::syscall;
use crate::text::Text;
use crate::thread::Row;
use crate::vm::Vm;
use crate::words;
use crate::words::Lines;
use crate::x86;
use crate::{lines, t};
use core::mem::offset_of;

/// What has been counted so far, and what KVM said at the beginning.
pub struct Stats {
    /// The VM's and each vCPU's; none, where the kernel has no such thing.
    sources: Row<Source>,
    /// Of the VM, as debugfs calls it.
    descriptor: u64,
    /// By number; the last is for all that Linux 6.1 does not have.
    exits: [u64; 39],
}

/// A statistics descriptor, and two times [`ROOM`]: its values at the beginning, and now.
struct Source {
    fd: Fd,
    values: Buffer,
}

/// For all values of Linux 6.12 twice over; what is beyond is not shown.
const ROOM: usize = 4096;

/// `pages_4k`, `pages_2m`, `pages_1g`: how KVM maps guest memory.
const PAGES: &str = "pages_4k pages_2m pages_1g";
/// What is worth telling of debugfs, beside those.
const DEBUGFS: &str = "pages_4k pages_2m pages_1g exits io_exits mmio_exits halt_exits signal_exits \
    pf_taken insn_emulation";

impl Stats {
    /// Begins to count, in a machine of so many vCPUs.
    #[inline(never)]
    pub fn begin(vm: &Vm, cpus: u32) -> Result<Stats, Error> {
        let sources = Row::new(cpus as usize + 1)?;
        let descriptor = vm.descriptor() as u64;
        let mut stats = Stats { sources, descriptor, exits: [0; 39] };
        stats.watch(vm.stats())?;
        Ok(stats)
    }

    /// Watches the statistics behind a descriptor, if there are such.
    #[inline(never)]
    pub fn watch(&mut self, fd: Result<Fd, Error>) -> Result<(), Error> {
        if let Ok(fd) = fd {
            let mut source = Source { fd, values: Buffer::new(2 * ROOM)? };
            source.read_values(0);
            self.sources.push(source);
        }
        Ok(())
    }

    /// Counts an exit.
    pub fn count(&mut self, reason: u32) {
        if let Some(count) = self.exits.get_mut((reason as usize).min(38)) {
            *count += 1;
        }
    }

    /// Shows it all. `dirty` says that the dirty log is on.
    #[inline(never)]
    pub fn show(&mut self, text: &mut Text, options: &Options, memory: &Memory, dirty: bool) {
        text.plain(t!("statistics\n  exits, as the program counted them:"));
        for (reason, &count) in (0..).zip(&self.exits) {
            if count != 0 {
                text.say(t!("\n    KVM_EXIT_%s %d"), &[super::name(reason)], &[count]);
            }
        }
        let mut pages = [0; 3];
        let descriptor = self.descriptor;
        for source in self.sources.iter_mut() {
            source.show(text, &mut pages);
        }
        if self.sources.is_empty() && !debugfs(descriptor, text, &mut pages) {
            text.plain(t!(
                "\n  KVM's own: missing. They need KVM_GET_STATS_FD (Linux 5.14), or, to be \
                 read, /sys/kernel/debug/kvm"
            ));
            return;
        }
        verdict(text, options, memory, dirty, pages);
    }
}

impl Source {
    /// A field of the header.
    fn header(&self, offset: usize) -> u64 {
        let mut bytes = [0; 4];
        let _ = self.fd.read_from(offset as u64, &mut bytes);
        x86::number(&bytes)
    }

    fn read_values(&mut self, to: usize) {
        let place = self.header(offset_of!(kvm_stats_header, data_offset));
        let values = self.values.bytes_mut().get_mut(to..to + ROOM).unwrap_or_default();
        let _ = self.fd.read_from(place, values);
    }

    fn value(&self, place: usize) -> Option<u64> {
        self.values.bytes().get(place..place + 8).map(x86::number)
    }

    /// Shows what is not 0: the values that are now, and the differences of those that count.
    #[inline(never)]
    fn show(&mut self, text: &mut Text, pages: &mut [u64; 3]) {
        self.read_values(ROOM);
        // The kernel says how long names are. A longer one is cut.
        let mut bytes = [0; size_of::<kvm_stats_desc>() + 64];
        let id = bytes.get_mut(..64).unwrap_or_default();
        let _ = self.fd.read_from(self.header(offset_of!(kvm_stats_header, id_offset)), id);
        text.say(t!("\n  KVM's, %s:"), &[until_zero(id)], &[]);
        let name_size = self.header(offset_of!(kvm_stats_header, name_size));
        let first = self.header(offset_of!(kvm_stats_header, desc_offset));
        for index in 0..self.header(offset_of!(kvm_stats_header, num_desc)) {
            let place = first + index * (size_of::<kvm_stats_desc>() as u64 + name_size);
            let _ = self.fd.read_from(place, &mut bytes);
            let descriptor = Descriptor(&bytes);
            for index in 0..descriptor.count() {
                let place = descriptor.offset() + 8 * index;
                if place + 8 > ROOM {
                    break;
                }
                let now = self.value(ROOM + place).unwrap_or(0);
                if let Some(page) =
                    words::place(PAGES, descriptor.name()).and_then(|at| pages.get_mut(at))
                {
                    *page = now;
                }
                let before =
                    if descriptor.is_instant() { 0 } else { self.value(place).unwrap_or(0) };
                if now != before {
                    descriptor.show(text, index, now.wrapping_sub(before));
                }
            }
        }
    }
}

/// The bytes of a [`kvm_stats_desc`] and of its name.
struct Descriptor<'a>(&'a [u8]);

impl Descriptor<'_> {
    fn field(&self, offset: usize, size: usize) -> usize {
        x86::number(self.0.get(offset..offset + size).unwrap_or_default()) as usize
    }

    fn flags(&self) -> u32 {
        self.field(offset_of!(kvm_stats_desc, flags), 4) as u32
    }

    fn count(&self) -> usize {
        self.field(offset_of!(kvm_stats_desc, size), 2)
    }

    /// In bytes from the first value.
    fn offset(&self) -> usize {
        self.field(offset_of!(kvm_stats_desc, offset), 4)
    }

    fn name(&self) -> &[u8] {
        until_zero(self.0.get(offset_of!(kvm_stats_desc, name)..).unwrap_or_default())
    }

    fn is_instant(&self) -> bool {
        matches!(self.flags() & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_INSTANT | KVM_STATS_TYPE_PEAK)
    }

    #[inline(never)]
    fn show(&self, text: &mut Text, index: usize, value: u64) {
        text.say(t!("\n    %s"), &[self.name()], &[]);
        if self.count() > 1 {
            text.say(t!("[%d]"), &[], &[index as u64]);
        }
        text.say(t!(" %d"), &[], &[value]);
        let exponent = self.field(offset_of!(kvm_stats_desc, exponent), 2) as i16;
        if exponent != 0 {
            let base =
                if self.flags() & KVM_STATS_BASE_MASK == KVM_STATS_BASE_POW2 { 2 } else { 10 };
            let sign: &[u8] = if exponent < 0 { b"-" } else { b"" };
            text.say(t!(" * %d^%s%d"), &[sign], &[base, exponent.unsigned_abs().into()]);
        }
        // None, and boolean, need no word.
        let unit = self.flags() >> KVM_STATS_UNIT_SHIFT & 15;
        if let 1..=3 = unit {
            let unit = words::word("- bytes s cycles", unit as usize);
            text.say(t!(" %s"), &[unit], &[]);
        }
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The figures of kernels without `KVM_GET_STATS_FD`. They begin at 0 with the VM. `false`: none can be
/// read.
#[inline(never)]
fn debugfs(descriptor: u64, text: &mut Text, pages: &mut [u64; 3]) -> bool {
    // SAFETY: always succeeds.
    let process = unsafe { syscall!(libc::SYS_getpid) }.unwrap_or(0) as u64;
    text.plain(t!("\n  KVM's, from debugfs:"));
    let mut any = false;
    let mut index = 0;
    while let Some(name) = words::field(DEBUGFS.as_bytes(), b' ', index) {
        let value = look::number(&mut |path| {
            let template = t!("/sys/kernel/debug/kvm/%d-%d/%s");
            path.say(template, &[name], &[process, descriptor]);
        });
        any |= value.is_some();
        if let Some(page) = pages.get_mut(index) {
            *page = value.unwrap_or(0);
        }
        if let Some(value @ 1..) = value {
            text.say(t!("\n    %s %d"), &[name], &[value]);
        }
        index += 1;
    }
    any
}

/// Why a guest that should have 2 MiB pages has none.
const REASONS: Lines<0, 0> = lines!(
    "",
    ": the backing has 4 KiB pages",
    ": the slot is not congruent, GPA and HVA differ in their low 21 bits; --base 0 would do",
    ": the dirty log is on, which splits them",
    ": a software backend maps none, or the guest has touched nothing",
);

/// One line: what RAM is made of, how KVM maps it, and why not otherwise.
fn verdict(text: &mut Text, options: &Options, memory: &Memory, dirty: bool, pages: [u64; 3]) {
    let [small, large, giant] = pages;
    let (size, page) = (memory.size(), memory.page_size());
    text.say(t!("\n  %z of RAM"), &[], &[size]);
    if let Some(count) = size.checked_div(page) {
        text.say(t!(" in %d pages of %z"), &[], &[count, page]);
    }
    let place: &[u8] = match (options.backing, page) {
        (Backing::Anonymous, _) => b", anonymous",
        (_, 0) => b" of a device",
        _ => b" on hugetlbfs",
    };
    text.say(t!("%s; KVM maps "), &[place], &[]);
    if giant != 0 {
        text.say(t!("%d of 1 GiB, "), &[], &[giant]);
    }
    text.say(t!("%d of 2 MiB and %d of 4 KiB"), &[], &[large, small]);
    let congruent = (options.base ^ memory.host_address()) & 0x1f_ffff == 0;
    let reason = if small + large + giant == 0 {
        4
    } else if small == 0 {
        0
    } else if page == PAGE_SIZE {
        1
    } else if !congruent {
        2
    } else if dirty {
        3
    } else {
        0
    };
    text.plain(REASONS.get(reason));
}
