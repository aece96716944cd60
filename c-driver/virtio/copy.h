/*
 * copy.h - the copy of a frame between the caller's memory and a buffer of the pool.
 *
 * A memcpy of the host's may be a byte loop (Rust's compiler_builtins is one on some machines), and a call besides. Frames in
 * the pool lie on 16-byte boundaries, so whole words are copied wherever the caller's memory is aligned too; else memcpy
 * decides.
 */
#ifndef VIRTIO_COPY_H
#define VIRTIO_COPY_H

#include "io.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);

VIRTIO_INLINE void copy_bytes(void *to, const void *from, uint32_t bytes)
{
    if (VIRTIO_UNLIKELY((((uintptr_t)to | (uintptr_t)from) & (sizeof(any_word) - 1)) != 0)) {
        memcpy(to, from, bytes);
        return;
    }
    any_word *target = to;
    const any_word *source = from;
    for (; bytes >= 4 * sizeof(any_word); bytes -= 4 * (uint32_t)sizeof(any_word), target += 4, source += 4) {
        any_word a = source[0], b = source[1], c = source[2], d = source[3];
        target[0] = a;
        target[1] = b;
        target[2] = c;
        target[3] = d;
    }
    for (; bytes >= sizeof(any_word); bytes -= (uint32_t)sizeof(any_word))
        *target++ = *source++;
    volatile uint8_t *last_target = (volatile uint8_t *)target; /* volatile: or the compiler calls memcpy for up to seven bytes */
    const uint8_t *last_source = (const uint8_t *)source;
    while (bytes-- > 0)
        *last_target++ = *last_source++;
}

#endif /* VIRTIO_COPY_H */
