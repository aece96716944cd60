//! QEMU's `virt` board, riscv64: entered in supervisor mode by OpenSBI, without address translation.
//!
//! The start is our own, because riscv-rt links at one address and refuses position-independent code.

use core::arch::global_asm;
use core::ops::Range;

/// Registers of the virtio-mmio slots.
pub const MMIO: Range<usize> = 0x1000_1000..0x1000_9000;
/// Distance of two slots.
pub const MMIO_STEP: usize = 0x1000;
/// Configuration space of the PCI bus (ECAM).
pub const PCI: usize = 0x3000_0000;
/// Where registers of PCI devices may be put.
pub const PCI_WINDOW: u32 = 0x4000_0000;
const UART: *mut u8 = 0x1000_0000 as *mut u8;
const TEST: *mut u32 = 0x10_0000 as *mut u32;

// sstatus.FS stays off: an instruction that uses a floating-point register traps. The relocations are those of an image linked at
// 0 (R_RISCV_RELATIVE); s0 is the image.
global_asm!(
    ".section .init.entry, \"ax\"",
    ".global entry",
    "entry:",
    "li t0, 0x6000",
    "csrc sstatus, t0",
    "lla sp, boot_stack_end",
    "lla t0, trap",
    "csrw stvec, t0",
    "lla t0, bss_begin",
    "lla t1, bss_end",
    "1: bgeu t0, t1, 2f",
    "sd zero, 0(t0)",
    "addi t0, t0, 8",
    "j 1b",
    "2: lla t0, rela_begin",
    "lla t1, rela_end",
    "lla s0, image_begin",
    "li s1, 3",
    "3: bgeu t0, t1, 4f",
    "ld t2, 0(t0)",
    "ld t3, 8(t0)",
    "ld t4, 16(t0)",
    "bne t3, s1, 5f",
    "add t2, t2, s0",
    "add t4, t4, s0",
    "sd t4, 0(t2)",
    "addi t0, t0, 24",
    "j 3b",
    "4: call start",
    "5: j 5b",
    ".balign 4",
    "trap:",
    "csrr a0, scause",
    "csrr a1, sepc",
    "call trapped",
);

#[repr(align(4096))]
struct Stack([u8; 128 << 10]);

#[used]
#[unsafe(link_section = ".stack.boot_stack")]
static STACK: Stack = Stack([0; 128 << 10]);

#[unsafe(no_mangle)]
extern "C" fn start() -> ! {
    crate::main()
}

#[unsafe(no_mangle)]
extern "C" fn trapped(cause: usize, address: usize) -> ! {
    panic!("trap {cause} at {address:#x}")
}

/// Writes a byte to the 16550.
pub fn put(byte: u8) {
    // SAFETY: the board has its data register there.
    unsafe { UART.write_volatile(byte) };
}

/// Turns the machine off.
pub fn off(success: bool) -> ! {
    // SAFETY: the board's test device ends QEMU with this status.
    unsafe { TEST.write_volatile(if success { 0x5555 } else { 0x1_3333 }) };
    loop {}
}
