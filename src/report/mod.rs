//! Everything that is printed, but for what the guest prints.
//!
//! Here: the help, messages, errors and what helps. In the files beside, one instrument each.

pub mod check;
pub mod death;
mod registers;
pub mod stats;
pub mod trace;

use crate::cli::{Blame, Command, DEFAULT_BACKING, DEFAULT_IMAGE, Options, Wrong};
use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::kvm::DEVICE;
use crate::layout::PAGE_SIZE;
use crate::memory::{Backing, Pool};
use crate::sys::cap;
use crate::sys::exit as reason;
use crate::sys::ioctl;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::text::Text;
use crate::vm::DirtyBitmap;
use crate::words::{Lines, Prose};
use crate::x86::RFLAGS_IF;
use crate::{lines, t};
use core::ffi::{CStr, c_int};

/// How the program ended, where nothing of its own failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// The guest executed HLT.
    Halted,
    /// It could not go on; why, has been told.
    Died,
    /// A signal asked the program to end.
    Stopped(u8),
    /// Nobody reads standard output any more.
    OutputClosed,
    /// The guest asked for it: [`crate::layout::RING_END`]. Or there was no machine: the user wanted to know
    /// something, and has been told.
    Done,
    /// Likewise: such a machine would not start.
    Unfit,
    /// The guest switched its machine off.
    Off,
    /// The guest reset its machine.
    Reset,
    /// The guest asked for this status: [`crate::layout::TEST_EXIT`].
    Status(u8),
    /// The user left: Ctrl-A X.
    Left,
}

/// What the user should know although the guest goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note {
    /// A port that no device answers.
    UnansweredPort(u16),
    /// A guest-physical address with neither RAM nor a device.
    UnansweredAddress(u64),
    /// A write to the window while it is read-only.
    ReadOnly(u64),
    /// The doorbell was rung with a value that means nothing.
    UnknownRing(u32),
    /// The doorbell asked for the dirty log, which is off.
    NoDirtyLog,
    /// This kernel can't let something out to user space that the mode would like to see.
    NoCapability(u32),
}

// Exit statuses, besides 128+N for signal N.

/// The guest halted, or the help was printed.
pub const HALTED: i32 = 0;
/// The host or the program failed.
pub const FAILED: i32 = 1;
/// The command line is wrong.
pub const BAD_USAGE: i32 = 2;
/// The guest died.
pub const GUEST_DIED: i32 = 3;

const HELP: Prose<3, 0> = t!("\
Usage: %s [OPTIONS] [IMAGE]
Runs IMAGE (default %s) in a KVM virtual machine:
one vCPU, RAM in huge pages, port 0x10 on standard output. Or a kernel, its
serial port on this terminal; Ctrl-A X leaves.

The machine:
  -m, --memory SIZE    RAM, default 16M; a multiple of the backing's page size
  -b, --backing WHAT   a file on hugetlbfs (default %s),
                       a character device (/dev/BiscuitOS), or `anon`
                       for anonymous 4 KiB pages
      --base GPA       where the slot starts (default 0)
      --load GPA       where IMAGE goes (default 0x1000)
      --entry GPA      the first instruction (default: where IMAGE went)
      --mode MODE      the vCPU starts in real (default), protected, long or user mode
      --set REG=VALUE  and with this register: rax=1, cs.type=3
      --pause SECONDS  the pause after a newline (default 6)
A kernel (--memory is 256M then, --pause 0):
      --kernel FILE    a bzImage, a vmlinux, Multiboot; else as IMAGE
      --initrd FILE    for Linux, or a Multiboot module
      --append STRING  its command line (Linux: console=ttyS0)
      --cpus N         vCPUs
      --reset=restart  a reset starts it anew
      --irqchip        IMAGE has a kernel's board too
What it does, on standard error:
      --trace[=calls,exits]  each call, each exit
      --step           each instruction
      --stats          exits and KVM's statistics, at the end and on SIGUSR1
      --dirty-log      the pages written
      --replay         how a guest died, step by step
Instead of running:
      --check          what this host has, and whether it would start
  -h, --help   -V, --version

SIZE, GPA, VALUE: decimal, or hexadecimal with 0x; K, M, G: KiB, MiB, GiB.
Exit status: 0 the guest halted, switched off or reset; 1 the host or the program
failed; 2 the command line; 3 the guest died; 128+N signal N;
(V << 1) | 1 the guest wrote V to port 0xf4.
");

/// Prints what `--help` or `--version` asks for.
pub fn information(program: &CStr, command: Command) -> Result<(), Error> {
    let printed = print(libc::STDOUT_FILENO, &mut |text| match command {
        Command::Version => text.plain(t!(concat!("KOB-2M ", env!("CARGO_PKG_VERSION"), "\n"))),
        _ => text.say(HELP, &[program, DEFAULT_IMAGE, DEFAULT_BACKING].map(CStr::to_bytes), &[]),
    });
    printed.map_err(Call::WRITE_OUTPUT.failed())
}

/// Prints what `say` says, in one piece where it fits.
///
/// The text is made here and not in a caller: 4 KiB in a stack frame make all that is behind them in it dearer
/// to reach.
#[inline(never)]
pub fn print(fd: c_int, say: &mut dyn FnMut(&mut Text)) -> Result<(), Errno> {
    let mut text = Text::new(fd);
    say(&mut text);
    text.finish()
}

/// A message on standard error: the program's name, and what `say` adds.
#[inline(never)]
pub fn message(program: &CStr, say: &mut dyn FnMut(&mut Text)) {
    // Whether it could be written: there is nobody to tell.
    let _ = print(libc::STDERR_FILENO, &mut |text| {
        text.say(t!("%s: "), &[program.to_bytes()], &[]);
        say(text);
        text.plain(t!("\n"));
    });
}

/// In the order of [`Note`].
const NOTES: Lines<1, 1> = lines!(
    "no device at port %x: reads give ones, writes are lost; said once",
    "no RAM or device at address %x: reads give ones, writes are lost; said once",
    "address %x is read-only memory (KVM_MEM_READONLY): the write is lost; said once",
    "doorbell: %d means nothing",
    "doorbell: there is no dirty log without --dirty-log",
    "KVM_CAP_%s is absent: nothing of the kind will exit",
);

/// Tells what the user should know although the guest goes on.
pub fn note(program: &CStr, note: Note) {
    let (line, number) = match note {
        Note::UnansweredPort(port) => (0, port.into()),
        Note::UnansweredAddress(address) => (1, address),
        Note::ReadOnly(address) => (2, address),
        Note::UnknownRing(value) => (3, value.into()),
        Note::NoDirtyLog => (4, 0),
        Note::NoCapability(number) => (5, number.into()),
    };
    let capability = cap::name(number as u32);
    message(program, &mut |text| text.say(NOTES.get(line), &[capability], &[number]));
}

/// `KVM_SET_SREGS` refused these registers: says which rules they break.
pub fn bad_state(program: &CStr, regs: &kvm_regs, sregs: &kvm_sregs) {
    message(program, &mut |text| {
        text.plain(t!("KVM refuses these registers:"));
        registers::show(text, regs, sregs);
        death::rules(text, regs, sregs);
    });
}

/// `--dirty-log`: the pages of the slot, which begins at `base` and has `size` bytes, that were written.
pub fn dirty(program: &CStr, base: u64, size: u64, bitmap: &DirtyBitmap) {
    message(program, &mut |text| {
        text.plain(t!("pages written:"));
        let mut first = 0;
        // Page `size / PAGE_SIZE` is no page, and ends the last range.
        for page in 0..=size / PAGE_SIZE {
            if page < size / PAGE_SIZE && bitmap.is_dirty(page) {
                continue;
            }
            if page > first {
                let [from, to] = [first, page].map(|page| base + page * PAGE_SIZE);
                text.say(t!("\n  %x to %x: %d"), &[], &[from, to - 1, page - first]);
            }
            first = page + 1;
        }
    });
}

/// The exit status of a run that ended like this. What there is to be told has been told; a reader that has gone,
/// and a user who pressed Ctrl-C, know.
pub fn status(end: End) -> i32 {
    match end {
        End::OutputClosed => 128 + libc::SIGPIPE,
        End::Stopped(signal) => 128 + i32::from(signal),
        End::Halted | End::Done | End::Off | End::Reset | End::Left => HALTED,
        End::Status(status) => status.into(),
        End::Unfit => FAILED,
        End::Died => GUEST_DIED,
    }
}

/// The guest executed HLT; nothing could ever wake it, since no interrupt reaches it.
#[inline(never)]
pub fn halted(program: &CStr, regs: &kvm_regs, sregs: &kvm_sregs) {
    message(program, &mut |text| {
        text.say(
            t!("KVM_EXIT_HLT: the guest halted\n  RIP %x, CS base %x\n  RFLAGS.IF is %d: "),
            &[],
            &[regs.rip, sregs.cs.base, regs.rflags >> 9 & 1],
        );
        text.plain(match regs.rflags & RFLAGS_IF {
            0 => t!("no interrupt could wake it"),
            _ => t!("an interrupt could wake it, but nothing here sends one"),
        });
    });
}

/// What is wrong with a kernel, in the order of [`crate::boot::kernel::What`].
const REFUSALS: Lines<1, 1> = lines!(
    "%s: ENOEXEC: truncated: %d bytes are missing",
    "%s: E2BIG: RAM has %d bytes too few; raise --memory",
    "%s: ENOEXEC: %x is no free RAM",
    "%s: ENOEXEC: twice at %x",
    "%s: ENOEXEC: the entry %x is in no part of it",
    "%s: ENOEXEC: %d segments",
    "%s: ENOEXEC: no program for x86 (machine %d)",
    "%s: ENOEXEC: boot protocol %x is too old",
    "%s: ENOEXEC: 32 bits, and no Multiboot header",
    "%s: ENOEXEC: a bad header",
    "%s: ENOEXEC: unknown Multiboot flags %x",
    "%s: E2BIG: the initrds have %d bytes too many; raise --memory",
    "%s: E2BIG: the command line has %d bytes too many",
);

/// The name of an exit reason, without its `KVM_EXIT_`.
fn name(reason: u32) -> &'static [u8] {
    match reason::name(reason) {
        b"" => NOT_IN_6_1,
        name => name,
    }
}

const NOT_IN_6_1: &[u8] = b"(not in Linux 6.1)";

/// Tells what is wrong with the command line, and gives the exit status.
#[inline(never)]
pub fn usage(program: &CStr, wrong: Wrong, blame: &Blame) -> i32 {
    let template = WRONG.get(wrong as usize);
    message(program, &mut |text| {
        text.say(template, &[blame.word, blame.value], &blame.numbers);
        text.say(t!("\nTry: %s --help"), &[program.to_bytes()], &[]);
    });
    BAD_USAGE
}

/// In the order of [`Wrong`].
const WRONG: Lines<2, 3> = lines!(
    "%s: no such option",
    "%s: needs a value",
    "%s: takes no value",
    "%s: a second image",
    "%s %s: EINVAL: not a number such as 4096, 0x1000, 16M, or for --pause 0.25",
    "%s %s: EINVAL: must not be 0",
    "%s %s: EOVERFLOW: more than 64 bits hold",
    "--memory %z: EINVAL: not a multiple of 4 KiB",
    "--base %x: EINVAL: not a multiple of 4 KiB",
    "--memory %z, --base %x: E2BIG: RAM must end at %x or below, where KVM puts pages of its own",
    "%s %x: EFAULT: outside RAM, which is %x to %x",
    "%s %s: EINVAL: no such mode: real, protected, long or user",
    "%s %s: EINVAL: not a register and a value that fits, such as cs.type=3",
    "%s %s: E2BIG: too many",
    "%s %s: EINVAL: calls, exits or calls,exits",
    "%s %s: EINVAL: end or restart",
    "%s %s: E2BIG: at most %d",
    "%s: without --kernel",
    "--base %x: EINVAL: must be 0 for a kernel",
);

/// Tells what went wrong with the machine, and gives the exit status.
#[inline(never)]
pub fn error(options: &Options, error: Error) -> i32 {
    message(options.program, &mut |text| failure(text, options, error));
    match (error.call, error.errno.0) {
        (Call::SIZE_BACKING, libc::EINVAL) => BAD_USAGE,
        _ => FAILED,
    }
}

/// The call, its object, the error number by name, and the remedy.
fn failure(text: &mut Text, options: &Options, Error { call, errno }: Error) {
    if call == Call::KERNEL {
        let line = REFUSALS.get(errno.0 as usize);
        return text.say(line, &[options.image().to_bytes()], &[options.refused.get()]);
    }
    let object = match call {
        Call::MAP_RUN => b"kvm_run",
        Call::OPEN_IMAGE
        | Call::STAT_IMAGE
        | Call::READ_IMAGE
        | Call::OPEN_KERNEL
        | Call::READ_KERNEL => options.image().to_bytes(),
        Call::OPEN_INITRD | Call::READ_INITRD => b"--initrd",
        Call::CLONE => b"a vCPU's thread",
        Call::EVENTFD => b"an event",
        Call::OPEN_BACKING
        | Call::STAT_BACKING
        | Call::STATFS_BACKING
        | Call::LOCK_BACKING
        | Call::SIZE_BACKING
        | Call::EMPTY_BACKING
        | Call::MAP_BACKING
        | Call::MAP_BACKING_2M
        | Call::MAP_BACKING_1G => match options.backing {
            Backing::File(path) => path.to_bytes(),
            Backing::Anonymous => b"anonymous memory",
        },
        Call::WRITE_OUTPUT => b"standard output",
        _ => DEVICE.to_bytes(),
    };
    let words = [call.name(), object, errno.name()];
    text.say(t!("%s %s: %s (%d)"), &words, &[errno.0 as u64]);
    text.plain(remedy(call, errno));
    match (call, errno.0) {
        (Call::READ_IMAGE, libc::EFBIG) => {
            text.say(t!("\n  RAM has %z there"), &[], &[options.image_room()]);
        }
        (Call::MAP_BACKING_2M, libc::ENOMEM) => pool(text, options, 2 << 20),
        (Call::MAP_BACKING_1G, libc::ENOMEM) => pool(text, options, 1 << 30),
        _ => {}
    }
}

fn pool(text: &mut Text, options: &Options, page_size: u64) {
    let pool = Pool::read(page_size);
    let needed = options.memory / page_size;
    let missing = (needed + pool.reserved).saturating_sub(pool.free);
    text.say(
        t!("\n  %d pages of %z are needed; the pool has %d, %d free, of which %d are reserved\n  "),
        &[],
        &[needed, page_size, pool.total, pool.free, pool.reserved],
    );
    match missing {
        0 => text
            .plain(t!("That is enough: does the mount have a size=, or the shell a `ulimit -v`?")),
        _ => text.say(
            t!("As root: echo %d > /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages"),
            &[],
            &[pool.total + missing, page_size >> 10],
        ),
    }
}

/// Defines a table of calls, of the error numbers that they give, and of what then helps. Beside the texts an
/// entry takes twelve bytes and no relocation.
macro_rules! remedies {
    ($($call:expr, $($errno:ident)|+ => $text:literal)*) => {
        const REMEDIES: &[(Call, [u8; 4], u8)] = {
            let mut number = 0;
            &[$((
                $call,
                {
                    let given = [$(libc::$errno as u8),+];
                    let mut errnos = [0; 4];
                    let mut at = 0;
                    while at < given.len() {
                        errnos[at] = given[at];
                        at += 1;
                    }
                    errnos
                },
                {
                    number += 1;
                    number
                },
            )),*]
        };
        /// The first is for what is not in the table.
        const REMEDY_TEXTS: Lines<0, 0> = lines!("", $($text),*);
    };
}

remedies! {
    Call::OPEN_KVM, ENOENT | ENODEV | ENXIO =>
        ": no KVM in this kernel, or no module\n  As root: modprobe kvm_amd || modprobe kvm_intel"
    Call::OPEN_KVM, EACCES | EPERM => ": be root, or join its group: usermod -aG kvm USER"
    Call::ioctl(ioctl::KVM_GET_API_VERSION), ENOTTY =>
        ": not KVM's device\n  As root: rm /dev/kvm && mknod /dev/kvm c 10 232"
    Call::ioctl(ioctl::KVM_GET_API_VERSION), ENOSYS => ": not 12; take Linux 2.6.22 or later"
    Call::ioctl(ioctl::KVM_CREATE_VM), EBUSY => ": another hypervisor has the processor"
    Call::ioctl(ioctl::KVM_GET_VCPU_MMAP_SIZE), ERANGE => ": too small for struct kvm_run"
    Call::OPEN_IMAGE, ENOENT => ": no such image; `make install` brings one"
    Call::OPEN_KERNEL, ENOENT => ": no such file"
    Call::OPEN_KERNEL, EACCES | EPERM => ": you may not read it: chmod +r"
    Call::OPEN_KERNEL, EISDIR => ": a directory; name a file in it"
    Call::OPEN_KERNEL, ESPIPE => ": must be a file"
    Call::READ_KERNEL, EIO => ": it became shorter"
    Call::READ_KERNEL, EFAULT => ": the backing has no page for it: a limit of the hugetlb cgroup?"
    Call::CLONE, EAGAIN => ": raise ulimit -u"
    Call::ioctl(ioctl::KVM_CREATE_VCPU), E2BIG => ": more than KVM_CAP_MAX_VCPUS"
    Call::ioctl(ioctl::KVM_CREATE_VCPU), EMFILE => ": raise ulimit -n"
    Call::ioctl(ioctl::KVM_CREATE_IRQCHIP), ENOTTY => ": no interrupt controllers in this KVM"
    Call::OPEN_IMAGE, EACCES => ": you may not read it: chmod +r"
    Call::OPEN_IMAGE, EISDIR => ": a directory; name a file in it"
    Call::OPEN_BACKING, EISDIR => ": a directory; name a file in it"
    Call::READ_IMAGE, ENOEXEC => ": the file is empty; build it anew"
    Call::READ_IMAGE, EFBIG => ": too large; raise --memory, or lower --load (a --mode has the last 28 KiB)"
    Call::ioctl(ioctl::KVM_SET_SREGS), EINVAL => ": KVM refuses such registers: a reserved bit, or a rule broken"
    Call::ioctl(ioctl::KVM_SET_USER_MEMORY_REGION), EEXIST => ": RAM reaches 0xc0000000; lower --base or --memory"
    Call::OPEN_BACKING, ENOENT =>
        ": no such directory\n  As root: mkdir -p /mnt/HugePagefs && mount -t hugetlbfs none /mnt/HugePagefs"
    Call::OPEN_BACKING, EACCES | EPERM => ": be root, or use a --backing of yours"
    Call::OPEN_BACKING, ELOOP => ": a symbolic link; name the file itself"
    Call::STAT_BACKING, ENODEV => ": neither file nor character device"
    Call::STATFS_BACKING, EXDEV =>
        ": not on hugetlbfs, so its pages would be of 4 KiB\n  As root: mount -t hugetlbfs none /mnt/HugePagefs; or say --backing anon"
    Call::LOCK_BACKING, EAGAIN => ": another VM has it; end that VM, or name another --backing"
    Call::SIZE_BACKING, EINVAL => ": --memory is not a multiple of its page size: 2M, or 1G if mounted so"
    Call::MAP_BACKING, ENOMEM => ": more than the host gives; lower --memory"
    Call::MAP_BACKING, ENODEV | EINVAL | EACCES | EPERM => ": can't be mapped"
    Call::READ_IMAGE, EFAULT => ": the backing has no page for it: a limit of the hugetlb cgroup?"
    Call::ioctl(ioctl::KVM_RUN), EFAULT =>
        ": the backing has no page for it: a limit of the hugetlb cgroup?"
}

/// What commonly helps; begins with its punctuation, or is empty.
fn remedy(call: Call, errno: Errno) -> Prose<0, 0> {
    // An initrd is as a kernel is.
    let call = match call {
        Call::OPEN_INITRD => Call::OPEN_KERNEL,
        Call::READ_INITRD => Call::READ_KERNEL,
        call => call,
    };
    let fits =
        |(of, errnos, _): &&(Call, [u8; 4], u8)| *of == call && errnos.contains(&(errno.0 as u8));
    let text = REMEDIES.iter().find(fits).map_or(0, |(_, _, text)| *text);
    REMEDY_TEXTS.get(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::said;

    #[test]
    fn each_error_names_call_object_and_number() {
        let options =
            Options { backing: Backing::File(c"/ram"), image: c"/image", ..Options::DEFAULT };
        for (error, words) in [
            (Call::OPEN_KVM.error(libc::ENOENT), "open /dev/kvm: ENOENT (2): no KVM"),
            (Call::OPEN_KVM.error(libc::ENODEV), "open /dev/kvm: ENODEV (19): no KVM"),
            (Call::MAP_RUN.error(libc::ENOMEM), "mmap kvm_run: ENOMEM (12)"),
            (Call::STAT_IMAGE.error(libc::EIO), "fstat /image: EIO (5)"),
            // A remedy that it shares with the next in the table.
            (
                Call::OPEN_IMAGE.error(libc::EISDIR),
                "open /image: EISDIR (21): a directory; name a file in it",
            ),
            (
                Call::READ_IMAGE.error(libc::EFAULT),
                "read /image: EFAULT (14): the backing has no page for it",
            ),
            (Call::EMPTY_BACKING.error(95), "fallocate /ram: error (95)"),
            (Call::MAP_BACKING.error(libc::ENODEV), "mmap /ram: ENODEV (19): can't be mapped"),
            (
                Call::MAP_BACKING_1G.error(libc::ENOMEM),
                "mmap /ram: ENOMEM (12)\n  0 pages of 1 GiB are",
            ),
            (Call::WRITE_OUTPUT.error(libc::ENOSPC), "write standard output: ENOSPC (28)"),
            (
                Call::ioctl(ioctl::KVM_CREATE_VM).error(libc::EBUSY),
                "KVM_CREATE_VM /dev/kvm: EBUSY (16): another",
            ),
            (
                Call::ioctl(ioctl::KVM_RUN).error(libc::EFAULT),
                "KVM_RUN /dev/kvm: EFAULT (14): the backing",
            ),
        ] {
            let said = said(|text| failure(text, &options, error));
            assert!(said.contains(words), "{error:?}: {said}");
        }
    }

    #[test]
    fn each_kind_of_bad_word_has_a_line() {
        let line =
            |wrong: Wrong| said(|text| text.say(WRONG.get(wrong as usize), &[b"", b""], &[0; 3]));
        assert!(line(Wrong::UnknownOption).contains("no such"));
        assert!(line(Wrong::TooLarge).contains("EOVERFLOW"));
        assert!(line(Wrong::OutsideRam).contains("outside RAM"));
        assert!(line(Wrong::BadTrace).contains("calls,exits"));
    }
}
