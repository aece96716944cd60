"""What the two headers promise, as text: one fact a line, and what a change of a fact means.

`facts` reads the headers with clang: names and types from its syntax tree, values and layouts from the code that it makes.
Nothing is run, so that any target can be asked. `differences` compares two such lists by the policy of docs/abi.md. """

import json
import re
import subprocess
from functools import cache
from pathlib import Path

CLANG = "clang-19"
HEADERS = ("virtio_net.h", "virtio_net_platform.h")
PREFIXES = ("virtio_net", "VIRTIO_NET")
# Machines whose layouts are the same, by the width of a pointer.
TARGETS = {
    "64": ("aarch64-unknown-none", "x86_64-unknown-none", "riscv64-unknown-none-elf"),
    "32": ("armv7-none-eabi", "riscv32-unknown-none-elf"),
}


def clang(include, target, *arguments, source='#include "virtio_net.h"\n'):
    command = [CLANG, f"--target={target}", "-std=c11", "-ffreestanding", "-nostdlibinc", f"-I{include}", "-w",
               *arguments, "-xc", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return done.stdout


# --- Names and types ---

def declarations(include, target):
    """The top-level declarations of the two headers, in their order."""
    tree = json.loads(clang(include, target, "-fsyntax-only", "-Xclang", "-ast-dump=json"))
    # The dump names a file only where it differs from the one named before, anywhere in the tree.
    last = ""

    def file_of(node):
        nonlocal last
        own = None
        for key, value in node.items():
            if key == "file":
                last = value
            elif key in ("loc", "range", "begin", "end", "spellingLoc", "expansionLoc"):
                file_of(value)
                own = last if key == "loc" else own
            elif key == "inner":
                for child in value:
                    file_of(child)
        node["of"] = own or last
        return node

    return [node for node in file_of(tree)["inner"] if Path(node["of"]).name in HEADERS]


def macros(include, target):
    """Parameters (None where it takes none) and text of each macro that the headers leave defined."""
    found = {}
    for line in clang(include, target, "-E", "-dM").splitlines():
        name, parameters, text = re.fullmatch(r"#define (\w+)(\([^)]*\))? ?(.*)", line).groups()
        if name.startswith(PREFIXES) and not name.endswith("_H"):
            found[name] = (parameters, text)
    return found


def is_number(macro):
    parameters, text = macro
    return parameters is None and not text.startswith("{")


def shape(include, target):
    """Everything of the headers that has no number: functions, structures and their fields, constants, macros."""
    found = {"functions": {}, "structures": {}, "opaque": [], "constants": [], "macros": macros(include, target)}
    for node in declarations(include, target):
        kind, inner = node["kind"], node.get("inner", [])
        if kind == "FunctionDecl":
            found["functions"][node["name"]] = node["type"]["qualType"]
        elif kind == "RecordDecl" and node.get("completeDefinition"):
            found["structures"][node["name"]] = {
                field["name"]: field["type"]["qualType"] for field in inner if field["kind"] == "FieldDecl"}
        elif kind == "RecordDecl":
            found["opaque"].append(node["name"])
        elif kind == "EnumDecl":
            found["constants"] += [entry["name"] for entry in inner if entry["kind"] == "EnumConstantDecl"]
        elif kind not in ("StaticAssertDecl", "LinkageSpecDecl"):
            raise ValueError(f"{kind} {node.get('name')}: the interface has only functions, structures and constants")
    found["opaque"] = [name for name in dict.fromkeys(found["opaque"]) if name not in found["structures"]]
    found["constants"] = [name for name, macro in found["macros"].items() if is_number(macro)] + found["constants"]
    return found


# --- Values and layouts ---

def values(include, target, expressions):
    """The value of each constant expression."""
    source = '#include "virtio_net.h"\n' + "".join(
        f"const long long fact_{i} = (long long)({text});\n" for i, text in enumerate(expressions))
    code = clang(include, target, "-S", "-emit-llvm", "-o", "-", source=source)
    found = dict(re.findall(r"^@fact_(\d+) = .*constant i64 (-?\d+)", code, re.MULTILINE))
    return [int(found[str(i)]) for i in range(len(expressions))]


def layout_facts(include, target, structures):
    texts, expressions = [], []
    for name, fields in structures.items():
        texts.append(f"layout {name}: {{}} bytes, aligned to {{}}")
        expressions += [f"sizeof(struct {name})", f"_Alignof(struct {name})"]
        for field in fields:
            texts.append(f"layout {name}.{field}: at {{}}, {{}} bytes")
            expressions += [f"__builtin_offsetof(struct {name}, {field})", f"sizeof(((struct {name} *)0)->{field})"]
    numbers = iter(values(include, target, expressions))
    return [text.format(next(numbers), next(numbers)) for text in texts]


@cache
def facts(include, target):
    """Two lists of lines: what is the same on every machine, and the layout on this one."""
    found = shape(include, target)
    # What a macro with parameters yields, besides its text.
    names = [*found["constants"], "VIRTIO_NET_STORAGE_BYTES(2, 2)", "VIRTIO_NET_STORAGE_BYTES(256, 1024)"]
    lines = [f"constant {name}: {value}" for name, value in zip(names, values(include, target, names), strict=True)]
    for name, (parameters, text) in found["macros"].items():
        if not is_number((parameters, text)):
            lines.append(f"macro {name}{parameters or ''}: {text}")
    lines += [f"function {name}: {signature}" for name, signature in found["functions"].items()]
    lines += [f"opaque {name}: only its address is used" for name in found["opaque"]]
    for name, fields in found["structures"].items():
        lines += [f"field {name}.{field}: {kind}" for field, kind in fields.items()]
    return lines, layout_facts(include, target, found["structures"])


# --- What a difference means ---

def by_name(lines):
    """The facts by what they are about."""
    return dict(line.split(": ", 1) for line in lines)


def numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def may_grow(name, lines):
    """Structures that begin with their size have room at the tail; all others are frozen."""
    return lines.get(f"field {name}.size") == "uint32_t" and lines.get(f"layout {name}.size", "at 0,").startswith("at 0,")


def is_reserve(key):
    return re.search(r"\.reserved$", key) is not None


def is_version(key):
    return key.startswith("constant VIRTIO_NET_ABI_")


def allowed(key, before, after, lines):
    """Whether a caller that was compiled with the fact before still works with the one after."""
    if is_version(key) or is_reserve(key):
        return True  # what takes the place of a reserve is zero in what an older caller passes
    if key.startswith("macro "):
        return True  # compiled into the caller: the functions and constants it uses are facts themselves
    structure = re.fullmatch(r"layout (\w+)", key)
    if structure and after and may_grow(structure[1], lines):
        (size, alignment), (new_size, new_alignment) = numbers(before), numbers(after)
        return new_size >= size and new_alignment == alignment
    return False


def differences(before, after):
    """(broken, grown): what the policy forbids within a major version, and what it lets in with a new minor one."""
    old, new = by_name(before), by_name(after)
    broken, grown = [], []
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) == new.get(key):
            continue
        line = f"{key}: {old.get(key, 'none')} -> {new.get(key, 'none')}"
        if key not in old:
            (grown if addition_fits(key, old, new) else broken).append(line)
        else:
            (grown if allowed(key, old[key], new.get(key), new) else broken).append(line)
    return broken, grown


def addition_fits(key, old, new):
    """A new field lies behind all that was there, or where a reserve was."""
    field = re.fullmatch(r"(?:layout|field) (\w+)\.\w+", key)
    if not field or f"layout {field[1]}" not in old:
        return True
    at, size = numbers(new[f"layout {field[1]}.{key.split('.')[1]}"])
    if may_grow(field[1], old) and at >= numbers(old[f"layout {field[1]}"])[0]:
        return True
    reserve = old.get(f"layout {field[1]}.reserved")
    return reserve is not None and numbers(reserve)[0] <= at and at + size <= sum(numbers(reserve))
