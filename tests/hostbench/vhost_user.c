/*
 * vhost_user.c - a vhost-user front end: messages, shared memory, and the two tables over them.
 *
 * Every message asks for an acknowledgement, so that an error shows where it happened, and what was asked for has happened when
 * the call returns. A back end without REPLY_ACK is asked for something harmless instead, which it answers after what came
 * before.
 */
#include "vhost_user.h"

#include <errno.h>
#include <linux/vhost_types.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum request {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    GET_VRING_BASE = 11,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_VRING_ENABLE = 18,
    SET_STATUS = 39,
};

enum { MESSAGE_VERSION = 1, MESSAGE_VERSION_MASK = 3, MESSAGE_REPLY = 4, MESSAGE_NEED_REPLY = 8, PATIENCE_SECONDS = 10 };
enum { STATUS_DRIVER_OK = 4 };

#define FEATURE_PROTOCOL      (UINT64_C(1) << 30)
#define PROTOCOL_REPLY_ACK    (UINT64_C(1) << 3)
#define PROTOCOL_STATUS       (UINT64_C(1) << 16)
#define MEMORY_BYTES          ((uint64_t)VHOST_USER_PAGES * VHOST_USER_PAGE_BYTES)
#define FEATURE(name)         (UINT64_C(1) << VIRTIO_NET_FEATURE_##name)
#define FRONT_END_FEATURES    FEATURE(MAC) /* of the configuration space, which is kept here */
#define CONFIG_SPACE_FEATURES (FEATURE(MAC) | FEATURE(STATUS) | FEATURE(MTU) | FEATURE(MQ) | FEATURE(CTRL_VQ))

struct memory_table {
    uint32_t regions;
    uint32_t padding;
    uint64_t device_address;
    uint64_t bytes;
    uint64_t user_address;
    uint64_t offset;
};

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t bytes;
    union {
        uint64_t value;
        struct vhost_vring_state state;
        struct vhost_vring_addr address;
        struct memory_table memory;
    } payload;
} __attribute__((packed, aligned(4)));

enum { MESSAGE_HEADER = offsetof(struct message, payload) };

/* ------------------------------------------------------------------------------------------------------------ messages */

static bool fail(struct vhost_user *front, uint32_t request, const char *what)
{
    fprintf(stderr, "vhost-user: message %u: %s (%s)\n", request, what, errno != 0 ? strerror(errno) : "no system error");
    atomic_store(&front->broken, true);
    return false;
}

static bool put(struct vhost_user *front, const struct message *message, int fd)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = MESSAGE_HEADER + message->bytes};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(rights), &fd, sizeof fd);
    }
    errno = 0;
    return sendmsg(front->socket, &header, MSG_NOSIGNAL) == (ssize_t)part.iov_len || fail(front, message->request, "not sent");
}

/* Reads the answer to a request into it. */
static bool get(struct vhost_user *front, struct message *message)
{
    uint32_t request = message->request;
    uint32_t wanted = message->bytes;
    errno = 0;
    if (recv(front->socket, message, MESSAGE_HEADER, MSG_WAITALL) != MESSAGE_HEADER)
        return fail(front, request, "no answer");
    if (message->request != request ||
        (message->flags & (MESSAGE_VERSION_MASK | MESSAGE_REPLY)) != (MESSAGE_VERSION | MESSAGE_REPLY) ||
        message->bytes != wanted)
        return fail(front, request, "an answer to something else");
    if (recv(front->socket, &message->payload, wanted, MSG_WAITALL) != (ssize_t)wanted)
        return fail(front, request, "half an answer");
    return true;
}

static bool ask(struct vhost_user *front, uint32_t request, uint64_t *value)
{
    struct message message = {.request = request, .flags = MESSAGE_VERSION};
    if (!put(front, &message, -1))
        return false;
    message.bytes = sizeof message.payload.value;
    if (!get(front, &message))
        return false;
    *value = message.payload.value;
    return true;
}

/* Sends a message and waits until the back end has done what it says. */
static bool tell(struct vhost_user *front, struct message *message, uint32_t request, uint32_t bytes, int fd)
{
    uint64_t ignored = 0;
    message->request = request;
    message->flags = MESSAGE_VERSION;
    message->bytes = bytes;
    if ((front->protocol & PROTOCOL_REPLY_ACK) == 0)
        return put(front, message, fd) && ask(front, GET_FEATURES, &ignored);
    message->flags |= MESSAGE_NEED_REPLY;
    if (!put(front, message, fd))
        return false;
    message->bytes = sizeof message->payload.value;
    if (!get(front, message))
        return false;
    errno = 0;
    return message->payload.value == 0 || fail(front, request, "refused by the back end");
}

static bool tell_value(struct vhost_user *front, uint32_t request, uint64_t value, int fd)
{
    struct message message = {.payload.value = value};
    return tell(front, &message, request, sizeof value, fd);
}

static bool tell_state(struct vhost_user *front, uint32_t request, uint32_t queue, uint32_t number)
{
    struct message message = {.payload.state = {.index = queue, .num = number}};
    return tell(front, &message, request, sizeof message.payload.state, -1);
}

/* Ends the back end's use of a queue: when it has answered, it reads and writes no ring and no buffer of it. */
static bool stop_queue(struct vhost_user *front, uint32_t queue)
{
    struct message message = {.request = GET_VRING_BASE,
                              .flags = MESSAGE_VERSION,
                              .bytes = sizeof message.payload.state,
                              .payload.state = {.index = queue}};
    front->queue_set[queue] = false;
    return put(front, &message, -1) && get(front, &message);
}

/* --------------------------------------------------------------------------------------------------------------- memory */

static uint64_t device_address(const struct vhost_user *front, const uint8_t *address)
{
    return VHOST_USER_DEVICE_BASE + (uint64_t)(address - front->memory);
}

static uint64_t user_address(const struct vhost_user *front, uint64_t device_address)
{
    return (uint64_t)(uintptr_t)front->memory + (device_address - VHOST_USER_DEVICE_BASE);
}

/* The first run of so many free pages, or VHOST_USER_PAGES. */
static uint32_t find_pages(const struct vhost_user *front, uint32_t count)
{
    uint32_t run = 0;
    for (uint32_t page = 0; page < VHOST_USER_PAGES; page++) {
        run = front->page_taken[page] ? 0 : run + 1;
        if (run == count)
            return page + 1 - count;
    }
    return VHOST_USER_PAGES;
}

static int32_t allocate(void *context, uint32_t bytes, uint32_t alignment, uint32_t direction, uint32_t flags,
                        struct virtio_net_dma *memory)
{
    struct vhost_user *front = context;
    uint32_t count = (bytes + VHOST_USER_PAGE_BYTES - 1) / VHOST_USER_PAGE_BYTES;
    uint32_t page = find_pages(front, count);
    (void)direction;
    (void)flags;
    if (page == VHOST_USER_PAGES || alignment > VHOST_USER_PAGE_BYTES)
        return -1;
    memory->address = front->memory + (size_t)page * VHOST_USER_PAGE_BYTES;
    memory->device_address = device_address(front, memory->address);
    memset(memory->address, 0, (size_t)count * VHOST_USER_PAGE_BYTES);
    memset(&front->page_taken[page], true, count);
    front->blocks_out++;
    return 0;
}

static void release(void *context, const struct virtio_net_dma *memory, uint32_t bytes, uint32_t direction, uint32_t flags)
{
    struct vhost_user *front = context;
    size_t page = (size_t)((uint8_t *)memory->address - front->memory) / VHOST_USER_PAGE_BYTES;
    (void)direction;
    (void)flags;
    memset(&front->page_taken[page], false, (bytes + VHOST_USER_PAGE_BYTES - 1) / VHOST_USER_PAGE_BYTES);
    front->blocks_out--;
}

static uint64_t now_us(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int32_t random_bytes(void *context, uint8_t *buffer, uint32_t bytes)
{
    (void)context;
    return getrandom(buffer, bytes, 0) == (ssize_t)bytes ? 0 : -1;
}

static void print(void *context, uint32_t level, int32_t code, const char *text, uint64_t a, uint64_t b)
{
    (void)context;
    fprintf(stderr, "virtio-net: level %u, %s: %s: %llu, %llu\n", level, virtio_net_status_name(code), text,
            (unsigned long long)a, (unsigned long long)b);
}

const struct virtio_net_platform vhost_user_platform = {
    .size = sizeof(struct virtio_net_platform),
    .dma_alloc = allocate,
    .dma_free = release,
    .now_us = now_us,
    .random = random_bytes,
    .log = print,
};

/* ----------------------------------------------------------------------------------------------------------- transport */

static uint32_t properties(void *context)
{
    (void)context;
    return 0;
}

static uint32_t device_type(void *context)
{
    (void)context;
    return 1;
}

static void read_features(void *context, uint32_t *words, uint32_t count)
{
    const struct vhost_user *front = context;
    uint64_t offered = (front->back_end_features & ~(FEATURE_PROTOCOL | CONFIG_SPACE_FEATURES)) | FRONT_END_FEATURES;
    offered &= ~front->hidden_features;
    for (uint32_t word = 0; word < count; word++)
        words[word] = word < 2 ? (uint32_t)(offered >> (32 * word)) : 0;
}

static void write_features(void *context, const uint32_t *words, uint32_t count)
{
    struct vhost_user *front = context;
    front->accepted = words[0] | (count > 1 ? (uint64_t)words[1] << 32 : 0);
    (void)tell_value(front, SET_FEATURES, (front->accepted & ~FRONT_END_FEATURES) | (front->back_end_features & FEATURE_PROTOCOL),
                     -1);
}

static uint32_t get_status(void *context)
{
    const struct vhost_user *front = context;
    return atomic_load(&front->broken) ? UINT32_MAX : front->status;
}

static void stop(struct vhost_user *front)
{
    for (uint32_t queue = 0; queue < VHOST_USER_QUEUES; queue++) {
        if (front->queue_set[queue] && !stop_queue(front, queue))
            return;
    }
}

static void set_status(void *context, uint32_t status)
{
    struct vhost_user *front = context;
    bool starts = (status & STATUS_DRIVER_OK) != 0 && (front->status & STATUS_DRIVER_OK) == 0;
    if (atomic_load(&front->broken))
        return;
    if (status == 0)
        stop(front);
    if ((front->protocol & PROTOCOL_STATUS) != 0 && !tell_value(front, SET_STATUS, status, -1))
        return;
    front->status = (uint8_t)status;
    for (uint32_t queue = 0; starts && queue < VHOST_USER_QUEUES; queue++) {
        if (!tell_state(front, SET_VRING_ENABLE, queue, 1))
            return;
    }
}

static uint32_t queue_max(void *context, uint32_t queue)
{
    const struct vhost_user *front = context;
    return queue < VHOST_USER_QUEUES ? front->queue_size : 0;
}

static uint32_t queue_used(void *context, uint32_t queue)
{
    const struct vhost_user *front = context;
    return queue < VHOST_USER_QUEUES && front->queue_set[queue];
}

static int32_t queue_set(void *context, const struct virtio_net_queue_memory *memory)
{
    struct vhost_user *front = context;
    struct message message = {.payload.address = {.index = memory->queue,
                                                  .desc_user_addr = user_address(front, memory->descriptors),
                                                  .used_user_addr = user_address(front, memory->device_area),
                                                  .avail_user_addr = user_address(front, memory->driver_area)}};
    if (memory->queue >= VHOST_USER_QUEUES)
        return -1;
    front->queue_set[memory->queue] = true;
    bool done = tell_state(front, SET_VRING_NUM, memory->queue, memory->size) &&
                tell_state(front, SET_VRING_BASE, memory->queue, 0) &&
                tell(front, &message, SET_VRING_ADDR, sizeof message.payload.address, -1) &&
                tell_value(front, SET_VRING_CALL, memory->queue, front->call[memory->queue]) &&
                tell_value(front, SET_VRING_KICK, memory->queue, front->kick[memory->queue]);
    return done ? 0 : -1;
}

static void notify(void *context, uint32_t queue, uint32_t data)
{
    struct vhost_user *front = context;
    (void)data;
    if (eventfd_write(front->kick[queue], 1) != 0)
        atomic_store(&front->broken, true);
    atomic_fetch_add(&front->notifications, 1);
}

static uint32_t interrupt_ack(void *context)
{
    const struct vhost_user *front = context;
    eventfd_t ignored = 0;
    uint32_t found = 0;
    for (uint32_t queue = 0; queue < VHOST_USER_QUEUES; queue++)
        found |= eventfd_read(front->call[queue], &ignored) == 0 ? VIRTIO_NET_EVENT_QUEUE : 0;
    return found;
}

static uint32_t config_generation(void *context)
{
    (void)context;
    return 0;
}

/* The address is all there is (virtio 1.2, 5.1.4). */
static int32_t config_read(void *context, uint32_t offset, uint32_t width, uint32_t *value)
{
    const struct vhost_user *front = context;
    if (offset + width > sizeof front->mac)
        return -1;
    *value = 0;
    for (uint32_t i = 0; i < width; i++)
        *value |= (uint32_t)front->mac[offset + i] << (8 * i);
    return 0;
}

const struct virtio_net_transport vhost_user_transport = {
    .size = sizeof(struct virtio_net_transport),
    .properties = properties,
    .device_type = device_type,
    .read_features = read_features,
    .write_features = write_features,
    .get_status = get_status,
    .set_status = set_status,
    .queue_max = queue_max,
    .queue_used = queue_used,
    .queue_set = queue_set,
    .notify = notify,
    .interrupt_ack = interrupt_ack,
    .config_generation = config_generation,
    .config_read = config_read,
};

/* ------------------------------------------------------------------------------------------------------- open and close */

static bool open_files(struct vhost_user *front)
{
    for (uint32_t queue = 0; queue < VHOST_USER_QUEUES; queue++) {
        front->kick[queue] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        front->call[queue] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (front->kick[queue] < 0 || front->call[queue] < 0)
            return false;
    }
    front->memory_fd = memfd_create("virtio-net", MFD_CLOEXEC);
    if (front->memory_fd < 0 || ftruncate(front->memory_fd, (off_t)MEMORY_BYTES) != 0)
        return false;
    void *memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, front->memory_fd, 0);
    if (memory == MAP_FAILED)
        return false;
    front->memory = memory;
    return true;
}

static bool open_socket(struct vhost_user *front, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, path, length + 1);
    front->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return front->socket >= 0 && setsockopt(front->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
           connect(front->socket, (const struct sockaddr *)&address, sizeof address) == 0;
}

/* What is agreed on once, before any driver: who owns the session, which messages there are, and the memory. */
static bool introduce(struct vhost_user *front)
{
    uint64_t offered = 0;
    if (!ask(front, GET_FEATURES, &front->back_end_features))
        return false;
    if ((front->back_end_features & FEATURE_PROTOCOL) != 0) {
        if (!ask(front, GET_PROTOCOL_FEATURES, &offered))
            return false;
        uint64_t agreed = offered & (PROTOCOL_REPLY_ACK | PROTOCOL_STATUS);
        if (!tell_value(front, SET_PROTOCOL_FEATURES, agreed, -1))
            return false;
        front->protocol = agreed;
    }
    struct message message = {.payload.value = 0};
    if (!tell(front, &message, SET_OWNER, 0, -1))
        return false;
    message.payload.memory = (struct memory_table){.regions = 1,
                                                   .device_address = VHOST_USER_DEVICE_BASE,
                                                   .bytes = MEMORY_BYTES,
                                                   .user_address = (uint64_t)(uintptr_t)front->memory};
    return tell(front, &message, SET_MEM_TABLE, sizeof message.payload.memory, front->memory_fd);
}

bool vhost_user_open(struct vhost_user *front, const char *path, uint64_t hidden_features, uint32_t queue_size)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    memset(front, 0, sizeof *front);
    front->socket = front->memory_fd = -1;
    front->kick[0] = front->kick[1] = front->call[0] = front->call[1] = -1;
    front->hidden_features = hidden_features;
    front->queue_size = queue_size;
    memcpy(front->mac, mac, sizeof mac);
    if (open_files(front) && open_socket(front, path))
        return introduce(front);
    fprintf(stderr, "vhost-user: %s: %s\n", path, strerror(errno));
    return false;
}

void vhost_user_close(struct vhost_user *front)
{
    int files[] = {front->socket, front->memory_fd, front->kick[0], front->kick[1], front->call[0], front->call[1]};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (files[i] >= 0)
            close(files[i]);
    }
    if (front->memory != NULL)
        munmap(front->memory, MEMORY_BYTES);
    front->memory = NULL;
}
