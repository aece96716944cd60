//! The bench kernel: runs the cases that its command line names, and prints a line for each.
#![no_std]
#![no_main]

extern crate alloc;

mod c_paths;
mod case;
mod machine;
mod meter;
mod run;

use crate::case::Case;
use core::panic::PanicInfo;
use levitate_utils::Spinlock;
use machine::println;
use talc::TalcLock;
use talc::source::Manual;

#[global_allocator]
static GLOBAL_HEAP: TalcLock<Spinlock<()>, Manual> = TalcLock::new(Manual);

aarch64_rt::entry!(main, 128);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    let (start, size) = machine::HEAP;
    // SAFETY: the memory lies behind the image, and nobody else uses it.
    let _ = unsafe { GLOBAL_HEAP.lock().claim(start, size) };
    meter::init();
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
