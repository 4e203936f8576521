"""Reference kernels: fixed work that alternates with the model, so that a slow device and a slow model come apart.

`compute` fits the first-level cache and asks for the arithmetic units only, `memory` copies more than the last-level
cache holds. A runtime may bring its own, on its engine and device (`kernels()`); the rest comes from the standard
library. Standard library only, Python >= 3.8.
"""

import hashlib
import mmap
from contextlib import suppress
from typing import Any, Callable, Dict, NamedTuple

from edgemon.probe.witness import available, text

COMPUTE, MEMORY = "compute", "memory"
BLOCK = bytes(range(256)) * 64
HASHES = 32
LEAST_COPY, MOST_COPY = 8 << 20, 32 << 20
HERE, ACCELERATED = (256, 1), (1024, 4)
"""Size and depth of a product of matrices for a CPU, and for an accelerator, whose own overhead it must outweigh."""
SHARE = 0.05
"""Of the memory that is available, what the two buffers of a copy may take at most."""


class Kernel(NamedTuple):
    """What it is called in results, one call of it, and the multiply-accumulates of a call (0: it has none).

    The label of one that runs on the host's CPU whatever the model runs on begins with `host:`.
    """

    label: str
    call: Callable[[], Any]
    macs: int = 0


def product(where: str, size: int, depth: int, call: Callable[[], Any]) -> Kernel:
    """A product of square float32 matrices (`graphs`) on a device."""
    return Kernel("%s %d x %d x %d float32" % (where, depth, size, size), call, depth * size**3)


def kernels(runtime: Any, limit: int = 0) -> Dict[str, Kernel]:
    """The runtime's own reference kernels, and the standard library's for those it does not bring.

    `limit` is what the worker may use of memory, in bytes (0: no limit); a copy that does not fit is left out.
    """
    try:
        own = dict(getattr(runtime, "kernels", dict)())
        for one in own.values():
            one.call()
    except Exception:  # noqa: BLE001 - seam: an engine that refuses the reference graph still runs the model
        own = {}
    if COMPUTE not in own:
        own[COMPUTE] = sha256()
    size = 0 if MEMORY in own else copy_size(limit)
    if size:
        with suppress(OSError, MemoryError):  # without it a slow memory is not told from a slow model; better than none
            own[MEMORY] = copy(size)
    return own


def sha256() -> Kernel:
    """Digests of 16 KiB: the arithmetic units, the first-level cache, nothing else."""

    def call() -> None:
        for _ in range(HASHES):
            hashlib.sha256(BLOCK).digest()

    return Kernel("host: sha256 of %d KiB" % (HASHES * len(BLOCK) >> 10), call)


def copy(size: int) -> Kernel:
    """A copy of so many bytes from one buffer to another, in huge pages where the kernel gives them."""
    source, target = _buffer(size), _buffer(size)

    def call() -> None:
        target[:] = source

    return Kernel("host: copy of %d MiB" % (size >> 20), call)


def copy_size(limit: int = 0) -> int:
    """Bytes to copy: four times the last-level cache, from 8 to 32 MiB; 0 where memory is too short for it."""
    size = min(MOST_COPY, max(LEAST_COPY, 4 * last_level()))
    return size if 2 * size <= SHARE * min(available(), limit or available()) else 0


def last_level(root: str = "/sys/devices/system/cpu/cpu0/cache") -> int:
    """Bytes of the largest cache (Documentation/ABI/testing/sysfs-devices-system-cpu); 0 if it is not told."""
    return max([_size(text("%s/index%d/size" % (root, index))) for index in range(8)])


def _buffer(size: int) -> memoryview:
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them: ordinary pages are as good, only less alike from run to run
            pages.madvise(mmap.MADV_HUGEPAGE)
    view = memoryview(pages)
    for offset in range(0, size, len(BLOCK)):  # pages that were never written are all the same one
        view[offset : offset + len(BLOCK)] = BLOCK
    return view


def _size(told: str) -> int:
    digits = told.rstrip("KMG")
    return int(digits) << {"K": 10, "M": 20, "G": 30}.get(told[len(digits) :], 0) if digits.isdigit() else 0
