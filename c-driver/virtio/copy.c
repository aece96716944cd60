/*
 * copy.c - the copy that the quick loops leave out: from or to memory that is not aligned to words, for machines where each
 * access must be aligned, and by vector registers where the kernel allows them.
 *
 * Without vectors the target is brought to a word boundary first. Then each word stored is put together from two that are loaded,
 * and what is loaded is aligned too. So the words at both ends of the source are loaded whole, although bytes in them are not the
 * source's: a word that holds one byte of it lies in the same page, and what else it holds is shifted out. No other memory is
 * read.
 */
#include "copy.h"

/* What is said above is more than the sanitizers of the tests allow; a test with unmapped pages around the source looks after
 * it. */
#define LOADS_WHOLE_WORDS __attribute__((no_sanitize_address, no_sanitize_thread))

/* The next word to store, where the source is `shift` bytes, one to seven, behind a word boundary. */
#define TOGETHER(shift, low, high) ((low) >> (8 * (shift)) | (high) << (-(8 * (shift)) & 63))

/* Four words at a time, and two of the rest. The shift is a constant in each case, because some machines put two registers
 * together by one instruction then. `low` is the word that was loaded last. */
#define MANY_WORDS(shift)                                                                                                        \
    case shift:                                                                                                                  \
        for (uint32_t blocks = words / 4; blocks != 0; blocks--) {                                                               \
            uint64_t a = source[0], b = source[1];                                                                               \
            source += 4;                                                                                                         \
            VIRTIO_STEPPED(source);                                                                                              \
            uint64_t c = source[-2], d = source[-1];                                                                             \
            target[0] = TOGETHER(shift, low, a);                                                                                 \
            target[1] = TOGETHER(shift, a, b);                                                                                   \
            target += 4;                                                                                                         \
            VIRTIO_STEPPED(target);                                                                                              \
            target[-2] = TOGETHER(shift, b, c);                                                                                  \
            target[-1] = TOGETHER(shift, c, d);                                                                                  \
            low = d;                                                                                                             \
        }                                                                                                                        \
        if ((words & 2) != 0) {                                                                                                  \
            uint64_t a = source[0], b = source[1];                                                                               \
            source += 2;                                                                                                         \
            target[0] = TOGETHER(shift, low, a);                                                                                 \
            target[1] = TOGETHER(shift, a, b);                                                                                   \
            target += 2;                                                                                                         \
            low = b;                                                                                                             \
        }                                                                                                                        \
        break

/* The lower `bytes`, less than eight, of a word: to a word boundary, or up to one. */
static void store_behind(uint8_t *to, uint64_t value, uint32_t bytes)
{
    if ((bytes & 4) != 0) {
        *(copy_half *)(void *)to = (uint32_t)value;
        to += 4;
        value >>= 32;
    }
    if ((bytes & 2) != 0) {
        *(copy_quarter *)(void *)to = (uint16_t)value;
        to += 2;
        value >>= 16;
    }
    if ((bytes & 1) != 0)
        *to = (uint8_t)value;
}

static void store_before(uint8_t *to, uint64_t value, uint32_t bytes)
{
    if ((bytes & 1) != 0) {
        *to = (uint8_t)value;
        to += 1;
        value >>= 8;
    }
    if ((bytes & 2) != 0) {
        *(copy_quarter *)(void *)to = (uint16_t)value;
        to += 2;
        value >>= 16;
    }
    if ((bytes & 4) != 0)
        *(copy_half *)(void *)to = (uint32_t)value;
}

/* So many bytes, one to eight, as the lower ones of a word. */
static LOADS_WHOLE_WORDS uint64_t load_bytes(const uint8_t *from, uint32_t bytes)
{
    uint32_t shift = (uint32_t)((uintptr_t)from & 7);
    const copy_word *source = (const copy_word *)(const void *)(from - shift);
    uint64_t low = source[0] >> (8 * shift);
    return shift + bytes > 8 ? low | source[1] << (-(8 * shift) & 63) : low;
}

/* To a word boundary, from `shift` bytes behind one; at least one byte. */
static LOADS_WHOLE_WORDS void copy_shifted(uint8_t *to, const uint8_t *from, uint32_t bytes, uint32_t shift)
{
    const copy_word *source = (const copy_word *)(const void *)(from - shift);
    copy_word *target = (copy_word *)(void *)to;
    uint32_t words = bytes / 8;
    uint32_t rest = bytes % 8;
    uint64_t low = *source++;
    switch (shift) {
        MANY_WORDS(1);
        MANY_WORDS(2);
        MANY_WORDS(3);
        MANY_WORDS(4);
        MANY_WORDS(5);
        MANY_WORDS(6);
        MANY_WORDS(7);
    default:
        break;
    }
    if ((words & 1) != 0) {
        uint64_t next = *source++;
        *target++ = TOGETHER(shift, low, next);
        low = next;
    }
    if (rest != 0) {
        uint64_t last = low >> (8 * shift);
        if (rest + shift > 8)
            last |= *source << (-(8 * shift) & 63);
        store_behind((uint8_t *)target, last, rest);
    }
}

static void copy_by_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    volatile uint8_t *target = to; /* volatile: or the compiler calls memcpy */
    while (bytes-- > 0)
        *target++ = *from++;
}

static void copy_by_words(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    uint32_t head = VIRTIO_UNALIGNED_ACCESS ? 0 : (uint32_t)(-(uintptr_t)to & 7);
    if (VIRTIO_UNLIKELY(head != 0)) {
        if (bytes < 8) {
            copy_by_bytes(to, from, bytes);
            return;
        }
        store_before(to, load_bytes(from, head), head);
        to += head;
        from += head;
        bytes -= head;
    }
    uint32_t shift = VIRTIO_UNALIGNED_ACCESS ? 0 : (uint32_t)((uintptr_t)from & 7);
    if (shift == 0) {
        for (uint32_t blocks = bytes / (2 * COPY_SHORT); blocks != 0; blocks--)
            copy_step(&to, &from, 2 * COPY_SHORT);
        copy_words(to, from, bytes % (2 * COPY_SHORT));
        return;
    }
    if (bytes != 0)
        copy_shifted(to, from, bytes, shift);
}

#if !VIRTIO_SIMD
void vn_copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    copy_by_words(to, from, bytes);
}
#else

/* So many bytes and a step over them. No alignment is needed: on aarch64 these accesses are made of bytes, whatever SCTLR.A
 * says. */
#if defined(__aarch64__) && defined(__ARM_NEON)
#define VECTORS(registers, bytes)                                                                                                \
    __asm__ volatile("ld1 {" registers "}, [%0], #" #bytes "\n\tst1 {" registers "}, [%1], #" #bytes                             \
                     : "+r"(from), "+r"(to)                                                                                      \
                     :                                                                                                           \
                     : "v0", "v1", "v2", "v3", "memory")
#define VECTORS_64 VECTORS("v0.16b, v1.16b, v2.16b, v3.16b", 64)
#define VECTORS_32 VECTORS("v0.16b, v1.16b", 32)
#define VECTORS_16 VECTORS("v0.16b", 16)
#elif defined(__SSE2__)
typedef uint64_t __attribute__((vector_size(16), may_alias, aligned(1))) vector;
#define VECTOR_AT(place) (*(vector *)(void *)(to + (place)) = *(const vector *)(const void *)(from + (place)))
#define VECTORS_16       (VECTOR_AT(0), to += 16, from += 16)
#define VECTORS_32       (VECTOR_AT(0), VECTOR_AT(16), to += 32, from += 32)
#define VECTORS_64       (VECTOR_AT(0), VECTOR_AT(16), VECTOR_AT(32), VECTOR_AT(48), to += 64, from += 64)
#else
#error "VIRTIO_SIMD: there is no copy by vectors for this machine, or the compiler must not use its vector registers"
#endif

void vn_copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    if (bytes < 16) {
        copy_by_words(to, from, bytes);
        return;
    }
    for (uint32_t blocks = bytes / 256; blocks != 0; blocks--) {
        VECTORS_64;
        VECTORS_64;
        VECTORS_64;
        VECTORS_64;
    }
    for (uint32_t blocks = bytes / 64 % 4; blocks != 0; blocks--)
        VECTORS_64;
    if ((bytes & 32) != 0)
        VECTORS_32;
    if ((bytes & 16) != 0)
        VECTORS_16;
    uint32_t rest = bytes % 16;
    if (rest != 0) {
        /* The last sixteen bytes, of which some are there already. */
        to += rest;
        to -= 16;
        from += rest;
        from -= 16;
        VECTORS_16;
    }
}
#endif
