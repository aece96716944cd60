/*
 * test_bursts.c - bursts in which one frame is unlike the others: a quick loop handles what is usual, and hands over to a general
 * one at the first frame that is not. Wherever in a burst that is, the frames and the counters come out the same.
 */
#include "harness.h"

enum { SLOTS = 16, SPACE = 2048 };

static uint8_t space[SLOTS + 1][SPACE];

static void bring_up_small(struct fixture *f)
{
    f->options.tx_slots = SLOTS;
    f->options.rx_slots = SLOTS;
    bring_up(f);
}

/* `count` packets, one of them off by some bytes from a boundary. */
static void point(struct fixture *f, uint32_t count, uint32_t odd, uint32_t offset)
{
    for (uint32_t i = 0; i < count; i++)
        f->packets[i] = (struct virtio_net_packet){.data = space[i] + (i == odd ? offset : 0), .length = SPACE - 16};
}

static void fill(struct fixture *f, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        f->packets[i].length = frame_length(seed + i);
        frame_fill(f->packets[i].data, f->packets[i].length, seed + i);
    }
}

/* ------------------------------------------------------------------------------------------------------------ transmit */

/* The place of the odd frame, the length of the burst and where the circle ends vary against each other. */
static void unaligned_in_a_burst(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    uint64_t seed = 0, bytes = 0;
    for (uint32_t count = 1; count <= 9; count++)
        for (uint32_t odd = 0; odd <= count; odd++)
            for (uint32_t offset = 1; offset < 16; offset += 2) {
                point(f, count, odd, offset);
                fill(f, count, seed);
                assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, count), count);
                for (uint32_t i = 0; i < count; i++, seed++) {
                    assert_sent(f, frame_length(seed), seed);
                    bytes += frame_length(seed);
                }
            }
    assert_int_equal(statistics_of(f).tx_frames, seed);
    assert_int_equal(statistics_of(f).tx_bytes, bytes);
    take_down(f);
}

/* What is in front of a bad frame is sent, and nothing behind it. */
static void bad_frame_in_a_burst(void **state)
{
    struct fixture *f = *state;
    static const struct {
        bool no_data;
        uint32_t length;
        int32_t code;
    } bad[] = {
        {true, FRAME_MIN, VIRTIO_NET_ERROR_INVALID_ARGUMENT},
        {false, 13, VIRTIO_NET_ERROR_FRAME_EMPTY},
        {false, 0, VIRTIO_NET_ERROR_FRAME_EMPTY},
        {false, 65536, VIRTIO_NET_ERROR_FRAME_TOO_LONG},
        {false, UINT32_MAX, VIRTIO_NET_ERROR_FRAME_TOO_LONG},
    };
    bring_up_small(f);
    uint64_t seed = 0;
    for (uint32_t kind = 0; kind < sizeof bad / sizeof *bad; kind++)
        for (uint32_t at = 0; at < 7; at++) {
            point(f, 7, 7, 0);
            fill(f, 7, seed);
            if (bad[kind].no_data)
                f->packets[at].data = NULL;
            f->packets[at].length = bad[kind].length;
            int32_t sent = virtio_net_send_burst(f->net, 0, 0, f->packets, 7);
            assert_int_equal(sent, at != 0 ? (int32_t)at : bad[kind].code);
            for (uint32_t i = 0; i < at; i++, seed++)
                assert_sent(f, frame_length(seed), seed);
            uint32_t length = 0;
            assert_null(model_tx_pop(f->model, &length));
        }
    assert_int_equal(statistics_of(f).tx_frames, seed);
    take_down(f);
}

/* Frames that are copied go past what the caller has reserved, which is committed later, in another order. */
static void sent_past_reserved(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    for (uint64_t seed = 0; seed < 200; seed += 8) {
        struct virtio_net_packet held[3];
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, held, 3), 3);
        point(f, 5, 5, 0);
        fill(f, 5, seed);
        assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 4), 4);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->packets[4].data, f->packets[4].length), VIRTIO_NET_SUCCESS);
        for (uint32_t i = 0; i < 5; i++)
            assert_sent(f, frame_length(seed + i), seed + i);
        struct virtio_net_packet turned[3] = {held[seed % 3], held[(seed + 2) % 3], held[(seed + 1) % 3]};
        for (uint32_t i = 0; i < 3; i++) {
            turned[i].length = frame_length(seed + 5 + i);
            frame_fill(turned[i].data, turned[i].length, seed + 5 + i);
        }
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, turned, 3), 3);
        for (uint32_t i = 0; i < 3; i++)
            assert_sent(f, frame_length(seed + 5 + i), seed + 5 + i);
        assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
    }
    take_down(f);
}

/* A slot that is not held, or a flag, stops a commit where it stands. */
static void bad_commit_in_a_burst(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    uint64_t seed = 0;
    for (uint32_t kind = 0; kind < 4; kind++)
        for (uint32_t at = 0; at < 5; at++) {
            assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets, 5), 5);
            fill(f, 5, seed);
            const struct virtio_net_packet good = f->packets[at];
            static const int32_t codes[] = {VIRTIO_NET_ERROR_SLOT, VIRTIO_NET_ERROR_SLOT, VIRTIO_NET_ERROR_UNSUPPORTED,
                                            VIRTIO_NET_ERROR_FRAME_TOO_LONG};
            if (kind == 0)
                f->packets[at].slot = SLOTS;
            if (kind == 1)
                f->packets[at].slot = at != 0 ? f->packets[0].slot : 0xffff;
            if (kind == 2)
                f->packets[at].flags = VIRTIO_NET_PACKET_MORE;
            if (kind == 3)
                f->packets[at].length = 65536;
            int32_t committed = virtio_net_tx_commit(f->net, 0, 0, f->packets, 5);
            assert_int_equal(committed, at != 0 ? (int32_t)at : codes[kind]);
            f->packets[at] = good;
            assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &f->packets[at], 5 - at), 5 - at);
            for (uint32_t i = 0; i < 5; i++, seed++)
                assert_sent(f, frame_length(seed), seed);
        }
    assert_int_equal(statistics_of(f).tx_frames, seed);
    take_down(f);
}

/* More than there is room for: what fits is sent, the rest is refused and counted. */
static void burst_beyond_the_ring(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    f->model->hold_tx = true;
    point(f, SLOTS + 1, SLOTS + 1, 0);
    for (uint64_t round = 0; round < 40; round++) {
        uint32_t before = (uint32_t)(round % SLOTS);
        fill(f, SLOTS + 1, round);
        if (before != 0)
            assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, before), before);
        assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets + before, SLOTS + 1 - before), SLOTS - before);
        assert_int_equal(statistics_of(f).tx_full, round + 1);
        model_poll(f->model, MODEL_TX);
        assert_int_equal(model_tx_complete(f->model, SLOTS), SLOTS);
        for (uint32_t i = 0; i < SLOTS; i++)
            assert_sent(f, frame_length(round + i), round + i);
    }
    take_down(f);
}

/* ------------------------------------------------------------------------------------------------------------- receive */

static void forge(struct fixture *f, uint32_t kind, uint32_t position, uint64_t seed)
{
    uint32_t header = info_of(f).header_length;
    struct model_delivery bad = {.frame = f->frame, .length = FRAME_MIN, .position = position};
    frame_fill(f->frame, FRAME_MIN, seed);
    bad.forged_length = kind < 2;
    bad.used_length = kind == 0 ? header + 13 : header + 1519;
    bad.forged_header = kind >= 2;
    bad.header[kind == 2 ? 0 : 1] = 1; /* NEEDS_CSUM, or a gso_type */
    assert_true(model_rx_deliver_as(f->model, &bad));
}

/* Good frames around a bad one, in order or not, into memory that is aligned or not. */
static void bad_element_in_a_burst(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    uint64_t seed = 0;
    uint64_t dropped[4] = {0};
    for (uint32_t at = 0; at < 7; at++)
        for (uint32_t kind = 0; kind < 4; kind++)
            for (uint32_t position = 0; position < 4; position += 3)
                for (uint32_t offset = 0; offset < 4; offset += 3) {
                    for (uint32_t i = 0; i < 7; i++) {
                        if (i == at)
                            forge(f, kind, position, 0);
                        else
                            deliver(f, frame_length(seed + i), seed + i);
                    }
                    dropped[kind]++;
                    point(f, 7, (at + 1) % 7, offset);
                    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 7), 6);
                    for (uint32_t i = 0, found = 0; i < 7; i++)
                        if (i != at) {
                            frame_assert(f->packets[found].data, f->packets[found].length, frame_length(seed + i), seed + i);
                            found++;
                        }
                    seed += 7;
                    assert_int_equal(model_held(f->model, MODEL_RX), SLOTS);
                }
    struct virtio_net_statistics statistics = statistics_of(f);
    assert_int_equal(statistics.rx_frames, seed / 7 * 6);
    assert_int_equal(statistics.rx_dropped_short, dropped[0]);
    assert_int_equal(statistics.rx_dropped_long, dropped[1]);
    assert_int_equal(statistics.rx_dropped_header, dropped[2] + dropped[3]);
    take_down(f);
}

/* A frame that does not fit stays where it is, and comes next; so does one without a place. */
static void small_buffer_in_a_burst(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    uint64_t seed = 0;
    for (uint32_t at = 0; at < 6; at++)
        for (uint32_t no_data = 0; no_data < 2; no_data++) {
            for (uint32_t i = 0; i < 6; i++)
                deliver(f, frame_length(seed + i), seed + i);
            point(f, 6, 6, 0);
            f->packets[at].length = frame_length(seed + at) - 1;
            if (no_data)
                f->packets[at].data = NULL;
            int32_t code = no_data ? VIRTIO_NET_ERROR_INVALID_ARGUMENT : VIRTIO_NET_ERROR_BUFFER_TOO_SMALL;
            assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 6), at != 0 ? (int32_t)at : code);
            for (uint32_t i = 0; i < at; i++)
                frame_assert(f->packets[i].data, f->packets[i].length, frame_length(seed + i), seed + i);
            for (uint32_t i = at; i < 6; i++)
                assert_received(f, frame_length(seed + i), seed + i);
            seed += 6;
        }
    assert_int_equal(statistics_of(f).rx_frames, seed);
    assert_int_equal(model_held(f->model, MODEL_RX), SLOTS);
    take_down(f);
}

/* Frames are copied while others are lent, and the lent ones go back in every order. */
static void received_past_lent(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    for (uint64_t seed = 0; seed < 400; seed += 9) {
        struct virtio_net_packet lent[4];
        for (uint32_t i = 0; i < 9; i++)
            deliver(f, frame_length(seed + i), seed + i);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, lent, 4), 4);
        point(f, 3, 3, 0);
        assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 3), 3);
        for (uint32_t i = 0; i < 3; i++)
            frame_assert(f->packets[i].data, f->packets[i].length, frame_length(seed + 4 + i), seed + 4 + i);
        for (uint32_t i = 7; i < 9; i++)
            assert_received(f, frame_length(seed + i), seed + i);
        for (uint32_t i = 0; i < 4; i++)
            frame_assert(lent[i].data, lent[i].length, frame_length(seed + i), seed + i);
        assert_int_equal(model_held(f->model, MODEL_RX), SLOTS - 4);
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t other = (uint32_t)(mix(seed, i) % 4);
            struct virtio_net_packet packet = lent[i];
            lent[i] = lent[other];
            lent[other] = packet;
        }
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, lent, 4), 4);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, lent, 4), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(model_held(f->model, MODEL_RX), SLOTS);
    }
    take_down(f);
}

/* A slot that is not held stops a release where it stands. */
static void bad_release_in_a_burst(void **state)
{
    struct fixture *f = *state;
    bring_up_small(f);
    for (uint32_t at = 0; at < 6; at++)
        for (uint32_t kind = 0; kind < 3; kind++) {
            for (uint32_t i = 0; i < 6; i++)
                deliver(f, FRAME_MIN, i);
            assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 6), 6);
            const uint16_t good = f->packets[at].slot;
            const uint16_t bad[] = {SLOTS, 0xffff, (uint16_t)((f->packets[5].slot + 1) % SLOTS)};
            f->packets[at].slot = bad[kind];
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 6), at != 0 ? (int32_t)at : VIRTIO_NET_ERROR_SLOT);
            assert_int_equal(model_held(f->model, MODEL_RX), SLOTS - 6 + at);
            f->packets[at].slot = good;
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &f->packets[at], 6 - at), 6 - at);
            assert_int_equal(model_held(f->model, MODEL_RX), SLOTS);
        }
    take_down(f);
}

/* An odd headroom puts headers at odd addresses, which the quick loops do not read. */
static void odd_headroom(void **state)
{
    struct fixture *f = *state;
    f->options.rx_headroom = 3;
    bring_up_small(f);
    for (uint64_t seed = 0; seed < 60; seed++)
        assert_working(f, seed);
    for (uint32_t kind = 0; kind < 4; kind++) {
        forge(f, kind, 0, 0);
        deliver(f, FRAME_MIN, kind);
        assert_received(f, FRAME_MIN, kind);
    }
    assert_int_equal(statistics_of(f).rx_dropped_header, 2);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(unaligned_in_a_burst), OVER_VARIANTS(bad_frame_in_a_burst), OVER_VARIANTS(sent_past_reserved),
             OVER_VARIANTS(bad_commit_in_a_burst), OVER_VARIANTS(burst_beyond_the_ring), OVER_VARIANTS(bad_element_in_a_burst),
             OVER_VARIANTS(small_buffer_in_a_burst), OVER_VARIANTS(received_past_lent), OVER_VARIANTS(bad_release_in_a_burst),
             OVER_VARIANTS(odd_headroom))
