//! The bench kernel: runs the cases that its command line names, and prints a line for each.
#![no_std]
#![no_main]

extern crate alloc;

mod c_paths;
mod case;
mod frames;
mod heap;
mod heap_paths;
mod machine;
mod meter;
mod raw_paths;
mod run;
mod safe_paths;
mod spy;

use crate::case::Case;
use core::panic::PanicInfo;
use machine::println;

#[global_allocator]
static HEAP: heap::Heap = heap::Heap::new();

aarch64_rt::entry!(main, 128);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    meter::init();
    machine::enable_timer();
    let mut buffer = [0; 16384];
    let cases = machine::command_line(&mut buffer);
    let Some(card) = machine::network_card() else {
        println!("error no network card");
        machine::off();
    };
    println!("bench counting={}", u8::from(meter::works()));
    for text in cases.split_whitespace().skip(1) {
        match Case::parse(text) {
            Some(case) => run::run(&case, card),
            None => println!("error case {text}"),
        }
    }
    println!("done");
    machine::off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("PANIC: {info}");
    machine::off()
}
