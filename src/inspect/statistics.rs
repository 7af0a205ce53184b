//! `--stats` and SIGUSR1: the program's own count of exits, KVM's statistics, and in which pages KVM maps the guest.

use crate::config::Backing;
use crate::devices::counter::Counter;
use crate::devices::log::Log;
use crate::host::clock;
use crate::host::fd::Fd;
use crate::host::procfs;
use crate::inspect::json::{JsonNumber, JsonText};
use crate::inspect::observer::{ExitObserver, ObservedExit};
use crate::inspect::trace::reason_name;
use crate::kvm::backend::Backend;
use crate::kvm::{Vcpu, Vm};
use crate::layout::PAGE_SIZE;
use crate::memory::GuestMemory;
use crate::show::{Bytes, Text, number};
use crate::sys::exit::REASONS;
use crate::sys::stats::*;
use alloc::format;
use alloc::string::String;
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

impl ExitCounts {
    /// The reasons that came, and how often.
    fn counted(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.0.iter().map(|count| count.load(Relaxed));
        (0..).map(reason_name).zip(counts).filter(|(_, count)| *count > 0)
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

/// All that statistics are made of.
pub struct Statistics {
    /// When the count began.
    started: u64,
    /// `None` without `--stats`: then each exit is spared the counting.
    counts: Option<Arc<ExitCounts>>,
    /// The VM's and each vCPU's; none without `--stats`, and where the kernel has no such thing.
    sources: Vec<Source>,
    vm: Arc<Vm>,
    memory: Arc<GuestMemory>,
    counter: Arc<Counter>,
    log: Arc<Log>,
    has_dirty_log: bool,
    /// Show one line of JSON.
    as_json: bool,
}

impl Statistics {
    /// Statistics that count nothing: what SIGUSR1 shows without `--stats`.
    pub fn new(
        vm: Arc<Vm>,
        memory: Arc<GuestMemory>,
        counter: Arc<Counter>,
        log: Arc<Log>,
        has_dirty_log: bool,
        as_json: bool,
    ) -> Statistics {
        let (started, counts, sources) = (clock::monotonic(), None, Vec::new());
        Statistics { started, counts, sources, vm, memory, counter, log, has_dirty_log, as_json }
    }

    /// Begins to count.
    pub fn start(&mut self, vcpus: &[Vcpu]) {
        let fds = core::iter::once(self.vm.stats()).chain(vcpus.iter().map(Vcpu::stats));
        // All or none: without one of them, debugfs has their sum.
        let sources: Option<Vec<Source>> =
            fds.map(|fd| fd.ok().and_then(Source::counting_from_now)).collect();
        self.sources = sources.unwrap_or_default();
        self.counts = Some(Arc::default());
        self.started = clock::monotonic();
    }

    /// Whether exits are counted.
    pub fn is_counting(&self) -> bool {
        self.counts.is_some()
    }

    /// An observer for one vCPU, where exits are counted.
    pub fn counter(&self) -> Option<ExitCounter> {
        self.counts.clone().map(ExitCounter)
    }

    /// What KVM says now.
    fn kvm(&self) -> KvmFigures {
        if !self.sources.is_empty() {
            return KvmFigures::of_descriptors(&self.sources);
        }
        // Without `--stats` nothing was opened before. A vCPU's statistics can't be had while it runs, but the VM's can.
        if !self.is_counting()
            && let Some(source) = self.vm.stats().ok().and_then(Source::new)
        {
            return KvmFigures::of_descriptors(&[source]);
        }
        let (process, descriptor) = (procfs::process_id(), self.vm.descriptor());
        KvmFigures::of_debugfs(&format!("{DEBUGFS}/{process}-{descriptor}"))
    }

    /// Text for people, or a line of JSON, which README.md describes.
    pub fn show(&self) -> String {
        let nanoseconds = clock::monotonic() - self.started;
        match self.as_json {
            true => format!("{}", Json { statistics: self, kvm: &self.kvm(), nanoseconds }),
            false => format!("{}", Report { statistics: self, kvm: &self.kvm(), nanoseconds }),
        }
    }

    /// Whether [`Statistics::show`] gives JSON.
    pub fn is_json(&self) -> bool {
        self.as_json
    }
}

// ---- how they are shown

struct Report<'a> {
    statistics: &'a Statistics,
    kvm: &'a KvmFigures,
    nanoseconds: u64,
}

/// A name and a number, in two columns.
struct Line<'a>(&'a str, u64);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "\n    {:<32} {:>12}", self.0, self.1)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Report { statistics, kvm, nanoseconds } = self;
        let milliseconds = nanoseconds / 1_000_000;
        write!(f, "statistics after {}.{:03} s", milliseconds / 1000, milliseconds % 1000)?;
        match &statistics.counts {
            None => f.write_str("\n  exits to the program: only --stats counts them")?,
            Some(counts) => {
                let total: u64 = counts.counted().map(|(_, count)| count).sum();
                let rate = total.saturating_mul(1_000_000) / (nanoseconds / 1000).max(1);
                write!(f, "\n  exits to the program: {total}, {rate} per second")?;
                counts.counted().try_for_each(|(name, count)| Line(name, count).fmt(f))?;
            }
        }
        for (id, figures) in &kvm.sources {
            write!(f, "\n  KVM's, {}:", Text(id))?;
            let Some(figures) = figures else {
                f.write_str(" missing, for they can't be read")?;
                continue;
            };
            for figure in figures.iter().filter(|figure| figure.value != 0) {
                Line(&figure.name, figure.value).fmt(f)?;
                f.write_str(&figure.unit)?;
            }
        }
        if kvm.sources.is_empty() {
            f.write_str(
                "\n  KVM's: missing\n  \
                 They need KVM_GET_STATS_FD (Linux 5.14), or debugfs: \
                 as root, mount -t debugfs none /sys/kernel/debug",
            )?;
        }
        write!(f, "\n  {}", Mapped { statistics, kvm })?;
        let (events, ring) = (statistics.counter.counted_by_event(), statistics.log.coalesced());
        if events + ring > 0 {
            write!(
                f,
                "\n  exits saved: {events} by ioeventfd, {ring} by the ring of coalesced writes"
            )?;
        }
        Ok(())
    }
}

/// One line: what RAM is made of, how KVM maps it, and why not otherwise.
struct Mapped<'a> {
    statistics: &'a Statistics,
    kvm: &'a KvmFigures,
}

impl fmt::Display for Mapped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let memory = &self.statistics.memory;
        let (ram, size) = (memory.ram(), memory.size());
        write!(f, "{} of RAM", Bytes(size))?;
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
        match (self.kvm.pages, self.kvm.large) {
            ([Some(small), Some(large), giant], _) => {
                f.write_str("; KVM maps ")?;
                match giant {
                    None | Some(0) => {}
                    Some(giant) => write!(f, "{giant} of 1 GiB, ")?,
                }
                write!(f, "{large} of 2 MiB and {small} of 4 KiB")?;
                f.write_str(self.reason(small, large + giant.unwrap_or(0)))
            }
            (_, Some(large)) => write!(
                f,
                "; KVM maps {large} large pages; before Linux 5.13 it does not count the small ones"
            ),
            _ => f.write_str("; KVM does not say in which pages it maps them"),
        }
    }
}

impl Mapped<'_> {
    /// Why KVM does not map all by large pages; empty where it does, or where the reason is not known.
    fn reason(&self, small: u64, large: u64) -> &'static str {
        let Statistics { memory, has_dirty_log, .. } = self.statistics;
        let ram = memory.ram();
        let mut regions = memory.regions().iter();
        let differs = |gpa: u64, hva: u64| (gpa ^ hva) & 0x1f_ffff != 0;
        let is_odd = regions.any(|region| differs(region.gpa, memory.host_address(region)));
        if small + large == 0 {
            match Backend::of_this_host() {
                Backend::Software => ": this KVM is a software backend, which counts none",
                _ => ": the guest has touched nothing",
            }
        } else if small == 0 {
            ""
        } else if ram.backing == Backing::Anonymous || ram.page_size == Some(PAGE_SIZE) {
            ": the backing has 4 KiB pages"
        } else if is_odd {
            ": GPA and HVA differ in their low 21 bits; use --base 0"
        } else if *has_dirty_log {
            ": the dirty log is on, which splits them"
        } else if memory.was_split() {
            ": the guest has used the page-drop device"
        } else if ram.backing == Backing::Transparent {
            ": the host had no huge page for the rest, or /sys/kernel/mm/transparent_hugepage/enabled is never"
        } else if ram.page_size.is_none() {
            ": the device decides how its memory is mapped"
        } else {
            ""
        }
    }
}

/// One JSON object on one line. What is not known is `null`, or not there.
struct Json<'a> {
    statistics: &'a Statistics,
    kvm: &'a KvmFigures,
    nanoseconds: u64,
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Json { statistics, kvm, nanoseconds } = self;
        write!(f, "{{\"run_time_ns\": {nanoseconds}, \"exits\": ")?;
        match &statistics.counts {
            None => f.write_str("null")?,
            Some(counts) => {
                let entry = |(name, count)| (JsonText(name), count);
                object(f, counts.counted().map(entry))?;
            }
        }
        f.write_str(", \"kvm\": {")?;
        for (index, (id, figures)) in kvm.sources.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}: ", JsonText(Text(id)))?;
            match figures {
                Some(figures) => {
                    object(
                        f,
                        figures.iter().map(|figure| (JsonText(&*figure.name), figure.value)),
                    )?;
                }
                None => f.write_str("null")?,
            }
        }
        let ram = statistics.memory.ram();
        let [small, large, giant] = kvm.pages.map(JsonNumber);
        write!(
            f,
            "}}, \"ram\": {{\"bytes\": {}, \"page_bytes\": {}}}, \
             \"mapped\": {{\"4k\": {small}, \"2m\": {large}, \"1g\": {giant}, \"large\": {}}}, \
             \"verdict\": {}, \"exits_saved\": {{\"ioeventfd\": {}, \"coalesced\": {}}}}}",
            statistics.memory.size(),
            JsonNumber(ram.page_size),
            JsonNumber(kvm.large),
            JsonText(Mapped { statistics, kvm }),
            statistics.counter.counted_by_event(),
            statistics.log.coalesced()
        )
    }
}

fn object(
    f: &mut fmt::Formatter,
    entries: impl Iterator<Item = (impl fmt::Display, u64)>,
) -> fmt::Result {
    f.write_str("{")?;
    for (index, (name, value)) in entries.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{name}: {value}")?;
    }
    f.write_str("}")
}

// ---- where KVM's come from

/// KVM's statistics at one moment. A statistic that the kernel does not have is not here.
struct KvmFigures {
    /// Each source's name, and what it says.
    sources: Vec<(Vec<u8>, Option<Vec<Figure>>)>,
    /// How KVM maps guest memory: in how many pages of 4 KiB, 2 MiB and 1 GiB. Linux 5.13.
    pages: [Option<u64>; 3],
    /// Before that, in how many that are larger than 4 KiB.
    large: Option<u64>,
}

struct Figure {
    name: String,
    value: u64,
    unit: String,
}

const PAGES: [&str; 3] = ["pages_4k", "pages_2m", "pages_1g"];
const LARGE_PAGES: &str = "largepages";

/// Where kernels without statistics descriptors have a directory for each VM.
const DEBUGFS: &str = "/sys/kernel/debug/kvm";
/// What is shown of it, beside pages.
const DEBUGFS_FIGURES: [&str; 7] =
    ["exits", "io_exits", "mmio_exits", "halt_exits", "signal_exits", "pf_taken", "insn_emulation"];

impl KvmFigures {
    fn new(sources: Vec<(Vec<u8>, Option<Vec<Figure>>)>) -> KvmFigures {
        let find = |wanted: &str| {
            let mut figures = sources.iter().flat_map(|(_, figures)| figures).flatten();
            figures.find(|figure| figure.name == wanted).map(|figure| figure.value)
        };
        let (pages, large) = (PAGES.map(find), find(LARGE_PAGES));
        KvmFigures { sources, pages, large }
    }

    fn of_descriptors(sources: &[Source]) -> KvmFigures {
        let figures = |source: &Source| (source.id.clone(), source.figures());
        KvmFigures::new(sources.iter().map(figures).collect())
    }

    /// From a VM's directory. What is counted there begins at 0 with the VM.
    fn of_debugfs(directory: &str) -> KvmFigures {
        let names = PAGES.into_iter().chain([LARGE_PAGES]).chain(DEBUGFS_FIGURES);
        let figures: Vec<Figure> = names
            .filter_map(|name| {
                let value = procfs::number(&format!("{directory}/{name}"))?;
                Some(Figure { name: name.into(), value, unit: String::new() })
            })
            .collect();
        let is_there = !figures.is_empty();
        KvmFigures::new(
            is_there.then(|| (b"from debugfs".to_vec(), Some(figures))).into_iter().collect(),
        )
    }
}

/// A statistics descriptor of KVM's, and its values at the beginning.
struct Source {
    fd: Fd,
    id: Vec<u8>,
    data_offset: u64,
    descriptors: Vec<Descriptor>,
    /// The values when counting began; none where it began with the VM.
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
    /// Likewise; what was counted before does not count.
    fn counting_from_now(fd: Fd) -> Option<Source> {
        let mut source = Source::new(fd)?;
        source.first = source.values()?;
        Some(source)
    }

    /// `None` where the kernel says something that makes no sense.
    fn new(fd: Fd) -> Option<Source> {
        let mut words = [0; size_of::<kvm_stats_header>()];
        read_all(&fd, 0, &mut words)?;
        let word = |offset: usize| number(&words[offset..offset + 4]);
        let name_size = word(offset_of!(kvm_stats_header, name_size)) as usize;
        let count = word(offset_of!(kvm_stats_header, num_desc)) as usize;
        let mut id = vec![0; name_size];
        read_all(&fd, word(offset_of!(kvm_stats_header, id_offset)), &mut id)?;
        let size = size_of::<kvm_stats_desc>() + name_size;
        let mut bytes = vec![0; size * count];
        read_all(&fd, word(offset_of!(kvm_stats_header, desc_offset)), &mut bytes)?;
        Some(Source {
            fd,
            id: until_zero(&id).to_vec(),
            data_offset: word(offset_of!(kvm_stats_header, data_offset)),
            descriptors: bytes.chunks_exact(size).map(Descriptor::new).collect(),
            first: Vec::new(),
        })
    }

    /// All values, now.
    fn values(&self) -> Option<Vec<u64>> {
        let last = self.descriptors.iter().map(|descriptor| descriptor.from + descriptor.count);
        let mut bytes = vec![0; 8 * last.max()?];
        read_all(&self.fd, self.data_offset, &mut bytes)?;
        Some(bytes.chunks_exact(8).map(number).collect())
    }

    /// Of counts, what was added since the beginning; of the others, what they are now.
    fn figures(&self) -> Option<Vec<Figure>> {
        let now = self.values()?;
        let mut figures = Vec::new();
        for descriptor in &self.descriptors {
            for index in 0..descriptor.count {
                let place = descriptor.from + index;
                let first = self.first.get(place).copied();
                let before = first.filter(|_| descriptor.is_count()).unwrap_or(0);
                figures.push(Figure {
                    name: descriptor.name(index),
                    value: now[place].wrapping_sub(before),
                    unit: descriptor.unit(),
                });
            }
        }
        Some(figures)
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

    /// The name of one of its values.
    fn name(&self, index: usize) -> String {
        match self.count {
            1 => format!("{}", Text(&self.name)),
            _ => format!("{}[{index}]", Text(&self.name)),
        }
    }

    /// What its values are multiplied by, and what they measure.
    fn unit(&self) -> String {
        let base = if self.flags & KVM_STATS_BASE_MASK == KVM_STATS_BASE_POW2 { 2 } else { 10 };
        let unit = match self.flags >> KVM_STATS_UNIT_SHIFT & 15 {
            1 => " bytes",
            2 => " s",
            3 => " cycles",
            _ => "",
        };
        match self.exponent {
            0 => unit.into(),
            exponent => format!(" * {base}^{exponent}{unit}"),
        }
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A VM's directory in debugfs, with these files.
    fn directory(name: &str, files: &[(&str, &str)]) -> String {
        let path = std::env::temp_dir().join(format!("kob-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            std::fs::write(path.join(name), text).unwrap();
        }
        path.to_str().unwrap().into()
    }

    #[test]
    fn what_an_old_kernel_does_not_count_is_missing_and_not_0() {
        let path = directory("5.10", &[("largepages", "8\n"), ("exits", "70\n")]);
        let figures = KvmFigures::of_debugfs(&path);
        assert_eq!((figures.pages, figures.large), ([None; 3], Some(8)));
        let [(_, Some(figures))] = &figures.sources[..] else { panic!() };
        let names: Vec<_> = figures.iter().map(|figure| (&*figure.name, figure.value)).collect();
        assert_eq!(names, [("largepages", 8), ("exits", 70)]);
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn pages_are_known_where_the_kernel_counts_them() {
        let files = [("pages_4k", "3\n"), ("pages_2m", "8\n"), ("pages_1g", "0\n")];
        let path = directory("5.13", &files);
        let figures = KvmFigures::of_debugfs(&path);
        assert_eq!((figures.pages, figures.large), ([Some(3), Some(8), Some(0)], None));
        std::fs::remove_dir_all(path).unwrap();
        assert!(KvmFigures::of_debugfs("/nowhere").sources.is_empty());
    }
}
