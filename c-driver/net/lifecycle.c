/*
 * lifecycle.c - from storage to a running card and back: set-up, stop, start, recovery, removal, close.
 *
 * bring_up is the driver's part of virtio 1.2, 3.1.1 and 5.1.5 in the order of the text. One error ladder serves all of it:
 * whatever fails, the device is reset, and memory is given back only when the device has confirmed that.
 */
#include "net.h"

VIRTIO_SMALL_BEGIN

#define DEFAULT_SLOTS            256u
#define DEFAULT_BUFFER_BYTES     (ETHERNET_MTU + ETHERNET_HEADER_BYTES + ETHERNET_VLAN_BYTES)
#define DEFAULT_RESET_TIMEOUT_US 100000u
#define MAX_RESET_TIMEOUT_US     10000000u
#define MAX_HEADROOM             256u
#define MIN_TX_BUFFER_BYTES      60u
/* 5.1.4.1: the device must not offer less. */
#define MIN_MTU      68u

#define BIT(feature) ((uint64_t)1 << (feature))

/* What this driver implements. A legacy device's own wishes are added in wanted_features. */
#define FEATURES                                                                                                                 \
    (BIT(VIRTIO_NET_FEATURE_MTU) | BIT(VIRTIO_NET_FEATURE_MAC) | BIT(VIRTIO_NET_FEATURE_STATUS) |                                \
     BIT(VIRTIO_NET_FEATURE_EVENT_IDX) | BIT(VIRTIO_NET_FEATURE_VERSION_1))

/* --------------------------------------------------------------------------------------------------------- options and tables */

static int32_t bad_option(struct virtio_net *net, size_t offset, uint64_t found)
{
    return vn_device_fail(&net->device, VIRTIO_NET_ERROR_OPTIONS, VIRTIO_NET_FIELD_OPTION, 0, found, offset);
}

#define FIRST_NUMBER offsetof(struct virtio_net_options, tx_slots)
#define POWER_OF_TWO 1u
#define OR_NO_POOL   2u

/* The options that are numbers, in their order. 0 stands for the default. */
static const struct {
    uint32_t fallback;
    uint32_t least;
    uint32_t most;
    uint32_t kind;
} numbers[] = {
    {DEFAULT_SLOTS, VIRTIO_NET_MIN_SLOTS, VIRTIO_NET_MAX_SLOTS, POWER_OF_TWO}, /* tx_slots */
    {DEFAULT_SLOTS, VIRTIO_NET_MIN_SLOTS, VIRTIO_NET_MAX_SLOTS, POWER_OF_TWO}, /* rx_slots */
    {DEFAULT_BUFFER_BYTES, MIN_TX_BUFFER_BYTES, NET_MAX_FRAME, OR_NO_POOL},    /* tx_buffer_bytes */
    {DEFAULT_BUFFER_BYTES, ETHERNET_MIN_BUFFER, NET_MAX_FRAME, OR_NO_POOL},    /* rx_buffer_bytes */
    {0, 0, MAX_HEADROOM, 0},                                                   /* rx_headroom */
    {VIRTIO_NET_LOG_WARNING, 0, VIRTIO_NET_LOG_INFO, 0},                       /* log_level */
    {DEFAULT_RESET_TIMEOUT_US, 0, MAX_RESET_TIMEOUT_US, 0},                    /* reset_timeout_us */
};

_Static_assert(FIRST_NUMBER + sizeof numbers / sizeof *numbers * 4 == offsetof(struct virtio_net_options, fallback_mac),
               "each option that is a number has its line");

static int32_t take_numbers(struct virtio_net *net)
{
    uint32_t *values = (uint32_t *)(void *)((uint8_t *)&net->options + FIRST_NUMBER);
    for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (values[i] == 0)
            values[i] = numbers[i].fallback;
        uint32_t value = values[i];
        bool fits = value >= numbers[i].least && value <= numbers[i].most;
        if (numbers[i].kind == POWER_OF_TWO)
            fits = fits && (value & (value - 1)) == 0;
        if (numbers[i].kind == OR_NO_POOL)
            fits = fits || value == VIRTIO_NET_NO_POOL;
        if (!fits)
            return bad_option(net, FIRST_NUMBER + i * sizeof value, value);
    }
    return VIRTIO_NET_SUCCESS;
}

static int32_t check_options(struct virtio_net *net)
{
    const struct virtio_net_options *options = &net->options;
    uint32_t known =
        VIRTIO_NET_OPTION_TRUST_HEADER | VIRTIO_NET_OPTION_IRQ_RX | VIRTIO_NET_OPTION_IRQ_TX | VIRTIO_NET_OPTION_MTU_ADVICE;
    if ((options->flags & ~known) != 0)
        return bad_option(net, offsetof(struct virtio_net_options, flags), options->flags);
    if ((options->fallback_mac[0] & 1) != 0)
        return bad_option(net, offsetof(struct virtio_net_options, fallback_mac), options->fallback_mac[0]);
    for (uint32_t i = 0; i < sizeof options->reserved; i++)
        if (options->reserved[i] != 0)
            return bad_option(net, offsetof(struct virtio_net_options, reserved) + i, options->reserved[i]);
    return VIRTIO_NET_SUCCESS;
}

/* Copies as much as both sides know. A tail that this library does not know must be zero: it would have a meaning. */
static int32_t copy_options(struct virtio_net *net, const struct virtio_net_options *from)
{
    uint8_t *to = (uint8_t *)&net->options;
    const uint8_t *bytes = (const uint8_t *)from;
    uint32_t size = from != NULL ? from->size : 0;
    if (from != NULL && size < sizeof from->size)
        return vn_device_fail(&net->device, VIRTIO_NET_ERROR_STRUCT_SIZE, VIRTIO_NET_FIELD_OPTION, 0, size, 0);
    for (uint32_t i = 0; i < size; i++) {
        if (i < sizeof net->options)
            to[i] = bytes[i];
        else if (bytes[i] != 0)
            return vn_device_fail(&net->device, VIRTIO_NET_ERROR_STRUCT_SIZE, VIRTIO_NET_FIELD_OPTION, 0, size, i);
    }
    return VIRTIO_NET_SUCCESS;
}

static int32_t take_options(struct virtio_net *net, const struct virtio_net_options *from)
{
    int32_t code = copy_options(net, from);
    if (code >= 0)
        code = take_numbers(net);
    /* From here on the caller's level holds; an error before was logged by the default. */
    if (code >= 0) {
        net->device.log_level = net->options.log_level;
        net->device.reset_timeout_us = net->options.reset_timeout_us;
        code = check_options(net);
    }
    return code;
}

/* The functions of a table, after `size` and `flags`, as an array. Each is of another type, which no read through this one
 * minds. */
#if defined(__GNUC__)
typedef void (*__attribute__((may_alias)) any_function)(void);
#else
typedef void (*any_function)(void);
#endif

#define FIRST_FUNCTION 8u
#define FUNCTION(table, name)                                                                                                    \
    ((uint32_t)1 << ((offsetof(struct virtio_net_##table, name) - FIRST_FUNCTION) / sizeof(any_function)))

#define NEEDED_OF_PLATFORM (FUNCTION(platform, dma_alloc) | FUNCTION(platform, dma_free))
/* All but three, up to the last but one. */
#define NEEDED_OF_TRANSPORT                                                                                                      \
    ((FUNCTION(transport, config_write) - 1) & ~(FUNCTION(transport, set_guest_page_size) | FUNCTION(transport, queue_reset)))

/* What both tables begin with. */
struct table {
    uint32_t size;
    uint32_t flags;
};

_Static_assert(offsetof(struct virtio_net_transport, flags) == offsetof(struct table, flags) &&
                   offsetof(struct virtio_net_platform, flags) == offsetof(struct table, flags),
               "the tables begin alike");

/* Flags and functions of a newer header would have a meaning that this library does not know. What it knows is `known` bytes. */
static int32_t check_table(struct virtio_net *net, uint32_t number, const void *table, uint32_t known, uint32_t needed)
{
    const struct table *head = table;
    const uint8_t *bytes = table;
    if (head->flags != 0)
        return vn_device_fail(&net->device, VIRTIO_NET_ERROR_UNSUPPORTED, VIRTIO_NET_FIELD_TABLE, number, head->flags, 0);
    for (uint32_t i = known; i < head->size; i++)
        if (bytes[i] != 0)
            return vn_device_fail(&net->device, VIRTIO_NET_ERROR_STRUCT_SIZE, VIRTIO_NET_FIELD_TABLE, number, head->size, i);
    for (uint32_t i = FIRST_FUNCTION; needed != 0; needed >>= 1, i += (uint32_t)sizeof(any_function))
        if ((needed & 1) != 0 &&
            (i + sizeof(any_function) > head->size || *(const any_function *)(const void *)&bytes[i] == NULL))
            return vn_device_fail(&net->device, VIRTIO_NET_ERROR_TABLE, VIRTIO_NET_FIELD_TABLE, number, 0, i);
    return VIRTIO_NET_SUCCESS;
}

static int32_t check_tables(struct virtio_net *net)
{
    const struct virtio_transport *transport = &net->device.transport;
    int32_t code = check_table(net, 0, transport->operations, sizeof *transport->operations, NEEDED_OF_TRANSPORT);
    return code < 0 ? code : check_table(net, 1, transport->platform, sizeof *transport->platform, NEEDED_OF_PLATFORM);
}

/* -------------------------------------------------------------------------------------------------------------- negotiation */

/* What to ask for of what the device offers, before its MTU was looked at. */
static uint64_t wanted_features(const struct virtio_net *net)
{
    const struct virtio_device *device = &net->device;
    uint64_t mask = net->options.feature_mask;
    uint64_t wanted = FEATURES;
    if (mask != 0)
        wanted &= mask | BIT(VIRTIO_NET_FEATURE_VERSION_1);
    if (device_is_legacy(device)) {
        /* 5.1.6.6: without ANY_LAYOUT the header lies in a descriptor of its own, for which indirect ones are a help. */
        uint64_t legacy = BIT(VIRTIO_NET_FEATURE_ANY_LAYOUT);
        uint64_t allowed = mask != 0 ? mask : UINT64_MAX;
        if ((device->offered & allowed & legacy) == 0)
            legacy = BIT(VIRTIO_NET_FEATURE_INDIRECT_DESC);
        wanted |= legacy & allowed;
    }
    return wanted;
}

/*
 * Takes the MTU that the device tells, and the feature from those wanted where it is not agreed on. To agree is to promise that
 * frames of that length are received, so the buffers must hold them (5.1.4.2). On an advice nothing depends: a device that
 * cannot tell it is as good as one without the feature.
 */
static int32_t choose_mtu(struct virtio_net *net, uint64_t *wanted)
{
    const struct virtio_net_options *options = &net->options;
    struct virtio_net_error_detail error = net->device.error;
    uint32_t buffer = options->rx_buffer_bytes != VIRTIO_NET_NO_POOL ? options->rx_buffer_bytes : ETHERNET_MIN_BUFFER;
    bool advice = (options->flags & VIRTIO_NET_OPTION_MTU_ADVICE) != 0;
    uint16_t mtu = 0;
    net->mtu = ETHERNET_MTU;
    if ((net->device.offered & *wanted & BIT(VIRTIO_NET_FEATURE_MTU)) == 0)
        return VIRTIO_NET_SUCCESS;
    int32_t code = vn_device_config(&net->device, NET_CONFIG_MTU, 2, sizeof mtu, &mtu);
    bool fits = code >= 0 && mtu >= MIN_MTU && (advice || mtu + ETHERNET_HEADER_BYTES + ETHERNET_VLAN_BYTES <= buffer);
    if (fits)
        net->mtu = mtu;
    if (advice || !fits)
        *wanted &= ~BIT(VIRTIO_NET_FEATURE_MTU);
    if (!advice || code >= 0)
        return code;
    net->device.error = error;
    return VIRTIO_NET_SUCCESS;
}

static int32_t negotiate(struct virtio_net *net)
{
    vn_device_read_features(&net->device);
    uint64_t wanted = wanted_features(net);
    int32_t code = choose_mtu(net, &wanted);
    return code < 0 ? code : vn_device_accept_features(&net->device, wanted);
}

#define MAC_OF_DEVICE  0u
#define MAC_OF_OPTIONS 1u
#define MAC_RANDOM     2u

static bool is_unicast(const uint8_t mac[6])
{
    return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

static bool take_mac(struct virtio_net *net, const uint8_t mac[6], uint8_t source)
{
    if (!is_unicast(mac))
        return false;
    for (int i = 0; i < 6; i++)
        net->mac[i] = mac[i];
    net->mac_source = source;
    return true;
}

/* The device's address, or the one from the options, or a random one of the local range, which is kept for the driver's life. */
static int32_t choose_mac(struct virtio_net *net)
{
    const struct virtio_transport *transport = &net->device.transport;
    uint8_t mac[6] = {0};
    int32_t code = VIRTIO_NET_SUCCESS;
    if (device_has(&net->device, VIRTIO_NET_FEATURE_MAC))
        code = vn_device_config(&net->device, NET_CONFIG_MAC, 1, sizeof mac, mac);
    if (code < 0 || take_mac(net, mac, MAC_OF_DEVICE) || take_mac(net, net->options.fallback_mac, MAC_OF_OPTIONS))
        return code;
    if (net->mac_source == MAC_RANDOM)
        return VIRTIO_NET_SUCCESS;
    if (TABLE_HAS(transport->platform, random) && transport->platform->random(transport->context, mac, sizeof mac) >= 0) {
        mac[0] = (uint8_t)((mac[0] & ~1u) | 2u);
        take_mac(net, mac, MAC_RANDOM);
        return VIRTIO_NET_SUCCESS;
    }
    return vn_device_fail(&net->device, VIRTIO_NET_ERROR_NO_ADDRESS, VIRTIO_NET_FIELD_CONFIG, 0, NET_CONFIG_MAC, sizeof mac);
}

static int32_t read_link(struct virtio_net *net)
{
    uint16_t status = NET_STATUS_LINK_UP;
    int32_t code = VIRTIO_NET_SUCCESS;
    if (device_has(&net->device, VIRTIO_NET_FEATURE_STATUS))
        code = vn_device_config(&net->device, NET_CONFIG_STATUS, 2, sizeof status, &status);
    if (code >= 0)
        flag_write(&net->link_up, (uint8_t)(status & NET_STATUS_LINK_UP));
    return code;
}

/* ------------------------------------------------------------------------------------------------------------------- queues */

struct queue_plan {
    uint32_t entries;
    uint32_t slots;
    enum virtio_layout layout;
};

static uint32_t floor_power_of_two(uint32_t value)
{
    uint32_t power = 1;
    while (power <= value / 2)
        power *= 2;
    return power;
}

/* How many slots the device's queue can carry, and how. */
static int32_t plan_queue(struct virtio_net *net, uint32_t queue, uint32_t wanted, struct queue_plan *plan)
{
    struct virtio_device *device = &net->device;
    const struct virtio_net_transport *operations = device->transport.operations;
    uint32_t max = operations->queue_max(device->transport.device, queue);
    uint32_t entries = max != 0 ? floor_power_of_two(max > VIRTIO_NET_MAX_SLOTS ? VIRTIO_NET_MAX_SLOTS : max) : 0;
    bool two = device_is_legacy(device) && !device_has(device, VIRTIO_NET_FEATURE_ANY_LAYOUT);
    plan->layout = VIRTIO_LAYOUT_ONE;
    plan->slots = wanted < entries ? wanted : entries;
    plan->entries = plan->slots;
    if (two && entries < 2 * wanted && device_has(device, VIRTIO_NET_FEATURE_INDIRECT_DESC)) {
        plan->layout = VIRTIO_LAYOUT_INDIRECT;
    } else if (two) {
        plan->layout = VIRTIO_LAYOUT_CHAIN;
        plan->slots = wanted < entries / 2 ? wanted : entries / 2;
        plan->entries = 2 * plan->slots;
    }
    if (plan->slots < VIRTIO_NET_MIN_SLOTS) {
        uint32_t least = plan->layout == VIRTIO_LAYOUT_CHAIN ? 2 : 1;
        return vn_device_fail(device, VIRTIO_NET_ERROR_QUEUE_MISSING, VIRTIO_NET_FIELD_QUEUE_SIZE, queue, max, least);
    }
    uint32_t used = operations->queue_used(device->transport.device, queue);
    if (used != 0)
        return vn_device_fail(device, VIRTIO_NET_ERROR_QUEUE_IN_USE, VIRTIO_NET_FIELD_QUEUE_READY, queue, used, 0);
    return VIRTIO_NET_SUCCESS;
}

/* Another number of slots than before moves every slot, which those that the caller holds cannot follow. */
static int32_t resize(struct virtio_net *net, struct virtio_ring *ring, uint32_t slots)
{
    if (slots == ring_size(ring))
        return VIRTIO_NET_SUCCESS;
    if (!ring_is_untouched(ring))
        return vn_device_fail(&net->device, VIRTIO_NET_ERROR_STATE, VIRTIO_NET_FIELD_QUEUE_SIZE, ring->index, slots,
                              ring_size(ring));
    vn_ring_free_all(ring, slots);
    return VIRTIO_NET_SUCCESS;
}

static int32_t set_up_memory(struct virtio_net *net, struct virtio_ring *ring, struct dma_pool *pool,
                             const struct queue_plan *plan)
{
    struct virtio_device *device = &net->device;
    bool legacy = device_is_legacy(device);
    int32_t code = resize(net, ring, plan->slots);
    if (code >= 0)
        code = vn_dma_ring_allocate(device, ring, vn_ring_bytes(plan->entries, plan->slots, plan->layout, legacy));
    if (code < 0)
        return code;
    if (legacy && ring->memory.device_address / VIRTIO_PAGE_BYTES > UINT32_MAX)
        return vn_device_fail(device, VIRTIO_NET_ERROR_DMA_ADDRESS, VIRTIO_NET_FIELD_DMA, ring->index,
                              ring->memory.device_address, (uint64_t)UINT32_MAX * VIRTIO_PAGE_BYTES);
    vn_ring_lay_out(ring, plan->entries, plan->layout, legacy);
    if (pool->stride != 0 && pool->slots < plan->slots) {
        vn_dma_pool_free(device, ring, pool, false);
        code = vn_dma_pool_allocate(device, ring, pool, plan->slots);
    }
    return code;
}

static int32_t set_up_queue(struct virtio_net *net, struct virtio_ring *ring, struct dma_pool *pool, uint32_t wanted)
{
    struct virtio_device *device = &net->device;
    struct queue_plan plan;
    struct virtio_net_queue_memory memory;
    ring->header_length = NET_HEADER_BYTES;
    if (!device_has(device, VIRTIO_NET_FEATURE_VERSION_1) && !device_has(device, VIRTIO_NET_FEATURE_MRG_RXBUF))
        ring->header_length = NET_HEADER_BYTES_LEGACY;
    ring->event_index = device_has(device, VIRTIO_NET_FEATURE_EVENT_IDX);
    int32_t code = plan_queue(net, ring->index, wanted, &plan);
    if (code >= 0)
        code = set_up_memory(net, ring, pool, &plan);
    if (code < 0)
        return code;
    for (uint32_t slot = 0; slot < plan.slots && pool->slots != 0; slot++)
        vn_ring_place_buffer(ring, (uint16_t)slot, ring_slots(ring)[slot].device_address,
                             ring->device_writes ? net->options.rx_buffer_bytes : 0);
    vn_ring_describe(ring, &memory);
    if (device->transport.operations->queue_set(device->transport.device, &memory) < 0)
        return vn_device_fail(device, VIRTIO_NET_ERROR_QUEUE_SETUP, VIRTIO_NET_FIELD_QUEUE_READY, ring->index, 0, 1);
    /* Before DRIVER_OK nothing can come in between. */
    if (ring->interrupts)
        vn_ring_arm(ring);
    else
        vn_ring_park(ring);
    return VIRTIO_NET_SUCCESS;
}

static void set_up_frames(struct virtio_net *net)
{
    net->rx.ring.buffer_length = net->rx.pool_frame != 0 ? net->rx.pool_frame + net->rx.ring.header_length : 0;
    net->tx.max_frame = NET_MAX_FRAME;
    if (device_has(&net->device, VIRTIO_NET_FEATURE_MTU))
        net->tx.max_frame = net->mtu + ETHERNET_HEADER_BYTES + ETHERNET_VLAN_BYTES;
    uint32_t buffer = net->options.tx_buffer_bytes;
    net->tx.pool_frame = buffer == VIRTIO_NET_NO_POOL ? 0 : buffer < net->tx.max_frame ? buffer : net->tx.max_frame;
}

/* --------------------------------------------------------------------------------------------------------------- up and down */

static int32_t set_up_device(struct virtio_net *net)
{
    struct virtio_device *device = &net->device;
    struct virtio_transport *transport = &device->transport;
    int32_t code = vn_device_reset(device);
    if (code < 0)
        return code;
    vn_device_add_status(device, VIRTIO_STATUS_ACKNOWLEDGE);
    vn_device_add_status(device, VIRTIO_STATUS_DRIVER);
    code = negotiate(net);
    if (code >= 0)
        code = choose_mac(net);
    if (code >= 0)
        code = read_link(net);
    if (code < 0)
        return code;
    if (device_is_legacy(device) && TABLE_HAS(transport->operations, set_guest_page_size))
        transport->operations->set_guest_page_size(transport->device, VIRTIO_PAGE_BYTES);
    code = set_up_queue(net, &net->rx.ring, &net->rx.pool, net->options.rx_slots);
    if (code >= 0)
        code = set_up_queue(net, &net->tx.ring, &net->tx.pool, net->options.tx_slots);
    return code;
}

/* The quick ways are for machines where memory needs no care. Those with a pool read headers and frames by whole words, and those
 * for memory of the caller write one descriptor each. */
static uint8_t usability(const struct virtio_net *net, const struct virtio_ring *ring, const struct dma_pool *pool)
{
    bool pooled = pool->slots != 0;
    if (net->sync || (pooled ? pool->frame_offset % 8 != 0 : ring->layout != VIRTIO_LAYOUT_ONE))
        return VIRTIO_RING_USABLE;
    uint8_t events = ring->event_index ? VIRTIO_RING_EVENT : 0;
    uint8_t trusted = net->rx.trust_header ? VIRTIO_RING_TRUSTED : 0;
    return VIRTIO_RING_USABLE | (pooled ? VIRTIO_RING_PLAIN : VIRTIO_RING_BARE) | events | trusted;
}

static int32_t bring_up(struct virtio_net *net)
{
    int32_t code = set_up_device(net);
    if (code < 0)
        return code;
    set_up_frames(net);
    net->rx.ring.fault.code = net->tx.ring.fault.code = VIRTIO_NET_SUCCESS;
    vn_net_rx_fill(net);
    vn_device_add_status(&net->device, VIRTIO_STATUS_DRIVER_OK);
    flag_write(&net->rx.ring.usable, usability(net, &net->rx.ring, &net->rx.pool));
    flag_write(&net->tx.ring.usable, usability(net, &net->tx.ring, &net->tx.pool));
    net->state = VIRTIO_NET_STATE_RUNNING;
    /* 3.1.1, step 8: no notification before this. */
    if (net->rx.ring.published != 0)
        vn_ring_notify(&net->rx.ring, &net->device.transport, 0);
    vn_log(&net->device.transport, net->device.log_level, VIRTIO_NET_LOG_INFO, VIRTIO_NET_SUCCESS,
           "virtio-net is up; slots to transmit, to receive", ring_size(&net->tx.ring), ring_size(&net->rx.ring));
    return VIRTIO_NET_SUCCESS;
}

/* The last look at the rings before a reset: what was sent is not lost, and what was received and not taken is. */
static void take_stock(struct virtio_net *net)
{
    if (ring_is_usable(&net->tx.ring))
        vn_net_tx_collect(net);
    int32_t waiting = ring_is_usable(&net->rx.ring) ? ring_ready(&net->rx.ring) : 0;
    counter_add(&net->rx.lost, waiting > 0 ? (uint32_t)waiting : 0);
    flag_write(&net->rx.ring.usable, 0);
    flag_write(&net->tx.ring.usable, 0);
    vn_net_add_faults(net, &net->device.error); /* outlives the rings' */
}

static void count_lost(struct virtio_net *net)
{
    counter_add(&net->tx.lost, ring_in_flight(&net->tx.ring));
}

/* Resets the device and takes every slot back from it. Where the reset is not confirmed, slots stay where they are: the
 * device may still use them. */
static int32_t bring_down(struct virtio_net *net)
{
    take_stock(net);
    counter_add(&net->resets, 1);
    net->state = VIRTIO_NET_STATE_STOPPED;
    int32_t code = vn_device_reset(&net->device);
    if (code < 0)
        return code;
    count_lost(net);
    vn_ring_forget(&net->rx.ring);
    vn_ring_forget(&net->tx.ring);
    return VIRTIO_NET_SUCCESS;
}

/* Gives all memory back, or, where the device may still write it, counts it and lets it be. */
static void give_back(struct virtio_net *net, bool quarantine)
{
    struct virtio_device *device = &net->device;
    uint64_t bytes = vn_dma_pool_free(device, &net->rx.ring, &net->rx.pool, quarantine);
    bytes += vn_dma_pool_free(device, &net->tx.ring, &net->tx.pool, quarantine);
    bytes += vn_dma_ring_free(device, &net->rx.ring, quarantine);
    bytes += vn_dma_ring_free(device, &net->tx.ring, quarantine);
    if (!quarantine)
        return;
    counter_add(&net->quarantined_bytes, bytes);
    vn_log(&device->transport, device->log_level, VIRTIO_NET_LOG_ERROR, VIRTIO_NET_ERROR_RESET_TIMEOUT,
           "memory that the device may still write is not given back; bytes, 0", bytes, 0);
}

/* The bottom of the error ladder. The error that is reported is the first one. */
static int32_t undo(struct virtio_net *net, int32_t code, bool free_memory)
{
    struct virtio_net_error_detail first = net->device.error;
    /* 2.1.2: after asking for a reset a driver waits; where that was in vain already, nothing more is written. */
    if (!net->device.resetting) {
        vn_device_add_status(&net->device, VIRTIO_STATUS_FAILED);
        vn_device_reset(&net->device);
    }
    bool has_memory = net->rx.ring.memory.address != NULL || net->tx.ring.memory.address != NULL;
    if (free_memory && has_memory)
        give_back(net, net->device.resetting != 0);
    net->device.error = first;
    return code;
}

/* ------------------------------------------------------------------------------------------------------------------- public */

/* Where the slots of a queue lie, so many bytes from the driver's start, and what never changes about it and its pool. */
static void arrange_queue(struct virtio_net *net, struct virtio_ring *ring, struct dma_pool *pool, uint32_t slots_at,
                          uint32_t slots, uint32_t buffer_bytes, uint32_t headroom)
{
    ring->slots_offset = slots_at - (uint32_t)((uintptr_t)ring - (uintptr_t)net);
    if (net->device.transport.registers != NULL)
        ring->notify_register = net->device.transport.registers + VIRTIO_MMIO_QUEUE_NOTIFY;
    if (buffer_bytes != VIRTIO_NET_NO_POOL) {
        ring->pooled = 1;
        pool->frame_offset = NET_FRAME_OFFSET + headroom;
        pool->stride = (pool->frame_offset + buffer_bytes + 63) & ~63u;
    }
    vn_ring_free_all(ring, slots);
}

static void arrange(struct virtio_net *net)
{
    const struct virtio_net_options *options = &net->options;
    const struct virtio_net_platform *platform = net->device.transport.platform;
    struct virtio_ring *tx = &net->tx.ring;
    struct virtio_ring *rx = &net->rx.ring;
    clear_words((uint8_t *)net + VIRTIO_NET_STORAGE_FIXED, VIRTIO_NET_STORAGE_PER_SLOT * (options->tx_slots + options->rx_slots));
    net->sync = TABLE_HAS(platform, sync_for_device) || TABLE_HAS(platform, sync_for_cpu);
    net->rx.trust_header = options->flags & VIRTIO_NET_OPTION_TRUST_HEADER;
    rx->interrupts = (options->flags & VIRTIO_NET_OPTION_IRQ_RX) != 0;
    tx->interrupts = (options->flags & VIRTIO_NET_OPTION_IRQ_TX) != 0;
    tx->index = NET_QUEUE_TX;
    net->tx.pool.direction = VIRTIO_NET_DMA_TO_DEVICE;
    rx->index = NET_QUEUE_RX;
    rx->device_writes = 1;
    net->rx.pool.direction = VIRTIO_NET_DMA_BOTH; /* whoever peeks a frame may write it */
    net->rx.pool.flags = VIRTIO_NET_DMA_RECEIVE_POOL;
    if (options->rx_buffer_bytes != VIRTIO_NET_NO_POOL)
        net->rx.pool_frame = options->rx_buffer_bytes;
    arrange_queue(net, tx, &net->tx.pool, NET_SLOT_AT(0), options->tx_slots, options->tx_buffer_bytes, 0);
    net->rx.slots_at = NET_SLOT_AT(options->tx_slots);
    arrange_queue(net, rx, &net->rx.pool, net->rx.slots_at, options->rx_slots, options->rx_buffer_bytes, options->rx_headroom);
}

/* An empty driver. */
static void begin(struct virtio_net *net, const struct virtio_net_platform *platform, void *context)
{
    clear_words(net, VIRTIO_NET_STORAGE_FIXED);
    net->device.error.size = sizeof net->device.error;
    net->device.log_level = VIRTIO_NET_LOG_WARNING;
    net->device.transport.platform = platform;
    net->device.transport.context = context;
}

/* What can be refused before anything is looked at. Where there is storage at all it begins a driver there, which keeps the
 * error. */
static int32_t check_storage(uint32_t header_version, struct virtio_net *net, uint64_t storage_bytes, const void *transport,
                             const struct virtio_net_platform *platform, void *context)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if ((uintptr_t)net % VIRTIO_NET_STORAGE_ALIGNMENT != 0 || storage_bytes < VIRTIO_NET_STORAGE_FIXED)
        return VIRTIO_NET_ERROR_STORAGE;
    begin(net, platform, context);
    /* Before version 1.0 each minor version is an interface of its own. */
    if (VIRTIO_NET_ABI_MAJOR == 0 ? header_version != VIRTIO_NET_ABI_VERSION : header_version >> 16 != VIRTIO_NET_ABI_MAJOR)
        net->device.error.code = VIRTIO_NET_ERROR_ABI_VERSION;
    else if (transport == NULL || platform == NULL)
        net->device.error.code = VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    return net->device.error.code;
}

static int32_t set_up(struct virtio_net *net, uint64_t storage_bytes, const struct virtio_net_options *options)
{
    int32_t code = check_tables(net);
    if (code >= 0)
        code = take_options(net, options);
    if (code < 0)
        return code;
    uint64_t needed = VIRTIO_NET_STORAGE_BYTES((uint64_t)net->options.tx_slots, net->options.rx_slots);
    if (storage_bytes < needed)
        return vn_device_fail(&net->device, VIRTIO_NET_ERROR_STORAGE, VIRTIO_NET_FIELD_STORAGE, 0, storage_bytes, needed);
    const struct virtio_transport *transport = &net->device.transport;
    uint32_t type = transport->operations->device_type(transport->device);
    if (type != 1)
        return vn_device_fail(&net->device, VIRTIO_NET_ERROR_NOT_NETWORK, VIRTIO_NET_FIELD_DEVICE_TYPE, 0, type, 1);
    arrange(net);
    code = bring_up(net);
    return code < 0 ? undo(net, code, true) : code;
}

int32_t virtio_net_init_versioned(uint32_t header_version, struct virtio_net *net, uint64_t storage_bytes,
                                  const struct virtio_net_transport *transport, const struct virtio_net_platform *platform,
                                  void *context, const struct virtio_net_options *options)
{
    int32_t code = check_storage(header_version, net, storage_bytes, transport, platform, context);
    if (code < 0)
        return code;
    net->device.transport.operations = transport;
    net->device.transport.device = context;
    return set_up(net, storage_bytes, options);
}

/* The two registers before the device type (4.2.2). */
static int32_t probe(const volatile void *registers, uint32_t *version, uint32_t *found)
{
    const volatile uint8_t *base = registers;
    *version = 0;
    *found = register_read(base + VIRTIO_MMIO_MAGIC, 4);
    if (*found != VIRTIO_MMIO_MAGIC_VALUE)
        return VIRTIO_NET_ERROR_MAGIC;
    *version = *found = register_read(base + VIRTIO_MMIO_VERSION, 4);
    return *version == 1 || *version == 2 ? VIRTIO_NET_SUCCESS : VIRTIO_NET_ERROR_DEVICE_VERSION;
}

int32_t virtio_net_init_mmio_versioned(uint32_t header_version, struct virtio_net *net, uint64_t storage_bytes,
                                       volatile void *registers, const struct virtio_net_platform *platform, void *context,
                                       const struct virtio_net_options *options)
{
    int32_t code = check_storage(header_version, net, storage_bytes, (const void *)(uintptr_t)registers, platform, context);
    if (code < 0)
        return code;
    uint32_t version = 0;
    uint32_t found = 0;
    net->device.transport.registers = registers;
    net->device.transport.device = (void *)(uintptr_t)registers; /* takes `volatile` off what is only handed through */
    code = probe(registers, &version, &found);
    if (code == VIRTIO_NET_ERROR_MAGIC)
        return vn_device_fail(&net->device, code, VIRTIO_NET_FIELD_MAGIC, 0, found, VIRTIO_MMIO_MAGIC_VALUE);
    if (code < 0)
        return vn_device_fail(&net->device, code, VIRTIO_NET_FIELD_VERSION, 0, found, 2);
    net->device.transport.operations = version == 1 ? &vn_mmio_legacy : &vn_mmio_modern;
    return set_up(net, storage_bytes, options);
}

int32_t virtio_net_mmio_probe(const volatile void *registers)
{
    uint32_t version = 0;
    uint32_t found = 0;
    if (registers == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    int32_t code = probe(registers, &version, &found);
    if (code < 0)
        return code;
    uint32_t type = register_read((const volatile uint8_t *)registers + VIRTIO_MMIO_DEVICE_ID, 4);
    return type == 1 ? VIRTIO_NET_SUCCESS : VIRTIO_NET_ERROR_NOT_NETWORK;
}

void virtio_net_set_context(struct virtio_net *net, void *context)
{
    net->device.transport.context = context;
    if (net->device.transport.registers == NULL)
        net->device.transport.device = context;
}

int32_t virtio_net_stop(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state != VIRTIO_NET_STATE_RUNNING && !(net->state == VIRTIO_NET_STATE_STOPPED && net->device.resetting))
        return VIRTIO_NET_ERROR_STATE;
    return bring_down(net);
}

int32_t virtio_net_start(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state != VIRTIO_NET_STATE_STOPPED || net->device.resetting)
        return VIRTIO_NET_ERROR_STATE;
    int32_t code = bring_up(net);
    if (code < 0)
        return undo(net, code, false);
    return code;
}

int32_t virtio_net_recover(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    bool must_stop = net->state == VIRTIO_NET_STATE_RUNNING || net->device.resetting;
    int32_t code = must_stop ? virtio_net_stop(net) : VIRTIO_NET_SUCCESS;
    return code < 0 ? code : virtio_net_start(net);
}

int32_t virtio_net_abandon(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state != VIRTIO_NET_STATE_RUNNING && net->state != VIRTIO_NET_STATE_STOPPED)
        return VIRTIO_NET_ERROR_STATE;
    take_stock(net);
    count_lost(net);
    net->device.resetting = 0; /* a device that is gone writes nothing */
    vn_ring_forget(&net->rx.ring);
    vn_ring_forget(&net->tx.ring);
    give_back(net, false);
    net->state = VIRTIO_NET_STATE_ABANDONED;
    return VIRTIO_NET_SUCCESS;
}

int32_t virtio_net_close(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state == VIRTIO_NET_STATE_CLOSED)
        return VIRTIO_NET_ERROR_STATE;
    int32_t code = VIRTIO_NET_SUCCESS;
    if (net->state == VIRTIO_NET_STATE_RUNNING || (net->state == VIRTIO_NET_STATE_STOPPED && net->device.resetting))
        code = bring_down(net);
    if (net->state != VIRTIO_NET_STATE_ABANDONED)
        give_back(net, code < 0);
    net->tx.ring.held = 0; /* virtio_net_tx_next looks at these first */
    net->state = VIRTIO_NET_STATE_CLOSED;
    return code;
}

/* ------------------------------------------------------------------------------------------------------------ looking at it */

int32_t virtio_net_check(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state != VIRTIO_NET_STATE_RUNNING)
        return VIRTIO_NET_ERROR_STATE;
    int32_t code = vn_net_look_at_status(net, &net->tx.ring);
    if (code < 0)
        flag_write(&net->rx.ring.usable, 0);
    else if (!ring_is_usable(&net->rx.ring) || !ring_is_usable(&net->tx.ring))
        code = VIRTIO_NET_ERROR_NEEDS_RESET;
    return code;
}

int32_t virtio_net_link(struct virtio_net *net)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state != VIRTIO_NET_STATE_RUNNING)
        return VIRTIO_NET_ERROR_STATE;
    int32_t code = read_link(net);
    return code < 0 ? code : (int32_t)flag_read(&net->link_up);
}

VIRTIO_SMALL_END
