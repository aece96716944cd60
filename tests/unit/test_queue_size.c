/*
 * test_queue_size.c - rings of every size, and devices that have other sizes than the caller wants (virtio 1.2, 2.7, 4.2.2).
 */
#include "harness.h"

static uint32_t slots_of(struct fixture *f)
{
    struct virtio_net_info info = info_of(f);
    assert_int_equal(info.tx_slots, f->model->queue[MODEL_TX].size);
    assert_int_equal(info.rx_slots, f->model->queue[MODEL_RX].size);
    assert_int_equal(info.tx_slots, info.rx_slots);
    return info.tx_slots;
}

/* Fills both rings to the last slot, over and over, each frame different. */
static void fill_and_drain(struct fixture *f, uint32_t slots, uint32_t rounds)
{
    f->model->hold_tx = true;
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < slots; i++)
            send_one(f, FRAME_MIN + i % 64, round * slots + i);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
        model_poll(f->model, MODEL_TX);
        assert_int_equal(model_tx_complete(f->model, slots + 1), slots);
        for (uint32_t i = 0; i < slots; i++)
            assert_sent(f, FRAME_MIN + i % 64, round * slots + i);
        for (uint32_t i = 0; i < slots; i++)
            deliver(f, FRAME_MIN + i % 64, mix(round, i));
        assert_false(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(virtio_net_rx_ready(f->net, 0), slots);
        for (uint32_t i = 0; i < slots; i++)
            assert_received(f, FRAME_MIN + i % 64, mix(round, i));
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), 0);
    }
}

static void every_size(void **state)
{
    struct fixture *f = *state;
    for (uint32_t size = VIRTIO_NET_MIN_SLOTS; size <= 1024; size *= 2) {
        fixture_renew(f);
        f->options.tx_slots = f->options.rx_slots = size;
        bring_up(f);
        assert_int_equal(slots_of(f), size);
        fill_and_drain(f, size, 3);
        take_down(f);
    }
}

static void device_has_other_sizes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t maximum, slots;
    } cases[] = {{1, 1},
                 {2, 2},
                 {3, 2},
                 {4, 4},
                 {5, 4},
                 {7, 4},
                 {8, 8},
                 {63, 32},
                 {64, 64},
                 {65, 64},
                 {100, 64},
                 {1023, 64},
                 {32768, 64},
                 {65535, 64},
                 {65536, 64},
                 {1u << 31, 64},
                 {UINT32_MAX - 1, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture_renew(f);
        f->options.tx_slots = f->options.rx_slots = 64;
        f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = cases[i].maximum;
        bring_up(f);
        assert_int_equal(slots_of(f), cases[i].slots);
        fill_and_drain(f, cases[i].slots, 2);
        take_down(f);
    }
}

static void queues_of_two_sizes(void **state)
{
    struct fixture *f = *state;
    f->options.tx_slots = 2;
    f->options.rx_slots = 64;
    f->model->queue_max[MODEL_RX] = 16;
    bring_up(f);
    assert_int_equal(info_of(f).tx_slots, 2);
    assert_int_equal(info_of(f).rx_slots, 16);
    for (uint64_t seed = 0; seed < 100; seed++)
        assert_working(f, seed);
    take_down(f);
}

static void queue_missing(void **state)
{
    struct fixture *f = *state;
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        fixture_renew(f);
        f->model->queue_max[queue] = 0;
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_QUEUE_MISSING);
        assert_last_error(f, VIRTIO_NET_ERROR_QUEUE_MISSING, VIRTIO_NET_FIELD_QUEUE_SIZE, 0, 1);
        assert_int_equal(last_error_of(f).queue, queue);
        assert_int_equal(model_blocks_out(f->model), 0);
        assert_int_equal(f->model->status, 0);
    }
}

/* 2.7 allows a ring of one entry. Its slot is in each region in turn: every counter passes 65,536, and what could be confused
 * with more slots is not. */
static void one_slot(void **state)
{
    struct fixture *f = *state;
    f->options.tx_slots = f->options.rx_slots = 1;
    bring_up(f);
    fill_and_drain(f, 1, LONG_RUN(70000));
    f->model->hold_tx = false;
    for (uint64_t round = 0; round < 8; round++) {
        struct virtio_net_packet held;
        /* Held and reserved through a reset, and given back after it. */
        deliver(f, 100, round);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &held, 1), 1);
        assert_false(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets, 1), 1);
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets + 1, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
        if (round % 2 != 0)
            assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        frame_assert(held.data, held.length, 100, round);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &held, 1), 1);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &held, 1), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, f->packets, 1), 1);
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, f->packets, 1), VIRTIO_NET_ERROR_SLOT);
        assert_working(f, round);
    }
    take_down(f);
}

/* The only id that exists counts only while its buffer is in flight, and no other id ever. */
static void one_slot_of_a_hostile_device(void **state)
{
    struct fixture *f = *state;
    static const uint32_t ids[] = {0, 1, 0x10000, UINT32_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        fixture_renew(f);
        f->options.tx_slots = f->options.rx_slots = 1;
        bring_up(f);
        model_push_used(f->model, MODEL_TX, ids[i], 0); /* nothing was sent */
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(last_error_of(f).code, VIRTIO_NET_ERROR_USED_INDEX);
        (void)model_held(f->model, MODEL_RX);
        model_push_used(f->model, MODEL_RX, ids[i] != 0 ? ids[i] : 2, 100);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, i);
    }
    take_down(f);
}

static void largest(void **state)
{
    struct fixture *f = *state;
    f->options.tx_slots = f->options.rx_slots = VIRTIO_NET_MAX_SLOTS;
    f->options.tx_buffer_bytes = FRAME_MIN + 64;
    f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = VIRTIO_NET_MAX_SLOTS;
    bring_up(f);
    assert_int_equal(slots_of(f), VIRTIO_NET_MAX_SLOTS);
    fill_and_drain(f, VIRTIO_NET_MAX_SLOTS, 1);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(every_size), OVER_VARIANTS(device_has_other_sizes), OVER_VARIANTS(queues_of_two_sizes),
             OVER_VARIANTS(queue_missing), OVER_VARIANTS(one_slot), OVER_VARIANTS(one_slot_of_a_hostile_device),
             MMIO_ONLY(largest))
