/*
 * device.c - what the device is behind its registers: status, features, queues, configuration space (virtio 1.2, 2 and 3.1).
 *
 * Both transports, MMIO registers and the function table, end here, so that the driver meets the same rules over either.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define PAGE 4096u

void model_release_memory(struct model *model);
void registers_attach(struct model *model);
void registers_detach(const struct model *model);

struct model *model_create(uint32_t version)
{
    static const uint8_t config[] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x01, 0x00, 0x09, 0x0a, 0xdc, 0x05};
    struct model *model = calloc(1, sizeof *model);
    model->magic = 0x74726976;
    model->version = version;
    model->device_id = 1;
    model->features = MODEL_FEATURE(MAC) | MODEL_FEATURE(STATUS) | MODEL_FEATURE(CSUM) | MODEL_FEATURE(MRG_RXBUF) |
                      MODEL_FEATURE(CTRL_VQ) | MODEL_FEATURE(NOTIFY_ON_EMPTY) | MODEL_FEATURE(ANY_LAYOUT) |
                      MODEL_FEATURE(INDIRECT_DESC) | MODEL_FEATURE(EVENT_IDX) | MODEL_FEATURE(GUEST_CSUM);
    if (version == 2) {
        model->features |= MODEL_FEATURE(VERSION_1) | MODEL_FEATURE(RING_RESET) | (UINT64_C(1) << 63);
        model->features &= ~(MODEL_FEATURE(NOTIFY_ON_EMPTY) | MODEL_FEATURE(ANY_LAYOUT));
    }
    model->queue_max[MODEL_RX] = model->queue_max[MODEL_TX] = 1024;
    memcpy(model->config, config, sizeof config);
    model->config_bytes = sizeof config;
    model->next_device_address = UINT64_C(0x7654321000);
    model->clock_step_us = 1;
    registers_attach(model);
    return model;
}

void model_destroy(struct model *model)
{
    registers_detach(model);
    queue_close(&model->queue[MODEL_RX]);
    queue_close(&model->queue[MODEL_TX]);
    model_release_memory(model);
    free(model->captured);
    free(model->trace);
    free(model);
}

void model_violation(struct model *model, const char *format, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)fprintf(stderr, "violation: %s\n", text);
    atomic_fetch_add(&model->violations, 1);
    if (model->on_violation != NULL)
        model->on_violation(model, text);
}

void device_trace(struct model *model, char kind, uint32_t where, uint64_t value)
{
    if (!model->tracing)
        return;
    if (model->trace_count == model->trace_capacity) {
        model->trace_capacity = model->trace_capacity * 2 + 64;
        model->trace = realloc(model->trace, model->trace_capacity * sizeof *model->trace);
    }
    model->trace[model->trace_count++] = (struct model_access){kind, where, value};
}

bool device_legacy(const struct model *model)
{
    return model->version == 1;
}

bool device_agreed(const struct model *model, uint32_t feature)
{
    return (model->driver_features >> feature & 1) != 0;
}

uint32_t device_properties(const struct model *model)
{
    uint32_t properties = model->extra_properties;
    properties |= device_legacy(model) ? VIRTIO_NET_TRANSPORT_LEGACY : VIRTIO_NET_TRANSPORT_CONFIG_GENERATION;
    return properties;
}

/* ------------------------------------------------------------------------------------------------------------- features */

uint32_t device_features_word(struct model *model, uint32_t word)
{
    uint64_t offered = model->features;
    if (model->features_second != 0 && model->feature_readings++ >= (device_legacy(model) ? 1 : 2))
        offered = model->features_second;
    return word > 1 ? 0 : (uint32_t)(offered >> (32 * word));
}

void device_accept_word(struct model *model, uint32_t word, uint32_t value)
{
    uint32_t too_late = device_legacy(model) ? STATUS_DRIVER_OK : STATUS_FEATURES_OK;
    if ((model->status & STATUS_DRIVER) == 0 || (model->status & too_late) != 0)
        model_violation(model, "features written in status 0x%x", model->status);
    if (word > 1) {
        if (value != 0)
            model_violation(model, "features of word %u accepted", word);
        return;
    }
    uint64_t mask = UINT64_C(0xffffffff) << (32 * word);
    model->driver_features = (model->driver_features & ~mask) | (uint64_t)value << (32 * word);
}

/* 2.2: nothing that was not offered; 6.1: VERSION_1 where it was. */
static bool features_acceptable(struct model *model)
{
    uint64_t offered = model->features;
    uint64_t extra = model->driver_features & ~offered;
    if (extra != 0)
        model_violation(model, "features 0x%llx accepted that were not offered", (unsigned long long)extra);
    bool version_1 = !device_legacy(model) && (offered & MODEL_FEATURE(VERSION_1)) != 0;
    if (version_1 && !device_agreed(model, VIRTIO_NET_FEATURE_VERSION_1))
        model_violation(model, "VERSION_1 was offered and not accepted");
    return extra == 0;
}

/* --------------------------------------------------------------------------------------------------------------- status */

void device_finish_reset(struct model *model)
{
    model->resetting = false;
    model->status = 0;
    model->isr = 0;
    model->driver_features = 0;
    model->guest_page_size = 0;
    model->device_features_sel = model->driver_features_sel = model->queue_sel = 0;
    memset(model->staged, 0, sizeof model->staged);
    queue_close(&model->queue[MODEL_RX]);
    queue_close(&model->queue[MODEL_TX]);
}

uint32_t device_get_status(struct model *model)
{
    if (model->gone)
        return UINT32_MAX;
    if (model->resetting && model->reset_left != MODEL_NEVER && model->reset_left-- == 0)
        device_finish_reset(model);
    return model->status;
}

static void begin_reset(struct model *model)
{
    model->resetting = true;
    model->reset_left = model->reset_reads;
    if (model->reset_reads == 0 || model->status == 0)
        device_finish_reset(model);
}

/* 3.1.1: one step at a time, in order, nothing taken back. */
static void check_status_step(struct model *model, uint32_t value)
{
    uint32_t added = value & ~model->status & ~(uint32_t)STATUS_FAILED;
    uint32_t removed = model->status & ~value & ~(uint32_t)STATUS_NEEDS_RESET;
    uint32_t before = STATUS_ACKNOWLEDGE;
    if (added == STATUS_ACKNOWLEDGE)
        before = 0;
    else if (added == STATUS_FEATURES_OK || added == STATUS_DRIVER_OK)
        before |= STATUS_DRIVER;
    if (added == STATUS_DRIVER_OK && !device_legacy(model))
        before |= STATUS_FEATURES_OK;
    if (removed != 0 || (added & (added - 1)) != 0 || (model->status & before) != before || model->resetting)
        model_violation(model, "status 0x%x written over 0x%x", value, model->status);
    if (device_legacy(model) && added == STATUS_FEATURES_OK)
        model_violation(model, "FEATURES_OK written to a legacy device");
}

static void check_driver_ok(struct model *model)
{
    if (device_legacy(model))
        (void)features_acceptable(model);
    for (uint32_t queue = 0; queue < MODEL_QUEUES; queue++) {
        if (!model->queue[queue].ready)
            model_violation(model, "DRIVER_OK without queue %u", queue);
    }
    if (model->queue[MODEL_RX].ready)
        model->avail_at_driver_ok = model_avail_index(model, MODEL_RX);
}

void device_set_status(struct model *model, uint32_t value)
{
    if (model->gone)
        return;
    if (value == 0) {
        begin_reset(model);
        return;
    }
    check_status_step(model, value);
    if ((value & ~model->status & STATUS_FEATURES_OK) != 0 && (!features_acceptable(model) || model->refuse_features))
        value &= ~(uint32_t)STATUS_FEATURES_OK;
    if ((value & ~model->status & STATUS_DRIVER_OK) != 0)
        check_driver_ok(model);
    model->status = value | (model->status & STATUS_NEEDS_RESET);
}

void model_needs_reset(struct model *model)
{
    model->status |= STATUS_NEEDS_RESET;
    if ((model->status & STATUS_DRIVER_OK) != 0) {
        model->isr |= 2;
        model->config_interrupts++;
    }
}

/* --------------------------------------------------------------------------------------------------------------- queues */

uint32_t device_queue_max(const struct model *model, uint32_t queue)
{
    return queue < MODEL_QUEUES ? model->queue_max[queue] : 0;
}

static bool legacy_layout(const struct virtio_net_queue_memory *memory)
{
    uint64_t avail = memory->descriptors + 16 * (uint64_t)memory->size;
    uint64_t used = (avail + 6 + 2 * (uint64_t)memory->size + PAGE - 1) / PAGE * PAGE;
    return memory->descriptors % PAGE == 0 && memory->descriptors / PAGE <= UINT32_MAX && memory->driver_area == avail &&
           memory->device_area == used;
}

static bool queue_memory_right(const struct model *model, const struct virtio_net_queue_memory *memory)
{
    if (memory->size < 1 || memory->size > model->queue_max[memory->queue] || (memory->size & (memory->size - 1)) != 0)
        return false;
    if (memory->descriptors == 0 || memory->driver_area == 0 || memory->device_area == 0)
        return false;
    if (device_legacy(model))
        return legacy_layout(memory);
    return memory->descriptors % 16 == 0 && memory->driver_area % 2 == 0 && memory->device_area % 4 == 0;
}

bool device_queue_set(struct model *model, const struct virtio_net_queue_memory *memory)
{
    uint32_t before = STATUS_ACKNOWLEDGE | STATUS_DRIVER | (device_legacy(model) ? 0u : (uint32_t)STATUS_FEATURES_OK);
    if (memory->queue >= MODEL_QUEUES || (model->status & ~(uint32_t)STATUS_NEEDS_RESET) != before) {
        model_violation(model, "queue %u set up in status 0x%x", memory->queue, model->status);
        return false;
    }
    if (model->queue_refused)
        return false;
    struct model_queue *queue = &model->queue[memory->queue];
    if (queue->ready || !queue_memory_right(model, memory)) {
        model_violation(model, "queue %u: wrong size %u or places, or set up twice", memory->queue, memory->size);
        return false;
    }
    queue->size = memory->size;
    queue->descriptor_area = memory->descriptors;
    queue->driver_area = memory->driver_area;
    queue->device_area = memory->device_area;
    return queue_open(model, memory->queue);
}

void device_notify(struct model *model, uint32_t queue)
{
    if (queue >= MODEL_QUEUES) {
        model_violation(model, "notification of queue %u", queue);
        return;
    }
    atomic_fetch_add_explicit(&model->queue[queue].notifications, 1, memory_order_relaxed);
    if (model->threaded || model->gone)
        return;
    if ((model->status & STATUS_DRIVER_OK) == 0) {
        model_violation(model, "notification of queue %u before DRIVER_OK", queue);
    } else if (model->drop_notifications > 0) {
        model->drop_notifications--;
    } else if (!model->no_poll) {
        model_poll(model, queue);
    }
}

/* -------------------------------------------------------------------------------------------------- configuration space */

/* 4.2.2.2 wants the width of the field; a legacy device may also be read byte by byte. */
static bool config_access_right(const struct model *model, uint32_t offset, uint32_t width)
{
    bool field = offset < CONFIG_STATUS ? width == 1 : width == 2 && offset % 2 == 0;
    return field || (width == 1 && device_legacy(model));
}

static bool config_field_offered(const struct model *model, uint32_t offset)
{
    if (offset < CONFIG_STATUS)
        return (model->features & MODEL_FEATURE(MAC)) != 0;
    if (offset < CONFIG_MAX_PAIRS)
        return (model->features & MODEL_FEATURE(STATUS)) != 0;
    return offset >= CONFIG_MTU && (model->features & MODEL_FEATURE(MTU)) != 0;
}

uint32_t device_config_read(struct model *model, uint32_t offset, uint32_t width)
{
    if (model->gone)
        return width == 1 ? 0xff : width == 2 ? 0xffff : UINT32_MAX;
    if (!config_access_right(model, offset, width) || offset + width > CONFIG_BYTES)
        model_violation(model, "configuration space read at %u with width %u", offset, width);
    else if (!config_field_offered(model, offset))
        model_violation(model, "configuration space read at %u, where no offered feature has a field", offset);
    uint32_t value = 0;
    memcpy(&value, model->config + offset, width);
    if (model->on_config_read != NULL)
        model->on_config_read(model, offset);
    return value;
}

void model_set_link(struct model *model, bool up)
{
    model->config[CONFIG_STATUS] = up ? 1 : 0;
    model->generation++;
    model->isr |= 2;
    model->config_interrupts++;
}
