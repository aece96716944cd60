/*
 * copy.h - the copy of a frame between the caller's memory and a buffer of the pool.
 *
 * A memcpy of the host's may be a byte loop (Rust's compiler_builtins is one on some machines), and a call besides. Frames in
 * the pool lie on 16-byte boundaries, so where the caller's memory is aligned to words, whole words are copied, in line. Memory
 * that is not goes through vn_copy, on machines where an access to memory must be aligned.
 */
#ifndef VIRTIO_COPY_H
#define VIRTIO_COPY_H

#include "io.h"

/* Whether memory may be accessed that is not aligned. A build can say so itself: compilers do not tell all of them. */
#ifndef VIRTIO_UNALIGNED_ACCESS
#if defined(__x86_64__) || defined(__i386__) || defined(__riscv_misaligned_fast)
#define VIRTIO_UNALIGNED_ACCESS 1
#else
#define VIRTIO_UNALIGNED_ACCESS 0
#endif
#endif

/* What is copied at once, whatever its type, and the ends of a frame that are shorter. */
#if VIRTIO_UNALIGNED_ACCESS
#define COPY_ALIGNED(bytes) aligned(1)
#else
#define COPY_ALIGNED(bytes) aligned(bytes)
#endif
typedef uint64_t __attribute__((may_alias, COPY_ALIGNED(8))) copy_word;
typedef uint32_t __attribute__((may_alias, COPY_ALIGNED(4))) copy_half;
typedef uint16_t __attribute__((may_alias, COPY_ALIGNED(2))) copy_quarter;

/* Copies from and to memory of any alignment. Reads aligned words that hold a byte of `from`, and no others; writes `to` alone. */
void vn_copy(uint8_t *to, const uint8_t *from, uint32_t bytes) VIRTIO_HIDDEN;

/* Whether copy_words can copy from or to this memory, the other side being a frame in the pool. */
VIRTIO_INLINE bool copy_is_simple(const uint8_t *memory)
{
    return VIRTIO_UNALIGNED_ACCESS || ((uintptr_t)memory & 7) == 0;
}

/* Both loads come before both stores, so that each pair is one instruction where the machine has such. */
VIRTIO_INLINE void copy_16(uint8_t *to, const uint8_t *from)
{
    copy_word a = ((const copy_word *)(const void *)from)[0];
    copy_word b = ((const copy_word *)(const void *)from)[1];
    ((copy_word *)(void *)to)[0] = a;
    ((copy_word *)(void *)to)[1] = b;
}

VIRTIO_INLINE void copy_64(uint8_t *to, const uint8_t *from)
{
    copy_16(to, from);
    copy_16(to + 16, from + 16);
    copy_16(to + 32, from + 32);
    copy_16(to + 48, from + 48);
}

/* Less than 64 bytes. */
VIRTIO_INLINE void copy_rest(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if ((bytes & 32) != 0) {
        copy_16(to, from);
        copy_16(to + 16, from + 16);
        to += 32;
        from += 32;
    }
    if ((bytes & 16) != 0) {
        copy_16(to, from);
        to += 16;
        from += 16;
    }
    if ((bytes & 8) != 0) {
        *(copy_word *)(void *)to = *(const copy_word *)(const void *)from;
        to += 8;
        from += 8;
    }
    if ((bytes & 4) != 0) {
        *(copy_half *)(void *)to = *(const copy_half *)(const void *)from;
        to += 4;
        from += 4;
    }
    if ((bytes & 2) != 0) {
        *(copy_quarter *)(void *)to = *(const copy_quarter *)(const void *)from;
        to += 2;
        from += 2;
    }
    if ((bytes & 1) != 0)
        *to = *from;
}

/* Copies where both are aligned to words, or need not be. */
VIRTIO_INLINE void copy_words(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (bytes >= 64) {
        for (uint32_t blocks = bytes / 256; blocks != 0; blocks--, to += 256, from += 256) {
            copy_64(to, from);
            copy_64(to + 64, from + 64);
            copy_64(to + 128, from + 128);
            copy_64(to + 192, from + 192);
        }
        for (uint32_t blocks = bytes / 64 % 4; blocks != 0; blocks--, to += 64, from += 64)
            copy_64(to, from);
    }
    copy_rest(to, from, bytes);
}

#endif /* VIRTIO_COPY_H */
