"""Everything edgemon raises for a caller to catch.

EdgemonError
├── ConfigError      the configuration cannot be used; carries every problem found, not only the first
├── SetupError       the environment refuses: port in use, state directory locked, probe unknown
├── CaptureError     a file is no capture; says which line
├── ExpressionError  PromQL that is none, or that a device cannot evaluate; carries every problem, with its place
└── CatalogError     code asked for a metric or a label the catalogue does not declare

Broad `except Exception` stands at a few seams only, each turning the failure into data: loading a plugin
(`platforms.discover`), running a sensor (`collect`), running a runtime (`probe.worker`, and its reference graph in
`probe.kernels`), delivering to a sink (`sinks.http`), parsing an expression (`alerts.promql.complain`). A test
counts them.
"""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """The text in one line that moves no cursor and turns no writing around; files of strangers are quoted in it."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class EdgemonError(Exception):
    """Base of all; its text is written for the person at the terminal."""


class ConfigError(EdgemonError, ValueError):
    """A configuration that cannot be used, with one line per problem: where, what, what is allowed."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(printable, problems))
        super().__init__("\n".join(self.problems))


class SetupError(EdgemonError, RuntimeError):
    """The environment refuses what was asked; says what to do about it."""


class CaptureError(EdgemonError, ValueError):
    """A file that is no capture, or cannot be read; names the line."""

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class ExpressionError(EdgemonError, ValueError):
    """PromQL that cannot be evaluated, with one line per problem: `line:column: what, and what to use instead`."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(map(printable, problems))
        super().__init__("\n".join(self.problems))


class CatalogError(EdgemonError, TypeError):
    """A metric was called with labels it does not declare: a programming error, found by tests."""
