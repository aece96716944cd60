/*
 * What the program needs of a board. QEMU's `virt` boards of both machines are in virt-aarch64.* and virt-riscv64.*.
 *
 * Licence: MIT OR Apache-2.0
 */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

/* The board's virtio-mmio slots: registers of slot 0, bytes from one to the next, how many. */
#if defined(__aarch64__)
#define VIRTIO_MMIO_BASE  0x0a000000
#define VIRTIO_MMIO_STEP  0x200
#define VIRTIO_MMIO_SLOTS 32
#elif defined(__riscv)
#define VIRTIO_MMIO_BASE  0x10001000
#define VIRTIO_MMIO_STEP  0x1000
#define VIRTIO_MMIO_SLOTS 8
#else
#error "no such board"
#endif

/* One character on the serial port; waits while its FIFO is full. */
void console_put(char character);

/* The next character typed, or -1. */
int console_get(void);

_Noreturn void power_off(void);

/* Called by the boards. */
void main(void);
_Noreturn void fault(uint64_t cause, uint64_t address, uint64_t data_address);

#endif
