/*
 * dma.c - the memory that the driver asks of its host.
 *
 * A pool comes in chunks, because many hosts have no long runs of contiguous memory; a chunk that cannot be had is asked for
 * again at half the size, down to one buffer. No chunk table is kept: the first slot of a chunk carries the number of its
 * pages.
 */
#include "dma.h"

VIRTIO_SMALL_BEGIN

/* A few buffers of usual size. */
#define CHUNK_BYTES (4 * VIRTIO_PAGE_BYTES)

static uint32_t whole_pages(uint32_t bytes)
{
    return (bytes + VIRTIO_PAGE_BYTES - 1) & ~(VIRTIO_PAGE_BYTES - 1);
}

static int32_t allocate(struct virtio_device *device, uint32_t bytes, uint32_t direction, uint32_t flags,
                        struct virtio_net_dma *memory)
{
    const struct virtio_transport *transport = &device->transport;
    memory->address = NULL;
    memory->device_address = 0;
    if (transport->platform->dma_alloc(transport->context, bytes, VIRTIO_PAGE_BYTES, direction, flags, memory) < 0)
        return VIRTIO_NET_ERROR_NO_MEMORY;
    if (memory->address == NULL || memory->device_address == 0 ||
        (((uintptr_t)memory->address | memory->device_address) & (VIRTIO_PAGE_BYTES - 1)) != 0 ||
        memory->device_address + bytes < memory->device_address) {
        if (memory->address != NULL)
            transport->platform->dma_free(transport->context, memory, bytes, direction, flags);
        return VIRTIO_NET_ERROR_DMA_ADDRESS;
    }
    return VIRTIO_NET_SUCCESS;
}

int32_t vn_dma_ring_allocate(struct virtio_device *device, struct virtio_ring *ring, uint32_t bytes)
{
    if (ring->memory.address != NULL && ring->memory_bytes == bytes)
        return VIRTIO_NET_SUCCESS;
    vn_dma_ring_free(device, ring, false);
    int32_t code = allocate(device, bytes, VIRTIO_NET_DMA_BOTH, VIRTIO_NET_DMA_COHERENT, &ring->memory);
    if (code < 0) {
        uint64_t found = ring->memory.device_address;
        ring->memory.address = NULL;
        return vn_device_fail(device, code, VIRTIO_NET_FIELD_DMA, ring->index, found, bytes);
    }
    ring->memory_bytes = bytes;
    return VIRTIO_NET_SUCCESS;
}

uint32_t vn_dma_ring_free(struct virtio_device *device, struct virtio_ring *ring, bool keep)
{
    const struct virtio_transport *transport = &device->transport;
    if (ring->memory.address == NULL)
        return 0;
    if (!keep)
        transport->platform->dma_free(transport->context, &ring->memory, ring->memory_bytes, VIRTIO_NET_DMA_BOTH,
                                      VIRTIO_NET_DMA_COHERENT);
    ring->memory.address = NULL;
    return ring->memory_bytes;
}

/* Cuts a chunk into buffers, from slot `first` on. */
static uint32_t cut(struct virtio_slot *slots, uint32_t first, uint32_t count, const struct dma_pool *pool,
                    const struct virtio_net_dma *chunk, uint32_t bytes)
{
    uint32_t buffers = bytes / pool->stride;
    if (buffers > count)
        buffers = count;
    for (uint32_t i = 0; i < buffers; i++) {
        uint32_t offset = i * pool->stride + pool->frame_offset;
        slots[first + i].data = (uint8_t *)chunk->address + offset;
        slots[first + i].device_address = chunk->device_address + offset;
        slots[first + i].length = 0;
    }
    slots[first].length = bytes / VIRTIO_PAGE_BYTES << VIRTIO_SLOT_CHUNK_SHIFT;
    return buffers;
}

int32_t vn_dma_pool_allocate(struct virtio_device *device, struct virtio_ring *ring, struct dma_pool *pool, uint32_t slots)
{
    uint32_t smallest = whole_pages(pool->stride);
    uint32_t bytes = smallest > CHUNK_BYTES ? smallest : CHUNK_BYTES;
    pool->slots = 0;
    while (pool->slots < slots) {
        uint64_t left = (uint64_t)(slots - pool->slots) * pool->stride;
        if (left < bytes)
            bytes = whole_pages((uint32_t)left);
        struct virtio_net_dma chunk;
        int32_t code = allocate(device, bytes, pool->direction, pool->flags, &chunk);
        if (code == VIRTIO_NET_SUCCESS) {
            pool->slots += cut(ring_slots(ring), pool->slots, slots - pool->slots, pool, &chunk, bytes);
        } else if (code == VIRTIO_NET_ERROR_NO_MEMORY && bytes > smallest) {
            bytes = whole_pages(bytes / 2);
            bytes = bytes < smallest ? smallest : bytes;
        } else {
            vn_dma_pool_free(device, ring, pool, false);
            return vn_device_fail(device, code, VIRTIO_NET_FIELD_DMA, ring->index, chunk.device_address, bytes);
        }
    }
    return VIRTIO_NET_SUCCESS;
}

uint32_t vn_dma_pool_free(struct virtio_device *device, struct virtio_ring *ring, struct dma_pool *pool, bool keep)
{
    const struct virtio_transport *transport = &device->transport;
    struct virtio_slot *slots = ring_slots(ring);
    uint32_t total = 0;
    for (uint32_t slot = 0; slot < pool->slots; slot++) {
        uint32_t bytes = (slots[slot].length >> VIRTIO_SLOT_CHUNK_SHIFT & VIRTIO_SLOT_CHUNK_PAGES) * VIRTIO_PAGE_BYTES;
        if (bytes == 0)
            continue;
        struct virtio_net_dma chunk = {slots[slot].data - pool->frame_offset, slots[slot].device_address - pool->frame_offset};
        if (!keep)
            transport->platform->dma_free(transport->context, &chunk, bytes, pool->direction, pool->flags);
        total += bytes;
    }
    pool->slots = 0;
    return total;
}

VIRTIO_SMALL_END
