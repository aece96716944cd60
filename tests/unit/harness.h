/*
 * harness.h - what the unit tests share: a driver over a model device in each of four variants, frames whose bytes are known,
 * and the checks that every test ends with (no violation, no memory left behind).
 *
 * A test gets a fixture with a model and options that it may change, brings the driver up, and acts through virtio_net.h only.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model.h"

enum { FRAME_MIN = 60, FRAME_MAX = 1514, FIXTURE_FRAMES = 256 };

/* The long runs of one thread are short under ThreadSanitizer, which has nothing to see in them and costs tenfold. */
#if defined(__SANITIZE_THREAD__)
#define LONG_RUN(count) ((count) / 10)
#define LONG_STEP       8
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LONG_RUN(count) ((count) / 10)
#define LONG_STEP       8
#endif
#endif
#ifndef LONG_RUN
#define LONG_RUN(count) (count)
#define LONG_STEP       1
#endif

struct variant {
    const char *name;
    uint32_t version; /* 1 legacy, 2 modern */
    bool table;       /* over the transport table in place of MMIO registers */
};

struct fixture {
    const struct variant *variant;
    struct model *model;
    struct virtio_net *net;
    uint64_t storage_bytes;
    struct virtio_net_options options;
    const struct virtio_net_platform *platform;
    bool up;
    bool leaks_wanted; /* the test leaves a driver that may not give its memory back */
    bool violations_wanted;
    uint8_t frame[65536 + 64];
    struct virtio_net_packet packets[FIXTURE_FRAMES];
};

extern const struct variant variants[4];

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Entries of a table of tests: one test in each variant, or in one. */
#define IN_VARIANT(test, number) {#test " " #number, test, fixture_setup, fixture_teardown, (void *)(uintptr_t)&variants[number]}
#define OVER_VARIANTS(test)      IN_VARIANT(test, 0), IN_VARIANT(test, 1), IN_VARIANT(test, 2), IN_VARIANT(test, 3)
#define LEGACY_ONLY(test)        IN_VARIANT(test, 0), IN_VARIANT(test, 2)
#define MODERN_ONLY(test)        IN_VARIANT(test, 1), IN_VARIANT(test, 3)
#define MMIO_ONLY(test)          IN_VARIANT(test, 0), IN_VARIANT(test, 1)
#define TABLE_ONLY(test)         IN_VARIANT(test, 2), IN_VARIANT(test, 3)

/* A main function that runs a table of tests. */
#define TEST_PROGRAM(...)                                                                                                        \
    int main(void)                                                                                                               \
    {                                                                                                                            \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                                                         \
        return cmocka_run_group_tests(tests, NULL, NULL);                                                                        \
    }

/* Storage of exactly the bytes promised, and the call that fits the variant. */
void fixture_storage(struct fixture *f, uint32_t tx_slots, uint32_t rx_slots);
int32_t fixture_init(struct fixture *f);

/* fixture_init that must succeed. */
void bring_up(struct fixture *f);

/* Closes, and checks that the close was clean. */
void take_down(struct fixture *f);

/* Closes and begins again with a fresh device of the same variant; options are kept. */
void fixture_renew(struct fixture *f);

struct virtio_net_info info_of(const struct fixture *f);
struct virtio_net_statistics statistics_of(const struct fixture *f);
struct virtio_net_error_detail last_error_of(const struct fixture *f);

/* Checks code, field, found and wanted of the last error. */
void assert_last_error(const struct fixture *f, int32_t code, uint32_t field, uint64_t found, uint64_t wanted);

/* A frame whose bytes follow from `seed`, and the check of one. */
void frame_fill(uint8_t *frame, uint32_t length, uint64_t seed);
bool frame_matches(const uint8_t *frame, uint32_t length, uint32_t wanted_length, uint64_t seed);
void frame_assert(const uint8_t *frame, uint32_t length, uint32_t wanted_length, uint64_t seed);
uint32_t frame_length(uint64_t seed);

/* The next frame that the device sent must be this one. */
void assert_sent(struct fixture *f, uint32_t length, uint64_t seed);

/* A frame from the device, which must have room; one out of the driver, which must be there. */
void deliver(struct fixture *f, uint32_t length, uint64_t seed);
void assert_received(struct fixture *f, uint32_t length, uint64_t seed);

/* Sends one frame of the seed, which must succeed. */
void send_one(struct fixture *f, uint32_t length, uint64_t seed);

/* `count` packets in f->packets that all point at f->frame, of 60 bytes. */
void same_packets(struct fixture *f, uint32_t count);

/* Moves the transmit ring's index by `count` frames, which the device completes unseen. */
void advance_tx(struct fixture *f, uint32_t count);

/* One frame each way, payload exact: the driver works. */
void assert_working(struct fixture *f, uint64_t seed);

/* The longest frame that send takes. */
uint32_t longest_frame_of(const struct fixture *f);

/* A number that looks random, from two. */
uint64_t mix(uint64_t a, uint64_t b);

/* The trace of registers or calls must be this one, and is cleared. */
void assert_trace(struct fixture *f, const struct model_access *wanted, uint32_t count);

#endif /* HARNESS_H */
