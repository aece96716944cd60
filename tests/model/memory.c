/*
 * memory.c - the machine around the model: memory that the device reaches, a clock, random numbers, a log.
 *
 * Device addresses are numbers of their own, handed out upwards with gaps between blocks. Whatever the device does with memory
 * goes through memory_at, which knows the live blocks and nothing else. On a machine that is not coherent a block has a second
 * copy, the device's, and only the sync calls carry bytes from one to the other.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define PAGE 4096u
#define GAP  (UINT64_C(16) * PAGE)

static struct model_block *find_block(const struct model *model, uint64_t device_address)
{
    uint32_t low = 0;
    uint32_t high = model->block_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (model->blocks[middle].device_address <= device_address)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &model->blocks[low - 1];
}

uint8_t *memory_at(struct model *model, uint64_t device_address, uint32_t bytes, bool write)
{
    const struct model_block *block = find_block(model, device_address);
    uint64_t offset = block == NULL ? 0 : device_address - block->device_address;
    if (block == NULL || !block->live || offset > block->bytes || bytes > block->bytes - offset) {
        model_violation(model, "the device was sent to 0x%llx, %u bytes, where it may not go", (unsigned long long)device_address,
                        bytes);
        return NULL;
    }
    if (block->direction == (write ? VIRTIO_NET_DMA_TO_DEVICE : VIRTIO_NET_DMA_FROM_DEVICE)) {
        model_violation(model, "the device was told to %s a block shared for the other direction", write ? "write" : "read");
        return NULL;
    }
    return block->shadow + offset;
}

bool memory_clean(const struct model *model, const uint8_t *device_side, uint32_t bytes)
{
    for (uint32_t i = 0; i < model->block_count; i++) {
        const struct model_block *block = &model->blocks[i];
        uintptr_t offset = (uintptr_t)device_side - (uintptr_t)block->shadow;
        if (block->live && offset < block->bytes)
            return memcmp(block->address + offset, device_side, bytes) == 0;
    }
    return false;
}

static struct model_block *add_block(struct model *model, void *address, uint32_t bytes, uint32_t direction, uint32_t flags)
{
    if (model->block_count == model->block_capacity) {
        model->block_capacity = model->block_capacity * 2 + 16;
        model->blocks = realloc(model->blocks, model->block_capacity * sizeof *model->blocks);
    }
    struct model_block *block = &model->blocks[model->block_count++];
    *block = (struct model_block){.device_address = model->next_device_address,
                                  .address = address,
                                  .shadow = address,
                                  .bytes = bytes,
                                  .direction = direction,
                                  .flags = flags,
                                  .live = true};
    model->next_device_address += (bytes + PAGE - 1) / PAGE * PAGE + GAP;
    if (model->not_coherent && (flags & VIRTIO_NET_DMA_COHERENT) == 0) {
        block->shadow = malloc(bytes);
        memset(block->shadow, 0xdb, bytes);
    }
    return block;
}

static void drop_block(struct model_block *block)
{
    block->live = false;
    if (block->shadow != block->address)
        free(block->shadow);
    if (!block->external)
        free(block->address);
}

uint64_t model_share(struct model *model, void *address, uint32_t bytes, uint32_t direction)
{
    struct model_block *block = add_block(model, address, bytes, direction, 0);
    block->external = true;
    return block->device_address;
}

uint32_t model_blocks_out(const struct model *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < model->block_count; i++)
        count += model->blocks[i].live && !model->blocks[i].external;
    return count;
}

uint64_t model_bytes_out(const struct model *model)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->block_count; i++) {
        if (model->blocks[i].live && !model->blocks[i].external)
            bytes += model->blocks[i].bytes;
    }
    return bytes;
}

void model_release_memory(struct model *model);
void model_release_memory(struct model *model)
{
    for (uint32_t i = 0; i < model->block_count; i++) {
        if (model->blocks[i].live)
            drop_block(&model->blocks[i]);
    }
    free(model->blocks);
}

/* ---------------------------------------------------------------------------------------------------- the platform table */

static bool allocation_refused(struct model *model, uint32_t bytes)
{
    if (model->fail_allocation > 0 && --model->fail_allocation == 0)
        return true;
    return model->fail_above > 0 && bytes > model->fail_above;
}

static int32_t platform_alloc(void *context, uint32_t bytes, uint32_t alignment, uint32_t direction, uint32_t flags,
                              struct virtio_net_dma *memory)
{
    struct model *model = context;
    if (bytes == 0 || bytes % PAGE != 0 || alignment != PAGE || direction > VIRTIO_NET_DMA_BOTH)
        model_violation(model, "dma_alloc of %u bytes, alignment %u, direction %u", bytes, alignment, direction);
    if (flags != 0 && flags != VIRTIO_NET_DMA_COHERENT && flags != VIRTIO_NET_DMA_RECEIVE_POOL)
        model_violation(model, "dma_alloc with the flags 0x%x", flags);
    if (allocation_refused(model, bytes))
        return -12;
    model->allocations++;
    if (bytes > model->largest_allocation)
        model->largest_allocation = bytes;
    void *address = aligned_alloc(PAGE, bytes);
    memset(address, 0, bytes);
    struct model_block *block = add_block(model, address, bytes, direction, flags);
    block->device_address += model->bend_address;
    memory->address = address;
    memory->device_address = model->zero_address ? 0 : block->device_address;
    return 0;
}

/* A ring belongs to the device while its queue is ready, and so does each pool: that of the frames to send is the one that the
 * device only reads. */
static bool device_uses(const struct model *model, const struct model_block *block)
{
    if (model->gone)
        return false;
    if ((block->flags & VIRTIO_NET_DMA_COHERENT) == 0)
        return model->queue[block->direction == VIRTIO_NET_DMA_TO_DEVICE ? MODEL_TX : MODEL_RX].ready;
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        if (model->queue[queue].ready && model->queue[queue].descriptor_area - block->device_address < block->bytes)
            return true;
    }
    return false;
}

static void platform_free(void *context, const struct virtio_net_dma *memory, uint32_t bytes, uint32_t direction, uint32_t flags)
{
    struct model *model = context;
    for (uint32_t i = 0; i < model->block_count; i++) {
        struct model_block *block = &model->blocks[i];
        if (!block->live || block->address != memory->address)
            continue;
        if (device_uses(model, block))
            model_violation(model, "memory was freed before the device was reset");
        uint64_t told = model->zero_address ? 0 : block->device_address;
        if (memory->device_address != told || block->bytes != bytes || block->direction != direction || block->flags != flags)
            model_violation(model, "dma_free with other values than dma_alloc");
        drop_block(block);
        return;
    }
    model_violation(model, "dma_free of memory that is not out: %p", memory->address);
}

/* A block that holds `bytes` from an address of the driver's side. */
static struct model_block *block_of(struct model *model, const uint8_t *address, uint32_t bytes, uint32_t direction)
{
    for (uint32_t i = 0; i < model->block_count; i++) {
        struct model_block *block = &model->blocks[i];
        if (block->live && address >= block->address && address + bytes <= block->address + block->bytes) {
            if (block->direction != direction && block->direction != VIRTIO_NET_DMA_BOTH)
                model_violation(model, "sync call with direction %u on a block of direction %u", direction, block->direction);
            return block;
        }
    }
    model_violation(model, "sync call outside of every block: %p, %u bytes", (const void *)address, bytes);
    return NULL;
}

static void platform_sync_for_device(void *context, void *address, uint32_t bytes, uint32_t direction)
{
    struct model *model = context;
    if (!model->not_coherent)
        return;
    const struct model_block *block = block_of(model, address, bytes, direction);
    if (block != NULL && block->shadow != block->address)
        memcpy(block->shadow + ((uint8_t *)address - block->address), address, bytes);
}

static void platform_sync_for_cpu(void *context, void *address, uint32_t bytes, uint32_t direction)
{
    struct model *model = context;
    if (!model->not_coherent)
        return;
    const struct model_block *block = block_of(model, address, bytes, direction);
    if (block == NULL || block->shadow == block->address)
        return;
    uint8_t *device_side = block->shadow + ((uint8_t *)address - block->address);
    memcpy(address, device_side, bytes);
    /* The bytes are the processor's now: the device gets them back by sync_for_device only. */
    for (uint32_t i = 0; i < bytes; i++)
        device_side[i] = (uint8_t)~device_side[i];
}

static uint64_t platform_now_us(void *context)
{
    struct model *model = context;
    return atomic_fetch_add_explicit(&model->clock_us, model->clock_step_us, memory_order_relaxed);
}

static void platform_relax(void *context)
{
    struct model *model = context;
    atomic_fetch_add_explicit(&model->relaxed, 1, memory_order_relaxed);
}

static int32_t platform_random(void *context, uint8_t *buffer, uint32_t bytes)
{
    const struct model *model = context;
    if (model->no_random)
        return -1;
    memset(buffer, MODEL_RANDOM_MAC_BYTE | 1, bytes);
    return 0;
}

static void platform_log(void *context, uint32_t level, int32_t code, const char *text, uint64_t a, uint64_t b)
{
    struct model *model = context;
    (void)a;
    (void)b;
    if (text == NULL || text[0] == '\0' || level < VIRTIO_NET_LOG_ERROR || level > VIRTIO_NET_LOG_INFO)
        model_violation(model, "log line of level %u without a text", level);
    unsigned line = atomic_fetch_add_explicit(&model->log_lines, 1, memory_order_relaxed);
    if (line < sizeof model->log_level / sizeof model->log_level[0]) {
        model->log_level[line] = level;
        model->log_code[line] = code;
    }
}

const struct virtio_net_platform model_platform = {
    .size = sizeof(struct virtio_net_platform),
    .dma_alloc = platform_alloc,
    .dma_free = platform_free,
    .sync_for_device = platform_sync_for_device,
    .sync_for_cpu = platform_sync_for_cpu,
    .now_us = platform_now_us,
    .relax = platform_relax,
    .random = platform_random,
    .log = platform_log,
};

const struct virtio_net_platform model_platform_coherent = {
    .size = sizeof(struct virtio_net_platform),
    .dma_alloc = platform_alloc,
    .dma_free = platform_free,
    .now_us = platform_now_us,
    .relax = platform_relax,
    .random = platform_random,
    .log = platform_log,
};

const struct virtio_net_platform model_platform_required = {
    .size = sizeof(struct virtio_net_platform),
    .dma_alloc = platform_alloc,
    .dma_free = platform_free,
};
