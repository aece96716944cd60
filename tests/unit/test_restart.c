/*
 * test_restart.c - stop and start at any moment of a random life: what the caller holds stays its own, each cookie comes back
 * exactly once and tells truly whether it was lost, and no slot gets lost or is in two places.
 */
#include "harness.h"

enum { BUFFERS = 16, BUFFER_BYTES = 2048, FRONT = 64, SLOTS = 16, STEPS = 30000 };

/* Where a buffer of the caller's is, by what the test has seen. */
enum place { MINE, IN_FLIGHT, USED, LOST, LENT };

struct life {
    struct fixture *f;
    enum place place[BUFFERS];
    struct virtio_net_packet held[SLOTS];
    uint64_t seed[SLOTS];
    uint32_t held_count;
    uint64_t delivered, taken; /* receive: frames given to the driver, and out of it */
    uint64_t address;
    bool running;
};

static uint8_t memory[BUFFERS][BUFFER_BYTES];

static struct virtio_net_packet packet_of(const struct life *life, uint32_t buffer, uint32_t length)
{
    return (struct virtio_net_packet){.cookie = buffer,
                                      .data = memory[buffer] + FRONT,
                                      .device_address = life->address + (uint64_t)buffer * BUFFER_BYTES + FRONT,
                                      .length = length};
}

/* Which of the caller's buffers the device holds at a position of its list; BUFFERS for a buffer of the pool. */
static uint32_t buffer_at(struct life *life, uint32_t queue, uint32_t position)
{
    const struct model_buffer *buffer = queue_pending(&life->f->model->queue[queue], position);
    uintptr_t distance = (uintptr_t)buffer->part[0].at - (uintptr_t)memory;
    return distance < sizeof memory ? (uint32_t)(distance / BUFFER_BYTES) : BUFFERS;
}

static uint32_t count_of(const struct life *life, enum place place)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < BUFFERS; i++)
        count += life->place[i] == place;
    return count;
}

static void check_cookie(struct life *life, const struct virtio_net_packet *packet)
{
    assert_in_range(packet->cookie, 0, BUFFERS - 1);
    enum place place = life->place[packet->cookie];
    assert_true(place == USED || place == LOST);
    assert_int_equal(packet->flags, VIRTIO_NET_PACKET_EXTERNAL | (place == LOST ? VIRTIO_NET_PACKET_LOST : 0));
    life->place[packet->cookie] = MINE;
}

static void stop(struct life *life)
{
    assert_int_equal(virtio_net_stop(life->f->net), VIRTIO_NET_SUCCESS);
    life->running = false;
    for (uint32_t i = 0; i < BUFFERS; i++) {
        if (life->place[i] == IN_FLIGHT)
            life->place[i] = LOST;
    }
}

/* A few steps in the dark, then up again. */
static void restart(struct life *life, uint64_t dice)
{
    if (dice % 2 == 0) {
        assert_int_equal(virtio_net_recover(life->f->net), VIRTIO_NET_SUCCESS);
        for (uint32_t i = 0; i < BUFFERS; i++) {
            if (life->place[i] == IN_FLIGHT)
                life->place[i] = LOST;
        }
        return;
    }
    stop(life);
    struct virtio_net_packet back[3];
    uint32_t wanted = (uint32_t)(dice >> 4) % 4;
    int32_t got = virtio_net_tx_reap(life->f->net, 0, 0, back, wanted);
    for (int32_t i = 0; i < got; i++)
        check_cookie(life, &back[i]);
    assert_int_equal(virtio_net_start(life->f->net), VIRTIO_NET_SUCCESS);
    life->running = true;
}

/* ------------------------------------------------------------------------------------------------------------- transmit */

static void send_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    uint32_t buffer = (uint32_t)(dice >> 8) % BUFFERS;
    bool room = virtio_net_tx_free(f->net, 0) > 0;
    if (dice % 2 == 0) {
        int32_t code = virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN);
        assert_int_equal(code, room ? VIRTIO_NET_SUCCESS : VIRTIO_NET_ERROR_QUEUE_FULL);
    } else if (life->place[buffer] == MINE) {
        struct virtio_net_packet packet = packet_of(life, buffer, FRAME_MIN + buffer);
        assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), room ? 1 : VIRTIO_NET_ERROR_QUEUE_FULL);
        if (room)
            life->place[buffer] = IN_FLIGHT;
    }
}

static void hold_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    uint32_t which = life->held_count == 0 ? 0 : (uint32_t)(dice >> 8) % life->held_count;
    if (dice % 2 == 0 && life->held_count < SLOTS) {
        int32_t got = virtio_net_tx_reserve(f->net, 0, 0, &life->held[life->held_count], 1);
        if (got != 1)
            return;
        struct virtio_net_packet *packet = &life->held[life->held_count++];
        packet->length = FRAME_MIN;
        frame_fill(packet->data, FRAME_MIN, packet->slot);
    } else if (life->held_count > 0) {
        struct virtio_net_packet *packet = &life->held[which];
        frame_assert(packet->data, FRAME_MIN, FRAME_MIN, packet->slot);
        int32_t code =
            dice % 8 < 4 ? virtio_net_tx_commit(f->net, 0, 0, packet, 1) : virtio_net_tx_cancel(f->net, 0, 0, packet, 1);
        assert_int_equal(code, 1);
        *packet = life->held[--life->held_count];
    }
}

static void complete_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    uint32_t held = model_held(f->model, MODEL_TX);
    if (held > 0) {
        uint32_t position = (uint32_t)(dice >> 8) % held;
        uint32_t buffer = buffer_at(life, MODEL_TX, position);
        model_tx_complete_at(f->model, position);
        if (buffer < BUFFERS)
            life->place[buffer] = USED;
    }
    struct virtio_net_packet back;
    if (dice % 3 == 0 && virtio_net_tx_reap(f->net, 0, 0, &back, 1) == 1)
        check_cookie(life, &back);
}

static void transmit_life(void **state)
{
    struct fixture *f = *state;
    struct life life = {.f = f, .running = true};
    bring_up(f);
    life.address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_TO_DEVICE);
    f->model->hold_tx = true;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t dice = mix(step, 31) >> 8;
        switch (mix(step, 32) % 16) {
        case 0:
            restart(&life, dice);
            break;
        case 1:
        case 2:
        case 3:
        case 4:
            send_step(&life, dice);
            break;
        case 5:
        case 6:
        case 7:
            hold_step(&life, dice);
            break;
        default:
            complete_step(&life, dice);
            break;
        }
        uint32_t waiting = count_of(&life, USED) + count_of(&life, LOST);
        uint32_t in_device = model_held(f->model, MODEL_TX);
        int32_t free_slots = virtio_net_tx_free(f->net, 0);
        /* tx_free may tell less than there is while external frames wait to be reaped, never more. */
        assert_true((uint32_t)free_slots <= SLOTS - life.held_count - in_device - waiting);
        if (virtio_net_tx_reap(f->net, 0, 0, NULL, 0) == 0)
            assert_int_equal(virtio_net_tx_free(f->net, 0), SLOTS - life.held_count - in_device - waiting);
    }
    take_down(f);
}

/* -------------------------------------------------------------------------------------------------------------- receive */

static void deliver_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    uint32_t held = model_held(f->model, MODEL_RX);
    if (held == 0)
        return;
    struct model_delivery delivery = {.frame = f->frame, .length = FRAME_MIN, .position = (uint32_t)(dice >> 8) % held};
    uint32_t buffer = buffer_at(life, MODEL_RX, delivery.position);
    frame_fill(f->frame, FRAME_MIN, life->delivered++);
    assert_true(model_rx_deliver_as(f->model, &delivery));
    if (buffer < BUFFERS)
        life->place[buffer] = USED;
}

static void peek_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    if (life->held_count == SLOTS || dice % 4 == 0)
        return;
    struct virtio_net_packet *packet = &life->held[life->held_count];
    assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, packet, 1), life->taken < life->delivered);
    if (life->taken == life->delivered)
        return;
    life->seed[life->held_count++] = life->taken;
    frame_assert(packet->data, packet->length, FRAME_MIN, life->taken++);
    if ((packet->flags & VIRTIO_NET_PACKET_EXTERNAL) != 0) {
        assert_int_equal(life->place[packet->cookie], USED);
        life->place[packet->cookie] = LENT;
    }
}

static void release_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    if (life->held_count == 0)
        return;
    uint32_t which = (uint32_t)(dice >> 8) % life->held_count;
    struct virtio_net_packet packet = life->held[which];
    frame_assert(packet.data, packet.length, FRAME_MIN, life->seed[which]);
    assert_ptr_equal(virtio_net_rx_frame(f->net, 0, packet.slot), packet.data);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
    assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), VIRTIO_NET_ERROR_SLOT);
    life->held[which] = life->held[--life->held_count];
    life->seed[which] = life->seed[life->held_count];
    if ((packet.flags & VIRTIO_NET_PACKET_EXTERNAL) != 0)
        life->place[packet.cookie] = MINE;
}

/* Frames that were waiting in the driver's ring are lost with the reset; external ones among them come back as such. */
static void receive_restart(struct life *life, uint64_t dice)
{
    stop(life);
    for (uint32_t i = 0; i < BUFFERS; i++) {
        if (life->place[i] == USED)
            life->place[i] = LOST;
    }
    life->taken = life->delivered;
    for (uint64_t wanted = dice % 5; wanted > 0; wanted--) {
        struct virtio_net_packet back;
        uint32_t lost = count_of(life, LOST);
        assert_int_equal(virtio_net_rx_reap(life->f->net, 0, 0, &back, 1), lost > 0);
        if (lost > 0)
            check_cookie(life, &back);
    }
    assert_int_equal(virtio_net_start(life->f->net), VIRTIO_NET_SUCCESS);
    life->running = true;
}

static void receive_pool_life(void **state)
{
    struct fixture *f = *state;
    struct life life = {.f = f, .running = true};
    bring_up(f);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t dice = mix(step, 41) >> 8;
        switch (mix(step, 42) % 8) {
        case 0:
            if (dice % 4 == 0)
                receive_restart(&life, dice >> 8);
            break;
        case 1:
        case 2:
        case 3:
            deliver_step(&life, dice);
            break;
        case 4:
        case 5:
            peek_step(&life, dice);
            break;
        default:
            release_step(&life, dice);
            break;
        }
        assert_int_equal(model_held(f->model, MODEL_RX) + life.held_count + (life.delivered - life.taken), SLOTS);
    }
    take_down(f);
}

/* Posts a buffer, which must succeed while there is a free slot; or takes lost ones back. */
static void post_step(struct life *life, uint64_t dice)
{
    struct fixture *f = life->f;
    uint32_t buffer = (uint32_t)(dice >> 8) % BUFFERS;
    struct virtio_net_packet packet;
    if (dice % 4 == 0) {
        uint32_t lost = count_of(life, LOST);
        assert_int_equal(virtio_net_rx_reap(f->net, 0, 0, &packet, 1), lost > 0);
        if (lost > 0)
            check_cookie(life, &packet);
    } else if (life->place[buffer] == MINE) {
        packet = packet_of(life, buffer, FRAME_MAX);
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), 1);
        life->place[buffer] = IN_FLIGHT;
    }
}

static void receive_external_life(void **state)
{
    struct fixture *f = *state;
    struct life life = {.f = f, .running = true};
    f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    life.address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_FROM_DEVICE);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint64_t dice = mix(step, 51) >> 8;
        switch (mix(step, 52) % 16) {
        case 0:
            receive_restart(&life, dice);
            break;
        case 1:
        case 2:
        case 3:
        case 4:
            deliver_step(&life, dice);
            break;
        case 5:
        case 6:
        case 7:
            peek_step(&life, dice);
            break;
        case 8:
        case 9:
        case 10:
            release_step(&life, dice);
            break;
        default:
            post_step(&life, dice);
            break;
        }
        assert_int_equal(model_held(f->model, MODEL_RX), count_of(&life, IN_FLIGHT));
        assert_int_equal(life.held_count, count_of(&life, LENT));
    }
    take_down(f);
}

/* ------------------------------------------------------------------------------------------- another size, slots in hand */

/* Slots in hand cannot follow a queue of another size: the start says so, and works once the device has its old size. */
static void another_size_with_slots_in_hand(void **state)
{
    struct fixture *f = *state;
    for (unsigned way = 0; way < 2; way++) {
        fixture_renew(f);
        bring_up(f);
        struct virtio_net_packet packet;
        deliver(f, FRAME_MIN, 1);
        int32_t got = way == 0 ? virtio_net_tx_reserve(f->net, 0, 0, &packet, 1) : virtio_net_rx_peek(f->net, 0, 0, &packet, 1);
        assert_int_equal(got, 1);
        f->model->queue_max[way == 0 ? MODEL_TX : MODEL_RX] = 8;
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_ERROR_STATE);
        assert_int_equal(info_of(f).state, VIRTIO_NET_STATE_STOPPED);
        f->model->queue_max[MODEL_TX] = f->model->queue_max[MODEL_RX] = 1024;
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        packet.length = FRAME_MIN;
        got = way == 0 ? virtio_net_tx_commit(f->net, 0, 0, &packet, 1) : virtio_net_rx_release(f->net, 0, 0, &packet, 1);
        assert_int_equal(got, 1);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_working(f, way);
        f->model->queue_max[MODEL_TX] = f->model->queue_max[MODEL_RX] = 8;
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, way);
        take_down(f);
    }
}

TEST_PROGRAM(OVER_VARIANTS(transmit_life), OVER_VARIANTS(receive_pool_life), OVER_VARIANTS(receive_external_life),
             OVER_VARIANTS(another_size_with_slots_in_hand))
