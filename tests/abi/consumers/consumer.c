/*
 * consumer.c - a program that was compiled with another header than the library: an older one, whose structures end earlier
 * (OLDER), a newer one, whose structures go on (FUTURE), or the same.
 *
 * consumer STATUS: the name of the status that virtio_net_init must return. Where that is VIRTIO_NET_SUCCESS, the card is used
 * and every structure that may grow is passed both ways.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "virtio_net.h"

#define CHECK(condition)                                                                                                         \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            printf("consumer.c:%d: %s\n", __LINE__, #condition);                                                                 \
            exit(1);                                                                                                             \
        }                                                                                                                        \
    } while (0)

enum { FRAME_BYTES = 300, LIBRARY_BYTES = 4096, GUARD_BYTES = 64 };

static VIRTIO_NET_STORAGE(card, 16, 32);
static struct virtio_net *const net = (struct virtio_net *)card;

/* What is passed to the library, with bytes behind that are none of its business. */
static struct {
    struct virtio_net_options options;
    uint8_t behind_options[GUARD_BYTES];
    struct virtio_net_platform platform;
    uint8_t behind_platform[GUARD_BYTES];
    struct virtio_net_transport transport;
    uint8_t behind_transport[GUARD_BYTES];
} given;

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void prepare(void)
{
    memset(&given, 0xff, sizeof given);
    memset(&given.options, 0, sizeof given.options);
    memset(&given.platform, 0, sizeof given.platform);
    memset(&given.transport, 0, sizeof given.transport);
    memcpy(&given.platform, host_platform(), smaller(sizeof given.platform, host_platform_bytes()));
    memcpy(&given.transport, host_transport(), smaller(sizeof given.transport, host_transport_bytes()));
    given.options.size = sizeof given.options;
    given.platform.size = sizeof given.platform;
    given.transport.size = sizeof given.transport;
    given.options.tx_slots = 16;
    given.options.rx_slots = 32;
}

static int32_t init(void)
{
    return virtio_net_init(net, sizeof card, &given.transport, &given.platform, host_context(), &given.options);
}

/* A report has the caller's size and is what the library reports to its own header, as far as both go; behind the library's end
 * it is zero, behind the caller's end nothing is written. */
static void check_report(const void *report, uint32_t size, const uint8_t *library, uint32_t library_size)
{
    const uint8_t *bytes = report;
    CHECK(library_size > 0);
    CHECK(memcmp(bytes, &size, sizeof size) == 0);
    uint32_t both = smaller(size, library_size);
    CHECK(memcmp(bytes + sizeof size, library + sizeof size, both - sizeof size) == 0);
    for (uint32_t i = both; i < size; i++)
        CHECK(bytes[i] == 0);
    for (uint32_t i = size; i < size + GUARD_BYTES; i++)
        CHECK(bytes[i] == 0xab);
}

#define CHECK_REPORT(structure, get, host)                                                                                       \
    do {                                                                                                                         \
        uint8_t library[LIBRARY_BYTES];                                                                                          \
        struct {                                                                                                                 \
            struct structure report;                                                                                             \
            uint8_t guard[GUARD_BYTES];                                                                                          \
        } mine;                                                                                                                  \
        memset(&mine, 0xab, sizeof mine);                                                                                        \
        mine.report.size = sizeof mine.report;                                                                                   \
        CHECK(get(net, &mine.report) == VIRTIO_NET_SUCCESS);                                                                     \
        check_report(&mine, sizeof mine.report, library, host(net, library, sizeof library));                                    \
    } while (0)

static void check_reports(void)
{
    CHECK_REPORT(virtio_net_info, virtio_net_get_info, host_info);
    CHECK_REPORT(virtio_net_statistics, virtio_net_get_statistics, host_statistics);
    CHECK_REPORT(virtio_net_error_detail, virtio_net_get_last_error, host_last_error);
}

/* Packets are the same for everybody. */
static void exchange(void)
{
    uint8_t frame[FRAME_BYTES], copy[FRAME_BYTES];
    for (uint32_t i = 0; i < FRAME_BYTES; i++)
        frame[i] = (uint8_t)(i * 7);
    CHECK(virtio_net_send(net, 0, 0, frame, FRAME_BYTES) == VIRTIO_NET_SUCCESS);
    CHECK(host_take(copy, sizeof copy) == FRAME_BYTES && memcmp(frame, copy, FRAME_BYTES) == 0);
    CHECK(host_give(frame, FRAME_BYTES));
    struct virtio_net_packet packets[3];
    CHECK(virtio_net_rx_peek(net, 0, 0, packets, 3) == 1);
    CHECK(packets[0].length == FRAME_BYTES && memcmp(packets[0].data, frame, FRAME_BYTES) == 0);
    CHECK(virtio_net_rx_release(net, 0, 0, packets, 1) == 1);
}

/* Set again by each call to init. */
static void expect_refusal(int32_t code, uint32_t field, uint64_t found, uint64_t wanted)
{
    CHECK(init() == code);
    struct virtio_net_error_detail detail = VIRTIO_NET_ERROR_DETAIL_INIT;
    CHECK(virtio_net_get_last_error(net, &detail) == VIRTIO_NET_SUCCESS);
    CHECK(detail.code == code && detail.field == field);
#ifdef OLDER
    (void)found, (void)wanted;
#else
    CHECK(detail.found == found && detail.wanted == wanted);
#endif
}

static void refusals(void)
{
    prepare();
    given.options.tx_slots = 3;
    expect_refusal(VIRTIO_NET_ERROR_OPTIONS, VIRTIO_NET_FIELD_OPTION, 3, offsetof(struct virtio_net_options, tx_slots));
    check_reports();
    prepare();
    given.options.size = 3;
    expect_refusal(VIRTIO_NET_ERROR_STRUCT_SIZE, VIRTIO_NET_FIELD_OPTION, 3, 0);
#ifdef FUTURE
    prepare();
    given.options.more = UINT64_C(1) << 56;
    expect_refusal(VIRTIO_NET_ERROR_STRUCT_SIZE, VIRTIO_NET_FIELD_OPTION, sizeof given.options, sizeof given.options - 1);
    prepare();
    given.platform.more = given.platform.relax;
    CHECK(init() == VIRTIO_NET_ERROR_STRUCT_SIZE);
    prepare();
    given.transport.more = given.platform.relax;
    CHECK(init() == VIRTIO_NET_ERROR_STRUCT_SIZE);
#endif
}

/* Whose header it is, is seen by what it knows. */
static void check_sizes(void)
{
    int32_t platform = (int32_t)sizeof(struct virtio_net_platform) - (int32_t)host_platform_bytes();
    int32_t transport = (int32_t)sizeof(struct virtio_net_transport) - (int32_t)host_transport_bytes();
    int32_t options = (int32_t)sizeof(struct virtio_net_options) - (int32_t)host_options_bytes();
#if defined(OLDER)
    CHECK(platform < 0 && transport < 0 && options < 0);
#elif defined(FUTURE)
    CHECK(platform > 0 && transport > 0 && options > 0);
#else
    CHECK(platform == 0 && transport == 0 && options == 0);
#endif
}

int main(int count, char **arguments)
{
    CHECK(count == 2);
    host_begin();
    check_sizes();
    prepare();
    const char *status = virtio_net_status_name(init());
    if (strcmp(status, arguments[1]) != 0) {
        printf("virtio_net_init returned %s\n", status);
        return 1;
    }
    if (strcmp(status, "VIRTIO_NET_SUCCESS") == 0) {
        exchange();
        check_reports();
#ifdef OLDER
        CHECK(host_log_lines() == 0); /* the function lies behind the end of the table */
#else
        CHECK(virtio_net_close(net) == VIRTIO_NET_SUCCESS);
        given.options.log_level = VIRTIO_NET_LOG_INFO;
        CHECK(init() == VIRTIO_NET_SUCCESS);
        CHECK(host_log_lines() > 0);
#endif
        CHECK(virtio_net_close(net) == VIRTIO_NET_SUCCESS);
        refusals();
    }
    CHECK(host_end());
    return 0;
}
