//! The machine below the kernel: QEMU's `virt` board, or any aarch64 machine with the same memory map, booted at EL1.
//!
//! Boot code, exception vectors, page tables, UART, firmware calls and heap come from crates; here they are put together.
#![no_std]

pub mod boot;
pub mod console;
pub mod exceptions;
pub mod heap;
pub mod memory;
pub mod power;
pub mod time;

pub use aarch64_rt::entry;
