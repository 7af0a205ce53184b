//! Files in which the kernel tells of itself: a number in each, or lines.

use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::text::Text;
use core::ffi::CStr;

/// The decimal number with which a file begins, whose name `say` spells; `None` where there is none, or no
/// such file.
#[inline(never)]
pub fn number(say: &mut dyn FnMut(&mut Text)) -> Option<u64> {
    let mut digits = [0; 20];
    named(say)?.read(&mut digits).ok()?;
    let mut number = None;
    for digit in digits.iter().map(|byte| byte.wrapping_sub(b'0')).take_while(|&digit| digit < 10) {
        number = Some(number.unwrap_or(0u64).wrapping_mul(10).wrapping_add(digit.into()));
    }
    number
}

/// The text of such a name is made here, in a frame of its own.
#[inline(never)]
fn named(say: &mut dyn FnMut(&mut Text)) -> Option<Fd> {
    let mut name = Text::new(-1);
    say(&mut name);
    open(name.path()).ok()
}

/// Opens a file to look into it.
pub fn open(path: &CStr) -> Result<Fd, Error> {
    Fd::open(Call::LOOK, path, libc::O_RDONLY, 0)
}

/// Calls `see` with each line of a file, which the kernel hands out whole.
#[inline(never)]
pub fn lines(path: &CStr, see: &mut dyn FnMut(&[u8])) {
    let mut bytes = [0; 4096];
    let Ok(file) = open(path) else { return };
    while let Ok(len @ 1..) = file.read(&mut bytes) {
        for line in bytes.get(..len).unwrap_or_default().split(|&byte| byte == b'\n') {
            see(line);
        }
    }
}
