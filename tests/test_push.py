"""The daemon itself, pushing: born in 1970, without a receiver, killed and started anew; it arrives, at its time."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests import faketime
from tests.running import HERE, Running, running, until
from tests.sinks.otlp.receivers import PATIENCE, Database, victoria
from tests.test_daemon import series
from tests.test_prometheus import free

pytestmark = pytest.mark.peer
NAMES = ("points_total", "sent_points_total", "buffered_points")


def counted(daemon: Running) -> tuple[float, float, float, float]:
    """Metric points collected, sent, buffered and dropped, which add up in every scrape."""
    found = series(daemon)
    collected, sent, buffered = (found.get(f'edgemon_otlp_{name}{{signal="metrics"}}', 0.0) for name in NAMES)
    dropped = sum(seen for name, seen in found.items() if name.startswith("edgemon_otlp_dropped_points_total"))
    assert collected == sent + buffered + dropped
    return collected, sent, buffered, dropped


def samples(database: Database) -> list[tuple[float, float]]:
    """Time and value of the daemon's uptime, as they arrived."""
    found = database.get("query", query="process_uptime_seconds[1d]", time=str(time.time() + 600))["result"]
    return [(float(at), float(value)) for one in found for at, value in one["values"]]


def test_a_daemon_born_in_1970_and_killed_off_line_sends_what_it_has_written(tmp_path: Path) -> None:
    """Its samples tell how long it has run, so that each shows whether its time is right; no two have the same time."""
    port, stamp = free(), tmp_path / "stamp"
    env = faketime.set_by(stamp, f"{86400 - int(time.time()):+d}", tmp_path, str(HERE))
    settings: dict[str, Any] = {
        "probes": {},
        "sensors": {"interval": "300ms"},
        "otlp": {
            "endpoint": f"http://127.0.0.1:{port}/opentelemetry",
            "interval": "300ms",
            "buffer": {"durability": "300ms", "spread": "0"},
        },
    }
    begun = [time.time()]
    with running(tmp_path, env, **settings) as daemon:
        begun.append(time.time())
        until(lambda: series(daemon).get("edgemon_otlp_buffer_written_bytes_total", 0.0) > 0, PATIENCE)
        assert counted(daemon)[1] == 0
        daemon.process.kill()
        daemon.process.wait()
    begun.append(time.time())
    with running(tmp_path, env, **settings) as daemon:
        begun.append(time.time())
        until(lambda: counted(daemon)[2], PATIENCE)
        assert series(daemon)['edgemon_clock_state{state="none"}'] == 1
        with victoria(tmp_path / "db", port=port) as database:
            until(lambda: counted(daemon)[1] > counted(daemon)[2] and counted(daemon)[3] == 0, PATIENCE)
            assert series(daemon)['edgemon_clock_state{state="server"}'] == 1
            stamp.write_text("+0")
            until(lambda: series(daemon)["edgemon_clock_steps_total"], PATIENCE)
            before = counted(daemon)[1]
            until(lambda: counted(daemon)[1] > before, PATIENCE)
            found = until(lambda: samples(database), PATIENCE)
    starts = [at - uptime for at, uptime in found]
    first = [start for start in starts if begun[0] - 3 < start < begun[1] + 3]
    second = [start for start in starts if begun[2] - 3 < start < begun[3] + 3]
    assert first
    assert second
    assert len(set(first) | set(second)) == len(set(starts))
    assert all(later[0] - earlier[0] > 0.01 for earlier, later in pairwise(sorted(found)))
