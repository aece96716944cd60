"""One seed for all that the tests choose at random. It is printed, and VIRTIO_NET_SEED repeats a run. For every conftest.py."""

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
    """Which register interface the device has."""
    return request.param == "modern"
