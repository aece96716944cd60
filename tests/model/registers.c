/*
 * registers.c - the device's MMIO registers, versions 1 and 2 (virtio 1.2, 4.2), and the hooks of the driver under test.
 *
 * A register window is an address range inside the model that nothing ever dereferences: a driver that is built with
 * VIRTIO_MODEL asks here instead.
 */
#include <string.h>

#include "model.h"

#define WINDOWS 8

void registers_attach(struct model *model);
void registers_detach(const struct model *model);

static struct model *attached[WINDOWS];

void registers_attach(struct model *model)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        if (attached[i] == NULL) {
            attached[i] = model;
            return;
        }
    }
}

void registers_detach(const struct model *model)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        if (attached[i] == model)
            attached[i] = NULL;
    }
}

static struct model *owner(const volatile void *address, uint32_t *offset)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        if (attached[i] == NULL)
            continue;
        uintptr_t distance = (uintptr_t)address - (uintptr_t)attached[i]->registers;
        if (distance < MODEL_WINDOW_BYTES) {
            *offset = (uint32_t)distance;
            return attached[i];
        }
    }
    return NULL;
}

/* Offset in the staged addresses of a queue; legacy has none of these registers. */
static uint64_t *staged_address(struct model *model, uint32_t offset)
{
    uint32_t queue = model->queue_sel;
    switch (offset & ~4u) {
    case REGISTER_QUEUE_DESC_LOW:
        return &model->staged[queue].descriptors;
    case REGISTER_QUEUE_DRIVER_LOW:
        return &model->staged[queue].driver_area;
    case REGISTER_QUEUE_DEVICE_LOW:
        return &model->staged[queue].device_area;
    default:
        return NULL;
    }
}

static bool queue_selected(struct model *model)
{
    if (model->queue_sel < MODEL_QUEUES)
        return true;
    model_violation(model, "queue %u selected", model->queue_sel);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------------- reads */

/* What is in the first registers tells what the others are. */
static bool identity_register(const struct model *model, uint32_t offset, uint32_t *value)
{
    switch (offset) {
    case REGISTER_MAGIC:
        *value = model->magic;
        return true;
    case REGISTER_VERSION:
        *value = model->version;
        return true;
    case REGISTER_DEVICE_ID:
        *value = model->device_id;
        return true;
    default:
        return false;
    }
}

static uint32_t read_queue_register(struct model *model, uint32_t offset)
{
    if (!queue_selected(model))
        return 0;
    bool busy = model->queue_busy[model->queue_sel] || model->queue[model->queue_sel].ready;
    if (offset == REGISTER_QUEUE_NUM_MAX)
        return device_queue_max(model, model->queue_sel);
    return busy ? 1 : 0;
}

static uint32_t read_register(struct model *model, uint32_t offset)
{
    uint32_t value = 0;
    if (identity_register(model, offset, &value))
        return value;
    switch (offset) {
    case REGISTER_DEVICE_FEATURES:
        return device_features_word(model, model->device_features_sel);
    case REGISTER_QUEUE_NUM_MAX:
        return read_queue_register(model, offset);
    case REGISTER_INTERRUPT_STATUS:
        return model->isr;
    case REGISTER_STATUS:
        return device_get_status(model);
    default:
        break;
    }
    if (offset == (device_legacy(model) ? REGISTER_QUEUE_PFN : REGISTER_QUEUE_READY))
        return read_queue_register(model, offset);
    if (offset == REGISTER_CONFIG_GENERATION && !device_legacy(model))
        return model->generation += model->generation_step;
    model_violation(model, "register 0x%03x read", offset);
    return 0;
}

uint32_t virtio_model_read(const volatile void *address, unsigned width)
{
    uint32_t offset = 0;
    struct model *model = owner(address, &offset);
    if (model == NULL)
        return 0;
    uint32_t value = UINT32_MAX;
    if (offset >= REGISTER_CONFIG) {
        value = device_config_read(model, offset - REGISTER_CONFIG, width);
    } else {
        if (width != 4 || offset % 4 != 0)
            model_violation(model, "register 0x%03x read with width %u", offset, width);
        if (!model->gone)
            value = read_register(model, offset);
    }
    device_trace(model, 'r', offset, value);
    return value;
}

/* --------------------------------------------------------------------------------------------------------------- writes */

static void set_queue(struct model *model, uint64_t descriptors, uint64_t driver_area, uint64_t device_area)
{
    struct virtio_net_queue_memory memory = {.queue = model->queue_sel,
                                             .size = model->staged[model->queue_sel].num,
                                             .descriptors = descriptors,
                                             .driver_area = driver_area,
                                             .device_area = device_area};
    (void)device_queue_set(model, &memory);
}

static void write_pfn(struct model *model, uint32_t page)
{
    if (page == 0) {
        queue_close(&model->queue[model->queue_sel]);
        return;
    }
    uint32_t num = model->staged[model->queue_sel].num;
    uint32_t align = model->staged[model->queue_sel].align;
    if (model->guest_page_size != 4096 || align != 4096)
        model_violation(model, "QueuePFN with page size %u and alignment %u", model->guest_page_size, align);
    uint64_t descriptors = (uint64_t)page * 4096;
    uint64_t avail = descriptors + 16 * (uint64_t)num;
    set_queue(model, descriptors, avail, (avail + 6 + 2 * (uint64_t)num + 4095) / 4096 * 4096);
}

static bool write_legacy_register(struct model *model, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case REGISTER_GUEST_PAGE_SIZE:
        model->guest_page_size = value;
        return true;
    case REGISTER_QUEUE_ALIGN:
        if (queue_selected(model))
            model->staged[model->queue_sel].align = value;
        return true;
    case REGISTER_QUEUE_PFN:
        if (queue_selected(model))
            write_pfn(model, value);
        return true;
    default:
        return false;
    }
}

static bool write_modern_register(struct model *model, uint32_t offset, uint32_t value)
{
    if (offset == REGISTER_QUEUE_READY) {
        if (!queue_selected(model))
            return true;
        if (value == 0)
            queue_close(&model->queue[model->queue_sel]);
        else
            set_queue(model, model->staged[model->queue_sel].descriptors, model->staged[model->queue_sel].driver_area,
                      model->staged[model->queue_sel].device_area);
        return true;
    }
    if (!queue_selected(model))
        return false;
    uint64_t *area = staged_address(model, offset);
    if (area == NULL)
        return false;
    if (model->queue[model->queue_sel].ready)
        model_violation(model, "address of queue %u written while it is ready", model->queue_sel);
    if ((offset & 4) == 0)
        *area = (*area & ~UINT64_C(0xffffffff)) | value;
    else
        *area = (*area & UINT64_C(0xffffffff)) | (uint64_t)value << 32;
    return true;
}

static bool write_common_register(struct model *model, uint32_t offset, uint32_t value)
{
    switch (offset) {
    case REGISTER_DEVICE_FEATURES_SEL:
        model->device_features_sel = value;
        return true;
    case REGISTER_DRIVER_FEATURES_SEL:
        model->driver_features_sel = value;
        return true;
    case REGISTER_DRIVER_FEATURES:
        device_accept_word(model, model->driver_features_sel, value);
        return true;
    case REGISTER_QUEUE_SEL:
        model->queue_sel = value;
        return true;
    case REGISTER_QUEUE_NUM:
        if (queue_selected(model))
            model->staged[model->queue_sel].num = value;
        return true;
    case REGISTER_QUEUE_NOTIFY:
        device_notify(model, value);
        return true;
    case REGISTER_INTERRUPT_ACK:
        model->isr &= ~value;
        return true;
    case REGISTER_STATUS:
        device_set_status(model, value);
        return true;
    default:
        return false;
    }
}

void virtio_model_write(volatile void *address, unsigned width, uint32_t value)
{
    uint32_t offset = 0;
    struct model *model = owner(address, &offset);
    if (model == NULL)
        return;
    device_trace(model, 'w', offset, value);
    if (width != 4 || offset % 4 != 0)
        model_violation(model, "register 0x%03x written with width %u", offset, width);
    if (model->gone || write_common_register(model, offset, value))
        return;
    bool known = device_legacy(model) ? write_legacy_register(model, offset, value) : write_modern_register(model, offset, value);
    if (!known)
        model_violation(model, "register 0x%03x written with 0x%x", offset, value);
}

/* Tells the model that has asked for it; the threads test runs without, since this is a call on the data path. */
void virtio_model_fetched(const volatile void *address, unsigned width)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        if (attached[i] != NULL && attached[i]->on_fetch != NULL)
            attached[i]->on_fetch(attached[i], (volatile void *)(uintptr_t)address, width);
    }
}
