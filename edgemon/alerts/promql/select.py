"""Selecting series: matchers, the snapshot indexed by name, and the history behind it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from edgemon.alerts.promql.classic import flat
from edgemon.alerts.promql.history import Column, History, last, windows
from edgemon.alerts.promql.values import NAME, Labels, Window, labelset
from edgemon.store import Series, Snapshot

LOOKBACK = 300_000
"""Milliseconds after which a sample no longer stands for its series: Prometheus' default of 5 minutes."""
REACH = 86_400_000 + LOOKBACK
"""Milliseconds that an expression may at most look back."""
TIERS = ((120_000, 1000), (1_200_000, 5000), (REACH, 60_000))
"""How far an expression looks back, and how far apart, in milliseconds, the samples are that it then sees at least.

It bounds what an evaluation costs when snapshots come every second: a window holds at most 1440 samples.
"""
Matcher = tuple[str, str, str]
"""Label, one of = != =~ !~, and the value or the (Python) pattern."""


def predicate(operator: str, value: str) -> Callable[[str], bool]:
    """Whether a label's value matches."""
    if operator in {"=~", "!~"}:
        match = re.compile(value).fullmatch
        return (lambda text: match(text) is not None) if operator == "=~" else (lambda text: match(text) is None)
    return (lambda text: text == value) if operator == "=" else (lambda text: text != value)


class Selector:
    """Matchers, with what they said of the series seen so far; `reach` is how many milliseconds back it looks."""

    def __init__(self, matchers: Iterable[Matcher], reach: int) -> None:
        self.matchers = tuple(matchers)
        names = [value for name, operator, value in self.matchers if (name, operator) == (NAME, "=")]
        self.name = names[0] if names else None
        self.reach = reach
        self.tier = next(tier for tier, (most, _) in enumerate(TIERS) if reach <= most)
        self._tests = [(name, predicate(operator, value)) for name, operator, value in self.matchers]
        self._known: dict[Labels, bool] = {}
        self._columns: list[Column] = []
        self._version = -1

    def matches(self, labels: Labels) -> bool:
        """Whether all matchers agree; a label that is not there has an empty value."""
        known = self._known.get(labels)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            value = dict(labels).get
            known = self._known[labels] = all(agrees(value(name, "")) for name, agrees in self._tests)
        return known

    def columns(self, history: History) -> list[Column]:
        """The columns of the history that it selects."""
        if self._version != history.version:
            named = history.columns
            families = [named.get(self.name, {})] if self.name is not None else list(named.values())
            self._columns = [one for family in families for one in family.values() if self.matches(one.labels)]
            self._version = history.version
        return self._columns


class Source:
    """The series that expressions read: the latest snapshot, and of what they look back on, the history."""

    def __init__(self) -> None:
        self.at = -1
        self._now: dict[str, list[tuple[Labels, float]]] = {}
        self.histories = [History(spacing) for _, spacing in TIERS]
        self.watched: list[Selector] = []
        """Those that look back."""
        self._labels: dict[Series, Labels] = {}
        self._depths: dict[Series, list[int]] = {}

    def watch(self, selector: Selector) -> None:
        """Keep the history of what a selector selects, from the next snapshot on."""
        self.watched.append(selector)
        self._depths.clear()

    def forget(self) -> None:
        """Watch nothing more, as before rules are loaded again; what is remembered stays for those that come."""
        self.watched.clear()
        self._depths.clear()

    def labels(self, series: Series) -> Labels:
        """The labels of a series, its name among them."""
        found = self._labels.get(series)
        if found is None:
            metric, values = series
            pairs = dict(zip(metric.prometheus_labels, values, strict=True))
            found = self._labels[series] = labelset({**pairs, NAME: metric.prometheus})
        return found

    def take(self, snapshot: Snapshot) -> None:
        """Read a snapshot; one that is not newer is left out."""
        stamp = round(snapshot.at * 1000)
        if stamp <= self.at:
            return
        self.at = stamp
        series = {**snapshot.series, **dict(flat(snapshot.histograms))} if snapshot.histograms else snapshot.series
        if len(self._labels) > 2 * len(series) + 100:
            self._labels.clear()
            self._depths.clear()
        self._now, labels = {}, self.labels
        for one, value in series.items():
            self._now.setdefault(one[0].prometheus, []).append((labels(one), value))
        if self.watched:
            self._remember(stamp, series)

    def _remember(self, stamp: int, series: Mapping[Series, float]) -> None:
        depths = [(one, value, self._depths.get(one) or self._depth(one)) for one, value in series.items()]
        for tier, history in enumerate(self.histories):
            if history.open(stamp):
                for one, value, wanted in depths:
                    if wanted[tier]:
                        history.put(one, self.labels(one), value, wanted[tier])
                history.close()

    def _depth(self, series: Series) -> list[int]:
        """How many milliseconds of a series are kept in each history."""
        labels, found = self.labels(series), [0] * len(TIERS)
        for one in self.watched:
            if one.matches(labels):
                found[one.tier] = max(found[one.tier], one.reach)
        self._depths[series] = found
        return found

    def instant(self, selector: Selector, at: int) -> Iterator[tuple[Labels, float, int]]:
        """Labels, value and time of the newest sample of each series at a time in milliseconds."""
        if 0 <= at - self.at < LOOKBACK and self.at >= 0:
            named = self._now
            families = [named.get(selector.name, [])] if selector.name is not None else list(named.values())
            for family in families:
                for labels, value in family:
                    if selector.matches(labels):
                        yield labels, value, self.at
        else:
            history = self.histories[selector.tier]
            yield from last(history, selector.columns(history), at, LOOKBACK)

    def windows(self, selector: Selector, start: int, end: int) -> Iterator[Window]:
        """The samples of each series after `start` and up to `end`."""
        history = self.histories[selector.tier]
        return windows(history, selector.columns(history), start, end)
