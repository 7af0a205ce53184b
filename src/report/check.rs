//! `--check`: the host, examined, a finding a line.

use super::failure;
use crate::boot::flat::Image;
use crate::boot::mode;
use crate::cli::Options;
use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::kvm::Kvm;
use crate::memory::{self, Backing, Pool};
use crate::sys::cap;
use crate::t;
use crate::text::Text;
use core::arch::x86_64::__cpuid;
use core::ffi::CStr;

/// Examines everything that a run with these options needs, and shows it on standard output. Gives whether
/// such a run would start.
#[inline(never)]
pub fn check(options: &Options) -> Result<bool, Error> {
    let text = &mut Text::new(libc::STDOUT_FILENO);
    let mut good = true;
    let mut finding = |text: &mut Text, result: Result<(), Error>| {
        if let Err(error) = result {
            good = false;
            text.plain(t!("MISSING  "));
            failure(text, options, error);
            text.plain(t!("\n"));
        }
    };
    let machine = host(text);
    finding(text, machine);
    for size in [2 << 20, 1 << 30] {
        let Pool { total, free, reserved } = Pool::read(size);
        let numbers = [size, total, free, reserved];
        text.say(
            t!("ok       pool of pages of %z: %d, %d free, of which %d are reserved\n"),
            &[],
            &numbers,
        );
    }
    let enough = limits(text, options.memory);
    let backing = memory::probe(options.backing, options.memory);
    match (backing, options.backing) {
        (Ok(()), Backing::File(path)) => {
            text.say(t!("ok       %s: free, and large enough\n"), &[path.to_bytes()], &[]);
        }
        (Ok(()), Backing::Anonymous) => text.plain(t!("ok       anonymous memory\n")),
        (Err(error), Backing::File(path)) => {
            finding(text, Err(error));
            if error.call == Call::LOCK_BACKING {
                owner(text, path);
            }
        }
        (Err(error), _) => finding(text, Err(error)),
    }
    let offset = options.load - options.base;
    let room = (options.memory - mode::tables_size(options.mode)).saturating_sub(offset);
    let image = Image::open(options.image, room).map(drop);
    if image.is_ok() {
        text.say(t!("ok       %s\n"), &[options.image.to_bytes()], &[]);
    }
    finding(text, image);
    good &= enough || options.backing == Backing::Anonymous;
    text.plain(if good { t!("It would start.\n") } else { t!("It would not start.\n") });
    text.finish().map_err(Call::WRITE_OUTPUT.failed())?;
    Ok(good)
}

/// The processor, KVM, and what it can do.
#[inline(never)]
fn host(text: &mut Text) -> Result<(), Error> {
    let kvm = Kvm::open()?;
    text.say(
        t!("ok       /dev/kvm: may be read and written, API version %d\n"),
        &[],
        &[kvm.api_version()? as u64],
    );
    // SDM volume 2 and APM volume 3, CPUID: virtualization is leaf 1, ECX bit 5 on Intel, and leaf
    // 0x8000_0001, ECX bit 2 on AMD; leaf 1, ECX bit 31 says that a hypervisor is below.
    let (leaf_1, extended) = (__cpuid(1).ecx, __cpuid(0x8000_0001).ecx);
    let (backend, paging): (&[u8], _) = if leaf_1 >> 5 & 1 != 0 {
        (b"Intel VMX", c"/sys/module/kvm_intel/parameters/ept")
    } else if extended >> 2 & 1 != 0 {
        (b"AMD SVM", c"/sys/module/kvm_amd/parameters/npt")
    } else {
        (b"software: this processor has neither VMX nor SVM", c"")
    };
    let nested: &[u8] =
        if leaf_1 >> 31 != 0 { b"; nested: this is a virtual machine itself" } else { b"" };
    let mut answer = [0];
    let paging =
        Fd::open(Call::LOOK, paging, libc::O_RDONLY, 0).and_then(|fd| fd.read(&mut answer));
    let paging: &[u8] = match (paging, &answer) {
        (Ok(_), b"Y" | b"1") => b"on",
        (Ok(_), _) => b"off: KVM shadows the guest's page tables",
        (Err(_), _) => b"unknown",
    };
    text.say(
        t!("ok       backend: %s%s\nok       nested paging: %s\n"),
        &[backend, nested, paging],
        &[],
    );
    for capability in (0..).map_while(cap::nth) {
        let value = kvm.check_extension(capability)?;
        let words = [cap::name(capability)];
        let template = match value {
            0 => t!("absent   KVM_CAP_%s: %d\n"),
            _ => t!("ok       KVM_CAP_%s: %d\n"),
        };
        text.say(template, &words, &[value as u64]);
    }
    kvm.create_vm()?.create_vcpu(0, kvm.vcpu_mmap_size()?).map(drop)
}

/// Who holds the lock on a file: /proc/locks names process and inode.
#[inline(never)]
fn owner(text: &mut Text, path: &CStr) {
    let stat = Fd::open(Call::LOOK, path, libc::O_PATH, 0).and_then(|fd| fd.stat(Call::LOOK));
    let Ok(stat) = stat else { return };
    let mut inode = Text::new(-1);
    inode.say(t!(":%d "), &[], &[stat.st_ino]);
    let inode = inode.path().to_bytes();
    lines(c"/proc/locks", &mut |line| {
        if contains(line, b"FLOCK") && contains(line, inode) {
            let process = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).nth(4);
            text.say(t!("         locked by process %s\n"), &[process.unwrap_or_default()], &[]);
        }
    });
}

/// The limits that cgroups set on huge pages of 2 MiB, of this process' group and of those above it. A line of
/// /proc/self/cgroup is `number:controllers:path`, and the path begins at the mount; version 2 has number 0.
#[inline(never)]
fn limits(text: &mut Text, needed: u64) -> bool {
    let mut enough = true;
    lines(c"/proc/mounts", &mut |mount| {
        let mut fields = mount.split(|&byte| byte == b' ').skip(1);
        let (Some(place), Some(kind), Some(flags)) = (fields.next(), fields.next(), fields.next())
        else {
            return;
        };
        let (of_it, file): (&[u8], &[u8]) = match kind {
            b"cgroup2" => (b"0::", b"max"),
            b"cgroup" if contains(flags, b"hugetlb") => (b"hugetlb", b"limit_in_bytes"),
            _ => return,
        };
        lines(c"/proc/self/cgroup", &mut |group| {
            let colon = group.iter().rposition(|&byte| byte == b':').unwrap_or(0);
            let (controllers, group) = group.split_at_checked(colon + 1).unwrap_or_default();
            if !contains(controllers, of_it) {
                return;
            }
            let mut group = group;
            loop {
                let mut path = Text::new(-1);
                path.say(t!("%s%s/hugetlb.2MB.%s"), &[place, group, file], &[]);
                if let Some(limit) = limit(path.path()) {
                    enough &= limit >= needed;
                    let verdict: &[u8] = if limit >= needed { b"ok      " } else { b"TOO LOW " };
                    text.say(
                        t!("%s cgroup %s: 2 MiB pages up to %z\n"),
                        &[verdict, group],
                        &[limit],
                    );
                }
                // The parent; the root is "/", or nothing.
                let Some(slash) = group.iter().rposition(|&byte| byte == b'/') else { break };
                group = group.get(..slash).unwrap_or_default();
            }
        });
    });
    enough
}

/// The number in a file, unless it is as good as none: version 1 says "no limit" by the largest number of
/// whole pages.
#[inline(never)]
fn limit(path: &CStr) -> Option<u64> {
    let mut digit = [0];
    Fd::open(Call::LOOK, path, libc::O_RDONLY, 0).and_then(|file| file.read(&mut digit)).ok()?;
    let directory = Fd::open(Call::LOOK, c"/", libc::O_PATH, 0).ok()?;
    let limit = memory::figure(&directory, path);
    (digit[0].is_ascii_digit() && limit < 1 << 60).then_some(limit)
}

/// Calls `see` with each line of a file of the kernel's, which hands out whole lines.
#[inline(never)]
fn lines(path: &CStr, see: &mut dyn FnMut(&[u8])) {
    let Ok(file) = Fd::open(Call::LOOK, path, libc::O_RDONLY, 0) else { return };
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = file.read(&mut bytes) {
        for line in bytes.get(..len).unwrap_or_default().split(|&byte| byte == b'\n') {
            see(line);
        }
    }
}

#[inline(never)]
fn contains(line: &[u8], part: &[u8]) -> bool {
    (0..line.len()).any(|at| line.get(at..at + part.len()) == Some(part))
}
