"""No path of this project may cost more instructions a packet than it did, and no image more bytes: the table is
tests/bench/stored.json."""

import os
from pathlib import Path

import pytest
import stored
from machine import Case

KERNEL = Path(os.environ.get("BENCH_KERNEL", "target/aarch64-unknown-none/release/bench-kernel"))
SIMD_KERNEL = Path(os.environ.get("BENCH_SIMD_KERNEL", "build/bench-kernel-simd"))
IMAGES = Path(os.environ.get("BENCH_IMAGES", "build/bench/stored"))
PLACE, FLOOR = Case("c-place", "tx"), Case("floor-place", "tx")
PLACE_NAME, FLOOR_NAME = "c-place:tx:60:0:32:256", "floor-place:tx:60:0:32:256"


IF_SO = "If it has to be so: ./run.sh bench --store, and CC=gcc ./run.sh bench --store"


def test_no_path_has_grown():
    grown = stored.grown(KERNEL, SIMD_KERNEL)
    assert not grown, "\n".join([*grown, IF_SO])


def test_no_image_has_grown():
    larger = stored.larger(IMAGES)
    assert not larger, "\n".join([*larger, IF_SO])


@pytest.mark.parametrize(("version", "added", "told"), [("1.2.3", 20_400, False), ("1.2.3", 20_401, True),
                                                        ("99.0.0", 25_000, False), ("99.0.0", 25_001, True)])
def test_bytes_are_told(monkeypatch, version, added, told):
    """Two per cent with compilers that are stored, a quarter with another version; and an image that is not stored."""
    monkeypatch.setattr(stored, "both_compilers", lambda: f"clang {version}")
    known = {"clang 1.2.3": {"size:drop-in": 20_000}, "gcc 1.2.3": {"size:drop-in": 30_000}}
    assert bool(stored.judge_size(known, "size:drop-in", added)) == told
    assert stored.judge_size(known, "size:other", 1)


@pytest.mark.parametrize(("cost", "told"), [(100, False), (101.9, False), (102.1, True), (103, True)])
def test_two_per_cent_are_told(monkeypatch, cost, told):
    monkeypatch.setattr(stored, "compiler", lambda: "clang 1.2.3")
    known = {"clang 1.2.3": {PLACE_NAME: 100}}
    assert bool(stored.judge(known, {}, PLACE, cost)) == told


@pytest.mark.parametrize(("cost", "floor", "told"), [(90, 20, False), (90, 15, True), (101, 20, True)])
def test_an_unknown_compiler_is_judged_by_the_floor(monkeypatch, cost, floor, told):
    monkeypatch.setattr(stored, "compiler", lambda: "clang 99.0.0")
    known = {"clang 1.2.3": {PLACE_NAME: 80, FLOOR_NAME: 20}}
    assert bool(stored.judge(known, {FLOOR: floor}, PLACE, cost)) == told


def test_a_case_that_is_not_stored_is_told(monkeypatch):
    monkeypatch.setattr(stored, "compiler", lambda: "clang 1.2.3")
    assert stored.judge({"clang 1.2.3": {}}, {}, PLACE, 1)
