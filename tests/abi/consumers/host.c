/*
 * host.c - the machine below a consumer, compiled with the library's own header.
 */
#include "host.h"

#include <string.h>

#include "model.h"

static struct model *model;

void host_begin(void)
{
    model = model_create(2);
}

bool host_end(void)
{
    bool well = atomic_load(&model->violations) == 0 && model_blocks_out(model) == 0;
    model_destroy(model);
    return well;
}

volatile void *host_registers(void)
{
    return model->registers;
}

void *host_context(void)
{
    return model;
}

const void *host_platform(void)
{
    return &model_platform;
}

const void *host_transport(void)
{
    return &model_transport;
}

uint32_t host_platform_bytes(void)
{
    return sizeof model_platform;
}

uint32_t host_transport_bytes(void)
{
    return sizeof model_transport;
}

uint32_t host_options_bytes(void)
{
    return sizeof(struct virtio_net_options);
}

static uint32_t copy(void *to, uint32_t bytes, const void *from, uint32_t size)
{
    memcpy(to, from, bytes < size ? bytes : size);
    return size;
}

uint32_t host_info(const struct virtio_net *net, void *to, uint32_t bytes)
{
    struct virtio_net_info info = VIRTIO_NET_INFO_INIT;
    return virtio_net_get_info(net, &info) < 0 ? 0 : copy(to, bytes, &info, sizeof info);
}

uint32_t host_statistics(const struct virtio_net *net, void *to, uint32_t bytes)
{
    struct virtio_net_statistics statistics = VIRTIO_NET_STATISTICS_INIT;
    return virtio_net_get_statistics(net, &statistics) < 0 ? 0 : copy(to, bytes, &statistics, sizeof statistics);
}

uint32_t host_last_error(const struct virtio_net *net, void *to, uint32_t bytes)
{
    struct virtio_net_error_detail detail = VIRTIO_NET_ERROR_DETAIL_INIT;
    return virtio_net_get_last_error(net, &detail) < 0 ? 0 : copy(to, bytes, &detail, sizeof detail);
}

uint32_t host_log_lines(void)
{
    return atomic_load(&model->log_lines);
}

bool host_give(const void *frame, uint32_t length)
{
    return model_rx_deliver(model, frame, length);
}

uint32_t host_take(void *frame, uint32_t bytes)
{
    uint32_t length = 0;
    const uint8_t *sent = model_tx_pop(model, &length);
    if (sent == NULL || length > bytes)
        return 0;
    memcpy(frame, sent, length);
    return length;
}

void host_break(void)
{
    model_push_used(model, MODEL_RX, UINT32_MAX, 100);
}
