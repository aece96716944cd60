/*
 * run_echo.c - runs the example of docs/c-api.md against a card of the model device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "echo.h"
#include "host.h"

#define CHECK(condition)                                                                                                         \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            printf("run_echo.c:%d: %s\n", __LINE__, #condition);                                                                 \
            exit(1);                                                                                                             \
        }                                                                                                                        \
    } while (0)

enum { FRAMES = 40 };

static uint32_t length_of(uint32_t number)
{
    return 60 + number * 36;
}

static void fill(uint8_t *frame, uint32_t number)
{
    for (uint32_t i = 0; i < length_of(number); i++)
        frame[i] = (uint8_t)(i * 3 + number);
}

static void give(uint32_t number)
{
    uint8_t frame[1518];
    fill(frame, number);
    CHECK(host_give(frame, length_of(number)));
}

static void expect(uint32_t number)
{
    uint8_t wanted[1518], sent[1518];
    fill(wanted, number);
    CHECK(host_take(sent, sizeof sent) == length_of(number));
    CHECK(memcmp(sent, wanted + 6, 6) == 0 && memcmp(sent + 6, wanted, 6) == 0);
    CHECK(memcmp(sent + 12, wanted + 12, length_of(number) - 12) == 0);
}

int main(void)
{
    host_begin();
    CHECK(echo_begin(NULL, host_platform(), host_context()) == VIRTIO_NET_ERROR_INVALID_ARGUMENT);
    CHECK(echo_begin(host_registers(), host_platform(), host_context()) == VIRTIO_NET_SUCCESS);
    uint8_t sent[1518];
    CHECK(echo_announce() == VIRTIO_NET_SUCCESS && host_take(sent, sizeof sent) == 60);
    CHECK(sent[0] == 0xff && sent[6] != 0xff && sent[12] == 0x88);
    CHECK(echo_by_copy() == 0 && echo_in_place() == 0);
    for (uint32_t i = 0; i < FRAMES; i++)
        give(i);
    CHECK(echo_by_copy() == 1 && echo_by_copy() == 1);
    CHECK(echo_in_place() == 32 && echo_in_place() == FRAMES - 34 && echo_in_place() == 0);
    for (uint32_t i = 0; i < FRAMES; i++)
        expect(i);
    host_break();
    int32_t code = echo_in_place();
    CHECK(code == VIRTIO_NET_ERROR_NEEDS_RESET);
    CHECK(echo_recover(code) == VIRTIO_NET_SUCCESS && echo_recover(VIRTIO_NET_ERROR_STATE) == VIRTIO_NET_ERROR_STATE);
    for (uint32_t round = 0; round < 1000; round++) {
        give(round % FRAMES);
        CHECK((round % 2 == 0 ? echo_by_copy() : echo_in_place()) == 1);
        expect(round % FRAMES);
    }
    CHECK(echo_end() == VIRTIO_NET_SUCCESS);
    CHECK(host_end());
    return 0;
}
