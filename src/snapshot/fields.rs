//! The fields of a state, one behind the other, little-endian and without gaps.
//!
//! One function per structure goes through its fields, to save them or to restore them: the two can't differ.
//!
//! ```text
//!   impl Field for Registers {
//!       fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
//!           visit!(fields; self.control, self.count);          saving: their bytes are written; restoring: they get their values
//!           fields.check(self.count < 8, "it counts to 7")     restoring only: what a snapshot says need not be true
//!       }
//!   }
//! ```

use crate::memory::plain::{Plain, bytes_of_mut, zeros};
use alloc::string::String;
use alloc::vec::Vec;

/// Where fields go to, or come from.
pub enum Fields<'a> {
    Save(&'a mut Vec<u8>),
    /// What is left to be read.
    Restore(&'a [u8]),
}

/// Why a section's contents are no state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Invalid(pub &'static str);

const TOO_SHORT: Invalid = Invalid("it ends too early");

impl Fields<'_> {
    /// Whether fields come from a snapshot.
    pub fn is_restoring(&self) -> bool {
        matches!(self, Fields::Restore(_))
    }

    /// So many bytes.
    pub fn bytes(&mut self, bytes: &mut [u8]) -> Result<(), Invalid> {
        match self {
            Fields::Save(to) => to.extend_from_slice(bytes),
            Fields::Restore(from) => {
                let (these, rest) = from.split_at_checked(bytes.len()).ok_or(TOO_SHORT)?;
                bytes.copy_from_slice(these);
                *from = rest;
            }
        }
        Ok(())
    }

    /// Several fields, in this order.
    pub fn each(&mut self, these: &mut [&mut dyn Field]) -> Result<(), Invalid> {
        these.iter_mut().try_for_each(|field| field.visit(self))
    }

    /// While restoring: fails with `why` unless `is_valid`.
    pub fn check(&self, is_valid: bool, why: &'static str) -> Result<(), Invalid> {
        if is_valid || !self.is_restoring() { Ok(()) } else { Err(Invalid(why)) }
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Invalid> {
        match self {
            Fields::Restore(rest) if !rest.is_empty() => Err(Invalid("it is too long")),
            _ => Ok(()),
        }
    }
}

/// What can be a field.
pub trait Field {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid>;
}

/// Goes through several fields, in this order.
macro_rules! visit {
    ($fields:expr; $($field:expr),+ $(,)?) => {
        $fields.each(&mut [$(&mut $field),+])?
    };
}
pub(crate) use visit;

/// Integers, and the kernel's structures.
impl<T: Plain> Field for T {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        fields.bytes(bytes_of_mut(core::slice::from_mut(self)))
    }
}

/// A byte, 0 or 1.
impl Field for bool {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut byte = u8::from(*self);
        byte.visit(fields)?;
        *self = byte != 0;
        fields.check(byte <= 1, "a flag is neither 0 nor 1")
    }
}

/// Whether there is a value, and then the value.
impl<T: Field + Copy + Default> Field for Option<T> {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut is_some = self.is_some();
        is_some.visit(fields)?;
        let mut value = self.unwrap_or_default();
        if is_some {
            value.visit(fields)?;
        }
        *self = is_some.then_some(value);
        Ok(())
    }
}

/// How many there are, and then each of them.
impl<T: Plain> Field for Vec<T> {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut count = self.len() as u32;
        count.visit(fields)?;
        if let Fields::Restore(from) = fields {
            // No room is made for elements that the section does not have.
            let size = (count as usize).checked_mul(size_of::<T>()).ok_or(TOO_SHORT)?;
            if size > from.len() {
                return Err(TOO_SHORT);
            }
            *self = alloc::vec![zeros(); count as usize];
        }
        fields.bytes(bytes_of_mut(self))
    }
}

/// Text in UTF-8.
impl Field for String {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut bytes = core::mem::take(self).into_bytes();
        bytes.visit(fields)?;
        *self = String::from_utf8(bytes).map_err(|_| Invalid("a text is not UTF-8"))?;
        Ok(())
    }
}

/// A device whose state can be saved.
pub trait Saved: Send + Sync {
    /// Saves its state; or takes over what was saved.
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid>;

    /// The whole machine was restored: from now on time goes on. Timers are set; what has happened meanwhile takes effect.
    fn restored(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct State {
        number: u32,
        is_on: bool,
        at: Option<u64>,
        bytes: Vec<u8>,
        name: String,
    }

    impl Field for State {
        fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
            visit!(fields; self.number, self.is_on, self.at, self.bytes, self.name);
            Ok(())
        }
    }

    fn saved(state: &mut State) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.visit(&mut Fields::Save(&mut bytes)).unwrap();
        bytes
    }

    #[test]
    fn what_is_saved_is_restored() {
        let mut state =
            State { number: 7, is_on: true, at: Some(9), bytes: vec![1, 2], name: "ä".into() };
        let bytes = saved(&mut state);
        assert_eq!(bytes.len(), 4 + 1 + 9 + 6 + 6);
        let mut restored = State::default();
        let mut fields = Fields::Restore(&bytes);
        restored.visit(&mut fields).unwrap();
        assert_eq!((restored, fields.end()), (state, Ok(())));
    }

    #[test]
    fn what_is_too_short_too_long_or_no_value_is_refused() {
        let mut state = State { bytes: vec![1; 3], ..State::default() };
        let bytes = saved(&mut state);
        for len in 0..bytes.len() {
            let cut = State::default().visit(&mut Fields::Restore(&bytes[..len]));
            assert_eq!(cut, Err(TOO_SHORT), "{len}");
        }
        let mut bad = bytes.clone();
        bad[4] = 2;
        assert!(State::default().visit(&mut Fields::Restore(&bad)).is_err());
        let mut huge = bytes.clone();
        huge[6..10].fill(0xff);
        assert_eq!(State::default().visit(&mut Fields::Restore(&huge)), Err(TOO_SHORT));
        let more = [&*bytes, &[0]].concat();
        let mut fields = Fields::Restore(&more);
        State::default().visit(&mut fields).unwrap();
        assert!(fields.end().is_err());
    }
}
