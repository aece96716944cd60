/*
 * test_config.c - the configuration space (virtio 1.2, 2.5 and 5.1.4): MAC address, MTU, link, and changes while it is read.
 */
#include "harness.h"

static const uint8_t device_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t other_mac[6] = {0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};

static void assert_mac(struct fixture *f, const uint8_t *wanted, uint32_t source)
{
    uint8_t mac[6];
    struct virtio_net_info info = info_of(f);
    assert_int_equal(virtio_net_get_mac(f->net, mac), VIRTIO_NET_SUCCESS);
    assert_memory_equal(mac, wanted, 6);
    assert_memory_equal(info.mac, wanted, 6);
    assert_int_equal(info.mac_source, source);
}

/* ------------------------------------------------------------------------------------------------------------------ MAC */

static void mac_of_the_device(void **state)
{
    struct fixture *f = *state;
    memcpy(f->options.fallback_mac, other_mac, 6);
    bring_up(f);
    assert_mac(f, device_mac, 0);
    take_down(f);
}

/* None, or one that no card can have: zero, multicast, broadcast. */
static void device_without_mac(struct fixture *f, unsigned which)
{
    static const uint8_t unusable[3][6] = {{0}, {0x53, 0x54, 0, 1, 2, 3}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    fixture_renew(f);
    if (which < 3)
        memcpy(f->model->config, unusable[which], 6);
    else
        f->model->features &= ~MODEL_FEATURE(MAC);
}

static void fallback_mac(void **state)
{
    struct fixture *f = *state;
    memcpy(f->options.fallback_mac, other_mac, 6);
    for (unsigned which = 0; which < 4; which++) {
        device_without_mac(f, which);
        bring_up(f);
        assert_mac(f, other_mac, 1);
    }
}

/* A random address is a local one for a single card. */
static void random_mac(void **state)
{
    struct fixture *f = *state;
    for (unsigned which = 0; which < 4; which++) {
        device_without_mac(f, which);
        bring_up(f);
        uint8_t mac[6];
        assert_int_equal(virtio_net_get_mac(f->net, mac), VIRTIO_NET_SUCCESS);
        assert_int_equal(mac[0] & 3, 2);
        assert_int_equal(mac[5], MODEL_RANDOM_MAC_BYTE | 1);
        assert_mac(f, mac, 2);
    }
}

static void no_address(void **state)
{
    struct fixture *f = *state;
    for (unsigned which = 0; which < 8; which++) {
        device_without_mac(f, which % 4);
        f->platform = which < 4 ? &model_platform_required : &model_platform;
        f->model->no_random = true;
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_NO_ADDRESS);
        assert_int_equal(f->model->status, 0);
    }
}

/* The address stays over a restart, also one that was drawn at random. */
static void mac_survives_restart(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(MAC);
    bring_up(f);
    uint8_t mac[6];
    assert_int_equal(virtio_net_get_mac(f->net, mac), VIRTIO_NET_SUCCESS);
    f->model->no_random = true;
    assert_int_equal(virtio_net_recover(f->net), VIRTIO_NET_SUCCESS);
    assert_mac(f, mac, 2);
    take_down(f);
}

/* ------------------------------------------------------------------------------------------------------------------ MTU */

static void bring_up_with_mtu(struct fixture *f, uint16_t mtu, uint32_t buffer_bytes)
{
    fixture_renew(f);
    f->model->features |= MODEL_FEATURE(MTU);
    memcpy(&f->model->config[CONFIG_MTU], &mtu, 2);
    f->options.tx_buffer_bytes = f->options.rx_buffer_bytes = buffer_bytes;
    bring_up(f);
}

static void mtu(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint16_t mtu;
        uint32_t buffer_bytes;
        bool accepted;
    } cases[] = {{0, 0, false},        {67, 0, false},       {68, 0, true},        {576, 0, true},     {1500, 0, true},
                 {1501, 0, false},     {9000, 0, false},     {9000, 9017, false},  {9000, 9018, true}, {65535, 0, false},
                 {65535, 9018, false}, {65517, 65535, true}, {65518, 65535, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bring_up_with_mtu(f, cases[i].mtu, cases[i].buffer_bytes);
        struct virtio_net_info info = info_of(f);
        if (((info.features & MODEL_FEATURE(MTU)) != 0) != cases[i].accepted)
            fail_msg("MTU %u with buffers of %u bytes", cases[i].mtu, cases[i].buffer_bytes);
        assert_int_equal(device_agreed(f->model, VIRTIO_NET_FEATURE_MTU), cases[i].accepted);
        assert_int_equal(info.mtu, cases[i].accepted ? cases[i].mtu : 1500);
        uint32_t longest = longest_frame_of(f);
        if (cases[i].accepted)
            assert_int_equal(longest, info.mtu + 18); /* the Ethernet header and a VLAN tag */
        send_one(f, longest, i);
        assert_sent(f, longest, i);
        assert_int_equal(virtio_net_send(f->net, 0, 0, f->frame, longest + 1), VIRTIO_NET_ERROR_FRAME_TOO_LONG);
        deliver(f, longest, i);
        assert_received(f, longest, i);
    }
}

/* Told as the device names it and not agreed on: the buffers alone say how long a frame may be. */
static void mtu_as_advice(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint16_t mtu;
        uint16_t told;
    } cases[] = {{67, 1500}, {68, 68}, {576, 576}, {1500, 1500}, {1501, 1501}, {9000, 9000}, {65535, 65535}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        f->options.flags = VIRTIO_NET_OPTION_MTU_ADVICE;
        bring_up_with_mtu(f, cases[i].mtu, 0);
        f->options.flags = 0;
        struct virtio_net_info info = info_of(f);
        assert_int_equal(info.features & MODEL_FEATURE(MTU), 0);
        assert_false(device_agreed(f->model, VIRTIO_NET_FEATURE_MTU));
        assert_int_equal(info.mtu, cases[i].told);
        assert_int_equal(info.max_frame_length, 65535);
        send_one(f, 1518, i);
        assert_sent(f, 1518, i);
    }
}

/* Advice that cannot be had is none: the driver works, and has no error to tell. */
static void assert_no_advice(struct fixture *f)
{
    bring_up(f);
    assert_int_equal(info_of(f).mtu, 1500);
    assert_int_equal(info_of(f).features & MODEL_FEATURE(MTU), 0);
    assert_int_equal(last_error_of(f).code, VIRTIO_NET_SUCCESS);
    assert_int_equal(last_error_of(f).field, VIRTIO_NET_FIELD_NONE);
    assert_working(f, 1);
}

/* Another MTU at each reading, by the generation and by its bytes. */
static void change_mtu_always(struct model *model, uint32_t offset)
{
    if (offset != CONFIG_MTU)
        return;
    model->config[CONFIG_MTU]++;
    model->generation++;
}

static void mtu_advice_never_stable(void **state)
{
    struct fixture *f = *state;
    f->model->features |= MODEL_FEATURE(MTU);
    f->model->on_config_read = change_mtu_always;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_CONFIG_UNSTABLE);
    f->options.flags = VIRTIO_NET_OPTION_MTU_ADVICE;
    assert_no_advice(f);
}

static void mtu_advice_beyond_the_end(void **state)
{
    struct fixture *f = *state;
    f->model->features |= MODEL_FEATURE(MTU);
    f->model->config_bytes = CONFIG_MTU;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_CONFIG_SPACE);
    f->options.flags = VIRTIO_NET_OPTION_MTU_ADVICE;
    assert_no_advice(f);
}

/* ----------------------------------------------------------------------------------------------------------------- link */

static void link_state(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    assert_int_equal(info_of(f).link_up, 1);
    for (uint32_t round = 0; round < 6; round++) {
        bool up = round % 2 != 0;
        model_set_link(f->model, up);
        assert_int_equal(virtio_net_irq_ack(f->net, 0), VIRTIO_NET_EVENT_CONFIG);
        assert_int_equal(info_of(f).link_up, !up);
        assert_int_equal(virtio_net_link(f->net), up);
        assert_int_equal(info_of(f).link_up, up);
    }
    take_down(f);
}

static void link_is_down_at_start(void **state)
{
    struct fixture *f = *state;
    f->model->config[CONFIG_STATUS] = 0;
    bring_up(f);
    assert_int_equal(info_of(f).link_up, 0);
    assert_int_equal(virtio_net_link(f->net), 0);
    take_down(f);
}

/* Bits of the status field beside the link's do not count. */
static void other_status_bits(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->config[CONFIG_STATUS] = 0xfe;
    f->model->config[CONFIG_STATUS + 1] = 0xff;
    assert_int_equal(virtio_net_link(f->net), 0);
    f->model->config[CONFIG_STATUS] = 0xff;
    assert_int_equal(virtio_net_link(f->net), 1);
    take_down(f);
}

static void no_link_feature(void **state)
{
    struct fixture *f = *state;
    f->model->features &= ~MODEL_FEATURE(STATUS);
    f->model->config[CONFIG_STATUS] = 0;
    bring_up(f);
    assert_int_equal(info_of(f).link_up, 1);
    f->model->tracing = true;
    assert_int_equal(virtio_net_link(f->net), 1);
    assert_int_equal(f->model->trace_count, 0);
    take_down(f);
}

/* --------------------------------------------------------------------------------------------------------- torn reading */

/* The address changes while it is read, once. */
static void change_once(struct model *model, uint32_t offset)
{
    if (offset != 3)
        return;
    model->on_config_read = NULL;
    memcpy(model->config, other_mac, 6);
    model->generation++;
}

static void changes_between_reads(void **state)
{
    struct fixture *f = *state;
    f->model->on_config_read = change_once;
    bring_up(f);
    assert_mac(f, other_mac, 0);
    take_down(f);
}

/* Another address at each reading: for a device without a generation, which would tell. */
static void change_always(struct model *model, uint32_t offset)
{
    if (offset == 3)
        model->config[CONFIG_STATUS - 1]++;
}

static void never_twice_the_same(void **state)
{
    struct fixture *f = *state;
    f->model->on_config_read = change_always;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_CONFIG_UNSTABLE);
    assert_int_equal(f->model->status, 0);
}

static void never_stable(void **state)
{
    struct fixture *f = *state;
    f->model->generation_step = 1;
    assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_CONFIG_UNSTABLE);
    assert_int_equal(last_error_of(f).field, VIRTIO_NET_FIELD_CONFIG);
    assert_int_equal(f->model->status, 0);
}

static void link_never_stable(void **state)
{
    struct fixture *f = *state;
    bring_up(f);
    f->model->generation_step = 1;
    int32_t link = virtio_net_link(f->net);
    assert_true(link == VIRTIO_NET_ERROR_CONFIG_UNSTABLE || link == 1);
    f->model->generation_step = 0;
    assert_int_equal(virtio_net_link(f->net), 1);
    assert_working(f, 1);
    take_down(f);
}

/* The space ends before a field that the features promise. */
static void space_ends_early(void **state)
{
    struct fixture *f = *state;
    for (uint32_t bytes = 0; bytes < 20; bytes++) {
        fixture_renew(f);
        if (bytes >= 8)
            f->model->features |= MODEL_FEATURE(MTU);
        f->model->config_bytes = bytes < 8 ? bytes : bytes - 8;
        assert_int_equal(fixture_init(f), VIRTIO_NET_ERROR_CONFIG_SPACE);
        struct virtio_net_error_detail detail = last_error_of(f);
        assert_int_equal(detail.field, VIRTIO_NET_FIELD_CONFIG);
        assert_int_equal(detail.found, bytes < 6 ? bytes : bytes < 8 ? CONFIG_STATUS : CONFIG_MTU);
        assert_int_equal(f->model->status, 0);
    }
}

TEST_PROGRAM(OVER_VARIANTS(mac_of_the_device), OVER_VARIANTS(fallback_mac), OVER_VARIANTS(random_mac), OVER_VARIANTS(no_address),
             OVER_VARIANTS(mac_survives_restart), OVER_VARIANTS(mtu), OVER_VARIANTS(mtu_as_advice),
             OVER_VARIANTS(mtu_advice_never_stable), TABLE_ONLY(mtu_advice_beyond_the_end), OVER_VARIANTS(link_state),
             OVER_VARIANTS(link_is_down_at_start), OVER_VARIANTS(other_status_bits), OVER_VARIANTS(no_link_feature),
             OVER_VARIANTS(changes_between_reads), LEGACY_ONLY(never_twice_the_same), MODERN_ONLY(never_stable),
             OVER_VARIANTS(link_never_stable), TABLE_ONLY(space_ends_early))
