"""Jetsons, read from recordings of real boards and from the synthetic tree that the real jtop service was run over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgemon import catalog, hardware
from edgemon.metric import Metric, Reading
from edgemon.platforms import Platform, devfreq, hwmon, jetson, power
from tests import devices
from tests.devices import values, write
from tests.platforms import fuzz

Machine = Callable[[str], devices.Captured]
JTOP = "edgemon.sources.jtop.latest()"
TREE = "/proc/device-tree/compatible"
BOUNDS: dict[Metric, tuple[float, float]] = {
    hardware.UTILIZATION: (0, 1),
    hardware.FREQUENCY: (1e7, 1e11),
    hardware.FREQUENCY_LIMIT: (1e7, 1e11),
    hardware.THROTTLED: (0, 1),
    hardware.THROTTLE_EVENTS: (0, 2**32),
    catalog.POWER: (-1e4, 1e5),
    catalog.VOLTAGE: (-100, 1000),
    catalog.FAN_SPEED: (0, 50_000),
    catalog.FAN_RATIO: (0, 1),
}


def read(root: devices.Captured) -> list[Reading]:
    return devices.sweep(root, jetson.PLATFORM)


def rails(readings: list[Reading]) -> dict[str, tuple[float | None, str]]:
    """Watts and parent of each rail."""
    return {labels[0]: (watts, labels[2]) for labels, watts in values(readings, catalog.POWER).items()}


def sources(readings: list[Reading]) -> dict[str, str]:
    return {labels[1]: labels[2] for labels in values(readings, hardware.SENSOR_SOURCE)}


def by_cause(readings: list[Reading], cause: str) -> dict[str, float | None]:
    found = values(readings, hardware.THROTTLED)
    return {labels[0]: value for labels, value in found.items() if labels[2] == cause}


@pytest.mark.parametrize("device", devices.DEVICES)
def test_every_capture_reads_as_its_golden_file_says(device: str, golden: Callable[[str, Platform], None]) -> None:
    golden(device, jetson.PLATFORM)


@pytest.mark.parametrize("device", [name for name in devices.DEVICES if name.startswith("jetson")])
def test_no_series_is_exported_twice_not_even_by_devfreq_and_hwmon(device: str, machine: Machine) -> None:
    root, platforms = machine(device), (jetson.PLATFORM, hwmon.PLATFORM, devfreq.PLATFORM)
    here = [platform for platform in platforms if platform.detect(root)]
    readings = [one for platform in here for one in devices.sweep(root, platform)]
    assert len({(reading.metric.name, reading.labels) for reading in readings}) == len(readings)


def test_a_thor_is_detected_by_its_device_tree_alone(tmp_path: Path) -> None:
    root = write(tmp_path, {TREE: "nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264\0"})
    assert jetson.detect(root)
    assert jetson.soc(root) == "tegra264"


@pytest.mark.parametrize("text", ["raspberrypi,5-model-b\0brcm,bcm2712\0", "nvidia,grace\0", "nvidia,tegra23x\0", ""])
def test_other_boards_are_no_jetson(text: str, tmp_path: Path) -> None:
    assert not jetson.detect(write(tmp_path, {TREE: text}))


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R32 (release), REVISION: 7.1, GCID: 1", "L4T 32.7.1 (JetPack 4.6.1)"),
        ("# R35 (release), REVISION: 3.1, GCID: 32827747", "L4T 35.3.1 (JetPack 5.1.1)"),
        ("# R36 (release), REVISION: 4.0, GCID: 1", "L4T 36.4.0 (JetPack 6.1)"),
        ("# R36 (release), REVISION: 4.3, GCID: 1", "L4T 36.4.3 (JetPack 6.2)"),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464", "L4T 38.2.0 (JetPack 7.0)"),
        ("# R99 (release), REVISION: 1.0", "L4T 99.1.0"),
        ("nonsense", ""),
    ],
)
def test_the_jetpack_follows_from_the_l4t_release(line: str, release: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"/etc/nv_tegra_release": line, TREE: "nvidia,tegra234"})
    assert values(list(jetson.board(root)), hardware.BOARD_INFO) == {("", "tegra234", release): 1}


def test_jtop_and_the_files_give_the_same_series_and_values(machine: Machine) -> None:
    """The real jtop service and our own reading of the tree it ran over."""
    by_files, by_jtop = read(machine("jetson-orin-synthetic")), read(machine("jetson-orin-jtop"))
    metrics = (hardware.UTILIZATION, hardware.FREQUENCY, hardware.ACCELERATOR_STATE, catalog.POWER, catalog.FAN_SPEED)
    for metric in metrics:
        assert values(by_files, metric) == pytest.approx(values(by_jtop, metric), abs=1e-3)
        assert values(by_jtop, metric)
    assert sources(by_jtop) == dict.fromkeys(("gpu", "engines", "memory", "rails", "mode"), "jtop") | {"board": "sysfs"}
    assert set(sources(by_files).values()) == {"sysfs"}


def test_what_jtop_lacks_is_read_from_files(machine: Machine) -> None:
    root = machine("jetson-orin-jtop")
    write(Path(root.path), {"/calls.json": json.dumps({JTOP: {"gpu": {}, "rails": {}}})})
    readings = read(root)
    assert values(readings, hardware.UTILIZATION)["17000000.gpu", "gpu", "gpu"] == 0.373
    assert rails(readings)["VDD_IN"] == (5.072, "")


def test_the_clocks_are_jtops_or_devfreqs_under_one_name(machine: Machine) -> None:
    root = machine("jetson-orin-nano-jp5")
    assert values(read(root), hardware.FREQUENCY) == {
        ("17000000.ga10b", "ga10b", "gpu"): 306e6,
        ("nvenc", "NVENC", "codec"): 115e6,
        ("nvdec", "NVDEC", "codec"): 525e6,
        ("vic", "VIC", "vision"): 435e6,
    }
    write(
        Path(root.path), {"/calls.json": json.dumps({JTOP: {"engines": {"nvdec": {"now": 5e8}, "ape": {"now": 2e8}}}})}
    )
    found = values(read(devices.Captured(root.path)), hardware.FREQUENCY)
    assert (found["nvdec", "NVDEC", "codec"], found["ape", "APE", "audio"]) == (5e8, 2e8)


@pytest.mark.parametrize(("most", "held"), [("612000000", 612e6), ("1020000000", None)])
def test_a_gpu_held_below_its_table_is_capped_by_software(most: str, held: float | None, tmp_path: Path) -> None:
    table = {"cur_freq": "306000000", "available_frequencies": "306000000 612000000 1020000000", "max_freq": most}
    files = {f"/sys/class/devfreq/17000000.gpu/{name}": text for name, text in table.items()}
    readings = read(write(tmp_path, files))
    limits = {labels[3]: value for labels, value in values(readings, hardware.FREQUENCY_LIMIT).items()}
    assert limits == {"min": 306e6, "max": 1020e6} | ({"throttled": held} if held else {})
    assert by_cause(readings, "software") == {"17000000.gpu": float(held is not None)}


def test_the_clocks_of_a_thor(tmp_path: Path) -> None:
    clocks = {"gpu-gpc-0": "1575000000", "gpu-nvd-0": "1692000000", "bwmgr": "4266000000"}
    root = write(tmp_path, {f"/sys/class/devfreq/{name}/cur_freq": text for name, text in clocks.items()})
    assert values(read(root), hardware.FREQUENCY) == {
        ("gpu-gpc-0", "gpu-gpc-0", "gpu"): 1.575e9,
        ("nvd0", "NVD0", "codec"): 1.692e9,
        ("emc", "EMC", "memory"): 4.266e9,
    }


def test_the_second_codec_of_a_kind_is_known_by_its_address(tmp_path: Path) -> None:
    names = ("15380000.nvjpg", "15540000.nvjpg", "15140000.nvdec")
    root = write(tmp_path, {f"/sys/class/devfreq/{name}/cur_freq": "1" for name in names})
    assert jetson.hosted(root).keys() == {"nvjpg", "nvjpg1", "nvdec1"}


def test_without_devfreq_the_gpus_clock_is_jtops(tmp_path: Path) -> None:
    sample = {"gpu": {"load": 0.5, "clock": {"now": 918e6, "allowed": 918e6}}}
    readings = list(jetson.gpu(write(tmp_path, {"/calls.json": json.dumps({JTOP: sample})})))
    assert values(readings, hardware.FREQUENCY) == {("gpu", "gpu", "gpu"): 918e6}


@pytest.mark.parametrize("name", ["17000000.gpu", "17000000.ga10b", "17000000.gv11b", "17000000.gp10b", "57000000.gpu"])
def test_the_gpu_is_found_under_the_names_of_every_jetpack(name: str, tmp_path: Path) -> None:
    root = write(tmp_path, {f"/sys/class/devfreq/{name}/device/load": "373"})
    assert values(list(jetson.gpu(root)), hardware.UTILIZATION) == {(name, name[9:], "gpu"): 0.373}


@pytest.mark.parametrize("raw", ["1001", "-1", "4294967295", "", "n/a"])
def test_a_load_outside_its_scale_is_none_and_counted(raw: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"/sys/class/devfreq/17000000.gpu/device/load": raw})
    assert not list(jetson.gpu(root))
    assert root.errors.total() == 1


def test_an_engine_that_is_off_has_no_clock(machine: Machine) -> None:
    readings = read(machine("jetson-orin-nano-jp6-load"))
    assert values(readings, hardware.FREQUENCY).keys() == {
        ("ape", "APE", "audio"),
        ("emc", "EMC", "memory"),
        ("gpu",) * 3,
    }
    states = values(readings, hardware.ACCELERATOR_STATE)
    assert (states["nvdec", "NVDEC", "codec", "off"], states["ape", "APE", "audio", "ok"]) == (1, 1)


def test_the_clock_tree_shows_the_parts_of_an_engine_and_no_limit_that_is_none(tmp_path: Path) -> None:
    clocks = {
        "dla0_core": ("1600000000", "1"),
        "pva0_vps": ("0", "0"),
        "nvdec.buf": ("1", "1"),
        "se": ("200000000", "1"),
    }
    files = {f"/sys/kernel/debug/clk/{name}/clk_rate": rate for name, (rate, _) in clocks.items()}
    files |= {f"/sys/kernel/debug/clk/{name}/clk_enable_count": on for name, (_, on) in clocks.items()}
    files["/sys/kernel/debug/clk/dla0_core/clk_max_rate"] = "18446744073709551615"
    readings = list(jetson.engines(write(tmp_path, files)))
    assert values(readings, hardware.FREQUENCY) == {("dla0_core", "DLA0", "dla"): 1.6e9}
    assert values(readings, hardware.ACCELERATOR_STATE)["pva0_vps", "PVA0", "vision", "off"] == 1
    assert not values(readings, hardware.FREQUENCY_LIMIT)


def test_the_rails_of_an_orin_nano_are_part_of_its_input(machine: Machine) -> None:
    assert rails(read(machine("jetson-orin-nano-jp5"))) == {
        "VDD_IN": (4.83032, ""),
        "VDD_CPU_GPU_CV": (0.67864, "VDD_IN"),
        "VDD_SOC": (1.43712, "VDD_IN"),
    }


def test_an_agx_orin_has_no_input_rail_and_what_is_not_connected_is_no_rail(machine: Machine) -> None:
    found = rails(read(machine("jetson-agx-orin-jp5")))
    assert {name: parent for name, (_, parent) in found.items()} == {
        "VDD_GPU_SOC": "",
        "VDD_CPU_CV": "",
        "VIN_SYS_5V0": "",
        "VDDQ_VDD2_1V8AO": "VIN_SYS_5V0",
    }


def test_the_iio_rails_of_jetpack_4_are_read_and_one_of_0_mw_is_unplugged(machine: Machine) -> None:
    found = rails(read(machine("jetson-tx2-jp4")))
    assert found == {
        "VDD_IN": (5.297, ""),
        "VDD_SYS_GPU": (0.182, "VDD_IN"),
        "VDD_SYS_SOC": (0.73, "VDD_IN"),
        "VDD_SYS_CPU": (1.917, "VDD_IN"),
        "VDD_SYS_DDR": (1.241, "VDD_IN"),
    }


def test_jetpack_4_tells_volts_and_amperes_here_since_hwmon_cannot(tmp_path: Path) -> None:
    chip = "/sys/bus/i2c/devices/6-0040/iio:device0"
    table = {"rail_name_0": "POM_5V_IN", "in_voltage0_input": "5072", "in_current0_input": "404"}
    table |= {"in_power0_input": "2049", "rail_name_1": "POM_5V_GPU", "in_voltage1_input": "5072"}
    table |= {"in_power1_input": "0", "rail_name_2": "POM_5V_CPU", "in_voltage2_input": "0", "in_power2_input": "0"}
    readings = list(jetson.rails(write(tmp_path, {f"{chip}/{name}": text for name, text in table.items()})))
    assert values(readings, catalog.VOLTAGE)["POM_5V_IN", "POM_5V_IN", ""] == 5.072
    assert values(readings, catalog.CURRENT)["POM_5V_IN", "POM_5V_IN", ""] == 0.404
    assert rails(readings) == {"POM_5V_IN": (2.049, ""), "POM_5V_GPU": (0, "POM_5V_IN")}


def test_the_carrier_of_a_tx2_contains_its_module() -> None:
    names = ["VDD_MUX", "VDD_IN", "VDD_SYS_GPU", "VDD_3V3_SYS"]
    assert [jetson.parent(name, names) for name in names] == ["", "VDD_MUX", "VDD_IN", "VDD_MUX"]


def test_thors_input_is_hwmons_and_every_rail_is_part_of_it(tmp_path: Path) -> None:
    files = {"/sys/class/hwmon/hwmon0/name": "ina238", "/sys/class/hwmon/hwmon0/power1_input": "24000000"}
    files["/sys/devices/i2c-2/2-0044/name"] = "ina238"
    files["/calls.json"] = json.dumps({JTOP: {"rails": {"VIN": 24.0, "VDD_GPU": 3.0, "VIN_SYS_5V0": 4.4}}})
    root = write(tmp_path, files)
    Path(root.path, "sys/class/hwmon/hwmon0/device").symlink_to("../../../devices/i2c-2/2-0044")
    whole = next(iter(values(list(power.rails(root)), catalog.POWER)))[0]
    found = rails(list(jetson.rails(root)))
    assert found == {"VDD_GPU": (3, whole), "VIN_SYS_5V0": (4.4, whole)}


def test_a_power_supply_that_jtop_takes_for_a_rail_is_hwmons(tmp_path: Path) -> None:
    files = {"/sys/class/power_supply/ucsi-source-psy-1-00081/online": "1"}
    files["/calls.json"] = json.dumps({JTOP: {"rails": {"ucsi-source-psy-1-00081": 0.5, "VDD_IN": 5.0}}})
    assert rails(list(jetson.rails(write(tmp_path, files)))) == {"VDD_IN": (5, "")}


def test_heat_is_the_cause_where_a_cooling_device_is_at_work_and_software_elsewhere(machine: Machine) -> None:
    readings = read(machine("jetson-agx-orin-jp6-hot"))
    assert by_cause(readings, "thermal") == {
        "cpufreq-cpu0": 0,
        "devfreq-17000000.gpu": 1,
        "cpu-throttle-alert": 0,
        "gpu-throttle-alert": 1,
    }
    assert by_cause(readings, "software") == {"17000000.gpu": 0, "policy0": 1}


@pytest.mark.parametrize(("soc", "under"), [("tegra194", "oc2"), ("tegra234", "oc1"), ("tegra264", "oc1")])
def test_over_current_events_are_counted_by_cause(soc: str, under: str, tmp_path: Path) -> None:
    files = {f"/sys/class/hwmon/hwmon3/oc{n}_event_cnt": str(n) for n in (1, 2, 3)}
    found = values(list(jetson.throttle(write(tmp_path, {TREE: f"nvidia,{soc}", **files}))), hardware.THROTTLE_EVENTS)
    assert {labels[1]: value for labels, value in found.items()} == {"oc1": 1, "oc2": 2, "oc3": 3}
    assert [labels[1] for labels in found if labels[2] == "undervoltage"] == [under]


def test_the_power_mode_is_the_stored_one_by_name_or_else_by_number(tmp_path: Path) -> None:
    conf = "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=15W >\n"
    root = write(tmp_path, {"/var/lib/nvpmodel/status": "pmode:0002 fmode:quiet\n", "/etc/nvpmodel.conf": conf})
    assert jetson.stored(root) == "15W"
    assert jetson.stored(write(tmp_path / "b", {"/var/lib/nvpmodel/status": "pmode:0003"})) == "0003"


def test_nvpmodel_is_run_only_where_no_file_tells(machine: Machine, tmp_path: Path) -> None:
    modes = values(read(machine("jetson-agx-thor-jp7")), hardware.POWER_MODE)
    assert modes == {("nvpmodel", "MAXN"): 1}
    called = {"/calls.json": json.dumps({"run nvpmodel -q": "NV Power Mode: 7W\n1\n"})}
    root = write(tmp_path, {"/var/lib/nvpmodel/status": "pmode:0000", **called})
    assert values(list(jetson.mode(root)), hardware.POWER_MODE) == {("nvpmodel", "0000"): 1}
    assert {sensor.every for sensor in jetson.PLATFORM.sensors if sensor.name == "mode"} == {60}


@pytest.mark.parametrize(("low", "state"), [("2201600", "on"), ("115200", "off")])
def test_jetson_clocks_is_on_when_every_lowest_clock_is_the_highest(low: str, state: str, tmp_path: Path) -> None:
    policy = "/sys/devices/system/cpu/cpufreq/policy0"
    root = write(tmp_path, {f"{policy}/scaling_min_freq": low, f"{policy}/scaling_max_freq": "2201600"})
    assert values(list(jetson.mode(root)), hardware.POWER_MODE) == {("jetson_clocks", state): 1}


def test_fans_that_hwmon_does_not_show(tmp_path: Path) -> None:
    files = {"/sys/devices/pwm-fan/rpm_measured": "3120", "/sys/devices/pwm-fan/cur_pwm": "102"}
    readings = list(jetson.fan(write(tmp_path, files)))
    assert [reading.value for reading in readings] == [3120, 0.4]


FILES = [(device, entry) for device in devices.DEVICES if "jetson" in device for entry in devices.entries(device)]
FUZZED = [(d, e.path) for d, e in FILES if not (e.target or e.path.endswith("/") or e.path == "/calls.json")]
GARBAGE = st.one_of(
    st.binary(max_size=80),
    st.integers(-(2**70), 2**70).map(lambda n: str(n).encode()),
    st.sampled_from([b"", b"\0", b"\0" * 4096, b"\xff\xfe\xfd", b"nan", b"inf", b"1e400", b"0x1f", b"9" * 5000]),
    st.sampled_from(
        [b"-256000", b"65535", b"18446744073709551615", b"1\n2\n", "٤٢".encode(), b"NC", b"VIN", b"ina238"]
    ),
    st.sampled_from([b"pmode:", b"pmode:99999", b"nvidia,tegra", b"# R (release), REVISION: ", b"gpu\nfan"]),
)


def implausible(reading: Reading) -> bool:
    """Whether no Jetson can mean the number."""
    low, high = BOUNDS.get(reading.metric, (0, 1e18))
    return devices.implausible(reading) or (reading.value is not None and not low <= reading.value <= high)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, devices.Captured]:
    return fuzz.unpacked(tmp_path_factory, {device for device, _ in FILES})


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.sampled_from(FUZZED),
    garbage=GARBAGE,
    fate=st.sampled_from(["write", "write", "vanish", "EIO", "EAGAIN", "EACCES"]),
)
def test_no_contents_of_any_file_raise_or_become_an_implausible_number(
    place: tuple[str, str], garbage: bytes, fate: str, roots: dict[str, devices.Captured]
) -> None:
    """Garbage, a failing read, and a file that vanishes between listing and reading."""
    device, path = place
    readings = fuzz.spoil(roots[device], path, garbage, fate, (jetson.PLATFORM,))
    assert not [reading for reading in readings if implausible(reading)]
