/*
 * rings.c - split virtqueues from the device's side (virtio 1.2, 2.7).
 *
 * The available ring is read as a device must: idx with acquire, each entry and descriptor once. What the driver may not do is
 * a violation: an index that moves by more than the ring holds, a descriptor that is in flight already, a chain that is too
 * long or leads out of the table, a loop, a part outside of shared memory.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"

static uint16_t load16(const void *address, memory_order order)
{
    return atomic_load_explicit((const _Atomic uint16_t *)address, order);
}

static void store16(void *address, uint16_t value, memory_order order)
{
    atomic_store_explicit((_Atomic uint16_t *)address, value, order);
}

static void *used_event(const struct model_queue *queue)
{
    return queue->avail + 2 + queue->size;
}

static void *avail_event(const struct model_queue *queue)
{
    return queue->used + 4 + 8 * (size_t)queue->size;
}

/* ---------------------------------------------------------------------------------------------------------- open, close */

static uint8_t *ring_memory(struct model *model, uint64_t device_address, uint32_t bytes)
{
    uint8_t *memory = memory_at(model, device_address, bytes, true);
    for (uint32_t i = 0; i < model->block_count; i++) {
        const struct model_block *block = &model->blocks[i];
        bool inside = device_address >= block->device_address && device_address < block->device_address + block->bytes;
        if (inside && (block->flags & VIRTIO_NET_DMA_COHERENT) == 0)
            model_violation(model, "a ring lies in memory that was not asked to be coherent");
        if (inside && block->direction != VIRTIO_NET_DMA_BOTH)
            model_violation(model, "a ring lies in memory for one direction");
    }
    return memory;
}

bool queue_open(struct model *model, uint32_t index)
{
    struct model_queue *queue = &model->queue[index];
    uint32_t size = queue->size;
    queue->descriptors = (void *)ring_memory(model, queue->descriptor_area, 16 * size);
    queue->avail = (void *)ring_memory(model, queue->driver_area, 6 + 2 * size);
    queue->used = ring_memory(model, queue->device_area, 6 + 8 * size);
    if (queue->descriptors == NULL || queue->avail == NULL || queue->used == NULL)
        return false;
    queue->pending = calloc(size, sizeof *queue->pending);
    queue->busy = calloc(size, sizeof *queue->busy);
    queue->saved = calloc(size, sizeof *queue->saved);
    queue->saved_avail = calloc(size, sizeof *queue->saved_avail);
    queue->pending_first = queue->pending_count = 0;
    queue->avail_taken = queue->used_index = queue->used_published = queue->used_signalled = 0;
    queue->broken = false;
    queue->ready = true;
    return true;
}

void queue_close(struct model_queue *queue)
{
    free(queue->pending);
    free(queue->busy);
    free(queue->saved);
    free(queue->saved_avail);
    queue->pending = NULL;
    queue->busy = NULL;
    queue->saved = NULL;
    queue->saved_avail = NULL;
    queue->pending_first = queue->pending_count = 0;
    queue->ready = false;
}

struct model_buffer *queue_pending(struct model_queue *queue, uint32_t position)
{
    return &queue->pending[(queue->pending_first + position) & (queue->size - 1)];
}

/* The first buffer takes the place of the one that leaves, so that a completion costs the same wherever it is. */
void queue_forget(struct model_queue *queue, uint32_t position)
{
    struct model_buffer *leaving = queue_pending(queue, position);
    queue->busy[leaving->head] = false;
    *leaving = *queue_pending(queue, 0);
    queue->pending_first++;
    queue->pending_count--;
}

/* --------------------------------------------------------------------------------------------------------- descriptors */

static bool add_part(struct model *model, struct model_buffer *buffer, const struct model_descriptor *descriptor)
{
    bool writable = (descriptor->flags & DESCRIPTOR_WRITE) != 0;
    if (buffer->parts == MODEL_MAX_PARTS || descriptor->bytes == 0) {
        model_violation(model, "chain of more than %d parts, or an empty one", MODEL_MAX_PARTS);
        return false;
    }
    uint8_t *at = memory_at(model, descriptor->address, descriptor->bytes, writable);
    if (at == NULL)
        return false;
    buffer->part[buffer->parts].at = at;
    buffer->part[buffer->parts].bytes = descriptor->bytes;
    buffer->part[buffer->parts].writable = writable;
    buffer->parts++;
    buffer->bytes += descriptor->bytes;
    return true;
}

/* A driver may leave alone what memory already holds. Where the model scribbled over that, the value saved counts. */
static struct model_descriptor read_descriptor(const struct model *model, struct model_queue *queue, uint16_t index)
{
    struct model_descriptor *place = &queue->descriptors[index];
    struct model_descriptor seen = *place;
    if (!model->scribble)
        return seen;
    struct model_descriptor *saved = &queue->saved[index];
    if (seen.address == UINT64_MAX)
        seen.address = saved->address;
    if (seen.bytes == UINT32_MAX)
        seen.bytes = saved->bytes;
    if (seen.flags == UINT16_MAX)
        seen.flags = saved->flags;
    if (seen.next == UINT16_MAX)
        seen.next = saved->next;
    *saved = seen;
    memset(place, 0xff, sizeof *place);
    return seen;
}

static bool read_indirect(struct model *model, struct model_buffer *buffer, const struct model_descriptor *outer)
{
    uint32_t count = outer->bytes / (uint32_t)sizeof(struct model_descriptor);
    if (!device_agreed(model, VIRTIO_NET_FEATURE_INDIRECT_DESC) || outer->bytes % sizeof(struct model_descriptor) != 0 ||
        (outer->flags & (DESCRIPTOR_NEXT | DESCRIPTOR_WRITE)) != 0) {
        model_violation(model, "indirect descriptor not agreed on, or with flags 0x%x and %u bytes", outer->flags, outer->bytes);
        return false;
    }
    const struct model_descriptor *table = (void *)memory_at(model, outer->address, outer->bytes, false);
    uint32_t index = 0;
    for (uint32_t steps = 0; table != NULL && steps < count; steps++) {
        struct model_descriptor inner = table[index];
        if (!add_part(model, buffer, &inner))
            return false;
        if ((inner.flags & DESCRIPTOR_NEXT) == 0)
            return true;
        index = inner.next;
        if (index >= count)
            break;
    }
    model_violation(model, "indirect table without an end");
    return false;
}

static bool read_chain(struct model *model, struct model_queue *queue, uint16_t head, struct model_buffer *buffer)
{
    *buffer = (struct model_buffer){.head = head};
    uint32_t index = head;
    for (uint32_t steps = 0; steps <= MODEL_MAX_PARTS; steps++) {
        if (index >= queue->size)
            break;
        struct model_descriptor descriptor = read_descriptor(model, queue, (uint16_t)index);
        if ((descriptor.flags & DESCRIPTOR_INDIRECT) != 0)
            return read_indirect(model, buffer, &descriptor);
        if (!add_part(model, buffer, &descriptor))
            return false;
        if ((descriptor.flags & DESCRIPTOR_NEXT) == 0)
            return true;
        index = descriptor.next;
    }
    model_violation(model, "chain from descriptor %u leads nowhere", head);
    return false;
}

/* ------------------------------------------------------------------------------------------------------- available ring */

static uint16_t read_avail_entry(const struct model *model, struct model_queue *queue, uint16_t index)
{
    uint32_t place = index & (queue->size - 1);
    uint16_t head = queue->avail[2 + place];
    if (!model->scribble)
        return head;
    if (head == UINT16_MAX)
        head = queue->saved_avail[place];
    queue->saved_avail[place] = head;
    queue->avail[2 + place] = UINT16_MAX;
    return head;
}

static bool take_one(struct model *model, struct model_queue *queue)
{
    uint16_t head = read_avail_entry(model, queue, queue->avail_taken);
    if (head >= queue->size || queue->busy[head] || queue->pending_count >= queue->size) {
        model_violation(model, "descriptor %u made available, which is no free one", head);
        return false;
    }
    if (!read_chain(model, queue, head, queue_pending(queue, queue->pending_count)))
        return false;
    queue->busy[head] = true;
    queue->pending_count++;
    queue->avail_taken++;
    queue->taken++;
    return true;
}

uint32_t queue_take(struct model *model, uint32_t index)
{
    struct model_queue *queue = &model->queue[index];
    uint16_t available = load16(&queue->avail[1], memory_order_acquire);
    uint16_t count = (uint16_t)(available - queue->avail_taken);
    if (count > queue->size) {
        model_violation(model, "avail.idx of queue %u moved from %u to %u", index, queue->avail_taken, available);
        queue->broken = true;
        return 0;
    }
    if (device_agreed(model, VIRTIO_NET_FEATURE_EVENT_IDX) && load16(queue->avail, memory_order_relaxed) != 0)
        model_violation(model, "avail.flags is not 0 with EVENT_IDX");
    for (uint16_t i = 0; i < count; i++) {
        if (!take_one(model, queue)) {
            queue->broken = true;
            return i;
        }
    }
    return count;
}

bool queue_want_notification(struct model *model, uint32_t index)
{
    struct model_queue *queue = &model->queue[index];
    if (!device_agreed(model, VIRTIO_NET_FEATURE_EVENT_IDX) || model->late_event || queue->broken)
        return false;
    store16(avail_event(queue), queue->avail_taken, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    return load16(&queue->avail[1], memory_order_relaxed) != queue->avail_taken;
}

/* ------------------------------------------------------------------------------------------------------------ used ring */

/* 2.7.10: an interrupt is due when the index that the driver named is among those that were passed. */
static bool interrupt_due(struct model *model, const struct model_queue *queue)
{
    if (!device_agreed(model, VIRTIO_NET_FEATURE_EVENT_IDX))
        return (load16(queue->avail, memory_order_relaxed) & 1) == 0;
    uint16_t passed = (uint16_t)(queue->used_published - queue->used_signalled);
    uint16_t ahead = (uint16_t)(load16(used_event(queue), memory_order_relaxed) - queue->used_signalled);
    return ahead < passed;
}

void model_publish(struct model *model, uint32_t index)
{
    struct model_queue *queue = &model->queue[index];
    queue->used_published = queue->used_index;
    store16(queue->used + 2, queue->used_index, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (interrupt_due(model, queue)) {
        atomic_fetch_add_explicit(&queue->interrupts, 1, memory_order_relaxed);
        if (!model->threaded)
            model->isr |= 1;
    }
    queue->used_signalled = queue->used_published;
}

void model_push_used(struct model *model, uint32_t index, uint32_t id, uint32_t length)
{
    struct model_queue *queue = &model->queue[index];
    uint32_t element[2] = {id, length};
    memcpy(queue->used + 4 + 8 * (size_t)(queue->used_index & (queue->size - 1)), element, sizeof element);
    queue->used_index++;
    if (!model->hold_used)
        model_publish(model, index);
}

void model_set_used_index(struct model *model, uint32_t index, uint16_t value)
{
    store16(model->queue[index].used + 2, value, memory_order_release);
}

void model_set_avail_event(struct model *model, uint32_t index, uint16_t value)
{
    store16(avail_event(&model->queue[index]), value, memory_order_relaxed);
}

void model_set_used_flags(struct model *model, uint32_t index, uint16_t value)
{
    store16(model->queue[index].used, value, memory_order_relaxed);
}

uint16_t model_avail_index(struct model *model, uint32_t index)
{
    return load16(&model->queue[index].avail[1], memory_order_acquire);
}

uint16_t model_avail_flags(struct model *model, uint32_t index)
{
    return load16(model->queue[index].avail, memory_order_relaxed);
}

uint16_t model_used_event(struct model *model, uint32_t index)
{
    return load16(used_event(&model->queue[index]), memory_order_relaxed);
}

int64_t model_used_offset(const struct model *model, uint32_t index, const volatile void *address)
{
    const struct model_queue *queue = &model->queue[index];
    if (!queue->ready)
        return -1;
    uintptr_t distance = (uintptr_t)address - (uintptr_t)queue->used;
    return distance < 6 + 8 * (uintptr_t)queue->size ? (int64_t)distance : -1;
}
