"""What came of sending a request."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Answer:
    """`outcome` is delivered, partial (`rejected` points were not taken), refused (never send it again) or retry.

    `wait` are the seconds that the receiver asks for before the next attempt, `date` is its clock, Unix time, where it
    tells, `by` whose answer it is.
    """

    outcome: str
    rejected: int = 0
    wait: float | None = None
    detail: str = ""
    date: float | None = None
    by: str = "the receiver"

    def hidden(self, detail: str) -> Answer:
        """The same with another detail."""
        return replace(self, detail=detail)
