/*
 * test_arguments.c - every wrong argument has its own answer, and structures of older and newer headers are served.
 */
#include "harness.h"

/* ----------------------------------------------------------------------------------------------------------- data calls */

/* Calls of queue pair 0 that take flags, with arguments that are right but for those given. */
typedef int32_t (*call)(struct fixture *f, uint32_t queue_pair, uint32_t flags);

#define CALL(name, ...)                                                                                                          \
    static int32_t call_##name(struct fixture *f, uint32_t queue_pair, uint32_t flags)                                           \
    {                                                                                                                            \
        return virtio_net_##name(f->net, queue_pair, flags, __VA_ARGS__);                                                        \
    }
#define CALL_ALONE(name)                                                                                                         \
    static int32_t call_##name(struct fixture *f, uint32_t queue_pair, uint32_t flags)                                           \
    {                                                                                                                            \
        return virtio_net_##name(f->net, queue_pair, flags);                                                                     \
    }
#define CALL_READ(name)                                                                                                          \
    static int32_t call_##name(struct fixture *f, uint32_t queue_pair, uint32_t flags)                                           \
    {                                                                                                                            \
        return flags == 0 ? virtio_net_##name(f->net, queue_pair) : VIRTIO_NET_ERROR_FLAGS;                                      \
    }

CALL(send, f->frame, FRAME_MIN)
CALL(send_burst, f->packets, 1)
CALL(tx_reserve, f->packets, 1)
CALL(tx_commit, f->packets, 1)
CALL(tx_cancel, f->packets, 1)
CALL(tx_post, f->packets, 1)
CALL_ALONE(tx_flush)
CALL(tx_reap, f->packets, 1)
CALL_READ(tx_free)
CALL_READ(tx_in_flight)
CALL(receive, f->frame, 4096)
CALL(receive_burst, f->packets, 1)
CALL(rx_peek, f->packets, 1)
CALL(rx_release, f->packets, 1)
CALL(rx_post, f->packets, 1)
CALL_ALONE(rx_flush)
CALL(rx_reap, f->packets, 1)
CALL_READ(rx_ready)

static int32_t call_irq_enable(struct fixture *f, uint32_t queue_pair, uint32_t flags)
{
    return virtio_net_irq_enable(f->net, queue_pair, VIRTIO_NET_IRQ_RX, flags);
}

static int32_t call_irq_disable(struct fixture *f, uint32_t queue_pair, uint32_t flags)
{
    return virtio_net_irq_disable(f->net, queue_pair, VIRTIO_NET_IRQ_TX, flags);
}

/* Those that know NO_KICK first. */
enum { KICKING = 5 };
static const call calls[] = {call_send,     call_send_burst,   call_tx_commit, call_tx_post,       call_rx_release,
                             call_rx_post,  call_tx_reserve,   call_tx_cancel, call_tx_flush,      call_tx_reap,
                             call_tx_free,  call_tx_in_flight, call_receive,   call_receive_burst, call_rx_peek,
                             call_rx_flush, call_rx_reap,      call_rx_ready,  call_irq_enable,    call_irq_disable};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void queue_pairs_and_flags(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    same_packets(f, 1);
    for (size_t i = 0; i < COUNT(calls); i++) {
        assert_int_equal(calls[i](f, 1, 0), VIRTIO_NET_ERROR_QUEUE_PAIR);
        assert_int_equal(calls[i](f, UINT32_MAX, 0), VIRTIO_NET_ERROR_QUEUE_PAIR);
        for (uint32_t flag = 1; flag != 0; flag *= 2) {
            if (flag != VIRTIO_NET_NO_KICK || i > KICKING)
                assert_int_equal(calls[i](f, 0, flag), VIRTIO_NET_ERROR_FLAGS);
        }
    }
    assert_int_equal(statistics_of(f).tx_frames, 0);
    assert_working(f, 1);
    take_down(f);
}

static void null_pointers(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct virtio_net *net = f->net;
    f->net = NULL;
    for (size_t i = 0; i < COUNT(calls); i++)
        assert_int_equal(calls[i](f, 0, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    f->net = net;
    assert_int_equal(virtio_net_send(net, 0, 0, NULL, 60), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_send_burst(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_reserve(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_commit(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_cancel(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_post(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_reap(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_receive(net, 0, 0, NULL, 60), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_receive_burst(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_rx_peek(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_rx_release(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_rx_post(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_rx_reap(net, 0, 0, NULL, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_info(net, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_statistics(net, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_last_error(net, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_mac(net, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    take_down(f);
}

static void null_driver(void **state)
{
    (void)state;
    struct virtio_net_info info = {.size = sizeof info};
    struct virtio_net_statistics statistics = {.size = sizeof statistics};
    struct virtio_net_error_detail detail = {.size = sizeof detail};
    uint8_t mac[6];
    assert_int_equal(virtio_net_get_info(NULL, &info), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_statistics(NULL, &statistics), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_last_error(NULL, &detail), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_get_mac(NULL, mac), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_stop(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_start(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_recover(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_check(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_abandon(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_close(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_link(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_irq_ack(NULL, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_mmio_probe(NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
}

static void interrupt_arguments(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_irq_ack(f->net, 1), VIRTIO_NET_ERROR_FLAGS);
    static const uint32_t wrong[] = {0, 4, 5, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(virtio_net_irq_enable(f->net, 0, wrong[i], 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_irq_disable(f->net, 0, wrong[i], 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    }
    take_down(f);
}

/* A count of nothing is no error, and a huge one no overrun. */
static void counts(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets, UINT32_MAX), 16);
    assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, f->packets, 16), 16);
    for (uint64_t i = 0; i < 5; i++)
        deliver(f, FRAME_MIN, i);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, UINT32_MAX), 5);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 5), 5);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, UINT32_MAX), 0);
    take_down(f);
}

static void frame_lengths(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t length = 0; length < 14; length++)
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, length), VIRTIO_NET_ERROR_FRAME_EMPTY);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 14), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, longest_frame_of(f) + 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 0x80000000), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    assert_int_equal(last_error_of(f).code, VIRTIO_NET_SUCCESS); /* wrong arguments are not recorded */
    take_down(f);
}

/* --------------------------------------------------------------------------------------------------------------- set-up */

/* An option out of its range is named by its offset. */
static void refuse_option(struct fixture *f, size_t offset, uint32_t value)
{
    struct virtio_net_options good = f->options;
    memcpy((uint8_t *)&f->options + offset, &value, sizeof value);
    f->model->tracing = true;
    fixture_storage(f, 64, 64);
    int32_t code = fixture_init(f);
    if (code != VIRTIO_NET_ERROR_OPTIONS)
        fail_msg("option at %zu with value 0x%x: %s", offset, value, virtio_net_status_name(code));
    assert_last_error(f, VIRTIO_NET_ERROR_OPTIONS, VIRTIO_NET_FIELD_OPTION, value, offset);
    assert_int_equal(model_blocks_out(f->model), 0);
    for (uint32_t i = 0; i < f->model->trace_count; i++)
        assert_int_not_equal(f->model->trace[i].kind, 'w');
    f->model->trace_count = 0;
    f->options = good;
}

#define OPTION(name) offsetof(struct virtio_net_options, name)

static void options(void **state)
{
    struct fixture *f = *state;
    static const uint32_t bad_slots[] = {3, 5, 6, 17, 255, 32769, 65536, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < COUNT(bad_slots); i++) {
        refuse_option(f, OPTION(tx_slots), bad_slots[i]);
        refuse_option(f, OPTION(rx_slots), bad_slots[i]);
    }
    static const uint32_t bad_tx_bytes[] = {1, 59, 65536, 0x80000000, 0xfffffffe};
    for (size_t i = 0; i < COUNT(bad_tx_bytes); i++)
        refuse_option(f, OPTION(tx_buffer_bytes), bad_tx_bytes[i]);
    static const uint32_t bad_rx_bytes[] = {1, 1513, 65536, 0x80000000, 0xfffffffe};
    for (size_t i = 0; i < COUNT(bad_rx_bytes); i++)
        refuse_option(f, OPTION(rx_buffer_bytes), bad_rx_bytes[i]);
    refuse_option(f, OPTION(rx_headroom), 257);
    refuse_option(f, OPTION(rx_headroom), UINT32_MAX);
    refuse_option(f, OPTION(log_level), 4);
    for (uint32_t flag = 16; flag != 0; flag *= 2)
        refuse_option(f, OPTION(flags), flag);
    for (size_t i = 0; i < sizeof f->options.reserved; i++) {
        f->options.reserved[i] = 1;
        fixture_storage(f, 64, 64);
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_OPTIONS);
        f->options.reserved[i] = 0;
    }
    bring_up(f);
    take_down(f);
}

/* The smallest and the largest values that are allowed. */
static void limits_of_options(void **state)
{
    struct fixture *f = *state;
    f->options.tx_slots = f->options.rx_slots = 2;
    f->options.tx_buffer_bytes = 60;
    f->options.rx_buffer_bytes = 1514;
    bring_up(f);
    send_one(f, 60, 1);
    assert_sent(f, 60, 1);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 61), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    fixture_renew(f);
    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = 65535;
    f->options.rx_headroom = 256;
    f->options.log_level = VIRTIO_NET_LOG_INFO;
    bring_up(f);
    deliver(f, 65535, 2);
    assert_received(f, 65535, 2);
    send_one(f, 65535, 3);
    assert_sent(f, 65535, 3);
    take_down(f);
}

static void default_options(void **state)
{
    struct fixture *f = *state;
    fixture_storage(f, 256, 256);
    struct virtio_net *net = f->net;
    int32_t code = f->variant->table
                       ? virtio_net_init(net, f->storage_bytes, &model_transport, f->platform, f->model, NULL)
                       : virtio_net_init_mmio(net, f->storage_bytes, f->model->registers, f->platform, f->model, NULL);
    assert_int_equal(code, VIRTIO_NET_SUCCESS);
    f->up = true;
    struct virtio_net_info info = info_of(f);
    assert_int_equal(info.tx_slots, 256);
    assert_int_equal(info.rx_slots, 256);
    assert_int_equal(info.tx_buffer_bytes, 1518);
    assert_int_equal(info.rx_buffer_bytes, 1518);
    assert_working(f, 1);
    take_down(f);
}

/* ----------------------------------------------------------------------------------------------------------- set-up calls */

static int32_t init_with(struct fixture *f, uint32_t version, struct virtio_net *net, uint64_t bytes, bool transport,
                         bool platform)
{
    const struct virtio_net_platform *table = platform ? f->platform : NULL;
    if (f->variant->table)
        return virtio_net_init_versioned(version, net, bytes, transport ? &model_transport : NULL, table, f->model, &f->options);
    return virtio_net_init_mmio_versioned(version, net, bytes, transport ? f->model->registers : NULL, table, f->model,
                                          &f->options);
}

static void init_arguments(void **state)
{
    struct fixture *f = *state;
    fixture_storage(f, 16, 16);
    uint64_t bytes = f->storage_bytes;
    f->model->tracing = true;
    assert_int_equal(virtio_net_abi_version(), VIRTIO_NET_ABI_VERSION);
    assert_int_equal(init_with(f, 0x10000, f->net, bytes, true, true), VIRTIO_NET_ERROR_ABI_VERSION);
    assert_int_equal(init_with(f, UINT32_MAX, f->net, bytes, true, true), VIRTIO_NET_ERROR_ABI_VERSION);
    assert_int_equal(init_with(f, 1, NULL, bytes, true, true), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(init_with(f, 1, f->net, bytes, false, true), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(init_with(f, 1, f->net, bytes, true, false), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(init_with(f, 1, f->net, 0, true, true), VIRTIO_NET_ERROR_STORAGE);
    assert_int_equal(init_with(f, 1, f->net, VIRTIO_NET_STORAGE_FIXED - 1, true, true), VIRTIO_NET_ERROR_STORAGE);
    for (uint32_t i = 0; i < f->model->trace_count; i++)
        assert_int_not_equal(f->model->trace[i].kind, 'w');
    assert_int_equal(init_with(f, 1, f->net, bytes - 1, true, true), VIRTIO_NET_ERROR_STORAGE);
    assert_last_error(f, VIRTIO_NET_ERROR_STORAGE, VIRTIO_NET_FIELD_STORAGE, bytes - 1, bytes);
    /* While the major version is 0, each minor version is an interface of its own. */
    assert_int_equal(init_with(f, 99, f->net, bytes, true, true), VIRTIO_NET_ERROR_ABI_VERSION);
    assert_last_error(f, VIRTIO_NET_ERROR_ABI_VERSION, VIRTIO_NET_FIELD_NONE, 0, 0);
    assert_int_equal(init_with(f, VIRTIO_NET_ABI_VERSION, f->net, bytes, true, true), VIRTIO_NET_SUCCESS);
    f->up = true;
    assert_working(f, 1);
    take_down(f);
}

/* Each required function of a table is named by its offset; the others may be missing. */
static void tables(void **state)
{
    struct fixture *f = *state;
    static const size_t required[] = {
        offsetof(struct virtio_net_transport, properties),    offsetof(struct virtio_net_transport, device_type),
        offsetof(struct virtio_net_transport, read_features), offsetof(struct virtio_net_transport, write_features),
        offsetof(struct virtio_net_transport, get_status),    offsetof(struct virtio_net_transport, set_status),
        offsetof(struct virtio_net_transport, queue_max),     offsetof(struct virtio_net_transport, queue_used),
        offsetof(struct virtio_net_transport, queue_set),     offsetof(struct virtio_net_transport, notify),
        offsetof(struct virtio_net_transport, interrupt_ack), offsetof(struct virtio_net_transport, config_generation),
        offsetof(struct virtio_net_transport, config_read)};
    fixture_storage(f, 16, 16);
    for (size_t i = 0; i < COUNT(required); i++) {
        struct virtio_net_transport transport = model_transport;
        memset((uint8_t *)&transport + required[i], 0, sizeof(void (*)(void)));
        assert_int_equal(virtio_net_init(f->net, f->storage_bytes, &transport, f->platform, f->model, &f->options),
                         VIRTIO_NET_ERROR_TABLE);
        assert_last_error(f, VIRTIO_NET_ERROR_TABLE, VIRTIO_NET_FIELD_TABLE, 0, required[i]);
        assert_int_equal(last_error_of(f).queue, 0);
    }
    static const size_t needed[] = {offsetof(struct virtio_net_platform, dma_alloc),
                                    offsetof(struct virtio_net_platform, dma_free)};
    for (size_t i = 0; i < COUNT(needed); i++) {
        struct virtio_net_platform platform = model_platform;
        memset((uint8_t *)&platform + needed[i], 0, sizeof(void (*)(void)));
        assert_int_equal(virtio_net_init(f->net, f->storage_bytes, &model_transport, &platform, f->model, &f->options),
                         VIRTIO_NET_ERROR_TABLE);
        assert_last_error(f, VIRTIO_NET_ERROR_TABLE, VIRTIO_NET_FIELD_TABLE, 0, needed[i]);
        assert_int_equal(last_error_of(f).queue, 1);
    }
}

/* A table of an older author: what lies past its size counts as NULL, whatever is there. */
static void older_tables(void **state)
{
    struct fixture *f = *state;
    static struct virtio_net_platform platform;
    platform = model_platform;
    platform.size = offsetof(struct virtio_net_platform, share);
    f->platform = &platform;
    f->model->features &= ~MODEL_FEATURE(MAC);
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_NO_ADDRESS); /* random lies past the size */
    f->options.fallback_mac[0] = 2;
    bring_up(f);
    assert_int_equal(atomic_load(&f->model->clock_us), 0);
    assert_int_equal(atomic_load(&f->model->log_lines), 0);
    assert_working(f, 1);
    take_down(f);
    platform.size = offsetof(struct virtio_net_platform, dma_free);
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_TABLE);
}

/* ------------------------------------------------------------------------------------------------------------- growth */

static void options_of_other_sizes(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_options *all = (void *)calloc(1, 128);
    static const uint32_t sizes[] = {4, 8, 16, 20, sizeof(struct virtio_net_options), 57, 64, 128};
    fixture_storage(f, 256, 256);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        all->size = sizes[i];
        all->tx_slots = sizes[i] >= 20 ? 64 : 3; /* past the size: not looked at */
        int32_t code = virtio_net_init(f->net, f->storage_bytes, &model_transport, f->platform, f->model, all);
        assert_int_equal(code, VIRTIO_NET_SUCCESS);
        assert_int_equal(info_of(f).tx_slots, sizes[i] >= 20 ? 64 : 256);
        assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_SUCCESS);
    }
    for (uint32_t at = sizeof *all; at < 128; at += 9) {
        ((uint8_t *)all)[at] = 1;
        assert_int_equal(virtio_net_init(f->net, f->storage_bytes, &model_transport, f->platform, f->model, all),
                         VIRTIO_NET_ERROR_STRUCT_SIZE);
        ((uint8_t *)all)[at] = 0;
    }
    for (all->size = 0; all->size < 4; all->size++)
        assert_int_equal(virtio_net_init(f->net, f->storage_bytes, &model_transport, f->platform, f->model, all),
                         VIRTIO_NET_ERROR_STRUCT_SIZE);
    free(all);
}

typedef int32_t (*report)(const struct virtio_net *net, void *to);

static int32_t report_info(const struct virtio_net *net, void *to)
{
    return virtio_net_get_info(net, to);
}

static int32_t report_statistics(const struct virtio_net *net, void *to)
{
    return virtio_net_get_statistics(net, to);
}

static int32_t report_last_error(const struct virtio_net *net, void *to)
{
    return virtio_net_get_last_error(net, to);
}

/* A report fills the caller's size and no byte more; what this library does not know is zero, and the size is left alone. */
static void reports_of_other_sizes(void **state)
{
    struct fixture *f = *state;
    static const report reports[] = {report_info, report_statistics, report_last_error};
    bring_up(f);
    assert_working(f, 1);
    for (size_t i = 0; i < COUNT(reports); i++) {
        _Alignas(8) uint8_t full[256] = {0};
        uint32_t size = sizeof full;
        memcpy(full, &size, sizeof size);
        assert_int_equal(reports[i](f->net, full), VIRTIO_NET_SUCCESS);
        for (size = 0; size < sizeof full; size++) {
            _Alignas(8) uint8_t bytes[sizeof full + 1];
            memset(bytes, 0xab, sizeof bytes);
            memcpy(bytes, &size, sizeof size);
            assert_int_equal(reports[i](f->net, bytes), size < 4 ? VIRTIO_NET_ERROR_STRUCT_SIZE : VIRTIO_NET_SUCCESS);
            assert_memory_equal(bytes, &size, sizeof size);
            if (size > 4)
                assert_memory_equal(bytes + 4, full + 4, size - 4);
            assert_int_equal(bytes[size < 4 ? 4 : size], 0xab);
        }
        for (uint32_t at = sizeof(struct virtio_net_statistics); at < sizeof full; at++)
            assert_int_equal(full[at], 0);
    }
    take_down(f);
}

/* -------------------------------------------------------------------------------------------------------------- texts */

/* Every code has a name and a text of its own; others have one that says so. */
static void status_texts(void **state)
{
    (void)state;
    const char *unknown = virtio_net_status_name(-1000);
    uint32_t known = 0;
    assert_string_equal(virtio_net_status_name(VIRTIO_NET_SUCCESS), "VIRTIO_NET_SUCCESS");
    assert_string_equal(virtio_net_status_name(VIRTIO_NET_ERROR_QUEUE_FULL), "VIRTIO_NET_ERROR_QUEUE_FULL");
    assert_string_equal(virtio_net_status_name(VIRTIO_NET_ERROR_DEVICE_GONE), "VIRTIO_NET_ERROR_DEVICE_GONE");
    for (int32_t code = -100; code <= 3; code++) {
        const char *name = virtio_net_status_name(code);
        assert_non_null(name);
        assert_non_null(virtio_net_status_text(code));
        assert_true(strlen(virtio_net_status_text(code)) > 5);
        known += strcmp(name, unknown) != 0;
        for (int32_t other = -100; other < code && strcmp(name, unknown) != 0; other++) {
            assert_string_not_equal(name, virtio_net_status_name(other));
            assert_string_not_equal(virtio_net_status_text(code), virtio_net_status_text(other));
        }
    }
    assert_int_equal(known, 1 + 17 + 2 + 15);
    assert_string_equal(virtio_net_status_name(INT32_MIN), unknown);
    assert_string_equal(virtio_net_status_name(INT32_MAX), unknown);
}

TEST_PROGRAM(OVER_VARIANTS(queue_pairs_and_flags), OVER_VARIANTS(null_pointers), IN_VARIANT(null_driver, 0),
             OVER_VARIANTS(interrupt_arguments), OVER_VARIANTS(counts), OVER_VARIANTS(frame_lengths), OVER_VARIANTS(options),
             OVER_VARIANTS(limits_of_options), OVER_VARIANTS(default_options), OVER_VARIANTS(init_arguments), TABLE_ONLY(tables),
             OVER_VARIANTS(older_tables), TABLE_ONLY(options_of_other_sizes), OVER_VARIANTS(reports_of_other_sizes),
             IN_VARIANT(status_texts, 0))
