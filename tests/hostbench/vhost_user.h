/*
 * vhost_user.h - the driver's side of vhost-user on Linux: a transport table and a platform table over a socket.
 *
 * A program that runs the driver in user space reaches a virtio network device of another process (DPDK's vhost, for example) by
 * it: control messages over a unix socket, rings and buffers in memory that both processes map, notifications by eventfd. The
 * protocol is that of QEMU's docs/interop/vhost-user; this is its front end.
 *
 * One thread uses a front end for set-up. `notify` and `get_status` may be called from two, as the table promises.
 */
#ifndef VHOST_USER_H
#define VHOST_USER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio_net.h"

enum { VHOST_USER_QUEUES = 2, VHOST_USER_PAGES = 4096, VHOST_USER_PAGE_BYTES = 4096 };

/* The device's addresses begin here: no address is a pointer by chance. */
#define VHOST_USER_DEVICE_BASE UINT64_C(0x100000000)

struct vhost_user {
    int socket;
    int kick[VHOST_USER_QUEUES]; /* eventfd: the driver tells the device */
    int call[VHOST_USER_QUEUES]; /* eventfd: the device tells the driver */
    int memory_fd;
    uint8_t *memory;
    bool page_taken[VHOST_USER_PAGES];
    uint32_t blocks_out; /* blocks that dma_alloc gave and dma_free did not take back */

    uint64_t back_end_features; /* what the back end offers */
    uint64_t hidden_features;   /* what the driver is not shown of it */
    uint64_t accepted;          /* what the driver accepted */
    uint64_t protocol;          /* protocol features agreed on with the back end */
    uint32_t queue_size;
    bool queue_set[VHOST_USER_QUEUES];
    uint8_t status;
    uint8_t mac[6];
    atomic_bool broken; /* the back end is gone or refused a message: the status reads as ones */
    atomic_uint_fast64_t notifications;
};

extern const struct virtio_net_platform vhost_user_platform;
extern const struct virtio_net_transport vhost_user_transport;

/* Connects to the back end that listens at `path`, and shares memory with it. `hidden_features` are feature bits, one each, that
 * the driver shall not see; `queue_size` is the size of each queue. Returns false and says why on standard error where it
 * failed; vhost_user_close is due in either case. */
bool vhost_user_open(struct vhost_user *front, const char *path, uint64_t hidden_features, uint32_t queue_size);
void vhost_user_close(struct vhost_user *front);

#endif /* VHOST_USER_H */
