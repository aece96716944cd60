/*
 * copy.c - the copy from or to memory that is not aligned to words, for machines where each access must be aligned.
 *
 * The target is brought to a word boundary first. Then each word stored is put together from two that are loaded, and what is
 * loaded is aligned too. The ends of the source, where such a word would reach outside of it, are read in smaller pieces.
 */
#include "copy.h"

/* The next word to store, where the source is `shift` bytes behind a word boundary. */
#define TOGETHER(shift, low, high) ((low) >> (8 * (shift)) | (high) << (64 - 8 * (shift)))

/* Four words at a time. The shift is a constant in each case, because some machines put two registers together by one
 * instruction then. `low` is the word that was loaded last. */
#define FOUR_WORDS(shift)                                                                                                        \
    case shift:                                                                                                                  \
        for (; words >= 4; words -= 4, target += 4, source += 4) {                                                               \
            uint64_t a = source[0], b = source[1], c = source[2], d = source[3];                                                 \
            target[0] = TOGETHER(shift, low, a);                                                                                 \
            target[1] = TOGETHER(shift, a, b);                                                                                   \
            target[2] = TOGETHER(shift, b, c);                                                                                   \
            target[3] = TOGETHER(shift, c, d);                                                                                   \
            low = d;                                                                                                             \
        }                                                                                                                        \
        break

/* The last `bytes`, less than eight, before a word boundary, as the upper bytes of a word. */
static uint64_t load_before(const uint8_t *from, uint32_t bytes)
{
    uint64_t value = 0;
    uint32_t bit = 64 - 8 * bytes;
    if ((bytes & 1) != 0) {
        value = (uint64_t)*from << bit;
        from += 1;
        bit += 8;
    }
    if ((bytes & 2) != 0) {
        value |= (uint64_t)*(const copy_quarter *)(const void *)from << bit;
        from += 2;
        bit += 16;
    }
    if ((bytes & 4) != 0)
        value |= (uint64_t)*(const copy_half *)(const void *)from << bit;
    return value;
}

/* The first `bytes`, less than eight, behind a word boundary, as the lower bytes of a word. */
static uint64_t load_behind(const uint8_t *from, uint32_t bytes)
{
    uint64_t value = 0;
    uint32_t bit = 0;
    if ((bytes & 4) != 0) {
        value = *(const copy_half *)(const void *)from;
        from += 4;
        bit = 32;
    }
    if ((bytes & 2) != 0) {
        value |= (uint64_t)*(const copy_quarter *)(const void *)from << bit;
        from += 2;
        bit += 16;
    }
    if ((bytes & 1) != 0)
        value |= (uint64_t)*from << bit;
    return value;
}

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

/* To a word boundary, from `shift` bytes behind one; 16 bytes at least. */
static void copy_shifted(uint8_t *to, const uint8_t *from, uint32_t bytes, uint32_t shift)
{
    uint64_t low = load_before(from, 8 - shift);
    const copy_word *source = (const copy_word *)(const void *)(from + 8 - shift);
    copy_word *target = (copy_word *)(void *)to;
    uint32_t words = (bytes - (8 - shift)) / 8;
    uint32_t rest = bytes - 8 * words; /* less than 16 */
    switch (shift) {
        FOUR_WORDS(1);
        FOUR_WORDS(2);
        FOUR_WORDS(3);
        FOUR_WORDS(4);
        FOUR_WORDS(5);
        FOUR_WORDS(6);
        FOUR_WORDS(7);
    default:
        break;
    }
    for (; words != 0; words--) {
        uint64_t next = *source++;
        *target++ = TOGETHER(shift, low, next);
        low = next;
    }
    uint64_t high = load_behind((const uint8_t *)source, rest - (8 - shift));
    uint64_t last = TOGETHER(shift, low, high);
    if (rest >= 8) {
        *target++ = last;
        last = high >> (8 * shift);
        rest -= 8;
    }
    store_behind((uint8_t *)target, last, rest);
}

/* Without the large blocks of copy_words: frames of aligned memory rarely come here. */
static void copy_aligned(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    for (; bytes >= 64; bytes -= 64, to += 64, from += 64)
        copy_64(to, from);
    copy_rest(to, from, bytes);
}

static void copy_by_bytes(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    volatile uint8_t *target = to; /* volatile: or the compiler calls memcpy */
    while (bytes-- > 0)
        *target++ = *from++;
}

void vn_copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    uint32_t head = VIRTIO_UNALIGNED_ACCESS ? 0 : (uint32_t)(-(uintptr_t)to & 7);
    if (VIRTIO_UNLIKELY(head != 0)) {
        head = head < bytes ? head : bytes;
        copy_by_bytes(to, from, head);
        to += head;
        from += head;
        bytes -= head;
    }
    uint32_t shift = VIRTIO_UNALIGNED_ACCESS ? 0 : (uint32_t)((uintptr_t)from & 7);
    if (shift == 0)
        copy_aligned(to, from, bytes);
    else if (VIRTIO_LIKELY(bytes >= 16))
        copy_shifted(to, from, bytes, shift);
    else
        copy_by_bytes(to, from, bytes);
}
