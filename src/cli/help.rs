//! The text of `--help`.

use crate::config::{DEFAULT_BACKING, DEFAULT_IMAGE};
use crate::layout::MAX_VCPUS;
use crate::show::Text;
use core::fmt;

/// `--help`.
pub struct Help<'a>(pub Text<'a>);

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let image = Text::from(DEFAULT_IMAGE);
        let backing = Text::from(DEFAULT_BACKING);
        write!(
            f,
            "\
Usage: {0} [OPTIONS] [IMAGE]

Runs IMAGE, a file of raw code, in a KVM virtual machine with one vCPU and RAM in
huge pages. What the guest writes to port 0x10 goes to standard output.
IMAGE is {image} by default.
With --kernel it runs a kernel instead: the guest's serial port is this terminal,
Ctrl-A X quits, Ctrl-A P presses the power button, and Ctrl-A ? lists the keys.

The machine:
  -m, --memory SIZE      RAM: default 16M, or 256M for a kernel
  -b, --backing WHAT     where RAM comes from:
                           FILE    on hugetlbfs, or a character device; default
                                   {backing}
                           memfd   2 MiB pages without a mount
                           thp     transparent huge pages
                           anon    4 KiB pages
      --base GPA         the guest-physical address where RAM starts: default 0
      --pause SECONDS    the pause after each line on port 0x10: default 6, or 0
                         for a kernel
      --set REG=VALUE    set a register before the start; may be repeated. REG is
                         rax to r15, rip, rflags, cr0, cr2, cr3, cr4, cr8, efer,
                         apic_base; or cs, ds, es, fs, gs, ss, tr, ldt with .base,
                         .limit, .selector, .type, .present, .dpl, .db, .s, .l,
                         .g, .avl, .unusable
  -c, --cpus N           vCPUs, 1 to {MAX_VCPUS}; with 2 or more, IMAGE gets --irqchip
      --cpu MODEL        the processor: host (default): all that KVM offers; max: and
                         what KVM emulates; baseline: what each 64-bit processor
                         has; then perhaps ,+FEATURE ,-FEATURE ,vendor= ,family=
                         ,model= ,stepping= ,brand=. --cpu help lists the features
                         that this host's KVM can offer
      --tsc-khz N        the frequency of the TSC: default the host's; a lower one
                         only where the processor can scale it
The board: interrupt controllers and a PC's devices, for a kernel, and for an IMAGE
with --irqchip:
      --irqchip [WHERE]  where the interrupt controllers are: full (default): in the
                         kernel; split: the local APICs in the kernel, the rest in
                         the program; none: in the program, without APICs, and so
                         one vCPU
      --reset WHAT       what a reset by the guest, or a triple fault, does: end
                         (default); restart: load and start it again, keep the
                         rest of RAM; cold: likewise, but clear RAM before
      --pit WHERE        where the interval timer is: kernel, program or none;
                         default kernel, but program for Linux, which hardly uses
                         it, and where the 8259s are in the program
      --no-pit           --pit none
      --no-hpet          no HPET
      --no-apic          interrupts by the two 8259 alone: the local APIC is off, and
                         no table tells of the I/O APIC; one vCPU
      --fw-cfg NAME=FILE add an item opt/NAME to fw_cfg; may be repeated
      --grace SECONDS    SIGTERM presses the power button if the guest listens to
                         it, and ends the run after this time, or when a second
                         signal comes; default 0: SIGTERM ends the run at once
An image:
      --load GPA         where IMAGE is loaded: default 0x1000
      --entry GPA        its first instruction: default where it is loaded
      --mode MODE        the vCPU's initial mode: real (default), protected,
                         long, user
A kernel:
  -k, --kernel FILE      a Linux bzImage or vmlinux, or a Multiboot or PVH kernel
      --protocol HOW     enter it by linux, multiboot or pvh; default: Linux by
                         linux, else multiboot where it has that header, else pvh
      --no-acpi          no ACPI tables
  -i, --initrd FILE      Linux' initrd, or a module; may be repeated
  -p, --append STRING    its command line; default for Linux: console=ttyS0
Instruments, on standard error:
      --trace[=WHAT]     each system call and each exit; WHAT is calls, exits, or
                         calls,exits
      --trace-file FILE  the same, into FILE
      --trace-format FORMAT
                         text (default), or timeline: FILE is for ui.perfetto.dev or
                         chrome://tracing, with a track for each vCPU
      --step             each instruction
      --stats[=WHEN]     exits, how long they took to handle, KVM's statistics, and
                         which pages KVM maps: at the end and when SIGUSR1 comes.
                         WHEN is end (default), or live: and one screen a second
      --gdb ADDRESS      a debugger can connect: gdb's target remote ADDRESS; a path
                         for a Unix socket, or :PORT on this host
      --gdb-wait         the guest waits for it before its first instruction
      --map              a picture of guest RAM: which pages the host has, and of
                         which size; at the end, and when SIGUSR1 comes
      --dirty-log        which pages the guest has written
      --replay           if the guest dies, run it again and show its last
                         instructions
A machine that is saved and goes on later:
      --save FILE        SIGUSR2 saves the machine to FILE. RAM on hugetlbfs stays in
                         its own file, and the run ends; other RAM is written to
                         FILE too, and the run goes on
      --save-ram FILE    likewise, but RAM is always written to FILE
      --restore FILE     let the machine in FILE go on, instead of IMAGE. Its RAM is
                         mapped privately, so that it can be restored again;
                         --backing reads it into other memory; with RAM's own
                         file it goes on in that. --grace, --gdb, --save and the
                         instruments, but --step and --replay, are given anew
Instead of running:
      --lesson NAME      show one request or exit of KVM with a small guest; list
                         lists them. --trace and --trace-file are all it takes
      --check            tell whether this machine would start here, and why not;
                         options of a run are checked, not carried out
  -h, --help             show this
  -V, --version          show the version
With --stats or --check:
      --json             one JSON object, for tools

SIZE, GPA and VALUE are decimal, or hexadecimal with 0x; K, M and G mean KiB, MiB
and GiB. A unique prefix of a long option is enough, and one dash before the whole
name: -kernel, -initrd, -append, -smp and --params work as in QEMU and kvmtool.

Exit status:
  0         the guest halted without the board, switched off or reset
  1         the host or this program failed
  2         the command line is wrong
  3         the guest died; or it halted, and no interrupt can wake it
  128+N     signal N
  2*V+1     the guest wrote V to port 0xf4; a message says so too

Examples:
  {0}                                        the first lesson
  {0} --stats --backing memfd --pause 0 touch.bin
  {0} -k bzImage -i initrd -c 2 -m 512M      Linux on two vCPUs
",
            self.0
        )
    }
}
