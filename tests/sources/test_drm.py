"""What DRM clients tell of their engines, summed up over a /proc that is made of texts of real kernels."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from edgemon import collect, hardware
from edgemon.metric import State
from edgemon.platforms import intel
from edgemon.sources import drm
from edgemon.sysfs import Root
from tests import devices
from tests.devices import values

IGPU, DGPU, NPU = "0000:00:02.0", "0000:03:00.0", "fdab0000.npu"
I915 = """pos:\t0
flags:\t02100002
mnt_id:\t21
ino:\t397
drm-driver:\ti915
drm-client-id:\t{client}
drm-pdev:\t0000:00:02.0
drm-total-system:\t125 MiB
drm-resident-system:\t125 MiB
drm-engine-render:\t{render} ns
drm-engine-copy:\t0 ns
drm-engine-video:\t{video} ns
drm-engine-capacity-video:\t2
drm-engine-video-enhance:\t0 ns
"""
"""Shape and keys of the client quoted in commit 'drm/i915: Add ability for tracking buffer objects per client', and of
proc_pid_fdinfo(5) for the capacity."""
XE = """pos:    0
flags:  0100002
mnt_id: 26
ino:    685
drm-driver:     xe
drm-client-id:  {client}
drm-pdev:       0000:03:00.0
drm-total-system:       0
drm-total-gtt:  192 KiB
drm-total-vram0:        23992 KiB
drm-cycles-rcs: {rcs}
drm-total-cycles-rcs:   {total}
drm-cycles-bcs: 0
drm-total-cycles-bcs:   {total}
drm-cycles-vcs: 0
drm-total-cycles-vcs:   {total}
drm-engine-capacity-vcs:        2
drm-cycles-ccs: {ccs}
drm-total-cycles-ccs:   {total}
drm-engine-capacity-ccs:        4
"""
"""The example of docs.kernel.org/gpu/xe/xe-drm-usage-stats.html, shortened."""
OLD = "pos:\t0\nflags:\t02100002\nmnt_id:\t21\n"
"""i915 before 5.19 says nothing of its clients."""


class Machine:
    """A /proc and a /sys whose processes a test moves; seconds pass when told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1000.0
        for kind, node, device in (
            ("drm", "card0", f"pci0000:00/{IGPU}"),
            ("drm", "renderD128", f"pci0000:00/{IGPU}"),
            ("drm", "renderD129", f"pci0000:00/0000:00:01.0/{DGPU}"),
            ("accel", "accel0", f"platform/{NPU}"),
        ):
            place = folder / "sys/devices" / device
            place.mkdir(parents=True, exist_ok=True)
            (folder / "sys/class" / kind / node).mkdir(parents=True)
            (folder / "sys/class" / kind / node / "device").symlink_to(place)
        (folder / "proc/self/ns").mkdir(parents=True)
        (folder / "proc/self/ns/pid").symlink_to(drm.OUTERMOST)
        self.process(1, {"0": ("/dev/null", "")})
        self.scanner = drm.Scanner(str(folder), clock=lambda: self.now)

    def process(self, pid: int, descriptors: dict[str, tuple[str, str]]) -> None:
        """Start a process, or change its descriptors: number, target and fdinfo."""
        self.end(pid)
        for part in ("fd", "fdinfo"):
            (self.folder / f"proc/{pid}/{part}").mkdir(parents=True)
        for name, (target, text) in descriptors.items():
            (self.folder / f"proc/{pid}/fd/{name}").symlink_to(target)
            (self.folder / f"proc/{pid}/fdinfo/{name}").write_text(text)

    def end(self, pid: int) -> None:
        """End a process."""
        for path in sorted((self.folder / f"proc/{pid}").rglob("*"), reverse=True):
            path.unlink() if path.is_symlink() or path.is_file() else path.rmdir()
        if (self.folder / f"proc/{pid}").exists():
            (self.folder / f"proc/{pid}").rmdir()

    def read(self, device: str = IGPU, after: float = 10.0) -> dict[str, tuple[float, float | None]]:
        """Busy seconds and share by engine, after so many seconds."""
        self.now += after
        (row,) = self.scanner.read([device])
        return {name: (round(one["busy"], 6), one["utilization"]) for name, one in row["engines"].items()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def i915(client: int, render: float = 0, video: float = 0, node: str = "renderD128") -> tuple[str, str]:
    """A descriptor of a client that has worked so many seconds."""
    return f"/dev/dri/{node}", I915.format(client=client, render=int(render * 1e9), video=int(video * 1e9))


def xe(client: int, total: int, rcs: int = 0, ccs: int = 0) -> tuple[str, str]:
    return "/dev/dri/renderD129", XE.format(client=client, total=total, rcs=rcs, ccs=ccs)


def test_what_was_done_before_the_first_pass_is_nobodys(machine: Machine) -> None:
    machine.process(50, {"8": i915(18, render=25.662044495)})
    assert machine.read()["render"] == (0.0, None)
    machine.process(50, {"8": i915(18, render=29.662044495, video=4)})
    assert machine.read() == {
        "render": (4.0, 0.4), "copy": (0.0, 0.0), "video": (2.0, 0.2), "video-enhance": (0.0, 0.0),
    }  # fmt: skip


def test_a_client_is_counted_once_however_many_descriptors_and_processes_have_it(machine: Machine) -> None:
    for done in (1.0, 3.0):
        same = {str(fd): i915(7, render=done, node=node) for fd, node in enumerate(("card0", "renderD128"))}
        machine.process(50, same)
        machine.process(51, same)
        found = machine.read()
    assert found["render"] == (2.0, 0.2)


def test_clients_add_up_and_a_share_is_never_above_one(machine: Machine) -> None:
    machine.process(50, {"3": i915(7), "4": i915(8)})
    machine.read()
    machine.process(50, {"3": i915(7, render=7), "4": i915(8, render=4)})
    assert machine.read()["render"] == (11.0, 1.0)


def test_the_counter_goes_on_over_clients_that_come_and_go(machine: Machine) -> None:
    """A new client counts with all it did, one that ends keeps what it had, and nothing is taken back."""
    machine.process(50, {"3": i915(7)})
    machine.read()
    machine.process(50, {"3": i915(7, render=1)})
    machine.process(60, {"3": i915(9, render=2)})
    assert machine.read()["render"] == (3.0, 0.3)
    machine.end(50)
    machine.process(60, {"3": i915(9, render=2.5)})
    assert machine.read()["render"] == (3.5, 0.05)
    machine.end(60)
    assert machine.read()["render"] == (3.5, 0.0)


def test_a_client_that_is_handed_to_another_process_is_not_counted_twice(machine: Machine) -> None:
    machine.process(50, {"3": i915(7, render=1)})
    machine.read()
    machine.process(50, {"3": i915(7, render=5)})
    assert machine.read()["render"][0] == 4.0
    machine.end(50)
    machine.read()
    machine.process(40, {"3": i915(7, render=6)})
    assert machine.read()["render"][0] == 4.0
    machine.process(40, {"3": i915(7, render=7)})
    assert machine.read()["render"][0] == 5.0


def test_a_counter_that_falls_waits_until_it_has_caught_up(machine: Machine) -> None:
    """As drm-usage-stats.rst asks for."""
    seen = []
    for done in (5, 6, 5.5, 6.5):
        machine.process(50, {"3": i915(7, render=done)})
        seen.append(machine.read()["render"][0])
    assert seen == [0.0, 1.0, 1.0, 1.5]


def test_cycles_are_a_share_of_those_of_the_engines_clock(machine: Machine) -> None:
    """The example of the kernel's documentation, and what it would say ten seconds and 192 million cycles later."""
    machine.process(50, {"3": xe(3, 7655183225, rcs=28257900)})
    machine.read(DGPU)
    machine.process(50, {"3": xe(3, 7655183225 + 192_000_000, rcs=28257900 + 48_000_000, ccs=192_000_000)})
    found = machine.read(DGPU)
    assert found["rcs"] == (2.5, 0.25)
    assert found["ccs"] == (2.5, 0.25)
    assert found["vcs"] == (0.0, 0.0)
    assert "gtt" not in found


def test_the_devices_of_a_machine_are_kept_apart_and_others_are_not_read(machine: Machine) -> None:
    """A device that is not named may sleep: nothing of it is opened."""
    npu = ("/dev/accel/accel0", I915.format(client=2, render=0, video=0))
    machine.process(50, {"3": i915(7), "4": xe(3, 1000), "5": npu})
    (machine.folder / "proc/50/fdinfo/4").chmod(stat.S_IWUSR)
    (machine.folder / "proc/50/fdinfo/4").unlink()
    os.mkfifo(machine.folder / "proc/50/fdinfo/4")  # opening it would hang
    machine.now += 10
    assert [row["id"] for row in machine.scanner.read([IGPU, NPU])] == [IGPU, NPU]
    assert set(machine.read(NPU)) >= {"render"}


def test_without_a_client_nothing_works_and_a_kernel_that_does_not_count_says_nothing(machine: Machine) -> None:
    machine.process(50, {"3": ("/dev/dri/renderD128", OLD)})
    assert machine.scanner.read([IGPU]) == [{"id": IGPU, "clients": 0, "complete": True, "engines": {}}]


@pytest.mark.parametrize("case", ["process", "namespace", "hidden"])
def test_where_not_every_process_can_be_seen_there_is_no_number(
    case: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.process(50, {"3": i915(7)})
    if case == "namespace":
        (machine.folder / "proc/self/ns/pid").unlink()
        (machine.folder / "proc/self/ns/pid").symlink_to("pid:[4026532442]")
    elif case == "hidden":
        machine.end(1)
    else:
        listed = os.listdir
        refused = PermissionError(errno.EACCES, "no")

        def listing(path: str) -> list[str]:
            if str(path).endswith("/1/fd"):
                raise refused
            return listed(path)

        monkeypatch.setattr(os, "listdir", listing)
    for _ in range(2):
        with pytest.raises(PermissionError):
            machine.read()
    if case == "process":
        monkeypatch.undo()
        assert machine.read()


def test_a_pass_looks_at_no_more_than_its_budget_and_the_next_goes_on(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known clients are read in every pass; a new one is found when its process has its turn, and then counts whole."""
    monkeypatch.setattr(drm, "BUDGET", 50)
    for pid in range(100, 200):
        machine.process(pid, {"3": ("/dev/null", "")})
    machine.process(300, {"3": i915(7, render=1)})
    passes = 0
    while not machine.read():
        passes += 1
        assert not machine.scanner.read([IGPU])[0]["complete"]
    assert 2 <= passes <= 6
    for done in (2, 3, 4, 5):
        machine.process(300, {"3": i915(7, render=done)})
        found = machine.read()["render"]
    assert found[0] == 4.0
    machine.process(301, {"3": i915(9, render=2)})
    assert max(machine.read()["render"][0] for _ in range(6)) == 6.0


def test_nothing_is_kept_of_what_has_ended(machine: Machine) -> None:
    """A year of processes that come and go leaves no trace but the counters."""
    for pid in range(100, 140):
        other = ("/dev/accel/accel0", I915.format(client=pid, render=1, video=0))
        machine.process(pid, {"3": i915(pid, render=1), "4": xe(pid, pid * 1000, rcs=5), "5": other})
        machine.now += 10
        machine.scanner.read([IGPU, DGPU])
        machine.end(pid)
    machine.scanner.read([IGPU, DGPU])
    kept = machine.scanner
    assert (kept._holders, kept._clients, kept._blind) == ({}, {IGPU: {}, DGPU: {}}, set())
    assert len(kept._clocks) == 4


@pytest.mark.parametrize(
    "text",
    ["", "\0" * 100, "drm-client-id:\t-1\n", "drm-client-id:\tx", "drm-engine-render:\t5 ns", "x" * 100_000,
     "drm-client-id:\t" + "9" * 400],
)  # fmt: skip
def test_what_is_no_client_is_none(text: str) -> None:
    assert drm.facts(text)[0] is None


def test_a_capacity_of_zero_is_one_and_cycles_without_a_clock_are_nothing() -> None:
    text = "drm-client-id: 1\ndrm-engine-a: 5 ns\ndrm-engine-capacity-a: 0\ndrm-cycles-b: 7\n"
    assert drm.facts(text) == (1, {"a": drm.Work(5, None, 1)})


@pytest.mark.skipif(os.path.exists("/dev/dri"), reason="this machine has a GPU")
def test_this_machine_has_no_gpu() -> None:
    """The real /proc, as whoever runs the tests: nothing is found, or everything is refused."""
    scanner = drm.Scanner()
    try:
        assert scanner.read([IGPU])[0]["engines"] == {}
    except PermissionError:
        assert os.geteuid() != 0 or os.readlink("/proc/self/ns/pid") != drm.OUTERMOST
    assert not scanner._holders


def test_the_platform_gives_the_busiest_engine_of_each_gt_the_labels_of_its_clock(tmp_path: Path) -> None:
    root = devices.unpack("intel-core-ultra", tmp_path)
    readings = list(intel.busy(root))
    share, seconds = values(readings, hardware.UTILIZATION), values(readings, hardware.BUSY_TIME)
    clocks = values(list(intel.gpu(root)), hardware.FREQUENCY)
    assert set(share) == set(seconds) == set(clocks)
    assert share["0000:00:02.0", "Intel GPU", "gpu"] == 0.4


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"clients": 0, "complete": True, "engines": {}}, {"gpu": (0.0, 0.0), "codec": (0.0, 0.0)}),
        ({"clients": 0, "complete": False, "engines": {}}, {}),
        ({"clients": 2, "complete": True, "engines": {}}, {}),
        ({"clients": "2", "engines": []}, {}),
        (
            {"engines": {"render": {"busy": 5, "utilization": 1.5}, "vcs": {"busy": float("nan")}, "copy": 1}},
            {"gpu": (5, None), "codec": (None, None)},
        ),
    ],
)
def test_only_what_can_be_meant_becomes_a_number(answer: dict[str, object], expected: object) -> None:
    assert intel.worked(answer) == expected


def test_a_gpu_that_sleeps_is_not_asked_for(tmp_path: Path) -> None:
    """The second card of this capture is suspended: its clients are not read, since that wakes it."""
    asked: list[object] = []

    class Asked(devices.Captured):
        def call(self, name: str, **kwargs: object) -> None:
            asked.append(kwargs["devices"])

    root = Asked(devices.unpack("intel-arc-xe", tmp_path).path)
    assert not list(intel.busy(root))
    assert asked == [[DGPU]]


def test_a_machine_that_refuses_is_denied_and_the_remedy_says_what_to_do(tmp_path: Path) -> None:
    class Refused(devices.Captured):
        def ask(self, name: str, kwargs: object) -> None:
            raise PermissionError(errno.EACCES, "no")

    root = Refused(devices.unpack("intel-core-ultra", tmp_path).path)
    sensor = next(one for one in intel.PLATFORM.sensors if one.name == "busy")
    assert collect.take("busy", sensor, root).state is State.DENIED
    assert "CAP_SYS_PTRACE" in intel.PLATFORM.remedies["busy denied"]
    assert sensor.every >= 10
    assert isinstance(root, Root)
