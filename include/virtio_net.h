/*
 * virtio_net.h - the virtio network driver: what it offers.
 *
 * One driver instance serves one network card (virtio 1.2, 5.1) over memory that the caller provides. The driver allocates
 * nothing from a heap, keeps no global state, and never waits except where a call says so, and then with a limit.
 *
 * Handle. `struct virtio_net *` is the address of the caller's storage: an array of VIRTIO_NET_STORAGE_BYTES(tx_slots, rx_slots)
 * bytes, aligned to VIRTIO_NET_STORAGE_ALIGNMENT. Between calls the storage may be moved with memcpy; its new address is the
 * handle from then on. It holds no address of its own, and never lies in memory that the device can reach.
 *
 * Results. Every call that can fail returns an int32_t: a count or VIRTIO_NET_SUCCESS (0) where it succeeded, a negative
 * VIRTIO_NET_ERROR_* where it did not. virtio_net_get_last_error tells which register or ring field was wrong.
 *
 * Threads. The calls are in four groups, named in each comment:
 *   whole     needs the driver alone: no other call at the same time;
 *   transmit  one thread at a time; may run beside a `receive` and an `interrupt` call on another processor;
 *   receive   one thread at a time; may run beside a `transmit` and an `interrupt` call on another processor;
 *   read      writes nothing and reaches no register: may run beside any call of another group except `whole`. A counter that
 *             another processor is changing meanwhile may be old.
 *   interrupt one thread at a time, or the interrupt handler; beside transmit and receive.
 * The transport and the platform must stand the same: see virtio_net_platform.h.
 *
 * Slots. Each direction has a fixed number of slots, powers of two. A slot is the identity of one packet in that direction
 * from the moment it is reserved, posted or peeked until it is free again. With a pool each slot owns one buffer; without one
 * (0 bytes for a buffer in the options) packets lie in memory of the caller.
 *
 * Growth. The structures of set-up and of reports begin with their size and grow at the tail only. A caller with an older
 * header passes a smaller size and gets what fits; one with a newer header is served as long as what this library does not know
 * is zero. `struct virtio_net_packet` is frozen at 64 bytes.
 *
 * Sections cited are those of "Virtual I/O Device (VIRTIO) Version 1.2".
 *
 * Licence: MIT OR Apache-2.0
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "virtio_net_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------ version and storage */

/* Version of this interface: the same major number means the same binary interface, grown. */
#define VIRTIO_NET_ABI_MAJOR 0
/* A greater minor number has more in it; while the major number is 0, it is an interface of its own. */
#define VIRTIO_NET_ABI_MINOR 1
/* Both as one number: major * 65536 + minor. */
#define VIRTIO_NET_ABI_VERSION (VIRTIO_NET_ABI_MAJOR * 65536 + VIRTIO_NET_ABI_MINOR)

/* Bytes of storage: a fixed part and a part a slot, transmit and receive slots together. They do not grow within a major
 * version; the fixed part has room to spare for that. */
#define VIRTIO_NET_STORAGE_FIXED     768
#define VIRTIO_NET_STORAGE_PER_SLOT  32 /* bytes for each slot of either direction */
#define VIRTIO_NET_STORAGE_ALIGNMENT 64 /* of the first byte */
/* Bytes of storage for a driver of these many slots; a constant where they are. */
#define VIRTIO_NET_STORAGE_BYTES(tx_slots, rx_slots)                                                                             \
    (VIRTIO_NET_STORAGE_FIXED + VIRTIO_NET_STORAGE_PER_SLOT * ((tx_slots) + (rx_slots)))

/* The most slots that one direction can have (the largest split ring, 2.7). */
#define VIRTIO_NET_MAX_SLOTS 32768
/* The fewest. */
#define VIRTIO_NET_MIN_SLOTS 1

/* One driver. Only its address is used. */
struct virtio_net;

/* ------------------------------------------------------------------------------------------------------- status codes */

/* Codes do not change their meaning or their number. virtio_net_status_name and virtio_net_status_text give each as text. */
enum {
    VIRTIO_NET_SUCCESS = 0, /* done; where a call counts: none */
    /* The call is at fault. */
    VIRTIO_NET_ERROR_INVALID_ARGUMENT = -1,  /* a pointer that must not be NULL is, or a value makes no sense */
    VIRTIO_NET_ERROR_STORAGE = -2,           /* the storage is too small for the slots asked for, or misaligned */
    VIRTIO_NET_ERROR_ABI_VERSION = -3,       /* the header's major version is not the library's */
    VIRTIO_NET_ERROR_STRUCT_SIZE = -4,       /* a `size` is too small, or what lies past the known part is not zero */
    VIRTIO_NET_ERROR_TABLE = -5,             /* a required function of a table is NULL */
    VIRTIO_NET_ERROR_OPTIONS = -6,           /* an option is out of its range: last_error tells which */
    VIRTIO_NET_ERROR_UNSUPPORTED = -7,       /* reserved for later: a flag, a queue pair or a call of a newer version */
    VIRTIO_NET_ERROR_STATE = -8,             /* the driver is not in the state that the call needs (stopped, closed …) */
    VIRTIO_NET_ERROR_QUEUE_PAIR = -9,        /* there is no such queue pair: 0 is the only one */
    VIRTIO_NET_ERROR_FLAGS = -10,            /* flags that the call does not know */
    VIRTIO_NET_ERROR_FRAME_EMPTY = -11,      /* a frame of less than 14 bytes: no Ethernet header */
    VIRTIO_NET_ERROR_FRAME_TOO_LONG = -12,   /* a frame longer than info.max_frame_length or than the slot's buffer */
    VIRTIO_NET_ERROR_BUFFER_TOO_SMALL = -13, /* a received frame does not fit the buffer offered; it stays where it is */
    VIRTIO_NET_ERROR_SLOT = -14,             /* the slot is not one that the caller holds */
    VIRTIO_NET_ERROR_NO_POOL = -15,          /* the call needs a pool, and this direction has none */
    VIRTIO_NET_ERROR_QUEUE_FULL = -16,       /* no free slot: reap, or wait for the device */
    VIRTIO_NET_ERROR_NOT_READY = -17,        /* the device has returned nothing yet */
    /* The host is at fault. */
    VIRTIO_NET_ERROR_NO_MEMORY = -32,   /* dma_alloc failed */
    VIRTIO_NET_ERROR_DMA_ADDRESS = -33, /* dma_alloc returned a misaligned address, address 0, or one the device cannot use */
    /* The device is at fault. */
    VIRTIO_NET_ERROR_MAGIC = -48,           /* no virtio device at these registers */
    VIRTIO_NET_ERROR_DEVICE_VERSION = -49,  /* a register interface that is neither version 1 nor 2 */
    VIRTIO_NET_ERROR_NOT_NETWORK = -50,     /* a virtio device, but not a network card */
    VIRTIO_NET_ERROR_RESET_TIMEOUT = -51,   /* the device did not confirm its reset within the limit */
    VIRTIO_NET_ERROR_FEATURES = -52,        /* the device refused the features (FEATURES_OK did not stick) */
    VIRTIO_NET_ERROR_QUEUE_MISSING = -53,   /* a queue that must exist has size 0, or 1 where a frame takes two entries */
    VIRTIO_NET_ERROR_QUEUE_IN_USE = -54,    /* a queue is in use after the reset */
    VIRTIO_NET_ERROR_QUEUE_SETUP = -55,     /* the device or its transport refused a queue */
    VIRTIO_NET_ERROR_CONFIG_SPACE = -56,    /* the configuration space ends before a field that the features promise */
    VIRTIO_NET_ERROR_CONFIG_UNSTABLE = -57, /* the configuration space changed at each of many reads */
    VIRTIO_NET_ERROR_NO_ADDRESS = -58,      /* no usable MAC address: none from the device, no `fallback_mac` in the options,
                                                and no `random` in the platform table */
    VIRTIO_NET_ERROR_NEEDS_RESET = -59,     /* the device asked for a reset, or broke a rule: virtio_net_recover */
    VIRTIO_NET_ERROR_USED_INDEX = -60,      /* used.idx moved by more than was in flight: the queue is broken */
    VIRTIO_NET_ERROR_USED_ID = -61,         /* a used element names no buffer in flight: the queue is broken */
    VIRTIO_NET_ERROR_DEVICE_GONE = -62      /* every register reads as ones: the device is not there any more */
};

/* --------------------------------------------------------------------------------------------------- features (bit numbers) */

/* Bits that this driver knows (5.1.3, 6). Which of them it asks for: virtio_net_get_info. */
enum {
    VIRTIO_NET_FEATURE_CSUM = 0,               /* the device completes checksums; not asked for yet */
    VIRTIO_NET_FEATURE_GUEST_CSUM = 1,         /* the driver takes frames whose checksum is unfinished; not asked for yet */
    VIRTIO_NET_FEATURE_MTU = 3,                /* the device names the largest MTU */
    VIRTIO_NET_FEATURE_MAC = 5,                /* the device has an address */
    VIRTIO_NET_FEATURE_MRG_RXBUF = 15,         /* a frame may fill several buffers; not asked for yet */
    VIRTIO_NET_FEATURE_STATUS = 16,            /* the device tells whether the link is up */
    VIRTIO_NET_FEATURE_CTRL_VQ = 17,           /* a queue for commands; not asked for yet */
    VIRTIO_NET_FEATURE_MQ = 22,                /* several queue pairs; not asked for yet */
    VIRTIO_NET_FEATURE_NOTIFY_ON_EMPTY = 24,   /* legacy: an interrupt whenever the ring runs empty; never asked for */
    VIRTIO_NET_FEATURE_ANY_LAYOUT = 27,        /* legacy: the header may share the frame's descriptor */
    VIRTIO_NET_FEATURE_INDIRECT_DESC = 28,     /* descriptors in a table of their own */
    VIRTIO_NET_FEATURE_EVENT_IDX = 29,         /* each side tells when it wants to be notified (2.7.7, 2.7.10) */
    VIRTIO_NET_FEATURE_VERSION_1 = 32,         /* the device is not a legacy one */
    VIRTIO_NET_FEATURE_ACCESS_PLATFORM = 33,   /* the device reaches memory through an IOMMU; not asked for yet */
    VIRTIO_NET_FEATURE_RING_PACKED = 34,       /* packed virtqueues (2.8); not asked for yet */
    VIRTIO_NET_FEATURE_IN_ORDER = 35,          /* buffers are used in order; not asked for yet */
    VIRTIO_NET_FEATURE_ORDER_PLATFORM = 36,    /* memory is ordered as the platform does it; not asked for yet */
    VIRTIO_NET_FEATURE_NOTIFICATION_DATA = 38, /* a notification carries data; not asked for yet */
    VIRTIO_NET_FEATURE_RING_RESET = 40         /* a queue can be reset alone; not asked for yet */
};

/* ------------------------------------------------------------------------------------------------------------ options */

/* Flags of the options. */
enum {
    VIRTIO_NET_OPTION_TRUST_HEADER = 1, /* fields of a received header that were not negotiated are ignored instead of costing
                                           the frame: NEEDS_CSUM and gso_type; all others are always ignored */
    VIRTIO_NET_OPTION_IRQ_RX = 2,    /* interrupts at received frames, as by virtio_net_irq_enable but before the device runs: not
                                        even the first is missed */
    VIRTIO_NET_OPTION_IRQ_TX = 4,    /* the same at frames sent */
    VIRTIO_NET_OPTION_MTU_ADVICE = 8 /* the MTU that the device names is told in info.mtu, whatever the buffers hold, and not
                                        agreed on (5.1.4.2): longer frames may be sent, and the device may drop them */
};

/* What the caller wants. All zero but `size` is a good choice for everything. */
struct virtio_net_options {
    uint32_t size;         /* sizeof(struct virtio_net_options) */
    uint32_t flags;        /* VIRTIO_NET_OPTION_* */
    uint64_t feature_mask; /* features that may be used, a bit each; 0: all that the driver implements. VERSION_1 is always used
                                  where offered */
    uint32_t tx_slots;     /* transmit slots, a power of two in 1..32768; 0: 256. Fewer where the device has fewer */
    uint32_t rx_slots;     /* receive slots, likewise */
    uint32_t tx_buffer_bytes; /* longest frame that a transmit slot's pool buffer holds, 60..65535; 0: 1,518;
                                  VIRTIO_NET_NO_POOL: no pool, memory of the caller only */
    uint32_t rx_buffer_bytes; /* longest frame that a receive slot's pool buffer holds, 1514..65535; 0: 1,518;
                                  VIRTIO_NET_NO_POOL: no pool */
    uint32_t rx_headroom; /* bytes between a 16-byte boundary plus 16 and the received frame, 0..256: 2 aligns the IP header */
    uint32_t log_level;   /* lines up to this VIRTIO_NET_LOG_* level; 0: errors and warnings */
    uint32_t reset_timeout_us; /* limit for a reset, in microseconds, 10,000,000 at most; 0: 100,000 */
    uint8_t fallback_mac[6];   /* address of a device that has none, or one that is not unicast; all zero: none given */
    uint8_t reserved[6];       /* 0 */
};

/* Value of tx_buffer_bytes and rx_buffer_bytes: this direction has no pool. */
#define VIRTIO_NET_NO_POOL 0xffffffff

/* ------------------------------------------------------------------------------------------------------------- packet */

/* Flags of a packet. A field with a flag counts only where its flag is set. */
enum {
    VIRTIO_NET_PACKET_LOST = 1,       /* out: the device was reset before it used this buffer */
    VIRTIO_NET_PACKET_EXTERNAL = 2,   /* out: the buffer is the caller's, `cookie` tells which */
    VIRTIO_NET_PACKET_HAS_HEADER = 4, /* in, tx_post: the header in front of the frame is written already, and shared with it */
    /* 8 is VIRTIO_NET_OWN_KICK, which stands in one word with these. */
    /* Reserved: a call refuses them with VIRTIO_NET_ERROR_UNSUPPORTED. */
    VIRTIO_NET_PACKET_MORE = 16,       /* the frame goes on in the next packet */
    VIRTIO_NET_PACKET_NEEDS_CSUM = 32, /* csum_start, csum_offset */
    VIRTIO_NET_PACKET_CSUM_VALID = 64, /* the device has verified the checksum */
    VIRTIO_NET_PACKET_GSO = 128,       /* gso_type, gso_size, header_length */
    VIRTIO_NET_PACKET_HASH = 256,      /* hash, hash_type */
    VIRTIO_NET_PACKET_VLAN = 512,      /* vlan */
    VIRTIO_NET_PACKET_TIMESTAMP = 1024 /* timestamp_ns */
};

/* One frame, from its Ethernet header to the last byte before the check sequence. Frozen: 64 bytes on every machine. */
struct virtio_net_packet {
    uint64_t cookie; /* external buffers: the caller's word, returned as it was */
    uint8_t *data;   /* the frame's first byte, for the processor */
#if UINTPTR_MAX == 0xffffffff
    uint32_t data_padding; /* any value: no call looks at it */
#endif
    uint64_t device_address; /* external buffers: the frame's first byte, for the device */
    uint32_t length;         /* bytes */
    uint32_t flags;          /* VIRTIO_NET_PACKET_* */
    uint16_t slot;           /* which slot, from reserve, post and peek */
    uint16_t csum_start;     /* NEEDS_CSUM: first byte that the checksum covers, from the start of the frame */
    uint16_t csum_offset;    /* NEEDS_CSUM: where it goes, from csum_start */
    uint16_t gso_size;       /* GSO: bytes of payload in each segment */
    uint16_t header_length;  /* GSO: bytes of the headers, which each segment has */
    uint8_t gso_type;        /* GSO: the protocol, as in virtio_net_hdr (5.1.6) */
    uint8_t hash_type;       /* HASH: what was hashed (5.1.6.4.3) */
    uint16_t segments;       /* MORE: packets that this frame consists of */
    uint16_t vlan;           /* VLAN: the tag */
    uint32_t hash;           /* HASH: its value */
    uint32_t reserved;       /* any value: no call looks at it */
    uint64_t timestamp_ns;   /* TIMESTAMP: nanoseconds of a clock that is not chosen yet */
};

/* ------------------------------------------------------------------------------------------------------------ reports */

/* Where a driver stands in its life. */
enum {
    VIRTIO_NET_STATE_CLOSED = 0,   /* not set up, or set up without success: only virtio_net_get_last_error may be called */
    VIRTIO_NET_STATE_RUNNING = 1,  /* frames come and go */
    VIRTIO_NET_STATE_STOPPED = 2,  /* virtio_net_stop; memory and settings are kept */
    VIRTIO_NET_STATE_FAILED = 3,   /* a queue is broken or the device needs a reset: virtio_net_recover */
    VIRTIO_NET_STATE_ABANDONED = 4 /* virtio_net_abandon */
};

/* What was agreed with the device. */
struct virtio_net_info {
    uint32_t size;             /* in: sizeof(struct virtio_net_info) */
    uint32_t state;            /* VIRTIO_NET_STATE_* */
    uint64_t device_features;  /* what the device offered */
    uint64_t features;         /* what both agreed on */
    uint32_t legacy;           /* 1: the legacy interface */
    uint32_t link_up;          /* 1: up as of the last look (virtio_net_link); always 1 without the feature STATUS */
    uint32_t mtu;              /* bytes after the Ethernet header, as agreed on (feature MTU), or with the option MTU_ADVICE as
                                  the device names it, 68 at least; 1,500 where it is neither */
    uint32_t max_frame_length; /* longest frame that can be sent, bytes: mtu + 18; 65,535 without the feature MTU */
    uint32_t tx_slots;         /* transmit slots in use */
    uint32_t rx_slots;         /* receive slots in use */
    uint32_t tx_buffer_bytes;  /* longest frame that a transmit pool buffer holds; 0: no pool */
    uint32_t rx_buffer_bytes;  /* longest frame that a receive pool buffer holds; 0: no pool */
    uint32_t header_length;    /* bytes of virtio_net_hdr in front of each frame: 10 or 12 (5.1.6). Memory of the caller must
                                  have as many bytes in front of the frame, which belong to the driver while it is posted */
    uint8_t mac[6];            /* the card's address */
    uint8_t mac_source;        /* 0 device, 1 fallback_mac, 2 random */
    uint8_t reserved[5];       /* written as 0 */
};

/* Counters since virtio_net_init. Each has one writer; reading while it writes may give an old value. */
struct virtio_net_statistics {
    uint32_t size;               /* in: sizeof(struct virtio_net_statistics) */
    uint32_t reserved;           /* written as 0 */
    uint64_t tx_frames;          /* posted */
    uint64_t tx_bytes;           /* of these frames */
    uint64_t tx_completed;       /* used by the device */
    uint64_t tx_kicks;           /* notifications of the transmit queue, repeated ones and those left to the caller included */
    uint64_t tx_rekicks;         /* of these, ones that the device had not asked for, to be sure */
    uint64_t tx_full;            /* frames refused for want of a slot */
    uint64_t tx_lost;            /* frames in flight when the device was reset */
    uint64_t rx_frames;          /* given to the caller */
    uint64_t rx_bytes;           /* of these frames */
    uint64_t rx_kicks;           /* notifications of the receive queue, repeated ones included */
    uint64_t rx_rekicks;         /* of these, ones that the device had not asked for, to be sure */
    uint64_t rx_dropped_short;   /* used length below the header and an Ethernet header */
    uint64_t rx_dropped_long;    /* used length above the buffer */
    uint64_t rx_dropped_header;  /* header with a feature that was not agreed on */
    uint64_t rx_lost;            /* received frames that nobody had taken when the device was reset */
    uint64_t queues_broken;      /* times a queue broke, for a used.idx or used.id that cannot be */
    uint64_t device_needs_reset; /* times the device asked for a reset */
    uint64_t resets;             /* virtio_net_stop, virtio_net_recover */
    uint64_t interrupts;         /* virtio_net_irq_ack with something to acknowledge */
    uint64_t quarantined_bytes;  /* DMA memory that was never given back, because the device did not confirm its reset */
};

/* Registers and ring fields that virtio_net_get_last_error can name. */
enum {
    VIRTIO_NET_FIELD_NONE = 0,        /* no field is at fault */
    VIRTIO_NET_FIELD_MAGIC = 1,       /* MagicValue (4.2.2) */
    VIRTIO_NET_FIELD_VERSION = 2,     /* Version of the register interface (4.2.2) */
    VIRTIO_NET_FIELD_DEVICE_TYPE = 3, /* DeviceID (4.2.2) */
    VIRTIO_NET_FIELD_STATUS = 4,      /* the device status (2.1) */
    VIRTIO_NET_FIELD_FEATURES = 5,    /* found: what the device offers; wanted: what it lacks */
    VIRTIO_NET_FIELD_QUEUE_SIZE = 6,  /* `queue` tells which */
    VIRTIO_NET_FIELD_QUEUE_READY = 7, /* QueueReady, or QueuePFN of a legacy device; `queue` tells which */
    VIRTIO_NET_FIELD_CONFIG = 8,      /* found: the offset */
    VIRTIO_NET_FIELD_DMA = 9,         /* found: the device address; wanted: the bytes asked for */
    VIRTIO_NET_FIELD_USED_INDEX = 10, /* found: used.idx; wanted: the highest possible */
    VIRTIO_NET_FIELD_USED_ID = 11,    /* found: used.id; wanted: the ring's size */
    VIRTIO_NET_FIELD_OPTION = 12,     /* found: the value; wanted: the offset of the option in struct virtio_net_options */
    VIRTIO_NET_FIELD_TABLE = 13,      /* wanted: the offset of the missing function; queue 0 transport, 1 platform */
    VIRTIO_NET_FIELD_STORAGE = 14 /* found: the bytes given, or the address where it is misaligned; wanted: the bytes needed */
};

/* The last error that the device, the host or the set-up caused. Wrong arguments of a data call are not recorded. */
struct virtio_net_error_detail {
    uint32_t size;   /* in: sizeof(struct virtio_net_error_detail) */
    int32_t code;    /* VIRTIO_NET_ERROR_*; 0: none since virtio_net_init */
    uint32_t field;  /* VIRTIO_NET_FIELD_* */
    uint32_t queue;  /* 0 receive, 1 transmit, where the field belongs to a queue */
    uint64_t found;  /* what the field held, or as it says of itself */
    uint64_t wanted; /* what it should have held, likewise */
};

/* ---------------------------------------------------------------------------------------------------------- life cycle */

/* The library's VIRTIO_NET_ABI_VERSION. Any thread. */
uint32_t virtio_net_abi_version(void);

/* The name of a status code ("VIRTIO_NET_ERROR_QUEUE_FULL"). Static, never NULL: an unknown code has a name that says so. Any
 * thread. */
const char *virtio_net_status_name(int32_t code);

/* A sentence about a status code, likewise. Any thread. */
const char *virtio_net_status_text(int32_t code);

/* Sets the device up over a transport table and leaves it running: reset, features, queues, receive buffers, DRIVER_OK (3.1).
 *
 * header_version  VIRTIO_NET_ABI_VERSION of the caller's header (the macros virtio_net_init and virtio_net_init_mmio pass it).
 * net             the storage. Its content is overwritten. It must not be a driver that is set up already.
 * storage_bytes   its size.
 * transport       stays in place as long as the driver lives; so does platform.
 * context         passed to each function of both tables.
 * options         copied. NULL: all defaults.
 *
 * Waits for the device's reset, options.reset_timeout_us at most. Errors: INVALID_ARGUMENT, STORAGE, ABI_VERSION, STRUCT_SIZE,
 * TABLE, OPTIONS, and every error of the host and of the device but NEEDS_RESET and USED_*. After an error nothing is
 * allocated, the device is reset or was never touched, and virtio_net_get_last_error(net) may be called where `net` is not NULL,
 * aligned, and VIRTIO_NET_STORAGE_FIXED bytes at least. Where that reset is not confirmed, memory that the device may still write
 * is never given back (quarantine), as virtio_net_close describes; the error returned is the first one. Group: whole. */
int32_t virtio_net_init_versioned(uint32_t header_version, struct virtio_net *net, uint64_t storage_bytes,
                                  const struct virtio_net_transport *transport, const struct virtio_net_platform *platform,
                                  void *context, const struct virtio_net_options *options);
/* virtio_net_init_versioned with the version of this header: what callers write. */
#define virtio_net_init(net, storage_bytes, transport, platform, context, options)                                               \
    virtio_net_init_versioned(VIRTIO_NET_ABI_VERSION, (net), (storage_bytes), (transport), (platform), (context), (options))

/* The same over the driver's own MMIO transport (4.2): `registers` is the first register of the device, mapped as device memory,
 * 512 bytes or to the end of the configuration space. Errors besides those above: MAGIC, DEVICE_VERSION. Group: whole. */
int32_t virtio_net_init_mmio_versioned(uint32_t header_version, struct virtio_net *net, uint64_t storage_bytes,
                                       volatile void *registers, const struct virtio_net_platform *platform, void *context,
                                       const struct virtio_net_options *options);
/* virtio_net_init_mmio_versioned with the version of this header: what callers write. */
#define virtio_net_init_mmio(net, storage_bytes, registers, platform, context, options)                                          \
    virtio_net_init_mmio_versioned(VIRTIO_NET_ABI_VERSION, (net), (storage_bytes), (registers), (platform), (context), (options))

/* Looks at MMIO registers: VIRTIO_NET_SUCCESS where a network card is there, else MAGIC, DEVICE_VERSION, NOT_NETWORK or
 * INVALID_ARGUMENT. Reads three registers and changes nothing. Any thread. */
int32_t virtio_net_mmio_probe(const volatile void *registers);

/* Replaces the context word that the tables' functions get. A plain store. Group: whole. */
void virtio_net_set_context(struct virtio_net *net, void *context);

/* Resets the device and waits for it (limit: reset_timeout_us). Frames in flight are lost and counted. External buffers come
 * back through virtio_net_tx_reap and virtio_net_rx_reap with VIRTIO_NET_PACKET_LOST. What the caller has reserved or peeked
 * stays its own, to be committed, cancelled or released after virtio_net_start. Memory and settings are kept. Errors: STATE;
 * RESET_TIMEOUT, after which no external buffer comes back, because the device may still use it. Group: whole. */
int32_t virtio_net_stop(struct virtio_net *net);

/* Sets a stopped device up again with the options of virtio_net_init. The features agreed on may differ where the device's
 * do; info tells. Errors: STATE where the driver is not stopped, or where the device's queues have another size than before
 * while the caller holds slots; and those of virtio_net_init. Group: whole. */
int32_t virtio_net_start(struct virtio_net *net);

/* virtio_net_stop where needed, then virtio_net_start: the way out of VIRTIO_NET_ERROR_NEEDS_RESET. No frame is delivered
 * twice. It may be tried again after an error. Errors: those of the two. Group: whole. */
int32_t virtio_net_recover(struct virtio_net *net);

/* Reads the device status. VIRTIO_NET_SUCCESS where the device works; NEEDS_RESET, DEVICE_GONE or STATE where it does not.
 * One register access. Group: whole. */
int32_t virtio_net_check(struct virtio_net *net);

/* The device was unplugged: touches no register, gives memory back, and makes every other call return STATE. Only for a
 * device that can no longer write memory. External buffers come back as after virtio_net_stop; what was reserved or peeked
 * of a pool is gone with it. Errors: STATE. Group: whole. */
int32_t virtio_net_abandon(struct virtio_net *net);

/* Ends the driver: resets the device, waits for that (limit: reset_timeout_us), and gives all memory back through dma_free.
 * External buffers that are in flight are forgotten: stop and reap first to have them back. What was reserved or peeked is
 * gone with the pool. VIRTIO_NET_ERROR_RESET_TIMEOUT: the device may still write the driver's memory, so none of it is given
 * back (statistics.quarantined_bytes), and the transport should not be used for anything else. Afterwards the storage may be
 * freed in either case. Errors: STATE. Group: whole. */
int32_t virtio_net_close(struct virtio_net *net);

/* ------------------------------------------------------------------------------------------------------------- reports */

/* Tells what was agreed with the device: fills the report as far as its `size` goes. What this library does not know becomes 0.
 * Errors: INVALID_ARGUMENT, STRUCT_SIZE. Group: read. */
int32_t virtio_net_get_info(const struct virtio_net *net, struct virtio_net_info *info);

/* Tells the counters, likewise. Errors and group: likewise. */
int32_t virtio_net_get_statistics(const struct virtio_net *net, struct virtio_net_statistics *statistics);

/* Tells what the device or the host did wrong last: a broken queue before anything else. Errors: INVALID_ARGUMENT, STRUCT_SIZE.
 * Group: whole. */
int32_t virtio_net_get_last_error(const struct virtio_net *net, struct virtio_net_error_detail *detail);

/* Copies the card's address. Errors: INVALID_ARGUMENT, STATE. Group: read. */
int32_t virtio_net_get_mac(const struct virtio_net *net, uint8_t mac[6]);

/* Asks the device for the state of the link: 1 up, 0 down. 1 without the feature STATUS (5.1.4.2). Errors: STATE,
 * CONFIG_SPACE, CONFIG_UNSTABLE. A few register accesses. Group: interrupt. */
int32_t virtio_net_link(struct virtio_net *net);

/* ------------------------------------------------------------------------------------------------------------ transmit
 *
 * queue_pair is 0. No call waits. A call with a count handles the packets in order, stops at the first that it cannot take,
 * and returns how many it took; it returns an error only where it took none. Errors of each: INVALID_ARGUMENT, STATE, QUEUE_PAIR,
 * FLAGS, NEEDS_RESET; the others are named. Group: transmit. A direction whose queue broke returns NEEDS_RESET; the other one
 * goes on until the device is reset. The packets of a call must not change while it runs: it may read a field twice.
 */

/* Flag of send, send_burst, commit and post: publish, but leave the notification to the next call without this flag or to
 * virtio_net_tx_flush. */
enum { VIRTIO_NET_NO_KICK = 1 /* see above */ };

/* Of virtio_net_tx_post_one and virtio_net_tx_post_raw, for callers that have the transport themselves: a notification may be
 * left to the caller, which spares the way through the transport's table. */
enum {
    VIRTIO_NET_OWN_KICK = 8,      /* flag: where the device wants to be notified, the result may say so. Else the driver has
                                     notified it by the table, as without the flag; with NO_KICK nobody does */
    VIRTIO_NET_KICK_DUE = 0x10000 /* in the result, added to the slot (result & 0xffff): notify the device of queue 1, as the
                                     transport's `notify` does, before any other call of the groups transmit and whole. It is
                                     counted as made, memory is in order for it, and no call repeats it: left out, the frame
                                     and those behind it may wait for ever */
};

/* Copies a frame into a slot and posts it. length: 14..info.tx_buffer_bytes. Errors: FRAME_EMPTY, FRAME_TOO_LONG,
 * NO_POOL, QUEUE_FULL. */
int32_t virtio_net_send(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const void *frame, uint32_t length);

/* The same for `count` frames, with one store of avail.idx and one notification at most. Of each packet `data` and `length` are
 * read, and nothing is written. */
int32_t virtio_net_send_burst(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                              const struct virtio_net_packet *packets, uint32_t count);

/* Copies as the calls above do, for a host that writes frames in place or in memory of its own: by words, whatever the alignment,
 * and without registers of the vector unit where those are not to be used. The two ranges do not overlap. Any thread. */
void virtio_net_copy(void *to, const void *from, uint32_t bytes);

/* Reserves up to `count` slots with their pool buffers. Of each packet `slot`, `data` (16-byte aligned), `length` (the most
 * that may be written), `flags` (0) and `device_address` are written. The caller holds the slots until it commits or cancels
 * them. flags: 0. Errors: NO_POOL, QUEUE_FULL. */
int32_t virtio_net_tx_reserve(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                              uint32_t count);

/* Posts frames written in place. Of each packet `slot`, `length` (14..info.tx_buffer_bytes) and `flags` (0) are read. In any
 * order, and not all at once if the caller likes. The slots are the device's afterwards. Errors: SLOT, FRAME_EMPTY,
 * FRAME_TOO_LONG, UNSUPPORTED. */
int32_t virtio_net_tx_commit(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const struct virtio_net_packet *packets,
                             uint32_t count);

/* Gives reserved slots back unsent. Of each packet `slot` is read. Works on a stopped or broken queue too. flags: 0. Errors:
 * SLOT. */
int32_t virtio_net_tx_cancel(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const struct virtio_net_packet *packets,
                             uint32_t count);

/* Posts frames that lie in memory of the caller. Of each packet `data`, `device_address`, `length`
 * (14..info.max_frame_length), `cookie` and `flags` (0 or HAS_HEADER, with which `data` is only synced) are read; `slot` is
 * written. The info.header_length bytes in front of `data` (and of `device_address`) are overwritten, and sync_for_device is
 * called for them and the frame where the platform has it. The memory belongs to the device until virtio_net_tx_reap,
 * virtio_net_tx_take or virtio_net_tx_take_one returns the cookie; it is never dropped silently. Errors: FRAME_EMPTY,
 * FRAME_TOO_LONG, QUEUE_FULL, UNSUPPORTED, DMA_ADDRESS where device_address is 0 or wraps. */
int32_t virtio_net_tx_post(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count);

/* virtio_net_tx_post for one frame, without a packet. Returns its slot. flags: VIRTIO_NET_NO_KICK, and of the frame
 * VIRTIO_NET_PACKET_HAS_HEADER; VIRTIO_NET_OWN_KICK, with which VIRTIO_NET_KICK_DUE may be added to the slot. Errors: those of
 * virtio_net_tx_post. */
int32_t virtio_net_tx_post_one(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, uint8_t *frame, uint32_t length,
                               uint64_t device_address, uint64_t cookie);

/* virtio_net_tx_post_one with the flags HAS_HEADER and OWN_KICK, quicker in a direction without a pool. Errors: the same. */
int32_t virtio_net_tx_post_raw(struct virtio_net *net, uint32_t queue_pair, uint8_t *frame, uint32_t length,
                               uint64_t device_address, uint64_t cookie);

/* The lowest bit of the flags in a length_and_flags. */
enum { VIRTIO_NET_REAPED_FLAGS = 30 /* see above */ };

/* What virtio_net_tx_reap_one returns. It never grows. */
struct virtio_net_reaped {
    int32_t slot;              /* or an error */
    uint32_t length_and_flags; /* EXTERNAL, and LOST after a reset, << VIRTIO_NET_REAPED_FLAGS; in a direction without a pool
                                  also the length in bytes, as it was posted */
    uint64_t cookie;           /* as it was posted */
};

/* Notifies the device of what was published with VIRTIO_NET_NO_KICK, where it wants to be. flags: 0. Returns 1 where it
 * notified, else 0. */
int32_t virtio_net_tx_flush(struct virtio_net *net, uint32_t queue_pair, uint32_t flags);

/* Takes completed frames back, and returns the external ones: of each packet `cookie`, `slot` and `flags` are written
 * (EXTERNAL, and LOST after a reset), and in a direction without a pool `data`, `device_address` and `length` as they were
 * posted. packets may be NULL with count 0: only the pool's slots are taken back. Returns the number of packets written. Also
 * the place where a notification that the driver was wrong to leave out is repeated: call it now and then while frames are in
 * flight. Works in every state but closed; a queue that needs a reset says so once no cookie is left. flags: 0. */
int32_t virtio_net_tx_reap(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count);

/* The slot of an external frame that tx_reap would return first, taking completed frames back as it does; NOT_READY where
 * there is none. For callers that want the cookies in an order of their own: they end with virtio_net_tx_take or
 * virtio_net_tx_take_one. Works in every state but closed. Reaches no register, so a notification that was lost is repeated by
 * virtio_net_tx_reap only: call that where there is none for long. */
int32_t virtio_net_tx_next(struct virtio_net *net, uint32_t queue_pair);

/* Returns the external frame of the slot in packet->slot as virtio_net_tx_reap does. Works in every state but closed. Errors:
 * SLOT where no external frame of that slot has come back. */
int32_t virtio_net_tx_take(struct virtio_net *net, uint32_t queue_pair, struct virtio_net_packet *packet);

/* The same without a packet: writes the cookie of the external frame that has come back, and returns its flags (EXTERNAL, and
 * LOST after a reset). Works in every state but closed. Errors: SLOT. */
int32_t virtio_net_tx_take_one(struct virtio_net *net, uint32_t queue_pair, uint32_t slot, uint64_t *cookie);

/* One external frame that has come back, as virtio_net_tx_reap returns it, but in registers where a structure of 16 bytes is: its
 * slot is free. NOT_READY in `slot` where there is none, or another error; the rest is 0 then. Works in every state but closed.
 * Reaches no register, so a notification that was lost is repeated by virtio_net_tx_reap only: call that where there is none for
 * long. */
struct virtio_net_reaped virtio_net_tx_reap_one(struct virtio_net *net, uint32_t queue_pair);

/* Undoes the last call of virtio_net_tx_reap_one: the frame that it returned is held again, as if virtio_net_tx_next had told its
 * slot, and virtio_net_tx_take, virtio_net_tx_take_one or virtio_net_tx_reap returns it once more. Until then no post gets that
 * slot. Not after a stop, which brings the free slots in order. Works in every state but closed. Errors: SLOT where it is not
 * the slot that became free last, as far as that can be told; UNSUPPORTED in a direction with a pool. */
int32_t virtio_net_tx_unreap(struct virtio_net *net, uint32_t queue_pair, const struct virtio_net_reaped *reaped);

/* Directions (VIRTIO_NET_IRQ_*) in which a call is due. For receive, rx_peek or receive: a frame waits, or the queue is about to
 * break, or elements that are no frames have left the device without a buffer. For either direction, rx_peek or tx_reap: the
 * device waits for a notification that was left out while its wish could not be seen. Elements are read again by the call. For
 * callers that look only where there is something to find. Reaches no register. Errors: STATE, QUEUE_PAIR. Groups: transmit and
 * receive together. */
int32_t virtio_net_due(const struct virtio_net *net, uint32_t queue_pair);

/* How many frames could be posted now, those counted that the device has completed and nobody has reaped. External ones are not
 * counted until they are reaped. Reaches no register. Errors: STATE, QUEUE_PAIR, NEEDS_RESET. Group: transmit. */
int32_t virtio_net_tx_free(const struct virtio_net *net, uint32_t queue_pair);

/* Frames that the device has not completed yet, as far as used.idx tells. Reaches no register. Errors: likewise. Group:
 * transmit. */
int32_t virtio_net_tx_in_flight(const struct virtio_net *net, uint32_t queue_pair);

/* ------------------------------------------------------------------------------------------------------------- receive
 *
 * As for transmit. Group: receive.
 */

/* Copies the next frame to `buffer` and makes its slot ready for another. Returns the frame's length; 0 where there is none.
 * flags: 0. Errors: BUFFER_TOO_SMALL (the frame stays: info.rx_buffer_bytes always suffices), NO_POOL. */
int32_t virtio_net_receive(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, void *buffer, uint32_t capacity);

/* The same for up to `count` frames. Of each packet `data` and `length` (the capacity) are read; `length` (the frame's) and
 * `flags` (0) are written. Returns how many frames were copied. Errors: as virtio_net_receive. */
int32_t virtio_net_receive_burst(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                                 uint32_t count);

/* Lends up to `count` received frames in place: of each packet `slot`, `data`, `length`, `flags`, and for external buffers
 * `cookie` are written. Returns how many. The caller holds the slots, and may write the frames, until it releases them. An
 * external buffer whose element was bad comes back with length 0: nobody else has its cookie. flags: 0. */
int32_t virtio_net_rx_peek(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count);

/* Gives held slots back, in any order: of each packet `slot` is read. A pool buffer is posted again; an external buffer is
 * the caller's afterwards and its slot is free. Works on a stopped or broken queue too; a pool buffer is then posted by the
 * next start. VIRTIO_NET_NO_KICK: publish, but do not notify. Errors: SLOT. */
int32_t virtio_net_rx_release(struct virtio_net *net, uint32_t queue_pair, uint32_t flags,
                              const struct virtio_net_packet *packets, uint32_t count);

/* The slot of an external buffer that was lost in a reset; else the slot that virtio_net_rx_peek would lend first, whose element
 * is read again then; NOT_READY where there is neither. Reaches no register. Errors: STATE, QUEUE_PAIR; NEEDS_RESET also where
 * the next rx_peek will break the queue. Group: receive. */
int32_t virtio_net_rx_next(const struct virtio_net *net, uint32_t queue_pair);

/* The slot that was posted first of those that the device has, used or not; NOT_READY where it has none. Errors: STATE,
 * QUEUE_PAIR. Group: receive. */
int32_t virtio_net_rx_oldest(const struct virtio_net *net, uint32_t queue_pair);

/* Ends the external buffer of the slot in packet->slot, which rx_peek has lent or a reset has lost: writes what
 * virtio_net_rx_reap does, and frees the slot. Works in every state but closed. Errors: SLOT. Group: receive. */
int32_t virtio_net_rx_take(struct virtio_net *net, uint32_t queue_pair, struct virtio_net_packet *packet);

/* rx_peek and rx_take in one: ends the external buffer of a slot where it is the next that the device has filled, writes its
 * cookie, and returns the frame's length. 0: the buffer is the caller's again, but there is no frame in it, because the
 * element was bad, which statistics.rx_dropped_short, _long or _header counts, or the buffer was lost in a reset, which none
 * of them does. Frames come while the driver runs; lost buffers in every state but closed. Errors: NOT_READY where the device
 * has filled none; SLOT where the next is another's, the slot is held already, or the direction has a pool; STATE where the
 * driver does not run; NEEDS_RESET where the queue is broken. After an error nothing has ended. May notify the device of buffers
 * that virtio_net_rx_post_one has posted. Where there is none for long, call virtio_net_rx_peek, which repeats a notification.
 * Group: receive. */
int32_t virtio_net_rx_take_one(struct virtio_net *net, uint32_t queue_pair, uint32_t slot, uint64_t *cookie);

/* What virtio_net_rx_take_next returns. It never grows. */
struct virtio_net_taken {
    int32_t length;  /* bytes, or 0 or an error, as virtio_net_rx_take_one returns them */
    int32_t next;    /* the slot that virtio_net_rx_next would tell; negative: not known, ask that, as there may be one */
    uint64_t cookie; /* 0 after an error */
};

/* virtio_net_rx_take_one, and virtio_net_rx_next for the frame after it where that has come too: in registers where a structure
 * of 16 bytes is returned so. May notify the device of buffers that virtio_net_rx_post_one has posted. Errors, in `length`, and
 * group: those of virtio_net_rx_take_one. */
struct virtio_net_taken virtio_net_rx_take_next(struct virtio_net *net, uint32_t queue_pair, uint32_t slot);

/* Where the frame of a slot that the caller holds lies, as rx_peek told it; NULL where it holds no such slot. Group: receive. */
uint8_t *virtio_net_rx_frame(const struct virtio_net *net, uint32_t queue_pair, uint32_t slot);

/* Posts empty memory of the caller. Of each packet `data`, `device_address`, `length` (bytes for the frame, 1514 at least),
 * `cookie` and `flags` (0) are read; `slot` is written. The info.header_length bytes in front of `data` are the device's too. The
 * memory belongs to the device until virtio_net_rx_peek, virtio_net_rx_reap, virtio_net_rx_take, virtio_net_rx_take_one or
 * virtio_net_rx_take_next returns the cookie. The first slots posted after init are 0, 1, 2 … in order. Errors:
 * BUFFER_TOO_SMALL, QUEUE_FULL (always so with a pool, whose buffers have all slots), UNSUPPORTED, DMA_ADDRESS. */
int32_t virtio_net_rx_post(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count);

/* virtio_net_rx_post for one buffer, without a packet. Returns its slot. The device may be told of it by this call, or, while it
 * has others, by a later one: a post, or the call that takes the last of those. flags: VIRTIO_NET_NO_KICK; a later call without
 * the flag need not be the one that tells then. Errors: those of virtio_net_rx_post. */
int32_t virtio_net_rx_post_one(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, uint8_t *frame, uint32_t length,
                               uint64_t device_address, uint64_t cookie);

/* Notifies the device of receive buffers published with VIRTIO_NET_NO_KICK, where it wants to be. flags: 0. Returns 1 where it
 * notified, else 0. */
int32_t virtio_net_rx_flush(struct virtio_net *net, uint32_t queue_pair, uint32_t flags);

/* Returns external buffers that will not be filled, after virtio_net_stop, with LOST: of each packet `cookie`, `slot`, `flags`,
 * and `data`, `device_address` and `length` as they were posted, are written. flags: 0. Works in every state but closed. */
int32_t virtio_net_rx_reap(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                           uint32_t count);

/* How many used elements wait, as far as used.idx tells; peek may find fewer frames, where elements are bad. Reaches no
 * register. Errors: STATE, QUEUE_PAIR, NEEDS_RESET. Group: receive. */
int32_t virtio_net_rx_ready(const struct virtio_net *net, uint32_t queue_pair);

/* ---------------------------------------------------------------------------------------------------------- interrupts
 *
 * None is asked for until virtio_net_irq_enable. With EVENT_IDX the driver parks used_event where completions do not reach it,
 * without it sets VIRTQ_AVAIL_F_NO_INTERRUPT, which is a hint: a stray interrupt is possible (2.7.7).
 */

/* Which direction. */
enum {
    VIRTIO_NET_IRQ_RX = 1, /* received frames */
    VIRTIO_NET_IRQ_TX = 2  /* sent frames */
};

/* What virtio_net_irq_ack found. */
enum {
    VIRTIO_NET_EVENT_QUEUE = 1, /* the device used buffers */
    VIRTIO_NET_EVENT_CONFIG = 2 /* the configuration space changed: the link, or the device needs a reset */
};

/* Asks for an interrupt at the next completion of the directions in `which`. Returns the directions that have completions
 * waiting: those may never interrupt, so handle them now. After an interrupt the driver asks for the next one by itself, in
 * the call that comes to the end of the queue: receive, receive_burst or rx_peek until it returns 0 or less than asked for, or
 * until virtio_net_rx_ready returns 0; rx_take_one and rx_take_next until that or virtio_net_rx_next returns NOT_READY; tx_reap
 * once, tx_reap_one and tx_next until NOT_READY. flags: 0. Group: that of each direction named (transmit, receive). Errors: as
 * transmit. */
int32_t virtio_net_irq_enable(struct virtio_net *net, uint32_t queue_pair, uint32_t which, uint32_t flags);

/* Asks for none. Group and errors: likewise. */
int32_t virtio_net_irq_disable(struct virtio_net *net, uint32_t queue_pair, uint32_t which, uint32_t flags);

/* Acknowledges the interrupt and returns VIRTIO_NET_EVENT_* bits; 0: it was not ours. Call it before the handling, not after: a
 * completion in between interrupts again. After CONFIG look at virtio_net_link and virtio_net_check. flags: 0. Errors: STATE,
 * FLAGS. Works on a stopped driver too. Group: interrupt. */
int32_t virtio_net_irq_ack(struct virtio_net *net, uint32_t flags);

/* ---------------------------------------------------------------------------------------------------------- promises */

#ifdef __cplusplus
}
#define VIRTIO_NET_PROMISE static_assert
#else
#define VIRTIO_NET_PROMISE _Static_assert
#endif

VIRTIO_NET_PROMISE(sizeof(struct virtio_net_packet) == 64, "struct virtio_net_packet is frozen at 64 bytes");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_packet, device_address) == 16, "virtio_net_packet.device_address");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_packet, length) == 24, "virtio_net_packet.length");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_packet, slot) == 32, "virtio_net_packet.slot");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_packet, timestamp_ns) == 56, "virtio_net_packet.timestamp_ns");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_options) == 56, "struct virtio_net_options has grown: keep the first size");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_options, fallback_mac) == 44, "virtio_net_options.fallback_mac");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_info) == 72, "struct virtio_net_info has grown: keep the first size");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_info, mac) == 60, "virtio_net_info.mac");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_statistics) == 168, "struct virtio_net_statistics has grown: keep the first size");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_error_detail) == 32, "struct virtio_net_error_detail has grown: keep the first size");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_queue_memory) == 40,
                   "struct virtio_net_queue_memory is not as in ffi/src/platform.rs");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_reaped) == 16, "struct virtio_net_reaped is frozen");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_reaped, cookie) == 8, "virtio_net_reaped.cookie");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_taken) == 16, "struct virtio_net_taken is frozen");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_taken, cookie) == 8, "virtio_net_taken.cookie");
#if UINTPTR_MAX == 0xffffffffffffffff
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_dma) == 16, "struct virtio_net_dma is not as in ffi/src/platform.rs");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_platform) == 88, "struct virtio_net_platform is not as in ffi/src/platform.rs");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_platform, log) == 80, "virtio_net_platform.log");
VIRTIO_NET_PROMISE(sizeof(struct virtio_net_transport) == 136, "struct virtio_net_transport is not as in ffi/src/platform.rs");
VIRTIO_NET_PROMISE(offsetof(struct virtio_net_transport, config_read) == 120, "virtio_net_transport.config_read");
#endif

#undef VIRTIO_NET_PROMISE

/* Storage for a driver of these many slots, as a declaration: `static VIRTIO_NET_STORAGE(card, 256, 256);`, used as
 * `(struct virtio_net *)card`, `sizeof card`. */
#ifdef __cplusplus
#define VIRTIO_NET_STORAGE(name, tx_slots, rx_slots)                                                                             \
    uint64_t name alignas(VIRTIO_NET_STORAGE_ALIGNMENT)[VIRTIO_NET_STORAGE_BYTES(tx_slots, rx_slots) / 8]
#else
#define VIRTIO_NET_STORAGE(name, tx_slots, rx_slots)                                                                             \
    _Alignas(VIRTIO_NET_STORAGE_ALIGNMENT) uint64_t name[VIRTIO_NET_STORAGE_BYTES(tx_slots, rx_slots) / 8]
#endif

/* Initialisers for what begins with its size, with all else zero: `struct virtio_net_info info = VIRTIO_NET_INFO_INIT;`. In C++:
 * `virtio_net_info info{}; info.size = sizeof info;`. The platform and transport tables are initialised with designators:
 * `.size = sizeof(struct virtio_net_platform), .dma_alloc = …`. */
#ifndef __cplusplus
#define VIRTIO_NET_OPTIONS_INIT      {.size = sizeof(struct virtio_net_options)}      /* for struct virtio_net_options */
#define VIRTIO_NET_INFO_INIT         {.size = sizeof(struct virtio_net_info)}         /* for struct virtio_net_info */
#define VIRTIO_NET_STATISTICS_INIT   {.size = sizeof(struct virtio_net_statistics)}   /* for struct virtio_net_statistics */
#define VIRTIO_NET_ERROR_DETAIL_INIT {.size = sizeof(struct virtio_net_error_detail)} /* for struct virtio_net_error_detail */
#endif

#endif /* VIRTIO_NET_H */
