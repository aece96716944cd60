"""The headers as they were, or may be one day: structures that may grow cut short or continued, and other versions."""

import re

import interface
from baseline import ROOT

# The first field that an older header does not know.
LATER = {"virtio_net_options": "rx_headroom", "virtio_net_info": "tx_slots", "virtio_net_statistics": "rx_dropped_short",
         "virtio_net_error_detail": "found", "virtio_net_platform": "share", "virtio_net_transport": "config_write"}
TABLES = ("virtio_net_platform", "virtio_net_transport")


def line(beginning):
    """The line of a header that begins so, whatever its comment says."""
    for file in interface.HEADERS:
        for text in (ROOT / "include" / file).read_text(encoding="utf-8").splitlines(keepends=True):
            if text.startswith(beginning):
                return text
    raise ValueError(f"no header has a line '{beginning}…'")


def structure(text, name, change):
    """The text with the body of a structure changed, which must be in it."""
    head, body, tail = re.split(rf"(?<=struct {name} {{\n)(.*?)(?=^}};)", text, maxsplit=1, flags=re.DOTALL | re.MULTILINE)
    return head + change(body) + tail


def cut(name):
    field = rf"^    [\w ]*(?:\b{LATER[name]};|\(\*{LATER[name]}\)).*"
    return lambda body: re.sub(field, "", body, count=1, flags=re.DOTALL | re.MULTILINE)


def continued(name):
    return lambda body: body + ("    void (*more)(void *context);\n" if name in TABLES else "    uint64_t more;\n")


def write(folder, age="same", version=None):
    """Both headers of an age ("older", "same", "future") and a version, in a new folder."""
    folder.mkdir(parents=True)
    for file in interface.HEADERS:
        text = (ROOT / "include" / file).read_text(encoding="utf-8")
        for name in LATER:
            if f"struct {name} {{" in text and age != "same":
                changed = structure(text, name, cut(name) if age == "older" else continued(name))
                assert changed != text, name
                text = changed
        if age != "same":
            text = re.sub(r"VIRTIO_NET_PROMISE\([^;]*;", "", text)
        for part, number in zip(("MAJOR", "MINOR"), version or (), strict=bool(version)):
            text = re.sub(rf"(#define VIRTIO_NET_ABI_{part} +)\d+", rf"\g<1>{number}", text)
        (folder / file).write_text(text, encoding="utf-8")
    return folder
