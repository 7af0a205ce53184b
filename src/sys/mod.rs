//! ABIs, written by hand from the kernel's headers and from specifications.
//!
//! Every constant, structure and field keeps its C name, so that a reader can grep the kernel with it. KVM's numbers are
//! those of Linux 6.12's `include/uapi/linux/kvm.h` and, for x86, `arch/x86/include/uapi/asm/kvm.h`; `tests/abi.rs` has `cc`
//! check each of them. All x86 requests, exit reasons and capabilities are here; of structures, those that the program
//! and its lessons use. What is younger than Linux 5.0 says so. "api.rst" is the kernel's `Documentation/virt/kvm/api.rst`, and a
//! number after it is a section there.
//!
//! - [`ioctl`]: the requests
//! - [`exit`]: why `KVM_RUN` came back
//! - [`run`]: the page that user space and KVM share for a vCPU
//! - [`regs`]: registers and segments
//! - [`events`]: exceptions, interrupts and NMIs that are under way
//! - [`irqchip`]: interrupt controllers in the kernel, and events that it carries
//! - [`clock`]: the paravirtual clock, and the TSC's offset
//! - [`cpuid`]: what the guest's CPUID says
//! - [`memory`]: slots of guest memory, and which of their pages were written
//! - [`cap`]: what a kernel can do
//! - [`debug`]: single-stepping, and addresses as the guest sees them
//! - [`stats`]: KVM's statistics
//! - [`filter`]: which MSRs and performance events the guest may have
//! - [`mce`]: machine checks
//! - [`device`]: devices in the kernel with descriptors of their own
//! - [`hyperv`], [`xen`]: other hypervisors' interfaces
//! - [`userfaultfd`]: how a process fills missing pages of its own
//! - [`fw_cfg`]: how QEMU describes a machine
//! - [`bootparam`]: how Linux is started
//! - [`multiboot`]: how a Multiboot kernel is started
//! - [`pvh`]: how a kernel with a PVH entry is started

// C names are the point here.
#![allow(non_camel_case_types, non_snake_case)]

/// Constants, and a function that gives a value's name.
macro_rules! named {
    (
        $(#[$of_function:meta])* $name_of:ident:
        $($(#[$doc:meta])* $constant:ident = $value:expr;)*
    ) => {
        $($(#[$doc])* pub const $constant: u32 = $value;)*

        $(#[$of_function])*
        pub fn $name_of(value: u32) -> Option<&'static str> {
            match value {
                $($constant => Some(stringify!($constant)),)*
                _ => None,
            }
        }
    };
}
pub(crate) use named;

/// Likewise, with a table of all.
macro_rules! named_table {
    (
        $(#[$of_table:meta])* $table:ident,
        $(#[$of_function:meta])* $name_of:ident:
        $($(#[$doc:meta])* $constant:ident = $value:expr;)*
    ) => {
        $(#[$of_table])*
        pub const $table: &[(&str, u32)] = &[$((stringify!($constant), $constant)),*];

        $crate::sys::named! {
            $(#[$of_function])* $name_of:
            $($(#[$doc])* $constant = $value;)*
        }
    };
}

pub mod bootparam;
pub mod cap;
pub mod clock;
pub mod cpuid;
pub mod debug;
pub mod device;
pub mod events;
pub mod exit;
pub mod filter;
pub mod fw_cfg;
pub mod hyperv;
pub mod ioctl;
pub mod irqchip;
pub mod mce;
pub mod memory;
pub mod multiboot;
pub mod pvh;
pub mod regs;
pub mod run;
pub mod stats;
pub mod userfaultfd;
pub mod xen;

/// `KVM_GET_API_VERSION`'s one good answer since Linux 2.6.22; api.rst 4.1 says to refuse any other.
pub const KVM_API_VERSION: i32 = 12;
