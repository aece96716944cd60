/*
 * test_rx.c - frames in: every length, bursts, frames lent in place and given back in any order, a device that uses its buffers
 * in any order, a drained ring that is filled again.
 */
#include "harness.h"

static void every_length(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t longest = info_of(f).rx_buffer_bytes;
    assert_true(longest >= FRAME_MAX);
    for (uint32_t length = 14; length <= longest; length++) {
        deliver(f, length, length);
        assert_received(f, length, length);
    }
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), 0);
    assert_int_equal(statistics_of(f).rx_frames, longest - 13);
    assert_int_equal(statistics_of(f).rx_bytes, (longest + 14) * (longest - 13) / 2);
    take_down(f);
}

/* A frame that does not fit stays where it is, and the byte behind the buffer is left alone. */
static void buffer_too_small(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    deliver(f, 1000, 1);
    deliver(f, 60, 2);
    for (uint32_t capacity = 0; capacity < 1000; capacity += 111) {
        memset(f->frame, 0x77, 1001);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, capacity), VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);
        assert_int_equal(f->frame[capacity], 0x77);
        assert_int_equal(virtio_net_rx_ready(f->net, 0), 2);
    }
    memset(f->frame, 0x77, 1001);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 1000), 1000);
    assert_int_equal(f->frame[1000], 0x77);
    frame_assert(f->frame, 1000, 1000, 1);
    assert_received(f, 60, 2);
    take_down(f);
}

static void buffers_for_burst(struct fixture *f, uint32_t count, uint32_t capacity)
{
    memset(f->packets, 0xee, sizeof f->packets);
    for (uint32_t i = 0; i < count; i++) {
        f->packets[i].data = f->frame + (size_t)i * 1536;
        f->packets[i].length = capacity;
    }
}

static void bursts(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint64_t delivered = 0;
    uint64_t received = 0;
    for (uint32_t round = 0; round < 2000; round++) {
        for (uint64_t more = mix(round, 1) % 17; more > 0 && delivered - received < 16; more--, delivered++)
            deliver(f, frame_length(delivered), delivered);
        uint32_t count = (uint32_t)(mix(round, 2) % 20);
        uint32_t ready = (uint32_t)(delivered - received);
        buffers_for_burst(f, count, 1536);
        assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, count), count < ready ? count : ready);
        for (uint32_t i = 0; i < (count < ready ? count : ready); i++, received++) {
            frame_assert(f->packets[i].data, f->packets[i].length, frame_length(received), received);
            assert_int_equal(f->packets[i].flags, 0);
        }
    }
    take_down(f);
}

static void burst_with_small_buffer(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 6; i++)
        deliver(f, 200, i);
    buffers_for_burst(f, 6, 1536);
    f->packets[3].length = 199;
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 6), 3);
    f->packets[3].length = 199;
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets + 3, 3), VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);
    f->packets[3].length = 200;
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets + 3, 3), 3);
    for (uint64_t i = 0; i < 6; i++)
        frame_assert(f->packets[i].data, f->packets[i].length, 200, i);
    take_down(f);
}

/* ------------------------------------------------------------------------------------------------------------- in place */

static void peek_all_then_release(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 0; round < 50; round++) {
        for (uint64_t i = 0; i < 16; i++)
            deliver(f, frame_length(i + round), i + round);
        assert_false(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 5), 5);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets + 5, 20), 11);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets + 16, 1), 0);
        for (uint64_t i = 0; i < 16; i++) {
            frame_assert(f->packets[i].data, f->packets[i].length, frame_length(i + round), i + round);
            assert_int_equal(f->packets[i].flags, 0);
            f->packets[i].data[0] ^= 0xff; /* the caller may write what it was lent */
        }
        assert_false(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets + 7, 9), 9);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 7), 7);
        assert_int_equal(model_held(f->model, MODEL_RX), 16);
    }
    take_down(f);
}

/* Frames are kept for any time, released in any order, while the device uses its buffers in any order. */
static void release_in_any_order(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_packet held[16];
    uint64_t seeds[16];
    uint32_t count = 0;
    uint64_t delivered = 0;
    uint64_t peeked = 0;
    bring_up(f);
    for (uint32_t step = 0; step < LONG_RUN(40000u); step++) {
        uint64_t dice = mix(step, 21);
        uint32_t room = model_held(f->model, MODEL_RX);
        if (dice % 3 == 0 && room > 0) {
            frame_fill(f->frame, 64 + delivered % 64, delivered);
            struct model_delivery delivery = {.frame = f->frame, .length = (uint32_t)(64 + delivered % 64)};
            delivery.position = (uint32_t)(dice >> 8) % room;
            assert_true(model_rx_deliver_as(f->model, &delivery));
            delivered++;
        } else if (dice % 3 == 1 && count < 16) {
            int32_t got = virtio_net_rx_peek(f->net, 0, 0, &held[count], 1);
            assert_int_equal(got, delivered > peeked);
            if (got == 1) {
                frame_assert(held[count].data, held[count].length, 64 + peeked % 64, peeked);
                seeds[count++] = peeked++;
            }
        } else if (dice % 3 == 2 && count > 0) {
            uint32_t which = (uint32_t)(dice >> 8) % count;
            frame_assert(held[which].data, held[which].length, 64 + seeds[which] % 64, seeds[which]);
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &held[which], 1), 1);
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &held[which], 1), VIRTIO_NET_ERROR_SLOT);
            held[which] = held[--count];
            seeds[which] = seeds[count];
        }
        assert_int_equal(model_held(f->model, MODEL_RX) + count + (delivered - peeked), 16);
    }
    take_down(f);
}

static void foreign_slots(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    deliver(f, 60, 1);
    deliver(f, 60, 2);
    struct virtio_net_packet packets[2];
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, packets, 1), 1);
    packets[1] = packets[0];
    for (uint32_t slot = 0; slot < 65536; slot += slot < 32 ? 1 : 97) {
        if (slot == packets[0].slot)
            continue;
        packets[1].slot = (uint16_t)slot;
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, packets + 1, 1), VIRTIO_NET_ERROR_SLOT);
    }
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, packets, 2), 1);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, packets, 1), VIRTIO_NET_ERROR_SLOT);
    assert_received(f, 60, 2);
    take_down(f);
}

/* The next slot is told without being taken; one that cannot be is left to the call that takes it. */
static void next_slot(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    for (uint64_t i = 0; i < 200; i++) {
        struct virtio_net_packet packet;
        struct model_delivery delivery = {.frame = f->frame, .length = 100};
        delivery.position = (uint32_t)mix(i, 3) % model_held(f->model, MODEL_RX);
        assert_true(model_rx_deliver_as(f->model, &delivery));
        deliver(f, 100, i);
        int32_t next = virtio_net_rx_next(f->net, 0);
        assert_int_equal(virtio_net_rx_next(f->net, 0), next);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        assert_int_equal(packet.slot, next);
        assert_received(f, 100, i);
        assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
    }
    (void)model_held(f->model, MODEL_RX);
    model_push_used(f->model, MODEL_RX, 0x10000, 100);
    assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(statistics_of(f).queues_broken, 0);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 1), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
    take_down(f);
}

/* A look is due where it finds something, and not where it would only drop elements, unless the device has no buffer left. */
static void due(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t header = info_of(f).header_length;
    const struct model_delivery bad[] = {
        {.frame = f->frame, .length = 60, .forged_length = true, .used_length = header + 13},
        {.frame = f->frame, .length = 60, .forged_length = true, .used_length = header + 1519},
    };
    for (uint32_t round = 0; round < 4; round++) {
        assert_int_equal(virtio_net_due(f->net, 0), 0);
        for (uint32_t i = 0; i < 15; i++) {
            assert_true(model_rx_deliver_as(f->model, &bad[(round + i) % 2]));
            assert_int_equal(virtio_net_due(f->net, 0), 0);
        }
        assert_int_equal(virtio_net_rx_ready(f->net, 0), 15);
        if (round % 2 == 0)
            deliver(f, 100, round);
        else
            assert_true(model_rx_deliver_as(f->model, &bad[0]));
        assert_int_equal(virtio_net_due(f->net, 0), VIRTIO_NET_IRQ_RX);
        if (round % 2 == 0)
            assert_received(f, 100, round);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), 0);
        assert_int_equal(model_held(f->model, MODEL_RX), 16);
    }
    model_push_used(f->model, MODEL_RX, 16, 100);
    assert_int_equal(virtio_net_due(f->net, 0), VIRTIO_NET_IRQ_RX);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(virtio_net_due(f->net, 0), 0);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    model_set_used_index(f->model, MODEL_RX, 17);
    assert_int_equal(virtio_net_due(f->net, 0), VIRTIO_NET_IRQ_RX);
    assert_int_equal(virtio_net_due(f->net, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
    assert_int_equal(virtio_net_due(NULL, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_due(f->net, 0), VIRTIO_NET_ERROR_STATE);
}

/* A slot tells where its frame is for as long as the caller holds it. */
static void frame_of_a_slot(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 4; i++)
        deliver(f, 100, i);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 3), 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_ptr_equal(virtio_net_rx_frame(f->net, 0, f->packets[i].slot), f->packets[i].data);
    uint32_t held = 0;
    for (uint32_t slot = 0; slot < 70000; slot++)
        held += virtio_net_rx_frame(f->net, 0, slot) != NULL;
    assert_int_equal(held, 3);
    assert_null(virtio_net_rx_frame(f->net, 1, f->packets[0].slot));
    assert_null(virtio_net_rx_frame(NULL, 0, f->packets[0].slot));
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets + 1, 1), 1);
    assert_null(virtio_net_rx_frame(f->net, 0, f->packets[1].slot));
    take_down(f);
}

/* Peek, receive and receive_burst share one stream of frames. */
static void mixed_calls(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 12; i++)
        deliver(f, 100, i);
    struct virtio_net_packet lent[2];
    assert_received(f, 100, 0);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, lent, 2), 2);
    assert_received(f, 100, 3);
    buffers_for_burst(f, 3, 1536);
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 3), 3);
    frame_assert(f->packets[2].data, f->packets[2].length, 100, 6);
    frame_assert(lent[0].data, lent[0].length, 100, 1);
    frame_assert(lent[1].data, lent[1].length, 100, 2);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, lent, 2), 2);
    assert_received(f, 100, 7);
    take_down(f);
}

/* rx_headroom places the frame: 2 puts the IP header on a 16-byte boundary. */
static void headroom(void **state)
{
    struct fixture *f = *state;
    static const uint32_t values[] = {0, 2, 4, 16, 18, 100, 255, 256};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        fixture_renew(f);
        f->options.rx_headroom = values[i];
        bring_up(f);
        uint32_t longest = info_of(f).rx_buffer_bytes;
        deliver(f, longest, i);
        struct virtio_net_packet packet;
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        assert_int_equal((uintptr_t)packet.data % 16, values[i] % 16);
        frame_assert(packet.data, packet.length, longest, i);
        /* The room in front of the frame is the caller's too while it holds the slot. */
        memset(packet.data - values[i], 0x11, values[i]);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
        /* Copied to where words could be stored at once, whatever the frame's own place allows. */
        _Alignas(8) uint8_t words[2048];
        deliver(f, 200, i);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, words, sizeof words), 200);
        frame_assert(words, 200, 200, i);
        packet.data = words;
        packet.length = sizeof words;
        deliver(f, 201, i);
        assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, &packet, 1), 1);
        frame_assert(words, packet.length, 201, i);
        assert_working(f, i);
    }
}

/* -------------------------------------------------------------------------------------------------------- notifications */

/* Fills all 16 buffers, so that the device asks to be told of the next one. Returns how often it was told by now. */
static uint64_t fill_all(struct fixture *f)
{
    for (uint64_t i = 0; i < 16; i++)
        deliver(f, 60, i);
    model_poll(f->model, MODEL_RX);
    return atomic_load(&f->model->queue[MODEL_RX].notifications);
}

/* A device that ran out of buffers asks for the next one: giving one back must notify it. */
static void drained_ring_is_announced(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 0; round < 100; round++) {
        uint64_t notified = fill_all(f);
        assert_received(f, 60, 0);
        assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), notified + 1);
        for (uint64_t i = 1; i < 16; i++)
            assert_received(f, 60, i);
    }
    assert_int_equal(statistics_of(f).rx_kicks, atomic_load(&f->model->queue[MODEL_RX].notifications));
    take_down(f);
}

/* The same for buffers given back in place, and for a burst that is copied. */
static void drained_ring_is_announced_by_bursts(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 0; round < 100; round++) {
        uint64_t notified = fill_all(f);
        if (round % 2 == 0) {
            assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 16), 16);
            assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), notified);
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 16), 16);
        } else {
            buffers_for_burst(f, 16, 1536);
            assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 16), 16);
        }
        assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), notified + 1);
    }
    assert_int_equal(statistics_of(f).rx_rekicks, 0);
    take_down(f);
}

static void deferred_notification(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint64_t notified = fill_all(f);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 16), 16);
    assert_int_equal(virtio_net_rx_release(f->net, 0, VIRTIO_NET_NO_KICK, f->packets, 16), 16);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), notified);
    assert_int_equal(model_avail_index(f->model, MODEL_RX), 32);
    assert_int_equal(virtio_net_rx_flush(f->net, 0, 0), 1);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), notified + 1);
    assert_int_equal(virtio_net_rx_flush(f->net, 0, 0), 0);
    take_down(f);
}

/* Buffers are there before DRIVER_OK, and are announced once after it. */
static void first_fill(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), 1);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_TX].notifications), 0);
    assert_int_equal(f->model->avail_at_driver_ok, 16);
    assert_int_equal(model_held(f->model, MODEL_RX), 16);
    take_down(f);
}

/* Each read of used.idx finds one more frame: a call still ends, and takes no more than it was asked for. */
static void one_more_frame(struct model *model, volatile void *address, unsigned width)
{
    if (width == 2 && model_used_offset(model, MODEL_RX, address) == 2)
        (void)model_rx_deliver(model, (const uint8_t *)model->word, FRAME_MIN);
}

static void always_one_more(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[FRAME_MIN] = {0};
    bring_up(f);
    f->model->word = frame;
    f->model->on_fetch = one_more_frame;
    for (uint32_t round = 0; round < 1000; round++) {
        int32_t got = virtio_net_rx_peek(f->net, 0, 0, f->packets, 4);
        assert_in_range(got, 0, 4);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, (uint32_t)got), got);
        buffers_for_burst(f, 3, 1536);
        assert_in_range(virtio_net_receive_burst(f->net, 0, 0, f->packets, 3), 0, 3);
    }
    f->model->on_fetch = NULL;
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(every_length), OVER_VARIANTS(buffer_too_small), OVER_VARIANTS(bursts),
             OVER_VARIANTS(burst_with_small_buffer), OVER_VARIANTS(peek_all_then_release), OVER_VARIANTS(release_in_any_order),
             OVER_VARIANTS(foreign_slots), OVER_VARIANTS(frame_of_a_slot), OVER_VARIANTS(next_slot), OVER_VARIANTS(due),
             OVER_VARIANTS(mixed_calls), OVER_VARIANTS(headroom), OVER_VARIANTS(drained_ring_is_announced),
             OVER_VARIANTS(drained_ring_is_announced_by_bursts), OVER_VARIANTS(deferred_notification), OVER_VARIANTS(first_fill),
             OVER_VARIANTS(always_one_more))
