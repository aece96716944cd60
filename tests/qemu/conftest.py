"""What the boots share: one seed for all that is chosen at random, both register interfaces, a disk of random bytes."""

import os
import random

import pytest

SEED = "VIRTIO_NET_SEED"


def pytest_configure():
    # Set before the workers start, so that all of them use the same.
    os.environ.setdefault(SEED, str(random.SystemRandom().getrandbits(32)))


def pytest_report_header():
    return f"random choices from {SEED}={os.environ[SEED]} (set it to repeat this run)"


@pytest.fixture
def chosen(request):
    """The source of a test's random choices."""
    return random.Random(f"{os.environ[SEED]} {request.node.nodeid}")


@pytest.fixture(params=["legacy", "modern"])
def modern(request):
    return request.param == "modern"


@pytest.fixture(params=[1, 2], ids=["smp1", "smp2"])
def cpus(request):
    return request.param


@pytest.fixture
def disk(chosen, tmp_path):
    """An image of random size and contents."""
    path = tmp_path / "disk.img"
    path.write_bytes(chosen.randbytes(512 * chosen.randint(8, 4096)))
    return path
