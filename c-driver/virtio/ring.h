/*
 * ring.h - one split virtqueue (virtio 1.2, 2.7) and the slots it carries; the steps that run for each packet are inline here.
 *
 * Slots. A ring of N slots has a private permutation of the slots, which is a circle of N positions cut into four regions. Two
 * free-running 16-bit counters tell where the device's part is, and two numbers how much of the rest the caller has:
 *
 *              used_index        avail_index
 *          |<- held ->|              |<- reserved ->|
 *          |  device  |  in flight:  |  by the      |   free
 *          |  has used|  the device  |  caller      |
 *          |  them    |  has them    |              |
 *
 * `order` of a position is the slot there, `position` of a slot its inverse. A slot moves on when a border passes it; where it is
 * not the next one, it is first exchanged with that. So a slot is in exactly one state, and nothing else is stored about
 * it. The device completes in order nearly always: used.id == order[used_index] then proves with one compare that the id is in
 * range, in flight, and not completed twice. Any other id takes the way through `position`, which proves the same.
 *
 * Descriptors. Slot i owns descriptor i, so used.id is the slot. Nothing is read back from the descriptor table, which the
 * device can write. A legacy device without ANY_LAYOUT wants the header in a descriptor of its own (5.1.6.6): then the ring has
 * 2N entries and slot i owns descriptors i and N + i, or slot i owns table i of two indirect descriptors.
 */
#ifndef VIRTIO_RING_H
#define VIRTIO_RING_H

#include "device.h"
#include "spec.h"

/* What is in a descriptor or the buffer behind it. */
enum virtio_layout {
    VIRTIO_LAYOUT_ONE = 0,      /* header and frame in one descriptor */
    VIRTIO_LAYOUT_CHAIN = 1,    /* descriptors i and N + i */
    VIRTIO_LAYOUT_INDIRECT = 2, /* a table of two */
};

/* Of virtio_slot.length: the memory is the caller's; the device was reset before it used that memory; and, of the first slot
 * of a chunk of the pool, the chunk's pages. */
#define VIRTIO_SLOT_EXTERNAL    0x80000000u
#define VIRTIO_SLOT_LOST        0x40000000u
#define VIRTIO_SLOT_CHUNK_SHIFT 24
#define VIRTIO_SLOT_CHUNK_PAGES 0x3fu
#define VIRTIO_SLOT_LENGTH      0x00ffffffu

/* What the driver knows of a slot and of a position. In memory that the device cannot reach. */
struct virtio_slot {
    uint16_t order;    /* the slot at this position; first, where a loop steps from one to the next */
    uint16_t position; /* where this slot is */
    uint32_t length;   /* bytes for the frame of an external buffer without a pool, and the bits above */
    uint8_t *data;     /* the pool buffer's frame; without a pool that of the external buffer */
#if UINTPTR_MAX == 0xffffffff
    uint32_t data_padding;
#endif
    uint64_t device_address; /* the same for the device */
    uint64_t cookie;         /* of an external buffer */
};

/* Why a ring is broken. Sticky until the next set-up. */
struct virtio_fault {
    int32_t code;
    uint32_t field;
    uint32_t found;
    uint32_t wanted;
};

struct virtio_ring {
    struct virtq_descriptor *descriptors;
    struct virtq_descriptor *frame_descriptors; /* those whose length changes with each frame */
    uint16_t *avail_idx;         /* ring_avail(ring)->index: a release, like an acquire, takes an address without an offset */
    const uint16_t *used_idx;    /* ring_used(ring)->index, likewise */
    const uint16_t *avail_event; /* behind the used ring (2.7.10) */
    volatile uint8_t *notify_register; /* of the driver's own transports, else NULL */
    struct virtio_net_dma memory;
    uint32_t memory_bytes;
    uint32_t memory_flags;

    uint32_t slots_offset; /* bytes from here to the array of struct virtio_slot */
    uint32_t header_length;
    uint32_t length_bias;   /* bytes that the frame's descriptor holds besides the frame */
    uint32_t buffer_length; /* the most that the device may write into a pool buffer, header included; 0: no pool */
    uint16_t index;         /* queue number */
    uint16_t externals;     /* of a ring with a pool: external buffers in flight or held */
    uint16_t unsettled;     /* entries of the avail ring that may not name the slots at their positions; see ring.c */

    uint16_t used_index;
    uint16_t avail_index;
    uint16_t held;
    uint16_t reserved;

    uint16_t slot_mask;
    uint16_t ring_mask;
    uint16_t published;    /* avail.idx as the device sees it */
    uint16_t decided;      /* up to here it is known that the device is awake for it, or was notified */
    uint16_t notified;     /* avail.idx at the last notification */
    uint16_t seen;         /* used.idx as it was read last by who remembers it; behind used_index where others took the rest */
    uint16_t idle_at;      /* used_index at the last look that found nothing */
    uint32_t idle_looks;   /* such looks since something was found */
    uint8_t usable;        /* VIRTIO_RING_* */
    uint8_t event_index;   /* EVENT_IDX agreed on */
    uint8_t interrupts;    /* asked for */
    uint8_t layout;        /* enum virtio_layout */
    uint8_t frame_shift;   /* frame_descriptors[slot << frame_shift] */
    uint8_t device_writes; /* a receive queue */
    uint8_t pooled;        /* each slot has a buffer of its own */

    uint64_t kicks;
    uint64_t rekicks;
    uint64_t broken;      /* times that the device broke a rule */
    uint64_t needs_reset; /* times that the device asked for a reset, or was gone */
    struct virtio_fault fault;
};

/* Whether the ring can be used: a bit each, so that a test is one instruction. */
#define VIRTIO_RING_UNUSABLE 0u /* stopped or broken */
#define VIRTIO_RING_USABLE   1u
#define VIRTIO_RING_PLAIN    2u /* and its buffers are the driver's own and need no care but their places */
#define VIRTIO_RING_BARE     4u /* the same of a ring whose buffers are all the caller's: a descriptor each, none ever reserved */
#define VIRTIO_RING_EVENT    8u /* and either of the two has the event index */
#define VIRTIO_RING_SETTLED  16u /* and, of a bare ring, `unsettled` is 0 */
#define VIRTIO_RING_TRUSTED  32u /* and nobody looks at the headers in its buffers */

VIRTIO_INLINE bool ring_is_usable(const struct virtio_ring *ring)
{
    return flag_read(&ring->usable) != VIRTIO_RING_UNUSABLE;
}

VIRTIO_INLINE bool ring_is_bare(const struct virtio_ring *ring)
{
    return VIRTIO_UNLIKELY((flag_read(&ring->usable) & VIRTIO_RING_BARE) != 0);
}

VIRTIO_INLINE bool ring_is_plain(const struct virtio_ring *ring)
{
    return VIRTIO_LIKELY((flag_read(&ring->usable) & VIRTIO_RING_PLAIN) != 0);
}

/* The two rings (2.7.6, 2.7.8) around their indices. */
VIRTIO_INLINE struct virtq_avail *ring_avail(const struct virtio_ring *ring)
{
    return (struct virtq_avail *)(void *)((uint8_t *)ring->avail_idx - offsetof(struct virtq_avail, index));
}

VIRTIO_INLINE const struct virtq_used *ring_used(const struct virtio_ring *ring)
{
    return (const struct virtq_used *)(const void *)((const uint8_t *)ring->used_idx - offsetof(struct virtq_used, index));
}

/* ----------------------------------------------------------------------------------------------------- slots and regions */

VIRTIO_INLINE struct virtio_slot *ring_slots(const struct virtio_ring *ring)
{
    return (struct virtio_slot *)(void *)((uintptr_t)ring + ring->slots_offset);
}

VIRTIO_INLINE uint32_t ring_size(const struct virtio_ring *ring)
{
    return (uint32_t)ring->slot_mask + 1;
}

/* Of the avail ring and of the used one: as many as slots, or twice as many. */
VIRTIO_INLINE uint16_t ring_entries(const struct virtio_ring *ring)
{
    return (uint16_t)(ring->ring_mask + 1);
}

VIRTIO_INLINE uint16_t ring_in_flight(const struct virtio_ring *ring)
{
    return (uint16_t)(ring->avail_index - ring->used_index);
}

/* Whether every slot is free or the device's. */
VIRTIO_INLINE bool ring_is_untouched(const struct virtio_ring *ring)
{
    return ring->held == 0 && ring->reserved == 0;
}

/* The most that the device can have used and nobody has taken: what was not published it does not have. */
VIRTIO_INLINE uint16_t ring_usable_by_device(const struct virtio_ring *ring)
{
    return (uint16_t)(ring->published - ring->used_index);
}

/* Whether counter `first` is before counter `second`, where they are less than half of all counters apart. One bit tells. */
VIRTIO_INLINE bool ring_is_before(uint16_t first, uint16_t second)
{
    return (((uint32_t)second - first - 1) & 0x8000u) == 0;
}

/* The counter of the oldest slot that is held, and of the first that is free. */
VIRTIO_INLINE uint16_t ring_first_held(const struct virtio_ring *ring)
{
    return (uint16_t)(ring->used_index - ring->held);
}

VIRTIO_INLINE uint16_t ring_first_free(const struct virtio_ring *ring)
{
    return (uint16_t)(ring->avail_index + ring->reserved);
}

VIRTIO_INLINE uint32_t ring_free(const struct virtio_ring *ring)
{
    return ring_size(ring) - (uint16_t)(ring_first_free(ring) - ring_first_held(ring));
}

/* Whether a slot of a bare ring is free: it has a length from when it is posted until its owner has the buffer back. The slot at
 * avail_index is free wherever any is. */
VIRTIO_INLINE bool slot_is_free(const struct virtio_slot *slot)
{
    return slot->length == 0;
}

/* Whether there is none, where none is reserved. */
VIRTIO_INLINE bool ring_is_full(const struct virtio_ring *ring)
{
    return (uint16_t)(ring->avail_index - ring_first_held(ring)) > ring->slot_mask;
}

/* Whether the slot is in the region of `count` positions from counter `start` on. */
VIRTIO_INLINE bool ring_slot_in(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t slot, uint16_t start,
                                uint16_t count)
{
    return slot <= ring->slot_mask && (uint16_t)((slots[slot].position - start) & ring->slot_mask) < count;
}

/* How many of the `wanted` positions from a counter on come before the circle ends. The rings end there too: their sizes are
 * multiples of the circle's. A loop over such a run counts with plain pointers. */
VIRTIO_INLINE uint32_t ring_run(const struct virtio_ring *ring, uint16_t counter, uint32_t wanted)
{
    uint32_t left = ring_size(ring) - (counter & ring->slot_mask);
    return wanted < left ? wanted : left;
}

/* The position that a counter points at. */
VIRTIO_INLINE const struct virtio_slot *ring_position(const struct virtio_ring *ring, uint16_t counter)
{
    return &ring_slots(ring)[counter & ring->slot_mask];
}

/* The slot at a position, and a step to the next one, in a loop over a run. */
VIRTIO_INLINE uint16_t ring_next_slot(const struct virtio_slot **position)
{
    uint16_t slot = (*position)->order;
    ++*position;
    VIRTIO_STEPPED(*position);
    return slot;
}

/* Whether the device has the slot. What was not published it does not have, though it may be able to guess the slot. */
VIRTIO_INLINE bool ring_is_published(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t slot)
{
    return ring_slot_in(ring, slots, slot, ring->used_index, ring_usable_by_device(ring));
}

/* Whether the caller holds the slot that the device has used, or that it is to get. */
VIRTIO_INLINE bool ring_is_held(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t slot)
{
    return ring_slot_in(ring, slots, slot, ring_first_held(ring), ring->held);
}

VIRTIO_INLINE bool ring_is_reserved(const struct virtio_ring *ring, const struct virtio_slot *slots, uint32_t slot)
{
    return ring_slot_in(ring, slots, slot, ring->avail_index, ring->reserved);
}

/* Exchanges the slot with the one at this position. */
void vn_ring_swap(struct virtio_ring *ring, uint16_t slot, uint16_t position) VIRTIO_HIDDEN;

/* Brings the slot to the position that a counter points at, and what is there to where the slot was. */
VIRTIO_INLINE void ring_place(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t slot, uint16_t counter)
{
    uint16_t position = counter & ring->slot_mask;
    if (VIRTIO_UNLIKELY(slots[position].order != slot))
        vn_ring_swap(ring, slot, position);
}

/* Behind the avail ring (2.7.10). */
VIRTIO_INLINE uint16_t *ring_used_event(const struct virtio_ring *ring)
{
    return &ring_avail(ring)->ring[(uint32_t)ring->ring_mask + 1];
}

/* ------------------------------------------------------------------------------------------------------------ publishing */

/* Hands the slot at avail_index to the device with the next publish. */
VIRTIO_INLINE void ring_hand_over(struct virtio_ring *ring)
{
    ring->avail_index++;
}

/* The same for a reserved slot. */
VIRTIO_INLINE void ring_commit(struct virtio_ring *ring)
{
    ring_hand_over(ring);
    ring->reserved--;
}

/* Where the lengths of transmit frames are, for a loop that sets many. */
struct frame_lengths {
    uint8_t *first; /* that of slot 0 */
    uint32_t shift; /* bytes from one to the next, as a power of two */
    uint32_t bias;
};

VIRTIO_INLINE struct frame_lengths ring_frame_lengths(const struct virtio_ring *ring)
{
    return (struct frame_lengths){(uint8_t *)&ring->frame_descriptors->length, 4u + ring->frame_shift, ring->length_bias};
}

_Static_assert(sizeof(struct virtq_descriptor) == 1 << 4, "ring_frame_lengths");

/* The cache line is the device's too, and taken from it only for something new. What is read here decides nothing else. */
VIRTIO_INLINE void set_frame_length(const struct frame_lengths *lengths, uint16_t slot, uint32_t length)
{
    uint32_t *field = (uint32_t *)(void *)(lengths->first + ((size_t)slot << lengths->shift));
    if (shared_load32(field) != length + lengths->bias)
        *field = length + lengths->bias;
}

/* Notifies the device of everything published. A trap to the hypervisor, so a call more does not count. Returns `result`, so
 * that others can end with this call. */
int32_t vn_ring_notify(struct virtio_ring *ring, const struct virtio_transport *transport, int32_t result) VIRTIO_HIDDEN;
/* Notifies the device of what was published, where it wants to be told of it. Returns 1 where it did, else 0. */
int32_t vn_ring_kick(struct virtio_ring *ring, const struct virtio_transport *transport) VIRTIO_HIDDEN;
/* Publishes what was handed over, and without VIRTIO_NET_NO_KICK in `flags` does the same. Returns `result`. It is
 * first, where it will be returned, and `flags` is third, as in the calls that end with this: both stay in their registers. */
int32_t vn_ring_publish(int32_t result, const struct virtio_transport *transport, uint32_t flags,
                        struct virtio_ring *ring) VIRTIO_HIDDEN;

/* Whether the device wants to be told of any of the `fresh` entries from index `before` on, as far as its wish can be seen. */
VIRTIO_INLINE bool ring_wishes(const struct virtio_ring *ring, bool event_index, uint16_t before, uint16_t fresh)
{
    if (event_index)
        return (uint16_t)(shared_load16(ring->avail_event) - before) < fresh;
    return fresh != 0 && (shared_load16(&ring_used(ring)->flags) & VIRTQ_USED_NO_NOTIFY) == 0;
}

/*
 * 2.7.7.1, 2.7.10: whether the device wants to be told of anything published since `decided`.
 *
 * Its wish can be read too early through no fault of the driver's: a virtual processor without memory barriers (QEMU 7.2 with
 * one) loses the order of "store avail.idx, load avail_event", and the device sleeps on. Only a device that has used all that
 * it knew does that. So what was published to such a device stays undecided, and the next decision looks at the wish for it
 * again.
 */
VIRTIO_INLINE bool ring_decide(struct virtio_ring *ring, bool event_index, uint16_t published)
{
    uint16_t before = ring->decided;
    uint16_t fresh = (uint16_t)(published - before);
    /* Without it the load could pass the store of avail.idx, and driver and device each miss the other's word. */
    barrier_full();
    if (VIRTIO_UNLIKELY(ring_wishes(ring, event_index, before, fresh)))
        return true;
    uint16_t used = (uint16_t)shared_load16(ring->used_idx);
    bool busy = (uint16_t)(used - before) >= fresh;
    ring->decided = busy ? published : used; /* what was used the device knew of */
    return false;
}

/* Whether the device has more than `some` buffers still of which it is known that it was told, or was awake, as far as the
 * driver has seen: it cannot sleep before it has used those, and the driver sees that it has. */
VIRTIO_INLINE bool ring_is_supplied(const struct virtio_ring *ring, uint32_t some)
{
    return ring_is_before((uint16_t)(ring->used_index + some), ring->decided);
}

/* Whether it may sleep, and lack others. */
VIRTIO_INLINE bool ring_may_starve(const struct virtio_ring *ring)
{
    return VIRTIO_UNLIKELY(ring->decided != ring->published) && !ring_is_supplied(ring, 0);
}

/* A notification that the caller of the driver makes as soon as it has the result: all but the store to the register. It counts
 * as made, so that a slow device is not told twice: nothing repeats one that the caller leaves out. */
VIRTIO_INLINE int32_t ring_leave_kick(struct virtio_ring *ring, uint16_t published, int32_t result)
{
    counter_add(&ring->kicks, 1);
    ring->notified = ring->decided = published;
    barrier_memory_before_io_write();
    return result | VIRTIO_NET_KICK_DUE;
}

/* ring_hand_over, and what vn_ring_publish does first, for whoever posts one buffer to a settled ring and has read
 * avail_index, which is `next` afterwards. */
VIRTIO_INLINE void ring_publish_next(struct virtio_ring *ring, uint16_t next)
{
    ring->avail_index = ring->published = next;
    shared_store_release16(ring->avail_idx, next);
}

/* The rest. Where the notification is left to the caller, `own`, the result may ask for it. */
VIRTIO_INLINE int32_t ring_tell(struct virtio_ring *ring, const struct virtio_transport *transport, uint16_t published,
                                bool event_index, bool own, int32_t result)
{
    if (VIRTIO_LIKELY(!ring_decide(ring, event_index, published)))
        return result;
    return own ? ring_leave_kick(ring, published, result) : vn_ring_notify(ring, transport, result);
}

/* Whoever has taken the last buffer that was used, as far as can be seen, tells the device of others where it may not know. */
VIRTIO_INLINE void ring_supply(struct virtio_ring *ring, const struct virtio_transport *transport)
{
    if (ring_may_starve(ring))
        vn_ring_kick(ring, transport);
}

/* ------------------------------------------------------------------------------------------------------------ completion */

/* Takes the queue out of use, and keeps why. */
void vn_ring_fault(struct virtio_ring *ring, int32_t code, uint32_t field, uint32_t found, uint32_t wanted) VIRTIO_HIDDEN;
/* The device broke a rule: a fault that is counted. Returns false. */
bool vn_ring_break(struct virtio_ring *ring, int32_t code, uint32_t field, uint32_t found, uint32_t wanted) VIRTIO_HIDDEN;
/* The used element names another slot than the oldest: exchanges the two where it is in flight, else breaks the ring. */
bool vn_ring_exchange(struct virtio_ring *ring, uint32_t id) VIRTIO_HIDDEN;
/* Writes used_event (2.7.10) so that no completion reaches it. */
void vn_ring_park(struct virtio_ring *ring) VIRTIO_HIDDEN;
/* Whether something was published that the device has not used, and of which it is not known that the device is awake for
 * it, nor that it was notified; and the device has used all of which that is known. */
VIRTIO_INLINE bool ring_is_undecided(const struct virtio_ring *ring)
{
    if (VIRTIO_LIKELY(ring->decided == ring->published))
        return false;
    uint16_t used = (uint16_t)shared_load16(ring->used_idx);
    return (uint16_t)(used - ring->decided) < (uint16_t)(ring->published - ring->decided);
}

/* Whether such a device sleeps: its wish can be seen by now, and nobody has answered it. */
bool vn_ring_is_waited_for(const struct virtio_ring *ring) VIRTIO_HIDDEN;

/* Asks for an interrupt at the next completion, and tells whether there is one already. */
bool vn_ring_arm(struct virtio_ring *ring) VIRTIO_HIDDEN;
/* The same of a bare ring that asks for interrupts already, which only the event index takes back with each, but for the look:
 * whoever sleeps afterwards has looked behind a full barrier. `next`: the counter of the next completion. */
VIRTIO_INLINE void ring_rearm(struct virtio_ring *ring, uint16_t slot_mask, uint16_t next)
{
    shared_store16(&ring_avail(ring)->ring[(uint32_t)slot_mask + 1], next);
}

/* Asks for no interrupt. */
void vn_ring_disarm(struct virtio_ring *ring) VIRTIO_HIDDEN;
/* A look that found nothing: repeats a notification that was wrongly left out. Returns whether it is time to look at the
 * device's status: after `patience` such looks in a row, a power of two, and whenever their number has doubled. */
bool vn_ring_idle(struct virtio_ring *ring, const struct virtio_transport *transport, uint32_t patience) VIRTIO_HIDDEN;

/* Keeps the 16-bit counters that are only looked at now and then from growing ambiguous, and used_event where it belongs. */
void vn_ring_refresh(struct virtio_ring *ring) VIRTIO_HIDDEN;

/* vn_ring_refresh is called whenever used_index passes a multiple of this, a power of two. See vn_ring_park. */
#define RING_REFRESH_INTERVAL 8192u

/* How many used elements wait, from one read of used.idx. Returns whether that can be. */
VIRTIO_INLINE bool ring_look(const struct virtio_ring *ring, uint16_t *ready)
{
    *ready = (uint16_t)(shared_load_acquire16(ring->used_idx) - ring->used_index);
    return VIRTIO_LIKELY(*ready <= ring_usable_by_device(ring));
}

/* The same for those who leave it to others to break the ring: none where the index cannot be. */
VIRTIO_INLINE uint16_t ring_waiting(const struct virtio_ring *ring)
{
    uint16_t ready = 0;
    return ring_look(ring, &ready) ? ready : 0;
}

/* The same for those who take the elements. Negative: the index cannot be, and the ring is broken. */
VIRTIO_INLINE int32_t ring_ready(struct virtio_ring *ring)
{
    uint16_t ready = 0;
    if (ring_look(ring, &ready))
        return ready;
    vn_ring_break(ring, VIRTIO_NET_ERROR_USED_INDEX, VIRTIO_NET_FIELD_USED_INDEX, (uint16_t)(ring->used_index + ready),
                  ring->published);
    return VIRTIO_NET_ERROR_NEEDS_RESET;
}

/* The used element that belongs to a counter, which ring_ready has promised. */
VIRTIO_INLINE const struct virtq_used_element *ring_used_element(const struct virtio_ring *ring, uint16_t counter)
{
    return &ring_used(ring)->ring[counter & ring->ring_mask];
}

/* The same of a bare ring, which has as many entries as slots: a position and its element are found by one index. From used_idx,
 * so that what lies between is a part of the access. */
VIRTIO_INLINE const struct virtq_used_element *ring_bare_element(const struct virtio_ring *ring, uint16_t counter)
{
    size_t bytes = (size_t)(counter & ring->slot_mask) * sizeof(struct virtq_used_element);
    const uint8_t *place = (const uint8_t *)ring->used_idx + bytes;
    VIRTIO_OPAQUE(place);
    return (const void *)(place + (offsetof(struct virtq_used, ring) - offsetof(struct virtq_used, index)));
}

/* Whether it is time for vn_ring_refresh, where used_index was `before` at the start of a call that took something. */
VIRTIO_INLINE bool ring_is_stale(const struct virtio_ring *ring, uint16_t before)
{
    return VIRTIO_UNLIKELY(((ring->used_index ^ before) & ~(RING_REFRESH_INTERVAL - 1)) != 0);
}

/* Whether one more element makes it time: used_index is `next` then. */
VIRTIO_INLINE bool ring_is_stale_at(uint16_t next)
{
    return VIRTIO_UNLIKELY((next & (RING_REFRESH_INTERVAL - 1)) == 0);
}

/* A held slot becomes free. */
VIRTIO_INLINE void ring_release(struct virtio_ring *ring, struct virtio_slot *slots, uint16_t slot)
{
    ring_place(ring, slots, slot, ring_first_held(ring));
    ring->held--;
}

/* The next free slot, which must exist, is brought to avail_index, and reserved with it. */
uint16_t vn_ring_prepare(struct virtio_ring *ring) VIRTIO_HIDDEN;
/* ring_place and ring_release for whoever has time. */
void vn_ring_bring(struct virtio_ring *ring, uint16_t slot, uint16_t counter) VIRTIO_HIDDEN;
void vn_ring_let_go(struct virtio_ring *ring, uint16_t slot) VIRTIO_HIDDEN;

/* ---------------------------------------------------------------------------------------------------------------- set-up */

/* Bytes of a ring's memory, for a legacy layout or not. */
uint32_t vn_ring_bytes(uint32_t entries, uint32_t slots, enum virtio_layout layout, bool legacy) VIRTIO_HIDDEN;
/* Makes every one of so many slots free, in order. */
void vn_ring_free_all(struct virtio_ring *ring, uint32_t slots) VIRTIO_HIDDEN;
/* After a reset: what the caller holds or has reserved stays so, external buffers that the device had are held and lost, and
 * all else is free. */
void vn_ring_forget(struct virtio_ring *ring) VIRTIO_HIDDEN;
/* Lays an idle ring out in its memory, which is cleared. */
void vn_ring_lay_out(struct virtio_ring *ring, uint32_t entries, enum virtio_layout layout, bool legacy) VIRTIO_HIDDEN;
/* Where the parts of the ring lie for the device. */
void vn_ring_describe(const struct virtio_ring *ring, struct virtio_net_queue_memory *memory) VIRTIO_HIDDEN;
/* Places a buffer: writes the descriptors of the slot. `frame` is the frame's device address, behind its header. */
void vn_ring_place_buffer(struct virtio_ring *ring, uint16_t slot, uint64_t frame, uint32_t length) VIRTIO_HIDDEN;

#endif /* VIRTIO_RING_H */
