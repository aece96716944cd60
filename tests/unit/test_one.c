/*
 * test_one.c - the calls for one frame in memory of the caller, without a packet: virtio_net_tx_post_one, tx_next, tx_take_one,
 * tx_reap_one, tx_unreap, rx_post_one, rx_next and rx_take_one.
 */
#include "harness.h"

enum { SLOTS = 16, BUFFER_BYTES = 2048, FRONT = 64, ROOM = BUFFER_BYTES - FRONT };

/* What the quick way of tx_post_one asks for, and leaves the notification to the caller. */
enum { OWN = VIRTIO_NET_PACKET_HAS_HEADER | VIRTIO_NET_OWN_KICK };

/* Buffers of a caller, the first SLOTS to send from, the others to receive into. */
struct memory {
    uint8_t bytes[2 * SLOTS][BUFFER_BYTES];
    uint64_t device_address;
};

static struct memory memory;

/* The quick ways and the general one: a platform that must be told of each access leaves only the latter. The pools, EVENT_IDX,
 * interrupts and trust in headers vary with the round. */
enum { ROUNDS = 16 };

static void begin_as_is(struct fixture *f, unsigned round, bool pools)
{
    f->platform = round % 2 == 0 ? &model_platform_coherent : &model_platform;
    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = pools ? 0 : VIRTIO_NET_NO_POOL;
    f->options.flags = (round & 2) != 0 ? VIRTIO_NET_OPTION_IRQ_RX | VIRTIO_NET_OPTION_IRQ_TX : 0;
    f->options.flags |= (round & 8) != 0 ? VIRTIO_NET_OPTION_TRUST_HEADER : 0;
    if ((round & 4) != 0)
        f->model->features &= ~MODEL_FEATURE(EVENT_IDX);
    bring_up(f);
    memset(&memory, 0x3c, sizeof memory);
    memory.device_address = model_share(f->model, memory.bytes, sizeof memory.bytes, VIRTIO_NET_DMA_BOTH);
}

static void begin(struct fixture *f, unsigned round, bool pools)
{
    fixture_renew(f);
    begin_as_is(f, round, pools);
}

static uint8_t *frame_of(uint32_t buffer)
{
    return memory.bytes[buffer] + FRONT;
}

static uint64_t address_of(uint32_t buffer)
{
    return memory.device_address + (uint64_t)buffer * BUFFER_BYTES + FRONT;
}

static uint64_t cookie_of(uint32_t buffer)
{
    return UINT64_C(0xc00c1e0000000000) + buffer;
}

/* Headers of zeros in front of the frames, for HAS_HEADER. */
static void write_headers(void)
{
    for (uint32_t buffer = 0; buffer < SLOTS; buffer++)
        memset(memory.bytes[buffer], 0, FRONT);
}

/* With the flags of virtio_net_tx_post_raw by turns with that. */
static int32_t post(struct fixture *f, uint32_t flags, uint32_t buffer, uint32_t length)
{
    static unsigned turn;
    if (flags == (VIRTIO_NET_PACKET_HAS_HEADER | VIRTIO_NET_OWN_KICK) && turn++ % 2 != 0)
        return virtio_net_tx_post_raw(f->net, 0, frame_of(buffer), length, address_of(buffer), cookie_of(buffer));
    return virtio_net_tx_post_one(f->net, 0, flags, frame_of(buffer), length, address_of(buffer), cookie_of(buffer));
}

static int32_t post_empty(struct fixture *f, uint32_t buffer)
{
    return virtio_net_rx_post_one(f->net, 0, 0, frame_of(SLOTS + buffer), ROOM, address_of(SLOTS + buffer), cookie_of(buffer));
}

static void assert_sent_back(struct fixture *f, int32_t slot, uint32_t buffer, uint32_t flags)
{
    uint64_t cookie = 0;
    assert_int_equal(virtio_net_tx_take_one(f->net, 0, (uint32_t)slot, &cookie), flags);
    assert_true(cookie == cookie_of(buffer));
    assert_int_equal(virtio_net_tx_take_one(f->net, 0, (uint32_t)slot, &cookie), VIRTIO_NET_ERROR_SLOT);
}

/* The frame is the next one that has come back, and its owner takes it. */
static void assert_next_back(struct fixture *f, int32_t slot, uint32_t buffer)
{
    assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
    assert_sent_back(f, slot, buffer, VIRTIO_NET_PACKET_EXTERNAL);
}

/* A frame to a device that completes it at once, and back. Returns its slot. */
static int32_t there_and_back(struct fixture *f, uint32_t flags, uint32_t buffer)
{
    int32_t slot = post(f, flags, buffer, FRAME_MIN);
    assert_in_range(slot, 0, SLOTS - 1);
    assert_next_back(f, slot, buffer);
    return slot;
}

/* Such frames until each entry of the available ring names its slot, from when on posting has a quick way. */
static void settle(struct fixture *f)
{
    for (uint32_t i = 0; i < 2 * SLOTS; i++)
        (void)there_and_back(f, 0, 0);
}

/* Whether the round's driver can put header and frame into one descriptor and has no cares: then there is a quick way. */
static bool is_quick(const struct fixture *f, unsigned round)
{
    uint64_t one_descriptor = MODEL_FEATURE(VERSION_1) | MODEL_FEATURE(ANY_LAYOUT);
    return round % 2 == 0 && (info_of(f).features & one_descriptor) != 0;
}

/* Takes the next frame, or what is left of a buffer, whose cookie must come with it. */
static int32_t take(struct fixture *f, uint32_t slot, uint32_t buffer)
{
    uint64_t cookie = 0;
    int32_t length = virtio_net_rx_take_one(f->net, 0, slot, &cookie);
    assert_true(cookie == (length < 0 ? 0 : cookie_of(buffer)));
    return length;
}

/* ----------------------------------------------------------------------------------------------------------- good devices */

static void one_at_a_time(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        uint64_t tx_bytes = 0;
        uint64_t rx_bytes = 0;
        const uint64_t count = LONG_RUN(9000u); /* past RING_REFRESH_INTERVAL */
        for (uint64_t i = 0; i < count; i++) {
            uint32_t buffer = (uint32_t)mix(i, 1) % SLOTS;
            uint32_t length = frame_length(i);
            uint32_t header = info_of(f).header_length;
            bool own_header = mix(i, 2) % 2 == 0;
            memset(frame_of(buffer) - header, own_header ? 0 : 0x3c, header);
            frame_fill(frame_of(buffer), length, i);
            int32_t slot = post(f, own_header ? VIRTIO_NET_PACKET_HAS_HEADER : 0, buffer, length);
            assert_in_range(slot, 0, SLOTS - 1);
            assert_sent(f, length, i);
            assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
            assert_next_back(f, slot, buffer);
            assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
            assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);

            slot = post_empty(f, buffer);
            assert_in_range(slot, 0, SLOTS - 1);
            assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
            assert_int_equal(take(f, (uint32_t)slot, buffer), VIRTIO_NET_ERROR_NOT_READY);
            deliver(f, frame_length(~i), ~i);
            assert_int_equal(virtio_net_rx_next(f->net, 0), slot);
            int32_t received = take(f, (uint32_t)slot, buffer);
            frame_assert(frame_of(SLOTS + buffer), (uint32_t)received, frame_length(~i), ~i);
            assert_int_equal(take(f, (uint32_t)slot, buffer), VIRTIO_NET_ERROR_NOT_READY);
            tx_bytes += length;
            rx_bytes += (uint32_t)received;
        }
        struct virtio_net_statistics found = statistics_of(f);
        assert_true(found.tx_frames == count && found.tx_completed == count && found.tx_bytes == tx_bytes);
        assert_true(found.rx_frames == count && found.rx_bytes == rx_bytes);
        take_down(f);
    }
}

/* Slots are 0, 1, 2 … at first, and a full ring drops no cookie. The device completes in any order; the caller takes in any. */
static void deep(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        f->model->hold_tx = true;
        uint32_t buffer_of[SLOTS];
        for (uint32_t turn = 0; turn < 40; turn++) {
            for (uint32_t i = 0; i < SLOTS; i++) {
                frame_fill(frame_of(i), FRAME_MIN + i, i);
                int32_t slot = post(f, VIRTIO_NET_NO_KICK, i, FRAME_MIN + i);
                assert_in_range(slot, turn == 0 ? (int32_t)i : 0, turn == 0 ? (int32_t)i : SLOTS - 1);
                buffer_of[slot] = i;
            }
            assert_int_equal(post(f, 0, 0, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
            assert_int_equal(model_held(f->model, MODEL_TX), SLOTS);
            for (uint32_t left = SLOTS; left > 0; left--) {
                model_tx_complete_at(f->model, turn == 0 ? 0 : (uint32_t)mix(turn, left) % left);
                if (mix(turn, left) % 4 != 0)
                    continue;
                int32_t slot = virtio_net_tx_next(f->net, 0);
                assert_in_range(slot, 0, SLOTS - 1);
                assert_sent_back(f, slot, buffer_of[slot], VIRTIO_NET_PACKET_EXTERNAL);
                buffer_of[slot] = SLOTS;
            }
            /* Not only the oldest one. */
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
            for (uint32_t i = 0; i < SLOTS; i++) {
                uint32_t slot = (7 * i + turn) % SLOTS;
                if (buffer_of[slot] != SLOTS)
                    assert_sent_back(f, (int32_t)slot, buffer_of[slot], VIRTIO_NET_PACKET_EXTERNAL);
            }
            assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
            assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        }
        take_down(f);
    }
}

/* The device fills buffers in an order of its own: only the next one can be taken, and the others stay. */
static void filled_in_any_order(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        for (uint32_t turn = 0; turn < 40; turn++) {
            int32_t slot_of[SLOTS];
            for (uint32_t i = 0; i < SLOTS; i++) {
                slot_of[i] = post_empty(f, i);
                assert_in_range(slot_of[i], turn == 0 ? (int32_t)i : 0, turn == 0 ? (int32_t)i : SLOTS - 1);
            }
            assert_int_equal(post_empty(f, 0), VIRTIO_NET_ERROR_QUEUE_FULL);
            for (uint32_t left = SLOTS; left > 0; left--) {
                struct model_delivery delivery = {
                    .frame = f->frame, .length = FRAME_MIN, .position = (uint32_t)mix(turn, left) % left};
                frame_fill(f->frame, FRAME_MIN, left);
                assert_int_equal(model_held(f->model, MODEL_RX), left);
                assert_true(model_rx_deliver_as(f->model, &delivery));
            }
            for (uint32_t left = SLOTS; left > 0; left--) {
                int32_t next = virtio_net_rx_next(f->net, 0);
                for (uint32_t i = 0; i < SLOTS; i++)
                    if (slot_of[i] >= 0 && slot_of[i] != next)
                        assert_int_equal(take(f, (uint32_t)slot_of[i], i), VIRTIO_NET_ERROR_SLOT);
                uint32_t which = 0;
                while (slot_of[which] != next)
                    which++;
                frame_assert(frame_of(SLOTS + which), (uint32_t)take(f, (uint32_t)next, which), FRAME_MIN, left);
                slot_of[which] = -1;
            }
            assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
        }
        take_down(f);
    }
}

/* Each completion interrupts where that is asked for, whichever call took the one before. */
static void interrupts(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        for (uint32_t i = 1; i < 200; i++) {
            int32_t sent = post(f, 0, 0, FRAME_MIN);
            int32_t posted = post_empty(f, 0);
            deliver(f, FRAME_MIN, i);
            assert_int_equal(f->model->queue[MODEL_TX].interrupts, (round & 2) != 0 ? i : 0);
            assert_int_equal(f->model->queue[MODEL_RX].interrupts, (round & 2) != 0 ? i : 0);
            assert_next_back(f, sent, 0);
            assert_int_equal(take(f, (uint32_t)posted, 0), FRAME_MIN);
        }
        take_down(f);
    }
}

static void complete_after_look(struct model *model, volatile void *address, unsigned width)
{
    if (width != 2 || model_used_offset(model, MODEL_TX, address) != 2)
        return;
    model->on_fetch = NULL;
    (void)model_tx_complete(model, 1);
}

/* The device completes a second frame right after the driver looked for the first: the third one interrupts all the same. */
static void no_interrupt_is_lost(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 2; round < ROUNDS; round += (round & 1) != 0 ? 3 : 1) {
        begin(f, round, false);
        f->model->hold_tx = true;
        for (uint32_t turn = 0; turn < 100; turn++) {
            int32_t slots[3];
            for (uint32_t i = 0; i < 3; i++)
                slots[i] = post(f, 0, i, FRAME_MIN);
            assert_int_equal(model_held(f->model, MODEL_TX), 3);
            assert_int_equal(model_tx_complete(f->model, 1), 1);
            f->model->on_fetch = complete_after_look;
            assert_int_equal(virtio_net_tx_next(f->net, 0), slots[0]);
            assert_null(f->model->on_fetch);
            uint64_t before = f->model->queue[MODEL_TX].interrupts;
            assert_int_equal(model_tx_complete(f->model, 1), 1);
            assert_int_equal(f->model->queue[MODEL_TX].interrupts, before + 1);
            assert_sent_back(f, slots[0], 0, VIRTIO_NET_PACKET_EXTERNAL);
            for (uint32_t i = 1; i < 3; i++) {
                assert_next_back(f, slots[i], i);
            }
        }
        take_down(f);
    }
}

/* More completions than pass between two interrupts of a used_event that nobody moves on. */
static void no_interrupts(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        begin(f, round, false);
        f->model->sink = true;
        write_headers();
        for (uint32_t i = 0; i < LONG_RUN(80000u); i++) {
            (void)there_and_back(f, VIRTIO_NET_PACKET_HAS_HEADER, 0);
            int32_t slot = post_empty(f, 0);
            assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
            assert_int_equal(take(f, (uint32_t)slot, 0), FRAME_MIN);
        }
        assert_int_equal(f->model->queue[MODEL_TX].interrupts + f->model->queue[MODEL_RX].interrupts, 0);
        take_down(f);
    }
}

static uint64_t notified(const struct fixture *f)
{
    return f->model->queue[MODEL_TX].notifications;
}

/* A notification that the caller may make is made once, by one of the two, and counted once. */
static void own_notifications(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        write_headers();
        bool quick = is_quick(f, round);
        for (uint32_t i = 0; i < 300; i++) {
            uint64_t before = notified(f);
            frame_fill(frame_of(0), FRAME_MIN, i);
            int32_t posted = post(f, OWN, 0, FRAME_MIN);
            int32_t slot = posted & 0xffff;
            assert_int_equal(statistics_of(f).tx_kicks, before + 1);
            /* The first ones write the available ring. */
            assert_int_equal(posted, quick && i >= SLOTS ? slot | VIRTIO_NET_KICK_DUE : slot);
            if (posted != slot) {
                assert_int_equal(notified(f), before);
                assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
                device_notify(f->model, MODEL_TX);
            }
            assert_int_equal(notified(f), before + 1);
            assert_sent(f, FRAME_MIN, i);
            assert_next_back(f, slot, 0);
        }
        take_down(f);
    }
}

/* With NO_KICK nobody notifies, whoever would: before there is a quick way and afterwards. */
static void no_notification_of_ones_own(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        write_headers();
        for (uint32_t i = 0; i < 4 * SLOTS; i++) {
            f->model->hold_tx = true;
            uint64_t before = notified(f);
            uint32_t flags = VIRTIO_NET_NO_KICK | VIRTIO_NET_OWN_KICK | (i % 2 != 0 ? VIRTIO_NET_PACKET_HAS_HEADER : 0);
            int32_t slot = post(f, flags, 0, FRAME_MIN);
            assert_in_range(slot, 0, SLOTS - 1);
            assert_int_equal(notified(f), before);
            assert_int_equal(virtio_net_tx_flush(f->net, 0, 0), 1);
            assert_int_equal(model_tx_complete(f->model, 1), 1);
            assert_next_back(f, slot, 0);
            assert_true(notified(f) == before + 1 && statistics_of(f).tx_kicks == before + 1);
            assert_int_equal(statistics_of(f).tx_rekicks, 0);
        }
        take_down(f);
    }
}

/* A device that was told and does nothing is not told again, neither of the same frame nor, with EVENT_IDX, of the next. */
static void told_once(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        f->model->sink = true;
        write_headers();
        settle(f);
        uint64_t before = notified(f);
        f->model->no_poll = true;
        bool is_due = post(f, OWN, 0, FRAME_MIN) >= VIRTIO_NET_KICK_DUE;
        assert_int_equal(is_due, is_quick(f, round));
        if (is_due)
            device_notify(f->model, MODEL_TX);
        for (unsigned look = 0; look < 5; look++)
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_int_equal(notified(f), before + 1);
        if ((round & 4) == 0)
            assert_in_range(post(f, OWN, 1, FRAME_MIN), 0, SLOTS - 1);
        assert_int_equal(statistics_of(f).tx_kicks, before + 1);
        assert_int_equal(statistics_of(f).tx_rekicks, 0);
        take_down(f);
    }
}

/* Of a device that is awake a notification is nobody's. */
static void no_own_notification(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round & ~4u, false);
        write_headers();
        settle(f);
        f->model->hold_tx = true;
        f->model->late_event = true;
        assert_true(post(f, 0, 0, FRAME_MIN) >= 0);
        uint64_t before = notified(f);
        for (uint32_t i = 1; i < SLOTS; i++)
            assert_in_range(post(f, OWN, i, FRAME_MIN), 0, SLOTS - 1);
        assert_int_equal(notified(f), before);
        assert_int_equal(statistics_of(f).tx_kicks, before);
        take_down(f);
    }
}

/* One that was left to the caller, and not made before a reset, is no memory of the queue that starts again. */
static void own_notification_before_a_reset(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        write_headers();
        for (uint32_t reset = 0; reset < 3; reset++) {
            for (uint32_t i = 0; i < SLOTS + 5 * reset; i++) {
                frame_fill(frame_of(0), FRAME_MIN, i);
                int32_t posted = post(f, OWN, 0, FRAME_MIN);
                if (posted >= VIRTIO_NET_KICK_DUE)
                    device_notify(f->model, MODEL_TX);
                assert_sent(f, FRAME_MIN, i);
                assert_next_back(f, posted & 0xffff, 0);
            }
            f->model->hold_tx = f->model->no_poll = true;
            int32_t slot = post(f, OWN, 1, FRAME_MIN);
            assert_int_equal(slot >= VIRTIO_NET_KICK_DUE, is_quick(f, round));
            slot &= 0xffff;
            assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
            assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
            assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
            assert_sent_back(f, slot, 1, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
            f->model->hold_tx = f->model->no_poll = false;
        }
        take_down(f);
    }
}

/* The last slot there can be, and the bit beside it. */
static void largest_slot(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 8; round += 4) {
        fixture_renew(f);
        f->options.tx_slots = VIRTIO_NET_MAX_SLOTS;
        f->model->queue_max[MODEL_TX] = VIRTIO_NET_MAX_SLOTS;
        begin_as_is(f, round, false);
        f->model->sink = true;
        write_headers();
        uint32_t due = 0;
        for (uint32_t i = 0; i < 2 * VIRTIO_NET_MAX_SLOTS; i++) {
            int32_t posted = post(f, OWN, 0, FRAME_MIN);
            int32_t slot = (int32_t)(i % VIRTIO_NET_MAX_SLOTS);
            assert_int_equal(posted & ~VIRTIO_NET_KICK_DUE, slot);
            due += posted != slot;
            if (posted != slot)
                device_notify(f->model, MODEL_TX);
            assert_next_back(f, slot, 0);
        }
        assert_int_equal(due, is_quick(f, round) ? VIRTIO_NET_MAX_SLOTS : 0);
        take_down(f);
    }
}

/* Addresses of an IOMMU or a bus that has the upper half, and a frame that lies across the middle. */
static void far_addresses(void **state)
{
    struct fixture *f = *state;
    const uint64_t middle = UINT64_C(1) << 63;
    const uint64_t starts[] = {middle, middle - FRONT - FRAME_MIN / 2, UINT64_C(0) - 2 * sizeof memory.bytes};
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
            begin(f, round, false);
            f->model->next_device_address = starts[i];
            memory.device_address = model_share(f->model, memory.bytes, sizeof memory.bytes, VIRTIO_NET_DMA_BOTH);
            assert_true(memory.device_address == starts[i]);
            for (uint32_t frame = 0; frame < 3 * SLOTS; frame++) {
                uint32_t buffer = frame % SLOTS;
                frame_fill(frame_of(buffer), FRAME_MIN, frame);
                int32_t slot = post(f, 0, buffer, FRAME_MIN);
                assert_in_range(slot, 0, SLOTS - 1);
                assert_sent(f, FRAME_MIN, frame);
                assert_next_back(f, slot, buffer);
                slot = post_empty(f, buffer);
                deliver(f, FRAME_MAX, frame);
                frame_assert(frame_of(SLOTS + buffer), (uint32_t)take(f, (uint32_t)slot, buffer), FRAME_MAX, frame);
            }
            take_down(f);
        }
}

/* ------------------------------------------------------------------------------------------------------------ bad callers */

static int32_t post_raw(struct fixture *f, uint8_t *frame, uint32_t length, uint64_t address)
{
    return virtio_net_tx_post_raw(f->net, 0, frame, length, address, 1);
}

/* The same errors by virtio_net_tx_post_raw, before it has a quick way and afterwards; and its slots run out. */
static void bad_raw_arguments(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        f->model->sink = true;
        uint8_t *frame = frame_of(0);
        uint64_t address = address_of(0);
        uint32_t longest = info_of(f).max_frame_length;
        for (uint32_t lap = 0; lap < 3; lap++) {
            assert_int_equal(virtio_net_tx_post_raw(NULL, 0, frame, 60, address, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
            assert_int_equal(virtio_net_tx_post_raw(f->net, 1, frame, 60, address, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
            assert_int_equal(post_raw(f, NULL, 60, address), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
            static const uint32_t shorter[] = {0, 1, 13};
            for (size_t i = 0; i < sizeof shorter / sizeof shorter[0]; i++)
                assert_int_equal(post_raw(f, frame, shorter[i], address), VIRTIO_NET_ERROR_FRAME_EMPTY);
            const uint32_t longer[] = {longest + 1, 65536, UINT32_MAX};
            for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++)
                assert_int_equal(post_raw(f, frame, longer[i], address), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
            static const uint64_t addresses[] = {0, 1, 9, UINT64_MAX, UINT64_MAX - 58};
            for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
                assert_int_equal(post_raw(f, frame, 60, addresses[i]), VIRTIO_NET_ERROR_DMA_ADDRESS);
            assert_true(statistics_of(f).tx_frames == (uint64_t)lap * SLOTS);
            for (uint32_t i = 0; i < SLOTS; i++)
                assert_in_range(post_raw(f, frame, 60, address) & 0xffff, 0, SLOTS - 1);
            f->model->no_poll = f->model->hold_tx = lap == 2;
            for (uint32_t i = 0; lap < 2 && i < SLOTS; i++) {
                device_notify(f->model, MODEL_TX);
                assert_in_range(virtio_net_tx_reap_one(f->net, 0).slot, 0, SLOTS - 1);
            }
        }
        assert_int_equal(post_raw(f, frame, 60, address), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_true(statistics_of(f).tx_frames == UINT64_C(3) * SLOTS);
        take_down(f);
    }
}

static void bad_transmit_arguments(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        uint8_t *frame = frame_of(0);
        uint64_t address = address_of(0);
        uint64_t cookie = 0;
        uint32_t longest = info_of(f).max_frame_length;
        assert_int_equal(virtio_net_tx_post_one(NULL, 0, 0, frame, 60, address, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_tx_post_one(f->net, 1, 0, frame, 60, address, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
        for (uint32_t flag = 2; flag != 0; flag *= 2)
            if (flag != VIRTIO_NET_PACKET_HAS_HEADER && flag != VIRTIO_NET_OWN_KICK)
                assert_int_equal(virtio_net_tx_post_one(f->net, 0, flag, frame, 60, address, 1), VIRTIO_NET_ERROR_FLAGS);
        assert_int_equal(virtio_net_tx_post_one(f->net, 0, 0, NULL, 60, address, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_tx_post_one(f->net, 0, 0, frame, 0, address, 1), VIRTIO_NET_ERROR_FRAME_EMPTY);
        assert_int_equal(virtio_net_tx_post_one(f->net, 0, 0, frame, 13, address, 1), VIRTIO_NET_ERROR_FRAME_EMPTY);
        assert_int_equal(virtio_net_tx_post_one(f->net, 0, 0, frame, longest + 1, address, 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
        assert_int_equal(virtio_net_tx_post_one(f->net, 0, 0, frame, UINT32_MAX, address, 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
        static const uint64_t addresses[] = {0, 1, 9, UINT64_MAX, UINT64_MAX - 58};
        for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
            assert_int_equal(virtio_net_tx_post_one(f->net, 0, 0, frame, 60, addresses[i], 1), VIRTIO_NET_ERROR_DMA_ADDRESS);
        assert_int_equal(virtio_net_tx_take_one(NULL, 0, 0, &cookie), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_tx_take_one(f->net, 0, 0, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_tx_take_one(f->net, 1, 0, &cookie), VIRTIO_NET_ERROR_QUEUE_PAIR);
        f->model->hold_tx = true;
        int32_t slot = post(f, 0, 0, FRAME_MIN);
        assert_int_equal(model_held(f->model, MODEL_TX), 1);
        for (uint32_t other = 0; other < 0x30000; other += other < 32 ? 1 : 97)
            assert_int_equal(virtio_net_tx_take_one(f->net, 0, other, &cookie), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(model_tx_complete(f->model, 1), 1);
        assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
        assert_int_equal(virtio_net_tx_take_one(f->net, 0, (uint32_t)slot + 0x10000, &cookie), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_tx_take_one(f->net, 0, (uint32_t)slot + SLOTS, &cookie), VIRTIO_NET_ERROR_SLOT);
        assert_true(cookie == 0);
        assert_sent_back(f, slot, 0, VIRTIO_NET_PACKET_EXTERNAL);
        assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        take_down(f);
    }
}

static void bad_receive_arguments(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        uint8_t *frame = frame_of(0);
        uint64_t address = address_of(0);
        uint64_t cookie = 0;
        assert_int_equal(virtio_net_rx_post_one(NULL, 0, 0, frame, ROOM, address, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_rx_post_one(f->net, 1, 0, frame, ROOM, address, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
        for (uint32_t flag = 2; flag != 0; flag *= 2)
            assert_int_equal(virtio_net_rx_post_one(f->net, 0, flag, frame, ROOM, address, 1), VIRTIO_NET_ERROR_FLAGS);
        assert_int_equal(virtio_net_rx_post_one(f->net, 0, 0, NULL, ROOM, address, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_rx_post_one(f->net, 0, 0, frame, FRAME_MAX - 1, address, 1),
                         VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);
        assert_int_equal(virtio_net_rx_post_one(f->net, 0, 0, frame, 0, address, 1), VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);
        assert_int_equal(virtio_net_rx_post_one(f->net, 0, 0, frame, 65536, address, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        static const uint64_t addresses[] = {0, 5, UINT64_MAX, UINT64_MAX - ROOM + 2};
        for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++)
            assert_int_equal(virtio_net_rx_post_one(f->net, 0, 0, frame, ROOM, addresses[i], 1), VIRTIO_NET_ERROR_DMA_ADDRESS);
        assert_int_equal(virtio_net_rx_take_one(NULL, 0, 0, &cookie), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_rx_take_one(f->net, 0, 0, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_rx_take_one(f->net, 1, 0, &cookie), VIRTIO_NET_ERROR_QUEUE_PAIR);
        int32_t slot = post_empty(f, 0);
        deliver(f, FRAME_MIN, 1);
        for (uint32_t other = 1; other < 0x30000; other += other < 32 ? 1 : 97)
            assert_int_equal(virtio_net_rx_take_one(f->net, 0, (uint32_t)slot + other, &cookie), VIRTIO_NET_ERROR_SLOT);
        assert_true(cookie == 0);
        assert_int_equal(take(f, (uint32_t)slot, 0), FRAME_MIN);
        /* One that was peeked is the caller's already, and ends as virtio_net_rx_take and rx_release say. It stays held while the
         * next one is taken. */
        slot = post_empty(f, 0);
        int32_t next = post_empty(f, 1);
        deliver(f, FRAME_MIN, 1);
        deliver(f, FRAME_MIN + 1, 2);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 1), 1);
        assert_int_equal(virtio_net_rx_take_one(f->net, 0, (uint32_t)slot, &cookie), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(take(f, (uint32_t)next, 1), FRAME_MIN + 1);
        assert_int_equal(take(f, (uint32_t)next, 1), VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 1), 1);
        take_down(f);
    }
}

/* A pool has all slots of its direction. */
static void receive_pool(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        begin(f, round, true);
        assert_int_equal(post_empty(f, 0), VIRTIO_NET_ERROR_QUEUE_FULL);
        deliver(f, FRAME_MIN, 1);
        assert_int_equal(take(f, 0, 0), VIRTIO_NET_ERROR_SLOT);
        assert_received(f, FRAME_MIN, 1);
        take_down(f);
    }
}

/* Frames of a pool and the caller's in one ring, and reserved slots, which are in nobody's way. */
static void beside_a_pool(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, true);
        for (uint64_t i = 0; i < 2000; i++) {
            uint32_t buffer = (uint32_t)i % SLOTS;
            struct virtio_net_packet reserved;
            bool reserve = mix(i, 3) % 3 == 0;
            if (reserve)
                assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &reserved, 1), 1);
            frame_fill(frame_of(buffer), FRAME_MIN, i);
            int32_t slot = post(f, 0, buffer, FRAME_MIN);
            assert_in_range(slot, 0, SLOTS - 1);
            assert_sent(f, FRAME_MIN, i);
            send_one(f, FRAME_MIN + 1, i);
            assert_sent(f, FRAME_MIN + 1, i);
            assert_next_back(f, slot, buffer);
            assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
            assert_int_equal(virtio_net_tx_take_one(f->net, 0, (uint32_t)slot, &(uint64_t){0}), VIRTIO_NET_ERROR_SLOT);
            if (reserve)
                assert_int_equal(virtio_net_tx_cancel(f->net, 0, 0, &reserved, 1), 1);
            assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        }
        take_down(f);
    }
}

/* -------------------------------------------------------------------------------------------------------- stops and states */

static void stop_loses_buffers(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        f->model->hold_tx = true;
        uint64_t cookie = 0;
        for (uint32_t i = 0; i < 8; i++) {
            assert_int_equal(post(f, 0, i, FRAME_MIN), i);
            assert_int_equal(post_empty(f, i), i);
        }
        assert_int_equal(model_held(f->model, MODEL_TX), 8);
        assert_int_equal(model_tx_complete(f->model, 1), 1);
        assert_int_equal(virtio_net_tx_next(f->net, 0), 0);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(post(f, 0, 9, FRAME_MIN), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(post_empty(f, 9), VIRTIO_NET_ERROR_STATE);
        for (uint32_t i = 0; i < 8; i++) {
            if (i == 4)
                assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
            int32_t slot = virtio_net_tx_next(f->net, 0);
            assert_in_range(slot, 0, 7);
            assert_sent_back(f, slot, (uint32_t)slot,
                             slot == 0 ? VIRTIO_NET_PACKET_EXTERNAL : VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
            slot = virtio_net_rx_next(f->net, 0);
            assert_in_range(slot, 0, 7);
            assert_int_equal(take(f, (uint32_t)slot, (uint32_t)slot), 0);
        }
        assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_rx_take_one(f->net, 0, 0, &cookie), VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(statistics_of(f).tx_lost, 7);
        f->model->hold_tx = false;
        int32_t slot = post(f, 0, 3, FRAME_MIN);
        assert_next_back(f, slot, 3);
        slot = post_empty(f, 5);
        deliver(f, FRAME_MAX, 8);
        frame_assert(frame_of(SLOTS + 5), (uint32_t)take(f, (uint32_t)slot, 5), FRAME_MAX, 8);
        slot = post(f, 0, 6, FRAME_MIN);
        assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
        assert_int_equal(virtio_net_rx_take_one(f->net, 0, 0, &cookie), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(virtio_net_tx_take_one(f->net, 0, 0, &cookie), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(virtio_net_rx_take_one(f->net, 0, 0, &cookie), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(post(f, 0, 0, FRAME_MIN), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(post_empty(f, 0), VIRTIO_NET_ERROR_STATE);
        f->up = false;
    }
}

/* ------------------------------------------------------------------------------------------------------------ bad devices */

static void assert_broken(struct fixture *f, int32_t code)
{
    struct virtio_net_error_detail detail = last_error_of(f);
    assert_string_equal(virtio_net_status_name(detail.code), virtio_net_status_name(code));
    assert_int_equal(statistics_of(f).queues_broken, 1);
    assert_int_equal(info_of(f).state, VIRTIO_NET_STATE_FAILED);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
}

/* Ids that name no slot, slots that the device does not have, and an index that jumps. */
static const uint32_t bad_ids[] = {3, 15, 16, 17, 0x7fff, 0xffff, 0x10000, 0x10001, 0x80000000, 0xffff0001, 0xffffffff};

static void bad_transmit_elements(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i <= sizeof bad_ids / sizeof bad_ids[0]; i++) {
            bool jump = i == sizeof bad_ids / sizeof bad_ids[0];
            begin(f, round, false);
            f->model->hold_tx = true;
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_int_equal(post(f, 0, buffer, FRAME_MIN), buffer);
            assert_int_equal(model_held(f->model, MODEL_TX), 3);
            if (jump)
                model_set_used_index(f->model, MODEL_TX, 4);
            else
                model_push_used(f->model, MODEL_TX, bad_ids[i], 0);
            for (int again = 0; again < 3; again++)
                assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_int_equal(virtio_net_tx_take_one(f->net, 0, 0, &(uint64_t){0}), VIRTIO_NET_ERROR_SLOT);
            assert_int_equal(post(f, 0, 5, FRAME_MIN), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_broken(f, jump ? VIRTIO_NET_ERROR_USED_INDEX : VIRTIO_NET_ERROR_USED_ID);
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_sent_back(f, (int32_t)buffer, buffer, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
            take_down(f);
        }
}

static void twice(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        f->model->hold_tx = true;
        for (uint32_t buffer = 0; buffer < 3; buffer++) {
            assert_int_equal(post(f, 0, buffer, FRAME_MIN), buffer);
            assert_int_equal(post_empty(f, buffer), buffer);
        }
        (void)model_held(f->model, MODEL_TX);
        model_push_used(f->model, MODEL_TX, 1, 0);
        assert_int_equal(virtio_net_tx_next(f->net, 0), 1);
        assert_sent_back(f, 1, 1, VIRTIO_NET_PACKET_EXTERNAL);
        model_push_used(f->model, MODEL_TX, 1, 0);
        assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        (void)model_held(f->model, MODEL_RX);
        memset(memory.bytes[SLOTS + 1], 0, FRONT);
        model_push_used(f->model, MODEL_RX, 1, 100);
        assert_in_range(take(f, 1, 1), 88, 90);
        model_push_used(f->model, MODEL_RX, 1, 100);
        assert_int_equal(take(f, 1, 1), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(take(f, 0, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(statistics_of(f).queues_broken, 2);
        take_down(f);
    }
}

static void bad_receive_elements(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i <= sizeof bad_ids / sizeof bad_ids[0]; i++) {
            bool jump = i == sizeof bad_ids / sizeof bad_ids[0];
            begin(f, round, false);
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_int_equal(post_empty(f, buffer), buffer);
            assert_int_equal(model_held(f->model, MODEL_RX), 3);
            if (jump)
                model_set_used_index(f->model, MODEL_RX, 4);
            else
                model_push_used(f->model, MODEL_RX, bad_ids[i], 100);
            assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_int_equal(take(f, buffer, buffer), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_int_equal(post_empty(f, 5), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_broken(f, jump ? VIRTIO_NET_ERROR_USED_INDEX : VIRTIO_NET_ERROR_USED_ID);
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_int_equal(take(f, buffer, buffer), 0);
            take_down(f);
        }
}

/* The index moves though nothing was posted, or nothing more. */
static void nothing_posted(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, false);
        if (round >= ROUNDS) {
            int32_t slot = post(f, 0, 0, FRAME_MIN);
            assert_next_back(f, slot, 0);
            slot = post_empty(f, 0);
            deliver(f, FRAME_MIN, 1);
            assert_int_equal(take(f, (uint32_t)slot, 0), FRAME_MIN);
        }
        (void)model_held(f->model, MODEL_TX);
        (void)model_held(f->model, MODEL_RX);
        model_push_used(f->model, MODEL_TX, round >= ROUNDS, 0);
        assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        model_push_used(f->model, MODEL_RX, round >= ROUNDS, 100);
        assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            assert_int_equal(take(f, slot, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(statistics_of(f).queues_broken, 2);
        take_down(f);
    }
}

/* A length that cannot be costs the frame; the buffer comes back with 0. */
static void bad_lengths(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        uint32_t header = info_of(f).header_length;
        const uint32_t lengths[] = {0,          1,         header, header + 13, header + ROOM + 1, 0x3fffffff + header + 60,
                                    0x80000000, UINT32_MAX};
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            int32_t slot = post_empty(f, 1);
            (void)model_held(f->model, MODEL_RX);
            model_push_used(f->model, MODEL_RX, (uint32_t)slot, lengths[i]);
            assert_int_equal(virtio_net_rx_next(f->net, 0), slot);
            assert_int_equal(take(f, (uint32_t)slot, 1), 0);
            queue_forget(&f->model->queue[MODEL_RX], 0);
        }
        assert_int_equal(statistics_of(f).rx_dropped_short, 4);
        assert_int_equal(statistics_of(f).rx_dropped_long, 4);
        for (uint32_t length = header + 14; length <= header + ROOM; length += ROOM - 14) {
            int32_t slot = post_empty(f, 2);
            (void)model_held(f->model, MODEL_RX);
            model_push_used(f->model, MODEL_RX, (uint32_t)slot, length);
            memset(frame_of(SLOTS + 2) - header, 0, header);
            assert_int_equal(take(f, (uint32_t)slot, 2), length - header);
            queue_forget(&f->model->queue[MODEL_RX], 0);
        }
        assert_int_equal(statistics_of(f).rx_frames, 2);
        take_down(f);
    }
}

/* What was not agreed on in a header costs the frame, unless the caller trusts headers. */
static void bad_headers(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        for (unsigned field = 0; field < 2; field++) {
            struct model_delivery delivery = {.frame = f->frame, .length = FRAME_MIN, .forged_header = true};
            delivery.header[field] = 1;
            int32_t slot = post_empty(f, 1);
            assert_true(model_rx_deliver_as(f->model, &delivery));
            assert_int_equal(take(f, (uint32_t)slot, 1), (round & 8) != 0 ? FRAME_MIN : 0);
        }
        assert_int_equal(statistics_of(f).rx_dropped_header, (round & 8) != 0 ? 0 : 2);
        take_down(f);
    }
}

/* --------------------------------------------------------------------------------------- taken back in one call, and put back */

static const struct virtio_net_reaped nothing;

/* One that has come back: all that is told of it. Without a pool its length too. */
static struct virtio_net_reaped assert_reaped(struct fixture *f, int32_t slot, uint64_t cookie, uint32_t flags, uint32_t length)
{
    struct virtio_net_reaped reaped = virtio_net_tx_reap_one(f->net, 0);
    assert_int_equal(reaped.slot, slot);
    assert_true(reaped.cookie == cookie);
    assert_int_equal(reaped.length_and_flags >> VIRTIO_NET_REAPED_FLAGS, flags);
    if (f->options.tx_buffer_bytes == VIRTIO_NET_NO_POOL)
        assert_int_equal(reaped.length_and_flags, flags << VIRTIO_NET_REAPED_FLAGS | length);
    return reaped;
}

/* None has: the same error as of virtio_net_tx_next, and nothing else. */
static void assert_none_reaped(struct virtio_net *net, uint32_t queue_pair, int32_t error)
{
    struct virtio_net_reaped reaped = virtio_net_tx_reap_one(net, queue_pair);
    assert_int_equal(reaped.slot, error);
    assert_true(reaped.length_and_flags == 0 && reaped.cookie == 0);
    assert_int_equal(virtio_net_tx_next(net, queue_pair), error);
}

/* The device completes one of those that it holds. Returns its slot, which is its first descriptor. */
static uint32_t complete_at(struct fixture *f, uint32_t position)
{
    uint32_t slot = queue_pending(&f->model->queue[MODEL_TX], position)->head;
    model_tx_complete_at(f->model, position);
    return slot;
}

static void reaped_one_at_a_time(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        write_headers();
        f->model->sink = true;
        uint64_t bytes = 0;
        const uint64_t count = LONG_RUN(9000u); /* past RING_REFRESH_INTERVAL */
        for (uint64_t i = 1; i <= count; i++) {
            uint32_t buffer = (uint32_t)mix(i, 1) % SLOTS;
            uint32_t length = frame_length(i);
            int32_t slot = post(f, mix(i, 2) % 2 == 0 ? VIRTIO_NET_PACKET_HAS_HEADER : 0, buffer, length);
            assert_in_range(slot, 0, SLOTS - 1);
            assert_int_equal(f->model->queue[MODEL_TX].interrupts, (round & 2) != 0 ? i : 0);
            assert_reaped(f, slot, cookie_of(buffer), VIRTIO_NET_PACKET_EXTERNAL, length);
            /* A look that finds nothing would ask for the next interrupt too. */
            if (i % 3 == 0)
                assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
            assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
            assert_int_equal(virtio_net_tx_take_one(f->net, 0, (uint32_t)slot, &(uint64_t){0}), VIRTIO_NET_ERROR_SLOT);
            bytes += length;
        }
        struct virtio_net_statistics found = statistics_of(f);
        assert_true(found.tx_frames == count && found.tx_completed == count && found.tx_bytes == bytes);
        assert_int_equal(found.tx_lost + found.queues_broken, 0);
        take_down(f);
    }
}

static void assert_sized_reaped(struct fixture *f, const uint32_t buffer_of[SLOTS], uint32_t slot)
{
    uint32_t buffer = buffer_of[slot];
    assert_reaped(f, (int32_t)slot, cookie_of(buffer), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN + buffer);
}

/* Many in flight, which the device completes in order in even turns. They come back in its order, whether a call found one of
 * them or several. */
static void reaped_in_the_devices_order(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        f->model->hold_tx = true;
        for (uint32_t turn = 0; turn < 40; turn++) {
            uint32_t buffer_of[SLOTS];
            uint32_t done[SLOTS];
            for (uint32_t i = 0; i < SLOTS; i++) {
                int32_t slot = post(f, i + 1 < SLOTS ? VIRTIO_NET_NO_KICK : 0, i, FRAME_MIN + i);
                assert_in_range(slot, 0, SLOTS - 1);
                buffer_of[slot] = i;
            }
            assert_int_equal(model_held(f->model, MODEL_TX), SLOTS);
            uint32_t reaped = 0;
            for (uint32_t left = SLOTS; left > 0; left--) {
                done[SLOTS - left] = complete_at(f, turn % 2 == 0 ? 0 : (uint32_t)mix(turn, left) % left);
                for (uint64_t wanted = mix(turn, left + SLOTS) % 3; wanted > 0 && reaped <= SLOTS - left; wanted--)
                    assert_sized_reaped(f, buffer_of, done[reaped++]);
                assert_int_equal(virtio_net_tx_free(f->net, 0), reaped);
                assert_int_equal(virtio_net_tx_in_flight(f->net, 0), left - 1);
            }
            while (reaped < SLOTS)
                assert_sized_reaped(f, buffer_of, done[reaped++]);
            assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
            assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        }
        assert_int_equal(statistics_of(f).tx_completed, 40 * SLOTS);
        take_down(f);
    }
}

static uint64_t interrupted(const struct fixture *f)
{
    return f->model->queue[MODEL_TX].interrupts;
}

static unsigned looks_left;

static void complete_after_looks(struct model *model, volatile void *address, unsigned width)
{
    if (width != 2 || model_used_offset(model, MODEL_TX, address) != 2 || --looks_left != 0)
        return;
    model->on_fetch = NULL;
    (void)model_tx_complete(model, 1);
}

/* The next completion interrupts after each frame that is taken back, whatever else is in flight; and after a call that found
 * none, whenever it comes. */
static void interrupts_of_reap_one(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 2; round < ROUNDS; round += (round & 1) != 0 ? 3 : 1) {
        begin(f, round, false);
        f->model->hold_tx = true;
        for (uint32_t turn = 0; turn < 100; turn++) {
            uint32_t count = 2 + turn % 5;
            int32_t slots[SLOTS];
            for (uint32_t i = 0; i < count; i++)
                slots[i] = post(f, 0, i, FRAME_MIN);
            assert_int_equal(model_held(f->model, MODEL_TX), count);
            uint32_t next = 0;
            uint64_t before = interrupted(f);
            for (looks_left = 0; next + 3 < count;) {
                assert_int_equal(model_tx_complete(f->model, 1), 1);
                assert_int_equal(interrupted(f), ++before);
                assert_reaped(f, slots[next], cookie_of(next), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
                next++;
            }
            /* One comes after the look that found another, and interrupts nobody: the next call has it. */
            if (next + 2 < count) {
                assert_int_equal(model_tx_complete(f->model, 1), 1);
                assert_int_equal(interrupted(f), ++before);
                looks_left = 1;
                f->model->on_fetch = complete_after_looks;
                assert_reaped(f, slots[next], cookie_of(next), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
                assert_null(f->model->on_fetch);
                next++;
                assert_reaped(f, slots[next], cookie_of(next), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
                next++;
                before = interrupted(f);
            }
            /* One comes while a call looks: the call has it, or it interrupts. */
            if (next + 1 < count) {
                looks_left = 1 + turn % 3;
                f->model->on_fetch = complete_after_looks;
                if (virtio_net_tx_next(f->net, 0) < 0) {
                    f->model->on_fetch = NULL;
                    if (looks_left != 0)
                        assert_int_equal(model_tx_complete(f->model, 1), 1);
                    assert_int_equal(interrupted(f), before + 1);
                }
                assert_null(f->model->on_fetch);
                assert_reaped(f, slots[next], cookie_of(next), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
                next++;
                before = interrupted(f);
            }
            for (uint32_t completed = count - model_held(f->model, MODEL_TX); next < count; next++) {
                if (completed < count) {
                    assert_int_equal(model_tx_complete(f->model, 1), 1);
                    assert_int_equal(interrupted(f), ++before);
                    completed++;
                }
                assert_reaped(f, slots[next], cookie_of(next), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
            }
            if (turn % 3 == 0)
                assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        }
        take_down(f);
    }
}

/* More completions than pass between two interrupts of a used_event that nobody moves on. */
static void no_interrupts_of_reap_one(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        begin(f, round, false);
        f->model->sink = true;
        write_headers();
        for (uint32_t i = 0; i < LONG_RUN(80000u); i++) {
            int32_t slot = post(f, VIRTIO_NET_PACKET_HAS_HEADER, 0, FRAME_MIN);
            assert_reaped(f, slot, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
        }
        assert_int_equal(interrupted(f), 0);
        take_down(f);
    }
}

/* The slot of a frame that was taken back, whether it was held or not, can be posted quickly again. */
static void own_notifications_after_reap_one(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        write_headers();
        settle(f);
        for (uint32_t i = 0; i < 6 * SLOTS; i++) {
            int32_t slot = post(f, OWN, 0, FRAME_MIN);
            assert_int_equal(slot >= VIRTIO_NET_KICK_DUE, is_quick(f, round));
            if (slot >= VIRTIO_NET_KICK_DUE)
                device_notify(f->model, MODEL_TX);
            slot &= 0xffff;
            if (i / SLOTS % 2 != 0)
                assert_int_equal(virtio_net_tx_next(f->net, 0), slot);
            struct virtio_net_reaped reaped = assert_reaped(f, slot, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
            if (i / SLOTS % 3 != 0 || round >= ROUNDS)
                continue;
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_SUCCESS);
            assert_next_back(f, slot, 0);
        }
        take_down(f);
    }
}

static void reap_one_from_a_bad_device(void **state)
{
    struct fixture *f = *state;
    const size_t ids = sizeof bad_ids / sizeof bad_ids[0];
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i <= ids; i++) {
            begin(f, round, false);
            f->model->hold_tx = true;
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_int_equal(post(f, 0, buffer, FRAME_MIN), buffer);
            assert_int_equal(model_held(f->model, MODEL_TX), 3);
            if (i == ids)
                model_set_used_index(f->model, MODEL_TX, 4);
            else
                model_push_used(f->model, MODEL_TX, bad_ids[i], 0);
            for (int again = 0; again < 3; again++)
                assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_int_equal(statistics_of(f).tx_completed, 0);
            assert_broken(f, i == ids ? VIRTIO_NET_ERROR_USED_INDEX : VIRTIO_NET_ERROR_USED_ID);
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_reaped(f, (int32_t)buffer, cookie_of(buffer), VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST,
                              FRAME_MIN);
            assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
            take_down(f);
        }
}

/* An element for the slot that would be the next, though the device has nothing; and one that was taken back already. */
static void nothing_to_reap(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 3 * ROUNDS; round++) {
        begin(f, round, false);
        if (round >= ROUNDS) {
            int32_t slot = post(f, 0, 0, FRAME_MIN);
            assert_reaped(f, slot, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
        }
        (void)model_held(f->model, MODEL_TX);
        model_push_used(f->model, MODEL_TX, round >= ROUNDS && round < 2 * ROUNDS, 0);
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_broken(f, VIRTIO_NET_ERROR_USED_INDEX);
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        take_down(f);
    }
}

/* What a queue holds comes back, also where it is broken before or after that is known. */
static void reaped_from_a_broken_queue(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, false);
        f->model->hold_tx = true;
        for (uint32_t buffer = 0; buffer < 3; buffer++)
            assert_int_equal(post(f, 0, buffer, FRAME_MIN), buffer);
        assert_int_equal(model_tx_complete(f->model, 2), 2);
        assert_int_equal(virtio_net_tx_next(f->net, 0), 0);
        model_push_used(f->model, MODEL_TX, 77, 0);
        if (round >= ROUNDS)
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
        for (uint32_t buffer = 0; buffer < 2; buffer++)
            assert_reaped(f, (int32_t)buffer, cookie_of(buffer), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_broken(f, VIRTIO_NET_ERROR_USED_ID);
        assert_reaped(f, 2, cookie_of(2), VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST, FRAME_MIN);
        take_down(f);
    }
}

static uint32_t forged_id;

static void forge_id_after_read(struct model *model, volatile void *address, unsigned width)
{
    if (width != 4 || model_used_offset(model, MODEL_TX, address) != 4)
        return;
    model->on_fetch = NULL;
    memcpy(model->queue[MODEL_TX].used + 4, &forged_id, sizeof forged_id);
}

/* An id that the device changes once it was read: what counts is what was read, or the change is seen for what it is. */
static void an_id_that_changes(void **state)
{
    struct fixture *f = *state;
    static const uint32_t later[] = {0, 1, 2, 3, 16, 0x10000, UINT32_MAX};
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < 3 * sizeof later / sizeof later[0]; i++) {
            begin(f, round, false);
            f->model->hold_tx = true;
            for (uint32_t buffer = 0; buffer < 3; buffer++)
                assert_int_equal(post(f, 0, buffer, FRAME_MIN), buffer);
            assert_int_equal(model_held(f->model, MODEL_TX), 3);
            uint32_t first = i % 3;
            forged_id = later[i / 3];
            model_push_used(f->model, MODEL_TX, first, 0);
            f->model->on_fetch = forge_id_after_read;
            struct virtio_net_reaped reaped = virtio_net_tx_reap_one(f->net, 0);
            assert_null(f->model->on_fetch);
            if (reaped.slot == VIRTIO_NET_ERROR_NEEDS_RESET) {
                assert_true(first != 0 && forged_id >= 3 && reaped.cookie == 0 && reaped.length_and_flags == 0);
            } else {
                assert_true(reaped.slot == (int32_t)first || (first != 0 && reaped.slot == (int32_t)forged_id));
                assert_true(reaped.cookie == cookie_of((uint32_t)reaped.slot));
                assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
                assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 2);
            }
            take_down(f);
        }
}

static void reaped_after_a_stop(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        f->model->hold_tx = true;
        for (uint32_t i = 0; i < 8; i++)
            assert_int_equal(post(f, 0, i, FRAME_MIN + i), i);
        assert_int_equal(model_tx_complete(f->model, 1), 1);
        assert_int_equal(virtio_net_tx_next(f->net, 0), 0);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        for (uint32_t i = 0; i < 8; i++) {
            if (i == 4)
                assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
            uint32_t flags = i == 0 ? VIRTIO_NET_PACKET_EXTERNAL : VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST;
            struct virtio_net_reaped reaped = assert_reaped(f, (int32_t)i, cookie_of(i), flags, FRAME_MIN + i);
            /* What is lost stays that. */
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_SUCCESS);
            assert_reaped(f, (int32_t)i, cookie_of(i), flags, FRAME_MIN + i);
        }
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_SUCCESS);
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_STATE);
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &nothing), VIRTIO_NET_ERROR_STATE);
        f->up = false;
    }
}

static void bad_reap_arguments(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin(f, round, round >= ROUNDS);
        int32_t slot = post(f, 0, 0, FRAME_MIN);
        assert_none_reaped(NULL, 0, VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_none_reaped(NULL, 1, VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_none_reaped(f->net, 1, VIRTIO_NET_ERROR_QUEUE_PAIR);
        assert_none_reaped(f->net, UINT32_MAX, VIRTIO_NET_ERROR_QUEUE_PAIR);
        struct virtio_net_reaped reaped = assert_reaped(f, slot, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
        assert_int_equal(virtio_net_tx_unreap(NULL, 0, &reaped), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
        assert_int_equal(virtio_net_tx_unreap(f->net, 1, &reaped), VIRTIO_NET_ERROR_QUEUE_PAIR);
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped),
                         round >= ROUNDS ? VIRTIO_NET_ERROR_UNSUPPORTED : VIRTIO_NET_SUCCESS);
        assert_int_equal(virtio_net_tx_next(f->net, 0), round >= ROUNDS ? VIRTIO_NET_ERROR_NOT_READY : slot);
        assert_int_equal(virtio_net_tx_free(f->net, 0), round >= ROUNDS ? SLOTS : SLOTS - 1);
        take_down(f);
    }
}

/* The frame that was put back comes out of every call that hands frames back, as it was posted. */
static void take_again(struct fixture *f, uint32_t way, struct virtio_net_reaped wanted, uint32_t buffer, uint32_t length)
{
    uint32_t flags = wanted.length_and_flags >> VIRTIO_NET_REAPED_FLAGS;
    assert_int_equal(virtio_net_tx_next(f->net, 0), wanted.slot);
    struct virtio_net_packet packet = {.slot = (uint16_t)wanted.slot};
    if (way % 4 == 0) {
        assert_int_equal(virtio_net_tx_take(f->net, 0, &packet), VIRTIO_NET_SUCCESS);
    } else if (way % 4 == 1) {
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 1);
    } else if (way % 4 == 2) {
        assert_sent_back(f, wanted.slot, buffer, flags);
        return;
    } else {
        assert_reaped(f, wanted.slot, cookie_of(buffer), flags, length);
        return;
    }
    assert_ptr_equal(packet.data, frame_of(buffer));
    assert_true(packet.device_address == address_of(buffer) && packet.cookie == cookie_of(buffer));
    assert_true(packet.slot == wanted.slot && packet.length == length && packet.flags == flags);
}

static void put_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        f->model->hold_tx = true;
        for (uint32_t turn = 0; turn < 200; turn++) {
            /* `ahead` come back and stay held, one is put back, and the rest of the ring is in flight. */
            uint32_t ahead = turn % 4;
            int32_t slots[SLOTS];
            for (uint32_t i = 0; i < SLOTS; i++) {
                slots[i] = post(f, 0, i, FRAME_MIN + turn);
                assert_in_range(slots[i], 0, SLOTS - 1);
            }
            assert_int_equal(model_tx_complete(f->model, 1 + ahead), 1 + ahead);
            struct virtio_net_reaped reaped =
                assert_reaped(f, slots[0], cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN + turn);
            assert_int_equal(virtio_net_tx_free(f->net, 0), 1);
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_SUCCESS);
            assert_int_equal(virtio_net_tx_free(f->net, 0), 0);
            for (uint32_t flags = 0; flags < 2; flags++)
                assert_int_equal(post(f, flags, 0, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_ERROR_SLOT);
            assert_int_equal(virtio_net_tx_in_flight(f->net, 0), SLOTS - 1 - ahead);
            take_again(f, turn / 4, reaped, 0, FRAME_MIN + turn);
            /* Its slot is the next one, and has no past. */
            assert_int_equal(post(f, 0, 0, FRAME_MIN), slots[0]);
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_ERROR_SLOT);
            assert_int_equal(model_held(f->model, MODEL_TX), SLOTS - ahead);
            assert_int_equal(model_tx_complete(f->model, SLOTS), SLOTS - ahead);
            for (uint32_t i = 1; i <= SLOTS; i++)
                assert_next_back(f, slots[i % SLOTS], i % SLOTS);
            assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        }
        take_down(f);
    }
}

/* Only the slot that became free last can be put back, and only as long as it is free. */
static void not_put_back(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        struct virtio_net_reaped reaped[3];
        for (uint32_t i = 0; i < 3; i++) {
            int32_t slot = post(f, 0, i, FRAME_MIN);
            reaped[i] = assert_reaped(f, slot, cookie_of(i), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
        }
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped[0]), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped[1]), VIRTIO_NET_ERROR_SLOT);
        for (int32_t slot = -20; slot < 40; slot++) {
            struct virtio_net_reaped other = {.slot = slot, .cookie = 1};
            if (slot != reaped[2].slot)
                assert_int_equal(virtio_net_tx_unreap(f->net, 0, &other), VIRTIO_NET_ERROR_SLOT);
        }
        const int32_t far[] = {INT32_MIN, -1, SLOTS + reaped[2].slot, 0x10000 + reaped[2].slot, INT32_MAX};
        for (size_t i = 0; i < sizeof far / sizeof far[0]; i++)
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &(struct virtio_net_reaped){.slot = far[i]}), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);

        /* Another one that was freed by another call. */
        f->model->hold_tx = true;
        int32_t first = post(f, 0, 0, FRAME_MIN);
        int32_t second = post(f, 0, 1, FRAME_MIN);
        assert_int_equal(model_tx_complete(f->model, 2), 2);
        reaped[0] = assert_reaped(f, first, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
        assert_next_back(f, second, 1);
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped[0]), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS);
        take_down(f);
    }
}

/* Of few slots, the one that became free last is soon the next: once it is posted, it is the device's. */
static void put_back_in_a_small_ring(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t size = 1; size <= 4; size *= 2) {
            fixture_renew(f);
            f->options.tx_slots = f->options.rx_slots = size;
            begin_as_is(f, round, false);
            for (uint32_t turn = 0; turn < 10; turn++) {
                f->model->hold_tx = true;
                int32_t slot = post(f, 0, 0, FRAME_MIN);
                assert_int_equal(model_tx_complete(f->model, 1), 1);
                struct virtio_net_reaped reaped = assert_reaped(f, slot, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN);
                assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_SUCCESS);
                for (uint32_t i = 1; i < size; i++)
                    assert_in_range(post(f, 0, i, FRAME_MIN), 0, size - 1);
                assert_int_equal(post(f, 0, 0, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
                assert_int_equal(virtio_net_tx_free(f->net, 0), 0);
                take_again(f, turn, reaped, 0, FRAME_MIN);
                assert_int_equal(post(f, 0, 0, FRAME_MIN), slot);
                assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_ERROR_SLOT);
                assert_int_equal(virtio_net_tx_in_flight(f->net, 0), size);
                assert_int_equal(model_tx_complete(f->model, size), size);
                for (uint32_t i = 1; i <= size; i++)
                    assert_int_equal(virtio_net_tx_reap_one(f->net, 0).cookie == cookie_of(i % size), true);
                assert_int_equal(virtio_net_tx_free(f->net, 0), size);
            }
            take_down(f);
        }
}

/* What was put back is held over a stop and a start, and is not lost. */
static void put_back_before_a_stop(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        for (uint32_t way = 0; way < 8; way++) {
            f->model->hold_tx = false;
            int32_t slot = post(f, 0, 0, FRAME_MIN + 3);
            struct virtio_net_reaped reaped = assert_reaped(f, slot, cookie_of(0), VIRTIO_NET_PACKET_EXTERNAL, FRAME_MIN + 3);
            assert_int_equal(virtio_net_tx_unreap(f->net, 0, &reaped), VIRTIO_NET_SUCCESS);
            assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
            if (way % 2 == 0)
                take_again(f, way / 2, reaped, 0, FRAME_MIN + 3);
            assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
            if (way % 2 != 0) {
                f->model->hold_tx = true;
                for (uint32_t i = 1; i < SLOTS; i++)
                    assert_true(post(f, 0, i, FRAME_MIN) != slot);
                assert_int_equal(post(f, 0, 0, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
                take_again(f, way / 2, reaped, 0, FRAME_MIN + 3);
                assert_int_equal(model_tx_complete(f->model, SLOTS), SLOTS - 1);
                for (uint32_t i = 1; i < SLOTS; i++)
                    assert_int_equal(virtio_net_tx_reap_one(f->net, 0).cookie == cookie_of(i), true);
            }
            assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        }
        assert_int_equal(statistics_of(f).tx_lost, 0);
        take_down(f);
    }
}

/* ----------------------------------------------------------------------------------------------- against a list of the states */

/* Slots in an order: of those that are free that in which they became it, of those the device has that in which they were posted,
 * of those it has used that in which it did, of those that are held that in which they are told. */
struct list {
    uint32_t count;
    uint32_t slot[SLOTS];
};

struct reference {
    struct list free, posted, used, held;
    uint64_t cookie[SLOTS];
    bool lost[SLOTS];
    uint64_t frames;
    struct virtio_net_reaped last; /* by tx_reap_one, where it can be put back; else the slot is negative */
};

static void list_insert(struct list *list, uint32_t place, uint32_t slot)
{
    assert_true(list->count < SLOTS && place <= list->count);
    memmove(&list->slot[place + 1], &list->slot[place], (list->count - place) * sizeof slot);
    list->slot[place] = slot;
    list->count++;
}

static void list_append(struct list *list, uint32_t slot)
{
    list_insert(list, list->count, slot);
}

static uint32_t list_remove(struct list *list, uint32_t place)
{
    assert_true(place < list->count);
    uint32_t slot = list->slot[place];
    list->count--;
    memmove(&list->slot[place], &list->slot[place + 1], (list->count - place) * sizeof slot);
    return slot;
}

static uint32_t list_find(const struct list *list, uint32_t slot)
{
    uint32_t place = 0;
    while (place < list->count && list->slot[place] != slot)
        place++;
    return place;
}

/* The driver has looked: what the device has used is held. */
static void reference_look(struct reference *r)
{
    while (r->used.count != 0)
        list_append(&r->held, list_remove(&r->used, 0));
}

/* Its owner takes one that is held: the oldest changes places with it first. */
static void reference_take(struct reference *r, uint32_t slot)
{
    uint32_t place = list_find(&r->held, slot);
    assert_true(place < r->held.count);
    r->held.slot[place] = r->held.slot[0];
    (void)list_remove(&r->held, 0);
    list_append(&r->free, slot);
}

/* After a reset all is in the order of the slots. */
static void reference_reset(struct reference *r)
{
    reference_look(r);
    struct list before = r->held;
    r->held.count = r->free.count = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        bool was_posted = list_find(&r->posted, slot) != r->posted.count;
        r->lost[slot] |= was_posted;
        list_append(was_posted || list_find(&before, slot) != before.count ? &r->held : &r->free, slot);
    }
    r->posted.count = 0;
    r->last.slot = -1;
}

static uint32_t reference_flags(const struct reference *r, uint32_t slot)
{
    return r->lost[slot] ? VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST : VIRTIO_NET_PACKET_EXTERNAL;
}

static void random_post(struct fixture *f, struct reference *r, uint64_t random)
{
    static const uint32_t flags[] = {0, VIRTIO_NET_PACKET_HAS_HEADER, OWN, VIRTIO_NET_NO_KICK};
    uint32_t buffer = (uint32_t)(r->frames % SLOTS);
    uint64_t cookie = 0x1000 + r->frames;
    int32_t posted =
        virtio_net_tx_post_one(f->net, 0, flags[random % 4], frame_of(buffer), FRAME_MIN + buffer, address_of(buffer), cookie);
    if (r->free.count == 0) {
        assert_int_equal(posted, VIRTIO_NET_ERROR_QUEUE_FULL);
        reference_look(r);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        return;
    }
    uint32_t slot = list_remove(&r->free, 0);
    assert_int_equal(posted & 0xffff, slot);
    if (posted >= VIRTIO_NET_KICK_DUE)
        device_notify(f->model, MODEL_TX);
    list_append(&r->posted, slot);
    r->cookie[slot] = cookie;
    r->lost[slot] = false;
    r->frames++;
    if (r->last.slot == (int32_t)slot)
        r->last.slot = -1;
}

static void random_reap_one(struct fixture *f, struct reference *r)
{
    if (r->held.count == 0)
        reference_look(r);
    if (r->held.count == 0) {
        assert_none_reaped(f->net, 0, VIRTIO_NET_ERROR_NOT_READY);
        return;
    }
    uint32_t slot = r->held.slot[0];
    uint32_t length = FRAME_MIN + (uint32_t)(r->cookie[slot] - 0x1000) % SLOTS;
    r->last = assert_reaped(f, (int32_t)slot, r->cookie[slot], reference_flags(r, slot), length);
    reference_take(r, slot);
}

static void random_take_one(struct fixture *f, struct reference *r, uint32_t slot)
{
    uint64_t cookie = 0;
    int32_t flags = virtio_net_tx_take_one(f->net, 0, slot, &cookie);
    if (list_find(&r->held, slot) == r->held.count) {
        assert_int_equal(flags, VIRTIO_NET_ERROR_SLOT);
        return;
    }
    assert_int_equal(flags, reference_flags(r, slot));
    assert_true(cookie == r->cookie[slot]);
    reference_take(r, slot);
    r->last.slot = -1;
}

static void random_unreap(struct fixture *f, struct reference *r, uint32_t slot)
{
    if (r->last.slot >= 0 && slot % 2 == 0) {
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &r->last), VIRTIO_NET_SUCCESS);
        assert_int_equal(list_remove(&r->free, r->free.count - 1), r->last.slot);
        list_insert(&r->held, 0, (uint32_t)r->last.slot);
        r->last.slot = -1;
    } else if (r->free.count == 0 || slot != r->free.slot[r->free.count - 1]) {
        struct virtio_net_reaped other = {.slot = (int32_t)slot};
        assert_int_equal(virtio_net_tx_unreap(f->net, 0, &other), VIRTIO_NET_ERROR_SLOT);
    }
}

static void random_step(struct fixture *f, struct reference *r, uint64_t random)
{
    uint64_t more = random / 64;
    uint32_t what = random % 64;
    if (what < 20) {
        random_post(f, r, more);
    } else if (what < 34) {
        assert_int_equal(model_held(f->model, MODEL_TX), r->posted.count);
        if (r->posted.count == 0)
            return;
        uint32_t position = what % 2 == 0 ? 0 : (uint32_t)(more % r->posted.count);
        uint32_t slot = complete_at(f, position);
        list_append(&r->used, list_remove(&r->posted, list_find(&r->posted, slot)));
    } else if (what < 38) {
        if (r->held.count == 0)
            reference_look(r);
        assert_int_equal(virtio_net_tx_next(f->net, 0),
                         r->held.count == 0 ? VIRTIO_NET_ERROR_NOT_READY : (int32_t)r->held.slot[0]);
    } else if (what < 43) {
        random_take_one(f, r, (uint32_t)(more % (SLOTS + 1)));
    } else if (what < 53) {
        random_reap_one(f, r);
    } else if (what < 63) {
        random_unreap(f, r, (uint32_t)(more % (SLOTS + 1)));
    } else if (more % 4 == 0) {
        reference_look(r);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        reference_reset(r);
        for (uint64_t i = more / 4 % 4; i != 0; i--)
            random_reap_one(f, r);
        assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
    }
}

/* Every slot is in one state at any time, and comes back with what it was posted with. */
static void random_states(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(f, round, false);
        write_headers();
        f->model->hold_tx = true;
        struct reference r = {.last.slot = -1};
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            list_append(&r.free, slot);
        const uint64_t steps = LONG_RUN(20000u);
        for (uint64_t i = 0; i < steps; i++) {
            random_step(f, &r, mix(i, round));
            assert_int_equal(virtio_net_tx_free(f->net, 0), r.free.count);
            assert_int_equal(virtio_net_tx_in_flight(f->net, 0), r.posted.count);
            assert_int_equal(r.free.count + r.posted.count + r.used.count + r.held.count, SLOTS);
        }
        struct virtio_net_statistics found = statistics_of(f);
        assert_true(found.tx_frames == r.frames && found.queues_broken == 0 && found.resets > 2);
        take_down(f);
    }
}

TEST_PROGRAM(OVER_VARIANTS(one_at_a_time), OVER_VARIANTS(deep), OVER_VARIANTS(filled_in_any_order), OVER_VARIANTS(interrupts),
             OVER_VARIANTS(no_interrupt_is_lost), OVER_VARIANTS(no_interrupts), OVER_VARIANTS(own_notifications),
             OVER_VARIANTS(no_notification_of_ones_own), OVER_VARIANTS(told_once), OVER_VARIANTS(no_own_notification),
             OVER_VARIANTS(own_notification_before_a_reset), OVER_VARIANTS(largest_slot), OVER_VARIANTS(far_addresses),
             OVER_VARIANTS(bad_raw_arguments), OVER_VARIANTS(bad_transmit_arguments), OVER_VARIANTS(bad_receive_arguments),
             OVER_VARIANTS(receive_pool), OVER_VARIANTS(beside_a_pool), OVER_VARIANTS(stop_loses_buffers),
             OVER_VARIANTS(bad_transmit_elements), OVER_VARIANTS(twice), OVER_VARIANTS(bad_receive_elements),
             OVER_VARIANTS(nothing_posted), OVER_VARIANTS(bad_lengths), OVER_VARIANTS(bad_headers),
             OVER_VARIANTS(reaped_one_at_a_time), OVER_VARIANTS(reaped_in_the_devices_order),
             OVER_VARIANTS(interrupts_of_reap_one), OVER_VARIANTS(no_interrupts_of_reap_one),
             OVER_VARIANTS(own_notifications_after_reap_one), OVER_VARIANTS(reap_one_from_a_bad_device),
             OVER_VARIANTS(nothing_to_reap), OVER_VARIANTS(reaped_from_a_broken_queue), OVER_VARIANTS(an_id_that_changes),
             OVER_VARIANTS(reaped_after_a_stop), OVER_VARIANTS(bad_reap_arguments), OVER_VARIANTS(put_back),
             OVER_VARIANTS(not_put_back), OVER_VARIANTS(put_back_in_a_small_ring), OVER_VARIANTS(put_back_before_a_stop),
             OVER_VARIANTS(random_states))
