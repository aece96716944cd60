//! QEMU's `microvm` and `q35` machines, x86-64: entered by PVH in 32-bit mode, without paging, wherever the image lies.
//!
//! The start is our own: crates that bring one also bring their own loader and linker script.

use core::arch::{asm, global_asm};
use core::ops::Range;

/// Registers of microvm's virtio-mmio slots.
pub const MMIO: Range<usize> = 0xfeb0_0000..0xfeb0_3000;
/// Distance of two slots.
pub const MMIO_STEP: usize = 0x200;
/// Configuration space of q35's PCI bus (ECAM), where the firmware puts it.
pub const PCI: usize = 0xb000_0000;
/// The firmware has given registers of PCI devices their addresses.
pub const PCI_WINDOW: u32 = 0;
const UART: u16 = 0x3f8;
const DEBUG_EXIT: u16 = 0xf4;

// The first 512 GiB are mapped one to one in pages of 1 GiB, and the first of them once more at the top, where images that are
// not position independent are linked. CR4.OSFXSR stays 0: an instruction that uses a vector register faults. The relocations are
// those of an image linked at 0 (R_X86_64_RELATIVE).
global_asm!(
    ".section .init.entry, \"ax\"",
    ".code32",
    ".global pvh_entry",
    "pvh_entry:",
    "movl $0x7000, %esp",
    "call 1f",
    "1: popl %ebp",
    "subl $(1b - pvh_entry), %ebp",
    "movl (tables - pvh_entry)(%ebp), %eax",
    "addl %ebp, %eax",
    "leal 0x1003(%eax), %ecx",
    "movl %ecx, (%eax)",
    "leal 0x2003(%eax), %ecx",
    "movl %ecx, 511 * 8(%eax)",
    "movl %eax, %cr3",
    "movl %cr4, %eax",
    "orl $0x20, %eax",
    "movl %eax, %cr4",
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x100, %eax",
    "wrmsr",
    "movl %cr0, %eax",
    "orl $0x80000001, %eax",
    "movl %eax, %cr0",
    // The descriptor table's address is put on the stack with its size.
    "leal (descriptors - pvh_entry)(%ebp), %eax",
    "pushl %eax",
    "pushw $23",
    "lgdt (%esp)",
    "leal (long_mode - pvh_entry)(%ebp), %eax",
    "pushl $8",
    "pushl %eax",
    "lretl",
    ".balign 8",
    "tables: .long boot_tables - pvh_entry",
    ".balign 8",
    "descriptors: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    ".code64",
    ".global entry",
    "entry:",
    "long_mode:",
    "movl $16, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "leaq high(%rip), %rax",
    "addq image_offset(%rip), %rax",
    "jmpq *%rax",
    options(att_syntax),
);

global_asm!(
    ".section .init.high, \"ax\"",
    ".global high",
    "high:",
    "lea rsp, [rip + boot_stack_end]",
    "lea rdi, [rip + bss_begin]",
    "lea rcx, [rip + bss_end]",
    "sub rcx, rdi",
    "xor eax, eax",
    "rep stosb",
    "lea rsi, [rip + rela_begin]",
    "lea rdi, [rip + rela_end]",
    "lea rdx, [rip + image_begin]",
    "2: cmp rsi, rdi",
    "jae 3f",
    "cmp dword ptr [rsi + 8], 8",
    "jne 4f",
    "mov rax, [rsi]",
    "mov rcx, [rsi + 16]",
    "add rcx, rdx",
    "mov [rdx + rax], rcx",
    "add rsi, 24",
    "jmp 2b",
    "3: call start",
    "4: hlt",
    "jmp 4b",
    ".section .data.boot_tables, \"aw\"",
    ".balign 4096",
    "boot_tables: .fill 512, 8, 0",
    ".set gigabyte, 0",
    ".rept 512",
    ".quad (gigabyte << 30) | 0x83",
    ".set gigabyte, gigabyte + 1",
    ".endr",
    ".fill 510, 8, 0",
    ".quad 0x83, 0x40000083",
    ".text",
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

/// Writes a byte to the first serial port.
pub fn put(byte: u8) {
    // SAFETY: the machine has its data register there.
    unsafe { asm!("out dx, al", in("dx") UART, in("al") byte, options(nostack)) };
}

/// Ends QEMU, with status 33 for success.
pub fn off(success: bool) -> ! {
    // SAFETY: QEMU's device isa-debug-exit is there.
    unsafe { asm!("out dx, al", in("dx") DEBUG_EXIT, in("al") if success { 16_u8 } else { 1 }, options(nostack)) };
    loop {}
}
