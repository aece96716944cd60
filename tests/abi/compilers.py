"""The compilers that a consumer may have, and the baseline as a program that each of them must accept."""

import interface
from baseline import ROOT, must, run

C = ("gcc", "clang-19")
CPP = ("g++", "clang++-19")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
# Compilers of every kind of machine, by the width of a pointer.
MACHINES = {
    "gcc": (("gcc",), "64"),
    "g++": (("g++", "-xc++"), "64"),
    "clang": (("clang-19",), "64"),
    "clang++": (("clang++-19", "-xc++"), "64"),
    "aarch64-gcc": (("aarch64-linux-gnu-gcc",), "64"),
    "riscv64-gcc": (("riscv64-unknown-elf-gcc",), "64"),
    "riscv32-gcc": (("riscv64-unknown-elf-gcc", "-march=rv32imac", "-mabi=ilp32"), "32"),
    "armv7-clang": (("clang-19", "--target=armv7-none-eabi", "-nostdlibinc"), "32"),
}

BEGINNING = """#include "virtio_net.h"
#ifdef __cplusplus
#define ALIGNMENT_OF alignof
#else
#define ALIGNMENT_OF _Alignof
#define static_assert _Static_assert
#endif"""


def promises(facts, width):
    """A translation unit that compiles only where the compiler sees every number of these facts."""
    lines = [BEGINNING]

    def expect(expression, value):
        lines.append(f'static_assert({expression} == {value}, "{expression}");')

    for fact in facts["interface.txt"] + facts[f"layout-{width}.txt"]:
        key, text = fact.split(": ", 1)
        kind, name = key.split(" ", 1)
        structure, _, field = name.partition(".")
        if kind == "constant":
            expect(name, text)
        elif kind == "layout" and field:
            offset, size = interface.numbers(text)
            expect(f"offsetof(struct {structure}, {field})", offset)
            expect(f"sizeof(((struct {structure} *)0)->{field})", size)
        elif kind == "layout":
            size, alignment = interface.numbers(text)
            expect(f"sizeof(struct {name})", size)
            expect(f"ALIGNMENT_OF(struct {name})", alignment)
    # A pointer to each function, of the type that the facts say.
    for fact in facts["interface.txt"]:
        if fact.startswith("function "):
            name, signature = fact.removeprefix("function ").split(": ", 1)
            result, parameters = signature.split("(", 1)
            lines.append(f"{result}(*const check_{name})({parameters} = {name};")
    return "\n".join(lines) + "\n"


def complaints(machine, facts, include):
    """What a compiler says of the headers in `include` against these facts; empty where it agrees."""
    command, width = MACHINES[machine]
    language = [] if "-xc++" in command else ["-std=c11", "-xc"]
    return run(*command, *language, "-ffreestanding", "-Wall", "-Werror", "-Wno-unused-const-variable", f"-I{include}",
               "-fsyntax-only", "-", input=promises(facts, width)).stderr


def driver_over_model(to, *flags, include="include"):
    """The driver, the model device and `consumers/host.c` as one object, compiled with the headers in `include`."""
    sources = [f"c-driver/{name}" for name in (ROOT / "c-driver/sources.txt").read_text(encoding="utf-8").split()]
    model = sorted((ROOT / "tests/model").glob("*.c"))
    must("gcc", "-std=c11", "-g", "-O1", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", *flags, "-DVIRTIO_MODEL",
         f"-I{include}", "-Ic-driver", "-Itests/model", "-r", *sources, *model, "tests/abi/consumers/host.c", "-o", to, cwd=ROOT)
    return to
