//! The serial line as the line editor wants it.
//!
//! The editor asks the terminal for the cursor's position and waits for the answer before it takes a key. A pipe never
//! answers, and a person may type ahead of the answer; both would leave it stuck or confused. So the question is followed
//! here: the answer is handed on first, keys typed meanwhile wait, and when nobody answers the usual 24 by 80 is taken and
//! the question not asked again.

use crate::stack;
use alloc::collections::VecDeque;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};
use levitate_hal::console;
use levitate_hal::time::Deadline;
use levitate_utils::terminal::{PositionReport, Seen};

/// What the editor sends to ask for the position (ECMA-48, 8.3.35).
const QUESTION: &[u8] = b"\x1b[6n";
/// What it sends around that to learn the terminal's size: cursor saved, moved to the far corner, restored.
const SIZE_PROBE: [&[u8]; 3] = [b"\x1b7", b"\x1b[999;999H", b"\x1b8"];
const ANSWER_LIMIT_MS: u64 = 400;
const USUAL_ANSWER: &[u8] = b"\x1b[24;80R";

/// The serial line's two directions, for the editor.
pub struct Terminal {
    input: VecDeque<u8>,
    /// Nobody answered the first question: the other end is a pipe, or a program.
    silent: bool,
}

impl Terminal {
    /// The serial line; asks nothing yet.
    pub fn new() -> Self {
        Self { input: VecDeque::new(), silent: false }
    }

    /// Sends the question on and puts the answer in front of all that was typed.
    fn ask(&mut self) {
        let answer = if self.silent { None } else { self.hear_answer() };
        self.silent = answer.is_none();
        let answer = answer.as_ref().map_or(USUAL_ANSWER, PositionReport::held);
        answer.iter().rev().for_each(|byte| self.input.push_front(*byte));
    }

    fn hear_answer(&mut self) -> Option<PositionReport> {
        console::write(QUESTION);
        let mut report = PositionReport::new();
        let limit = Deadline::after_ms(ANSWER_LIMIT_MS);
        while !limit.passed() {
            let Some(byte) = console::read() else {
                continue;
            };
            match report.push(byte) {
                Seen::Maybe => {}
                Seen::Position { .. } => return Some(report),
                Seen::Typed => {
                    self.input.extend(report.held());
                    report.clear();
                }
            }
        }
        self.input.extend(report.held());
        None
    }
}

impl ErrorType for Terminal {
    type Error = Infallible;
}

impl Read for Terminal {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(place) = buffer.first_mut() else {
            return Ok(0);
        };
        loop {
            if let Some(byte) = self.input.pop_front().or_else(console::read) {
                *place = byte;
                return Ok(1);
            }
            stack::poll();
        }
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        if bytes == QUESTION {
            self.ask();
        } else if !(self.silent && SIZE_PROBE.contains(&bytes)) {
            console::write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
