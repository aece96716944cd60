"""Where the bytes of the images are, by what they are for. `python3 tests/bench/where.py` prints it of those that the bench has
left.

Each function and table that the image with the driver has, and the image without it has not, or has smaller, belongs to the first
purpose whose pattern its name matches. Constants without a name are not in it: some hundred bytes. """

import re
import subprocess
from collections import Counter
from pathlib import Path

# The image, the one that it is compared with, and its name in the table.
COLUMNS = (("size-drop-in", "size-transport", "drop-in"), ("size-own-transport", "size-", "own transport"),
           ("size-virtio-drivers-net", "size-transport", "virtio-drivers"))
# In the order of the table, in which each name is looked for too.
PURPOSES = (
    ("Rust: the caller, and what was inlined into it", r"_start"),
    ("Rust: the transport, called from one place more", r".*MmioTransport"),
    ("Rust: tables of functions for C", r".*thunks::|.*lock::"),
    ("Rust: the device", r".*virtio_net_c::|.*virtio_drivers::"),
    ("Rust: memory functions, heap, panics", r".*::|mem(cpy|set|move|cmp)|__rust|__rdl"),
    ("sending, quick ways", r"virtio_net_(send|tx_(commit|reserve|post\w*))$|vn_net_copy_left_out"),
    ("receiving, quick ways", r"virtio_net_(receive|rx_(peek|release|take_\w+|post_one))$|(see|took_last)$|peek_external"),
    ("taking sent frames back",
     r"virtio_net_tx_(reap\w*|take\w*|next|free|in_flight)|vn_net_(tx_collect|reap|hand_out)|make_room|look_for_completions"),
    ("publishing, notifying, slots out of order",
     r"vn_ring_(publish|kick|notify|exchange|swap|bring|prepare|let_go|place_buffer)"),
    ("frames out of the ordinary: each check and its error, slots in any order, memory that is not coherent",
     r"transmit|post_\w+|commit\w*|check_length|check_external|room|send_slowly|receive(_slowly)?|\w+_slowly|examine|release|"
     r"settle|give_up|is_lent|look|is_frame|sync_for_\w+|deliver|virtio_net_\w+_cancel"),
    ("copying memory that is not aligned, where accesses must be", r"vn_copy|(send|receive)_left_out"),
    ("interrupts", r"virtio_net_irq_\w+|check_irq|vn_ring_(arm|disarm|park|refresh)|arm_and_look"),
    ("devices that stand still or ask for a reset",
     r"vn_ring_(idle|is_waited_for|break|fault)|vn_net_(look_at_status|broken|rx_due)|look_after_stall|"
     r"virtio_net_(due|check|link)"),
    ("reports: statistics, last error, what was agreed",
     r"virtio_net_get_\w+|vn_net_add_faults|report|virtio_net_status_\w+|names|texts|\w+_entries"),
    ("refusing wrong calls", r"vn_net_refuse|vn_device_fail|bad_option"),
    ("reset with a limit, stop, recovery, quarantine, close",
     r"vn_device_reset|now|take_stock|bring_down|undo|give_back|vn_ring_forget|virtio_net_(stop|start|recover|close|abandon)"),
    ("memory for rings and pools, in the pieces that the host has", r"vn_dma_\w+|allocate|vn_net_rx_fill"),
    ("the queues: legacy and modern layout, three ways for the header",
     r"set_up_queue|vn_ring_(lay_out|bytes|describe|free_all)|lay_out|usability"),
    ("set-up: options and tables checked, storage",
     r"set_up|check_table|check_storage|arrange_queue|numbers|virtio_net_init\w*|virtio_net_set_context"),
    ("negotiation, configuration space, address",
     r"bring_up|vn_device_\w+|read_config|take_mac|read_link"),
    ("the MMIO transport, legacy and modern",
     r"vn_mmio_\w+|(legacy|modern)_\w+|probe|read_features|write_features|[gs]et_status|set_guest_page_size|queue_\w+|notify|"
     r"interrupt_ack|device_type|config_read"),
    ("else", r""),
)


def symbols(image):
    """Bytes of each function and each table, by name."""
    text = subprocess.run(["llvm-nm-19", "-S", "-C", str(image)], check=True, capture_output=True, text=True).stdout
    found = Counter()
    for size, name in re.findall(r"^\S+ (\S+) [tTrRdD] (.*)$", text, re.MULTILINE):
        found[name] += int(size, 16)
    return found


def growth(image, base):
    with_driver, without = symbols(image), symbols(base)
    found = Counter()
    for name in with_driver | without:
        purpose = next(title for title, pattern in PURPOSES if not pattern or re.match(rf"(?:{pattern})(?:\b|$)", name))
        found[purpose] += with_driver[name] - without[name]
    return dict(found)


def measure(directory):
    """By the name of the column, by purpose."""
    return {name: growth(directory / image, directory / base) for image, base, name in COLUMNS}


def rows(found):
    """What `measure` found, for a table: purposes, and their sum."""
    def line(title, values):
        return [title, *(f"{value:,}" if value else "" for value in values)]
    lines = [line(title, [found[name].get(title, 0) for name in found]) for title, _ in PURPOSES]
    return [each for each in lines if any(each[1:])] + [line("sum", [sum(column.values()) for column in found.values()])]


if __name__ == "__main__":
    import report
    print(report.where_table({"where": measure(Path(__file__).resolve().parents[2] / "build/bench")}))
