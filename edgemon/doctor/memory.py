"""Memory: what is left, swap and what it lies on, out-of-memory kills, pressure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemon import catalog
from edgemon.doctor import NOTE, OK, PROBLEM, WARNING, Finding, Group, Patient
from edgemon.inventory import remedy

SCARCE, GONE = 0.10, 0.04
"""Shares of memory available below which it is a warning, a problem."""
SWAPPED = 0.25
WAITED = {"memory": 0.01, "io": 0.05}
"""Shares of the uptime for which all tasks waited at once."""
LESS = "stop what is not needed, or use smaller models, fewer sessions, a smaller arena"
KILLS = re.compile(r"^oom_kill (\d{1,15})$", re.MULTILINE)
SWAP = re.compile(r"^(/\S+)\s+(partition|file)\s+(\d+)\s+(\d+)", re.MULTILINE)


def examine(patient: Patient) -> Iterator[Finding]:
    """Each on its own."""
    yield from available(patient)
    yield from swap(patient)
    yield from kills(patient)
    yield from pressure(patient)


def available(patient: Patient) -> Iterator[Finding]:
    """Memory that an application can get without swapping."""
    limit = next(iter(patient.stock.of(catalog.MEMORY_LIMIT)), None)
    free = next(iter(patient.stock.of(catalog.MEMORY_AVAILABLE)), None)
    if limit and free and limit.value:
        share = free.value / limit.value
        severity = PROBLEM if share < GONE else WARNING if share < SCARCE else OK
        what = f"{free.value / 2**20:.0f} of {limit.value / 2**20:.0f} MiB of memory are available"
        yield Finding(severity, what, str(free), "" if severity is OK else LESS)


def swap(patient: Patient) -> Iterator[Finding]:
    """How much is swapped out, and /proc/swaps: on flash it costs life and latency, zram is memory itself."""
    used = {one.labels["system_paging_state"]: one for one in patient.stock.of(catalog.SWAP_USAGE)}
    if {"used", "free"} <= used.keys():
        share = used["used"].value / (used["used"].value + used["free"].value)
        if share > SWAPPED:
            what = f"{share:.0%} of the swap is in use: what a model needs may have to come back first"
            yield Finding(WARNING, what, str(used["used"]), LESS)
    for place, kind, _, _ in SWAP.findall(patient.root.text("/proc/swaps") or ""):
        if place.startswith("/dev/mmcblk"):
            what = f"swap lies on flash ({place}): it wears the card or eMMC out and stalls inferences"
            yield Finding(WARNING, what, f"/proc/swaps: {place} {kind}", f"swapoff {place}, and use zram instead")


def kills(patient: Patient) -> Iterator[Finding]:
    """/proc/vmstat, oom_kill, since boot (since Linux 4.13)."""
    found = KILLS.search(patient.root.text("/proc/vmstat") or "")
    if found and int(found[1]):
        what = f"the kernel killed {found[1]} processes for want of memory since boot"
        yield Finding(WARNING, what, f"/proc/vmstat: oom_kill {found[1]}", f"see dmesg for which; {LESS}")


def pressure(patient: Patient) -> Iterator[Finding]:
    """Time all tasks waited for memory or the disk, as a share of the uptime; and whether the kernel tells at all."""
    uptime = next((one.value for one in patient.stock.of(catalog.UPTIME)), 0.0)
    for one in patient.stock.of(catalog.PRESSURE_TIME):
        resource = one.labels["resource"]
        if one.labels["scope"] == "full" and one.value > WAITED.get(resource, 1) * uptime > 0:
            what = f"{one.value / uptime:.1%} of the time since boot everything waited for {resource}"
            cure = LESS if resource == "memory" else "move what writes much to another disk, or a faster one"
            yield Finding(WARNING, what, str(one), cure)
    sweep, linux = patient.stock.named("linux", "pressure"), patient.stock.platform("linux")
    if sweep and linux and not sweep.readings and patient.stock.of(catalog.MEMORY_LIMIT):
        what = "the kernel tells no pressure (PSI), which names CPU, memory and disk contention as causes"
        yield Finding(NOTE, what, f"sensor linux.pressure is {sweep.state.value}", remedy(linux, sweep))


GROUP = Group("memory", examine)
