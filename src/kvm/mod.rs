//! The kinds of KVM descriptor: the system, a VM, a vCPU, a device. The system makes VMs, a VM makes the others; each has one method for
//! each ioctl. Methods for one subject stand in a file of their own, such as [`injection`].

pub mod backend;
mod controllers;
pub mod cpuid;
pub mod descriptor;
pub mod device;
pub mod dirty_log;
pub mod exit;
mod filter;
mod guest_memfd;
mod hyperv;
pub mod injection;
pub mod interrupt_line;
pub mod routing;
pub mod run_page;
pub mod system;
pub mod vcpu;
pub mod vcpu_state;
pub mod vm;
pub mod vm_state;
mod xen;

pub use system::Kvm;
pub use vcpu::Vcpu;
pub use vm::Vm;

use crate::host::errno::TOO_MANY_FILES;
use crate::host::syscall::{CallError, Name};
use crate::sys::KVM_API_VERSION;
use crate::sys::ioctl::*;
use core::fmt;
use descriptor::Kind;

/// Why KVM does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// `/dev/kvm` can't be opened.
    Open(CallError),
    /// `KVM_GET_API_VERSION` gave another version than ours.
    ApiVersion(i32),
    /// `KVM_GET_VCPU_MMAP_SIZE` gave less than `struct kvm_run` needs.
    RunPageSize(usize),
    /// mmap(2) of a vCPU's `kvm_run` failed.
    MapRunPage(CallError),
    /// `mmap(2)` of a vCPU's dirty ring failed.
    MapDirtyRing(CallError),
    /// There can't be as many vCPUs.
    TooManyVcpus { wanted: u32, most: u32 },
    /// `KVM_SET_USER_MEMORY_REGION` is to show more than the region has, or memory that is not the VM's.
    NotItsRam,
    /// KVM does not have this MSR, or refuses the value.
    Msr { kind: Kind, request: u32, index: u32 },
    /// There is no eventfd for KVM to use.
    Event(CallError),
    /// An ioctl failed, on this kind of descriptor.
    Ioctl { kind: Kind, error: CallError },
}

impl Error {
    /// Whether this kernel does not have the request.
    pub fn is_unknown_request(&self) -> bool {
        matches!(self, Error::Ioctl { error, .. } if error.is(libc::ENOTTY))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Error::Open(error) => {
                write!(f, "open /dev/kvm: {}", error.errno)?;
                f.write_str(match error.errno.0 {
                    libc::ENOENT | libc::ENODEV | libc::ENXIO => {
                        ": no KVM in this kernel, or no module\n  \
                         As root: modprobe kvm_amd || modprobe kvm_intel"
                    }
                    libc::EACCES | libc::EPERM => {
                        ": permission denied\n  Be root, or join the group that may (ls -l /dev/kvm); \
                         often: usermod -aG kvm USER"
                    }
                    libc::EMFILE => TOO_MANY_FILES,
                    _ => "",
                })
            }
            Error::ApiVersion(version) => write!(
                f,
                "KVM_GET_API_VERSION on /dev/kvm: version {version} and not {KVM_API_VERSION}\n  \
                 Take Linux 5.0 or later"
            ),
            Error::RunPageSize(size) => write!(
                f,
                "KVM_GET_VCPU_MMAP_SIZE on /dev/kvm: {size} bytes are too few for struct kvm_run"
            ),
            Error::MapRunPage(error) => write!(f, "mmap kvm_run: {}", error.errno),
            Error::MapDirtyRing(error) => write!(f, "mmap dirty ring: {}", error.errno),
            Error::TooManyVcpus { wanted, most } => {
                write!(f, "--cpus {wanted}: this KVM allows {most} at most (KVM_CAP_MAX_VCPUS)")
            }
            Error::NotItsRam => {
                f.write_str("a memory slot can show no more than a region of its VM's RAM")
            }
            Error::Msr { kind, request, index } => {
                write!(f, "{} on {kind}: KVM refuses MSR {index:#x}", Name::Request(request))
            }
            Error::Event(CallError { call, errno }) => {
                write!(f, "{call}: {errno}")?;
                f.write_str(if errno.0 == libc::EMFILE { TOO_MANY_FILES } else { "" })
            }
            Error::Ioctl { kind, error: CallError { call, errno } } => {
                write!(f, "{call} on {kind}: {errno}")?;
                let Name::Request(request) = call else { return Ok(()) };
                f.write_str(match (request, errno.0) {
                    (KVM_GET_API_VERSION, libc::ENOTTY) => {
                        ": not KVM's device\n  As root: rm /dev/kvm && mknod /dev/kvm c 10 232"
                    }
                    (KVM_CREATE_VM, libc::EBUSY) => ": another hypervisor uses the processor",
                    (_, libc::EMFILE) => TOO_MANY_FILES,
                    (KVM_CREATE_IRQCHIP, libc::ENOTTY) => ": no interrupt controllers in this KVM",
                    (
                        KVM_SET_SREGS | KVM_SET_SREGS2 | KVM_SET_XCRS | KVM_SET_XSAVE
                        | KVM_SET_DEBUGREGS | KVM_SET_VCPU_EVENTS | KVM_SET_NESTED_STATE,
                        libc::EINVAL,
                    ) => {
                        ": KVM refuses these registers: a reserved bit is set, or a rule is broken"
                    }
                    (KVM_SET_TSC_KHZ, libc::EINVAL) => {
                        ": this processor can't give a guest's TSC that speed\n  Take another --tsc-khz, or none"
                    }
                    (KVM_SET_USER_MEMORY_REGION, libc::EEXIST) => {
                        ": RAM lies there already, because of --base"
                    }
                    (KVM_RUN, libc::EFAULT) => {
                        ": the host has no page for what the guest touched\n  \
                         Has the hugetlb cgroup reached its limit, or does the device refuse?"
                    }
                    _ => "",
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::errno::Errno;

    #[test]
    fn an_error_names_call_object_and_number() {
        let ioctl = |kind, request, errno| {
            let error = CallError { call: Name::Request(request), errno: Errno(errno) };
            Error::Ioctl { kind, error }
        };
        let function = Name::Function("open");
        let open = CallError { call: function, errno: Errno(libc::ENODEV) };
        for (error, words) in [
            (Error::Open(open), "open /dev/kvm: ENODEV (19): no KVM"),
            (
                ioctl(Kind::System, KVM_CREATE_VM, libc::EBUSY),
                "KVM_CREATE_VM on /dev/kvm: EBUSY (16): another",
            ),
            (ioctl(Kind::Vm, KVM_CREATE_PIT2, libc::EIO), "KVM_CREATE_PIT2 on a VM: EIO (5)"),
            (ioctl(Kind::Vcpu, 0xae99, libc::EIO), "ioctl 0xae99 on a vCPU: EIO (5)"),
        ] {
            assert!(error.to_string().starts_with(words), "{error}");
        }
    }
}
