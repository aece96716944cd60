/*
 * users.c - the users of the C interface and of the floor: one function for each way to send and to receive a burst. Only the
 * calls are between the meter's marks; what a user does with its frames is not.
 */
#include "bench.h"

static uint8_t *own_frame(const struct bench_user *user, uint32_t index)
{
    return user->memory + (size_t)index * BENCH_STRIDE;
}

/* How many frames a call took: none where it returned an error. */
static uint32_t done_of(int32_t result)
{
    return result > 0 ? (uint32_t)result : 0;
}

static void check(struct bench_user *user, const uint8_t *frame, uint32_t length, uint32_t number)
{
    user->bad += bench_number(frame) != number;
    user->bad += length != bench_length(user, number);
}

/* --------------------------------------------------------------------------------------------------------- C interface */

uint32_t bench_send(struct bench_user *user, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bench_write(own_frame(user, i), first + i);
        user->packets[i].data = own_frame(user, i);
        user->packets[i].length = bench_length(user, first + i);
    }
    int32_t done;
    bench_call_begins();
    if (count == 1)
        done = user->api->send(user->net, 0, 0, user->packets[0].data, user->packets[0].length) + 1;
    else
        done = user->api->send_burst(user->net, 0, 0, user->packets, count);
    bench_call_ends();
    return done_of(done);
}

uint32_t bench_send_in_place(struct bench_user *user, uint32_t first, uint32_t count)
{
    bench_call_begins();
    int32_t reserved = user->api->tx_reserve(user->net, 0, 0, user->packets, count);
    bench_call_ends();
    if (reserved <= 0)
        return 0;
    for (uint32_t i = 0; i < (uint32_t)reserved; i++) {
        bench_write(user->packets[i].data, first + i);
        user->packets[i].length = bench_length(user, first + i);
    }
    bench_call_begins();
    int32_t done = user->api->tx_commit(user->net, 0, 0, user->packets, (uint32_t)reserved);
    bench_call_ends();
    return done_of(done);
}

void bench_reap(struct bench_user *user)
{
    bench_call_begins();
    user->api->tx_reap(user->net, 0, 0, NULL, 0);
    bench_call_ends();
}

/* Memory of the caller: frame `number` lies where `number` modulo BENCH_BURST says. */
uint32_t bench_post(struct bench_user *user, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct virtio_net_packet *packet = &user->packets[i];
        packet->data = own_frame(user, (first + i) % BENCH_BURST);
        packet->device_address = (uintptr_t)packet->data;
        packet->length = bench_length(user, first + i);
        packet->cookie = first + i;
        packet->flags = 0;
        bench_write(packet->data, first + i);
    }
    bench_call_begins();
    int32_t done = user->api->tx_post(user->net, 0, 0, user->packets, count);
    bench_call_ends();
    return done_of(done);
}

void bench_reap_posted(struct bench_user *user, uint32_t count)
{
    bench_call_begins();
    user->api->tx_reap(user->net, 0, 0, user->packets, count);
    bench_call_ends();
}

uint32_t bench_receive(struct bench_user *user, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        user->packets[i].data = own_frame(user, i);
        user->packets[i].length = BENCH_STRIDE - 64;
    }
    int32_t done;
    bench_call_begins();
    if (count == 1) {
        done = user->api->receive(user->net, 0, 0, user->packets[0].data, user->packets[0].length);
        user->packets[0].length = (uint32_t)done;
        done = done > 0;
    } else {
        done = user->api->receive_burst(user->net, 0, 0, user->packets, count);
    }
    bench_call_ends();
    for (uint32_t i = 0; i < done_of(done); i++)
        check(user, user->packets[i].data, user->packets[i].length, first + i);
    return done_of(done);
}

uint32_t bench_receive_in_place(struct bench_user *user, uint32_t first, uint32_t count)
{
    bench_call_begins();
    int32_t lent = user->api->rx_peek(user->net, 0, 0, user->packets, count);
    bench_call_ends();
    if (lent <= 0)
        return 0;
    for (uint32_t i = 0; i < (uint32_t)lent; i++)
        check(user, user->packets[i].data, user->packets[i].length, first + i);
    bench_call_begins();
    int32_t done = user->api->rx_release(user->net, 0, 0, user->packets, (uint32_t)lent);
    bench_call_ends();
    return done_of(done);
}

/* --------------------------------------------------------------------------------------------------------------- floor */

uint32_t bench_floor_send(struct bench_user *user, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bench_write(own_frame(user, i), first + i);
        user->frames[i].data = own_frame(user, i);
        user->frames[i].length = bench_length(user, first + i);
    }
    bench_call_begins();
    user->floor_api->tx_copy(user->floor, user->frames, count);
    bench_call_ends();
    return count;
}

uint32_t bench_floor_send_in_place(struct bench_user *user, uint32_t first, uint32_t count)
{
    bench_call_begins();
    user->floor_api->tx_reserve(user->floor, user->frames, count);
    bench_call_ends();
    for (uint32_t i = 0; i < count; i++) {
        bench_write(user->frames[i].data, first + i);
        user->frames[i].length = bench_length(user, first + i);
    }
    bench_call_begins();
    user->floor_api->tx_commit(user->floor, user->frames, count);
    bench_call_ends();
    return count;
}

void bench_floor_reap(struct bench_user *user)
{
    bench_call_begins();
    user->floor_api->tx_reap(user->floor);
    bench_call_ends();
}

uint32_t bench_floor_receive(struct bench_user *user, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        user->frames[i].data = own_frame(user, i);
    bench_call_begins();
    uint32_t done = user->floor_api->rx_copy(user->floor, user->frames, count);
    bench_call_ends();
    for (uint32_t i = 0; i < done; i++)
        check(user, user->frames[i].data, user->frames[i].length, first + i);
    return done;
}

uint32_t bench_floor_receive_in_place(struct bench_user *user, uint32_t first, uint32_t count)
{
    bench_call_begins();
    uint32_t done = user->floor_api->rx_peek(user->floor, user->frames, count);
    bench_call_ends();
    if (done == 0)
        return 0;
    for (uint32_t i = 0; i < done; i++)
        check(user, user->frames[i].data, user->frames[i].length, first + i);
    bench_call_begins();
    user->floor_api->rx_release(user->floor, user->frames, done);
    bench_call_ends();
    return done;
}
