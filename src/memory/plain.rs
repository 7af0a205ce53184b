//! Values that are the same as their bytes: the kernel's structures, and what lies in guest RAM and in files.

use core::mem::MaybeUninit;

/// A type for which any bytes are a value, and that has no gaps: integers, arrays of them, and structures of them.
///
/// # Safety
/// The type is what this says.
pub unsafe trait Plain: Copy {}
// SAFETY: integers.
unsafe impl Plain for u8 {}
// SAFETY: integers.
unsafe impl Plain for u16 {}
// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}
// SAFETY: integers.
unsafe impl Plain for i64 {}
// SAFETY: an array has no gaps.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A value whose bytes are all zeros.
pub fn zeros<T: Plain>() -> T {
    // SAFETY: any bytes are such a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// The bytes of plain values.
pub fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: such values have no gaps, so that all their bytes may be read.
    unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Likewise, to be changed.
pub fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: likewise; and any bytes are such values.
    unsafe { core::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}
