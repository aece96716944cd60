// consumer.cc - a consumer in C++: the storage, the initialisers and the calls as virtio_net.h tells C++ to write them.
#include <cstdio>
#include <cstring>

#include "virtio_net.h"

#include "host.h"

static VIRTIO_NET_STORAGE(card, 16, 16);
static_assert(sizeof card == VIRTIO_NET_STORAGE_BYTES(16, 16), "the storage has its size");

namespace
{
struct Card {
    VIRTIO_NET_STORAGE(storage, 16, 16); // a member too
    int32_t code;
};

int failed(const char *what)
{
    std::printf("consumer.cc: %s\n", what);
    return 1;
}

int use(virtio_net *net, uint64_t bytes)
{
    virtio_net_options options{};
    options.size = sizeof options;
    options.tx_slots = options.rx_slots = 16;
    auto platform = static_cast<const virtio_net_platform *>(host_platform());
    if (virtio_net_init_mmio(net, bytes, host_registers(), platform, host_context(), &options) != VIRTIO_NET_SUCCESS)
        return failed("init");
    virtio_net_info info{};
    info.size = sizeof info;
    if (virtio_net_get_info(net, &info) != VIRTIO_NET_SUCCESS || info.state != VIRTIO_NET_STATE_RUNNING || info.tx_slots != 16)
        return failed("info");
    uint8_t frame[60] = {2}, copy[60] = {};
    if (virtio_net_send(net, 0, 0, frame, sizeof frame) != VIRTIO_NET_SUCCESS || host_take(copy, sizeof copy) != sizeof frame)
        return failed("send");
    if (!host_give(frame, sizeof frame) || virtio_net_receive(net, 0, 0, copy, sizeof copy) != int32_t{sizeof frame} ||
        std::memcmp(frame, copy, sizeof frame) != 0)
        return failed("receive");
    return virtio_net_close(net) == VIRTIO_NET_SUCCESS ? 0 : failed("close");
}
} // namespace

int main()
{
    host_begin();
    Card other{};
    static_assert(alignof(Card) == VIRTIO_NET_STORAGE_ALIGNMENT, "the storage has its alignment");
    if (reinterpret_cast<uintptr_t>(card) % VIRTIO_NET_STORAGE_ALIGNMENT != 0)
        return failed("alignment");
    if (use(reinterpret_cast<virtio_net *>(card), sizeof card) != 0 ||
        use(reinterpret_cast<virtio_net *>(other.storage), sizeof other.storage) != 0)
        return 1;
    return host_end() ? 0 : failed("the device saw something wrong");
}
