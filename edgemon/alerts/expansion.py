"""Templates that were parsed: what they see, and how they are expanded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgemon.alerts import gofmt
from edgemon.alerts.gofmt import Value
from edgemon.alerts.human import MismatchError, TemplateError, true


class Scope(NamedTuple):
    """What a template sees."""

    labels: Mapping[str, str] = {}
    value: float = 0.0
    external: Mapping[str, str] = {}
    url: str = ""


Give = Callable[[Scope], Value]


class RefusedError(ValueError):
    """A template that cannot be used, with one line per problem: `line:column: what`."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(slots=True)
class Branches:
    """An if with its else-ifs, and an else as one that is always true."""

    arms: list[tuple[Give | None, list[Part]]] = field(default_factory=list)


Part = str | Branches | Callable[[Scope], Value]


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was parsed."""

    text: str
    parts: Sequence[Part]

    def expand(self, scope: Scope) -> str:
        """The text; TemplateError where a value does not fit a function."""
        return "".join(_expanded(self.parts, scope))

    def check(self) -> None:
        """RefusedError when types do not fit in any branch."""
        try:
            _check(self.parts)
        except MismatchError as error:
            raise RefusedError(str(error)) from None


def _expanded(parts: Sequence[Part], scope: Scope) -> list[str]:
    found: list[str] = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, Branches):
            arm = next((body for test, body in part.arms if test is None or true(test(scope))), [])
            found += _expanded(arm, scope)
        else:
            found.append(gofmt.plain(part(scope)))
    return found


def _check(parts: Sequence[Part]) -> None:
    for part in parts:
        if isinstance(part, Branches):
            for test, body in part.arms:
                _try(test or (lambda _scope: True))
                _check(body)
        elif not isinstance(part, str):
            _try(part)


def _try(give: Give) -> None:
    try:
        give(Scope())
    except MismatchError:
        raise
    except TemplateError:
        pass  # a label that is no number here may be one there
