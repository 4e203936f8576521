"""The daemon holds its probes while the device is hot, says so where people look, and heeds what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.devices import HERE
from tests.running import HERE as PROJECT
from tests.running import Running, running, until
from tests.test_daemon import BRISK, QUICK, edgemon, reload, series, value

COOL = """== @200s
== /sys/class/thermal/thermal_zone0/temp
60000
"""
TURNED = """
import sys
if "run" in sys.orig_argv:
    from edgemon.replay import Replay
    Replay.__init__.__defaults__ = ("capture", lambda: float(open({!r}).read()))
"""
"""A replay by a clock that the test turns: it writes the seconds into a file."""


class Heating:
    """The captured heating of a Raspberry Pi 4, and then cool, which the report does not have."""

    def __init__(self, where: Path) -> None:
        self.capture, self._clock = where / "heating.capture", where / "clock"
        self.capture.write_text((HERE / "raspberry-pi-4-heating.capture").read_text() + COOL)
        self.env = {"PYTHONPATH": f"{PROJECT}:{where}"}
        (where / "sitecustomize.py").write_text(TURNED.format(str(self._clock)))
        self.at(0)

    def at(self, seconds: float) -> None:
        """Play up to there."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._clock)


def runs(daemon: Running, probe: str) -> float:
    return value(daemon, f'edgemon_probe_runs_total{{probe="{probe}",outcome="ok"}}') or 0


def waiting(daemon: Running, probe: str) -> str:
    """What the page says of a probe that waits."""
    found = re.search(rf"<th>{probe}</th>.*?</tr>", daemon.get("/")[1])
    assert found
    words = re.search(r"waiting: [^<]*", found[0])
    return words[0] if words else ""


def test_a_device_that_heats_is_left_alone_until_it_has_cooled(tmp_path: Path) -> None:
    """It reaches 81.8 °C: its probe waits from 78 °C on, another that is told to run despite that goes on."""
    heating = Heating(tmp_path)
    settings: dict[str, Any] = {
        "probes": {"a": QUICK, "asked": {**QUICK, "despite": ["hot"]}},
        "gates": {"temperature": 78, "throttled": False},
        "triggers": {"events": ["start"]},
        "sensors": BRISK,
    }
    with running(tmp_path, heating.env, root=str(heating.capture), **settings) as daemon:
        until(lambda: runs(daemon, "a"))
        assert not waiting(daemon, "a")
        heating.at(84)
        until(lambda: waiting(daemon, "a") == "waiting: hot (79 °C, limit 78 °C, cpu-thermal)")
        before, others = runs(daemon, "a"), runs(daemon, "asked")
        heating.at(126)
        until(lambda: waiting(daemon, "a") == "waiting: hot (82 °C, limit 78 °C, cpu-thermal)")
        until(lambda: runs(daemon, "asked") >= others + 2)
        assert runs(daemon, "a") == before
        assert not waiting(daemon, "asked")
        assert value(daemon, 'edgemon_probe_skipped_total{probe="a",reason="hot"}')
        heating.at(200)
        until(lambda: runs(daemon, "a") >= before + 2)
        assert not waiting(daemon, "a")
        lines = daemon.log().splitlines()
        skips = [name for name in series(daemon) if name.startswith("edgemon_probe_skipped_total")]
    assert skips == ['edgemon_probe_skipped_total{probe="a",reason="hot"}']
    assert len([line for line in lines if "probe a waits: hot (79 °C, limit 78 °C, cpu-thermal)" in line]) == 1
    assert len([line for line in lines if "probe a waits" in line]) == 1
    assert len([line for line in lines if "probe a goes on: no longer hot" in line]) == 1
    assert not [line for line in lines if "probe asked waits" in line]


def test_a_replaced_model_is_probed_at_once(tmp_path: Path) -> None:
    """Though the next turn is an hour away; what called for it is counted and said."""
    model = tmp_path / "model"
    model.write_bytes(b"one")
    probe = {**QUICK, "model": str(model), "interval": "1h"}
    with running(tmp_path, probes={"a": probe}, sensors=BRISK, triggers={"gap": "1s"}) as daemon:
        until(lambda: runs(daemon, "a") == 1)
        assert value(daemon, 'edgemon_probe_triggered_total{probe="a",trigger="start"}') == 1
        model.write_bytes(b"two")
        until(lambda: value(daemon, 'edgemon_probe_triggered_total{probe="a",trigger="model"}'))
        until(lambda: runs(daemon, "a") == 2)
        assert "probe a: called for by model" in daemon.log()
        found = series(daemon)
        assert found['edgemon_probe_interval_seconds{probe="a"}'] == 3600
        ahead = (
            found['edgemon_probe_next_run_timestamp_seconds{probe="a"}']
            - found['edgemon_probe_last_run_timestamp_seconds{probe="a"}']
        )
        assert 0.4 * 3600 < ahead < 1.7 * 3600


def test_a_reload_probes_what_is_new_and_leaves_the_rest_at_its_pace(tmp_path: Path) -> None:
    slow = {**QUICK, "interval": "1h"}
    with running(tmp_path, probes={"a": slow}, sensors=BRISK) as daemon:
        until(lambda: runs(daemon, "a") == 1)
        next_run = value(daemon, 'edgemon_probe_next_run_timestamp_seconds{probe="a"}') or 0
        reload(daemon, probes={"a": slow, "b": slow}, sensors=BRISK)
        until(lambda: runs(daemon, "b") == 1)
        found = series(daemon)
        assert found['edgemon_probe_triggered_total{probe="b",trigger="reload"}'] == 1
        assert runs(daemon, "a") == 1
        assert abs(found['edgemon_probe_next_run_timestamp_seconds{probe="a"}'] - next_run) <= 1
        assert found['edgemon_probe_budget_ratio{resource="time"}'] > 0


def test_an_energy_budget_that_cannot_be_kept_to_is_said_once(tmp_path: Path) -> None:
    """And the probe runs, which the time budget bounds; no ratio pretends to know."""
    with running(tmp_path, probes={"a": QUICK}, sensors=BRISK, budget={"energy": 5}) as daemon:
        until(lambda: runs(daemon, "a") >= 3)
        assert daemon.log().count("its joules are not known") == 1
        assert 'edgemon_probe_budget_ratio{resource="energy"}' not in series(daemon)


def test_an_energy_budget_counts_what_the_device_used_while_a_probe_ran(tmp_path: Path) -> None:
    """On a captured Jetson, whose power does not change: joules are watts times the seconds that probes took."""
    capture = str(HERE / "jetson-orin-nano-jp5.capture")
    probe = {**QUICK, "idle": "1s", "interval": "5s"}
    with running(tmp_path, root=capture, probes={"a": probe}, sensors=BRISK, budget={"energy": 1e6}) as daemon:
        found = until(lambda: (now := series(daemon)).get('edgemon_probe_budget_ratio{resource="energy"}') and now)
    root = re.compile(r'hw_power_watts\{hw_id="[^"]*",hw_name="[^"]*"\}')  # a rail that is part of no other
    watts = sum(seen for name, seen in found.items() if root.fullmatch(name))
    seconds = found['edgemon_probe_wall_time_seconds_total{probe="a"}']
    assert watts > 1
    assert found['edgemon_probe_budget_ratio{resource="energy"}'] * 1e6 <= watts * seconds * 1.01
    assert "joules are not known" not in daemon.log()


def test_a_used_up_budget_makes_a_probe_rare_and_holds_what_events_call_for(tmp_path: Path) -> None:
    """A twentieth of a CPU second in an hour is spent by the first run; other probes go on."""
    model = tmp_path / "model"
    model.write_bytes(b"one")
    dear = {**QUICK, "model": str(model), "budget": {"cpu": 0.05}}
    with running(tmp_path, probes={"a": dear, "b": QUICK}, sensors=BRISK, triggers={"gap": 0}) as daemon:
        until(lambda: runs(daemon, "a") == 1)
        until(lambda: (value(daemon, 'edgemon_probe_interval_seconds{probe="a"}') or 0) >= 3600)
        assert (value(daemon, 'edgemon_probe_budget_ratio{probe="a",resource="cpu"}') or 0) > 0.75
        model.write_bytes(b"two")
        until(lambda: value(daemon, 'edgemon_probe_skipped_total{probe="a",reason="budget_cpu"}'))
        assert waiting(daemon, "a").startswith(
            "waiting: budget_cpu (0.05 CPU seconds an hour for its own is used up for "
        )
        others = runs(daemon, "b")
        until(lambda: runs(daemon, "b") > others + 1)
        assert runs(daemon, "a") == 1
        assert daemon.log().count("probe a: the budget allows one every ") == 1
        assert daemon.log().count("probe a waits: budget_cpu") == 1


def test_what_was_spent_is_still_spent_after_a_restart(tmp_path: Path) -> None:
    """A daemon that is restarted again and again has no new budget each time."""
    ratio = 'edgemon_probe_budget_ratio{probe="a",resource="cpu"}'
    probe = {**QUICK, "budget": {"cpu": 10}}
    with running(tmp_path, probes={"a": probe}, sensors=BRISK) as daemon:
        until(lambda: runs(daemon, "a") >= 3)
        before = until(lambda: value(daemon, ratio))
    with running(tmp_path, probes={"a": probe}, sensors=BRISK, gates={"memory": "1000GiB"}) as daemon:
        assert until(lambda: value(daemon, ratio)) >= before
        assert runs(daemon, "a") == 0


def test_a_probe_by_hand_runs_and_says_what_the_daemon_would_wait_for(tmp_path: Path) -> None:
    """In one line on standard error, so that JSON on standard output stays JSON."""
    path = tmp_path / "edgemon.yml"
    path.write_text(
        '{gates: {memory: 1000GiB, only: ["00:00-24:00"]}, probes: {a: {runtime: fake, idle: 0, samples: 3}}}'
    )
    ran = edgemon(
        "probe", "a", "--rounds", "1", "--json", "--config", str(path), STATE_DIRECTORY=str(tmp_path / "state")
    )
    assert ran.returncode == 0
    assert re.fullmatch(
        r"edgemon: the daemon would wait now: memory \(\d+ MiB available, 1024000 MiB wanted\)\n", ran.stderr
    )
    assert '"outcome": "ok"' in ran.stdout
