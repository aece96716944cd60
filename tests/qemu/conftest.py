"""What the boots share: random choices, both register interfaces, a disk of random bytes."""

import pytest
from seed import chosen, modern, pytest_configure, pytest_report_header  # noqa: F401


@pytest.fixture(params=[1, 2], ids=["smp1", "smp2"])
def cpus(request):
    return request.param


@pytest.fixture
def disk(chosen, tmp_path):
    """An image of random size and contents."""
    path = tmp_path / "disk.img"
    path.write_bytes(chosen.randbytes(512 * chosen.randint(8, 4096)))
    return path
