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

/* The least count that makes sense: the rest cannot be told in an int32_t, and no ring is so large. */
VIRTIO_INLINE uint32_t clamp(uint32_t count)
{
    return count < VIRTIO_NET_MAX_SLOTS ? count : VIRTIO_NET_MAX_SLOTS;
}

/* ------------------------------------------------------------------------------------------------------------- taking back */

/* Completed frames, from used_index on, leave the device: their slots are free again, but for external buffers, which are held
 * until the caller is told of them. */
VIRTIO_INLINE void retire(struct virtio_ring *ring, struct virtio_slot *slots, uint32_t count)
{
    bool none_external = ring->pooled && ring->externals == 0;
    bool all_external = !ring->pooled || ring->externals == (uint16_t)(ring_in_flight(ring) + ring->held);
    if (VIRTIO_LIKELY(none_external) || all_external) {
        ring->used_index = (uint16_t)(ring->used_index + count);
        ring->held = (uint16_t)(ring->held + (none_external ? 0 : count));
        return;
    }
    while (count-- > 0) {
        uint16_t slot = slots[ring->used_index++ & ring->slot_mask].order;
        ring->held++;
        if ((slots[slot].length & VIRTIO_SLOT_EXTERNAL) == 0)
            vn_ring_let_go(ring, slot);
    }
}

/* How many of the `ready` elements come in order, up to the end of the circle. Else `id` tells what was read in the next one. The
 * length is left out: devices get that of a transmit buffer wrong, and nothing depends on it. */
VIRTIO_INLINE uint32_t in_order(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t ready, uint32_t *id)
{
    const uint32_t *word = &ring_used_element(ring, ring->used_index)->id;
    const struct virtio_slot *position = &slots[ring->used_index & ring->slot_mask];
    uint32_t run = ring_run(ring, ring->used_index, ready);
    for (uint32_t count = 0; count < run; count++) {
        *id = shared_load32(word);
        word += sizeof(struct virtq_used_element) / sizeof *word;
        VIRTIO_STEPPED(word);
        if (*id != ring_next_slot(&position))
            return count;
    }
    return run;
}

int32_t vn_net_tx_collect(struct virtio_net *net)
{
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    uint16_t before = ring->used_index;
    int32_t ready = ring_ready(ring);
    if (VIRTIO_UNLIKELY(ready < 0))
        return vn_net_broken(net, ring);
    for (uint32_t left = (uint32_t)ready; left != 0;) {
        uint32_t id = 0;
        uint32_t count = in_order(ring, slots, left, &id);
        if (VIRTIO_UNLIKELY(count == 0)) {
            if (!vn_ring_exchange(ring, id))
                return vn_net_broken(net, ring);
            count = 1;
        }
        retire(ring, slots, count);
        counter_add(&net->tx.completed, count);
        left -= count;
    }
    if (ring_is_stale(ring, before))
        vn_ring_refresh(ring);
    return ready;
}

/* Nothing has come back: perhaps a notification was wrongly left out, perhaps the device has given up. */
static VIRTIO_COLD int32_t look_after_stall(struct virtio_net *net)
{
    struct virtio_ring *ring = &net->tx.ring;
    if (ring_in_flight(ring) == 0 || !vn_ring_idle(ring, &net->device.transport, NET_TX_PATIENCE))
        return VIRTIO_NET_SUCCESS;
    return vn_net_look_at_status(net, ring);
}

/* ------------------------------------------------------------------------------------------------------------- posting */

/* How the frames of a burst come to their slots. */
enum way {
    WAY_COPY,     /* from memory of the caller to the pool buffer of a free slot */
    WAY_IN_PLACE, /* the caller wrote them to the pool buffers of slots that it holds */
    WAY_EXTERNAL, /* they stay in memory of the caller, and a free slot's descriptor tells where */
};

/* Takes completed frames back. Returns how many slots are free then, or an error where there are none. */
static int32_t make_room(struct virtio_net *net)
{
    int32_t collected = vn_net_tx_collect(net);
    uint32_t room = ring_free(&net->tx.ring);
    if (VIRTIO_LIKELY(collected >= 0 && room != 0))
        return (int32_t)room;
    int32_t code = collected == 0 ? look_after_stall(net) : collected;
    return code < 0 ? code : VIRTIO_NET_ERROR_QUEUE_FULL;
}

static VIRTIO_COLD void sync_for_device(const struct virtio_net *net, uint8_t *frame, uint32_t length)
{
    const struct virtio_transport *transport = &net->device.transport;
    uint32_t header = net->tx.ring.header_length;
    if (TABLE_HAS(transport->platform, sync_for_device))
        transport->platform->sync_for_device(transport->context, frame - header, length + header, VIRTIO_NET_DMA_TO_DEVICE);
}

/* 5.1.6.2: no checksum to complete, no segmentation. The bytes in front of the frame are the driver's by agreement: 10 or 12. */
VIRTIO_INLINE void clear_header(uint8_t *frame, uint32_t header_length)
{
    volatile uint8_t *bytes = frame - header_length; /* volatile: or the compiler calls memset */
    volatile copy_half *words = (copy_half *)(void *)(frame - 8);
    if (VIRTIO_UNLIKELY(((uintptr_t)frame & 3) != 0)) {
        for (uint32_t i = 0; i < header_length; i++)
            bytes[i] = 0;
        return;
    }
    words[0] = 0;
    words[1] = 0;
    if (header_length == NET_HEADER_BYTES)
        words[-1] = 0;
    else
        *(volatile copy_quarter *)(void *)(frame - header_length) = 0;
}

VIRTIO_INLINE void keep_external(struct virtio_ring *ring, struct virtio_slot *slot, const struct virtio_net_packet *packet,
                                 bool pooled)
{
    slot->cookie = packet->cookie;
    if (pooled) {
        ring->externals++;
        slot->length |= VIRTIO_SLOT_EXTERNAL;
    } else {
        slot->data = packet->data;
        slot->device_address = packet->device_address;
        slot->length = VIRTIO_SLOT_EXTERNAL | packet->length;
    }
    if ((packet->flags & VIRTIO_NET_PACKET_HAS_HEADER) == 0)
        clear_header(packet->data, ring->header_length);
}

/* A frame's way to the device in general: posts it with the next publish. Returns its slot, or why it cannot be posted. An
 * external one is told its slot. */
typedef int32_t (*post_function)(struct virtio_net *net, struct virtio_net_packet *packet);

static VIRTIO_SMALL uint32_t room(const struct virtio_ring *ring)
{
    return ring_free(ring);
}

static VIRTIO_SMALL int32_t check_length(uint32_t length, uint32_t longest)
{
    if (length - ETHERNET_HEADER_BYTES <= longest - ETHERNET_HEADER_BYTES)
        return VIRTIO_NET_SUCCESS;
    return length < ETHERNET_HEADER_BYTES ? VIRTIO_NET_ERROR_FRAME_EMPTY : VIRTIO_NET_ERROR_FRAME_TOO_LONG;
}

static VIRTIO_SMALL int32_t commit(struct virtio_net *net, uint16_t number, uint8_t *frame, uint32_t length)
{
    if (net->sync)
        sync_for_device(net, frame, length);
    ring_commit(&net->tx.ring);
    return number;
}

/* The same for a frame in the slot's own buffer. */
static VIRTIO_SMALL int32_t commit_pooled(struct virtio_net *net, uint16_t number, uint32_t length)
{
    const struct frame_lengths frame_lengths = ring_frame_lengths(&net->tx.ring);
    set_frame_length(&frame_lengths, number, length);
    return commit(net, number, ring_slots(&net->tx.ring)[number].data, length);
}

static VIRTIO_SMALL int32_t post_copy(struct virtio_net *net, struct virtio_net_packet *packet)
{
    if (packet->data == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    int32_t code = check_length(packet->length, net->tx.pool_frame);
    if (code < 0)
        return code;
    uint16_t number = vn_ring_prepare(&net->tx.ring);
    vn_copy(ring_slots(&net->tx.ring)[number].data, packet->data, packet->length);
    return commit_pooled(net, number, packet->length);
}

static VIRTIO_SMALL int32_t post_in_place(struct virtio_net *net, struct virtio_net_packet *packet)
{
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (!ring_is_reserved(ring, slots, packet->slot))
        return VIRTIO_NET_ERROR_SLOT;
    if (packet->flags != 0)
        return VIRTIO_NET_ERROR_UNSUPPORTED;
    int32_t code = check_length(packet->length, net->tx.pool_frame);
    if (code < 0)
        return code;
    vn_ring_bring(ring, packet->slot, ring->avail_index);
    return commit_pooled(net, packet->slot, packet->length);
}

static VIRTIO_SMALL int32_t post_external(struct virtio_net *net, struct virtio_net_packet *packet)
{
    struct virtio_ring *ring = &net->tx.ring;
    if ((packet->flags & ~(uint32_t)VIRTIO_NET_PACKET_HAS_HEADER) != 0)
        return VIRTIO_NET_ERROR_UNSUPPORTED;
    if (packet->data == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (packet->device_address < ring->header_length || packet->device_address + packet->length < packet->device_address)
        return VIRTIO_NET_ERROR_DMA_ADDRESS;
    int32_t code = check_length(packet->length, net->tx.max_frame);
    if (code < 0)
        return code;
    packet->slot = vn_ring_prepare(ring);
    keep_external(ring, &ring_slots(ring)[packet->slot], packet, ring->pooled);
    vn_ring_place_buffer(ring, packet->slot, packet->device_address, packet->length);
    return commit(net, packet->slot, packet->data, packet->length);
}

/* The end of each burst that posted something. */
VIRTIO_INLINE int32_t finish(struct virtio_net *net, uint32_t flags, int32_t result, uint32_t frames, uint64_t bytes)
{
    counter_add(&net->tx.frames, frames);
    counter_add(&net->tx.bytes, bytes);
    return vn_ring_publish(result, &net->device.transport, flags, &net->tx.ring);
}

/* Every way of sending, one frame after the other. The first `done` frames, of `bytes`, were posted quickly. */
static VIRTIO_SMALL int32_t transmit(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                                     struct virtio_net_packet *packets, uint32_t count, enum way way, post_function post,
                                     uint32_t done, uint64_t bytes)
{
    if (!net_acceptable(net, packets, NET_QUEUE_TX, queue_pair, flags & ~TX_FLAGS))
        return vn_net_refuse(net, packets, NET_QUEUE_TX, queue_pair, flags & ~TX_FLAGS);
    if (way == WAY_COPY && net->tx.pool_frame == 0)
        return VIRTIO_NET_ERROR_NO_POOL;
    struct virtio_ring *ring = &net->tx.ring;
    count = clamp(count);
    int32_t code = VIRTIO_NET_SUCCESS;
    if (way != WAY_IN_PLACE && room(ring) < count - done)
        code = make_room(net);
    for (; code >= 0 && done < count; done++) {
        code = way != WAY_IN_PLACE && room(ring) == 0 ? VIRTIO_NET_ERROR_QUEUE_FULL : post(net, &packets[done]);
        if (code < 0)
            break;
        bytes += packets[done].length;
    }
    if (code == VIRTIO_NET_ERROR_QUEUE_FULL)
        counter_add(&net->tx.full, 1);
    if (done == 0)
        return code < 0 ? code : VIRTIO_NET_SUCCESS;
    if (VIRTIO_UNLIKELY(!ring_is_usable(ring))) {
        /* It broke while frames were taken back: the device is told nothing more, and the next call says why. */
        counter_add(&net->tx.frames, done);
        counter_add(&net->tx.bytes, bytes);
        return (int32_t)done;
    }
    return finish(net, flags, (int32_t)done, done, bytes);
}

/* Takes `const` off packets for the ways that write none. */
VIRTIO_INLINE struct virtio_net_packet *only_read(const struct virtio_net_packet *packets)
{
    return (struct virtio_net_packet *)(uintptr_t)packets;
}

/* Both are looked at by one test: they are neighbours. */
VIRTIO_INLINE uint64_t length_and_flags(const struct virtio_net_packet *packet)
{
    return *(const any_word *)(const void *)&packet->length;
}

/* What the loop over a run keeps in registers. */
struct cursor {
    const struct virtio_slot *slots;
    const struct virtio_slot *position; /* of the next slot */
    struct frame_lengths frame_lengths;
    uint64_t lengths; /* of frames that fit, counted from the shortest on */
    bool left_out;    /* frames that copy_words is not for */
};

VIRTIO_INLINE struct cursor begin(const struct net_tx *tx)
{
    const struct virtio_ring *ring = &tx->ring;
    return (struct cursor){
        .slots = ring_slots(ring),
        .position = ring_position(ring, ring->avail_index),
        .frame_lengths = ring_frame_lengths(ring),
        .lengths = (uint64_t)tx->pool_frame - ETHERNET_HEADER_BYTES + 1,
    };
}

/*
 * The step for nearly every frame: one for a pool buffer, which is right and in order, on a machine without sync functions.
 * Anything else is left to `transmit`. Adds the frame's length to `bytes`.
 */
VIRTIO_INLINE bool post_quickly(struct cursor *at, const struct virtio_net_packet *packet, enum way way, uint64_t *bytes)
{
    uint16_t slot = ring_next_slot(&at->position);
    const uint8_t *data = packet->data;
    uint64_t length = way == WAY_COPY ? packet->length : length_and_flags(packet); /* a flag makes the length huge */
    if (VIRTIO_UNLIKELY(length - ETHERNET_HEADER_BYTES >= at->lengths))
        return false;
    if (way == WAY_COPY && VIRTIO_UNLIKELY(data == NULL))
        return false;
    if (way == WAY_IN_PLACE && VIRTIO_UNLIKELY(packet->slot != slot))
        return false;
    set_frame_length(&at->frame_lengths, slot, (uint32_t)length);
    if (way == WAY_COPY && VIRTIO_LIKELY(copy_is_simple(data, (uint32_t)length)))
        copy_words(at->slots[slot].data, data, (uint32_t)length);
    else if (way == WAY_COPY)
        at->left_out = true; /* later, so that this loop calls nothing and no register must be saved */
    *bytes += (uint32_t)length;
    return true;
}

VIRTIO_NOINLINE void vn_net_copy_left_out(const struct virtio_ring *ring, const struct virtio_net_packet *packets, uint32_t count)
{
    const struct virtio_slot *slots = ring_slots(ring);
    bool receive = ring->device_writes;
    const struct virtio_slot *position = ring_position(ring, receive ? ring->used_index : ring->avail_index);
    const struct virtio_net_packet *end = packets + count;
    for (; packets != end; packets++, position++) {
        uint8_t *memory = packets->data;
        uint8_t *buffer = slots[position->order].data;
        if (!copy_is_simple(memory, packets->length))
            vn_copy(receive ? memory : buffer, receive ? buffer : memory, packets->length);
    }
}

/* A run does not reach the end of the circle. Returns how many frames were posted. */
VIRTIO_INLINE uint32_t post_run(struct virtio_net *net, const struct virtio_net_packet *packets, uint32_t run, enum way way,
                                uint64_t *bytes)
{
    struct virtio_ring *ring = &net->tx.ring;
    struct cursor at = begin(&net->tx);
    const struct virtio_net_packet *packet = packets;
    const struct virtio_net_packet *end = packets + run;
    do {
        if (VIRTIO_UNLIKELY(!post_quickly(&at, packet, way, bytes)))
            break;
        packet++;
    } while (packet != end);
    uint32_t posted = (uint32_t)(packet - packets);
    if (way == WAY_COPY && VIRTIO_UNLIKELY(at.left_out))
        vn_net_copy_left_out(ring, packets, posted);
    ring->avail_index = (uint16_t)(ring->avail_index + posted);
    if (way == WAY_IN_PLACE)
        ring->reserved = (uint16_t)(ring->reserved - posted);
    return posted;
}

VIRTIO_INLINE uint32_t post_runs(struct virtio_net *net, const struct virtio_net_packet *packets, uint32_t count, enum way way,
                                 uint64_t *bytes)
{
    uint32_t left = count;
    uint32_t run = 0;
    uint32_t posted = 0;
    while (VIRTIO_LIKELY(left != 0) && posted == run) {
        run = ring_run(&net->tx.ring, net->tx.ring.avail_index, left);
        posted = post_run(net, packets, run, way, bytes);
        left -= posted;
        packets += posted;
    }
    return count - left;
}

int32_t virtio_net_tx_commit(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const struct virtio_net_packet *packets,
                             uint32_t count)
{
    uint32_t done = 0;
    uint64_t bytes = 0;
    if (VIRTIO_LIKELY(net_is_plain(net, packets, NET_QUEUE_TX, queue_pair, flags & ~TX_FLAGS))) {
        uint32_t held = net->tx.ring.reserved;
        done = post_runs(net, packets, count < held ? count : held, WAY_IN_PLACE, &bytes);
        if (VIRTIO_LIKELY(done == count))
            return finish(net, flags, (int32_t)done, done, bytes);
    }
    return transmit(net, queue_pair, flags, only_read(packets), count, WAY_IN_PLACE, post_in_place, done, bytes);
}

/* Whether free slots can be taken quickly: they come next, where the caller has reserved none. */
VIRTIO_INLINE bool can_take(const struct virtio_net *net, const void *frames, uint32_t queue_pair, uint32_t flags)
{
    return VIRTIO_LIKELY(net_is_plain(net, frames, NET_QUEUE_TX, queue_pair, flags & ~TX_FLAGS)) &&
           VIRTIO_LIKELY(net->tx.ring.reserved == 0);
}

/* Whether frames in memory of the caller can be posted quickly: one descriptor is all, and the next free slot is at
 * avail_index. */
VIRTIO_INLINE bool can_post(const struct virtio_ring *ring, uint32_t state)
{
    return (state & VIRTIO_RING_BARE) != 0 ||
           ((state & VIRTIO_RING_PLAIN) != 0 && ring->layout == VIRTIO_LAYOUT_ONE && VIRTIO_LIKELY(ring->reserved == 0));
}

/* Fills the next descriptor, for a slot that is free, which is told. False where anything is unusual, which `transmit` looks
 * after. */
VIRTIO_INLINE bool post_external_quickly(struct virtio_net *net, const struct virtio_net_packet *packet, uint16_t avail_index,
                                         bool pooled, size_t *slot)
{
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = net_tx_slots(net);
    uint32_t header_length = ring->header_length;
    uint32_t length = packet->length;
    uint64_t address = packet->device_address - header_length;
    if (VIRTIO_UNLIKELY(length - ETHERNET_HEADER_BYTES > net->tx.max_frame - ETHERNET_HEADER_BYTES) ||
        VIRTIO_UNLIKELY((packet->flags & ~(uint32_t)VIRTIO_NET_PACKET_HAS_HEADER) != 0) ||
        VIRTIO_UNLIKELY(packet->data == NULL) || VIRTIO_UNLIKELY(net_may_wrap(address)))
        return false;
    size_t number = slots[avail_index & ring->slot_mask].order;
    VIRTIO_OPAQUE(number);
    if (pooled ? VIRTIO_UNLIKELY(ring_is_full(ring)) : VIRTIO_UNLIKELY(!slot_is_free(&slots[number])))
        return false;
    struct virtq_descriptor *descriptor = &ring->descriptors[number];
    keep_external(ring, &slots[number], packet, pooled);
    descriptor->address = address;
    descriptor->length = header_length + length;
    descriptor->flags = 0;
    descriptor->next = 0;
    *slot = number;
    return true;
}

int32_t virtio_net_tx_post(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    uint32_t done = 0;
    uint64_t bytes = 0;
    if (VIRTIO_LIKELY(net != NULL && packets != NULL && (queue_pair | (flags & ~TX_FLAGS)) == 0) &&
        can_post(&net->tx.ring, flag_read(&net->tx.ring.usable))) {
        struct virtio_ring *ring = &net->tx.ring;
        for (; done < count; done++) {
            size_t slot = 0;
            if (VIRTIO_UNLIKELY(!post_external_quickly(net, &packets[done], ring->avail_index, ring->pooled, &slot)))
                break;
            ring_hand_over(ring);
            packets[done].slot = (uint16_t)slot;
            bytes += packets[done].length;
        }
        if (VIRTIO_LIKELY(done == count))
            return finish(net, flags, (int32_t)done, done, bytes);
    }
    return transmit(net, queue_pair, flags, packets, count, WAY_EXTERNAL, post_external, done, bytes);
}

/* The flags of virtio_net_tx_post_one, of the call and of the frame. None is a flag that a call returns: those are refused. */
#define POST_FLAGS (TX_FLAGS | (uint32_t)VIRTIO_NET_OWN_KICK | (uint32_t)VIRTIO_NET_PACKET_HAS_HEADER)
_Static_assert(TX_FLAGS + (uint32_t)VIRTIO_NET_OWN_KICK + (uint32_t)VIRTIO_NET_PACKET_HAS_HEADER == POST_FLAGS,
               "one word for all");
_Static_assert((VIRTIO_NET_OWN_KICK & (VIRTIO_NET_PACKET_EXTERNAL | VIRTIO_NET_PACKET_LOST)) == 0, "what take_one returns");
_Static_assert(VIRTIO_NET_KICK_DUE >= VIRTIO_NET_MAX_SLOTS, "one word for a slot and this");

static VIRTIO_COLD int32_t post_slowly(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, uint8_t *frame,
                                       uint32_t length, uint64_t device_address, uint64_t cookie)
{
    struct virtio_net_packet packet;
    net_describe_external(&packet, frame, length, device_address, cookie, flags & (uint32_t)VIRTIO_NET_PACKET_HAS_HEADER);
    uint32_t others = flags & ~(packet.flags | (uint32_t)VIRTIO_NET_OWN_KICK);
    int32_t posted = transmit(net, queue_pair, others, &packet, 1, WAY_EXTERNAL, post_external, 0, 0);
    return posted < 0 ? posted : packet.slot;
}

int32_t virtio_net_tx_post_one(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, uint8_t *frame, uint32_t length,
                               uint64_t device_address, uint64_t cookie)
{
    if (VIRTIO_LIKELY(net != NULL && frame != NULL && (queue_pair | (flags & ~POST_FLAGS)) == 0)) {
        struct virtio_ring *ring = &net->tx.ring;
        uint32_t state = flag_read(&ring->usable);
        if (can_post(ring, state)) {
            struct virtio_net_packet packet;
            net_describe_external(&packet, frame, length, device_address, cookie, flags & (uint32_t)VIRTIO_NET_PACKET_HAS_HEADER);
            uint16_t avail_index = ring->avail_index;
            size_t slot = 0;
            if (VIRTIO_LIKELY(post_external_quickly(net, &packet, avail_index, (state & VIRTIO_RING_BARE) == 0, &slot))) {
                counter_add(&net->tx.frames, 1);
                counter_add(&net->tx.bytes, length);
                uint16_t next = (uint16_t)(avail_index + 1);
                ring->avail_index = next;
                if (VIRTIO_UNLIKELY(ring->unsettled != 0) || VIRTIO_UNLIKELY((flags & VIRTIO_NET_NO_KICK) != 0))
                    return vn_ring_publish((int32_t)slot, &net->device.transport, flags, ring);
                ring_publish_next(ring, next);
                return ring_tell(ring, &net->device.transport, next, (state & VIRTIO_RING_EVENT) != 0,
                                 (flags & VIRTIO_NET_OWN_KICK) != 0, (int32_t)slot);
            }
        }
    }
    return post_slowly(net, queue_pair, flags, frame, length, device_address, cookie);
}

/* With the arguments where the caller has them. */
static VIRTIO_COLD int32_t post_raw_slowly(struct virtio_net *net, uint32_t queue_pair, uint8_t *frame, uint32_t length,
                                           uint64_t device_address, uint64_t cookie)
{
    const uint32_t flags = (uint32_t)VIRTIO_NET_PACKET_HAS_HEADER | (uint32_t)VIRTIO_NET_OWN_KICK;
    return virtio_net_tx_post_one(net, queue_pair, flags, frame, length, device_address, cookie);
}

int32_t virtio_net_tx_post_raw(struct virtio_net *net, uint32_t queue_pair, uint8_t *frame, uint32_t length,
                               uint64_t device_address, uint64_t cookie)
{
    if (VIRTIO_UNLIKELY(net == NULL || queue_pair != 0))
        return post_raw_slowly(net, queue_pair, frame, length, device_address, cookie);
    struct virtio_ring *ring = &net->tx.ring;
    uint32_t state = flag_read(&ring->usable);
    if (VIRTIO_UNLIKELY((state & VIRTIO_RING_SETTLED) == 0))
        return post_raw_slowly(net, queue_pair, frame, length, device_address, cookie);
    struct virtio_net_packet packet;
    net_describe_external(&packet, frame, length, device_address, cookie, (uint32_t)VIRTIO_NET_PACKET_HAS_HEADER);
    uint16_t avail_index = ring->avail_index;
    uint32_t next = avail_index + 1u; /* the lower half of it */
    size_t slot = 0;
    if (VIRTIO_UNLIKELY(!post_external_quickly(net, &packet, avail_index, false, &slot)))
        return post_raw_slowly(net, queue_pair, frame, length, device_address, cookie);
    counter_add(&net->tx.frames, 1);
    counter_add(&net->tx.bytes, length);
    ring_publish_next(ring, (uint16_t)next);
    return ring_tell(ring, &net->device.transport, (uint16_t)next, (state & VIRTIO_RING_EVENT) != 0, true, (int32_t)slot);
}

int32_t virtio_net_send_burst(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                              const struct virtio_net_packet *packets, uint32_t count)
{
    uint32_t done = 0;
    uint64_t bytes = 0;
    if (can_take(net, packets, queue_pair, flags)) {
        if (VIRTIO_UNLIKELY(ring_free(&net->tx.ring) < count) && vn_net_tx_collect(net) < 0)
            return VIRTIO_NET_ERROR_NEEDS_RESET;
        uint32_t room = ring_free(&net->tx.ring);
        done = post_runs(net, packets, count < room ? count : room, WAY_COPY, &bytes);
        if (VIRTIO_LIKELY(done == count))
            return finish(net, flags, (int32_t)done, done, bytes);
    }
    return transmit(net, queue_pair, flags, only_read(packets), count, WAY_COPY, post_copy, done, bytes);
}

static VIRTIO_COLD int32_t send_slowly(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const void *frame,
                                       uint32_t length)
{
    struct virtio_net_packet packet;
    packet.data = (uint8_t *)(uintptr_t)frame; /* only read, as that of every packet of a burst */
    packet.length = length;
    int32_t sent = transmit(net, queue_pair, flags, &packet, 1, WAY_COPY, post_copy, 0, 0);
    return sent < 0 ? sent : VIRTIO_NET_SUCCESS;
}

/* A frame that was posted but for its bytes. */
static VIRTIO_NOINLINE int32_t send_left_out(struct virtio_net *net, uint32_t flags, const void *frame, uint32_t length)
{
    struct virtio_ring *ring = &net->tx.ring;
    vn_copy(ring_slots(ring)[ring_position(ring, ring->avail_index)->order].data, frame, length);
    ring->avail_index++;
    return finish(net, flags, VIRTIO_NET_SUCCESS, 1, length);
}

int32_t virtio_net_send(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const void *frame, uint32_t length)
{
    struct virtio_net_packet packet;
    packet.data = (uint8_t *)(uintptr_t)frame;
    packet.length = length;
    if (can_take(net, frame, queue_pair, flags) && VIRTIO_LIKELY(ring_free(&net->tx.ring) != 0)) {
        struct cursor at = begin(&net->tx);
        uint64_t bytes = 0;
        if (VIRTIO_LIKELY(post_quickly(&at, &packet, WAY_COPY, &bytes))) {
            if (VIRTIO_UNLIKELY(at.left_out))
                return send_left_out(net, flags, frame, length);
            net->tx.ring.avail_index++;
            return finish(net, flags, VIRTIO_NET_SUCCESS, 1, bytes);
        }
    }
    return send_slowly(net, queue_pair, flags, frame, length);
}

VIRTIO_SMALL void virtio_net_copy(void *to, const void *from, uint32_t bytes)
{
    vn_copy(to, from, bytes);
}

/* ---------------------------------------------------------------------------------------------------------- reserving */

int32_t virtio_net_tx_reserve(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                              uint32_t count)
{
    if (VIRTIO_UNLIKELY(!net_acceptable(net, packets, NET_QUEUE_TX, queue_pair, flags)))
        return vn_net_refuse(net, packets, NET_QUEUE_TX, queue_pair, flags);
    struct virtio_ring *ring = &net->tx.ring;
    const struct virtio_slot *slots = ring_slots(ring);
    if (VIRTIO_UNLIKELY(net->tx.pool_frame == 0))
        return VIRTIO_NET_ERROR_NO_POOL;
    count = clamp(count);
    int32_t room = (int32_t)ring_free(ring);
    if (VIRTIO_UNLIKELY((uint32_t)room < count)) {
        room = make_room(net);
        if (room == VIRTIO_NET_ERROR_QUEUE_FULL)
            counter_add(&net->tx.full, 1);
        if (room < 0)
            return room;
    }
    uint32_t limit = count < (uint32_t)room ? count : (uint32_t)room;
    uint32_t longest = net->tx.pool_frame;
    for (uint32_t left = limit; left != 0;) {
        const struct virtio_slot *position = &slots[ring_first_free(ring) & ring->slot_mask];
        uint32_t run = ring_run(ring, ring_first_free(ring), left);
        ring->reserved = (uint16_t)(ring->reserved + run);
        left -= run;
        for (; run != 0; run--, packets++) {
            uint16_t number = ring_next_slot(&position);
            uint8_t *data = slots[number].data;
            uint64_t device_address = slots[number].device_address;
            packets->data = data;
            packets->device_address = device_address;
            packets->length = longest;
            packets->flags = 0;
            packets->slot = number;
        }
    }
    return (int32_t)limit;
}

VIRTIO_SMALL int32_t virtio_net_tx_cancel(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                                          const struct virtio_net_packet *packets, uint32_t count)
{
    /* Also on a queue that is stopped or broken: what is held must not stay so for ever. */
    if (VIRTIO_UNLIKELY(net == NULL || packets == NULL || (queue_pair | flags) != 0 || !net_has_memory(net)))
        return vn_net_refuse(net, packets, NET_QUEUE_TX, queue_pair, flags);
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    count = clamp(count);
    for (uint32_t done = 0; done < count; done++) {
        if (!ring_is_reserved(ring, slots, packets[done].slot))
            return done != 0 ? (int32_t)done : VIRTIO_NET_ERROR_SLOT;
        ring->reserved--;
        vn_ring_bring(ring, packets[done].slot, ring_first_free(ring));
    }
    return (int32_t)count;
}

/* ---------------------------------------------------------------------------------------------------------- flush and reap */

int32_t virtio_net_tx_flush(struct virtio_net *net, uint32_t queue_pair, uint32_t flags)
{
    if (!net_acceptable(net, net, NET_QUEUE_TX, queue_pair, flags))
        return vn_net_refuse(net, net, NET_QUEUE_TX, queue_pair, flags);
    return vn_ring_kick(&net->tx.ring, &net->device.transport);
}

_Static_assert(VIRTIO_SLOT_EXTERNAL >> VIRTIO_NET_REAPED_FLAGS == VIRTIO_NET_PACKET_EXTERNAL &&
                   VIRTIO_SLOT_LOST >> VIRTIO_NET_REAPED_FLAGS == VIRTIO_NET_PACKET_LOST,
               "the two highest bits of a slot's length are the packet's flags");

/* Tells the owner of an external buffer what it was. The slot is as one without a buffer afterwards, but held still. */
VIRTIO_INLINE void tell(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t number, struct virtio_net_packet *packet)
{
    struct virtio_slot *slot = &slots[number];
    packet->cookie = slot->cookie;
    packet->slot = number;
    packet->flags = slot->length >> VIRTIO_NET_REAPED_FLAGS;
    if (!ring->pooled) {
        packet->data = slot->data;
        packet->device_address = slot->device_address;
        packet->length = slot->length & VIRTIO_SLOT_LENGTH;
        slot->length = 0;
        return;
    }
    slot->length &= ~(VIRTIO_SLOT_EXTERNAL | VIRTIO_SLOT_LOST);
    ring->externals--;
    /* The slot points at its own buffer again. */
    if (VIRTIO_LIKELY(ring_is_plain(ring) && ring->layout == VIRTIO_LAYOUT_ONE))
        ring->descriptors[number].address = slot->device_address - ring->length_bias;
    else if (ring_is_usable(ring))
        vn_ring_place_buffer(ring, number, slot->device_address, 0);
}

void vn_net_hand_out(struct virtio_ring *ring, uint16_t number, struct virtio_net_packet *packet)
{
    struct virtio_slot *slots = ring_slots(ring);
    tell(ring, slots, number, packet);
    ring_release(ring, slots, number);
}

/* The loop for nearly every queue with a pool: what `tell` does, for each of the next `count` slots. */
VIRTIO_INLINE void tell_plain(struct virtio_ring *ring, struct virtio_slot *slots, struct virtio_net_packet *packet,
                              uint32_t count)
{
    struct virtq_descriptor *descriptors = ring->descriptors;
    uint32_t bias = ring->length_bias;
    uint32_t mask = ring->slot_mask;
    uint32_t counter = ring_first_held(ring);
    ring->externals = (uint16_t)(ring->externals - count);
    for (; count != 0; count--, counter++, packet++) {
        uint16_t number = slots[counter & mask].order;
        struct virtio_slot *slot = &slots[number];
        uint32_t length = slot->length;
        packet->cookie = slot->cookie;
        packet->flags = length >> VIRTIO_NET_REAPED_FLAGS;
        packet->slot = number;
        slot->length = length & ~(VIRTIO_SLOT_EXTERNAL | VIRTIO_SLOT_LOST);
        descriptors[number].address = slot->device_address - bias;
    }
}

/* Hands out the external frames that are done, the oldest first where there are only such: they are free then, all at once. */
static int32_t reap(struct virtio_ring *ring, struct virtio_net_packet *packets, uint32_t count)
{
    struct virtio_slot *slots = ring_slots(ring);
    uint16_t end = ring->used_index;
    uint32_t done = 0;
    if (VIRTIO_LIKELY(ring_is_plain(ring) && ring->layout == VIRTIO_LAYOUT_ONE)) {
        done = count < ring->held ? count : ring->held;
        tell_plain(ring, slots, packets, done);
    } else {
        for (uint16_t counter = ring_first_held(ring); done < count && counter != end; counter++)
            tell(ring, slots, slots[counter & ring->slot_mask].order, &packets[done++]);
    }
    ring->held = (uint16_t)(ring->held - done);
    return (int32_t)done;
}

/* Takes all back that has been completed, and asks for the interrupt after it. `patient`: reaches no register where there is
 * nothing. */
static VIRTIO_NOINLINE int32_t look_for_completions(struct virtio_net *net, bool patient)
{
    struct virtio_ring *ring = &net->tx.ring;
    if (VIRTIO_UNLIKELY(!ring_is_usable(ring)))
        return net->state == VIRTIO_NET_STATE_RUNNING ? VIRTIO_NET_ERROR_NEEDS_RESET : VIRTIO_NET_SUCCESS;
    int32_t code = vn_net_tx_collect(net);
    if (code == 0 && !patient)
        code = look_after_stall(net);
    /* What came before the arming interrupts nobody. Nothing is posted here, so this ends. */
    while (code >= 0 && ring->interrupts && vn_ring_arm(ring))
        code = vn_net_tx_collect(net);
    return code;
}

int32_t virtio_net_tx_reap(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count)
{
    if (VIRTIO_UNLIKELY(net == NULL || (packets == NULL && count != 0) || (queue_pair | flags) != 0 ||
                        net->state == VIRTIO_NET_STATE_CLOSED))
        return vn_net_refuse(net, count != 0 ? packets : (const void *)net, NET_QUEUE_TX, queue_pair, flags);
    int32_t code = look_for_completions(net, false);
    int32_t reaped = reap(&net->tx.ring, packets, clamp(count));
    return reaped == 0 && code < 0 ? code : reaped;
}

VIRTIO_SMALL int32_t virtio_net_tx_next(struct virtio_net *net, uint32_t queue_pair)
{
    if (net == NULL || queue_pair != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, net, NET_QUEUE_TX, queue_pair, 0);
    struct virtio_ring *ring = &net->tx.ring;
    /* Where a frame is held already there is no need to look for more. */
    int32_t code = ring->held == 0 ? look_for_completions(net, true) : VIRTIO_NET_SUCCESS;
    if (ring->held == 0)
        return code < 0 ? code : VIRTIO_NET_ERROR_NOT_READY;
    return ring_position(ring, ring_first_held(ring))->order;
}

int32_t virtio_net_tx_take(struct virtio_net *net, uint32_t queue_pair, struct virtio_net_packet *packet)
{
    if (net == NULL || packet == NULL || queue_pair != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, packet, NET_QUEUE_TX, queue_pair, 0);
    struct virtio_ring *ring = &net->tx.ring;
    if (!ring_is_held(ring, ring_slots(ring), packet->slot))
        return VIRTIO_NET_ERROR_SLOT;
    vn_net_hand_out(ring, packet->slot, packet);
    return VIRTIO_NET_SUCCESS;
}

VIRTIO_SMALL int32_t virtio_net_tx_take_one(struct virtio_net *net, uint32_t queue_pair, uint32_t slot, uint64_t *cookie)
{
    struct virtio_net_packet packet;
    packet.slot = slot < VIRTIO_NET_MAX_SLOTS ? (uint16_t)slot : UINT16_MAX;
    int32_t code = virtio_net_tx_take(net, queue_pair, cookie != NULL ? &packet : NULL);
    if (code < 0)
        return code;
    *cookie = packet.cookie;
    return (int32_t)packet.flags;
}

/* Of a slot's length: what its owner is told. */
#define TOLD (VIRTIO_SLOT_EXTERNAL | VIRTIO_SLOT_LOST | VIRTIO_SLOT_LENGTH)

/* Anything but the oldest frame of a bare ring, held or come back alone. */
static VIRTIO_NOINLINE struct virtio_net_reaped reap_one_slowly(struct virtio_net *net, uint32_t queue_pair)
{
    struct virtio_net_reaped reaped = {.slot = virtio_net_tx_next(net, queue_pair)};
    if (reaped.slot < 0)
        return reaped;
    struct virtio_ring *ring = &net->tx.ring;
    reaped.length_and_flags = ring_slots(ring)[reaped.slot].length & TOLD;
    struct virtio_net_packet packet;
    vn_net_hand_out(ring, (uint16_t)reaped.slot, &packet);
    reaped.cookie = packet.cookie;
    return reaped;
}

/* What there is to tell of a slot of a bare ring. */
VIRTIO_INLINE struct virtio_net_reaped describe(size_t number, uint32_t length_and_flags, uint64_t cookie)
{
    struct net_words words = {number | (uint64_t)length_and_flags << 32, cookie};
    VIRTIO_OPAQUE(words.low);
    struct virtio_net_reaped reaped;
    _Static_assert(sizeof reaped == sizeof words && offsetof(struct virtio_net_reaped, length_and_flags) == 4, "two words");
    __builtin_memcpy(&reaped, &words, sizeof reaped);
    return reaped;
}

struct virtio_net_reaped virtio_net_tx_reap_one(struct virtio_net *net, uint32_t queue_pair)
{
    if (VIRTIO_UNLIKELY(net == NULL || queue_pair != 0))
        VIRTIO_TAIL return reap_one_slowly(net, queue_pair);
    struct virtio_ring *ring = &net->tx.ring;
    uint32_t state = flag_read(&ring->usable);
    if (VIRTIO_UNLIKELY((state & VIRTIO_RING_BARE) == 0))
        VIRTIO_TAIL return reap_one_slowly(net, queue_pair);
    /* All that is the driver's own is read before used.idx, after which a compiler would read it again. */
    struct virtio_slot *slots = net_tx_slots(net);
    uint16_t mask = ring->slot_mask;
    uint16_t before = ring->used_index;
    uint16_t held = ring->held;
    size_t number = slots[(uint16_t)(before - held) & mask].order;
    VIRTIO_OPAQUE(number);
    struct virtio_slot *slot = &slots[number];
    uint32_t length = slot->length;
    uint64_t cookie = slot->cookie;
    if (held != 0) {
        ring->held = (uint16_t)(held - 1);
    } else {
        /* One that has come back alone. */
        uint32_t after = before + 1u; /* the lower half of it */
        const uint16_t *used_idx = ring->used_idx;
        const uint32_t *id = &ring_bare_element(ring, before)->id;
        if (VIRTIO_UNLIKELY(ring->published == before) || ring_is_stale_at((uint16_t)after) ||
            shared_load_acquire16(used_idx) != (uint16_t)after || VIRTIO_UNLIKELY(shared_load32(id) != (uint32_t)number))
            VIRTIO_TAIL return reap_one_slowly(net, queue_pair);
        /* One that comes before this interrupts nobody: the call that finds none looks again after asking
         * (look_for_completions). Where nothing else is in flight there is none, and what is posted next is published behind
         * this. */
        if ((state & VIRTIO_RING_EVENT) != 0 && ring->interrupts)
            ring_rearm(ring, mask, (uint16_t)after);
        ring->used_index = (uint16_t)after;
        counter_add(&net->tx.completed, 1);
    }
    slot->length = 0;
    return describe(number, length, cookie);
}

VIRTIO_SMALL int32_t virtio_net_tx_unreap(struct virtio_net *net, uint32_t queue_pair, const struct virtio_net_reaped *reaped)
{
    if (net == NULL || reaped == NULL || queue_pair != 0 || net->state == VIRTIO_NET_STATE_CLOSED)
        return vn_net_refuse(net, reaped, NET_QUEUE_TX, queue_pair, 0);
    struct virtio_ring *ring = &net->tx.ring;
    struct virtio_slot *slots = ring_slots(ring);
    if (ring->pooled)
        return VIRTIO_NET_ERROR_UNSUPPORTED;
    /* The slot that became free last is in front of those that are held. */
    uint16_t last = (uint16_t)(ring_first_held(ring) - 1);
    if (ring_free(ring) == 0 || !ring_slot_in(ring, slots, (uint32_t)reaped->slot, last, 1))
        return VIRTIO_NET_ERROR_SLOT;
    slots[reaped->slot].length = VIRTIO_SLOT_EXTERNAL | (reaped->length_and_flags & TOLD);
    ring->held++;
    return VIRTIO_NET_SUCCESS;
}

int32_t virtio_net_tx_in_flight(const struct virtio_net *net, uint32_t queue_pair)
{
    if (!net_acceptable(net, net, NET_QUEUE_TX, queue_pair, 0))
        return vn_net_refuse(net, net, NET_QUEUE_TX, queue_pair, 0);
    const struct virtio_ring *ring = &net->tx.ring;
    return ring_in_flight(ring) - ring_waiting(ring);
}

VIRTIO_SMALL int32_t virtio_net_due(const struct virtio_net *net, uint32_t queue_pair)
{
    if (net == NULL || queue_pair != 0 || net->state != VIRTIO_NET_STATE_RUNNING)
        return vn_net_refuse(net, net, NET_QUEUE_TX, queue_pair, 0);
    bool receive = vn_net_rx_due(net) || vn_ring_is_waited_for(&net->rx.ring);
    return (receive ? VIRTIO_NET_IRQ_RX : 0) | (vn_ring_is_waited_for(&net->tx.ring) ? VIRTIO_NET_IRQ_TX : 0);
}

VIRTIO_SMALL int32_t virtio_net_tx_free(const struct virtio_net *net, uint32_t queue_pair)
{
    int32_t in_flight = virtio_net_tx_in_flight(net, queue_pair);
    if (in_flight < 0)
        return in_flight;
    const struct virtio_ring *ring = &net->tx.ring;
    uint32_t ready = (uint32_t)ring_in_flight(ring) - (uint32_t)in_flight;
    /* Which of the completed frames are external is not known before they are taken back: the least is told. */
    uint32_t externals = ring->pooled ? ring->externals : ready;
    uint32_t pooled = ready > externals ? ready - externals : 0;
    return (int32_t)(ring_free(ring) + pooled);
}
