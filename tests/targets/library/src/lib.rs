//! Nothing but Rust's own library.
#![no_std]

extern crate alloc;
