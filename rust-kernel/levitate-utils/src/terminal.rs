//! Tells a terminal's answers apart from what a person types.
//!
//! The line editor asks the terminal where the cursor is (`ESC [ 6 n`, ECMA-48 device status report) and needs the answer
//! (`ESC [ row ; column R`) before anything else. On a serial line both come in one stream, in any order. For the other end
//! that is no terminal at all, [`PlainText`] leaves the editor's cursor movements out.

/// The longest answer kept: `ESC [ 9999 ; 9999 R`.
const CAPACITY: usize = 12;

/// What one more byte means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It may belong to an answer; wait for more.
    Maybe,
    /// The answer is complete.
    Position {
        /// Row, from 1.
        row: u16,
        /// Column, from 1.
        column: u16,
    },
    /// These bytes were typed: the ones held back, and the last one.
    Typed,
}

/// Recognises one cursor position report, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct PositionReport {
    held: [u8; CAPACITY],
    length: usize,
}

impl PositionReport {
    /// A recogniser that has seen nothing.
    pub const fn new() -> Self {
        Self { held: [0; CAPACITY], length: 0 }
    }

    /// The bytes held back so far, among them the last one given to [`Self::push`].
    pub fn held(&self) -> &[u8] {
        &self.held[..self.length]
    }

    /// Forgets the bytes held back.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Takes one byte. After [`Seen::Typed`] and [`Seen::Position`] the caller reads [`Self::held`] as it likes and clears.
    pub fn push(&mut self, byte: u8) -> Seen {
        self.held[self.length] = byte;
        self.length += 1;
        let fits = match self.length {
            1 => byte == 0x1b,
            2 => byte == b'[',
            _ => byte.is_ascii_digit() || byte == b';' || byte == b'R',
        };
        if fits && byte == b'R' {
            return self.position().unwrap_or(Seen::Typed);
        }
        if fits && self.length < CAPACITY { Seen::Maybe } else { Seen::Typed }
    }

    fn position(&self) -> Option<Seen> {
        let body = self.held().strip_prefix(b"\x1b[")?.strip_suffix(b"R")?;
        let (row, column) = core::str::from_utf8(body).ok()?.split_once(';')?;
        let (row, column) = (row.parse().ok()?, column.parse().ok()?);
        (row > 0 && column > 0).then_some(Seen::Position { row, column })
    }
}

/// Drops carriage returns and escape sequences (ECMA-48: `ESC` and one byte, or `ESC [`, parameters and a final byte).
#[derive(Clone, Copy, Debug, Default)]
pub enum PlainText {
    /// In plain text.
    #[default]
    Text,
    /// Behind `ESC`.
    Escape,
    /// Behind `ESC [`.
    Sequence,
}

impl PlainText {
    /// Takes one byte and gives it back if it is text.
    pub fn push(&mut self, byte: u8) -> Option<u8> {
        *self = match (*self, byte) {
            (_, 0x1b) => Self::Escape,
            (Self::Text, b'\r') => Self::Text,
            (Self::Text, _) => return Some(byte),
            (Self::Escape, b'[') => Self::Sequence,
            (Self::Escape, _) | (Self::Sequence, 0x40..=0x7e) => Self::Text,
            (Self::Sequence, _) => Self::Sequence,
        };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn only_text_is_left() {
        let mut plain = PlainText::default();
        let left: Vec<u8> =
            b"\x1b7\x1b[999;999H\x1b8\r\x1b[Ja\x1b[24;12Hb[1".iter().filter_map(|b| plain.push(*b)).collect();
        assert_eq!(left, b"ab[1");
    }

    fn feed(bytes: &[u8]) -> (Vec<Seen>, PositionReport) {
        let mut report = PositionReport::new();
        let seen = bytes.iter().map(|byte| report.push(*byte)).collect();
        (seen, report)
    }

    #[test]
    fn an_answer_is_recognised() {
        let (seen, _) = feed(b"\x1b[24;80R");
        assert_eq!(seen.last(), Some(&Seen::Position { row: 24, column: 80 }));
        assert!(seen[..seen.len() - 1].iter().all(|seen| *seen == Seen::Maybe));
    }

    #[test]
    fn typed_bytes_come_back() {
        for typed in [&b"a"[..], b"\x1b[A", b"\x1bx", b"\x1b[R", b"\x1b[0;0R", b"\x1b[1R", b"\x1b[111111111;"] {
            let (seen, report) = feed(typed);
            assert_eq!(seen.last(), Some(&Seen::Typed), "{typed:?}");
            assert_eq!(report.held(), typed);
        }
    }

    #[test]
    fn it_starts_again_after_clear() {
        let (_, mut report) = feed(b"\x1b[1");
        report.clear();
        assert_eq!(report.push(b'q'), Seen::Typed);
        assert_eq!(report.held(), b"q");
    }
}
