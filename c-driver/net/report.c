/*
 * report.c - what the driver tells about itself, its errors, and the interrupts: everything that is not on the way of a packet.
 */
#include "net.h"

VIRTIO_SMALL_BEGIN

/* ------------------------------------------------------------------------------------------------------------ trouble */

VIRTIO_COLD int32_t vn_net_refuse(const struct virtio_net *net, const void *needed, uint32_t queue, uint32_t queue_pair,
                                  uint32_t unknown_flags)
{
    if (net == NULL || needed == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (queue_pair != 0)
        return VIRTIO_NET_ERROR_QUEUE_PAIR;
    if (unknown_flags != 0)
        return VIRTIO_NET_ERROR_FLAGS;
    if (net->state != VIRTIO_NET_STATE_RUNNING || ring_is_usable(net_ring(net, queue)))
        return VIRTIO_NET_ERROR_STATE;
    return VIRTIO_NET_ERROR_NEEDS_RESET;
}

VIRTIO_COLD int32_t vn_net_broken(struct virtio_net *net, struct virtio_ring *ring)
{
    const struct virtio_fault *fault = &ring->fault;
    vn_log(&net->device.transport, net->device.log_level, VIRTIO_NET_LOG_ERROR, fault->code, NULL, fault->found, fault->wanted);
    return VIRTIO_NET_ERROR_NEEDS_RESET;
}

VIRTIO_COLD int32_t vn_net_look_at_status(struct virtio_net *net, struct virtio_ring *ring)
{
    uint32_t status = vn_device_status(&net->device);
    if (status != VIRTIO_ALL_ONES && (status & VIRTIO_STATUS_NEEDS_RESET) == 0 && (status & VIRTIO_STATUS_DRIVER_OK) != 0)
        return VIRTIO_NET_SUCCESS;
    int32_t code = status == VIRTIO_ALL_ONES ? VIRTIO_NET_ERROR_DEVICE_GONE : VIRTIO_NET_ERROR_NEEDS_RESET;
    if (!ring_is_usable(ring))
        return code;
    vn_ring_fault(ring, code, VIRTIO_NET_FIELD_STATUS, status, VIRTIO_STATUS_DRIVER_OK);
    counter_add(&ring->needs_reset, 1);
    vn_net_broken(net, ring);
    return code;
}

/* ------------------------------------------------------------------------------------------------------------ reports */

/* Copies as much of a report as the caller has room for, and keeps the caller's size in front. */
static int32_t report(void *to, const void *from, uint32_t size, uint32_t known)
{
    if (size < sizeof size)
        return VIRTIO_NET_ERROR_STRUCT_SIZE;
    uint8_t *target = to;
    const uint8_t *source = from;
    for (uint32_t i = sizeof size; i < size; i++)
        ((volatile uint8_t *)target)[i] = i < known ? source[i] : 0;
    return VIRTIO_NET_SUCCESS;
}

static uint32_t state(const struct virtio_net *net)
{
    bool failed = net->state == VIRTIO_NET_STATE_RUNNING && !(ring_is_usable(&net->rx.ring) && ring_is_usable(&net->tx.ring));
    return failed ? VIRTIO_NET_STATE_FAILED : net->state;
}

int32_t virtio_net_get_info(const struct virtio_net *net, struct virtio_net_info *info)
{
    if (net == NULL || info == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_net_info now = {
        .state = state(net),
        .device_features = net->device.offered,
        .features = net->device.features,
        .legacy = device_is_legacy(&net->device),
        .link_up = flag_read(&net->link_up),
        .mtu = net->mtu,
        .max_frame_length = net->tx.max_frame,
        .tx_slots = ring_size(&net->tx.ring),
        .rx_slots = ring_size(&net->rx.ring),
        .tx_buffer_bytes = net->tx.pool_frame,
        .rx_buffer_bytes = net->rx.pool_frame,
        .header_length = net->tx.ring.header_length,
        .mac_source = net->mac_source,
    };
    for (uint32_t i = 0; i < sizeof now.mac; i++)
        now.mac[i] = net->mac[i];
    return report(info, &now, info->size, sizeof now);
}

int32_t virtio_net_get_statistics(const struct virtio_net *net, struct virtio_net_statistics *statistics)
{
    if (net == NULL || statistics == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    const struct virtio_net_statistics now = {
        .tx_frames = counter_read(&net->tx.frames),
        .tx_bytes = counter_read(&net->tx.bytes),
        .tx_completed = counter_read(&net->tx.completed),
        .tx_kicks = counter_read(&net->tx.ring.kicks),
        .tx_rekicks = counter_read(&net->tx.ring.rekicks),
        .tx_full = counter_read(&net->tx.full),
        .tx_lost = counter_read(&net->tx.lost),
        .rx_frames = counter_read(&net->rx.frames),
        .rx_bytes = counter_read(&net->rx.bytes),
        .rx_kicks = counter_read(&net->rx.ring.kicks),
        .rx_rekicks = counter_read(&net->rx.ring.rekicks),
        .rx_dropped_short = counter_read(&net->rx.dropped_short),
        .rx_dropped_long = counter_read(&net->rx.dropped_long),
        .rx_dropped_header = counter_read(&net->rx.dropped_header),
        .rx_lost = counter_read(&net->rx.lost),
        .queues_broken = counter_read(&net->rx.ring.broken) + counter_read(&net->tx.ring.broken),
        .device_needs_reset = counter_read(&net->rx.ring.needs_reset) + counter_read(&net->tx.ring.needs_reset),
        .resets = counter_read(&net->resets),
        .interrupts = counter_read(&net->interrupts),
        .quarantined_bytes = counter_read(&net->quarantined_bytes),
    };
    return report(statistics, &now, statistics->size, sizeof now);
}

/* The rings keep their own, so that each direction writes only what is its own. Sticky faults come first. */
void vn_net_add_faults(const struct virtio_net *net, struct virtio_net_error_detail *error)
{
    const struct virtio_ring *rings[2] = {&net->rx.ring, &net->tx.ring};
    for (int i = 0; i < 2; i++) {
        const struct virtio_fault *fault = &rings[i]->fault;
        if (fault->code == VIRTIO_NET_SUCCESS)
            continue;
        error->code = fault->code;
        error->field = fault->field;
        error->queue = rings[i]->index;
        error->found = fault->found;
        error->wanted = fault->wanted;
    }
}

int32_t virtio_net_get_last_error(const struct virtio_net *net, struct virtio_net_error_detail *detail)
{
    if (net == NULL || detail == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    struct virtio_net_error_detail now = net->device.error;
    vn_net_add_faults(net, &now);
    return report(detail, &now, detail->size, sizeof now);
}

int32_t virtio_net_get_mac(const struct virtio_net *net, uint8_t mac[6])
{
    if (net == NULL || mac == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (net->state == VIRTIO_NET_STATE_CLOSED)
        return VIRTIO_NET_ERROR_STATE;
    for (int i = 0; i < 6; i++)
        mac[i] = net->mac[i];
    return VIRTIO_NET_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------------------ interrupts */

static int32_t check_irq(const struct virtio_net *net, uint32_t queue_pair, uint32_t which, uint32_t flags)
{
    if (net == NULL || which == 0 || (which & ~(uint32_t)(VIRTIO_NET_IRQ_RX | VIRTIO_NET_IRQ_TX)) != 0)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if ((which & VIRTIO_NET_IRQ_RX) != 0 && !net_acceptable(net, net, NET_QUEUE_RX, queue_pair, flags))
        return vn_net_refuse(net, net, NET_QUEUE_RX, queue_pair, flags);
    if ((which & VIRTIO_NET_IRQ_TX) != 0 && !net_acceptable(net, net, NET_QUEUE_TX, queue_pair, flags))
        return vn_net_refuse(net, net, NET_QUEUE_TX, queue_pair, flags);
    return VIRTIO_NET_SUCCESS;
}

int32_t virtio_net_irq_enable(struct virtio_net *net, uint32_t queue_pair, uint32_t which, uint32_t flags)
{
    int32_t waiting = check_irq(net, queue_pair, which, flags);
    if (waiting < 0)
        return waiting;
    if ((which & VIRTIO_NET_IRQ_RX) != 0 && vn_ring_arm(&net->rx.ring))
        waiting |= VIRTIO_NET_IRQ_RX;
    if ((which & VIRTIO_NET_IRQ_TX) != 0 && vn_ring_arm(&net->tx.ring))
        waiting |= VIRTIO_NET_IRQ_TX;
    return waiting;
}

int32_t virtio_net_irq_disable(struct virtio_net *net, uint32_t queue_pair, uint32_t which, uint32_t flags)
{
    int32_t code = check_irq(net, queue_pair, which, flags);
    if (code < 0)
        return code;
    if ((which & VIRTIO_NET_IRQ_RX) != 0)
        vn_ring_disarm(&net->rx.ring);
    if ((which & VIRTIO_NET_IRQ_TX) != 0)
        vn_ring_disarm(&net->tx.ring);
    return VIRTIO_NET_SUCCESS;
}

int32_t virtio_net_irq_ack(struct virtio_net *net, uint32_t flags)
{
    if (net == NULL)
        return VIRTIO_NET_ERROR_INVALID_ARGUMENT;
    if (flags != 0)
        return VIRTIO_NET_ERROR_FLAGS;
    if (!net_has_memory(net)) /* a stopped device may hold its line up */
        return VIRTIO_NET_ERROR_STATE;
    const struct virtio_transport *transport = &net->device.transport;
    uint32_t status = transport->operations->interrupt_ack(transport->device);
    /* The acknowledgement is a store, the look at used.idx that follows a load: the same shape as the event index. */
    barrier_io_write_before_memory();
    if (status == 0 || status == VIRTIO_ALL_ONES)
        return 0;
    counter_add(&net->interrupts, 1);
    return (int32_t)(status & (VIRTIO_NET_EVENT_QUEUE | VIRTIO_NET_EVENT_CONFIG));
}

VIRTIO_SMALL_END
