/*
 * rx.c - receive (virtio 1.2, 5.1.6.3, 5.1.6.4): copying, in place, and into memory of the caller.
 *
 * A used element is read once, its slot proved to be in flight, its length checked against what was posted, and its header
 * against what was agreed on. A bad element costs that one frame and a count; its buffer is posted again. Nothing that a
 * consumer does (keep, release out of order) loses a slot.
 */
#include "net.h"
#include "virtio/copy.h"

#define RX_FLAGS ((uint32_t)VIRTIO_NET_NO_KICK)

/* --------------------------------------------------------------------------------------------------------------- posting */

/* A slot that is free, at avail_index, and has its buffer, becomes the device's with the next publish. With a pool every
 * slot is in flight or held, so the one that was just freed is at avail_index. */
VIRTIO_INLINE void repost(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t slot)
{
    ring_release(ring, slots, slot);
    ring->prepared++;
    ring_commit(ring, slot);
}

VIRTIO_INLINE void publish(struct virtio_net *net, uint32_t flags)
{
    struct virtio_ring *ring = &net->rx.ring;
    if (ring->published == ring->avail_index)
        return;
    ring_publish(ring);
    if ((flags & VIRTIO_NET_NO_KICK) == 0)
        ring_kick(ring, &net->device.transport);
}

static void sync_for_device(const struct virtio_net *net, uint8_t *frame, uint32_t bytes)
{
    const struct virtio_transport *transport = &net->device.transport;
    if (TABLE_HAS(transport->platform, sync_for_device))
        transport->platform->sync_for_device(transport->context, frame - net->rx.ring.header_length, bytes,
                                             VIRTIO_NET_DMA_FROM_DEVICE);
}

void vn_net_rx_fill(struct virtio_net *net)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (net->rx.pool.slots == 0)
        return;
    while (ring_free(ring) != 0) {
        uint16_t slot = ring_prepare(ring, slots);
        if (net->sync)
            sync_for_device(net, slots[slot].data, ring->buffer_length);
        ring_commit(ring, slot);
    }
    ring_publish(ring);
}

/* ------------------------------------------------------------------------------------------------------------- examining */

static VIRTIO_COLD bool drop(uint64_t *counter)
{
    counter_add(counter, 1);
    return false;
}

/* Fields that only an agreed feature gives a meaning to: a frame that needs them cannot be used (5.1.6.4.2). */
VIRTIO_INLINE bool header_is_plain(const struct net_rx *rx, const uint8_t *frame)
{
    const uint8_t *header = frame - rx->ring.header_length;
    uint32_t flags = shared_load8(header + NET_HEADER_FLAGS);
    uint32_t odd = (flags & NET_HEADER_F_NEEDS_CSUM) | shared_load8(header + NET_HEADER_GSO_TYPE);
    return VIRTIO_LIKELY(odd == 0) || rx->trust_header;
}

/* Checks a used element and tells the frame's length. False: the frame is dropped, and counted. */
VIRTIO_INLINE bool examine(struct net_rx *rx, uint8_t *frame, uint32_t used_length, uint32_t posted, uint32_t *length)
{
    uint32_t header_length = rx->ring.header_length;
    if (VIRTIO_UNLIKELY(used_length > posted))
        return drop(&rx->dropped_long);
    if (VIRTIO_UNLIKELY(used_length < header_length + ETHERNET_HEADER_BYTES))
        return drop(&rx->dropped_short);
    if (VIRTIO_UNLIKELY(!header_is_plain(rx, frame)))
        return drop(&rx->dropped_header);
    *length = used_length - header_length;
    return true;
}

static void sync_for_cpu(const struct virtio_net *net, uint8_t *frame, uint32_t used_length, uint32_t posted)
{
    const struct virtio_transport *transport = &net->device.transport;
    if (TABLE_HAS(transport->platform, sync_for_cpu))
        transport->platform->sync_for_cpu(transport->context, frame - net->rx.ring.header_length,
                                          used_length < posted ? used_length : posted, VIRTIO_NET_DMA_FROM_DEVICE);
}

/* How many used elements there are. */
VIRTIO_INLINE int32_t look(struct virtio_net *net)
{
    int32_t ready = ring_ready(&net->rx.ring);
    return VIRTIO_LIKELY(ready >= 0) ? ready : vn_net_broken(net, &net->rx.ring);
}

/* With interrupts on, the look that finds nothing is made after arming. */
static VIRTIO_COLD int32_t arm_and_look(struct virtio_net *net)
{
    return vn_ring_arm(&net->rx.ring) ? look(net) : 0;
}

/* The next good frame among the `ready` elements, whose slot stays in flight until ring_take. 0: none. Bad ones are posted
 * again. */
static int32_t next_of(struct virtio_net *net, int32_t *ready, uint16_t *slot)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    for (; *ready > 0; --*ready) {
        uint32_t used_length = 0;
        uint32_t length = 0;
        if (VIRTIO_UNLIKELY(!ring_head(ring, slots, slot, &used_length)))
            return vn_net_broken(net, ring);
        uint8_t *frame = slots[*slot].data;
        if (VIRTIO_UNLIKELY(net->sync))
            sync_for_cpu(net, frame, used_length, ring->buffer_length);
        if (VIRTIO_LIKELY(examine(&net->rx, frame, used_length, ring->buffer_length, &length)))
            return (int32_t)length;
        if (VIRTIO_UNLIKELY(net->sync))
            sync_for_device(net, frame, ring->buffer_length);
        ring_take(ring);
        repost(ring, slots, *slot);
    }
    return 0;
}

/* The same, and what was asked for with interrupts on: a look that finds no frame has armed the interrupt after the last
 * element. It ends, because what is posted again is published after it. */
VIRTIO_INLINE int32_t next_frame(struct virtio_net *net, int32_t *ready, uint16_t *slot)
{
    int32_t length = next_of(net, ready, slot);
    while (VIRTIO_UNLIKELY(length == 0 && net->rx.ring.interrupts)) {
        *ready = arm_and_look(net);
        if (*ready <= 0)
            return *ready;
        length = next_of(net, ready, slot);
    }
    return length;
}

/* The end of a look that began at `before` and leaves `left` elements. One that took the last arms the interrupt: callers
 * that ask rx_ready before they look again see what came meanwhile, because that reads used.idx after the arming. */
VIRTIO_INLINE void settle(struct virtio_net *net, uint32_t flags, uint16_t before, int32_t left)
{
    struct virtio_ring *ring = &net->rx.ring;
    if (!ring_is_usable(ring))
        return;
    publish(net, flags);
    if (ring->used_index != before)
        ring_completed(ring);
    else if (VIRTIO_UNLIKELY(vn_ring_idle(ring, &net->device.transport, NET_RX_PATIENCE)))
        vn_net_look_at_status(net, ring);
    if (VIRTIO_UNLIKELY(ring->interrupts && left <= 0))
        vn_ring_arm(ring);
}

/* ---------------------------------------------------------------------------------------------------------------- copying */

VIRTIO_INLINE void take_copy(struct virtio_net *net, uint16_t slot, void *buffer, uint32_t length)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    copy_bytes(buffer, slots[slot].data, length);
    if (VIRTIO_UNLIKELY(net->sync))
        sync_for_device(net, slots[slot].data, ring->buffer_length);
    ring_take(ring);
    repost(ring, slots, slot);
    counter_add(&net->rx.frames, 1);
    counter_add(&net->rx.bytes, length);
}

int32_t virtio_net_receive(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, void *buffer, uint32_t capacity)
{
    if (VIRTIO_UNLIKELY(net == NULL || buffer == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->rx.ring;
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, 0)))
        return vn_net_refuse(net, ring, queue_pair, flags, 0);
    if (VIRTIO_UNLIKELY(net->rx.pool_frame == 0))
        return VIRTIO_NET_ERROR_NO_POOL;
    uint16_t before = ring->used_index;
    int32_t ready = look(net);
    if (VIRTIO_UNLIKELY(ready < 0))
        return ready;
    uint16_t slot = 0;
    int32_t length = next_frame(net, &ready, &slot);
    if (length > 0 && (uint32_t)length > capacity) {
        publish(net, flags);
        return VIRTIO_NET_ERROR_BUFFER_TOO_SMALL;
    }
    if (length > 0)
        take_copy(net, slot, buffer, (uint32_t)length);
    settle(net, flags, before, ready - 1);
    return length;
}

int32_t virtio_net_receive_burst(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                                 uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->rx.ring;
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, 0)))
        return vn_net_refuse(net, ring, queue_pair, flags, 0);
    if (VIRTIO_UNLIKELY(net->rx.pool_frame == 0))
        return VIRTIO_NET_ERROR_NO_POOL;
    uint16_t before = ring->used_index;
    int32_t ready = look(net);
    int32_t code = ready < 0 ? ready : VIRTIO_NET_SUCCESS;
    uint32_t done = 0;
    while (code == VIRTIO_NET_SUCCESS && done < count) {
        uint16_t slot = 0;
        int32_t length = next_frame(net, &ready, &slot);
        if (length == 0)
            break;
        if (length < 0)
            code = length;
        else if (packets[done].data == NULL)
            code = VIRTIO_NET_ERROR_INVALID_ARGUMENT;
        else if ((uint32_t)length > packets[done].length)
            code = VIRTIO_NET_ERROR_BUFFER_TOO_SMALL;
        if (code < 0)
            break;
        take_copy(net, slot, packets[done].data, (uint32_t)length);
        packets[done].length = (uint32_t)length;
        packets[done].flags = 0;
        ready--;
        done++;
    }
    settle(net, flags, before, ready);
    return done != 0 || code == VIRTIO_NET_SUCCESS ? (int32_t)done : code;
}

/* --------------------------------------------------------------------------------------------------------------- in place */

VIRTIO_INLINE void lend(struct virtio_net_packet *packet, const struct virtio_slot *slots, uint16_t slot, uint32_t length)
{
    packet->slot = slot;
    packet->data = slots[slot].data;
    packet->length = length;
    packet->flags = 0;
}

static int32_t peek_pool(struct virtio_net *net, int32_t *ready, struct virtio_net_packet *packets, uint32_t count)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    uint32_t done = 0;
    uint64_t bytes = 0;
    int32_t length = 0;
    for (; done < count; done++, --*ready) {
        uint16_t slot = 0;
        length = next_frame(net, ready, &slot);
        if (length <= 0)
            break;
        ring_take(ring);
        lend(&packets[done], slots, slot, (uint32_t)length);
        bytes += (uint32_t)length;
    }
    counter_add(&net->rx.frames, done);
    counter_add(&net->rx.bytes, bytes);
    return done == 0 ? length : (int32_t)done;
}

/* A bad element of an external buffer cannot be posted again unasked: its owner gets the cookie, and a length of 0. */
static int32_t peek_external(struct virtio_net *net, int32_t *ready, struct virtio_net_packet *packets, uint32_t count)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    uint32_t done = 0;
    if (VIRTIO_UNLIKELY(*ready == 0 && ring->interrupts))
        *ready = arm_and_look(net);
    if (VIRTIO_UNLIKELY(*ready < 0))
        return *ready;
    for (; *ready > 0 && done < count; --*ready, done++) {
        uint16_t slot = 0;
        uint32_t used_length = 0;
        uint32_t length = 0;
        if (!ring_head(ring, slots, &slot, &used_length)) {
            int32_t code = vn_net_broken(net, ring);
            return done == 0 ? code : (int32_t)done;
        }
        uint32_t posted = slots[slot].length & VIRTIO_SLOT_LENGTH;
        if (VIRTIO_UNLIKELY(net->sync))
            sync_for_cpu(net, slots[slot].data, used_length, posted);
        if (examine(&net->rx, slots[slot].data, used_length, posted, &length)) {
            counter_add(&net->rx.frames, 1);
            counter_add(&net->rx.bytes, length);
        }
        ring_take(ring);
        lend(&packets[done], slots, slot, length);
        packets[done].cookie = slots[slot].cookie;
        packets[done].flags = VIRTIO_NET_PACKET_EXTERNAL;
    }
    return (int32_t)done;
}

int32_t virtio_net_rx_peek(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->rx.ring;
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, 0)))
        return vn_net_refuse(net, ring, queue_pair, flags, 0);
    uint16_t before = ring->used_index;
    int32_t ready = look(net);
    if (VIRTIO_UNLIKELY(ready < 0))
        return ready;
    int32_t done = net->rx.pool_frame != 0 ? peek_pool(net, &ready, packets, count) : peek_external(net, &ready, packets, count);
    settle(net, flags, before, ready);
    return done;
}

/* Whether the caller holds the slot. One that is held because its buffer was lost is nobody's until rx_reap. */
VIRTIO_INLINE bool is_lent(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t slot)
{
    return ring_slot_in(ring, slots, slot, ring->done, (uint16_t)(ring->used_index - ring->done)) &&
           VIRTIO_LIKELY((slots[slot].length & VIRTIO_SLOT_LOST) == 0);
}

/* A held slot's way back: posted again, or, on a queue that is stopped or broken, free until the next start posts it. */
VIRTIO_INLINE void give_back(struct virtio_net *net, struct virtio_slot *slots, uint16_t slot)
{
    struct virtio_ring *ring = &net->rx.ring;
    if (VIRTIO_UNLIKELY(net->rx.pool_frame == 0)) {
        slots[slot].length = 0;
        ring->externals--;
    }
    if (VIRTIO_UNLIKELY(net->rx.pool_frame == 0 || !ring_is_usable(ring))) {
        ring_release(ring, slots, slot);
        return;
    }
    if (VIRTIO_UNLIKELY(net->sync))
        sync_for_device(net, slots[slot].data, ring->buffer_length);
    repost(ring, slots, slot);
}

int32_t virtio_net_rx_release(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                              const struct virtio_net_packet *packets, uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (VIRTIO_UNLIKELY((queue_pair | (flags & ~RX_FLAGS)) != 0 || !net_has_memory(net)))
        return vn_net_refuse(net, ring, queue_pair, flags, RX_FLAGS);
    uint32_t done = 0;
    for (; done < count; done++) {
        uint16_t slot = packets[done].slot;
        if (VIRTIO_UNLIKELY(!is_lent(ring, slots, slot)))
            break;
        give_back(net, slots, slot);
    }
    if (VIRTIO_LIKELY(ring_is_usable(ring)))
        publish(net, flags);
    return done == 0 && count != 0 ? VIRTIO_NET_ERROR_SLOT : (int32_t)done;
}

int32_t virtio_net_rx_next(const struct virtio_net *net, uint32_t queue_pair)
{
    int32_t ready = virtio_net_rx_ready(net, queue_pair);
    if (ready <= 0)
        return ready < 0 ? ready : VIRTIO_NET_ERROR_NOT_READY;
    const struct virtio_ring *ring = &net->rx.ring;
    uint32_t id = shared_load32(&ring->used->ring[ring->used_index & ring->ring_mask].id);
    bool in_flight = ring_slot_in(ring, ring_slots(ring), id, ring->used_index, ring_usable_by_device(ring));
    /* One that is not breaks the queue, which the next peek does. */
    return in_flight ? (int32_t)id : VIRTIO_NET_ERROR_NOT_READY;
}

uint8_t *virtio_net_rx_frame(const struct virtio_net *net, uint32_t queue_pair, uint32_t slot)
{
    if (net == NULL || queue_pair != 0 || !net_has_memory(net))
        return NULL;
    const struct virtio_ring *ring = &net->rx.ring;
    const struct virtio_slot *slots = ring_slots(ring);
    return is_lent(ring, slots, slot) ? slots[slot].data : NULL;
}

/* --------------------------------------------------------------------------------------------------- memory of the caller */

static int32_t check_external(const struct virtio_net *net, const struct virtio_net_packet *packet)
{
    if (packet->flags != 0)
        return VIRTIO_NET_ERROR_UNSUPPORTED;
    if (packet->data == NULL || packet->length > NET_MAX_FRAME)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (packet->length < ETHERNET_MIN_BUFFER)
        return VIRTIO_NET_ERROR_BUFFER_TOO_SMALL;
    if (packet->device_address < net->rx.ring.header_length || packet->device_address + packet->length < packet->device_address)
        return VIRTIO_NET_ERROR_DMA_ADDRESS;
    return ring_free(&net->rx.ring) != 0 ? VIRTIO_NET_SUCCESS : VIRTIO_NET_ERROR_QUEUE_FULL;
}

int32_t virtio_net_rx_post(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (net == NULL || packets == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (!net_acceptable(ring, queue_pair, flags, RX_FLAGS))
        return vn_net_refuse(net, ring, queue_pair, flags, RX_FLAGS);
    int32_t code = VIRTIO_NET_SUCCESS;
    uint32_t done = 0;
    for (; done < count; done++) {
        code = check_external(net, &packets[done]);
        if (code < 0)
            break;
        uint16_t slot = ring_prepare(ring, slots);
        slots[slot].cookie = packets[done].cookie;
        slots[slot].data = packets[done].data;
        slots[slot].length = VIRTIO_SLOT_EXTERNAL | (packets[done].length + ring->header_length);
        ring->externals++;
        vn_ring_place_buffer(ring, slot, packets[done].device_address, packets[done].length);
        if (net->sync)
            sync_for_device(net, slots[slot].data, packets[done].length + ring->header_length);
        ring_commit(ring, slot);
        packets[done].slot = slot;
    }
    publish(net, flags);
    return done == 0 ? code : (int32_t)done;
}

int32_t virtio_net_rx_flush(struct virtio_net *net, uint32_t queue_pair, uint32_t flags)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (!net_acceptable(&net->rx.ring, queue_pair, flags, 0))
        return vn_net_refuse(net, &net->rx.ring, queue_pair, flags, 0);
    return ring_kick(&net->rx.ring, &net->device.transport);
}

int32_t virtio_net_rx_reap(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (net == NULL || (packets == NULL && count != 0))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if ((queue_pair | flags) != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, &net->rx.ring, queue_pair, flags, 0);
    return vn_net_reap(&net->rx.ring, true, packets, count);
}

int32_t virtio_net_rx_ready(const struct virtio_net *net, uint32_t queue_pair)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    const struct virtio_ring *ring = &net->rx.ring;
    if (!net_acceptable(ring, queue_pair, 0, 0))
        return vn_net_refuse(net, ring, queue_pair, 0, 0);
    uint16_t ready = (uint16_t)(shared_load_acquire16(&ring->used->index) - ring->used_index);
    return ready <= ring_usable_by_device(ring) ? ready : 0;
}
