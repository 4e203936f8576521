"""Intel: the NPU of Core Ultra (intel_vpu), integrated and Arc GPUs (i915, xe), Movidius Myriad X on USB; from sysfs.

RAPL, and the temperatures, power and fans of Arc cards, are hwmon's and read there. hw.id is the PCI address, or the
USB port. A GPU that is suspended is `off` and left asleep: reading its clock or its limits would wake it.

The utilisation of a GPU is what its clients' engines did (`edgemon.sources.drm`), which only root or CAP_SYS_PTRACE may
see; the i915 and xe PMU want CAP_PERFMON. RC6 residency, which anybody may read, is not its complement: in a recording
of intel_gpu_top the GPU is out of RC6 for 55 % of a second of which it renders 12 % and decodes 5 %. `drm` reads other
drivers as well, but amdgpu's gpu_busy_percent, v3d's gpu_stats and the files of NPUs are better: whole, and for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from edgemon import hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

NPUS = {
    "8086:7D1D": "Meteor Lake",
    "8086:AD1D": "Arrow Lake",
    "8086:643E": "Lunar Lake",
    "8086:B03E": "Panther Lake",
}
"""drivers/accel/ivpu/ivpu_drv.h."""
MYRIADS = {"2485": "unready", "f63b": "ok"}
"""USB product ids of vendor 03e7 (97-myriad-usbboot.rules of OpenVINO): waiting for its firmware, and running it."""
REASONS = {
    "thermal": "thermal soc_thermal mem_thermal vr_thermal soc_avg_thermal vr_thermalert ratl",
    "power": "pl1 pl2 pl4 psys_pl1 psys_pl2 psys_crit vr_tdc iccmax fastvmode",
    "hardware": "prochot p0_freq",
}
"""Why a GT is slowed down, by cause. RATL is a running average of the temperature; vr_tdc, iccmax and fastvmode are
currents; PROCHOT is a pin that the board pulls for heat or for want of power."""
I915, XE = ("act", "max", "RPn", "RP0"), ("act", "max", "rpn", "rp0")
ENGINES = {
    "gpu": {"render", "compute", "copy", "rcs", "ccs", "bcs"},
    "codec": {"video", "video-enhance", "vcs", "vecs"},
}
"""Engine classes of i915 (drivers/gpu/drm/i915/i915_drm_client.c) and xe (xe_drm_client.c) by hw.type of their GT."""
CAUSE = {reason: cause for cause, reasons in REASONS.items() for reason in reasons.split()}


class Device(NamedTuple):
    """Where a device is in sysfs, its driver, its PCI address, and its vendor and device id."""

    path: str
    driver: str
    ident: str
    model: str


class Clock(NamedTuple):
    """A GT of a GPU: its labels, and its files.

    The clock of now, what is allowed, the least and the most are `stem` + one of `names` + `end`. `throttle` is how
    the files begin that tell why it is held down, and how the status and the reasons among them go on.
    """

    labels: tuple[str, str, str]
    stem: str
    end: str
    names: tuple[str, str, str, str]
    throttle: tuple[str, str, str] | None = None

    def file(self, index: int) -> str:
        """Now, allowed, least, most."""
        return self.stem + self.names[index] + self.end


def devices(root: Root, pattern: str, *drivers: str) -> Iterator[Device]:
    """The devices of a class that one of the drivers holds; connectors (`card0-DP-1`) are no devices."""
    for path in root.glob(pattern):
        lines = (root.fixed(f"{path}/device/uevent") or "").splitlines()
        facts = dict(line.split("=", 1) for line in lines if "=" in line and line.isprintable())
        driver = facts.get("DRIVER", "")
        if driver in drivers and "-" not in path.rpartition("/")[2]:
            ident = facts.get("PCI_SLOT_NAME") or path.rpartition("/")[2]
            yield Device(path, driver, ident[:64], facts.get("PCI_ID", "")[:16])


def npus(root: Root) -> list[Device]:
    """/sys/class/accel/accel*."""
    return list(devices(root, "/sys/class/accel/accel*", "intel_vpu"))


def gpus(root: Root) -> list[Device]:
    """/sys/class/drm/card*."""
    return list(devices(root, "/sys/class/drm/card*", "i915", "xe"))


def myriads(root: Root) -> list[tuple[str, str]]:
    """USB port and product id of each Myriad X: /sys/bus/usb/devices/*/{idVendor,idProduct}."""
    found = []
    for path in root.glob("/sys/bus/usb/devices/*/idVendor"):
        product = root.fixed(f"{path[:-8]}idProduct") if root.fixed(path) == "03e7" else None
        if product in MYRIADS:
            found.append((path.split("/")[5], product))
    return found


def detect(root: Root) -> bool:
    """An NPU or a GPU with its driver, or a Myriad."""
    return bool(npus(root) or gpus(root) or myriads(root))


def plausible(root: Root, raw: float | None, per: float, most: float) -> float | None:
    """The value in base units; an implausible one is counted."""
    if raw is None or 0 <= raw / per <= most:
        return None if raw is None else raw / per
    root.errors["implausible"] += 1
    return None


def hertz(root: Root, raw: float | None) -> float | None:
    """MHz as Hz. 0 is what the drivers write for a clock that is off or was not looked at: it is absent."""
    return plausible(root, raw, 1e-6, 1e11) or None


def npu(root: Root) -> Iterator[Reading]:
    """accel*/device/npu_{busy_time_us,memory_utilization,{current,max}_frequency_mhz}: µs, bytes, MHz (ivpu_sysfs.c).

    Busy is the time with jobs in the firmware. Older kernels have that file only. Reading wakes nothing.
    The driver asks for one read a second at most, since it takes the lock that jobs are submitted under: `every` 1.
    """
    for device in npus(root):
        labels, files = (device.ident, "Intel NPU", "npu"), f"{device.path}/device/npu_"
        yield hardware.BUSY_TIME(plausible(root, root.number(f"{files}busy_time_us"), 1e6, 1e10), *labels)
        yield hardware.MEMORY_USAGE(plausible(root, root.number(f"{files}memory_utilization"), 1, 1e15), *labels)
        yield hardware.FREQUENCY(hertz(root, root.number(f"{files}current_frequency_mhz")), *labels)
        yield hardware.FREQUENCY_LIMIT(hertz(root, root.fixed_number(f"{files}max_frequency_mhz")), *labels, "max")


def clocks(root: Root, device: Device) -> Iterator[Clock]:
    """The GTs of a GPU: the first bears the card's identity, the second of Meteor Lake and later is the media engine.

    i915: card*/gt/gt*/rps_{act,max,RPn,RP0}_freq_mhz, throttle_reason_* (intel_gt_sysfs_pm.c); on old kernels
    card*/gt_{act,max,RPn,RP0}_freq_mhz, the highest over the GTs. xe: device/tile*/gt*/freq0/{act,max,rpn,rp0}_freq,
    freq0/throttle/{status,reason_*} (xe_gt_freq.c, xe_gt_throttle.c).
    """
    if device.driver == "xe":
        for place in root.glob(f"{device.path}/device/tile*/gt*/freq0"):
            gt = place[: -len("/freq0")].rpartition("/device/")[2]
            media = (root.fixed(f"{place[:-5]}gtidle/name") or "").endswith("-mc")
            throttle = (f"{place}/throttle/", "status", "reason_")
            yield Clock(labels(device, gt, "tile0/gt0", media), f"{place}/", "_freq", XE, throttle)
        return
    places = root.glob(f"{device.path}/gt/gt*")
    for place in places:
        gt = place.rpartition("/")[2]
        throttle = (f"{place}/throttle_reason_", "status", "")
        yield Clock(labels(device, gt, "gt0", gt != "gt0"), f"{place}/rps_", "_freq_mhz", I915, throttle)
    if not places:
        yield Clock(labels(device, "", "", False), f"{device.path}/gt_", "_freq_mhz", I915)


def labels(device: Device, gt: str, first: str, media: bool) -> tuple[str, str, str]:
    """hw.id, hw.name and hw.type of a GT."""
    ident, name = (device.ident, "Intel GPU") if gt == first else (f"{device.ident}/{gt}", f"Intel GPU {gt}")
    return ident, name, "codec" if media else "gpu"


def gpu(root: Root) -> Iterator[Reading]:
    """Clock now and its limits, MHz, and why it is held down, of every GT of every GPU that is awake."""
    for device in gpus(root):
        if not root.asleep(f"{device.path}/device"):
            for clock in clocks(root, device):
                yield from readings(root, clock)


def readings(root: Root, clock: Clock) -> Iterator[Reading]:
    """One GT. A cap below the hardware's maximum is one that somebody set: cause `software`."""
    cap, most = hertz(root, root.number(clock.file(1))), hertz(root, root.fixed_number(clock.file(3)))
    yield hardware.FREQUENCY(hertz(root, root.number(clock.file(0))), *clock.labels)
    yield hardware.FREQUENCY_LIMIT(hertz(root, root.fixed_number(clock.file(2))), *clock.labels, "min")
    yield hardware.FREQUENCY_LIMIT(most, *clock.labels, "max")
    yield hardware.FREQUENCY_LIMIT(cap, *clock.labels, "throttled")
    causes = throttled(root, clock)
    if cap is not None and most is not None:
        causes["software"] = cap < most
    for cause, on in causes.items():
        yield hardware.THROTTLED(float(on), *clock.labels[:2], cause)


def throttled(root: Root, clock: Clock) -> dict[str, bool]:
    """Causes by name: one read while nothing limits the clock, one a reason while something does.

    A status without a reason that is known is the hardware's own. Old kernels and early GPUs have no such files.
    """
    if clock.throttle is None or (status := root.text(clock.throttle[0] + clock.throttle[1])) is None:
        return {}
    if status not in {"0", "1"}:
        root.errors["unparsable"] += 1
        return {}
    prefix = clock.throttle[0] + clock.throttle[2]
    files = [file for file in root.glob(f"{prefix}*") if not file.endswith("status")] if status == "1" else []
    on = {CAUSE.get(file[len(prefix) :], "hardware") for file in files if root.text(file) == "1"}
    found = on or ({"hardware"} if status == "1" else set())
    return {cause: cause in found for cause in REASONS}


def busy(root: Root) -> Iterator[Reading]:
    """/proc/*/fdinfo/*: of each GT the share of time, and the time in s, that its busiest engine worked.

    A GPU without a GT of its own for media has its engines all the same, as `<PCI address>/media`.
    """
    awake = {device.ident: device for device in gpus(root) if not root.asleep(f"{device.path}/device")}
    answer = root.call("edgemon.sources.drm.engines", devices=sorted(awake)) if awake else None
    for row in answer if isinstance(answer, list) else ():
        device = awake.get(str(row.get("id"))) if isinstance(row, dict) else None
        if device:
            gts = {clock.labels[2]: clock.labels for clock in reversed(list(clocks(root, device)))}
            for kind, (seconds, share) in worked(row).items():
                where = gts.get(kind) or (f"{device.ident}/media", "Intel GPU media", kind)
                yield hardware.BUSY_TIME(seconds, *where)
                yield hardware.UTILIZATION(share, *where)


def worked(row: dict[str, Any]) -> dict[str, tuple[float | None, float | None]]:
    """Seconds and share of the busiest engine of each kind; without a client no engine works.

    A client without engines is one of a kernel that does not count (i915 before 5.19): nothing is known then.
    """
    engines = [one for one in part(row.get("engines")).items() if isinstance(one[1], dict)]
    if not engines:
        idle = row.get("clients") == 0 and row.get("complete") is True
        return dict.fromkeys(ENGINES, (0.0, 0.0)) if idle else {}
    found = {}
    for kind, names in ENGINES.items():
        mine = [facts for name, facts in engines if name in names]
        found[kind] = (most(mine, "busy", 1e10), most(mine, "utilization", 1.0))
    return found


def part(value: object) -> dict[str, Any]:
    """A mapping; what is none is empty."""
    return value if isinstance(value, dict) else {}


def most(engines: list[dict[str, Any]], key: str, bound: float) -> float | None:
    """The highest number among engines that hardware can mean."""
    found = [one.get(key) for one in engines]
    values = [float(value) for value in found if isinstance(value, (int, float)) and 0 <= value <= bound]
    return max(values, default=None)


def state(root: Root) -> Iterator[Reading]:
    """Which accelerators there are; an in-tree driver has no version but the kernel's, so its name stands there.

    The NPU sleeps whenever it has no work, which is no fault. A Myriad is `unready` until a program boots it, and only
    OpenVINO up to 2022.3 does; booted, it comes back under another id, at times on another port.
    """
    for device in npus(root):
        model = NPUS.get(device.model, device.model)
        yield from present((device.ident, "Intel NPU", "npu"), model, device.driver, {"ok": True})
    for device in gpus(root):
        off = root.asleep(f"{device.path}/device")
        for clock in clocks(root, device):
            yield from present(clock.labels, device.model, device.driver, {"ok": not off, "off": off})
    for port, product in myriads(root):
        states = {condition: condition == MYRIADS[product] for condition in ("ok", "unready")}
        yield from present((f"usb-{port}", "Myriad X", "vision"), f"03e7:{product}", "", states)


def present(labels: tuple[str, str, str], model: str, driver: str, states: dict[str, bool]) -> Iterator[Reading]:
    """Identity and state of one accelerator."""
    yield hardware.ACCELERATOR_INFO(1.0, *labels, "Intel", model, driver, "")
    for condition, on in states.items():
        yield hardware.ACCELERATOR_STATE(float(on), *labels, condition)


PLATFORM = Platform(
    "intel",
    detect,
    (
        Sensor("npu", npu, every=1),
        Sensor("gpu", gpu),
        Sensor("busy", busy, every=10),
        Sensor("state", state, every=10),
    ),
    {
        "unready": "nothing, until a program boots it: OpenVINO up to 2022.3 does, later ones do not know it",
        "busy denied": "what other processes do on the GPU may be read by root only, or with CAP_SYS_PTRACE "
        "(under systemd AmbientCapabilities=CAP_SYS_PTRACE), and not in a container without --pid=host",
    },
)
