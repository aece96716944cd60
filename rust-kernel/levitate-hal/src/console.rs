//! The serial console, a PL011 UART.

use crate::memory;
use crate::time::Deadline;
use arm_pl011_uart::{DataBits, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer};
use core::fmt::{self, Write};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use levitate_utils::Spinlock;

const BAUD: u32 = 115_200;
/// The clock that `virt` gives its UART.
const CLOCK_HZ: u32 = 24_000_000;
/// A byte that the UART does not take within this time is dropped: a wedged console must not stop the kernel.
const WRITE_LIMIT_MS: u64 = 1000;

/// Where the registers are mapped now: one to one by the boot page table, above [`memory`]'s offset later.
static REGISTERS: AtomicUsize = AtomicUsize::new(memory::UART);
static CONSOLE: Spinlock<Option<Console>> = Spinlock::new(None);

struct Console(Uart<'static>);

// SAFETY: the UART's registers can be used from any CPU.
unsafe impl Send for Console {}

impl Console {
    fn new() -> Option<Self> {
        let registers = NonNull::new(REGISTERS.load(Ordering::Relaxed) as *mut PL011Registers)?;
        // SAFETY: the address is that of a PL011, mapped as device memory. Only `init` and `print_stopping` get here: the
        // first before all use, the second when nothing else will run any more.
        Some(Self(Uart::new(unsafe { UniqueMmioPointer::new(registers) })))
    }

    fn write_byte(&mut self, byte: u8) {
        if self.0.is_tx_fifo_full() {
            let limit = Deadline::after_ms(WRITE_LIMIT_MS);
            while self.0.is_tx_fifo_full() {
                if limit.passed() {
                    return;
                }
                core::hint::spin_loop();
            }
        }
        self.0.write_word(byte);
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.write_byte(byte));
        Ok(())
    }
}

/// Opens the console; needs the mappings of [`memory::init`].
pub fn init() {
    REGISTERS.store(memory::to_virtual(memory::UART) as usize, Ordering::Relaxed);
    let mut console = Console::new();
    if let Some(console) = &mut console {
        let line = LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
        // QEMU ignores the rate, so a refusal loses nothing.
        let _ = console.0.enable(line, BAUD, CLOCK_HZ);
    }
    *CONSOLE.lock() = console;
}

/// Prints text; what `println!` of the kernel ends in.
pub fn print(text: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        let _ = console.write_fmt(text);
    }
}

/// Writes bytes as they are.
pub fn write(bytes: &[u8]) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        bytes.iter().for_each(|byte| console.write_byte(*byte));
    }
}

/// The next byte that was typed, if any. Bytes with line errors are dropped.
pub fn read() -> Option<u8> {
    CONSOLE.lock().as_mut()?.0.read_word().ok().flatten()
}

/// Prints although someone may hold the console's lock: for the last words of a kernel that is about to stop.
pub fn print_stopping(text: fmt::Arguments<'_>) {
    if let Some(mut console) = Console::new() {
        let _ = console.write_fmt(text);
    }
}
