"""What a model file is made of: its multiply-accumulates and its parameters, with the share of it that was counted.

Read by edgemon itself, in the worker, from ONNX and LiteRT files: standard library only, Python >= 3.8, weights never
read, and no file, however broken, costs more than a bounded time and memory. Nothing is guessed: what is not known
lowers the coverage.
"""

import mmap
from typing import Any, Dict, Mapping, Sequence

from edgemon.anatomy import onnx, tflite
from edgemon.anatomy.tally import Tally


def count(path: str, shapes: Mapping[str, Sequence[int]]) -> Dict[str, Any]:
    """The facts of a model file for inputs of these shapes (`tally.Tally.result`); ValueError when it has none."""
    try:
        with open(path, "rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise ValueError("model %s cannot be read to count it: %s" % (path, str(error).lower())) from None
    kind, reader = ("LiteRT", tflite) if bytes(data[4:8]) == tflite.IDENTIFIER else ("ONNX", onnx)
    try:
        tally: Tally = reader.count(data, shapes)
    except ValueError as error:
        raise ValueError("read as %s: %s" % (kind, error)) from None
    return tally.result()
