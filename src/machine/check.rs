//! `--check`: whether this machine would start here. What is missing comes first, with the remedy.

use crate::boot::image::Image;
use crate::boot::{self, Payload, kernel};
use crate::config::{Backing, Config, CpuModel, Guest};
use crate::host::fd;
use crate::host::process;
use crate::host::procfs;
use crate::host::terminal;
use crate::inspect::findings::{Findings, Json, Table, Verdict};
use crate::kvm::Kvm;
use crate::kvm::backend::Backend;
use crate::layout::HUGE_PAGE;
use crate::machine::{Error, builder, cpu_model, debugger, save, trace_file};
use crate::memory::pool::Pool;
use crate::memory::{self, BackingName, backing};
use crate::output::Output;
use crate::show::{Bytes, OptionSize, Text};
use crate::sys::cap::CAPABILITIES;
use alloc::format;
use alloc::string::String;
use core::arch::x86_64::__cpuid;
use core::ffi::CStr;
use core::fmt;

/// Examines everything that a run with this configuration needs, and shows it on standard output. Returns whether such a
/// run would start.
pub fn check(config: &Config, output: &Output) -> Result<bool, Error> {
    let mut findings = Findings::default();
    examine(&mut findings, config, output);
    let text = match config.instruments.json {
        true => format!("{}\n", Json(&findings)),
        false => {
            let in_colour =
                terminal::is_terminal(libc::STDOUT_FILENO) && !process::has_variable(c"NO_COLOR");
            format!("{}", Table { findings: &findings, in_colour })
        }
    };
    output.answer(format_args!("{text}")).map_err(Error::Output)?;
    Ok(findings.would_start())
}

fn examine(findings: &mut Findings, config: &Config, output: &Output) {
    let payload = Payload::open(config);
    match host(findings) {
        Ok(kvm) => vcpu(findings, config, &kvm, payload.as_ref().ok(), output),
        Err(error) => findings.add(Verdict::Missing, format_args!("KVM"), format_args!("{error}")),
    }
    let probed = backing::probe(config.backing, config.memory);
    let name = format_args!("RAM, {}", Bytes(config.memory));
    match probed {
        Err(error @ memory::Error::Locked { path, .. }) => {
            let owner = owner(path).unwrap_or_default();
            findings.add(Verdict::Missing, name, format_args!("{error}{owner}"));
        }
        probed => findings.result(name, format_args!("{}", BackingName(config.backing)), probed),
    }
    let path = Text::from(config.path());
    let name = match (config.guest, &payload) {
        (Guest::Image(_), _) => "IMAGE",
        // It can be --initrd.
        (Guest::Kernel(_), Err(boot::Error::Open { option, .. })) => option,
        (Guest::Kernel(_), _) => "--kernel",
    };
    let name = format_args!("{name}");
    match config.guest {
        // A pipe or a device can be read once only, and that is for the run.
        Guest::Image(file) if payload.is_ok() && !Image::can_be_read_again(file) => {
            let text = format_args!("{path}: not a regular file, so not read");
            findings.add(Verdict::Unknown, name, text);
        }
        _ => findings.result(name, format_args!("{path}"), payload.map(drop)),
    }
    for item in &config.fw_cfg {
        let opened = kernel::open_item(item.file);
        let path = Text::from(item.file);
        findings.result(format_args!("--fw-cfg"), format_args!("{path}"), opened.map(drop));
    }
    for size in [HUGE_PAGE, 1 << 30] {
        let name = format_args!("pool of {} pages", Bytes(size));
        match Pool::read(size) {
            None => findings.add(Verdict::Unknown, name, format_args!("the kernel does not say")),
            Some(Pool { total, free, reserved, .. }) => findings.add(
                if total == 0 { Verdict::Absent } else { Verdict::Ok },
                name,
                format_args!("{total} pages, {free} free, of which {reserved} are reserved"),
            ),
        }
    }
    try_run_options(config, |option, good, tried| {
        findings.result(format_args!("{option}"), good, tried);
    });
    cgroup_limits(findings, config);
}

/// A vCPU with the processor that the user wants, and the registers that the payload starts with.
fn vcpu(
    findings: &mut Findings,
    config: &Config,
    kvm: &Kvm,
    payload: Option<&Payload>,
    output: &Output,
) {
    let name = format_args!("VM and vCPU");
    let not_tried = |findings: &mut Findings, why: &str| {
        findings.add(Verdict::Unknown, name, format_args!("not tried, since {why}"));
    };
    if config.cpu != CpuModel::default() {
        let features = cpu_model::features(kvm, &config.cpu, config.has_lapic());
        let shown = features.as_deref().unwrap_or_default();
        findings.result(
            format_args!("--cpu"),
            format_args!("its features:{shown}"),
            features.as_ref().map(drop),
        );
        if features.is_err() {
            return not_tried(findings, "there is no such processor");
        }
    }
    match payload {
        Some(payload) => findings.result(
            name,
            format_args!("can be created with these registers"),
            builder::try_vcpu(config, kvm, payload, output),
        ),
        None => not_tried(findings, "there is nothing to run"),
    }
}

/// Tries the files and the address that belong to a run, and tells `tell` of each: its option, what is said where it can be had, and
/// whether it can.
fn try_run_options(config: &Config, mut tell: impl FnMut(&str, fmt::Arguments, Result<(), Error>)) {
    if let Some(path) = config.instruments.trace_file {
        let tried = trace_file::probe(config, path);
        tell("--trace-file", format_args!("{}", Text::from(path)), tried);
    }
    if let Some(save) = config.save {
        let option = if save.with_ram { "--save-ram" } else { "--save" };
        let tried = save::probe(config, save).map_err(Error::from);
        tell(option, format_args!("{}", Text::from(save.path)), tried);
    }
    if config.instruments.live {
        tell("--stats=live", format_args!("standard error is a terminal"), has_screen(config));
    }
    if let Some(address) = config.gdb {
        let good = format_args!("{address}: a debugger can connect");
        tell("--gdb", good, debugger::listen(address).map(drop));
    }
}

/// Whether there is a terminal for the screens of `--stats=live`, if they are wanted.
pub fn has_screen(config: &Config) -> Result<(), Error> {
    match config.instruments.live && !terminal::is_terminal(libc::STDERR_FILENO) {
        true => Err(Error::NoScreen),
        false => Ok(()),
    }
}

/// Whether they can be had: for a machine that is restored, whose other options its snapshot has.
pub fn run_options(config: &Config) -> Result<(), Error> {
    let mut first = Ok(());
    try_run_options(config, |_, _, tried| first = first.and(tried));
    first
}

/// The processor, KVM, and what it can do.
fn host(findings: &mut Findings) -> Result<Kvm, Error> {
    let kvm = Kvm::open()?;
    let version = kvm.api_version()?;
    let detail = format_args!("may be read and written, API version {version}");
    findings.add(Verdict::Ok, format_args!("/dev/kvm"), detail);
    let backend = Backend::of_this_host();
    // SDM volume 2, CPUID: leaf 1, ECX bit 31 says that a hypervisor is below.
    let nested = if __cpuid(1).ecx >> 31 != 0 {
        "; nested: this host is a virtual machine itself"
    } else {
        ""
    };
    let verdict = if backend == Backend::Software { Verdict::Absent } else { Verdict::Ok };
    findings.add(
        verdict,
        format_args!("hardware virtualization"),
        format_args!("{}{nested}", backend.name()),
    );
    let (verdict, detail) = match backend.has_nested_paging() {
        Some(true) => (Verdict::Ok, "on"),
        Some(false) => (Verdict::Absent, "off: KVM keeps shadow page tables, which is slow"),
        None => (Verdict::Unknown, "the KVM module does not say"),
    };
    findings.add(verdict, format_args!("nested paging"), format_args!("{detail}"));
    for &(name, number) in CAPABILITIES {
        let value = kvm.check_extension(number)?;
        let verdict = if value == 0 { Verdict::Absent } else { Verdict::Ok };
        findings.add(verdict, format_args!("{name}"), format_args!("{value}"));
    }
    // Names after each other would be one long line.
    let features = cpu_model::features(&kvm, &CpuModel::default(), true)?;
    findings.add(
        Verdict::Ok,
        format_args!("processor"),
        format_args!("features of --cpu host:{features}"),
    );
    Ok(kvm)
}

/// Who holds the lock on a file, as a further line: /proc/locks names process, device and inode.
fn owner(path: &CStr) -> Option<String> {
    let stat = fd::stat(path).ok()?;
    let locks = procfs::read("/proc/locks")?;
    let (major, minor) = (libc::major(stat.st_dev), libc::minor(stat.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    procfs::lines(&locks).find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 1234 00:2e:5678 0 EOF`
        let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
        let is_flock = fields.nth(1) == Some(b"FLOCK");
        let (process, locked) = (fields.nth(2)?, fields.next()?);
        (is_flock && locked == file.as_bytes())
            .then(|| format!("\nIt is process {}", Text(process)))
    })
}

/// The limits that cgroups set on huge pages of 2 MiB: of this process' group and of those above it, where they are mounted
/// by custom. A line of /proc/self/cgroup is `number:controllers:path`; version 2 has number 0.
fn cgroup_limits(findings: &mut Findings, config: &Config) {
    let uses_huge_pages = matches!(config.backing, Backing::File(_) | Backing::Memfd);
    let groups = procfs::read("/proc/self/cgroup").unwrap_or_default();
    for line in procfs::lines(&groups) {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (Some(number), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (mount, file) = if number == b"0" {
            ("", "hugetlb.2MB.max")
        } else if controllers.windows(7).any(|word| word == b"hugetlb") {
            ("/hugetlb", "hugetlb.2MB.limit_in_bytes")
        } else {
            continue;
        };
        let mut group = path;
        loop {
            let path = format!("/sys/fs/cgroup{mount}{}/{file}", Text(group));
            // Version 1 says "no limit" by the largest number of whole pages.
            if let Some(limit) = procfs::number(&path).filter(|&limit| limit < 1 << 60) {
                let (verdict, remedy) = match limit >= config.memory {
                    true => (Verdict::Ok, String::new()),
                    false if uses_huge_pages => (
                        Verdict::Missing,
                        format!(", too few\nAs root: echo {} > {path}", OptionSize(config.memory)),
                    ),
                    false => (Verdict::Absent, String::new()),
                };
                findings.add(
                    verdict,
                    format_args!("cgroup {}", Text(group)),
                    format_args!("2 MiB pages up to {}{remedy}", Bytes(limit)),
                );
            }
            // The group above; the root is "/" or "".
            match group.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => group = &group[..slash],
                None => break,
            }
        }
    }
}
