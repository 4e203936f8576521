"""The most that reading one file may cost."""

UNITS = 500000
"""Some two seconds of Python; a model of ten thousand nodes takes half of them."""


class Budget:
    """Fields, list entries and nodes are paid for one by one: a hostile file costs no more, however it is made."""

    def __init__(self, units: int = UNITS) -> None:
        self._left = units

    def spend(self, units: int = 1) -> None:
        """Pay; ValueError when there is nothing left."""
        self._left -= units
        if self._left < 0:
            raise ValueError("the model is too large to be counted")
