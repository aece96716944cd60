/*
 * spec.h - names and numbers of the virtio specification that every device type shares.
 *
 * Sections are those of "Virtual I/O Device (VIRTIO) Version 1.2".
 */
#ifndef VIRTIO_SPEC_H
#define VIRTIO_SPEC_H

#include <stdint.h>

/* Device status field (2.1). */
#define VIRTIO_STATUS_ACKNOWLEDGE 1u
#define VIRTIO_STATUS_DRIVER      2u
#define VIRTIO_STATUS_DRIVER_OK   4u
#define VIRTIO_STATUS_FEATURES_OK 8u
#define VIRTIO_STATUS_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED      128u
/* What a bus without a device answers. The status field has 8 bits, so no device does. */
#define VIRTIO_ALL_ONES 0xffffffffu

/* The page of the legacy interface (2.7.2), and the alignment of everything asked of dma_alloc. */
#define VIRTIO_PAGE_BYTES 4096u

/* Descriptor flags (2.7.5). */
#define VIRTQ_DESCRIPTOR_NEXT     1u
#define VIRTQ_DESCRIPTOR_WRITE    2u
#define VIRTQ_DESCRIPTOR_INDIRECT 4u

/* Flags of the available ring (2.7.6) and of the used ring (2.7.8). */
#define VIRTQ_AVAIL_NO_INTERRUPT 1u
#define VIRTQ_USED_NO_NOTIFY     1u

/* 2.7.5 */
struct virtq_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

/* 2.7.6. After ring[size] comes used_event. */
struct virtq_avail {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[];
};

/* 2.7.8. After ring[size] comes avail_event. */
struct virtq_used_element {
    uint32_t id;
    uint32_t length;
};

struct virtq_used {
    uint16_t flags;
    uint16_t index;
    struct virtq_used_element ring[];
};

/* MMIO registers (4.2.2), those of the legacy interface (4.2.4) where they differ. */
#define VIRTIO_MMIO_MAGIC                  0x000u
#define VIRTIO_MMIO_VERSION                0x004u
#define VIRTIO_MMIO_DEVICE_ID              0x008u
#define VIRTIO_MMIO_DEVICE_FEATURES        0x010u
#define VIRTIO_MMIO_DEVICE_FEATURES_SELECT 0x014u
#define VIRTIO_MMIO_DRIVER_FEATURES        0x020u
#define VIRTIO_MMIO_DRIVER_FEATURES_SELECT 0x024u
#define VIRTIO_MMIO_LEGACY_GUEST_PAGE_SIZE 0x028u
#define VIRTIO_MMIO_QUEUE_SELECT           0x030u
#define VIRTIO_MMIO_QUEUE_NUM_MAX          0x034u
#define VIRTIO_MMIO_QUEUE_NUM              0x038u
#define VIRTIO_MMIO_LEGACY_QUEUE_ALIGN     0x03cu
#define VIRTIO_MMIO_LEGACY_QUEUE_PFN       0x040u
#define VIRTIO_MMIO_QUEUE_READY            0x044u
#define VIRTIO_MMIO_QUEUE_NOTIFY           0x050u
#define VIRTIO_MMIO_INTERRUPT_STATUS       0x060u
#define VIRTIO_MMIO_INTERRUPT_ACK          0x064u
#define VIRTIO_MMIO_STATUS                 0x070u
#define VIRTIO_MMIO_QUEUE_DESCRIPTORS      0x080u
#define VIRTIO_MMIO_QUEUE_DRIVER           0x090u
#define VIRTIO_MMIO_QUEUE_DEVICE           0x0a0u
#define VIRTIO_MMIO_CONFIG_GENERATION      0x0fcu
#define VIRTIO_MMIO_CONFIG                 0x100u

#define VIRTIO_MMIO_INTERRUPT_QUEUE        1u
#define VIRTIO_MMIO_INTERRUPT_CONFIG       2u
#define VIRTIO_MMIO_MAGIC_VALUE            0x74726976u /* "virt" */

#endif /* VIRTIO_SPEC_H */
