/*
 * device.c - reset, status, feature negotiation and configuration space (virtio 1.2, 2.1, 2.2, 2.4, 2.5, 3.1).
 */
#include "device.h"
#include "spec.h"

VIRTIO_SMALL_BEGIN

/* A device that changes its configuration at each of so many reads is not one to wait for. */
#define CONFIG_TRIES     64u
#define CONFIG_MAX_BYTES 6u
/* More register reads than a microsecond can hold: so many without the clock passing the limit, and the clock stands still. */
#define STEPS_PER_US 64u

#ifndef VIRTIO_NET_NO_LOG
void vn_log(const struct virtio_transport *transport, uint32_t threshold, uint32_t level, int32_t code, const char *text,
            uint64_t a, uint64_t b)
{
    if (level <= threshold && TABLE_HAS(transport->platform, log))
        transport->platform->log(transport->context, level, code, text != NULL ? text : virtio_net_status_text(code), a, b);
}
#endif

int32_t vn_device_fail(struct virtio_device *device, int32_t code, uint32_t field, uint32_t queue, uint64_t found,
                       uint64_t wanted)
{
    device->error.code = code;
    device->error.field = field;
    device->error.queue = queue;
    device->error.found = found;
    device->error.wanted = wanted;
    vn_log(&device->transport, device->log_level, VIRTIO_NET_LOG_ERROR, code, NULL, found, wanted);
    return code;
}

/* Microseconds. Where the host has no clock, steps of the wait stand for them. */
static uint64_t now(const struct virtio_transport *transport, uint32_t steps)
{
    return TABLE_HAS(transport->platform, now_us) ? transport->platform->now_us(transport->context) : steps;
}

uint32_t vn_device_status(struct virtio_device *device)
{
    return device->transport.operations->get_status(device->transport.device);
}

void vn_device_add_status(struct virtio_device *device, uint32_t bits)
{
    device->transport.operations->set_status(device->transport.device, vn_device_status(device) | bits);
}

/* A clock that stands still must not make the wait endless, hence the limit in steps beside it. */
int32_t vn_device_reset(struct virtio_device *device)
{
    struct virtio_transport *transport = &device->transport;
    uint32_t limit_us = device->reset_timeout_us;
    device->resetting = 1;
    transport->operations->set_status(transport->device, 0);
    uint64_t start = now(transport, 0);
    uint32_t steps = 0;
    for (uint32_t status; (status = vn_device_status(device)) != 0;) {
        bool gone = status == VIRTIO_ALL_ONES;
        if (!gone && TABLE_HAS(transport->platform, relax))
            transport->platform->relax(transport->context);
        steps++;
        if (gone || now(transport, steps) - start >= limit_us || steps / STEPS_PER_US >= limit_us)
            return vn_device_fail(device, gone ? VIRTIO_NET_ERROR_DEVICE_GONE : VIRTIO_NET_ERROR_RESET_TIMEOUT,
                                  VIRTIO_NET_FIELD_STATUS, 0, status, 0);
    }
    device->resetting = 0;
    return VIRTIO_NET_SUCCESS;
}

/* The legacy interface has 32 feature bits: asking it for more gives the first word again on some devices. */
static uint32_t feature_words(const struct virtio_device *device)
{
    return device_is_legacy(device) ? 1 : 2;
}

void vn_device_read_features(struct virtio_device *device)
{
    uint32_t words[2] = {0, 0};
    device->properties = device->transport.operations->properties(device->transport.device);
    device->transport.operations->read_features(device->transport.device, words, feature_words(device));
    device->offered = (uint64_t)words[1] << 32 | words[0];
}

int32_t vn_device_accept_features(struct virtio_device *device, uint64_t wanted)
{
    device->features = device->offered & wanted;
    const uint32_t words[2] = {(uint32_t)device->features, (uint32_t)(device->features >> 32)};
    device->transport.operations->write_features(device->transport.device, words, feature_words(device));
    if (device_is_legacy(device))
        return VIRTIO_NET_SUCCESS; /* 3.1.2: there is no FEATURES_OK */
    /* 2.2.1: a driver must accept VERSION_1 where it is offered. A device that does not offer it has other rules. */
    if (!device_has(device, VIRTIO_NET_FEATURE_VERSION_1))
        return vn_device_fail(device, VIRTIO_NET_ERROR_FEATURES, VIRTIO_NET_FIELD_FEATURES, 0, device->offered,
                              (uint64_t)1 << VIRTIO_NET_FEATURE_VERSION_1);
    vn_device_add_status(device, VIRTIO_STATUS_FEATURES_OK);
    uint32_t status = vn_device_status(device);
    if (status == VIRTIO_ALL_ONES || (status & VIRTIO_STATUS_FEATURES_OK) == 0)
        return vn_device_fail(device, VIRTIO_NET_ERROR_FEATURES, VIRTIO_NET_FIELD_STATUS, 0, status, VIRTIO_STATUS_FEATURES_OK);
    return VIRTIO_NET_SUCCESS;
}

/* A legacy device is read byte by byte (4.2.4: its accesses may be of any width, its space may lack alignment). */
static int32_t read_config(struct virtio_device *device, uint32_t offset, uint32_t width, uint32_t bytes, uint8_t *to)
{
    const struct virtio_transport *transport = &device->transport;
    uint32_t unit = device_is_legacy(device) ? 1 : width;
    uint32_t value = 0;
    for (uint32_t at = 0; at < bytes; at++, value >>= 8) {
        if ((at & (unit - 1)) == 0 && transport->operations->config_read(transport->device, offset + at, unit, &value) < 0)
            return vn_device_fail(device, VIRTIO_NET_ERROR_CONFIG_SPACE, VIRTIO_NET_FIELD_CONFIG, 0, offset + (at & ~(width - 1)),
                                  width);
        to[at] = (uint8_t)value;
    }
    return VIRTIO_NET_SUCCESS;
}

static bool same(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* 2.5.1: the same generation before and after tells that all is of one moment. A legacy device has none: read until two
 * readings agree (2.5.4). */
int32_t vn_device_config(struct virtio_device *device, uint32_t offset, uint32_t width, uint32_t bytes, void *to)
{
    struct virtio_transport *transport = &device->transport;
    bool counted = (device->properties & VIRTIO_NET_TRANSPORT_CONFIG_GENERATION) != 0;
    uint32_t before = 0;
    uint8_t again[CONFIG_MAX_BYTES];
    for (uint32_t try = 0; try < CONFIG_TRIES; try++) {
        if (counted)
            before = transport->operations->config_generation(transport->device);
        int32_t code = read_config(device, offset, width, bytes, to);
        if (code >= 0 && !counted)
            code = read_config(device, offset, width, bytes, again);
        if (code < 0)
            return code;
        if (counted ? transport->operations->config_generation(transport->device) == before : same(to, again, bytes))
            return VIRTIO_NET_SUCCESS;
    }
    return vn_device_fail(device, VIRTIO_NET_ERROR_CONFIG_UNSTABLE, VIRTIO_NET_FIELD_CONFIG, 0, offset, width);
}

VIRTIO_SMALL_END
