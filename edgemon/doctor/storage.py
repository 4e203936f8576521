"""Storage: space, read-only mounts, wear, and whether the state directory can keep anything."""

from __future__ import annotations

import os
from collections.abc import Iterator

from edgemon import catalog
from edgemon.doctor import NOTE, OK, PROBLEM, WARNING, Finding, Group, Patient, listed
from edgemon.inventory import Series

FULL, NEARLY = 0.02, 0.10
"""Shares of free space below which it is a problem, a warning."""
WORN, WEARING = 0.9, 0.7
BACKUP = "back it up and plan to replace it; fewer writes: log to memory, mount with noatime, state_dir: elsewhere"
SPARE = "keep a spare card; put state_dir: on eMMC or an SSD; alert on"
VOLATILE = ("tmpfs", "ramfs", "overlay")


def examine(patient: Patient) -> Iterator[Finding]:
    """File systems, flash, state directory."""
    findings, every = list(mounts(patient)), patient.stock.of(catalog.FILESYSTEM_LIMIT)
    yield from findings
    if every and not findings:
        yield Finding(OK, f"{listed(map(place, every))}: room is left, and it can be written", listed(every))
    yield from wear(patient)
    yield from silent(patient)
    yield from state(patient)


def mounts(patient: Patient) -> Iterator[Finding]:
    """Every file system on a device: read-only as a failing card ends up, or full."""
    limits = {
        one.labels["system_filesystem_mountpoint"]: one.value for one in patient.stock.of(catalog.FILESYSTEM_LIMIT)
    }
    for one in patient.stock.of(catalog.FILESYSTEM_READONLY):
        if one.value:
            what = f"{place(one)} is mounted read-only"
            remedy = "if that is not meant so: see dmesg for I/O errors, check it (fsck), replace the card"
            yield Finding(WARNING, what, str(one), remedy)
    for one in patient.stock.of(catalog.FILESYSTEM_USAGE):
        limit = limits.get(place(one), 0)
        if one.labels["system_filesystem_state"] == "free" and limit and one.value < NEARLY * limit:
            severity = PROBLEM if one.value < FULL * limit else WARNING
            what = f"{place(one)} has {one.value / 2**20:.0f} MiB left, {one.value / limit:.0%}"
            yield Finding(
                severity, what, str(one), "make room: journalctl --vacuum-size=50M, old logs, images, packages"
            )


def wear(patient: Patient) -> Iterator[Finding]:
    """Life used of eMMC, and its reserved blocks."""
    for one in patient.stock.of(catalog.DISK_WEAR):
        severity = PROBLEM if one.value > WORN else WARNING if one.value >= WEARING else OK
        what = f"flash {one.labels['system_device']} ({one.labels['area']}) has used up to {one.value:.0%} of its life"
        yield Finding(severity, what, str(one), "" if severity is OK else BACKUP)
    for one in patient.stock.of(catalog.DISK_PRE_EOL):
        if one.value > 1:
            what = (
                f"flash {one.labels['system_device']} has used {'80' if one.value == 2 else '90'} % of its spare blocks"
            )
            yield Finding(WARNING if one.value == 2 else PROBLEM, what, str(one), BACKUP)


def silent(patient: Patient) -> Iterator[Finding]:
    """SD cards that hold a file system: none of them tells its wear (/sys/block/mmcblk*/device/type: SD)."""
    told = {one.labels["system_device"] for one in patient.stock.of(catalog.DISK_WEAR)}
    devices = [one.labels["system_device"] for one in patient.stock.of(catalog.FILESYSTEM_LIMIT)]
    for disk in sorted({path.split("/")[2].partition("p")[0] for path in devices if path.startswith("/dev/mmcblk")}):
        kind = patient.root.fixed(f"/sys/block/{disk}/device/type") or "unknown"
        if disk not in told and kind != "MMC":
            what = f"{disk} is an SD card and does not tell its wear: it will fail without warning"
            remedy = f"{SPARE} {catalog.FILESYSTEM_READONLY.prometheus}"
            yield Finding(NOTE, what, f"/sys/block/{disk}/device/type: {kind}, no life_time", remedy)


def state(patient: Patient) -> Iterator[Finding]:
    """Where baselines and results are kept: on what, and whether it can be written."""
    if patient.root.live:
        yield from volatile(patient, patient.state)
        yield writable(patient.state)


def volatile(patient: Patient, folder: str) -> Iterator[Finding]:
    """A mount that is gone after a boot, or with its container."""
    every = patient.root.call("psutil.disk_partitions", all=True) or ()
    holders = [one for one in every if below(folder, one["mountpoint"])]
    here = max(holders, key=lambda one: len(one["mountpoint"]), default={"fstype": ""})
    if here["fstype"] in VOLATILE:
        what = f"state directory {folder} is on {here['fstype']}: baselines are lost with the next boot or container"
        evidence = f"/proc/self/mounts: {here['mountpoint']} {here['fstype']}"
        yield Finding(WARNING, what, evidence, "set state_dir:, or mount a volume there")


def writable(folder: str) -> Finding:
    """Whether this user could keep something there; access(2) of it, or of the nearest folder above that exists."""
    near = folder
    while not os.path.exists(near) and near != "/":
        near = os.path.dirname(near)
    if os.access(near, os.W_OK | os.X_OK):
        return Finding(OK, f"state directory {folder} can be written", f"access(2) of {near}")
    what = f"state directory {folder} cannot be written by this user"
    if os.statvfs(near).f_flag & os.ST_RDONLY:
        return Finding(WARNING, what, f"access(2) of {near}: EROFS", "mount it read-write, or set state_dir:")
    remedy = "run this as the user the daemon runs as, or set state_dir:"
    return Finding(NOTE, what, f"access(2) of {near}: EACCES", remedy)


def place(one: Series) -> str:
    """The mount point."""
    return one.labels["system_filesystem_mountpoint"]


def below(path: str, mount: str) -> bool:
    """Whether a path lies on what is mounted there, or on something mounted further down."""
    return f"{path}/".startswith(f"{mount.rstrip('/')}/")


GROUP = Group("storage", examine)
