//! The machine below the echo: how it starts, where its card is, and memory for devices.
//!
//! All that is unsafe in these images is here, as it is in a kernel's lowest crate.
#![no_std]
#![no_main]

#[allow(dead_code, reason = "an image uses one of the two buses")]
#[cfg_attr(target_arch = "aarch64", path = "boot/aarch64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "boot/riscv64.rs")]
#[cfg_attr(target_arch = "x86_64", path = "boot/x86_64.rs")]
mod boot;
mod card;
mod memory;

use core::fmt::{self, Write};

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(boot::put);
        Ok(())
    }
}

fn main() -> ! {
    let Some(card) = card::find() else {
        let _ = writeln!(Console, "no card");
        boot::off(false);
    };
    let outcome = echo::serve(card, &mut Console);
    if let Err(trouble) = &outcome {
        let _ = writeln!(Console, "{trouble:?}");
    }
    boot::off(outcome.is_ok());
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let _ = writeln!(Console, "{info}");
    boot::off(false);
}
