//! The kernel polls and has no user mode, so every exception is a fault: it is shown, and the machine turned off. It is
//! handled on a stack of its own, so that a fault for want of stack is shown too.

use crate::{console, power};
use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable};
use aarch64_rt::{ExceptionHandlers, RegisterStateRef, Stack, exception_handlers};
use core::arch::asm;
use core::cell::UnsafeCell;

/// What an exception handler needs: formatting one line.
const PAGES: usize = 4;

struct HandlerStack(UnsafeCell<Stack<PAGES>>);

// SAFETY: only the exception entry of the one CPU that runs uses it.
unsafe impl Sync for HandlerStack {}

static HANDLER_STACK: HandlerStack = HandlerStack(UnsafeCell::new(Stack::new()));

/// Gives exceptions their own stack. The boot code left the program on SP_EL1, which is what exceptions are taken on; so
/// the program moves to SP_EL0, with the same value, and SP_EL1 becomes the handlers' stack.
pub fn init() {
    // SAFETY: the stack grows down from the end of the static, which nothing else uses. The program's stack pointer keeps
    // its value.
    unsafe {
        asm!(
            "mov {program}, sp",
            "msr sp_el0, {program}",
            "mov sp, {handlers}",
            "msr spsel, #0",
            program = out(reg) _,
            handlers = in(reg) HANDLER_STACK.0.get().add(1),
        );
    }
}

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
