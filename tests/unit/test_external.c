/*
 * test_external.c - frames in memory of the caller: the cookie comes back, once, whatever happens.
 */
#include "harness.h"

enum { BUFFERS = 16, BUFFER_BYTES = 2048, FRONT = 64 };

/* Memory of a caller: buffers with room in front for the driver's header. */
struct memory {
    uint8_t bytes[BUFFERS][BUFFER_BYTES];
    uint64_t device_address;
};

static struct memory *share_memory(struct fixture *f, uint32_t direction)
{
    static struct memory memory;
    memset(&memory, 0x3c, sizeof memory);
    memory.device_address = model_share(f->model, memory.bytes, sizeof memory.bytes, direction);
    return &memory;
}

static struct virtio_net_packet packet_of(struct memory *memory, uint32_t buffer, uint32_t length)
{
    return (struct virtio_net_packet){.cookie = UINT64_C(0xc00c1e0000000000) + buffer,
                                      .data = memory->bytes[buffer] + FRONT,
                                      .device_address = memory->device_address + (uint64_t)buffer * BUFFER_BYTES + FRONT,
                                      .length = length,
                                      .slot = 0xffff};
}

static void check_returned(const struct virtio_net_packet *packet, uint32_t buffer, uint32_t flags)
{
    assert_true(packet->cookie == UINT64_C(0xc00c1e0000000000) + buffer);
    assert_int_equal(packet->flags, flags);
}

/* ------------------------------------------------------------------------------------------------------------- transmit */

static void post_frames(struct fixture *f, struct memory *memory, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        f->packets[i] = packet_of(memory, i, frame_length(seed + i));
        frame_fill(f->packets[i].data, f->packets[i].length, seed + i);
    }
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, f->packets, count), count);
}

static void transmit(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    uint32_t header = info_of(f).header_length;
    for (uint64_t round = 0; round < 100; round++) {
        post_frames(f, memory, BUFFERS, round);
        struct virtio_net_packet back[BUFFERS + 1];
        assert_int_equal(memory->bytes[3][FRONT - header - 1], 0x3c);
        assert_int_equal(memory->bytes[3][FRONT - header], 0);
        memset(back, 0xee, sizeof back);
        assert_int_equal(virtio_net_tx_in_flight(f->net, 0), 0);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, back, 5), 5);
        assert_int_equal(virtio_net_tx_free(f->net, 0), 5);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, back + 5, BUFFERS), BUFFERS - 5);
        for (uint32_t i = 0; i < BUFFERS; i++) {
            assert_sent(f, frame_length(round + i), round + i);
            check_returned(&back[i], i, VIRTIO_NET_PACKET_EXTERNAL);
            assert_int_equal(back[i].slot, f->packets[i].slot);
        }
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, back, BUFFERS), 0);
        assert_int_equal(virtio_net_tx_free(f->net, 0), 16);
        /* Each slot has its own buffer again. */
        for (uint32_t i = 0; i < BUFFERS; i++) {
            send_one(f, FRAME_MIN, ~round + i);
            assert_sent(f, FRAME_MIN, ~round + i);
        }
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, back, BUFFERS), 0);
    }
    take_down(f);
}

/* The ring breaks in the middle of a call that has posted frames: the device is told of none, and each cookie comes back. */
static void queue_breaks_in_a_burst(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    f->model->hold_tx = true;
    post_frames(f, memory, 12, 0);
    assert_int_equal(model_held(f->model, MODEL_TX), 12);
    model_set_used_index(f->model, MODEL_TX, 13);
    uint64_t told = f->model->queue[MODEL_TX].notifications;
    for (uint32_t i = 0; i < 8; i++)
        f->packets[i] = packet_of(memory, 12 + i % 4, 60);
    int32_t posted = virtio_net_tx_post(f->net, 0, 0, f->packets, 8);
    if (posted < 0)
        assert_int_equal(posted, VIRTIO_NET_ERROR_NEEDS_RESET);
    else
        assert_int_equal(posted, 4);
    assert_int_equal(model_avail_index(f->model, MODEL_TX), 12);
    assert_int_equal(f->model->queue[MODEL_TX].notifications, told);
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, f->packets, 1), VIRTIO_NET_ERROR_NEEDS_RESET);
    uint32_t wanted = posted < 0 ? 12 : 16;
    assert_int_equal(statistics_of(f).tx_frames, wanted);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    struct virtio_net_packet back[BUFFERS + 1];
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, back, BUFFERS + 1), wanted);
    for (uint32_t i = 0; i < wanted; i++)
        check_returned(&back[i], i, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
    f->model->hold_tx = false;
    assert_working(f, 1);
    take_down(f);
}

/* Nobody reaps: the slots stay taken, and a full ring refuses frames of either kind without dropping a cookie. */
static void never_dropped(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    post_frames(f, memory, BUFFERS, 7);
    struct virtio_net_packet one_more = packet_of(memory, 0, 60);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &one_more, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 60), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_int_equal(virtio_net_tx_free(f->net, 0), 0);
    }
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, BUFFERS), BUFFERS);
    for (uint32_t i = 0; i < BUFFERS; i++)
        check_returned(&f->packets[i], i, VIRTIO_NET_PACKET_EXTERNAL);
    take_down(f);
}

/* Pool frames and external ones in one ring, completed in any order. */
static void mixed_with_pool(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    f->model->hold_tx = true;
    bool out[BUFFERS] = {false};
    uint32_t returned = 0;
    uint32_t posted = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        uint64_t dice = mix(step, 9);
        uint32_t buffer = (uint32_t)(dice >> 16) % BUFFERS;
        uint32_t held = model_held(f->model, MODEL_TX);
        if (dice % 4 == 0) {
            (void)virtio_net_send(f->net, 0, 0, f->frame, 60);
        } else if (dice % 4 == 1 && !out[buffer]) {
            struct virtio_net_packet packet = packet_of(memory, buffer, 60 + buffer);
            out[buffer] = virtio_net_tx_post(f->net, 0, 0, &packet, 1) == 1;
            posted += out[buffer];
        } else if (dice % 4 == 2 && held > 0) {
            model_tx_complete_at(f->model, (uint32_t)(dice >> 8) % held);
        } else {
            struct virtio_net_packet back = {.slot = 0};
            if (virtio_net_tx_reap(f->net, 0, 0, &back, 1) == 1) {
                uint32_t which = (uint32_t)(back.cookie & 0xff);
                check_returned(&back, which, VIRTIO_NET_PACKET_EXTERNAL);
                assert_true(out[which]);
                out[which] = false;
                returned++;
            }
        }
    }
    assert_true(returned > 1000);
    assert_in_range(posted - returned, 0, 16);
    take_down(f);
}

static void bad_posts(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    const struct virtio_net_packet good = packet_of(memory, 0, 60);
    struct virtio_net_packet packet = good;
    packet.length = 13;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_FRAME_EMPTY);
    packet.length = info_of(f).max_frame_length + 1;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
    for (uint32_t flag = 1; flag <= VIRTIO_NET_PACKET_TIMESTAMP; flag *= 2) {
        if (flag == VIRTIO_NET_PACKET_HAS_HEADER)
            continue;
        packet = good;
        packet.flags = flag;
        assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_UNSUPPORTED);
    }
    static const uint64_t addresses[] = {0, 1, 9, UINT64_MAX, UINT64_MAX - 58};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        packet = good;
        packet.device_address = addresses[i];
        assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_DMA_ADDRESS);
    }
    packet = good;
    packet.data = NULL;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_free(f->net, 0), 16);
    take_down(f);
}

/* A header that is there already is left alone: the model finds what the caller wrote. */
static void header_of_the_caller(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    uint32_t header = info_of(f).header_length;
    struct virtio_net_packet packet = packet_of(memory, 0, 100);
    memset(packet.data - header, 0, header);
    frame_fill(packet.data, 100, 1);
    packet.flags = VIRTIO_NET_PACKET_HAS_HEADER;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), 1);
    assert_sent(f, 100, 1);
    f->model->on_violation = NULL;
    packet = packet_of(memory, 1, 100);
    packet.flags = VIRTIO_NET_PACKET_HAS_HEADER;
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), 1);
    assert_int_equal(atomic_exchange(&f->model->violations, 0), 1);
    take_down(f);
}

/* The caller takes its frames back in an order of its own. */
static void taken_in_any_order(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    for (uint64_t round = 0; round < 50; round++) {
        struct virtio_net_packet back = {.slot = 0};
        f->model->hold_tx = true;
        post_frames(f, memory, BUFFERS, round);
        assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
        back.slot = f->packets[3].slot;
        assert_int_equal(virtio_net_tx_take(f->net, 0, &back), VIRTIO_NET_ERROR_SLOT);
        assert_int_equal(model_held(f->model, MODEL_TX), BUFFERS);
        assert_int_equal(model_tx_complete(f->model, BUFFERS), BUFFERS);
        assert_int_equal(virtio_net_tx_next(f->net, 0), f->packets[0].slot);
        for (uint32_t left = BUFFERS; left > 0; left--) {
            uint32_t which = (uint32_t)mix(round, left) % left;
            back.slot = f->packets[which].slot;
            assert_int_equal(virtio_net_tx_take(f->net, 0, &back), VIRTIO_NET_SUCCESS);
            assert_true(back.cookie == f->packets[which].cookie);
            assert_int_equal(back.flags, VIRTIO_NET_PACKET_EXTERNAL);
            assert_int_equal(virtio_net_tx_take(f->net, 0, &back), VIRTIO_NET_ERROR_SLOT);
            f->packets[which] = f->packets[left - 1];
            assert_int_equal(virtio_net_tx_free(f->net, 0), BUFFERS - left + 1);
        }
        assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
        f->model->hold_tx = false;
        assert_working(f, round);
    }
    take_down(f);
}

static void next_and_take_arguments(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_packet packet = {.slot = 0};
    bring_up(f);
    assert_int_equal(virtio_net_tx_next(NULL, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_take(NULL, 0, &packet), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_take(f->net, 0, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_rx_next(NULL, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_tx_next(f->net, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
    assert_int_equal(virtio_net_tx_take(f->net, 1, &packet), VIRTIO_NET_ERROR_QUEUE_PAIR);
    assert_int_equal(virtio_net_rx_next(f->net, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
    for (uint32_t slot = 0; slot < 65536; slot += slot < 32 ? 1 : 97) {
        packet.slot = (uint16_t)slot;
        assert_int_equal(virtio_net_tx_take(f->net, 0, &packet), VIRTIO_NET_ERROR_SLOT);
    }
    /* A pool frame that has come back is nobody's to take. */
    send_one(f, 60, 1);
    assert_int_equal(virtio_net_tx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    take_down(f);
}

/* After a stop every cookie comes back: LOST where the device had not used the buffer. */
static void stop_returns_cookies(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_TO_DEVICE);
    f->model->hold_tx = true;
    post_frames(f, memory, 10, 1);
    assert_int_equal(model_held(f->model, MODEL_TX), 10);
    assert_int_equal(model_tx_complete(f->model, 4), 4);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    bool seen[BUFFERS] = {false};
    uint32_t lost = 0;
    int32_t got = virtio_net_tx_reap(f->net, 0, 0, f->packets, 3);
    assert_int_equal(got, 3);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets + 3, 20), 7);
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t which = (uint32_t)(f->packets[i].cookie & 0xff);
        assert_false(seen[which]);
        seen[which] = true;
        assert_true((f->packets[i].flags & VIRTIO_NET_PACKET_EXTERNAL) != 0);
        lost += (f->packets[i].flags & VIRTIO_NET_PACKET_LOST) != 0;
    }
    assert_in_range(lost, 6, 10);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, 1), 0);
    assert_true(statistics_of(f).tx_lost >= 6);
    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
    f->model->hold_tx = false;
    assert_working(f, 3);
    take_down(f);
}

/* -------------------------------------------------------------------------------------------------------------- receive */

static void external_receive(struct fixture *f)
{
    f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    assert_int_equal(info_of(f).rx_buffer_bytes, 0);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), VIRTIO_NET_ERROR_NO_POOL);
}

static void post_buffers(struct fixture *f, struct memory *memory, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        f->packets[i] = packet_of(memory, i, BUFFER_BYTES - FRONT);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, f->packets, count), count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(f->packets[i].slot, i);
}

static void receive(void **state)
{
    struct fixture *f = *state;
    external_receive(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_FROM_DEVICE);
    assert_false(model_rx_deliver(f->model, f->frame, 60));
    post_buffers(f, memory, BUFFERS);
    struct virtio_net_packet extra = packet_of(memory, 0, FRAME_MAX);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &extra, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
    for (uint64_t i = 0; i < 2000; i++) {
        deliver(f, frame_length(i), i);
        struct virtio_net_packet packet;
        memset(&packet, 0xee, sizeof packet);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        uint32_t which = (uint32_t)(packet.cookie & 0xff);
        check_returned(&packet, which, VIRTIO_NET_PACKET_EXTERNAL);
        assert_ptr_equal(packet.data, memory->bytes[which] + FRONT);
        frame_assert(packet.data, packet.length, frame_length(i), i);
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &extra, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
        assert_int_equal(model_held(f->model, MODEL_RX), BUFFERS - 1);
        packet = packet_of(memory, which, BUFFER_BYTES - FRONT);
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), 1);
        assert_in_range(packet.slot, 0, 15);
    }
    take_down(f);
}

static void stop_returns_receive_cookies(void **state)
{
    struct fixture *f = *state;
    external_receive(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_FROM_DEVICE);
    post_buffers(f, memory, BUFFERS);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets, BUFFERS), 0);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets, 6), 6);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets + 6, BUFFERS), BUFFERS - 6);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < BUFFERS; i++) {
        uint32_t which = (uint32_t)(f->packets[i].cookie & 0xff);
        check_returned(&f->packets[i], which, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
        seen |= UINT64_C(1) << which;
    }
    assert_int_equal(seen, 0xffff);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets, BUFFERS), 0);
    assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
    post_buffers(f, memory, BUFFERS);
    deliver(f, 100, 1);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 1), 1);
    take_down(f);
}

static void bad_receive_posts(void **state)
{
    struct fixture *f = *state;
    external_receive(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_FROM_DEVICE);
    struct virtio_net_packet packet = packet_of(memory, 0, FRAME_MAX - 1);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);
    packet = packet_of(memory, 0, FRAME_MAX);
    packet.flags = VIRTIO_NET_PACKET_MORE;
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_UNSUPPORTED);
    static const uint64_t addresses[] = {0, 5, UINT64_MAX, UINT64_MAX - FRAME_MAX + 2};
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        packet = packet_of(memory, 0, FRAME_MAX);
        packet.device_address = addresses[i];
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_DMA_ADDRESS);
    }
    packet = packet_of(memory, 0, FRAME_MAX);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), 1);
    deliver(f, FRAME_MAX, 4);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
    frame_assert(packet.data, packet.length, FRAME_MAX, 4);
    take_down(f);
}

/* What the device had when it was reset is nobody's to release: it comes back through rx_reap, and only there. */
static void lost_slots_are_not_lent(void **state)
{
    struct fixture *f = *state;
    external_receive(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_FROM_DEVICE);
    post_buffers(f, memory, 4);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    for (unsigned running = 0; running < 2; running++) {
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets + i, 1), VIRTIO_NET_ERROR_SLOT);
            assert_null(virtio_net_rx_frame(f->net, 0, f->packets[i].slot));
        }
        if (running == 0)
            assert_int_equal(virtio_net_start(f->net), VIRTIO_NET_SUCCESS);
    }
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets, BUFFERS), 4);
    take_down(f);
}

/* A pool has all slots of its direction. */
static void pool_leaves_no_slot(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_FROM_DEVICE);
    struct virtio_net_packet packet = packet_of(memory, 0, FRAME_MAX);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_QUEUE_FULL);
    take_down(f);
}

/* A bad element costs its frame: the external buffer's cookie comes back with a length of 0. */
static void dropped_frame_returns_cookie(void **state)
{
    struct fixture *f = *state;
    external_receive(f);
    struct memory *memory = share_memory(f, VIRTIO_NET_DMA_FROM_DEVICE);
    post_buffers(f, memory, 4);
    struct model_delivery delivery = {.frame = f->frame, .length = 60, .forged_length = true, .used_length = 3};
    assert_true(model_rx_deliver_as(f->model, &delivery));
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 4), 1);
    assert_int_equal(f->packets[0].length, 0);
    check_returned(&f->packets[0], 0, VIRTIO_NET_PACKET_EXTERNAL);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 1), 1);
    assert_int_equal(statistics_of(f).rx_dropped_short, 1);
    assert_int_equal(statistics_of(f).rx_frames, 0);
    deliver(f, 100, 2);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 4), 1);
    frame_assert(f->packets[0].data, f->packets[0].length, 100, 2);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 1), 1);
    assert_int_equal(model_held(f->model, MODEL_RX), 2);
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, f->packets, BUFFERS), 2);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(transmit), OVER_VARIANTS(queue_breaks_in_a_burst), OVER_VARIANTS(never_dropped),
             OVER_VARIANTS(mixed_with_pool), OVER_VARIANTS(bad_posts), OVER_VARIANTS(header_of_the_caller),
             OVER_VARIANTS(taken_in_any_order), OVER_VARIANTS(next_and_take_arguments), OVER_VARIANTS(stop_returns_cookies),
             OVER_VARIANTS(receive), OVER_VARIANTS(stop_returns_receive_cookies), OVER_VARIANTS(bad_receive_posts),
             OVER_VARIANTS(pool_leaves_no_slot), OVER_VARIANTS(lost_slots_are_not_lent),
             OVER_VARIANTS(dropped_frame_returns_cookie))
