"""What was here before: accelerators that are gone are missed, over restarts, and starts are counted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from edgemon.archive import Archive
from edgemon.hardware import ACCELERATOR_INFO
from edgemon.presence import DAY, WEEK, Accelerators
from edgemon.store import Snapshot, Store

HAILO, CORAL = ("0001:01:00.0", "Hailo-8", "npu"), ("usb-1-1", "Coral", "tpu")


class Device:
    """A device with a clock, whose daemon can be started again."""

    def __init__(self, where: Path) -> None:
        self.where, self.now = str(where), 1e9
        self.start()

    def start(self) -> None:
        self.archive = Archive(self.where)
        self.accelerators = Accelerators(self.archive, lambda: self.now)

    def present(self, *here: tuple[str, str, str]) -> dict[str, float | None]:
        readings = self.accelerators.see(snapshot(here))
        return {one.labels[1]: one.value for one in readings}


def snapshot(here: Iterable[tuple[str, str, str]]) -> Snapshot:
    store = Store()
    store.put("test", [ACCELERATOR_INFO(1.0, *one, "maker", "model", "1.0", "2.0") for one in here])
    return store.commit()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_an_accelerator_that_is_gone_is_0_until_it_is_back(device: Device) -> None:
    assert device.present(HAILO, CORAL) == {"Hailo-8": 1, "Coral": 1}
    assert device.present(CORAL) == {"Hailo-8": 0, "Coral": 1}
    assert device.present(HAILO, CORAL) == {"Hailo-8": 1, "Coral": 1}


def test_one_that_does_not_come_back_after_a_boot_is_missed(device: Device) -> None:
    device.present(HAILO, CORAL)
    device.start()
    device.now += DAY
    assert device.present(CORAL) == {"Hailo-8": 0, "Coral": 1}


def test_nobody_misses_it_after_a_week_or_after_a_reload(device: Device) -> None:
    device.present(HAILO, CORAL)
    device.now += WEEK + 1
    assert device.present(CORAL) == {"Coral": 1}
    assert device.present() == {"Coral": 0}
    device.accelerators.forget()
    assert device.present(HAILO) == {"Hailo-8": 1}
    device.start()
    assert device.present() == {"Hailo-8": 0}


def test_a_new_driver_that_names_it_otherwise_takes_nothing_away(device: Device) -> None:
    device.present((HAILO[0], "unknown", "npu"))
    assert device.present(HAILO) == {"Hailo-8": 1}


def test_a_clock_that_goes_back_makes_nobody_forget(device: Device) -> None:
    device.present(HAILO)
    device.now = 0.0
    device.start()
    assert device.present() == {"Hailo-8": 0}


def test_what_comes_and_goes_is_not_written_each_time(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(device.archive, "remember", lambda name, _data: written.append(name))
    for _ in range(50):
        device.present(HAILO)
        device.present()
        device.now += 10
    assert written == ["accelerators"]


@pytest.mark.parametrize("data", [[1], {"a": 1}, {"a": ["b"]}, {"a": ["b", "c", "d"]}, "x", 7])
def test_a_damaged_memory_is_nothing(device: Device, data: object) -> None:
    device.archive.remember("accelerators", data)
    device.start()
    assert device.present(HAILO) == {"Hailo-8": 1}


def test_where_nothing_can_be_kept_it_is_remembered_as_long_as_edgemon_runs() -> None:
    archive = Archive("/proc/nowhere")
    accelerators = Accelerators(archive, lambda: 1e9)
    accelerators.see(snapshot([HAILO]))
    assert [one.value for one in accelerators.see(snapshot([]))] == [0]
