"""The history of a device: runs of probes, verdicts that changed, flips of alerts, re-benchmarks.

All of it is in the archive. Runs are its results; of verdicts only the changes are noted, of flips each once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from edgemon.alerts.flip import Flip, State
from edgemon.archive import Archive
from edgemon.finding import Finding
from edgemon.judge.statistics import median
from edgemon.probe.result import Outcome, Result
from edgemon.rebenching import reports
from edgemon.rebenchmark import KIND

RUN, VERDICT, FLIP = "run", "verdict", "flip"
KINDS = (RUN, VERDICT, FLIP, KIND)


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened at a Unix time; `text` says it to a person, `data` to programs."""

    at: float
    kind: str
    probe: str
    text: str
    data: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"at": self.at, "kind": self.kind, "probe": self.probe, **self.data}


class Chronicle:
    """Notes what happens. `archive` keeps it."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._last: dict[str, tuple[str, list[str]]] = {}

    def verdict(self, finding: Finding) -> None:
        """Note the verdict on a run, unless that was skipped, if state or foremost cause are others than noted last."""
        if finding.result.outcome is Outcome.SKIPPED:
            return
        name, data = finding.result.probe, _verdict(finding)
        before = self._last.get(name) or next(
            (_gist(one) for _, _, one in reversed(self._archive.notes(VERDICT, name))), None
        )
        self._last[name] = _gist(data)
        if before != self._last[name]:
            self._archive.note(VERDICT, name, finding.result.at, {**data, "before": before[0] if before else None})

    def flips(self, flips: Iterable[Flip]) -> None:
        """Note flips; one that is announced again is the same."""
        for one in flips:
            at = one.ends_at if one.state is State.RESOLVED else one.starts_at
            self._archive.note(FLIP, one.labels.get("probe", ""), at, one.to_json(), one.identity)


def _verdict(finding: Finding) -> dict[str, Any]:
    verdict = finding.verdict
    causes = [one.name for one in finding.causes[:1]]
    return {"state": verdict.state.value, "cause": verdict.cause, "text": verdict.text, "causes": causes}


def _gist(data: dict[str, Any]) -> tuple[str, list[str]]:
    return str(data.get("state")), list(data.get("causes") or [])


def entries(archive: Archive, probes: Iterable[str], probe: str = "", kinds: Iterable[str] = KINDS) -> list[Entry]:
    """Everything of one probe or all, in the order of time; `probes` are those whose runs there may be."""
    found: list[Entry] = []
    for kind in kinds:
        if kind == RUN:
            found += [_run(mark, one) for name in probes if probe in {name, ""} for mark, one in archive.results(name)]
        elif kind == KIND:
            found += [Entry(one.at, KIND, one.probe, str(one), one.to_json()) for one in reports(archive, probe)]
        else:
            found += _noted(archive, kind, probe)
    return sorted(found, key=lambda one: one.at)


def _noted(archive: Archive, kind: str, probe: str) -> Iterator[Entry]:
    for name, at, data in archive.notes(kind, probe):
        if kind == VERDICT:
            yield Entry(at, VERDICT, name, _verdict_text(data), data)
            continue
        try:
            flip = Flip.from_json(data)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        yield Entry(at, FLIP, name, _flip_text(flip), data)


def _run(mark: str, result: Result) -> Entry:
    middle = median(result.corrected) if result.corrected else None
    text = f"{middle * 1000:.3f} ms" if middle is not None else result.detail
    data = {
        "outcome": result.outcome.value, "detail": result.detail, "duration": middle, "inferences": result.inferences,
        "wall": result.wall_seconds, "fingerprint": mark,
    }  # fmt: skip
    return Entry(result.at, RUN, result.probe, f"{result.outcome.value}: {text}", data)


def _verdict_text(data: dict[str, Any]) -> str:
    why = f"; {', '.join(data['causes'])}" if data.get("causes") else ""
    return f"{data.get('before') or 'new'} -> {data.get('state')}: {data.get('text')}{why}"


def _flip_text(flip: Flip) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(flip.labels.items()) if name != "alertname")
    text = flip.annotations.get("description") or flip.annotations.get("summary") or ""
    return f"{flip.alertname} {flip.state.value}" + (f" ({labels})" if labels else "") + (f": {text}" if text else "")
