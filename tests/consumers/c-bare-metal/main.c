/*
 * A program without an operating system, in C alone, that uses the installed library: it finds the network card, prints its
 * address, answers ARP and ping until `q` is typed, gives everything back, and turns the board off.
 *
 * Licence: MIT OR Apache-2.0
 */
#include "answer.h"
#include "board.h"
#include <virtio_net.h>

static const uint8_t address[4] = {192, 168, 77, 2};

static VIRTIO_NET_STORAGE(card, 256, 256);

static void print(const char *text)
{
    for (; *text != 0; text++) {
        console_put(*text);
    }
}

static void print_hex(uint64_t number, uint32_t digits)
{
    while (digits-- > 0) {
        console_put("0123456789abcdef"[number >> 4 * digits & 15]);
    }
}

static void print_number(uint64_t number)
{
    if (number >= 10) {
        print_number(number / 10);
    }
    console_put((char)('0' + number % 10));
}

static void stop_if(int32_t code, const char *what)
{
    if (code < 0) {
        print(what);
        print(": ");
        print(virtio_net_status_text(code));
        print("\n");
        power_off();
    }
}

_Noreturn void fault(uint64_t cause, uint64_t instruction, uint64_t data)
{
    print("FAULT: ");
    print_hex(cause, 8);
    print(" at ");
    print_hex(instruction, 16);
    print(" for ");
    print_hex(data, 16);
    print("\n");
    power_off();
}

/* ------------------------------------------------------------------------------------------------- what the driver needs */

enum { PAGE = 4096, PAGES = 512 };

static _Alignas(PAGE) uint8_t pages[PAGES][PAGE];
static uint8_t page_used[PAGES];

static uint32_t pages_in_use(void)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < PAGES; i++) {
        used += page_used[i];
    }
    return used;
}

static void mark(uint32_t first, uint32_t count, uint8_t used)
{
    for (uint32_t i = 0; i < count; i++) {
        page_used[first + i] = used;
    }
}

/* The first run of free pages that is long enough. Addresses are the device's too. */
static int32_t dma_alloc(void *context, uint32_t bytes, uint32_t alignment, uint32_t direction, uint32_t flags,
                         struct virtio_net_dma *memory)
{
    (void)context, (void)alignment, (void)direction, (void)flags;
    uint32_t wanted = bytes / PAGE;
    uint32_t run = 0;
    for (uint32_t i = 0; i < PAGES; i++) {
        run = page_used[i] != 0 ? 0 : run + 1;
        if (run == wanted) {
            uint8_t *start = pages[i + 1 - wanted];
            mark(i + 1 - wanted, wanted, 1);
            for (uint32_t byte = 0; byte < bytes; byte++) {
                start[byte] = 0;
            }
            memory->address = start;
            memory->device_address = (uintptr_t)start;
            return 0;
        }
    }
    return -1;
}

static void dma_free(void *context, const struct virtio_net_dma *memory, uint32_t bytes, uint32_t direction, uint32_t flags)
{
    (void)context, (void)direction, (void)flags;
    mark((uint32_t)(((uintptr_t)memory->address - (uintptr_t)pages) / PAGE), bytes / PAGE, 0);
}

static void log_line(void *context, uint32_t level, int32_t code, const char *text, uint64_t a, uint64_t b)
{
    (void)context, (void)level, (void)code;
    print("virtio_net: ");
    print(text);
    print(" ");
    print_number(a);
    print(" ");
    print_number(b);
    print("\n");
}

static const struct virtio_net_platform platform = {
    .size = sizeof(struct virtio_net_platform),
    .dma_alloc = dma_alloc,
    .dma_free = dma_free,
    .log = log_line,
};

/* --------------------------------------------------------------------------------------------------------------- the program */

static struct virtio_net *find_card(void)
{
    struct virtio_net *net = (struct virtio_net *)card;
    for (uint32_t slot = 0; slot < VIRTIO_MMIO_SLOTS; slot++) {
        volatile void *registers = (volatile void *)(uintptr_t)(VIRTIO_MMIO_BASE + slot * VIRTIO_MMIO_STEP);
        if (virtio_net_mmio_probe(registers) == VIRTIO_NET_SUCCESS) {
            stop_if(virtio_net_init_mmio(net, sizeof card, registers, &platform, NULL, NULL), "VirtIO Net");
            return net;
        }
    }
    print("VirtIO Net: no card\n");
    power_off();
}

static void serve(struct virtio_net *net, const uint8_t mac[6])
{
    static uint8_t frame[1518];
    while (console_get() != 'q') {
        int32_t length = virtio_net_receive(net, 0, 0, frame, sizeof frame);
        stop_if(length, "Receive");
        if (length > 0 && answer(frame, (uint32_t)length, mac, address)) {
            int32_t sent = VIRTIO_NET_ERROR_QUEUE_FULL;
            while (sent == VIRTIO_NET_ERROR_QUEUE_FULL) {
                sent = virtio_net_send(net, 0, 0, frame, (uint32_t)length);
            }
            stop_if(sent, "Send");
        } else if (length == 0) {
            stop_if(virtio_net_tx_reap(net, 0, 0, NULL, 0), "Reap");
        }
    }
}

void main(void)
{
    struct virtio_net *net = find_card();
    struct virtio_net_info info = VIRTIO_NET_INFO_INIT;
    struct virtio_net_statistics statistics = VIRTIO_NET_STATISTICS_INIT;
    stop_if(virtio_net_get_info(net, &info), "Info");
    print("VirtIO Net: MAC=");
    for (uint32_t i = 0; i < 6; i++) {
        print(i == 0 ? "" : ":");
        print_hex(info.mac[i], 2);
    }
    print(info.legacy ? "\nVirtIO Net: legacy\n" : "\nVirtIO Net: modern\n");

    serve(net, info.mac);

    stop_if(virtio_net_get_statistics(net, &statistics), "Statistics");
    print("Received: ");
    print_number(statistics.rx_frames);
    print(", sent: ");
    print_number(statistics.tx_frames);
    stop_if(virtio_net_close(net), "\nClose");
    print("\nClosed, pages in use: ");
    print_number(pages_in_use());
    print("\n");
}
