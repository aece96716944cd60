//! What the kernel needs that knows nothing of the machine: the lock, and the pure parts that `cargo test` tries on the
//! host (text in and out, the frames of the exchange test).
#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod bootargs;
pub mod command;
pub mod frames;
pub mod mac;
pub mod tally;
pub mod terminal;

/// The kernel's lock: it spins, `new` is const and `lock` gives a guard.
pub use spin::mutex::SpinMutex as Spinlock;
