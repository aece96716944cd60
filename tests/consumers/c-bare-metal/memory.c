/*
 * The four functions that a freestanding compiler may call (C11, 4; gcc manual, "Standards"), and which the driver needs too.
 *
 * Licence: MIT OR Apache-2.0
 */
#include <stddef.h>
#include <stdint.h>

/* Keeps compilers from seeing the loop as the very function that it is in. */
#define NO_IDIOM() __asm__ volatile("")

void *memcpy(void *restrict target, const void *restrict source, size_t bytes)
{
    uint8_t *to = target;
    const uint8_t *from = source;
    for (size_t i = 0; i < bytes; i++) {
        to[i] = from[i];
        NO_IDIOM();
    }
    return target;
}

void *memmove(void *target, const void *source, size_t bytes)
{
    uint8_t *to = target;
    const uint8_t *from = source;
    if ((uintptr_t)to <= (uintptr_t)from) {
        return memcpy(target, source, bytes);
    }
    while (bytes-- > 0) {
        to[bytes] = from[bytes];
        NO_IDIOM();
    }
    return target;
}

void *memset(void *target, int value, size_t bytes)
{
    uint8_t *to = target;
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)value;
        NO_IDIOM();
    }
    return target;
}

int memcmp(const void *left, const void *right, size_t bytes)
{
    const uint8_t *a = left;
    const uint8_t *b = right;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] != b[i]) {
            return a[i] - b[i];
        }
        NO_IDIOM();
    }
    return 0;
}
