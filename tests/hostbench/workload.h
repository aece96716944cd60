/*
 * workload.h - what both programs of the host bench do with a network card: the same source, compiled into each.
 *
 * A program defines its side of the work first, and then includes this file:
 *
 *   struct side, struct burst                 the card, and up to BURST frames of it
 *   side_reserve(side, burst, count)          empty buffers to write frames to; returns how many
 *   side_data, side_length, side_set_length   of frame `i` in a burst
 *   side_send(side, burst, first, count)      hands frames first.. to the card; returns how many it took
 *   side_receive(side, burst, count)          received frames; returns how many
 *   side_release(side, burst, count)          done with them
 *   side_send_copy(side, copies, first, count), side_receive_copy(side, copies, count)     the same from and to private memory
 *   side_work(side)                           called while waiting
 *   side_recover(side), side_report(side)     reset and go on, where the side can; counters as JSON members
 *
 * The program is told what to do by lines on its standard input, and answers each with a line of JSON:
 *
 *   verify 0 FRAMES 0          frames of every length there and back, compared byte for byte
 *   groups LENGTH FRAMES COPY  GROUP frames out in full bursts, a wait, GROUP frames in; each side's calls are timed
 *   count LENGTH FRAMES COPY   the same, for callgrind: one kind of call is collected after the other
 *   echo LENGTH FRAMES 0       there and back as fast as it goes, WINDOW frames under way; the clock is read every CHUNK frames
 *   send LENGTH FRAMES 0       to a peer that only receives
 *   receive LENGTH FRAMES 0    from a peer that only sends
 *   drain 0 0 0                takes what is left of that
 *   distance PROCESSOR 0 0     how far the other processor is
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <valgrind/callgrind.h>

enum { WINDOW = 192, MAX_TURNS = 1 << 15, WARM_TURNS = 8, COUNTED_TURNS = 8, CHUNK = 1024 };

/* The brackets. EMPTY holds no call: what a bracket itself costs. OUT and IN hold a whole group, with the writing and the reading
 * of the frames and the brackets inside. */
enum bracket { RESERVE, SEND, RECEIVE, RELEASE, EMPTY, OUT, IN, BRACKETS, COUNTED_BRACKETS = OUT, NOTHING = BRACKETS };
static const char *const bracket_names[BRACKETS] = {"reserve", "send", "receive", "release", "empty", "out", "in"};

static const uint8_t frame_head[16] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0x88, 0xb5, 0, 0};

struct bench {
    struct side side;
    bool copying;
    uint32_t length; /* of each frame, bytes; 0: mixed */
    uint32_t wait_us;
    enum bracket counting; /* NOTHING: time */
    uint64_t ticks[BRACKETS];
    uint64_t calls[BRACKETS];
    double ticks_per_ns;
    uint32_t *times[BRACKETS]; /* ticks of each turn of the ring with full bursts only */
    uint32_t turns, odd_turns; /* how many, and how many others */
    uint64_t since;            /* of a chunk, ns */
    uint64_t sent, received, bad, lost;
    bool exact;   /* whole frames are made and compared */
    bool foreign; /* frames are the peer's own */
    struct burst burst;
    struct copy copies[BURST];
};

/* --------------------------------------------------------------------------------------------------------------- clocks */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* A clock for a few hundred instructions. What is before it is done, as far as loads go, and what is after it has not begun. */
static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    uint64_t value = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return value;
#else
    return now_ns();
#endif
}

static void pause_us(struct bench *bench, uint32_t us)
{
    for (uint64_t end = now_ns() + us * UINT64_C(1000); now_ns() < end;)
        side_work(&bench->side);
}

static double measure_ticks(void)
{
    uint64_t ns = now_ns(), begin = ticks();
    while (now_ns() - ns < 20000000)
        continue;
    uint64_t end = ticks();
    return (double)(end - begin) / (double)(now_ns() - ns);
}

static inline uint64_t open_bracket(struct bench *bench, enum bracket bracket)
{
    if (bench->counting == NOTHING)
        return ticks();
    if (bench->counting == bracket)
        CALLGRIND_TOGGLE_COLLECT;
    return 0;
}

static inline void close_bracket(struct bench *bench, enum bracket bracket, uint64_t begin)
{
    bench->calls[bracket]++;
    if (bench->counting == NOTHING)
        bench->ticks[bracket] += ticks() - begin;
    else if (bench->counting == bracket)
        CALLGRIND_TOGGLE_COLLECT;
}

/* --------------------------------------------------------------------------------------------------------------- frames */

static uint32_t mix(uint32_t value)
{
    value = (value ^ (value >> 16)) * 0x7feb352du;
    value = (value ^ (value >> 15)) * 0x846ca68bu;
    return value ^ (value >> 16);
}

static uint32_t frame_length(const struct bench *bench, uint32_t number)
{
    return bench->length != 0 ? bench->length : 60 + mix(number) % 1455;
}

/* Head and number; the rest of the frame where it will be compared. */
static void write_frame(const struct bench *bench, uint8_t *frame, uint32_t number)
{
    memcpy(frame, frame_head, sizeof frame_head);
    memcpy(frame + sizeof frame_head, &number, sizeof number);
    for (uint32_t at = 20; bench->exact && at < frame_length(bench, number); at++)
        frame[at] = (uint8_t)mix(number * 2048 + at);
}

static void check_frame(struct bench *bench, const uint8_t *frame, uint32_t length)
{
    uint32_t number = (uint32_t)bench->received++;
    bool good = length == frame_length(bench, number);
    if (!bench->foreign)
        good = good && memcmp(frame, frame_head, sizeof frame_head) == 0 &&
               memcmp(frame + sizeof frame_head, &number, sizeof number) == 0;
    for (uint32_t at = 20; bench->exact && good && at < length; at++)
        good = frame[at] == (uint8_t)mix(number * 2048 + at);
    bench->bad += !good;
}

/* --------------------------------------------------------------------------------------------------------------- bursts */

static uint32_t send_copies(struct bench *bench, uint32_t wanted)
{
    for (uint32_t i = 0; i < wanted; i++) {
        uint32_t number = (uint32_t)bench->sent + i;
        bench->copies[i].length = frame_length(bench, number);
        write_frame(bench, bench->copies[i].bytes, number);
    }
    uint64_t begin = open_bracket(bench, SEND);
    uint32_t count = side_send_copy(&bench->side, bench->copies, wanted);
    close_bracket(bench, SEND, begin);
    bench->sent += count;
    return count;
}

/* Sends up to `wanted` frames in one burst. Returns how many. */
static uint32_t send_burst(struct bench *bench, uint32_t wanted)
{
    if (bench->copying)
        return send_copies(bench, wanted);
    uint64_t begin = open_bracket(bench, RESERVE);
    uint32_t count = side_reserve(&bench->side, &bench->burst, wanted);
    close_bracket(bench, RESERVE, begin);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)bench->sent + i;
        side_set_length(&bench->burst, i, frame_length(bench, number));
        write_frame(bench, side_data(&bench->burst, i), number);
    }
    for (uint32_t done = 0; done < count;) {
        begin = open_bracket(bench, SEND);
        done += side_send(&bench->side, &bench->burst, done, count - done);
        close_bracket(bench, SEND, begin);
    }
    bench->sent += count;
    return count;
}

static uint32_t receive_copies(struct bench *bench, uint32_t wanted)
{
    uint64_t begin = open_bracket(bench, RECEIVE);
    uint32_t count = side_receive_copy(&bench->side, bench->copies, wanted);
    close_bracket(bench, RECEIVE, begin);
    for (uint32_t i = 0; i < count; i++)
        check_frame(bench, bench->copies[i].bytes, bench->copies[i].length);
    return count;
}

/* Receives and checks up to `wanted` frames. Returns how many. */
static uint32_t receive_burst(struct bench *bench, uint32_t wanted)
{
    if (bench->copying)
        return receive_copies(bench, wanted);
    uint64_t begin = open_bracket(bench, RECEIVE);
    uint32_t count = side_receive(&bench->side, &bench->burst, wanted);
    close_bracket(bench, RECEIVE, begin);
    if (count == 0)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        check_frame(bench, side_data(&bench->burst, i), side_length(&bench->burst, i));
    begin = open_bracket(bench, RELEASE);
    side_release(&bench->side, &bench->burst, count);
    close_bracket(bench, RELEASE, begin);
    return count;
}

/* ------------------------------------------------------------------------------------------------------------ workloads */

/* Nothing happened: true once that has lasted too long. */
static bool given_up(struct bench *bench, uint64_t *since)
{
    side_work(&bench->side);
    if (*since == 0)
        *since = now_ns();
    return now_ns() - *since > UINT64_C(3000000000);
}

/* One group there and back. Returns whether each burst of it was a full one. */
static bool run_group(struct bench *bench)
{
    bool full = true;
    uint64_t end = bench->sent + GROUP, calls = bench->calls[SEND];
    uint64_t begin = open_bracket(bench, OUT);
    for (uint64_t since = 0; bench->sent < end;) {
        uint64_t left = end - bench->sent;
        uint32_t count = send_burst(bench, left < BURST ? (uint32_t)left : BURST);
        full = full && count == BURST;
        if (count != 0)
            since = 0;
        else if (given_up(bench, &since))
            break;
    }
    close_bracket(bench, OUT, begin);
    full = full && bench->calls[SEND] - calls == GROUP / BURST;
    pause_us(bench, bench->wait_us);
    begin = open_bracket(bench, IN);
    for (uint64_t since = 0; bench->received < bench->sent;) {
        uint32_t count = receive_burst(bench, BURST);
        full = full && count == BURST;
        if (count != 0)
            since = 0;
        else if (given_up(bench, &since))
            break;
    }
    close_bracket(bench, IN, begin);
    bench->lost += bench->sent - bench->received;
    bench->received = bench->sent;
    begin = open_bracket(bench, EMPTY);
    close_bracket(bench, EMPTY, begin);
    return full;
}

/* One turn of the ring: each slot is used once, and what a driver does only now and then it does in each turn. */
static bool run_turn(struct bench *bench)
{
    bool full = true;
    memset(bench->ticks, 0, sizeof bench->ticks);
    for (uint32_t done = 0; done < SLOTS && bench->lost == 0; done += GROUP)
        full = run_group(bench) && full;
    return full;
}

static void warm_up(struct bench *bench)
{
    for (uint32_t turn = 0; turn < WARM_TURNS && bench->lost == 0; turn++)
        (void)run_turn(bench);
    bench->turns = bench->odd_turns = 0;
    memset(bench->calls, 0, sizeof bench->calls);
}

/* A turn whose bursts were not all full, because the peer was late, tells nothing about bursts. */
static void run_groups(struct bench *bench, uint64_t frames)
{
    bench->wait_us = bench->length > 256 ? 150 : 75;
    warm_up(bench);
    for (uint64_t done = 0; done < frames && bench->lost == 0; done += SLOTS) {
        if (!run_turn(bench) || bench->turns == MAX_TURNS) {
            bench->odd_turns++;
            continue;
        }
        for (uint32_t bracket = 0; bracket < BRACKETS; bracket++)
            bench->times[bracket][bench->turns] =
                bench->ticks[bracket] < UINT32_MAX ? (uint32_t)bench->ticks[bracket] : UINT32_MAX;
        bench->turns++;
    }
}

/* For callgrind: one kind of bracket is collected after the other, each turn written out under the bracket's name. */
static void run_counted(struct bench *bench)
{
    bench->wait_us = 2000;
    warm_up(bench);
    for (uint32_t bracket = 0; bracket < COUNTED_BRACKETS; bracket++) {
        uint32_t tries = 0;
        for (uint32_t full = 0; full < COUNTED_TURNS && tries < 64 * COUNTED_TURNS && bench->lost == 0; tries++) {
            CALLGRIND_ZERO_STATS;
            bench->counting = (enum bracket)bracket;
            bool good = run_turn(bench);
            bench->counting = NOTHING;
            bench->odd_turns += !good;
            bench->turns += good;
            full += good;
            if (good)
                CALLGRIND_DUMP_STATS_AT(bracket_names[bracket]);
        }
    }
}

/* The clock at every CHUNK frames. */
static void keep_pace(struct bench *bench, uint64_t done)
{
    if (done < (uint64_t)(bench->turns + 1) * CHUNK || bench->turns == MAX_TURNS)
        return;
    uint64_t now = now_ns();
    bench->times[OUT][bench->turns++] = now - bench->since < UINT32_MAX ? (uint32_t)(now - bench->since) : UINT32_MAX;
    bench->since = now;
}

static void run_echo(struct bench *bench, uint64_t frames)
{
    for (uint64_t since = 0; bench->received < frames;) {
        uint64_t way = bench->sent - bench->received, left = frames - bench->sent;
        uint32_t moved = 0;
        if (left != 0 && way + BURST <= WINDOW)
            moved = send_burst(bench, left < BURST ? (uint32_t)left : BURST);
        moved += receive_burst(bench, BURST);
        keep_pace(bench, bench->received);
        if (moved != 0)
            since = 0;
        else if (given_up(bench, &since))
            break;
    }
    bench->lost += bench->sent - bench->received;
}

static void run_one_way(struct bench *bench, uint64_t frames, bool sending)
{
    uint64_t *done = sending ? &bench->sent : &bench->received;
    for (uint64_t since = 0; *done < frames;) {
        if ((sending ? send_burst(bench, frames - *done < BURST ? (uint32_t)(frames - *done) : BURST)
                     : receive_burst(bench, BURST)) != 0)
            since = 0;
        else if (given_up(bench, &since))
            break;
        keep_pace(bench, *done);
    }
}

/* ------------------------------------------------------------------------------------------------------------ distance */

enum { DISTANCE_BATCHES = 200, DISTANCE_TRIPS = 100 };
static _Atomic uint32_t ball; /* odd: to be thrown back */

static void *throw_back(void *processor)
{
    const uint32_t last = 2 * DISTANCE_BATCHES * DISTANCE_TRIPS;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(*(const uint32_t *)processor, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        return NULL;
    for (uint32_t value = 0; value < last; value = atomic_load_explicit(&ball, memory_order_acquire)) {
        if (value % 2 != 0)
            atomic_store_explicit(&ball, value + 1, memory_order_release);
    }
    return NULL;
}

/* How long a cache line takes to the other processor and back: some hypervisors move processors about. `length` is its number. */
static void run_distance(struct bench *bench)
{
    pthread_t thread;
    uint32_t processor = bench->length;
    atomic_store(&ball, 0);
    if (pthread_create(&thread, NULL, throw_back, &processor) != 0)
        return;
    for (uint32_t batch = 0; batch < DISTANCE_BATCHES; batch++) {
        uint64_t begin = now_ns();
        for (uint32_t trip = 0; trip < DISTANCE_TRIPS; trip++) {
            uint32_t value = atomic_load_explicit(&ball, memory_order_relaxed) + 1;
            atomic_store_explicit(&ball, value, memory_order_release);
            while (atomic_load_explicit(&ball, memory_order_acquire) == value)
                continue;
        }
        uint64_t taken = (now_ns() - begin) * CHUNK / DISTANCE_TRIPS;
        bench->times[OUT][bench->turns++] = taken < UINT32_MAX ? (uint32_t)taken : UINT32_MAX;
    }
    pthread_join(thread, NULL);
}

/* Until nothing comes any more. */
static void run_drain(struct bench *bench)
{
    for (uint64_t end = now_ns() + 200000000; now_ns() < end;) {
        side_work(&bench->side);
        if (receive_burst(bench, BURST) != 0)
            end = now_ns() + 200000000;
    }
}

/* Every length, both ways of calling, and once more after a reset. */
static void run_verify(struct bench *bench, uint64_t frames)
{
    bench->exact = true;
    bench->length = 0;
    for (uint32_t part = 0; part < 4; part++) {
        bench->copying = part % 2 != 0;
        bench->sent = bench->received = 0;
        run_echo(bench, frames);
        if (part == 1)
            bench->bad += !side_recover(&bench->side);
    }
    bench->exact = false;
}

/* -------------------------------------------------------------------------------------------------------------- answers */

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The median over the turns: while it worked, the machine may have taken the processor away. */
static double median_ticks(struct bench *bench, enum bracket bracket)
{
    uint32_t *values = bench->times[bracket];
    if (bench->turns == 0)
        return 0.0;
    qsort(values, bench->turns, sizeof *values, compare);
    return values[bench->turns / 2];
}

static void print_times(struct bench *bench)
{
    double empty = median_ticks(bench, EMPTY);
    for (uint32_t bracket = 0; bracket < BRACKETS; bracket++) {
        double own = median_ticks(bench, (enum bracket)bracket);
        if (bracket < EMPTY && bench->calls[bracket] != 0)
            own -= empty / (SLOTS / GROUP) * (SLOTS / BURST); /* one empty bracket a group */
        printf(",\"%s_ns\":%.3f", bracket_names[bracket], own / bench->ticks_per_ns / (double)SLOTS);
    }
}

static void answer(struct bench *bench, const char *mode)
{
    printf("{\"mode\":\"%s\",\"length\":%u,\"copying\":%d,\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"bad\":%" PRIu64
           ",\"lost\":%" PRIu64 ",\"turns\":%u,\"odd_turns\":%u",
           mode, bench->length, bench->copying, bench->sent, bench->received, bench->bad, bench->lost, bench->turns,
           bench->odd_turns);
    if (strcmp(mode, "groups") == 0)
        print_times(bench);
    if (strcmp(mode, "distance") == 0 || strcmp(mode, "echo") == 0 || strcmp(mode, "send") == 0 || strcmp(mode, "receive") == 0)
        printf(",\"wall_ns\":%.3f", median_ticks(bench, OUT) / (double)CHUNK);
    side_report(&bench->side);
    printf("}\n");
    fflush(stdout);
}

static bool run_mode(struct bench *bench, const char *mode, uint64_t frames)
{
    if (strcmp(mode, "verify") == 0)
        run_verify(bench, frames);
    else if (strcmp(mode, "groups") == 0)
        run_groups(bench, frames);
    else if (strcmp(mode, "count") == 0)
        run_counted(bench);
    else if (strcmp(mode, "echo") == 0)
        run_echo(bench, frames);
    else if (strcmp(mode, "send") == 0 || strcmp(mode, "receive") == 0)
        run_one_way(bench, frames, mode[0] == 's');
    else if (strcmp(mode, "drain") == 0)
        run_drain(bench);
    else if (strcmp(mode, "distance") == 0)
        run_distance(bench);
    else
        return false;
    return true;
}

/* Obeys standard input until it ends. */
static int obey(struct bench *bench)
{
    char line[128], mode[16];
    uint64_t frames = 0;
    unsigned copying = 0;
    bench->ticks_per_ns = measure_ticks();
    bench->counting = NOTHING;
    for (uint32_t bracket = 0; bracket < BRACKETS; bracket++) {
        bench->times[bracket] = calloc(MAX_TURNS, sizeof *bench->times[bracket]);
        if (bench->times[bracket] == NULL)
            return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "%15s %" SCNu32 " %" SCNu64 " %u", mode, &bench->length, &frames, &copying) != 4)
            return 1;
        bench->copying = copying != 0;
        bench->sent = bench->received = bench->bad = bench->lost = 0;
        memset(bench->calls, 0, sizeof bench->calls);
        bench->foreign = strcmp(mode, "receive") == 0 || strcmp(mode, "drain") == 0;
        bench->turns = bench->odd_turns = 0;
        bench->since = now_ns();
        if (!run_mode(bench, mode, frames))
            return 1;
        answer(bench, mode);
    }
    return 0;
}

#endif /* WORKLOAD_H */
