/*
 * test_no_pool.c - directions without a pool: nothing is allocated but the rings, the copying calls say NO_POOL, and memory of
 * the caller carries everything.
 */
#include "harness.h"

enum { BUFFERS = 32, BUFFER_BYTES = 2048, FRONT = 12 };

static void no_pool_at_all(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[BUFFERS][BUFFER_BYTES];
    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    assert_int_equal(model_blocks_out(f->model), 2);
    assert_int_equal(info_of(f).tx_buffer_bytes, 0);
    assert_int_equal(info_of(f).rx_buffer_bytes, 0);
    assert_int_equal(virtio_net_tx_free(f->net, 0), 16);
    uint64_t address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_BOTH);
    uint32_t front = info_of(f).header_length;
    for (uint64_t round = 0; round < 3000; round++) {
        struct virtio_net_packet out = {.cookie = round,
                                        .data = memory[round % 16] + front,
                                        .device_address = address + round % 16 * BUFFER_BYTES + front,
                                        .length = frame_length(round)};
        struct virtio_net_packet in = {.cookie = ~round,
                                       .data = memory[16 + round % 16] + front,
                                       .device_address = address + (16 + round % 16) * BUFFER_BYTES + front,
                                       .length = BUFFER_BYTES - FRONT};
        frame_fill(out.data, out.length, round);
        assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &out, 1), 1);
        assert_sent(f, frame_length(round), round);
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &in, 1), 1);
        deliver(f, frame_length(~round), ~round);
        struct virtio_net_packet back;
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &back, 1), 1);
        assert_true(back.cookie == round);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &back, 1), 1);
        assert_true(back.cookie == ~round);
        frame_assert(back.data, back.length, frame_length(~round), ~round);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &back, 1), 1);
    }
    take_down(f);
}

static void copying_calls_are_refused(void **state)
{
    struct fixture *f = *state;
    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    same_packets(f, 1);
    assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, 60), VIRTIO_NET_ERROR_NO_POOL);
    assert_int_equal(virtio_net_send_burst(f->net, 0, 0, f->packets, 1), VIRTIO_NET_ERROR_NO_POOL);
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, f->packets, 1), VIRTIO_NET_ERROR_NO_POOL);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, 2048), VIRTIO_NET_ERROR_NO_POOL);
    assert_int_equal(virtio_net_receive_burst(f->net, 0, 0, f->packets, 1), VIRTIO_NET_ERROR_NO_POOL);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 1), 0);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    take_down(f);
}

static struct virtio_net_packet part_of(uint8_t *memory, uint64_t address, uint32_t number, uint32_t length)
{
    uint32_t offset = number * BUFFER_BYTES + FRONT;
    return (struct virtio_net_packet){
        .cookie = 7 + number, .data = memory + offset, .device_address = address + offset, .length = length};
}

static void assert_part(const struct virtio_net_packet *packet, uint8_t *memory, uint64_t address, uint32_t number,
                        uint32_t length, uint32_t flags)
{
    struct virtio_net_packet wanted = part_of(memory, address, number, length);
    assert_int_equal(packet->flags, VIRTIO_NET_PACKET_EXTERNAL | flags);
    assert_true(packet->cookie == wanted.cookie && packet->data == wanted.data);
    assert_true(packet->device_address == wanted.device_address);
    assert_int_equal(packet->length, wanted.length);
}

/* Who has posted much need not remember it: each buffer comes back with its place, sent, filled, or lost. */
static void what_was_posted_comes_back(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[BUFFERS * BUFFER_BYTES];
    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    f->model->hold_tx = true;
    uint64_t address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_BOTH);
    struct virtio_net_packet packet, sent[16], posted[16];
    for (uint32_t i = 0; i < 16; i++) {
        sent[i] = part_of(memory, address, i, FRAME_MIN + i);
        posted[i] = part_of(memory, address, 16 + i, 1514 + i);
    }
    assert_int_equal(virtio_net_rx_oldest(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, sent, 16), 16);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, posted, 16), 16);
    assert_int_equal(virtio_net_rx_oldest(f->net, 0), 0);
    model_poll(f->model, MODEL_TX);
    assert_int_equal(model_tx_complete(f->model, 2), 2);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 1);
    assert_part(&packet, memory, address, 0, FRAME_MIN, 0);
    packet.slot = 1;
    assert_int_equal(virtio_net_tx_take(f->net, 0, &packet), VIRTIO_NET_SUCCESS);
    assert_part(&packet, memory, address, 1, FRAME_MIN + 1, 0);
    deliver(f, 100, 1);
    assert_int_equal(virtio_net_rx_take(f->net, 0, &packet), VIRTIO_NET_ERROR_SLOT); /* not peeked yet */
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
    assert_int_equal(packet.length, 100);
    assert_int_equal(virtio_net_rx_take(f->net, 0, &packet), VIRTIO_NET_SUCCESS);
    assert_part(&packet, memory, address, 16, 1514, 0);
    assert_int_equal(virtio_net_rx_take(f->net, 0, &packet), VIRTIO_NET_ERROR_SLOT);
    assert_int_equal(virtio_net_rx_oldest(f->net, 0), 1);
    deliver(f, 100, 2);
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 1), 1); /* held through the reset: not lost */
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_rx_oldest(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    for (uint32_t i = 2; i < 16; i++) {
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 1);
        assert_part(&packet, memory, address, i, FRAME_MIN + i, VIRTIO_NET_PACKET_LOST);
        if (i == 8)
            assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        int32_t lost = virtio_net_rx_next(f->net, 0);
        assert_in_range(lost, 2, 15);
        packet.slot = (uint16_t)lost;
        assert_int_equal(virtio_net_rx_take(f->net, 0, &packet), VIRTIO_NET_SUCCESS);
        assert_part(&packet, memory, address, 16 + (uint32_t)lost, 1514 + (uint32_t)lost, VIRTIO_NET_PACKET_LOST);
    }
    assert_int_equal(virtio_net_rx_next(f->net, 0), VIRTIO_NET_ERROR_NOT_READY);
    assert_int_equal(virtio_net_rx_take(f->net, 0, f->packets), VIRTIO_NET_SUCCESS);
    assert_part(f->packets, memory, address, 17, 1515, 0);
    assert_int_equal(virtio_net_rx_take(f->net, 1, &packet), VIRTIO_NET_ERROR_QUEUE_PAIR);
    assert_int_equal(virtio_net_rx_oldest(f->net, 1), VIRTIO_NET_ERROR_QUEUE_PAIR);
    assert_int_equal(virtio_net_rx_take(f->net, 0, NULL), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    assert_int_equal(virtio_net_rx_oldest(NULL, 0), VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    take_down(f);
}

/* One direction with a pool, the other without. */
static void one_direction(void **state)
{
    struct fixture *f = *state;
    for (unsigned way = 0; way < 2; way++) {
        fixture_renew(f);
        f->options.tx_buffer_bytes = way == 0 ? VIRTIO_NET_NO_POOL : 0;
        f->options.rx_buffer_bytes = way == 1 ? VIRTIO_NET_NO_POOL : 0;
        bring_up(f);
        if (way == 0) {
            deliver(f, 100, 1);
            assert_received(f, 100, 1);
        } else {
            send_one(f, 100, 1);
            assert_sent(f, 100, 1);
        }
        take_down(f);
    }
}

/* No notification where nothing was posted, and one for the first buffers. */
static void first_buffers_are_announced(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[BUFFERS][BUFFER_BYTES];
    f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), 0);
    uint64_t address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_FROM_DEVICE);
    for (uint32_t i = 0; i < 16; i++)
        f->packets[i] = (struct virtio_net_packet){
            .data = memory[i] + FRONT, .device_address = address + (uint64_t)i * BUFFER_BYTES + FRONT, .length = 1514};
    assert_int_equal(virtio_net_rx_post(f->net, 0, VIRTIO_NET_NO_KICK, f->packets, 4), 4);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), 0);
    assert_int_equal(virtio_net_rx_post(f->net, 0, 0, f->packets + 4, 12), 12);
    assert_int_equal(atomic_load(&f->model->queue[MODEL_RX].notifications), 1);
    assert_int_equal(model_held(f->model, MODEL_RX), 16);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(no_pool_at_all), OVER_VARIANTS(copying_calls_are_refused), OVER_VARIANTS(one_direction),
             OVER_VARIANTS(what_was_posted_comes_back), OVER_VARIANTS(first_buffers_are_announced))
