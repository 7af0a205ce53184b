//! KOB-2M, "KVM on BiscuitOS with 2 MiB huge pages": a virtual machine through raw KVM ioctls.
//!
//! A floor knows those below it, never those above. To read from the first ioctl to HLT, begin
//! with [`machine`], which is the whole story in one function, and go down from there; to read
//! from the ground up, take them in this order:
//!
//! - [`words`], [`errno`]: names in one string; error numbers by name
//! - [`syscall`]: how the kernel is called
//! - [`sys`]: the raw KVM ABI
//! - [`error`]: all that can go wrong on this side of the guest
//! - [`signal`], [`fd`], [`text`]: what the system gives, owned and safe; text without allocation
//! - [`thread`], [`terminal`]: a thread for each vCPU, and what they share; the user's terminal
//! - [`look`]: files in which the kernel tells of itself
//! - [`layout`]: every guest-physical address and port
//! - [`x86`]: the processor's registers, bit by bit
//! - [`memory`]: guest RAM
//! - [`kvm`], [`vm`], [`vcpu`]: the three kinds of KVM descriptor, one floor: each makes the next
//! - [`exit`]: from a `kvm_run` page to a value
//! - [`boot`]: an image or a kernel into RAM, and the state in which the vCPU starts
//! - [`device`]: what answers a port or an address
//! - [`cli`]: the options
//! - [`view`]: guest memory, as the guest sees it
//! - [`report`]: everything that is printed, an instrument a file
//! - [`answer`]: what an exit is answered with
//! - [`machine`]: the wiring, and the run loop
//! - [`board`]: beside it, the same with several vCPUs and a thread for each
//! - [`inflate`]: beside the house: how the packed program gets out (`packed.rs`)
//!
//! `#[inline(never)]` is for size: a function of its own keeps large locals out of its caller's stack frame, and
//! what lies beyond 127 bytes of a frame is reached by longer instructions.
//!
//! `unsafe` stands where the kernel or the guest is met ([`syscall`], [`fd`], [`signal`], [`terminal`], [`thread`], [`memory`], [`vm`],
//! [`vcpu`], [`kvm`]), where a structure is seen as numbers ([`x86`], [`boot::mode`]), and where texts take their
//! words and numbers ([`words`], [`text`]); and in what unpacks the program ([`inflate`]).

#![cfg_attr(not(test), no_std)]

// What the fuzz targets and the unit tests share calls the library by its name.
#[cfg(test)]
extern crate self as kob_2m;

pub mod answer;
pub mod board;
pub mod boot;
pub mod cli;
pub mod device;
pub mod errno;
pub mod error;
pub mod exit;
pub mod fd;
pub mod inflate;
pub mod kvm;
pub mod layout;
pub mod look;
pub mod machine;
pub mod memory;
pub mod report;
pub mod signal;
pub mod sys;
pub mod syscall;
pub mod terminal;
pub mod text;
pub mod thread;
pub mod vcpu;
pub mod view;
pub mod vm;
pub mod words;
pub mod x86;
