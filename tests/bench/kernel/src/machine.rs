//! The machine: QEMU's virt board with all of RAM and all devices mapped one to one, so that a device address is a pointer.

use aarch64_rt::{
    DEFAULT_MAIR, DEFAULT_SCTLR, DEFAULT_TCR, ExceptionHandlers, InitialPagetable, RegisterStateRef,
    exception_handlers, initial_pagetable,
};
use core::arch::asm;
use core::fmt::{self, Write};
use core::str;
use smccc::{Hvc, psci};

const UART: *mut u32 = 0x0900_0000 as *mut u32;
const UART_FLAGS: usize = 6;
const UART_TX_FULL: u32 = 1 << 5;
/// RAM behind the image, which `memory.ld` ends at 0x4120_0000.
pub const HEAP: (usize, usize) = (0x4200_0000, 0x0800_0000);
/// The virtio-mmio slots.
const SLOTS: (usize, usize, usize) = (0x0a00_0000, 32, 0x200);
const NETWORK_CARD: u32 = 1;

// Attributes of a block: valid, accessed, inner shareable; index 0 is device memory, index 1 normal write-back memory.
const BLOCK: usize = 1 | 1 << 10;
const NORMAL: usize = BLOCK | 1 << 2 | 3 << 8;
const NO_EXECUTE: usize = 3 << 53;

initial_pagetable!(
    {
        let mut table = [0; 512];
        table[0] = BLOCK | NO_EXECUTE;
        table[1] = NORMAL | 0x4000_0000;
        InitialPagetable(table)
    },
    DEFAULT_MAIR,
    DEFAULT_SCTLR,
    DEFAULT_TCR
);

/// The serial port.
pub struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: the registers of the board's PL011 are mapped, and one CPU runs.
            unsafe {
                while UART.add(UART_FLAGS).read_volatile() & UART_TX_FULL != 0 {}
                UART.write_volatile(byte.into());
            }
        }
        Ok(())
    }
}

/// Prints a line.
macro_rules! println {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        let _ = writeln!($crate::machine::Uart, $($argument)*);
    }};
}
pub(crate) use println;

/// The command line, by semihosting (SYS_GET_CMDLINE).
pub fn command_line(buffer: &mut [u8]) -> &str {
    let mut block = [buffer.as_mut_ptr() as u64, buffer.len() as u64];
    let failed: u64;
    // SAFETY: the block and the buffer are as the call wants them.
    unsafe {
        asm!("hlt #0xf000", inlateout("x0") 0x15u64 => failed, in("x1") block.as_mut_ptr(), options(nostack));
    }
    let text = if failed == 0 { buffer.get(..block[1] as usize) } else { None };
    str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
}

/// The registers of the network card.
pub fn network_card() -> Option<*mut u32> {
    let (base, count, size) = SLOTS;
    (0..count).map(|slot| (base + slot * size) as *mut u32).find(|registers| {
        // SAFETY: the slots' registers are mapped; DeviceID is at 8.
        unsafe { registers.add(2).read_volatile() == NETWORK_CARD }
    })
}

/// Turns the machine off.
pub fn off() -> ! {
    let _ = psci::system_off::<Hvc>();
    loop {
        core::hint::spin_loop();
    }
}

/// Nanoseconds since some moment.
pub fn now_ns() -> u64 {
    let (count, frequency): (u64, u64);
    // SAFETY: reading the virtual counter has no effects.
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", "mrs {}, cntfrq_el0", out(reg) count, out(reg) frequency, options(nostack));
    }
    (u128::from(count) * 1_000_000_000 / u128::from(frequency)) as u64
}

struct Handlers;

exception_handlers!(Handlers);

impl ExceptionHandlers for Handlers {
    extern "C" fn sync_current(state: RegisterStateRef) {
        let (syndrome, address): (u64, u64);
        // SAFETY: reading the two registers has no effects.
        unsafe { asm!("mrs {}, esr_el1", "mrs {}, far_el1", out(reg) syndrome, out(reg) address) };
        println!("PANIC: exception {syndrome:#x} at {:#x}, address {address:#x}", state.elr);
        off();
    }
}

/// The board's GICv2: distributor and CPU interface. The card's interrupt is that of the last virtio-mmio slot, 32 + 16 + 31.
const DISTRIBUTOR: *mut u32 = 0x0800_0000 as *mut u32;
const CPU_INTERFACE: *mut u32 = 0x0801_0000 as *mut u32;
const CARD_INTERRUPT: usize = 79;

/// Its interrupt is the CPU's own.
const TIMER_INTERRUPT: usize = 27;

/// Lets the card's interrupt reach this CPU.
pub fn enable_card_interrupt() {
    enable_interrupt(CARD_INTERRUPT);
}

/// Lets an interrupt reach this CPU. It stays masked there: a masked interrupt ends WFI too, and no handler is needed.
fn enable_interrupt(number: usize) {
    const ENABLE: usize = 0x100 / 4;
    const PRIORITY: usize = 0x400;
    const TARGET: usize = 0x800;
    // SAFETY: the registers are mapped, and one CPU runs.
    unsafe {
        DISTRIBUTOR.cast::<u8>().add(PRIORITY + number).write_volatile(0x80);
        DISTRIBUTOR.cast::<u8>().add(TARGET + number).write_volatile(1);
        DISTRIBUTOR.add(ENABLE + number / 32).write_volatile(1 << (number % 32));
        DISTRIBUTOR.write_volatile(1);
        CPU_INTERFACE.add(1).write_volatile(0xff);
        CPU_INTERFACE.write_volatile(1);
    }
}

/// Sleeps until the card interrupts, and calls the handler.
pub fn wait_for_interrupt(handler: impl FnOnce()) {
    // SAFETY: as above; acknowledge (0x0c) and end of interrupt (0x10) are a pair.
    unsafe {
        asm!("dsb sy", "wfi", options(nostack));
        let number = CPU_INTERFACE.add(3).read_volatile();
        handler();
        if number & 0x3ff < 1020 {
            CPU_INTERFACE.add(4).write_volatile(number);
        }
    }
}

/// Lets the virtual timer wake the CPU.
pub fn enable_timer() {
    enable_interrupt(TIMER_INTERRUPT);
}

/// Sleeps so long, which leaves the processor to QEMU. Needs the timer enabled.
pub fn sleep_us(microseconds: u64) {
    // SAFETY: nobody else uses the virtual timer. Turned off, it no longer asks for the interrupt, so that it need not be
    // acknowledged.
    unsafe {
        asm!(
            "mrs {ticks}, cntfrq_el0",
            "mul {ticks}, {ticks}, {us}",
            "udiv {ticks}, {ticks}, {million}",
            "msr cntv_tval_el0, {ticks}",
            "msr cntv_ctl_el0, {on}",
            "isb",
            "wfi",
            "msr cntv_ctl_el0, xzr",
            "isb",
            ticks = out(reg) _,
            us = in(reg) microseconds,
            million = in(reg) 1_000_000u64,
            on = in(reg) 1u64,
            options(nostack)
        );
    }
}
