"""What was here before: accelerators that are gone are missed, over restarts, and starts are counted."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path

import pytest

from edgemon import presence
from edgemon.archive import Archive
from edgemon.hardware import ACCELERATOR_INFO
from edgemon.presence import DAY, WEEK, Accelerators, Starts
from edgemon.store import Snapshot, Store
from edgemon.sysfs import Root
from tests.running import running, until

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
    for name in ("accelerators", "starts"):
        device.archive.remember(name, data)
    device.start()
    assert device.present(HAILO) == {"Hailo-8": 1}
    assert starts(device) == 1


class Booted(Root):
    """This machine as it would be after a boot."""

    boot = "a"

    def text(self, path: str) -> str | None:
        return self.boot


def starts(device: Device, boot: str = "a") -> float | None:
    """How many there were in the last hour, with one more now."""
    root = Booted()
    root.boot = boot
    (reading,) = Starts(device.archive, root).readings()
    return reading.value


def test_starts_are_counted_for_an_hour_over_boots(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a boot by the clock that nobody sets, over boots by the wall clock; one that makes no sense counts not."""
    at = [100.0, 1e9]
    monkeypatch.setattr(presence, "_now", lambda: tuple(at))
    assert [starts(device, "a") for _ in range(3)] == [1, 2, 3]
    at[1] = 5e9  # somebody sets the clock
    assert starts(device, "a") == 4
    at[:] = [10.0, 5e9 + 600]  # a boot, ten minutes later
    assert starts(device, "b") == 2
    at[:] = [5.0, 1000.0]  # another one, before the clock is right
    assert starts(device, "c") == 1


def test_a_daemon_that_is_killed_counts_its_starts(tmp_path: Path) -> None:
    for count in (1, 2):
        with running(tmp_path, probes={}) as daemon:
            until(lambda daemon=daemon, count=count: f"edgemon_process_starts {count}" in daemon.get("/metrics")[1])
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()


def test_where_nothing_can_be_kept_it_is_remembered_as_long_as_edgemon_runs() -> None:
    archive = Archive("/proc/nowhere")
    accelerators, count = Accelerators(archive, lambda: 1e9), [*Starts(archive, Root()).readings()]
    assert [one.value for one in count] == [1]
    accelerators.see(snapshot([HAILO]))
    assert [one.value for one in accelerators.see(snapshot([]))] == [0]
