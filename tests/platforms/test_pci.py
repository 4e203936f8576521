"""PCIe links of accelerators: what runs on fewer lanes than it could, and what is no link of an accelerator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import hardware
from edgemon.platforms import Platform, pci
from tests import devices
from tests.devices import values, write
from tests.platforms import fuzz
from tests.platforms.test_hwmon import GARBAGE

Machine = Callable[[str], devices.Captured]
MINE = "hailo-8l-pi5-gen2"
CARD = "/sys/bus/pci/devices/0000:65:00.0"


def card(folder: Path, **files: str) -> devices.Captured:
    """A GPU in a slot that tells nothing of itself."""
    usual = {"class": "0x030200", "current_link_speed": "2.5 GT/s PCIe", "current_link_width": "8"}
    usual |= {"max_link_speed": "16.0 GT/s PCIe", "max_link_width": "16"}
    return write(folder, {f"{CARD}/{name}": text for name, text in {**usual, **files}.items()})


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, pci.PLATFORM)


def test_what_a_link_can_do_is_the_lesser_of_both_ends(machine: Machine) -> None:
    readings = list(pci.link(machine(MINE)))
    assert values(readings, hardware.LINK_TRANSFERS_LIMIT) == {("0000:01:00.0",): 5e9}
    assert values(readings, hardware.LINK_WIDTH_LIMIT) == {("0000:01:00.0",): 1}


def test_a_card_with_fewer_lanes_than_it_has_shows_both_numbers(tmp_path: Path) -> None:
    readings = list(pci.link(card(tmp_path)))
    assert [reading.value for reading in readings] == [2.5e9, 8, 16e9, 16]


@pytest.mark.parametrize("kind", ["0x010802", "0x020000", "0x060400", "0x0b4", "junk", ""])
def test_what_is_no_accelerator_is_left_out(kind: str, tmp_path: Path) -> None:
    assert not pci.detect(card(tmp_path, **{"class": kind}))


def test_the_coral_is_known_by_its_ids(tmp_path: Path) -> None:
    assert pci.detect(card(tmp_path, **{"class": "0x088000", "vendor": "0x1ac1", "device": "0x089a"}))


def test_an_integrated_gpu_without_a_link_is_left_out(tmp_path: Path) -> None:
    assert not pci.detect(write(tmp_path, {f"{CARD}/class": "0x030000"}))


def test_a_suspended_card_is_left_asleep(tmp_path: Path) -> None:
    assert not list(pci.link(card(tmp_path, **{"power/runtime_status": "suspended"})))


@pytest.mark.parametrize(
    ("files", "errors"),
    [
        ({"current_link_speed": "Unknown"}, {}),
        ({"current_link_speed": "fast"}, {"unparsable": 1}),
        ({"current_link_speed": "0.0 GT/s PCIe"}, {"implausible": 1}),
        ({"current_link_width": "63"}, {"implausible": 1}),
        ({"current_link_width": "0"}, {"implausible": 1}),
    ],
)
def test_what_a_link_cannot_mean_is_absent(files: dict[str, str], errors: dict[str, int], tmp_path: Path) -> None:
    root = card(tmp_path, **files)
    assert [reading.value for reading in pci.link(root)].count(None) == 1
    assert root.errors == errors


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, [MINE])


FILES = [entry.path for entry in devices.entries(MINE) if not entry.target]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    path=st.sampled_from(FILES), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "EAGAIN"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    path: str, garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    readings = fuzz.spoil(roots[MINE], path, garbage, fate, (pci.PLATFORM,))
    assert not [one for one in readings if one.metric is hardware.LINK_WIDTH and one.value not in {None, *pci.LANES}]
    speeds = [one.value for one in readings if one.metric is hardware.LINK_TRANSFERS and one.value is not None]
    assert all(1e9 <= value <= 1e12 for value in speeds)
