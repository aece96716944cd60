/*
 * mmio.c - the MMIO transport (virtio 1.2, 4.2.2), and its legacy register interface (4.2.4).
 *
 * The context of both tables is the address of the first register. What the two interfaces share is written once.
 */
#include "spec.h"
#include "transport.h"

VIRTIO_SMALL_BEGIN

static volatile uint8_t *at(void *context, uint32_t offset)
{
    return (volatile uint8_t *)context + offset;
}

static uint32_t read32(void *context, uint32_t offset)
{
    return register_read(at(context, offset), 4);
}

static void write32(void *context, uint32_t offset, uint32_t value)
{
    register_write32(at(context, offset), value);
}

static uint32_t legacy_properties(void *context)
{
    (void)context;
    return VIRTIO_NET_TRANSPORT_LEGACY;
}

static uint32_t modern_properties(void *context)
{
    (void)context;
    return VIRTIO_NET_TRANSPORT_CONFIG_GENERATION;
}

static uint32_t device_type(void *context)
{
    return read32(context, VIRTIO_MMIO_DEVICE_ID);
}

static void read_features(void *context, uint32_t *words, uint32_t count)
{
    for (uint32_t word = 0; word < count; word++) {
        write32(context, VIRTIO_MMIO_DEVICE_FEATURES_SELECT, word);
        words[word] = read32(context, VIRTIO_MMIO_DEVICE_FEATURES);
    }
}

static void write_features(void *context, const uint32_t *words, uint32_t count)
{
    for (uint32_t word = 0; word < count; word++) {
        write32(context, VIRTIO_MMIO_DRIVER_FEATURES_SELECT, word);
        write32(context, VIRTIO_MMIO_DRIVER_FEATURES, words[word]);
    }
}

static uint32_t get_status(void *context)
{
    return read32(context, VIRTIO_MMIO_STATUS);
}

static void set_status(void *context, uint32_t status)
{
    write32(context, VIRTIO_MMIO_STATUS, status);
}

static void set_guest_page_size(void *context, uint32_t bytes)
{
    write32(context, VIRTIO_MMIO_LEGACY_GUEST_PAGE_SIZE, bytes);
}

static uint32_t queue_max(void *context, uint32_t queue)
{
    write32(context, VIRTIO_MMIO_QUEUE_SELECT, queue);
    return read32(context, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static uint32_t legacy_queue_used(void *context, uint32_t queue)
{
    write32(context, VIRTIO_MMIO_QUEUE_SELECT, queue);
    return read32(context, VIRTIO_MMIO_LEGACY_QUEUE_PFN);
}

static uint32_t modern_queue_used(void *context, uint32_t queue)
{
    write32(context, VIRTIO_MMIO_QUEUE_SELECT, queue);
    return read32(context, VIRTIO_MMIO_QUEUE_READY);
}

/* 4.2.4: one page number stands for the whole queue. The caller has checked that it fits. */
static int32_t legacy_queue_set(void *context, const struct virtio_net_queue_memory *memory)
{
    write32(context, VIRTIO_MMIO_QUEUE_SELECT, memory->queue);
    write32(context, VIRTIO_MMIO_QUEUE_NUM, memory->size);
    write32(context, VIRTIO_MMIO_LEGACY_QUEUE_ALIGN, VIRTIO_PAGE_BYTES);
    write32(context, VIRTIO_MMIO_LEGACY_QUEUE_PFN, (uint32_t)(memory->descriptors / VIRTIO_PAGE_BYTES));
    return 0;
}

static void write_address(void *context, uint32_t offset, uint64_t address)
{
    write32(context, offset, (uint32_t)address);
    write32(context, offset + 4, (uint32_t)(address >> 32));
}

/* 4.2.3.2 */
static int32_t modern_queue_set(void *context, const struct virtio_net_queue_memory *memory)
{
    write32(context, VIRTIO_MMIO_QUEUE_SELECT, memory->queue);
    write32(context, VIRTIO_MMIO_QUEUE_NUM, memory->size);
    write_address(context, VIRTIO_MMIO_QUEUE_DESCRIPTORS, memory->descriptors);
    write_address(context, VIRTIO_MMIO_QUEUE_DRIVER, memory->driver_area);
    write_address(context, VIRTIO_MMIO_QUEUE_DEVICE, memory->device_area);
    write32(context, VIRTIO_MMIO_QUEUE_READY, 1);
    return read32(context, VIRTIO_MMIO_QUEUE_READY) == 1 ? 0 : -1;
}

static void notify(void *context, uint32_t queue, uint32_t data)
{
    (void)data;
    write32(context, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

static uint32_t interrupt_ack(void *context)
{
    uint32_t status = read32(context, VIRTIO_MMIO_INTERRUPT_STATUS);
    if (status == VIRTIO_ALL_ONES)
        return 0;
    /* 4.2.2.2: no bit that the specification does not name. */
    status &= VIRTIO_MMIO_INTERRUPT_QUEUE | VIRTIO_MMIO_INTERRUPT_CONFIG;
    if (status != 0)
        write32(context, VIRTIO_MMIO_INTERRUPT_ACK, status);
    return status;
}

static uint32_t legacy_config_generation(void *context)
{
    (void)context;
    return 0;
}

static uint32_t modern_config_generation(void *context)
{
    return read32(context, VIRTIO_MMIO_CONFIG_GENERATION);
}

static int32_t config_read(void *context, uint32_t offset, uint32_t width, uint32_t *value)
{
    *value = register_read(at(context, VIRTIO_MMIO_CONFIG + offset), width);
    return 0;
}

#define SHARED_OPERATIONS                                                                                                        \
    .size = sizeof(struct virtio_net_transport), .device_type = device_type, .read_features = read_features,                     \
    .write_features = write_features, .get_status = get_status, .set_status = set_status, .queue_max = queue_max,                \
    .notify = notify, .interrupt_ack = interrupt_ack, .config_read = config_read

const struct virtio_net_transport vn_mmio_legacy = {
    SHARED_OPERATIONS,
    .properties = legacy_properties,
    .set_guest_page_size = set_guest_page_size,
    .queue_used = legacy_queue_used,
    .queue_set = legacy_queue_set,
    .config_generation = legacy_config_generation,
};

const struct virtio_net_transport vn_mmio_modern = {
    SHARED_OPERATIONS,
    .properties = modern_properties,
    .queue_used = modern_queue_used,
    .queue_set = modern_queue_set,
    .config_generation = modern_config_generation,
};

VIRTIO_SMALL_END
