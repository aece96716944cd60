/*
 * empty.c - drivers that do nothing and say that it is done: what a run on them costs is the user's share and the meter's.
 *
 * The packets keep what the user's memory put there before the run.
 */
#include "bench.h"

static int32_t send(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const void *frame, uint32_t length)
{
    (void)net, (void)queue_pair, (void)flags, (void)frame, (void)length;
    return 0;
}

static int32_t read_packets(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, const struct virtio_net_packet *packets,
                            uint32_t count)
{
    (void)net, (void)queue_pair, (void)flags, (void)packets;
    return (int32_t)count;
}

static int32_t write_packets(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, struct virtio_net_packet *packets,
                             uint32_t count)
{
    (void)net, (void)queue_pair, (void)flags, (void)packets;
    return (int32_t)count;
}

static int32_t receive(struct virtio_net *net, uint32_t queue_pair, uint32_t flags, void *buffer, uint32_t capacity)
{
    (void)net, (void)queue_pair, (void)flags, (void)buffer, (void)capacity;
    return 60;
}

const struct bench_api bench_empty = {
    .send = send,
    .send_burst = read_packets,
    .tx_reserve = write_packets,
    .tx_commit = read_packets,
    .tx_post = write_packets,
    .tx_reap = write_packets,
    .receive = receive,
    .receive_burst = write_packets,
    .rx_peek = write_packets,
    .rx_release = read_packets,
};

static void read_frames(struct floor *floor, const struct floor_frame *frames, uint32_t count)
{
    (void)floor, (void)frames, (void)count;
}

static void write_frames(struct floor *floor, struct floor_frame *frames, uint32_t count)
{
    (void)floor, (void)frames, (void)count;
}

static void reap(struct floor *floor)
{
    (void)floor;
}

static uint32_t take_frames(struct floor *floor, struct floor_frame *frames, uint32_t count)
{
    (void)floor, (void)frames;
    return count;
}

const struct floor_api bench_empty_floor = {
    .tx_reserve = write_frames,
    .tx_commit = read_frames,
    .tx_copy = read_frames,
    .tx_reap = reap,
    .rx_peek = take_frames,
    .rx_release = read_frames,
    .rx_copy = take_frames,
};
