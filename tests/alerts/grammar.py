"""Random expressions of the subset, well typed, over the series of `series.made`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from edgemon.alerts.promql.binary import ARITHMETIC, COMPARISON, SETS
from edgemon.alerts.promql.functions import PARTS, PLAIN
from edgemon.alerts.promql.overtime import FUNCTIONS as OVER_TIME

NAMES = {
    "gauge": ("host", "zone"),
    "level": ("host", "zone"),
    "jobs_total": ("host", "code"),
    "lag_bucket": ("host", "le"),
    "odd": ("host",),
    "sparse": ("host", "zone"),
    "info": ("host", "version"),
}
"""Metrics and their labels."""
VALUES = {
    "host": ("a", "b", "c"),
    "zone": ("1", "2"),
    "code": ("200", "500"),
    "le": ("0.5", "+Inf"),
    "version": ("1", "2"),
}
PATTERNS = ("a|b", ".*", ".+", "[a-c]", "", "(?i)A", "[^a]", r"\\d+", "5..", "^a$", "a?b?", "2|5.*", "[[:alnum:]]+")
LABELS = ("host", "zone", "code", "le", "version", "none")
RANGES = ("15s", "30s", "1m", "1m1ms", "5m", "7m30s", "20m")
SAMPLES = ("rate", "increase", "delta", "idelta", "irate", "deriv", *OVER_TIME)
NUMBERS = ("0", "1", "2", "0.5", "-1", "100", "1e3", "Inf", "-Inf", "NaN", "0.1", "3", "-0.5")

INEXACT = (
    "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh",
    "atanh", "^", "atan2",
)  # fmt: skip
"""What Go and C round differently in the last digits: outermost only, lest other functions make more of it."""
EXACT = sorted({*PLAIN, "round"} - {*INEXACT})
OPERATORS = sorted({*ARITHMETIC} - {*INEXACT})


class Grammar:
    """Expressions of bounded depth; `prefix` is that of the series' names."""

    def __init__(self, random: Random, prefix: str) -> None:
        self.random, self.prefix = random, prefix

    def expression(self) -> str:
        """One of them, mostly a vector."""
        depth = self.random.choice([1, 2, 2, 3, 3, 4])
        kinds = [self.scalar, self.inexact, self.sorted_by_label, self.vector]
        return self.random.choices(kinds, [5, 5, 2, 88])[0](depth)

    def sorted_by_label(self, depth: int) -> str:
        """Outermost only: where labels are missing Prometheus' order is any, and a sum over it too."""
        names = ", ".join(f'"{name}"' for name in self.random.sample(LABELS[:4], 2))
        return f"{self.random.choice(['sort_by_label', 'sort_by_label_desc'])}({self.vector(depth)}, {names})"

    def inexact(self, depth: int) -> str:
        """A function that is not the same in the last digits everywhere; see `tolerance`."""
        name, vector = self.random.choice(INEXACT), self.paren(self.vector(depth))
        return f"{vector} {name} {self.paren(self.scalar(1))}" if name in {"^", "atan2"} else f"{name}{vector}"

    def vector(self, depth: int) -> str:
        """An instant vector."""
        if depth <= 0:
            return self.selector() + self.modifier()
        kinds: list[tuple[int, Callable[[int], str]]] = [
            (10, self.over), (8, self.aggregate), (8, self.joined), (6, self.with_scalar), (4, self.set),
            (5, self.plain), (3, self.relabelled), (2, self.absent), (2, self.quantile), (3, self.shaped),
            (2, self.dated), (3, self.ranked), (2, self.sorted), (2, lambda d: f"-{self.paren(self.vector(d))}"),
            (2, lambda d: f"vector({self.scalar(d)})"), (3, lambda _d: self.selector() + self.modifier()),
        ]  # fmt: skip
        weights = [weight for weight, _ in kinds]
        return self.random.choices([make for _, make in kinds], weights)[0](depth - 1)

    def paren(self, text: str) -> str:
        """In parentheses."""
        return f"({text})"

    def selector(self, name: str = "") -> str:
        """Series of one name, or of several."""
        random = self.random
        chosen = name or random.choice([*NAMES])
        text = f"{self.prefix}_{chosen}"
        matchers = [self.matcher(chosen) for _ in range(random.choice([0, 0, 1, 1, 2]))]
        if not name and random.random() < 0.1:
            return "{" + ",".join([f'__name__=~"{self.prefix}_({chosen}|level)"', *matchers]) + "}"
        return text + ("{" + ",".join(matchers) + "}" if matchers else "")

    def matcher(self, name: str) -> str:
        """On a label of the metric, sometimes on one that it has not."""
        random = self.random
        label = random.choice(NAMES[name] if random.random() < 0.8 else [*VALUES])
        value = random.choice(VALUES[label] if random.random() < 0.8 else ("", "zz"))
        sign = random.choice(["=", "!=", "=~", "!~"])
        return f'{label}{sign}"{random.choice(PATTERNS) if "~" in sign else value}"'

    def modifier(self) -> str:
        """Of a selector or a subquery: an offset, a pin, both, or mostly nothing."""
        offset = self.random.choice([" offset 1m", " offset 7s", " offset 5m", " offset -1m", " offset 13m"])
        pin = self.random.choice([" @ end()", " @ start()"])
        return self.random.choice(["", "", "", "", "", offset, offset, pin, pin + offset])

    def matrix(self, depth: int) -> str:
        """A range vector."""
        if depth > 0 and self.random.random() < 0.25:
            step = self.random.choice(["", "15s", "30s", "1m", "47s"])
            return f"{self.paren(self.vector(depth - 1))}[{self.random.choice(RANGES)}:{step}]{self.modifier()}"
        return f"{self.selector()}[{self.random.choice(RANGES)}]{self.modifier()}"

    def over(self, depth: int) -> str:
        """A function of a range."""
        random, matrix = self.random, self.matrix(depth)
        kind = random.random()
        if kind < 0.1:
            return f"quantile_over_time({self.scalar(min(depth, 1))}, {matrix})"
        if kind < 0.2:
            return f"predict_linear({matrix}, {self.scalar(min(depth, 1))})"
        return f"{random.choice(SAMPLES)}({matrix})"

    def grouping(self) -> str:
        """by, without, or neither."""
        labels = ", ".join(self.random.sample(LABELS, self.random.randint(0, 2)))
        return self.random.choice(["", f"by ({labels})", f"without ({labels})"])

    def aggregate(self, depth: int) -> str:
        """One value a group."""
        name = self.random.choice(["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"])
        inner, grouping = self.vector(depth), self.grouping()
        kind = self.random.random()
        if kind < 0.1:
            return f"quantile {grouping} ({self.scalar(min(depth, 1))}, {inner})"
        if kind < 0.2:
            return f'count_values {grouping} ("value", {inner})'
        return f"{name} {grouping} ({inner})" if self.random.random() < 0.5 else f"{name}({inner}) {grouping}"

    def ranked(self, _depth: int) -> str:
        """The k best of values that are all different: of equals Prometheus may keep any."""
        name, chosen = self.random.choice(["topk", "bottomk"]), self.random.choice(["gauge", "sparse"])
        count = self.random.choice(["0", "1", "2", "3", "100", "-1", "1.9", "NaN"])
        return f"{name} {self.grouping()} ({count}, {self.selector(chosen)})"

    def matching(self, group: bool) -> str:
        """on or ignoring, and with group_left or group_right."""
        random = self.random
        labels = ", ".join(random.sample([*LABELS[:4], "__name__"][: random.choice([4, 5])], random.randint(0, 2)))
        how = random.choice([f" on ({labels})", " on (host)", " on (host, zone)", f" ignoring ({labels})"])
        side = random.choice([" group_left", " group_right"])
        include = random.choice([" ()", " ()", " (version)", " (none)", " (zone, none)"])
        return random.choice(["", how, how + (side + include if group else "")])

    def joined(self, depth: int) -> str:
        """Two vectors."""
        sign = self.random.choice([*OPERATORS, *COMPARISON])
        boolean = " bool" if sign in COMPARISON and self.random.random() < 0.3 else ""
        left, right = self.paren(self.vector(depth)), self.paren(self.vector(depth))
        if self.random.random() < 0.4:
            right = self.selector("info") if self.random.random() < 0.5 else left
        return f"{left} {sign}{boolean}{self.matching(True)} {right}"

    def with_scalar(self, depth: int) -> str:
        """A vector and a number."""
        sign = self.random.choice([*OPERATORS, *COMPARISON])
        boolean = " bool" if sign in COMPARISON and self.random.random() < 0.3 else ""
        sides = [self.paren(self.vector(depth)), self.paren(self.scalar(min(depth, 1)))]
        left, right = sides if self.random.random() < 0.7 else reversed(sides)
        return f"{left} {sign}{boolean} {right}"

    def set(self, depth: int) -> str:
        """A set operator."""
        sign = self.random.choice(SETS)
        return f"{self.paren(self.vector(depth))} {sign}{self.matching(False)} {self.paren(self.vector(depth))}"

    def plain(self, depth: int) -> str:
        """A function of each value."""
        return f"{self.random.choice(EXACT)}({self.vector(depth)})"

    def shaped(self, depth: int) -> str:
        """A function of each value and of numbers."""
        one, other, vector = self.scalar(min(depth, 1)), self.scalar(0), self.vector(depth)
        return self.random.choice(
            [f"clamp({vector}, {one}, {other})", f"clamp_min({vector}, {one})", f"clamp_max({vector}, {one})",
             f"round({vector}, {one})", f"timestamp({self.unpinned(depth)})", f"timestamp({self.selector()})"]
        )  # fmt: skip

    def relabelled(self, depth: int) -> str:
        """Other labels."""
        random, vector = self.random, self.vector(depth)
        target = random.choice(["host", "new", "zone", "__name__"])
        source = random.choice(["host", "zone", "__name__", "none"])
        if random.random() < 0.4:
            return f'label_join({vector}, "{target}", "{random.choice(["-", ""])}", "host", "{source}")'
        value = random.choice(["$1", "x-$1", "${1}y", "$1y", "", "$$", "$2", "${name}", "$", "z"])
        pattern = random.choice(["(.*)", "(a|b)", ".*(?P<name>.)", "", "(.)(.)?", "[^_]+_(.+)", "zz"])
        return f'label_replace({vector}, "{target}", "{value}", "{source}", "{pattern}")'

    def absent(self, depth: int) -> str:
        """Nothing there."""
        text = self.selector() if self.random.random() < 0.5 else f'{self.prefix}_none{{a="1",b!="2",host=~"x|y"}}'
        return self.random.choice(
            [
                f"absent({text})",
                f"absent_over_time({text}[5m])",
                f"absent({self.vector(depth)})",
                f"absent_over_time({self.matrix(depth)})",
            ]
        )

    def quantile(self, depth: int) -> str:
        """Of a histogram."""
        buckets = self.selector("lag_bucket")
        inner = self.random.choice(
            [
                buckets,
                f"rate({buckets}[5m])",
                f"sum by (le) (rate({buckets}[5m]))",
                f"sum by (le, host) ({buckets})",
                self.vector(depth),
            ]
        )
        return f"histogram_quantile({self.random.choice([*NUMBERS, '0.9', '0.99', '0.25'])}, {inner})"

    def unpinned(self, depth: int) -> str:
        """A vector that is no selector with both @ and offset, of which Prometheus' timestamp() forgets the offset."""
        vector = self.vector(depth)
        return f"({vector}) > 0" if " @ " in vector and " offset " in vector else vector

    def dated(self, depth: int) -> str:
        """A part of a date; of values that are dates."""
        part = self.random.choice([*PARTS])
        return self.random.choice(
            [f"{part}()", f"{part}(timestamp({self.unpinned(depth)}) * 1.5)", f"{part}(vector(time()))"]
        )

    def sorted(self, depth: int) -> str:
        """In an order."""
        return f"{self.random.choice(['sort', 'sort_desc'])}({self.vector(depth)})"

    def scalar(self, depth: int) -> str:
        """A number."""
        random = self.random
        if depth <= 0 or random.random() < 0.5:
            return random.choice(NUMBERS)
        sign = random.choice([*OPERATORS, *COMPARISON])
        boolean = " bool" if sign in COMPARISON else ""
        inner = self.scalar(depth - 1)
        both = f"({inner} {sign}{boolean} {self.scalar(depth - 1)})"
        return random.choice([f"scalar({self.vector(depth - 1)})", "time()", "pi()", both, f"-({inner})"])
