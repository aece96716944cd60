/*
 * test_used.c - what a device may write into the used rings and must not (virtio 1.2, 2.7.8): the driver never follows it, and
 * either loses one counted frame or says that the queue is broken, until virtio_net_recover.
 */
#include "harness.h"

/* Every way to look at a queue. Each gives the call's result. */
static int32_t by_receive(struct fixture *f)
{
    return virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame);
}

static int32_t by_receive_burst(struct fixture *f)
{
    f->packets[0] = (struct virtio_net_packet){.data = f->frame, .length = 4096};
    f->packets[1] = (struct virtio_net_packet){.data = f->frame + 4096, .length = 4096};
    return virtio_net_receive_burst(f->net, 0, 0, f->packets, 2);
}

static int32_t by_peek(struct fixture *f)
{
    return virtio_net_rx_peek(f->net, 0, 0, f->packets, 2);
}

static int32_t by_reap(struct fixture *f)
{
    return virtio_net_tx_reap(f->net, 0, 0, NULL, 0);
}

static int32_t by_send(struct fixture *f)
{
    return virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN);
}

static int32_t by_send_burst(struct fixture *f)
{
    f->packets[0] = (struct virtio_net_packet){.data = f->frame, .length = FRAME_MIN};
    return virtio_net_send_burst(f->net, 0, 0, f->packets, 1);
}

static int32_t by_reserve(struct fixture *f)
{
    return virtio_net_tx_reserve(f->net, 0, 0, f->packets, 1);
}

typedef int32_t (*look)(struct fixture *f);
static const look receive_looks[] = {by_receive, by_receive_burst, by_peek};
static const look transmit_looks[] = {by_reap, by_send, by_send_burst, by_reserve};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A queue that broke says so in every later call, once in the counters, and recovers. */
static void check_broken(struct fixture *f, look call, uint32_t queue, int32_t code)
{
    int32_t found = call(f);
    for (int attempt = 0; attempt < 3 && found >= 0; attempt++)
        found = call(f);
    assert_string_equal(virtio_net_status_name(found), "VIRTIO_NET_ERROR_NEEDS_RESET");
    for (int again = 0; again < 3; again++)
        assert_int_equal(call(f), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(virtio_net_tx_free(f->net, 0) < 0, queue == MODEL_TX);
    struct virtio_net_error_detail detail = last_error_of(f);
    assert_string_equal(virtio_net_status_name(detail.code), virtio_net_status_name(code));
    assert_int_equal(detail.queue, queue);
    assert_int_equal(detail.field, code == VIRTIO_NET_ERROR_USED_ID ? VIRTIO_NET_FIELD_USED_ID : VIRTIO_NET_FIELD_USED_INDEX);
    assert_int_equal(statistics_of(f).queues_broken, 1);
    assert_int_equal(info_of(f).state, VIRTIO_NET_STATE_FAILED);
    f->model->hold_tx = false;
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(info_of(f).state, VIRTIO_NET_STATE_RUNNING);
    for (uint64_t seed = 0; seed < 40; seed++)
        assert_working(f, seed);
}

/* ------------------------------------------------------------------------------------------------------------- used.id */

/* Ids that name no descriptor of 16, and those that an unchecked cut to 16 bits would let pass. */
static const uint32_t bad_ids[] = {16,      17,          31,         0x7fff,     0xffff,     0x10000,   0x10001,
                                   0x1000f, 0x20000 + 3, 0x80000000, 0xffff0000, 0xfffffff0, 0xffffffff};

static void bad_receive_id(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(bad_ids); i++) {
        for (size_t way = 0; way < COUNT(receive_looks); way++) {
            fixture_renew(f);
            bring_up(f);
            (void)model_held(f->model, MODEL_RX);
            model_push_used(f->model, MODEL_RX, bad_ids[i], 100);
            check_broken(f, receive_looks[way], 0, VIRTIO_NET_ERROR_USED_ID);
        }
    }
}

static void fill_transmit(struct fixture *f)
{
    f->model->hold_tx = true;
    for (uint32_t i = 0; i < 16; i++)
        send_one(f, FRAME_MIN, i);
    assert_int_equal(model_held(f->model, MODEL_TX), 16);
}

static void bad_transmit_id(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(bad_ids); i++) {
        for (size_t way = 0; way < COUNT(transmit_looks); way++) {
            fixture_renew(f);
            bring_up(f);
            fill_transmit(f);
            model_push_used(f->model, MODEL_TX, bad_ids[i], 0);
            check_broken(f, transmit_looks[way], 1, VIRTIO_NET_ERROR_USED_ID);
        }
    }
}

/* The good elements before a bad one still count. */
static void good_before_bad(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    deliver(f, 100, 1);
    deliver(f, 200, 2);
    model_push_used(f->model, MODEL_RX, 0x10000, 100);
    assert_received(f, 100, 1);
    assert_received(f, 200, 2);
    check_broken(f, by_receive, 0, VIRTIO_NET_ERROR_USED_ID);
}

/* In range, but the driver has it: completed twice. */
static void receive_id_twice(void **state)
{
    struct fixture *f = *state;
    for (size_t way = 0; way < COUNT(receive_looks); way++) {
        fixture_renew(f);
        bring_up(f);
        (void)model_held(f->model, MODEL_RX);
        uint16_t head = queue_pending(&f->model->queue[MODEL_RX], 0)->head;
        deliver(f, 100, 1);
        struct virtio_net_packet lent;
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &lent, 1), 1);
        model_push_used(f->model, MODEL_RX, head, 100);
        check_broken(f, receive_looks[way], 0, VIRTIO_NET_ERROR_USED_ID);
    }
}

static void id_twice_in_one_burst(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    (void)model_held(f->model, MODEL_RX);
    uint16_t head = queue_pending(&f->model->queue[MODEL_RX], 0)->head;
    deliver(f, 100, 1);
    model_push_used(f->model, MODEL_RX, head, 100);
    check_broken(f, by_peek, 0, VIRTIO_NET_ERROR_USED_ID);
}

/* The first time with a length that cannot be: the buffer goes back, but the device does not have it before the burst ends. */
static void id_again_before_it_was_published(void **state)
{
    struct fixture *f = *state;
    struct model_delivery bad = {.frame = f->frame, .length = 100, .forged_length = true, .used_length = 0};
    for (size_t way = 0; way < COUNT(receive_looks); way++) {
        fixture_renew(f);
        bring_up(f);
        (void)model_held(f->model, MODEL_RX);
        uint16_t head = queue_pending(&f->model->queue[MODEL_RX], 0)->head;
        assert_true(model_rx_deliver_as(f->model, &bad));
        model_push_used(f->model, MODEL_RX, head, 100);
        check_broken(f, receive_looks[way], 0, VIRTIO_NET_ERROR_USED_ID);
    }
}

static void transmit_id_not_in_flight(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    send_one(f, FRAME_MIN, 1);
    (void)model_held(f->model, MODEL_TX);
    uint16_t head = queue_pending(&f->model->queue[MODEL_TX], 0)->head;
    model_push_used(f->model, MODEL_TX, (head + 1u) % 16, 0);
    check_broken(f, by_reap, 1, VIRTIO_NET_ERROR_USED_ID);
}

static void transmit_id_twice(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    fill_transmit(f);
    uint16_t head = queue_pending(&f->model->queue[MODEL_TX], 0)->head;
    assert_int_equal(model_tx_complete(f->model, 1), 1);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    model_push_used(f->model, MODEL_TX, head, 0);
    check_broken(f, by_reap, 1, VIRTIO_NET_ERROR_USED_ID);
}

/* A slot that the caller has reserved is not in flight either. */
static void transmit_id_reserved(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_tx = true;
    struct virtio_net_packet packet;
    assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &packet, 1), 1);
    send_one(f, FRAME_MIN, 1);
    (void)model_held(f->model, MODEL_TX);
    model_push_used(f->model, MODEL_TX, packet.slot, 0);
    check_broken(f, by_reap, 1, VIRTIO_NET_ERROR_USED_ID);
}

/* ------------------------------------------------------------------------------------------------------------ used.idx */

static void receive_index_jumps(void **state)
{
    struct fixture *f = *state;
    static const uint16_t jumps[] = {17, 18, 32, 0x7fff, 0x8000, 0xfff0, 0xffff};
    for (size_t i = 0; i < COUNT(jumps); i++) {
        for (size_t way = 0; way < COUNT(receive_looks); way++) {
            fixture_renew(f);
            bring_up(f);
            deliver(f, 60, 1);
            assert_received(f, 60, 1);
            model_set_used_index(f->model, MODEL_RX, (uint16_t)(1 + jumps[i]));
            assert_in_range(virtio_net_rx_ready(f->net, 0), 0, 16);
            check_broken(f, receive_looks[way], 0, VIRTIO_NET_ERROR_USED_INDEX);
            assert_true(virtio_net_rx_ready(f->net, 0) >= 0);
        }
    }
}

/* The same where the elements that the index promises look right: they are those of the lap before. No frame comes twice. */
static void receive_index_jumps_over_old_elements(void **state)
{
    struct fixture *f = *state;
    for (uint16_t jump = 17; jump <= 32; jump += 5) {
        for (size_t way = 0; way < COUNT(receive_looks); way++) {
            fixture_renew(f);
            bring_up(f);
            for (uint64_t i = 0; i < 16; i++) {
                deliver(f, 60, i);
                assert_received(f, 60, i);
            }
            model_set_used_index(f->model, MODEL_RX, (uint16_t)(16 + jump));
            assert_int_equal(receive_looks[way](f), VIRTIO_NET_ERROR_NEEDS_RESET);
            assert_int_equal(statistics_of(f).rx_frames, 16);
            check_broken(f, receive_looks[way], 0, VIRTIO_NET_ERROR_USED_INDEX);
        }
    }
}

static void transmit_index_jumps(void **state)
{
    struct fixture *f = *state;
    static const uint16_t jumps[] = {4, 5, 16, 17, 0x8000, 0xffff};
    for (size_t i = 0; i < COUNT(jumps); i++) {
        fixture_renew(f);
        bring_up(f);
        f->model->hold_tx = true;
        for (uint32_t frame = 0; frame < 3; frame++)
            send_one(f, FRAME_MIN, frame);
        (void)model_held(f->model, MODEL_TX);
        model_set_used_index(f->model, MODEL_TX, jumps[i]);
        assert_in_range(virtio_net_tx_in_flight(f->net, 0), 0, 3);
        assert_in_range(virtio_net_tx_free(f->net, 0), 0, 16);
        check_broken(f, by_reap, 1, VIRTIO_NET_ERROR_USED_INDEX);
    }
}

static void index_moves_with_nothing_posted(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    model_set_used_index(f->model, MODEL_TX, 1);
    check_broken(f, by_reap, 1, VIRTIO_NET_ERROR_USED_INDEX);
    struct virtio_net_error_detail detail = last_error_of(f);
    assert_int_equal(detail.found, 1);
    assert_int_equal(detail.wanted, 0);
}

static void nothing_posted_for_receive(void **state)
{
    struct fixture *f = *state;
    f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    model_set_used_index(f->model, MODEL_RX, 1);
    assert_int_equal(by_peek(f), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(last_error_of(f).code, VIRTIO_NET_ERROR_USED_INDEX);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    take_down(f);
}

static void index_goes_back(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 5; i++) {
        deliver(f, 60, i);
        assert_received(f, 60, i);
    }
    model_set_used_index(f->model, MODEL_RX, 4);
    check_broken(f, by_receive, 0, VIRTIO_NET_ERROR_USED_INDEX);
}

/* One queue broke: the other goes on until virtio_net_recover. */
static void other_direction_goes_on(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    model_set_used_index(f->model, MODEL_TX, 1);
    assert_int_equal(by_reap(f), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(by_send(f), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(info_of(f).state, VIRTIO_NET_STATE_FAILED);
    deliver(f, 100, 1);
    assert_received(f, 100, 1);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_working(f, 1);
    take_down(f);
}

/* The device claims buffers that the driver has got ready in the same call and not published yet. */
static void claim_one_more(struct model *model, volatile void *address, unsigned width)
{
    if (width == 2 && model_used_offset(model, MODEL_RX, address) == 2)
        model_set_used_index(model, MODEL_RX, (uint16_t)(model->queue[MODEL_RX].used_index + 1));
}

static void index_passes_what_is_published(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_RX, 0), 0);
    struct model_delivery runt = {.frame = f->frame, .length = 20, .forged_length = true, .used_length = 3};
    for (uint32_t i = 0; i < 16; i++)
        assert_true(model_rx_deliver_as(f->model, &runt));
    f->model->on_fetch = claim_one_more;
    int32_t code = by_receive(f);
    f->model->on_fetch = NULL;
    assert_int_equal(code, VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_last_error(f, VIRTIO_NET_ERROR_USED_INDEX, VIRTIO_NET_FIELD_USED_INDEX, 17, 16);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    take_down(f);
}

/* ------------------------------------------------------------------------------------------------------------ used.len */

static void bad_lengths(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t header = info_of(f).header_length;
    uint32_t longest = info_of(f).rx_buffer_bytes;
    const struct {
        uint32_t length;
        bool is_short;
    } cases[] = {{0, true},           {1, true},           {header - 1, true},   {header, true},
                 {header + 1, true},  {header + 13, true}, {0x10000, false},     {header + longest + 4096, false},
                 {0x80000000, false}, {0xffffffff, false}, {0u - header, false}, {0xffff0000 + header + 60, false}};
    uint64_t dropped_short = 0;
    uint64_t dropped_long = 0;
    for (uint32_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < COUNT(cases); i++) {
            struct model_delivery delivery = {
                .frame = f->frame, .length = 100, .forged_length = true, .used_length = cases[i].length};
            assert_true(model_rx_deliver_as(f->model, &delivery));
            dropped_short += cases[i].is_short;
            dropped_long += !cases[i].is_short;
            assert_int_equal(receive_looks[i % COUNT(receive_looks)](f), 0);
        }
        assert_working(f, round);
    }
    assert_int_equal(statistics_of(f).rx_dropped_short, dropped_short);
    assert_int_equal(statistics_of(f).rx_dropped_long, dropped_long);
    assert_int_equal(model_held(f->model, MODEL_RX), 16);
    take_down(f);
}

/* The longest and the shortest length that can be true. */
static void limits_of_length(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t longest = info_of(f).rx_buffer_bytes;
    deliver(f, longest, 1);
    assert_received(f, longest, 1);
    struct model_delivery delivery = {.frame = f->frame, .length = longest, .forged_length = true};
    (void)model_held(f->model, MODEL_RX);
    delivery.used_length = queue_pending(&f->model->queue[MODEL_RX], 0)->bytes + 1;
    assert_true(model_rx_deliver_as(f->model, &delivery));
    assert_int_equal(by_receive(f), 0);
    assert_int_equal(statistics_of(f).rx_dropped_long, 1);
    delivery.used_length = info_of(f).header_length + 14;
    assert_true(model_rx_deliver_as(f->model, &delivery));
    assert_int_equal(by_receive(f), 14);
    take_down(f);
}

/* A bad frame between good ones: a burst passes over it. */
static void bad_frame_in_burst(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    deliver(f, 100, 1);
    struct model_delivery delivery = {.frame = f->frame, .length = 60, .forged_length = true, .used_length = 5};
    assert_true(model_rx_deliver_as(f->model, &delivery));
    deliver(f, 200, 2);
    assert_int_equal(virtio_net_rx_ready(f->net, 0), 3);
    assert_int_equal(by_peek(f), 2);
    frame_assert(f->packets[0].data, f->packets[0].length, 100, 1);
    frame_assert(f->packets[1].data, f->packets[1].length, 200, 2);
    take_down(f);
}

/* -------------------------------------------------------------------------------------------------- read once, own state */

/* Each field of the used ring turns to junk right after the driver has read it. */
static void junk_after_read(struct model *model, volatile void *address, unsigned width)
{
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        int64_t offset = model_used_offset(model, queue, address);
        if (offset >= 4 && offset < 4 + 8 * (int64_t)model->queue[queue].size)
            memset((void *)(uintptr_t)address, 0xff, width);
    }
}

static void fields_are_read_once(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->on_fetch = junk_after_read;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_working(f, i);
        deliver(f, 300, i);
        assert_int_equal(by_peek(f), 1);
        frame_assert(f->packets[0].data, f->packets[0].length, 300, i);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 1), 1);
    }
    f->model->on_fetch = NULL;
    take_down(f);
}

/* The same of elements out of order, which the quick loops hand on to the general one. */
static void fields_out_of_order_are_read_once(void **state)
{
    struct fixture *f = *state;
    static const look looks[] = {by_receive, by_receive_burst, by_peek};
    bring_up(f);
    for (uint64_t i = 0; i < 300; i++) {
        struct model_delivery late = {.frame = f->frame, .length = 300, .position = 1 + (uint32_t)(i % 5)};
        frame_fill(f->frame, 300, i);
        assert_true(model_rx_deliver_as(f->model, &late));
        f->model->on_fetch = junk_after_read;
        int32_t found = looks[i % 3](f);
        f->model->on_fetch = NULL;
        assert_int_equal(found, i % 3 == 0 ? 300 : 1);
        const uint8_t *frame = i % 3 == 0 ? f->frame : f->packets[0].data;
        frame_assert(frame, 300, 300, i);
        if (i % 3 == 2)
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, 1), 1);
    }
    take_down(f);
}

/* used.idx runs ahead after it was read: only what was seen first counts, since the elements behind are not written. */
static void index_runs_ahead(struct model *model, volatile void *address, unsigned width)
{
    if (width == 2 && model_used_offset(model, MODEL_RX, address) == 2)
        model_set_used_index(model, MODEL_RX, (uint16_t)(model->queue[MODEL_RX].used_index + 16));
}

static void index_is_read_once(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint64_t i = 0; i < 200; i++) {
        deliver(f, 100, i);
        f->model->on_fetch = index_runs_ahead;
        int32_t length = by_receive(f);
        f->model->on_fetch = NULL;
        model_set_used_index(f->model, MODEL_RX, f->model->queue[MODEL_RX].used_index);
        assert_int_equal(length, 100);
        frame_assert(f->frame, 100, 100, i);
    }
    assert_int_equal(statistics_of(f).queues_broken, 0);
    take_down(f);
}

/* The device writes over the descriptor table and the available ring: nothing that the driver does hangs on them. */
static void scribbled_tables(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->scribble = true;
    for (uint64_t i = 0; i < 2000; i++)
        assert_working(f, i);
    f->model->hold_tx = true;
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 16; i++)
            send_one(f, FRAME_MIN, i);
        for (uint32_t held = model_held(f->model, MODEL_TX); held > 0; held--)
            model_tx_complete_at(f->model, (uint32_t)mix(round, held) % held);
    }
    take_down(f);
}

/* The entry of the available ring for the next frame, as the driver has left it, of a ring whose entries the device wrote
 * over. */
static uint16_t entry_of_next_frame(struct fixture *f)
{
    struct model_queue *queue = &f->model->queue[MODEL_TX];
    uint16_t *entry = &queue->avail[2 + (queue->avail_taken & (queue->size - 1))];
    f->model->no_poll = true;
    send_one(f, FRAME_MIN, 1);
    uint16_t found = *entry;
    f->model->no_poll = false;
    model_poll(f->model, MODEL_TX);
    assert_sent(f, FRAME_MIN, 1);
    return found;
}

/* Each entry is written once, and then left alone as long as the slots keep their places; after an exchange each is written
 * again. */
static void entries_that_hold_are_left_alone(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->scribble = true;
    uint32_t entries = f->model->queue[MODEL_TX].size;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < entries; i++)
            assert_int_not_equal(entry_of_next_frame(f), UINT16_MAX);
        for (uint32_t i = 0; i < 3 * entries; i++)
            assert_int_equal(entry_of_next_frame(f), UINT16_MAX);
        f->model->hold_tx = true;
        for (uint32_t i = 0; i < 16; i++)
            send_one(f, FRAME_MIN, i);
        (void)model_held(f->model, MODEL_TX);
        model_tx_complete_at(f->model, round == 2 ? 15 : 1);
        f->model->hold_tx = false;
        (void)model_tx_complete(f->model, 15);
        for (uint32_t i = 0; i < 16; i++)
            (void)model_tx_pop(f->model, &(uint32_t){0});
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
    }
    take_down(f);
}

/* ------------------------------------------------------------------------------------------------------------ recovery */

/* Somebody who only reaps learns of it in each call, once the cookies are back. */
static void reaping_tells_of_a_broken_queue(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[2][2048];
    bring_up(f);
    f->model->hold_tx = true;
    uint64_t address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_TO_DEVICE);
    for (uint32_t i = 0; i < 2; i++)
        f->packets[i] = (struct virtio_net_packet){
            .cookie = i, .data = memory[i] + 64, .device_address = address + 2048 * i + 64, .length = 100};
    assert_int_equal(virtio_net_tx_post(f->net, 0, 0, f->packets, 2), 2);
    (void)model_held(f->model, MODEL_TX);
    assert_int_equal(model_tx_complete(f->model, 1), 1);
    model_push_used(f->model, MODEL_TX, 77, 0);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, 2), 1);
    assert_int_equal(f->packets[0].cookie, 0);
    assert_int_equal(f->packets[0].flags, VIRTIO_NET_PACKET_EXTERNAL);
    for (int again = 0; again < 3; again++)
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, 2), VIRTIO_NET_ERROR_NEEDS_RESET);
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, f->packets, 2), 1);
    assert_int_equal(f->packets[0].cookie, 1);
    assert_int_equal(f->packets[0].flags, VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST);
    f->model->hold_tx = false;
    assert_working(f, 1);
    take_down(f);
}

/* A bad element, then recovery, over and over: nothing leaks, and the frames in flight are counted. */
static void break_and_recover(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    for (uint32_t round = 1; round <= 50; round++) {
        f->model->hold_tx = true;
        send_one(f, FRAME_MIN, round);
        send_one(f, FRAME_MIN, round);
        (void)model_held(f->model, MODEL_TX);
        model_push_used(f->model, MODEL_TX, 0xffffffff, 0);
        assert_int_equal(by_reap(f), VIRTIO_NET_ERROR_NEEDS_RESET);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_int_equal(statistics_of(f).queues_broken, round);
        assert_int_equal(statistics_of(f).tx_lost, 2 * round);
        assert_int_equal(statistics_of(f).resets, round);
        f->model->hold_tx = false;
        assert_working(f, round);
    }
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(bad_receive_id), OVER_VARIANTS(bad_transmit_id), OVER_VARIANTS(good_before_bad),
             OVER_VARIANTS(receive_id_twice), OVER_VARIANTS(id_again_before_it_was_published),
             OVER_VARIANTS(id_twice_in_one_burst), OVER_VARIANTS(transmit_id_not_in_flight), OVER_VARIANTS(transmit_id_twice),
             OVER_VARIANTS(transmit_id_reserved), OVER_VARIANTS(receive_index_jumps),
             OVER_VARIANTS(receive_index_jumps_over_old_elements), OVER_VARIANTS(transmit_index_jumps),
             OVER_VARIANTS(index_moves_with_nothing_posted), OVER_VARIANTS(nothing_posted_for_receive),
             OVER_VARIANTS(index_goes_back), OVER_VARIANTS(index_passes_what_is_published),
             OVER_VARIANTS(other_direction_goes_on), OVER_VARIANTS(bad_lengths), OVER_VARIANTS(limits_of_length),
             OVER_VARIANTS(bad_frame_in_burst), OVER_VARIANTS(fields_are_read_once),
             OVER_VARIANTS(fields_out_of_order_are_read_once), OVER_VARIANTS(index_is_read_once), OVER_VARIANTS(scribbled_tables),
             OVER_VARIANTS(entries_that_hold_are_left_alone), OVER_VARIANTS(reaping_tells_of_a_broken_queue),
             OVER_VARIANTS(break_and_recover))
