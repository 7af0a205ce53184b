//! KOB-2M, "KVM on BiscuitOS with 2 MiB huge pages": a virtual machine through raw KVM ioctls.
//!
//! A module knows those above it in this list, never those below. This is also the order in which to read them from the
//! ground up. To read the story from `main` to `KVM_RUN` and back first, take these: [`machine::builder`] puts the machine
//! together, [`machine::vcpu_thread`] runs the guest, [`machine::exit_handler`] answers its exits, [`machine::run`] and
//! [`machine::event_loop`] do the rest.
//!
//! - [`sys`]: the raw ABIs, by hand: KVM's, Linux' boot protocol, Multiboot
//! - [`crc32`]: a checksum
//! - [`show`]: how sizes, bits and names are shown
//! - [`json`]: likewise, for tools
//! - [`host`]: what the operating system gives, owned and safe
//! - [`x86`]: the processor's registers, bit by bit
//! - [`layout`]: every guest-physical address, port and interrupt line
//! - [`config`]: what the machine shall be
//! - [`memory`]: guest RAM
//! - [`snapshot`]: a machine's saved state: its file, and how a state becomes bytes and back
//! - [`kvm`]: the kinds of KVM descriptor, and what an exit says
//! - [`lifecycle`]: whether the machine runs and how its run ended; a vCPU's states, and the kick
//! - [`output`]: standard output and standard error
//! - [`bus`]: which device answers which port or address
//! - [`devices`]: the devices, one file each
//! - [`boot`]: an image or a kernel into RAM, and the state in which it starts
//! - [`inspect`]: instruments and reports
//! - [`machine`]: the machine, put together and run
//! - [`control`]: what drives a running machine from outside: a debugger
//! - [`lessons`]: one request or exit of KVM each, without the machine
//! - [`cli`]: the command line
//!
//! `unsafe` stands in [`host`], [`memory`] and [`kvm`], where the kernel or the guest is met, and where bytes of a file or of RAM
//! are seen as a structure of [`sys`] ([`boot`], `devices/fw_cfg.rs`) or a guest's code as bytes (`lessons/lab.rs`).

#![cfg_attr(not(test), no_std)]

extern crate alloc;
// What the fuzz targets and the unit tests share calls the library by its name.
#[cfg(test)]
extern crate self as kob_2m;

pub mod boot;
pub mod bus;
pub mod cli;
pub mod config;
pub mod control;
pub mod crc32;
pub mod devices;
pub mod host;
pub mod inspect;
pub mod json;
pub mod kvm;
pub mod layout;
pub mod lessons;
pub mod lifecycle;
pub mod machine;
pub mod memory;
pub mod output;
pub mod show;
pub mod snapshot;
pub mod sys;
pub mod x86;
