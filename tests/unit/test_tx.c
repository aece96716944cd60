/*
 * test_tx.c - frames out: every length, full rings, bursts, frames written in place, completion in any order.
 */
#include "harness.h"

static void every_length(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t length = 14; length <= FRAME_MAX; length++) {
        send_one(f, length, length);
        assert_sent(f, length, length);
    }
    struct virtio_net_statistics statistics = statistics_of(f);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    assert_int_equal(statistics.tx_frames, FRAME_MAX - 13);
    assert_int_equal(statistics.tx_bytes, (FRAME_MAX + 14) * (FRAME_MAX - 13) / 2);
    assert_int_equal(statistics_of(f).tx_completed, FRAME_MAX - 13);
    take_down(f);
}

/* The N+1st frame is refused and counted; what was completed counts as free before anybody reaps it. */
static void full_ring(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(virtio_net_tx_free(f->net, 0), 16 - i);
        assert_int_equal(virtio_net_tx_in_flight(f->net, 0), i);
        send_one(f, FRAME_MIN + i, i);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(statistics_of(f).tx_full, i);
    }
    assert_int_equal(virtio_net_tx_free(f->net, 0), 0);
    assert_int_equal(model_tx_complete(f->model, 5), 5);
    assert_int_equal(virtio_net_tx_free(f->net, 0), 5);
    assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 11);
    for (uint32_t i = 0; i < 5; i++)
        send_one(f, 100 + i, 100 + i);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
    model_poll(f->model, MODEL_TX);
    assert_int_equal(model_tx_complete(f->model, 100), 16);
    for (uint32_t i = 0; i < 16; i++)
        assert_sent(f, FRAME_MIN + i, i);
    for (uint32_t i = 0; i < 5; i++)
        assert_sent(f, 100 + i, 100 + i);
    take_down(f);
}

/* A device that never completes: nothing in flight is written over. The model compares each buffer when it completes it. */
static void stuck_device(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    for (uint32_t i = 0; i < 16; i++)
        send_one(f, 1000, i);
    model_poll(f->model, MODEL_TX);
    same_packets(f, 16);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 16), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets + 100, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    }
    assert_int_equal(model_tx_complete(f->model, 16), 16);
    for (uint32_t i = 0; i < 16; i++)
        assert_sent(f, 1000, i);
    take_down(f);
}

/* Fills f->packets with `count` frames of f->frame's storage, each of its own seed. */
static void burst_of(struct fixture *f, uint32_t count, uint64_t seed)
{
    memset(f->packets, 0, sizeof f->packets);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = f->frame + (size_t)i * 512;
        frame_fill(at, FRAME_MIN + i, seed + i);
        f->packets[i].data = at;
        f->packets[i].length = FRAME_MIN + i;
    }
}

/* One store of avail.idx and one notification a burst; what does not fit is left to the caller. */
static void bursts(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    struct virtio_net_packet before[32];
    burst_of(f, 32, 1);
    memcpy(before, f->packets, sizeof before);
    uint64_t notified = atomic_load(&f->model->queue[MODEL_TX].notifications);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 0), 0);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 10), 10);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_TX].notifications), notified + 1);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets + 10, 22), 6);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets + 16, 16), VIRTIO_NET_ERROR_QUEUE_FULL);
    assert_memory_equal(before, f->packets, sizeof before);
    model_poll(f->model, MODEL_TX);
    assert_int_equal(model_tx_complete(f->model, 16), 16);
    for (uint32_t i = 0; i < 16; i++)
        assert_sent(f, FRAME_MIN + i, 1 + i);
    take_down(f);
}

/* A burst stops at the packet that it cannot take; the call that begins with it says why. */
static void burst_with_bad_packet(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    burst_of(f, 6, 9);
    f->packets[4].length = 13;
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 6), 4);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets + 4, 2), VIRTIO_NET_ERROR_FRAME_EMPTY);
    f->packets[4].length = longest_frame_of(f) + 1;
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets + 4, 2), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    f->packets[4].length = FRAME_MIN;
    f->packets[4].data = NULL;
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets + 4, 2), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    for (uint32_t i = 0; i < 4; i++)
        assert_sent(f, FRAME_MIN + i, 9 + i);
    uint32_t length = 0;
    assert_null(model_tx_pop(f->model, &length));
    take_down(f);
}

static void longest_frame(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t longest = longest_frame_of(f);
    assert_in_range(longest, FRAME_MAX, FRAME_MAX + 4);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, longest + 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, UINT32_MAX), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    send_one(f, longest, 5);
    assert_sent(f, longest, 5);
    take_down(f);
}

/* ------------------------------------------------------------------------------------------------------------- in place */

static void check_reserved(struct fixture *f, const struct virtio_net_packet *packet)
{
    assert_int_equal((uintptr_t)packet->data % 16, 0);
    assert_int_equal(packet->flags, 0);
    assert_true(packet->length >= longest_frame_of(f));
    assert_ptr_equal(memory_at(f->model, packet->device_address, packet->length, false), packet->data);
}

static void reserve_all(struct fixture *f)
{
    bool seen[16] = {false};
    memset(f->packets, 0xee, sizeof f->packets);
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets, 20), 16);
    for (uint32_t i = 0; i < 16; i++) {
        assert_in_range(f->packets[i].slot, 0, 15);
        assert_false(seen[f->packets[i].slot]);
        seen[f->packets[i].slot] = true;
        check_reserved(f, &f->packets[i]);
    }
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets + 16, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
    assert_int_equal(virtio_net_tx_free(f->net, 0), 0);
    assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 0);
}

static void in_place(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 0; round < 20; round++) {
        reserve_all(f);
        for (uint32_t i = 0; i < 16; i++) {
            f->packets[i].length = frame_length(i + round);
            frame_fill(f->packets[i].data, f->packets[i].length, i + round);
        }
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, f->packets + 8, 8), 8);
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, f->packets, 8), 8);
        for (uint32_t i = 0; i < 16; i++)
            assert_sent(f, frame_length((i + 8) % 16 + round), (i + 8) % 16 + round);
    }
    take_down(f);
}

/* What a random walk over reserve, commit, cancel and send knows of each slot. */
struct walk {
    struct virtio_net_packet held[16];
    uint32_t count;
    uint64_t next_seed, sent;
};

static void walk_leave(struct fixture *f, struct walk *walk, uint32_t which, bool commit)
{
    struct virtio_net_packet *packet = &walk->held[which];
    if (commit) {
        packet->length = frame_length(walk->next_seed);
        frame_fill(packet->data, packet->length, walk->next_seed);
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, packet, 1), 1);
        assert_sent(f, packet->length, walk->next_seed++);
    } else {
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, packet, 1), 1);
    }
    int32_t again = commit ? virtio_net_tx_cancel(f->net, 0, 0, packet, 1) : virtio_net_tx_commit(f->net, 0, 0, packet, 1);
    assert_int_equal(again, VIRTIO_NET_ERROR_SLOT);
    walk->held[which] = walk->held[--walk->count];
}

static void in_any_order(void **state)
{
    struct fixture *f = *state;
    struct walk walk = {.count = 0};
    bring_up(f);
    for (uint32_t step = 0; step < 20000; step++) {
        uint64_t dice = mix(step, 11);
        if (dice % 4 < 2) {
            uint32_t wanted = 1 + (uint32_t)(dice >> 8) % 5;
            uint32_t possible = 16 - walk.count < wanted ? 16 - walk.count : wanted;
            int32_t got = virtio_net_tx_reserve(f->net, 0, 0, walk.held + walk.count, possible == 0 ? 1 : possible);
            assert_int_equal(got, possible == 0 ? VIRTIO_NET_ERROR_QUEUE_FULL : (int32_t)possible);
            walk.count += possible;
        } else if (walk.count > 0) {
            walk_leave(f, &walk, (uint32_t)(dice >> 16) % walk.count, dice % 4 == 2);
        }
        assert_int_equal(virtio_net_tx_free(f->net, 0), 16 - walk.count);
    }
    take_down(f);
}

/* Slots that the caller does not hold: in flight, free, out of range. */
static void foreign_slots(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    struct virtio_net_packet packet;
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &packet, 1), 1);
    struct virtio_net_packet others[2] = {packet, packet};
    packet.length = FRAME_MIN;
    for (uint32_t slot = 0; slot < 65536; slot += slot < 32 ? 1 : 97) {
        others[0].slot = (uint16_t)slot;
        others[0].length = FRAME_MIN;
        if (slot == packet.slot)
            continue;
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, others, 1), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, others, 1), VIRTIO_NET_ERROR_SLOT);
    }
    others[0] = others[1] = packet;
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, others, 2), 1);
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_SLOT);
    assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_SLOT);
    take_down(f);
}

static void bad_commits(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct virtio_net_packet packet;
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &packet, 1), 1);
    packet.length = 13;
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_FRAME_EMPTY);
    packet.length = longest_frame_of(f) + 1;
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    packet.length = FRAME_MIN;
    for (uint32_t flag = VIRTIO_NET_PACKET_MORE; flag <= VIRTIO_NET_PACKET_TIMESTAMP; flag *= 2) {
        packet.flags = flag;
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_UNSUPPORTED);
    }
    packet.flags = 0;
    frame_fill(packet.data, FRAME_MIN, 3);
    assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), 1);
    assert_sent(f, FRAME_MIN, 3);
    take_down(f);
}

/* ---------------------------------------------------------------------------------------------------------- completions */

/* The device completes whichever it likes; the buffers of the others stay untouched, and every slot comes back. */
static void out_of_order(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    uint64_t sent = 0;
    for (uint32_t step = 0; step < LONG_RUN(40000u); step++) {
        uint64_t dice = mix(step, 5);
        uint32_t held = model_held(f->model, MODEL_TX);
        if (dice % 2 == 0 && held > 0) {
            model_tx_complete_at(f->model, (uint32_t)(dice >> 8) % held);
            held--;
        } else {
            frame_fill(f->frame, 64 + sent % 64, sent);
            int32_t code = virtio_net_send(f->net, 0, 0, f->frame, 64 + sent % 64);
            assert_int_equal(code, held < 16 ? VIRTIO_NET_SUCCESS : VIRTIO_NET_ERROR_QUEUE_FULL);
            sent += code == VIRTIO_NET_SUCCESS;
            held += code == VIRTIO_NET_SUCCESS;
        }
        assert_int_equal(virtio_net_tx_in_flight(f->net, 0), held);
        assert_int_equal(virtio_net_tx_free(f->net, 0), 16 - held);
    }
    assert_int_equal(f->model->frames_sent + model_held(f->model, MODEL_TX), sent);
    take_down(f);
}

/* One frame that never completes does not hold up the others. */
static void one_never_completes(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    send_one(f, FRAME_MAX, 12345);
    for (uint64_t i = 0; i < 5000; i++) {
        send_one(f, FRAME_MIN, i);
        assert_int_equal(model_held(f->model, MODEL_TX), 2);
        model_tx_complete_at(f->model, queue_pending(&f->model->queue[MODEL_TX], 0)->bytes > 1000 ? 1 : 0);
        assert_sent(f, FRAME_MIN, i);
    }
    model_tx_complete_at(f->model, 0);
    assert_sent(f, FRAME_MAX, 12345);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(every_length), OVER_VARIANTS(full_ring), OVER_VARIANTS(stuck_device), OVER_VARIANTS(bursts),
             OVER_VARIANTS(burst_with_bad_packet), OVER_VARIANTS(longest_frame), OVER_VARIANTS(in_place),
             OVER_VARIANTS(in_any_order), OVER_VARIANTS(foreign_slots), OVER_VARIANTS(bad_commits), OVER_VARIANTS(out_of_order),
             OVER_VARIANTS(one_never_completes))
