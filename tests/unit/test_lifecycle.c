/*
 * test_lifecycle.c - stop, start, recover, check, abandon, close: every page comes back exactly once, nothing is freed that the
 * device may still write, and a device that behaves again works again.
 */
#include "harness.h"

static uint32_t state_of(const struct fixture *f)
{
    return info_of(f).state;
}

static void stop_and_start(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t blocks = model_blocks_out(f->model);
    for (uint64_t round = 1; round <= 30; round++) {
        assert_working(f, round);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(state_of(f), VIRTIO_NET_STATE_STOPPED);
        assert_int_equal(f->model->status, 0);
        assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(state_of(f), VIRTIO_NET_STATE_RUNNING);
        assert_int_equal(model_blocks_out(f->model), blocks);
        assert_int_equal(statistics_of(f).resets, round);
    }
    assert_int_equal(statistics_of(f).tx_frames, 30);
    take_down(f);
}

/* Each call that is wrong in a state says so, and does nothing. */
static void wrong_states(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_packet packet = {.data = f->frame, .length = 2048};
    bring_up(f);
    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    f->model->tracing = true;
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_link(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 60), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_SLOT);
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_flush(f->net, 0, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_free(f->net, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_in_flight(f->net, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_SLOT);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_rx_flush(f->net, 0, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_rx_ready(f->net, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_irq_enable(f->net, 0, 3, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_irq_disable(f->net, 0, 3, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 0);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, &packet, 1), 0);
    assert_int_equal(f->model->trace_count, 0);
    f->model->tracing = false;
    take_down(f);
    assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_abandon(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(last_error_of(f).size, sizeof(struct virtio_net_error_detail));
}

/* What was in flight, held or reserved when the device is reset: counted, free afterwards, and delivered at most once. */
static void recover_with_everything_in_use(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 1; round <= 20; round++) {
        struct virtio_net_packet held[6];
        f->model->hold_tx = true;
        for (uint32_t i = 0; i < 5; i++)
            send_one(f, FRAME_MIN, i);
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, held, 3), 3);
        for (uint64_t i = 0; i < 6; i++)
            deliver(f, FRAME_MIN, i);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, held + 3, 3), 3);
        (void)model_held(f->model, MODEL_TX);
        assert_int_equal(model_tx_complete(f->model, 2), 2);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(statistics_of(f).tx_lost, 3 * round);
        /* What the caller has stays its own. */
        assert_int_equal(virtio_net_tx_free(f->net, 0), 16 - 3);
        assert_int_equal(virtio_net_rx_ready(f->net, 0), 0);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), 0);
        assert_int_equal(model_held(f->model, MODEL_RX), 16 - 3);
        for (uint64_t i = 0; i < 3; i++) {
            frame_assert(held[3 + i].data, held[3 + i].length, FRAME_MIN, i);
            frame_fill(held[i].data, FRAME_MIN, 100 + i);
            held[i].length = FRAME_MIN;
        }
        f->model->hold_tx = false;
        uint32_t sent_before = 0;
        while (model_tx_pop(f->model, &sent_before) != NULL)
            continue;
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, held, 2), 2);
        model_poll(f->model, MODEL_TX);
        assert_sent(f, FRAME_MIN, 100);
        assert_sent(f, FRAME_MIN, 101);
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, held + 2, 1), 1);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, held + 3, 3), 3);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, held + 3, 1), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(model_held(f->model, MODEL_RX), 16);
        assert_working(f, round);
    }
    take_down(f);
}

/* What the caller holds goes back while the driver is stopped or its queues are broken; afterwards every slot works. */
static void give_back_while_down(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 0; round < 20; round++) {
        struct virtio_net_packet reserved[4];
        struct virtio_net_packet lent[4];
        bool broken = round % 2 == 0;
        for (uint64_t i = 0; i < 5; i++)
            deliver(f, FRAME_MIN, i);
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, reserved, 4), 4);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, lent, 4), 4);
        if (broken) {
            model_set_used_index(f->model, MODEL_TX, 0x7777);
            model_set_used_index(f->model, MODEL_RX, 0x7777);
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), VIRTIO_NET_ERROR_NEEDS_RESET);
        } else {
            assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        }
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, reserved + 1, 3), 3);
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, reserved + 1, 1), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, lent + 1, 3), 3);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, lent + 1, 1), VIRTIO_NET_ERROR_SLOT);
        frame_assert(lent[0].data, lent[0].length, FRAME_MIN, 0);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(virtio_net_tx_free(f->net, 0), 15);
        assert_int_equal(model_held(f->model, MODEL_RX), 15);
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, reserved, 1), 1);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, lent, 1), 1);
        assert_int_equal(model_held(f->model, MODEL_RX), 16);
        for (uint64_t seed = 0; seed < 20; seed++)
            assert_working(f, seed);
    }
    take_down(f);
}

/* ---------------------------------------------------------------------------------------------------------- NEEDS_RESET */

static void needs_reset(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 1; round <= 5; round++) {
        assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_SUCCESS);
        model_needs_reset(f->model);
        assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_CONFIG);
        assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(state_of(f), VIRTIO_NET_STATE_FAILED);
        assert_int_equal(statistics_of(f).device_needs_reset, round);
        assert_int_equal(last_error_of(f).code, VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 60), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, round);
    }
    take_down(f);
}

/* A caller that only sends, only reaps or only receives learns of it too, after some thousand looks at most that find nothing. */
static void needs_reset_without_a_check(void **state)
{
    struct fixture *f = *state;
    for (unsigned way = 0; way < 3; way++) {
        fixture_renew(f);
        bring_up(f);
        f->model->hold_tx = true;
        for (uint32_t i = 0; i < 16; i++)
            send_one(f, FRAME_MIN, i);
        f->model->status |= STATUS_NEEDS_RESET;
        int32_t code = 0;
        for (uint32_t look = 0; look < 4096 && code != VIRTIO_NET_ERROR_NEEDS_RESET; look++) {
            if (way == 0)
                code = virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN);
            else if (way == 1)
                code = virtio_net_tx_reap(f->net, 0, 0, NULL, 0);
            else
                code = virtio_net_receive(f->net, 0, 0, f->frame, 2048);
        }
        assert_int_equal(code, VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(statistics_of(f).device_needs_reset, 1);
        f->model->hold_tx = false;
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, way);
        take_down(f);
    }
}

/* The device forgets its state under the driver: DRIVER_OK is gone. */
static void status_cleared_by_device(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->status = 0;
    assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_working(f, 1);
    take_down(f);
}

/* The device offers something else after the reset. */
static void features_change_over_restart(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_working(f, 1);
    f->model->features &= ~(MODEL_FEATURE(EVENT_IDX) | MODEL_FEATURE(STATUS) | MODEL_FEATURE(ANY_LAYOUT));
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(info_of(f).features & MODEL_FEATURE(EVENT_IDX), 0);
    for (uint64_t seed = 0; seed < 50; seed++)
        assert_working(f, seed);
    f->model->features |= MODEL_FEATURE(EVENT_IDX) | MODEL_FEATURE(STATUS) | MODEL_FEATURE(ANY_LAYOUT);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_working(f, 2);
    take_down(f);
}

/* Smaller queues after one restart, larger ones after the next. */
static void queues_change_over_restart(void **state)
{
    struct fixture *f = *state;
    f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = 8;
    bring_up(f);
    static const uint32_t maxima[] = {4, 2, 16, 1024, 8, 16};
    for (size_t i = 0; i < sizeof maxima / sizeof maxima[0]; i++) {
        f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = maxima[i];
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(info_of(f).tx_slots, maxima[i] < 16 ? maxima[i] : 16);
        assert_int_equal(model_held(f->model, MODEL_RX), maxima[i] < 16 ? maxima[i] : 16);
        for (uint64_t seed = 0; seed < 40; seed++)
            assert_working(f, seed);
    }
    take_down(f);
}

/* Recovery fails at whatever point, and succeeds once the device behaves. */
static void recovery_is_repeated(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (unsigned fault = 0; fault < 4; fault++) {
        const uint32_t reset_reads = f->model->reset_reads;
        const uint32_t queue_max = f->model->queue_max[MODEL_TX];
        f->model->reset_reads = fault == 0 ? MODEL_NEVER : reset_reads;
        f->model->queue_max[MODEL_TX] = fault == 1 ? 0 : queue_max;
        f->model->queue_busy[MODEL_RX] = fault == 2;
        f->model->device_id = fault == 3 ? 2 : 1;
        int32_t code = virtio_net_recover(f->net);
        static const int32_t wanted[] = {VIRTIO_NET_ERROR_RESET_TIMEOUT, VIRTIO_NET_ERROR_QUEUE_MISSING,
                                         VIRTIO_NET_ERROR_QUEUE_IN_USE, VIRTIO_NET_SUCCESS};
        assert_string_equal(virtio_net_status_name(code), virtio_net_status_name(wanted[fault]));
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 60), fault == 3 ? VIRTIO_NET_SUCCESS : VIRTIO_NET_ERROR_STATE);
        f->model->reset_reads = reset_reads;
        f->model->reset_left = 0;
        f->model->queue_max[MODEL_TX] = queue_max;
        f->model->queue_busy[MODEL_RX] = false;
        f->model->device_id = 1;
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, fault);
    }
    take_down(f);
}

/* ----------------------------------------------------------------------------------------------------- stuck, gone, unplugged */

/* The device does not confirm its reset: nothing is freed, and the bytes are counted. */
static void close_with_stuck_device(void **state)
{
    struct fixture *f = *state;
    f->options.reset_timeout_us = 500;
    bring_up(f);
    uint64_t bytes = model_bytes_out(f->model);
    f->model->reset_reads = MODEL_NEVER;
    uint64_t before = atomic_load(&f->model->clock_us);
    assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_ERROR_RESET_TIMEOUT);
    assert_in_range(atomic_load(&f->model->clock_us) - before, 500, 1500);
    f->up = false;
    f->leaks_wanted = true;
    assert_int_equal(model_bytes_out(f->model), bytes);
    struct virtio_net_error_detail detail = last_error_of(f);
    assert_int_equal(detail.code, VIRTIO_NET_ERROR_RESET_TIMEOUT);
    assert_int_equal(detail.field, VIRTIO_NET_FIELD_STATUS);
    assert_int_equal(statistics_of(f).quarantined_bytes, bytes);
}

/* The same with a stop first: cookies stay with the device until a reset is confirmed. */
static void stop_with_stuck_device(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[2048];
    bring_up(f);
    f->model->hold_tx = true;
    struct virtio_net_packet packet = {.cookie = 7, .data = memory + 64, .length = 100};
    packet.device_address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_TO_DEVICE) + 64;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), 1);
    f->model->reset_reads = MODEL_NEVER;
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_ERROR_RESET_TIMEOUT);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 0);
    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_ERROR_RESET_TIMEOUT);
    f->model->reset_reads = 0;
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 1);
    assert_int_equal(packet.cookie, 7);
    assert_int_equal(packet.flags, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
    f->model->hold_tx = false;
    assert_working(f, 1);
    take_down(f);
}

static void slow_reset(void **state)
{
    struct fixture *f = *state;
    f->model->reset_reads = 700;
    bring_up(f);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_working(f, 1);
    take_down(f);
}

/* Every register reads as ones. */
static void device_gone(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->gone = true;
    assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_DEVICE_GONE);
    assert_int_equal(state_of(f), VIRTIO_NET_STATE_FAILED);
    assert_int_equal(last_error_of(f).code, VIRTIO_NET_ERROR_DEVICE_GONE);
    assert_int_equal(virtio_net_irq_ack(f->net, 0), 0);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_ERROR_DEVICE_GONE);
    assert_true(virtio_net_send(f->net, 0, 0, f->frame, 60) < 0);
    assert_int_equal(virtio_net_abandon(f->net), VIRTIO_NET_SUCCESS);
    f->up = false;
}

/* Unplugged while frames are in flight: no register is touched, memory comes back, cookies too. */
static void abandon(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[2048];
    bring_up(f);
    f->model->hold_tx = true;
    struct virtio_net_packet packet = {.cookie = 9, .data = memory + 64, .length = 100};
    packet.device_address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_TO_DEVICE) + 64;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), 1);
    send_one(f, FRAME_MIN, 1);
    f->model->gone = true;
    f->model->tracing = true;
    assert_int_equal(virtio_net_abandon(f->net), VIRTIO_NET_SUCCESS);
    f->up = false;
    assert_int_equal(model_blocks_out(f->model), 0);
    assert_int_equal(state_of(f), VIRTIO_NET_STATE_ABANDONED);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 1);
    assert_int_equal(packet.cookie, 9);
    assert_int_equal(packet.flags, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 60), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_check(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_link(f->net), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_ERROR_STATE);
    assert_int_equal(virtio_net_abandon(f->net), VIRTIO_NET_ERROR_STATE);
    (void)virtio_net_close(f->net);
    assert_int_equal(f->model->trace_count, 0);
}

/* Unplugged after a stop that the device did not confirm: still no register is touched. */
static void abandon_after_failed_stop(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->reset_reads = MODEL_NEVER;
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_ERROR_RESET_TIMEOUT);
    f->model->gone = true;
    f->model->tracing = true;
    assert_int_equal(virtio_net_abandon(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(model_blocks_out(f->model), 0);
    (void)virtio_net_close(f->net);
    f->up = false;
    assert_int_equal(f->model->trace_count, 0);
}

static void close_in_every_state(void **state)
{
    struct fixture *f = *state;
    for (unsigned way = 0; way < 4; way++) {
        fixture_renew(f);
        bring_up(f);
        send_one(f, FRAME_MIN, 1);
        deliver(f, FRAME_MIN, 1);
        if (way == 1)
            assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        if (way == 2)
            model_needs_reset(f->model);
        if (way == 3) {
            model_set_used_index(f->model, MODEL_RX, 0x8000);
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), VIRTIO_NET_ERROR_NEEDS_RESET);
        }
        take_down(f);
        assert_int_equal(state_of(f), VIRTIO_NET_STATE_CLOSED);
    }
}

/* Two cards at once share nothing. */
static void two_drivers(void **state)
{
    struct fixture *f = *state;
    void *second_state = (void *)(uintptr_t)f->variant;
    assert_int_equal(fixture_setup(&second_state), 0);
    struct fixture *second = second_state;
    bring_up(f);
    bring_up(second);
    for (uint64_t seed = 0; seed < 200; seed++) {
        assert_working(f, seed);
        assert_working(second, ~seed);
    }
    take_down(f);
    assert_working(second, 1);
    take_down(second);
    assert_int_equal(fixture_teardown(&second_state), 0);
}

TEST_PROGRAM(OVER_VARIANTS(stop_and_start), OVER_VARIANTS(wrong_states), OVER_VARIANTS(recover_with_everything_in_use),
             OVER_VARIANTS(give_back_while_down), OVER_VARIANTS(needs_reset), OVER_VARIANTS(needs_reset_without_a_check),
             OVER_VARIANTS(status_cleared_by_device), OVER_VARIANTS(features_change_over_restart),
             OVER_VARIANTS(queues_change_over_restart), OVER_VARIANTS(recovery_is_repeated),
             OVER_VARIANTS(close_with_stuck_device), OVER_VARIANTS(stop_with_stuck_device), OVER_VARIANTS(slow_reset),
             OVER_VARIANTS(device_gone), OVER_VARIANTS(abandon), OVER_VARIANTS(abandon_after_failed_stop),
             OVER_VARIANTS(close_in_every_state), OVER_VARIANTS(two_drivers))
