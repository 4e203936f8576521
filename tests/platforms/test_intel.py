"""Intel NPUs, GPUs and Movidius sticks, read from captures."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import hardware
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, intel
from tests import devices
from tests.devices import implausible, values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]

NPU = ("0000:00:0b.0", "Intel NPU", "npu")
CARD = "/sys/class/drm/card0"
UEVENT = {f"{CARD}/device/uevent": "DRIVER=i915\nPCI_ID=8086:7D55\nPCI_SLOT_NAME=0000:00:02.0\n"}
MINE = [device for device in devices.DEVICES if device.startswith("intel-")]
BOUNDS: dict[Metric, tuple[float, float]] = {
    hardware.FREQUENCY: (1e6, 1e11),
    hardware.FREQUENCY_LIMIT: (1e6, 1e11),
    hardware.THROTTLED: (0, 1),
    hardware.ACCELERATOR_STATE: (0, 1),
    hardware.BUSY_TIME: (0, 1e10),
}


def causes(readings: list[Reading], ident: str) -> dict[str, float | None]:
    found = values(readings, hardware.THROTTLED)
    return {labels[2]: value for labels, value in found.items() if labels[0] == ident}


def states(readings: list[Reading]) -> set[tuple[str, str]]:
    found = values(readings, hardware.ACCELERATOR_STATE)
    return {(labels[0], labels[3]) for labels, value in found.items() if value}


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, intel.PLATFORM)


@pytest.mark.parametrize("device", MINE)
def test_no_two_readings_of_a_capture_are_the_same_series(device: str, machine: Machine) -> None:
    readings = devices.sweep(machine(device), intel.PLATFORM)
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_the_npu_tells_its_busy_time_memory_and_clock(machine: Machine) -> None:
    readings = devices.sweep(machine("intel-core-ultra"), intel.PLATFORM)
    assert values(readings, hardware.BUSY_TIME)[NPU] == 184.46744
    assert values(readings, hardware.MEMORY_USAGE) == {NPU: 68722688}
    assert values(readings, hardware.FREQUENCY)[NPU] == 1.4e9
    assert values(readings, hardware.FREQUENCY_LIMIT).get((*NPU, "max")) == 1.4e9


def test_an_npu_that_sleeps_has_no_clock_and_is_no_fault(machine: Machine) -> None:
    root = machine("intel-core-ultra")
    write(Path(root.path), {"/sys/class/accel/accel0/device/npu_current_frequency_mhz": "0"})
    readings = devices.sweep(root, intel.PLATFORM)
    assert values(readings, hardware.FREQUENCY)[NPU] is None
    assert (NPU[0], "ok") in states(readings)
    assert not [r for r in readings if r.labels[-1] == "implausible"]


def test_an_accelerator_of_another_driver_is_none(tmp_path: Path) -> None:
    assert not intel.detect(write(tmp_path, {"/sys/class/accel/accel0/device/uevent": "DRIVER=habanalabs\n"}))


def test_the_first_gt_is_the_gpu_and_the_second_its_media_engine(machine: Machine) -> None:
    for device, second in (("intel-core-ultra", "0000:00:02.0/gt1"), ("intel-arc-xe", "0000:03:00.0/tile0/gt1")):
        clocks = values(devices.sweep(machine(device), intel.PLATFORM), hardware.FREQUENCY)
        assert {labels[2]: labels[0] for labels in clocks if labels[2] != "npu"} == {
            "gpu": second[:12],
            "codec": second,
        }


def test_a_gpu_held_down_by_power_and_heat_says_both(machine: Machine) -> None:
    readings = devices.sweep(machine("intel-core-ultra"), intel.PLATFORM)
    assert causes(readings, "0000:00:02.0") == {"thermal": 1, "power": 1, "hardware": 0, "software": 0}
    assert causes(readings, "0000:00:02.0/gt1") == {"thermal": 0, "power": 0, "hardware": 0, "software": 0}


def test_a_cap_below_the_maximum_is_one_that_somebody_set(machine: Machine) -> None:
    readings = devices.sweep(machine("intel-arc-xe"), intel.PLATFORM)
    assert causes(readings, "0000:03:00.0")["software"] == 1
    assert causes(readings, "0000:03:00.0/tile0/gt1")["software"] == 0


@pytest.mark.parametrize(
    ("reason", "cause"),
    [(reason, cause) for cause, reasons in intel.REASONS.items() for reason in reasons.split()]
    + [("of_a_kernel_to_come", "hardware"), ("", "hardware")],
)
@pytest.mark.parametrize("driver", ["i915", "xe"])
def test_every_reason_has_its_cause(driver: str, reason: str, cause: str, tmp_path: Path) -> None:
    stem = f"{CARD}/gt/gt0/throttle_reason_" if driver == "i915" else f"{CARD}/device/tile0/gt0/freq0/throttle/"
    files = {f"{CARD}/device/uevent": f"DRIVER={driver}\nPCI_SLOT_NAME=0000:00:02.0", f"{stem}status": "1"}
    prefix = stem if driver == "i915" else f"{stem}reason_"
    files |= {f"{prefix}{reason}": "1"} if reason else {}
    on = causes(list(intel.gpu(write(tmp_path, files))), "0000:00:02.0")
    assert on == {name: float(name == cause) for name in ("thermal", "power", "hardware")}


def test_reasons_are_not_read_while_nothing_limits_the_clock(machine: Machine) -> None:
    root = machine("intel-arc-xe")
    place = "/sys/class/drm/card1/device/tile0/gt0/freq0/throttle/reason_pl1"
    root.failures = {place: errno.EIO}
    list(intel.gpu(root))
    assert not root.errors


def test_a_gpu_that_sleeps_is_off_and_nothing_that_wakes_it_is_read(machine: Machine) -> None:
    readings = devices.sweep(machine("intel-arc-xe"), intel.PLATFORM)
    assert {r.metric for r in readings if r.labels[0].startswith("0000:04")} == {
        hardware.ACCELERATOR_INFO,
        hardware.ACCELERATOR_STATE,
    }
    assert ("0000:04:00.0", "off") in states(readings)


def test_an_old_kernel_has_the_clock_at_the_card_and_no_reasons(machine: Machine) -> None:
    readings = devices.sweep(machine("intel-myriad"), intel.PLATFORM)
    assert values(readings, hardware.FREQUENCY) == {("0000:00:02.0", "Intel GPU", "gpu"): 373e6}
    assert causes(readings, "0000:00:02.0") == {"software": 0}


def test_a_myriad_is_unready_until_it_is_booted_and_other_usb_devices_are_none(machine: Machine) -> None:
    readings = devices.sweep(machine("intel-myriad"), intel.PLATFORM)
    found = {one for one in states(readings) if one[0].startswith("usb-")}
    assert found == {("usb-1-2", "unready"), ("usb-2-1", "ok")}


@pytest.mark.parametrize("raw", ["0", "-300", "4294967295", "inf", ""])
def test_a_clock_that_is_none_is_absent(raw: str, tmp_path: Path) -> None:
    root = write(tmp_path, {**UEVENT, f"{CARD}/gt/gt0/rps_act_freq_mhz": raw})
    assert set(values(list(intel.gpu(root)), hardware.FREQUENCY).values()) == {None}


FILES = [(device, entry.path) for device in MINE for entry in devices.entries(device) if entry.path != "/calls.json"]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["id", "clients", "complete", "engines", "render", "vcs", "busy", "utilization"]), inner
        ),
    ),
    max_leaves=12,
)
GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"\0" * 4096, b"\xff\xfe", b"nan", b"1e400", b"9" * 5000, b"-1", b"1", "٤٢".encode()]),
    st.sampled_from([b"DRIVER=xe", b"DRIVER=i915", b"DRIVER=intel_vpu\nPCI_SLOT_NAME=/..", b"suspended", b"03e7"]),
)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, MINE)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(FILES), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "EINVAL"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (intel.PLATFORM,))
    assert not [reading for reading in readings if implausible(reading)]
    for metric, (low, high) in BOUNDS.items():
        assert all(value is None or low <= value <= high for value in values(readings, metric).values())


class Answering(devices.Captured):
    """A machine whose libraries say anything."""

    said: object = None

    def ask(self, name: str, kwargs: object) -> object:
        return self.said


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(said=st.one_of(JSON, st.lists(JSON.map(lambda one: {"id": "0000:00:02.0", "engines": {"render": one}}))))
def test_no_answer_of_a_source_raises_or_becomes_an_implausible_number(
    said: object, roots: dict[str, devices.Captured]
) -> None:
    root = Answering(roots["intel-core-ultra"].path)
    root.said = said
    for metric, most in ((hardware.UTILIZATION, 1), (hardware.BUSY_TIME, 1e10)):
        found = values(list(intel.busy(root)), metric).values()
        assert all(value is None or 0 <= value <= most for value in found)
