//! The serial line as the line editor wants it.
//!
//! The editor asks the terminal for the cursor's position and waits for the answer before it takes a key. A pipe never
//! answers, and a person may type ahead of the answer; both would leave it stuck or confused. So the question is followed
//! here: the answer is handed on first, keys typed meanwhile wait, and when nobody answers the usual 24 by 80 is taken, the
//! question not asked again, and only text sent.

use crate::stack;
use alloc::collections::VecDeque;
use alloc::format;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};
use levitate_hal::console;
use levitate_hal::time::Deadline;
use levitate_utils::terminal::{PlainText, PositionReport, Seen};

/// What the editor sends to ask for the position (ECMA-48, 8.3.35).
const QUESTION: &[u8] = b"\x1b[6n";
/// What it sends before that to learn the terminal's size.
const FAR_CORNER: &[u8] = b"\x1b[999;999H";
const ANSWER_LIMIT_MS: u64 = 400;
const USUAL_ROWS: usize = 24;
const USUAL_COLUMNS: usize = 80;

/// The serial line's two directions, for the editor.
pub struct Terminal {
    input: VecDeque<u8>,
    /// Where the cursor is taken to be when it is asked for: behind the prompt, or in the far corner.
    prompt_columns: usize,
    in_corner: bool,
    /// Nobody answered: the other end is a pipe, or a program.
    silent: bool,
    plain: PlainText,
}

impl Terminal {
    /// The serial line, for an editor with a prompt that wide. Asks once whether a terminal is there at all.
    pub fn new(prompt_columns: usize) -> Self {
        let mut terminal = Self {
            input: VecDeque::new(),
            prompt_columns,
            in_corner: false,
            silent: false,
            plain: PlainText::Text,
        };
        terminal.silent = terminal.hear_answer().is_none();
        terminal
    }

    /// Sends the question on and puts the answer in front of all that was typed.
    fn ask(&mut self) {
        let answer = if self.silent { None } else { self.hear_answer() };
        match answer {
            Some(report) => self.put_first(report.held()),
            None => {
                self.silent = true;
                let column = if self.in_corner { USUAL_COLUMNS } else { self.prompt_columns + 1 };
                self.put_first(format!("\x1b[{USUAL_ROWS};{column}R").as_bytes());
            }
        }
    }

    fn put_first(&mut self, bytes: &[u8]) {
        bytes.iter().rev().for_each(|byte| self.input.push_front(*byte));
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
        } else if self.silent {
            bytes.iter().filter_map(|byte| self.plain.push(*byte)).for_each(|byte| console::write(&[byte]));
        } else {
            console::write(bytes);
        }
        self.in_corner = bytes == FAR_CORNER;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
