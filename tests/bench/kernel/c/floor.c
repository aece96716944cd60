/*
 * floor.c - the least that a virtio network driver can do, to measure the real ones against.
 *
 * One descriptor a packet, completion in any order, one store of each index and one test for the notification a burst, the
 * barriers that the rings need, descriptors of the receive queue written once. What is left out is what a driver for real use
 * must have: no check of used.id, of a length or of an index, no test for a full or an empty ring but the count that there is, no
 * statistics, no errors, and vector registers and unaligned accesses are used at will.
 */
#include "bench.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SLOTS        256u
#define BUFFER       2048u
#define FRAME_OFFSET 16u

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct used_element {
    uint32_t id;
    uint32_t length;
};

struct queue {
    struct descriptor *descriptors;
    _Atomic uint16_t *avail; /* flags, index, ring, used_event */
    uint8_t *used;           /* flags, index, ring, avail_event */
    uint8_t *buffers;
    uint32_t header;
    uint16_t avail_index;
    uint16_t used_index;
    uint16_t mask;
    uint16_t kicked;
    uint32_t free;
    uint32_t number;
    volatile uint32_t *registers;
    uint64_t kicks;
    uint16_t stack[SLOTS]; /* free slots */
};

struct floor {
    struct queue rx;
    struct queue tx;
};

_Static_assert(sizeof(struct floor) <= 4096, "src/c_paths.rs gives it a page");

static _Atomic uint16_t *used_index(const struct queue *queue)
{
    return (_Atomic uint16_t *)(void *)(queue->used + 2);
}

static const struct used_element *used_ring(const struct queue *queue)
{
    return (const struct used_element *)(void *)(queue->used + 4);
}

/* 2.7.13: the entries, the index, a full barrier, the test for a notification (2.7.10). */
static inline void publish(struct queue *queue, uint16_t index)
{
    uint16_t before = queue->avail_index;
    queue->avail_index = index;
    atomic_store_explicit(&queue->avail[1], index, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    const _Atomic uint16_t *event = (const _Atomic uint16_t *)(const void *)&used_ring(queue)[queue->mask + 1];
    uint16_t wish = atomic_load_explicit(event, memory_order_relaxed);
    if ((uint16_t)(index - wish - 1) < (uint16_t)(index - before)) {
        queue->kicks++;
        __asm__ volatile("dmb oshst" ::: "memory");
        queue->registers[0x50 / 4] = queue->number;
    }
}

static inline uint8_t *frame_of(const struct queue *queue, uint32_t slot)
{
    return queue->buffers + (size_t)slot * BUFFER + FRAME_OFFSET;
}

/* What a burst needs of a queue, in registers: the stores into the rings could change the queue, for all that the compiler
 * knows. */
struct burst {
    struct descriptor *descriptors;
    _Atomic uint16_t *avail_ring;
    const struct used_element *used_ring;
    uint8_t *frames;
    uint32_t header;
    uint32_t mask;
};

static inline struct burst begin(const struct queue *queue)
{
    return (struct burst){queue->descriptors, queue->avail + 2, used_ring(queue), frame_of(queue, 0), queue->header, queue->mask};
}

static inline void set_avail(const struct burst *burst, uint32_t index, uint32_t slot)
{
    atomic_store_explicit(&burst->avail_ring[index & burst->mask], (uint16_t)slot, memory_order_relaxed);
}

static inline uint8_t *frame_in(const struct burst *burst, uint32_t slot)
{
    return burst->frames + (size_t)slot * BUFFER;
}

/* Whole blocks, and one that ends where the frame ends. 32 bytes at least; Ethernet has 60. */
static inline void copy(uint8_t *restrict to, const uint8_t *restrict from, uint32_t bytes)
{
    if (bytes <= 64) {
        __builtin_memcpy(to, from, 32);
        __builtin_memcpy(to + bytes - 32, from + bytes - 32, 32);
        return;
    }
    uint8_t *last = to + bytes - 64;
    const uint8_t *from_last = from + bytes - 64;
    for (; bytes > 128; bytes -= 128, to += 128, from += 128)
        __builtin_memcpy(to, from, 128);
    if (bytes > 64)
        __builtin_memcpy(to, from, 64);
    __builtin_memcpy(last, from_last, 64);
}

static void tx_reserve(struct floor *floor, struct floor_frame *frames, uint32_t count)
{
    struct queue *queue = &floor->tx;
    struct burst burst = begin(queue);
    const uint16_t *stack = queue->stack + queue->free;
    queue->free -= count;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = *--stack;
        frames[i].data = frame_in(&burst, slot);
        frames[i].slot = slot;
    }
}

static void tx_commit(struct floor *floor, const struct floor_frame *frames, uint32_t count)
{
    struct queue *queue = &floor->tx;
    struct burst burst = begin(queue);
    uint32_t index = queue->avail_index;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        burst.descriptors[frames[i].slot].length = frames[i].length + burst.header;
        set_avail(&burst, index++, frames[i].slot);
    }
    publish(queue, (uint16_t)index);
}

static void tx_copy(struct floor *floor, const struct floor_frame *frames, uint32_t count)
{
    struct queue *queue = &floor->tx;
    struct burst burst = begin(queue);
    const uint16_t *stack = queue->stack + queue->free;
    uint32_t index = queue->avail_index;
    queue->free -= count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = *--stack;
        copy(frame_in(&burst, slot), frames[i].data, frames[i].length);
        burst.descriptors[slot].length = frames[i].length + burst.header;
        set_avail(&burst, index++, slot);
    }
    publish(queue, (uint16_t)index);
}

static void tx_reap(struct floor *floor)
{
    struct queue *queue = &floor->tx;
    struct burst burst = begin(queue);
    uint32_t index = queue->used_index;
    uint16_t end = atomic_load_explicit(used_index(queue), memory_order_acquire);
    uint32_t count = (uint16_t)(end - index);
    uint16_t *stack = queue->stack + queue->free;
    queue->free += count;
    queue->used_index = end;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++)
        stack[i] = (uint16_t)burst.used_ring[index++ & burst.mask].id;
}

static uint32_t rx_peek(struct floor *floor, struct floor_frame *frames, uint32_t count)
{
    struct queue *queue = &floor->rx;
    struct burst burst = begin(queue);
    uint32_t index = queue->used_index;
    uint16_t ready = (uint16_t)(atomic_load_explicit(used_index(queue), memory_order_acquire) - index);
    if (count > ready)
        count = ready;
    queue->used_index = (uint16_t)(index + count);
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++) {
        struct used_element element = burst.used_ring[index++ & burst.mask];
        frames[i].data = frame_in(&burst, element.id);
        frames[i].length = element.length - burst.header;
        frames[i].slot = element.id;
    }
    return count;
}

static void rx_release(struct floor *floor, const struct floor_frame *frames, uint32_t count)
{
    struct queue *queue = &floor->rx;
    struct burst burst = begin(queue);
    uint32_t index = queue->avail_index;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < count; i++)
        set_avail(&burst, index++, frames[i].slot);
    publish(queue, (uint16_t)index);
}

static uint32_t rx_copy(struct floor *floor, struct floor_frame *frames, uint32_t count)
{
    struct queue *queue = &floor->rx;
    struct burst burst = begin(queue);
    uint32_t used = queue->used_index;
    uint32_t avail = queue->avail_index;
    uint16_t ready = (uint16_t)(atomic_load_explicit(used_index(queue), memory_order_acquire) - used);
    if (count > ready)
        count = ready;
    for (uint32_t i = 0; i < count; i++) {
        struct used_element element = burst.used_ring[used++ & burst.mask];
        frames[i].length = element.length - burst.header;
        copy(frames[i].data, frame_in(&burst, element.id), frames[i].length);
        set_avail(&burst, avail++, element.id);
    }
    queue->used_index = (uint16_t)used;
    publish(queue, (uint16_t)avail);
    return count;
}

const struct floor_api bench_floor = {
    .tx_reserve = tx_reserve,
    .tx_commit = tx_commit,
    .tx_copy = tx_copy,
    .tx_reap = tx_reap,
    .rx_peek = rx_peek,
    .rx_release = rx_release,
    .rx_copy = rx_copy,
};

/* -------------------------------------------------------------------------------------------------------------- set-up */

enum {
    VERSION = 0x04,
    DRIVER_FEATURES = 0x20,
    DRIVER_FEATURES_SELECT = 0x24,
    GUEST_PAGE_SIZE = 0x28,
    QUEUE_SELECT = 0x30,
    QUEUE_SIZE = 0x38,
    QUEUE_ALIGN = 0x3c,
    QUEUE_PFN = 0x40,
    QUEUE_READY = 0x44,
    STATUS = 0x70,
    QUEUE_DESCRIPTORS = 0x80,
    QUEUE_DRIVER = 0x90,
    QUEUE_DEVICE = 0xa0
};

static void set(volatile uint32_t *registers, uint32_t offset, uint32_t value)
{
    registers[offset / 4] = value;
}

static void set_address(volatile uint32_t *registers, uint32_t offset, const void *address)
{
    set(registers, offset, (uint32_t)(uintptr_t)address);
    set(registers, offset + 4, (uint32_t)((uint64_t)(uintptr_t)address >> 32));
}

static void set_up_queue(struct queue *queue, uint32_t number, uint32_t size, volatile uint32_t *registers, uint8_t *memory)
{
    bool legacy = registers[VERSION / 4] == 1;
    queue->number = number;
    queue->registers = registers;
    queue->header = legacy ? 10 : 12;
    queue->mask = (uint16_t)(size - 1);
    queue->descriptors = (struct descriptor *)(void *)memory;
    queue->avail = (_Atomic uint16_t *)(void *)(memory + size * sizeof(struct descriptor));
    queue->used = memory + 8192; /* the next page after the two others of 256 entries; QueueAlign says so to a legacy device */
    queue->buffers = memory + 16384;
    for (uint32_t slot = 0; slot < size; slot++) {
        queue->descriptors[slot].address = (uintptr_t)frame_of(queue, slot) - queue->header;
        queue->descriptors[slot].length = BUFFER - FRAME_OFFSET;
        queue->descriptors[slot].flags = number == 0 ? 2 : 0;
        queue->stack[slot] = (uint16_t)slot;
    }
    queue->free = size;
    /* Interrupts of a ring are asked for so far behind that none comes (2.7.10). */
    queue->avail[2 + size] = 0x8000;
    set(registers, QUEUE_SELECT, number);
    set(registers, QUEUE_SIZE, size);
    if (legacy) {
        set(registers, QUEUE_ALIGN, 8192);
        set(registers, QUEUE_PFN, (uint32_t)((uintptr_t)memory / 4096));
        return;
    }
    set_address(registers, QUEUE_DESCRIPTORS, queue->descriptors);
    set_address(registers, QUEUE_DRIVER, (const void *)queue->avail);
    set_address(registers, QUEUE_DEVICE, queue->used);
    set(registers, QUEUE_READY, 1);
}

/* memory: zeroed, aligned to 8,192 bytes, and 16,384 bytes and a buffer a slot for each queue. */
void bench_floor_init(struct floor *floor, volatile uint32_t *registers, uint32_t size, uint8_t *memory)
{
    bool legacy = registers[VERSION / 4] == 1;
    set(registers, STATUS, 0);
    while (registers[STATUS / 4] != 0) {
    }
    set(registers, STATUS, 3);
    set(registers, DRIVER_FEATURES_SELECT, 0);
    set(registers, DRIVER_FEATURES, 1u << 29 | (legacy ? 1u << 27 : 0)); /* EVENT_IDX, ANY_LAYOUT */
    if (legacy) {
        set(registers, GUEST_PAGE_SIZE, 4096);
    } else {
        set(registers, DRIVER_FEATURES_SELECT, 1);
        set(registers, DRIVER_FEATURES, 1); /* VERSION_1 */
        set(registers, STATUS, 11);
    }
    set_up_queue(&floor->rx, 0, size, registers, memory);
    set_up_queue(&floor->tx, 1, size, registers, memory + 16384 + (size_t)size * BUFFER);
    set(registers, STATUS, legacy ? 7 : 15);
    for (uint32_t slot = 0; slot < size; slot++)
        floor->rx.avail[2 + slot] = (uint16_t)slot;
    publish(&floor->rx, (uint16_t)size);
    set(registers, 0x50, 0);
}

void bench_floor_close(struct floor *floor)
{
    set(floor->rx.registers, STATUS, 0);
}

/* ---------------------------------------------------------------------------------------------------------- what to wait for */

uint32_t bench_floor_ready(const struct floor *floor)
{
    return (uint16_t)(*used_index(&floor->rx) - floor->rx.used_index);
}

uint32_t bench_floor_in_flight(const struct floor *floor)
{
    return (uint16_t)(floor->tx.avail_index - *used_index(&floor->tx));
}

uint32_t bench_floor_room(const struct floor *floor)
{
    return floor->tx.free;
}

void bench_floor_nudge(struct floor *floor)
{
    set(floor->tx.registers, 0x50, 0);
    set(floor->tx.registers, 0x50, 1);
}

uint64_t bench_floor_kicks(const struct floor *floor, uint32_t queue)
{
    return queue == 0 ? floor->rx.kicks : floor->tx.kicks;
}
