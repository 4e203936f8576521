"""Time: whether somebody keeps the wall clock right. Results and alerts carry its stamps."""

from __future__ import annotations

from collections.abc import Iterator

from edgemon.doctor import NOTE, OK, WARNING, Finding, Group, Patient
from edgemon.platforms.linux import SYNCHRONISED, UNSYNC, timex
from edgemon.sysfs import Root

SERVICES = {
    "chrony": ("/run/chrony",),
    "ntpd": ("/run/ntpd.pid", "/run/ntpsec"),
    "systemd-timesyncd": ("/run/systemd/timesync",),
}
START = (
    "install chrony, or systemctl enable --now systemd-timesyncd; allow UDP port 123 outwards, or name a local server"
)


def examine(patient: Patient) -> Iterator[Finding]:
    """The kernel's own word first, then timesyncd's mark; and whether a clock runs on while the power is off."""
    root = patient.root
    services = [name for name, paths in SERVICES.items() if any(map(root.exists, paths))]
    who = " and ".join(services) or "no time service that is known"
    yield from synchronised(root, who, bool(services))
    if root.live and not root.glob("/sys/class/rtc/rtc*"):
        what = "no clock runs on while the power is off: after a boot without network the time is wrong"
        yield Finding(
            NOTE, what, "/sys/class/rtc: no rtc*", "fit an RTC with its battery, or wait for the time at boot"
        )


def synchronised(root: Root, who: str, served: bool) -> Iterator[Finding]:
    """adjtimex(2): STA_UNSYNC stays until a service has set the clock, and comes back when it no longer does."""
    said = timex(root)
    if said:
        evidence = f"adjtimex(2): status {said['status']:#x}, maximum error {said.get('maximum_error_us')} µs; {who}"
        remedy = "see whether its servers answer (chronyc sources, timedatectl timesync-status)" if served else START
        if said["status"] & UNSYNC:
            yield Finding(WARNING, "the clock is not synchronised (STA_UNSYNC)", evidence, remedy)
        else:
            yield Finding(OK, f"the clock is synchronised{f', by {who}' if served else ''}", evidence)
    elif root.exists(SYNCHRONISED):
        yield Finding(OK, "the clock was synchronised since boot", f"{SYNCHRONISED} is there; no adjtimex(2)")
    elif root.live:
        yield Finding(
            NOTE, "nothing tells whether the clock is synchronised", f"no adjtimex(2), no {SYNCHRONISED}; {who}", START
        )


GROUP = Group("time", examine)
