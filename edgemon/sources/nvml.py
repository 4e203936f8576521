"""NVML, the NVIDIA driver's own library, through nvidia-ml-py: every GPU's fields as plain numbers in NVML's units.

`read()` gives `{"driver": "595.80", "gpus": [{"id": "0000:01:00.0", "power": 26780, …}]}`, or `{"error": "driver_not_
loaded", "detail": …, "gpus": []}`, or None where nvidia-ml-py is not installed. A field is there only if this GPU
answered it: NVML says "not supported" field by field (power on a Quadro P400, almost everything on a Jetson), and what
a GPU does not support is not asked again. A GPU that is lost has `error` instead of fields.

The library is initialised once. After a driver reload or update NVML fails until the process loads the new library:
then it is shut down, unloaded and loaded again, first after 5 s, at last every 5 minutes. NVML may hang in the kernel;
whoever comes meanwhile is told `busy` instead of hanging as well. Unit notes: docs.nvidia.com/deploy/nvml-api.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

FIRST, LONGEST = 5.0, 300.0
"""Seconds until NVML is initialised again after a failure; the pause doubles from one to the other."""
FRESH = 0.5
"""Seconds for which an answer serves every sensor that asks."""


class Query(NamedTuple):
    """Functions of which the first that works is taken, each with its arguments; and the parts of its answer by key."""

    calls: tuple[tuple[Any, ...], ...]
    parts: dict[str, str | int | None]


def one(key: str, *calls: tuple[Any, ...]) -> Query:
    """A query whose answer is one number or string."""
    return Query(calls, {key: None})


FIXED = (
    one("name", ("nvmlDeviceGetName",)),  # str
    one("vbios", ("nvmlDeviceGetVbiosVersion",)),  # str
    one("max_clock_sm", ("nvmlDeviceGetMaxClockInfo", 1)),  # MHz
    one("max_clock_memory", ("nvmlDeviceGetMaxClockInfo", 2)),  # MHz
    one("temperature_shutdown", ("nvmlDeviceGetTemperatureThreshold", 0)),  # °C
    one("temperature_slowdown", ("nvmlDeviceGetTemperatureThreshold", 1)),  # °C
    one("temperature_gpu_max", ("nvmlDeviceGetTemperatureThreshold", 3)),  # °C
    one(
        "reasons_supported",
        ("nvmlDeviceGetSupportedClocksEventReasons",),
        ("nvmlDeviceGetSupportedClocksThrottleReasons",),
    ),
    Query((("nvmlDeviceGetMigMode",),), {"mig": 0}),  # 1: cut into instances
)
POWER = (
    one("power", ("nvmlDeviceGetPowerUsage",)),  # mW
    one("energy", ("nvmlDeviceGetTotalEnergyConsumption",)),  # mJ since the driver was loaded
)
VARYING = (
    Query((("nvmlDeviceGetUtilizationRates",),), {"utilization": "gpu", "utilization_memory": "memory"}),  # %
    Query((("nvmlDeviceGetEncoderUtilization",),), {"utilization_encoder": 0}),  # %
    Query((("nvmlDeviceGetDecoderUtilization",),), {"utilization_decoder": 0}),  # %
    Query(  # bytes; version 2 does not count what the driver reserves as used
        (("nvmlDeviceGetMemoryInfo", 0x02000028), ("nvmlDeviceGetMemoryInfo",)),
        {"memory_used": "used", "memory_total": "total"},
    ),
    *POWER,
    one("clock_sm", ("nvmlDeviceGetClockInfo", 1)),  # MHz
    one("clock_memory", ("nvmlDeviceGetClockInfo", 2)),  # MHz
    one("temperature", ("nvmlDeviceGetTemperature", 0), ("nvmlDeviceGetTemperatureV", 0)),  # °C
    one("fan", ("nvmlDeviceGetFanSpeed",)),  # % of full speed
    one(  # bits
        "reasons",
        ("nvmlDeviceGetCurrentClocksEventReasons",),
        ("nvmlDeviceGetCurrentClocksThrottleReasons",),
    ),
    one("ecc_corrected", ("nvmlDeviceGetTotalEccErrors", 0, 1)),  # of the card's life
    one("ecc_uncorrected", ("nvmlDeviceGetTotalEccErrors", 1, 1)),
    one("replays", ("nvmlDeviceGetPcieReplayCounter",)),
)
ABSENT = frozenset(
    {
        "not_supported",
        "function_not_found",
        "no_permission",
        "invalid_argument",
        "argument_version_mismatch",
        "deprecated",
    }
)
LOST = frozenset({"gpu_is_lost", "reset_required", "gpu_not_found"})
BROKEN = frozenset({"uninitialized", "driver_not_loaded", "library_not_found", "lib_rm_version_mismatch"})


class NvmlError(Exception):
    """NVML said no; `code` is the name of its error in lower case."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class Client:
    """One process's NVML: the library, the GPUs it found, and what each of them does not support."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.answer: dict[str, Any] | None = None
        self._clock = clock
        self._nvml: Any = None
        self._codes: dict[int, str] = {}
        self._gpus: list[tuple[dict[str, Any], Any]] = []
        self._absent: set[tuple[Any, ...]] = set()
        self._driver = ""
        self._open = False
        self._at, self._due, self._pause = -LONGEST, -LONGEST, 0.0

    def read(self) -> dict[str, Any] | None:
        """The answer of now, or that of the last half second, or the failure until the next try is due."""
        now = self._clock()
        if self._nvml is None and not self._load():
            return None
        waiting = not self._open and now < self._due
        if not waiting and now - self._at >= FRESH:
            self._at = now
            self.answer = self._take(now)
        return self.answer

    def power(self) -> dict[str, Any] | None:
        """Power and energy alone, of the GPUs that the last `read` found; None while it finds none."""
        gpus = [self._gpu({"id": one["id"], "name": one.get("name", "")}, handle, POWER) for one, handle in self._gpus]
        return {"gpus": gpus} if self._open and gpus else None

    def _load(self) -> bool:
        try:
            self._nvml = importlib.import_module("pynvml")
        except ImportError:
            return False
        constants = vars(self._nvml).items()
        self._codes = {code: name[11:].lower() for name, code in constants if name.startswith("NVML_ERROR_")}
        return True

    def _take(self, now: float) -> dict[str, Any]:
        """Read every GPU; what fails as a whole closes NVML until the next try."""
        try:
            if self._open and self._pause and now >= self._due:
                self._close()
            if not self._open:
                self._start()
            answer = {"driver": self._driver, "gpus": [self._gpu(*gpu) for gpu in self._gpus]}
        except NvmlError as error:
            self._close()
            self._later(now)
            return {"error": error.code, "detail": str(error), "gpus": []}
        if not any("error" in gpu for gpu in answer["gpus"]):
            self._pause = 0.0
        elif now >= self._due:
            self._later(now)
        return answer

    def _later(self, now: float) -> None:
        self._pause = min(LONGEST, max(FIRST, 2 * self._pause))
        self._due = now + self._pause

    def _start(self) -> None:
        """Initialise; find the GPUs and what never changes about them."""
        self._ask("nvmlInit")
        self._open = True
        self._absent.clear()
        self._driver = str(self._ask("nvmlSystemGetDriverVersion"))
        self._gpus = [self._find(index) for index in range(self._ask("nvmlDeviceGetCount"))]

    def _find(self, index: int) -> tuple[dict[str, Any], Any]:
        """A GPU by its PCI address as the kernel writes it, with its fixed fields; `error` if it does not answer."""
        fixed: dict[str, Any] = {"id": ""}
        try:
            handle = self._ask("nvmlDeviceGetHandleByIndex", index)
            pci = self._ask("nvmlDeviceGetPciInfo", handle)
            fixed["id"] = f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"
            fixed["pci_id"] = f"{pci.pciDeviceId & 0xFFFF:04x}:{pci.pciDeviceId >> 16:04x}"
            self._fields(fixed, handle, FIXED)
        except NvmlError as error:
            if error.code in BROKEN:
                raise
            return {"id": fixed["id"], "error": error.code}, None
        fixed.pop("failures", None)
        return fixed, handle

    def _gpu(self, fixed: dict[str, Any], handle: Any, queries: tuple[Query, ...] = VARYING) -> dict[str, Any]:
        found = dict(fixed)
        try:
            if handle is not None:
                self._fields(found, handle, queries)
        except NvmlError as error:
            if error.code in BROKEN:
                raise
            return {"id": fixed["id"], "name": fixed.get("name", ""), "error": error.code}
        return found

    def _fields(self, found: dict[str, Any], handle: Any, queries: tuple[Query, ...]) -> None:
        """Fill in what the GPU answers; what is transient is counted and asked again, what ends the GPU is raised."""
        for query in queries:
            try:
                found |= self._query(found["id"], handle, query)
            except NvmlError as error:
                if error.code in LOST | BROKEN:
                    raise
                failures = found.setdefault("failures", {})
                failures[error.code] = failures.get(error.code, 0) + 1

    def _query(self, ident: str, handle: Any, query: Query) -> dict[str, Any]:
        for call in query.calls:
            if (ident, *call) in self._absent:
                continue
            try:
                value = self._ask(call[0], handle, *call[1:])
            except NvmlError as error:
                if error.code not in ABSENT:
                    raise
                self._absent.add((ident, *call))
            else:
                return {key: part(value, which) for key, which in query.parts.items()}
        return {}

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Call NVML; every way it can fail is an NvmlError."""
        try:
            return getattr(self._nvml, function)(*arguments)
        except self._nvml.NVMLError as error:
            code = self._codes.get(getattr(error, "value", -1), "unknown")
            raise NvmlError(code, str(error)) from None
        except (AttributeError, UnicodeDecodeError) as error:
            raise NvmlError("function_not_found", str(error)) from None

    def _close(self) -> None:
        """Shut down and unload, so that the next try loads the library that is installed then."""
        self._gpus, was, self._open = [], self._open, False
        if was:
            with contextlib.suppress(NvmlError):
                self._ask("nvmlShutdown")
        library, self._nvml.nvmlLib = getattr(self._nvml, "nvmlLib", None), None
        getattr(self._nvml, "_nvmlGetFunctionPointer_cache", {}).clear()
        if library is not None:
            importlib.import_module("_ctypes").dlclose(library._handle)  # noqa: SLF001 - ctypes has no public name


def part(value: Any, which: str | int | None) -> Any:
    """The attribute or item of an answer, or all of it."""
    if which is None:
        return value
    return value[which] if isinstance(which, int) else getattr(value, which)


CLIENT = Client()
LOCK = threading.Lock()


def alone(ask: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """The answer; `busy` while another thread is in NVML, where it may hang."""
    if not LOCK.acquire(blocking=False):
        return {"error": "busy", "detail": "an earlier call has not come back", "gpus": []}
    try:
        return ask()
    finally:
        LOCK.release()


def read() -> dict[str, Any] | None:
    """What NVML says now."""
    return alone(CLIENT.read)


def power() -> dict[str, Any] | None:
    """What NVML says of power and energy now, at a tenth of the cost of all; None before `read` has found a GPU."""
    return alone(CLIENT.power)
