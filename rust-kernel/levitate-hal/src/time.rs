//! Monotonic time from the generic timer's virtual counter. No interrupts: who waits, polls with a [`Deadline`].

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{CNTFRQ_EL0, CNTVCT_EL0, Readable};

/// Microseconds since the counter started.
pub fn now_us() -> u64 {
    // Without it the counter may be read ahead of what the program did before.
    barrier::isb(barrier::SY);
    let frequency = CNTFRQ_EL0.get().max(1);
    let ticks = CNTVCT_EL0.get();
    (ticks / frequency) * 1_000_000 + (ticks % frequency) * 1_000_000 / frequency
}

/// The end of a bounded wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(u64);

impl Deadline {
    /// A wait of so many milliseconds from now.
    pub fn after_ms(milliseconds: u64) -> Self {
        Self(now_us() + milliseconds * 1000)
    }

    /// Whether the time is over.
    pub fn passed(self) -> bool {
        now_us() >= self.0
    }
}
