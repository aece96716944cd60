/*
 * test_interrupts.c - interrupts (virtio 1.2, 2.7.7, 2.7.10): none until they are asked for, none missed from then on.
 */
#include "harness.h"

static uint64_t interrupts(const struct fixture *f)
{
    return f->model->queue[MODEL_RX].interrupts + f->model->queue[MODEL_TX].interrupts;
}

/* With and without EVENT_IDX: the same promises by other means. */
static void without_event_index(struct fixture *f, unsigned round)
{
    fixture_renew(f);
    if (round == 1)
        f->model->features &= ~MODEL_FEATURE(EVENT_IDX);
}

static void exchange_small(struct fixture *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_SUCCESS);
        assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), FRAME_MIN);
    }
}

/* Over 200,000 completions in each queue, so three wraps of the index: a fixed used_event would interrupt once in each. */
static void none_by_default(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        f->model->sink = true;
        exchange_small(f, LONG_RUN(210000u));
        assert_int_equal(interrupts(f), 0);
        assert_int_equal(model_avail_flags(f->model, MODEL_RX), round);
        assert_int_equal(model_avail_flags(f->model, MODEL_TX), round);
        take_down(f);
    }
}

/* Bursts of whole rings, with reaps far apart. */
static void none_with_large_rings(void **state)
{
    struct fixture *f = *state;
    f->options.tx_slots = f->options.rx_slots = 1024;
    bring_up(f);
    f->model->sink = true;
    f->model->hold_tx = true;
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < 1024; i++)
            assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_SUCCESS);
        model_poll(f->model, MODEL_TX);
        (void)model_tx_complete(f->model, 1024);
        for (uint32_t i = 0; i < 1024; i++)
            assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        for (uint32_t i = 0; i < 1024; i++)
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), FRAME_MIN);
    }
    assert_int_equal(interrupts(f), 0);
    take_down(f);
}

/* The device stores used.idx, and decides about the interrupt only when the driver has taken the frame. */
static void none_with_late_decisions(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->hold_used = true;
    for (uint32_t i = 0; i < LONG_RUN(140000u); i++) {
        assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        model_set_used_index(f->model, MODEL_RX, f->model->queue[MODEL_RX].used_index);
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), FRAME_MIN);
        if (mix(i, 1) % 8 == 0)
            model_publish(f->model, MODEL_RX);
    }
    assert_int_equal(interrupts(f), 0);
    take_down(f);
}

/* Nothing but bad frames moves the index as far as good ones do. */
static void none_with_bad_frames_only(void **state)
{
    struct fixture *f = *state;
    struct model_delivery runt = {.frame = f->frame, .length = 20, .forged_length = true, .used_length = 3};
    bring_up(f);
    for (uint32_t i = 0; i < LONG_RUN(140000u); i++) {
        assert_true(model_rx_deliver_as(f->model, &runt));
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), 0);
    }
    assert_int_equal(interrupts(f), 0);
    assert_int_equal(statistics_of(f).rx_dropped_short, LONG_RUN(140000u));
    take_down(f);
}

/* Asked for in the options: the first completion interrupts, which the device may make as soon as it runs, and a reset does not
 * change that. */
static void from_the_start(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        f->options.flags = VIRTIO_NET_OPTION_IRQ_RX;
        bring_up(f);
        f->model->sink = true;
        for (uint32_t i = 1; i <= 3; i++) {
            assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
            assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_SUCCESS);
            assert_int_equal(interrupts(f), i);
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), FRAME_MIN);
        }
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(f->model->queue[MODEL_RX].interrupts, 4);
        take_down(f);
        f->options.flags = VIRTIO_NET_OPTION_IRQ_TX;
        fixture_renew(f);
        bring_up(f);
        f->model->sink = true;
        assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(interrupts(f), 0);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_SUCCESS);
        assert_int_equal(interrupts(f), 1);
        take_down(f);
        f->options.flags = 0;
    }
}

/* With interrupts on, a burst that leaves elements does not ask, and the one that takes the last does. */
static void asked_for_after_the_last(void **state)
{
    struct fixture *f = *state;
    struct virtio_net_packet packets[4];
    f->options.flags = VIRTIO_NET_OPTION_IRQ_RX;
    bring_up(f);
    for (uint32_t round = 0; round < 100; round++) {
        uint64_t before = interrupts(f);
        for (uint32_t i = 0; i < 8; i++)
            assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
        assert_int_equal(interrupts(f), before + 1);
        for (uint32_t taken = 0; taken < 8; taken += 4) {
            assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, packets, 4), 4);
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, packets, 4), 4);
        }
    }
    take_down(f);
}

/* Enabled once: each frame that finds the driver idle interrupts, over a wrap. */
static void receive_interrupts(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        f->model->sink = true;
        assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_RX, 0), 0);
        for (uint32_t i = 1; i <= LONG_RUN(70000u); i++) {
            assert_true(model_rx_deliver(f->model, f->frame, FRAME_MIN));
            assert_int_equal(interrupts(f), i);
            assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_QUEUE);
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), FRAME_MIN);
            assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048), 0);
        }
        take_down(f);
    }
}

/* Buffers of the caller: the look that finds nothing asks for the next interrupt as well. */
static void external_receive_interrupts(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[2048];
    f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    uint64_t address = model_share(f->model, memory, sizeof memory, VIRTIO_NET_DMA_FROM_DEVICE);
    assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_RX, 0), 0);
    for (uint32_t i = 1; i <= 1000; i++) {
        struct virtio_net_packet packet = {.data = memory + 64, .device_address = address + 64, .length = FRAME_MAX};
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), 1);
        deliver(f, FRAME_MIN, i);
        assert_int_equal(interrupts(f), i);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 0);
    }
    take_down(f);
}

static void transmit_interrupts(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        f->model->sink = true;
        assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_TX, 0), 0);
        for (uint32_t i = 1; i <= LONG_RUN(70000u); i++) {
            assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN), VIRTIO_NET_SUCCESS);
            assert_int_equal(interrupts(f), i);
            assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_QUEUE);
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        }
        take_down(f);
    }
}

static void disable(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        f->model->sink = true;
        uint32_t both = VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX;
        for (uint32_t turn = 0; turn < 20; turn++) {
            assert_int_equal(virtio_net_irq_enable(f->net, 0, both, 0), 0);
            uint64_t before = interrupts(f);
            exchange_small(f, 1);
            assert_int_equal(interrupts(f), before + 2);
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
            assert_int_equal(virtio_net_irq_disable(f->net, 0, both, 0), VIRTIO_NET_SUCCESS);
            exchange_small(f, 5000);
            assert_int_equal(interrupts(f), before + 2);
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        }
        take_down(f);
    }
}

static void one_direction(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_TX, 0), 0);
    exchange_small(f, 1);
    assert_int_equal(f->model->queue[MODEL_RX].interrupts, 0);
    assert_int_equal(f->model->queue[MODEL_TX].interrupts, 1);
    take_down(f);
}

/* What completed before the arming is told in the result, since it may never interrupt. */
static void enable_tells_what_waits(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        uint32_t both = VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX;
        send_one(f, FRAME_MIN, 1);
        assert_int_equal(virtio_net_irq_enable(f->net, 0, both, 0), VIRTIO_NET_IRQ_TX);
        deliver(f, FRAME_MIN, 1);
        assert_int_equal(virtio_net_irq_enable(f->net, 0, both, 0), both);
        assert_received(f, FRAME_MIN, 1);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
        assert_int_equal(virtio_net_irq_enable(f->net, 0, both, 0), 0);
        take_down(f);
    }
}

/* The device completes right after the driver looked whether something waits: told, or interrupted. */
static void complete_after_look(struct model *model, volatile void *address, unsigned width)
{
    static const uint8_t frame[FRAME_MIN];
    if (width != 2)
        return;
    if (model_used_offset(model, MODEL_RX, address) == 2) {
        model->on_fetch = NULL;
        (void)model_rx_deliver(model, frame, sizeof frame);
    } else if (model_used_offset(model, MODEL_TX, address) == 2) {
        model->on_fetch = NULL;
        (void)model_tx_complete(model, 1);
    }
}

static void no_completion_between_check_and_arming_is_lost(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        f->model->hold_tx = true;
        for (uint32_t turn = 0; turn < 100; turn++) {
            uint32_t which = turn % 2 == 0 ? VIRTIO_NET_IRQ_RX : VIRTIO_NET_IRQ_TX;
            send_one(f, FRAME_MIN, 1);
            (void)model_held(f->model, MODEL_TX);
            uint64_t before = interrupts(f);
            f->model->on_fetch = complete_after_look;
            int32_t waiting = virtio_net_irq_enable(f->net, 0, which, 0);
            assert_null(f->model->on_fetch);
            assert_true(waiting == (int32_t)which || interrupts(f) == before + 1);
            (void)model_tx_complete(f->model, 1);
            (void)virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame);
            assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
            assert_int_equal(virtio_net_irq_disable(f->net, 0, which, 0), VIRTIO_NET_SUCCESS);
        }
        take_down(f);
    }
}

/* ------------------------------------------------------------------------------------------------------- acknowledgement */

static void acknowledge(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_irq_ack(f->net, 0), 0);
    assert_int_equal(statistics_of(f).interrupts, 0);
    f->model->isr = 1;
    assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_QUEUE);
    assert_int_equal(f->model->isr, 0);
    f->model->isr = 3;
    assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_QUEUE | VIRTIO_NET_EVENT_CONFIG);
    assert_int_equal(virtio_net_irq_ack(f->net, 0), 0);
    assert_int_equal(statistics_of(f).interrupts, 2);
    assert_working(f, 1);
    take_down(f);
}

/* Reserved bits are no event; a device that is gone reads as ones and is none either. */
static void acknowledge_junk(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->isr = 0x7ffffffd;
    assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_QUEUE);
    f->model->isr = 0;
    for (uint32_t storm = 0; storm < 1000; storm++)
        assert_int_equal(virtio_net_irq_ack(f->net, 0), 0);
    assert_working(f, 2);
    take_down(f);
}

static void link_interrupt_with_frames(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_RX, 0), 0);
    deliver(f, FRAME_MIN, 1);
    model_set_link(f->model, false);
    assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_QUEUE | VIRTIO_NET_EVENT_CONFIG);
    assert_received(f, FRAME_MIN, 1);
    assert_int_equal(virtio_net_link(f->net), 0);
    take_down(f);
}

/* What completes in the middle of the driver's calls, now and then. */
static void complete_at_random(struct model *model, volatile void *address, unsigned width)
{
    static const uint8_t frame[FRAME_MIN];
    uint64_t *dice = model->word;
    if (width != 2 || (model_used_offset(model, MODEL_RX, address) != 2 && model_used_offset(model, MODEL_TX, address) != 2))
        return;
    *dice = mix(*dice, 7);
    if (*dice % 4 == 0)
        (void)model_rx_deliver(model, frame, sizeof frame);
    if (*dice % 4 == 1)
        (void)model_tx_complete(model, 1);
}

/* All that a handler does: until nothing is left, by one way of receiving or another. */
static void handle(struct fixture *f, uint64_t dice)
{
    int32_t got = 1;
    assert_true(virtio_net_irq_ack(f->net, 0) >= 0);
    while (got > 0) {
        for (uint32_t i = 0; i < 4; i++)
            f->packets[i] = (struct virtio_net_packet){.data = f->frame + (size_t)i * 2048, .length = 2048};
        if (dice % 3 == 0)
            got = virtio_net_receive(f->net, 0, 0, f->frame + 2048, 2048);
        else if (dice % 3 == 1)
            got = virtio_net_receive_burst(f->net, 0, 0, f->packets, 1 + dice % 4);
        else
            got = virtio_net_rx_peek(f->net, 0, 0, f->packets, 1 + dice % 4);
        if (got > 0 && dice % 3 == 2)
            assert_int_equal(virtio_net_rx_release(f->net, 0, 0, f->packets, (uint32_t)got), got);
    }
    assert_int_equal(got, 0);
    assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, NULL, 0), 0);
}

/* The driver acts at interrupts only. Whenever it rests there is nothing that it has not seen, or an interrupt is on its way. */
static void no_wake_up_is_lost(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        uint64_t dice = round;
        bring_up(f);
        f->model->hold_tx = true;
        f->model->word = &dice;
        assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX, 0), 0);
        uint64_t seen = interrupts(f);
        for (uint32_t step = 0; step < LONG_RUN(60000u); step++) {
            (void)virtio_net_send(f->net, 0, 0, f->frame, FRAME_MIN);
            if (mix(step, 2) % 3 == 0)
                (void)model_rx_deliver(f->model, f->frame, FRAME_MIN);
            if (mix(step, 3) % 3 == 0 && model_held(f->model, MODEL_TX) > 0)
                (void)model_tx_complete(f->model, 1);
            if (interrupts(f) != seen) {
                seen = interrupts(f);
                f->model->on_fetch = complete_at_random;
                handle(f, mix(step, 4));
                f->model->on_fetch = NULL;
            }
            assert_true(virtio_net_rx_ready(f->net, 0) == 0 || interrupts(f) != seen);
            assert_true(statistics_of(f).tx_completed == f->model->frames_sent || interrupts(f) != seen);
        }
        take_down(f);
    }
}

/* A restart keeps what was asked for. */
static void restart(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 2; round++) {
        without_event_index(f, round);
        bring_up(f);
        assert_int_equal(virtio_net_irq_enable(f->net, 0, VIRTIO_NET_IRQ_RX, 0), 0);
        for (uint64_t turn = 0; turn < 3; turn++) {
            assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
            uint64_t before = interrupts(f);
            assert_working(f, turn);
            assert_int_equal(interrupts(f), before + 1);
        }
        assert_int_equal(virtio_net_irq_disable(f->net, 0, VIRTIO_NET_IRQ_RX, 0), VIRTIO_NET_SUCCESS);
        assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        uint64_t before = interrupts(f);
        assert_working(f, 4);
        assert_int_equal(interrupts(f), before);
        take_down(f);
    }
}

TEST_PROGRAM(OVER_VARIANTS(none_by_default), OVER_VARIANTS(none_with_large_rings), OVER_VARIANTS(none_with_bad_frames_only),
             OVER_VARIANTS(none_with_late_decisions), OVER_VARIANTS(from_the_start), OVER_VARIANTS(asked_for_after_the_last),
             OVER_VARIANTS(receive_interrupts), OVER_VARIANTS(external_receive_interrupts), OVER_VARIANTS(transmit_interrupts),
             OVER_VARIANTS(disable), OVER_VARIANTS(one_direction), OVER_VARIANTS(enable_tells_what_waits),
             OVER_VARIANTS(no_completion_between_check_and_arming_is_lost), OVER_VARIANTS(no_wake_up_is_lost),
             OVER_VARIANTS(acknowledge), OVER_VARIANTS(acknowledge_junk), OVER_VARIANTS(link_interrupt_with_frames),
             OVER_VARIANTS(restart))
