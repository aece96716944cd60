/*
 * status.c - the status codes as text, and the version.
 *
 * The texts lie in one block, the names in another, and are found by offsets: a table of pointers would need relocations in a
 * position-independent kernel.
 */
#include <stddef.h>

#include "virtio_net.h"

/* What an unknown number is called. No call returns it. */
#define VIRTIO_NET_ERROR_UNKNOWN 1

/* clang-format off */

/* One line a code, the unknown one last. The numbers that a text names are those of the log line and of
 * virtio_net_get_last_error. */
#define STATUS_TEXTS(X) \
    X(VIRTIO_NET_SUCCESS, "success") \
    X(VIRTIO_NET_ERROR_INVALID_ARGUMENT, "an argument is NULL or makes no sense") \
    X(VIRTIO_NET_ERROR_STORAGE, "the storage is too small or misaligned; bytes, bytes needed") \
    X(VIRTIO_NET_ERROR_ABI_VERSION, "the header is of another major version than the library") \
    X(VIRTIO_NET_ERROR_STRUCT_SIZE, "a structure is too small, or asks for what this version does not know; size, offset") \
    X(VIRTIO_NET_ERROR_TABLE, "a required function is missing; 0, its offset in the table") \
    X(VIRTIO_NET_ERROR_OPTIONS, "an option is out of its range; value, its offset in the options") \
    X(VIRTIO_NET_ERROR_UNSUPPORTED, "reserved for a later version") \
    X(VIRTIO_NET_ERROR_STATE, "the driver is not in the state that the call needs") \
    X(VIRTIO_NET_ERROR_QUEUE_PAIR, "there is no such queue pair") \
    X(VIRTIO_NET_ERROR_FLAGS, "unknown flags") \
    X(VIRTIO_NET_ERROR_FRAME_EMPTY, "the frame is shorter than an Ethernet header") \
    X(VIRTIO_NET_ERROR_FRAME_TOO_LONG, "the frame is longer than the device or the buffer takes") \
    X(VIRTIO_NET_ERROR_BUFFER_TOO_SMALL, "the buffer is smaller than the frame") \
    X(VIRTIO_NET_ERROR_SLOT, "the caller does not hold this slot") \
    X(VIRTIO_NET_ERROR_NO_POOL, "this direction has no pool of buffers") \
    X(VIRTIO_NET_ERROR_QUEUE_FULL, "no slot is free") \
    X(VIRTIO_NET_ERROR_NOT_READY, "the device has returned nothing yet") \
    X(VIRTIO_NET_ERROR_NO_MEMORY, "the host has no memory for the device; 0, bytes") \
    X(VIRTIO_NET_ERROR_DMA_ADDRESS, "the host's memory has an address that the device cannot use; address, bytes") \
    X(VIRTIO_NET_ERROR_MAGIC, "no virtio device at these registers; value, magic value") \
    X(VIRTIO_NET_ERROR_DEVICE_VERSION, "an unknown register interface; version, newest known") \
    X(VIRTIO_NET_ERROR_NOT_NETWORK, "the virtio device is not a network card; type, 1") \
    X(VIRTIO_NET_ERROR_RESET_TIMEOUT, "the device did not confirm its reset in time; status, 0") \
    X(VIRTIO_NET_ERROR_FEATURES, "the device and the driver do not agree on the features; found, wanted") \
    X(VIRTIO_NET_ERROR_QUEUE_MISSING, "the device lacks a queue; its size, the least") \
    X(VIRTIO_NET_ERROR_QUEUE_IN_USE, "a queue is in use after the reset; register, 0") \
    X(VIRTIO_NET_ERROR_QUEUE_SETUP, "the device refused a queue") \
    X(VIRTIO_NET_ERROR_CONFIG_SPACE, "the configuration space is too short; offset, width") \
    X(VIRTIO_NET_ERROR_CONFIG_UNSTABLE, "the configuration space does not stop changing; offset, width") \
    X(VIRTIO_NET_ERROR_NO_ADDRESS, "the device has no usable address, and neither fallback_mac nor random is given") \
    X(VIRTIO_NET_ERROR_NEEDS_RESET, "the device needs a reset: virtio_net_recover; status, wanted") \
    X(VIRTIO_NET_ERROR_USED_INDEX, "the device's used index is beyond what was posted; index, highest possible") \
    X(VIRTIO_NET_ERROR_USED_ID, "the device returned a buffer that it does not have; id, slots") \
    X(VIRTIO_NET_ERROR_DEVICE_GONE, "the device is gone; status, wanted") \
    X(VIRTIO_NET_ERROR_UNKNOWN, "a status code that this version does not know")

/* Names and texts are apart, because an image may use one of the two only, or none. */
struct names {
#define X(code, text) char of_##code[sizeof #code];
    STATUS_TEXTS(X)
#undef X
};

struct texts {
#define X(code, text) char of_##code[sizeof text];
    STATUS_TEXTS(X)
#undef X
};

static const struct names names = {
#define X(code, text) #code,
    STATUS_TEXTS(X)
#undef X
};

static const struct texts texts = {
#define X(code, text) text,
    STATUS_TEXTS(X)
#undef X
};

struct entry {
    int16_t code;
    uint16_t offset;
};

static const struct entry name_entries[] = {
#define X(code, text) {code, offsetof(struct names, of_##code)},
    STATUS_TEXTS(X)
#undef X
};

static const struct entry text_entries[] = {
#define X(code, text) {code, offsetof(struct texts, of_##code)},
    STATUS_TEXTS(X)
#undef X
};

/* clang-format on */

static uint32_t find(const struct entry *entry, int32_t code)
{
    while (entry->code != code && entry->code != VIRTIO_NET_ERROR_UNKNOWN)
        entry++;
    return entry->offset;
}

uint32_t virtio_net_abi_version(void)
{
    return VIRTIO_NET_ABI_VERSION;
}

const char *virtio_net_status_name(int32_t code)
{
    return (const char *)&names + find(name_entries, code);
}

const char *virtio_net_status_text(int32_t code)
{
    return (const char *)&texts + find(text_entries, code);
}
