"""`edgemon compare`: runs or devices side by side."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgemon import cli, exchange
from edgemon.archive import Archive
from edgemon.errors import SetupError
from edgemon.judge.baseline import Baseline, round_of
from edgemon.judge.compare import Change, Trend
from edgemon.judge.epoch import ENOUGH, MOST, epochs, gathered
from edgemon.judge.verdict import interval
from edgemon.probe.result import Outcome

if TYPE_CHECKING:  # it takes hashes, which load OpenSSL: no other command is to carry that
    from edgemon.judge.contrast import Contrast, Side

TEXT = """Compare what probes measured: devices, versions, settings. The first is what the others are held against.

Each of A, B, … is a file of baselines (edgemon baseline export), a probe, which is its baseline, or PROBE@now, which is
its latest rounds, or PROBE@FINGERPRINT, an earlier baseline. Of files that hold several probes each is compared."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command."""
    it = cli.configured(cli.command(commands, "compare", TEXT))
    it.add_argument("sides", nargs="+", metavar="A", help="a file, PROBE, PROBE@now or PROBE@FINGERPRINT; two at least")
    it.add_argument("--effect", type=_share, default=0.05, help="smallest change that counts (default: %(default)s)")
    form = it.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return it


def run(chosen: argparse.Namespace) -> int:
    """Compare; 1 when any is certainly slower than the first."""
    from edgemon.judge.contrast import contrasts  # noqa: PLC0415

    if len(chosen.sides) < 2:
        raise SetupError("compare takes two sides at least, such as: edgemon compare detector detector@now")
    archive = Archive(cli.state(cli.settings(chosen.config)))
    found = [_sides(word, archive) for word in chosen.sides]
    probes = [name for name in found[0] if all(name in one for one in found)]
    if not probes:
        raise SetupError(f"no probe is in all of {', '.join(chosen.sides)}; they have {_names(found)}")
    result = {name: [one[name] for one in found] for name in probes}
    taken = {name: contrasts(sides, chosen.effect) for name, sides in result.items()}
    shape = _json if chosen.json else _markdown if chosen.markdown else _text
    print(shape(result, taken))
    return 1 if any(one.model.trend is Trend.SLOWER for rows in taken.values() for one in rows) else 0


def _sides(word: str, archive: Archive) -> dict[str, Side]:
    """What an argument means, by probe."""
    from edgemon.judge.contrast import Side  # noqa: PLC0415

    if os.path.exists(word) or word.endswith(".json") or "/" in word:
        label = os.path.basename(word).removesuffix(".json")
        return {one.probe: Side(label, one) for one in reversed(exchange.load(word))}
    probe, _, which = word.partition("@")
    found = _now(probe, archive) if which == "now" else _kept(probe, which, archive)
    return {probe: Side(word, found)}


def _kept(probe: str, which: str, archive: Archive) -> Baseline:
    known = [one for one in archive.baselines() if one.probe == probe and one.fingerprint.startswith(which)]
    if not known:
        raise SetupError(f"{probe} has no baseline{f' {which}' if which else ''}; see: edgemon baseline list")
    return known[0]


def _now(probe: str, archive: Archive) -> Baseline:
    """The latest rounds in a row of one fingerprint."""
    kept = [(mark, one) for mark, one in archive.results(probe) if one.outcome is Outcome.OK]
    epoch = epochs(round_of(one, mark) for mark, one in kept)[-1:]
    if not epoch or len(epoch[0].rounds) < ENOUGH:
        raise SetupError(f"{probe} has fewer than {ENOUGH} rounds; run: edgemon probe {probe}")
    return gathered(probe, archive.key(epoch[0].fingerprint), epoch[0].rounds[-MOST:])


def _names(found: Sequence[dict[str, Side]]) -> str:
    return " / ".join(", ".join(one) for one in found)


def _text(sides: dict[str, list[Side]], taken: dict[str, list[Contrast]]) -> str:
    blocks = []
    for probe, rows in sides.items():
        width = max(len(one.label) for one in rows)
        lines = [probe, f"  {rows[0].label:<{width}}  {_rounds(rows[0].rounds)}"]
        for one in taken[probe]:
            lines.append(f"  {one.side.label:<{width}}  {_rounds(one.side.rounds)}  {_said(one)}")
            lines += [f"  {'':<{width}}  {name}: {said}" for name, said in _why(one)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _rounds(one: Baseline) -> str:
    spread = (max(one.rounds) - min(one.rounds)) / one.median
    return f"{one.median * 1000:>10.3f} ms  {len(one.rounds):>2} rounds, spread {spread:.1%}"


def _said(one: Contrast) -> str:
    words = {Trend.SAME: "the same", Trend.UNSURE: "not certain", Trend.SLOWER: "slower", Trend.FASTER: "faster"}
    return f"{interval(one.model)} {words[one.model.trend]} (A12 {one.larger:.2f}, p {one.p:.2g})"


def _why(one: Contrast) -> list[tuple[str, str]]:
    rows = [(f"{name} kernel", interval(change)) for name, change in one.references.items()]
    rows += [("model over compute kernel", interval(one.relative))] if one.relative else []
    outputs = ", ".join(f"{name} {value:.3g}" for name, value in one.outputs.items())
    rows += [("outputs", outputs)] if outputs else []
    return rows + list(one.differences.items())


def _markdown(sides: dict[str, list[Side]], taken: dict[str, list[Contrast]]) -> str:
    lines = ["| probe | side | median | rounds | change | model over compute kernel | differs in |", "|---" * 7 + "|"]
    for probe, rows in sides.items():
        lines.append(f"{_cells(probe, rows[0])} | | | |")
        for one in taken[probe]:
            relative = interval(one.relative) if one.relative else ""
            differs = "; ".join(f"{name} {said}" for name, said in one.differences.items()).replace("|", "\\|")
            lines.append(f"{_cells(probe, one.side)} | {_said(one)} | {relative} | {differs} |")
    return "\n".join(lines)


def _cells(probe: str, side: Side) -> str:
    return f"| {probe} | {side.label} | {side.rounds.median * 1000:.3f} ms | {len(side.rounds.rounds)}"


def _json(sides: dict[str, list[Side]], taken: dict[str, list[Contrast]]) -> str:
    return json.dumps({probe: [_plain(rows[0]), *map(_row, taken[probe])] for probe, rows in sides.items()}, indent=2)


def _plain(side: Side) -> dict[str, object]:
    one = side.rounds
    return {"side": side.label, "fingerprint": one.fingerprint, "median": one.median, "rounds": list(one.rounds)}


def _row(one: Contrast) -> dict[str, object]:
    return {
        **_plain(one.side),
        "change": _change(one.model),
        "relative": _change(one.relative) if one.relative else None,
        "references": {name: _change(change) for name, change in one.references.items()},
        "a12": one.larger,
        "p": one.p,
        "differences": dict(one.differences),
        "outputs": dict(one.outputs),
    }


def _change(one: Change) -> dict[str, object]:
    bounds = [one.low, one.high] if 0 < one.low <= one.high < math.inf else None
    return {"ratio": one.ratio, "bounds": bounds, "trend": one.trend.value}


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = math.nan
    if not 0.005 <= share <= 10:
        raise argparse.ArgumentTypeError(f"{value} is not a number from 0.005 to 10; 0.05 is 5 %")
    return share
