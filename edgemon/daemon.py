"""The daemon: configuration to parts, parts to lanes, and a clean end. The composition root; only cli imports it.

Lanes: `sensing` sweeps the hardware and publishes snapshots, `probing` runs one probe at a time (two would measure each
other), `rules` evaluates alert rules, and the HTTP server has its own thread. The main thread waits: SIGHUP reloads,
SIGTERM and SIGINT end.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext

from edgemon import __version__, catalog, identity, overview, status
from edgemon.access.door import WATCH, Door
from edgemon.alerts.notify import Notifying
from edgemon.archive import Archive, alone
from edgemon.collect import Collector
from edgemon.config import apart
from edgemon.dispatch import Dispatch
from edgemon.energy import Meter
from edgemon.errors import ConfigError, SetupError
from edgemon.lanes import Job, Lane
from edgemon.metric import Reading
from edgemon.platforms import discover
from edgemon.presence import Accelerators, Starts
from edgemon.probe.process import resident
from edgemon.probing import Energy, Probing
from edgemon.pushing import Pushing
from edgemon.ruling import Ruling
from edgemon.sinks.http import Server
from edgemon.sinks.pages import Overview, Site
from edgemon.sinks.prometheus import Exposition
from edgemon.store import Snapshot, Store
from edgemon.survey import Scout
from edgemon.sysfs import Root
from edgemon.wire import limits, listen

log = logging.getLogger("edgemon")

STUCK = 60.0
"""Seconds over its own bound after which a lane counts as stuck."""
FLUSH = 600.0
LOOK = 60.0
"""Seconds after which platforms that came or went are looked for again."""


class Daemon:
    """Everything that runs, for one configuration at a time."""

    def __init__(self, path: str | None, root: Root | None = None, web_config: str | None = None) -> None:
        self._path, self._root, self._web_config = path, root or Root(), web_config
        self.config, plugins = apart(path)
        self._door = Door(web_config or self.config.web_config)
        logging.getLogger("edgemon").setLevel(self.config.log_level.upper())
        self._cleanup = ExitStack()
        self._ending = self._stale = False
        self._asked, self._ask = os.pipe()
        os.set_blocking(self._ask, False)
        self._store, self._meter = Store(), Meter()
        self._sensing = Lane("sensing")
        self._began = time.monotonic()
        self._accepted, self._read_at = True, time.time()
        self._platforms = discover(plugins)
        self._collector: Collector | None = None
        self._scout = Scout({}, self._root, (), 1.0)
        self._swap, self._plans = threading.Lock(), 0

    def run(self) -> int:
        """Run until told to end; 0, or SetupError when it cannot start."""
        with self._cleanup:
            self._start()
            while not self._ending:
                for number in os.read(self._asked, 4096):
                    self._heed(number)
                if self._stale and not self._ending:
                    self._stale = False
                    self.reload()
            self._stop()
        return 0

    def _start(self) -> None:
        state = self.config.state()
        if not self._cleanup.enter_context(alone(state, "daemon")):
            raise SetupError(f"another edgemon runs on {state}; stop it, or give this one its own state_dir:")
        listener = listen(self.config.listen)
        self._cleanup.callback(listener.close)
        self._make(state)
        exposition = Exposition(lambda: self._store.snapshot)
        now = lambda: status.answer(self._store.snapshot, self.overview(), self._probing, self._ruling, self.stuck())  # noqa: E731
        site = Site(exposition, self.overview, self.stuck, self.ready, self._ruling.alerts, self._ruling.rules, now)
        self._server = Server(listener, site, limits(), self._door)
        self._plan()
        self._listen_to_signals()
        self._server.start()
        self._sensing.start()
        self._greet(listener)

    def _make(self, state: str) -> None:
        """The parts that keep something in the state directory; they live as long as the daemon."""
        self._archive = Archive(state)
        self._cleanup.callback(self._archive.close)
        self._accelerators, self._starts = Accelerators(self._archive), Starts(self._archive, self._root)
        energy = Energy(self._meter, self._briskly)
        self._probing = Probing(self._store, self._archive, self._root, state, energy, self._observe)
        self._notifying = Notifying(state, self._root)
        self._cleanup.callback(self._notifying.stop)
        self._ruling = Ruling(self._store, self._root, state, self._notifying.announce, self._probing.heed)
        self._ruling.refresh = self._notifying.refresh
        self._pushing = Pushing(self._root, Dispatch(state))
        self._probing.told, self._ruling.flipped = self._pushing.probed, self._pushing.flipped

    def _listen_to_signals(self) -> None:
        """Let each signal put its number into the pipe that the main thread reads.

        A handler that sets an Event can meet the main thread inside that Event's lock and never return; a signal that
        comes just before a lock is waited for would be seen only with the next one. A pipe knows neither.
        """
        signal.set_wakeup_fd(self._ask, warn_on_full_buffer=False)
        self._cleanup.callback(signal.set_wakeup_fd, -1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _frame: self._heed(number))

    def _heed(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._stale = True
        elif number in {signal.SIGTERM, signal.SIGINT}:
            self._ending = True

    def _greet(self, listener: socket.socket) -> None:
        where = self._door.listening(*listener.getsockname()[:2])
        names = ", ".join(one.name for one in self._scout.here) or "none"
        log.info("edgemon %s on %s: platforms %s", __version__, self._device(), names)
        log.info("probes %s", ", ".join(self.config.probes) or "none")
        log.info("metrics at %s/metrics, overview at %s/", where, where)

    def _plan(self) -> None:
        """Make the parts that follow the configuration, and their jobs."""
        sensors = self.config.sensors
        self._scout.stop()
        self._scout = Scout(self._platforms, self._root, sensors.disable, sensors.timeout)
        self._store.put("edgemon.identity", [identity.target(self._root), identity.build()])
        self._probing.follow(self.config)  # before the next sweep, which publishes what is left of the old probes
        self._collect(
            Collector(self._scout.here, self._root, sensors.timeout, self._publisher(), sensors.interval, self._meter)
        )
        self._notifying.follow(self.config.notify)
        self._sensing.set(
            [
                Job("sweep", sensors.interval, self._sweep),
                Job("power", sensors.power, self._sample, delay=sensors.power),
                Job("look", LOOK, self._look, delay=LOOK),
                Job("flush", FLUSH, self._archive.flush, delay=FLUSH),
                Job("web_config", WATCH, self._door.look, delay=WATCH),
            ]
        )
        self._pushing.follow(self.config)
        self._ruling.follow(self.config)

    def _collect(self, collector: Collector) -> None:
        """Put a collector in the place of the one before; what only that one read disappears."""
        with self._swap:
            before, self._collector = self._collector, collector
            if before:
                before.stop()
                for name in {one.name for one in before.sources} - {one.name for one in collector.sources}:
                    self._store.put(name, ())

    def _publisher(self) -> Callable[[str, Iterable[Reading]], None]:
        """Where the next collector publishes; a sweep still in hand when it is replaced publishes nothing more."""
        self._plans += 1
        plan = self._plans

        def publish(source: str, readings: Iterable[Reading]) -> None:
            with self._swap:
                if plan == self._plans:
                    self._store.put(source, readings)

        return publish

    def _sweep(self) -> None:
        if self._collector:
            self._collector.sweep()
        self._store.put("edgemon.self", self._own())
        snapshot = self._store.commit()
        self._store.put("edgemon.presence", self._accelerators.see(snapshot))
        self._probing.see(snapshot)
        self._ruling.see(snapshot)
        self._pushing.see(snapshot)

    def _look(self) -> None:
        """Read platforms that came, and no more those that went."""
        collector, scout = self._collector, self._scout
        if collector and (changed := scout.look()):
            log.info("platforms changed: %s", ", ".join(changed))
            collector.adopt(scout.here)

    def _observe(self) -> Snapshot:
        """Read what is due, for the conditions of a probe's run."""
        if self._collector:
            self._collector.sweep()
        return self._store.commit()

    def _sample(self) -> None:
        if self._collector:
            self._collector.sample()

    def _briskly(self) -> AbstractContextManager[None]:
        return self._collector.briskly() if self._collector else nullcontext()

    def _own(self) -> Iterator[Reading]:
        """The daemon's own cost and state."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield catalog.PROCESS_CPU(usage.ru_utime, "user")
        yield catalog.PROCESS_CPU(usage.ru_stime, "system")
        yield catalog.PROCESS_MEMORY(resident())
        yield catalog.PROCESS_THREADS(threading.active_count())
        yield catalog.PROCESS_FILES(len(os.listdir("/proc/self/fd")))
        yield catalog.PROCESS_UPTIME(time.monotonic() - self._began)
        for code, count in list(self._server.codes.items()):
            yield catalog.HTTP_REQUESTS(count, str(code))
        yield catalog.HTTP_CONNECTIONS(len(self._server.connections))
        yield catalog.CONFIG_SUCCESS(float(self._accepted))
        yield catalog.CONFIG_TIMESTAMP(self._read_at)
        parts = (self._door, self._sensing, self._probing.lane, self._archive, self._notifying, self._ruling)
        yield from (reading for one in (*parts, self._starts, self._pushing) for reading in one.readings())

    def reload(self) -> None:
        """Read the configuration again; a bad one is refused whole and the old one goes on."""
        try:
            config, _ = apart(self._path)
            problems = [
                f"{name}: cannot change while edgemon runs; restart it"
                for name in ("listen", "state_dir")
                if getattr(config, name) != getattr(self.config, name)
            ]
            if not problems:
                self._door.follow(self._web_config or config.web_config)
        except ConfigError as error:
            config, problems = self.config, list(error.problems)
        if problems:
            self._accepted = False
            for problem in [*problems, "the configuration was not reloaded; the old one goes on"]:
                log.error("%s", problem)
            return
        self.config, self._accepted, self._read_at = config, True, time.time()
        logging.getLogger("edgemon").setLevel(config.log_level.upper())
        self._plan()
        self._accelerators.forget()
        log.info("configuration reloaded: probes %s", ", ".join(config.probes) or "none")

    def _stop(self) -> None:
        log.info("stopping")
        self._probing.cancel.set()
        self._server.stop()
        self._probing.stop(4.0)
        self._sensing.stop(0.5)
        self._ruling.stop(1.0)
        self._pushing.stop(1.0)
        if self._collector:
            self._collector.stop()

    def ready(self) -> bool:
        """Whether a snapshot is there to serve."""
        return self._store.snapshot.number > 0

    def stuck(self) -> str:
        """Which lane does not move any more, in words, or nothing."""
        bounds = {
            self._sensing: STUCK,
            self._ruling.lane: STUCK,
            **dict.fromkeys(self._pushing.lanes(), STUCK + self.config.otlp.timeout),
            self._probing.lane: STUCK + max([p.timeout for p in self.config.probes.values()] + [0]),
        }
        for lane, bound in bounds.items():
            busy = lane.busy()
            if busy and busy[1] > bound:
                return f"lane {lane.name} is stuck in {busy[0]} for {busy[1]:.0f} s"
        return ""

    def overview(self) -> Overview:
        """What the page shows."""
        sources, probes = self._collector.sources if self._collector else [], self._probing.states()
        return overview.overview(self._device(), identity.system(self._root), self._scout.here, sources, probes)

    def _device(self) -> str:
        name = " ".join(identity.model(self._root)).strip() or identity.host(self._root) or "unnamed device"
        return name if self._root.live else f"{name} (simulated)"
