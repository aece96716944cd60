//! QEMU's `virt` board: memory map, heap, serial port, power.

use aarch64_rt::{DEFAULT_MAIR, DEFAULT_SCTLR, DEFAULT_TCR, InitialPagetable, initial_pagetable};
use arm_pl011_uart::{PL011Registers, Uart, UniqueMmioPointer};
use core::fmt::{self, Write};
use core::ptr::NonNull;
use smccc::{Hvc, psci};
use talc::TalcLock;
use talc::source::Claim;

/// Bytes from one virtio-mmio slot to the next.
pub const VIRTIO_SLOT_BYTES: usize = 0x200;

const HEAP_BYTES: usize = 8 << 20;

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, Claim> = TalcLock::new({
    static mut MEMORY: [u8; HEAP_BYTES] = [0; HEAP_BYTES];
    // SAFETY: nobody else names the memory.
    unsafe { Claim::array(&raw mut MEMORY) }
});

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

/// Addresses of the virtio-mmio slots.
pub fn virtio_slots() -> impl Iterator<Item = usize> {
    (0..32).map(|slot| 0x0a00_0000 + slot * VIRTIO_SLOT_BYTES)
}

fn uart() -> Uart<'static> {
    let registers = NonNull::new(0x0900_0000 as *mut PL011Registers).expect("not at address 0");
    // SAFETY: the board's PL011 is mapped as device memory, and there is one processor.
    Uart::new(unsafe { UniqueMmioPointer::new(registers) })
}

/// The serial port as a place to write to.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut uart = uart();
        for byte in text.bytes() {
            while uart.is_tx_fifo_full() {}
            uart.write_word(byte);
        }
        Ok(())
    }
}

/// The next character typed, if any.
pub fn typed() -> Option<u8> {
    uart().read_word().ok().flatten()
}

/// Prints a line.
macro_rules! println {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        let _ = writeln!($crate::board::Console, $($argument)*);
    }};
}
pub(crate) use println;

/// Turns the machine off.
pub fn power_off() -> ! {
    let _ = psci::system_off::<Hvc>();
    loop {
        core::hint::spin_loop();
    }
}
