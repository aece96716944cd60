/*
 * QEMU's `virt` board for aarch64: PL011 serial port, power off by PSCI.
 *
 * Licence: MIT OR Apache-2.0
 */
#include "board.h"

/* PL011: data, and flags with "transmit FIFO full" and "receive FIFO empty". */
#define UART_DATA  (*(volatile uint32_t *)0x09000000)
#define UART_FLAGS (*(volatile uint32_t *)0x09000018)
enum { UART_TXFF = 1 << 5, UART_RXFE = 1 << 4 };

enum { PSCI_SYSTEM_OFF = 0x84000008 };

void console_put(char character)
{
    while ((UART_FLAGS & UART_TXFF) != 0) {
    }
    UART_DATA = (uint8_t)character;
}

int console_get(void)
{
    return (UART_FLAGS & UART_RXFE) != 0 ? -1 : (int)(UART_DATA & 0xff);
}

_Noreturn void power_off(void)
{
    register uint64_t function __asm__("x0") = PSCI_SYSTEM_OFF;
    __asm__ volatile("hvc #0" : "+r"(function) : : "memory");
    for (;;) {
    }
}
