/*
 * meter.c - the one meter, and the driver's calls as a table.
 */
#include "bench.h"

struct bench_meter bench_meter;

const struct bench_api bench_driver = {
    .send = virtio_net_send,
    .send_burst = virtio_net_send_burst,
    .tx_reserve = virtio_net_tx_reserve,
    .tx_commit = virtio_net_tx_commit,
    .tx_post = virtio_net_tx_post,
    .tx_reap = virtio_net_tx_reap,
    .receive = virtio_net_receive,
    .receive_burst = virtio_net_receive_burst,
    .rx_peek = virtio_net_rx_peek,
    .rx_release = virtio_net_rx_release,
};
