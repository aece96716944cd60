/*
 * device.h - what every virtio device needs before its queues: reset, status, features, configuration space.
 */
#ifndef VIRTIO_DEVICE_H
#define VIRTIO_DEVICE_H

#include "virtio_net.h" /* status codes, the error detail, the bit for a notification left to the caller; nothing of networking */

#include "transport.h"

struct virtio_device {
    struct virtio_transport transport;
    uint64_t offered; /* feature bits, a bit each */
    uint64_t features;
    uint32_t properties; /* VIRTIO_NET_TRANSPORT_* */
    uint32_t reset_timeout_us;
    uint32_t log_level;
    uint32_t resetting; /* a reset was asked for and not confirmed: the device may still write memory */
    struct virtio_net_error_detail error;
};

VIRTIO_INLINE bool device_has(const struct virtio_device *device, unsigned feature)
{
    return (device->features >> feature & 1) != 0;
}

VIRTIO_INLINE bool device_is_legacy(const struct virtio_device *device)
{
    return (device->properties & VIRTIO_NET_TRANSPORT_LEGACY) != 0;
}

/* Records the error, logs it, and returns its code. */
int32_t vn_device_fail(struct virtio_device *device, int32_t code, uint32_t field, uint32_t queue, uint64_t found,
                       uint64_t wanted) VIRTIO_HIDDEN;

uint32_t vn_device_status(struct virtio_device *device) VIRTIO_HIDDEN;
/* Sets bits of the status field beside those that are set (2.1: a driver must not clear one). */
void vn_device_add_status(struct virtio_device *device, uint32_t bits) VIRTIO_HIDDEN;
/* Resets the device and waits until it says so. SUCCESS, RESET_TIMEOUT or DEVICE_GONE. */
int32_t vn_device_reset(struct virtio_device *device) VIRTIO_HIDDEN;
/* Reads what the device offers (3.1.1, step 4). */
void vn_device_read_features(struct virtio_device *device) VIRTIO_HIDDEN;
/* Accepts `wanted` of what is offered, and has the device confirm it (3.1.1, steps 4 to 6). */
int32_t vn_device_accept_features(struct virtio_device *device, uint64_t wanted) VIRTIO_HIDDEN;
/* Reads `bytes` of the configuration space from `offset` on, all of one moment (2.5), in fields of `width` bytes. They are
 * little-endian, as this machine is. */
int32_t vn_device_config(struct virtio_device *device, uint32_t offset, uint32_t width, uint32_t bytes, void *to) VIRTIO_HIDDEN;

#endif /* VIRTIO_DEVICE_H */
