"""What `cmake --install` leaves, and what it does not: where the files are, which versions they serve, and whose flags count."""

import json
import re
import shlex
import subprocess

import pytest
from cmake import PROGRAM, REPOSITORY, build, configure, copied, files, install, run

LIBRARY = "aarch64-gcc"
PACKAGE = ("virtio_net-config.cmake", "virtio_net-config-version.cmake", "virtio_net-targets.cmake",
           "virtio_net-targets-release.cmake")


def tree(libdir="lib", includedir="include"):
    return {f"{libdir}/libvirtio_net.a", f"{libdir}/pkgconfig/virtio_net.pc", f"{includedir}/virtio_net.h",
            f"{includedir}/virtio_net_platform.h", "share/doc/virtio_net/LICENSE-APACHE", "share/doc/virtio_net/LICENSE-MIT",
            *(f"{libdir}/cmake/virtio_net/{name}" for name in PACKAGE)}


def pkg_config(directory, *arguments):
    return run("pkg-config", *arguments, "virtio_net", env={"PKG_CONFIG_LIBDIR": str(directory)}).strip()


def crate_version():
    return re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


@pytest.fixture(scope="module")
def built(elsewhere):
    return build(REPOSITORY, elsewhere / "install", LIBRARY)


@pytest.fixture(scope="module")
def installed(built, elsewhere):
    return install(built, elsewhere / "installed")


def commands(directory, source):
    """The words of the command that compiles a file."""
    entries = json.loads((directory / "compile_commands.json").read_text(encoding="utf-8"))
    found = [shlex.split(entry["command"]) for entry in entries if entry["file"].endswith(source)]
    assert len(found) == 1
    return found[0]


def test_files(installed):
    assert files(installed) == tree()


def test_headers_alone(installed, tmp_path):
    """Each header stands by itself, in C11 and in C++."""
    for header in ("virtio_net.h", "virtio_net_platform.h"):
        for compiler, standard, name in (("gcc", "c11", "a.c"), ("clang-19", "c11", "b.c"), ("clang-19", "c++17", "c.cc")):
            source = tmp_path / name
            source.write_text(f"#include <{header}>\n", encoding="utf-8")
            run(compiler, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I",
                installed / "include", source)


def test_names_no_place(built, installed):
    """Nothing that is installed knows where it was built or installed."""
    for name in files(installed):
        data = (installed / name).read_bytes()
        for place in (built, installed, REPOSITORY / "build"):
            assert str(place).encode() not in data, name


def test_staged_under_other_names(elsewhere, tmp_path):
    """A distribution's way: a prefix of the system, its own directories, and DESTDIR."""
    directory = build(REPOSITORY, elsewhere / "staged", LIBRARY, CMAKE_INSTALL_PREFIX="/usr",
                      CMAKE_INSTALL_LIBDIR="lib/aarch64-none/virtio", CMAKE_INSTALL_INCLUDEDIR="include/virtio")
    run("cmake", "--install", directory, env={"DESTDIR": str(tmp_path / "stage")})
    root = tmp_path / "stage/usr"
    assert files(root) == tree("lib/aarch64-none/virtio", "include/virtio")
    check_pkg_config(root, "lib/aarch64-none/virtio", "include/virtio")
    program = copied(tmp_path / "program")
    build(program, program / "build", LIBRARY, virtio_net_DIR=root / "lib/aarch64-none/virtio/cmake/virtio_net")


def check_pkg_config(prefix, libdir, includedir):
    """The file leads to the directories where it lies, and states the version of the crate."""
    directory = prefix / libdir / "pkgconfig"
    include, = shlex.split(pkg_config(directory, "--cflags"))
    search, name = shlex.split(pkg_config(directory, "--libs"))
    resolved = subprocess.run(["realpath", include.removeprefix("-I"), search.removeprefix("-L")], text=True, check=True,
                              capture_output=True).stdout.splitlines()
    assert resolved == [str((prefix / includedir).resolve()), str((prefix / libdir).resolve())]
    assert name == "-lvirtio_net"
    assert pkg_config(directory, "--modversion") == crate_version()


def test_pkg_config(installed):
    check_pkg_config(installed, "lib", "include")


def test_absolute_directories(elsewhere):
    """They stay what the user said."""
    configure(REPOSITORY, elsewhere / "absolute", LIBRARY, CMAKE_INSTALL_PREFIX="/usr", CMAKE_INSTALL_INCLUDEDIR="/opt/include")
    text = (elsewhere / "absolute/virtio_net.pc").read_text(encoding="utf-8")
    assert "\nincludedir=/opt/include\n" in text and "\nlibdir=${prefix}/lib\n" in text


@pytest.mark.parametrize("wanted, found", [("", True), ("0.1", True), ("0.1.0", True), ("0.1.0 EXACT", True), ("0.1.1", False),
                                           ("0.0", False), ("0.2", False), ("1.0", False), ("0.1 COMPONENTS pci", False)])
def test_versions(installed, tmp_path, wanted, found):
    """Before 1.0 each minor version is an interface of its own."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(versions LANGUAGES C)\n"
        f"find_package(virtio_net {wanted})\nmessage(\"found=${{virtio_net_FOUND}}\")\n", encoding="utf-8")
    said = configure(tmp_path, tmp_path / "build", LIBRARY, CMAKE_PREFIX_PATH=installed)
    assert re.search(r"^found=(\w*)$", said, re.MULTILINE)[1] == ("1" if found else "0"), said


def test_leaks_nothing_into_a_project(elsewhere):
    """As a part of another project: no flag, no test, no file to install, and no entry in its cache but the library's own."""
    program = copied(elsewhere / "part")
    directory = build(program, program / "build", LIBRARY, VIRTIO_NET_SOURCE=REPOSITORY, CMAKE_INSTALL_PREFIX="/nowhere",
                      CMAKE_BUILD_TYPE="Debug")
    own = commands(directory, "/main.c")
    assert "-fno-strict-aliasing" not in own and "-mstrict-align" not in own and "-ffunction-sections" not in own
    library = commands(directory, "/tx.c")
    assert "-fno-strict-aliasing" in library and "-mstrict-align" in library and "-g" in library and "-Wconversion" not in library
    assert "Total Tests: 0" in run("ctest", "--test-dir", directory, "-N")
    assert files(install(directory, program / "installed")) == {"bin/card"}
    cache = (directory / "CMakeCache.txt").read_text(encoding="utf-8")
    added = {name for name in re.findall(r"^(\w+):", cache, re.MULTILINE)
             if not name.startswith(("CMAKE_", "_CMAKE", "card_", "FETCHCONTENT_", "VIRTIO_NET_", "virtio_net_",
                                     "FIND_PACKAGE_"))}
    assert added == set()


def test_flags_of_the_user_win(tmp_path):
    """The ABI of a RISC-V kernel, as the linker sees it; and optimisation."""
    for flags, abi in (("", "double-float"), ("-march=rv64imac -mabi=lp64", "soft-float")):
        directory = build(REPOSITORY, tmp_path / abi, "riscv64-gcc", CMAKE_C_FLAGS=f"-mcmodel=medany {flags}",
                          CMAKE_BUILD_TYPE="Release", CMAKE_C_FLAGS_RELEASE="-Os")
        assert f"{abi} ABI" in run("riscv64-unknown-elf-readelf", "-h", directory / "libvirtio_net.a")
        assert "-Os" in commands(directory, "/tx.c")
    words = commands(build(REPOSITORY, tmp_path / "strict", LIBRARY, CMAKE_C_FLAGS="-mno-strict-align -fstack-protector"),
                     "/tx.c")
    assert words.index("-mno-strict-align") > words.index("-mstrict-align")
    assert words.index("-fstack-protector") > words.index("-fno-stack-protector")


@pytest.mark.parametrize("processor, flag", [("arm64", "-mstrict-align"), ("aarch64", "-mstrict-align"),
                                             ("AMD64", "-mno-red-zone"), ("x86-64", "-mno-red-zone"),
                                             ("riscv64gc", "-mcmodel=medany")])
def test_names_of_processors(tmp_path, processor, flag):
    configure(REPOSITORY, tmp_path, CMAKE_SYSTEM_NAME="Generic", CMAKE_SYSTEM_PROCESSOR=processor, CMAKE_C_COMPILER="clang-19",
              CMAKE_TRY_COMPILE_TARGET_TYPE="STATIC_LIBRARY")
    assert flag in commands(tmp_path, "/tx.c")


def test_unknown_processor(tmp_path):
    said = configure(REPOSITORY, tmp_path, CMAKE_SYSTEM_NAME="Generic", CMAKE_SYSTEM_PROCESSOR="sparc",
                     CMAKE_TRY_COMPILE_TARGET_TYPE="STATIC_LIBRARY")
    assert "knows no flags for CMAKE_SYSTEM_PROCESSOR 'sparc'" in said


@pytest.mark.parametrize("optimised", ["ON", "OFF"])
@pytest.mark.parametrize("machine", ["host", "aarch64"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_in_a_shared_object(tmp_path, machine, compiler, optimised):
    """Position-independent where asked, and an archive that the other compiler's linker reads though the project optimises as a
    whole."""
    chosen = {"CMAKE_C_COMPILER": {"gcc": "gcc", "clang": "clang-19"}[compiler]} if machine == "host" else {}
    directory = build(REPOSITORY, tmp_path, f"aarch64-{compiler}" if machine == "aarch64" else None,
                      CMAKE_POSITION_INDEPENDENT_CODE="ON", CMAKE_INTERPROCEDURAL_OPTIMIZATION=optimised, **chosen)
    linker = "ld.lld-19" if compiler == "gcc" else "ld" if machine == "host" else "aarch64-linux-gnu-ld"
    run(linker, "-shared", "-z", "text", "--whole-archive", directory / "libvirtio_net.a", "-o", tmp_path / "virtio_net.so")
    assert "virtio_net_send" in run("llvm-nm-19", "--dynamic", "--defined-only", tmp_path / "virtio_net.so")


def test_sources_are_not_written(tmp_path):
    """Building from a copy of the sources leaves the copy as it was."""
    copy = tmp_path / "sources"
    copy.mkdir()
    names = ("CMakeLists.txt", "cmake", "include", "c-driver", "LICENSE-MIT", "LICENSE-APACHE")
    run("cp", "-r", *(REPOSITORY / name for name in names), copy)
    before = {name: (copy / name).read_bytes() for name in files(copy)}
    install(build(copy, tmp_path / "build", LIBRARY), tmp_path / "installed")
    assert {name: (copy / name).read_bytes() for name in files(copy)} == before


def test_program_says_which_version_it_wants():
    """The program under test asks for this minor version, as its README tells others to."""
    text = (PROGRAM / "CMakeLists.txt").read_text(encoding="utf-8")
    assert f"find_package(virtio_net {crate_version().rpartition('.')[0]} REQUIRED)" in text
