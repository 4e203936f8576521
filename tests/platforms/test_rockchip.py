"""Rockchip's NPU, read from captures of real devices; fuzzed in test_devfreq, over the same captures."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemon import collect, hardware
from edgemon.metric import State
from edgemon.platforms import Platform, rockchip
from tests import devices
from tests.devices import values, write

Machine = Callable[[str], devices.Captured]

LOAD = "/sys/kernel/debug/rknpu/load"


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, rockchip.PLATFORM)


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("NPU load:  Core0: 63%, Core1: 65%, Core2: 64%,", [0.63, 0.65, 0.64]),
        ("NPU load:  Core0: 86%, Core1: 84%, Core2: 61%,", [0.86, 0.84, 0.61]),
        ("NPU load:  Core0:  21%, Core1:  11%, Core2:  0%,", [0.21, 0.11, 0]),
        ("NPU load: Core0: 45%, Core1: 32%,", [0.45, 0.32]),
        ("NPU load:  Core0:100%,Core1:0%", [1, 0]),
        ("NPU load:  0%", [0]),
        ("NPU load: 48%", [0.48]),
        ("NPU load:  20000%", [None]),
        ("NPU load:  Core0: 20000%, Core1: 3%,", [None, 0.03]),
        ("NPU load:", []),
        ("NPU load:  Core0: -1%,", []),
        ("NPU load:  Core123: 5%,", []),
        ("GPU load:  5%", []),
        ("", []),
    ],
)
def test_the_load_of_every_release_and_core_count(text: str, shares: list[float | None], tmp_path: Path) -> None:
    assert [reading.value for reading in rockchip.load(write(tmp_path, {LOAD: text}))] == shares


def test_a_core_is_an_accelerator_and_a_lone_core_is_the_npu(machine: Machine) -> None:
    three = values(list(rockchip.load(machine("rock-5b"))), hardware.UTILIZATION)
    assert three[("fdab0000.npu/core1", "core1", "npu")] == 0.84
    one = values(list(rockchip.load(machine("rockchip-rv1126b"))), hardware.UTILIZATION)
    assert one == {("22000000.npu", "npu", "npu"): 0.48}


def test_who_is_not_root_is_denied_the_load_and_still_knows_the_npu(machine: Machine) -> None:
    root = machine("rock-5b")
    root.failures = {f"/sys/kernel/debug/rknpu/{name}": errno.EACCES for name in ("load", "version")}
    assert not list(rockchip.load(root))
    assert collect.judge(root.errors, readings=False, failed=False) is State.DENIED
    root.errors.clear()
    assert [reading.labels for reading in rockchip.identity(root)] == [
        ("fdab0000.npu", "npu", "npu", "Rockchip", "rk3588-rknpu", "", "")
    ]
    assert not root.errors


def test_a_kernel_that_puts_it_in_proc_is_read_there(tmp_path: Path) -> None:
    root = write(tmp_path, {"/proc/rknpu/load": "NPU load:  7%"})
    assert rockchip.PLATFORM.detect(root)
    assert [reading.value for reading in rockchip.load(root)] == [0.07]


def test_what_cannot_be_parsed_is_counted(tmp_path: Path) -> None:
    root = write(tmp_path, {LOAD: "NPU load:  Core0: full"})
    assert not list(rockchip.load(root))
    assert root.errors == {"unparsable": 1}
