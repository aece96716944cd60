/*
 * echo.h - the example of docs/c-api.md, for whoever calls it. Every function returns 0 or a count, or a VIRTIO_NET_ERROR_* code.
 */
#ifndef ECHO_H
#define ECHO_H

#include "virtio_net.h"

int32_t echo_begin(volatile void *registers, const struct virtio_net_platform *platform, void *context);
int32_t echo_announce(void);
int32_t echo_by_copy(void);
int32_t echo_in_place(void);
int32_t echo_recover(int32_t code);
int32_t echo_end(void);

#endif /* ECHO_H */
