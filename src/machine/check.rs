//! `--check`: whether this machine would start here. What is missing comes first, with the remedy.

use crate::boot::Payload;
use crate::boot::image::Image;
use crate::config::{Backing, Config, Guest};
use crate::host::fd::{self, Fd};
use crate::host::procfs;
use crate::inspect::json::JsonText;
use crate::kvm::backend::Backend;
use crate::kvm::{self, Kvm};
use crate::machine::{Error, builder, payload_name};
use crate::memory::pool::Pool;
use crate::memory::{self, BackingName, backing};
use crate::output::Output;
use crate::show::{Bytes, OptionSize, Text};
use crate::sys::cap::CAPABILITIES;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid;
use core::ffi::CStr;
use core::fmt;

/// Examines everything that a run with this configuration needs, and shows it on standard output. Returns whether such a
/// run would start.
pub fn check(config: &Config, output: &Output) -> Result<bool, Error> {
    let mut findings = Findings(Vec::new());
    examine(&mut findings, config, output);
    let text = match config.instruments.json {
        true => format!("{}\n", Json(&findings)),
        false => {
            let in_colour =
                fd::is_terminal(libc::STDOUT_FILENO) && !procfs::has_variable(c"NO_COLOR");
            format!("{}", Table { findings: &findings, in_colour })
        }
    };
    output.answer(format_args!("{text}")).map_err(Error::Output)?;
    Ok(findings.would_start())
}

/// What is to be thought of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The machine would not start.
    Missing,
    /// It would, but something can't be had.
    Absent,
    /// It can't be known without running.
    Unknown,
    Ok,
}

/// In the order in which a table shows them: the worst first.
const VERDICTS: [Verdict; 4] = [Verdict::Missing, Verdict::Absent, Verdict::Unknown, Verdict::Ok];

impl Verdict {
    /// In tables, and in JSON.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Verdict::Missing => ("MISSING", "missing"),
            Verdict::Absent => ("absent", "absent"),
            Verdict::Unknown => ("unknown", "unknown"),
            Verdict::Ok => ("ok", "ok"),
        }
    }

    /// Red, yellow, green: ECMA-48, SGR.
    fn colour(self) -> &'static str {
        match self {
            Verdict::Missing => "\x1b[31m",
            Verdict::Absent | Verdict::Unknown => "\x1b[33m",
            Verdict::Ok => "\x1b[32m",
        }
    }
}

/// Something about this host. `detail` may have further lines: the remedy.
struct Finding {
    verdict: Verdict,
    name: String,
    detail: String,
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, verdict: Verdict, name: fmt::Arguments, detail: fmt::Arguments) {
        self.0.push(Finding { verdict, name: format!("{name}"), detail: format!("{detail}") });
    }

    fn result(
        &mut self,
        name: fmt::Arguments,
        good: fmt::Arguments,
        result: Result<(), impl fmt::Display>,
    ) {
        match result {
            Ok(()) => self.add(Verdict::Ok, name, good),
            Err(error) => self.add(Verdict::Missing, name, format_args!("{error}")),
        }
    }

    fn would_start(&self) -> bool {
        self.0.iter().all(|finding| finding.verdict != Verdict::Missing)
    }
}

/// For people: in columns, the worst first.
struct Table<'a> {
    findings: &'a Findings,
    in_colour: bool,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Table { findings, in_colour } = self;
        for verdict in VERDICTS {
            let (before, behind) = if in_colour { (verdict.colour(), "\x1b[0m") } else { ("", "") };
            for finding in findings.0.iter().filter(|finding| finding.verdict == verdict) {
                let mut lines = finding.detail.split('\n');
                let first = lines.next().unwrap_or_default();
                let name = &*finding.name;
                writeln!(f, "{before}{:8}{behind} {name:<30} {first}", verdict.names().0)?;
                for line in lines {
                    writeln!(f, "{:8} {:30} {}", "", "", line.trim_start())?;
                }
            }
        }
        f.write_str(match findings.would_start() {
            true => "This machine would start.\n",
            false => "This machine would not start.\n",
        })
    }
}

/// For tools: one object, which README.md describes.
struct Json<'a>(&'a Findings);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{{\"would_start\": {}, \"findings\": [", self.0.would_start())?;
        for (index, Finding { verdict, name, detail }) in self.0.0.iter().enumerate() {
            write!(
                f,
                "{}{{\"verdict\": \"{}\", \"name\": {}, \"detail\": {}}}",
                if index == 0 { "" } else { ", " },
                verdict.names().1,
                JsonText(name),
                JsonText(detail)
            )?;
        }
        f.write_str("]}")
    }
}

fn examine(findings: &mut Findings, config: &Config, output: &Output) {
    match host(findings) {
        Ok(kvm) => {
            let vcpu = builder::try_vcpu(config, &kvm, output);
            findings.result(
                format_args!("VM and vCPU"),
                format_args!("can be created with these registers"),
                vcpu,
            );
        }
        Err(error) => findings.add(Verdict::Missing, format_args!("KVM"), format_args!("{error}")),
    }
    let probed = backing::probe(config.backing, config.memory);
    findings.result(
        format_args!("RAM, {}", Bytes(config.memory)),
        format_args!("{}", BackingName(config.backing)),
        probed,
    );
    if let Err(memory::Error::Locked { path, .. }) = probed {
        owner(findings, path);
    }
    let payload = Payload::open(config).map(drop);
    let path = payload_name(config);
    let name = match config.guest {
        Guest::Image(_) => "IMAGE",
        Guest::Kernel(_) => "--kernel",
    };
    let name = format_args!("{name}");
    match config.guest {
        // A pipe or a device can be read once only, and that is for the run.
        Guest::Image(file) if payload.is_ok() && !Image::can_be_read_again(file) => {
            let text = format_args!("{path}: not a regular file, so not read");
            findings.add(Verdict::Unknown, name, text);
        }
        _ => findings.result(name, format_args!("{path}"), payload),
    }
    for size in [2 << 20, 1 << 30] {
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
    if let Some(path) = config.instruments.trace_file {
        findings.result(
            format_args!("--trace-file"),
            format_args!("{}", Text::from(path)),
            try_trace_file(path),
        );
    }
    cgroup_limits(findings, config);
}

/// Whether a trace could be written there. What is there stays.
fn try_trace_file(path: &'static CStr) -> Result<(), Error> {
    let open = |flags| Fd::open(path, libc::O_WRONLY | flags, 0o666).map(drop);
    match open(0) {
        Err(error) if error.is(libc::ENOENT) => {
            open(libc::O_CREAT | libc::O_EXCL).inspect(|()| fd::remove(path))
        }
        opened => opened,
    }
    .map_err(|error| Error::TraceFile { path, error })
}

/// The processor, KVM, and what it can do.
fn host(findings: &mut Findings) -> Result<Kvm, kvm::Error> {
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
    Ok(kvm)
}

/// Who holds the lock on a file: /proc/locks names process, device and inode.
fn owner(findings: &mut Findings, path: &CStr) {
    let stat = Fd::open(path, libc::O_PATH, 0).and_then(|fd| fd.stat());
    let (Ok(stat), Some(locks)) = (stat, procfs::read("/proc/locks")) else { return };
    let (major, minor) = (libc::major(stat.st_dev), libc::minor(stat.st_dev));
    let file = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    for line in procfs::lines(&locks) {
        // `1: FLOCK  ADVISORY  WRITE 1234 00:2e:5678 0 EOF`
        let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
        if fields.nth(1) == Some(b"FLOCK")
            && let (Some(process), Some(locked)) = (fields.nth(2), fields.next())
            && locked == file.as_bytes()
        {
            let detail = format_args!("process {}", Text(process));
            findings.add(Verdict::Missing, format_args!("RAM is locked by"), detail);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings(Vec::new());
        findings.add(Verdict::Ok, format_args!("fine"), format_args!("1"));
        findings.result(
            format_args!("RAM"),
            format_args!("there"),
            Err::<(), _>("no \"pages\"\n  As root: more"),
        );
        findings
    }

    #[test]
    fn what_is_missing_comes_first_with_its_remedy() {
        let findings = findings();
        let table = Table { findings: &findings, in_colour: false }.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], format!("MISSING  {:30} no \"pages\"", "RAM"));
        assert_eq!(lines[1].trim_start(), "As root: more");
        assert_eq!(lines[2], format!("ok       {:30} 1", "fine"));
        assert_eq!(lines[3], "This machine would not start.");
        let table = Table { findings: &findings, in_colour: true }.to_string();
        assert!(table.starts_with("\x1b[31mMISSING \x1b[0m "));
    }

    #[test]
    fn tools_get_one_object() {
        assert_eq!(
            Json(&findings()).to_string(),
            r#"{"would_start": false, "findings": [{"verdict": "ok", "name": "fine", "detail": "1"}, {"verdict": "missing", "name": "RAM", "detail": "no \"pages\"\n  As root: more"}]}"#
        );
    }
}
