/*
 * card_vhost.c - the card is another process's, behind a vhost-user socket.
 *
 * Arguments: the socket's path, the queue size, and whether the driver is shown EVENT_IDX (0 or 1).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "card.h"
#include "vhost_user.h"

static struct vhost_user front;

bool card_open(struct card *card, int count, char **arguments)
{
    if (count != 4) {
        fprintf(stderr, "usage: %s SOCKET QUEUE-SIZE EVENT-IDX\n", arguments[0]);
        return false;
    }
    uint64_t hidden = atoi(arguments[3]) != 0 ? 0 : UINT64_C(1) << VIRTIO_NET_FEATURE_EVENT_IDX;
    card->transport = &vhost_user_transport;
    card->platform = &vhost_user_platform;
    card->context = &front;
    return vhost_user_open(&front, arguments[1], hidden, (uint32_t)atoi(arguments[2]));
}

void card_work(struct card *card)
{
    (void)card;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

bool card_close(struct card *card)
{
    (void)card;
    vhost_user_close(&front);
    if (front.blocks_out != 0)
        fprintf(stderr, "%u blocks of DMA memory were not given back\n", front.blocks_out);
    return front.blocks_out == 0;
}
