/*
 * net.c - the network card on top of the rings: frames out of the transmit queue, frames into the receive queue
 * (virtio 1.2, 5.1.6).
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* 5.1.6: num_buffers is there with MRG_RXBUF, and always for a driver of version 1. */
static uint32_t header_bytes(const struct model *model)
{
    return device_agreed(model, VIRTIO_NET_FEATURE_VERSION_1) || device_agreed(model, VIRTIO_NET_FEATURE_MRG_RXBUF) ? 12 : 10;
}

/* 5.1.6.6: a legacy device without ANY_LAYOUT wants the header in a descriptor of its own. */
static bool layout_right(const struct model *model, const struct model_buffer *buffer)
{
    if (!device_legacy(model) || device_agreed(model, VIRTIO_NET_FEATURE_ANY_LAYOUT))
        return true;
    return buffer->parts == 2 && buffer->part[0].bytes == header_bytes(model);
}

static uint64_t buffer_sum(const struct model_buffer *buffer)
{
    uint64_t sum = buffer->bytes;
    for (uint32_t i = 0; i < buffer->parts; i++) {
        uint64_t word = 0;
        uint32_t at = 0;
        for (; at + sizeof word <= buffer->part[i].bytes; at += (uint32_t)sizeof word) {
            memcpy(&word, buffer->part[i].at + at, sizeof word);
            sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        }
        word = 0;
        memcpy(&word, buffer->part[i].at + at, buffer->part[i].bytes - at);
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return sum;
}

/* ------------------------------------------------------------------------------------------------------------- transmit */

static void check_sent(struct model *model, const struct model_buffer *buffer)
{
    if (!layout_right(model, buffer))
        model_violation(model, "transmit buffer of %u parts, the first of %u bytes", buffer->parts, buffer->part[0].bytes);
    for (uint32_t i = 0; i < buffer->parts; i++) {
        if (buffer->part[i].writable)
            model_violation(model, "writable descriptor in the transmit queue");
    }
    if (buffer->bytes < header_bytes(model) + 14)
        model_violation(model, "transmit buffer of %u bytes", buffer->bytes);
}

/* A fresh place for `bytes` at the end of what was captured. */
static uint8_t *capture_room(struct model *model, uint64_t bytes)
{
    if (model->captured_first == model->captured_end)
        model->captured_first = model->captured_end = 0;
    if (model->captured_end + bytes > model->captured_capacity) {
        model->captured_capacity = model->captured_capacity * 2 + bytes + 65536;
        model->captured = realloc(model->captured, model->captured_capacity);
    }
    uint8_t *room = model->captured + model->captured_end;
    model->captured_end += bytes;
    return room;
}

/* Each captured frame is its length, 4 bytes, then its bytes. The header in front of it must be zeros: no offload is agreed
 * on. */
static void capture(struct model *model, const struct model_buffer *buffer)
{
    static const uint8_t zeros[12];
    uint64_t begin = model->captured_end == model->captured_first ? 0 : model->captured_end;
    uint32_t skip = header_bytes(model);
    uint8_t *room = capture_room(model, sizeof(uint32_t) + buffer->bytes);
    uint32_t at = sizeof(uint32_t);
    for (uint32_t i = 0; i < buffer->parts; i++) {
        memcpy(room + at, buffer->part[i].at, buffer->part[i].bytes);
        at += buffer->part[i].bytes;
    }
    uint8_t *frame = room + sizeof(uint32_t);
    uint32_t length = buffer->bytes - skip;
    if (memcmp(frame, zeros, skip) != 0)
        model_violation(model, "header of a sent frame is not zero");
    memmove(frame, frame + skip, length);
    memcpy(room, &length, sizeof length);
    model->captured_end = begin + sizeof length + length;
    if (model->on_frame != NULL) {
        model->captured_end = begin;
        model->on_frame(model, frame, length);
    }
}

const uint8_t *model_tx_pop(struct model *model, uint32_t *length)
{
    if (model->captured_first == model->captured_end)
        return NULL;
    const uint8_t *frame = model->captured + model->captured_first + sizeof *length;
    memcpy(length, model->captured + model->captured_first, sizeof *length);
    model->captured_first += sizeof *length + *length;
    return frame;
}

void model_tx_complete_at(struct model *model, uint32_t position)
{
    struct model_queue *queue = &model->queue[MODEL_TX];
    if (position >= queue->pending_count) {
        model_violation(model, "test completes frame %u of %u", position, queue->pending_count);
        return;
    }
    const struct model_buffer *buffer = queue_pending(queue, position);
    uint16_t head = buffer->head;
    if (!model->sink) {
        if (buffer->sum != buffer_sum(buffer))
            model_violation(model, "transmit buffer of descriptor %u changed while the device had it", head);
        capture(model, buffer);
    }
    queue_forget(queue, position);
    model->frames_sent++;
    /* 5.1.6.1: the length says nothing on the transmit queue, and real devices write anything. */
    model_push_used(model, MODEL_TX, head, (uint32_t)(model->frames_sent * 7919));
}

uint32_t model_tx_complete(struct model *model, uint32_t count)
{
    uint32_t done = 0;
    for (; done < count && model->queue[MODEL_TX].pending_count > 0; done++)
        model_tx_complete_at(model, 0);
    return done;
}

static void look_at_taken(struct model *model, uint32_t count)
{
    struct model_queue *queue = &model->queue[MODEL_TX];
    for (uint32_t i = queue->pending_count - count; i < queue->pending_count; i++) {
        struct model_buffer *buffer = queue_pending(queue, i);
        check_sent(model, buffer);
        if (!model->sink)
            buffer->sum = buffer_sum(buffer);
    }
}

/* -------------------------------------------------------------------------------------------------------------- receive */

static void check_posted(struct model *model, const struct model_buffer *buffer)
{
    if (!layout_right(model, buffer))
        model_violation(model, "receive buffer of %u parts, the first of %u bytes", buffer->parts, buffer->part[0].bytes);
    for (uint32_t i = 0; i < buffer->parts; i++) {
        if (!buffer->part[i].writable)
            model_violation(model, "read-only descriptor in the receive queue");
        if (model->not_coherent && !memory_clean(model, buffer->part[i].at, buffer->part[i].bytes))
            model_violation(model, "receive buffer was not synced for the device");
    }
    if (buffer->bytes < header_bytes(model) + 1514)
        model_violation(model, "receive buffer of %u bytes", buffer->bytes);
}

static uint32_t scatter(const struct model_buffer *buffer, uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    uint32_t written = 0;
    for (uint32_t i = 0; i < buffer->parts && written < count; i++) {
        uint32_t room = buffer->part[i].bytes;
        if (offset >= room) {
            offset -= room;
            continue;
        }
        uint32_t part = count - written < room - offset ? count - written : room - offset;
        memcpy(buffer->part[i].at + offset, bytes + written, part);
        written += part;
        offset = 0;
    }
    return written;
}

bool model_rx_deliver_as(struct model *model, const struct model_delivery *delivery)
{
    struct model_queue *queue = &model->queue[MODEL_RX];
    if (model_held(model, MODEL_RX) <= delivery->position)
        return false;
    struct model_buffer buffer = *queue_pending(queue, delivery->position);
    uint8_t header[12] = {0};
    uint32_t skip = header_bytes(model);
    if (delivery->forged_header)
        memcpy(header, delivery->header, sizeof header);
    else if (skip == 12)
        header[10] = 1; /* num_buffers */
    uint32_t written = scatter(&buffer, 0, header, skip) + scatter(&buffer, skip, delivery->frame, delivery->length);
    queue_forget(queue, delivery->position);
    model_push_used(model, MODEL_RX, buffer.head, delivery->forged_length ? delivery->used_length : written);
    return true;
}

bool model_rx_deliver(struct model *model, const void *frame, uint32_t length)
{
    struct model_delivery delivery = {.frame = frame, .length = length};
    return model_rx_deliver_as(model, &delivery);
}

/* ----------------------------------------------------------------------------------------------------------------- both */

static uint32_t look(struct model *model, uint32_t index)
{
    struct model_queue *queue = &model->queue[index];
    if (!queue->ready || queue->broken)
        return 0;
    uint32_t count = queue_take(model, index);
    if (index == MODEL_TX) {
        look_at_taken(model, count);
    } else {
        for (uint32_t i = queue->pending_count - count; i < queue->pending_count; i++)
            check_posted(model, queue_pending(queue, i));
    }
    return count;
}

uint32_t model_held(struct model *model, uint32_t index)
{
    (void)look(model, index);
    return model->queue[index].pending_count;
}

void model_poll(struct model *model, uint32_t index)
{
    do {
        (void)look(model, index);
        if (index == MODEL_TX && !model->hold_tx)
            (void)model_tx_complete(model, MODEL_MAX_RING);
    } while (model->queue[index].ready && queue_want_notification(model, index));
}
