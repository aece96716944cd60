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

static VIRTIO_COLD void sync_for_device(const struct virtio_net *net, uint8_t *frame, uint32_t bytes)
{
    const struct virtio_transport *transport = &net->device.transport;
    if (TABLE_HAS(transport->platform, sync_for_device))
        transport->platform->sync_for_device(transport->context, frame - net->rx.ring.header_length, bytes,
                                             VIRTIO_NET_DMA_FROM_DEVICE);
}

VIRTIO_SMALL void vn_net_rx_fill(struct virtio_net *net)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (net->rx.pool.slots == 0)
        return;
    while (ring_free(ring) != 0) {
        uint16_t slot = vn_ring_prepare(ring);
        if (net->sync)
            sync_for_device(net, slots[slot].data, ring->buffer_length);
        ring_commit(ring);
    }
    (void)vn_ring_publish(VIRTIO_NET_SUCCESS, &net->device.transport, VIRTIO_NET_NO_KICK, ring);
}

/* ------------------------------------------------------------------------------------------------------------- examining */

/* Fields that only an agreed feature gives a meaning to: a frame that needs them cannot be used (5.1.6.4.2). Both are read at
 * once where they are aligned: they are neighbours. */
VIRTIO_INLINE bool header_is_plain(const uint8_t *header, bool aligned)
{
    if (aligned)
        return (shared_load16((const uint16_t *)(const void *)header) & NET_HEADER_UNWANTED) == 0;
    uint32_t flags = shared_load8(header + NET_HEADER_FLAGS);
    return (flags & NET_HEADER_F_NEEDS_CSUM) == 0 && shared_load8(header + NET_HEADER_GSO_TYPE) == 0;
}

static VIRTIO_COLD void sync_for_cpu(const struct virtio_net *net, uint8_t *frame, uint32_t used_length, uint32_t posted)
{
    const struct virtio_transport *transport = &net->device.transport;
    if (TABLE_HAS(transport->platform, sync_for_cpu))
        transport->platform->sync_for_cpu(transport->context, frame - net->rx.ring.header_length,
                                          used_length < posted ? used_length : posted, VIRTIO_NET_DMA_FROM_DEVICE);
}

/* What is known of a header. */
enum header {
    HEADER_UNREAD,
    HEADER_PLAIN,
    HEADER_UNUSABLE,
};

/* The length of a frame that is good. Else the reason to drop it is counted, and the result is negative, or 0 where the buffer is
 * the caller's, who gets it back. */
static int32_t examine(struct virtio_net *net, const struct virtio_slot *slot, uint32_t used_length, enum header header)
{
    struct net_rx *rx = &net->rx;
    bool external = (slot->length & VIRTIO_SLOT_EXTERNAL) != 0;
    uint32_t posted = external ? (slot->length & VIRTIO_SLOT_LENGTH) + rx->ring.header_length : rx->ring.buffer_length;
    uint64_t *reason = NULL;
    if (VIRTIO_UNLIKELY(net->sync))
        sync_for_cpu(net, slot->data, used_length, posted);
    if (used_length > posted)
        reason = &rx->dropped_long;
    else if (used_length < rx->ring.header_length + ETHERNET_HEADER_BYTES)
        reason = &rx->dropped_short;
    else if (!rx->trust_header &&
             (header == HEADER_UNREAD ? !header_is_plain(slot->data - rx->ring.header_length, false) : header == HEADER_UNUSABLE))
        reason = &rx->dropped_header;
    if (VIRTIO_LIKELY(reason == NULL))
        return (int32_t)(used_length - rx->ring.header_length);
    counter_add(reason, 1);
    return external ? 0 : -1;
}

/* What `examine` would find, without counting it. The header may be stale where the platform must be told to sync it first. */
static bool is_frame(const struct virtio_net *net, const uint8_t *frame, uint32_t used_length)
{
    const struct virtio_ring *ring = &net->rx.ring;
    return used_length <= ring->buffer_length && used_length >= ring->header_length + ETHERNET_HEADER_BYTES &&
           (net->sync || net->rx.trust_header || header_is_plain(frame - ring->header_length, false));
}

/* How many used elements there are. */
static VIRTIO_SMALL int32_t look(struct virtio_net *net)
{
    int32_t ready = ring_ready(&net->rx.ring);
    return VIRTIO_LIKELY(ready >= 0) ? ready : vn_net_broken(net, &net->rx.ring);
}

/* With interrupts on, the look that finds nothing is made after arming. */
static VIRTIO_COLD int32_t arm_and_look(struct virtio_net *net)
{
    return vn_ring_arm(&net->rx.ring) ? look(net) : 0;
}

/* -------------------------------------------------------------------------------------------------------------- receiving */

/* How the caller gets the frames of a burst. */
enum way {
    WAY_COPY, /* in memory of its own; the slot is posted again */
    WAY_LEND, /* where they are; it holds the slot */
};

/* A used element as it was read: the id in the lower half, above it the length, where all that are too long are one, and on top
 * what is known of the header of the slot that should be next. None: no header is that. */
#define NO_ELEMENT     UINT64_MAX
#define ELEMENT_LENGTH 0x3fffffffu

VIRTIO_INLINE uint64_t pack_element(uint32_t id, uint32_t length, enum header header)
{
    return (uint64_t)header << 62 | (uint64_t)(length < ELEMENT_LENGTH ? length : ELEMENT_LENGTH) << 32 | id;
}

VIRTIO_INLINE uint64_t read_element(const struct virtq_used_element *element)
{
    uint32_t id = 0;
    uint32_t length = 0;
    const uint32_t *words = &element->id;
    shared_load32_pair(&words, &id, &length);
    return pack_element(id, length, HEADER_UNREAD);
}

/* A held slot's way back: posted again. An external one is free, and its buffer its owner's. One of a queue that is stopped or
 * broken is free until the next start posts it. */
static VIRTIO_SMALL void give_back(struct virtio_net *net, uint16_t slot)
{
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    bool posted = net->rx.pool_frame != 0 && ring_is_usable(ring);
    if (net->rx.pool_frame == 0)
        slots[slot].length = 0;
    if (posted && net->sync)
        sync_for_device(net, slots[slot].data, ring->buffer_length);
    /* With a pool every slot is in flight or held, so the one that is free then is at avail_index. */
    vn_ring_let_go(ring, slot);
    if (posted)
        ring_hand_over(ring);
}

/* The slot at used_index, which was taken, or whose frame is bad, is posted again. */
static VIRTIO_SMALL void give_up(struct virtio_net *net, uint16_t number)
{
    net->rx.ring.used_index++;
    net->rx.ring.held++;
    give_back(net, number);
}

/* Gives the caller the frame of the slot at used_index. */
static int32_t deliver(struct virtio_net *net, struct virtio_net_packet *packet, uint16_t number, uint32_t length, enum way way)
{
    const struct virtio_slot *slot = &ring_slots(&net->rx.ring)[number];
    uint32_t flags = 0;
    if (way == WAY_COPY) {
        if (packet->data == NULL)
            return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
        if (length > packet->length)
            return VIRTIO_NET_ERROR_BUFFER_TOO_SMALL;
        vn_copy(packet->data, slot->data, length);
        give_up(net, number);
    } else {
        packet->slot = number;
        packet->data = slot->data;
        net->rx.ring.used_index++;
        net->rx.ring.held++;
        if ((slot->length & VIRTIO_SLOT_EXTERNAL) != 0) {
            flags = VIRTIO_NET_PACKET_EXTERNAL;
            packet->cookie = slot->cookie;
        }
    }
    packet->length = length;
    packet->flags = flags;
    return VIRTIO_NET_SUCCESS;
}

/* The end of a look that has `left` elements to go: asks for the interrupt after the last, repeats a notification where nothing
 * moved, and publishes. */
static VIRTIO_NOINLINE int32_t settle(struct virtio_net *net, uint16_t before, bool moved, int32_t left, int32_t result)
{
    struct virtio_ring *ring = &net->rx.ring;
    if (VIRTIO_UNLIKELY(!ring_is_usable(ring)))
        return result;
    /* Callers that ask rx_ready before they look again see what came after this, because that reads used.idx after it. */
    if (VIRTIO_UNLIKELY(ring->interrupts) && left <= 0)
        vn_ring_arm(ring);
    if (ring_is_stale(ring, before))
        vn_ring_refresh(ring);
    if (left <= 0)
        ring_supply(ring, &net->device.transport);
    if (!moved && vn_ring_idle(ring, &net->device.transport, NET_RX_PATIENCE))
        vn_net_look_at_status(net, ring);
    if (ring->published == ring->avail_index)
        return result;
    return vn_ring_publish(result, &net->device.transport, 0, ring);
}

/* Every way of receiving, one frame after the other. The first `done` frames were taken quickly, and counted; `element` is the
 * next one where it was read already. */
static VIRTIO_NOINLINE int32_t receive(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                                       struct virtio_net_packet *packets, uint32_t count, enum way way, uint32_t done,
                                       uint64_t element)
{
    if (!net_acceptable(net, packets, NET_QUEUE_RX, queue_pair, flags))
        return vn_net_refuse(net, packets, NET_QUEUE_RX, queue_pair, flags);
    if (way == WAY_COPY && net->rx.pool_frame == 0)
        return VIRTIO_NET_ERROR_NO_POOL;
    struct virtio_ring *ring = &net->rx.ring;
    bool moved = done != 0;
    uint16_t before = (uint16_t)(ring->used_index - done);
    int32_t ready = look(net);
    int32_t code = ready < 0 ? ready : VIRTIO_NET_SUCCESS;
    while (code >= 0 && done < count) {
        if (ready == 0 && VIRTIO_UNLIKELY(ring->interrupts))
            ready = arm_and_look(net);
        if (ready <= 0)
            break;
        if (element == NO_ELEMENT)
            element = read_element(ring_used_element(ring, ring->used_index));
        struct virtio_slot *slots = ring_slots(ring);
        uint32_t id = (uint32_t)element;
        enum header header = (enum header)(element >> 62);
        if (id != ring_position(ring, ring->used_index)->order) {
            header = HEADER_UNREAD; /* of this slot */
            if (!vn_ring_exchange(ring, id)) {
                code = vn_net_broken(net, ring);
                break;
            }
        }
        int32_t length = examine(net, &slots[id], (uint32_t)(element >> 32) & ELEMENT_LENGTH, header);
        element = NO_ELEMENT;
        if (length < 0) {
            give_up(net, (uint16_t)id);
        } else {
            code = deliver(net, &packets[done], (uint16_t)id, (uint32_t)length, way);
            if (code < 0)
                break;
            counter_add(&net->rx.frames, length != 0);
            counter_add(&net->rx.bytes, (uint32_t)length);
            done++;
        }
        moved = true;
        ready--;
    }
    if (ready < 0)
        code = ready;
    return settle(net, before, moved || code < 0, ready, done != 0 ? (int32_t)done : code);
}

/* What the loop over a run keeps in registers. */
struct cursor {
    const struct virtio_slot *slots;
    const uint32_t *element;            /* the next used element */
    const struct virtio_slot *position; /* of the slot that it should name */
    size_t header_length;
    uint32_t shortest; /* used length of a frame */
    uint32_t lengths;  /* of frames that fit, counted from that on */
    bool left_out;     /* frames that copy_words is not for */
};

VIRTIO_INLINE struct cursor begin(const struct virtio_ring *ring)
{
    uint32_t shortest = ring->header_length + ETHERNET_HEADER_BYTES;
    return (struct cursor){
        .slots = ring_slots(ring),
        .element = &ring_used_element(ring, ring->used_index)->id,
        .position = ring_position(ring, ring->used_index),
        .header_length = ring->header_length,
        .shortest = shortest,
        .lengths = ring->buffer_length - shortest + 1,
    };
}

/*
 * The step for nearly every frame: an element in order, with a good frame in a pool buffer, on a machine without sync functions.
 * Anything else is left to `receive` with what was read of it, `unusual`. Adds the frame's length to `bytes`.
 */
VIRTIO_INLINE bool take_quickly(struct cursor *at, struct virtio_net_packet *packet, enum way way, uint64_t *bytes,
                                uint64_t *unusual)
{
    uint32_t id = 0;
    uint32_t used_length = 0;
    shared_load32_pair(&at->element, &id, &used_length);
    uint16_t slot = ring_next_slot(&at->position);
    uint8_t *frame = at->slots[slot].data;
    uint32_t length = used_length - (uint32_t)at->header_length;
    /* The header is that of the slot that should be next, wherever the id points. */
    bool plain = header_is_plain(frame - at->header_length, true);
    if (VIRTIO_UNLIKELY((id != slot) | (used_length - at->shortest >= at->lengths) | !plain)) {
        *unusual = pack_element(id, used_length, plain ? HEADER_PLAIN : HEADER_UNUSABLE);
        return false;
    }
    if (way == WAY_COPY) {
        uint8_t *to = packet->data;
        if (VIRTIO_UNLIKELY(to == NULL) || VIRTIO_UNLIKELY(length > packet->length)) {
            *unusual = pack_element(id, used_length, HEADER_PLAIN);
            return false;
        }
        if (VIRTIO_LIKELY(copy_is_simple(to, length)))
            copy_words(to, frame, length);
        else
            at->left_out = true; /* later, so that this loop calls nothing and no register must be saved */
    } else {
        packet->data = frame;
        packet->slot = slot;
    }
    packet->length = length;
    packet->flags = 0;
    *bytes += length;
    return true;
}

/* The borders of the regions after `taken` frames. */
VIRTIO_INLINE void pass(struct virtio_ring *ring, uint32_t taken, enum way way)
{
    ring->used_index = (uint16_t)(ring->used_index + taken);
    if (way == WAY_COPY)
        ring->avail_index = (uint16_t)(ring->avail_index + taken);
    else
        ring->held = (uint16_t)(ring->held + taken);
}

/* A run does not reach the end of the circle. Returns how many frames the caller got. */
VIRTIO_INLINE uint32_t take_run(struct virtio_net *net, struct virtio_net_packet *packets, uint32_t run, enum way way,
                                uint64_t *bytes, uint64_t *unusual)
{
    struct cursor at = begin(&net->rx.ring);
    struct virtio_net_packet *packet = packets;
    struct virtio_net_packet *end = packets + run;
    do {
        if (VIRTIO_UNLIKELY(!take_quickly(&at, packet, way, bytes, unusual)))
            break;
        packet++;
    } while (packet != end);
    uint32_t taken = (uint32_t)(packet - packets);
    if (way == WAY_COPY && VIRTIO_UNLIKELY(at.left_out))
        vn_net_copy_left_out(&net->rx.ring, packets, taken);
    pass(&net->rx.ring, taken, way);
    return taken;
}

VIRTIO_INLINE uint32_t take_runs(struct virtio_net *net, struct virtio_net_packet *packets, uint32_t count, enum way way,
                                 uint64_t *bytes, uint64_t *unusual)
{
    uint32_t left = count;
    uint32_t run = 0;
    uint32_t taken = 0;
    while (VIRTIO_LIKELY(left != 0) && taken == run) {
        run = ring_run(&net->rx.ring, net->rx.ring.used_index, left);
        taken = take_run(net, packets, run, way, bytes, unusual);
        left -= taken;
        packets += taken;
    }
    return count - left;
}

/* How many elements can be taken quickly. */
VIRTIO_INLINE uint32_t ready_quickly(const struct virtio_net *net, const void *packets, uint32_t queue_pair, uint32_t flags,
                                     enum way way)
{
    if (!net_is_plain(net, packets, NET_QUEUE_RX, queue_pair, flags))
        return 0;
    const struct virtio_ring *ring = &net->rx.ring;
    /* What is posted again must be the oldest that is held: not while frames are lent. */
    if (way == WAY_COPY && VIRTIO_UNLIKELY(ring->held != 0))
        return 0;
    return ring_waiting(ring);
}

VIRTIO_INLINE int32_t receive_quickly(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                                      struct virtio_net_packet *packets, uint32_t count, enum way way)
{
    uint64_t element = NO_ELEMENT;
    uint64_t bytes = 0;
    uint32_t ready = ready_quickly(net, packets, queue_pair, flags, way);
    uint32_t wanted = count < ready ? count : ready;
    uint32_t done = 0;
    if (VIRTIO_LIKELY(wanted != 0)) {
        uint16_t before = net->rx.ring.used_index;
        done = take_runs(net, packets, wanted, way, &bytes, &element);
        counter_add(&net->rx.frames, done);
        counter_add(&net->rx.bytes, bytes);
        /* After the last element the interrupt must be asked for. */
        if (VIRTIO_LIKELY(done == wanted) && (VIRTIO_LIKELY(!net->rx.ring.interrupts) || done < ready) &&
            VIRTIO_LIKELY(!ring_is_stale(&net->rx.ring, before)))
            return way == WAY_LEND ? (int32_t)done : vn_ring_publish((int32_t)done, &net->device.transport, 0, &net->rx.ring);
    }
    return receive(net, queue_pair, flags, packets, count, way, done, element);
}

/* The same for one frame in memory of the caller, whose header may lie anywhere. */
VIRTIO_INLINE bool lend_external(struct net_rx *rx, struct virtio_net_packet *packet, uint64_t *unusual)
{
    struct virtio_ring *ring = &rx->ring;
    uint64_t element = read_element(ring_used_element(ring, ring->used_index));
    uint32_t used_length = (uint32_t)(element >> 32); /* no header is known yet */
    uint16_t number = ring_position(ring, ring->used_index)->order;
    const struct virtio_slot *slot = &ring_slots(ring)[number];
    uint32_t header_length = ring->header_length;
    if (VIRTIO_UNLIKELY((uint32_t)element != number) || VIRTIO_UNLIKELY(used_length > (slot->length & VIRTIO_SLOT_LENGTH)) ||
        VIRTIO_UNLIKELY(used_length < header_length + ETHERNET_HEADER_BYTES)) {
        *unusual = element;
        return false;
    }
    if (VIRTIO_UNLIKELY(!header_is_plain(slot->data - header_length, false))) {
        *unusual = pack_element((uint32_t)element, used_length, HEADER_UNUSABLE);
        return false;
    }
    packet->cookie = slot->cookie;
    packet->data = slot->data;
    packet->slot = number;
    packet->length = used_length - header_length;
    packet->flags = VIRTIO_NET_PACKET_EXTERNAL;
    pass(ring, 1, WAY_LEND);
    return true;
}

static int32_t peek_external(struct virtio_net *net, struct virtio_net_packet *packets, uint32_t count)
{
    struct virtio_ring *ring = &net->rx.ring;
    uint16_t before = ring->used_index;
    uint16_t ready = ring_waiting(ring);
    uint32_t wanted = count < ready ? count : ready;
    uint64_t element = NO_ELEMENT;
    uint64_t bytes = 0;
    uint32_t done = 0;
    for (; done < wanted && VIRTIO_LIKELY(lend_external(&net->rx, &packets[done], &element)); done++)
        bytes += packets[done].length;
    counter_add(&net->rx.frames, done);
    counter_add(&net->rx.bytes, bytes);
    bool last = done == ready && (VIRTIO_UNLIKELY(ring->interrupts) || ring_may_starve(ring));
    if (VIRTIO_LIKELY(done != 0 && done == wanted) && !last && VIRTIO_LIKELY(!ring_is_stale(ring, before)))
        return (int32_t)done;
    return receive(net, 0, 0, packets, count, WAY_LEND, done, element);
}

int32_t virtio_net_receive_burst(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                                 uint32_t count)
{
    return receive_quickly(net, queue_pair, flags, packets, count, WAY_COPY);
}

static VIRTIO_COLD int32_t receive_slowly(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, void *buffer,
                                          uint32_t capacity, uint64_t element)
{
    struct virtio_net_packet packet;
    if (buffer == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    packet.data = buffer;
    packet.length = capacity;
    int32_t received = receive(net, queue_pair, flags, &packet, 1, WAY_COPY, 0, element);
    return received > 0 ? (int32_t)packet.length : received;
}

/* The end of a call that has taken one frame. */
VIRTIO_INLINE int32_t received(struct virtio_net *net, uint32_t length)
{
    pass(&net->rx.ring, 1, WAY_COPY);
    counter_add(&net->rx.frames, 1);
    counter_add(&net->rx.bytes, length);
    return vn_ring_publish((int32_t)length, &net->device.transport, 0, &net->rx.ring);
}

/* A frame that was taken but for its bytes. */
static VIRTIO_NOINLINE int32_t receive_left_out(struct virtio_net *net, void *buffer, uint32_t length)
{
    const struct virtio_ring *ring = &net->rx.ring;
    vn_copy(buffer, ring_slots(ring)[ring_position(ring, ring->used_index)->order].data, length);
    return received(net, length);
}

int32_t virtio_net_receive(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, void *buffer, uint32_t capacity)
{
    struct virtio_net_packet packet;
    packet.data = buffer;
    packet.length = capacity;
    uint64_t element = NO_ELEMENT;
    /* used.idx is read last: whatever else is unusual, the general way reads it once. */
    if (VIRTIO_LIKELY(net != NULL) && VIRTIO_LIKELY(!net->rx.ring.interrupts) &&
        VIRTIO_LIKELY(!ring_is_stale_at((uint16_t)(net->rx.ring.used_index + 1))) &&
        VIRTIO_LIKELY(ready_quickly(net, buffer, queue_pair, flags, WAY_COPY) != 0)) {
        struct cursor at = begin(&net->rx.ring);
        uint64_t length = 0;
        if (VIRTIO_LIKELY(take_quickly(&at, &packet, WAY_COPY, &length, &element)))
            return VIRTIO_UNLIKELY(at.left_out) ? receive_left_out(net, buffer, (uint32_t)length)
                                                : received(net, (uint32_t)length);
    }
    return receive_slowly(net, queue_pair, flags, buffer, capacity, element);
}

int32_t virtio_net_rx_peek(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (net != NULL && packets != NULL && (queue_pair | flags) == 0 && ring_is_bare(&net->rx.ring) &&
        VIRTIO_LIKELY(net->rx.peek_external != NULL))
        return net->rx.peek_external(net, packets, count);
    return receive_quickly(net, queue_pair, flags, packets, count, WAY_LEND);
}

/* ------------------------------------------------------------------------------------------------------------ giving back */

/* Whether the caller holds the slot. One that is held because its buffer was lost is nobody's until rx_reap. */
static bool is_lent(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t slot)
{
    return ring_is_held(ring, slots, slot) && (slots[slot].length & VIRTIO_SLOT_LOST) == 0;
}

/* The oldest slot that is held, in a ring where nothing waits to be published: free, and its buffer its owner's. */
VIRTIO_INLINE bool release_external(struct virtio_ring *ring, uint16_t number)
{
    struct virtio_slot *slot = &ring_slots(ring)[ring_position(ring, ring_first_held(ring))->order];
    if (VIRTIO_UNLIKELY(ring->held == 0) || VIRTIO_UNLIKELY(ring_position(ring, ring_first_held(ring))->order != number) ||
        VIRTIO_UNLIKELY((slot->length & VIRTIO_SLOT_LOST) != 0))
        return false;
    slot->length = 0;
    ring->held--;
    return true;
}

/* Every way of giving back, one slot after the other. The first `done` were given back quickly. */
static VIRTIO_NOINLINE int32_t release(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                                       const struct virtio_net_packet *packets, uint32_t count, uint32_t done)
{
    if (net == NULL || packets == NULL || (queue_pair | (flags & ~RX_FLAGS)) != 0 || !net_has_memory(net))
        return vn_net_refuse(net, packets, NET_QUEUE_RX, queue_pair, flags & ~RX_FLAGS);
    struct virtio_ring *ring = &net->rx.ring;
    for (; done < count && is_lent(ring, ring_slots(ring), packets[done].slot); done++)
        give_back(net, packets[done].slot);
    int32_t result = done == 0 && count != 0 ? VIRTIO_NET_ERROR_SLOT : (int32_t)done;
    if (!ring_is_usable(ring) || ring->published == ring->avail_index)
        return result;
    return vn_ring_publish(result, &net->device.transport, flags, ring);
}

/* The slot of a packet, and a step to that of the next packet of an array: as a number, since a pointer must not be stepped to
 * the middle of what lies behind the array. */
VIRTIO_INLINE uint16_t next_packet_slot(uintptr_t *at)
{
    uint16_t slot = *(const uint16_t *)*at;
    *at += sizeof(struct virtio_net_packet);
    VIRTIO_STEPPED(*at);
    return slot;
}

/* The loop for nearly every burst: frames of the pool in the order in which they were lent. */
VIRTIO_INLINE uint32_t release_runs(struct virtio_ring *ring, const struct virtio_net_packet *packets, uint32_t count)
{
    uint32_t left = count;
    uint32_t wrong = 0;
    while (VIRTIO_LIKELY(left != 0) && wrong == 0) {
        uint32_t run = ring_run(ring, ring_first_held(ring), left);
        const struct virtio_slot *position = ring_position(ring, ring_first_held(ring));
        uintptr_t at = (uintptr_t)packets + offsetof(struct virtio_net_packet, slot);
        wrong = run;
        while (VIRTIO_LIKELY(next_packet_slot(&at) == ring_next_slot(&position)) && --wrong != 0)
            continue;
        uint32_t given = run - wrong;
        ring->held = (uint16_t)(ring->held - given);
        ring->avail_index = (uint16_t)(ring->avail_index + given);
        left -= given;
        packets += given;
    }
    return count - left;
}

int32_t virtio_net_rx_release(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                              const struct virtio_net_packet *packets, uint32_t count)
{
    uint32_t done = 0;
    if (VIRTIO_LIKELY(net_is_plain(net, packets, NET_QUEUE_RX, queue_pair, flags & ~RX_FLAGS))) {
        struct virtio_ring *ring = &net->rx.ring;
        uint32_t held = ring->held;
        done = release_runs(ring, packets, count < held ? count : held);
        if (VIRTIO_LIKELY(done == count))
            return vn_ring_publish((int32_t)done, &net->device.transport, flags, ring);
    }
    if (net != NULL && packets != NULL && (queue_pair | (flags & ~RX_FLAGS)) == 0 && ring_is_bare(&net->rx.ring))
        while (done < count && release_external(&net->rx.ring, packets[done].slot))
            done++;
    return VIRTIO_LIKELY(done != 0 && done == count) ? (int32_t)done : release(net, queue_pair, flags, packets, count, done);
}

/* A buffer that was lost, and of which its owner does not know yet. */
static bool find_lost(const struct virtio_ring *ring, uint16_t *slot)
{
    const struct virtio_slot *slots = ring_slots(ring);
    for (uint16_t counter = ring_first_held(ring); counter != ring->used_index; counter++) {
        *slot = slots[counter & ring->slot_mask].order;
        if ((slots[*slot].length & VIRTIO_SLOT_LOST) != 0)
            return true;
    }
    return false;
}

/* Where the next buffer is not the oldest one, or some were lost. */
static VIRTIO_NOINLINE int32_t next_slowly(const struct virtio_net *net, uint32_t queue_pair)
{
    uint16_t lost = 0;
    if (net != NULL && queue_pair == 0 && net_has_memory(net) && find_lost(&net->rx.ring, &lost))
        return lost;
    if (!net_acceptable(net, net, NET_QUEUE_RX, queue_pair, 0))
        return vn_net_refuse(net, net, NET_QUEUE_RX, queue_pair, 0);
    const struct virtio_ring *ring = &net->rx.ring;
    uint16_t ready = 0;
    if (!ring_look(ring, &ready))
        return VIRTIO_NET_ERROR_NEEDS_RESET;
    if (ready == 0)
        return VIRTIO_NET_ERROR_NOT_READY;
    uint32_t id = shared_load32(&ring_used_element(ring, ring->used_index)->id);
    return ring_is_published(ring, ring_slots(ring), id) ? (int32_t)id : VIRTIO_NET_ERROR_NEEDS_RESET;
}

int32_t virtio_net_rx_next(const struct virtio_net *net, uint32_t queue_pair)
{
    if (VIRTIO_UNLIKELY(net == NULL || queue_pair != 0))
        return next_slowly(net, queue_pair);
    const struct virtio_ring *ring = &net->rx.ring;
    if (VIRTIO_UNLIKELY(ring->held != 0) || VIRTIO_UNLIKELY((flag_read(&ring->usable) & VIRTIO_RING_BARE) == 0))
        return next_slowly(net, queue_pair);
    uint16_t counter = ring->used_index;
    uint16_t posted = ring_usable_by_device(ring);
    uint16_t oldest = net_rx_slots(net)[counter & ring->slot_mask].order;
    const uint16_t *used_idx = ring->used_idx;
    const uint32_t *id = &ring_bare_element(ring, counter)->id;
    uint16_t ready = (uint16_t)(shared_load_acquire16(used_idx) - counter);
    if (ready == 0)
        return VIRTIO_NET_ERROR_NOT_READY;
    if (VIRTIO_LIKELY(ready <= posted) && VIRTIO_LIKELY(shared_load32(id) == oldest))
        return oldest;
    return next_slowly(net, queue_pair);
}

VIRTIO_SMALL int32_t virtio_net_rx_oldest(const struct virtio_net *net, uint32_t queue_pair)
{
    if (net == NULL || queue_pair != 0 || !net_has_memory(net))
        return vn_net_refuse(net, net, NET_QUEUE_RX, queue_pair, 0);
    const struct virtio_ring *ring = &net->rx.ring;
    return ring_in_flight(ring) != 0 ? ring_position(ring, ring->used_index)->order : VIRTIO_NET_ERROR_NOT_READY;
}

int32_t virtio_net_rx_take(struct virtio_net *net, uint32_t queue_pair, struct virtio_net_packet *packet)
{
    if (net == NULL || packet == NULL || queue_pair != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, packet, NET_QUEUE_RX, queue_pair, 0);
    struct virtio_ring *ring = &net->rx.ring;
    if (ring->pooled || !ring_is_held(ring, ring_slots(ring), packet->slot))
        return VIRTIO_NET_ERROR_SLOT;
    vn_net_hand_out(ring, packet->slot, packet);
    return VIRTIO_NET_SUCCESS;
}

/* Ends the external buffer of a slot that is held. Returns its cookie. */
VIRTIO_INLINE uint64_t end_external(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t number)
{
    slots[number].length = 0;
    ring_release(ring, slots, number);
    return slots[number].cookie;
}

/* Ends the buffer of a slot that may be lost, or not the next. `element` is the next one where it was read already. */
static VIRTIO_NOINLINE int32_t take_slowly(struct virtio_net *net, uint32_t queue_pair, uint32_t slot, uint64_t *cookie,
                                           uint64_t element)
{
    if (net == NULL || cookie == NULL || queue_pair != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, cookie, NET_QUEUE_RX, queue_pair, 0);
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (ring->pooled)
        return VIRTIO_NET_ERROR_SLOT;
    if (ring_is_held(ring, slots, slot)) {
        if ((slots[slot].length & VIRTIO_SLOT_LOST) == 0)
            return VIRTIO_NET_ERROR_SLOT;
        *cookie = end_external(ring, slots, (uint16_t)slot);
        return 0;
    }
    if (!net_acceptable(net, net, NET_QUEUE_RX, 0, 0))
        return vn_net_refuse(net, net, NET_QUEUE_RX, 0, 0);
    uint16_t before = ring->used_index;
    int32_t ready = look(net);
    if (ready <= 0) /* the last one that was taken has asked for the next interrupt */
        return ready < 0 ? ready : VIRTIO_NET_ERROR_NOT_READY;
    if (element == NO_ELEMENT)
        element = read_element(ring_used_element(ring, before));
    uint32_t id = (uint32_t)element;
    if (!vn_ring_exchange(ring, id))
        return vn_net_broken(net, ring);
    if (id != slot)
        return VIRTIO_NET_ERROR_SLOT;
    int32_t length = examine(net, &slots[id], (uint32_t)(element >> 32) & ELEMENT_LENGTH, (enum header)(element >> 62));
    ring->used_index++;
    ring->held++;
    *cookie = end_external(ring, slots, (uint16_t)id);
    counter_add(&net->rx.frames, length != 0);
    counter_add(&net->rx.bytes, (uint32_t)length);
    return settle(net, before, true, ready - 1, length);
}

VIRTIO_SMALL int32_t virtio_net_rx_take_one(struct virtio_net *net, uint32_t queue_pair, uint32_t slot, uint64_t *cookie)
{
    if (cookie == NULL)
        return take_slowly(net, queue_pair, slot, cookie, NO_ELEMENT);
    struct virtio_net_taken taken = virtio_net_rx_take_next(net, queue_pair, slot);
    if (taken.length >= 0)
        *cookie = taken.cookie;
    return taken.length;
}

/* No slot: the next one was not looked for. */
#define UNKNOWN UINT32_MAX

/* Anything but a good frame of a bare ring that is the next. */
static VIRTIO_NOINLINE struct virtio_net_taken take_next_slowly(struct virtio_net *net, uint32_t queue_pair, uint32_t slot)
{
    struct virtio_net_taken taken = {.next = (int32_t)UNKNOWN};
    uint64_t element = NO_ELEMENT;
    if (net != NULL) {
        element = ~net->rx.element;
        net->rx.element = 0;
    }
    taken.length = take_slowly(net, queue_pair, slot, &taken.cookie, element);
    return taken;
}

/* By two words, as they are returned. */
VIRTIO_INLINE struct virtio_net_taken describe(size_t length, uint32_t next, uint64_t cookie)
{
    const struct net_words words = {length | (uint64_t)next << 32, cookie};
    struct virtio_net_taken taken;
    _Static_assert(sizeof taken == sizeof words && offsetof(struct virtio_net_taken, next) == 4, "two words");
    __builtin_memcpy(&taken, &words, sizeof taken);
    return taken;
}

/* Looks at used.idx. Returns the counter up to which elements can be taken quickly, which is remembered; `counter` for none. The
 * place for vn_ring_refresh is not passed: before it they are taken one by one, and at it generally. */
VIRTIO_INLINE uint16_t see(struct virtio_ring *ring, uint16_t counter)
{
    uint16_t next = (uint16_t)(counter + 1);
    uint16_t posted = ring_usable_by_device(ring);
    uint16_t seen = (uint16_t)shared_load_acquire16(ring->used_idx);
    if (VIRTIO_UNLIKELY((uint16_t)(seen - next) >= posted) || ring_is_stale_at(next)) /* none, or more than were posted */
        return counter;
    if (VIRTIO_UNLIKELY(((seen ^ counter) & ~(RING_REFRESH_INTERVAL - 1)) != 0))
        seen = next;
    ring->seen = seen;
    return seen;
}

/* The last element that was seen is taken: asks for the next interrupt, and tells the device of buffers. */
static VIRTIO_NOINLINE struct virtio_net_taken took_last(struct virtio_net *net, size_t length, uint64_t cookie)
{
    struct virtio_ring *ring = &net->rx.ring;
    if (ring->event_index && ring->interrupts) {
        ring_rearm(ring, ring->slot_mask, ring->used_index);
        barrier_full(); /* who asks for the next frame afterwards sees one that came before this */
    }
    ring_supply(ring, &net->device.transport);
    return describe(length, UNKNOWN, cookie);
}

struct virtio_net_taken virtio_net_rx_take_next(struct virtio_net *net, uint32_t queue_pair, uint32_t slot)
{
    if (VIRTIO_UNLIKELY(net == NULL || queue_pair != 0))
        VIRTIO_TAIL return take_next_slowly(net, queue_pair, slot);
    struct net_rx *rx = &net->rx;
    struct virtio_ring *ring = &rx->ring;
    uint32_t state = flag_read(&ring->usable);
    if (VIRTIO_UNLIKELY((state & VIRTIO_RING_BARE) == 0))
        VIRTIO_TAIL return take_next_slowly(net, queue_pair, slot);
    /* What is the driver's own is read first: after a look at the device's memory a compiler would read it again. */
    uint32_t mask = ring->slot_mask;
    uint16_t counter = ring->used_index;
    uint32_t next = counter + 1u; /* the lower half of it */
    const struct virtq_used_element *elements = ring_used(ring)->ring;
    struct virtio_slot *slots = net_rx_slots(net);
    size_t number = slots[counter & mask].order;
    VIRTIO_OPAQUE(number);
    uint32_t following = slots[next & mask].order;
    struct virtio_slot *oldest = &slots[number];
    uint32_t header_length = ring->header_length;
    uint32_t room = (uint16_t)oldest->length - ETHERNET_HEADER_BYTES;
    uint64_t cookie = oldest->cookie;
    uint16_t seen = ring->seen;
    if (VIRTIO_UNLIKELY((ring->held | ((uint32_t)number ^ slot)) != 0))
        VIRTIO_TAIL return take_next_slowly(net, queue_pair, slot);
    if (!ring_is_before(counter, seen)) {
        seen = see(ring, counter);
        if (seen == counter)
            VIRTIO_TAIL return take_next_slowly(net, queue_pair, slot);
    }
    const uint32_t *words = &elements[counter & mask].id;
    uint32_t id = 0;
    uint32_t used_length = 0;
    shared_load32_pair(&words, &id, &used_length);
    size_t length = used_length - header_length;
    VIRTIO_OPAQUE(length);
    enum header header = HEADER_UNREAD;
    if (VIRTIO_LIKELY(id == slot) && VIRTIO_LIKELY((uint32_t)length - ETHERNET_HEADER_BYTES <= room)) {
        bool trusted = (state & VIRTIO_RING_TRUSTED) != 0;
        header = trusted || header_is_plain(oldest->data - header_length, false) ? HEADER_PLAIN : HEADER_UNUSABLE;
    }
    if (VIRTIO_UNLIKELY(header != HEADER_PLAIN)) {
        rx->element = ~pack_element(id, used_length, header);
        VIRTIO_TAIL return take_next_slowly(net, queue_pair, slot);
    }
    oldest->length = 0;
    ring->used_index = (uint16_t)next;
    counter_add(&rx->frames, 1);
    counter_add(&rx->bytes, length);
    if (VIRTIO_UNLIKELY(seen == (uint16_t)next))
        return took_last(net, length, cookie);
    uint32_t told = shared_load32(&elements[next & mask].id) == following ? following : UNKNOWN;
    VIRTIO_OPAQUE(told);
    return describe(length, told, cookie);
}

VIRTIO_SMALL bool vn_net_rx_due(const struct virtio_net *net)
{
    const struct virtio_ring *ring = &net->rx.ring;
    const struct virtio_slot *slots = ring_slots(ring);
    if (!ring_is_usable(ring))
        return false;
    uint16_t ready = 0;
    if (!ring_look(ring, &ready) || !ring->pooled)
        return ready != 0;
    for (uint16_t i = 0; i < ready; i++) {
        const struct virtq_used_element *element = ring_used_element(ring, (uint16_t)(ring->used_index + i));
        uint32_t id = shared_load32(&element->id);
        if (!ring_is_published(ring, slots, id) || is_frame(net, slots[id].data, shared_load32(&element->length)))
            return true;
    }
    return ready != 0 && ready == ring_usable_by_device(ring);
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
    if (!net_acceptable(net, packets, NET_QUEUE_RX, queue_pair, flags & ~RX_FLAGS))
        return vn_net_refuse(net, packets, NET_QUEUE_RX, queue_pair, flags & ~RX_FLAGS);
    struct virtio_ring *ring = &net->rx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    int32_t code = VIRTIO_NET_SUCCESS;
    uint32_t done = 0;
    net->rx.peek_external = peek_external;
    for (; done < count; done++) {
        code = check_external(net, &packets[done]);
        if (code < 0)
            break;
        uint16_t slot = vn_ring_prepare(ring);
        slots[slot].cookie = packets[done].cookie;
        slots[slot].data = packets[done].data;
        slots[slot].device_address = packets[done].device_address;
        slots[slot].length = VIRTIO_SLOT_EXTERNAL | packets[done].length;
        vn_ring_place_buffer(ring, slot, packets[done].device_address, packets[done].length);
        if (net->sync)
            sync_for_device(net, slots[slot].data, packets[done].length + ring->header_length);
        ring_commit(ring);
        packets[done].slot = slot;
    }
    if (done == 0)
        return code;
    return vn_ring_publish((int32_t)done, &net->device.transport, flags, ring);
}

static VIRTIO_COLD int32_t post_slowly(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, uint8_t *frame,
                                       uint32_t length, uint64_t device_address, uint64_t cookie)
{
    struct virtio_net_packet packet;
    net_describe_external(&packet, frame, length, device_address, cookie, 0);
    int32_t posted = virtio_net_rx_post(net, queue_pair, flags, &packet, 1);
    return posted < 0 ? posted : packet.slot;
}

int32_t virtio_net_rx_post_one(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, uint8_t *frame, uint32_t length,
                               uint64_t device_address, uint64_t cookie)
{
    if (VIRTIO_UNLIKELY(net == NULL || frame == NULL || (queue_pair | flags) != 0))
        return post_slowly(net, queue_pair, flags, frame, length, device_address, cookie);
    struct virtio_ring *ring = &net->rx.ring;
    uint32_t state = flag_read(&ring->usable);
    uint32_t header_length = ring->header_length;
    uint64_t address = device_address - header_length;
    if (VIRTIO_UNLIKELY((state & VIRTIO_RING_SETTLED) == 0) || VIRTIO_UNLIKELY(net_may_wrap(address)) ||
        VIRTIO_UNLIKELY(length - ETHERNET_MIN_BUFFER > NET_MAX_FRAME - ETHERNET_MIN_BUFFER))
        return post_slowly(net, queue_pair, flags, frame, length, device_address, cookie);
    struct virtio_slot *slots = net_rx_slots(net);
    uint16_t avail_index = ring->avail_index;
    uint32_t next = avail_index + 1u; /* the lower half of it */
    uint32_t mask = ring->slot_mask;
    size_t number = slots[avail_index & mask].order;
    VIRTIO_OPAQUE(number);
    struct virtio_slot *slot = &slots[number];
    if (VIRTIO_UNLIKELY(!slot_is_free(slot)))
        return post_slowly(net, queue_pair, flags, frame, length, device_address, cookie);
    struct virtq_descriptor *descriptor = &ring->descriptors[number];
    VIRTIO_OPAQUE(descriptor);
    slot->cookie = cookie;
    slot->data = frame;
    slot->device_address = device_address;
    slot->length = VIRTIO_SLOT_EXTERNAL | length;
    descriptor->address = address;
    descriptor->length = header_length + length;
    descriptor->flags = VIRTQ_DESCRIPTOR_WRITE;
    descriptor->next = 0;
    ring_publish_next(ring, (uint16_t)next);
    /* The device is told while it has some that it is known to know: here, or by ring_supply when the driver has the last. */
    if (VIRTIO_LIKELY(ring_is_supplied(ring, mask / 2)))
        return (int32_t)number;
    return ring_tell(ring, &net->device.transport, (uint16_t)next, (state & VIRTIO_RING_EVENT) != 0, false, (int32_t)number);
}

int32_t virtio_net_rx_flush(struct virtio_net *net, uint32_t queue_pair, uint32_t flags)
{
    if (!net_acceptable(net, net, NET_QUEUE_RX, queue_pair, flags))
        return vn_net_refuse(net, net, NET_QUEUE_RX, queue_pair, flags);
    return vn_ring_kick(&net->rx.ring, &net->device.transport);
}

int32_t virtio_net_rx_reap(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (net == NULL || (packets == NULL && count != 0) || (queue_pair | flags) != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, count != 0 ? packets : (const void *)net, NET_QUEUE_RX, queue_pair, flags);
    struct virtio_ring *ring = &net->rx.ring;
    const struct virtio_slot *slots = ring_slots(ring);
    uint32_t done = 0;
    /* What is handed out changes places with the oldest, which was looked at already. */
    for (uint16_t counter = ring_first_held(ring); done < count && counter != ring->used_index; counter++) {
        uint16_t slot = slots[counter & ring->slot_mask].order;
        if ((slots[slot].length & VIRTIO_SLOT_LOST) != 0)
            vn_net_hand_out(ring, slot, &packets[done++]);
    }
    return (int32_t)done;
}

int32_t virtio_net_rx_ready(const struct virtio_net *net, uint32_t queue_pair)
{
    if (!net_acceptable(net, net, NET_QUEUE_RX, queue_pair, 0))
        return vn_net_refuse(net, net, NET_QUEUE_RX, queue_pair, 0);
    return ring_waiting(&net->rx.ring);
}
