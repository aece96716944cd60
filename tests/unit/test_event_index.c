/*
 * test_event_index.c - when the driver notifies (virtio 1.2, 2.7.10 and 2.7.13).
 *
 * With EVENT_IDX the device names an index: a notification is due where that index is among the entries that were made available
 * since the last decision. The tests count through these entries one by one in place of computing with wrapped differences.
 */
#include "harness.h"

enum { SLOTS = 64, BATCHES = 32 };

/* By the words of the definition. */
static bool notification_due(uint16_t before, uint16_t after, uint16_t event)
{
    for (uint16_t entry = before; entry != after; entry++) {
        if (entry == event)
            return true;
    }
    return false;
}

/* Events that lie at the edges of a batch, inside of it, and far away. */
static uint16_t interesting_event(uint16_t before, uint32_t batch, uint32_t choice)
{
    const uint32_t offsets[] = {0u - 2,    0u - 1, 0,         1,      batch / 2,          batch - 2,
                                batch - 1, batch,  batch + 1, 0x8000, batch - 1 + 0x8000, batch + 0x8000};
    return (uint16_t)(before + offsets[choice % (sizeof offsets / sizeof offsets[0])]);
}

static void quiet_bring_up(struct fixture *f)
{
    f->options.tx_slots = f->options.rx_slots = SLOTS;
    bring_up(f);
    f->model->no_poll = f->model->late_event = f->model->sink = true;
}

static uint64_t notifications(struct fixture *f, uint32_t queue)
{
    return atomic_load(&f->model->queue[queue].notifications);
}

/* Leaves nothing undecided: the device is notified of everything so far. What follows is then decided by its own window alone. */
static void notify_now(struct fixture *f, uint32_t queue)
{
    model_set_avail_event(f->model, queue, (uint16_t)(model_avail_index(f->model, queue) - 1));
    if (queue == MODEL_TX)
        assert_true(virtio_net_tx_flush(f->net, 0, 0) >= 0);
    else
        assert_true(virtio_net_rx_flush(f->net, 0, 0) >= 0);
    assert_int_equal(virtio_net_due(f->net, 0) & VIRTIO_NET_IRQ_TX, 0);
}

/* One batch with the event where `choice` says; the device completes it without a look at the event. */
static void decide_tx(struct fixture *f, uint32_t batch, uint32_t choice)
{
    uint16_t before = model_avail_index(f->model, MODEL_TX);
    uint16_t event = interesting_event(before, batch, choice);
    notify_now(f, MODEL_TX);
    model_set_avail_event(f->model, MODEL_TX, event);
    uint64_t notified = notifications(f, MODEL_TX);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, batch), batch);
    uint16_t after = model_avail_index(f->model, MODEL_TX);
    assert_int_equal((uint16_t)(after - before), batch);
    if (notifications(f, MODEL_TX) - notified != notification_due(before, after, event))
        fail_msg("%u notifications, batch %u from 0x%04x, event 0x%04x", (unsigned)(notifications(f, MODEL_TX) - notified), batch,
                 before, event);
    model_poll(f->model, MODEL_TX);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
}

/* Every batch size over the wrap, several times with another start and other events. */
static void transmit_window(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    uint32_t choice = 0;
    for (uint32_t pass = 0; pass < 1 + LONG_RUN(3u); pass++) {
        for (uint32_t batch = 1; batch <= BATCHES; batch += LONG_STEP) {
            uint16_t start = (uint16_t)(0xfff0 - batch - pass * 5);
            advance_tx(f, (uint16_t)(start - model_avail_index(f->model, MODEL_TX)));
            assert_true(virtio_net_tx_flush(f->net, 0, 0) >= 0);
            same_packets(f, batch);
            while ((int16_t)model_avail_index(f->model, MODEL_TX) <= 0x0010)
                decide_tx(f, batch, choice++);
        }
    }
    take_down(f);
}

/* Every index of the window with every event around it, single frames: the case that `>=` gets wrong. */
static void transmit_single_frames(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    for (uint32_t choice = 0; choice < 12; choice += LONG_STEP) {
        advance_tx(f, (uint16_t)(0xfff0 - model_avail_index(f->model, MODEL_TX)));
        assert_true(virtio_net_tx_flush(f->net, 0, 0) >= 0);
        same_packets(f, 1);
        while ((int16_t)model_avail_index(f->model, MODEL_TX) <= 0x0010)
            decide_tx(f, 1, choice);
    }
    take_down(f);
}

static void deliver_small(struct fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
}

static void receive_small(struct fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        f->packets[i].data = f->frame + 1024;
        f->packets[i].length = 2048;
    }
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, count), count);
}

/* The receive queue by the same rule: slots go back in one batch, with one decision. */
static void receive_window(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    memset(f->packets, 0, sizeof f->packets);
    for (uint32_t batch = 1; batch <= BATCHES; batch += 3) {
        uint16_t left = (uint16_t)(0xfff0 - batch - model_avail_index(f->model, MODEL_RX));
        for (; left > 0; left = (uint16_t)(left - (left < SLOTS ? left : SLOTS))) {
            deliver_small(f, left < SLOTS ? left : SLOTS);
            receive_small(f, left < SLOTS ? left : SLOTS);
        }
        for (uint32_t choice = batch; (int16_t)model_avail_index(f->model, MODEL_RX) <= 0x0010; choice++) {
            uint16_t before = model_avail_index(f->model, MODEL_RX);
            uint16_t event = interesting_event(before, batch, choice);
            deliver_small(f, batch);
            notify_now(f, MODEL_RX);
            model_set_avail_event(f->model, MODEL_RX, event);
            uint64_t notified = notifications(f, MODEL_RX);
            receive_small(f, batch);
            uint16_t after = model_avail_index(f->model, MODEL_RX);
            assert_int_equal((uint16_t)(after - before), batch);
            assert_int_equal(notifications(f, MODEL_RX) - notified, notification_due(before, after, event));
        }
    }
    take_down(f);
}

/* The first buffers were announced with the set-up: they are no part of the next decision. */
static void first_decision(void **state)
{
    struct fixture *f = *state;
    for (uint16_t event = SLOTS - 3; event < SLOTS + 3; event++) {
        fixture_renew(f);
        quiet_bring_up(f);
        uint64_t notified = notifications(f, MODEL_RX);
        deliver_small(f, 1);
        model_set_avail_event(f->model, MODEL_RX, event);
        receive_small(f, 1);
        assert_int_equal(notifications(f, MODEL_RX) - notified, event == SLOTS);
    }
    take_down(f);
}

/* A device that had used all when the driver looked may have named its event too late: the next decision looks back that far. One
 * that still had buffers did not sleep, and its event is about what comes. */
static void late_wish(void **state)
{
    struct fixture *f = *state;
    for (unsigned asleep = 0; asleep < 2; asleep++) {
        fixture_renew(f);
        quiet_bring_up(f);
        same_packets(f, 1);
        if (asleep == 0)
            assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 1), 1);
        model_set_avail_event(f->model, MODEL_TX, 0x7000);
        uint64_t told = notifications(f, MODEL_TX);
        uint16_t first = model_avail_index(f->model, MODEL_TX);
        assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 1), 1);
        assert_int_equal(notifications(f, MODEL_TX), told);
        model_set_avail_event(f->model, MODEL_TX, first);
        assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 1), 1);
        assert_int_equal(notifications(f, MODEL_TX) - told, asleep);
        take_down(f);
    }
}

/* The same without a further frame: one look is enough where the device's wish is there meanwhile. */
static void late_wish_seen_by_a_look(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    model_set_avail_event(f->model, MODEL_TX, 0x7000);
    send_one(f, FRAME_MIN, 1);
    model_set_avail_event(f->model, MODEL_TX, 0);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    assert_int_equal(notifications(f, MODEL_TX), 1);
    assert_int_equal(statistics_of(f).tx_rekicks, 1);
    take_down(f);
}

/* Published with NO_KICK, then decided at once: the window is everything since the last decision. */
static void deferred_decision(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    for (uint32_t choice = 0; choice < 4000; choice++) {
        uint32_t batch = 1 + (uint32_t)(mix(choice, 1) % (SLOTS - 1));
        uint16_t before = model_avail_index(f->model, MODEL_TX);
        uint16_t event = interesting_event(before, batch, choice);
        notify_now(f, MODEL_TX);
        uint64_t notified = notifications(f, MODEL_TX);
        same_packets(f, batch);
        model_set_avail_event(f->model, MODEL_TX, event);
        for (uint32_t done = 0, part = 0; done < batch; done += part) {
            part = 1 + (uint32_t)(mix(choice, done) % (batch - done));
            assert_int_equal(virtio_net_send_burst(f->net, 0, VIRTIO_NET_NO_KICK, f->packets, part), part);
        }
        assert_int_equal(notifications(f, MODEL_TX), notified);
        bool due = notification_due(before, (uint16_t)(before + batch), event);
        assert_int_equal(virtio_net_tx_flush(f->net, 0, 0), due);
        assert_int_equal(notifications(f, MODEL_TX) - notified, due);
        assert_int_equal(virtio_net_tx_flush(f->net, 0, 0), 0);
        model_poll(f->model, MODEL_TX);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    }
    take_down(f);
}

/* So many frames without a decision that the 16-bit distance wraps: the device, busy until then, goes to sleep before the last
 * few. */
static void decision_after_a_whole_wrap(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    for (uint32_t last = 1; last <= 40; last += 13) {
        uint64_t notified = notifications(f, MODEL_TX);
        advance_tx(f, 65536 - 10);
        uint16_t asleep = model_avail_index(f->model, MODEL_TX);
        model_set_avail_event(f->model, MODEL_TX, asleep);
        same_packets(f, 40);
        assert_int_equal(virtio_net_send_burst(f->net, 0, VIRTIO_NET_NO_KICK, f->packets, last), last);
        assert_int_equal(notifications(f, MODEL_TX), notified);
        assert_int_equal(virtio_net_tx_flush(f->net, 0, 0), 1);
        model_poll(f->model, MODEL_TX);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    }
    take_down(f);
}

/* Without EVENT_IDX the device's flag decides. */
static void flag_in_place_of_event(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(EVENT_IDX);
    quiet_bring_up(f);
    same_packets(f, 8);
    for (uint32_t round = 0; round < 100; round++) {
        uint16_t no_notify = (uint16_t)(mix(round, 3) & 1);
        uint64_t notified = notifications(f, MODEL_TX);
        model_set_used_flags(f->model, MODEL_TX, no_notify);
        assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 8), 8);
        assert_int_equal(notifications(f, MODEL_TX) - notified, !no_notify);
        assert_int_equal(virtio_net_tx_flush(f->net, 0, 0), 0);
        model_poll(f->model, MODEL_TX);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        notified = notifications(f, MODEL_RX);
        model_set_used_flags(f->model, MODEL_RX, no_notify);
        deliver_small(f, 1);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), FRAME_MIN);
        assert_int_equal(notifications(f, MODEL_RX) - notified, !no_notify);
    }
    take_down(f);
}

/* With EVENT_IDX the flag means nothing (2.7.10): a device that leaves junk in it is still notified. */
static void flag_ignored_with_event_index(void **state)
{
    struct fixture *f = *state;
    quiet_bring_up(f);
    same_packets(f, 1);
    model_set_used_flags(f->model, MODEL_TX, 0xffff);
    decide_tx(f, 1, 2);
    decide_tx(f, 1, 1);
    take_down(f);
}

/* A notification that got lost, because the device named its event too late: the next look repeats it. */
static void lost_notification_is_repeated(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    send_one(f, 100, 1);
    assert_sent(f, 100, 1);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    f->model->late_event = true;
    model_set_avail_event(f->model, MODEL_TX, 0x7000);
    uint64_t notified = notifications(f, MODEL_TX);
    send_one(f, 200, 2);
    assert_int_equal(notifications(f, MODEL_TX), notified);
    model_set_avail_event(f->model, MODEL_TX, (uint16_t)(model_avail_index(f->model, MODEL_TX) - 1));
    for (int look = 0; look < 4; look++)
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    assert_sent(f, 200, 2);
    assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 0);
    assert_int_equal(statistics_of(f).tx_rekicks, 1);
    assert_int_equal(statistics_of(f).tx_kicks, notifications(f, MODEL_TX));
    take_down(f);
}

/* A device that was told and takes its time is not told again, however often somebody looks. */
static void slow_device_is_told_once(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    for (uint32_t i = 0; i < 16; i++)
        send_one(f, FRAME_MIN, i);
    uint64_t told = notifications(f, MODEL_TX);
    for (uint32_t look = 0; look < 200; look++) {
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), 0);
    }
    assert_int_equal(notifications(f, MODEL_TX), told);
    assert_int_equal(notifications(f, MODEL_RX), 1);
    assert_int_equal(statistics_of(f).tx_rekicks, 0);
    assert_int_equal(statistics_of(f).rx_rekicks, 0);
    take_down(f);
}

/* Buffers that the device was told nothing of, in either direction: a look or two makes it good. */
static void untold_buffers(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->late_event = true;
    model_set_avail_event(f->model, MODEL_TX, 0x7000);
    model_set_avail_event(f->model, MODEL_RX, 0x7000);
    send_one(f, FRAME_MIN, 1);
    for (int look = 0; look < 4; look++)
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    for (uint64_t i = 0; i < 16; i++)
        deliver(f, FRAME_MIN, i);
    for (uint64_t i = 0; i < 16; i++)
        assert_received(f, FRAME_MIN, i);
    for (int look = 0; look < 4; look++)
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), 0);
    assert_int_equal(statistics_of(f).rx_rekicks, 1);
    take_down(f);
}

/* The device polled for a whole turn of the index and was told nothing: what was told before that counts no more. */
static void lost_notification_after_a_whole_wrap(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->late_event = f->model->sink = true;
    for (uint32_t short_of = 0; short_of < 12; short_of += 3) {
        model_set_avail_event(f->model, MODEL_TX, model_avail_index(f->model, MODEL_TX));
        send_one(f, FRAME_MIN, 0);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        uint64_t told = notifications(f, MODEL_TX);
        for (uint32_t i = 0; i < 65536 - short_of; i++) {
            model_set_avail_event(f->model, MODEL_TX, (uint16_t)(model_avail_index(f->model, MODEL_TX) + 0x4000));
            send_one(f, FRAME_MIN, 0);
            model_poll(f->model, MODEL_TX);
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        }
        assert_int_equal(notifications(f, MODEL_TX), told);
        for (uint32_t i = 0; i < 14; i++)
            send_one(f, FRAME_MIN, 0);
        for (int look = 0; look < 4; look++)
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_int_equal(notifications(f, MODEL_TX), told + 1);
        assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 0);
    }
    take_down(f);
}

/* The same where the ring fills up meanwhile, and the caller does nothing but send. */
static void lost_notification_with_full_ring(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    send_one(f, FRAME_MIN, 99);
    assert_sent(f, FRAME_MIN, 99);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    f->model->late_event = true;
    model_set_avail_event(f->model, MODEL_TX, 0x7000);
    for (uint64_t sent = 0; sent < 16; sent++)
        send_one(f, FRAME_MIN, sent);
    for (int attempt = 0; attempt < 4; attempt++)
        (void)virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN);
    for (uint64_t i = 0; i < 16; i++)
        assert_sent(f, FRAME_MIN, i);
    assert_true(statistics_of(f).tx_rekicks >= 1);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(transmit_window), OVER_VARIANTS(transmit_single_frames), OVER_VARIANTS(receive_window),
             OVER_VARIANTS(first_decision), OVER_VARIANTS(late_wish), OVER_VARIANTS(late_wish_seen_by_a_look),
             OVER_VARIANTS(deferred_decision), OVER_VARIANTS(decision_after_a_whole_wrap), OVER_VARIANTS(flag_in_place_of_event),
             OVER_VARIANTS(flag_ignored_with_event_index), OVER_VARIANTS(lost_notification_is_repeated),
             OVER_VARIANTS(lost_notification_after_a_whole_wrap), OVER_VARIANTS(slow_device_is_told_once),
             OVER_VARIANTS(untold_buffers), OVER_VARIANTS(lost_notification_with_full_ring))
