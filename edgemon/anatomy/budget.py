"""The most that reading one file may cost."""

import time

from edgemon import protobuf

UNITS = 500000
"""Some two seconds of Python; a model of ten thousand nodes takes half of them."""
SECONDS = 5.0
"""On a slow device the time is over first."""


class Budget(protobuf.Budget):
    """Fields, list entries and nodes are paid for one by one: a hostile file costs no more, however it is made."""

    def __init__(self, units: int = UNITS, seconds: float = SECONDS) -> None:
        super().__init__(units)
        self._look = units - 1000
        self._end = time.monotonic() + seconds

    def spend(self, units: int = 1) -> None:
        """Pay; ValueError when nothing is left, or no time."""
        self._left -= units
        if self._left < 0:
            raise ValueError("the model is too large to be counted")
        if self._left < self._look:
            self._look = self._left - 1000
            if time.monotonic() > self._end:
                raise ValueError("the model takes too long to be counted on this device")
