/*
 * test_header.c - struct virtio_net_hdr in front of each frame (virtio 1.2, 5.1.6): 10 or 12 bytes, in the frame's descriptor
 * or in one of its own, and what a device may not put into it.
 */
#include "harness.h"

/* The model checks each buffer's layout and places the frame by its own reckoning, so a wrong length shifts the payload. */
static void exchange(struct fixture *f, uint32_t header, uint32_t parts)
{
    bring_up(f);
    assert_int_equal(info_of(f).header_length, header);
    f->model->hold_tx = true;
    send_one(f, FRAME_MIN, 1);
    (void)model_held(f->model, MODEL_TX);
    (void)model_held(f->model, MODEL_RX);
    assert_int_equal(queue_pending(&f->model->queue[MODEL_TX], 0)->parts, parts);
    assert_int_equal(queue_pending(&f->model->queue[MODEL_RX], 0)->parts, parts);
    assert_int_equal(model_tx_complete(f->model, 1), 1);
    f->model->hold_tx = false;
    for (uint64_t seed = 0; seed < 200; seed++)
        assert_working(f, seed);
}

static void ten_bytes(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(MRG_RXBUF);
    exchange(f, 10, 1);
    take_down(f);
}

static void twelve_bytes(void **state)
{
    struct fixture *f = *state;
    exchange(f, 12, 1);
    take_down(f);
}

static void twelve_bytes_without_merging(void **state)
{
    struct fixture *f = *state;
    f->model->features = MODEL_FEATURE(VERSION_1);
    f->options.fallback_mac[0] = 2;
    exchange(f, 12, 1);
    take_down(f);
}

/* --------------------------------------------------------------------------------------- header in a descriptor of its own */

static void separate_header(struct fixture *f, uint32_t maximum, uint32_t slots, uint32_t ring)
{
    f->model->features &= ~(MODEL_FEATURE(ANY_LAYOUT) | MODEL_FEATURE(MRG_RXBUF));
    f->model->queue_max[MODEL_TX] = f->model->queue_max[MODEL_RX] = maximum;
    exchange(f, 10, 2);
    assert_int_equal(info_of(f).tx_slots, slots);
    assert_int_equal(info_of(f).rx_slots, slots);
    assert_int_equal(f->model->queue[MODEL_TX].size, ring);
    f->model->hold_tx = true;
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < slots; i++)
            send_one(f, FRAME_MIN + i, i);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_ERROR_QUEUE_FULL);
        for (uint32_t held = model_held(f->model, MODEL_TX); held > 0; held--)
            model_tx_complete_at(f->model, (uint32_t)mix(round, held) % held);
        for (uint64_t i = 0; i < slots; i++)
            deliver(f, FRAME_MAX - (uint32_t)i, i);
        assert_false(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        for (uint64_t i = 0; i < slots; i++)
            assert_received(f, FRAME_MAX - (uint32_t)i, i);
    }
    take_down(f);
}

static void separate_with_twice_the_descriptors(void **state)
{
    separate_header(*state, 1024, 16, 32);
}

static void separate_by_indirect_tables(void **state)
{
    separate_header(*state, 16, 16, 16);
}

static void separate_with_fewer_slots(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(INDIRECT_DESC);
    separate_header(f, 16, 8, 16);
}

static void separate_in_the_smallest_ring(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(INDIRECT_DESC);
    separate_header(f, 4, 2, 4);
}

/* Two descriptors hold one frame of two parts; one does, behind a table. */
static void separate_with_one_slot(void **state)
{
    struct fixture *f = *state;
    separate_header(f, 1, 1, 1);
    fixture_renew(f);
    f->model->features &= ~MODEL_FEATURE(INDIRECT_DESC);
    separate_header(f, 3, 1, 2);
}

/* One descriptor cannot hold a frame of two parts: that is no queue. */
static void separate_without_room(void **state)
{
    struct fixture *f = *state;
    for (uint32_t maximum = 0; maximum < 2; maximum++) {
        fixture_renew(f);
        f->model->features &= ~(MODEL_FEATURE(ANY_LAYOUT) | MODEL_FEATURE(INDIRECT_DESC));
        f->model->queue_max[MODEL_TX] = maximum;
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_QUEUE_MISSING);
        assert_last_error(f, VIRTIO_NET_ERROR_QUEUE_MISSING, VIRTIO_NET_FIELD_QUEUE_SIZE, maximum, 2);
        assert_int_equal(last_error_of(f).queue, MODEL_TX);
    }
}

/* The second descriptor of a chain is no id that the device may return. */
static void id_in_the_middle_of_a_chain(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~(MODEL_FEATURE(ANY_LAYOUT) | MODEL_FEATURE(MRG_RXBUF));
    bring_up(f);
    assert_true(model_held(f->model, MODEL_RX) > 0);
    const struct model_queue *queue = &f->model->queue[MODEL_RX];
    uint16_t middle = queue->descriptors[queue->pending[0].head].next;
    assert_false(queue->busy[middle]);
    model_push_used(f->model, MODEL_RX, middle, 100);
    assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(last_error_of(f).code, VIRTIO_NET_ERROR_USED_ID);
    take_down(f);
}

/* ----------------------------------------------------------------------------------------------------------- bad headers */

static void deliver_with_header(struct fixture *f, uint32_t at, uint8_t value, uint64_t seed)
{
    struct model_delivery delivery = {.frame = f->frame, .length = 100, .forged_header = true};
    frame_fill(f->frame, 100, seed);
    delivery.header[10] = 1;
    delivery.header[at] = value;
    assert_true(model_rx_deliver_as(f->model, &delivery));
}

/* A checksum to complete and a segmentation to do are features that were not agreed on. The other flags ask for nothing. */
static void fields_not_agreed_on(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint64_t dropped = 0;
    for (uint32_t at = 0; at < 2; at++) {
        for (uint32_t value = 1; value < 256; value++) {
            bool bad = at == 1 || (value & 1) != 0;
            deliver_with_header(f, at, (uint8_t)value, value);
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), bad ? 0 : 100);
            dropped += bad;
            assert_int_equal(statistics_of(f).rx_dropped_header, dropped);
        }
        assert_working(f, at);
    }
    assert_int_equal(model_held(f->model, MODEL_RX), 16);
    take_down(f);
}

/* The option lets the frame pass; the fields still mean nothing. */
static void trusted_header(void **state)
{
    struct fixture *f = *state;
    f->options.flags = VIRTIO_NET_OPTION_TRUST_HEADER;
    bring_up(f);
    for (uint32_t at = 0; at < info_of(f).header_length; at++) {
        deliver_with_header(f, at, 0xff, at);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, f->packets, 2), 1);
        frame_assert(f->packets[0].data, f->packets[0].length, 100, at);
        assert_int_equal(f->packets[0].flags, 0);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 1), 1);
    }
    assert_int_equal(statistics_of(f).rx_dropped_header, 0);
    take_down(f);
}

/* hdr_len, gso_size, csum_start and csum_offset have no meaning where no flag says so: devices may leave anything there. */
static void fields_without_meaning(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t at = 2; at < 10; at++) {
        deliver_with_header(f, at, 0xff, at);
        assert_received(f, 100, at);
    }
    assert_int_equal(statistics_of(f).rx_dropped_header, 0);
    take_down(f);
}

/* Without MRG_RXBUF a frame is in one buffer, whatever the device counts. */
static void number_of_buffers(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    static const uint16_t numbers[] = {0, 2, 3, 255, 256, 257, 0x8000, 0xffff};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct model_delivery delivery = {.frame = f->frame, .length = 100, .forged_header = true};
        memcpy(&delivery.header[10], &numbers[i], 2);
        frame_fill(f->frame, 100, i);
        assert_true(model_rx_deliver_as(f->model, &delivery));
        assert_received(f, 100, i);
    }
    assert_working(f, 1);
    take_down(f);
}

/* Writes over what was read, where it is memory of a receive pool. */
static void change_behind_the_driver(struct model *model, volatile void *address, unsigned width, uint8_t value)
{
    for (uint32_t i = 0; i < model->block_count; i++) {
        const struct model_block *block = &model->blocks[i];
        uintptr_t distance = (uintptr_t)address - (uintptr_t)block->address;
        if ((block->flags & VIRTIO_NET_DMA_RECEIVE_POOL) != 0 && distance < block->bytes)
            memset((void *)(uintptr_t)address, value, width);
    }
}

/* The header turns bad after it was read: the frame is neither lost nor given a flag. */
static void junk_behind_the_driver(struct model *model, volatile void *address, unsigned width)
{
    change_behind_the_driver(model, address, width, 0xff);
}

static void header_is_read_once(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->on_fetch = junk_behind_the_driver;
    for (uint64_t seed = 0; seed < 100; seed++) {
        deliver(f, 100, seed);
        assert_received(f, 100, seed);
    }
    assert_int_equal(statistics_of(f).rx_dropped_header, 0);
    f->model->on_fetch = NULL;
    take_down(f);
}

/* The header turns good after it was read, or bad while its frame is left where it is: the first reading counts. */
static void plain_behind_the_driver(struct model *model, volatile void *address, unsigned width)
{
    change_behind_the_driver(model, address, width, 0);
}

static int32_t look_for_one(struct fixture *f, uint32_t way)
{
    f->packets[0] = (struct virtio_net_packet){.data = f->frame, .length = 99};
    if (way == 0)
        return virtio_net_receive(f->net, 0, 0, f->frame, 99);
    if (way == 1)
        return virtio_net_receive_burst(f->net, 0, 0, f->packets, 1);
    return virtio_net_rx_peek(f->net, 0, 0, f->packets, 1);
}

static void verdict_on_a_header_stays(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint64_t dropped = 0;
    for (uint32_t round = 0; round < 48; round++) {
        struct model_delivery bad = {.frame = f->frame, .length = 60, .position = round % 4, .forged_header = true};
        bad.header[round % 2] = 1; /* NEEDS_CSUM, or a gso_type */
        assert_true(model_rx_deliver_as(f->model, &bad));
        f->model->on_fetch = plain_behind_the_driver;
        assert_int_equal(look_for_one(f, round % 3), 0);
        f->model->on_fetch = NULL;
        assert_int_equal(statistics_of(f).rx_dropped_header, ++dropped);
    }
    for (uint32_t way = 0; way < 2; way++) {
        deliver(f, 100, 1);
        f->model->on_fetch = junk_behind_the_driver;
        assert_int_equal(look_for_one(f, way), VIRTIO_NET_ERROR_BUFFER_TOO_SMALL);
        f->model->on_fetch = NULL;
        assert_int_equal(statistics_of(f).rx_dropped_header, dropped);
        /* A call of its own reads anew: junk, unless the platform brings the cache in line first. */
        bool junk = virtio_net_receive(f->net, 0, 0, f->frame, 100) == 0;
        dropped += junk;
        assert_int_equal(statistics_of(f).rx_dropped_header, dropped);
    }
    take_down(f);
}

TEST_PROGRAM(LEGACY_ONLY(ten_bytes), MODERN_ONLY(twelve_bytes), MODERN_ONLY(twelve_bytes_without_merging),
             LEGACY_ONLY(separate_with_twice_the_descriptors), LEGACY_ONLY(separate_by_indirect_tables),
             LEGACY_ONLY(separate_with_fewer_slots), LEGACY_ONLY(separate_in_the_smallest_ring),
             LEGACY_ONLY(separate_with_one_slot), LEGACY_ONLY(separate_without_room), LEGACY_ONLY(id_in_the_middle_of_a_chain),
             OVER_VARIANTS(fields_not_agreed_on), OVER_VARIANTS(trusted_header), OVER_VARIANTS(fields_without_meaning),
             MODERN_ONLY(number_of_buffers), OVER_VARIANTS(header_is_read_once), OVER_VARIANTS(verdict_on_a_header_stays))
