/*
 * dma.h - the memory that the driver asks of its host: one block for each ring, and a pool of buffers in chunks.
 */
#ifndef VIRTIO_DMA_H
#define VIRTIO_DMA_H

#include "ring.h"

/* Gives the ring a block of `bytes`, keeping the one it has where that is of the same size. */
int32_t vn_dma_ring_allocate(struct virtio_device *device, struct virtio_ring *ring, uint32_t bytes) VIRTIO_HIDDEN;
/* Gives the ring's block back, if it has one. Returns its bytes. With `keep` set only forgets it, for memory that the device may
 * still write. */
uint32_t vn_dma_ring_free(struct virtio_device *device, struct virtio_ring *ring, bool keep) VIRTIO_HIDDEN;

/* How the buffers of a pool are cut. */
struct dma_pool {
    uint32_t slots;        /* buffers that exist */
    uint32_t stride;       /* bytes from one buffer to the next in a chunk */
    uint32_t frame_offset; /* bytes from the start of a buffer to its frame */
    uint16_t direction;    /* VIRTIO_NET_DMA_* direction */
    uint16_t flags;        /* VIRTIO_NET_DMA_* flags */
};

/* Gives each slot of the ring a buffer. On failure every buffer is given back. */
int32_t vn_dma_pool_allocate(struct virtio_device *device, struct virtio_ring *ring, struct dma_pool *pool,
                             uint32_t slots) VIRTIO_HIDDEN;
/* Gives the buffers back. Returns their bytes. With `keep` set only forgets them. */
uint32_t vn_dma_pool_free(struct virtio_device *device, struct virtio_ring *ring, struct dma_pool *pool, bool keep) VIRTIO_HIDDEN;

#endif /* VIRTIO_DMA_H */
