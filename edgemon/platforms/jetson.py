"""NVIDIA Jetson, JetPack 4 to 7 (TX1, Nano, TX2, Xavier, Orin, Thor): through the jtop service, or else kernel files.

The same metrics with the same labels either way; `edgemon.sensor.source.info` tells which. What jtop's sample lacks is
read from files. On a Jetson the platform devfreq stands back. What hwmon reads is not repeated: thermal zones, cooling
levels, pwm fans, volts and amperes of the INA3221, watts of Thor's INA238; the INA3221 itself has no watts. JETPACK is
from developer.nvidia.com/embedded/jetpack-archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from edgemon import catalog, hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sources import jtop
from edgemon.sysfs import Root

GPU = re.compile(r"(.*\.)?(gpu|g[a-z]\d\db)|gpu-gpc-0")
CHIPS = {"tegra210": "gm20b", "tegra186": "gp10b", "tegra194": "gv11b", "tegra234": "ga10b", "tegra264": "gb10b"}
ENGINE = re.compile(r"(ape|dla|pva|vic|ofa|nvjpg|nvenc|nvdec|nvd|msenc)(\d*)(_[a-z0-9_]+)?")
TYPES = {"dla": "dla", "pva": "vision", "vic": "vision", "ofa": "vision", "ape": "audio"}
SECOND = ("15140000.nvdec", "15540000.nvjpg", "15a80000.nvenc")  # tegra194.dtsi, tegra234.dtsi: nvdec1, nvjpg1, nvenc1
DEVFREQ, DEBUG, POLICIES = "/sys/class/devfreq", "/sys/kernel/debug", "/sys/devices/system/cpu/cpufreq/policy*"
RATES = (
    [f"{DEBUG}/bpmp/debug/clk/emc/{name}" for name in ("rate", "min_rate", "max_rate")],
    [f"{DEVFREQ}/bwmgr/{name}_freq" for name in ("cur", "min", "max")],
    [f"{DEBUG}/clk/override.emc/clk_rate", *(f"{DEBUG}/tegra_bwmgr/emc_{end}_rate" for end in ("min", "max"))],
)
ACTIVITY = ("debug/cactmon/mc_all", "debug/bpmp/debug/actmon/mc_all_avg_activity", "actmon_avg_activity/mc_all")
HWMON, IIO = "/sys/class/hwmon/hwmon*/in[123]_label", "/sys/bus/i2c/devices/*/iio:device*/rail_name_*"
CARRIER = ("VDD_IN", "VDD_5V0_IO_SYS", "VDD_3V3_SYS", "VDD_3V3_IO_SLP", "VDD_1V8_IO", "VDD_M2_IN")
PARENTS = dict.fromkeys(CARRIER, ("VDD_MUX",)) | {"VDD_MUX": (), "VDDQ_VDD2_1V8AO": ("VIN_SYS_5V0",)}
JETPACK = dict(re.findall(r"(\S+)=(\S+)", """
    32.1=4.2 32.2=4.2.1 32.2.1=4.2.2 32.2.3=4.2.3 32.3.1=4.3 32.4.3=4.4 32.4.4=4.4.1 32.5=4.5 32.5.1=4.5.1 32.5.2=4.5.1
    32.6.1=4.6 32.7.1=4.6.1 32.7.2=4.6.2 32.7.3=4.6.3 32.7.4=4.6.4 32.7.5=4.6.5 32.7.6=4.6.6 35.1=5.0.2 35.2.1=5.1
    35.3.1=5.1.1 35.4.1=5.1.2 35.5=5.1.3 35.6=5.1.4 35.6.1=5.1.5 35.6.2=5.1.5 36.3=6.0 36.4=6.1 36.4.3=6.2 36.4.4=6.2.1
    36.4.7=6.2.1 38.2=7.0 38.2.1=7.0 38.4=7.1"""))  # fmt: skip


class Clock(NamedTuple):
    """A clock in Hz: now, limits of the hardware, the most allowed now; `on` is None where nobody says."""

    on: bool | None = None
    now: float | None = None
    low: float | None = None
    high: float | None = None
    allowed: float | None = None


def detect(root: Root) -> bool:
    """A device tree of a Tegra, or NVIDIA's release file."""
    return bool(soc(root)) or root.exists("/etc/nv_tegra_release")


def soc(root: Root) -> str:
    """/proc/device-tree/compatible: tegra210 (Nano, TX1), 186 (TX2), 194 (Xavier), 234 (Orin), 264 (Thor)."""
    found = re.search(r"nvidia,(tegra[0-9]{2,4})\b", root.fixed("/proc/device-tree/compatible") or "")
    return found[1] if found else ""


def service(root: Root, key: str) -> Any:
    """One part of jtop's last sample, in base units, {} without one; see `edgemon.sources.jtop.shape`."""
    return (root.call("edgemon.sources.jtop.latest") or {}).get(key, {})


def number(root: Root, path: str, per: float, low: float, high: float) -> float | None:
    """The number in a file in base units, each `per` raw ones; an implausible one is counted."""
    raw = root.number(path)
    if raw is None or low <= raw / per <= high:
        return None if raw is None else raw / per
    root.errors["implausible"] += 1
    return None


def hertz(value: float | None) -> float | None:
    """A clock or a limit; no Jetson's is below 10 MHz, and 0 and 2^64-1 say that there is no limit."""
    return value if value is not None and 1e7 <= value <= 1e11 else None


def title(root: Root, path: str) -> str:
    """A name as the kernel gives it, if it can be shown; 64 characters are enough for any."""
    text = root.fixed(path) or ""
    return text[:64] if text.isprintable() else ""


def told(sensor: str, theirs: object, readings: Iterable[Reading]) -> Iterator[Reading]:
    """The readings, and where they came from if there are any."""
    taken = [reading for reading in readings if reading.value is not None]
    yield from taken
    if taken:
        yield hardware.SENSOR_SOURCE(1, "jetson", sensor, "jtop" if theirs else "sysfs")


def clock(given: Clock, *labels: str) -> Iterator[Reading]:
    """Readings of a clock; one that is off has no frequency."""
    if given.on is not None:
        yield hardware.ACCELERATOR_STATE(float(given.on), *labels, "ok")
        yield hardware.ACCELERATOR_STATE(float(not given.on), *labels, "off")
    yield hardware.FREQUENCY(None if given.on is False else given.now, *labels)
    held = given.allowed if not given.high or (given.allowed or given.high) < given.high else None
    for kind, value in (("min", given.low), ("max", given.high), ("throttled", held)):
        yield hardware.FREQUENCY_LIMIT(value, *labels, kind)


def devfreq(root: Root, folder: str) -> Clock:
    """devfreq/*/{cur,max}_freq, Hz (Documentation/ABI/testing/sysfs-class-devfreq); the table is the hardware's."""
    words = (root.fixed(f"{folder}/available_frequencies") or "").split()
    steps = [step for word in words if word.isdecimal() and (step := hertz(float(word)))]
    now, allowed = number(root, f"{folder}/cur_freq", 1, 1e7, 1e11), hertz(root.number(f"{folder}/max_freq"))
    return Clock(None, now, min(steps, default=None), max(steps, default=None), allowed)


def graphics(root: Root) -> tuple[str, str]:
    """Path and name of the GPU in devfreq: 57000000.gpu, 17000000.{gp10b,gv11b,ga10b,gpu}, on Thor gpu-gpc-0."""
    paths = ((path, path.rpartition("/")[2]) for path in root.glob(f"{DEVFREQ}/*"))
    return next((one for one in paths if GPU.fullmatch(one[1])), (f"{DEVFREQ}/none", "gpu"))


def gpu(root: Root) -> Iterator[Reading]:
    """GPU load and clock: jtop's, or `load` of the device, 0..1000 (nvgpu; Thor has NVML instead), and devfreq."""
    (path, name), theirs = graphics(root), service(root, "gpu")
    labels, load = (name, name.rpartition(".")[2], "gpu"), theirs.get("load")
    if load is None and root.exists(f"{path}/device/load"):
        load = number(root, f"{path}/device/load", 1000, 0, 1)
    given = devfreq(root, path)._replace(**theirs.get("clock", {}))
    return told("gpu", theirs, (hardware.UTILIZATION(load, *labels), *clock(given, *labels)))


def engines(root: Root) -> Iterator[Reading]:
    """Clocks of DLA, PVA, VIC, NVENC, NVDEC, NVJPG, OFA, APE: jtop's engines, the clock tree (root), or devfreq (Orin).

    They tell whether an engine has a clock, not how busy it is; as in jtop, a clock that has a rate is on.
    """
    theirs, readings = service(root, "engines"), list[Reading]()
    found = {name: Clock(**one) for name, one in theirs.items()} or tree(root) or hosted(root)
    for name, given in found.items():
        if match := ENGINE.fullmatch(name):
            readings += clock(given, name, (match[1] + match[2]).upper(), TYPES.get(match[1], "codec"))
    return told("engines", theirs, readings)


def tree(root: Root) -> dict[str, Clock]:
    """debug/clk/*/clk_{rate,enable_count,min_rate,max_rate}, Hz (drivers/clk/clk.c)."""
    found = {}
    for path in root.glob(f"{DEBUG}/clk/*"):
        if ENGINE.fullmatch(name := path.rpartition("/")[2]):
            now, users = hertz(root.number(f"{path}/clk_rate")), root.number(f"{path}/clk_enable_count")
            ends = [hertz(root.fixed_number(f"{path}/clk_{end}_rate")) for end in ("min", "max")]
            found[name] = Clock(None if users is None else bool(users or now), now, *ends)
    return found


def hosted(root: Root) -> dict[str, Clock]:
    """devfreq/*, by the clock tree's name: 15480000.nvdec is nvdec, 15540000.nvjpg nvjpg1, Thor's gpu-nvd-0 nvd0."""
    places = [(path, path.rpartition("/")[2]) for path in root.glob(f"{DEVFREQ}/*")]
    names = {end.rpartition(".")[2].replace("gpu-nvd-", "nvd") + "1" * (end in SECOND): path for path, end in places}
    return {name: devfreq(root, path) for name, path in names.items() if ENGINE.fullmatch(name)}


def memory(root: Root) -> Iterator[Reading]:
    """The memory controller: jtop's EMC, or debugfs (root; activity is kHz times percent), or Thor's devfreq."""
    labels, theirs = ("emc", "EMC", "memory"), service(root, "emc")
    paths: list[str] = next((paths for paths in RATES if root.exists(paths[0])), [])
    now, low, high = [hertz(root.number(path)) for path in paths] or [None] * 3
    load, path = theirs.get("load"), next((p for name in ACTIVITY if root.exists(p := f"/sys/kernel/{name}")), "")
    if load is None and path and now:
        load = number(root, path, now / 10, 0, 1)
    given = Clock(None, now, low, high)._replace(**theirs.get("clock", {}))
    return told("memory", theirs, (hardware.UTILIZATION(load, *labels), *clock(given, *labels)))


def rails(root: Root) -> Iterator[Reading]:
    """Power of each rail, known by its name: jtop's, or the INA3221's, hwmon*/{in,curr}[123]_input, mV and mA.

    L4T 32's own driver shows hwmon nothing, so V and A too: iio:device*/in_{voltage,current,power}N_input, mV, mA, mW.
    """
    theirs, whole = service(root, "rails"), system(root)
    old = list(sensed(root, IIO, "in_voltage", "in_current", "in_power"))
    found = {name: watts for name, watts in theirs.items() if not root.exists(f"/sys/class/power_supply/{name}")}
    found = found or {name: watts for name, _, _, watts in (*old, *sensed(root, HWMON, "in", "curr"))}
    names = [name for name in found if not (whole and name == "VIN")]
    readings = [catalog.POWER(found[name], name, name, parent(name, names) or whole) for name in names]
    yield from told("rails", theirs, readings)
    for name, volts, amperes, _ in old:
        yield from (catalog.VOLTAGE(volts, name, name, ""), catalog.CURRENT(amperes, name, name, ""))


def sensed(root: Root, pattern: str, *kinds: str) -> Iterator[tuple[str, float | None, float | None, float | None]]:
    """Name, V, A and W of rails that are connected (not NC) and under voltage (Documentation/hwmon/ina3221.rst)."""
    for path in root.glob(pattern):
        (place, _, file), name = path.rpartition("/"), title(root, path)
        if name not in {"", "NC"} and (kinds[0] != "in" or root.fixed(f"{place}/name") == "ina3221"):
            files = [f"{place}/{kind}{re.sub('[^0-9]', '', file)}_input" for kind in kinds]
            volts, amperes, *power = (number(root, at, 1000, -100, 1000) if root.exists(at) else None for at in files)
            watts = power[0] if power else None if volts is None or amperes is None else round(volts * amperes, 6)
            if watts if volts is None else volts:
                yield name, volts, amperes, watts


def parent(name: str, names: list[str]) -> str:
    """The measured rail that contains this one.

    VDD_IN and POM_5V_IN are a module's input (NVIDIA, forum 73608), VDD_MUX that of the TX2's carrier. AGX Xavier and
    AGX Orin measure no input: their rails add up, but for VDDQ_VDD2_1V8AO, which hangs on VIN_SYS_5V0.
    """
    return next((one for one in PARENTS.get(name, ("VDD_IN", "POM_5V_IN")) if one in names and one != name), "")


def system(root: Root) -> str:
    """hwmon's name for the power of the INA238, the input of Thor's carrier, which every rail is part of."""
    chips = [path for path in root.glob("/sys/class/hwmon/hwmon*/name") if root.fixed(path) == "ina238"]
    return f"ina238-{root.link(f'{chips[0][:-5]}/device').rpartition('/')[2]}/power1" if chips else ""


def throttle(root: Root) -> Iterator[Reading]:
    """Events, cooling at work, and clocks held below what the hardware can do (cpufreq/policy*/*_max_freq, kHz).

    soctherm_oc's ocN_event_cnt: under-voltage is oc1 (Orin, Thor; NVIDIA's guide) or oc2 (Xavier; forum 307919).
    """
    for path in root.glob("/sys/class/hwmon/hwmon*/oc*_event_cnt"):
        name = path.rpartition("/")[2][:-10]
        cause = "undervoltage" if name == ("oc2" if soc(root) == "tegra194" else "oc1") else "power"
        yield hardware.THROTTLE_EVENTS(number(root, path, 1, 0, 2**32), f"soctherm_oc/{name}", name, cause)
    (path, name), hot = graphics(root), cooling(root)
    given = devfreq(root, path)
    caps = [(name, given.allowed, given.high)]
    for path in root.glob(POLICIES):
        most = root.fixed_number(f"{path}/cpuinfo_max_freq")
        caps.append((path.rpartition("/")[2], root.number(f"{path}/scaling_max_freq"), most))
    yield from (hardware.THROTTLED(float(active), kind, kind, "thermal") for kind, active in hot.items())
    for name, allowed, most in caps:
        heat = any(active and ("cpu" if name.startswith("policy") else "gpu") in kind for kind, active in hot.items())
        if allowed and most:
            yield hardware.THROTTLED(float(allowed < most and not heat), name, name.rpartition(".")[2], "software")


def cooling(root: Root) -> dict[str, bool]:
    """thermal/cooling_device*/{type,cur_state}, by type: whether it slows something down, which fans do not.

    cpufreq-cpu0, devfreq-17000000.gpu, cpu-throttle-alert (JetPack 5 to 7), gpu-balanced (4); hot-surface-alert warns.
    """
    found: dict[str, bool] = {}
    for path in root.glob("/sys/class/thermal/cooling_device*"):
        kind = title(root, f"{path}/type")
        if "fan" not in kind and kind not in {"", "hot-surface-alert"}:
            level = number(root, f"{path}/cur_state", 1, 0, 65_534)
            found |= {} if level is None else {kind: found.get(kind, False) or level > 0}
    return found


def mode(root: Root) -> Iterator[Reading]:
    """Power mode and jetson_clocks: jtop's, or nvpmodel's files, or `nvpmodel -q` (`NV Power Mode: MAXN`) without them.

    jetson_clocks sets the lowest clock of each CPU to the highest: that is how it is known without jtop.
    """
    theirs, clocks = service(root, "mode"), service(root, "clocks")
    name = theirs or stored(root) or (re.findall(r"Mode: (\S{1,64})", root.run("nvpmodel", "-q") or "") or [""])[0]
    if clocks == {}:
        ends = [[root.number(f"{path}/scaling_{end}_freq") for end in ("min", "max")] for path in root.glob(POLICIES)]
        clocks = all(low == high for low, high in ends) if ends and all(map(all, ends)) else None
    modes = {"nvpmodel": name, "jetson_clocks": {True: "on", False: "off"}.get(clocks, "")}
    return told("mode", theirs, [hardware.POWER_MODE(1, part, said) for part, said in modes.items() if said])


def stored(root: Root) -> str:
    """/var/lib/nvpmodel/status, `pmode:0002`, and its name in /etc/nvpmodel.conf: `< POWER_MODEL ID=2 NAME=15W >`."""
    found = re.search(r"pmode:([0-9]{4})\b", root.text("/var/lib/nvpmodel/status") or "")
    text = root.fixed("/etc/nvpmodel.conf") or "" if found else ""
    names = dict(re.findall(r"POWER_MODEL +ID=([0-9]+) +NAME=(\S{1,64})", text))
    return str(names.get(str(int(found[1])), found[1])) if found else ""


def board(root: Root) -> Iterator[Reading]:
    """Device tree and /etc/nv_tegra_release (`# R36 (release), REVISION: 4.3, ...`), or jtop's board in a container."""
    theirs, text = service(root, "board"), root.fixed("/etc/nv_tegra_release") or ""
    found = re.search(r"R([0-9]+) \(release\), REVISION: ([0-9.]+)", text)
    release = f"{found[1]}.{found[2]}" if found else theirs.get("L4T", "")
    pack = JETPACK.get(release.removesuffix(".0"))
    said = f"L4T {release} (JetPack {pack})" if pack else f"L4T {release}" if release else ""
    model, name = title(root, "/proc/device-tree/model") or theirs.get("Model", ""), graphics(root)[1]
    labels = (model, soc(root) or theirs.get("SoC", ""), said)
    accelerator = (name, name.rpartition(".")[2], "gpu", "NVIDIA", CHIPS.get(labels[1], ""), "", "")
    known = [hardware.BOARD_INFO(1, *labels), hardware.ACCELERATOR_INFO(1, *accelerator)] if any(labels) else []
    return told("board", {} if found else theirs, known)


def fan(root: Root) -> Iterator[Reading]:
    """What hwmon does not know: `rpm` of the chip pwm_tach (JetPack 5 to 7), /sys/devices/pwm-fan (4; 0..255, rpm)."""
    for path in (*root.glob("/sys/class/hwmon/hwmon*/rpm"), *root.glob("/sys/devices/pwm-fan/rpm_measured")):
        name = root.link(f"{path.rpartition('/')[0]}/device").rpartition("/")[2].replace("device", "fan")
        yield catalog.FAN_SPEED(number(root, path, 1, 0, 50_000), name, "fan", "")
    for path in root.glob("/sys/devices/pwm-fan/cur_pwm"):
        yield catalog.FAN_RATIO(number(root, path, 255, 0, 1), "fan", "fan", "")


ALL = ((gpu, 0), (engines, 5), (memory, 0), (rails, 0, 0.1), (throttle, 0), (mode, 60), (board, 60), (fan, 0))
PLATFORM = Platform("jetson", detect, tuple(Sensor(one.__name__, one, *often) for one, *often in ALL), jtop.REMEDIES)
