/*
 * side_virtio_net.c - this driver's side of the host bench, through the public interface.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "card.h"

enum { BURST = 32, GROUP = 128, SLOTS = 256, COPY_BYTES = 2048 };

struct side {
    struct virtio_net *net;
    struct card card;
    struct virtio_net_packet packets[BURST]; /* of a copying call */
};

struct burst {
    struct virtio_net_packet packets[BURST];
};

struct copy {
    _Alignas(64) uint8_t bytes[COPY_BYTES];
    uint32_t length;
};

/* A full or an empty queue is no error here; any other ends the program. */
static inline uint32_t counted(int32_t code)
{
    if (__builtin_expect(code >= 0, 1))
        return (uint32_t)code;
    if (code != VIRTIO_NET_ERROR_QUEUE_FULL) {
        fprintf(stderr, "%s\n", virtio_net_status_name(code));
        exit(1);
    }
    return 0;
}

static inline uint32_t side_reserve(struct side *side, struct burst *burst, uint32_t count)
{
    return counted(virtio_net_tx_reserve(side->net, 0, 0, burst->packets, count));
}

static inline uint8_t *side_data(const struct burst *burst, uint32_t i)
{
    return burst->packets[i].data;
}

static inline uint32_t side_length(const struct burst *burst, uint32_t i)
{
    return burst->packets[i].length;
}

static inline void side_set_length(struct burst *burst, uint32_t i, uint32_t length)
{
    burst->packets[i].length = length;
}

static inline uint32_t side_send(struct side *side, struct burst *burst, uint32_t first, uint32_t count)
{
    return counted(virtio_net_tx_commit(side->net, 0, 0, burst->packets + first, count));
}

static inline uint32_t side_receive(struct side *side, struct burst *burst, uint32_t count)
{
    return counted(virtio_net_rx_peek(side->net, 0, 0, burst->packets, count));
}

static inline void side_release(struct side *side, struct burst *burst, uint32_t count)
{
    (void)counted(virtio_net_rx_release(side->net, 0, 0, burst->packets, count));
}

static inline uint32_t side_send_copy(struct side *side, struct copy *copies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        side->packets[i].data = copies[i].bytes;
        side->packets[i].length = copies[i].length;
    }
    return counted(virtio_net_send_burst(side->net, 0, 0, side->packets, count));
}

static inline uint32_t side_receive_copy(struct side *side, struct copy *copies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        side->packets[i].data = copies[i].bytes;
        side->packets[i].length = COPY_BYTES;
    }
    uint32_t received = counted(virtio_net_receive_burst(side->net, 0, 0, side->packets, count));
    for (uint32_t i = 0; i < received; i++)
        copies[i].length = side->packets[i].length;
    return received;
}

static inline void side_work(struct side *side)
{
    card_work(&side->card);
}

static bool side_recover(struct side *side)
{
    return virtio_net_recover(side->net) == VIRTIO_NET_SUCCESS;
}

static void side_report(struct side *side)
{
    struct virtio_net_statistics statistics = VIRTIO_NET_STATISTICS_INIT;
    struct virtio_net_info info = VIRTIO_NET_INFO_INIT;
    (void)virtio_net_get_statistics(side->net, &statistics);
    (void)virtio_net_get_info(side->net, &info);
    printf(",\"features\":\"0x%" PRIx64 "\",\"tx_kicks\":%" PRIu64 ",\"rx_kicks\":%" PRIu64 ",\"rekicks\":%" PRIu64
           ",\"tx_frames\":%" PRIu64 ",\"rx_frames\":%" PRIu64 ",\"dropped\":%" PRIu64,
           info.features, statistics.tx_kicks, statistics.rx_kicks, statistics.tx_rekicks + statistics.rx_rekicks,
           statistics.tx_frames, statistics.rx_frames,
           statistics.rx_dropped_short + statistics.rx_dropped_long + statistics.rx_dropped_header);
}

#include "workload.h"

static VIRTIO_NET_STORAGE(storage, SLOTS, SLOTS);
static struct bench bench;

int main(int count, char **arguments)
{
    struct side *side = &bench.side;
    side->net = (struct virtio_net *)storage;
    if (!card_open(&side->card, count, arguments))
        return 1;
    int32_t code =
        virtio_net_init(side->net, sizeof storage, side->card.transport, side->card.platform, side->card.context, NULL);
    if (code < 0) {
        fprintf(stderr, "%s: %s\n", virtio_net_status_name(code), virtio_net_status_text(code));
        return 1;
    }
    int status = obey(&bench);
    code = virtio_net_close(side->net);
    return card_close(&side->card) && code == VIRTIO_NET_SUCCESS ? status : 1;
}
