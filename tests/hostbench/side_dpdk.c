/*
 * side_dpdk.c - the virtio PMD of DPDK as the other side of the host bench: the same work through rte_ethdev.
 *
 * Arguments: the socket's path, further arguments for the virtual device ("mrg_rxbuf=0,in_order=0"), tx_free_thresh (0: the
 * PMD's own choice), and the widest vector registers that may be used, in bits (0: the environment's own choice).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>

enum { BURST = 32, GROUP = 128, SLOTS = 256, COPY_BYTES = 2048, MBUFS = 4095, MBUF_CACHE = 256 };

struct side {
    struct rte_mempool *pool;
    struct rte_mbuf *mbufs[BURST]; /* of a copying call */
};

struct burst {
    struct rte_mbuf *mbufs[BURST];
};

struct copy {
    _Alignas(64) uint8_t bytes[COPY_BYTES];
    uint32_t length;
};

static inline uint32_t side_reserve(struct side *side, struct burst *burst, uint32_t count)
{
    return rte_pktmbuf_alloc_bulk(side->pool, burst->mbufs, count) == 0 ? count : 0;
}

static inline uint8_t *side_data(const struct burst *burst, uint32_t i)
{
    return rte_pktmbuf_mtod(burst->mbufs[i], uint8_t *);
}

static inline uint32_t side_length(const struct burst *burst, uint32_t i)
{
    return burst->mbufs[i]->pkt_len;
}

static inline void side_set_length(struct burst *burst, uint32_t i, uint32_t length)
{
    burst->mbufs[i]->data_len = (uint16_t)length;
    burst->mbufs[i]->pkt_len = length;
}

static inline uint32_t side_send(struct side *side, struct burst *burst, uint32_t first, uint32_t count)
{
    (void)side;
    return rte_eth_tx_burst(0, 0, burst->mbufs + first, (uint16_t)count);
}

static inline uint32_t side_receive(struct side *side, struct burst *burst, uint32_t count)
{
    (void)side;
    return rte_eth_rx_burst(0, 0, burst->mbufs, (uint16_t)count);
}

static inline void side_release(struct side *side, struct burst *burst, uint32_t count)
{
    (void)side;
    rte_pktmbuf_free_bulk(burst->mbufs, count);
}

static inline uint32_t side_send_copy(struct side *side, struct copy *copies, uint32_t count)
{
    if (rte_pktmbuf_alloc_bulk(side->pool, side->mbufs, count) != 0)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        rte_memcpy(rte_pktmbuf_mtod(side->mbufs[i], void *), copies[i].bytes, copies[i].length);
        side->mbufs[i]->data_len = (uint16_t)copies[i].length;
        side->mbufs[i]->pkt_len = copies[i].length;
    }
    uint32_t sent = rte_eth_tx_burst(0, 0, side->mbufs, (uint16_t)count);
    if (sent < count)
        rte_pktmbuf_free_bulk(side->mbufs + sent, count - sent);
    return sent;
}

static inline uint32_t side_receive_copy(struct side *side, struct copy *copies, uint32_t count)
{
    uint32_t received = rte_eth_rx_burst(0, 0, side->mbufs, (uint16_t)count);
    for (uint32_t i = 0; i < received; i++) {
        copies[i].length = side->mbufs[i]->pkt_len;
        rte_memcpy(copies[i].bytes, rte_pktmbuf_mtod(side->mbufs[i], void *), copies[i].length);
    }
    if (received != 0)
        rte_pktmbuf_free_bulk(side->mbufs, received);
    return received;
}

static inline void side_work(struct side *side)
{
    (void)side;
    rte_pause();
}

static bool side_recover(struct side *side)
{
    (void)side;
    return rte_eth_dev_stop(0) == 0 && rte_eth_dev_start(0) == 0;
}

static void side_report(struct side *side)
{
    struct rte_eth_stats statistics = {0};
    (void)side;
    (void)rte_eth_stats_get(0, &statistics);
    printf(",\"tx_frames\":%" PRIu64 ",\"rx_frames\":%" PRIu64 ",\"dropped\":%" PRIu64, statistics.opackets, statistics.ipackets,
           statistics.imissed + statistics.ierrors + statistics.rx_nombuf);
}

#include "workload.h"

static struct bench bench;

static bool start_environment(const char *program, const char *path, const char *options, const char *vector_bits)
{
    char device[512], vectors[64];
    snprintf(vectors, sizeof vectors, "--force-max-simd-bitwidth=%s", vector_bits);
    snprintf(device, sizeof device, "net_virtio_user0,path=%s,queues=1,queue_size=%d%s%s", path, SLOTS,
             options[0] != 0 ? "," : "", options);
    const char *words[] = {program,    "--no-huge",      "-m",          "64",
                           "--no-pci", "--no-telemetry", "--no-shconf", "--file-prefix=hostbench",
                           "--vdev",   device,           "--log-level", "pmd.net.virtio.init:info",
                           vectors};
    enum { WORDS = sizeof words / sizeof words[0] };
    char *copies[WORDS];
    for (int i = 0; i < WORDS; i++)
        copies[i] = strdup(words[i]);
    return rte_eal_init(vector_bits[0] == '0' ? WORDS - 1 : WORDS, copies) >= 0;
}

static bool start_port(struct side *side, uint16_t free_threshold)
{
    struct rte_eth_conf configuration = {0};
    struct rte_eth_dev_info info;
    if (rte_eth_dev_info_get(0, &info) != 0)
        return false;
    struct rte_eth_txconf transmit = info.default_txconf;
    transmit.tx_free_thresh = free_threshold;
    side->pool = rte_pktmbuf_pool_create("frames", MBUFS, MBUF_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    return side->pool != NULL && rte_eth_dev_configure(0, 1, 1, &configuration) == 0 &&
           rte_eth_rx_queue_setup(0, 0, SLOTS, SOCKET_ID_ANY, NULL, side->pool) == 0 &&
           rte_eth_tx_queue_setup(0, 0, SLOTS, SOCKET_ID_ANY, &transmit) == 0 && rte_eth_dev_start(0) == 0;
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: %s SOCKET DEVICE-OPTIONS TX-FREE-THRESH VECTOR-BITS\n", arguments[0]);
        return 1;
    }
    if (!start_environment(arguments[0], arguments[1], arguments[2], arguments[4]) ||
        !start_port(&bench.side, (uint16_t)atoi(arguments[3]))) {
        fprintf(stderr, "the virtio PMD did not start: %s\n", rte_strerror(rte_errno));
        return 1;
    }
    int status = obey(&bench);
    rte_eth_dev_stop(0);
    rte_eth_dev_close(0);
    rte_eal_cleanup();
    return status;
}
