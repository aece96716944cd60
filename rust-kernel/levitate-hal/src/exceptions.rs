//! The kernel polls and has no user mode, so every exception is a fault: it is shown, and the machine turned off.

use crate::{console, power};
use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};
use aarch64_rt::{ExceptionHandlers, RegisterStateRef, exception_handlers};

struct Handlers;

exception_handlers!(Handlers);

impl ExceptionHandlers for Handlers {
    extern "C" fn sync_current(state: RegisterStateRef) {
        stop("synchronous exception", state);
    }

    extern "C" fn irq_current(state: RegisterStateRef) {
        stop("unexpected IRQ", state);
    }

    extern "C" fn fiq_current(state: RegisterStateRef) {
        stop("unexpected FIQ", state);
    }

    extern "C" fn serror_current(state: RegisterStateRef) {
        stop("SError", state);
    }

    extern "C" fn sync_lower(state: RegisterStateRef) {
        stop("synchronous exception from EL0", state);
    }

    extern "C" fn irq_lower(state: RegisterStateRef) {
        stop("IRQ from EL0", state);
    }

    extern "C" fn fiq_lower(state: RegisterStateRef) {
        stop("FIQ from EL0", state);
    }

    extern "C" fn serror_lower(state: RegisterStateRef) {
        stop("SError from EL0", state);
    }
}

fn stop(what: &str, state: RegisterStateRef) -> ! {
    let (esr, far) = (ESR_EL1.get(), FAR_EL1.get());
    console::print_stopping(format_args!("PANIC: {what}: ESR={esr:#x} FAR={far:#018x} ELR={:#018x}\n", state.elr));
    power::off();
}
