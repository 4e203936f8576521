"""Raspberry Pi: the firmware's throttle flags, PMIC rails of the Pi 5, clocks, V3D load, board.

Temperature, fan and cooling are kernel classes and left to hwmon. The firmware is asked for the rest through its device
node (`edgemon.sources.vcio`): /dev/vcio_gencmd on kernels that have it, else /dev/vcio. That needs no root but group
`video`. Where there is neither, `vcgencmd` is run, which knows /dev/vchiq of old systems: a fork costs 2 to 10 ms on
these boards, so it runs every 10 s at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemon import catalog, hardware
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

NODES = ("/dev/vcio_gencmd", "/dev/vcio", "/dev/vchiq")
NOBODY = "neither /dev/vcio nor vcgencmd is here: in a container --device /dev/vcio, else apt install raspi-utils"
REFUSED = ("Can't open device file", "VCHI initialization failed")
PATIENCE = 0.5
"""Seconds one answer of the firmware may take; usual are 2 ms, and the sensor is abandoned after 1 s."""

MODEL = re.compile(r"^Model\s*: (.+)$", re.MULTILINE)
SOC = re.compile(r"brcm,(bcm\d{4})\b")
PART = re.compile(r"brcm,([\w-]{1,32})", re.ASCII)
RELEASE = re.compile(r"^Raspberry Pi reference (\d{4}-\d\d-\d\d)$", re.MULTILINE)
BITS = re.compile(r"(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})")
HERTZ = re.compile(r"frequency\(\d{1,3}\)=(\d{1,12})")
VOLTS = re.compile(r"volt=(\d{1,3}\.\d{1,9})V")
RAIL = re.compile(r"^ *(\w{1,16})_([AV]) (?:current|volt)\(\d{1,3}\)=(\d{1,3}\.\d{1,9})\2$", re.MULTILINE | re.ASCII)
QUEUE = re.compile(r"^([a-z_]{1,16})[\t ]+(\d{1,19})[\t ]+\d{1,19}[\t ]+(\d{1,19})$", re.MULTILINE)

FLAGS = "/sys/devices/platform/soc*/soc*:firmware/get_throttled"
V3D = ("v3d", "v3d", "gpu")
CLOCKS = (("core", "gpu"), V3D[1:], ("isp", "vision"), ("h264", "codec"))
UNMETERED = frozenset({"EXT5V", "BATT"})
UNDERVOLTAGE = ("soc/undervoltage", "under-voltage", "undervoltage")
SEEN: dict[tuple[str, str], tuple[int, int]] = {}
"""Time and busy time of each V3D queue at the last pass, by root and queue: utilisation is a difference."""


def shown(text: str | None) -> str:
    """A text that can be a label, or nothing; 64 characters are enough for any."""
    return text[:64] if text and text.isprintable() else ""


def model(root: Root) -> str:
    """The board, with its revision: `Raspberry Pi 4 Model B Rev 1.1`.

    /proc/device-tree/model; in a container that hides /sys/firmware, as Docker does, the line that Raspberry Pi's
    kernel puts into /proc/cpuinfo.
    """
    found = MODEL.search(root.fixed("/proc/cpuinfo") or "")
    return shown(root.fixed("/proc/device-tree/model")) or shown(found[1] if found else "")


def compatible(root: Root) -> str:
    """/proc/device-tree/compatible, names from the board to the SoC: raspberrypi,5-model-b brcm,bcm2712."""
    return root.fixed("/proc/device-tree/compatible") or ""


def soc(root: Root) -> str:
    """bcm2835 to bcm2837, bcm2711 or bcm2712."""
    found = SOC.search(compatible(root))
    return found[1] if found else ""


def detect(root: Root) -> bool:
    """A board of Raspberry Pi's, or another maker's around a Compute Module."""
    return "raspberrypi," in compatible(root) or model(root).startswith("Raspberry Pi")


def ask(root: Root, *words: str) -> tuple[str | None, str]:
    """What the firmware answers, or None, also to what it does not know (`error=1`); and who asked: vcio, vcgencmd."""
    before = root.errors.total()
    answer, source = root.call("edgemon.sources.vcio.ask", command=" ".join(words)), "vcio"
    if answer is None and root.errors.total() == before:
        answer, source = program(root, *words), "vcgencmd"
    known = isinstance(answer, str) and not answer.startswith("error=")
    return answer.strip(" \t\r\n\0") if known else None, source


def program(root: Root, *words: str) -> str | None:
    """What vcgencmd prints, or None. When it fails, its device node is opened as it does itself: EACCES is `denied`."""
    answer = root.run("vcgencmd", *words, timeout=PATIENCE)
    if answer is None or answer.startswith(REFUSED):
        for node in list(filter(root.exists, NODES))[:1]:  # the first: /dev/vcio is root's where vcio_gencmd is
            root.text(node)
        return None
    return answer


def within(root: Root, value: float, low: float, high: float) -> float | None:
    """The value, or None and counted when hardware cannot mean it."""
    if low <= value <= high:
        return value
    root.errors["implausible"] += 1
    return None


def identity(root: Root) -> Iterator[Reading]:
    """/proc/device-tree, /etc/rpi-issue (`Raspberry Pi reference 2024-10-22`, the image), and the V3D GPU.

    The V3D is /sys/bus/platform/devices/*.v3d: 1002000000.v3d (Pi 5), fec00000.v3d (Pi 4), 3fc00000.v3d (Pi 2, 3).
    """
    release = RELEASE.search(root.fixed("/etc/rpi-issue") or "")
    yield hardware.BOARD_INFO(1.0, model(root), soc(root), release[1] if release else "")
    for path in root.glob("/sys/bus/platform/devices/*.v3d")[:1]:
        part = PART.search(root.fixed(f"{path}/of_node/compatible") or "")
        yield hardware.ACCELERATOR_INFO(1.0, *V3D, "Broadcom", part[1] if part else "", "", "")


def alarm(root: Root) -> str:
    """The under-voltage alarm of raspberrypi-hwmon (chip `rpi_volt`), or nothing."""
    paths = root.glob("/sys/class/hwmon/hwmon*/in0_lcrit_alarm")
    return next((path for path in paths if root.fixed(path.replace("in0_lcrit_alarm", "name")) == "rpi_volt"), "")


def undervoltage(root: Root) -> Iterator[Reading]:
    """/sys/class/hwmon/hwmon*/in0_lcrit_alarm of rpi_volt, 0 or 1 (drivers/hwmon/raspberrypi-hwmon.c, since 4.19).

    The supply fell below 4.63 V within the last 2 s, the driver's interval. Anybody may read it.
    """
    path = alarm(root)
    value = root.number(path) if path else None
    if value is not None:
        yield hardware.THROTTLED(value if value in {0, 1} else within(root, value, 0, 0), *UNDERVOLTAGE)


def bits(root: Root, text: str | None) -> int | None:
    """The flags in `throttled=0x50005` (vcgencmd) or `50005` (kernel); more than 20 bits are none."""
    if text is None:
        return None
    found = BITS.fullmatch(text)
    if found and int(found[1], 16) < 1 << 20:
        return int(found[1], 16)
    root.errors["unparsable" if text else "empty"] += 1
    return None


def cached(root: Root) -> int | None:
    """/sys/devices/platform/soc*/soc*:firmware/get_throttled, hex without 0x: what raspberrypi-hwmon saw last.

    The last resort. Only Raspberry Pi's own kernel has it. Its first reader since boot puts a warning with a stack
    trace into the kernel log (`deprecated, use hwmon sysfs instead`, 4.19 to 6.x), a crash where panic_on_warn is set.
    Without the hwmon driver it is as old as the boot.
    """
    if not alarm(root) or root.fixed("/proc/sys/kernel/panic_on_warn") != "0":
        return None
    return next((bits(root, root.text(path)) for path in root.glob(FLAGS)), None)


def causes(flags: int) -> Iterator[tuple[tuple[str, str, str], bool]]:
    """What four flags mean, by id, name and cause.

    0 under-voltage (below 4.63 V), 1 ARM frequency capped (80 to 85 °C), 2 throttled: ARM and GPU without turbo, at
    85 °C or under-voltage, 3 soft temperature limit (60 °C, Pi 3 A+ and B+). Raspberry Pi's documentation (`vcgencmd
    get_throttled`, `frequency management`) names flags and temperatures; that 2 with 0 is the voltage and 2 without 0
    the heat, its firmware engineers (raspberrypi/firmware#615). A Pi 4 at 81.8 °C did set 1 alone.
    """
    low, cap, throttle, soft = (bool(flags >> bit & 1) for bit in range(4))
    yield UNDERVOLTAGE, low
    yield ("soc/cap", "arm frequency cap", "thermal"), cap
    yield ("soc/throttle", "throttling", "undervoltage"), throttle and low
    yield ("soc/throttle", "throttling", "thermal"), throttle and not low
    yield ("soc/soft", "soft temperature limit", "thermal"), soft


def throttled(root: Root) -> Iterator[Reading]:
    """The firmware's get_throttled: flags now in bits 0 to 3, since boot in 16 to 19; else the kernel's copy.

    The copy knows no "since boot": its driver clears those bits every 2 s (`Voltage normalised (0x00000000)`), while
    the firmware keeps its own apart (0x50000 on the same board). Under-voltage now is left to the alarm where there
    is one: it is faster and catches short dips.
    """
    text, source = ask(root, "get_throttled")
    flags = bits(root, text)
    if flags is not None:
        for labels, on in causes(flags >> 16):
            yield hardware.THROTTLED_BOOT(float(on), *labels)
    else:
        flags, source = cached(root), "get_throttled"
    if flags is not None:
        yield hardware.SENSOR_SOURCE(1.0, "raspberrypi", "throttled", source)
        for labels, on in causes(flags):
            if labels != UNDERVOLTAGE or not alarm(root):
                yield hardware.THROTTLED(float(on), *labels)


def pmic(root: Root) -> Iterator[Reading]:
    """The firmware's pmic_read_adc, A and V: 12 rails of the Pi 5's power chip (Pi 5, 500, Compute Module 5).

    EXT5V is the 5 V input; its current is not measured, so the total is that of the rails, without losses, USB and
    HATs. Rails have it as hw.parent: add the rails or take the total. Where anything could not be read there is no
    total. BATT is the clock's battery, near 0 V without one.
    """
    text = ask(root, "pmic_read_adc")[0] if soc(root) in {"bcm2712", ""} else None
    powers = []
    for name, rail in measured(root, text).items():
        labels, volts, amperes = (f"pmic/{name}", name, "pmic"), rail.get("V"), rail.get("A")
        yield catalog.VOLTAGE(volts, *labels)
        if name not in UNMETERED:
            powers.append(volts * amperes if volts is not None and amperes is not None else None)
            yield catalog.CURRENT(amperes, *labels)
            yield catalog.POWER(powers[-1], *labels)
    if powers and None not in powers and not root.errors:
        yield catalog.POWER(sum(power or 0 for power in powers), "pmic", "pmic", "")


def measured(root: Root, text: str | None) -> dict[str, dict[str, float | None]]:
    """Volts and amperes of each rail in lines such as `VDD_CORE_A current(7)=10.87674000A`."""
    values: dict[str, dict[str, float | None]] = {}
    found = RAIL.findall(text or "")
    for name, unit, number in found:
        values.setdefault(name, {})[unit] = within(root, float(number), 0, 30)
    if text is not None and (not found or len(found) != len(text.splitlines())):
        root.errors["unparsable" if text else "empty"] += 1
    return values


def clocks(root: Root) -> Iterator[Reading]:
    """measure_clock in Hz and measure_volts core in V; 0 Hz is a block that is off or not there (h264, Pi 5).

    The kernel has the clocks in debugfs only (root), and as requested, not as measured. On the Pi 5 the core voltage is
    what the SoC asks for; what it gets is the rail VDD_CORE.
    """
    text, _ = ask(root, "measure_volts", "core")
    value = scan(root, text, VOLTS)
    yield catalog.VOLTAGE(within(root, value, 0.1, 5) if value is not None else None, "soc/core", "core", "soc")
    for name, kind in CLOCKS:
        if text is None:  # then the firmware answers nothing
            return
        text, _ = ask(root, "measure_clock", name)
        value = scan(root, text, HERTZ)
        yield hardware.FREQUENCY(within(root, value, 1e6, 1e10) if value else None, name, name, kind)


def scan(root: Root, text: str | None, pattern: re.Pattern[str]) -> float | None:
    """The number in an answer that is nothing else."""
    found = pattern.fullmatch(text) if text is not None else None
    if found:
        return float(found[1])
    if text is not None:
        root.errors["unparsable" if text else "empty"] += 1
    return None


def gpu(root: Root) -> Iterator[Reading]:
    """/sys/bus/platform/devices/*.v3d/gpu_stats, ns by queue (drivers/gpu/drm/v3d/v3d_sysfs.c, 6.7; Pi 4 and 5).

    Lines of `queue timestamp jobs runtime`; queues (bin, render, tfu, csd for compute, cache_clean, cpu) overlap, so
    they have no sum. Utilisation is what a queue's runtime grew by over what its timestamp did, from the second pass
    on. Before 6.10 a read that meets an interrupt shows a runtime beyond the timestamp, which is left out.
    """
    for path in root.glob("/sys/bus/platform/devices/*.v3d/gpu_stats")[:1]:
        text = root.text(path)
        found = QUEUE.findall(text or "")
        if text is not None and not found:
            root.errors["unparsable" if text else "empty"] += 1
        for queue, stamp, runtime in {line[0]: line for line in found}.values():
            labels = (f"v3d/{queue}", f"v3d {queue}", "gpu")
            busy = within(root, int(runtime) / 1e9, 0, int(stamp) / 1e9)
            yield hardware.BUSY_TIME(busy, *labels)
            if busy is not None:
                yield hardware.UTILIZATION(share((root.path, queue), int(stamp), int(runtime)), *labels)


def share(key: tuple[str, str], stamp: int, runtime: int) -> float | None:
    """Busy share of the time since the last pass; None at the first, and when a counter began anew."""
    before = SEEN.get(key)
    SEEN[key] = (stamp, runtime)
    if before is None or stamp <= before[0]:
        return None
    value = (runtime - before[1]) / (stamp - before[0])
    return value if 0 <= value <= 1 else None


PLATFORM = Platform(
    "raspberrypi",
    detect,
    (
        Sensor("identity", identity, every=600),
        Sensor("undervoltage", undervoltage),
        Sensor("throttled", throttled),
        Sensor("pmic", pmic, power=0.1),
        Sensor("clocks", clocks, every=10),
        Sensor("gpu", gpu),
    ),
    {
        **dict.fromkeys(("throttled absent", "clocks absent"), NOBODY),
        "undervoltage absent": "the kernel has no under-voltage alarm: modprobe raspberrypi-hwmon",
        "throttled get_throttled": 'the kernel\'s copy knows no "since boot", the firmware does: /dev/vcio is needed',
        "denied": "the firmware's device node may not be opened: add edgemon's user to group video "
        "(usermod -aG video USER; under systemd SupplementaryGroups=video) and restart",
    },
)
