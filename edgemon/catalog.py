"""Every metric edgemon can export, declared once: exposition, documentation and tests derive from here.

Where OpenTelemetry has a semantic convention (`hw.*`, `system.*`, `process.*`, all of Development stability) its name,
unit and attributes are used; where it has none the name is `edgemon.*` with short labels.
"""

from __future__ import annotations

from edgemon import alerting, hardware, inference, promises, pushed, rebenched, ruled, serving
from edgemon.metric import Kind, Metric

COUNTER, GAUGE, UPDOWN, INFO = Kind.COUNTER, Kind.GAUGE, Kind.UPDOWN, Kind.INFO
HARDWARE = ("hw.id", "hw.name", "hw.parent")
LIMIT = ("hw.id", "hw.name", "hw.limit_type")

# Identity
TARGET_INFO = Metric(
    "target.info",
    "",
    INFO,
    "Who exports: the OpenTelemetry resource attributes; service.instance.id is the same after every restart. "
    "edgemon.simulated is true where a capture is replayed.",
    (
        "service.name",
        "service.instance.id",
        "service.version",
        "host.name",
        "host.arch",
        "os.type",
        "os.description",
        "device.manufacturer",
        "device.model.identifier",
        "edgemon.simulated",
    ),
)
BUILD_INFO = Metric("edgemon.build.info", "", INFO, "Version of edgemon and of its Python.", ("version", "python"))

# CPU, memory and pressure
CPU_TIME = Metric(
    "system.cpu.time", "s", COUNTER, "Time each logical CPU spent in each mode.", ("cpu.logical_number", "cpu.mode")
)
CPU_FREQUENCY = Metric("system.cpu.frequency", "Hz", GAUGE, "Clock of the logical CPU now.", ("cpu.logical_number",))
CPU_SPEED_LIMIT = Metric(
    "hw.cpu.speed.limit",
    "Hz",
    GAUGE,
    "Clock limits of a cpufreq policy: max is the hardware's, throttled is what is allowed now.",
    ("hw.id", "hw.limit_type"),
)
CPU_GOVERNOR = Metric(
    "edgemon.cpu.governor.info", "", INFO, "Clock governor of a cpufreq policy.", ("hw.id", "governor")
)
CPU_THROTTLES = Metric(
    "edgemon.cpu.throttles",
    "{event}",
    COUNTER,
    "Times the CPU throttled itself for heat, by core or whole package (x86).",
    ("cpu.logical_number", "scope"),
)
LOAD_1M = Metric(
    "system.cpu.load_average.1m", "{thread}", GAUGE, "Runnable and uninterruptible tasks, 1 minute average."
)
LOAD_5M = Metric(
    "system.cpu.load_average.5m", "{thread}", GAUGE, "Runnable and uninterruptible tasks, 5 minute average."
)
LOAD_15M = Metric(
    "system.cpu.load_average.15m", "{thread}", GAUGE, "Runnable and uninterruptible tasks, 15 minute average."
)
MEMORY_USAGE = Metric(
    "system.memory.usage", "By", UPDOWN, "Memory by state; the states add up to the limit.", ("system.memory.state",)
)
MEMORY_LIMIT = Metric("system.memory.limit", "By", UPDOWN, "Memory the kernel manages.")
MEMORY_AVAILABLE = Metric(
    "system.memory.linux.available", "By", UPDOWN, "Memory a new application can get without swapping."
)
SWAP_USAGE = Metric("system.paging.usage", "By", UPDOWN, "Swap by state.", ("system.paging.state",))
PRESSURE_TIME = Metric(
    "edgemon.pressure.time",
    "s",
    COUNTER,
    "Time some or all (full) tasks waited for the resource (PSI).",
    ("resource", "scope"),
)
UPTIME = Metric("system.uptime", "s", GAUGE, "Time since boot, suspend included.")
CLOCK_SYNCHRONIZED = Metric(
    "edgemon.clock.synchronized",
    "",
    GAUGE,
    "1 while somebody keeps the wall clock right, as the kernel says (adjtimex).",
)
CLOCK_ERROR = Metric(
    "edgemon.clock.error",
    "s",
    GAUGE,
    "Most that the kernel takes the wall clock to be off; it grows while nobody sets it.",
)

# Storage and network
DISK_IO = Metric("system.disk.io", "By", COUNTER, "Bytes moved.", ("system.device", "disk.io.direction"))
DISK_OPERATIONS = Metric(
    "system.disk.operations", "{operation}", COUNTER, "Operations completed.", ("system.device", "disk.io.direction")
)
DISK_IO_TIME = Metric("system.disk.io_time", "s", COUNTER, "Time the disk was busy.", ("system.device",))
DISK_WEAR = Metric(
    "edgemon.disk.wear",
    "1",
    GAUGE,
    "Share of the flash's rated life used: the upper end of the 10 % step it reports; 1.1 is past its life.",
    ("system.device", "area"),
)
DISK_PRE_EOL = Metric(
    "edgemon.disk.pre_eol",
    "{level}",
    GAUGE,
    "Reserved blocks of the flash: 1 normal, 2 warning (80 % used), 3 urgent (90 % used).",
    ("system.device",),
)
FILESYSTEM = ("system.device", "system.filesystem.mountpoint", "system.filesystem.type")
FILESYSTEM_USAGE = Metric(
    "system.filesystem.usage", "By", UPDOWN, "Space by state.", (*FILESYSTEM, "system.filesystem.state")
)
FILESYSTEM_LIMIT = Metric("system.filesystem.limit", "By", UPDOWN, "Size of the file system.", FILESYSTEM)
FILESYSTEM_READONLY = Metric(
    "edgemon.filesystem.readonly", "", GAUGE, "1 when mounted read-only, as a failing card ends up.", FILESYSTEM
)
INTERFACE = ("network.interface.name", "network.io.direction")
NETWORK_IO = Metric("system.network.io", "By", COUNTER, "Bytes moved.", INTERFACE)
NETWORK_PACKETS = Metric("system.network.packet.count", "{packet}", COUNTER, "Packets moved.", INTERFACE)
NETWORK_ERRORS = Metric("system.network.errors", "{error}", COUNTER, "Packets with an error.", INTERFACE)
NETWORK_DROPPED = Metric("system.network.packet.dropped", "{packet}", COUNTER, "Packets dropped.", INTERFACE)
NETWORK_UP = Metric("hw.network.up", "1", UPDOWN, "1 when the link is up.", ("hw.id",))

# Hardware
TEMPERATURE = Metric("hw.temperature", "Cel", GAUGE, "Temperature.", HARDWARE)
TEMPERATURE_LIMIT = Metric(
    "hw.temperature.limit",
    "Cel",
    GAUGE,
    "Temperature at which the kernel or the chip acts: throttled (.quarter, .eighth: to that share of the clock), "
    "high.degraded (hot), high.critical, max.",
    LIMIT,
)
COOLING_LEVEL = Metric(
    "edgemon.cooling.level", "{level}", GAUGE, "What a cooling device does now; 0 is nothing.", ("hw.id", "hw.name")
)
COOLING_LIMIT = Metric(
    "edgemon.cooling.level.limit", "{level}", GAUGE, "The most a cooling device can do.", ("hw.id", "hw.name")
)
FAN_SPEED = Metric("hw.fan.speed", "rpm", GAUGE, "Fan speed.", HARDWARE)
FAN_RATIO = Metric("hw.fan.speed_ratio", "1", GAUGE, "Fan drive as a share of full speed.", HARDWARE)
VOLTAGE = Metric("hw.voltage", "V", GAUGE, "Voltage.", HARDWARE)
CURRENT = Metric("edgemon.current", "A", GAUGE, "Electric current.", HARDWARE)
POWER = Metric("hw.power", "W", GAUGE, "Power drawn; a rail whose hw.parent is another rail is part of it.", HARDWARE)
ENERGY = Metric(
    "hw.energy",
    "J",
    COUNTER,
    "Energy used: the hardware's counter, else hw.power integrated on the device; what has no hw.parent adds up.",
    HARDWARE,
)
BATTERY_CHARGE = Metric("hw.battery.charge", "1", GAUGE, "Charge left.", ("hw.id", "hw.name"))
BATTERY_ENERGY = Metric("edgemon.battery.energy", "J", GAUGE, "Energy left in the battery.", ("hw.id", "hw.name"))
SUPPLY_POWER = Metric(
    "edgemon.supply.power", "W", GAUGE, "Power into or out of a supply or battery.", ("hw.id", "hw.name")
)
SUPPLY_ONLINE = Metric("edgemon.supply.online", "", GAUGE, "1 when the supply delivers.", ("hw.id", "hw.name"))
SUPPLY_STATE = Metric(
    "edgemon.supply.state", "", GAUGE, "1 for the state the battery is in.", ("hw.id", "hw.name", "state")
)

# Sensors and lanes
SENSOR = ("platform", "sensor")
SENSOR_STATE = Metric(
    "edgemon.sensor.state",
    "",
    GAUGE,
    "1 for how the last pass went: ok, absent (no such hardware), denied (permission), timeout (hung), error.",
    (*SENSOR, "state"),
)
SENSOR_DURATION = Metric("edgemon.sensor.duration", "s", GAUGE, "Time the last pass took.", SENSOR)
SENSOR_SUCCESS = Metric(
    "edgemon.sensor.last_success.timestamp", "s", GAUGE, "When the sensor last was ok, Unix time.", SENSOR
)
SENSOR_ERRORS = Metric(
    "edgemon.sensor.errors", "{error}", COUNTER, "Reads that failed, by errno or exception.", (*SENSOR, "errno")
)
LANE_RUNS = Metric("edgemon.lane.runs", "{run}", COUNTER, "Jobs done.", ("lane",))
LANE_MISSED = Metric("edgemon.lane.missed", "{run}", COUNTER, "Turns left out because the lane was busy.", ("lane",))
LANE_LAG = Metric("edgemon.lane.lag", "s", GAUGE, "How late the last job started.", ("lane",))
LANE_FAILURES = Metric("edgemon.lane.failures", "{failure}", COUNTER, "Jobs that ended in an error.", ("lane",))

# edgemon itself
PROCESS_CPU = Metric("process.cpu.time", "s", COUNTER, "CPU time of the daemon, without its workers.", ("cpu.mode",))
PROCESS_MEMORY = Metric("process.memory.usage", "By", UPDOWN, "Resident memory of the daemon.")
# the conventional process.thread.count would end in _count, a suffix that Prometheus keeps for histograms
PROCESS_THREADS = Metric("edgemon.process.threads", "{thread}", UPDOWN, "Threads of the daemon.")
PROCESS_FILES = Metric("edgemon.process.descriptors", "{file_descriptor}", UPDOWN, "Open descriptors.")
PROCESS_UPTIME = Metric("process.uptime", "s", GAUGE, "Time since the daemon started.")
PROCESS_STARTS = Metric(
    "edgemon.process.starts",
    "{start}",
    GAUGE,
    "Starts of the daemon within the last hour, this one and those after a boot included.",
)
RESTARTS = Metric(
    "edgemon.restarts",
    "{start}",
    COUNTER,
    "Starts but the first, by what was before: stop (it ended when told to), crash (it did not), boot (of the device).",
    ("after",),
)
SAFE_MODE = Metric(
    "edgemon.safe_mode", "", GAUGE, "1 while probes are off since edgemon was started again and again after crashes."
)
HTTP_REQUESTS = Metric("edgemon.http.requests", "{request}", COUNTER, "Requests answered.", ("code",))
HTTP_CONNECTIONS = Metric("edgemon.http.connections", "{connection}", GAUGE, "Connections open.")
CONFIG_SUCCESS = Metric(
    "edgemon.config.reload.successful", "", GAUGE, "1 when the last reading of the configuration was accepted."
)
CONFIG_TIMESTAMP = Metric(
    "edgemon.config.reload.timestamp", "s", GAUGE, "When the configuration in force was read, Unix time."
)
ARCHIVE_STATE = Metric(
    "edgemon.archive.state",
    "",
    GAUGE,
    "1 for where baselines and results are kept: disk, or memory when the state directory cannot be used.",
    ("state",),
)
ARCHIVE_ERRORS = Metric("edgemon.archive.errors", "{error}", COUNTER, "Writes to the archive that failed.")
PROBE_CONFINED = Metric(
    "edgemon.probe.confined", "", GAUGE, "1 when the kernel refuses a network to the engine, 0 where not.", ("probe",)
)
PROBE_WORKER_ROUNDS = Metric(
    "edgemon.probe.worker.rounds",
    "{run}",
    GAUGE,
    "Runs that the worker which stays has answered; absent where a worker is started for each run.",
    ("probe",),
)
PROBE_WORKER_MEMORY = Metric(
    "edgemon.probe.worker.memory.usage",
    "By",
    UPDOWN,
    "Resident memory of the worker that stays between runs: what the probe costs beside the daemon's own.",
    ("probe",),
)
PROBE_WORKER_LEFT = Metric(
    "edgemon.probe.worker.left",
    "{process}",
    COUNTER,
    "Workers that stayed and then left, by reason: rounds, age, doubt (a verdict needs new processes), "
    "growth (of memory), outcome (not ok), changed (model, "
    "engine, settings), memory (short), room (too large, or an accelerator is kept from others), died, anatomy (the "
    "model was counted), rebenchmark, closed.",
    ("probe", "reason"),
)

ALL: tuple[Metric, ...] = (
    *(value for value in list(globals().values()) if isinstance(value, Metric)),
    *hardware.ALL,
    *inference.ALL,
    *promises.ALL,
    *alerting.ALL,
    *ruled.ALL,
    *rebenched.ALL,
    *pushed.ALL,
    *serving.ALL,
)
