/*
 * net.h - the network card on top of its two queues: what one driver keeps.
 *
 * The parts that the transmit side writes, that the receive side writes, and that only the interrupt's calls or those of the
 * whole driver write are apart, so that two processors may run one direction each.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "virtio_net.h"

#include "virtio/dma.h"

/* 5.1.2 */
#define NET_QUEUE_RX 0u
#define NET_QUEUE_TX 1u

/* Sizes of frames, in bytes. */
#define ETHERNET_HEADER_BYTES 14u
#define ETHERNET_VLAN_BYTES   4u
#define ETHERNET_MTU          1500u
#define ETHERNET_MIN_BUFFER   1514u
#define NET_MAX_FRAME         65535u

/* In front of each frame (5.1.6). Only the driver's own reads of it are through offsets, a byte each. */
#define NET_HEADER_BYTES_LEGACY 10u
#define NET_HEADER_BYTES        12u
#define NET_HEADER_FLAGS        0u
#define NET_HEADER_GSO_TYPE     1u
#define NET_HEADER_F_NEEDS_CSUM 1u
#define NET_HEADER_UNWANTED     0xff01ff01u /* of the first two bytes as one halfword; twice, which fits an instruction on Arm */

/* A pool buffer's frame is so far from the buffer's start, plus the headroom: the header fits in front of it, and the frame
 * lies on a 16-byte boundary. */
#define NET_FRAME_OFFSET 16u

/* Configuration space (5.1.4). */
#define NET_CONFIG_MAC     0u
#define NET_CONFIG_STATUS  6u
#define NET_CONFIG_MTU     10u
#define NET_STATUS_LINK_UP 1u

/* After so many looks that found nothing, the device's status is looked at: a trap each. An idle receiver looks more often. */
#define NET_TX_PATIENCE 64u
#define NET_RX_PATIENCE 1024u

struct net_tx {
    struct virtio_ring ring;
    struct dma_pool pool;
    uint32_t max_frame;  /* longest frame, whoever owns its memory */
    uint32_t pool_frame; /* longest frame in a pool buffer; 0: no pool */
    uint64_t frames;
    uint64_t bytes;
    uint64_t completed;
    uint64_t full;
    uint64_t lost;
};

struct net_rx {
    struct virtio_ring ring;
    struct dma_pool pool;
    uint32_t pool_frame;
    uint32_t trust_header;
    uint32_t slots_at; /* bytes from the driver's start to this direction's slots */
    uint64_t element;  /* what rx_take_next has read of the next used element, for its own general way */
    /* rx_peek's quick way to frames in memory of the caller, set by rx_post: who posts none links none of it. After the quick way
     * of rx_post_one alone, whose frames rx_take_one takes, rx_peek goes the general way. */
    int32_t (*peek_external)(struct virtio_net *net, struct virtio_net_packet *packets, uint32_t count);
    uint64_t frames;
    uint64_t bytes;
    uint64_t dropped_short;
    uint64_t dropped_long;
    uint64_t dropped_header;
    uint64_t lost;
};

struct virtio_net {
    struct virtio_device device;
    struct virtio_net_options options; /* every default filled in */
    uint32_t state;                    /* VIRTIO_NET_STATE_*, FAILED left out: that is derived */
    uint32_t mtu;
    uint32_t sync; /* the platform has sync functions */
    uint8_t mac[6];
    uint8_t mac_source;
    uint8_t link_up; /* written by the interrupt group */
    uint64_t resets;
    uint64_t interrupts;
    uint64_t quarantined_bytes;
    struct net_tx tx;
    _Alignas(64) struct net_rx rx; /* no cache line that the transmit side writes */
};

_Static_assert(sizeof(struct virtio_net) <= VIRTIO_NET_STORAGE_FIXED, "the fixed part of the storage is too small");
_Static_assert(sizeof(struct virtio_slot) == VIRTIO_NET_STORAGE_PER_SLOT, "the storage of a slot is not what is promised");
_Static_assert(_Alignof(struct virtio_net) <= VIRTIO_NET_STORAGE_ALIGNMENT, "the storage is not aligned enough");

/* The error of a call of direction `queue` that cannot be served: a pointer is NULL (`needed` is another one that must not be),
 * the queue pair or flags do not exist, or the driver or the queue is not in the state for it. */
int32_t vn_net_refuse(const struct virtio_net *net, const void *needed, uint32_t queue, uint32_t queue_pair,
                      uint32_t unknown_flags) VIRTIO_HIDDEN;
/* The device broke a rule, or says that it needs a reset: logs it once, and returns NEEDS_RESET. */
int32_t vn_net_broken(struct virtio_net *net, struct virtio_ring *ring) VIRTIO_HIDDEN;
/* Puts what broke a ring in the place of the device's last error. */
void vn_net_add_faults(const struct virtio_net *net, struct virtio_net_error_detail *error) VIRTIO_HIDDEN;
/* Looks at the device's status when a ring does not move. */
int32_t vn_net_look_at_status(struct virtio_net *net, struct virtio_ring *ring) VIRTIO_HIDDEN;
/* Posts every receive pool buffer, without a notification. */
void vn_net_rx_fill(struct virtio_net *net) VIRTIO_HIDDEN;
/* Copies those frames of a run that a quick loop has left out, which copy_words is not for: to the buffers of the slots from
 * avail_index on, or, of a receive queue, from those from used_index on. */
void vn_net_copy_left_out(const struct virtio_ring *ring, const struct virtio_net_packet *packets, uint32_t count) VIRTIO_HIDDEN;
/* Takes the completed transmit frames back: pool slots become free, external ones stay done. Negative where the ring broke. */
int32_t vn_net_tx_collect(struct virtio_net *net) VIRTIO_HIDDEN;
/* Ends an external buffer that is held: tells its owner what it was, and frees its slot. */
void vn_net_hand_out(struct virtio_ring *ring, uint16_t number, struct virtio_net_packet *packet) VIRTIO_HIDDEN;
/* Whether a look at the receive queue would find a frame, break the queue, or give a starved device buffers again. */
bool vn_net_rx_due(const struct virtio_net *net) VIRTIO_HIDDEN;

/* Whether pools and slots exist: running, failed or stopped. */
VIRTIO_INLINE bool net_has_memory(const struct virtio_net *net)
{
    return net->state == VIRTIO_NET_STATE_RUNNING || net->state == VIRTIO_NET_STATE_STOPPED;
}

VIRTIO_INLINE const struct virtio_ring *net_ring(const struct virtio_net *net, uint32_t queue)
{
    return queue == NET_QUEUE_TX ? &net->tx.ring : &net->rx.ring;
}

/* Bytes from the driver's start to a slot, counted through both directions. */
#define NET_SLOT_AT(number) (VIRTIO_NET_STORAGE_FIXED + (number) * VIRTIO_NET_STORAGE_PER_SLOT)

/* The transmit slots, which lie right behind the fixed part: found without a load. Those of receive lie behind them. */
VIRTIO_INLINE struct virtio_slot *net_tx_slots(const struct virtio_net *net)
{
    return (struct virtio_slot *)(void *)((uintptr_t)net + NET_SLOT_AT(0));
}

VIRTIO_INLINE struct virtio_slot *net_rx_slots(const struct virtio_net *net)
{
    return (struct virtio_slot *)(void *)((uintptr_t)net + net->rx.slots_at);
}

/* What a structure of two integers and a word is made of where it is returned: gcc keeps these in registers, as it does not the
 * members. */
struct net_words {
    uint64_t low, high;
};

/* A frame of the caller's memory as the calls for packets read it; the fields that they write are left as they are. */
VIRTIO_INLINE void net_describe_external(struct virtio_net_packet *packet, uint8_t *frame, uint32_t length,
                                         uint64_t device_address, uint64_t cookie, uint32_t flags)
{
    packet->cookie = cookie;
    packet->data = frame;
    packet->device_address = device_address;
    packet->length = length;
    packet->flags = flags;
}

/* Whether a device address, less the header's length, may have gone below 0, or may wrap with a frame's: one bit tells, and the
 * general ways look closer. */
VIRTIO_INLINE bool net_may_wrap(uint64_t address)
{
    return address >> 63 != 0;
}

/* What each data call looks at first: whether it can be served. */
VIRTIO_INLINE bool net_acceptable(const struct virtio_net *net, const void *needed, uint32_t queue, uint32_t queue_pair,
                                  uint32_t unknown_flags)
{
    return VIRTIO_LIKELY(net != NULL && needed != NULL && (queue_pair | unknown_flags) == 0) &&
           VIRTIO_LIKELY(ring_is_usable(net_ring(net, queue)));
}

/* Whether a data call can be served by one of the quick loops. */
VIRTIO_INLINE bool net_is_plain(const struct virtio_net *net, const void *packets, uint32_t queue, uint32_t queue_pair,
                                uint32_t unknown_flags)
{
    return net != NULL && packets != NULL && (queue_pair | unknown_flags) == 0 && ring_is_plain(net_ring(net, queue));
}

#endif /* NET_NET_H */
