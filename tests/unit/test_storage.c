/*
 * test_storage.c - the driver's storage: moved by memcpy between calls, never written past, refused where it is misaligned.
 */
#include "harness.h"

enum { CANARY = 256 };

/* A second place, so that the driver changes its address with each move and the old bytes are junk. */
static void move(struct fixture *f)
{
    struct virtio_net *elsewhere = aligned_alloc(VIRTIO_NET_STORAGE_ALIGNMENT, f->storage_bytes);
    assert_non_null(elsewhere);
    memcpy(elsewhere, f->net, f->storage_bytes);
    memset(f->net, 0xdd, f->storage_bytes);
    free(f->net);
    f->net = elsewhere;
}

static void moved_between_calls(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 500; i++) {
        struct virtio_net_packet packet;
        uint32_t length = frame_length(i);
        move(f);
        send_one(f, length, i);
        move(f);
        assert_sent(f, length, i);
        deliver(f, length, ~i);
        move(f);
        assert_received(f, length, ~i);
        move(f);
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &packet, 1), 1);
        move(f);
        packet.length = FRAME_MIN;
        frame_fill(packet.data, FRAME_MIN, i);
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), 1);
        assert_sent(f, FRAME_MIN, i);
        deliver(f, FRAME_MIN, i);
        move(f);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        move(f);
        frame_assert(packet.data, packet.length, FRAME_MIN, i);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
        move(f);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    }
    move(f);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    move(f);
    assert_working(f, 1);
    move(f);
    take_down(f);
}

/* The context may change with the move: it is the host's object that moved. */
static void context_moves_too(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    virtio_net_set_context(f->net, f->model);
    move(f);
    virtio_net_set_context(f->net, f->model);
    assert_working(f, 1);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    take_down(f);
}

static int32_t init_at(struct fixture *f, uint8_t *place, uint64_t bytes)
{
    struct virtio_net *net = (void *)place;
    if (f->variant->table)
        return virtio_net_init(net, bytes, &model_transport, f->platform, f->model, &f->options);
    return virtio_net_init_mmio(net, bytes, f->model->registers, f->platform, f->model, &f->options);
}

static void wrong_alignment(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes = VIRTIO_NET_STORAGE_BYTES(16, 16);
    uint8_t *place = aligned_alloc(64, bytes + 64);
    assert_non_null(place);
    memset(place, 0x99, bytes + 64);
    for (uint32_t offset = 1; offset < 64; offset++) {
        assert_int_equal(init_at(f, place + offset, bytes), VIRTIO_NET_ERROR_STORAGE);
        assert_int_equal(place[offset], 0x99);
    }
    free(place);
}

/* Bytes in front of and behind the storage stay as they are, through a whole life. */
static void canaries(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {1, 2, 16, 256};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t bytes = VIRTIO_NET_STORAGE_BYTES((uint64_t)sizes[i], 16);
        uint8_t *place = aligned_alloc(64, (bytes + 2 * CANARY + 63) & ~(uint64_t)63);
        assert_non_null(place);
        memset(place, 0x5c, bytes + 2 * CANARY);
        f->options.tx_slots = sizes[i];
        assert_int_equal(init_at(f, place + CANARY, bytes), VIRTIO_NET_SUCCESS);
        f->net = (void *)(place + CANARY);
        for (uint64_t seed = 0; seed < 100; seed++)
            assert_working(f, seed);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, 1);
        take_down(f);
        f->net = NULL;
        for (uint32_t at = 0; at < CANARY; at++) {
            assert_int_equal(place[at], 0x5c);
            assert_int_equal(place[CANARY + bytes + at], 0x5c);
        }
        free(place);
    }
}

/* More storage than needed is as good; it is what is declared, not what the device makes of it, that counts. */
static void declared_storage(void **state)
{
    struct fixture *f = *state;
    static VIRTIO_NET_STORAGE(card, 64, 32);
    assert_int_equal(sizeof card, VIRTIO_NET_STORAGE_BYTES(64, 32));
    assert_int_equal(init_at(f, (uint8_t *)card, sizeof card), VIRTIO_NET_SUCCESS);
    f->net = (struct virtio_net *)card;
    assert_working(f, 1);
    take_down(f);
    f->net = NULL;
}

TEST_PROGRAM(OVER_VARIANTS(moved_between_calls), OVER_VARIANTS(context_moves_too), OVER_VARIANTS(wrong_alignment),
             OVER_VARIANTS(canaries), OVER_VARIANTS(declared_storage))
