"""What the tests of the packages share: a place outside of the repository, a random address, and the boots' modules."""

import os
import random
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "qemu"))

SEED = "VIRTIO_NET_SEED"


def pytest_configure():
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


@pytest.fixture(scope="session")
def outside():
    """A directory that is no part of the repository, so that nothing is found in the folders above."""
    with tempfile.TemporaryDirectory(prefix="consumers-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def elsewhere(outside):
    """The same with blanks in its name."""
    place = outside / "a place elsewhere"
    place.mkdir()
    return place


@pytest.fixture
def tmp_path(outside):
    """In place of pytest's own, which run.sh puts into build/."""
    return Path(tempfile.mkdtemp(dir=outside))
