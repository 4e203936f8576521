"""Raspberry Pi, read from captures of real boards and from what the firmware can answer."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import catalog, collect, hardware
from edgemon.capture import called
from edgemon.metric import Metric, Reading, State
from edgemon.platforms import Platform, Sensor, raspberrypi
from tests import devices
from tests.devices import values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]

BOARDS = [device for device in devices.DEVICES if device.startswith("raspberry-pi-")]
BOUNDS: dict[Metric, tuple[float, float]] = {
    hardware.UTILIZATION: (0, 1),
    hardware.THROTTLED: (0, 1),
    hardware.THROTTLED_BOOT: (0, 1),
    hardware.FREQUENCY: (1e6, 1e10),
    catalog.VOLTAGE: (0, 30),
    catalog.CURRENT: (0, 30),
    catalog.POWER: (0, 900 * 12),
}
GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"\0", b"\0" * 4096, b"\xff\xfe\xfd", b"nan", b"inf", b"0x", b"throttled=", b"9" * 5000]),
    st.sampled_from([b"throttled=0xffffffff", b"throttled=-0x1", b"throttled=0x1_0", b"throttled=0x0\nthrottled=0x1"]),
    st.sampled_from([b'error=1 error_msg="Command not registered"', b"frequency(0)=0", b"frequency(0)=999999999999"]),
    st.sampled_from([b"volt=999.9V", b"volt=-1.0V", b"volt=V", b"VDD_CORE_A current(7)=999.9A", b"a_V volt(1)=1.0A"]),
    st.sampled_from(
        [b"bin\t1\t1\t9999999999999999999", b"bin\t5\t0\t4\nbin\t9\t0\t9", b"render\t-1\t1\t1", b"1\n", b"2"]
    ),
)


class Firmware(devices.Captured):
    """A machine whose firmware gives one answer to everything, or fails."""

    def __init__(self, path: str, answer: str | None, failures: dict[str, int] | None = None) -> None:
        super().__init__(path, failures)
        self.answer = answer
        self.asked: list[str] = []
        self.calls: dict[str, str | OSError] = {}

    def ask(self, name: str, kwargs: Mapping[str, object]) -> str | None:
        told = self.calls.get(called(name, kwargs).removeprefix("call "))
        if isinstance(told, OSError):
            raise told
        return told

    def run(self, *command: str, timeout: float = 2.0) -> str | None:
        self.asked.append(" ".join(command))
        if self.answer is None:
            self.errors["EIO"] += 1
        return self.answer


def sensor(name: str) -> Sensor:
    """A sensor of the platform by name."""
    return next(one for one in raspberrypi.PLATFORM.sensors if one.name == name)


def on(readings: list[Reading]) -> set[tuple[str, str]]:
    """Limiter and cause of what is set."""
    return {(reading.labels[0].removeprefix("soc/"), reading.labels[2]) for reading in readings if reading.value == 1}


def flags(folder: Path, answer: str | None) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """What the answer of get_throttled says of now and of the time since boot."""
    readings = list(raspberrypi.throttled(Firmware(str(folder), answer)))
    now = [reading for reading in readings if reading.metric is hardware.THROTTLED]
    return on(now), on([reading for reading in readings if reading.metric is hardware.THROTTLED_BOOT])


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, raspberrypi.PLATFORM)


@pytest.mark.parametrize("device", BOARDS)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    root = machine(device)
    assert raspberrypi.detect(root)
    readings = devices.sweep(root, raspberrypi.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


@pytest.mark.parametrize("device", ["vm", "jetson-orin-nx", "coral-usb", "x86-node-exporter"])
def test_another_board_is_none(device: str, machine: Machine) -> None:
    assert not raspberrypi.detect(machine(device))


LOW, DIP = ("undervoltage", "undervoltage"), ("throttle", "undervoltage")
CAP, HOT, SOFT = ("cap", "thermal"), ("throttle", "thermal"), ("soft", "thermal")


@pytest.mark.parametrize(
    ("answer", "now", "boot"),
    [
        ("throttled=0x0\n", set(), set()),
        ("throttled=0x50000\n", set(), {LOW, DIP}),
        ("throttled=0x50005\n", {LOW, DIP}, {LOW, DIP}),
        ("throttled=0xe0008\n", {SOFT}, {CAP, HOT, SOFT}),
        ("throttled=0x20002\n", {CAP}, {CAP}),
        ("throttled=0x60006\n", {CAP, HOT}, {CAP, HOT}),
        ("throttled=0x10000", set(), {LOW}),
        ("throttled=0xfffff", {LOW, DIP, CAP, SOFT}, {LOW, DIP, CAP, SOFT}),
        ("THROTTLED=0X0", None, None),
        ("throttled=0x100000", None, None),
        ("throttled=", None, None),
        ("", None, None),
        ("\0", None, None),
        ("throttled=0x0\nthrottled=0x1", None, None),
        ('error=1 error_msg="Command not registered"', None, None),
    ],
)
def test_the_flags_name_limiter_and_cause(
    answer: str, now: set[tuple[str, str]] | None, boot: set[tuple[str, str]] | None, tmp_path: Path
) -> None:
    root = Firmware(str(tmp_path), answer)
    assert flags(tmp_path, answer) == (now or set(), boot or set())
    assert bool(list(raspberrypi.throttled(root))) == (now is not None)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("50005", 0x50005), ("80008", 0x80008), ("0x50005", 0x50005)])
def test_the_kernel_prints_the_flags_without_0x(text: str, value: int, tmp_path: Path) -> None:
    assert raspberrypi.bits(devices.Captured(str(tmp_path)), text) == value


def test_a_pi_4_at_81_degrees_has_been_capped_for_heat_and_nothing_else(machine: Machine) -> None:
    readings = list(raspberrypi.throttled(machine("raspberry-pi-4")))
    assert on([reading for reading in readings if reading.metric is hardware.THROTTLED_BOOT]) == {CAP}


def test_where_the_alarm_is_it_tells_of_undervoltage_and_the_flags_do_not(machine: Machine) -> None:
    root = machine("raspberry-pi-5-hot")
    readings = devices.sweep(root, raspberrypi.PLATFORM)
    assert values(readings, hardware.THROTTLED)[raspberrypi.UNDERVOLTAGE] == 0
    assert raspberrypi.UNDERVOLTAGE not in values(list(raspberrypi.throttled(root)), hardware.THROTTLED)


def test_the_alarm_of_another_chip_is_not_ours(tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon0"
    root = write(tmp_path, {f"{chip}/name": "ina3221", f"{chip}/in0_lcrit_alarm": "1"})
    assert not list(raspberrypi.undervoltage(root))


@pytest.mark.parametrize("text", ["2", "-1", "0.5", "0xff", ""])
def test_an_alarm_is_0_or_1(text: str, tmp_path: Path) -> None:
    chip = "/sys/class/hwmon/hwmon0"
    root = write(tmp_path, {f"{chip}/name": "rpi_volt", f"{chip}/in0_lcrit_alarm": text})
    assert not [reading for reading in raspberrypi.undervoltage(root) if reading.value is not None]
    assert root.errors.total() == 1


def test_the_kernels_copy_is_the_last_resort_and_knows_nothing_of_the_time_since_boot(machine: Machine) -> None:
    readings = list(raspberrypi.throttled(machine("raspberry-pi-denied")))
    assert on([reading for reading in readings if reading.metric is hardware.THROTTLED]) == {DIP}
    assert not values(readings, hardware.THROTTLED_BOOT)
    assert ("raspberrypi", "throttled", "get_throttled") in values(readings, hardware.SENSOR_SOURCE)


def test_the_kernels_copy_is_not_read_while_vcgencmd_answers(machine: Machine) -> None:
    root = Firmware(machine("raspberry-pi-denied").path, "throttled=0x0")
    assert not on([reading for reading in raspberrypi.throttled(root) if reading.metric is hardware.THROTTLED])


@pytest.mark.parametrize("panic", ["1", "", "x"])
def test_the_kernels_copy_is_not_read_where_its_warning_would_be_a_crash(panic: str, machine: Machine) -> None:
    root = machine("raspberry-pi-denied")
    write(Path(root.path), {"/proc/sys/kernel/panic_on_warn": panic})
    assert not list(raspberrypi.throttled(root))


def test_the_kernels_copy_is_not_read_when_no_driver_renews_it(machine: Machine) -> None:
    root = machine("raspberry-pi-denied")
    Path(root.path, "sys/class/hwmon/hwmon1/in0_lcrit_alarm").unlink()
    assert not list(raspberrypi.throttled(root))


@pytest.mark.parametrize("node", raspberrypi.NODES)
@pytest.mark.parametrize(
    "answer", [None, f"Can't open device file: {raspberrypi.NODES[0]}\nTry creating a device file"]
)
def test_without_group_video_the_state_is_denied(node: str, answer: str | None, tmp_path: Path) -> None:
    write(tmp_path, {node: ""})
    for name in ("throttled", "clocks", "pmic"):
        root = Firmware(str(tmp_path), answer, {node: errno.EACCES})
        sweep = collect.take(name, sensor(name), root)
        assert sweep.state is State.DENIED
        assert sweep.errors["EACCES"] == 1
        assert len(root.asked) == 1  # who is refused once is not asked for every clock


def test_a_firmware_that_fails_though_its_node_opens_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"/dev/vcio_gencmd": "", "/dev/vcio": ""})
    root = Firmware(str(tmp_path), None, {"/dev/vcio": errno.EACCES})
    assert collect.take("throttled", sensor("throttled"), root).state is State.ERROR


def test_a_machine_without_vcgencmd_is_absent(tmp_path: Path) -> None:
    for name in ("throttled", "clocks", "pmic"):
        assert collect.take(name, sensor(name), devices.Captured(str(tmp_path))).state is State.ABSENT


def test_a_command_the_firmware_does_not_know_is_absent(tmp_path: Path) -> None:
    root = Firmware(str(tmp_path), 'error=1 error_msg="Command not registered"')
    assert collect.take("pmic", sensor("pmic"), root).state is State.ABSENT


def test_only_a_pi_5_is_asked_for_its_rails(machine: Machine) -> None:
    root = Firmware(machine("raspberry-pi-4").path, "")
    assert not list(raspberrypi.pmic(root))
    assert not root.asked


def test_the_total_is_the_sum_of_the_rails_and_their_parent(machine: Machine) -> None:
    readings = list(raspberrypi.pmic(machine("raspberry-pi-5-pmic")))
    power = values(readings, catalog.POWER)
    rails = {labels[1]: value or 0 for labels, value in power.items() if labels[2] == "pmic"}
    assert len(rails) == 12
    assert rails["VDD_CORE"] == pytest.approx(10.87674 * 0.8974594)
    assert power["pmic", "pmic", ""] == pytest.approx(sum(rails.values())) == pytest.approx(10.79989, abs=1e-5)
    assert values(readings, catalog.VOLTAGE)["pmic/EXT5V", "EXT5V", "pmic"] == 5.06788


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("VDD_CORE_V volt(15)=0.89745940V", "VDD_CORE_V volt(15)=n/a"),
        ("VDD_CORE_V volt(15)=0.89745940V", "VDD_CORE_V volt(15)=89.745940V"),
        ("  VDD_CORE_V volt(15)=0.89745940V\n", ""),
        ("BATT_V volt(25)=3.01110800V", "BATT_V volt(2"),
    ],
)
def test_there_is_no_total_of_less_than_every_rail(old: str, new: str, machine: Machine) -> None:
    path = machine("raspberry-pi-5-pmic").path
    text = json.loads(Path(path, "calls.json").read_text())["run vcgencmd pmic_read_adc"]
    assert old in text
    readings = list(raspberrypi.pmic(Firmware(path, text.replace(old, new))))
    assert ("pmic", "pmic", "") not in values(readings, catalog.POWER)
    assert len([value for value in values(readings, catalog.POWER).values() if value is not None]) >= 11


def test_a_clock_of_0_is_absent_and_no_error(machine: Machine) -> None:
    root = machine("raspberry-pi-5-hot")
    clocks = values(list(raspberrypi.clocks(root)), hardware.FREQUENCY)
    assert clocks == {
        ("core", "core", "gpu"): 910002880,
        ("v3d", "v3d", "gpu"): 960012800,
        ("isp", "isp", "vision"): 910002880,
        ("h264", "h264", "codec"): None,
    }
    assert not root.errors


def test_utilisation_is_the_busy_share_of_the_time_between_two_passes(tmp_path: Path) -> None:
    file = "/sys/bus/platform/devices/1002000000.v3d/gpu_stats"
    head = "queue\ttimestamp\tjobs\truntime\n"
    seen = []
    for line in ("1000\t1\t100", "2000\t2\t350", "3000\t2\t350", "3000\t2\t350", "9000\t3\t9999", "9500\t1\t10"):
        readings = list(raspberrypi.gpu(write(tmp_path, {file: f"{head}csd\t{line}\n"})))
        assert {reading.labels for reading in readings} == {("v3d/csd", "v3d csd", "gpu")}
        seen.append([reading.value for reading in readings if reading.metric is hardware.UTILIZATION])
    assert seen == [[None], [0.25], [0], [None], [], [None]]


def test_a_runtime_beyond_the_clock_is_no_busy_time(tmp_path: Path) -> None:
    stats = "queue\ttimestamp\tjobs\truntime\nbin\t5000000000\t1\t5000000001\nrender\t5000000000\t1\t4000000000\n"
    root = write(tmp_path, {"/sys/bus/platform/devices/fec00000.v3d/gpu_stats": stats})
    busy = values(list(raspberrypi.gpu(root)), hardware.BUSY_TIME)
    assert busy == {("v3d/bin", "v3d bin", "gpu"): None, ("v3d/render", "v3d render", "gpu"): 4}
    assert root.errors == {"implausible": 1}


def test_the_board_is_known_in_a_container_that_hides_the_device_tree(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"/proc/cpuinfo": "processor\t: 0\n\nRevision\t: c03111\nModel\t\t: Raspberry Pi 4 Model B Rev 1.1\n"}
    )
    assert raspberrypi.detect(root)
    assert ("Raspberry Pi 4 Model B Rev 1.1", "", "") in values(list(raspberrypi.identity(root)), hardware.BOARD_INFO)


def test_the_device_tree_separates_its_names_by_nul(tmp_path: Path) -> None:
    tree = "/proc/device-tree/compatible"
    root = write(tmp_path, {tree: "kunbus,revpi-connect4\0raspberrypi,4-compute-module\0brcm,bcm2711\0"})
    assert raspberrypi.detect(root)
    assert raspberrypi.soc(root) == "bcm2711"


def test_the_firmware_is_asked_directly_and_the_program_only_where_that_gives_nothing_and_no_error(
    machine: Machine,
) -> None:
    """An answer, a refusal and a failure of the device are all final."""
    call = "edgemon.sources.vcio.ask(command='get_throttled')"
    for answer, state in (("throttled=0x0", State.OK), (OSError(errno.EACCES, ""), State.DENIED)):
        root = Firmware(machine("raspberry-pi-4").path, "throttled=0x50005")
        root.calls[call] = answer
        assert collect.take("throttled", sensor("throttled"), root).state is state
        assert not root.asked
    assert collect.take("throttled", sensor("throttled"), Firmware(root.path, "throttled=0x0")).state is State.OK


def test_a_command_that_the_device_does_not_know_is_absent_and_asks_no_program(machine: Machine) -> None:
    root = Firmware(machine("raspberry-pi-5-pmic").path, "")
    root.calls["edgemon.sources.vcio.ask(command='pmic_read_adc')"] = 'error=1 error_msg="Command not registered"'
    assert collect.take("pmic", sensor("pmic"), root).state is State.ABSENT
    assert not root.asked


def test_what_needs_no_program_is_read_at_every_sweep() -> None:
    assert {one.name for one in raspberrypi.PLATFORM.sensors if one.every == 0} >= {"throttled", "pmic"}


def implausible(reading: Reading) -> bool:
    """The tests' own bounds, before those of all platforms."""
    low, high = BOUNDS.get(reading.metric, (float("-inf"), float("inf")))
    return devices.implausible(reading) or (reading.value is not None and not low <= reading.value <= high)


FILES = [(device, entry) for device in BOARDS for entry in devices.entries(device)]
FUZZED = [(d, e.path) for d, e in FILES if not (e.target or e.path.endswith("/") or e.path == "/calls.json")]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, BOARDS)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(FUZZED), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "EAGAIN"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Garbage, a failing read, and a file that vanishes between listing and reading."""
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (raspberrypi.PLATFORM,))
    assert not [reading for reading in readings if implausible(reading)]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(answer=GARBAGE)
def test_no_answer_of_the_firmware_raises_or_becomes_an_implausible_number(
    answer: bytes, roots: dict[str, devices.Captured]
) -> None:
    root = Firmware(roots["raspberry-pi-5-hot"].path, answer.decode("utf-8", "replace"))
    assert not [reading for reading in devices.sweep(root, raspberrypi.PLATFORM) if implausible(reading)]
