"""The commands that somebody with the sources or the installed package types."""

import os
import shutil
import subprocess

from conftest import HERE

REPOSITORY = HERE.parents[1]
PROGRAM = HERE / "c-bare-metal"
TOOLCHAINS = ("aarch64-gcc", "aarch64-clang", "riscv64-gcc", "riscv64-clang")
COMPILERS = {
    "aarch64-gcc": "aarch64-linux-gnu-gcc",
    "aarch64-clang": "clang-19 --target=aarch64-none-elf -nostdlibinc -fuse-ld=lld",
    "riscv64-gcc": "riscv64-unknown-elf-gcc",
    "riscv64-clang": "clang-19 --target=riscv64-unknown-none-elf -nostdlibinc -fuse-ld=lld",
}


def run(*command, **settings):
    """Runs a command that must succeed, and returns what it printed. Settings of the caller's own do not leak in."""
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("CC", "CFLAGS", "LDFLAGS", "DESTDIR", "MAKEFLAGS")}
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=900, env=environment | settings.pop("env", {}), check=False, **settings)
    assert done.returncode == 0, f"{command}: {done.stdout}"
    return done.stdout


def configure(source, build, toolchain=None, **variables):
    if toolchain:
        variables["CMAKE_TOOLCHAIN_FILE"] = PROGRAM / "toolchains" / f"{toolchain}.cmake"
    return run("cmake", "-G", "Ninja", "-S", source, "-B", build, "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
               *(f"-D{name}={value}" for name, value in variables.items()))


def build(source, directory, toolchain=None, **variables):
    """Configures and builds; nothing may be said about it that looks like a warning."""
    said = configure(source, directory, toolchain, **variables) + run("cmake", "--build", directory)
    assert "warning" not in said.lower(), said
    return directory


def install(directory, prefix):
    run("cmake", "--install", directory, "--prefix", prefix)
    return prefix


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def copied(to):
    """The program as a stranger has it: alone."""
    shutil.copytree(PROGRAM, to)
    return to
