/*
 * host.h - the machine below a consumer: one card of the model device, seen through no type of the driver's headers, because the
 * consumer and this host are compiled with headers of different ages.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct virtio_net;

/* A card that lives until the program ends. */
void host_begin(void);

/* True where the device saw nothing wrong and all memory was given back. */
bool host_end(void);

volatile void *host_registers(void);
void *host_context(void);

/* The tables as the library knows them, and the bytes of each. */
const void *host_platform(void);
const void *host_transport(void);
uint32_t host_platform_bytes(void);
uint32_t host_transport_bytes(void);
uint32_t host_options_bytes(void);

/* Reports as the library knows them. Each returns its bytes, of which as many as fit are written. */
uint32_t host_info(const struct virtio_net *net, void *to, uint32_t bytes);
uint32_t host_statistics(const struct virtio_net *net, void *to, uint32_t bytes);
uint32_t host_last_error(const struct virtio_net *net, void *to, uint32_t bytes);

/* Lines that the library logged. */
uint32_t host_log_lines(void);

/* The wire. A frame given is received by the driver; one taken was sent by it, and its length is returned, 0 where there is
 * none. */
bool host_give(const void *frame, uint32_t length);
uint32_t host_take(void *frame, uint32_t bytes);

/* The device returns a receive buffer that it was never given. */
void host_break(void);

#ifdef __cplusplus
}
#endif

#endif /* HOST_H */
