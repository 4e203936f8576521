"""Clocks, throttling and power supply: what fires, and what stays quiet."""

from __future__ import annotations

import pytest

from edgemon import catalog, hardware
from edgemon.doctor import clocks, supply, throttling
from edgemon.metric import Reading
from tests.doctor import bad, captured, made, read, said

CPUFREQ = "/sys/devices/system/cpu/cpufreq/policy0"
JETSON = "== /proc/device-tree/compatible\nnvidia,tegra234\n== /etc/nvpmodel.conf\n< POWER_MODEL ID=0 NAME=MAXN >\n"
GPU = ("gpu0", "gpu", "gpu")
CPU = ("soc/cap", "arm frequency cap", "thermal")
LOW = ("soc/undervoltage", "under-voltage", "undervoltage")
VOLTS = ("pmic/EXT5V", "EXT5V", "pmic")


def governor(name: str, driver: str, more: str = "") -> str:
    """A machine with one policy."""
    return f"== {CPUFREQ}/scaling_governor\n{name}\n== {CPUFREQ}/scaling_driver\n{driver}\n== /proc/stat\n{more}"


@pytest.mark.parametrize(
    ("name", "driver", "severity"),
    [
        ("performance", "cpufreq-dt", "ok"),
        ("powersave", "cpufreq-dt", "warning"),
        ("powersave", "intel_pstate", "note"),
        ("powersave", "amd-pstate-epp", "note"),
        ("ondemand", "cpufreq-dt", "note"),
        ("schedutil", "cpufreq-dt", "note"),
        ("userspace", "cpufreq-dt", "note"),
    ],
)
def test_a_governor_is_as_bad_as_what_it_does_to_the_clock(name: str, driver: str, severity: str) -> None:
    """powersave pins the clock to its lowest, but not where the processor chooses for itself."""
    ((found, what),) = said(clocks.GROUP, made(governor(name, driver)))
    assert (found, f"policy0 is {name}" in what) == (severity, True)


def test_ondemand_is_a_warning_where_the_power_mode_asks_for_performance() -> None:
    text = governor("ondemand", "cpufreq-dt", f"{JETSON}== /var/lib/nvpmodel/status\npmode:0000\n")
    (finding,) = bad(clocks.GROUP, made(text))
    assert "ondemand, though nvpmodel is MAXN" in finding.what
    assert finding.evidence == f"{CPUFREQ}/scaling_governor: ondemand"
    assert "performance" in finding.remedy


def test_policies_with_one_governor_are_one_finding() -> None:
    (finding,) = [what for severity, what in said(clocks.GROUP, captured("rock-5b")) if severity == "note"]
    assert "policy0, policy4, policy6 is ondemand" in finding


def test_a_gpu_held_at_its_lowest_clock_is_found() -> None:
    path = "/sys/class/devfreq/fb000000.gpu/governor"
    (finding,) = bad(clocks.GROUP, made(f"== {path}\npowersave\n"))
    assert "fb000000.gpu is powersave" in finding.what
    assert not bad(clocks.GROUP, made(f"== {path}\nsimple_ondemand\n"))


def limits(allowed: float, most: float) -> tuple[Reading, Reading]:
    """The limits of a GPU."""
    return hardware.FREQUENCY_LIMIT(allowed, *GPU, "throttled"), hardware.FREQUENCY_LIMIT(most, *GPU, "max")


def test_a_cap_is_a_warning_in_a_lower_power_mode_a_note_and_left_to_throttling_when_that_is_why() -> None:
    capped, mode = limits(6e8, 9e8), hardware.POWER_MODE(1, "nvpmodel", "15W")
    assert [severity for severity, _ in said(clocks.GROUP, read(*limits(9e8, 9e8)))] == ["ok"]
    assert said(clocks.GROUP, read(*capped)) == [("warning", "gpu0 may run at 600 of 900 MHz")]
    assert said(clocks.GROUP, read(*capped, mode)) == [("note", "gpu0 may run at 600 of 900 MHz, with power mode 15W")]
    assert said(clocks.GROUP, read(*capped, hardware.THROTTLED(1, "gpu0", "gpu", "thermal"))) == []


@pytest.mark.parametrize(
    ("reading", "severity", "what"),
    [
        (hardware.THROTTLED(1, *CPU), "problem", "is throttled now: thermal"),
        (hardware.THROTTLED(1, "gpu0", "gpu", "software"), "warning", "is held back by software"),
        (hardware.THROTTLED_BOOT(1, *CPU), "warning", "was throttled since boot: thermal"),
        (hardware.THROTTLE_EVENTS(3, "soctherm_oc/oc3", "oc3", "power"), "warning", "counted 3 throttlings: power"),
        (catalog.CPU_THROTTLES(7, "0", "core"), "warning", "core of CPU 0 7 times"),
        (catalog.COOLING_LEVEL(2, "cpufreq-cpu0", "cpufreq-cpu0"), "warning", "cpufreq-cpu0 is at step 2 of 2"),
    ],
)
def test_each_sign_of_throttling_fires_with_its_series_and_a_remedy(reading: Reading, severity: str, what: str) -> None:
    (finding,) = throttling.GROUP.examine(read(reading))
    assert (finding.severity, what in finding.what) == (severity, True)
    assert finding.evidence.startswith(f"{reading.metric.prometheus}{{")
    assert finding.remedy


@pytest.mark.parametrize(
    "reading",
    [
        hardware.THROTTLED(0, *CPU),
        hardware.THROTTLED(1, *LOW),
        hardware.THROTTLED_BOOT(0, *CPU),
        catalog.CPU_THROTTLES(0, "0", "core"),
        catalog.COOLING_LEVEL(3, "pwm-fan", "pwm-fan"),
        catalog.COOLING_LEVEL(0, "cpufreq-cpu0", "cpufreq-cpu0"),
    ],
)
def test_a_clear_flag_a_turning_fan_and_under_voltage_are_no_throttling(reading: Reading) -> None:
    assert not bad(throttling.GROUP, read(reading))


@pytest.mark.parametrize(("value", "fires"), [(79.0, 0), (81.0, 1), (90.0, 1)])
def test_a_temperature_within_five_kelvins_of_its_limit_is_told(value: float, fires: int) -> None:
    heat, limit = catalog.TEMPERATURE(value, "cpu", "cpu", ""), catalog.TEMPERATURE_LIMIT(85, "cpu", "cpu", "throttled")
    assert len(bad(throttling.GROUP, read(heat, limit))) == fires


def test_what_is_throttled_now_is_not_told_again_as_past_or_as_a_cooling_device() -> None:
    """A recorded Jetson AGX Orin in the heat, and a recorded Raspberry Pi 5."""
    (hot, alert, *counted) = bad(throttling.GROUP, captured("jetson-agx-orin-jp6-hot"))
    assert "devfreq-17000000.gpu is throttled now" in hot.what
    assert "gpu-throttle-alert is throttled now" in alert.what
    assert all("counted" in one.what for one in counted)
    now, *past = bad(throttling.GROUP, captured("raspberry-pi-5-hot"))
    assert "soft temperature limit (soc/soft) is throttled now" in now.what
    assert not [one for one in past if "soc/soft" in one.what]


def test_under_voltage_is_a_problem_now_and_a_warning_since_boot() -> None:
    """A recorded Raspberry Pi 3 with a weak supply: two flags each, one finding."""
    now, before = bad(supply.GROUP, captured("raspberry-pi-3"))
    assert (now.severity.value, before.severity.value) == ("problem", "warning")
    assert "too low now (under-voltage, throttling)" in now.what
    assert 'edgemon_throttled{hw_id="soc/undervoltage"' in now.evidence


def test_clear_flags_are_told_as_ok_and_no_flags_as_nothing() -> None:
    assert [severity for severity, _ in said(supply.GROUP, captured("raspberry-pi-5-hot"))] == ["ok"]
    assert said(supply.GROUP, captured("amd-mi50")) == []


@pytest.mark.parametrize(("volts", "severity"), [(5.07, "ok"), (4.75, "ok"), (4.74, "warning")])
def test_the_input_of_a_pi_5_below_4_75_volts_is_a_warning(volts: float, severity: str) -> None:
    ((found, what),) = said(supply.GROUP, read(catalog.VOLTAGE(volts, *VOLTS)))
    assert (found, f"{volts:.2f} V" in what) == (severity, True)


def cells(offered: int, full: int = 0, over: int = 0) -> str:
    """What the firmware of a Pi 5 writes into the device tree, big-endian."""
    names = zip(supply.FILES, (offered, full, over), strict=True)
    raw = ((name, "".join(f"\\x{byte:02x}" for byte in value.to_bytes(4, "big"))) for name, value in names)
    return "".join(f"== /proc/device-tree/chosen/power/{name} \\x\n{text}\n" for name, text in raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (cells(5000), []),
        (cells(0), []),
        (cells(3000), ["note"]),
        (cells(3000, full=1), ["warning"]),
        (cells(5000, over=1), ["warning"]),
        ("== /proc/device-tree/chosen/power/max_current\nab\n", []),
    ],
)
def test_a_supply_that_offers_less_than_5_amperes_and_usb_over_current_are_told(text: str, expected: list[str]) -> None:
    assert [severity for severity, _ in said(supply.GROUP, read(text=text))] == expected


def test_a_battery_that_runs_down_is_a_note_and_a_nearly_empty_one_a_warning() -> None:
    down, low = (
        catalog.SUPPLY_STATE(1, "BAT0", "Battery", "discharging"),
        catalog.BATTERY_CHARGE(0.1, "BAT0", "Battery"),
    )
    assert [severity for severity, _ in said(supply.GROUP, read(down, low))] == ["note", "warning"]
    full = catalog.SUPPLY_STATE(1, "BAT0", "Battery", "full"), catalog.BATTERY_CHARGE(0.9, "BAT0", "Battery")
    assert said(supply.GROUP, read(*full)) == []
