/*
 * harness.c - fixtures, frames and shared checks of the unit tests.
 */
#include "harness.h"

const struct variant variants[4] = {
    {"mmio legacy", 1, false},
    {"mmio modern", 2, false},
    {"table legacy", 1, true},
    {"table modern", 2, true},
};

static void fail_on_violation(struct model *model, const char *text)
{
    (void)model;
    fail_msg("violation: %s", text);
}

/* ------------------------------------------------------------------------------------------------------------- fixture */

static void new_model(struct fixture *f)
{
    f->model = model_create(f->variant->version);
    f->model->on_violation = fail_on_violation;
    f->model->word = f;
    f->up = false;
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    if (f == NULL)
        return -1;
    f->variant = *state;
    f->options.size = sizeof f->options;
    f->options.tx_slots = f->options.rx_slots = 16;
    /* Two variants have sync functions, and the others have the quick ways of a machine that needs none. */
    f->platform = (f->variant->version == 1) == f->variant->table ? &model_platform : &model_platform_coherent;
    new_model(f);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    f->model->on_violation = NULL;
    if (f->up)
        (void)virtio_net_close(f->net);
    bool clean =
        (f->violations_wanted || atomic_load(&f->model->violations) == 0) && (f->leaks_wanted || model_blocks_out(f->model) == 0);
    if (!clean)
        print_error("%u violations, %u blocks left behind\n", atomic_load(&f->model->violations), model_blocks_out(f->model));
    model_destroy(f->model);
    free(f->net);
    free(f);
    return clean ? 0 : -1;
}

void fixture_storage(struct fixture *f, uint32_t tx_slots, uint32_t rx_slots)
{
    free(f->net);
    f->storage_bytes = VIRTIO_NET_STORAGE_BYTES((uint64_t)tx_slots, (uint64_t)rx_slots);
    f->net = aligned_alloc(VIRTIO_NET_STORAGE_ALIGNMENT, f->storage_bytes);
    assert_non_null(f->net);
    memset(f->net, 0xa5, f->storage_bytes);
}

int32_t fixture_init(struct fixture *f)
{
    if (f->net == NULL)
        fixture_storage(f, f->options.tx_slots == 0 ? 256 : f->options.tx_slots,
                        f->options.rx_slots == 0 ? 256 : f->options.rx_slots);
    int32_t code = 0;
    if (f->variant->table)
        code = virtio_net_init(f->net, f->storage_bytes, &model_transport, f->platform, f->model, &f->options);
    else
        code = virtio_net_init_mmio(f->net, f->storage_bytes, f->model->registers, f->platform, f->model, &f->options);
    f->up = code == VIRTIO_NET_SUCCESS;
    return code;
}

void bring_up(struct fixture *f)
{
    int32_t code = fixture_init(f);
    if (code != VIRTIO_NET_SUCCESS)
        fail_msg("%s: %s", f->variant->name, virtio_net_status_name(code));
    assert_int_equal(f->model->status & ~(uint32_t)STATUS_FEATURES_OK, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK);
    assert_int_equal(info_of(f).state, VIRTIO_NET_STATE_RUNNING);
}

void take_down(struct fixture *f)
{
    assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_SUCCESS);
    f->up = false;
    assert_int_equal(f->model->status, 0);
    assert_int_equal(model_blocks_out(f->model), 0);
}

void fixture_renew(struct fixture *f)
{
    if (f->up)
        take_down(f);
    model_destroy(f->model);
    free(f->net);
    f->net = NULL;
    new_model(f);
}

/* -------------------------------------------------------------------------------------------------------------- reports */

struct virtio_net_info info_of(const struct fixture *f)
{
    struct virtio_net_info info = {.size = sizeof info};
    assert_int_equal(virtio_net_get_info(f->net, &info), VIRTIO_NET_SUCCESS);
    return info;
}

struct virtio_net_statistics statistics_of(const struct fixture *f)
{
    struct virtio_net_statistics statistics = {.size = sizeof statistics};
    assert_int_equal(virtio_net_get_statistics(f->net, &statistics), VIRTIO_NET_SUCCESS);
    return statistics;
}

struct virtio_net_error_detail last_error_of(const struct fixture *f)
{
    struct virtio_net_error_detail detail = {.size = sizeof detail};
    assert_int_equal(virtio_net_get_last_error(f->net, &detail), VIRTIO_NET_SUCCESS);
    return detail;
}

void assert_last_error(const struct fixture *f, int32_t code, uint32_t field, uint64_t found, uint64_t wanted)
{
    struct virtio_net_error_detail detail = last_error_of(f);
    assert_string_equal(virtio_net_status_name(detail.code), virtio_net_status_name(code));
    assert_int_equal(detail.field, field);
    assert_int_equal(detail.found, found);
    assert_int_equal(detail.wanted, wanted);
}

uint32_t longest_frame_of(const struct fixture *f)
{
    struct virtio_net_info info = info_of(f);
    return info.max_frame_length < info.tx_buffer_bytes ? info.max_frame_length : info.tx_buffer_bytes;
}

/* --------------------------------------------------------------------------------------------------------------- frames */

uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) + b + UINT64_C(0x632be59bd9b4e019);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint32_t frame_length(uint64_t seed)
{
    return FRAME_MIN + (uint32_t)(mix(seed, 77) % (FRAME_MAX - FRAME_MIN + 1));
}

void frame_fill(uint8_t *frame, uint32_t length, uint64_t seed)
{
    uint64_t word = mix(seed, length) | 1;
    uint32_t at = 0;
    for (; at + sizeof word <= length; at += (uint32_t)sizeof word) {
        memcpy(frame + at, &word, sizeof word);
        word = word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    }
    memcpy(frame + at, &word, length - at);
}

bool frame_matches(const uint8_t *frame, uint32_t length, uint32_t wanted_length, uint64_t seed)
{
    static _Thread_local uint8_t wanted[65536];
    frame_fill(wanted, wanted_length, seed);
    return length == wanted_length && memcmp(frame, wanted, length) == 0;
}

void frame_assert(const uint8_t *frame, uint32_t length, uint32_t wanted_length, uint64_t seed)
{
    assert_int_equal(length, wanted_length);
    if (!frame_matches(frame, length, wanted_length, seed))
        fail_msg("frame of %u bytes is not that of seed %llu", length, (unsigned long long)seed);
}

void assert_sent(struct fixture *f, uint32_t length, uint64_t seed)
{
    uint32_t found = 0;
    const uint8_t *frame = model_tx_pop(f->model, &found);
    assert_non_null(frame);
    frame_assert(frame, found, length, seed);
}

void deliver(struct fixture *f, uint32_t length, uint64_t seed)
{
    frame_fill(f->frame, length, seed);
    assert_true(model_rx_deliver(f->model, f->frame, length));
}

void assert_received(struct fixture *f, uint32_t length, uint64_t seed)
{
    int32_t found = virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame);
    assert_true(found > 0);
    frame_assert(f->frame, (uint32_t)found, length, seed);
}

void send_one(struct fixture *f, uint32_t length, uint64_t seed)
{
    frame_fill(f->frame, length, seed);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, length), VIRTIO_NET_SUCCESS);
}

void same_packets(struct fixture *f, uint32_t count)
{
    assert_true(count <= FIXTURE_FRAMES);
    memset(f->packets, 0, sizeof f->packets);
    for (uint32_t i = 0; i < count; i++) {
        f->packets[i].data = f->frame;
        f->packets[i].length = FRAME_MIN;
    }
}

void advance_tx(struct fixture *f, uint32_t count)
{
    uint32_t burst = info_of(f).tx_slots;
    if (burst > FIXTURE_FRAMES)
        burst = FIXTURE_FRAMES;
    same_packets(f, burst);
    while (count > 0) {
        uint32_t now = count < burst ? count : burst;
        assert_int_equal(virtio_net_send_burst(f->net, 0, VIRTIO_NET_NO_KICK, f->packets, now), now);
        model_poll(f->model, MODEL_TX);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        count -= now;
    }
}

void assert_working(struct fixture *f, uint64_t seed)
{
    uint32_t length = frame_length(seed);
    uint32_t ignored = 0;
    while (model_tx_pop(f->model, &ignored) != NULL)
        continue;
    int32_t free_slots = virtio_net_tx_free(f->net, 0);
    send_one(f, length, seed);
    model_poll(f->model, MODEL_TX);
    assert_sent(f, length, seed);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    assert_int_equal(virtio_net_tx_free(f->net, 0), free_slots);
    deliver(f, length, ~seed);
    assert_received(f, length, ~seed);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), 0);
}

/* ---------------------------------------------------------------------------------------------------------------- trace */

void assert_trace(struct fixture *f, const struct model_access *wanted, uint32_t count)
{
    const struct model_access *seen = f->model->trace;
    uint32_t shorter = count < f->model->trace_count ? count : f->model->trace_count;
    for (uint32_t i = 0; i < shorter; i++) {
        if (seen[i].kind != wanted[i].kind || seen[i].where != wanted[i].where || seen[i].value != wanted[i].value)
            fail_msg("access %u is %c 0x%03x 0x%llx, not %c 0x%03x 0x%llx", i, seen[i].kind, seen[i].where,
                     (unsigned long long)seen[i].value, wanted[i].kind, wanted[i].where, (unsigned long long)wanted[i].value);
    }
    assert_int_equal(f->model->trace_count, count);
    f->model->trace_count = 0;
}
