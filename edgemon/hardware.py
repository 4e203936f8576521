"""The vocabulary of accelerators, throttling and power: the same metrics on every board, so that one query fits all.

Part of the catalogue. OpenTelemetry knows GPUs (`hw.gpu.*`) but neither NPUs nor TPUs nor throttling; one family for
all accelerators, told apart by hw.type (gpu, npu, tpu, dla, codec, vision, audio, memory), serves a mixed fleet better.
`hw.id` is stable over reboots (a bus address or the kernel's device name), never an index that changes.
"""

from __future__ import annotations

from edgemon.metric import Kind, Metric

COUNTER, GAUGE, UPDOWN, INFO = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN, Kind.INFO
ACCELERATOR = ("hw.id", "hw.name", "hw.type")

BOARD_INFO = Metric(
    "edgemon.board.info",
    "",
    INFO,
    "The board: model, SoC, and the vendor's software release.",
    ("model", "soc", "release"),
)
POWER_MODE = Metric("edgemon.power.mode.info", "", INFO, "The power mode in force.", ("hw.id", "mode"))
ACCELERATOR_INFO = Metric(
    "edgemon.accelerator.info",
    "",
    INFO,
    "An accelerator that is present.",
    (*ACCELERATOR, "hw.vendor", "hw.model", "hw.driver_version", "hw.firmware_version"),
)
ACCELERATOR_PRESENT = Metric(
    "edgemon.accelerator.present",
    "",
    GAUGE,
    "1 while an accelerator is here, 0 for one that is not and was within the last seven days, over restarts too.",
    ACCELERATOR,
)
UTILIZATION = Metric("edgemon.accelerator.utilization", "1", GAUGE, "Share of time it worked.", ACCELERATOR)
BUSY_TIME = Metric("edgemon.accelerator.busy.time", "s", COUNTER, "Time it worked.", ACCELERATOR)
MEMORY_USAGE = Metric("edgemon.accelerator.memory.usage", "By", UPDOWN, "Memory in use.", ACCELERATOR)
MEMORY_LIMIT = Metric("edgemon.accelerator.memory.limit", "By", UPDOWN, "Memory it has, or may use.", ACCELERATOR)
FREQUENCY = Metric("edgemon.accelerator.frequency", "Hz", GAUGE, "Clock now.", ACCELERATOR)
FREQUENCY_LIMIT = Metric(
    "edgemon.accelerator.frequency.limit",
    "Hz",
    GAUGE,
    "Clock limits: min and max are the hardware's, throttled is the most that is allowed now.",
    (*ACCELERATOR, "hw.limit_type"),
)
ACCELERATOR_STATE = Metric(
    "edgemon.accelerator.state", "", GAUGE, "1 for the state: ok, unready, failed, off.", (*ACCELERATOR, "state")
)
ACCELERATOR_ERRORS = Metric("hw.errors", "{error}", COUNTER, "Errors it counted.", ("hw.id", "hw.type", "error.type"))
LINK_TRANSFERS = Metric(
    "edgemon.pci.link.transfers",
    "{transfer}/s",
    GAUGE,
    "Transfers a second on each lane of the accelerator's PCIe link now; a GPU lowers it while idle.",
    ("hw.id",),
)
LINK_WIDTH = Metric("edgemon.pci.link.width", "{lane}", GAUGE, "Lanes of the PCIe link now.", ("hw.id",))
LINK_TRANSFERS_LIMIT = Metric(
    "edgemon.pci.link.transfers.limit", "{transfer}/s", GAUGE, "The most that both ends of the link can do.", ("hw.id",)
)
LINK_WIDTH_LIMIT = Metric(
    "edgemon.pci.link.width.limit", "{lane}", GAUGE, "The most that both ends of the link can do.", ("hw.id",)
)
CAUSES = ("thermal", "power", "undervoltage", "software", "hardware")
THROTTLED = Metric(
    "edgemon.throttled",
    "",
    GAUGE,
    "1 while it is slowed down, by cause: thermal, power, undervoltage, software (a cap somebody set), hardware.",
    ("hw.id", "hw.name", "cause"),
)
THROTTLED_BOOT = Metric(
    "edgemon.throttled.since_boot", "", GAUGE, "1 when it was slowed down since boot.", ("hw.id", "hw.name", "cause")
)
THROTTLE_EVENTS = Metric(
    "edgemon.throttle.events", "{event}", COUNTER, "Times it was slowed down.", ("hw.id", "hw.name", "cause")
)
ENERGY_ERROR = Metric(
    "edgemon.energy.error",
    "J",
    COUNTER,
    "Most that hw.energy, where it is integrated from samples of hw.power, can be off: exact if power moves one way "
    "between two samples.",
    ("hw.id",),
)
ENERGY_UNMEASURED = Metric(
    "edgemon.energy.unmeasured.time",
    "s",
    COUNTER,
    "Time whose energy is not in hw.energy, since samples of hw.power were too far apart.",
    ("hw.id",),
)
SENSOR_SOURCE = Metric(
    "edgemon.sensor.source.info", "", INFO, "Where a sensor's values came from, where it has a choice.",
    ("platform", "sensor", "source"),
)  # fmt: skip

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
