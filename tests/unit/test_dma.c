/*
 * test_dma.c - memory of the host: it runs out at any point, comes only in small pieces, at odd addresses, or behind caches.
 */
#include "harness.h"

/* One dma_alloc after the other fails: a clean error, nothing left behind, and the next attempt works. */
static void fails_at_every_allocation(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    uint32_t allocations = f->model->allocations;
    assert_true(allocations >= 4);
    for (uint32_t n = 1; n <= allocations; n++) {
        fixture_renew(f);
        f->model->fail_allocation = n;
        f->model->fail_above = 0;
        int32_t code = fixture_init(f);
        if (code != VIRTIO_NET_SUCCESS) {
            assert_int_equal(code, VIRTIO_NET_ERROR_NO_MEMORY);
            assert_int_equal(last_error_of(f).field, VIRTIO_NET_FIELD_DMA);
            assert_int_equal(model_blocks_out(f->model), 0);
            assert_int_equal(f->model->status, 0);
            bring_up(f);
        }
        assert_working(f, n);
        take_down(f);
    }
}

/* Nothing above a size: pools come in smaller pieces, down to one buffer; then there is an error. */
static void only_small_pieces(void **state)
{
    struct fixture *f = *state;
    for (uint32_t limit = device_legacy(f->model) ? 8192 : 4096; limit <= 65536; limit *= 2) {
        fixture_renew(f);
        f->model->fail_above = limit;
        f->options.tx_slots = f->options.rx_slots = 64;
        bring_up(f);
        assert_true(f->model->largest_allocation <= limit);
        for (uint64_t seed = 0; seed < 200; seed++)
            assert_working(f, seed);
        take_down(f);
    }
}

static void piece_smaller_than_a_buffer(void **state)
{
    struct fixture *f = *state;
    f->options.rx_buffer_bytes = 9000;
    f->model->fail_above = 8192;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_NO_MEMORY);
    assert_int_equal(model_blocks_out(f->model), 0);
    f->model->fail_above = 12288;
    bring_up(f);
    deliver(f, 9000, 1);
    assert_received(f, 9000, 1);
    take_down(f);
}

/* Memory runs out after so many bytes, wherever that is. */
static void out_of_memory_over_restart(void **state)
{
    struct fixture *f = *state;
    f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = 4;
    bring_up(f);
    f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = 16;
    for (uint32_t n = 1; n < 12; n++) {
        f->model->fail_allocation = n;
        int32_t code = virtio_net_recover(f->net);
        assert_true(code == VIRTIO_NET_SUCCESS || code == VIRTIO_NET_ERROR_NO_MEMORY);
        f->model->fail_allocation = 0;
        if (code != VIRTIO_NET_SUCCESS)
            assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
        assert_working(f, n);
        f->model->queue_max[MODEL_RX] = f->model->queue_max[MODEL_TX] = n % 2 == 0 ? 16 : 4;
    }
    take_down(f);
}

static void bad_addresses(void **state)
{
    struct fixture *f = *state;
    for (unsigned way = 0; way < 3; way++) {
        fixture_renew(f);
        f->model->zero_address = way == 0;
        f->model->bend_address = way == 1 ? 16 : way == 2 ? 2048 : 0;
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_DMA_ADDRESS);
        assert_int_equal(last_error_of(f).field, VIRTIO_NET_FIELD_DMA);
        assert_int_equal(model_blocks_out(f->model), 0);
        assert_int_equal(f->model->status, 0);
    }
}

/* A legacy device is told page numbers of 32 bits. */
static void page_number_too_large(void **state)
{
    struct fixture *f = *state;
    f->model->next_device_address = UINT64_C(1) << 44;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_DMA_ADDRESS);
    assert_int_equal(last_error_of(f).field, VIRTIO_NET_FIELD_DMA);
    assert_int_equal(last_error_of(f).found, UINT64_C(1) << 44);
    assert_int_equal(model_blocks_out(f->model), 0);
}

static void high_addresses(void **state)
{
    struct fixture *f = *state;
    f->model->next_device_address = UINT64_C(0xfff0000000000000);
    bring_up(f);
    for (uint64_t seed = 0; seed < 100; seed++)
        assert_working(f, seed);
    take_down(f);
}

/* An address just at the limit of the legacy page number is fine. */
static void largest_page_number(void **state)
{
    struct fixture *f = *state;
    f->model->next_device_address = (UINT64_C(1) << 44) - 16 * 4096 * 2;
    int32_t code = fixture_init(f);
    assert_true(code == VIRTIO_NET_SUCCESS || code == VIRTIO_NET_ERROR_DMA_ADDRESS);
    if (code == VIRTIO_NET_SUCCESS)
        take_down(f);
}

/* ---------------------------------------------------------------------------------------------------- caches to be synced */

/* Pool memory has a second copy, the device's; only the sync calls carry bytes over. */
static void not_coherent(void **state)
{
    struct fixture *f = *state;
    f->platform = &model_platform;
    f->model->not_coherent = true;
    f->options.rx_headroom = 2;
    bring_up(f);
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct virtio_net_packet packet;
        assert_working(f, seed);
        assert_int_equal(virtio_net_tx_reserve(f->net, 0, 0, &packet, 1), 1);
        packet.length = frame_length(seed);
        frame_fill(packet.data, packet.length, seed);
        assert_int_equal(virtio_net_tx_commit(f->net, 0, 0, &packet, 1), 1);
        assert_sent(f, packet.length, seed);
        deliver(f, frame_length(~seed), ~seed);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        frame_assert(packet.data, packet.length, frame_length(~seed), ~seed);
        memset(packet.data, 0x44, packet.length);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
    }
    take_down(f);
}

/* Memory of the caller: what the driver writes and hands over, it syncs itself. */
static void not_coherent_external(void **state)
{
    struct fixture *f = *state;
    static uint8_t memory[4][2048];
    f->platform = &model_platform;
    f->model->not_coherent = true;
    f->options.rx_buffer_bytes = VIRTIO_NET_NO_POOL;
    bring_up(f);
    uint64_t out = model_share(f->model, memory[0], sizeof memory[0], VIRTIO_NET_DMA_TO_DEVICE) + 64;
    uint64_t in = model_share(f->model, memory[1], sizeof memory[1], VIRTIO_NET_DMA_FROM_DEVICE) + 64;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct virtio_net_packet packet = {.data = memory[0] + 64, .device_address = out, .length = frame_length(seed)};
        frame_fill(packet.data, packet.length, seed);
        assert_int_equal(virtio_net_tx_post(f->net, 0, 0, &packet, 1), 1);
        assert_sent(f, frame_length(seed), seed);
        assert_int_equal(virtio_net_tx_reap(f->net, 0, 0, &packet, 1), 1);
        packet = (struct virtio_net_packet){.data = memory[1] + 64, .device_address = in, .length = 1514};
        memset(packet.data, 0x6d, 1514);
        assert_int_equal(virtio_net_rx_post(f->net, 0, 0, &packet, 1), 1);
        deliver(f, frame_length(~seed), ~seed);
        assert_int_equal(virtio_net_rx_peek(f->net, 0, 0, &packet, 1), 1);
        frame_assert(packet.data, packet.length, frame_length(~seed), ~seed);
        assert_int_equal(virtio_net_rx_release(f->net, 0, 0, &packet, 1), 1);
    }
    take_down(f);
}

/* A device that lies about the length cannot make the driver sync past the buffer. */
static void not_coherent_with_long_lengths(void **state)
{
    struct fixture *f = *state;
    f->platform = &model_platform;
    f->model->not_coherent = true;
    bring_up(f);
    for (uint32_t i = 0; i < 100; i++) {
        struct model_delivery delivery = {
            .frame = f->frame, .length = 100, .forged_length = true, .used_length = i % 2 == 0 ? UINT32_MAX : 100000};
        assert_true(model_rx_deliver_as(f->model, &delivery));
        assert_int_equal(virtio_net_receive(f->net, 0, 0, f->frame, sizeof f->frame), 0);
    }
    assert_int_equal(statistics_of(f).rx_dropped_long, 100);
    assert_working(f, 1);
    take_down(f);
}

static void coherent_without_sync_calls(void **state)
{
    struct fixture *f = *state;
    f->platform = &model_platform_coherent;
    bring_up(f);
    for (uint64_t seed = 0; seed < 50; seed++)
        assert_working(f, seed);
    take_down(f);
}

static void required_functions_only(void **state)
{
    struct fixture *f = *state;
    f->platform = &model_platform_required;
    f->options.log_level = VIRTIO_NET_LOG_INFO;
    f->model->reset_reads = 50;
    bring_up(f);
    assert_working(f, 1);
    f->model->reset_reads = MODEL_NEVER;
    assert_int_equal(virtio_net_stop(f->net), VIRTIO_NET_ERROR_RESET_TIMEOUT);
    f->model->reset_reads = 0;
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_working(f, 2);
    take_down(f);
}

TEST_PROGRAM(OVER_VARIANTS(fails_at_every_allocation), OVER_VARIANTS(only_small_pieces),
             OVER_VARIANTS(piece_smaller_than_a_buffer), OVER_VARIANTS(out_of_memory_over_restart), OVER_VARIANTS(bad_addresses),
             LEGACY_ONLY(page_number_too_large), MODERN_ONLY(high_addresses), LEGACY_ONLY(largest_page_number),
             OVER_VARIANTS(not_coherent), OVER_VARIANTS(not_coherent_external), OVER_VARIANTS(not_coherent_with_long_lengths),
             OVER_VARIANTS(coherent_without_sync_calls), OVER_VARIANTS(required_functions_only))
