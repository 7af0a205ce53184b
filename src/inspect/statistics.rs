//! `--stats`: the program's own count of exits, KVM's statistics, and in which pages KVM maps the guest.

use crate::config::Backing;
use crate::devices::counter::Counter;
use crate::devices::log::Log;
use crate::host::fd::Fd;
use crate::host::procfs;
use crate::inspect::observer::{ExitObserver, ObservedExit};
use crate::inspect::trace::reason_name;
use crate::kvm::{Vcpu, Vm};
use crate::layout::PAGE_SIZE;
use crate::memory::GuestMemory;
use crate::show::{Bytes, Text, number};
use crate::sys::exit::REASONS;
use crate::sys::stats::*;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often each exit reason came; the last count is for reasons that Linux 6.12 does not have.
pub struct ExitCounts([AtomicU64; REASONS.len() + 1]);

impl Default for ExitCounts {
    fn default() -> ExitCounts {
        ExitCounts([const { AtomicU64::new(0) }; REASONS.len() + 1])
    }
}

/// Counts a vCPU's exits.
pub struct ExitCounter(pub Arc<ExitCounts>);

impl ExitObserver for ExitCounter {
    fn exit(&mut self, exit: &mut ObservedExit) {
        let reason = exit.vcpu.page().exit_reason() as usize;
        self.0.0[reason.min(REASONS.len())].fetch_add(1, Relaxed);
    }
}

/// What has been counted so far, and what KVM said at the beginning.
pub struct Statistics {
    counts: Arc<ExitCounts>,
    /// The VM's and each vCPU's; none where the kernel has no such thing.
    sources: Vec<Source>,
    /// The VM's descriptor, by which debugfs names it.
    descriptor: u64,
    memory: Arc<GuestMemory>,
    counter: Arc<Counter>,
    log: Arc<Log>,
    has_dirty_log: bool,
}

/// How KVM maps guest memory: pages of 4 KiB, 2 MiB and 1 GiB.
type Pages = [u64; 3];
const PAGES: [&str; 3] = ["pages_4k", "pages_2m", "pages_1g"];

/// What is shown of debugfs, beside those.
const DEBUGFS: [&str; 7] =
    ["exits", "io_exits", "mmio_exits", "halt_exits", "signal_exits", "pf_taken", "insn_emulation"];

impl Statistics {
    /// Begins to count.
    pub fn new(
        vm: &Vm,
        vcpus: &[Vcpu],
        memory: Arc<GuestMemory>,
        counter: Arc<Counter>,
        log: Arc<Log>,
        has_dirty_log: bool,
    ) -> Statistics {
        let fds = core::iter::once(vm.stats()).chain(vcpus.iter().map(Vcpu::stats));
        // A kernel without such descriptors has them for neither.
        let sources = fds.filter_map(Result::ok).filter_map(Source::new).collect();
        let (counts, descriptor) = (Arc::default(), vm.descriptor() as u64);
        Statistics { counts, sources, descriptor, memory, counter, log, has_dirty_log }
    }

    /// An observer for one vCPU.
    pub fn counter(&self) -> ExitCounter {
        ExitCounter(self.counts.clone())
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("statistics\n  exits, as the program counted them:")?;
        for (reason, count) in (0..).zip(&self.counts.0) {
            match count.load(Relaxed) {
                0 => {}
                count => write!(f, "\n    {} {count}", reason_name(reason))?,
            }
        }
        let mut pages = Pages::default();
        for source in &self.sources {
            source.show(f, &mut pages)?;
        }
        if self.sources.is_empty() && !show_debugfs(f, self.descriptor, &mut pages)? {
            f.write_str(
                "\n  KVM's own: missing. They need KVM_GET_STATS_FD (Linux 5.14), or, to be read, \
                 /sys/kernel/debug/kvm",
            )?;
        } else {
            self.show_verdict(f, pages)?;
        }
        let (events, ring) = (self.counter.counted_by_event(), self.log.coalesced());
        if events + ring > 0 {
            write!(
                f,
                "\n  exits saved: {events} by ioeventfd, {ring} by the ring of coalesced writes"
            )?;
        }
        Ok(())
    }
}

impl Statistics {
    /// One line: what RAM is made of, how KVM maps it, and why not otherwise.
    fn show_verdict(&self, f: &mut fmt::Formatter, [small, large, giant]: Pages) -> fmt::Result {
        let (ram, size) = (self.memory.ram(), self.memory.size());
        write!(f, "\n  {} of RAM", Bytes(size))?;
        if let Some(page) = ram.page_size {
            write!(f, " in {} pages of {}", size / page, Bytes(page))?;
        }
        f.write_str(match (ram.backing, ram.page_size) {
            (Backing::Anonymous, _) => ", anonymous",
            (Backing::Transparent, _) => ", anonymous, with transparent huge pages",
            (Backing::Memfd, _) => " of a memfd",
            (Backing::File(_), Some(_)) => " on hugetlbfs",
            (Backing::File(_), None) => " of a device",
        })?;
        f.write_str("; KVM maps ")?;
        if giant != 0 {
            write!(f, "{giant} of 1 GiB, ")?;
        }
        write!(f, "{large} of 2 MiB and {small} of 4 KiB")?;
        let mut regions = self.memory.regions().iter();
        let differs = |gpa: u64, hva: u64| (gpa ^ hva) & 0x1f_ffff != 0;
        let is_odd = regions.any(|region| differs(region.gpa, self.memory.host_address(region)));
        f.write_str(if small + large + giant == 0 {
            ": a software backend maps none, or the guest has touched nothing"
        } else if small == 0 {
            ""
        } else if ram.backing == Backing::Anonymous {
            ": the backing has 4 KiB pages"
        } else if is_odd {
            ": the slot is not congruent, GPA and HVA differ in their low 21 bits; --base 0 would do"
        } else if self.has_dirty_log {
            ": the dirty log is on, which splits them"
        } else if ram.backing == Backing::Transparent {
            ": the host had no huge page for the rest, or /sys/kernel/mm/transparent_hugepage/enabled is never"
        } else if ram.page_size.is_none() {
            ": the device decides how its memory is mapped"
        } else if ram.page_size == Some(PAGE_SIZE) {
            ": the backing has 4 KiB pages"
        } else {
            ""
        })
    }
}

/// A statistics descriptor of KVM's, and its values at the beginning.
struct Source {
    fd: Fd,
    header: kvm_stats_header,
    descriptors: Vec<Descriptor>,
    first: Vec<u64>,
}

/// A `kvm_stats_desc` and its name.
struct Descriptor {
    flags: u32,
    exponent: i16,
    /// Which of the values are its.
    from: usize,
    count: usize,
    name: Vec<u8>,
}

impl Source {
    /// `None` where the kernel says something that makes no sense.
    fn new(fd: Fd) -> Option<Source> {
        let mut words = [0; size_of::<kvm_stats_header>()];
        read_all(&fd, 0, &mut words)?;
        let word = |offset: usize| number(&words[offset..offset + 4]) as u32;
        let header = kvm_stats_header {
            flags: word(offset_of!(kvm_stats_header, flags)),
            name_size: word(offset_of!(kvm_stats_header, name_size)),
            num_desc: word(offset_of!(kvm_stats_header, num_desc)),
            id_offset: word(offset_of!(kvm_stats_header, id_offset)),
            desc_offset: word(offset_of!(kvm_stats_header, desc_offset)),
            data_offset: word(offset_of!(kvm_stats_header, data_offset)),
        };
        let size = size_of::<kvm_stats_desc>() + header.name_size as usize;
        let mut bytes = vec![0; size * header.num_desc as usize];
        read_all(&fd, header.desc_offset.into(), &mut bytes)?;
        let descriptors: Vec<_> = bytes.chunks_exact(size).map(Descriptor::new).collect();
        let mut source = Source { fd, header, descriptors, first: Vec::new() };
        source.first = source.values()?;
        Some(source)
    }

    /// All values, now.
    fn values(&self) -> Option<Vec<u64>> {
        let last = self.descriptors.iter().map(|descriptor| descriptor.from + descriptor.count);
        let mut bytes = vec![0; 8 * last.max()?];
        read_all(&self.fd, self.header.data_offset.into(), &mut bytes)?;
        Some(bytes.chunks_exact(8).map(number).collect())
    }

    /// Shows what is not 0: of counts, what was added since the beginning; of the others, what they are now.
    fn show(&self, f: &mut fmt::Formatter, pages: &mut Pages) -> fmt::Result {
        let mut id = vec![0; self.header.name_size as usize];
        let id = match read_all(&self.fd, self.header.id_offset.into(), &mut id) {
            Some(()) => until_zero(&id),
            None => b"?",
        };
        write!(f, "\n  KVM's, {}:", Text(id))?;
        let Some(now) = self.values() else { return Ok(()) };
        for descriptor in &self.descriptors {
            for index in 0..descriptor.count {
                let place = descriptor.from + index;
                let value = now[place];
                let known = PAGES.iter().position(|name| name.as_bytes() == descriptor.name);
                if let Some(page) = known {
                    pages[page] = value;
                }
                let before = if descriptor.is_count() { self.first[place] } else { 0 };
                if value != before {
                    descriptor.show(f, index, value.wrapping_sub(before))?;
                }
            }
        }
        Ok(())
    }
}

/// `None` where the file does not have all the bytes.
fn read_all(fd: &Fd, offset: u64, bytes: &mut [u8]) -> Option<()> {
    (fd.read_at(offset, bytes).ok()? == bytes.len()).then_some(())
}

impl Descriptor {
    fn new(bytes: &[u8]) -> Descriptor {
        let field = |offset: usize, size: usize| number(&bytes[offset..offset + size]);
        Descriptor {
            flags: field(offset_of!(kvm_stats_desc, flags), 4) as u32,
            exponent: field(offset_of!(kvm_stats_desc, exponent), 2) as u16 as i16,
            from: field(offset_of!(kvm_stats_desc, offset), 4) as usize / 8,
            count: field(offset_of!(kvm_stats_desc, size), 2) as usize,
            name: until_zero(&bytes[offset_of!(kvm_stats_desc, name)..]).to_vec(),
        }
    }

    /// Whether it counts since the VM's beginning, and is not a value of now or the largest there was.
    fn is_count(&self) -> bool {
        !matches!(self.flags & KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_INSTANT | KVM_STATS_TYPE_PEAK)
    }

    fn show(&self, f: &mut fmt::Formatter, index: usize, value: u64) -> fmt::Result {
        write!(f, "\n    {}", Text(&self.name))?;
        if self.count > 1 {
            write!(f, "[{index}]")?;
        }
        write!(f, " {value}")?;
        if self.exponent != 0 {
            let is_binary = self.flags & KVM_STATS_BASE_MASK == KVM_STATS_BASE_POW2;
            write!(f, " * {}^{}", if is_binary { 2 } else { 10 }, self.exponent)?;
        }
        f.write_str(match self.flags >> KVM_STATS_UNIT_SHIFT & 15 {
            1 => " bytes",
            2 => " s",
            3 => " cycles",
            _ => "",
        })
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The figures of kernels without `KVM_GET_STATS_FD`. They begin at 0 with the VM. `false`: none can be read.
fn show_debugfs(
    f: &mut fmt::Formatter,
    descriptor: u64,
    pages: &mut Pages,
) -> Result<bool, fmt::Error> {
    let process = procfs::process_id();
    let read = |name: &str| {
        procfs::number(&format!("/sys/kernel/debug/kvm/{process}-{descriptor}/{name}"))
    };
    f.write_str("\n  KVM's, from debugfs:")?;
    let mut any = false;
    for (name, page) in PAGES
        .iter()
        .zip(pages)
        .map(|(name, page)| (*name, Some(page)))
        .chain(DEBUGFS.iter().map(|name| (*name, None)))
    {
        let Some(value) = read(name) else { continue };
        any = true;
        if let Some(page) = page {
            *page = value;
        }
        if value > 0 {
            write!(f, "\n    {name} {value}")?;
        }
    }
    Ok(any)
}
