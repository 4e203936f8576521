"""The daemon as a process: it starts or says why not, follows its configuration, survives, and ends when told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgemon.archive import Archive
from tests.running import HERE, Running, running, until
from tests.test_archive import apart

QUICK: dict[str, Any] = {
    "model": "/simulated", "runtime": "fake", "interval": "1s", "idle": 0, "samples": 3, "seconds": "100ms",
    "scheduling": "normal",  # it has a second, beside the other tests
    "options": {"work": 20},
}  # fmt: skip
"""A probe that takes a fifth of a second."""
SPIN = {"runtime": "fake", "interval": "60s", "timeout": "60s", "options": {"behaviour": "spin"}}
BRISK = {"interval": "200ms"}


def edgemon(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; whatever went wrong, it is a sentence."""
    ran = subprocess.run(
        [sys.executable, "-m", "edgemon", *arguments],
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(HERE), **env},
    )  # fmt: skip
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran


def configure(where: Path, **settings: Any) -> str:
    """Write a configuration and give its path."""
    path = where / "edgemon.yml"
    path.write_text(json.dumps({"listen": "127.0.0.1:0", "state_dir": str(where / "state"), **settings}))
    return str(path)


def series(daemon: Running) -> dict[str, float]:
    """Every series of a scrape."""
    lines = [line for line in daemon.get("/metrics")[1].splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def value(daemon: Running, name: str) -> float | None:
    return series(daemon).get(name)


def instance(daemon: Running) -> str:
    found = re.search(r'service_instance_id="([^"]+)"', daemon.get("/metrics")[1])
    assert found
    return found[1]


def workers(daemon: Running) -> list[psutil.Process]:
    """The workers that run now; the child that reads the configuration is none."""
    try:
        children = psutil.Process(daemon.pid).children()
        return [one for one in children if any(part.endswith("worker.py") for part in one.cmdline())]
    except psutil.NoSuchProcess:
        return []


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def reload(daemon: Running, **settings: Any) -> None:
    """Change the configuration and have it read."""
    address = {"listen": json.loads((daemon.where / "edgemon.yml").read_text())["listen"]}
    configure(daemon.where, **{**address, **settings})
    daemon.process.send_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_five_seconds_also_while_a_probe_runs(tmp_path: Path, number: signal.Signals) -> None:
    """Exit status 0, no worker is left behind, the log says that it stops."""
    with running(tmp_path, probes={"slow": SPIN}, sensors=BRISK) as daemon:
        (worker,) = until(lambda: workers(daemon))
        daemon.process.send_signal(number)
        assert daemon.process.wait(5.0) == 0
        assert not alive(worker)
        assert daemon.log().endswith("INFO    stopping\n")


def test_ready_health_overview_and_metrics_answer(tmp_path: Path) -> None:
    with running(tmp_path, probes={"a": QUICK}, sensors=BRISK) as daemon:
        assert daemon.get("/healthz") == (200, "ok\n")
        assert "waiting" in daemon.get("/")[1] or "undecided" in daemon.get("/")[1]
        until(lambda: value(daemon, 'edgemon_probe_runs_total{probe="a",outcome="ok"}'))
        assert daemon.get("/readyz")[0] == 200


def test_a_good_configuration_is_taken_over_without_a_restart(tmp_path: Path) -> None:
    """Probes come and go, and so do sensors with all they ever said; the process stays the same."""
    with running(tmp_path, probes={"a": QUICK, "b": QUICK}, sensors=BRISK) as daemon:
        until(lambda: value(daemon, 'edgemon_probe_runs_total{probe="b",outcome="ok"}'))
        before = series(daemon)
        assert any(name.startswith("system_network_io") for name in before)
        reload(daemon, probes={"a": QUICK, "c": QUICK}, sensors={**BRISK, "disable": ["linux.network", "hwmon"]})
        until(lambda: value(daemon, 'edgemon_probe_runs_total{probe="c",outcome="ok"}'))
        after = series(daemon)
        assert not [name for name in after if 'probe="b"' in name or name.startswith("system_network_io")]
        assert not [name for name in after if 'sensor="network"' in name or 'platform="hwmon"' in name]
        assert after['edgemon_probe_runs_total{probe="a",outcome="ok"}'] >= 1
        assert after["edgemon_config_reload_successful"] == 1
        assert after["edgemon_config_reload_timestamp_seconds"] > before["edgemon_config_reload_timestamp_seconds"]
        assert after["process_uptime_seconds"] > before["process_uptime_seconds"]
        assert "configuration reloaded: probes a, c" in daemon.log()
        reload(daemon, probes={}, sensors=BRISK)
        until(lambda: any(name.startswith("system_network_io") for name in series(daemon)))
        assert not [name for name in series(daemon) if "probe=" in name]


def test_a_bad_configuration_changes_nothing_and_is_said(tmp_path: Path) -> None:
    """The old one goes on, the metric is 0, every problem is in the log; a good one then makes it 1 again."""
    with running(tmp_path, probes={"a": QUICK}, sensors=BRISK) as daemon:
        reload(daemon, probes={"b": {"samples": 1}}, sensors={"intervall": "1s"})
        until(lambda: value(daemon, "edgemon_config_reload_successful") == 0)
        log = daemon.log()
        assert "sensors.intervall: unknown key; did you mean interval?" in log
        assert "probes.b.samples: 1 must be a whole number from 3 to 10000" in log
        assert "the configuration was not reloaded; the old one goes on" in log
        runs = value(daemon, 'edgemon_probe_runs_total{probe="a",outcome="ok"}') or 0
        until(lambda: (value(daemon, 'edgemon_probe_runs_total{probe="a",outcome="ok"}') or 0) > runs)
        reload(daemon, probes={"a": QUICK}, sensors=BRISK)
        until(lambda: value(daemon, "edgemon_config_reload_successful") == 1)
        (tmp_path / "edgemon.yml").unlink()
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: value(daemon, "edgemon_config_reload_successful") == 0)
        assert "cannot be read: no such file or directory" in daemon.log()


def test_a_changed_listen_or_state_dir_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, probes={}, sensors=BRISK) as daemon:
        reload(daemon, listen="127.0.0.1:1", state_dir=str(tmp_path / "other"), probes={"a": QUICK}, sensors=BRISK)
        until(lambda: value(daemon, "edgemon_config_reload_successful") == 0)
        assert "listen: cannot change while edgemon runs; restart it" in daemon.log()
        assert "state_dir: cannot change while edgemon runs; restart it" in daemon.log()
        assert "probes none" in daemon.log()
        assert not [name for name in series(daemon) if "probe=" in name]


def test_reloading_leaks_neither_threads_nor_descriptors(tmp_path: Path) -> None:
    """After four more reloads there are as many as after the first."""
    settings: dict[str, Any] = {"probes": {"a": SPIN}, "sensors": BRISK}
    with running(tmp_path, **settings) as daemon:
        until(lambda: workers(daemon))
        counts = []
        for count in range(1, 6):
            reload(daemon, **settings)
            until(lambda count=count: daemon.log().count("configuration reloaded") == count)
            done = value(daemon, 'edgemon_lane_runs_total{lane="sensing"}') or 0
            until(lambda done=done: (value(daemon, 'edgemon_lane_runs_total{lane="sensing"}') or 0) > done + 2)
            found = series(daemon)
            counts.append([found["edgemon_process_threads"], found["edgemon_process_descriptors"]])
    assert counts[-1] == counts[0]


def test_a_storm_of_hangups_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    """A signal may arrive anywhere in the main thread; none is ever deadlocked on."""
    with running(tmp_path, probes={"slow": SPIN}, sensors=BRISK) as daemon:
        (worker,) = until(lambda: workers(daemon))
        for _ in range(2000):
            daemon.process.send_signal(signal.SIGHUP)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(5.0) == 0
        assert not alive(worker)


def test_a_port_in_use_is_exit_3_and_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = edgemon("run", "--config", configure(tmp_path, listen=address))
    assert ran.returncode == 3
    assert ran.stderr == f"edgemon: cannot listen on {address}: is in use; stop the other program or set listen:\n"


@pytest.mark.parametrize("address", ["203.0.113.1:80", "no-such-host.invalid:80"])
def test_an_address_that_is_not_ours_is_exit_3_and_a_sentence(tmp_path: Path, address: str) -> None:
    ran = edgemon("run", "--config", configure(tmp_path, listen=address))
    assert ran.returncode == 3
    assert ran.stderr.startswith(f"edgemon: cannot listen on {address}: ")


def test_a_second_daemon_on_the_same_state_is_exit_3_and_names_the_remedy(tmp_path: Path) -> None:
    with running(tmp_path, probes={}) as daemon:
        ran = edgemon("run", "--config", configure(tmp_path))
        assert ran.returncode == 3
        remedy = f"another edgemon runs on {tmp_path}/state; stop it, or give this one its own state_dir:"
        assert ran.stderr == f"edgemon: {remedy}\n"
        assert daemon.get("/healthz")[0] == 200


def test_a_bad_configuration_is_exit_2_with_every_problem(tmp_path: Path) -> None:
    path = configure(tmp_path, colour="red", sensors={"interval": 3})
    ran = edgemon("run", "--config", path)
    assert ran.returncode == 2
    allowed = "must be a duration from 100ms to 1h, such as 30s or 1m30s; write the unit: 3s"
    known = (
        "listen, web_config, state_dir, log_level, log_format, sensors, budget, gates, triggers, rebenchmark, probes, "
        "notify, otlp, rules, thresholds"
    )
    assert ran.stderr.splitlines() == [
        f"edgemon: {path}: sensors.interval: 3 {allowed}",
        f"edgemon: {path}: colour: unknown key; known keys: {known}",
    ]


def test_without_a_usable_state_directory_it_runs_in_memory(tmp_path: Path) -> None:
    """Probes and sensors work; where things are kept is exported and said."""
    (tmp_path / "file").write_text("")
    state = str(tmp_path / "file/state")
    with running(tmp_path, state_dir=state, probes={"a": QUICK}, sensors=BRISK) as daemon:
        until(lambda: value(daemon, 'edgemon_probe_runs_total{probe="a",outcome="ok"}'))
        found = series(daemon)
        assert [found[f'edgemon_archive_state{{state="{one}"}}'] for one in ("disk", "memory", "failing")] == [0, 1, 0]
        assert found["edgemon_archive_errors_total"] == 1
        assert f"WARNING {state} cannot be used, keeping results in memory" in daemon.log()
        daemon.process.terminate()
        assert daemon.process.wait(5.0) == 0


def test_on_a_read_only_state_directory_it_runs_in_memory(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    path = configure(tmp_path, probes={"a": QUICK}, sensors=BRISK)
    said = apart(
        tmp_path / "state",
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"',
        f"""
        from tests.running import *
        from tests.test_daemon import series
        log = Path({str(tmp_path)!r}) / "log"
        daemon = subprocess.Popen([sys.executable, "-m", "edgemon", "run", "--config", {path!r}],
                                  stdout=log.open("wb"), stderr=subprocess.STDOUT)
        import re
        url = until(lambda: re.search(r"metrics at (http://[^/]+)", log.read_text()))[1]
        here = Running(url, daemon, log.parent)
        name = 'edgemon_probe_runs_total{{probe="a",outcome="ok"}}'
        found = until(lambda: (now := series(here)) and now.get(name) and now)
        daemon.terminate()
        said.update(memory=found['edgemon_archive_state{{state="memory"}}'], status=daemon.wait(5))
        """,
    )
    assert (said["memory"], said["status"]) == (1, 0)


def test_a_killed_daemon_comes_back_as_itself(tmp_path: Path) -> None:
    """kill -9 takes its worker along; the next start has the same instance id, baseline and results."""
    settings: dict[str, Any] = {"probes": {"a": QUICK, "slow": SPIN}, "sensors": BRISK}
    recorded = edgemon("baseline", "record", "a", "--rounds", "3", "--config", configure(tmp_path, **settings))
    assert recorded.returncode == 0
    name = 'edgemon_probe_baseline_duration_seconds{probe="a"}'
    with running(tmp_path, **settings) as daemon:
        before = until(lambda: value(daemon, name))
        (worker,) = until(lambda: workers(daemon))
        identity = instance(daemon)
        daemon.process.kill()
        daemon.process.wait()
        until(lambda: not alive(worker), 5.0)
    with running(tmp_path, **settings) as daemon:
        assert until(lambda: value(daemon, name)) == before
        assert instance(daemon) == identity
        assert value(daemon, 'edgemon_archive_state{state="disk"}') == 1
    archive = Archive(str(tmp_path / "state"))
    assert len(archive.results("a")) >= 1
    archive.close()


def test_log_lines_are_time_level_and_sentence(tmp_path: Path) -> None:
    with running(tmp_path, probes={"a": QUICK, "no": {**QUICK, "options": {"behaviour": "raise"}}}) as daemon:
        until(lambda: "probe no" in daemon.log() and "probe a" in daemon.log())
        lines = daemon.log().splitlines()
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d (INFO|WARNING|ERROR) +\S.*", line) for line in lines), lines
    assert re.search(r"WARNING probe no: failing: .*told to raise", "\n".join(lines))
    assert len([line for line in lines if "probe a" in line]) <= 2  # said when it changes, not each time


def test_the_log_level_is_followed(tmp_path: Path) -> None:
    """With warnings only, even the reload says nothing."""
    with running(tmp_path, probes={}, sensors=BRISK) as daemon:
        before, read = daemon.log(), value(daemon, "edgemon_config_reload_timestamp_seconds")
        reload(daemon, log_level="warning", probes={}, sensors=BRISK)
        until(lambda: value(daemon, "edgemon_config_reload_timestamp_seconds") != read)
        assert daemon.log() == before


def test_a_probe_that_crashes_each_time_does_not_disturb_sensing(tmp_path: Path) -> None:
    """Each crash costs its own turn: sweeps go on without a miss, other probes run, no lane fails."""
    probes = {"bad": {**QUICK, "options": {"behaviour": "segfault"}}, "good": QUICK}
    with running(tmp_path, probes=probes, sensors={"interval": "500ms"}) as daemon:
        runs = 'edgemon_probe_runs_total{{probe="{}",outcome="{}"}}'
        until(lambda: (value(daemon, runs.format("bad", "crashed")) or 0) >= 3)
        until(lambda: (value(daemon, runs.format("good", "ok")) or 0) >= 2)
        found = series(daemon)
    assert found['edgemon_lane_failures_total{lane="probing"}'] == 0
    assert found['edgemon_lane_failures_total{lane="sensing"}'] == 0
    assert found['edgemon_lane_missed_total{lane="sensing"}'] <= 1
    assert found['edgemon_lane_runs_total{lane="sensing"}'] >= found["process_uptime_seconds"] / 0.5 - 2
    assert found['edgemon_probe_verdict{probe="bad",state="failing"}'] == 1


def test_a_probe_by_hand_waits_for_the_daemons_own(tmp_path: Path) -> None:
    """Two at once would measure each other; the daemon's timeout of 2 s ends the wait, and the command measures."""
    busy = {**SPIN, "timeout": "2s", "interval": "60s"}
    with running(tmp_path, probes={"busy": busy, "a": {**QUICK, "interval": "1h"}}, sensors=BRISK) as daemon:
        until(lambda: workers(daemon))
        path = str(tmp_path / "edgemon.yml")
        ran = edgemon("probe", "a", "--rounds", "1", "--json", "--config", path)
        assert ran.returncode == 0
        assert json.loads(ran.stdout)["outcome"] == "ok"
        assert value(daemon, 'edgemon_probe_runs_total{probe="busy",outcome="timeout"}') == 1


def test_the_daemon_skips_a_turn_while_a_probe_by_hand_runs(tmp_path: Path) -> None:
    """The turn is counted as skipped, and the last finding stays."""
    with running(tmp_path, probes={"a": QUICK, "long": {**SPIN, "interval": "1h", "timeout": "2s"}}) as daemon:
        path = str(tmp_path / "edgemon.yml")
        until(lambda: value(daemon, 'edgemon_probe_runs_total{probe="a",outcome="ok"}'))
        edgemon("probe", "long", "--rounds", "1", "--config", path)
        until(lambda: value(daemon, 'edgemon_probe_skipped_total{probe="a",reason="busy"}'))
        assert value(daemon, 'edgemon_probe_outcome{probe="a",outcome="skipped"}') == 0
