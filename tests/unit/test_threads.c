/*
 * test_threads.c - the device runs in a thread of its own, beside one or two threads of the driver (virtio 1.2, 2.7.13).
 *
 * Between the threads there is nothing but the rings: what is shared besides is counted with relaxed atomics, which order
 * nothing, so that ThreadSanitizer sees a race wherever the rings' own order is too weak. The tests named "wake" show lost
 * wake-ups: both sides sleep until the other says something, and nothing but the full barriers keeps them from sleeping at once.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "harness.h"

enum { PACKETS = 100000, LIMIT_SECONDS = 100 };

/* One run: how far each side is. */
struct run {
    struct fixture *f;
    struct timespec start;
    uint64_t to_send, to_deliver;
    uint64_t sent_seen; /* by the device thread */
    uint64_t delivered;
    bool one_at_a_time; /* a frame is delivered when the one before was taken */
    atomic_uint_fast64_t completed, taken;
    atomic_bool received, stop, wrong, late;
};

static bool expired(struct run *run)
{
    struct timespec now;
    (void)sched_yield();
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - run->start.tv_sec > LIMIT_SECONDS)
        atomic_store(&run->late, true);
    return atomic_load_explicit(&run->late, memory_order_relaxed) || atomic_load_explicit(&run->wrong, memory_order_relaxed);
}

/* A pause of up to a microsecond, so that the two sides meet at every distance in time. */
static void jitter(uint64_t seed)
{
    for (volatile uint32_t spins = (uint32_t)(mix(seed, 5) % 400); spins > 0;)
        spins = spins - 1;
}

/* ---------------------------------------------------------------------------------------------------------- the device */

static void check_frame(struct model *model, const uint8_t *frame, uint32_t length)
{
    struct run *run = model->word;
    if (!frame_matches(frame, length, frame_length(run->sent_seen), run->sent_seen))
        atomic_store(&run->wrong, true);
    run->sent_seen++;
}

static bool deliver_next(struct run *run)
{
    static uint8_t frame[FRAME_MAX];
    if (run->delivered == run->to_deliver ||
        (run->one_at_a_time && atomic_load_explicit(&run->taken, memory_order_relaxed) != run->delivered))
        return false;
    uint32_t length = frame_length(~run->delivered);
    frame_fill(frame, length, ~run->delivered);
    bool done = model_rx_deliver(run->f->model, frame, length);
    run->delivered += done;
    return done;
}

static bool work(struct run *run)
{
    struct model *model = run->f->model;
    bool busy = false;
    if (model_held(model, MODEL_TX) > 0) {
        busy = model_tx_complete(model, MODEL_MAX_RING) > 0;
        atomic_store_explicit(&run->completed, run->sent_seen, memory_order_relaxed);
    }
    for (unsigned i = 0; i < 8 && deliver_next(run); i++)
        busy = true;
    return busy;
}

static uint64_t notifications(const struct model *model)
{
    return atomic_load_explicit(&model->queue[MODEL_RX].notifications, memory_order_relaxed) +
           atomic_load_explicit(&model->queue[MODEL_TX].notifications, memory_order_relaxed);
}

/* Works while there is work, then asks for notifications, looks once more, and sleeps until one comes. */
static void *device_thread(void *argument)
{
    struct run *run = argument;
    struct model *model = run->f->model;
    while (!atomic_load_explicit(&run->stop, memory_order_relaxed) && !expired(run)) {
        uint64_t seen = notifications(model);
        while (work(run))
            continue;
        jitter(run->sent_seen);
        bool more = queue_want_notification(model, MODEL_TX);
        more |= queue_want_notification(model, MODEL_RX);
        if (more)
            continue;
        while (notifications(model) == seen && !atomic_load_explicit(&run->stop, memory_order_relaxed) && !expired(run)) {
            if (run->one_at_a_time && deliver_next(run))
                break;
        }
    }
    return NULL;
}

static void begin(struct run *run, struct fixture *f, pthread_t *device)
{
    run->f = f;
    bring_up(f);
    f->model->word = run;
    f->model->on_frame = check_frame;
    f->model->on_violation = NULL;
    f->model->threaded = true;
    (void)clock_gettime(CLOCK_MONOTONIC, &run->start);
    assert_int_equal(pthread_create(device, NULL, device_thread, run), 0);
}

static void end(struct run *run, pthread_t device)
{
    atomic_store(&run->stop, true);
    assert_int_equal(pthread_join(device, NULL), 0);
    run->f->model->threaded = false;
    assert_false(atomic_load(&run->wrong));
    assert_false(atomic_load(&run->late));
    assert_int_equal(atomic_load(&run->f->model->violations), 0);
    assert_int_equal(statistics_of(run->f).queues_broken, 0);
    take_down(run->f);
}

/* ----------------------------------------------------------------------------------------------------------- the driver */

/* One step each; they tell whether something moved. */
static bool send_step(struct run *run, uint8_t *frame, uint64_t *next)
{
    if (*next == run->to_send)
        return false;
    uint32_t length = frame_length(*next);
    frame_fill(frame, length, *next);
    int32_t code = virtio_net_send(run->f->net, 0, 0, frame, length);
    if (code != VIRTIO_NET_SUCCESS && code != VIRTIO_NET_ERROR_QUEUE_FULL)
        atomic_store(&run->wrong, true);
    *next += code == VIRTIO_NET_SUCCESS;
    return code == VIRTIO_NET_SUCCESS;
}

static bool receive_step(struct run *run, uint8_t *frame, uint64_t *next)
{
    int32_t length = virtio_net_receive(run->f->net, 0, 0, frame, FRAME_MAX);
    if (length > 0 && !frame_matches(frame, (uint32_t)length, frame_length(~*next), ~*next))
        atomic_store(&run->wrong, true);
    if (length < 0)
        atomic_store(&run->wrong, true);
    *next += length > 0;
    return length > 0;
}

static void one_driver_thread(void **state)
{
    struct run run = {.to_send = PACKETS, .to_deliver = PACKETS};
    pthread_t device;
    uint8_t frame[FRAME_MAX];
    uint64_t sent = 0;
    uint64_t received = 0;
    begin(&run, *state, &device);
    while ((sent < PACKETS || received < PACKETS) && !atomic_load_explicit(&run.late, memory_order_relaxed)) {
        bool moved = send_step(&run, frame, &sent);
        moved |= receive_step(&run, frame, &received);
        if (!moved && expired(&run))
            break;
    }
    while (virtio_net_tx_in_flight(run.f->net, 0) > 0 && !expired(&run))
        (void)virtio_net_tx_reap(run.f->net, 0, 0, NULL, 0);
    end(&run, device);
    assert_int_equal(sent, PACKETS);
    assert_int_equal(received, PACKETS);
    assert_int_equal(run.sent_seen, PACKETS);
}

static void *transmit_thread(void *argument)
{
    struct run *run = argument;
    uint8_t frame[FRAME_MAX];
    uint64_t sent = 0;
    while (sent < run->to_send && !atomic_load_explicit(&run->late, memory_order_relaxed)) {
        if (!send_step(run, frame, &sent) && expired(run))
            break;
    }
    while (virtio_net_tx_in_flight(run->f->net, 0) > 0 && !expired(run))
        (void)virtio_net_tx_reap(run->f->net, 0, 0, NULL, 0);
    return NULL;
}

/* Frames lent in place and given back in another order, by a thread of their own. */
static bool lend_step(struct run *run, struct virtio_net_packet *packets, uint64_t *next)
{
    int32_t got = virtio_net_rx_peek(run->f->net, 0, 0, packets, 4);
    for (int32_t i = 0; i < got; i++, ++*next) {
        if (!frame_matches(packets[i].data, packets[i].length, frame_length(~*next), ~*next))
            atomic_store(&run->wrong, true);
    }
    for (int32_t i = got - 1; i >= 0; i--) {
        if (virtio_net_rx_release(run->f->net, 0, 0, &packets[i], 1) != 1)
            atomic_store(&run->wrong, true);
    }
    if (got < 0)
        atomic_store(&run->wrong, true);
    return got > 0;
}

/* The interrupt's calls. The model's device thread raises no interrupt, so this thread does. */
static void *interrupt_thread(void *argument)
{
    struct run *run = argument;
    while (!atomic_load_explicit(&run->received, memory_order_relaxed) && !expired(run)) {
        run->f->model->isr = VIRTIO_NET_EVENT_QUEUE;
        if (virtio_net_irq_ack(run->f->net, 0) != VIRTIO_NET_EVENT_QUEUE || virtio_net_link(run->f->net) != 1)
            atomic_store(&run->wrong, true);
    }
    return NULL;
}

/* Transmit, receive, the interrupt and the reports at once, as the header's groups allow. */
static void a_thread_for_each_group(void **state)
{
    struct run run = {.to_send = PACKETS, .to_deliver = PACKETS};
    pthread_t device;
    pthread_t transmit;
    pthread_t interrupt;
    struct virtio_net_packet packets[4];
    uint64_t received = 0;
    begin(&run, *state, &device);
    assert_int_equal(pthread_create(&transmit, NULL, transmit_thread, &run), 0);
    assert_int_equal(pthread_create(&interrupt, NULL, interrupt_thread, &run), 0);
    while (received < PACKETS && !atomic_load_explicit(&run.late, memory_order_relaxed)) {
        struct virtio_net_statistics statistics = {.size = sizeof statistics};
        struct virtio_net_info info = {.size = sizeof info};
        if (!lend_step(&run, packets, &received) && expired(&run))
            break;
        (void)virtio_net_get_statistics(run.f->net, &statistics);
        (void)virtio_net_get_info(run.f->net, &info);
        if (info.link_up != 1)
            break;
    }
    atomic_store(&run.received, true);
    assert_int_equal(pthread_join(transmit, NULL), 0);
    assert_int_equal(pthread_join(interrupt, NULL), 0);
    assert_true(statistics_of(run.f).interrupts > 0);
    end(&run, device);
    assert_int_equal(received, PACKETS);
    assert_int_equal(run.sent_seen, PACKETS);
}

/* ------------------------------------------------------------------------------------------------------------- wake-ups */

/* One frame, and no further call before the device has it: a notification that is left out wrongly is never made good. */
static void wake_of_the_device(void **state)
{
    struct run run = {.to_send = PACKETS};
    pthread_t device;
    uint8_t frame[FRAME_MAX];
    begin(&run, *state, &device);
    for (uint64_t sent = 0; sent < PACKETS;) {
        assert_true(send_step(&run, frame, &sent));
        for (uint32_t spins = 0; atomic_load_explicit(&run.completed, memory_order_relaxed) != sent; spins++) {
            if (spins > 2000 && expired(&run))
                break;
        }
        if (atomic_load_explicit(&run.late, memory_order_relaxed))
            break;
    }
    end(&run, device);
    assert_int_equal(run.sent_seen, PACKETS);
}

static uint64_t interrupts(const struct run *run)
{
    return atomic_load_explicit(&run->f->model->queue[MODEL_RX].interrupts, memory_order_relaxed);
}

/* Interrupts on, and no further call before one comes: a completion between the last look and the arming must not be lost. */
static void wake_of_the_driver(void **state)
{
    struct run run = {.to_deliver = PACKETS, .one_at_a_time = true};
    pthread_t device;
    uint8_t frame[FRAME_MAX];
    uint64_t received = 0;
    begin(&run, *state, &device);
    while (received < PACKETS) {
        uint64_t before = interrupts(&run);
        atomic_store_explicit(&run.taken, received, memory_order_relaxed);
        jitter(received);
        int32_t waiting = virtio_net_irq_enable(run.f->net, 0, VIRTIO_NET_IRQ_RX, 0);
        for (uint32_t spins = 0; waiting == 0 && interrupts(&run) == before; spins++) {
            if (spins > 2000 && expired(&run))
                break;
        }
        if (atomic_load_explicit(&run.late, memory_order_relaxed) ||
            virtio_net_irq_disable(run.f->net, 0, VIRTIO_NET_IRQ_RX, 0) < 0)
            break;
        while (receive_step(&run, frame, &received))
            continue;
    }
    end(&run, device);
    assert_int_equal(received, PACKETS);
}

TEST_PROGRAM(IN_VARIANT(one_driver_thread, 0), IN_VARIANT(one_driver_thread, 3), IN_VARIANT(a_thread_for_each_group, 1),
             IN_VARIANT(a_thread_for_each_group, 2), IN_VARIANT(wake_of_the_device, 1), IN_VARIANT(wake_of_the_device, 2),
             IN_VARIANT(wake_of_the_driver, 1), IN_VARIANT(wake_of_the_driver, 2))
