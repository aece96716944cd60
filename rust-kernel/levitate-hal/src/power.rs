//! Turning the machine off through PSCI. Other CPUs are never started: firmware holds them until CPU_ON.

use crate::boot::Conduit;
use core::sync::atomic::{AtomicBool, Ordering};
use smccc::{Hvc, Smc, psci};

static SMC: AtomicBool = AtomicBool::new(false);

/// Remembers how to call firmware.
pub fn init(conduit: Conduit) {
    SMC.store(conduit == Conduit::Smc, Ordering::Relaxed);
}

/// Turns the machine off.
pub fn off() -> ! {
    let result = if SMC.load(Ordering::Relaxed) { psci::system_off::<Smc>() } else { psci::system_off::<Hvc>() };
    if let Err(error) = result {
        crate::console::print_stopping(format_args!("power-off failed: {error}\n"));
    }
    loop {
        aarch64_cpu::asm::wfi();
    }
}
