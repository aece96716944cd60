/*
 * transport.h - what stands between the driver and its device and host: the two tables, and the word they are called with.
 *
 * The driver's own transports take the address of the registers as their context, a transport of the host's takes the host's
 * word; the platform always takes the host's word. Nothing here is written after set-up but `context`, by
 * virtio_net_set_context.
 */
#ifndef VIRTIO_TRANSPORT_H
#define VIRTIO_TRANSPORT_H

#include "virtio_net_platform.h"

#include "io.h"

struct virtio_transport {
    const struct virtio_net_transport *operations;
    const struct virtio_net_platform *platform;
    void *context;               /* the host's word, for the platform */
    void *device;                /* for the operations: the same, or the registers */
    volatile uint8_t *registers; /* of the driver's own transports, else NULL */
};

/* mmio.c: one table for each version of the register interface. */
extern VIRTIO_HIDDEN const struct virtio_net_transport vn_mmio_legacy;
extern VIRTIO_HIDDEN const struct virtio_net_transport vn_mmio_modern;

/* Whether a table is long enough to have the function, and has it. Tables of older headers are shorter. */
#define TABLE_HAS(table, function)                                                                                               \
    ((table)->size >= offsetof(__typeof__(*(table)), function) + sizeof((table)->function) && (table)->function != NULL)

/* One line for people, with two numbers that the text names. Without a text it is that of the code. A build with
 * VIRTIO_NET_NO_LOG has neither lines nor, unless the program asks for them, the texts of the codes. */
#ifdef VIRTIO_NET_NO_LOG
#define vn_log(transport, threshold, level, code, text, a, b) ((void)(transport), (void)(threshold), (void)(a), (void)(b))
#else
void vn_log(const struct virtio_transport *transport, uint32_t threshold, uint32_t level, int32_t code, const char *text,
            uint64_t a, uint64_t b) VIRTIO_HIDDEN;
#endif

#endif /* VIRTIO_TRANSPORT_H */
