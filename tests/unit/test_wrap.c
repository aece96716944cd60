/*
 * test_wrap.c - the 16-bit indices of both rings run over 65,535 (virtio 1.2, 2.7.6, 2.7.8), payload checked throughout.
 */
#include "harness.h"

enum { PACKETS = LONG_RUN(70001) };

static void single_frames(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < PACKETS; i++) {
        uint32_t length = frame_length(i);
        send_one(f, length, i);
        assert_sent(f, length, i);
        deliver(f, length, ~i);
        assert_received(f, length, ~i);
    }
    assert_int_equal(statistics_of(f).tx_frames, PACKETS);
    assert_int_equal(statistics_of(f).rx_frames, PACKETS);
    take_down(f);
}

/* The rings are full at the moment of the wrap. */
static void full_rings(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    uint64_t sent = 0;
    for (; sent < 16; sent++)
        send_one(f, FRAME_MIN, sent);
    for (uint64_t i = 0; sent < PACKETS; i++, sent++) {
        model_poll(f->model, MODEL_TX);
        assert_int_equal(model_tx_complete(f->model, 1), 1);
        assert_sent(f, FRAME_MIN, i);
        assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 15);
        send_one(f, FRAME_MIN, sent);
        assert_int_equal(virtio_net_tx_free(f->net, 0), 0);
    }
    model_poll(f->model, MODEL_TX);
    assert_int_equal(model_tx_complete(f->model, 17), 16);
    take_down(f);
}

static void full_receive_ring(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 16; i++)
        deliver(f, FRAME_MIN, i);
    for (uint64_t i = 16; i < PACKETS; i++) {
        assert_int_equal(virtio_net_rx_ready(f->net, 0), 16);
        assert_received(f, FRAME_MIN, i - 16);
        deliver(f, FRAME_MIN, i);
    }
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(single_frames), OVER_VARIANTS(full_rings), OVER_VARIANTS(full_receive_ring))
