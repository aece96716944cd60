//! A small kernel of LevitateOS' shape for QEMU's `virt` board: it finds the virtio NIC and disk, and shows that the C
//! driver's NIC serves a Rust network stack. `levitate_utils::bootargs` lists what it can be asked to do.
#![no_std]
#![no_main]

extern crate alloc;
// With the feature `rust-net` the other driver takes the C driver's name, so that the rest is the same for both.
#[cfg(feature = "rust-net")]
extern crate rust_net as virtio_net_c;

mod arp;
mod block;
mod check;
mod exchange;
mod logger;
mod net;
mod netinfo;
mod shell;
mod stack;
mod terminal;
mod virtio;

use core::panic::PanicInfo;
use levitate_hal::boot::BootInfo;
use levitate_hal::{console, exceptions, heap, memory, power};
use levitate_utils::bootargs::{self, Mode};

/// Prints a line on the serial console.
macro_rules! println {
    () => {
        levitate_hal::console::print(format_args!("\n"))
    };
    ($($argument:tt)*) => {
        levitate_hal::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
pub(crate) use println;

/// Prints a line in a kernel built with the feature `verbose`.
macro_rules! verbose {
    ($($argument:tt)*) => {
        if cfg!(feature = "verbose") {
            crate::println!($($argument)*)
        }
    };
}
pub(crate) use verbose;

/// How long the boot into the monitor waits for a lease; `dhcp` asks again.
const BOOT_DHCP_MS: u64 = 4000;

levitate_hal::entry!(main, 64);

fn main(x0: u64, _: u64, _: u64, _: u64) -> ! {
    let info = BootInfo::read(x0);
    power::init(info.conduit);
    let (heap_start, heap_size) = memory::init(info.ram);
    console::init();
    exceptions::init();
    // SAFETY: `memory::init` has just mapped this RAM for the heap alone.
    unsafe { heap::init(heap_start, heap_size) };
    logger::init();

    println!("LevitateOS-shaped kernel, {} MiB RAM", info.ram.1 >> 20);
    if !info.tree_found {
        println!("Boot: no device tree, using defaults");
    }
    virtio::init();
    netinfo::show_device();
    let mode = bootargs::parse(info.bootargs()).unwrap_or_else(|error| {
        println!("Boot arguments: {error}");
        Mode::Monitor
    });
    match mode {
        Mode::Check => check::run(),
        Mode::Exchange { frames, seed } => exchange::run(frames, seed),
        Mode::Monitor => {
            stack::init();
            stack::show_dhcp(BOOT_DHCP_MS);
            shell::run();
        }
    }
    net::close();
    power::off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // One line, whatever the message holds.
    match info.location() {
        Some(place) => console::print_stopping(format_args!("PANIC: {} at {place}\n", info.message())),
        None => console::print_stopping(format_args!("PANIC: {}\n", info.message())),
    }
    power::off()
}
