/*
 * model.h - a virtio network device as a program, for tests.
 *
 * The model stands where a hypervisor would: it answers register accesses (virtio 1.2, 4.2), reads and writes virtqueues
 * (2.7) through a map of the memory that the driver shared, sends what it is told to and keeps what it is sent. It knows
 * nothing of the driver but its public headers, and it holds the driver to the specification: each breach is a violation,
 * which is counted, printed and handed to `on_violation`.
 *
 * It behaves, until a test sets one of the fields under "behaviour" or calls one of the functions under "misbehaviour".
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio_net.h"

enum { MODEL_RX = 0, MODEL_TX = 1, MODEL_QUEUES = 2 };

/* Registers of virtio over MMIO (4.2.2, and 4.2.4 for the legacy ones). */
enum {
    REGISTER_MAGIC = 0x000,
    REGISTER_VERSION = 0x004,
    REGISTER_DEVICE_ID = 0x008,
    REGISTER_VENDOR_ID = 0x00c,
    REGISTER_DEVICE_FEATURES = 0x010,
    REGISTER_DEVICE_FEATURES_SEL = 0x014,
    REGISTER_DRIVER_FEATURES = 0x020,
    REGISTER_DRIVER_FEATURES_SEL = 0x024,
    REGISTER_GUEST_PAGE_SIZE = 0x028,
    REGISTER_QUEUE_SEL = 0x030,
    REGISTER_QUEUE_NUM_MAX = 0x034,
    REGISTER_QUEUE_NUM = 0x038,
    REGISTER_QUEUE_ALIGN = 0x03c,
    REGISTER_QUEUE_PFN = 0x040,
    REGISTER_QUEUE_READY = 0x044,
    REGISTER_QUEUE_NOTIFY = 0x050,
    REGISTER_INTERRUPT_STATUS = 0x060,
    REGISTER_INTERRUPT_ACK = 0x064,
    REGISTER_STATUS = 0x070,
    REGISTER_QUEUE_DESC_LOW = 0x080,
    REGISTER_QUEUE_DESC_HIGH = 0x084,
    REGISTER_QUEUE_DRIVER_LOW = 0x090,
    REGISTER_QUEUE_DRIVER_HIGH = 0x094,
    REGISTER_QUEUE_DEVICE_LOW = 0x0a0,
    REGISTER_QUEUE_DEVICE_HIGH = 0x0a4,
    REGISTER_CONFIG_GENERATION = 0x0fc,
    REGISTER_CONFIG = 0x100,
    MODEL_WINDOW_BYTES = 0x200
};

/* Calls of the transport table, as the trace names them. */
enum {
    CALL_PROPERTIES = 0x1000,
    CALL_DEVICE_TYPE,
    CALL_READ_FEATURES,
    CALL_WRITE_FEATURES,
    CALL_GET_STATUS,
    CALL_SET_STATUS,
    CALL_SET_GUEST_PAGE_SIZE,
    CALL_QUEUE_MAX,
    CALL_QUEUE_USED,
    CALL_QUEUE_SET,
    CALL_NOTIFY,
    CALL_INTERRUPT_ACK,
    CALL_CONFIG_GENERATION,
    CALL_CONFIG_READ
};

/* Bits of the device status (2.1). */
enum {
    STATUS_ACKNOWLEDGE = 1,
    STATUS_DRIVER = 2,
    STATUS_DRIVER_OK = 4,
    STATUS_FEATURES_OK = 8,
    STATUS_NEEDS_RESET = 64,
    STATUS_FAILED = 128
};

/* Fields of the network card's configuration space (5.1.4). */
enum { CONFIG_MAC = 0, CONFIG_STATUS = 6, CONFIG_MAX_PAIRS = 8, CONFIG_MTU = 10, CONFIG_BYTES = 64 };

/* Flags of a descriptor (2.7.5). */
enum { DESCRIPTOR_NEXT = 1, DESCRIPTOR_WRITE = 2, DESCRIPTOR_INDIRECT = 4 };

#define MODEL_FEATURE(name)   (UINT64_C(1) << VIRTIO_NET_FEATURE_##name)
#define MODEL_NEVER           UINT32_MAX
#define MODEL_MAX_PARTS       4
#define MODEL_MAX_RING        32768
#define MODEL_RANDOM_MAC_BYTE 0x5a

/* One access to a register ('r', 'w') or call of the transport table ('c'). */
struct model_access {
    char kind;
    uint32_t where;
    uint64_t value;
};

/* One block of memory that the driver or a test made reachable for the device. */
struct model_block {
    uint64_t device_address;
    uint8_t *address; /* for the driver */
    uint8_t *shadow;  /* for the device; another place on a machine whose caches are not coherent */
    uint32_t bytes;
    uint32_t direction;
    uint32_t flags;
    bool live;
    bool external; /* posted by a test, not allocated by the driver */
};

/* A buffer that the device took from the available ring and has not used yet. */
struct model_buffer {
    uint16_t head;
    uint16_t parts;
    uint32_t bytes;
    uint64_t sum; /* of the content when it was taken: the driver must leave it alone */
    struct {
        uint8_t *at;
        uint32_t bytes;
        bool writable;
    } part[MODEL_MAX_PARTS];
};

struct model_descriptor {
    uint64_t address;
    uint32_t bytes;
    uint16_t flags;
    uint16_t next;
};

/* One virtqueue as the device sees it. */
struct model_queue {
    bool ready;
    bool broken; /* by the driver: the device looks at it no more */
    uint32_t size;
    uint64_t descriptor_area, driver_area, device_area;
    struct model_descriptor *descriptors;
    uint16_t *avail; /* flags, idx, ring, used_event */
    uint8_t *used;   /* flags, idx, elements, avail_event */
    uint16_t avail_taken;
    uint16_t used_index;     /* elements written */
    uint16_t used_published; /* used.idx as last stored */
    uint16_t used_signalled; /* used.idx at the last decision to interrupt */
    struct model_buffer *pending;
    uint32_t pending_first, pending_count;
    bool *busy;                     /* descriptors in flight */
    struct model_descriptor *saved; /* what was there before the table was scribbled over */
    uint16_t *saved_avail;
    atomic_uint_fast64_t notifications;
    atomic_uint_fast64_t interrupts;
    uint64_t taken;
};

struct model {
    /* ---- behaviour: set before bring-up, most also later */
    uint32_t magic, version, device_id;
    uint64_t features;        /* offered */
    uint64_t features_second; /* not 0: offered from the second reading on */
    uint32_t queue_max[MODEL_QUEUES];
    bool queue_busy[MODEL_QUEUES]; /* QueueReady or QueuePFN read as not 0 after the reset */
    bool queue_refused;            /* the transport refuses queues: QueueReady stays 0, queue_set fails */
    uint32_t reset_reads;          /* readings of the status until a reset is done; MODEL_NEVER */
    bool refuse_features;          /* FEATURES_OK does not stick */
    uint8_t config[CONFIG_BYTES];
    uint32_t config_bytes; /* where the configuration space ends, for the transport table */
    uint32_t generation;
    uint32_t generation_step; /* added at each reading */
    void (*on_config_read)(struct model *model, uint32_t offset);
    bool gone;                   /* every register reads as ones */
    bool no_poll;                /* notifications are counted and not acted upon */
    bool hold_tx;                /* frames are taken at a notification, and completed by command */
    bool sink;                   /* frames are not captured and buffers not summed: for long runs */
    bool late_event;             /* avail_event is left behind after a poll: the driver's next notification is not wanted */
    bool hold_used;              /* used elements are written, used.idx is stored by model_publish */
    bool scribble;               /* descriptor table and available ring are overwritten once they were read */
    uint32_t drop_notifications; /* so many are lost */
    uint32_t extra_properties;   /* of the transport table */

    /* ---- the host: memory, clock, log */
    uint32_t fail_allocation; /* the n-th dma_alloc from now fails; 0: none */
    uint32_t fail_above;      /* dma_alloc of more bytes fails; 0: no limit */
    uint64_t next_device_address;
    uint32_t bend_address; /* added to the device address that dma_alloc returns */
    bool zero_address;     /* dma_alloc returns device address 0 */
    bool not_coherent;     /* memory that is not asked to be coherent needs the sync calls */
    bool no_random;
    atomic_uint_fast64_t clock_us;
    uint32_t clock_step_us;
    uint32_t allocations, largest_allocation;
    atomic_uint relaxed, log_lines;
    uint32_t log_level[8];
    int32_t log_code[8];

    /* ---- what is seen from outside */
    bool tracing;
    struct model_access *trace;
    uint32_t trace_count, trace_capacity;
    void (*on_violation)(struct model *model, const char *text);
    void (*on_fetch)(struct model *model, volatile void *address, unsigned width);
    void (*on_frame)(struct model *model, const uint8_t *frame, uint32_t length);
    void *word; /* for the test's callbacks */
    atomic_uint violations;
    uint64_t config_interrupts;
    uint64_t frames_sent;
    uint16_t avail_at_driver_ok; /* avail.idx of the receive queue when the driver said DRIVER_OK */
    uint64_t driver_features;
    uint32_t status;

    /* ---- the device's own */
    bool threaded; /* the device runs in a thread of its own: registers do no more than count */
    bool resetting;
    uint32_t reset_left;
    uint32_t isr;
    uint32_t feature_readings;
    uint32_t device_features_sel, driver_features_sel, queue_sel, guest_page_size;
    struct {
        uint32_t num, align;
        uint64_t descriptors, driver_area, device_area;
    } staged[MODEL_QUEUES];
    struct model_queue queue[MODEL_QUEUES];
    struct model_block *blocks;
    uint32_t block_count, block_capacity;
    uint8_t *captured;
    uint64_t captured_first, captured_end, captured_capacity;
    uint8_t registers[MODEL_WINDOW_BYTES]; /* only its addresses are used */
};

/* ------------------------------------------------------------------------------------------------------------ the model */

/* A well-behaved device of version 1 (legacy) or 2 that offers what QEMU's does. */
struct model *model_create(uint32_t version);
void model_destroy(struct model *model);

extern const struct virtio_net_platform model_platform;          /* every function */
extern const struct virtio_net_platform model_platform_coherent; /* without the sync calls */
extern const struct virtio_net_platform model_platform_required; /* none but the required functions */
extern const struct virtio_net_transport model_transport;

/* Says that the driver broke a rule. */
void model_violation(struct model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ----------------------------------------------------------------------------------------------------------- the device */

/* What the registers and the transport table have in common. */
uint32_t device_properties(const struct model *model);
uint32_t device_features_word(struct model *model, uint32_t word);
void device_accept_word(struct model *model, uint32_t word, uint32_t value);
uint32_t device_get_status(struct model *model);
void device_set_status(struct model *model, uint32_t value);
uint32_t device_queue_max(const struct model *model, uint32_t queue);
bool device_queue_set(struct model *model, const struct virtio_net_queue_memory *memory);
void device_notify(struct model *model, uint32_t queue);
uint32_t device_config_read(struct model *model, uint32_t offset, uint32_t width);
bool device_legacy(const struct model *model);
bool device_agreed(const struct model *model, uint32_t feature);
void device_finish_reset(struct model *model);
void device_trace(struct model *model, char kind, uint32_t where, uint64_t value);

/* --------------------------------------------------------------------------------------------------------------- memory */

/* Where the device finds `bytes` at a device address; NULL and a violation where there is no such memory. */
uint8_t *memory_at(struct model *model, uint64_t device_address, uint32_t bytes, bool write);

/* Whether the driver's caches hold nothing of the device's memory that could still be written back over it. */
bool memory_clean(const struct model *model, const uint8_t *device_side, uint32_t bytes);

/* Memory of a test, as a driver's caller would share it. Returns the device address of its first byte. */
uint64_t model_share(struct model *model, void *address, uint32_t bytes, uint32_t direction);

/* Blocks that dma_alloc gave and dma_free did not take back. */
uint32_t model_blocks_out(const struct model *model);
uint64_t model_bytes_out(const struct model *model);

/* ---------------------------------------------------------------------------------------------------------------- rings */

bool queue_open(struct model *model, uint32_t queue);
void queue_close(struct model_queue *queue);

/* Takes every new buffer from the available ring. Returns how many. */
uint32_t queue_take(struct model *model, uint32_t queue);

/* Says where the device wants the next notification, and tells whether buffers came meanwhile (2.7.10). */
bool queue_want_notification(struct model *model, uint32_t queue);

struct model_buffer *queue_pending(struct model_queue *queue, uint32_t position);
void queue_forget(struct model_queue *queue, uint32_t position);

/* ------------------------------------------------------------------------------------------------------------- commands */

/* The device looks at a queue as after a notification. */
void model_poll(struct model *model, uint32_t queue);

/* Completes `count` held frames in order, or the one at `position` of those held. Returns how many. */
uint32_t model_tx_complete(struct model *model, uint32_t count);
void model_tx_complete_at(struct model *model, uint32_t position);

/* The oldest captured frame; NULL where there is none. Valid until the next call or notification. */
const uint8_t *model_tx_pop(struct model *model, uint32_t *length);

/* A frame for the driver. `used_length` and `header` are as they should be unless `forged` says so. */
struct model_delivery {
    const void *frame;
    uint32_t length;
    uint32_t position; /* among the buffers that the device holds */
    bool forged_length, forged_header;
    uint32_t used_length;
    uint8_t header[12];
};

/* Returns false where the device has no buffer. */
bool model_rx_deliver(struct model *model, const void *frame, uint32_t length);
bool model_rx_deliver_as(struct model *model, const struct model_delivery *delivery);

/* Buffers that the device holds, after a look at the ring. */
uint32_t model_held(struct model *model, uint32_t queue);

/* Stores used.idx and interrupts where the driver asked for it. */
void model_publish(struct model *model, uint32_t queue);

void model_set_link(struct model *model, bool up);

/* ---------------------------------------------------------------------------------------------------------- misbehaviour */

/* Writes a used element as it is told and publishes it. */
void model_push_used(struct model *model, uint32_t queue, uint32_t id, uint32_t length);
void model_set_used_index(struct model *model, uint32_t queue, uint16_t value);
void model_set_avail_event(struct model *model, uint32_t queue, uint16_t value);
void model_set_used_flags(struct model *model, uint32_t queue, uint16_t value);
void model_needs_reset(struct model *model);

/* What the driver wrote, as it stands in memory. */
uint16_t model_avail_index(struct model *model, uint32_t queue);
uint16_t model_avail_flags(struct model *model, uint32_t queue);
uint16_t model_used_event(struct model *model, uint32_t queue);

/* Which field of the used ring an address is: its offset there, or -1. */
int64_t model_used_offset(const struct model *model, uint32_t queue, const volatile void *address);

/* ------------------------------------------------------------------------------------- the hooks of the driver under test */

uint32_t virtio_model_read(const volatile void *address, unsigned width);
void virtio_model_write(volatile void *address, unsigned width, uint32_t value);
void virtio_model_fetched(const volatile void *address, unsigned width);

#endif /* MODEL_H */
