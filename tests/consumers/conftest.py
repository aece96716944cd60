"""What the tests of the packages share: a place outside of the repository, random choices, and the boots' modules."""

import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "qemu"))

from seed import chosen, modern, pytest_configure, pytest_report_header  # noqa: E402, F401


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
