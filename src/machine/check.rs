//! `--check`: the host, examined, a finding a line.

use crate::boot::Payload;
use crate::config::{Backing, Config};
use crate::host::fd::Fd;
use crate::host::procfs;
use crate::kvm::{self, Kvm};
use crate::machine::{Error, builder, payload_name};
use crate::memory::pool::Pool;
use crate::memory::{self, BackingName, backing};
use crate::output::Output;
use crate::show::{Bytes, Text};
use crate::sys::cap::CAPABILITIES;
use alloc::format;
use alloc::string::String;
use core::arch::x86_64::__cpuid;
use core::ffi::CStr;
use core::fmt::{self, Write};

/// Examines everything that a run with this configuration needs, and shows it on standard output. Returns whether such a
/// run would start.
pub fn check(config: &Config, output: &Output) -> Result<bool, Error> {
    let mut findings = Findings { text: String::new(), is_good: true };
    examine(&mut findings, config, output);
    let verdict = if findings.is_good { "It would start." } else { "It would not start." };
    output.answer(format_args!("{}{verdict}\n", findings.text)).map_err(Error::Output)?;
    Ok(findings.is_good)
}

struct Findings {
    text: String,
    is_good: bool,
}

impl Findings {
    fn line(&mut self, verdict: &str, text: fmt::Arguments) {
        // A String takes all that fits into memory.
        let _ = writeln!(self.text, "{verdict:8} {text}");
    }

    fn good(&mut self, text: fmt::Arguments) {
        self.line("ok", text);
    }

    fn result(&mut self, name: fmt::Arguments, result: Result<(), impl fmt::Display>) {
        match result {
            Ok(()) => self.good(name),
            Err(error) => {
                self.is_good = false;
                self.line("MISSING", format_args!("{error}"));
            }
        }
    }
}

fn examine(findings: &mut Findings, config: &Config, output: &Output) {
    let machine = host(findings).and_then(|kvm| builder::try_vcpu(config, &kvm, output));
    findings.result(format_args!("a VM, and a vCPU in such a state"), machine);
    for size in [2 << 20, 1 << 30] {
        let Pool { page_size, total, free, reserved } = Pool::read(size);
        findings.good(format_args!(
            "pool of pages of {}: {total}, {free} free, of which {reserved} are reserved",
            Bytes(page_size)
        ));
    }
    let probed = backing::probe(config.backing, config.memory);
    findings.result(format_args!("{}", BackingName(config.backing)), probed);
    if let Err(memory::Error::Locked { path, .. }) = probed {
        owner(findings, path);
    }
    let payload = Payload::open(config).map(drop);
    findings.result(format_args!("{}", payload_name(config)), payload);
    cgroup_limits(findings, config);
}

/// The processor, KVM, and what it can do.
fn host(findings: &mut Findings) -> Result<Kvm, kvm::Error> {
    let kvm = Kvm::open()?;
    let version = kvm.api_version()?;
    findings.good(format_args!("/dev/kvm: may be read and written, API version {version}"));
    // SDM volume 2 and APM volume 3, CPUID: leaf 1, ECX bit 5 is Intel's virtualization, leaf 0x8000_0001, ECX bit 2 is AMD's;
    // leaf 1, ECX bit 31 says that a hypervisor is below.
    let (leaf_1, extended) = (__cpuid(1).ecx, __cpuid(0x8000_0001).ecx);
    let (backend, paging) = if leaf_1 >> 5 & 1 != 0 {
        ("Intel VMX", "/sys/module/kvm_intel/parameters/ept")
    } else if extended >> 2 & 1 != 0 {
        ("AMD SVM", "/sys/module/kvm_amd/parameters/npt")
    } else {
        ("software: this processor has neither VMX nor SVM", "")
    };
    let nested = if leaf_1 >> 31 != 0 { "; nested: this is a virtual machine itself" } else { "" };
    findings.good(format_args!("backend: {backend}{nested}"));
    match procfs::read(paging).as_deref() {
        Some(b"Y\n" | b"1\n") => findings.good(format_args!("nested paging: on")),
        Some(_) => findings.line(
            "absent",
            format_args!("nested paging: off, so that KVM shadows page tables, which is slow"),
        ),
        None => findings.line("absent", format_args!("nested paging: unknown")),
    }
    for &(name, number) in CAPABILITIES {
        let value = kvm.check_extension(number)?;
        findings.line(if value == 0 { "absent" } else { "ok" }, format_args!("{name}: {value}"));
    }
    Ok(kvm)
}

/// Who holds the lock on a file: /proc/locks names process and inode.
fn owner(findings: &mut Findings, path: &CStr) {
    let stat = Fd::open(path, libc::O_PATH, 0).and_then(|fd| fd.stat());
    let (Ok(stat), Some(locks)) = (stat, procfs::read("/proc/locks")) else { return };
    for line in procfs::lines(&locks) {
        // `1: FLOCK  ADVISORY  WRITE 1234 00:2e:5678 0 EOF`
        let mut fields = line.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
        let kind = fields.nth(1);
        let (Some(process), Some(file)) = (fields.nth(2), fields.next()) else { continue };
        let inode = file.rsplit(|&byte| byte == b':').next().and_then(procfs::decimal);
        if kind == Some(b"FLOCK") && inode == Some(stat.st_ino) {
            findings.line("", format_args!("locked by process {}", Text(process)));
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
            let limit = procfs::number(&format!("/sys/fs/cgroup{mount}{}/{file}", Text(group)));
            // Version 1 says "no limit" by the largest number of whole pages.
            if let Some(limit) = limit.filter(|&limit| limit < 1 << 60) {
                let enough = limit >= config.memory;
                findings.is_good &= enough || !uses_huge_pages;
                findings.line(
                    if enough { "ok" } else { "TOO LOW" },
                    format_args!("cgroup {}: 2 MiB pages up to {}", Text(group), Bytes(limit)),
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
