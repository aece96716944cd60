"""Cargo as a stranger calls it, with the toolchain that run.sh chose."""

import os
import re
import shlex
import subprocess

from cmake import REPOSITORY

TARGET = "aarch64-unknown-none"
# Compiled crates of the registry are shared with the other tests.
TARGET_DIRECTORY = REPOSITORY / "target"
# Set where the standard library must be built for the target.
BUILD_STD = shlex.split(os.environ.get("BUILD_STD", ""))


def attempt(*words, cwd, bare_metal=False, **environment):
    """Runs Cargo and returns the finished process, with all that it printed."""
    settings = os.environ | {"CARGO_TARGET_DIR": str(TARGET_DIRECTORY), "CARGO_TERM_COLOR": "never"} | environment
    if bare_metal:
        words += ("--target", TARGET, *BUILD_STD)
        if BUILD_STD:
            settings["RUSTC_BOOTSTRAP"] = "1"
    settings = {name: value for name, value in settings.items() if value is not None}
    return subprocess.run(["cargo", *map(str, words)], cwd=cwd, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=1800, check=False)


def cargo(*words, **arguments):
    """Runs Cargo, which must succeed and warn of nothing but a download that it tries again."""
    done = attempt(*words, **arguments)
    said = re.sub(r"^warning: spurious network error.*$", "", done.stdout, flags=re.MULTILINE)
    assert done.returncode == 0 and "warning" not in said, done.stdout
    return done.stdout
