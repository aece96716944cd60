/*
 * split.c - the split virtqueue (virtio 1.2, 2.7): layout and set-up, and the steps that are not taken for each packet.
 */
#include "ring.h"

VIRTIO_SMALL_BEGIN

/* Descriptors of the indirect table of one slot. */
#define INDIRECT_ENTRIES 2u

static uint32_t align_up(uint32_t value, uint32_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

/* Where the parts begin, in bytes. */
struct layout {
    uint32_t avail;
    uint32_t used;
    uint32_t indirect;
    uint32_t end;
};

/* 2.7 gives the sizes. The legacy interface fixes the places too (2.7.2); else what the driver writes and what the device writes
 * lie in different cache lines. */
static struct layout lay_out(uint32_t entries, uint32_t slots, enum virtio_layout kind, bool legacy)
{
    struct layout at;
    at.avail = entries * (uint32_t)sizeof(struct virtq_descriptor);
    uint32_t avail_end = at.avail + (uint32_t)sizeof(struct virtq_avail) + (entries + 1) * (uint32_t)sizeof(uint16_t);
    at.used = align_up(avail_end, legacy ? VIRTIO_PAGE_BYTES : 64);
    uint32_t used_end = at.used + (uint32_t)sizeof(struct virtq_used) + entries * (uint32_t)sizeof(struct virtq_used_element) +
                        (uint32_t)sizeof(uint16_t);
    at.indirect = align_up(used_end, 64);
    at.end = at.indirect;
    if (kind == VIRTIO_LAYOUT_INDIRECT)
        at.end += slots * INDIRECT_ENTRIES * (uint32_t)sizeof(struct virtq_descriptor);
    return at;
}

uint32_t vn_ring_bytes(uint32_t entries, uint32_t slots, enum virtio_layout layout, bool legacy)
{
    return align_up(lay_out(entries, slots, layout, legacy).end, VIRTIO_PAGE_BYTES);
}

/* Descriptors whose content never changes are written here: the table of each slot behind its one descriptor. */
static void link_indirect(struct virtio_ring *ring, uint32_t offset)
{
    for (uint32_t slot = 0; slot < ring_size(ring); slot++) {
        uint32_t table_bytes = INDIRECT_ENTRIES * (uint32_t)sizeof(struct virtq_descriptor);
        ring->descriptors[slot].address = ring->memory.device_address + offset + slot * table_bytes;
        ring->descriptors[slot].length = table_bytes;
        ring->descriptors[slot].flags = VIRTQ_DESCRIPTOR_INDIRECT;
    }
}

/* An idle ring at index 0. */
static void start_at(struct virtio_ring *ring, uint16_t held, uint16_t reserved)
{
    ring->held = held;
    ring->reserved = reserved;
    ring->used_index = ring->avail_index = 0;
    ring->published = ring->decided = ring->notified = ring->seen = 0;
    ring->idle_looks = 0;
}

void vn_ring_free_all(struct virtio_ring *ring, uint32_t slots)
{
    ring->slot_mask = (uint16_t)(slots - 1);
    ring->externals = 0;
    start_at(ring, 0, 0);
    for (uint32_t slot = 0; slot < slots; slot++)
        ring_slots(ring)[slot].order = ring_slots(ring)[slot].position = (uint16_t)slot;
}

enum region { REGION_HELD, REGION_RESERVED, REGION_FREE, REGIONS };

/* Where a slot belongs once the device has nothing. What the caller holds or has reserved stays the caller's. The regions follow
 * one another: held, in flight, reserved, free. */
static enum region region_after_reset(const struct virtio_ring *ring, struct virtio_slot *slot)
{
    uint32_t place = (uint32_t)(slot->position - ring_first_held(ring)) & ring->slot_mask;
    uint32_t sent = ring->held;
    uint32_t reserved = sent + ring_in_flight(ring);
    if (place < sent)
        return REGION_HELD;
    if (place >= reserved)
        return place < reserved + ring->reserved ? REGION_RESERVED : REGION_FREE;
    if ((slot->length & VIRTIO_SLOT_EXTERNAL) == 0)
        return REGION_FREE;
    slot->length |= VIRTIO_SLOT_LOST;
    return REGION_HELD;
}

void vn_ring_forget(struct virtio_ring *ring)
{
    struct virtio_slot *slots = ring_slots(ring);
    uint32_t size = ring_size(ring);
    uint16_t count[REGIONS] = {0};
    /* The order is written anew in the second pass; until then it holds each slot's region. */
    for (uint32_t slot = 0; slot < size; slot++) {
        enum region region = region_after_reset(ring, &slots[slot]);
        slots[slot].order = (uint16_t)region;
        count[region]++;
    }
    start_at(ring, count[REGION_HELD], count[REGION_RESERVED]);
    uint16_t next[REGIONS] = {ring_first_held(ring), 0, ring_first_free(ring)};
    for (uint32_t slot = 0; slot < size; slot++)
        slots[slot].position = next[slots[slot].order]++ & ring->slot_mask;
    for (uint32_t slot = 0; slot < size; slot++)
        slots[slots[slot].position].order = (uint16_t)slot;
}

void vn_ring_lay_out(struct virtio_ring *ring, uint32_t entries, enum virtio_layout layout, bool legacy)
{
    uint32_t slots = ring_size(ring);
    struct layout at = lay_out(entries, slots, layout, legacy);
    uint8_t *base = ring->memory.address;
    clear_words(ring->memory.address, ring->memory_bytes);
    ring->descriptors = (struct virtq_descriptor *)(void *)base;
    ring->avail_idx = &((struct virtq_avail *)(void *)(base + at.avail))->index;
    ring->used_idx = &((const struct virtq_used *)(const void *)(base + at.used))->index;
    ring->avail_event = (const uint16_t *)(const void *)&ring_used(ring)->ring[entries];
    ring->ring_mask = (uint16_t)(entries - 1);
    ring->unsettled = ring_entries(ring);
    ring->layout = (uint8_t)layout;
    ring->frame_descriptors = ring->descriptors;
    ring->frame_shift = 0;
    ring->length_bias = layout == VIRTIO_LAYOUT_ONE ? ring->header_length : 0;
    if (layout == VIRTIO_LAYOUT_CHAIN)
        ring->frame_descriptors = ring->descriptors + slots;
    if (layout == VIRTIO_LAYOUT_INDIRECT) {
        ring->frame_descriptors = (struct virtq_descriptor *)(void *)(base + at.indirect) + 1;
        ring->frame_shift = 1;
        link_indirect(ring, at.indirect);
    }
}

void vn_ring_describe(const struct virtio_ring *ring, struct virtio_net_queue_memory *memory)
{
    const uint8_t *base = ring->memory.address;
    memory->queue = ring->index;
    memory->size = (uint32_t)ring->ring_mask + 1;
    memory->vector = VIRTIO_NET_NO_VECTOR;
    memory->flags = 0;
    memory->descriptors = ring->memory.device_address;
    memory->driver_area = ring->memory.device_address + (uint64_t)((const uint8_t *)ring_avail(ring) - base);
    memory->device_area = ring->memory.device_address + (uint64_t)((const uint8_t *)ring_used(ring) - base);
}

void vn_ring_place_buffer(struct virtio_ring *ring, uint16_t slot, uint64_t frame, uint32_t length)
{
    uint16_t write = ring->device_writes ? VIRTQ_DESCRIPTOR_WRITE : 0;
    struct virtq_descriptor *last = &ring->frame_descriptors[(uint32_t)slot << ring->frame_shift];
    last->address = frame - ring->length_bias;
    last->length = length + ring->length_bias;
    last->flags = write;
    last->next = 0;
    if (ring->layout == VIRTIO_LAYOUT_ONE)
        return;
    bool indirect = ring->layout == VIRTIO_LAYOUT_INDIRECT;
    struct virtq_descriptor *first = indirect ? last - 1 : &ring->descriptors[slot];
    first->address = frame - ring->header_length;
    first->length = ring->header_length;
    first->flags = VIRTQ_DESCRIPTOR_NEXT | write;
    first->next = indirect ? 1 : (uint16_t)(ring_size(ring) + slot);
}

void vn_ring_bring(struct virtio_ring *ring, uint16_t slot, uint16_t counter)
{
    ring_place(ring, ring_slots(ring), slot, counter);
}

uint16_t vn_ring_prepare(struct virtio_ring *ring)
{
    uint16_t slot = ring_position(ring, ring_first_free(ring))->order;
    vn_ring_bring(ring, slot, ring->avail_index);
    ring->reserved++;
    return slot;
}

void vn_ring_let_go(struct virtio_ring *ring, uint16_t slot)
{
    vn_ring_bring(ring, slot, ring_first_held(ring));
    ring->held--;
}

VIRTIO_COLD int32_t vn_ring_notify(struct virtio_ring *ring, const struct virtio_transport *transport, int32_t result)
{
    counter_add(&ring->kicks, 1);
    ring->notified = ring->decided = ring->published;
    if (ring->notify_register != NULL) {
        register_write32(ring->notify_register, ring->index);
        return result;
    }
    /* The host's transport knows nothing of what must come before. */
    barrier_memory_before_io_write();
    transport->operations->notify(transport->device, ring->index, 0);
    return result;
}

VIRTIO_COLD void vn_ring_fault(struct virtio_ring *ring, int32_t code, uint32_t field, uint32_t found, uint32_t wanted)
{
    flag_write(&ring->usable, 0);
    ring->fault.code = code;
    ring->fault.field = field;
    ring->fault.found = found;
    ring->fault.wanted = wanted;
}

VIRTIO_COLD bool vn_ring_break(struct virtio_ring *ring, int32_t code, uint32_t field, uint32_t found, uint32_t wanted)
{
    counter_add(&ring->broken, 1);
    vn_ring_fault(ring, code, field, found, wanted);
    return false;
}

/* Whether an index lies beyond the oldest buffer in flight, and not beyond the newest: in (used_index, published]. */
static bool reaches_in_flight(const struct virtio_ring *ring, uint16_t index)
{
    return (uint16_t)(index - ring->used_index - 1) < (uint16_t)(ring->published - ring->used_index);
}

/*
 * The device interrupts when used.idx passes used_event (2.7.10). Parked so far behind, that happens only after another 65,536
 * - 16,384 = 49,152 completions. Between two refreshes at most RING_REFRESH_INTERVAL + size pass: 40,960 for the largest ring.
 * Behind by more than the device's own notion of "last time" in any but the largest rings, where a stray interrupt is harmless.
 */
void vn_ring_park(struct virtio_ring *ring)
{
    if (ring->event_index)
        shared_store16(ring_used_event(ring), (uint16_t)(ring->used_index - 0x4000));
    else
        shared_store16(&ring_avail(ring)->flags, VIRTQ_AVAIL_NO_INTERRUPT);
}

/* 2.7.7.1: a completion between the last look and the new event would interrupt nobody, hence the look after the barrier. */
bool vn_ring_arm(struct virtio_ring *ring)
{
    ring->interrupts = 1;
    if (ring->event_index)
        shared_store16(ring_used_event(ring), ring->used_index);
    else
        shared_store16(&ring_avail(ring)->flags, 0);
    barrier_full();
    return shared_load_acquire16(ring->used_idx) != ring->used_index;
}

void vn_ring_disarm(struct virtio_ring *ring)
{
    ring->interrupts = 0;
    vn_ring_park(ring);
}

VIRTIO_COLD void vn_ring_refresh(struct virtio_ring *ring)
{
    ring->seen = ring->used_index;
    /* What was used, the device knew of. */
    if (!reaches_in_flight(ring, ring->notified))
        ring->notified = ring->used_index;
    if (!reaches_in_flight(ring, ring->decided))
        ring->decided = ring->used_index;
    if (ring->interrupts)
        vn_ring_arm(ring);
    else
        vn_ring_park(ring);
}

/* What is undecided is looked at again. The second line of defence: the oldest buffer in flight was published after the last
 * notification, and nothing moves. Seen twice, that is worth one notification more, and only one. */
VIRTIO_COLD bool vn_ring_idle(struct virtio_ring *ring, const struct virtio_transport *transport, uint32_t patience)
{
    if (ring->idle_at != ring->used_index)
        ring->idle_looks = 0;
    ring->idle_at = ring->used_index;
    uint32_t looks = ++ring->idle_looks;
    bool repeated = ring_is_undecided(ring) && vn_ring_kick(ring, transport) != 0;
    if (!repeated && looks >= 2 && ring->published != ring->used_index && !reaches_in_flight(ring, ring->notified)) {
        vn_ring_notify(ring, transport, 0);
        repeated = true;
    }
    if (repeated)
        counter_add(&ring->rekicks, 1);
    return looks >= patience && (looks & (looks - 1)) == 0;
}

VIRTIO_SMALL_END
