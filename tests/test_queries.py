"""One vocabulary: the queries of QUERIES.md, asked of a real Prometheus that holds every recorded device."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgemon
from tests import devices
from tests.peers import peer
from tests.running import stop, until
from tests.test_prometheus import Prometheus, free

pytestmark = pytest.mark.peer

TEXT = (Path(edgemon.__file__).parent / "QUERIES.md").read_text()
QUESTIONS = dict(re.findall(r"^(\S[^\n]*\?)\n\n```promql\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL))
SHARES = ("How busy is", "How full", "At what share")
LINE = re.compile(r"(\w+)\{(.*)\} (\S+)")

Answers = dict[str, list[tuple[dict[str, str], float]]]


def exposition(at: float) -> Iterator[str]:
    """Every golden file with its device as the instance, in OpenMetrics, families together."""
    families: dict[str, list[str]] = {}
    for device in devices.DEVICES:
        for line in (line for lines in devices.sections(device).values() for line in lines):
            match = LINE.fullmatch(line)
            assert match, line
            labels = ",".join(filter(None, [f'instance="{device}"', match[2]]))
            families.setdefault(match[1], []).append(f"{match[1]}{{{labels}}} {match[3]} {at:.3f}")
    for name in sorted(families):
        yield f"# TYPE {name} gauge" if not name.endswith("_total") else f"# TYPE {name.removesuffix('_total')} counter"
        yield from families[name]
    yield "# EOF\n"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus whose storage holds the goldens as of a minute ago; it scrapes nothing."""
    where, at = tmp_path_factory.mktemp("fleet"), time.time() - 60
    (where / "all.om").write_text("\n".join(exposition(at)))
    (where / "prometheus.yml").write_text("{}")
    create = [peer("promtool"), "tsdb", "create-blocks-from", "openmetrics", "all.om", "data"]
    subprocess.run(create, cwd=where, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    address = f"127.0.0.1:{free()}"
    arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (where / "log").open("wb") as log:
        process = subprocess.Popen(
            [peer("prometheus"), *arguments], cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    it = Prometheus(f"http://{address}", where)
    try:
        until(lambda: answering(it, process))
        yield it
    finally:
        stop(process)


def answering(it: Prometheus, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, it.log()
    try:
        return bool(it.query("count(edgemon_board_info)"))
    except (OSError, AssertionError):
        return False


@pytest.fixture(scope="module")
def answers(fleet: Prometheus) -> Answers:
    """What Prometheus says to each question."""
    return {question: fleet.query(text) for question, text in QUESTIONS.items()}


def of(answers: Answers, start: str) -> list[tuple[dict[str, str], float]]:
    (question,) = [one for one in answers if one.startswith(start)]
    return answers[question]


def named(answers: Answers, start: str) -> dict[str, float]:
    """Answers that have one value a device."""
    return {labels["instance"]: value for labels, value in of(answers, start)}


def test_the_page_has_a_question_for_every_query() -> None:
    assert len(QUESTIONS) == TEXT.count("```promql") > 15


def test_no_query_meets_labels_that_do_not_match_one_to_one(answers: Answers) -> None:
    """Prometheus refuses a many-to-many match; every question was answered without error."""
    assert set(answers) == set(QUESTIONS)


@pytest.mark.parametrize("start", SHARES)
def test_a_share_is_between_nothing_and_all_on_every_board(answers: Answers, start: str) -> None:
    found = of(answers, start)
    assert len({labels["instance"] for labels, _ in found}) >= 5
    assert not [(labels, value) for labels, value in found if not 0 <= value <= 1.0001]


def test_every_device_with_an_accelerator_names_its_vendor(answers: Answers) -> None:
    vendors = {labels["hw_vendor"] for labels, _ in of(answers, "What accelerators")}
    assert {"NVIDIA", "AMD", "Intel", "Google", "Hailo", "Rockchip", "Broadcom"} <= vendors


def test_the_power_of_each_device_counts_each_watt_once(answers: Answers) -> None:
    watts = named(answers, "How much power")
    expected = {
        "jetson-orin-nano-jp6-load": 12.479,  # the input alone, not the rails behind it
        "jetson-agx-orin-jp5": 1.5984 + 4.7952 + 3.7444,  # no input is measured: rails, less the one within another
        "jetson-tx2-jp4": 5.297,
        "raspberry-pi-5-pmic": 10.799894446988574,
        "nvidia-tesla-t4": 26.78,
        "amd-mi50": 26.0,
    }
    assert {device: watts[device] for device in expected} == pytest.approx(expected)
    assert "x86-node-exporter" not in watts  # what its battery gives is no consumer


def test_throttling_has_a_cause_wherever_it_is_seen(answers: Answers) -> None:
    now = {(labels["instance"], labels["cause"]) for labels, _ in of(answers, "Who is slowed down now")}
    assert {cause for _, cause in now} <= {"thermal", "power", "undervoltage", "software", "hardware"}
    assert {("coral-pcie-hot", "thermal"), ("raspberry-pi-5-hot", "thermal")} <= now


def test_a_hot_device_has_less_room_than_a_cool_one_of_its_kind(answers: Answers) -> None:
    room = named(answers, "How many degrees are left")
    assert room["coral-pcie-hot"] < room["coral-pcie"]


def test_what_cannot_work_is_found(answers: Answers) -> None:
    found = {(labels["instance"], labels["state"]) for labels, _ in of(answers, "Which accelerators cannot work")}
    assert {("coral-unbound", "unready"), ("hailo-8l-mismatch", "failed"), ("nvidia-mismatch", "failed")} <= found


@pytest.mark.parametrize("device", devices.DEVICES)
def test_a_rail_within_another_names_one_that_is_there_and_is_no_larger(device: str) -> None:
    """hw.parent of power and energy: known, without circles, and its parts are at most the whole."""
    for name in ("hw_power_watts", "hw_energy_joules_total"):
        rails: dict[str, tuple[str, float]] = {}
        for line in (line for lines in devices.sections(device).values() for line in lines):
            match = LINE.fullmatch(line)
            if match and match[1] == name:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', match[2]))
                assert labels["hw_id"] not in rails
                rails[labels["hw_id"]] = (labels.get("hw_parent", ""), float(match[3]))
        for ident, (parent, _) in rails.items():
            assert parent == "" or parent in rails
            above = [ident]
            while (up := rails[above[-1]][0]) and up not in above:
                above.append(up)
            assert not rails[above[-1]][0]
        for whole, (_, watts) in rails.items():
            assert sum(value for parent, value in rails.values() if parent == whole) <= watts * 1.0001
