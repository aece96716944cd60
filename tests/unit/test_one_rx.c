/*
 * test_one_rx.c - virtio_net_rx_take_next beside every other way of receiving into memory of the caller: what it remembers
 * between calls (used.idx as it was seen last), what it tells of the next frame, and a device that is told of buffers as late as
 * can be.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "harness.h"

enum { BUFFERS = 512, BUFFER_BYTES = 1664, FRONT = 64, ROOM = BUFFER_BYTES - FRONT, MOST = 32768 };
#define NOBODY UINT32_MAX

/* Frames that the device has filled in, in the order in which the driver must find them. */
struct filled {
    uint32_t slot;
    uint32_t length; /* 0: a bad one */
    uint64_t seed;
};

/* A driver, its buffers, and what must come of them. */
struct play {
    struct fixture *f;
    uint32_t size;
    uint64_t steps; /* of random numbers */
    uint64_t device_address;
    uint8_t bytes[BUFFERS][BUFFER_BYTES]; /* buffer i lies in place i modulo BUFFERS */
    uint32_t buffer_of[MOST];             /* by slot */
    uint32_t spare[MOST];
    uint32_t spares;
    struct filled filled[MOST];
    uint64_t filled_end, taken; /* free-running */
    uint16_t held[MOST];
    uint32_t held_count;
    uint64_t good_frames, good_bytes;
    bool interrupts, trusted, armed;
};

static struct play play;

static uint32_t choose(struct play *p, uint32_t limit)
{
    return (uint32_t)(mix(p->steps++, 11) % limit);
}

static uint64_t cookie_of(uint32_t buffer)
{
    return UINT64_C(0xc00c1e0000000000) + buffer;
}

static uint8_t *frame_of(struct play *p, uint32_t buffer)
{
    return p->bytes[buffer % BUFFERS] + FRONT;
}

static uint64_t address_of(const struct play *p, uint32_t buffer)
{
    return p->device_address + (uint64_t)(buffer % BUFFERS) * BUFFER_BYTES + FRONT;
}

static uint32_t waiting(const struct play *p)
{
    return (uint32_t)(p->filled_end - p->taken);
}

static struct filled *oldest(struct play *p)
{
    return &p->filled[p->taken % MOST];
}

/* EVENT_IDX, interrupts and trust in headers vary with the round; the sync functions, which take the general way, with the
 * variant and the round. */
enum { ROUNDS = 16 };

static void begin(struct play *p, struct fixture *f, uint32_t size, unsigned round)
{
    fixture_renew(f);
    *p = (struct play){.f = f, .size = size, .interrupts = (round & 1) != 0, .trusted = (round & 4) != 0, .spares = size};
    f->options.tx_slots = f->options.rx_slots = size;

    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    f->options.flags = p->interrupts ? VIRTIO_NET_OPTION_IRQ_RX : 0;
    f->options.flags |= p->trusted ? VIRTIO_NET_OPTION_TRUST_HEADER : 0;
    f->platform = (round & 8) != 0 ? &model_platform : &model_platform_coherent;
    f->model->queue_max[MODEL_TX] = f->model->queue_max[MODEL_RX] = MOST;
    if ((round & 2) != 0)
        f->model->features &= ~MODEL_FEATURE(EVENT_IDX);
    bring_up(f);
    p->device_address = model_share(f->model, p->bytes, sizeof p->bytes, VIRTIO_NET_DMA_BOTH);
    for (uint32_t i = 0; i < size; i++) {
        p->spare[i] = size - 1 - i;
        p->buffer_of[i] = NOBODY;
    }
    p->armed = p->interrupts;
}

/* ----------------------------------------------------------------------------------------------------------------- posting */

static void own(struct play *p, uint32_t slot)
{
    assert_true(slot < p->size);
    assert_true(p->buffer_of[slot] == NOBODY);
    p->buffer_of[slot] = p->spare[--p->spares];
}

static int32_t try_post(struct play *p, uint32_t flags, uint32_t buffer)
{
    return virtio_net_rx_post_one(p->f->net, 0, flags, frame_of(p, buffer), ROOM, address_of(p, buffer), cookie_of(buffer));
}

static uint32_t post(struct play *p, uint32_t flags)
{
    if (p->spares == 0) {
        assert_int_equal(try_post(p, flags, 0), VIRTIO_NET_ERROR_QUEUE_FULL);
        return NOBODY;
    }
    int32_t slot = try_post(p, flags, p->spare[p->spares - 1]);
    assert_true(slot >= 0);
    own(p, (uint32_t)slot);
    return (uint32_t)slot;
}

static void post_burst(struct play *p, uint32_t count)
{
    struct virtio_net_packet packets[8];
    memset(packets, 0, sizeof packets);
    count = count < p->spares ? count : p->spares;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t buffer = p->spare[p->spares - 1 - i];
        packets[i].data = frame_of(p, buffer);
        packets[i].length = ROOM;
        packets[i].device_address = address_of(p, buffer);
        packets[i].cookie = cookie_of(buffer);
    }
    assert_int_equal(virtio_net_rx_post(p->f->net, 0, 0, packets, count), count);
    for (uint32_t i = 0; i < count; i++)
        own(p, packets[i].slot);
}

static void post_all(struct play *p)
{
    while (p->spares != 0)
        (void)post(p, 0);
}

/* -------------------------------------------------------------------------------------------------------------- delivering */

static uint64_t interrupts(const struct play *p)
{
    return p->f->model->queue[MODEL_RX].interrupts;
}

static void note(struct play *p, uint32_t slot, uint32_t length, uint64_t seed)
{
    p->filled[p->filled_end++ % MOST] = (struct filled){slot, length, seed};
}

/* Fills the buffer at a position of those that the device has. A frame that is `bad` in one of four ways costs itself only. */
static void fill(struct play *p, uint32_t position, uint32_t bad)
{
    struct model *model = p->f->model;
    uint32_t header = info_of(p->f).header_length;
    uint64_t seed = mix(p->filled_end, p->size);
    bad = bad >= 5 && p->size > BUFFERS ? 0 : bad; /* others would overwrite the header */
    uint32_t length = seed % 16 == 0 ? frame_length(seed) : FRAME_MIN + (uint32_t)(seed >> 32) % 32;
    const uint32_t wrong[] = {0, 0, header + 13, header + ROOM + 1, UINT32_MAX};
    struct model_delivery delivery = {.frame = p->f->frame, .length = length, .position = position};
    assert_true(position < model_held(model, MODEL_RX));
    uint32_t slot = queue_pending(&model->queue[MODEL_RX], position)->head;
    delivery.forged_length = bad != 0 && bad < 5;
    delivery.used_length = bad < 5 ? wrong[bad] : 0;
    delivery.forged_header = bad >= 5;
    delivery.header[0] = delivery.forged_header ? 1 : 0;
    frame_fill(p->f->frame, length, seed);
    uint64_t before = interrupts(p);
    assert_true(model_rx_deliver_as(model, &delivery));
    note(p, slot, bad == 0 || (bad >= 5 && p->trusted) ? length : 0, seed);
    if (!p->interrupts)
        assert_int_equal(interrupts(p), 0);
    if (p->armed && interrupts(p) != before + 1)
        fail_msg("no interrupt at frame %llu", (unsigned long long)p->filled_end);
    p->armed = false;
}

/* ------------------------------------------------------------------------------------------------------------------ taking */

static int32_t next_of(struct play *p)
{
    int32_t next = virtio_net_rx_next(p->f->net, 0);
    if (waiting(p) == 0) {
        assert_int_equal(next, VIRTIO_NET_ERROR_NOT_READY);
        p->armed = p->interrupts;
    } else {
        assert_int_equal(next, oldest(p)->slot);
    }
    return next;
}

/* The oldest frame has come with this length and cookie. */
static void came(struct play *p, int32_t length, uint64_t cookie)
{
    const struct filled *frame = oldest(p);
    uint32_t buffer = p->buffer_of[frame->slot];
    assert_int_equal(length, frame->length);
    assert_true(cookie == cookie_of(buffer));
    if (length != 0 && p->size <= BUFFERS)
        frame_assert(frame_of(p, buffer), (uint32_t)length, frame->length, frame->seed);
    p->good_frames += length != 0;
    p->good_bytes += (uint32_t)length;
    p->taken++;
}

static void ended(struct play *p, uint32_t slot)
{
    p->spare[p->spares++] = p->buffer_of[slot];
    p->buffer_of[slot] = NOBODY;
}

static struct virtio_net_taken take(struct play *p)
{
    uint32_t slot = oldest(p)->slot;
    struct virtio_net_taken taken = virtio_net_rx_take_next(p->f->net, 0, slot);
    came(p, taken.length, taken.cookie);
    ended(p, slot);
    if (taken.next >= 0) {
        assert_true(waiting(p) != 0);
        assert_int_equal(taken.next, oldest(p)->slot);
        assert_int_equal(virtio_net_rx_next(p->f->net, 0), taken.next);
    }
    return taken;
}

static void take_one(struct play *p)
{
    uint32_t slot = oldest(p)->slot;
    uint64_t cookie = 0;
    int32_t length = virtio_net_rx_take_one(p->f->net, 0, slot, &cookie);
    came(p, length, cookie);
    ended(p, slot);
}

static void peek(struct play *p, uint32_t count)
{
    struct virtio_net_packet *packets = p->f->packets;
    uint32_t expected = count < waiting(p) ? count : waiting(p);
    assert_int_equal(virtio_net_rx_peek(p->f->net, 0, 0, packets, count), expected);
    for (uint32_t i = 0; i < expected; i++) {
        assert_int_equal(packets[i].slot, oldest(p)->slot);
        assert_int_equal(packets[i].flags, VIRTIO_NET_PACKET_EXTERNAL);
        came(p, (int32_t)packets[i].length, packets[i].cookie);
        p->held[p->held_count++] = packets[i].slot;
    }
}

static void let_go(struct play *p, uint32_t which, bool take)
{
    struct virtio_net_packet packet = {.slot = p->held[which]};
    p->held[which] = p->held[--p->held_count];
    if (take) {
        assert_int_equal(virtio_net_rx_take(p->f->net, 0, &packet), VIRTIO_NET_SUCCESS);
        assert_true(packet.cookie == cookie_of(p->buffer_of[packet.slot]));
    } else {
        assert_int_equal(virtio_net_rx_release(p->f->net, 0, 0, &packet, 1), 1);
    }
    ended(p, packet.slot);
}

static bool is_held(const struct play *p, uint32_t slot)
{
    for (uint32_t i = 0; i < p->held_count; i++)
        if (p->held[i] == slot)
            return true;
    return false;
}

static void assert_refused(struct virtio_net_taken taken, int32_t code)
{
    assert_string_equal(virtio_net_status_name(taken.length), virtio_net_status_name(code));
    assert_true(taken.next < 0 && taken.cookie == 0);
}

static void take_wrong(struct play *p, uint32_t slot)
{
    if (waiting(p) != 0 && slot == oldest(p)->slot)
        return;
    bool slot_error = waiting(p) != 0 || is_held(p, slot);
    assert_refused(virtio_net_rx_take_next(p->f->net, 0, slot), slot_error ? VIRTIO_NET_ERROR_SLOT : VIRTIO_NET_ERROR_NOT_READY);
}

static void finish(struct play *p)
{
    struct virtio_net_statistics found = statistics_of(p->f);
    while (waiting(p) != 0)
        (void)take(p);
    while (p->held_count != 0)
        let_go(p, 0, true);
    assert_int_equal(next_of(p), VIRTIO_NET_ERROR_NOT_READY);
    found = statistics_of(p->f);
    assert_true(found.rx_frames == p->good_frames && found.rx_bytes == p->good_bytes);
    assert_int_equal(found.rx_rekicks, 0);
    assert_int_equal(found.queues_broken, 0);
    take_down(p->f);
}

/* ------------------------------------------------------------------------------------------------------------ good devices */

/* What a stretch of steps consists of. */
enum { IN_ORDER = 1, ONLY_GOOD = 2, NONE_HELD = 4, ONLY_TAKEN = 8 };

static void device_moves(struct play *p, uint32_t mood)
{
    for (uint32_t left = choose(p, 2 * p->size) + 1; left > 0; left--) {
        uint32_t held = model_held(p->f->model, MODEL_RX);
        if (held == 0)
            return;
        bool good = (mood & ONLY_GOOD) != 0 || choose(p, 4) != 0;
        fill(p, (mood & IN_ORDER) != 0 ? 0 : choose(p, held), good ? 0 : 1 + choose(p, 5));
    }
}

static void driver_takes(struct play *p, uint32_t mood)
{
    int32_t told = -1;
    for (uint32_t left = choose(p, p->size + 4) + 1; left > 0 && waiting(p) != 0; left--) {
        if (told < 0 && choose(p, 2) == 0)
            (void)next_of(p);
        uint32_t way = (mood & ONLY_TAKEN) != 0 ? 0 : choose(p, 6);
        if (way < 4)
            told = take(p).next;
        else if (way == 4)
            take_one(p);
        else
            peek(p, choose(p, 8) + 1);
        while (p->held_count > ((mood & NONE_HELD) != 0 ? 0 : p->size / 2))
            let_go(p, choose(p, p->held_count), choose(p, 2) == 0);
    }
}

static void driver_posts(struct play *p, uint32_t mood)
{
    for (uint32_t left = choose(p, p->size + 1) + 1; left > 0; left--)
        if ((mood & ONLY_TAKEN) != 0 || choose(p, 4) != 0)
            (void)post(p, 0);
        else if (p->spares != 0)
            post_burst(p, choose(p, 8) + 1);
}

static void run(struct play *p, uint64_t frames)
{
    uint32_t mood = 0;
    for (uint64_t step = 0; p->taken < frames; step++) {
        if (step % 64 == 0)
            mood = choose(p, 16);
        switch (choose(p, 4)) {
        case 0:
            driver_posts(p, mood);
            break;
        case 1:
            device_moves(p, mood);
            break;
        case 2:
            driver_takes(p, mood);
            break;
        default:
            take_wrong(p, choose(p, p->size + 2));
            (void)next_of(p);
        }
    }
    finish(p);
}

static void every_way_at_once(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {1, 2, 16, 256};
    for (uint32_t i = 0; i < 4; i++)
        for (unsigned round = 0; round < ROUNDS; round++) {
            begin(&play, f, sizes[i], round);
            play.steps = mix(round, i);
            run(&play, LONG_RUN(round < 8 ? 3 * 8192 + 3000u : 4000u));
        }
}

/* The indices wrap, with the largest ring too. */
static void across_the_wrap(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 4; round += 3) {
        begin(&play, f, 16, round);
        run(&play, LONG_RUN(140000u));
    }
    begin(&play, f, MOST, 1);
    run(&play, LONG_RUN(150000u));
}

/* A legacy device that wants headers in descriptors of their own: the general way. */
static void in_chains(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 8; round++) {
        begin(&play, f, 16, round);
        take_down(f);
        f->model->features &= ~(MODEL_FEATURE(ANY_LAYOUT) | ((round & 4) != 0 ? MODEL_FEATURE(INDIRECT_DESC) : 0));
        free(f->net);
        f->net = NULL;
        bring_up(f);
        run(&play, 4000);
    }
}

/* Bursts in which no place for a refresh comes first: with EVENT_IDX the interrupts that nobody asked for stay away. */
static void no_interrupts(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 4; round += 2) {
        begin(&play, f, 16, round);
        for (uint64_t turn = 0; turn < 100000 / 16; turn++) {
            post_all(&play);
            for (uint32_t i = 0; i < 16; i++)
                fill(&play, 0, 0);
            while (waiting(&play) != 0)
                (void)take(&play);
        }
        finish(&play);
    }
}

/* In a burst the frame after is told by every call but the last: nobody need ask. */
static void a_burst_is_told(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 8; round++) {
        begin(&play, f, 16, round);
        bool quick = (info_of(f).features & (MODEL_FEATURE(VERSION_1) | MODEL_FEATURE(ANY_LAYOUT))) != 0;
        post_all(&play);
        for (uint32_t turn = 0; turn < 100; turn++) {
            for (uint32_t i = 0; i < 8; i++)
                fill(&play, 0, 0);
            for (uint32_t i = 0; i < 8; i++)
                assert_true((take(&play).next >= 0) == (i < 7 && quick));
            post_all(&play);
        }
        finish(&play);
    }
}

/* ------------------------------------------------------------------------------------------------ what must not be remembered */

/* The element is written, used.idx is not: there is nothing to take. */
static void assert_unpublished(struct play *p)
{
    p->armed = false;
    p->f->model->hold_used = true;
    fill(p, 0, 0);
    p->f->model->hold_used = false;
    assert_refused(virtio_net_rx_take_next(p->f->net, 0, oldest(p)->slot), VIRTIO_NET_ERROR_NOT_READY);
    assert_int_equal(virtio_net_rx_next(p->f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    model_publish(p->f->model, MODEL_RX);
    (void)take(p);
}

/* Others take so many frames that what was seen last is old, or looks new again. */
static void what_was_seen_grows_old(void **state)
{
    struct fixture *f = *state;
    static const uint32_t others[] = {1, 300, 8191, 8193, 32700, 32768, 32800, 33000, 40000, 50000, 65500, 65535, 65537};
    for (unsigned round = 0; round < 4; round++)
        for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
            begin(&play, f, 16, round);
            play.armed = false;
            for (uint32_t taken = 0; taken < 8; taken++) {
                (void)post(&play, 0);
                fill(&play, 0, 0);
                (void)take(&play);
            }
            for (uint32_t taken = 0; taken < others[i]; taken++) {
                (void)post(&play, 0);
                fill(&play, 0, 0);
                peek(&play, 1);
                let_go(&play, 0, true);
            }
            (void)post(&play, 0);
            assert_unpublished(&play);
            finish(&play);
        }
}

/* A stop with frames that were seen and others that were not; the queue that starts again knows of neither. */
static void a_stop_forgets(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t filled = 0; filled <= 8; filled++)
            for (uint32_t taken = 0; taken <= 2 && taken <= filled; taken++) {
                begin(&play, f, 16, round);
                play.armed = false;
                for (uint32_t i = 0; i < 8; i++)
                    (void)post(&play, 0);
                for (uint32_t i = 0; i < filled; i++)
                    fill(&play, 0, 0);
                for (uint32_t i = 0; i < taken; i++)
                    (void)take(&play);
                assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
                uint32_t left = 8 - taken;
                if (taken == 2)
                    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
                for (; left > 0; left--) {
                    int32_t slot = virtio_net_rx_next(f->net, 0);
                    assert_true(slot >= 0);
                    struct virtio_net_taken lost = virtio_net_rx_take_next(f->net, 0, (uint32_t)slot);
                    assert_true(lost.length == 0 && lost.next < 0 && lost.cookie == cookie_of(play.buffer_of[slot]));
                    ended(&play, (uint32_t)slot);
                }
                if (taken != 2) {
                    assert_refused(virtio_net_rx_take_next(f->net, 0, 0), VIRTIO_NET_ERROR_STATE);
                    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
                }
                play.taken = play.filled_end;
                assert_refused(virtio_net_rx_take_next(f->net, 0, 0), VIRTIO_NET_ERROR_NOT_READY);
                post_all(&play);
                for (uint32_t i = 0; i < 10; i++)
                    assert_unpublished(&play);
                finish(&play);
            }
}

/* ------------------------------------------------------------------------------------------------------------- bad devices */

static uint8_t *element_at(struct play *p, uint32_t index)
{
    const struct model_queue *queue = &p->f->model->queue[MODEL_RX];
    return queue->used + 4 + 8 * (size_t)(index & (queue->size - 1));
}

static void write_id(struct play *p, uint32_t index, uint32_t id)
{
    memcpy(element_at(p, index), &id, sizeof id);
}

static void assert_broken(struct play *p, int32_t code)
{
    struct fixture *f = p->f;
    for (uint32_t slot = 0; slot < p->size; slot++)
        assert_refused(virtio_net_rx_take_next(f->net, 0, slot), VIRTIO_NET_ERROR_NEEDS_RESET);
    struct virtio_net_error_detail detail = last_error_of(f);
    assert_string_equal(virtio_net_status_name(detail.code), virtio_net_status_name(code));
    assert_int_equal(statistics_of(f).queues_broken, 1);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    for (uint32_t slot = 0; slot < p->size; slot++) {
        struct virtio_net_taken taken = virtio_net_rx_take_next(f->net, 0, slot);
        if (p->buffer_of[slot] == NOBODY) {
            assert_refused(taken, VIRTIO_NET_ERROR_NOT_READY);
            continue;
        }
        assert_true(taken.length == 0 && taken.next < 0 && taken.cookie == cookie_of(p->buffer_of[slot]));
        ended(p, slot);
    }
    /* It works again, from the first element on. */
    p->taken = p->filled_end;
    p->armed = false;
    f->model->on_fetch = NULL;
    post_all(p);
    for (uint32_t i = 0; i < 20; i++) {
        fill(p, 0, 0);
        (void)take(p);
        (void)post(p, 0);
    }
    take_down(f);
}

/* used.idx goes back, or jumps, while there are elements that were seen before. Those may be taken still, and no others. */
static void an_index_that_cannot_be(void **state)
{
    struct fixture *f = *state;
    static const uint16_t wrong[] = {0, 9, 10, 0x7fff, 0x8000, 0x8001, 0x8005, 0xffff};
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t filled = 1; filled <= 5; filled++)
            for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
                begin(&play, f, 16, round);
                for (uint32_t buffer = 0; buffer < 8; buffer++)
                    (void)post(&play, 0);
                for (uint32_t frame = 0; frame < filled; frame++)
                    fill(&play, 0, 0);
                (void)take(&play);
                model_set_used_index(f->model, MODEL_RX, wrong[i]);
                for (uint32_t frame = 1; frame < 8; frame++) {
                    struct virtio_net_taken taken = virtio_net_rx_take_next(f->net, 0, frame);
                    if (taken.length < 0) {
                        assert_refused(taken, VIRTIO_NET_ERROR_NEEDS_RESET);
                        break;
                    }
                    assert_true(frame < filled);
                    came(&play, taken.length, taken.cookie);
                    ended(&play, frame);
                }
                assert_broken(&play, VIRTIO_NET_ERROR_USED_INDEX);
            }
}

/* More than was posted, with a good element in front. */
static void an_index_beyond_what_was_posted(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t posted = 0; posted <= 3; posted++) {
            begin(&play, f, 16, round);
            for (uint32_t buffer = 0; buffer < posted; buffer++)
                (void)post(&play, 0);
            f->model->hold_used = true;
            play.armed = false;
            for (uint32_t frame = 0; frame < posted; frame++)
                fill(&play, 0, 0);
            f->model->hold_used = false;
            model_set_used_index(f->model, MODEL_RX, (uint16_t)(posted + 1));
            assert_refused(virtio_net_rx_take_next(f->net, 0, 0), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_broken(&play, VIRTIO_NET_ERROR_USED_INDEX);
        }
}

static uint32_t changed_to;

static void change_second_id(struct model *model, volatile void *address, unsigned width)
{
    (void)width;
    if (model_used_offset(model, MODEL_RX, address) != 4 + 8)
        return;
    model->on_fetch = NULL;
    write_id(&play, 1, changed_to);
}

/* The next slot was told, and then its element names another: that can be taken instead, or breaks the queue. */
static void an_id_that_changes(void **state)
{
    struct fixture *f = *state;
    static const uint32_t ids[] = {5, 7, 0, 8, 16, 0x10001, UINT32_MAX};
    for (unsigned round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < 2 * sizeof ids / sizeof ids[0]; i++) {
            begin(&play, f, 16, round);
            for (uint32_t buffer = 0; buffer < 8; buffer++)
                (void)post(&play, 0);
            for (uint32_t frame = 0; frame < 3; frame++)
                fill(&play, 0, 0);
            changed_to = ids[i / 2];
            if (i % 2 == 0)
                f->model->on_fetch = change_second_id;
            struct virtio_net_taken taken = virtio_net_rx_take_next(f->net, 0, 0);
            came(&play, taken.length, taken.cookie);
            ended(&play, 0);
            bool told = taken.next >= 0;
            assert_true(!told || taken.next == 1);
            f->model->on_fetch = NULL;
            write_id(&play, 1, changed_to);
            taken = virtio_net_rx_take_next(f->net, 0, 1);
            if (changed_to != 5 && changed_to != 7) {
                assert_refused(taken, VIRTIO_NET_ERROR_NEEDS_RESET);
                assert_broken(&play, VIRTIO_NET_ERROR_USED_ID);
                continue;
            }
            assert_refused(taken, VIRTIO_NET_ERROR_SLOT);
            assert_int_equal(virtio_net_rx_next(f->net, 0), changed_to);
            memset(frame_of(&play, play.buffer_of[changed_to]) - 12, 0, 12);
            taken = virtio_net_rx_take_next(f->net, 0, changed_to);
            assert_true(taken.length > 0 && taken.cookie == cookie_of(play.buffer_of[changed_to]));
            assert_true(taken.next < 0 || taken.next == 2);
            taken = virtio_net_rx_take_next(f->net, 0, 2);
            assert_true(taken.length > 0 && taken.cookie == cookie_of(play.buffer_of[2]));
            assert_refused(virtio_net_rx_take_next(f->net, 0, 1), VIRTIO_NET_ERROR_NOT_READY);
            take_down(f);
        }
}

/* Reads of one call. */
static struct {
    uint32_t used_index, other_used;
    uint32_t id[16], length[16];
    uint32_t header, other;
} reads;

static void count_reads(struct model *model, volatile void *address, unsigned width)
{
    (void)width;
    int64_t offset = model_used_offset(model, MODEL_RX, address);
    uintptr_t place = (uintptr_t)address - (uintptr_t)play.bytes;
    if (offset == 2)
        reads.used_index++;
    else if (offset >= 4 && offset < 4 + 8 * 16)
        (offset % 8 == 4 ? reads.id : reads.length)[(offset - 4) / 8]++;
    else if (offset >= 0)
        reads.other_used++;
    else if (place < sizeof play.bytes)
        reads.header++;
    else
        reads.other++;
}

/* Whatever way a frame goes, its element is read once: no later read could differ from what was checked. */
static void elements_are_read_once(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t bad = 0; bad < 8; bad++) {
            begin(&play, f, 16, round);
            post_all(&play);
            for (uint32_t turn = 0; turn < 40; turn++) {
                for (uint32_t i = 0; i < 4; i++)
                    fill(&play, bad == 6 ? 3 - i : 0, bad < 6 && i % 2 == 1 ? bad : 0);
                for (uint32_t i = 0; i < 4; i++) {
                    uint32_t at = (4 * turn + i) % 16;
                    bool after = bad == 7; /* by a slot that is not the next */
                    memset(&reads, 0, sizeof reads);
                    f->model->on_fetch = count_reads;
                    struct virtio_net_taken taken =
                        virtio_net_rx_take_next(f->net, 0, after ? (oldest(&play)->slot + 1) % 16 : oldest(&play)->slot);
                    f->model->on_fetch = NULL;
                    assert_int_equal(reads.id[at], 1);
                    assert_int_equal(reads.length[at], 1);
                    assert_true(reads.id[(at + 1) % 16] <= 1 && reads.length[(at + 1) % 16] == 0);
                    assert_true(reads.header <= (play.trusted ? 0 : 2));
                    assert_true(reads.used_index <= 4);
                    if (after) {
                        assert_refused(taken, VIRTIO_NET_ERROR_SLOT);
                        (void)take(&play);
                        continue;
                    }
                    uint32_t slot = oldest(&play)->slot;
                    came(&play, taken.length, taken.cookie);
                    ended(&play, slot);
                }
                post_all(&play);
            }
            finish(&play);
        }
}

/* A bad frame in front of a good one: what was read of the first is nothing that is known of the second. */
static void after_a_bad_frame(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++)
        for (uint32_t bad = 1; bad < 6; bad++) {
            begin(&play, f, 16, round);
            play.armed = false;
            post_all(&play);
            for (uint32_t i = 0; i < 50; i++) {
                fill(&play, 0, bad);
                if (i % 2 == 0)
                    take_wrong(&play, (oldest(&play)->slot + 1) % 16);
                (void)take(&play);
                if (i % 3 == 0)
                    assert_unpublished(&play);
                take_wrong(&play, i % 16);
                fill(&play, i % 7, 0);
                if (i % 4 == 0)
                    take_wrong(&play, (oldest(&play)->slot + 1) % 16);
                (void)take(&play);
                post_all(&play);
            }
            finish(&play);
        }
}

/* The device wants a reset while frames wait that were seen, and others that were not. */
static void needs_reset(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(&play, f, 16, round);
        for (uint32_t i = 0; i < 10; i++)
            (void)post(&play, 0);
        for (uint32_t i = 0; i < 5; i++)
            fill(&play, 0, 0);
        (void)take(&play);
        play.armed = false;
        fill(&play, 0, 0);
        model_needs_reset(f->model);
        for (uint32_t looks = 0; virtio_net_rx_peek(f->net, 0, 0, f->packets, 0) == 0; looks++)
            assert_true(looks < 100000);
        for (uint32_t slot = 0; slot < 16; slot++)
            assert_refused(virtio_net_rx_take_next(f->net, 0, slot), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        for (uint32_t slot = 1; slot < 10; slot++) {
            assert_int_equal(virtio_net_rx_take_next(f->net, 0, slot).length, 0);
            ended(&play, slot);
        }
        play.taken = play.filled_end;
        post_all(&play);
        assert_unpublished(&play);
        fill(&play, 0, 0);
        (void)take(&play);
        take_down(f);
    }
}

/* ------------------------------------------------------------------------------------------------------------- bad callers */

static void refusals(void **state)
{
    struct fixture *f = *state;
    assert_refused(virtio_net_rx_take_next(NULL, 0, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    for (unsigned round = 0; round < ROUNDS; round++) {
        begin(&play, f, 16, round);
        assert_refused(virtio_net_rx_take_next(f->net, 1, 0), VIRTIO_NET_ERROR_QUEUE_PAIR);
        assert_refused(virtio_net_rx_take_next(f->net, 0, 0), VIRTIO_NET_ERROR_NOT_READY);
        post_all(&play);
        fill(&play, 0, 0);
        fill(&play, 0, 0);
        assert_refused(virtio_net_rx_take_next(f->net, 1, 0), VIRTIO_NET_ERROR_QUEUE_PAIR);
        for (uint32_t slot = 1; slot < 0x30000; slot += slot < 32 ? 1 : 97)
            assert_refused(virtio_net_rx_take_next(f->net, 0, slot), VIRTIO_NET_ERROR_SLOT);
        assert_refused(virtio_net_rx_take_next(f->net, 0, 0x10000), VIRTIO_NET_ERROR_SLOT);
        assert_refused(virtio_net_rx_take_next(f->net, 0, UINT32_MAX), VIRTIO_NET_ERROR_SLOT);
        (void)take(&play);
        assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
        assert_refused(virtio_net_rx_take_next(f->net, 0, 0), VIRTIO_NET_ERROR_STATE);
        assert_refused(virtio_net_rx_take_next(f->net, 1, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
        assert_int_equal(virtio_net_rx_take_next(f->net, 0, 1).length, 0);
        assert_int_equal(virtio_net_close(f->net), VIRTIO_NET_SUCCESS);
        assert_refused(virtio_net_rx_take_next(f->net, 0, 2), VIRTIO_NET_ERROR_STATE);
        f->up = false;
        fixture_renew(f);
        f->options.rx_buffer_bytes = 0;
        bring_up(f);
        deliver(f, FRAME_MIN, 1);
        assert_refused(virtio_net_rx_take_next(f->net, 0, 0), VIRTIO_NET_ERROR_SLOT);
        assert_received(f, FRAME_MIN, 1);
        take_down(f);
    }
}

/* ----------------------------------------------------------------------------------------------- a device that is told late */

/* A device that knows no more buffers than it must, and does one thing at a time, between and within the calls of the driver: it
 * fills a buffer that it knows of; where it knows of none it looks for new ones; where there are none it asks for a
 * notification, looks once more, and sleeps (2.7.10). A notification that came before it asked wakes it no more. */
struct sleeper {
    struct play *p;
    enum { AWAKE, ASKED, ASLEEP } state;
    bool event_index;
    bool quiet;         /* without the event index: says that it wants no notification while it is awake */
    uint32_t pace;      /* how often it comes to its turn within a call of the driver; 0: never */
    uint64_t notified;  /* when it asked */
    uint64_t decisions; /* of the driver: looks at what the device wants */
    uint64_t slept;     /* times */
};

static uint64_t notifications(const struct play *p)
{
    return p->f->model->queue[MODEL_RX].notifications;
}

static void wake(struct sleeper *s)
{
    s->state = AWAKE;
    if (!s->event_index)
        model_set_used_flags(s->p->f->model, MODEL_RX, s->quiet);
}

static void fill_known(struct sleeper *s)
{
    struct play *p = s->p;
    struct model *model = p->f->model;
    struct model_queue *queue = &model->queue[MODEL_RX];
    struct model_buffer buffer = *queue_pending(queue, 0);
    uint32_t header = info_of(p->f).header_length;
    uint64_t seed = p->filled_end;
    uint8_t bytes[12 + FRAME_MIN] = {0};
    uint32_t at = 0;
    frame_fill(bytes + header, FRAME_MIN, seed);
    for (uint32_t i = 0; i < buffer.parts && at < header + FRAME_MIN; i++) {
        uint32_t left = header + FRAME_MIN - at;
        uint32_t part = left < buffer.part[i].bytes ? left : buffer.part[i].bytes;
        memcpy(buffer.part[i].at, bytes + at, part);
        at += part;
    }
    note(p, buffer.head, FRAME_MIN, seed);
    queue_forget(queue, 0);
    model_push_used(model, MODEL_RX, buffer.head, at);
}

static void step(struct sleeper *s)
{
    struct model *model = s->p->f->model;
    struct model_queue *queue = &model->queue[MODEL_RX];
    switch (s->state) {
    case AWAKE:
        if (queue->pending_count != 0) {
            fill_known(s);
        } else if (queue_take(model, MODEL_RX) == 0) {
            s->notified = notifications(s->p);
            if (s->event_index)
                model_set_avail_event(model, MODEL_RX, queue->avail_taken);
            else
                model_set_used_flags(model, MODEL_RX, 0);
            s->state = ASKED;
        }
        break;
    case ASKED:
        if (model_avail_index(model, MODEL_RX) != queue->avail_taken) {
            wake(s);
        } else {
            s->slept++;
            s->state = ASLEEP;
        }
        break;
    default:
        if (notifications(s->p) != s->notified)
            wake(s);
    }
}

static void steps_within(struct model *model, volatile void *address, unsigned width)
{
    struct sleeper *s = model->word;
    int64_t offset = model_used_offset(model, MODEL_RX, address);
    (void)width;
    s->decisions += offset == (s->event_index ? 4 + 8 * (int64_t)model->queue[MODEL_RX].size : 0);
    for (uint32_t left = s->pace != 0 && choose(s->p, s->pace) == 0 ? choose(s->p, 6) + 1 : 0; left > 0; left--)
        step(s);
}

static void begin_sleeper(struct sleeper *s, struct fixture *f, uint32_t size, unsigned round)
{
    begin(&play, f, size, round % ROUNDS);
    play.armed = false;
    *s = (struct sleeper){.p = &play, .state = ASLEEP, .quiet = (round & 16) != 0, .pace = 3};
    s->event_index = (info_of(f).features & MODEL_FEATURE(EVENT_IDX)) != 0;
    f->model->word = s;
    f->model->no_poll = true;
    f->model->on_fetch = steps_within;
}

/* The driver's side: it takes what it can, and then waits, by virtio_net_rx_next or for an interrupt. */
enum { BY_NEXT, BY_READY, BY_PEEK, WAYS };

/* Returns whether nothing more can be taken. `most`: so many frames. */
static bool take_all(struct play *p, uint32_t way, uint32_t most)
{
    for (;;) {
        if (way == BY_READY ? virtio_net_rx_ready(p->f->net, 0) == 0 : way == BY_NEXT && virtio_net_rx_next(p->f->net, 0) < 0)
            return true;
        if (most-- == 0)
            return false;
        if (way == BY_PEEK) {
            struct virtio_net_packet packet;
            int32_t got = virtio_net_rx_peek(p->f->net, 0, 0, &packet, 1);
            if (got == 0)
                return true;
            assert_int_equal(got, 1);
            came(p, (int32_t)packet.length, packet.cookie);
            assert_int_equal(virtio_net_rx_take(p->f->net, 0, &packet), VIRTIO_NET_SUCCESS);
            ended(p, packet.slot);
        } else {
            int32_t next = take(p).next;
            while (next >= 0 && most > 0) {
                most--;
                next = take(p).next;
            }
        }
    }
}

/* No buffer is posted any more: the device fills all that are, or it sleeps for ever. */
static void all_come(struct sleeper *s, uint32_t way)
{
    struct play *p = s->p;
    bool idle = false;
    uint64_t before = 0;
    for (uint32_t turn = 0; p->spares != p->size; turn++) {
        if (turn == 4000)
            fail_msg("the device sleeps, and %u buffers are posted: frame %llu", p->size - p->spares,
                     (unsigned long long)p->taken);
        if (!idle || !p->interrupts || interrupts(p) != before) {
            before = interrupts(p);
            idle = take_all(p, way, MOST);
        }
        step(s);
    }
}

static void told_in_time(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {1, 2, 16, 64};
    static struct sleeper s;
    for (uint32_t i = 0; i < 4; i++)
        for (unsigned round = 0; round < 2 * ROUNDS; round++)
            for (uint32_t way = 0; way < WAYS; way++) {
                begin_sleeper(&s, f, sizes[i], round);
                play.steps = mix(round, way);
                for (uint32_t turn = 0; turn < LONG_RUN(300); turn++) {
                    bool flush = false;
                    s.pace = choose(&play, 6);
                    for (uint32_t act = choose(&play, 40); act > 0; act--) {
                        uint32_t what = choose(&play, 8);
                        if (what < 3) {
                            flush |= what == 0 && choose(&play, 4) == 0;
                            for (uint32_t left = choose(&play, 4); left > 0 && play.spares > 0; left--)
                                (void)post(&play, flush ? VIRTIO_NET_NO_KICK : 0);
                        } else if (what < 5) {
                            (void)take_all(&play, way, choose(&play, 5));
                        } else {
                            for (uint32_t left = choose(&play, 8); left > 0; left--)
                                step(&s);
                        }
                    }
                    if (flush)
                        assert_in_range(virtio_net_rx_flush(f->net, 0, 0), 0, 1);
                    all_come(&s, way);
                }
                assert_true(s.slept > 0);
                f->model->on_fetch = NULL;
                if (way == BY_PEEK) /* which repeats notifications of its own accord */
                    take_down(f);
                else
                    finish(&play);
            }
}

/* The shortest way to sleep for ever, step by step: a buffer is posted while the device is known to have one, which it has used
 * already and which the driver takes only then. */
static void told_at_the_end_of_a_batch(void **state)
{
    struct fixture *f = *state;
    static struct sleeper s;
    for (unsigned round = 0; round < 2 * ROUNDS; round++)
        for (uint32_t bad = 0; bad < 2; bad++) {
            begin_sleeper(&s, f, 16, round);
            s.pace = 0;
            for (uint32_t turn = 0; turn < 100; turn++) {
                (void)post(&play, 0);
                for (uint32_t i = 0; i < 8; i++)
                    step(&s);
                assert_int_equal(s.state, ASLEEP);
                assert_int_equal(waiting(&play), 1);
                if (bad != 0) { /* the general way */
                    uint32_t none = 0;
                    memcpy(element_at(&play, turn * 2) + 4, &none, sizeof none);
                    oldest(&play)->length = 0;
                }
                (void)post(&play, 0);
                (void)take(&play);
                for (uint32_t i = 0; i < 8; i++)
                    step(&s);
                assert_int_equal(waiting(&play), 1);
                (void)take(&play);
            }
            f->model->on_fetch = NULL;
            finish(&play);
        }
}

/* The same by virtio_net_rx_peek after virtio_net_rx_post, from a caller that peeks only where there is something. */
static void told_by_the_quick_peek(void **state)
{
    struct fixture *f = *state;
    static struct sleeper s;
    for (unsigned round = 0; round < 2 * ROUNDS; round++) {
        begin_sleeper(&s, f, 16, round);
        s.pace = 0;
        post_burst(&play, 1);
        all_come(&s, BY_NEXT);
        for (uint32_t turn = 0; turn < 100; turn++) {
            (void)post(&play, 0);
            for (uint32_t i = 0; i < 8; i++)
                step(&s);
            assert_int_equal(s.state, ASLEEP);
            (void)post(&play, 0);
            while (virtio_net_rx_ready(f->net, 0) > 0) {
                peek(&play, 4);
                let_go(&play, 0, true);
            }
            for (uint32_t i = 0; i < 8; i++)
                step(&s);
            if (waiting(&play) != 1)
                fail_msg("the device sleeps, and a buffer is posted: turn %u", turn);
            (void)take(&play);
        }
        f->model->on_fetch = NULL;
        finish(&play);
    }
}

/* A full ring, and a device that never comes to its end: it is told, or asked, once for many buffers. */
static void told_seldom(void **state)
{
    struct fixture *f = *state;
    static struct sleeper s;
    for (unsigned round = 0; round < 8; round++) {
        begin_sleeper(&s, f, 256, round);
        bool quick = (info_of(f).features & (MODEL_FEATURE(VERSION_1) | MODEL_FEATURE(ANY_LAYOUT))) != 0 &&
                     f->platform == &model_platform_coherent;
        s.pace = 0;
        post_all(&play);
        for (uint32_t i = 0; i < 600; i++) { /* until the available ring is written no more */
            step(&s);
            (void)take_all(&play, BY_NEXT, MOST);
            post_all(&play);
        }
        uint64_t told = notifications(&play);
        uint64_t taken = play.taken;
        s.decisions = 0;
        while (play.taken < taken + 256 * 40) {
            for (uint32_t i = choose(&play, 40); i > 0; i--)
                step(&s);
            (void)take_all(&play, BY_NEXT, MOST);
            post_all(&play);
        }
        if (quick) {
            assert_in_range(notifications(&play) - told, 0, 100);
            assert_in_range(s.decisions, 0, 100);
        }
        f->model->on_fetch = NULL;
        finish(&play);
    }
}

/* ---------------------------------------------------------------------------------------------- a device with its own thread */

/* One run: how far the device is. What the threads share besides the rings is counted by relaxed atomics, which order nothing. */
struct race {
    struct play *p;
    struct timespec start;
    uint64_t frames;
    atomic_bool stop, late;
    uint64_t slept;
};

enum { LIMIT_SECONDS = 100 };

static bool expired(struct race *race)
{
    struct timespec now;
    (void)sched_yield();
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - race->start.tv_sec > LIMIT_SECONDS)
        atomic_store(&race->late, true);
    return atomic_load_explicit(&race->late, memory_order_relaxed) || atomic_load_explicit(&race->stop, memory_order_relaxed);
}

static void jitter(uint64_t seed)
{
    for (volatile uint32_t spins = (uint32_t)(mix(seed, 5) % 200); spins > 0;)
        spins = spins - 1;
}

static uint64_t told(const struct model *model)
{
    return atomic_load_explicit(&model->queue[MODEL_RX].notifications, memory_order_relaxed);
}

/* Fills what it has, looks, asks, looks once more, and sleeps until a notification comes. */
static void *device_thread(void *argument)
{
    struct race *race = argument;
    struct model *model = race->p->f->model;
    uint8_t frame[FRAME_MIN];
    uint64_t filled = 0;
    while (filled < race->frames && !expired(race)) {
        uint64_t before = told(model);
        while (filled < race->frames) {
            frame_fill(frame, FRAME_MIN, filled);
            if (!model_rx_deliver(model, frame, FRAME_MIN))
                break;
            filled++;
            if (filled % 3 == 0)
                jitter(filled);
        }
        if (queue_want_notification(model, MODEL_RX))
            continue;
        race->slept++;
        while (told(model) == before && !expired(race))
            continue;
    }
    return NULL;
}

/* The driver keeps some buffers back, and posts them one by one, each behind what it took. */
static const char *race_driver(struct race *race, uint32_t posted)
{
    struct play *p = race->p;
    int32_t next = -1;
    uint32_t out = 0;
    for (uint64_t taken = 0; taken < race->frames;) {
        while (out < posted) {
            uint32_t buffer = p->spare[p->spares - 1];
            int32_t slot = try_post(p, 0, buffer);
            assert_true(slot >= 0);
            own(p, (uint32_t)slot);
            out++;
        }
        for (uint32_t looks = 0; next < 0; looks++) {
            next = virtio_net_rx_next(p->f->net, 0);
            if (next < 0 && looks > 2000 && expired(race))
                return "the device sleeps, or the driver missed a frame";
        }
        for (uint32_t most = (uint32_t)(mix(taken, 9) % (posted + 1)); next >= 0; most--) {
            uint32_t buffer = p->buffer_of[next];
            struct virtio_net_taken now = virtio_net_rx_take_next(p->f->net, 0, (uint32_t)next);
            if (!frame_matches(frame_of(p, buffer), (uint32_t)now.length, FRAME_MIN, taken) || now.cookie != cookie_of(buffer))
                return "a frame is not the one that the device filled in";
            ended(p, (uint32_t)next);
            taken++;
            out--;
            next = now.next;
            if (most == 0)
                break;
        }
        jitter(taken);
    }
    return NULL;
}

static void no_wake_up_is_lost(void **state)
{
    struct fixture *f = *state;
    static const uint32_t depths[] = {1, 2, 5, 16};
    uint64_t slept = 0;
    for (uint32_t i = 0; i < 4; i++) {
        struct race race = {.p = &play, .frames = LONG_RUN(50000u)};
        pthread_t device;
        begin(&play, f, 16, 0);
        f->model->threaded = true;
        f->model->on_violation = NULL;
        (void)clock_gettime(CLOCK_MONOTONIC, &race.start);
        assert_int_equal(pthread_create(&device, NULL, device_thread, &race), 0);
        const char *wrong = race_driver(&race, depths[i]);
        atomic_store(&race.stop, true);
        assert_int_equal(pthread_join(device, NULL), 0);
        f->model->threaded = false;
        if (wrong != NULL)
            fail_msg("%u buffers: %s", depths[i], wrong);
        slept += race.slept;
        assert_int_equal(atomic_load(&f->model->violations), 0);
        take_down(f);
    }
    assert_true(slept > 0);
}

TEST_PROGRAM(OVER_VARIANTS(every_way_at_once), OVER_VARIANTS(across_the_wrap), LEGACY_ONLY(in_chains),
             OVER_VARIANTS(no_interrupts), OVER_VARIANTS(a_burst_is_told), OVER_VARIANTS(what_was_seen_grows_old),
             OVER_VARIANTS(a_stop_forgets), OVER_VARIANTS(an_index_that_cannot_be),
             OVER_VARIANTS(an_index_beyond_what_was_posted), OVER_VARIANTS(an_id_that_changes),
             OVER_VARIANTS(elements_are_read_once), OVER_VARIANTS(after_a_bad_frame), OVER_VARIANTS(needs_reset),
             OVER_VARIANTS(refusals), OVER_VARIANTS(told_in_time), OVER_VARIANTS(told_at_the_end_of_a_batch),
             OVER_VARIANTS(told_by_the_quick_peek), OVER_VARIANTS(told_seldom), IN_VARIANT(no_wake_up_is_lost, 0),
             IN_VARIANT(no_wake_up_is_lost, 3))
