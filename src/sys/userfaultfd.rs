//! userfaultfd(2): `Documentation/admin-guide/mm/userfaultfd.rst`, `linux/userfaultfd.h`. A process fills missing pages of its own.

/// To the system call: only faults of user space are handled, which anyone may ask for. Linux 5.11.
pub const UFFD_USER_MODE_ONLY: u32 = 1;

/// The version of the interface.
pub const UFFD_API: u64 = 0xaa;

/// `UFFDIO_API`: the first request on such a descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct uffdio_api {
    pub api: u64,
    /// In: the features asked for. Out: those that this kernel has.
    pub features: u64,
    pub ioctls: u64,
}

/// In bytes; multiples of the pages' size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct uffdio_range {
    pub start: u64,
    pub len: u64,
}

/// `UFFDIO_REGISTER`: which part of the process' memory this is about.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct uffdio_register {
    pub range: uffdio_range,
    /// [`UFFDIO_REGISTER_MODE_MISSING`].
    pub mode: u64,
    pub ioctls: u64,
}

/// Pages that are missing.
pub const UFFDIO_REGISTER_MODE_MISSING: u64 = 1;

/// `UFFDIO_COPY`: makes missing pages of a copy.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct uffdio_copy {
    pub dst: u64,
    pub src: u64,
    pub len: u64,
    pub mode: u64,
    /// Filled in: how many bytes, or an errno's negative.
    pub copy: i64,
}

/// The three requests: as in [`super::ioctl`], with this driver's letter.
pub const UFFDIO_API: u32 = 0xc018_aa3f;
pub const UFFDIO_REGISTER: u32 = 0xc020_aa00;
pub const UFFDIO_COPY: u32 = 0xc028_aa03;
