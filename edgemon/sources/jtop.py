"""jtop: the client of jetson-stats (github.com/rbonghi/jetson_stats, AGPL: imported if installed, never copied).

Its service reads a Jetson as root and answers on a socket; its client waits for samples and, while the service hangs,
for ever. So one thread of our own holds one client, and `latest` only takes what that thread last received: it never
waits. The client is imported when the socket is there, not before, since that costs 18 MB.

What keeps the service from being asked is an OSError whose errno tells it: ENOENT no service or no client library,
EACCES not in the group `jtop`, ECONNREFUSED socket without a service, EPROTO other version, ETIMEDOUT hung, EIO else.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

log = logging.getLogger("edgemon.sources.jtop")

SOCKET = "/run/jtop.sock"
INTERVAL = 1.0
FRESH = 4
"""Intervals after which a sample no longer counts."""
LONGEST = 60.0
"""Most seconds between two tries to connect; the pause doubles up to it."""

REMEDIES = {
    "EPROTO": "the jtop service is of another version than the client: install the same jetson-stats for both, then "
    "systemctl restart jtop",
    "ECONNREFUSED": "the jtop service is down: systemctl restart jtop, and see journalctl -u jtop",
    "ETIMEDOUT": "the jtop service hangs: systemctl restart jtop",
    "EACCES": "add edgemon's user to group jtop (usermod -aG jtop USER) and restart; without jtop, debugfs needs root",
    "gpu sysfs": "kernel files, which tell less than the jtop service: pip install jetson-stats as root, reboot, and "
    "have it in edgemon's Python as well",
    "engines absent": "the engines' clocks need the jtop service, or root for debugfs",
}
"""What the owner of a Jetson can do, by errno, by what is absent, and where kernel files serve instead."""


class Client:
    """One connection at a time, made again when it is lost, in a thread that starts with the first question."""

    def __init__(self, connect: Callable[[], Any], pause: float = 1.0) -> None:
        self._connect, self._pause = connect, pause
        self._sample: tuple[float, dict[str, Any]] = (-math.inf, {})
        self._failure: OSError | None = None
        self._patience = math.inf
        self._lock = threading.Lock()
        self._started = False

    def latest(self) -> dict[str, Any] | None:
        """The last sample while it is fresh, None before the first; OSError with the reason why there is none."""
        with self._lock:
            if not self._started:
                self._started, self._patience = True, time.monotonic() + FRESH * INTERVAL
                self._begin(self._pause)
        until, sample = self._sample
        now = time.monotonic()
        if now < until:
            return sample
        if self._failure:
            raise OSError(self._failure.errno, self._failure.strerror)
        if now < self._patience:
            return None
        raise TimeoutError(errno.ETIMEDOUT, "the jtop service does not answer")

    def _begin(self, pause: float) -> None:
        """Each connection has its own thread, since multiprocessing keeps a dead socket for the thread that used it."""
        threading.Thread(target=self._run, args=(pause,), name="edgemon-jtop", daemon=True).start()

    def _run(self, pause: float) -> None:
        began = time.monotonic()
        self._fail(self._listen())
        pause = self._pause if self._sample[0] > began else min(LONGEST, pause * 2)
        time.sleep(pause)
        self._begin(pause)

    def _listen(self) -> OSError:
        """Take samples until the connection is lost, and say what ended it."""
        client = None
        try:
            client = self._connect()
            patience = FRESH * max(INTERVAL, client.interval)
            for sample in samples(client):
                self._sample, self._failure = (time.monotonic() + patience, sample), None
        except OSError as error:
            return error if error.errno else OSError(errno.EIO, str(error))
        except Exception as error:  # noqa: BLE001 - seam: whatever the client raises is a reason to connect again
            return reason(error)
        finally:
            if client is not None:
                client.close()
        return TimeoutError(errno.ETIMEDOUT, "the jtop service sends no samples")

    def _fail(self, failure: OSError) -> None:
        if self._failure is None or self._failure.errno != failure.errno:
            known = failure.errno == errno.ENOENT
            log.log(logging.DEBUG if known else logging.WARNING, "jtop is not used: %s", failure.strerror)
        self._failure = failure


def reason(error: Exception) -> OSError:
    """The client's own exception (JtopException has a text only) as an OSError."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    for word, code in (("ismatch", errno.EPROTO), ("access", errno.EACCES), ("not active", errno.ECONNREFUSED)):
        if word in text:
            return OSError(code, text)
    return OSError(errno.EIO, f"{type(error).__name__}: {text}")


def connect() -> Any:
    """A client that has received its first sample.

    The client looks for CUDA, OpenCV and other libraries each time it is made, with programs; that is left out.
    """
    if not os.path.exists(SOCKET):
        raise FileNotFoundError(errno.ENOENT, f"there is no jtop service ({SOCKET})")
    if not os.access(SOCKET, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, f"{SOCKET} is closed to this user, who must be in the group jtop")
    try:
        library = importlib.import_module("jtop")
    except ImportError as error:
        raise FileNotFoundError(errno.ENOENT, f"jetson-stats cannot be imported: {error}") from None
    quiet = type("Quiet", (library.jtop,), {"_load_jetson_libraries": lambda _self: None})
    client = quiet(interval=INTERVAL)
    atexit.register(release, client)
    try:
        client.start()
    finally:
        atexit.unregister(release)
        release(client)
    return client


def release(client: Any) -> None:
    """Let go of the service's objects without telling it, which would wait for ever, at exit too, while it hangs."""
    for held in vars(client).values():
        farewell = getattr(held, "_close", None)
        if farewell is not None:
            farewell.cancel()


def samples(client: Any) -> Iterator[dict[str, Any]]:
    """Samples as they come.

    A service whose reader hangs hands out its last sample for ever: one as old as the one before is left out.
    """
    seen = None
    while client.ok():
        uptime = client.uptime
        if uptime != seen:
            seen = uptime
            yield shape(client)


def shape(client: Any) -> dict[str, Any]:
    """What the platform uses of a sample, in base units; jtop's are %, kHz, mV, mA and mW. What is missing is left out.

    The GPU is the first; an engine's clocks keep the names of the clock tree, whatever group jtop puts them in.
    """
    memory, power, board = part(client.memory), part(client.power), part(part(client.board).get("hardware"))
    gpu, emc, total = next(iter(parts(client.gpu).values()), {}), part(memory.get("EMC")), part(power.get("tot"))
    rails = {**parts(power.get("rail")), str(total.get("name", "")): total}
    return {
        "gpu": known(
            load=share(part(gpu.get("status")).get("load")), clock=clock(gpu.get("freq"), now="cur", allowed="max")
        ),
        "engines": {
            name.lower(): known(on=online(one)) | clock(one, now="cur", low="min", high="max")
            for group in parts(client.engine).values()
            for name, one in parts(group).items()
        },
        "emc": known(load=share(emc.get("val")), clock=clock(emc, now="cur", allowed="max")),
        "rails": known(**{name: watts(one) for name, one in rails.items() if name}),
        "board": {key: str(board[key]) for key in ("Model", "SoC", "L4T") if board.get(key)},
        **known(
            mode=None if client.nvpmodel is None else str(client.nvpmodel),
            clocks=None if client.jetson_clocks is None else bool(client.jetson_clocks),
        ),
    }


def known(**values: Any) -> dict[str, Any]:
    """The values that are there."""
    return {name: value for name, value in values.items() if value is not None}


def part(value: Any) -> Mapping[str, Any]:
    """A mapping, also of the client's own kinds; what is none is empty."""
    return value if hasattr(value, "items") and hasattr(value, "get") else {}


def parts(value: Any) -> dict[str, Mapping[str, Any]]:
    """The mappings in a mapping, by name."""
    return {str(name): part(one) for name, one in part(value).items()}


def scaled(value: Any, per: float, low: float, high: float) -> float | None:
    """A number in base units, each `per` of jtop's, if hardware can mean it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value / per if low <= value / per <= high else None


def share(value: Any) -> float | None:
    """A load in % as a share."""
    return scaled(value, 100, 0, 1)


def clock(value: Any, **names: str) -> dict[str, float]:
    """Clocks in kHz by our name for jtop's.

    No Jetson's is below 10 MHz: so 0 (no limit) is left out, and MHz, which jtop 4.4 to 7 says on Thor for some.
    """
    found = {ours: scaled(part(value).get(theirs), 1, 1e4, 1e8) for ours, theirs in names.items()}
    return {ours: kilohertz * 1000 for ours, kilohertz in found.items() if kilohertz is not None}


def online(one: Mapping[str, Any]) -> bool | None:
    """Whether a part is on or plugged in, where jtop says so."""
    return bool(one["online"]) if "online" in one else None


def watts(one: Mapping[str, Any]) -> float | None:
    """The power of a rail in mW; one that is offline, or without voltage, is unplugged and has none."""
    value = scaled(one.get("power"), 1000, -100, 1000)
    return None if online(one) is False or not one.get("volt", value) else value


CLIENT = Client(connect)


def settle() -> None:
    """Ask for the first sample and wait until it or a failure is there, at most until the service counts as hung."""
    with suppress(OSError):
        while CLIENT.latest() is None:
            time.sleep(0.05)


def latest() -> dict[str, Any] | None:
    """The service's last sample, without waiting; see `Client.latest` and `shape`."""
    return CLIENT.latest()
