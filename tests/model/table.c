/*
 * table.c - the device behind a transport table of functions, as a host with a transport of its own would bring it.
 */
#include "model.h"

static uint32_t table_properties(void *context)
{
    struct model *model = context;
    uint32_t value = device_properties(model);
    device_trace(model, 'c', CALL_PROPERTIES, value);
    return value;
}

static uint32_t table_device_type(void *context)
{
    struct model *model = context;
    device_trace(model, 'c', CALL_DEVICE_TYPE, model->device_id);
    return model->gone ? UINT32_MAX : model->device_id;
}

static void table_read_features(void *context, uint32_t *words, uint32_t count)
{
    struct model *model = context;
    uint64_t seen = 0;
    for (uint32_t word = 0; word < count; word++) {
        words[word] = model->gone ? UINT32_MAX : device_features_word(model, word);
        seen |= word < 2 ? (uint64_t)words[word] << (32 * word) : 0;
    }
    device_trace(model, 'c', CALL_READ_FEATURES, seen);
}

static void table_write_features(void *context, const uint32_t *words, uint32_t count)
{
    struct model *model = context;
    for (uint32_t word = 0; word < count && !model->gone; word++)
        device_accept_word(model, word, words[word]);
    device_trace(model, 'c', CALL_WRITE_FEATURES, model->driver_features);
}

static uint32_t table_get_status(void *context)
{
    struct model *model = context;
    uint32_t value = device_get_status(model);
    device_trace(model, 'c', CALL_GET_STATUS, value);
    return value;
}

static void table_set_status(void *context, uint32_t status)
{
    struct model *model = context;
    device_trace(model, 'c', CALL_SET_STATUS, status);
    device_set_status(model, status);
}

static void table_set_guest_page_size(void *context, uint32_t bytes)
{
    struct model *model = context;
    device_trace(model, 'c', CALL_SET_GUEST_PAGE_SIZE, bytes);
    if (!device_legacy(model))
        model_violation(model, "page size told to a modern device");
    model->guest_page_size = bytes;
}

static uint32_t table_queue_max(void *context, uint32_t queue)
{
    struct model *model = context;
    uint32_t value = model->gone ? UINT32_MAX : device_queue_max(model, queue);
    device_trace(model, 'c', CALL_QUEUE_MAX, value);
    return value;
}

static uint32_t table_queue_used(void *context, uint32_t queue)
{
    struct model *model = context;
    uint32_t value = queue < MODEL_QUEUES && (model->gone || model->queue_busy[queue] || model->queue[queue].ready);
    device_trace(model, 'c', CALL_QUEUE_USED, value);
    return value;
}

static int32_t table_queue_set(void *context, const struct virtio_net_queue_memory *memory)
{
    struct model *model = context;
    device_trace(model, 'c', CALL_QUEUE_SET, memory->queue);
    if (memory->vector != VIRTIO_NET_NO_VECTOR || memory->flags != 0)
        model_violation(model, "queue_set with vector %u and flags 0x%x", memory->vector, memory->flags);
    if (device_legacy(model) && model->guest_page_size != 4096)
        model_violation(model, "queue_set with page size %u", model->guest_page_size);
    return device_queue_set(model, memory) ? 0 : -5;
}

static void table_notify(void *context, uint32_t queue, uint32_t data)
{
    struct model *model = context;
    device_trace(model, 'c', CALL_NOTIFY, queue);
    if (data != 0)
        model_violation(model, "notification with data %u", data);
    device_notify(model, queue);
}

static uint32_t table_interrupt_ack(void *context)
{
    struct model *model = context;
    uint32_t value = model->gone ? UINT32_MAX : model->isr;
    model->isr = 0;
    device_trace(model, 'c', CALL_INTERRUPT_ACK, value);
    return value;
}

static uint32_t table_config_generation(void *context)
{
    struct model *model = context;
    model->generation += model->generation_step;
    device_trace(model, 'c', CALL_CONFIG_GENERATION, model->generation);
    return model->gone ? UINT32_MAX : model->generation;
}

static int32_t table_config_read(void *context, uint32_t offset, uint32_t width, uint32_t *value)
{
    struct model *model = context;
    device_trace(model, 'c', CALL_CONFIG_READ, offset);
    if (!model->gone && offset + width > model->config_bytes)
        return -34;
    *value = device_config_read(model, offset, width);
    return 0;
}

const struct virtio_net_transport model_transport = {
    .size = sizeof(struct virtio_net_transport),
    .properties = table_properties,
    .device_type = table_device_type,
    .read_features = table_read_features,
    .write_features = table_write_features,
    .get_status = table_get_status,
    .set_status = table_set_status,
    .set_guest_page_size = table_set_guest_page_size,
    .queue_max = table_queue_max,
    .queue_used = table_queue_used,
    .queue_set = table_queue_set,
    .notify = table_notify,
    .interrupt_ack = table_interrupt_ack,
    .config_generation = table_config_generation,
    .config_read = table_config_read,
};
