/*
 * bench.h - what the C programs of the bench share: the meter, the frames, and the users of the C interface.
 *
 * src/meter.rs and src/c_paths.rs know the same layouts.
 */
#ifndef BENCH_H
#define BENCH_H

#include "virtio_net.h"

/* The most packets in a burst, and the bytes between two frames of the user's. */
#define BENCH_BURST  256u
#define BENCH_STRIDE 2048u

/* Instructions retired within calls of the driver, and in the whole run without its waits. */
struct bench_meter {
    uint64_t calls;
    uint64_t whole;
    uint64_t excluded; /* waits inside of calls */
    uint32_t call_began;
    uint32_t whole_began;
    uint32_t on; /* 0: nothing is counted, the run is for its time */
    uint32_t reserved;
};

extern struct bench_meter bench_meter;

/* Event counter 0, which counts INST_RETIRED. */
static inline uint32_t bench_retired(void)
{
    uint64_t count;
    __asm__ volatile("mrs %0, pmevcntr0_el0" : "=r"(count)::"memory");
    return (uint32_t)count;
}

static inline void bench_call_begins(void)
{
    if (bench_meter.on)
        bench_meter.call_began = bench_retired();
}

static inline void bench_call_ends(void)
{
    if (bench_meter.on)
        bench_meter.calls += bench_retired() - bench_meter.call_began;
}

/* The calls of the C interface that are measured, so that the same user can run on an empty driver. */
struct bench_api {
    int32_t (*send)(struct virtio_net *, uint32_t, uint32_t, const void *, uint32_t);
    int32_t (*send_burst)(struct virtio_net *, uint32_t, uint32_t, const struct virtio_net_packet *, uint32_t);
    int32_t (*tx_reserve)(struct virtio_net *, uint32_t, uint32_t, struct virtio_net_packet *, uint32_t);
    int32_t (*tx_commit)(struct virtio_net *, uint32_t, uint32_t, const struct virtio_net_packet *, uint32_t);
    int32_t (*tx_post)(struct virtio_net *, uint32_t, uint32_t, struct virtio_net_packet *, uint32_t);
    int32_t (*tx_reap)(struct virtio_net *, uint32_t, uint32_t, struct virtio_net_packet *, uint32_t);
    int32_t (*receive)(struct virtio_net *, uint32_t, uint32_t, void *, uint32_t);
    int32_t (*receive_burst)(struct virtio_net *, uint32_t, uint32_t, struct virtio_net_packet *, uint32_t);
    int32_t (*rx_peek)(struct virtio_net *, uint32_t, uint32_t, struct virtio_net_packet *, uint32_t);
    int32_t (*rx_release)(struct virtio_net *, uint32_t, uint32_t, const struct virtio_net_packet *, uint32_t);
};

extern const struct bench_api bench_driver;
extern const struct bench_api bench_empty;

/* One received or to be sent frame of the floor. */
struct floor_frame {
    uint8_t *data;
    uint32_t length;
    uint32_t slot;
};

struct floor;

struct floor_api {
    void (*tx_reserve)(struct floor *, struct floor_frame *, uint32_t);
    void (*tx_commit)(struct floor *, const struct floor_frame *, uint32_t);
    void (*tx_copy)(struct floor *, const struct floor_frame *, uint32_t);
    void (*tx_reap)(struct floor *);
    uint32_t (*rx_peek)(struct floor *, struct floor_frame *, uint32_t);
    void (*rx_release)(struct floor *, const struct floor_frame *, uint32_t);
    uint32_t (*rx_copy)(struct floor *, struct floor_frame *, uint32_t);
};

extern const struct floor_api bench_floor;
extern const struct floor_api bench_empty_floor;

/* One user. */
struct bench_user {
    struct virtio_net *net;
    struct floor *floor;
    const struct bench_api *api;
    const struct floor_api *floor_api;
    uint8_t *memory; /* BENCH_BURST frames, BENCH_STRIDE apart */
    uint32_t length; /* of each frame; 0: mixed lengths */
    uint32_t bad;    /* frames that were not what they should be */
    struct virtio_net_packet packets[BENCH_BURST];
    struct floor_frame frames[BENCH_BURST];
};

/* Frame `number` is: destination, source, ethertype 0x88b5, two bytes of 0, the number (little-endian), anything. */
static inline uint32_t bench_length(const struct bench_user *user, uint32_t number)
{
    return user->length != 0 ? user->length : 60 + ((number * 2654435761u) >> 8) % 1455;
}

static inline void bench_write(uint8_t *frame, uint32_t number)
{
    for (uint32_t i = 0; i < 12; i++)
        frame[i] = 2;
    frame[12] = 0x88;
    frame[13] = 0xb5;
    frame[14] = frame[15] = 0;
    for (uint32_t i = 0; i < 4; i++)
        frame[16 + i] = (uint8_t)(number >> (8 * i));
}

static inline uint32_t bench_number(const uint8_t *frame)
{
    return (uint32_t)frame[16] | (uint32_t)frame[17] << 8 | (uint32_t)frame[18] << 16 | (uint32_t)frame[19] << 24;
}

#endif /* BENCH_H */
