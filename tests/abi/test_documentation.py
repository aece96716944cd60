"""Everything public is documented, the examples compile and run, and the page about them shows what is run."""

import re
import xml.etree.ElementTree as ET

import pytest

import baseline
from baseline import ROOT, must, run
from compilers import C, SANITIZE, STRICT, driver_over_model

EXAMPLES = ROOT / "docs/examples"


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Doxygen's own view of the two headers."""
    folder = tmp_path_factory.mktemp("doxygen")
    settings = (ROOT / "docs/Doxyfile").read_text(encoding="utf-8") + f"\nOUTPUT_DIRECTORY = {folder}\n"
    done = run("doxygen", "-", input=settings, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder / "xml"


def described(element):
    return any("".join(element.find(part).itertext()).strip() for part in ("briefdescription", "detaileddescription")
               if element.find(part) is not None)


def test_every_fact_is_documented(reference):
    """Doxygen says nothing of constants without a description; the facts of the baseline name all there is."""
    known = set()
    for path in reference.glob("*.xml"):
        for compound in ET.parse(path).getroot().iter("compounddef"):
            name = compound.findtext("compoundname")
            if compound.get("kind") == "struct" and described(compound):
                known.add(name)
            for member in [*compound.iter("memberdef"), *compound.iter("enumvalue")]:
                if described(member):
                    inside = compound.get("kind") == "struct"
                    known.add(f"{name}.{member.findtext('name')}" if inside else member.findtext("name"))
    wanted = {re.match(r"\w+ ([\w.]+)", fact)[1] for fact in baseline.stored()["interface.txt"]}
    wanted |= {name.split(".")[0] for name in wanted if "." in name}
    wanted -= {"virtio_net"}  # only declared
    assert wanted - known == set()
    assert len(wanted) > 250


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The driver over the model device, as one object."""
    return driver_over_model(tmp_path_factory.mktemp("host") / "host.o", *SANITIZE)


def test_example_runs(host, tmp_path):
    must("gcc", "-std=c11", "-g", *STRICT, *SANITIZE, f"-I{EXAMPLES}",
         f"-I{ROOT}/tests/abi/consumers", EXAMPLES / "echo.c", ROOT / "tests/abi/consumers/run_echo.c", host, "-pthread",
         "-o", tmp_path / "echo")
    done = run(tmp_path / "echo")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("compiler", [*C, "aarch64-linux-gnu-gcc", "riscv64-unknown-elf-gcc"])
def test_example_is_freestanding(compiler, tmp_path):
    """It needs nothing that a kernel has not."""
    must(compiler, "-std=c11", "-O2", "-ffreestanding", *STRICT, "-c", EXAMPLES / "echo.c", "-o", tmp_path / "echo.o")
    undefined = must("llvm-nm-19", "--undefined-only", "--just-symbol-name", tmp_path / "echo.o").split()
    foreign = {name for name in undefined if not name.startswith("virtio_net_")} - {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert foreign <= {"memcpy", "memmove", "memset", "memcmp"}


def test_page_shows_what_runs():
    """Each block of C on the page is in the program, line by line."""
    page, program = ((ROOT / path).read_text(encoding="utf-8") for path in ("docs/c-api.md", "docs/examples/echo.c"))
    blocks = re.findall(r"^```c\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for block in blocks:
        assert block in program
