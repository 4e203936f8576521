"""What the overview page shows of a running daemon."""

from __future__ import annotations

from collections.abc import Iterable

from edgemon.collect import Source
from edgemon.finding import Finding, summary
from edgemon.gates import Held
from edgemon.metric import State
from edgemon.platforms import Platform
from edgemon.sinks.pages import Overview, Row


def overview(
    device: str,
    system: str,
    here: Iterable[Platform],
    sources: Iterable[Source],
    probes: Iterable[tuple[str, Finding | None, Held | None]],
) -> Overview:
    """The device, its platforms with what they read, and its probes with their verdicts and what they wait for."""
    states: dict[str, dict[str, State]] = {}
    for one in sources:
        states.setdefault(one.platform, {})[one.sensor.name] = one.state
    platforms = [_row(one.name, states.get(one.name, {})) for one in here]
    return Overview(device, system, platforms, [_probe(*one) for one in probes])


def line(sources: Iterable[Source], probes: Iterable[tuple[str, Finding | None, Held | None]]) -> str:
    """Verdicts, and the sensors that fail, in one line, as `systemctl status` shows it."""
    told = [f"{row.name}: {row.state}" for row in (_probe(*one) for one in probes)]
    bad = [f"{one.name} {one.state.value}" for one in sources if one.state not in {State.OK, State.ABSENT}]
    return "; ".join([f"probes {', '.join(told)}" if told else "no probes", *bad])


def _probe(name: str, finding: Finding | None, held: Held | None) -> Row:
    """A probe with its verdict, and why it does not run."""
    waits = f"waiting: {held}" if held else ""
    if finding is None:
        return Row(name, "waiting", waits or "has not run yet")
    text, causes = summary(finding), tuple(str(one) for one in finding.causes)
    advice = finding.verdict.advice
    return Row(name, finding.verdict.state.value, f"{text}; {waits}" if waits else text, advice, causes)


def _row(name: str, states: dict[str, State]) -> Row:
    """What a platform reads, and what of it fails."""
    good = [sensor for sensor, state in states.items() if state is State.OK]
    bad = [f"{sensor} {state.value}" for sensor, state in states.items() if state not in {State.OK, State.ABSENT}]
    text = ", ".join(good + bad) or "nothing of this kind on this device"
    return Row(name, "error" if bad else "ok" if good else "absent", text)
