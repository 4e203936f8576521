"""Replay: a capture in memory reads as the machine did, moment by moment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemon.capture import Capture, Entry, Moment, load, parse, render
from edgemon.metric import Reading
from edgemon.platforms import discover
from edgemon.replay import Replay
from edgemon.sysfs import REMEMBER, Root
from tests import devices
from tests.devices import DEVICES, HERE
from tests.running import running, until

PLATFORMS = discover()


class Clock:
    """Seconds that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def readings(root: Root) -> list[str]:
    """Everything that every platform present reads, twice, for what needs two passes."""
    here = [one for one in PLATFORMS.values() if one.detect(root)]
    found: list[Reading] = [reading for one in here for reading in devices.sweep(root, one)]
    return devices.exposition(found)


@pytest.mark.parametrize("device", DEVICES)
def test_a_replay_reads_as_the_same_files_on_a_disk(device: str, tmp_path: Path) -> None:
    assert readings(Replay(load(str(HERE / f"{device}.capture")))) == readings(devices.unpack(device, tmp_path))


def test_later_moments_replace_add_and_take_away() -> None:
    first, second = "== /a\n1\n== /d/x\n1\n== /d/y\n1\n", "== @10s\n== /a\n2\n== /d/x !ENOENT\n== /n\n7\n"
    text = f"{first}{second}== @20s\n== /d !ENOENT\n== /a !EIO\n"
    clock = Clock()
    root = Replay(parse(text), clock=clock)
    views = []
    for clock.now in (0.0, 9.9, 10.0, 20.0, 1e6):
        views.append(
            (root.number("/a"), root.exists("/d/x"), root.number("/d/y"), root.number("/n"), root.exists("/d"))
        )
    before, between = (1.0, True, 1.0, None, True), (2.0, False, 1.0, 7.0, True)
    after = (None, False, None, 7.0, False)
    assert views == [before, before, between, after, after]
    assert root.errors == {"EIO": 2}


def test_calls_and_programs_answer_as_they_did_or_fail_as_they_did() -> None:
    root = Replay(parse('== call psutil.f(all=False)\n[1, {"a": null}]\n== run tool -q\n30\nC\n== run other !EACCES\n'))
    assert root.call("psutil.f", all=False) == [1, {"a": None}]
    assert root.call("psutil.f", all=True) is None
    assert root.run("tool", "-q") == "30\nC\n"
    assert (root.run("tool"), root.errors) == (None, {})
    assert (root.run("other"), root.errors) == (None, {"EACCES": 1})


def test_links_lead_through_links_up_and_to_the_top() -> None:
    text = """== /sys/class/hwmon/hwmon0 -> ../../devices/i2c/hwmon0
== /sys/class/hwmon/hwmon0/device -> ../../chip
== /sys/class/hwmon/hwmon0/name
ina
== /sys/devices/chip/model
x
== /abs -> /sys/class/hwmon
== /round -> /round/again
"""
    root = Replay(parse(text))
    assert root.text("/abs/hwmon0/name") == root.text("/sys/devices/i2c/hwmon0/name") == "ina"
    assert root.link("/abs/hwmon0/device") == "/sys/devices/chip"
    assert root.text("/sys/class/hwmon/hwmon0/device/model") == "x"
    assert root.glob("/sys/class/hwmon/*/*") == ["/sys/class/hwmon/hwmon0/device", "/sys/class/hwmon/hwmon0/name"]
    assert root.text("/round/x") is None


@given(
    some.dictionaries(
        some.sampled_from(["/a", "/a/b", "/a/b/c", "/d", "/d/a"]), some.sampled_from(["/a", "/d", "b", "..", "../d/a"])
    )
)
def test_no_tangle_of_links_hangs_or_raises(links: dict[str, str]) -> None:
    root = Replay(Capture("", (Moment(0.0, {key: Entry(target=target) for key, target in links.items()}),)))
    for path in ("/a", "/a/b", "/a/b/c", "/d/a/b"):
        root.text(path)
        root.glob(f"{path}/*")
        assert root.link(path).startswith("/") or root.link(path) == ""


def test_reading_a_folder_and_listing_a_file_fail_as_on_a_disk(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("1")
    for root in (Root(str(tmp_path)), Replay(parse("== /d/\n== /f\n1\n"))):
        assert (root.text("/d"), root.glob("/f/*"), root.text("/f/x")) == (None, [], None)
        assert root.errors == {"EISDIR": 1}


def test_a_recorded_thermal_episode_replays_at_its_own_times() -> None:
    """raspberry-pi-4-heating: from 68.7 to 81.8 °C in two minutes, and the cap that follows."""
    clock = Clock()
    root = Replay(load(str(HERE / "raspberry-pi-4-heating.capture")), clock=clock)
    seen = {}
    for clock.now in (0.0, 63.0, 126.0 + REMEMBER):
        seen[clock.now] = [
            line for line in readings(root) if line.startswith(("hw_temperature_celsius", "edgemon_throttled{"))
        ]
    temperatures = [float(line.split()[-1]) for lines in seen.values() for line in lines if line.startswith("hw_")]
    assert temperatures == [68.7, 76.4, 81.3]
    capped = 'edgemon_throttled{hw_id="soc/cap",hw_name="arm frequency cap",cause="thermal"}'
    assert f"{capped} 0.0" in seen[0.0]
    assert f"{capped} 1.0" in seen[126.0 + REMEMBER]


def over_time(device: str, times: list[float]) -> list[dict[str, float]]:
    """The series of a captured machine at so many seconds after its first moment."""
    clock = Clock()
    root = Replay(load(str(HERE / f"{device}.capture")), clock=clock)
    found = []
    for clock.now in times:
        pairs = (line.rsplit(" ", 1) for line in readings(root))
        found.append({name: float(value) for name, value in pairs})
    return found


def test_an_undervoltage_is_seen_while_it_lasts_and_remembered_afterwards() -> None:
    """raspberry-pi-3-undervoltage: two dips of 4 and 8 seconds; alarm and flags rise and fall with them."""
    moments = over_time("raspberry-pi-3-undervoltage", [0, 10.4, 10.5, 14.6, 14.7, 20.9, 29.1, 29.2, 1000])
    low = 'hw_id="soc/undervoltage",hw_name="under-voltage",cause="undervoltage"'
    slow = 'hw_id="soc/throttle",hw_name="throttling",cause="undervoltage"'
    assert [one[f"edgemon_throttled{{{low}}}"] for one in moments] == [0, 0, 1, 1, 0, 1, 1, 0, 0]
    assert [one[f"edgemon_throttled{{{slow}}}"] for one in moments] == [0, 0, 1, 1, 0, 1, 1, 0, 0]
    assert [one[f"edgemon_throttled_since_boot{{{low}}}"] for one in moments] == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert not any(one[name] for one in moments for name in one if 'cause="thermal"' in name)


def test_a_thermal_runaway_goes_from_warm_to_throttled_to_the_limit() -> None:
    """jetson-agx-orin-runaway: clocks hold while it heats, fall when the kernel throttles, and heat is the cause."""
    times = [0, 44, 89, 134, 179, 223, 268, 313, 358, 403, 448, 493, 538]
    moments = over_time("jetson-agx-orin-runaway", [float(one) for one in times])
    zone = 'hw_id="SOC2-therm",hw_name="SOC2-therm"'
    heat = [one[f"hw_temperature_celsius{{{zone}}}"] for one in moments]
    assert heat == sorted(heat)
    assert heat[6] == 83.9
    assert heat[-1] == moments[0][f'hw_temperature_limit_celsius{{{zone},hw_limit_type="high.critical"}}']
    hot = 'edgemon_throttled{hw_id="cpufreq-cpu0",hw_name="cpufreq-cpu0",cause="thermal"}'
    assert [one[hot] for one in moments] == [0] * 9 + [1] * 4
    clock = [one['system_cpu_frequency_hertz{cpu_logical_number="0"}'] for one in moments]
    assert min(clock[:9]) > 2.1e9
    assert clock[9:] == sorted(clock[9:], reverse=True)
    assert clock[-1] == 115e6
    assert not any(
        one[name] for one in moments for name in one if 'hw_id="policy0",hw_name="policy0",cause="softw' in name
    )


def test_a_replay_never_touches_this_machine(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("1")
    root = Replay(parse("== /x\n1\n"), name=str(tmp_path))
    assert root.text("/real") is None
    assert root.text(f"{tmp_path}/real") is None
    assert root.call("os.uname") is None
    assert render(parse("== /x\n1\n")) == "== /x\n1\n"


EPISODE = """# source: made up
== /proc/device-tree/model
Raspberry Pi 4 Model B Rev 1.1
== /sys/class/thermal/thermal_zone0/type
cpu-thermal
== /sys/class/thermal/thermal_zone0/temp
60000
== @3s
== /sys/class/thermal/thermal_zone0/temp
84000
"""


def test_the_whole_daemon_runs_on_a_capture_over_time_and_says_that_it_is_simulated(tmp_path: Path) -> None:
    """Sensors follow the capture, a real probe runs, and the metrics, the page and the log tell that it is a replay."""
    (tmp_path / "episode.capture").write_text(EPISODE)
    file = str(tmp_path / "episode.capture")
    with running(tmp_path, root=file, sensors={"interval": "200ms"}, probes={"a": {"runtime": "fake"}}) as daemon:
        hot = 'hw_temperature_celsius{hw_id="cpu-thermal",hw_name="cpu-thermal"} '
        until(lambda: f"{hot}60.0" in daemon.get("/metrics")[1])
        until(lambda: f"{hot}84.0" in daemon.get("/metrics")[1])
        text = until(lambda: (found := daemon.get("/metrics")[1]) * ("edgemon_probe_info" in found))
        assert re.search(
            r'^target_info{.*device_model_identifier="Raspberry Pi 4[^}]*edgemon_simulated="true"', text, re.MULTILINE
        )
        assert re.search(r'^edgemon_probe_info{.*simulated="true"', text, re.MULTILINE)
        assert "Raspberry Pi 4 Model B Rev 1.1 (simulated)" in daemon.get("/")[1]
        assert f"simulated: {file} is replayed, probes run on this machine" in daemon.log()
