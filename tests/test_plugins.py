"""Plugins: a platform from another package is found by entry point; a broken one costs itself only."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemon import plugins
from edgemon.platforms import Platform, discover, here
from edgemon.survey import present
from edgemon.sysfs import Root
from tests import devices
from tests.running import HERE, running, until
from tests.test_daemon import BRISK, edgemon, series

GOOD = """
from edgemon import catalog
from edgemon.platforms import Platform, Sensor

def read(root):
    yield catalog.LOAD_1M(42.0)

PLATFORM = Platform("acme", lambda root: True, (Sensor("load", read),))
"""
BROKEN = {
    "raises": "raise RuntimeError('driver too old')",
    "missing": "import no_such_driver_library",
    "syntax": "def",
    "exits": "import sys; sys.exit(5)",
    "absent": "OTHER = 1",
    "type": "PLATFORM = 'acme'",
    "sensors": "from edgemon.platforms import Platform\nPLATFORM = Platform('x', bool, ('load',))",
    "detect": "from edgemon.platforms import Platform\ndef no(root): raise OSError(5, 'I/O error')\n"
    "PLATFORM = Platform('detect', no, ())",
}


def install(where: Path, name: str, code: str, points: str = "") -> None:
    """What pip leaves behind: a module, and a dist-info that names it."""
    (where / f"edgemon_{name}.py").write_text(code)
    info = where / f"edgemon_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: edgemon-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points or f"[edgemon.platforms]\n{name} = edgemon_{name}:PLATFORM\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on the path, for this process and those it starts."""
    where = tmp_path / "site"
    where.mkdir()
    monkeypatch.syspath_prepend(str(where))
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{where}")
    yield where
    for name in [name for name in sys.modules if name.startswith("edgemon_")]:
        del sys.modules[name]


def test_an_installed_platform_is_found_by_its_entry_point(site: Path) -> None:
    install(site, "acme", GOOD)
    assert ("acme", "edgemon_acme:PLATFORM") in plugins.installed()
    assert discover(plugins.installed())["acme"].sensors[0].name == "load"


def test_a_plugin_replaces_the_built_in_platform_of_its_name(site: Path) -> None:
    install(site, "acme", GOOD.replace('"acme"', '"linux"'))
    assert [sensor.name for sensor in discover(plugins.installed())["linux"].sensors] == ["load"]


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_broken_plugin_is_logged_and_left_out(site: Path, how: str, caplog: pytest.LogCaptureFixture) -> None:
    """One line that names it and why; every other platform is there."""
    install(site, how, BROKEN[how])
    install(site, "acme", GOOD)
    caplog.set_level(logging.WARNING)
    names = [one.name for one in present(discover(plugins.installed()), Root(), ())]
    assert "acme" in names
    assert "linux" in names
    assert how not in names
    (record,) = [one for one in caplog.records if one.getMessage().startswith(f"platform {how} cannot be ")]
    assert record.exc_info is None


WHOLE = '''
"""Acme's NPU: /sys/class/acme/npu*/{clock_mhz,busy_percent} (its own kernel module)."""

from edgemon import hardware
from edgemon.platforms import Platform, Sensor

def detect(root):
    return bool(root.glob("/sys/class/acme/npu*"))

def npu(root):
    for path in root.glob("/sys/class/acme/npu*"):
        labels = (path.rpartition("/")[2], "Acme NPU", "npu")
        yield hardware.FREQUENCY(root.number(f"{path}/clock_mhz", 1e6), *labels)
        yield hardware.UTILIZATION(root.number(f"{path}/busy_percent", 0.01), *labels)

PLATFORM = Platform("acme", detect, (Sensor("npu", npu),))
'''
CAPTURE = """# device: Acme board
# evidence: synthetic
# source: made up for this test
== /sys/class/acme/npu0/clock_mhz
800
== /sys/class/acme/npu0/busy_percent
25
"""
GOLDEN = """# platform: acme
edgemon_accelerator_frequency_hertz{hw_id="npu0",hw_name="Acme NPU",hw_type="npu"} 800000000.0
edgemon_accelerator_utilization_ratio{hw_id="npu0",hw_name="Acme NPU",hw_type="npu"} 0.25
"""


def test_a_new_platform_is_one_module_one_capture_and_one_golden_file(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, Platform], None]
) -> None:
    """From another package, with nothing edited here: tested by the same fixture, read by the same command."""
    install(site, "acme", WHOLE)
    (tmp_path / "acme-board.capture").write_text(CAPTURE)
    (tmp_path / "acme-board.prom").write_text(GOLDEN)
    monkeypatch.setattr(devices, "HERE", tmp_path)
    acme = discover(plugins.installed())["acme"]
    golden("acme-board", acme)
    assert (tmp_path / "acme-board.prom").read_text() == GOLDEN
    ran = edgemon("sense", "--json", "--root", str(tmp_path / "acme-board.capture"), PYTHONPATH=f"{HERE}:{site}")
    (sensed,) = [one for one in json.loads(ran.stdout) if one["sensor"].startswith("acme")]
    assert sensed["state"] == "ok"
    assert len(sensed["readings"]) == 2


@pytest.mark.parametrize(
    "where", ["nothing", "no.such.module:PLATFORM", "edgemon:NOTHING", ":", "edgemon.platforms:here"]
)
def test_an_entry_point_that_leads_nowhere_is_logged(where: str, caplog: pytest.LogCaptureFixture) -> None:
    found = discover([("odd", where)])
    assert "linux" in found
    assert "platform odd cannot be loaded: " in caplog.text


def test_a_platform_that_cannot_say_whether_it_is_here_is_not(caplog: pytest.LogCaptureFixture) -> None:
    def detect(root: Root) -> bool:
        raise PermissionError(13, "Permission denied")

    assert here(Platform("odd", detect, ()), Root()) is False
    assert "platform odd cannot be detected: PermissionError" in caplog.text


def test_entry_points_that_cannot_be_parsed_keep_nobody_from_starting(site: Path) -> None:
    install(site, "odd", GOOD, points="[edgemon.platforms\nno = equals = sign\n\nwords alone\n")
    assert edgemon("devices", PYTHONPATH=f"{HERE}:{site}").returncode == 0


def test_devices_shows_a_third_party_platform_and_says_what_is_broken(site: Path) -> None:
    install(site, "acme", GOOD)
    install(site, "raises", BROKEN["raises"])
    ran = edgemon("devices", "--json", PYTHONPATH=f"{HERE}:{site}")
    assert [sensor["sensor"] for sensor in json.loads(ran.stdout)["platforms"]["acme"]] == ["load"]
    assert "platform raises cannot be loaded: RuntimeError: driver too old" in ran.stderr


def test_a_plugin_can_be_disabled_by_name_and_by_sensor(site: Path, tmp_path: Path) -> None:
    install(site, "acme", GOOD)
    for name in ("acme", "acme.load"):
        path = tmp_path / "edgemon.yml"
        path.write_text(f"sensors: {{disable: [{name}]}}\nprobes: {{}}\n")
        sensed = json.loads(edgemon("sense", "--json", "--config", str(path), PYTHONPATH=f"{HERE}:{site}").stdout)
        assert not [one for one in sensed if one["sensor"].startswith("acme")]
        assert edgemon("check", "--config", str(path), PYTHONPATH=f"{HERE}:{site}").returncode == 0


def test_the_daemon_reads_a_third_party_platform_beside_broken_ones(site: Path, tmp_path: Path) -> None:
    """It starts, serves the plugin's readings, and its log names each broken one."""
    install(site, "acme", GOOD)
    for how, code in BROKEN.items():
        install(site, how, code)
    sensors = {**BRISK, "disable": ["linux.load"]}
    with running(tmp_path, {"PYTHONPATH": f"{HERE}:{site}"}, probes={}, sensors=sensors) as daemon:
        until(lambda: series(daemon).get("system_cpu_load_average_1m") == 42.0)
        assert series(daemon)['edgemon_sensor_state{platform="acme",sensor="load",state="ok"}'] == 1
        log = daemon.log()
    assert all(f"WARNING platform {how} cannot be " in log for how in BROKEN)
    assert "Traceback" not in log
