//! `--stats` and SIGUSR1: the program's own count of exits, KVM's statistics, and in which pages KVM maps the guest.

use crate::config::Backing;
use crate::devices::counter::Counter;
use crate::devices::log::Log;
use crate::host::clock;
use crate::host::mutex::Mutex;
use crate::host::process;
use crate::inspect::handling_times::HandlingTimes;
use crate::inspect::kvm_figures::{DEBUGFS, Figure, KvmFigures, Source};
use crate::inspect::observer::{ExitObserver, HandledExit, ObservedExit};
use crate::inspect::trace::reason_name;
use crate::json::{JsonNumber, JsonText};
use crate::kvm::backend::Backend;
use crate::kvm::{self, Vcpu, Vm};
use crate::layout::PAGE_SIZE;
use crate::memory::GuestMemory;
use crate::show::{Bytes, Text};
use crate::sys::exit::REASONS;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
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

/// Counts a vCPU's exits, and how long they take to handle.
pub struct ExitCounter(pub Arc<Counts>);

/// What all vCPUs' counters count.
#[derive(Default)]
pub struct Counts {
    exits: ExitCounts,
    times: HandlingTimes,
}

impl ExitObserver for ExitCounter {
    fn exit(&mut self, exit: &mut ObservedExit) {
        let reason = exit.vcpu.page().exit_reason() as usize;
        self.0.exits.0[reason.min(REASONS.len())].fetch_add(1, Relaxed);
    }

    fn handled(&mut self, exit: &HandledExit) {
        self.0.times.add(exit.reason, exit.ended - exit.began);
    }
}

/// All that statistics are made of.
pub struct Statistics {
    /// When the count began.
    started: u64,
    /// `None` without `--stats`: then exits are not counted.
    counts: Option<Arc<Counts>>,
    /// The VM's and each vCPU's; none without `--stats`, and where the kernel has no such thing.
    sources: Vec<Source>,
    /// Why there are none.
    failure: Mutex<Option<kvm::Error>>,
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
        let failure = Mutex::new(None);
        Statistics {
            started,
            counts,
            sources,
            failure,
            vm,
            memory,
            counter,
            log,
            has_dirty_log,
            as_json,
        }
    }

    /// Begins to count.
    pub fn start(&mut self, vcpus: &[Vcpu]) {
        for fd in core::iter::once(self.vm.stats()).chain(vcpus.iter().map(Vcpu::stats)) {
            match fd {
                Ok(fd) => self.sources.extend(Source::counting_from_now(fd)),
                // The VM comes first.
                Err(error) => _ = self.failure.lock().get_or_insert(error),
            }
        }
        // All or none: where one is missing, debugfs has the sum of all.
        if self.sources.len() != 1 + vcpus.len() {
            self.sources.clear();
        }
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

    /// The reasons that came, and how often; none where exits are not counted.
    pub fn exits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().flat_map(|counts| counts.exits.counted())
    }

    /// How long it has counted, in nanoseconds.
    pub fn run_time(&self) -> u64 {
        clock::monotonic() - self.started
    }

    /// What RAM is made of, and how KVM maps it.
    pub fn mapped(&self) -> String {
        format!("{}", Mapped { statistics: self, kvm: &self.kvm() })
    }

    /// What KVM says now.
    fn kvm(&self) -> KvmFigures {
        if !self.sources.is_empty() {
            return KvmFigures::of_descriptors(&self.sources);
        }
        // Without `--stats` nothing was opened before. A vCPU's statistics can't be had while it runs, but the VM's can.
        if !self.is_counting() {
            match self.vm.stats().map(Source::new) {
                Ok(Some(source)) => return KvmFigures::of_descriptors(&[source]),
                Ok(None) => {}
                Err(error) => *self.failure.lock() = Some(error),
            }
        }
        let (process, descriptor) = (process::process_id(), self.vm.descriptor_number());
        KvmFigures::of_debugfs(&format!("{DEBUGFS}/{process}-{descriptor}"))
    }

    /// Text for people, or a line of JSON, which docs/options.md describes.
    pub fn show(&self) -> String {
        let nanoseconds = self.run_time();
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
                let exits = &counts.exits;
                let total: u64 = exits.counted().map(|(_, count)| count).sum();
                let rate = total.saturating_mul(1_000_000) / (nanoseconds / 1000).max(1);
                write!(f, "\n  exits to the program: {total}, {rate} per second")?;
                exits.counted().try_for_each(|(name, count)| Line(name, count).fmt(f))?;
                if total > 0 {
                    write!(f, "\n  time to handle them:{}", counts.times)?;
                }
            }
        }
        for (id, figures) in &kvm.sources {
            write!(f, "\n  KVM's, {}:", Text(id))?;
            let Some(figures) = figures else {
                f.write_str(" missing, for they can't be read")?;
                continue;
            };
            if figures.iter().all(|figure| figure.value == 0) {
                f.write_str(" all 0")?;
            }
            for figure in figures.iter().filter(|figure| figure.value != 0) {
                Line(&figure.name, figure.value).fmt(f)?;
                f.write_str(&figure.unit)?;
            }
        }
        if kvm.sources.is_empty() {
            f.write_str("\n  KVM's: missing")?;
            match *statistics.failure.lock() {
                Some(failure) if !failure.is_unknown_request() => write!(f, ": {failure}")?,
                _ => f.write_str(
                    "\n  They need KVM_GET_STATS_FD (Linux 5.14), or debugfs: \
                     as root, mount -t debugfs none /sys/kernel/debug",
                )?,
            }
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
            (Backing::Private, _) => ", a private copy of a snapshot's",
            (Backing::Transparent, _) => ", anonymous, with transparent huge pages",
            (Backing::Memfd, _) => " of a memfd",
            (Backing::File(_), Some(_)) => " on hugetlbfs",
            (Backing::File(_), None) => " of a device",
        })?;
        Pages { kvm: self.kvm, reason: &|small, large| self.reason(small, large) }.fmt(f)
    }
}

/// In which pages KVM maps RAM, as far as this kernel says. `reason` is asked with the numbers of small and large ones.
struct Pages<'a> {
    kvm: &'a KvmFigures,
    reason: &'a dyn Fn(u64, u64) -> &'static str,
}

impl fmt::Display for Pages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.kvm.pages, self.kvm.large) {
            ([Some(small), Some(large), giant], _) => {
                f.write_str("; KVM maps ")?;
                match giant {
                    None | Some(0) => {}
                    Some(giant) => write!(f, "{giant} of 1 GiB, ")?,
                }
                write!(f, "{large} of 2 MiB and {small} of 4 KiB")?;
                f.write_str((self.reason)(small, large + giant.unwrap_or(0)))
            }
            (_, Some(large)) => write!(
                f,
                "; KVM maps {large} large pages; before Linux 5.15 it does not count the small ones"
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
        } else if memory.has_moved() {
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
                object(f, counts.exits.counted().map(entry))?;
                write!(f, ", \"handling_ns\": {}", counts.times.as_json())?;
            }
        }
        f.write_str(", \"kvm\": ")?;
        let sources = kvm.sources.iter();
        object(f, sources.map(|(id, figures)| (JsonText(Text(id)), JsonFigures(figures))))?;
        let ram = statistics.memory.ram();
        let [small, large, giant] = kvm.pages.map(JsonNumber);
        write!(
            f,
            ", \"ram\": {{\"bytes\": {}, \"page_bytes\": {}}}, \
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

/// What one source of KVM's statistics says.
struct JsonFigures<'a>(&'a Option<Vec<Figure>>);

impl fmt::Display for JsonFigures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(figures) => {
                object(f, figures.iter().map(|figure| (JsonText(&*figure.name), figure.value)))
            }
            None => f.write_str("null"),
        }
    }
}

fn object(
    f: &mut fmt::Formatter,
    entries: impl Iterator<Item = (impl fmt::Display, impl fmt::Display)>,
) -> fmt::Result {
    f.write_str("{")?;
    for (index, (name, value)) in entries.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{name}: {value}")?;
    }
    f.write_str("}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_not_counted_are_not_shown_as_0() {
        let shown = |pages, large| {
            let kvm = KvmFigures { sources: Vec::new(), pages, large };
            Pages { kvm: &kvm, reason: &|small, _| if small > 0 { ": why" } else { "" } }
                .to_string()
        };
        let counted = [Some(0), Some(8), Some(0)];
        assert_eq!(shown(counted, None), "; KVM maps 8 of 2 MiB and 0 of 4 KiB");
        let with_giant = [Some(3), Some(0), Some(1)];
        assert_eq!(
            shown(with_giant, None),
            "; KVM maps 1 of 1 GiB, 0 of 2 MiB and 3 of 4 KiB: why"
        );
        assert_eq!(
            shown([None; 3], Some(8)),
            "; KVM maps 8 large pages; before Linux 5.15 it does not count the small ones"
        );
        assert_eq!(shown([None; 3], None), "; KVM does not say in which pages it maps them");
    }
}
