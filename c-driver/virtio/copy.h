/*
 * copy.h - the copy of a frame between the caller's memory and a buffer of the pool.
 *
 * A memcpy of the host's may be a byte loop (Rust's compiler_builtins is one on some machines), and a call besides. Frames in
 * the pool lie on 16-byte boundaries, so where the caller's memory is aligned to words, whole words are copied, in line. Memory
 * that is not goes through vn_copy, on machines where an access to memory must be aligned, and so does what vectors copy.
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

/* Copies from and to memory of any alignment. Reads aligned words that hold a byte of `from`, and no others; writes `to`
 * alone. */
void vn_copy(uint8_t *to, const uint8_t *from, uint32_t bytes) VIRTIO_HIDDEN;

/* With VIRTIO_SIMD copy.c alone is compiled for vector registers, and gets all frames but short ones. */
#ifndef VIRTIO_SIMD
#define VIRTIO_SIMD 0
#endif
#define COPY_SHORT 128u

/* Whether copy_words is the way to copy so many bytes from or to this memory, the other side being a frame in the pool. */
VIRTIO_INLINE bool copy_is_simple(const uint8_t *memory, uint32_t bytes)
{
    if (VIRTIO_SIMD && bytes >= COPY_SHORT)
        return false;
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

/* The first 16 bytes of a block, and a step over the block. On aarch64 by two instructions, which compilers do not make of it.
 * Their step is part of the instruction: a constant, which it is only where the compiler looks through the calls. */
VIRTIO_INLINE void copy_16_step(uint8_t **to, const uint8_t **from, uint32_t block)
{
#if defined(__aarch64__) && defined(__OPTIMIZE__)
    uint64_t a = 0;
    uint64_t b = 0;
    __asm__ volatile("ldp %0, %1, [%2], %4\n\tstp %0, %1, [%3], %4"
                     : "=&r"(a), "=&r"(b), "+r"(*from), "+r"(*to)
                     : "n"(block)
                     : "memory");
#else
    copy_16(*to, *from);
    *to += block;
    *from += block;
#endif
}

/* A block of 16, 32, 64, 128 or 256 bytes, and a step over it. */
VIRTIO_INLINE void copy_step(uint8_t **to, const uint8_t **from, uint32_t block)
{
    copy_16_step(to, from, block);
    if (block >= 256) {
        copy_16(*to - 240, *from - 240);
        copy_16(*to - 224, *from - 224);
        copy_16(*to - 208, *from - 208);
        copy_16(*to - 192, *from - 192);
        copy_16(*to - 176, *from - 176);
        copy_16(*to - 160, *from - 160);
        copy_16(*to - 144, *from - 144);
        copy_16(*to - 128, *from - 128);
    }
    if (block >= 128) {
        copy_16(*to - 112, *from - 112);
        copy_16(*to - 96, *from - 96);
        copy_16(*to - 80, *from - 80);
        copy_16(*to - 64, *from - 64);
    }
    if (block >= 64) {
        copy_16(*to - 48, *from - 48);
        copy_16(*to - 32, *from - 32);
    }
    if (block >= 32)
        copy_16(*to - 16, *from - 16);
}

/* Less than 128 bytes. */
VIRTIO_INLINE void copy_rest(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if ((bytes & 64) != 0)
        copy_step(&to, &from, 64);
    if ((bytes & 32) != 0)
        copy_step(&to, &from, 32);
    if ((bytes & 16) != 0)
        copy_step(&to, &from, 16);
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

/* Copies what is simple. */
VIRTIO_INLINE void copy_words(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (!VIRTIO_SIMD)
        for (uint32_t blocks = bytes / COPY_SHORT; blocks != 0; blocks--)
            copy_step(&to, &from, COPY_SHORT);
    copy_rest(to, from, bytes);
}

#endif /* VIRTIO_COPY_H */
