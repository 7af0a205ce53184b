//! Devices in the kernel, with descriptors of their own: api.rst 4.79.

/// What `KVM_CREATE_DEVICE` takes and fills.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_create_device {
    /// `KVM_DEV_TYPE_*`.
    pub r#type: u32,
    /// Out: the descriptor.
    pub fd: u32,
    /// 0, or [`KVM_CREATE_DEVICE_TEST`].
    pub flags: u32,
}

/// Only ask whether there is such a device.
pub const KVM_CREATE_DEVICE_TEST: u32 = 1;
/// What ties VFIO's devices to the VM: `Documentation/virt/kvm/devices/vfio.rst`. The only one on x86.
pub const KVM_DEV_TYPE_VFIO: u32 = 4;
/// Its group of attributes about files of VFIO's; those before Linux 6.6 call it `KVM_DEV_VFIO_GROUP`.
pub const KVM_DEV_VFIO_FILE: u32 = 1;
/// Adds such a file.
pub const KVM_DEV_VFIO_FILE_ADD: u64 = 1;

/// `KVM_GET_DEVICE_ATTR` and its like: api.rst 4.80.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_device_attr {
    pub flags: u32,
    /// Which kind of attributes.
    pub group: u32,
    /// Which one of them.
    pub attr: u64,
    /// Where its value lies in user space.
    pub addr: u64,
}

/// The group, and attribute, of `/dev/kvm`: which extended states guests may have, as in XCR0. Linux 5.17.
pub const KVM_X86_XCOMP_GUEST_SUPP: u64 = 0;
