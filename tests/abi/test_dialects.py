"""The headers in every dialect that a consumer may compile them in, alone and beside Linux's header of nearly the same name."""

import pytest

from baseline import ROOT, must, run
from compilers import C, CPP, STRICT, driver_over_model

C_DIALECTS = [f"{kind}{year}" for kind in ("c", "gnu") for year in ("11", "17", "2x")]
CPP_DIALECTS = [f"{kind}{year}" for kind in ("c++", "gnu++") for year in ("11", "14", "17", "20", "23")]
LINUX = "linux/virtio_net.h"
INCLUDES = {
    "driver": ["virtio_net.h"],
    "driver twice": ["virtio_net.h", "virtio_net.h"],
    "platform": ["virtio_net_platform.h"],
    "platform twice": ["virtio_net_platform.h", "virtio_net_platform.h"],
    "platform first": ["virtio_net_platform.h", "virtio_net.h"],
    "platform last": ["virtio_net.h", "virtio_net_platform.h"],
}
BESIDE_LINUX = {"after Linux's": [LINUX, "virtio_net.h"], "before Linux's": ["virtio_net.h", LINUX]}
USE = """
static VIRTIO_NET_STORAGE(card, 16, 16);
int32_t use(void);
int32_t use(void)
{
    struct virtio_net_options options = VIRTIO_NET_OPTIONS_INIT;
    struct virtio_net_info info = VIRTIO_NET_INFO_INIT;
    struct virtio_net_statistics statistics = VIRTIO_NET_STATISTICS_INIT;
    struct virtio_net_error_detail detail = VIRTIO_NET_ERROR_DETAIL_INIT;
    static const struct virtio_net_platform platform = {.size = sizeof(struct virtio_net_platform), .dma_alloc = NULL};
    int32_t sum = virtio_net_init_mmio((struct virtio_net *)card, sizeof card, NULL, &platform, NULL, &options);
    sum += virtio_net_get_info((struct virtio_net *)card, &info);
    sum += virtio_net_get_statistics((struct virtio_net *)card, &statistics);
    return sum + virtio_net_get_last_error((struct virtio_net *)card, &detail);
}
"""


def source(includes, rest=""):
    return "".join(f"#include <{name}>\n" for name in includes) + (rest or "extern int something;\n")


def complaints(compiler, dialect, text, language):
    """Initialisers name only what they set, as the header says, so that the warning about the others is off."""
    return run(compiler, f"-std={dialect}", *STRICT, "-Wno-missing-field-initializers", "-fsyntax-only", f"-x{language}", "-",
               input=text).stderr


@pytest.mark.parametrize("dialect", C_DIALECTS)
@pytest.mark.parametrize("compiler", C)
def test_c(compiler, dialect):
    for includes in INCLUDES.values():
        assert complaints(compiler, dialect, source(includes), "c") == ""
    assert complaints(compiler, dialect, source(["virtio_net.h"], USE), "c") == ""


@pytest.mark.parametrize("compiler", C)
@pytest.mark.parametrize("order", BESIDE_LINUX)
def test_c_beside_linux(order, compiler):
    text = source(BESIDE_LINUX[order], USE + "int32_t linux_too[VIRTIO_NET_F_MAC + sizeof(struct virtio_net_hdr)];\n")
    for dialect in C_DIALECTS:
        assert complaints(compiler, dialect, text, "c") == ""


@pytest.mark.parametrize("dialect", CPP_DIALECTS)
@pytest.mark.parametrize("compiler", CPP)
def test_cpp(compiler, dialect):
    for includes in INCLUDES.values():
        assert complaints(compiler, dialect, source(includes), "c++") == ""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The driver over the model device, as one object."""
    return driver_over_model(tmp_path_factory.mktemp("host") / "host.o")


@pytest.mark.parametrize("dialect", CPP_DIALECTS)
@pytest.mark.parametrize("compiler", CPP)
def test_cpp_program(compiler, dialect, host, tmp_path):
    program = tmp_path / "consumer"
    must(compiler, f"-std={dialect}", *STRICT, f"-I{ROOT}/tests/abi/consumers", ROOT / "tests/abi/consumers/consumer.cc", host,
         "-pthread", "-o", program)
    done = run(program)
    assert done.returncode == 0, done.stdout
