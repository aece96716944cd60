"""The wire between a test and QEMU is that of the kernel's tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "qemu"))
