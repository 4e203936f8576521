"""What every Linux kernel tells: processors, memory, pressure, disks, network, file systems.

Small files of /proc and /sys are read directly; psutil is asked where it does real work: mounts and their usage. For
the rest it was measured at 1.1 (network), 3 (disks) and 7 times (memory and swap, most of it for /proc/vmstat) the cost
of one reading, every second for ever, and it numbers processors by position, which is wrong as soon as one that is not
the last is offline (Jetson TX2's Denver cores).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from edgemon import catalog
from edgemon.kernel import base
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root

TICK = float(os.sysconf("SC_CLK_TCK"))
PROCESSOR = re.compile(r"^cpu(\d{1,5}) +" + " ".join([r"(\d{1,15})"] * 8) + r"(?: |$)", re.MULTILINE)
LOAD = re.compile(r"^(\d{1,9}\.\d+) (\d{1,9}\.\d+) (\d{1,9}\.\d+) ")
MEMORY = re.compile(
    r"^(MemTotal|MemFree|MemAvailable|Buffers|Cached|SReclaimable|SwapTotal|SwapFree): +(\d{1,14}) kB$", re.MULTILINE
)
PRESSURE = re.compile(r"^(some|full) .*total=(\d{1,18})$", re.MULTILINE)
UPTIME = re.compile(r"^(\d{1,12}(?:\.\d+)?) ")

DISK = re.compile(
    r"^ *\d+ +\d+ (\S+) (\d{1,20}) \d+ (\d{1,20}) \d+ (\d{1,20}) \d+ (\d{1,20}) \d+ \d+ (\d{1,20})", re.MULTILINE
)
FOUR = r"(\d{1,20}) +(\d{1,20}) +(\d{1,20}) +(\d{1,20})"
INTERFACE = re.compile(rf"^ *(\S+): *{FOUR} +\d+ +\d+ +\d+ +\d+ +{FOUR} ", re.MULTILINE)
NO_DISK = re.compile(r"(?:loop|ram|zram|fd|sr)\d+|mmcblk\d+(?:boot\d+|gp\d+|rpmb)")
IMAGES = frozenset({"squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs"})
READONLY = frozenset({"ro", "emergency_ro"})  # the second is ext4's since 6.15: an error stopped it, the mount says rw
NUMBER, GOVERNOR = re.compile(r"\d{1,5}", re.ASCII), re.compile(r"\w{1,32}", re.ASCII)


def detect(root: Root) -> bool:
    """A live machine, or a capture that has /proc."""
    return root.live or root.exists("/proc")


def scan(root: Root, path: str, pattern: re.Pattern[str]) -> list[Any]:
    """Every match in a file; a file that can be read but matches nowhere is counted."""
    text = root.text(path)
    found = pattern.findall(text) if text else []
    if text is not None and not found:
        root.errors["unparsable" if text else "empty"] += 1
    return found


def cpu(root: Root) -> Iterator[Reading]:
    """/proc/stat, ticks of 1/USER_HZ s by processor (Documentation/filesystems/proc.rst, 1.7).

    guest and guest_nice are already inside user and nice and are left out. Interrupts are hard and soft ones together.
    """
    take = catalog.CPU_TIME
    for number, user, nice, system, idle, iowait, hard, soft, steal in scan(root, "/proc/stat", PROCESSOR):
        yield take(int(user) / TICK, number, "user")
        yield take(int(nice) / TICK, number, "nice")
        yield take(int(system) / TICK, number, "system")
        yield take(int(idle) / TICK, number, "idle")
        yield take(int(iowait) / TICK, number, "iowait")
        yield take((int(hard) + int(soft)) / TICK, number, "interrupt")
        yield take(int(steal) / TICK, number, "steal")


def hertz(kilohertz: float | None) -> float | None:
    """A clock between 1 MHz and 100 GHz, or None: drivers answer 0 or 2^32 - 1 for what they do not know."""
    return kilohertz * 1000 if kilohertz is not None and 1e3 <= kilohertz <= 1e8 else None


def frequency(root: Root) -> Iterator[Reading]:
    """/sys/devices/system/cpu/cpufreq/policy*, kHz (Documentation/admin-guide/pm/cpufreq.rst).

    scaling_cur_freq is the clock of each online processor of the policy (an offline one has none), cpuinfo_max_freq
    what the hardware can, scaling_max_freq what cooling, firmware or the power mode leave of it.
    """
    for policy in root.glob("/sys/devices/system/cpu/cpufreq/policy*"):
        name = base(policy)
        clock = hertz(root.number(f"{policy}/scaling_cur_freq"))
        for number in (root.fixed(f"{policy}/affected_cpus") or root.fixed(f"{policy}/related_cpus") or "").split():
            if NUMBER.fullmatch(number):
                yield catalog.CPU_FREQUENCY(clock, number)
        yield catalog.CPU_SPEED_LIMIT(hertz(root.fixed_number(f"{policy}/cpuinfo_max_freq")), name, "max")
        yield catalog.CPU_SPEED_LIMIT(hertz(root.number(f"{policy}/scaling_max_freq")), name, "throttled")
        governor = root.fixed(f"{policy}/scaling_governor")
        if governor and GOVERNOR.fullmatch(governor):
            yield catalog.CPU_GOVERNOR(1.0, name, governor)


def throttles(root: Root) -> Iterator[Reading]:
    """/sys/devices/system/cpu/cpu*/thermal_throttle/{core,package}_throttle_count, events since boot (x86).

    Documentation/ABI/testing/sysfs-devices-system-cpu. Siblings report the same events: a core and a package are read
    once, through their first processor.
    """
    seen: set[tuple[str, ...]] = set()
    for path in root.glob("/sys/devices/system/cpu/cpu*/thermal_throttle"):
        processor = path[:-17]
        number = processor[27:]
        package = root.fixed(f"{processor}/topology/physical_package_id") or number
        core = root.fixed(f"{processor}/topology/core_id") or number
        for scope, key in (("core", (package, core)), ("package", (package,))):
            if key not in seen:
                seen.add(key)
                yield catalog.CPU_THROTTLES(count(root.number(f"{path}/{scope}_throttle_count")), number, scope)


def count(value: float | None) -> float | None:
    """A number of events, or None for what cannot be one."""
    return value if value is not None and 0 <= value < 1e18 else None


def load(root: Root) -> Iterator[Reading]:
    """/proc/loadavg, runnable and uninterruptible tasks (Documentation/filesystems/proc.rst, 1.9)."""
    for one, five, fifteen in scan(root, "/proc/loadavg", LOAD):
        yield catalog.LOAD_1M(float(one))
        yield catalog.LOAD_5M(float(five))
        yield catalog.LOAD_15M(float(fifteen))


def memory(root: Root) -> Iterator[Reading]:
    """/proc/meminfo, kB that are KiB (Documentation/filesystems/proc.rst, 1.5); swap as well.

    cached is the page cache with reclaimable slab, as in free(1); used is what remains, so the states add up to the
    limit. Where they cannot (a container sees the host's cache beside its own total) no state is told.
    """
    size = {key: int(value) * 1024.0 for key, value in scan(root, "/proc/meminfo", MEMORY)}
    yield catalog.MEMORY_LIMIT(size.get("MemTotal"))
    yield catalog.MEMORY_AVAILABLE(size.get("MemAvailable"))  # since 3.14
    yield from shares(size)
    total, free = size.get("SwapTotal", 0.0), size.get("SwapFree", 0.0)
    if 0 <= free <= total and total > 0:  # without swap there is no usage of it
        yield catalog.SWAP_USAGE(total - free, "used")
        yield catalog.SWAP_USAGE(free, "free")


def shares(size: dict[str, float]) -> Iterator[Reading]:
    """Memory by state, or nothing when the parts exceed the whole."""
    if not {"MemTotal", "MemFree", "Buffers", "Cached"} <= size.keys():
        return
    free, buffers = size["MemFree"], size["Buffers"]
    cached = size["Cached"] + size.get("SReclaimable", 0.0)
    used = size["MemTotal"] - free - buffers - cached
    if used < 0:
        return
    for state, value in (("used", used), ("free", free), ("buffers", buffers), ("cached", cached)):
        yield catalog.MEMORY_USAGE(value, state)


def pressure(root: Root) -> Iterator[Reading]:
    """/proc/pressure/*, `total` in µs (Documentation/accounting/psi.rst).

    "full" has no meaning for the processor of a whole system; the kernel prints zeros there, which are left out.
    A kernel booted with psi=0 answers EOPNOTSUPP.
    """
    for path in root.glob("/proc/pressure/*"):
        resource = base(path)
        for scope, total in scan(root, path, PRESSURE):
            if (resource, scope) != ("cpu", "full"):
                yield catalog.PRESSURE_TIME(int(total) / 1e6, resource, scope)


def uptime(root: Root) -> Iterator[Reading]:
    """/proc/uptime, seconds since boot, suspend included (Documentation/filesystems/proc.rst, 1.9)."""
    for seconds in scan(root, "/proc/uptime", UPTIME):
        yield catalog.UPTIME(float(seconds))


def disks(root: Root) -> Iterator[Reading]:
    """/proc/diskstats, operations, sectors of 512 bytes, ms (Documentation/admin-guide/iostats.rst).

    Whole disks only: what /sys/block lists, without memory, loops, floppies, optical drives and eMMC's boot areas.
    """
    whole = {base(path) for path in root.glob("/sys/block/*")}
    for name, reads, read, writes, written, busy in scan(root, "/proc/diskstats", DISK):
        if name in whole and not NO_DISK.fullmatch(name):
            yield catalog.DISK_IO(int(read) * 512.0, name, "read")
            yield catalog.DISK_IO(int(written) * 512.0, name, "write")
            yield catalog.DISK_OPERATIONS(float(reads), name, "read")
            yield catalog.DISK_OPERATIONS(float(writes), name, "write")
            yield catalog.DISK_IO_TIME(int(busy) / 1000, name)


TRAFFIC = tuple(
    (metric, direction)
    for direction in ("receive", "transmit")
    for metric in (catalog.NETWORK_IO, catalog.NETWORK_PACKETS, catalog.NETWORK_ERRORS, catalog.NETWORK_DROPPED)
)


def network(root: Root) -> Iterator[Reading]:
    """/proc/net/dev, bytes and packets, all but lo (Documentation/networking/statistics.rst)."""
    for name, *counts in scan(root, "/proc/net/dev", INTERFACE):
        if name != "lo":
            for (metric, direction), count in zip(TRAFFIC, counts, strict=True):
                yield metric(float(count), name, direction)


def links(root: Root) -> Iterator[Reading]:
    """/sys/class/net/*/operstate, RFC 2863 words (Documentation/networking/operstates.rst)."""
    for path in root.glob("/sys/class/net/*/operstate"):
        name = path[15:-10]
        if name != "lo":
            yield catalog.NETWORK_UP(up(root, path), name)


def up(root: Root, path: str) -> float | None:
    """1 or 0; a driver that does not keep the state says `unknown`, then `carrier` (0 or 1) decides."""
    state = root.text(path)
    if state == "unknown":
        state = {"1": "up", "0": "down"}.get(root.text(path.replace("/operstate", "/carrier")) or "")
    return None if not state else float(state == "up")


def mounts(root: Root) -> dict[str, dict[str, str]]:
    """One mount by device, of real file systems: the shortest mount point, since the others are binds or subvolumes."""
    chosen: dict[str, dict[str, str]] = {}
    for mount in root.call("psutil.disk_partitions", all=False) or ():
        device, known = mount["device"], chosen.get(mount["device"])
        if mount["fstype"] not in IMAGES and (known is None or len(mount["mountpoint"]) < len(known["mountpoint"])):
            chosen[device] = mount
    return chosen


def filesystems(root: Root) -> Iterator[Reading]:
    """/proc/self/mounts and statvfs(3) through psutil, bytes (Documentation/filesystems/proc.rst, 3.8, 3.5).

    Whether it is read-only is asked of the file system: a service under ProtectSystem= has every mount so.

    File systems on a device only (psutil's all=False), no images that are full by nature. free is what a user can still
    write, reserved what only root can. Rarely read: statvfs waits for the device, and on a dying one for long.
    """
    there = root.call("edgemon.sources.mounts.seen") or {}
    for device, mount in mounts(root).items():
        labels = (device, mount["mountpoint"], mount["fstype"])
        kind, options = there.get(mount["mountpoint"], (mount["fstype"], mount["opts"]))
        if kind != mount["fstype"]:  # another is mounted over it, as ProtectHome= of a service does
            continue
        yield catalog.FILESYSTEM_READONLY(float(not READONLY.isdisjoint(options.split(","))), *labels)
        usage = root.call("psutil.disk_usage", path=mount["mountpoint"])
        if usage:
            total, used, free = usage["total"], usage["used"], usage["free"]
            yield catalog.FILESYSTEM_LIMIT(total, *labels)
            yield catalog.FILESYSTEM_USAGE(used, *labels, "used")
            yield catalog.FILESYSTEM_USAGE(free, *labels, "free")
            yield catalog.FILESYSTEM_USAGE(max(0, total - used - free), *labels, "reserved")


UNSYNC = 0x40
"""STA_UNSYNC of linux/timex.h: nobody disciplines the clock, or nobody has for too long."""
SYNCHRONISED = "/run/systemd/timesync/synchronized"
"""systemd-timesyncd's mark: it has set the clock since boot."""


def timex(root: Root) -> dict[str, Any] | None:
    """What adjtimex(2) says (`sources.timex.status`); None where it is forbidden, or was not recorded."""
    said = root.call("edgemon.sources.timex.status")
    return said if isinstance(said, dict) and isinstance(said.get("status"), int) else None


def clock(root: Root) -> Iterator[Reading]:
    """adjtimex(2), the kernel's own word, µs; a sandbox that protects the clock denies it."""
    said = timex(root)
    if said:
        yield catalog.CLOCK_SYNCHRONIZED(float(not said["status"] & UNSYNC))
        most = said.get("maximum_error_us")
        if isinstance(most, int):
            yield catalog.CLOCK_ERROR(most / 1e6)


PLATFORM = Platform(
    "linux",
    detect,
    (
        Sensor("cpu", cpu),
        Sensor("frequency", frequency),
        Sensor("throttles", throttles),
        Sensor("load", load, every=5),
        Sensor("memory", memory),
        Sensor("pressure", pressure),
        Sensor("disks", disks),
        Sensor("network", network),
        Sensor("links", links, every=5),
        Sensor("filesystems", filesystems, every=10),
        Sensor("uptime", uptime),
        Sensor("clock", clock, every=30),
    ),
    {
        "pressure absent": "the kernel tells no pressure: boot with psi=1 (Raspberry Pi: in cmdline.txt; CONFIG_PSI)",
        "clock denied": "adjtimex(2) is forbidden here: leave ProtectClock= out of the service",
    },
)
