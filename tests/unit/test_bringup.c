/*
 * test_bringup.c - from reset to DRIVER_OK (virtio 1.2, 3.1, 4.2.3): the exact accesses, what is negotiated, and every way in
 * which a device can refuse or misbehave meanwhile.
 */
#include "harness.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --------------------------------------------------------------------------------------------------------------- traces */

struct trace {
    struct model_access access[128];
    uint32_t count;
};

static void expect(struct trace *trace, char kind, uint32_t where, uint64_t value)
{
    assert_true(trace->count < COUNT(trace->access));
    trace->access[trace->count++] = (struct model_access){kind, where, value};
}

static void expect_config_bytes(struct trace *trace, const struct fixture *f, uint32_t begin, uint32_t end)
{
    char kind = f->variant->table ? 'c' : 'r';
    for (uint32_t at = begin; at < end; at++) {
        if (f->variant->table)
            expect(trace, kind, CALL_CONFIG_READ, at);
        else
            expect(trace, kind, REGISTER_CONFIG + at, f->model->config[at]);
    }
}

/* The device address of the ring that was allocated as the `number`th. */
static uint64_t ring_address(const struct fixture *f, uint32_t number)
{
    for (uint32_t i = 0; i < f->model->block_count; i++) {
        if ((f->model->blocks[i].flags & VIRTIO_NET_DMA_COHERENT) != 0 && number-- == 0)
            return f->model->blocks[i].device_address;
    }
    fail_msg("no ring %u", number);
    return 0;
}

static void expect_identity_and_reset(struct trace *trace, const struct fixture *f)
{
    expect(trace, 'r', REGISTER_MAGIC, 0x74726976);
    expect(trace, 'r', REGISTER_VERSION, f->variant->version);
    expect(trace, 'r', REGISTER_DEVICE_ID, 1);
    expect(trace, 'w', REGISTER_STATUS, 0);
    expect(trace, 'r', REGISTER_STATUS, 0);
    expect(trace, 'r', REGISTER_STATUS, 0);
    expect(trace, 'w', REGISTER_STATUS, STATUS_ACKNOWLEDGE);
    expect(trace, 'r', REGISTER_STATUS, STATUS_ACKNOWLEDGE);
    expect(trace, 'w', REGISTER_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
}

static void expect_queue_begin(struct trace *trace, uint32_t queue, uint32_t used_register)
{
    expect(trace, 'w', REGISTER_QUEUE_SEL, queue);
    expect(trace, 'r', REGISTER_QUEUE_NUM_MAX, 1024);
    expect(trace, 'w', REGISTER_QUEUE_SEL, queue);
    expect(trace, 'r', used_register, 0);
    expect(trace, 'w', REGISTER_QUEUE_SEL, queue);
    expect(trace, 'w', REGISTER_QUEUE_NUM, 16);
}

static void trace_legacy(void **state)
{
    struct fixture *f = *state;
    struct trace trace = {.count = 0};
    f->model->tracing = true;
    bring_up(f);
    expect_identity_and_reset(&trace, f);
    expect(&trace, 'w', REGISTER_DEVICE_FEATURES_SEL, 0);
    expect(&trace, 'r', REGISTER_DEVICE_FEATURES, f->model->features);
    expect(&trace, 'w', REGISTER_DRIVER_FEATURES_SEL, 0);
    expect(&trace, 'w', REGISTER_DRIVER_FEATURES,
           MODEL_FEATURE(MAC) | MODEL_FEATURE(STATUS) | MODEL_FEATURE(ANY_LAYOUT) | MODEL_FEATURE(EVENT_IDX));
    /* 2.5.4: no generation, so each field until two readings agree. */
    expect_config_bytes(&trace, f, CONFIG_MAC, CONFIG_STATUS);
    expect_config_bytes(&trace, f, CONFIG_MAC, CONFIG_STATUS);
    expect_config_bytes(&trace, f, CONFIG_STATUS, CONFIG_MAX_PAIRS);
    expect_config_bytes(&trace, f, CONFIG_STATUS, CONFIG_MAX_PAIRS);
    expect(&trace, 'w', REGISTER_GUEST_PAGE_SIZE, 4096);
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        expect_queue_begin(&trace, queue, REGISTER_QUEUE_PFN);
        expect(&trace, 'w', REGISTER_QUEUE_ALIGN, 4096);
        expect(&trace, 'w', REGISTER_QUEUE_PFN, ring_address(f, queue) / 4096);
    }
    expect(&trace, 'r', REGISTER_STATUS, 3);
    expect(&trace, 'w', REGISTER_STATUS, 7);
    expect(&trace, 'w', REGISTER_QUEUE_NOTIFY, MODEL_RX);
    assert_trace(f, trace.access, trace.count);
}

static void expect_modern_features(struct trace *trace, const struct fixture *f)
{
    expect(trace, 'w', REGISTER_DEVICE_FEATURES_SEL, 0);
    expect(trace, 'r', REGISTER_DEVICE_FEATURES, f->model->features & UINT32_MAX);
    expect(trace, 'w', REGISTER_DEVICE_FEATURES_SEL, 1);
    expect(trace, 'r', REGISTER_DEVICE_FEATURES, f->model->features >> 32);
    expect(trace, 'w', REGISTER_DRIVER_FEATURES_SEL, 0);
    expect(trace, 'w', REGISTER_DRIVER_FEATURES, MODEL_FEATURE(MAC) | MODEL_FEATURE(STATUS) | MODEL_FEATURE(EVENT_IDX));
    expect(trace, 'w', REGISTER_DRIVER_FEATURES_SEL, 1);
    expect(trace, 'w', REGISTER_DRIVER_FEATURES, 1);
    expect(trace, 'r', REGISTER_STATUS, 3);
    expect(trace, 'w', REGISTER_STATUS, 11);
    expect(trace, 'r', REGISTER_STATUS, 11);
}

static void expect_modern_queue(struct trace *trace, const struct fixture *f, uint32_t queue)
{
    const uint64_t areas[] = {ring_address(f, queue), f->model->queue[queue].driver_area, f->model->queue[queue].device_area};
    static const uint32_t registers[] = {REGISTER_QUEUE_DESC_LOW, REGISTER_QUEUE_DRIVER_LOW, REGISTER_QUEUE_DEVICE_LOW};
    expect_queue_begin(trace, queue, REGISTER_QUEUE_READY);
    for (uint32_t area = 0; area < 3; area++) {
        expect(trace, 'w', registers[area], areas[area] & UINT32_MAX);
        expect(trace, 'w', registers[area] + 4, areas[area] >> 32);
    }
    expect(trace, 'w', REGISTER_QUEUE_READY, 1);
    expect(trace, 'r', REGISTER_QUEUE_READY, 1);
}

static void trace_modern(void **state)
{
    struct fixture *f = *state;
    struct trace trace = {.count = 0};
    f->model->tracing = true;
    f->model->generation = 77;
    bring_up(f);
    expect_identity_and_reset(&trace, f);
    expect_modern_features(&trace, f);
    expect(&trace, 'r', REGISTER_CONFIG_GENERATION, 77);
    expect_config_bytes(&trace, f, CONFIG_MAC, CONFIG_STATUS);
    expect(&trace, 'r', REGISTER_CONFIG_GENERATION, 77);
    expect(&trace, 'r', REGISTER_CONFIG_GENERATION, 77);
    expect(&trace, 'r', REGISTER_CONFIG + CONFIG_STATUS, 1);
    expect(&trace, 'r', REGISTER_CONFIG_GENERATION, 77);
    expect_modern_queue(&trace, f, MODEL_RX);
    expect_modern_queue(&trace, f, MODEL_TX);
    expect(&trace, 'r', REGISTER_STATUS, 11);
    expect(&trace, 'w', REGISTER_STATUS, 15);
    expect(&trace, 'w', REGISTER_QUEUE_NOTIFY, MODEL_RX);
    assert_trace(f, trace.access, trace.count);
    /* The way down is a reset and a look. */
    take_down(f);
    static const struct model_access down[] = {{'w', REGISTER_STATUS, 0}, {'r', REGISTER_STATUS, 0}};
    assert_trace(f, down, COUNT(down));
}

static void expect_calls_to_features(struct trace *trace, const struct fixture *f)
{
    bool legacy = device_legacy(f->model);
    uint64_t accepted = MODEL_FEATURE(MAC) | MODEL_FEATURE(STATUS) | MODEL_FEATURE(EVENT_IDX) |
                        (legacy ? MODEL_FEATURE(ANY_LAYOUT) : MODEL_FEATURE(VERSION_1));
    expect(trace, 'c', CALL_DEVICE_TYPE, 1);
    expect(trace, 'c', CALL_SET_STATUS, 0);
    expect(trace, 'c', CALL_GET_STATUS, 0);
    expect(trace, 'c', CALL_GET_STATUS, 0);
    expect(trace, 'c', CALL_SET_STATUS, 1);
    expect(trace, 'c', CALL_GET_STATUS, 1);
    expect(trace, 'c', CALL_SET_STATUS, 3);
    expect(trace, 'c', CALL_PROPERTIES, legacy ? VIRTIO_NET_TRANSPORT_LEGACY : VIRTIO_NET_TRANSPORT_CONFIG_GENERATION);
    expect(trace, 'c', CALL_READ_FEATURES, f->model->features);
    expect(trace, 'c', CALL_WRITE_FEATURES, accepted);
}

static void expect_calls_from_config(struct trace *trace, const struct fixture *f)
{
    uint32_t status = device_legacy(f->model) ? 3 : 11;
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        expect(trace, 'c', CALL_QUEUE_MAX, 1024);
        expect(trace, 'c', CALL_QUEUE_USED, 0);
        expect(trace, 'c', CALL_QUEUE_SET, queue);
    }
    expect(trace, 'c', CALL_GET_STATUS, status);
    expect(trace, 'c', CALL_SET_STATUS, status | STATUS_DRIVER_OK);
    expect(trace, 'c', CALL_NOTIFY, MODEL_RX);
}

static void trace_calls(void **state)
{
    struct fixture *f = *state;
    struct trace trace = {.count = 0};
    f->model->tracing = true;
    bring_up(f);
    expect_calls_to_features(&trace, f);
    if (device_legacy(f->model)) {
        expect_config_bytes(&trace, f, CONFIG_MAC, CONFIG_STATUS);
        expect_config_bytes(&trace, f, CONFIG_MAC, CONFIG_STATUS);
        expect_config_bytes(&trace, f, CONFIG_STATUS, CONFIG_MAX_PAIRS);
        expect_config_bytes(&trace, f, CONFIG_STATUS, CONFIG_MAX_PAIRS);
        expect(&trace, 'c', CALL_SET_GUEST_PAGE_SIZE, 4096);
    } else {
        expect(&trace, 'c', CALL_GET_STATUS, 3);
        expect(&trace, 'c', CALL_SET_STATUS, 11);
        expect(&trace, 'c', CALL_GET_STATUS, 11);
        expect(&trace, 'c', CALL_CONFIG_GENERATION, 0);
        expect_config_bytes(&trace, f, CONFIG_MAC, CONFIG_STATUS);
        expect(&trace, 'c', CALL_CONFIG_GENERATION, 0);
        expect(&trace, 'c', CALL_CONFIG_GENERATION, 0);
        expect(&trace, 'c', CALL_CONFIG_READ, CONFIG_STATUS);
        expect(&trace, 'c', CALL_CONFIG_GENERATION, 0);
    }
    expect_calls_from_config(&trace, f);
    assert_trace(f, trace.access, trace.count);
}

/* On the data path there is the notification and nothing else: a register read is a trap to the hypervisor. */
static void no_registers_on_the_data_path(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->tracing = true;
    for (uint64_t seed = 0; seed < 300; seed++)
        assert_working(f, seed);
    for (uint32_t i = 0; i < f->model->trace_count; i++) {
        const struct model_access *access = &f->model->trace[i];
        assert_int_equal(access->where, f->variant->table ? CALL_NOTIFY : REGISTER_QUEUE_NOTIFY);
        assert_true(access->kind != 'r');
    }
    assert_true(f->model->trace_count <= 600);
    take_down(f);
}

/* ---------------------------------------------------------------------------------------------------------------- probe */

static void probe(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t magic, version, id;
        int32_t code;
        uint32_t field;
    } cases[] = {{0, 2, 1, VIRTIO_NET_ERROR_MAGIC, VIRTIO_NET_FIELD_MAGIC},
                 {0x76697274, 2, 1, VIRTIO_NET_ERROR_MAGIC, VIRTIO_NET_FIELD_MAGIC},
                 {UINT32_MAX, UINT32_MAX, UINT32_MAX, VIRTIO_NET_ERROR_MAGIC, VIRTIO_NET_FIELD_MAGIC},
                 {0x74726976, 0, 1, VIRTIO_NET_ERROR_DEVICE_VERSION, VIRTIO_NET_FIELD_VERSION},
                 {0x74726976, 3, 1, VIRTIO_NET_ERROR_DEVICE_VERSION, VIRTIO_NET_FIELD_VERSION},
                 {0x74726976, 0x10001, 1, VIRTIO_NET_ERROR_DEVICE_VERSION, VIRTIO_NET_FIELD_VERSION},
                 {0x74726976, 2, 0, VIRTIO_NET_ERROR_NOT_NETWORK, VIRTIO_NET_FIELD_DEVICE_TYPE},
                 {0x74726976, 1, 2, VIRTIO_NET_ERROR_NOT_NETWORK, VIRTIO_NET_FIELD_DEVICE_TYPE},
                 {0x74726976, 2, 0x10001, VIRTIO_NET_ERROR_NOT_NETWORK, VIRTIO_NET_FIELD_DEVICE_TYPE}};
    f->model->tracing = true;
    assert_int_equal(virtio_net_mmio_probe(f->model->registers), VIRTIO_NET_SUCCESS);
    assert_int_equal(f->model->trace_count, 3);
    for (size_t i = 0; i < COUNT(cases); i++) {
        f->model->magic = cases[i].magic;
        f->model->version = cases[i].version;
        f->model->device_id = cases[i].id;
        assert_int_equal(virtio_net_mmio_probe(f->model->registers), cases[i].code);
        assert_int_equal(fixture_init(f), cases[i].code);
        assert_int_equal(last_error_of(f).code, cases[i].code);
        assert_int_equal(last_error_of(f).field, cases[i].field);
    }
    for (uint32_t i = 0; i < f->model->trace_count; i++)
        assert_int_equal(f->model->trace[i].kind, 'r');
}

static void other_device_over_a_table(void **state)
{
    struct fixture *f = *state;
    f->model->device_id = 2;
    f->model->tracing = true;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_NOT_NETWORK);
    assert_last_error(f, VIRTIO_NET_ERROR_NOT_NETWORK, VIRTIO_NET_FIELD_DEVICE_TYPE, 2, 1);
    assert_int_equal(f->model->trace_count, 1);
}

/* ------------------------------------------------------------------------------------------------------------- features */

static void check_agreed(struct fixture *f)
{
    bring_up(f);
    struct virtio_net_info info = info_of(f);
    assert_true(info.features == f->model->driver_features);
    assert_true(info.device_features == f->model->features);
    assert_true((info.features & ~info.device_features) == 0);
    assert_int_equal(info.legacy, device_legacy(f->model));
    assert_working(f, 1);
    take_down(f);
}

/* Each bit offered alone, missing alone, and random masks: the model refuses what was not offered, and tests the exchange. */
static void every_mask(void **state)
{
    struct fixture *f = *state;
    uint32_t bits = device_legacy(f->model) ? 32 : 64;
    uint64_t always = device_legacy(f->model) ? 0 : MODEL_FEATURE(VERSION_1);
    f->options.fallback_mac[0] = 2;
    for (uint32_t bit = 0; bit < bits; bit++) {
        fixture_renew(f);
        f->model->features = always | UINT64_C(1) << bit;
        check_agreed(f);
        fixture_renew(f);
        f->model->features = (UINT64_MAX >> (64 - bits) & ~(UINT64_C(1) << bit)) | always;
        check_agreed(f);
    }
    for (uint64_t round = 0; round < 200; round++) {
        fixture_renew(f);
        f->model->features = (mix(round, 1) >> (64 - bits)) | always;
        check_agreed(f);
    }
}

/* The caller's mask holds for everything but VERSION_1. */
static void masked_features(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint64_t usable = info_of(f).features;
    for (uint32_t bit = 0; bit < 64; bit++) {
        fixture_renew(f);
        f->options.feature_mask = UINT64_C(1) << bit;
        f->options.fallback_mac[0] = 2;
        bring_up(f);
        assert_true((info_of(f).features & ~(f->options.feature_mask | MODEL_FEATURE(VERSION_1))) == 0);
        assert_working(f, bit);
        fixture_renew(f);
        f->options.feature_mask = ~(UINT64_C(1) << bit);
        bring_up(f);
        /* A legacy device without ANY_LAYOUT is worked with by indirect tables. */
        uint64_t other = bit == VIRTIO_NET_FEATURE_ANY_LAYOUT && device_legacy(f->model) ? MODEL_FEATURE(INDIRECT_DESC) : 0;
        assert_true(((info_of(f).features ^ usable) & ~(UINT64_C(1) << bit) & ~other) == 0);
        assert_working(f, bit);
    }
}

static void features_refused(void **state)
{
    struct fixture *f = *state;
    f->model->refuse_features = true;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_FEATURES);
    assert_last_error(f, VIRTIO_NET_ERROR_FEATURES, VIRTIO_NET_FIELD_STATUS, 3, STATUS_FEATURES_OK);
    assert_int_equal(f->model->status, 0);
    assert_int_equal(f->model->allocations, 0);
}

static void version_1_missing(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(VERSION_1);
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_FEATURES);
    assert_last_error(f, VIRTIO_NET_ERROR_FEATURES, VIRTIO_NET_FIELD_FEATURES, f->model->features, MODEL_FEATURE(VERSION_1));
    assert_int_equal(f->model->status, 0);
}

/* The device offers less at a second reading: what was accepted stays what was offered first, and is read once. */
static void features_change(void **state)
{
    struct fixture *f = *state;
    f->model->features_second = MODEL_FEATURE(VERSION_1);
    bring_up(f);
    assert_true(info_of(f).device_features == f->model->features);
    assert_working(f, 1);
    take_down(f);
}

/* --------------------------------------------------------------------------------------------------------------- reset */

static void reset_takes_time(void **state)
{
    struct fixture *f = *state;
    for (uint32_t reads = 1; reads < 2000; reads *= 3) {
        fixture_renew(f);
        f->model->status = 15;
        f->model->reset_reads = reads;
        bring_up(f);
        assert_int_equal(atomic_load(&f->model->relaxed), reads);
        take_down(f);
    }
}

/* Stuck from the first: nothing is allocated, the limit holds, and no other register is touched. */
static void stuck(struct fixture *f, uint32_t limit)
{
    f->model->status = 15;
    f->model->reset_reads = MODEL_NEVER;
    f->model->tracing = true;
    f->options.reset_timeout_us = limit;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_RESET_TIMEOUT);
    assert_last_error(f, VIRTIO_NET_ERROR_RESET_TIMEOUT, VIRTIO_NET_FIELD_STATUS, 15, 0);
    assert_int_equal(f->model->allocations, 0);
    for (uint32_t i = 0; i < f->model->trace_count; i++) {
        const struct model_access *access = &f->model->trace[i];
        if (access->kind == 'w')
            assert_true(access->where == REGISTER_STATUS && access->value == 0);
        if (access->where == CALL_SET_STATUS)
            assert_int_equal(access->value, 0);
    }
    f->options.reset_timeout_us = 0;
}

static void reset_never_done(void **state)
{
    struct fixture *f = *state;
    stuck(f, 300);
    assert_in_range(atomic_load(&f->model->clock_us), 300, 310);
    fixture_renew(f);
    stuck(f, 0); /* the default */
    assert_in_range(atomic_load(&f->model->clock_us), 100000, 100010);
}

/* Without a clock each status read counts as a microsecond; with one that stands still there is an end as well. */
static void reset_never_done_without_clock(void **state)
{
    struct fixture *f = *state;
    f->platform = &model_platform_required;
    stuck(f, 500);
    assert_in_range(f->model->trace_count, 500, 510);
    fixture_renew(f);
    f->platform = &model_platform;
    f->model->clock_step_us = 0;
    stuck(f, 20);
}

/* --------------------------------------------------------------------------------------------------------------- queues */

static void queue_in_use(void **state)
{
    struct fixture *f = *state;
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        fixture_renew(f);
        f->model->queue_busy[queue] = true;
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_QUEUE_IN_USE);
        assert_last_error(f, VIRTIO_NET_ERROR_QUEUE_IN_USE, VIRTIO_NET_FIELD_QUEUE_READY, 1, 0);
        assert_int_equal(last_error_of(f).queue, queue);
        assert_int_equal(f->model->status, 0);
        assert_int_equal(model_blocks_out(f->model), 0);
    }
}

static void queue_refused(void **state)
{
    struct fixture *f = *state;
    f->model->queue_refused = true;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_QUEUE_SETUP);
    assert_int_equal(last_error_of(f).field, VIRTIO_NET_FIELD_QUEUE_READY);
    assert_int_equal(f->model->status, 0);
    assert_int_equal(model_blocks_out(f->model), 0);
}

/* The set-up fails half-way, and the device does not confirm the reset that follows: the first error is told, and memory is
 * kept. */
static void failure_with_stuck_device(void **state)
{
    struct fixture *f = *state;
    f->model->queue_max[MODEL_TX] = 0;
    f->model->reset_reads = MODEL_NEVER; /* the first reset has nothing to do */
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_QUEUE_MISSING);
    assert_last_error(f, VIRTIO_NET_ERROR_QUEUE_MISSING, VIRTIO_NET_FIELD_QUEUE_SIZE, 0, 1);
    f->leaks_wanted = true;
    assert_true(model_bytes_out(f->model) > 0);
    assert_int_equal(statistics_of(f).quarantined_bytes, model_bytes_out(f->model));
}

/* ------------------------------------------------------------------------------------------------- gone, confused, unlucky */

static void gone_from_the_start(void **state)
{
    struct fixture *f = *state;
    f->model->gone = true;
    int32_t code = fixture_init(f);
    assert_int_equal(code, f->variant->table ? VIRTIO_NET_ERROR_NOT_NETWORK : VIRTIO_NET_ERROR_MAGIC);
    assert_int_equal(f->model->allocations, 0);
}

/* The device disappears at the n-th configuration read, which is in the middle of the bring-up. */
static void vanish(struct model *model, uint32_t offset)
{
    if (offset == CONFIG_STATUS)
        model->gone = true;
}

static void gone_in_the_middle(void **state)
{
    struct fixture *f = *state;
    f->model->on_config_read = vanish;
    int32_t code = fixture_init(f);
    assert_true(code < 0);
    assert_true(strlen(virtio_net_status_text(code)) > 0);
    f->leaks_wanted = true; /* no reset was confirmed: what had been allocated is kept from the device */
    assert_true(model_bytes_out(f->model) == 0 || statistics_of(f).quarantined_bytes == model_bytes_out(f->model));
}

/* NEEDS_RESET set while the driver sets it up: the bits of the driver's own are still right. */
static void ask_for_reset(struct model *model, uint32_t offset)
{
    if (offset == CONFIG_STATUS)
        model_needs_reset(model);
}

static void needs_reset_meanwhile(void **state)
{
    struct fixture *f = *state;
    f->model->on_config_read = ask_for_reset;
    int32_t code = fixture_init(f);
    assert_true(code == VIRTIO_NET_SUCCESS || code < 0);
    f->model->on_config_read = NULL;
    if (code == VIRTIO_NET_SUCCESS) {
        assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, 1);
        take_down(f);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- logs */

/* One line a cause, with the code that the call returns; nothing where all is well. */
static void log_lines(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_working(f, 1);
    take_down(f);
    assert_int_equal(atomic_load(&f->model->log_lines), 0);
    fixture_renew(f);
    f->model->queue_max[MODEL_TX] = 0;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_QUEUE_MISSING);
    assert_int_equal(atomic_load(&f->model->log_lines), 1);
    assert_int_equal(f->model->log_level[0], VIRTIO_NET_LOG_ERROR);
    assert_int_equal(f->model->log_code[0], VIRTIO_NET_ERROR_QUEUE_MISSING);
    fixture_renew(f);
    f->options.log_level = VIRTIO_NET_LOG_INFO;
    bring_up(f);
    assert_int_equal(atomic_load(&f->model->log_lines), 1);
    assert_int_equal(f->model->log_level[0], VIRTIO_NET_LOG_INFO);
    model_set_used_index(f->model, MODEL_TX, 3);
    for (int look = 0; look < 5; look++)
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(atomic_load(&f->model->log_lines), 2);
    assert_int_equal(f->model->log_code[1], VIRTIO_NET_ERROR_USED_INDEX);
    take_down(f);
}

TEST_PROGRAM(IN_VARIANT(trace_legacy, 0), IN_VARIANT(trace_modern, 1), TABLE_ONLY(trace_calls),
             OVER_VARIANTS(no_registers_on_the_data_path), MMIO_ONLY(probe), TABLE_ONLY(other_device_over_a_table),
             OVER_VARIANTS(every_mask), OVER_VARIANTS(masked_features), MODERN_ONLY(features_refused),
             MODERN_ONLY(version_1_missing), OVER_VARIANTS(features_change), OVER_VARIANTS(reset_takes_time),
             OVER_VARIANTS(reset_never_done), OVER_VARIANTS(reset_never_done_without_clock), OVER_VARIANTS(queue_in_use),
             IN_VARIANT(queue_refused, 1), TABLE_ONLY(queue_refused), OVER_VARIANTS(failure_with_stuck_device),
             OVER_VARIANTS(gone_from_the_start), OVER_VARIANTS(gone_in_the_middle), OVER_VARIANTS(needs_reset_meanwhile),
             OVER_VARIANTS(log_lines))
