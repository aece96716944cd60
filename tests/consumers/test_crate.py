"""The crate as it would be published: what the package holds, that it is enough, and what its build does on strange machines."""

import re
import shutil
import subprocess
import tarfile

import pytest
from cargo import TARGET, TARGET_DIRECTORY, attempt, cargo
from cmake import REPOSITORY, files, run
from conftest import HERE
from guest import check_guest

KERNEL = HERE / "rust-crate"


def version():
    return re.search(r'^version = "(.*)"', (REPOSITORY / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)[1]


@pytest.fixture(scope="module")
def package():
    """The .crate file."""
    cargo("package", "--locked", "--allow-dirty", "--no-verify", "-p", "virtio-net-c", cwd=REPOSITORY)
    return TARGET_DIRECTORY / f"package/virtio-net-c-{version()}.crate"


@pytest.fixture(scope="module")
def crate(elsewhere, package):
    """The package unpacked, away from the repository."""
    with tarfile.open(package) as archive:
        archive.extractall(elsewhere)
    return elsewhere / f"virtio-net-c-{version()}"


@pytest.fixture(scope="module")
def kernel(crate):
    """The kernel beside it."""
    return shutil.copytree(KERNEL, crate.parent / "kernel", ignore=shutil.ignore_patterns("target"))


def compiled(place, **environment):
    """Builds the kernel there."""
    cargo("build", "--locked", "--release", cwd=place, bare_metal=True, **environment)
    return TARGET_DIRECTORY / TARGET / "release/card"


def test_files(package):
    """Every source, header, test and licence, and nothing else."""
    wanted = {"Cargo.toml", "Cargo.toml.orig", "Cargo.lock", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "build.rs",
              "c-driver/sources.txt"}
    for folder, pattern in (("c-driver", "**/*.[ch]"), ("include", "*.h"), ("ffi/src", "**/*.rs"), ("ffi/build", "*.rs"),
                            ("ffi/tests", "**/*.rs"), ("ffi/examples", "**/*.rs")):
        base = REPOSITORY / "ffi" if folder.startswith("ffi/") else REPOSITORY
        wanted |= {str(path.relative_to(base)) for path in (REPOSITORY / folder).glob(pattern)}
    with tarfile.open(package) as archive:
        members = archive.getmembers()
    assert all(member.isfile() for member in members), "links lead nowhere outside of the repository"
    found = {member.name.partition("/")[2] for member in members} - {".cargo_vcs_info.json"}
    assert found == wanted
    assert package.stat().st_size < 5 << 16, "a quarter more than the sources need"


def test_listed_sources_are_there(crate):
    listed = (crate / "c-driver/sources.txt").read_text(encoding="utf-8").split()
    assert set(listed) == {name for name in files(crate / "c-driver") if name.endswith(".c")}


def test_links_of_the_readme(crate):
    """They lead to the web or to files of the package."""
    text = (crate / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)]*)\)", text):
        assert link.startswith("https://") or (crate / link).exists(), link
    for name in re.findall(r"`((?:include|src|c-driver)/[^`]*)`", text):
        assert (crate / name).exists(), name


def test_builds_and_tests_alone(crate):
    """The crate's own tests and doctests, from the package; on the way no file of it is written."""
    cargo("build", "--locked", "--no-default-features", cwd=crate, bare_metal=True)
    assert "test result: ok" in cargo("test", "--locked", "--all-features", cwd=crate)


def test_documentation_builds(crate):
    """As docs.rs does it."""
    cargo("doc", "--locked", "--no-deps", "--all-features", cwd=crate, RUSTDOCFLAGS="-D warnings")


def test_kernel(kernel, modern, chosen):
    check_guest(compiled(kernel), chosen, modern=modern)


def test_package_is_not_written(kernel, crate, package):
    """A registry's sources are nobody's to write: after all those builds every file is what it was, and there are no others."""
    compiled(kernel)
    with tarfile.open(package) as archive:
        packed = {member.name.partition("/")[2]: archive.extractfile(member).read() for member in archive.getmembers()}
    assert {name: (crate / name).read_bytes() for name in files(crate)} == packed


def test_one_copy_in_an_image(crate, tmp_path):
    """Cargo refuses a second version beside the first, instead of the linker (`links`)."""
    text = (crate / "Cargo.toml").read_text(encoding="utf-8")
    other = shutil.copytree(crate, tmp_path / "other")
    (other / "Cargo.toml").write_text(text.replace(f'version = "{version()}"', 'version = "9.0.0"', 1), encoding="utf-8")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/lib.rs").touch()
    (tmp_path / "Cargo.toml").write_text(
        '[package]\nname = "user"\nedition = "2021"\n[workspace]\nexclude = ["other"]\n[dependencies]\n'
        f'first = {{ package = "virtio-net-c", path = "{crate}", default-features = false }}\n'
        f'second = {{ package = "virtio-net-c", path = "{other}", default-features = false }}\n', encoding="utf-8")
    done = attempt("generate-lockfile", cwd=tmp_path)
    assert done.returncode != 0 and "links to the native library `virtio_net`" in done.stdout, done.stdout


def copy_of_the_repository(repository):
    """The files that a clone would have."""
    repository.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=REPOSITORY, text=True,
                            capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("the sources are no git repository")
    names = [name for name in listed.stdout.split("\0") if name and (REPOSITORY / name).exists()]
    run("cp", "--parents", "--no-dereference", *names, repository, cwd=REPOSITORY)


def test_inside_a_kernels_workspace(tmp_path):
    """A submodule: the line in the kernel's manifest that the documentation names is enough. Without it Cargo takes the crate
    for a member of the kernel's workspace."""
    copy_of_the_repository(tmp_path / "virtio-net")
    user = tmp_path / "kernel"
    (user / "src").mkdir(parents=True)
    (user / "src/lib.rs").write_text("#![no_std]\npub use virtio_net_c::VirtIONet;\n", encoding="utf-8")
    (user / "Cargo.toml").write_text('[package]\nname = "user"\nedition = "2021"\n[dependencies]\n'
                                     'virtio-net-c = { path = "../virtio-net/ffi" }\n', encoding="utf-8")
    shutil.copy(REPOSITORY / "Cargo.lock", tmp_path)
    exclude = 'exclude = ["virtio-net"]'
    assert exclude in (REPOSITORY / "docs/porting.md").read_text(encoding="utf-8")
    (tmp_path / "Cargo.toml").write_text(f'[workspace]\nmembers = ["kernel"]\nresolver = "2"\n{exclude}\n', encoding="utf-8")
    said = attempt("build", cwd=user, bare_metal=True)
    assert said.returncode == 0, said.stdout


def test_from_git(tmp_path):
    """The dependency line with `git =`: the workspace, its links between folders included, serves through Cargo's checkout."""
    repository = tmp_path / "repository"
    copy_of_the_repository(repository)
    run("git", "init", "--quiet", cwd=repository)
    run("git", "add", "--all", cwd=repository)
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "a",
        cwd=repository)
    user = tmp_path / "user"
    (user / "src").mkdir(parents=True)
    (user / "src/lib.rs").write_text("#![no_std]\npub use virtio_net_c::VirtIONet;\n", encoding="utf-8")
    (user / "Cargo.toml").write_text('[package]\nname = "user"\nedition = "2021"\n[dependencies]\n'
                                     f'virtio-net-c = {{ git = "file://{repository}" }}\n', encoding="utf-8")
    shutil.copy(REPOSITORY / "Cargo.lock", user)
    said = attempt("build", cwd=user, bare_metal=True)
    if "on git_proxy_options" in said.stdout:
        pytest.skip("this Cargo can fetch from no git repository: it does not fit its libgit2 (Debian 12's 1.96)")
    assert said.returncode == 0, said.stdout


# ------------------------------------------------------------------------------------------------------------------- the compiler


# Builds that fail have a place of their own, so that none finds the work of one that did not.
SMALL_BUILD = ("build", "--locked", "--no-default-features")
UNBUILT = str(TARGET_DIRECTORY / "unbuilt")


def script(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("compiler", ["aarch64-linux-gnu-gcc", "clang-19"])
def test_compiler_of_the_users_choice(kernel, crate, tmp_path, compiler, chosen):
    """`CC_<target>` is used and no other, by a path with blanks."""
    log = tmp_path / "log"
    chosen_compiler = script(tmp_path / "my compilers/cc", f'echo "$*" >>"{log}"\nexec {compiler} "$@"')
    check_guest(compiled(kernel, CC_aarch64_unknown_none=str(chosen_compiler)), chosen)
    text = log.read_text(encoding="utf-8")
    assert all(name in text for name in (crate / "c-driver/sources.txt").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "gcc"])
def test_useless_compiler(crate, compiler):
    """One that is not there, and the host's, whose objects are of another machine: refused here and not by the linker."""
    done = attempt(*SMALL_BUILD, cwd=crate, bare_metal=True, CC_aarch64_unknown_none=compiler, CARGO_TARGET_DIR=UNBUILT)
    assert done.returncode != 0
    assert f"virtio-net-c: no C compiler makes objects for {TARGET}" in done.stdout, done.stdout
    assert "CC_aarch64_unknown_none" in done.stdout


def test_no_compiler(crate, tmp_path):
    """The message names what was tried and what to install."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cargo", "rustc", "ld", "as"):
        (tools / name).symlink_to(shutil.which(name))
    linker = script(tmp_path / "linker", f'PATH=/usr/bin:/bin exec {shutil.which("cc")} "$@"')
    done = attempt(*SMALL_BUILD, cwd=crate, bare_metal=True, PATH=str(tools), CC_aarch64_unknown_none=None, CC=None,
                   TARGET_CC=None, CARGO_TARGET_DIR=UNBUILT, CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=str(linker))
    assert done.returncode != 0
    assert "Tried: clang, " in done.stdout and "apt-get install clang" in done.stdout, done.stdout
