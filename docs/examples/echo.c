/*
 * echo.c - sets a card up, announces itself, and sends every frame back to where it came from: with copies, and in place.
 *
 * The board gives three things: where the card's registers are, memory that the device reaches, and a clock if it has one. All
 * calls are made by one thread, so that no lock is needed.
 */
#include "echo.h"

/* One card with 64 slots each way: about five kilobytes, and no heap. */
static VIRTIO_NET_STORAGE(card, 64, 64);
static struct virtio_net *const net = (struct virtio_net *)card;

int32_t echo_begin(volatile void *registers, const struct virtio_net_platform *platform, void *context)
{
    int32_t code = virtio_net_mmio_probe(registers);
    if (code < 0)
        return code;
    struct virtio_net_options options = VIRTIO_NET_OPTIONS_INIT;
    options.tx_slots = options.rx_slots = 64;
    return virtio_net_init_mmio(net, sizeof card, registers, platform, context, &options);
}

/* A broadcast frame of the smallest size with the card's address as its source, by copy. */
int32_t echo_announce(void)
{
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    int32_t code = virtio_net_get_mac(net, frame + 6);
    if (code < 0)
        return code;
    frame[12] = 0x88; /* 0x88b5: EtherType for local experiments */
    frame[13] = 0xb5;
    return virtio_net_send(net, 0, 0, frame, sizeof frame);
}

/* Sends a received frame back: source and destination change places. */
static void turn_around(uint8_t *to, const uint8_t *from, uint32_t length)
{
    for (uint32_t i = 0; i < 6; i++) {
        to[i] = from[6 + i];
        to[6 + i] = from[i];
    }
    for (uint32_t i = 12; i < length; i++)
        to[i] = from[i];
}

/* By copy: one frame in, one out. Returns how many went out, or an error. */
int32_t echo_by_copy(void)
{
    static uint8_t received[1518], sent[1518];
    int32_t length = virtio_net_receive(net, 0, 0, received, sizeof received);
    if (length <= 0)
        return length;
    turn_around(sent, received, (uint32_t)length);
    int32_t code = virtio_net_send(net, 0, 0, sent, (uint32_t)length);
    return code < 0 ? code : 1;
}

/* In place: up to 32 frames with one look at the ring and one notification each way, and no copy but from buffer to buffer. */
int32_t echo_in_place(void)
{
    struct virtio_net_packet in[32], out[32];
    int32_t count = virtio_net_tx_reserve(net, 0, 0, out, 32);
    if (count < 0)
        return count;
    int32_t received = virtio_net_rx_peek(net, 0, 0, in, (uint32_t)count);
    uint32_t frames = received < 0 ? 0 : (uint32_t)received;
    for (uint32_t i = 0; i < frames; i++) {
        turn_around(out[i].data, in[i].data, in[i].length);
        out[i].length = in[i].length;
    }
    int32_t sent = frames == 0 ? 0 : virtio_net_tx_commit(net, 0, 0, out, frames);
    /* What was reserved is committed or cancelled, and what was peeked is released, whatever went wrong. */
    uint32_t posted = sent < 0 ? 0 : (uint32_t)sent;
    virtio_net_tx_cancel(net, 0, 0, out + posted, (uint32_t)count - posted);
    virtio_net_rx_release(net, 0, 0, in, frames);
    return received < 0 ? received : sent;
}

/* After an error: a device that broke a rule, or asked for it, is set up again. Anything else is the caller's to look at. */
int32_t echo_recover(int32_t code)
{
    return code == VIRTIO_NET_ERROR_NEEDS_RESET ? virtio_net_recover(net) : code;
}

int32_t echo_end(void)
{
    return virtio_net_close(net);
}
