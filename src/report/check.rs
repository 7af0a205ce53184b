//! `--check`: the host, examined, a finding a line.

use super::failure;
use crate::boot::files::Files;
use crate::boot::flat::Image;
use crate::cli::Options;
use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::kvm::Kvm;
use crate::look;
use crate::memory::{self, Backing, Pool};
use crate::sys::cap;
use crate::t;
use crate::text::Text;
use crate::words;
use core::arch::x86_64::__cpuid;
use core::ffi::CStr;

/// [`crate::machine::try_vcpu`], which is on a floor above.
type TryVcpu = fn(&Options, &Kvm) -> Result<(), Error>;

/// Examines everything that a run with these options needs, and shows it on standard output. Gives whether
/// such a run would start.
pub fn check(options: &Options, try_vcpu: TryVcpu) -> Result<bool, Error> {
    let mut good = true;
    let printed = super::print(libc::STDOUT_FILENO, &mut |text| {
        good = examine(text, options, try_vcpu);
    });
    printed.map_err(Call::WRITE_OUTPUT.failed()).map(|()| good)
}

#[inline(never)]
fn examine(text: &mut Text, options: &Options, try_vcpu: TryVcpu) -> bool {
    let mut good = true;
    let mut finding = |text: &mut Text, name: &[u8], result: Result<(), Error>| match result {
        Ok(()) => text.say(t!("ok       %s\n"), &[name], &[]),
        Err(error) => {
            good = false;
            text.plain(t!("MISSING  "));
            failure(text, options, error);
            text.plain(t!("\n"));
        }
    };
    let machine = host(text).and_then(|kvm| try_vcpu(options, &kvm));
    finding(text, b"a VM, and a vCPU in such a state", machine);
    for size in [2 << 20, 1 << 30] {
        let Pool { total, free, reserved } = Pool::read(size);
        text.say(
            t!("ok       pool of pages of %z: %d, %d free, of which %d are reserved\n"),
            &[],
            &[size, total, free, reserved],
        );
    }
    let backing = memory::probe(options.backing, options.memory);
    match options.backing {
        Backing::File(path) => finding(text, path.to_bytes(), backing),
        Backing::Anonymous => finding(text, b"anonymous memory", backing),
    }
    if let (Err(Error { call: Call::LOCK_BACKING, .. }), Backing::File(path)) =
        (backing, options.backing)
    {
        owner(text, path);
    }
    let mut files = Files::default();
    let image = files.open(options).and_then(|()| match files.is_kernel() {
        true => Ok(()),
        false => Image::open(options.image(), options.image_room()).map(drop),
    });
    finding(text, options.image().to_bytes(), image);
    good &= limits(text, options.memory) || options.backing == Backing::Anonymous;
    text.plain(if good { t!("It would start.\n") } else { t!("It would not start.\n") });
    good
}

/// The processor, KVM, and what it can do.
#[inline(never)]
fn host(text: &mut Text) -> Result<Kvm, Error> {
    let kvm = Kvm::open()?;
    text.say(
        t!("ok       /dev/kvm: may be read and written, API version %d\n"),
        &[],
        &[kvm.api_version()? as u64],
    );
    // SDM volume 2 and APM volume 3, CPUID: virtualization is leaf 1, ECX bit 5 on Intel, and leaf
    // 0x8000_0001, ECX bit 2 on AMD; leaf 1, ECX bit 31 says that a hypervisor is below.
    let (leaf_1, extended) = (__cpuid(1).ecx, __cpuid(0x8000_0001).ecx);
    text.plain(t!("ok       backend: "));
    let (backend, paging) = if leaf_1 >> 5 & 1 != 0 {
        (t!("Intel VMX"), c"/sys/module/kvm_intel/parameters/ept")
    } else if extended >> 2 & 1 != 0 {
        (t!("AMD SVM"), c"/sys/module/kvm_amd/parameters/npt")
    } else {
        (t!("software: this processor has neither VMX nor SVM"), c"")
    };
    text.plain(backend);
    if leaf_1 >> 31 != 0 {
        text.plain(t!("; nested: this is a virtual machine itself"));
    }
    let mut answer = [0];
    let paging = look::open(paging).and_then(|fd| fd.read(&mut answer));
    text.plain(match (paging, &answer) {
        (Ok(_), b"Y" | b"1") => t!("\nok       nested paging: on\n"),
        (Ok(_), _) => {
            t!("\nabsent   nested paging: off, so that KVM shadows page tables, which is slow\n")
        }
        (Err(_), _) => t!("\nabsent   nested paging: unknown\n"),
    });
    for capability in (0..).map_while(cap::nth) {
        let value = kvm.check_extension(capability)?;
        let words = [cap::name(capability)];
        let template = match value {
            0 => t!("absent   KVM_CAP_%s: %d\n"),
            _ => t!("ok       KVM_CAP_%s: %d\n"),
        };
        text.say(template, &words, &[value as u64]);
    }
    Ok(kvm)
}

/// Who holds the lock on a file: /proc/locks names process and inode.
#[inline(never)]
fn owner(text: &mut Text, path: &CStr) {
    let stat = Fd::open(Call::LOOK, path, libc::O_PATH, 0).and_then(|fd| fd.stat(Call::LOOK));
    let inode = stat.map_or(0, |stat| stat.st_ino);
    look::lines(c"/proc/locks", &mut |line| {
        // `1: FLOCK  ADVISORY  WRITE 1234 00:2e:5678 0 EOF`
        let [kind, process, file] =
            [1, 6, 7].map(|index| words::field(line, b' ', index).unwrap_or_default());
        let number = words::field(file, b':', 2).unwrap_or_default();
        let number = number.iter().fold(0, |sum, &digit| sum * 10 + u64::from(digit & 15));
        if kind == b"FLOCK" && number == inode {
            text.say(t!("         locked by process %s\n"), &[process], &[]);
        }
    });
}

/// The limits that cgroups set on huge pages of 2 MiB, of this process' group and of those above it, where they
/// are mounted by custom. A line of /proc/self/cgroup is `number:controllers:path`; version 2 has number 0.
#[inline(never)]
fn limits(text: &mut Text, needed: u64) -> bool {
    let mut enough = true;
    look::lines(c"/proc/self/cgroup", &mut |line| {
        let [number, controllers, group] =
            [0, 1, 2].map(|index| words::field(line, b':', index).unwrap_or_default());
        let place = match number {
            b"0" => t!("/sys/fs/cgroup%s/hugetlb.2MB.max"),
            _ if contains(controllers, b"hugetlb") => {
                t!("/sys/fs/cgroup/hugetlb%s/hugetlb.2MB.limit_in_bytes")
            }
            _ => return,
        };
        let mut len = group.len();
        loop {
            let group = group.get(..len).unwrap_or_default();
            // Version 1 says "no limit" by the largest number of whole pages.
            let limit = look::number(&mut |path| path.say(place, &[group], &[]));
            if let Some(limit) = limit.filter(|&limit| limit < 1 << 60) {
                enough &= limit >= needed;
                let verdict: &[u8] = if limit >= needed { b"ok      " } else { b"TOO LOW " };
                text.say(t!("%s cgroup %s: 2 MiB pages up to %z\n"), &[verdict, group], &[limit]);
            }
            // The parent; the root is "/", or nothing.
            match group.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => len = slash,
                None => break,
            }
        }
    });
    enough
}

#[inline(never)]
fn contains(line: &[u8], part: &[u8]) -> bool {
    (0..line.len()).any(|at| line.get(at..at + part.len()) == Some(part))
}
