/*
 * Start in machine mode on QEMU's `virt` board with one hart and without firmware: stack, zeroed .bss, then main. There are no
 * page tables: what is memory and what is a device is wired (physical memory attributes).
 *
 * Licence: MIT OR Apache-2.0
 */
    .section .text.start, "ax"
    .globl _start
_start:
    la      sp, stack_top
    la      t0, bss_start
    la      t1, bss_end
1:  bgeu    t0, t1, 2f
    sd      zero, 0(t0)
    addi    t0, t0, 8
    j       1b
2:  call    main
    tail    power_off
