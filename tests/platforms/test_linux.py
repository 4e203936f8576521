"""The system's sensors, read from captures and from this machine."""

from __future__ import annotations

import errno
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgemon import catalog
from edgemon.platforms import Platform, linux
from edgemon.sources.mounts import parsed
from edgemon.sysfs import Root
from tests import devices
from tests.devices import values

Machine = Callable[[str], devices.Captured]


class Answering(devices.Captured):
    """A machine whose library calls are answered by the test."""

    answers: dict[str, object]

    def call(self, name: str, **kwargs: object) -> object:
        answer = self.answers.get(name)
        if isinstance(answer, OSError):
            self._failed(answer)
            return None
        return answer


def answering(path: Path, **answers: object) -> Answering:
    root = Answering(str(path))
    root.answers = {f"psutil.{name}": answer for name, answer in answers.items()}
    return root


def put(folder: Path, path: str, text: str) -> None:
    place = folder / path.strip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, linux.PLATFORM)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), linux.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_processors_keep_their_numbers_when_one_in_the_middle_is_offline(tmp_path: Path) -> None:
    put(
        tmp_path,
        "/proc/stat",
        "cpu  9 0 0 0 0 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu3 10 0 0 0 0 0 0 0 9 0\nintr 1\n",
    )
    times = values(list(linux.cpu(devices.Captured(str(tmp_path)))), catalog.CPU_TIME)
    assert {number for number, _ in times} == {"0", "3"}
    assert times["0", "interrupt"] == pytest.approx(13 / linux.TICK)


def test_guest_time_is_counted_once_inside_user(tmp_path: Path) -> None:
    put(tmp_path, "/proc/stat", "cpu0 100 0 0 0 0 0 0 0 60 0\n")
    assert sum(reading.value or 0 for reading in linux.cpu(Root(str(tmp_path)))) == pytest.approx(100 / linux.TICK)


def test_a_counter_that_went_below_zero_is_no_time(tmp_path: Path) -> None:
    put(tmp_path, "/proc/stat", "cpu0 1 2 3 4 18446744073709551615 6 7 8 0 0\n")
    root = Root(str(tmp_path))
    assert not list(linux.cpu(root))
    assert root.errors == {"unparsable": 1}


def test_memory_states_add_up_to_the_limit(machine: Machine) -> None:
    readings = list(linux.memory(machine("x86-procfs")))
    states = values(readings, catalog.MEMORY_USAGE)
    assert set(states) == {("used",), ("free",), ("buffers",), ("cached",)}
    assert sum(value or 0 for value in states.values()) == values(readings, catalog.MEMORY_LIMIT)[()]


def test_memory_whose_parts_exceed_the_whole_tells_no_states(tmp_path: Path) -> None:
    put(tmp_path, "/proc/meminfo", "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 1 kB\nCached: 500 kB\n")
    readings = list(linux.memory(Root(str(tmp_path))))
    assert values(readings, catalog.MEMORY_LIMIT) == {(): 102400}
    assert values(readings, catalog.MEMORY_AVAILABLE) == {(): None}
    assert not values(readings, catalog.MEMORY_USAGE)


def test_swap_is_told_only_where_there_is_some(machine: Machine, tmp_path: Path) -> None:
    assert not values(list(linux.memory(machine("vm"))), catalog.SWAP_USAGE)
    put(tmp_path, "/proc/meminfo", "SwapTotal: 100 kB\nSwapFree: 75 kB\n")
    swap = values(list(linux.memory(Root(str(tmp_path)))), catalog.SWAP_USAGE)
    assert swap == {("used",): 25600, ("free",): 76800}


def test_pressure_has_no_full_for_the_processor(machine: Machine) -> None:
    scopes = set(values(list(linux.pressure(machine("vm"))), catalog.PRESSURE_TIME))
    assert scopes == {("cpu", "some"), ("io", "some"), ("io", "full"), ("memory", "some"), ("memory", "full")}


def test_each_processor_of_a_policy_has_the_clock_of_the_policy(machine: Machine) -> None:
    readings = list(linux.frequency(machine("jetson-orin-nx")))
    clocks = values(readings, catalog.CPU_FREQUENCY)
    assert clocks == {(str(n),): 1114e6 if n < 4 else 115e6 for n in range(6)}
    assert values(readings, catalog.CPU_GOVERNOR) == {("policy0", "schedutil"): 1, ("policy4", "schedutil"): 1}


def test_a_lowered_maximum_is_the_throttled_limit(machine: Machine) -> None:
    root = machine("x86-procfs")
    Path(root.path, "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq").write_text("1200000\n")
    limits = values(list(linux.frequency(root)), catalog.CPU_SPEED_LIMIT)
    assert limits == {("policy0", "max"): 2.4e9, ("policy0", "throttled"): 1.2e9}


def test_an_offline_processor_has_no_clock(tmp_path: Path) -> None:
    policy = "/sys/devices/system/cpu/cpufreq/policy0"
    for name, text in (("affected_cpus", "0 1"), ("related_cpus", "0 1 2 3"), ("scaling_cur_freq", "1500000")):
        put(tmp_path, f"{policy}/{name}", text)
    assert set(values(list(linux.frequency(Root(str(tmp_path)))), catalog.CPU_FREQUENCY)) == {("0",), ("1",)}


def test_a_package_is_counted_once_and_each_core_once(machine: Machine) -> None:
    counts = values(list(linux.throttles(machine("x86-procfs"))), catalog.CPU_THROTTLES)
    assert counts == {("0", "core"): 10084, ("1", "core"): 523, ("0", "package"): 34818}


def test_disks_are_whole_disks_without_memory_and_loops(machine: Machine) -> None:
    disks = values(list(linux.disks(machine("x86-procfs"))), catalog.DISK_IO_TIME)
    assert disks == {("sda",): 9653.88, ("dm-0",): 11325.968}


def test_the_loopback_interface_is_left_out(machine: Machine) -> None:
    root = machine("vm")
    names = {labels[0] for labels in values([*linux.network(root), *linux.links(root)], catalog.NETWORK_IO)}
    assert names == {"eth0", "ifb0", "ifb1"}


@pytest.mark.parametrize(
    ("state", "carrier", "up"),
    [
        ("up", "1", 1),
        ("down", "", 0),
        ("dormant", "1", 0),
        ("unknown", "1", 1),
        ("unknown", "0", 0),
        ("unknown", "", None),
    ],
)
def test_a_link_is_up_when_the_kernel_or_its_carrier_says_so(
    state: str, carrier: str, up: float | None, tmp_path: Path
) -> None:
    put(tmp_path, "/sys/class/net/tun0/operstate", state)
    put(tmp_path, "/sys/class/net/tun0/carrier", carrier)
    assert [reading.value for reading in linux.links(Root(str(tmp_path)))] == [up]


def mount(device: str, point: str, kind: str = "ext4", opts: str = "rw,relatime") -> dict[str, str]:
    return {"device": device, "mountpoint": point, "fstype": kind, "opts": opts}


def test_a_device_mounted_twice_is_told_once_by_its_shortest_mount_point(tmp_path: Path) -> None:
    mounts = [mount("/dev/sda1", "/etc/hosts"), mount("/dev/sda1", "/data"), mount("/dev/loop3", "/snap", "squashfs")]
    usage = {"total": 100, "used": 60, "free": 35}
    readings = list(linux.filesystems(answering(tmp_path, disk_partitions=mounts, disk_usage=usage)))
    label = ("/dev/sda1", "/data", "ext4")
    assert values(readings, catalog.FILESYSTEM_LIMIT) == {label: 100}
    assert values(readings, catalog.FILESYSTEM_USAGE) == {
        (*label, "used"): 60,
        (*label, "free"): 35,
        (*label, "reserved"): 5,
    }


@pytest.mark.parametrize(("opts", "flag"), [("rw,errors=remount-ro", 0), ("ro,noatime", 1), ("rw,emergency_ro", 1)])
def test_a_file_system_that_went_read_only_says_so(opts: str, flag: float, tmp_path: Path) -> None:
    root = answering(tmp_path, disk_partitions=[mount("/dev/mmcblk0p1", "/", opts=opts)], disk_usage=None)
    assert list(values(list(linux.filesystems(root)), catalog.FILESYSTEM_READONLY).values()) == [flag]


def test_in_a_service_with_everything_mounted_read_only_the_file_system_itself_is_asked(tmp_path: Path) -> None:
    """ProtectSystem=strict remounts, and ProtectHome= hides what lies on a device of its own."""
    text = (
        "1 0 8:1 / / ro,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
        "2 1 8:2 / /my\\040data ro,relatime master:1 - ext4 /dev/sda2 ro\n"
        "3 1 8:3 / /home rw - ext4 /dev/sda3 rw\n"
        "4 3 0:9 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw,mode=755\n"
        "5 1 0:50 / /mnt rw - nfs4 server:/secret rw\n"
    )
    mounts = [
        mount("/dev/sda1", "/", opts="ro"), mount("/dev/sda2", "/my data", opts="ro"), mount("/dev/sda3", "/home")
    ]  # fmt: skip
    root = answering(tmp_path, disk_partitions=mounts, disk_usage=None)
    root.answers["edgemon.sources.mounts.seen"] = parsed(text)
    assert "/mnt" not in parsed(text)
    flags = values(list(linux.filesystems(root)), catalog.FILESYSTEM_READONLY)
    assert flags == {("/dev/sda1", "/", "ext4"): 0, ("/dev/sda2", "/my data", "ext4"): 1}


def test_a_dead_disk_costs_its_own_usage_only_and_is_counted(tmp_path: Path) -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO))
    root = answering(tmp_path, disk_partitions=[mount("/dev/sdb1", "/mnt")], disk_usage=error)
    assert [reading.metric for reading in linux.filesystems(root)] == [catalog.FILESYSTEM_READONLY]
    assert root.errors == {"EIO": 1}


def test_a_machine_without_answers_has_no_readings(tmp_path: Path) -> None:
    readings = devices.sweep(devices.Captured(str(tmp_path)), linux.PLATFORM)
    assert not [reading for reading in readings if reading.value is not None]


def test_this_machine_is_read_as_psutil_reads_it() -> None:
    root = Root()
    assert linux.PLATFORM.detect(root)
    sums: dict[str, float] = defaultdict(float)
    for (_, mode), value in values(list(linux.cpu(root)), catalog.CPU_TIME).items():
        sums[mode] += value or 0
    times = psutil.cpu_times()
    assert {mode: sums[mode] for mode in ("user", "system", "idle")} == pytest.approx(
        {"user": times.user, "system": times.system, "idle": times.idle}, abs=1
    )
    assert sums["interrupt"] == pytest.approx(times.irq + times.softirq, abs=1)
    memory = values(list(linux.memory(root)), catalog.MEMORY_AVAILABLE)[()]
    assert memory == pytest.approx(psutil.virtual_memory().available, rel=0.05)
    assert values(list(linux.memory(root)), catalog.MEMORY_LIMIT)[()] == psutil.virtual_memory().total
    assert [reading.value for reading in linux.load(root)] == pytest.approx(psutil.getloadavg(), abs=0.5)
    assert next(linux.uptime(root)).value == pytest.approx(time.time() - psutil.boot_time(), abs=5)


def test_this_machine_has_no_two_readings_of_the_same_series() -> None:
    readings = devices.sweep(devices.Captured("/"), linux.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings) > 10


@pytest.mark.parametrize(("status", "synchronised"), [(0x2001, 1.0), (0x40, 0.0), (0x2041, 0.0)])
def test_the_kernel_says_whether_the_clock_is_synchronised(tmp_path: Path, status: int, synchronised: float) -> None:
    root = Answering(str(tmp_path))
    root.answers = {"edgemon.sources.timex.status": {"status": status, "maximum_error_us": 16000}}
    found = {reading.metric: reading.value for reading in linux.clock(root)}
    assert found == {catalog.CLOCK_SYNCHRONIZED: synchronised, catalog.CLOCK_ERROR: 0.016}


def test_where_the_kernel_does_not_say_nothing_is_said_of_the_clock(tmp_path: Path) -> None:
    root = Answering(str(tmp_path))
    answers: tuple[object, ...] = (PermissionError(errno.EPERM, "not permitted"), None, {})
    for answer in answers:
        root.answers = {"edgemon.sources.timex.status": answer}
        assert list(linux.clock(root)) == []
    assert root.errors == {"EPERM": 1}


def test_this_machine_says_it() -> None:
    assert [reading.metric for reading in linux.clock(Root())] == [catalog.CLOCK_SYNCHRONIZED, catalog.CLOCK_ERROR]
