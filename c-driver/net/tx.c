/*
 * tx.c - transmit (virtio 1.2, 5.1.6.2): copying, in place, and from memory of the caller.
 *
 * Every way of sending is the same few steps: a free slot is prepared, its descriptor gets the frame's length, it is committed,
 * and the lot is published with one store and notified at most once. No call waits. The header in front of each frame is all
 * zero, because no offload is agreed on: a pool buffer's has been so since dma_alloc, and nobody writes it.
 */
#include "net.h"
#include "virtio/copy.h"

#define TX_FLAGS ((uint32_t)VIRTIO_NET_NO_KICK)

/* ------------------------------------------------------------------------------------------------------------- taking back */

/* A completed frame's slot: free again, unless it is an external buffer that the caller has not been told of. */
VIRTIO_INLINE void retire(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t slot)
{
    ring_take(ring);
    if (VIRTIO_UNLIKELY(ring->externals != 0) && (slots[slot].length & VIRTIO_SLOT_EXTERNAL) != 0)
        return;
    ring_release(ring, slots, slot);
}

int32_t vn_net_tx_collect(struct virtio_net *net)
{
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    int32_t ready = ring_ready(ring);
    for (int32_t i = 0; i < ready; i++) {
        uint16_t slot = 0;
        uint32_t ignored = 0; /* devices get the used length of a transmit buffer wrong, and nothing depends on it */
        if (VIRTIO_UNLIKELY(!ring_head(ring, slots, &slot, &ignored)))
            return vn_net_broken(net, ring);
        retire(ring, slots, slot);
        counter_add(&net->tx.completed, 1);
    }
    if (VIRTIO_UNLIKELY(ready < 0))
        return vn_net_broken(net, ring);
    if (ready > 0)
        ring_completed(ring);
    return ready;
}

/* Nothing has come back: perhaps a notification was wrongly left out, perhaps the device has given up. */
static int32_t look_after_stall(struct virtio_net *net)
{
    struct virtio_ring *ring = &net->tx.ring;
    if (ring_in_flight(ring) == 0 || !vn_ring_idle(ring, &net->device.transport, NET_TX_PATIENCE))
        return VIRTIO_NET_SUCCESS;
    return vn_net_look_at_status(net, ring);
}

/* Makes sure of a free slot, as far as the device has returned any: how many there are, or an error. */
static int32_t slots_available(struct virtio_net *net, uint32_t wanted)
{
    struct virtio_ring *ring = &net->tx.ring;
    uint32_t free_slots = ring_free(ring);
    if (VIRTIO_LIKELY(free_slots >= wanted))
        return (int32_t)free_slots;
    int32_t collected = vn_net_tx_collect(net);
    if (collected < 0)
        return collected;
    free_slots = ring_free(ring);
    if (free_slots != 0)
        return (int32_t)free_slots;
    int32_t code = collected == 0 ? look_after_stall(net) : VIRTIO_NET_SUCCESS;
    return code < 0 ? code : VIRTIO_NET_ERROR_QUEUE_FULL;
}

/* --------------------------------------------------------------------------------------------------------------- posting */

VIRTIO_INLINE int32_t check_length(uint32_t length, uint32_t longest)
{
    if (VIRTIO_LIKELY(length - ETHERNET_HEADER_BYTES <= longest - ETHERNET_HEADER_BYTES))
        return VIRTIO_NET_SUCCESS;
    return length < ETHERNET_HEADER_BYTES ? VIRTIO_NET_ERROR_FRAME_EMPTY : VIRTIO_NET_ERROR_FRAME_TOO_LONG;
}

static void sync_for_device(struct virtio_net *net, uint8_t *frame, uint32_t length)
{
    const struct virtio_transport *transport = &net->device.transport;
    uint32_t header = net->tx.ring.header_length;
    if (TABLE_HAS(transport->platform, sync_for_device))
        transport->platform->sync_for_device(transport->context, frame - header, length + header, VIRTIO_NET_DMA_TO_DEVICE);
}

/* Hands a prepared pool slot, which is at avail_index, to the device with the next publish. */
VIRTIO_INLINE void post(struct virtio_net *net, const struct virtio_slot *slots, uint16_t slot, uint32_t length)
{
    ring_set_frame_length(&net->tx.ring, slot, length);
    if (VIRTIO_UNLIKELY(net->sync))
        sync_for_device(net, slots[slot].data, length);
    ring_commit(&net->tx.ring, slot);
    counter_add(&net->tx.bytes, length);
}

VIRTIO_INLINE void publish(struct virtio_net *net, uint32_t flags, uint32_t count)
{
    counter_add(&net->tx.frames, count);
    ring_publish(&net->tx.ring);
    if ((flags & VIRTIO_NET_NO_KICK) == 0)
        ring_kick(&net->tx.ring, &net->device.transport);
}

/* How a burst that posted `done` of its frames ends. */
VIRTIO_INLINE int32_t finish(struct virtio_net *net, uint32_t flags, uint32_t done, int32_t code)
{
    if (VIRTIO_UNLIKELY(code == VIRTIO_NET_ERROR_QUEUE_FULL))
        counter_add(&net->tx.full, 1);
    if (VIRTIO_UNLIKELY(done == 0))
        return code;
    publish(net, flags, done);
    return (int32_t)done;
}

int32_t virtio_net_send(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const void *frame, uint32_t length)
{
    if (VIRTIO_UNLIKELY(net == NULL || frame == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, TX_FLAGS)))
        return vn_net_refuse(net, ring, queue_pair, flags, TX_FLAGS);
    if (VIRTIO_UNLIKELY(net->tx.pool_frame == 0))
        return VIRTIO_NET_ERROR_NO_POOL;
    int32_t code = check_length(length, net->tx.pool_frame);
    if (VIRTIO_UNLIKELY(code < 0))
        return code;
    code = slots_available(net, 1);
    if (VIRTIO_UNLIKELY(code < 0))
        return finish(net, flags, 0, code);
    uint16_t slot = ring_prepare(ring, slots);
    copy_bytes(slots[slot].data, frame, length);
    post(net, slots, slot, length);
    publish(net, flags, 1);
    return VIRTIO_NET_SUCCESS;
}

/* The least count that makes sense: the rest cannot be told in an int32_t, and no ring is so large. */
VIRTIO_INLINE uint32_t clamp(uint32_t count)
{
    return count < VIRTIO_NET_MAX_SLOTS ? count : VIRTIO_NET_MAX_SLOTS;
}

int32_t virtio_net_send_burst(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                              const struct virtio_net_packet *packets, uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, TX_FLAGS)))
        return vn_net_refuse(net, ring, queue_pair, flags, TX_FLAGS);
    if (VIRTIO_UNLIKELY(net->tx.pool_frame == 0))
        return VIRTIO_NET_ERROR_NO_POOL;
    count = clamp(count);
    int32_t available = count != 0 ? slots_available(net, count) : 0;
    int32_t code = available < 0 ? available : VIRTIO_NET_SUCCESS;
    uint32_t done = 0;
    for (; code == VIRTIO_NET_SUCCESS && done < count; done++) {
        const struct virtio_net_packet *packet = &packets[done];
        if (done == (uint32_t)available)
            code = VIRTIO_NET_ERROR_QUEUE_FULL;
        else if (packet->data == NULL)
            code = VIRTIO_NET_ERROR_INVALID_ARGUMENT;
        else
            code = check_length(packet->length, net->tx.pool_frame);
        if (VIRTIO_UNLIKELY(code < 0))
            break;
        uint16_t slot = ring_prepare(ring, slots);
        copy_bytes(slots[slot].data, packet->data, packet->length);
        post(net, slots, slot, packet->length);
    }
    return finish(net, flags, done, code);
}

/* --------------------------------------------------------------------------------------------------------------- in place */

int32_t virtio_net_tx_reserve(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                              uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, 0)))
        return vn_net_refuse(net, ring, queue_pair, flags, 0);
    if (VIRTIO_UNLIKELY(net->tx.pool_frame == 0))
        return VIRTIO_NET_ERROR_NO_POOL;
    count = clamp(count);
    int32_t available = count != 0 ? slots_available(net, count) : 0;
    if (VIRTIO_UNLIKELY(available < 0))
        return finish(net, flags, 0, available);
    if (count > (uint32_t)available)
        count = (uint32_t)available;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t slot = slots[ring->prepared & ring->slot_mask].order;
        ring->prepared++;
        packets[i].slot = slot;
        packets[i].data = slots[slot].data;
        packets[i].device_address = slots[slot].device_address;
        packets[i].length = net->tx.pool_frame;
        packets[i].flags = 0;
    }
    return (int32_t)count;
}

VIRTIO_INLINE bool is_reserved(const struct virtio_ring *ring, const struct virtio_slot *slots, uint16_t slot)
{
    return ring_slot_in(ring, slots, slot, ring->avail_index, (uint16_t)(ring->prepared - ring->avail_index));
}

int32_t virtio_net_tx_commit(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const struct virtio_net_packet *packets,
                             uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, TX_FLAGS)))
        return vn_net_refuse(net, ring, queue_pair, flags, TX_FLAGS);
    int32_t code = VIRTIO_NET_SUCCESS;
    uint32_t done = 0;
    count = clamp(count);
    for (; done < count; done++) {
        const struct virtio_net_packet *packet = &packets[done];
        if (VIRTIO_UNLIKELY(!is_reserved(ring, slots, packet->slot)))
            code = VIRTIO_NET_ERROR_SLOT;
        else if (VIRTIO_UNLIKELY(packet->flags != 0))
            code = VIRTIO_NET_ERROR_UNSUPPORTED;
        else
            code = check_length(packet->length, net->tx.pool_frame);
        if (VIRTIO_UNLIKELY(code < 0))
            break;
        ring_place(ring, slots, packet->slot, ring->avail_index);
        post(net, slots, packet->slot, packet->length);
    }
    return finish(net, flags, done, code);
}

int32_t virtio_net_tx_cancel(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const struct virtio_net_packet *packets,
                             uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    /* Also on a queue that is stopped or broken: what is held must not stay so for ever. */
    if (VIRTIO_UNLIKELY((queue_pair | flags) != 0 || !net_has_memory(net)))
        return vn_net_refuse(net, ring, queue_pair, flags, 0);
    count = clamp(count);
    for (uint32_t done = 0; done < count; done++) {
        if (!is_reserved(ring, slots, packets[done].slot))
            return done != 0 ? (int32_t)done : VIRTIO_NET_ERROR_SLOT;
        ring->prepared--;
        ring_place(ring, slots, packets[done].slot, ring->prepared);
    }
    return (int32_t)count;
}

/* --------------------------------------------------------------------------------------------------- memory of the caller */

/* 5.1.6.2: no checksum to complete, no segmentation. The bytes in front of the frame are the driver's by agreement. */
static void clear_header(uint8_t *frame, uint32_t header_length)
{
    for (uint32_t i = 1; i <= header_length; i++)
        ((volatile uint8_t *)frame)[-(ptrdiff_t)i] = 0;
}

static int32_t check_external(const struct virtio_net *net, const struct virtio_net_packet *packet)
{
    if ((packet->flags & ~(uint32_t)VIRTIO_NET_PACKET_HAS_HEADER) != 0)
        return VIRTIO_NET_ERROR_UNSUPPORTED;
    if (packet->data == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (packet->device_address < net->tx.ring.header_length || packet->device_address + packet->length < packet->device_address)
        return VIRTIO_NET_ERROR_DMA_ADDRESS;
    return check_length(packet->length, net->tx.max_frame);
}

static void post_external(struct virtio_net *net, struct virtio_slot *slots, struct virtio_net_packet *packet)
{
    struct virtio_ring *ring = &net->tx.ring;
    uint16_t slot = ring_prepare(ring, slots);
    slots[slot].cookie = packet->cookie;
    slots[slot].length |= VIRTIO_SLOT_EXTERNAL;
    ring->externals++;
    if ((packet->flags & VIRTIO_NET_PACKET_HAS_HEADER) == 0)
        clear_header(packet->data, ring->header_length);
    if (net->sync)
        sync_for_device(net, packet->data, packet->length);
    vn_ring_place_buffer(ring, slot, packet->device_address, packet->length);
    ring_commit(ring, slot);
    counter_add(&net->tx.bytes, packet->length);
    packet->slot = slot;
}

int32_t virtio_net_tx_post(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (net == NULL || packets == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (!net_acceptable(ring, queue_pair, flags, TX_FLAGS))
        return vn_net_refuse(net, ring, queue_pair, flags, TX_FLAGS);
    count = clamp(count);
    int32_t available = count != 0 ? slots_available(net, count) : 0;
    int32_t code = available < 0 ? available : VIRTIO_NET_SUCCESS;
    uint32_t done = 0;
    for (; code == VIRTIO_NET_SUCCESS && done < count; done++) {
        code = done == (uint32_t)available ? VIRTIO_NET_ERROR_QUEUE_FULL : check_external(net, &packets[done]);
        if (code < 0)
            break;
        post_external(net, slots, &packets[done]);
    }
    return finish(net, flags, done, code);
}

/* ---------------------------------------------------------------------------------------------------------- flush and reap */

int32_t virtio_net_tx_flush(struct virtio_net *net, uint32_t queue_pair, uint32_t flags)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (!net_acceptable(&net->tx.ring, queue_pair, flags, 0))
        return vn_net_refuse(net, &net->tx.ring, queue_pair, flags, 0);
    return ring_kick(&net->tx.ring, &net->device.transport);
}

/* A slot that carried an external buffer points at its own again. */
static void restore_pool_buffer(struct virtio_ring *ring, const struct virtio_slot *slot, uint16_t number)
{
    if (slot->data != NULL && ring_is_usable(ring))
        vn_ring_place_buffer(ring, number, slot->device_address, 0);
}

static void hand_out(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t number, struct virtio_net_packet *packet)
{
    struct virtio_slot *slot = &slots[number];
    packet->cookie = slot->cookie;
    packet->slot = number;
    packet->flags = VIRTIO_NET_PACKET_EXTERNAL;
    if ((slot->length & VIRTIO_SLOT_LOST) != 0)
        packet->flags |= VIRTIO_NET_PACKET_LOST;
    slot->length &= ~(VIRTIO_SLOT_EXTERNAL | VIRTIO_SLOT_LOST);
    restore_pool_buffer(ring, slot, number);
    ring->externals--;
    ring_release(ring, slots, number);
}

int32_t vn_net_reap(struct virtio_ring *ring, bool lost_only, struct virtio_net_packet *packets, uint32_t count)
{
    struct virtio_slot *slots = ring_slots(ring);
    uint32_t done = 0;
    /* What is handed out changes places with what lies at `done`, which was looked at already. */
    for (uint16_t counter = ring->done; done < count && counter != ring->used_index; counter++) {
        uint16_t number = slots[counter & ring->slot_mask].order;
        if (!lost_only || (slots[number].length & VIRTIO_SLOT_LOST) != 0)
            hand_out(ring, slots, number, &packets[done++]);
    }
    return (int32_t)done;
}

int32_t virtio_net_tx_reap(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || (packets == NULL && count != 0)))
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    if (VIRTIO_UNLIKELY(!net_acceptable(ring, queue_pair, flags, 0)) && (queue_pair | flags | (net->state == 0)) != 0)
        return vn_net_refuse(net, ring, queue_pair, flags, 0);
    int32_t code = VIRTIO_NET_SUCCESS;
    if (VIRTIO_LIKELY(ring_is_usable(ring))) {
        code = vn_net_tx_collect(net);
        if (code == 0)
            code = look_after_stall(net);
        /* What came before the arming interrupts nobody. Nothing is posted here, so this ends. */
        while (code >= 0 && ring->interrupts && vn_ring_arm(ring))
            code = vn_net_tx_collect(net);
    } else if (net->state == VIRTIO_NET_STATE_RUNNING) {
        code = VIRTIO_NET_ERROR_NEEDS_RESET;
    }
    int32_t reaped = vn_net_reap(ring, false, packets, clamp(count));
    return reaped == 0 && code < 0 ? code : reaped;
}

int32_t virtio_net_tx_next(struct virtio_net *net, uint32_t queue_pair)
{
    int32_t code = virtio_net_tx_reap(net, queue_pair, 0, NULL, 0);
    if (net == NULL)
        return code;
    const struct virtio_ring *ring = &net->tx.ring;
    if (queue_pair == 0 && ring->done != ring->used_index)
        return ring_slots(ring)[ring->done & ring->slot_mask].order;
    return code < 0 ? code : VIRTIO_NET_ERROR_NOT_READY;
}

int32_t virtio_net_tx_take(struct virtio_net *net, uint32_t queue_pair, struct virtio_net_packet *packet)
{
    if (net == NULL || packet == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (queue_pair != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, ring, queue_pair, 0, 0);
    if (!ring_slot_in(ring, slots, packet->slot, ring->done, (uint16_t)(ring->used_index - ring->done)))
        return VIRTIO_NET_ERROR_SLOT;
    hand_out(ring, slots, packet->slot, packet);
    return VIRTIO_NET_SUCCESS;
}

int32_t virtio_net_tx_in_flight(const struct virtio_net *net, uint32_t queue_pair)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    const struct virtio_ring *ring = &net->tx.ring;
    if (!net_acceptable(ring, queue_pair, 0, 0))
        return vn_net_refuse(net, ring, queue_pair, 0, 0);
    uint16_t in_flight = ring_in_flight(ring);
    uint16_t ready = (uint16_t)(shared_load_acquire16(&ring->used->index) - ring->used_index);
    return ready <= ring_usable_by_device(ring) ? in_flight - ready : in_flight;
}

int32_t virtio_net_undecided(const struct virtio_net *net, uint32_t queue_pair)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (queue_pair != 0 || net->state != VIRTIO_NET_STATE_RUNNING)
        return vn_net_refuse(net, &net->tx.ring, queue_pair, 0, 0);
    return (ring_is_undecided(&net->rx.ring) ? VIRTIO_NET_IRQ_RX : 0) |
           (ring_is_undecided(&net->tx.ring) ? VIRTIO_NET_IRQ_TX : 0);
}

int32_t virtio_net_tx_free(const struct virtio_net *net, uint32_t queue_pair)
{
    int32_t in_flight = virtio_net_tx_in_flight(net, queue_pair);
    if (in_flight < 0)
        return in_flight;
    const struct virtio_ring *ring = &net->tx.ring;
    uint32_t ready = (uint32_t)ring_in_flight(ring) - (uint32_t)in_flight;
    /* Which of the completed frames are external is not known before they are taken back: the least is told. */
    uint32_t pooled = ready > ring->externals ? ready - ring->externals : 0;
    return (int32_t)(ring_free(ring) + pooled);
}
