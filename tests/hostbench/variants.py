"""What the host bench compares: the programs, and the frames that each is given."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """One program and its arguments behind the socket's path."""
    name: str
    program: str
    arguments: tuple = ()

    @property
    def dpdk(self):
        return self.program == "hostbench-dpdk"

    @property
    def peer(self):
        return self.program != "hostbench-model"


OURS = Variant("virtio_net", "hostbench-vhost", ("256", "1"))
OURS_FLAGS = Variant("virtio_net, no EVENT_IDX", "hostbench-vhost", ("256", "0"))
MODEL = Variant("virtio_net, model device", "hostbench-model")
EQUAL = Variant("DPDK, same features", "hostbench-dpdk", ("mrg_rxbuf=0,in_order=0", "0", "0"))
QUICK = (OURS, EQUAL, OURS_FLAGS,
         Variant("DPDK, vectorised RX", "hostbench-dpdk", ("mrg_rxbuf=0,in_order=0,vectorized=1", "192", "0")),
         Variant("DPDK, in order", "hostbench-dpdk", ("mrg_rxbuf=0,in_order=1", "192", "0")))
ALL = QUICK + (
    Variant("DPDK, its defaults", "hostbench-dpdk", ("", "0", "0")),
    Variant("DPDK, packed ring", "hostbench-dpdk", ("packed_vq=1,mrg_rxbuf=0,in_order=1", "192", "0")),
    Variant("DPDK, packed, AVX-512", "hostbench-dpdk", ("packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1", "192", "512")))
SHAPES = ((60, 0), (60, 1), (1514, 0), (1514, 1))  # length, copying
