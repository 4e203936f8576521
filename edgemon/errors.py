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


class EdgemonError(Exception):
    """Base of all; its text is written for the person at the terminal."""


class ConfigError(EdgemonError, ValueError):
    """A configuration that cannot be used, with one line per problem: where, what, what is allowed."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class SetupError(EdgemonError, RuntimeError):
    """The environment refuses what was asked; says what to do about it."""


class CaptureError(EdgemonError, ValueError):
    """A file that is no capture, or cannot be read; names the line."""


class ExpressionError(EdgemonError, ValueError):
    """PromQL that cannot be evaluated, with one line per problem: `line:column: what, and what to use instead`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class CatalogError(EdgemonError, TypeError):
    """A metric was called with labels it does not declare: a programming error, found by tests."""
