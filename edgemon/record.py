"""Recording: a root that remembers what sensors touched of a machine, and what becomes of it in a capture.

Everything goes through the Root, so a recording holds exactly the files, calls and programs that edgemon uses, and a
sensor that reads the capture later reads what it read here.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from edgemon import __version__, bus, identity
from edgemon.capture import Capture, Entry, Moment, called, laid
from edgemon.collect import Collector
from edgemon.mask import Mask
from edgemon.metric import Reading
from edgemon.platforms import Platform, Sensor
from edgemon.sysfs import Root, natural

GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
MOST = 20_000
"""Files in one moment."""

CLASSES = (
    "accel",
    "apex",
    "devfreq",
    "drm",
    "hailo_chardev",
    "hwmon",
    "misc",
    "power_supply",
    "powercap",
    "thermal",
    "video4linux",
)
FACTS = ("class", "device", "driver", "idProduct", "idVendor", "manufacturer", "modalias", "product", "revision",
         "subsystem_device", "subsystem_vendor", "uevent", "vendor", "current_link_speed", "current_link_width",
         "max_link_speed", "max_link_width", "power/runtime_status", "of_node/compatible")  # fmt: skip
WIDE = (
    "/etc/*-release", "/etc/*_release", "/etc/rpi-issue", "/etc/nvpmodel.conf", "/proc/cpuinfo", "/proc/devices",
    "/proc/driver/nvidia/version", "/proc/meminfo", "/proc/misc", "/proc/modules", "/proc/version",
    "/proc/device-tree/compatible", "/proc/device-tree/model", "/proc/device-tree/chosen/power/*",
    *(f"/sys/class/{name}/*/{depth}" for name in CLASSES for depth in ("*", "device/uevent", "device/driver")),
    *(f"/sys/bus/{bus}/devices/*/{fact}" for bus in ("pci", "usb") for fact in FACTS),
    *(f"/sys/bus/platform/devices/*{part}*/{end}" for part in ("gpu", "npu", "tpu", "v3d", "mali", "dsp", "dla", "vpu")
      for end in ("*", "devfreq/*/*", "of_node/compatible")),
    "/sys/devices/system/cpu/cpufreq/policy*/*", "/sys/devices/system/cpu/o*line", "/sys/devices/soc0/*",
    "/sys/kernel/debug/rknpu/*", "/sys/kernel/debug/bpmp/debug/clk/emc/*rate", "/sys/kernel/debug/clk/clk_summary",
    "/sys/module/*/version",
)  # fmt: skip
"""What else is recorded for a board that edgemon does not know: the classes and buses where accelerators show."""

EXAMINED = (
    "/proc/swaps", "/proc/vmstat", "/proc/device-tree/chosen/power/*", "/sys/class/devfreq/*/governor",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_driver", "/sys/block/mmcblk*/device/type",
    "/run/systemd/timesync/synchronized", "/run/chrony", "/run/ntpsec", "/run/ntpd.pid",
)  # fmt: skip
"""What `edgemon doctor` reads beside the sensors, so that it can examine a capture."""


class Recorder(Root):
    """A root in front of another one.

    `seen` is what was touched, `listed` what was found but not read, `pending` what is being read.
    """

    def __init__(self, inner: Root) -> None:
        super().__init__(inner.path)
        self.live, self.inner = inner.live, inner
        self.seen: dict[str, Entry] = {}
        self.listed: set[str] = set()
        self.pending: set[str] = set()

    def read(self, path: str) -> bytes:
        """Read a file and remember what came of it; one that is not there leaves no trace."""
        self.pending.add(path)
        try:
            data = self.inner.read(path)
        except OSError as error:
            if error.errno not in GONE | {errno.EISDIR}:
                self.seen[path] = _failed(error)
            raise
        finally:
            self.pending.discard(path)
        self.seen[path] = Entry(data)
        return data

    def names(self, folder: str) -> list[str]:
        """List a directory; what is looked for in it is remembered by the glob."""
        return self.inner.names(folder)

    def glob(self, pattern: str) -> list[str]:
        """Find paths and remember them."""
        found = super().glob(pattern)
        self.listed.update(found)
        return found

    def exists(self, path: str) -> bool:
        """Look whether a path is there, and remember it if so."""
        found = self.inner.exists(path)
        if found:
            self.listed.add(path)
        return found

    def real(self, path: str) -> str:
        """Follow a path, and remember the way as one link."""
        real = self.inner.real(path)
        if real != path:
            self.seen[path] = Entry(target=real)
        elif self.inner.exists(path):
            self.listed.add(path)
        return real

    def ask(self, name: str, kwargs: Mapping[str, object]) -> Any:
        """Ask a library and remember the answer."""
        return self._remembered(called(name, kwargs), lambda: self.inner.ask(name, kwargs), laid)

    def execute(self, command: tuple[str, ...], timeout: float, /) -> str:
        """Run a program and remember what it printed."""
        key = f"run {' '.join(command)}"
        text: str = self._remembered(key, lambda: self.inner.execute(command, timeout), str)
        return text

    def above(self) -> set[str]:
        """The folders of everything seen: they need no entry."""
        found = set[str]()
        for key in self.seen:
            while (key := key.rpartition("/")[0]) and key not in found:
                found.add(key)
        return found

    def folder(self, path: str) -> bool:
        """Whether a path is a directory."""
        try:
            self.inner.names(path)
        except OSError as error:
            return error.errno in {errno.EACCES, errno.EPERM} and os.path.isdir(self.path + path)
        return True

    def regular(self, path: str) -> bool:
        """Whether a path is an ordinary file, which can be read without consequences."""
        return not self.live or os.path.isfile(path)

    def _remembered(self, key: str, ask: Callable[[], Any], write: Callable[[Any], str]) -> Any:
        try:
            told = ask()
        except OSError as error:
            self.seen[key] = _failed(error)
            raise
        if told is not None:
            self.seen[key] = Entry(f"{write(told)}\n".encode("utf-8", "surrogateescape"))
        return told


def record(
    platforms: Iterable[Platform],
    root: Root,
    wide: Sequence[str] = (),
    moments: Iterable[float] = (0.0,),
    timeout: float = 2.0,
) -> Capture:
    """What the platforms present touch of a machine, and what matches the `wide` globs, at each moment, masked.

    `moments` gives seconds after the first, each when it is time for it. Nothing that hangs holds it up for longer than
    the timeout: it becomes ETIMEDOUT.
    """
    known: dict[str, Entry] = {}
    taken: list[Moment] = []
    for at in moments:
        now = _moment(list(platforms), root, wide, known, timeout)
        taken.append(Moment(at, {key: entry for key, entry in now.items() if known.get(key) != entry}))
        known.update(now)
    mask = Mask()
    for moment in taken:
        mask.learn(moment.entries, [identity.host(root)])
    masked = tuple(Moment(at, dict(mask.entry(*one) for one in entries.items())) for at, entries in taken)
    return Capture(_source(root, wide), masked)


def _moment(
    platforms: list[Platform], root: Root, wide: Sequence[str], known: Mapping[str, Entry], timeout: float
) -> dict[str, Entry]:
    """Everything touched now, and what became of everything `known` from earlier."""
    recorder, here = Recorder(root), list[Platform]()
    asked = [Sensor("identity", _identify)]
    asked += [Sensor(one.name, partial(_detect, one, here)) for one in platforms]
    asked += [Sensor("examined", _examined), *(Sensor(one, partial(_find, one)) for one in (*EXAMINED, *wide))]
    _run(recorder, asked, timeout)
    _run(recorder, [sensor for one in here for sensor in one.sensors], timeout)
    before = {key.rstrip("/") for key, entry in known.items() if key.startswith("/") and entry.failure != "ENOENT"}
    paths = sorted(((recorder.listed | before) - recorder.seen.keys() - recorder.above()), key=natural)
    _run(recorder, [Sensor(path, partial(_rest, recorder, path)) for path in paths[:MOST]], timeout)
    return dict(sorted(recorder.seen.items(), key=lambda one: natural(one[0])))


def _run(recorder: Recorder, sensors: Sequence[Sensor], timeout: float) -> None:
    """Run sensors one after the other; what hangs is left behind, and is what it was doing when it hung."""
    collector = Collector([Platform("capture", bool, tuple(sensors))], recorder, timeout)
    collector.sweep()
    collector.stop()
    for path in list(recorder.pending):
        recorder.seen[path] = Entry(failure="ETIMEDOUT")


def _identify(root: Root) -> Iterable[Reading]:
    identity.device(root)
    return [identity.target(root)]


def _detect(platform: Platform, here: list[Platform], root: Root) -> Iterable[Reading]:
    if platform.detect(root):
        here.append(platform)
    return ()


def _examined(root: Root) -> Iterable[Reading]:
    deque(bus.unclaimed(root), maxlen=0)
    root.call("edgemon.sources.timex.status")
    return ()


def _find(pattern: str, root: Root) -> Iterable[Reading]:
    root.glob(pattern)
    return ()


def _rest(recorder: Recorder, path: str, _root: Root) -> Iterable[Reading]:
    """What was found but not read, or known before: its contents, for a folder where it leads, or that it is gone."""
    if not recorder.inner.exists(path):
        recorder.seen[path] = Entry(failure="ENOENT")
    elif recorder.folder(path):
        if recorder.real(path) == path:
            recorder.seen[f"{path}/"] = Entry()
    elif recorder.regular(path):
        recorder.text(path)
    else:
        recorder.seen[path] = Entry()
    return ()


def _failed(error: OSError) -> Entry:
    return Entry(failure=errno.errorcode.get(error.errno or 0, "EIO"))


def _source(root: Root, wide: Sequence[str]) -> str:
    model, system = " ".join(identity.model(root)).strip(), identity.system(root)
    kernel = identity.uname(root)[2]
    what = "the files, calls and programs that edgemon uses" + ", and --wide" * bool(wide)
    return (
        f"# device: {model or 'an unnamed board'}\n# evidence: {'recorded' if root.live else 'synthetic'}\n"
        f"# source: edgemon {__version__} capture, {system}, Linux {kernel}, {time.strftime('%Y-%m-%d')}:\n"
        f"# {what}. Serial numbers, hardware addresses, host and user names are masked."
    )
