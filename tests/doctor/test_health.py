"""Drivers, memory, storage and time: what fires, and what stays quiet."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from edgemon import catalog, hardware
from edgemon.doctor import clock, drivers, memory, storage
from edgemon.metric import Reading
from edgemon.sysfs import Root
from tests.doctor import bad, captured, made, read, said
from tests.test_archive import apart

CARD = ("/dev/mmcblk0p2", "/", "ext4")
DISK = ("/dev/sda1", "/var", "ext4")
PCI = "/sys/bus/pci/devices/0000:01:00.0"


def on_the_bus(vendor: str, device: str, kind: str = "0x120000", driver: str = "") -> str:
    """A PCI device."""
    bound = f"== {PCI}/driver -> ../../../bus/pci/drivers/{driver}\n" if driver else ""
    return f"== {PCI}/vendor\n{vendor}\n== {PCI}/device\n{device}\n== {PCI}/class\n{kind}\n{bound}"


@pytest.mark.parametrize(
    ("text", "severity", "what"),
    [
        (on_the_bus("0x8086", "0x7d1d"), "warning", "Intel NPU 0000:01:00.0 cannot be used: no driver has it"),
        (on_the_bus("0x1022", "0x17f0"), "warning", "AMD NPU"),
        (on_the_bus("0x10de", "0x2504", "0x030000"), "warning", "NVIDIA GPU"),
        (on_the_bus("0x10de", "0x2504", "0x030000", "nouveau"), "warning", "driver nouveau has it"),
        (on_the_bus("0x8086", "0x46a6", "0x030000"), "note", "Intel GPU"),
        ("== /proc/device-tree/compatible\nrockchip,rk3588\n== /sys/bus/platform/devices/fdab0000.npu/\n", "warning",
         "Rockchip NPU fdab0000.npu cannot be used"),
    ],
)  # fmt: skip
def test_an_accelerator_on_the_bus_without_its_driver_is_told_with_how_to_get_it(
    text: str, severity: str, what: str
) -> None:
    (finding,) = [one for one in drivers.GROUP.examine(made(text)) if "cannot be used" in one.what]
    assert (finding.severity, what in finding.what) == (severity, True)
    assert finding.evidence.startswith("/sys/bus/")
    assert finding.remedy


@pytest.mark.parametrize(
    "text",
    [
        on_the_bus("0x8086", "0x7d1d", driver="intel_vpu"),
        on_the_bus("0x10de", "0x2504", "0x030000", "nvidia"),
        on_the_bus("0x10de", "0x2504", "0x030000", "vfio-pci"),
        on_the_bus("0x10de", "0x228b", "0x040300"),
        on_the_bus("0x1a03", "0x2000", "0x030000"),
    ],
)
def test_a_bound_device_one_given_to_a_virtual_machine_and_other_devices_are_not_told(text: str) -> None:
    assert not bad(drivers.GROUP, made(text))


@pytest.mark.parametrize(
    ("device", "what", "remedy"),
    [
        ("coral-unbound", "Coral Edge TPU PCIe (0000:02:00.0) is unready", "gasket-dkms"),
        ("coral-pcie", "is failed", "power the machine off and on"),
        ("hailo-8l-mismatch", "sensor hailo.identity: not everything can be read", "of one release"),
        ("hailo-8-and-10h", "is unready", "hailort-pcie-driver"),
        ("nvidia-mismatch", "sensor nvidia.gpu: error", "reboot"),
        ("thermal-errors", "sensors hwmon.thermal, hwmon.cooling: error", "dmesg"),
    ],
)
def test_recorded_troubles_of_accelerators_and_sensors_are_told_with_their_remedy(
    device: str, what: str, remedy: str
) -> None:
    found = [one for one in bad(drivers.GROUP, captured(device)) if what in one.what]
    assert found
    assert remedy in found[0].remedy


def test_a_jetson_without_its_service_and_a_pi_without_its_group_are_told_what_they_miss() -> None:
    for device, what in (
        ("jetson-agx-orin-jp6-hot", "sensor jetson.gpu: more could be read than from sysfs"),
        ("raspberry-pi-denied", "sensor raspberrypi.throttled: more could be read than from get_throttled"),
    ):
        assert ("note", what) in said(drivers.GROUP, captured(device))
    assert not [what for _, what in said(drivers.GROUP, captured("jetson-orin-jtop")) if "sensor" in what]


@pytest.mark.parametrize("device", ["coral-usb", "intel-myriad", "raspberry-pi-denied", "hailo-8l-pi5", "amd-mi50"])
def test_sticks_that_wait_for_work_and_refused_sensors_are_notes(device: str) -> None:
    assert not bad(drivers.GROUP, captured(device))


def test_a_link_that_lost_lanes_is_told_and_its_speed_unless_it_is_an_idle_gpus() -> None:
    lanes = hardware.LINK_WIDTH(1, "0000:01:00.0"), hardware.LINK_WIDTH_LIMIT(4, "0000:01:00.0")
    speed = hardware.LINK_TRANSFERS(2.5e9, "0000:01:00.0"), hardware.LINK_TRANSFERS_LIMIT(8e9, "0000:01:00.0")
    gpu = hardware.ACCELERATOR_INFO(1, "0000:01:00.0", "RTX", "gpu", "NVIDIA", "", "", "")
    (finding,) = bad(drivers.GROUP, read(*lanes))
    assert finding.what == "the PCIe link of 0000:01:00.0 has 1 of 4 lanes"
    assert len(bad(drivers.GROUP, read(*speed))) == 1
    assert not bad(drivers.GROUP, read(*speed, gpu))
    assert len(bad(drivers.GROUP, read(*lanes, gpu))) == 1
    assert not bad(drivers.GROUP, read(hardware.LINK_WIDTH(4, "a"), hardware.LINK_WIDTH_LIMIT(4, "a")))


def test_what_a_platform_warns_of_is_told() -> None:
    """Such as the unrelated pycoral."""
    patient = replace(made("== /none\n"), warnings={"coral": "the installed pycoral is not Google's: pip uninstall it"})
    (finding,) = bad(drivers.GROUP, patient)
    assert (finding.what, finding.remedy) == ("coral: the installed pycoral is not Google's", "pip uninstall it")


@pytest.mark.parametrize(("share", "severity"), [(0.5, "ok"), (0.09, "warning"), (0.03, "problem")])
def test_memory_that_runs_out_is_a_warning_then_a_problem(share: float, severity: str) -> None:
    free, limit = catalog.MEMORY_AVAILABLE(share * 8e9), catalog.MEMORY_LIMIT(8e9)
    assert [found for found, _ in said(memory.GROUP, read(free, limit))] == [severity]


def swap(used: float) -> tuple[Reading, Reading]:
    """A gigabyte of it."""
    return catalog.SWAP_USAGE(used * 1e9, "used"), catalog.SWAP_USAGE((1 - used) * 1e9, "free")


def test_swap_in_use_swap_on_flash_and_killed_processes_are_told_and_zram_is_not() -> None:
    assert said(memory.GROUP, read(*swap(0.1))) == []
    assert "30% of the swap" in bad(memory.GROUP, read(*swap(0.3)))[0].what
    head = "== /proc/swaps\nFilename Type Size Used Priority\n"
    (finding,) = bad(memory.GROUP, read(text=f"{head}/dev/mmcblk0p3 partition 102396 0 -2\n"))
    assert finding.evidence == "/proc/swaps: /dev/mmcblk0p3 partition"
    assert not bad(memory.GROUP, read(text=f"{head}/dev/zram0 partition 102396 0 100\n"))
    (finding,) = bad(memory.GROUP, read(text="== /proc/vmstat\npgfault 7\noom_kill 2\n"))
    assert "killed 2 processes" in finding.what
    assert not bad(memory.GROUP, read(text="== /proc/vmstat\noom_kill 0\n"))


@pytest.mark.parametrize(
    ("resource", "waited", "fires"), [("memory", 20, 1), ("memory", 5, 0), ("io", 20, 0), ("io", 60, 1)]
)
def test_pressure_is_held_against_the_uptime(resource: str, waited: float, fires: int) -> None:
    patient = read(catalog.PRESSURE_TIME(waited, resource, "full"), catalog.UPTIME(1000))
    assert len(bad(memory.GROUP, patient)) == fires


def test_a_kernel_without_pressure_is_a_note_with_how_to_get_it() -> None:
    meminfo = "== /proc/meminfo\nMemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n"
    (finding,) = [one for one in memory.GROUP.examine(made(meminfo)) if "PSI" in one.what]
    assert (finding.severity, "psi=1" in finding.remedy) == ("note", True)
    told = f"{meminfo}== /proc/pressure/io\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    assert not [one for one in memory.GROUP.examine(made(told)) if "PSI" in one.what]


@pytest.mark.parametrize(
    ("readings", "severities"),
    [
        ([catalog.FILESYSTEM_READONLY(1, *DISK)], ["warning"]),
        ([catalog.FILESYSTEM_READONLY(0, *DISK)], []),
        ([catalog.FILESYSTEM_LIMIT(1e9, *DISK), catalog.FILESYSTEM_USAGE(5e8, *DISK, "free")], ["ok"]),
        ([catalog.FILESYSTEM_LIMIT(1e9, *DISK), catalog.FILESYSTEM_USAGE(5e7, *DISK, "free")], ["warning"]),
        ([catalog.FILESYSTEM_LIMIT(1e9, *DISK), catalog.FILESYSTEM_USAGE(1e7, *DISK, "free")], ["problem"]),
        ([catalog.DISK_WEAR(0.3, "mmcblk0", "a")], ["ok"]),
        ([catalog.DISK_WEAR(0.8, "mmcblk0", "a")], ["warning"]),
        ([catalog.DISK_WEAR(1.1, "mmcblk0", "a")], ["problem"]),
        ([catalog.DISK_PRE_EOL(1, "mmcblk0")], []),
        ([catalog.DISK_PRE_EOL(2, "mmcblk0")], ["warning"]),
        ([catalog.DISK_PRE_EOL(3, "mmcblk0")], ["problem"]),
        ([catalog.FILESYSTEM_LIMIT(1e9, *CARD)], ["ok", "note"]),
        ([catalog.FILESYSTEM_LIMIT(1e9, *CARD), catalog.DISK_WEAR(0.1, "mmcblk0", "a")], ["ok", "ok"]),
    ],
)
def test_full_read_only_and_worn_storage_is_told(readings: list[Reading], severities: list[str]) -> None:
    assert [severity for severity, _ in said(storage.GROUP, read(*readings))] == severities


def test_an_emmc_that_tells_no_wear_is_not_taken_for_an_sd_card() -> None:
    kind = "== /sys/block/mmcblk0/device/type\nMMC\n"
    assert len(said(storage.GROUP, read(catalog.FILESYSTEM_LIMIT(1e9, *CARD)))) == 2
    assert len(said(storage.GROUP, read(catalog.FILESYSTEM_LIMIT(1e9, *CARD), text=kind))) == 1


def test_a_state_directory_that_does_not_exist_yet_can_be_written_if_what_is_above_can(tmp_path: Path) -> None:
    finding = storage.writable(str(tmp_path / "a" / "b"))
    assert (finding.severity, finding.evidence) == ("ok", f"access(2) of {tmp_path}")


def test_a_state_directory_on_a_read_only_mount_or_in_memory_is_a_warning(tmp_path: Path) -> None:
    """Real mounts, that nobody else sees."""
    code = """
        from edgemon.doctor import storage
        from tests.doctor import examined
        from edgemon.sysfs import Root
        patient = examined(Root(), str(directory / "state"))
        said["found"] = [[one.severity, one.what, one.remedy] for one in storage.state(patient)]
    """
    found = apart(tmp_path, f"mount -t tmpfs -o ro none {tmp_path}", code)["found"]
    assert [severity for severity, _, _ in found] == ["warning", "warning"]
    assert "is on tmpfs: baselines are lost" in found[0][1]
    assert "mount it read-write" in found[1][2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("== call edgemon.sources.timex.status()\n" + '{"status": 8193, "maximum_error_us": 900}\n', "ok"),
        ("== call edgemon.sources.timex.status()\n" + '{"status": 64, "maximum_error_us": 16000000}\n', "warning"),
        ("== /run/systemd/timesync/synchronized\n", "ok"),
        ("== /proc/uptime\n1 1\n", None),
    ],
)
def test_an_unsynchronised_clock_is_told_and_by_what_that_is_known(text: str, expected: str | None) -> None:
    found = list(clock.GROUP.examine(made(text)))
    assert [one.severity.value for one in found] == ([expected] if expected else [])
    assert all("adjtimex(2)" in one.evidence for one in found)


def test_the_time_service_is_named() -> None:
    text = '== call edgemon.sources.timex.status()\n{"status": 0}\n== /run/chrony/chronyd.pid\n1\n'
    assert said(clock.GROUP, made(text)) == [("ok", "the clock is synchronised, by chrony")]


def test_this_kernel_tells_its_clock_state() -> None:
    """The largest error it knows is 16 s (NTP_PHASE_LIMIT), which is also what it says while nobody sets the clock."""
    told = Root().call("edgemon.sources.timex.status")
    assert 0 < told["maximum_error_us"] <= 16_000_000
    assert told["status"] >= 0


def test_access_is_asked_as_the_user_who_runs_it() -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    assert storage.writable("/proc/edgemon").severity == "note"
