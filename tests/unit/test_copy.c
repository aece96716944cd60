/*
 * test_copy.c - the copy of frames: every alignment of both sides, every length up to a few blocks, and those of large frames.
 *
 * Built four times: as the host's compiler takes it, and with every access aligned, which the sanitizers then check; without
 * vectors and with them. Both buffers end where their memory ends, so that the address sanitizer sees a byte too many. Where the
 * copy loads words that lie half outside of the source, which the sanitizer is told to overlook, pages that cannot be read lie
 * around it.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "virtio/copy.h"

#define ALIGNMENTS  16u
#define ALL_LENGTHS 600u
#define GUARD_BYTES 16u
#define GUARD       0xc3

typedef void copy_function(uint8_t *to, const uint8_t *from, uint32_t bytes);

/* malloc aligns to 16 at least. */
static void check(copy_function *copy, uint32_t to_offset, uint32_t from_offset, uint32_t bytes)
{
    uint8_t *source = malloc(from_offset + bytes);
    uint8_t *target = malloc(GUARD_BYTES + to_offset + bytes);
    assert_non_null(source);
    assert_non_null(target);
    for (uint32_t i = 0; i < from_offset + bytes; i++)
        source[i] = (uint8_t)(i * 7 + (i >> 8) + bytes);
    memset(target, GUARD, GUARD_BYTES + to_offset + bytes);
    uint8_t *to = target + GUARD_BYTES + to_offset;
    copy(to, source + from_offset, bytes);
    if (memcmp(to, source + from_offset, bytes) != 0)
        fail_msg("to %u from %u, %u bytes: not the same", to_offset, from_offset, bytes);
    for (const uint8_t *guard = target; guard != to; guard++)
        if (*guard != GUARD)
            fail_msg("to %u from %u, %u bytes: wrote before the target", to_offset, from_offset, bytes);
    free(target);
    free(source);
}

/* The target may also be longer than what is copied: nothing behind is written. */
static void check_end(copy_function *copy, uint32_t to_offset, uint32_t from_offset, uint32_t bytes)
{
    uint8_t source[ALIGNMENTS + 64] = {0};
    uint8_t target[ALIGNMENTS + 64 + GUARD_BYTES];
    _Alignas(16) uint8_t memory[sizeof target];
    memset(memory, GUARD, sizeof memory);
    copy(memory + to_offset, source + from_offset, bytes);
    for (uint32_t i = to_offset + bytes; i < sizeof memory; i++)
        if (memory[i] != GUARD)
            fail_msg("to %u from %u, %u bytes: wrote behind the target", to_offset, from_offset, bytes);
}

static void every_alignment_and_length(void **state)
{
    (void)state;
    for (uint32_t to = 0; to < ALIGNMENTS; to++)
        for (uint32_t from = 0; from < ALIGNMENTS; from++)
            for (uint32_t bytes = 0; bytes <= ALL_LENGTHS; bytes++)
                check(vn_copy, to, from, bytes);
}

static void lengths_of_large_frames(void **state)
{
    (void)state;
    static const uint32_t around[] = {1024, 1280, 1500, 1514, 1518, 4096, 9000, 65535};
    for (size_t i = 0; i < sizeof around / sizeof *around; i++)
        for (uint32_t bytes = around[i] - 9; bytes <= around[i] + 9; bytes++)
            for (uint32_t offset = 0; offset < ALIGNMENTS; offset++) {
                check(vn_copy, 0, offset, bytes);
                check(vn_copy, offset, 0, bytes);
            }
}

static void nothing_behind_the_end(void **state)
{
    (void)state;
    for (uint32_t to = 0; to < ALIGNMENTS; to++)
        for (uint32_t from = 0; from < ALIGNMENTS; from++)
            for (uint32_t bytes = 0; bytes <= 64; bytes++)
                check_end(vn_copy, to, from, bytes);
}

/* Memory between two pages that nobody may touch. */
static uint8_t *fenced_page(size_t page)
{
    uint8_t *pages = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages, page, PROT_NONE), 0);
    assert_int_equal(mprotect(pages + 2 * page, page, PROT_NONE), 0);
    for (size_t i = 0; i < page; i++)
        pages[page + i] = (uint8_t)(i * 5 + (i >> 8));
    return pages + page;
}

/* The source begins or ends with a page, to the byte. */
static void no_page_is_read_without_need(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *memory = fenced_page(page);
    _Alignas(16) uint8_t target[ALIGNMENTS + 128];
    for (uint32_t bytes = 0; bytes <= 128; bytes++)
        for (uint32_t offset = 0; offset < ALIGNMENTS; offset++) {
            const uint8_t *sources[] = {memory, memory + page - bytes, memory + offset, memory + page - bytes - offset};
            for (uint32_t i = 0; i < sizeof sources / sizeof *sources; i++) {
                vn_copy(target + offset, sources[i], bytes);
                assert_memory_equal(target + offset, sources[i], bytes);
            }
        }
    for (uint32_t offset = 0; offset < ALIGNMENTS; offset++)
        vn_copy(target + offset / 8, memory + page + offset, 0); /* nothing of it may be touched */
    assert_int_equal(munmap(memory - page, 3 * page), 0);
}

static void words(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    copy_words(to, from, bytes);
}

/* The copy in line, of what it says it can copy. */
static void in_line(void **state)
{
    (void)state;
    uint32_t simple = 0;
    for (uint32_t offset = 0; offset < ALIGNMENTS; offset++) {
        const uint8_t *memory = (const uint8_t *)(uintptr_t)(4096 + offset);
        simple += copy_is_simple(memory, 60);
        assert_int_equal(copy_is_simple(memory, 1514), copy_is_simple(memory, 60) && !VIRTIO_SIMD);
        for (uint32_t bytes = 0; bytes <= 2 * ALL_LENGTHS && copy_is_simple(memory, bytes); bytes++)
            check(words, 0, offset, bytes);
        for (uint32_t bytes = 0; bytes <= 64 && copy_is_simple(memory, bytes); bytes++)
            check_end(words, 0, offset, bytes);
        for (uint32_t bytes = 1500; bytes <= 1530 && copy_is_simple(memory, bytes); bytes++)
            check(words, offset, 0, bytes);
        if (copy_is_simple(memory, 65535))
            check(words, offset, 0, 65535);
    }
    assert_int_equal(simple, VIRTIO_UNALIGNED_ACCESS ? ALIGNMENTS : ALIGNMENTS / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_alignment_and_length),
        cmocka_unit_test(lengths_of_large_frames),
        cmocka_unit_test(nothing_behind_the_end),
        cmocka_unit_test(no_page_is_read_without_need),
        cmocka_unit_test(in_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
