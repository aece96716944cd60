/*
 * Start at EL1 on QEMU's `virt` board, without firmware: page tables, stack, zeroed .bss, then main.
 *
 * The MMU is on, with the first GiB (devices) as device memory and the second (RAM) as normal, cacheable memory. With the MMU
 * off all memory would be device memory: a C compiler's unaligned accesses would fault, and exclusives need not work.
 *
 * Licence: MIT OR Apache-2.0
 */
    .section .text.start, "ax"
    .globl _start
_start:
    adr     x0, vectors
    msr     vbar_el1, x0
    ldr     x0, =0xff04                 /* attribute 0: device nGnRE, 1: normal, write-back */
    msr     mair_el1, x0
    ldr     x0, =0x200803519            /* 39-bit addresses, 4 KiB pages, cacheable walks, no second table, 40-bit physical */
    msr     tcr_el1, x0
    adr     x0, page_table
    msr     ttbr0_el1, x0
    tlbi    vmalle1
    dsb     nsh
    isb
    mrs     x0, sctlr_el1
    mov     x1, #0x1005                 /* MMU, data cache, instruction cache */
    orr     x0, x0, x1
    msr     sctlr_el1, x0
    isb

    ldr     x0, =stack_top
    mov     sp, x0
    ldr     x0, =bss_start
    ldr     x1, =bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  bl      main
    b       power_off

    .balign 2048
vectors:
    .rept   16
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       fault
    .balign 128
    .endr

    .section .rodata.page_table, "a"
    .balign 4096
page_table:
    .quad   0x0060000000000401          /* 0 to 1 GiB: device memory, never executed */
    .quad   0x0000000040000705          /* 1 to 2 GiB: normal memory, inner shareable */
    .zero   4096 - 16
