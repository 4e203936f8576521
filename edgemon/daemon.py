"""The daemon: configuration to parts, parts to lanes, and a clean end. The composition root; only cli imports it.

Lanes: `sensing` sweeps the hardware and publishes snapshots, `probing` runs one probe at a time (two would measure each
other), `rules` evaluates alert rules, and the HTTP server has its own thread. The main thread waits: SIGHUP reloads,
SIGTERM and SIGINT end.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace

from edgemon import __version__, catalog, identity, logs, overview, status, upkeep
from edgemon.access.door import WATCH, Door
from edgemon.alerts.notify import Notifying
from edgemon.archive import Archive, alone
from edgemon.collect import Collector
from edgemon.config import Config, apart
from edgemon.dispatch import Dispatch
from edgemon.energy import Meter
from edgemon.errors import ConfigError, SetupError
from edgemon.lanes import Job, Lane
from edgemon.manager import Manager
from edgemon.metric import Reading
from edgemon.platforms import discover
from edgemon.presence import Accelerators
from edgemon.probing import Energy, Probing
from edgemon.pushing import Pushing
from edgemon.ruling import Ruling
from edgemon.sinks.http import Server
from edgemon.sinks.pages import Overview, Site
from edgemon.sinks.prometheus import Exposition
from edgemon.starts import Starts
from edgemon.store import Snapshot, Store
from edgemon.survey import Scout
from edgemon.sysfs import Root
from edgemon.wire import limits, listen

log = logging.getLogger("edgemon")

FLUSH = 600.0
GRACE = 60.0
"""Seconds that a stop may take from each of its steps on: a worn SD card takes some for a few kilobytes."""
LOOK = 60.0
"""Seconds after which platforms that came or went are looked for again."""


class Daemon:
    """Everything that runs, for one configuration at a time."""

    def __init__(self, path: str | None, root: Root | None = None, web_config: str | None = None) -> None:
        self._path, self._root, self._web_config = path, root or Root(), web_config
        self.config, plugins = apart(path)
        self._door = Door(web_config or self.config.web_config)
        logs.to_stderr(self.config.log_level, self.config.log_format)
        self._cleanup = ExitStack()
        self._manager = Manager(self.ready, self.stuck, self._status)
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
            for _ in self._manager.reloads():
                with self._manager.reloading():
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
        alerts, rules = self._ruling.alerts, self._ruling.rules
        site = Site(exposition, self.overview, self.stuck, self.ready, alerts, rules, self.answer)
        self._server = Server(listener, site, limits(), self._door)
        self._plan()
        self._manager.listen()
        self._cleanup.callback(self._manager.deafen)
        self._server.start()
        self._sensing.start()
        self._greet(listener)

    def _make(self, state: str) -> None:
        """The parts that keep something in the state directory; they live as long as the daemon."""
        self._archive = Archive(state)
        self._cleanup.callback(self._archive.close)
        self._accelerators = Accelerators(self._archive)
        self._starts = Starts(self._archive, identity.boot(self._root))
        energy = Energy(self._meter, self._briskly)
        self._probing = Probing(self._store, self._archive, self._root, state, energy, self._observe)
        self._notifying = Notifying(state, self._root)
        self._cleanup.callback(self._notifying.stop)
        self._ruling = Ruling(self._store, self._root, state, self._notifying.announce, self._probing.heed)
        self._ruling.refresh = self._notifying.refresh
        self._pushing = Pushing(self._root, Dispatch(state))
        self._probing.told, self._ruling.flipped = self._pushing.probed, self._pushing.flipped

    def _greet(self, listener: socket.socket) -> None:
        where = self._door.listening(*listener.getsockname()[:2])
        names = ", ".join(one.name for one in self._scout.here) or "none"
        log.info("edgemon %s on %s: platforms %s", __version__, self._device(), names, extra={"event": "started"})
        log.info("probes %s", ", ".join(self.config.probes) or "none")
        if self._starts.safe:
            log.error("%s", self._starts.why(), extra={"event": "safe_mode"})
        log.info("metrics at %s/metrics, overview at %s/", where, where)

    def _plan(self) -> None:
        """Make the parts that follow the configuration, and their jobs."""
        sensors = self.config.sensors
        self._scout.stop()
        self._scout = Scout(self._platforms, self._root, sensors.disable, sensors.timeout)
        self._store.put("edgemon.identity", [identity.target(self._root), identity.build()])
        self._probing.follow(self._probed())  # before the next sweep, which publishes what is left of the old probes
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
                Job("settle", LOOK, self._settle, delay=LOOK),
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
        if snapshot.number == 1:
            self._manager.ask()

    def _probed(self) -> Config:
        """What is probed: nothing in safe mode."""
        return replace(self.config, probes={}) if self._starts.safe else self.config

    def _settle(self) -> None:
        if self._starts.settled():
            log.info("safe mode ends: probes are tried again", extra={"event": "safe_mode"})
            self.ask_reload()

    def _look(self) -> None:
        """Read platforms that came, and no more those that went."""
        collector, scout = self._collector, self._scout
        if collector and (changed := scout.look()):
            log.info("platforms changed: %s", ", ".join(changed), extra={"event": "platforms"})
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
        yield from upkeep.readings(self._began)
        for code, count in list(self._server.codes.items()):
            yield catalog.HTTP_REQUESTS(count, str(code))
        yield catalog.HTTP_CONNECTIONS(len(self._server.connections))
        yield catalog.CONFIG_SUCCESS(float(self._accepted))
        yield catalog.CONFIG_TIMESTAMP(self._read_at)
        parts = (self._door, self._sensing, self._probing.lane, self._archive, self._notifying, self._ruling)
        yield from (reading for one in (*parts, self._starts, self._pushing) for reading in one.readings())

    def ask_reload(self) -> None:
        """Ask for the configuration to be read again."""
        self._manager.ask(signal.SIGHUP)

    def reload(self) -> None:
        """Read the configuration again; a bad one is refused whole and the old one goes on. It ends safe mode."""
        safe = self._starts.safe
        self._starts.leave()
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
                log.error("%s", problem, extra={"event": "refused"})
            if safe:
                self._plan()
            return
        self.config, self._accepted, self._read_at = config, True, time.time()
        logs.to_stderr(config.log_level, config.log_format)
        self._plan()
        self._accelerators.forget()
        log.info("configuration reloaded: probes %s", ", ".join(config.probes) or "none", extra={"event": "reloaded"})

    def _stop(self) -> None:
        log.info("stopping", extra={"event": "stopping"})
        self._manager.stopping(GRACE, "probes, then what is still to be written")
        self._probing.cancel.set()
        self._server.stop()
        self._probing.stop(4.0)
        self._sensing.stop(0.5)
        self._ruling.stop(1.0)
        self._pushing.stop(1.0)
        if self._collector:
            self._collector.stop()
        self._starts.ended()
        self._manager.stopping(GRACE, "what is still to be written")

    def ready(self) -> bool:
        """Whether a snapshot is there to serve."""
        return self._store.snapshot.number > 0

    def stuck(self) -> str:
        """Which lane does not move any more, in words, or nothing."""
        run = max([p.timeout for p in self.config.probes.values()] + [0])
        lanes = {self._sensing: 0.0, self._ruling.lane: 0.0, self._probing.lane: run}
        lanes |= dict.fromkeys(self._pushing.lanes(), self.config.otlp.timeout)
        patience = self._manager.patience()
        halted = "" if self._server.alive() else "the HTTP server has ended"
        return next((text for lane, bound in lanes.items() if (text := lane.stuck(patience + bound))), halted)

    def overview(self) -> Overview:
        """What the page shows."""
        sources, probes = self._collector.sources if self._collector else [], self._probing.states()
        return overview.overview(self._device(), identity.system(self._root), self._scout.here, sources, probes)

    def answer(self) -> bytes:
        """The body of /api/v1/status."""
        return status.answer(self._store.snapshot, self.overview(), self._probing, self._ruling, self.stuck())

    def _status(self) -> str:
        sources = self._collector.sources if self._collector else []
        return "safe mode; " * self._starts.safe + overview.line(sources, self._probing.states())

    def _device(self) -> str:
        name = " ".join(identity.model(self._root)).strip() or identity.host(self._root) or "unnamed device"
        return name if self._root.live else f"{name} (simulated)"
