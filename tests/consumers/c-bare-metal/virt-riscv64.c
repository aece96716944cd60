/*
 * QEMU's `virt` board for riscv64: 16550 serial port, power off by the test device.
 *
 * Licence: MIT OR Apache-2.0
 */
#include "board.h"

/* 16550: data, and line status with "data ready" and "transmitter empty". */
#define UART_DATA   (*(volatile uint8_t *)0x10000000)
#define UART_STATUS (*(volatile uint8_t *)0x10000005)
enum { UART_READY = 1 << 0, UART_EMPTY = 1 << 5 };

#define TEST_DEVICE (*(volatile uint32_t *)0x00100000)
enum { TEST_PASS = 0x5555 };

void console_put(char character)
{
    while ((UART_STATUS & UART_EMPTY) == 0) {
    }
    UART_DATA = (uint8_t)character;
}

int console_get(void)
{
    return (UART_STATUS & UART_READY) == 0 ? -1 : UART_DATA;
}

_Noreturn void power_off(void)
{
    TEST_DEVICE = TEST_PASS;
    for (;;) {
    }
}
