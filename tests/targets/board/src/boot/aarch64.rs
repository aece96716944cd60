//! QEMU's `virt` board, aarch64: entered at EL1 by the crate aarch64-rt, with an identity map.

use aarch64_rt::{DEFAULT_MAIR, DEFAULT_SCTLR, DEFAULT_TCR, ExceptionHandlers, InitialPagetable};
use aarch64_rt::{entry, exception_handlers, initial_pagetable};
use core::arch::{asm, global_asm};
use core::ops::Range;

/// Registers of the virtio-mmio slots.
pub const MMIO: Range<usize> = 0x0a00_0000..0x0a00_4000;
/// Distance of two slots.
pub const MMIO_STEP: usize = 0x200;
/// Configuration space of the PCI bus (ECAM).
pub const PCI: usize = 0x40_1000_0000;
/// Where registers of PCI devices may be put.
pub const PCI_WINDOW: u32 = 0x1000_0000;
const UART: *mut u32 = 0x0900_0000 as *mut u32;
const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;

// Level 1, 1 GiB each: devices, RAM, and the configuration space. Attribute 0 is Device-nGnRE, 1 normal memory; accessed, inner
// shareable, a block.
initial_pagetable!(
    {
        let mut table = [0; 512];
        table[0] = 0x401;
        table[1] = 0x4000_0000 | 0x705;
        table[256] = 0x40_0000_0000 | 0x401;
        InitialPagetable(table)
    },
    DEFAULT_MAIR,
    DEFAULT_SCTLR,
    DEFAULT_TCR
);

// Adds the address of the image, which was linked at 0, where a relocation (R_AARCH64_RELATIVE) says. x2 is the image.
global_asm!(
    ".section .text.relocate, \"ax\"",
    ".global relocate",
    "relocate:",
    "adrp x0, rela_begin",
    "add x0, x0, :lo12:rela_begin",
    "adrp x1, rela_end",
    "add x1, x1, :lo12:rela_end",
    "adrp x2, image_begin",
    "add x2, x2, :lo12:image_begin",
    "1: cmp x0, x1",
    "b.hs 2f",
    "ldp x3, x4, [x0], #16",
    "ldr x5, [x0], #8",
    "cmp w4, #1027",
    "b.ne 3f",
    "add x5, x5, x2",
    "str x5, [x2, x3]",
    "b 1b",
    "2: ret",
    "3: wfi",
    "b 3b",
);

unsafe extern "C" {
    safe fn relocate();
}

entry!(main, 32);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    relocate();
    crate::main()
}

struct Handlers;

impl ExceptionHandlers for Handlers {}

exception_handlers!(Handlers);

/// Writes a byte to the PL011.
pub fn put(byte: u8) {
    // SAFETY: the board has its data register there.
    unsafe { UART.write_volatile(u32::from(byte)) };
}

/// Turns the machine off.
pub fn off(_success: bool) -> ! {
    // SAFETY: QEMU is the firmware, and this call does not come back.
    unsafe { asm!("hvc #0", in("x0") PSCI_SYSTEM_OFF, options(noreturn)) }
}
