"""A program in C that uses the installed library, built away from the repository by the two ways there are, and booted."""

import pytest
from cmake import COMPILERS, REPOSITORY, TOOLCHAINS, build, copied, install, run
from guest import check_guest


@pytest.fixture(scope="session", params=TOOLCHAINS)
def toolchain(request):
    return request.param


@pytest.fixture(scope="session")
def place(elsewhere, toolchain):
    return elsewhere / toolchain


@pytest.fixture(scope="session")
def installed(place, toolchain):
    """The library, installed and then moved."""
    prefix = install(build(REPOSITORY, place / "build", toolchain), place / "first")
    return prefix.rename(place / "moved")


@pytest.fixture(scope="session")
def by_cmake(place, toolchain, installed):
    program = copied(place / "cmake")
    return build(program, program / "build", toolchain, CMAKE_PREFIX_PATH=installed) / "card"


@pytest.fixture(scope="session")
def by_pkg_config(place, toolchain, installed):
    program = copied(place / "make")
    run("make", f"CC={COMPILERS[toolchain]}", f"BOARD={toolchain.split('-')[0]}", cwd=program,
        env={"PKG_CONFIG_LIBDIR": str(installed / "lib/pkgconfig")})
    return program / "card"


def test_found_by_cmake(by_cmake, toolchain, modern, chosen):
    check_guest(by_cmake, chosen, machine=toolchain.split("-")[0], modern=modern)


def test_found_by_pkg_config(by_pkg_config, toolchain, modern, chosen):
    check_guest(by_pkg_config, chosen, machine=toolchain.split("-")[0], modern=modern)


def test_part_of_another_project(tmp_path, toolchain, modern, chosen):
    """FetchContent brings the library into a build that is optimised as a whole. (gcc's own part of that fails on blanks in
    names.)"""
    program = copied(tmp_path / "program")
    directory = build(program, program / "build", toolchain, VIRTIO_NET_SOURCE=REPOSITORY,
                      CMAKE_INTERPROCEDURAL_OPTIMIZATION="ON")
    check_guest(directory / "card", chosen, machine=toolchain.split("-")[0], modern=modern)
