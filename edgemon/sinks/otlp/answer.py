"""What came of sending a request."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgemon.anatomy.budget import Budget
from edgemon.anatomy.protobuf import fields, text


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome` is delivered, partial (`rejected` points were not taken), refused (never send it again) or retry.

    `wait` are the seconds that the receiver asks for before the next attempt, `date` is its clock, Unix time, where it
    tells.
    """

    outcome: str
    rejected: int = 0
    wait: float | None = None
    detail: str = ""
    date: float | None = None

    def hidden(self, detail: str) -> Answer:
        """The same with another detail."""
        return replace(self, detail=detail)


def message(body: bytes) -> str:
    """The message of a google.rpc.Status, as OTLP sends it with an error; nothing when it is none."""
    try:
        budget = Budget()
        found = [text(value, budget) for number, value in fields(memoryview(body), budget) if number == 2]
    except ValueError:
        return ""
    return found[0] if found else ""
