"""The wire between a test and QEMU, the random choices and the interfaces are those of the kernel's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "qemu"))

from seed import chosen, pytest_configure, pytest_report_header  # noqa: E402, F401
