"""Programs that were compiled with another header than the library: each is a separate compilation, run over the model device.

The driver, the model and `consumers/host.c` have one header, `consumers/consumer.c` has another one.
"""

from functools import cache

import pytest

import baseline
import headers
from baseline import ROOT, must, run
from compilers import SANITIZE, driver_over_model

FLAGS = ("-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-strict-aliasing")
SUCCESS, VERSION = "VIRTIO_NET_SUCCESS", "VIRTIO_NET_ERROR_ABI_VERSION"


@cache
def now():
    return baseline.version(baseline.current())


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """library(version): driver, model and host of that version as one object."""
    folder = tmp_path_factory.mktemp("library")

    @cache
    def build(version):
        name = ".".join(map(str, version))
        include = headers.write(folder / name, version=version)
        return driver_over_model(folder / f"{name}.o", *SANITIZE, include=include)

    return build


def consume(library, folder, compiler, version, age, consumer_version, status):
    include = headers.write(folder / "include", age, consumer_version)
    program = folder / "consumer"
    definitions = {"older": ["-DOLDER"], "same": [], "future": ["-DFUTURE"]}[age]
    must(compiler, *FLAGS, *SANITIZE, *definitions, f"-I{include}", "-c", "tests/abi/consumers/consumer.c",
         "-o", f"{program}.o", cwd=ROOT)
    must("gcc", *SANITIZE, f"{program}.o", library(version), "-pthread", "-o", program)
    done = run(program, status)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("age", ["older", "same", "future"])
def test_headers_of_other_ages(age, library, tmp_path):
    """Within one version, today's: what an older header does not know is left alone, what a newer one knows must be zero."""
    consume(library, tmp_path, "gcc", now(), age, now(), SUCCESS)


@pytest.mark.parametrize(("age", "consumer", "status"), [
    ("older", (1, 1), SUCCESS), ("same", (1, 2), SUCCESS), ("future", (1, 3), SUCCESS),
    ("future", (2, 2), VERSION), ("older", (0, 2), VERSION), ("same", (0, 1), VERSION)])
def test_library_of_version_1_2(age, consumer, status, library, tmp_path):
    """From 1.0 on the same major version is the same interface, grown."""
    consume(library, tmp_path, "gcc", (1, 2), age, consumer, status)


@pytest.mark.parametrize("consumer", [(0, 6), (0, 8), (1, 7), (1, 0)])
def test_library_of_version_0_7(consumer, library, tmp_path):
    """Before 1.0 each minor version is an interface of its own."""
    consume(library, tmp_path, "gcc", (0, 7), "same", consumer, VERSION)
