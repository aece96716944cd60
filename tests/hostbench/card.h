/*
 * card.h - the network card that the driver drives in a bench program: one over vhost-user, or the tests' model.
 */
#ifndef CARD_H
#define CARD_H

#include <stdbool.h>

#include "virtio_net.h"

struct card {
    const struct virtio_net_transport *transport;
    const struct virtio_net_platform *platform;
    void *context;
};

/* Finds the card that the program's arguments tell. Returns false and says why where there is none. */
bool card_open(struct card *card, int count, char **arguments);

/* Lets a card that has no processor of its own work, or waits a moment for one that has. */
void card_work(struct card *card);

/* Gives the card up. Returns whether all memory had come back. */
bool card_close(struct card *card);

#endif /* CARD_H */
