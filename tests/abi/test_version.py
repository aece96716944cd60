"""One version for the interface, the library and the crate. That of the interface is written in virtio_net.h, from where CMake
reads it; the crate's begins with it. Cargo and CMake each have the patch level.
"""

import json
import re
import tomllib

import baseline
from baseline import ROOT, must


def release():
    return tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]


def test_release_begins_with_the_version_of_the_interface():
    major, minor = baseline.version(baseline.current())
    assert release().split(".")[:2] == [str(major), str(minor)]


def test_crate_takes_the_release():
    crate = tomllib.loads((ROOT / "ffi/Cargo.toml").read_text(encoding="utf-8"))["package"]
    assert crate["version"] == {"workspace": True}


def test_library_and_package_have_the_release(tmp_path):
    """CMake has it from the header, and the CMake package and the pkg-config file from CMake."""
    query = tmp_path / ".cmake/api/v1/query/cache-v2"
    query.parent.mkdir(parents=True)
    query.touch()
    must("cmake", "-S", ROOT, "-B", tmp_path, "-G", "Ninja", "-DCMAKE_C_COMPILER=gcc")
    (cache,) = (tmp_path / ".cmake/api/v1/reply").glob("cache-v2-*.json")
    entries = {entry["name"]: entry["value"] for entry in json.loads(cache.read_text(encoding="utf-8"))["entries"]}
    assert entries["CMAKE_PROJECT_VERSION"] == release()
    assert f"Version: {release()}\n" in (tmp_path / "virtio_net.pc").read_text(encoding="utf-8")
    assert f'"{release()}"' in (tmp_path / "virtio_net-config-version.cmake").read_text(encoding="utf-8")


def test_changelog_begins_with_the_release():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+?),? ", changes, re.MULTILINE)[1] == release()


def test_version_is_written_nowhere_else():
    for name in ("CMakeLists.txt", "cmake/install.cmake", "cmake/virtio_net.pc.in", "cmake/virtio_net-config.cmake.in",
                 "ffi/build.rs", "ffi/Cargo.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(rf"(?<![\d.\"]){re.escape(release())}(?![\d.])", text), name
