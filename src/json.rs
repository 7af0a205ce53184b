//! JSON (RFC 8259), for tools: `--json`.

use core::fmt::{self, Display, Write};

/// Text as a JSON string.
pub struct JsonText<T>(pub T);

impl<T: Display> Display for JsonText<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_char('"')?;
        write!(Escaped(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// Writes text with escapes.
struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|char| match char {
            '"' | '\\' => write!(self.0, "\\{char}"),
            '\n' => self.0.write_str("\\n"),
            '\0'..' ' => write!(self.0, "\\u{:04x}", char as u32),
            _ => self.0.write_char(char),
        })
    }
}

/// A number, or `null` where it is not known.
pub struct JsonNumber(pub Option<u64>);

impl Display for JsonNumber {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(number) => number.fmt(f),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(JsonText("a \"b\" \\ \n\t é").to_string(), r#""a \"b\" \\ \n\u0009 é""#);
        assert_eq!(JsonNumber(Some(7)).to_string(), "7");
        assert_eq!(JsonNumber(None).to_string(), "null");
    }
}
