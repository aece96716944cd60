/*
 * ring.c - the steps of a split virtqueue (virtio 1.2, 2.7) that run once for each burst.
 */
#include "ring.h"

bool vn_ring_is_waited_for(const struct virtio_ring *ring)
{
    return ring_is_usable(ring) && ring_is_undecided(ring) &&
           ring_wishes(ring, ring->event_index, ring->decided, (uint16_t)(ring->published - ring->decided));
}

int32_t vn_ring_kick(struct virtio_ring *ring, const struct virtio_transport *transport)
{
    return ring_decide(ring, ring->event_index, ring->published) ? vn_ring_notify(ring, transport, 1) : 0;
}

/*
 * Writes the entries of the avail ring for what was handed over. Once every entry was written since two slots last changed
 * places, each names the slot at its position, and goes on doing so: nothing is written, and the cache lines stay with the
 * device.
 */
VIRTIO_INLINE void name(struct virtio_ring *ring)
{
    uint16_t unsettled = ring->unsettled;
    if (VIRTIO_LIKELY(unsettled == 0))
        return;
    for (uint16_t counter = ring->published; counter != ring->avail_index; counter++) {
        shared_store16(&ring_avail(ring)->ring[counter & ring->ring_mask], ring_position(ring, counter)->order);
        unsettled = (uint16_t)(unsettled - (unsettled != 0));
    }
    ring->unsettled = unsettled;
    uint32_t state = flag_read(&ring->usable);
    if (unsettled == 0 && (state & VIRTIO_RING_BARE) != 0)
        flag_write(&ring->usable, (uint8_t)(state | VIRTIO_RING_SETTLED));
}

/* 2.7.13.1 to 2.7.13.3: the device sees the entries before it sees the index. Release also keeps the reads of a receive
 * buffer before the device's next write to it, which a write barrier would not. */
int32_t vn_ring_publish(int32_t result, const struct virtio_transport *transport, uint32_t flags, struct virtio_ring *ring)
{
    name(ring);
    ring->published = ring->avail_index;
    shared_store_release16(ring->avail_idx, ring->published);
    if (VIRTIO_LIKELY((flags & VIRTIO_NET_NO_KICK) == 0) && ring_decide(ring, ring->event_index, ring->published))
        return vn_ring_notify(ring, transport, result);
    return result;
}

bool vn_ring_exchange(struct virtio_ring *ring, uint32_t id)
{
    struct virtio_slot *slots = ring_slots(ring);
    if (!ring_is_published(ring, slots, id))
        return vn_ring_break(ring, VIRTIO_NET_ERROR_USED_ID, VIRTIO_NET_FIELD_USED_ID, id, ring_size(ring));
    ring_place(ring, slots, (uint16_t)id, ring->used_index);
    return true;
}

void vn_ring_swap(struct virtio_ring *ring, uint16_t slot, uint16_t position)
{
    struct virtio_slot *slots = ring_slots(ring);
    uint16_t other = slots[position].order;
    uint16_t from = slots[slot].position;
    slots[position].order = slot;
    slots[slot].position = position;
    slots[from].order = other;
    slots[other].position = from;
    ring->unsettled = ring_entries(ring);
    flag_write(&ring->usable, (uint8_t)(flag_read(&ring->usable) & ~VIRTIO_RING_SETTLED));
}
