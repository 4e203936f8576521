"""devfreq: clocks and loads of any SoC, read from captures of real devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, devfreq, rockchip
from tests import devices
from tests.devices import values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]

GPU = "/sys/class/devfreq/fb000000.gpu"
GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"\0", b"\0" * 4096, b"\xff\xfe\xfd", b"nan", b"1e400", b"0x1f", b"9" * 5000, "٤٢".encode()]),
    st.sampled_from(
        [b"762", b"0", b"200@300000000Hz", b"-1@0Hz", b"50@", b"@", b"NPU load:  Core0: 20000%,", b"1 2\n3"]
    ),
    st.sampled_from([b"NPU load:", b"NPU load: Core0: 1%, Core0: 2%,", b"NPU load:  -5%", "NPU load: ٤%".encode()]),
)


def implausible(reading: Reading) -> bool:
    """A share above 1, or a clock that no silicon has."""
    low, high = {
        hardware.UTILIZATION: (0, 1),
        hardware.FREQUENCY: (0, 1e11),
        hardware.FREQUENCY_LIMIT: (1e6, 1e11),
    }.get(reading.metric, (0, 1e18))
    return reading.value is not None and not low <= reading.value <= high


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, devfreq.PLATFORM)


@pytest.mark.parametrize("device", devices.DEVICES)
def test_no_series_is_exported_twice_not_even_by_devfreq_and_rockchip(device: str, machine: Machine) -> None:
    root = machine(device)
    readings = [one for platform in (devfreq.PLATFORM, rockchip.PLATFORM) for one in devices.sweep(root, platform)]
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


@pytest.mark.parametrize(
    ("ident", "name", "kind"),
    [
        ("fb000000.gpu", "gpu", "gpu"),
        ("fdab0000.npu", "npu", "npu"),
        ("dmc", "dmc", "memory"),
        ("17000000.gpu", "gpu", "gpu"),
        ("gpu-gpc-0", "gpu-gpc-0", "gpu"),
        ("13000000.mali", "mali", "gpu"),
        ("1c00000.qcom,kgsl-3d0", "kgsl-3d0", "gpu"),
        ("soc:qcom,cpubw", "cpubw", "memory"),
        ("3d400000.memory-controller", "memory-controller", "memory"),
        ("15880000.nvdla0", "nvdla0", "dla"),
        ("15480000.nvdec", "nvdec", "codec"),
        ("15380000.nvjpg", "nvjpg", "codec"),
        ("fdf40000.rkvenc", "rkvenc", "codec"),
        ("15340000.vic", "vic", "vision"),
        ("15a50000.ofa", "ofa", "vision"),
        ("14250000.cix-aipu", "cix-aipu", "cix-aipu"),
        ("32700000.noc", "noc", "noc"),
        ("1d84000.ufshc", "ufshc", "ufshc"),
        ("fd890000.display", "display", "display"),
        ("ff100000.input", "input", "input"),
    ],
)
def test_the_type_follows_from_the_name(ident: str, name: str, kind: str) -> None:
    assert (devfreq.short(ident), devfreq.kind(ident)) == (name, kind)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("47@200000000Hz", 0.47),
        ("0@300000000Hz", 0),
        ("100@1000000000Hz", 1),
        ("12@0", 0.12),
        ("9", 0.09),
        ("101@1Hz", None),
        ("20000@1Hz", None),
        ("-1@1Hz", None),
        ("٤٢@1Hz", None),
        ("", None),
        ("junk", None),
    ],
)
def test_a_load_is_a_share_or_nothing_and_counted(text: str, share: float | None, tmp_path: Path) -> None:
    root = write(tmp_path, {f"{GPU}/load": text})
    assert [reading.value for reading in devfreq.utilization(root)] == [share]
    assert bool(root.errors) == (share is None)


def test_the_cap_stands_beside_the_limits_of_the_hardware(machine: Machine) -> None:
    limits = values(list(devfreq.clocks(machine("jetson-orin-nx-devfreq"))), hardware.FREQUENCY_LIMIT)
    gpu = {labels[3]: value for labels, value in limits.items() if labels[:3] == ("17000000.gpu", "gpu", "gpu")}
    assert gpu == {"min": 306e6, "throttled": 918e6, "max": 1020e6}


def test_a_maximum_of_zero_is_no_limit(machine: Machine) -> None:
    readings = list(devfreq.clocks(machine("rockchip-ff9a0000-gpu")))
    assert {reading.labels[-1] for reading in readings if reading.metric is hardware.FREQUENCY_LIMIT} == {"min", "max"}
    assert not [reading for reading in readings if reading.value is None]


def test_an_npu_has_no_load_here_since_its_driver_says_0_for_ever(machine: Machine) -> None:
    shares = values(list(devfreq.utilization(machine("rock-5b"))), hardware.UTILIZATION)
    assert shares == {("fb000000.gpu", "gpu", "gpu"): 0, ("dmc", "dmc", "memory"): 0.17}


@pytest.mark.parametrize(
    ("file", "text"), [("/etc/nv_tegra_release", ""), ("/proc/device-tree/compatible", "nvidia,p3768\0nvidia,tegra234")]
)
def test_on_a_jetson_devfreq_is_left_to_the_jetson_platform(file: str, text: str, machine: Machine) -> None:
    root = machine("jetson-orin-nx-devfreq")
    assert devfreq.PLATFORM.detect(root)
    write(Path(root.path), {file: text})
    assert not devfreq.PLATFORM.detect(devices.Captured(root.path))


def test_a_numbered_device_is_known_by_its_name(tmp_path: Path) -> None:
    place = "/sys/class/devfreq/devfreq0"
    root = write(tmp_path, {f"{place}/name": "13000000.mali\n", f"{place}/cur_freq": "0"})
    assert values(list(devfreq.clocks(root)), hardware.FREQUENCY) == {("13000000.mali", "mali", "gpu"): 0}


def test_megabytes_a_second_are_no_clock(tmp_path: Path) -> None:
    place = "/sys/class/devfreq/soc:qcom,cpubw"
    root = write(tmp_path, {f"{place}/cur_freq": "762", f"{place}/available_frequencies": "762 1144 13763"})
    assert not [reading for reading in devfreq.clocks(root) if reading.value is not None]
    assert root.errors == {"implausible": 4}


DEVICES = [name for name in devices.DEVICES if name.startswith(("rock", "qualcomm", "jetson-orin-nx-devfreq"))]
FUZZED = [
    (device, entry.path)
    for device in DEVICES
    for entry in devices.entries(device)
    if not (entry.target or entry.failure) and ("/devfreq/" in entry.path or "rknpu" in entry.path.lower())
]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, DEVICES)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(FUZZED), garbage=GARBAGE, fate=st.sampled_from(["write", "write", "vanish", "EIO", "ENODATA"])
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Garbage, a failing read, and a file that vanishes between listing and reading; for devfreq and rockchip."""
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (devfreq.PLATFORM, rockchip.PLATFORM))
    assert not [reading for reading in readings if implausible(reading)]
    assert all(label.isprintable() for reading in readings for label in reading.labels)
