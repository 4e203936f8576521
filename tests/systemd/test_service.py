"""edgemon as a service, in a really booted systemd: installed from its package, upgraded, purged, and what is between.

One machine for all of them, in this order; each test writes the configuration and the drop-in it needs.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgemon import logs
from tests.running import HERE, until
from tests.systemd import PATIENCE, UNIT, Sandbox, booted

pytestmark = pytest.mark.peer
BRISK = {"interval": "200ms"}
TEST = f"/etc/systemd/system/{UNIT}.d/90-test.conf"
PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000
FAKE = {
    "model": "/simulated",
    "runtime": "fake",
    "interval": "1m",
    "timeout": "1m",
    "idle": 0,
    "samples": 3,
    "seconds": "100ms",
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package as `make deb` builds it, less well compressed."""
    where = tmp_path_factory.mktemp("deb")
    command = [sys.executable, str(HERE / "deb/build.py"), "--output", str(where), "--compress", "none"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return str(ran.stdout.strip())


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, package: str) -> Iterator[Sandbox]:
    """A Debian with the package installed; there is no network but loopback in it."""
    with booted(tmp_path_factory.mktemp("sandbox"), Path(sysconfig.get_path("purelib"))) as here:
        (here.root / "root/edgemon.deb").write_bytes(Path(package).read_bytes())
        here.run("dpkg", "--install", "/root/edgemon.deb")
        here.write(TEST, "[Service]\nRestartSec=100ms\nWatchdogSec=2\n")
        yield here


def test_the_package_installs_without_a_network_and_the_service_is_ready(machine: Sandbox) -> None:
    """It is enabled, runs as its user without a capability, and says how it does."""
    assert machine.show("ActiveState") == "active"
    assert machine.show("UnitFileState") == "enabled"
    assert machine.show("StatusText").startswith("no probes")
    pid = machine.show("MainPID")
    assert machine.sh(f"stat -c %U /proc/{pid}; grep CapEff /proc/{pid}/status").split() == [
        "edgemon", "CapEff:", "0" * 16,
    ]  # fmt: skip
    assert machine.sh("stat -c '%U %a' /var/lib/edgemon /etc/edgemon/credentials").split("\n")[:2] == [
        "edgemon 750", "root 700",
    ]  # fmt: skip
    assert machine.series()['edgemon_archive_state{state="disk"}'] == 1
    said = machine.run("edgemon", "service", "status").stdout
    assert re.fullmatch(
        r"service   active \(running\), enabled\nsays      no probes[^\n]*\nstart     ready after \d+\.\d\d s\n"
        r"restarts  0 by systemd since it was started\n",
        said,
    )


def test_exposure_is_no_more_than_2(machine: Sandbox) -> None:
    """As systemd rates it, with the drop-ins of a machine that has accelerators."""
    machine.write(
        f"/run/systemd/system/{UNIT}.d/50-npu.conf",
        "[Service]\nDeviceAllow=char-drm rw\nDeviceAllow=/dev/x rw\nSupplementaryGroups=video\n",
    )
    machine.run("systemctl", "daemon-reload")
    found = exposure(machine)
    machine.sh(f"rm -r /run/systemd/system/{UNIT}.d; systemctl daemon-reload")
    assert found <= 2.0, machine.sh(f"systemd-analyze security --no-pager {UNIT} | grep ✗", check=False)


def exposure(machine: Sandbox) -> float:
    """How exposed the service is, as systemd rates it: 0 is not at all, 10 wholly."""
    said = machine.run("systemd-analyze", "security", "--no-pager", UNIT).stdout
    return float(said.rpartition("Overall exposure level for ")[2].split()[1])


def test_systemd_finds_nothing_wrong_with_the_unit(machine: Sandbox) -> None:
    """But keys of newer versions, which are left out."""
    said = machine.run("systemd-analyze", "verify", f"/usr/lib/systemd/system/{UNIT}")
    wrong = [
        line
        for line in (said.stdout + said.stderr).splitlines()
        if not re.search("Unknown key 'Restart(Steps|Max)", line)
    ]
    assert not wrong


@contextmanager
def stopped(pid: int, thread: str) -> Iterator[None]:
    """Stop one thread of a process for as long as the block runs, as a debugger does."""
    libc = ctypes.CDLL(None, use_errno=True)
    tasks = Path(f"/proc/{pid}/task")
    named = [int(one.name) for one in tasks.iterdir() if (one / "comm").read_text().strip() == thread]
    tid = min(named)  # what it has started itself inherits the name
    assert libc.ptrace(PTRACE_ATTACH, tid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        if libc.ptrace(PTRACE_DETACH, tid, None, None):
            os.waitpid(tid, WALL)  # it was killed meanwhile, and its process waits for us to know


def test_a_lane_that_is_stuck_gets_it_killed_and_started_again(machine: Sandbox) -> None:
    """While all moves it is fed and lives, for many times what the watchdog waits; the stuck lane is named."""
    machine.configure(probes={}, sensors=BRISK)
    machine.restart()
    until(lambda: machine.series().get("process_uptime_seconds", 0) > 5, PATIENCE)
    assert machine.show("NRestarts") == "0"
    pid = machine.show("MainPID")
    with stopped(outside(machine, pid), "sensing"):
        until(lambda: "Watchdog timeout" in machine.sh(f"journalctl -u {UNIT}"), PATIENCE)
    until(lambda: machine.back(pid), PATIENCE)
    (said,) = machine.journal(f"MESSAGE_ID={logs.EVENTS['stuck']}")
    assert re.fullmatch(r"lane sensing is stuck: .* for \d+ s; the watchdog is no longer fed", said["MESSAGE"])
    assert any("Fatal Python error: Aborted" in one["MESSAGE"] for one in machine.journal(f"_PID={pid}"))
    assert until(machine.series, PATIENCE)['edgemon_restarts_total{after="crash"}'] == 1


def outside(machine: Sandbox, pid: str) -> int:
    """The number that a process of the sandbox has out here."""
    inner = machine.root.with_name(f"{machine.root.name}.pid").read_text().strip()
    space = os.readlink(f"/proc/{inner}/ns/pid")
    for one in Path("/proc").glob("[0-9]*/status"):
        numbers = re.search(r"^NSpid:.*\t(\d+)$", _text(one), re.MULTILINE)
        if numbers and numbers[1] == pid and _link(one.with_name("ns") / "pid") == space:
            return int(one.parent.name)
    raise AssertionError(f"no process {pid}")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_a_crash_loop_ends_in_safe_mode_and_an_ordinary_restart_ends_that(machine: Sandbox) -> None:
    machine.configure(probes={"a": FAKE}, sensors=BRISK)
    machine.restart()
    safe = "edgemon_safe_mode"
    while until(machine.series, PATIENCE)[safe] == 0:
        assert machine.series().get('edgemon_restarts_total{after="crash"}', 0) < 8
        pid = machine.show("MainPID")
        machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", UNIT)
        until(lambda before=pid: machine.back(before), PATIENCE)
    assert machine.series()['edgemon_restarts_total{after="crash"}'] == 6  # five, and the watchdog's before the stop
    assert machine.show("StatusText").startswith("safe mode; no probes")
    assert machine.journal(f"MESSAGE_ID={logs.EVENTS['safe_mode']}", "PRIORITY=3")
    machine.restart()
    until(lambda: machine.series().get('edgemon_probe_runs_total{probe="a",outcome="ok"}'), PATIENCE)
    assert machine.series()[safe] == 0


def test_reload_takes_a_good_configuration_and_refuses_a_bad_one_aloud(machine: Sandbox) -> None:
    """The process stays; what was wrong is in the journal, in a metric and in the exit status of systemctl."""
    pid = machine.show("MainPID")
    machine.configure(probes={"b": FAKE}, sensors=BRISK)
    machine.run("systemctl", "reload", UNIT)
    until(lambda: machine.journal(f"MESSAGE_ID={logs.EVENTS['reloaded']}"), PATIENCE)
    until(lambda: machine.series().get('edgemon_probe_runs_total{probe="b",outcome="ok"}'), PATIENCE)
    machine.configure(probes={"c": FAKE}, colour="red")
    assert machine.run("systemctl", "reload", UNIT, check=False).returncode != 0
    until(lambda: machine.series().get("edgemon_config_reload_successful") == 0, PATIENCE)
    said = [one["MESSAGE"] for one in machine.journal(f"MESSAGE_ID={logs.EVENTS['refused']}")]
    assert said[0].startswith("/etc/edgemon/edgemon.yml: colour: unknown key")
    assert said[-1] == "the configuration was not reloaded; the old one goes on"
    assert machine.series()['edgemon_probe_interval_seconds{probe="b"}'] > 0
    assert (machine.show("MainPID"), machine.show("ActiveState")) == (pid, "active")


RECEIVER = """
import http.server
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        head = "\\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items())
        open("/root/taken", "wb").write(head.encode() + b"\\n\\n" + body)
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 9999), Receiver).serve_forever()
"""


def test_a_secret_of_the_configuration_comes_as_a_credential(machine: Sandbox) -> None:
    """root's alone on disk; `service install` tells systemd of it; what is sent is signed with it."""
    from standardwebhooks import Webhook  # noqa: PLC0415

    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    machine.write("/etc/edgemon/credentials/pager", secret, 0o600)
    machine.write("/root/receiver.py", RECEIVER)
    machine.run("systemd-run", "--unit=receiver", "/usr/bin/python3", "/root/receiver.py")
    machine.write("/etc/edgemon/rules/on.yml", "groups: [{name: a, rules: [{alert: On, expr: vector(1)}]}]")
    pager = {"url": "http://127.0.0.1:9999/", "secret": "${CREDENTIALS_DIRECTORY}/pager"}
    rules = {"files": ["/etc/edgemon/rules/on.yml"], "interval": "1s"}
    machine.configure(probes={}, sensors=BRISK, notify={"webhooks": {"pager": pager}}, rules=rules)
    said = machine.run("edgemon", "service", "install", "--yes").stdout
    assert f"write /etc/systemd/system/{UNIT}.d/60-credentials.conf" in said
    head, _, body = until(lambda: machine.sh("cat /root/taken", check=False), PATIENCE).partition("\n\n")
    headers = dict(line.split(": ", 1) for line in head.splitlines())
    assert Webhook(secret).verify(body, headers)["alerts"][0]["labels"]["alertname"] == "On"
    assert machine.sh("runuser -u edgemon cat /etc/edgemon/credentials/pager", check=False) == ""
    assert secret not in "".join(str(one) for one in machine.journal())


def test_the_real_model_is_measured_under_the_sandboxed_unit(machine: Sandbox) -> None:
    """Its worker stands back as anywhere: last for CPU and disk, first to be killed, bounded; and it is confined."""
    machine.write("/opt/python/pyvenv.cfg", "home = /usr/bin\n")
    machine.sh("mkdir -p /opt/python/bin; ln -sf /usr/bin/python3 /opt/python/bin/python")
    site = f"/opt/python/lib/python{sysconfig.get_python_version()}/site-packages"
    machine.write(f"{site}/engine.pth", "/opt/engine\n")
    probe = {"python": "/opt/python/bin/python", "cpus": ["0"], "memory": "3GiB", "interval": "1m", "timeout": "1m"}
    machine.configure(probes={"default": {**probe, "idle": "5s"}}, sensors=BRISK, gates={"boot": 0})
    machine.restart()
    pid = machine.show("MainPID")
    worker = until(lambda: machine.sh(f"pgrep -P {pid} -f probe/worker.py", check=False).strip(), PATIENCE)
    look = (
        f"cd /proc/{worker}; cut -d' ' -f19 stat; taskset -cp {worker} | sed 's/.*: //'; cat oom_score_adj; "
        f"grep 'Max data size' limits | tr -s ' ' | cut -d' ' -f4; ionice -p {worker}; "
        f"grep -hE '^(NoNewPrivs|Seccomp|Seccomp_filters|CapBnd):' status | sort | cut -f2"
    )
    units = int(machine.sh(f"grep Seccomp_filters: /proc/{pid}/status | cut -f2"))
    # the last is the unit's filters and its own, which takes the network away
    wanted = ["19", "0", "1000", str(3 << 30), "idle", "0" * 16, "1", "2", str(units + 1)]
    until(lambda: machine.sh(look, check=False).split() == wanted, PATIENCE)
    outcome = 'edgemon_probe_outcome{{probe="default",outcome="{}"}}'.format
    found = until(lambda: (now := machine.series()).get(outcome("ok")) and now, PATIENCE)
    assert found['edgemon_probe_placement_ratio{probe="default",stage="assigned",provider="CPUExecutionProvider"}'] == 1
    assert found['edgemon_probe_confined{probe="default"}'] == 1


def test_the_journal_has_what_a_message_is_about(machine: Sandbox) -> None:
    (said, *_) = machine.journal("EDGEMON_PROBE=default", f"MESSAGE_ID={logs.EVENTS['verdict']}")
    assert said["MESSAGE"].startswith("probe default: ")
    assert (said["EDGEMON_LANE"], said["EDGEMON_EVENT"], said["LOGGER"]) == ("probing", "verdict", "edgemon")
    assert said["SYSLOG_IDENTIFIER"] == "edgemon"
    assert said["_TRANSPORT"] == "journal"


def test_a_file_system_is_not_read_only_for_being_so_to_the_service(machine: Sandbox) -> None:
    """ProtectSystem=strict mounts everything read-only; what /opt/engine lies on is not."""
    assert machine.sh(f"grep ' /opt/engine ' /proc/{machine.show('MainPID')}/mounts").split()[3].startswith("ro,")
    flags = [value for name, value in machine.series().items() if name.startswith("edgemon_filesystem_readonly{")]
    assert not any(flags)


def test_a_baseline_that_root_records_belongs_to_the_service(machine: Sandbox) -> None:
    """Else the daemon could not write beside it."""
    machine.run("systemctl", "stop", UNIT)
    machine.configure(probes={"a": FAKE}, sensors=BRISK)
    machine.sh("rm -f /var/lib/edgemon/*")
    machine.run("edgemon", "baseline", "record", "a", "--rounds", "3")
    assert set(machine.sh("stat -c %U /var/lib/edgemon/*").split()) == {"edgemon"}
    machine.restart()
    until(lambda: 'edgemon_probe_baseline_duration_seconds{probe="a"}' in machine.series(), PATIENCE)


def test_an_accelerator_opens_its_device_and_group_to_the_service(machine: Sandbox) -> None:
    machine.sh("groupadd apex")
    inner = machine.root.with_name(f"{machine.root.name}.pid").read_text().strip()
    subprocess.run(["nsenter", "-t", inner, "-m", "mknod", "/dev/apex_0", "c", "1", "3"], check=True)
    machine.sh("chgrp apex /dev/apex_0; chmod 660 /dev/apex_0")
    assert machine.run("edgemon", "service", "status", check=False).returncode == 1
    machine.run("edgemon", "service", "install", "--yes")
    text = machine.sh(f"cat /etc/systemd/system/{UNIT}.d/50-coral.conf")
    assert text.splitlines()[2:] == ["[Service]", "DeviceAllow=/dev/apex_0 rw", "SupplementaryGroups=apex"]
    number = machine.sh("getent group apex | cut -d: -f3").strip()
    assert number in machine.sh(f"grep Groups: /proc/{machine.show('MainPID')}/status").split()
    machine.sh("rm /dev/apex_0; edgemon service install --yes")
    assert machine.run("test", "-e", f"/etc/systemd/system/{UNIT}.d/50-coral.conf", check=False).returncode == 1


def test_without_root_the_command_says_what_to_run(machine: Sandbox) -> None:
    command = ("runuser", "-u", "nobody", "--", "edgemon", "service", "install")
    assert "nothing was changed" in machine.run(*command).stdout
    refused = machine.run(*command, "--yes", check=False)
    python = "/usr/lib/edgemon/bin/python"
    assert refused.returncode == 3
    assert refused.stderr == f"edgemon: needs root: sudo {python} -m edgemon service install --yes\n"


def test_an_upgrade_keeps_state_configuration_and_what_the_administrator_chose(machine: Sandbox) -> None:
    identity = 'edgemon_probe_baseline_duration_seconds{probe="a"}'
    before = until(lambda: identity in (now := machine.series()) and now, PATIENCE)
    pid = machine.show("MainPID")
    machine.sh(
        "cd /root; dpkg-deb --raw-extract edgemon.deb next; sed -i 's/^Version: .*/Version: 99/' next/DEBIAN/control; "
        "dpkg-deb -Znone --build next next.deb; systemctl disable edgemon; dpkg --install next.deb"
    )
    assert machine.sh("dpkg-query -W -f '${Version}' edgemon") == "99"
    until(lambda: machine.back(pid) and identity in machine.series(), PATIENCE)
    assert machine.series()[identity] == before[identity]
    assert machine.show("UnitFileState") == "disabled"


def test_a_stop_is_clean_and_the_next_start_knows_it(machine: Sandbox) -> None:
    stops = 'edgemon_restarts_total{after="stop"}'
    before = machine.series()[stops]
    machine.run("systemctl", "stop", UNIT)
    assert (machine.show("Result"), machine.show("ExecMainStatus")) == ("success", "0")
    machine.restart()
    assert until(machine.series, PATIENCE)[stops] == before + 1


def test_purge_leaves_nothing(machine: Sandbox) -> None:
    """But a copy outside, which the next test installs from."""
    machine.sh(
        "mkdir -m 700 /home/me; cp -a /usr/lib/edgemon /home/me/edgemon; rm -r /root/next*; dpkg --purge edgemon"
    )
    left = machine.sh("find / -xdev -path /proc -prune -o -path /home -prune -o -iname '*edgemon*' -print").split()
    assert [one for one in left if not one.startswith(("/root/edgemon.deb", "/sys/", "/run/systemd/"))] == []
    assert machine.run("id", "edgemon", check=False).returncode != 0
    assert machine.show("LoadState") == "not-found"


def test_service_install_shows_what_it_would_do_does_it_and_takes_it_back(machine: Sandbox) -> None:
    """From any virtual environment, whose Python the unit runs; one in a closed home is opened to the service alone."""
    python = "/home/me/edgemon/bin/python"
    edgemon = [python, "-m", "edgemon", "service"]
    shown = machine.run(*edgemon, "install").stdout
    assert f"would write /etc/systemd/system/{UNIT}\n" in shown
    assert f"  | ExecStart={python} -m edgemon run\n" in shown
    assert "would run systemctl enable edgemon.service" in shown
    assert machine.run("id", "edgemon", check=False).returncode != 0
    machine.run(*edgemon, "install", "--yes")
    assert machine.show("ActiveState") == "active"
    until(machine.series, PATIENCE)
    assert machine.run(*edgemon, "status").returncode == 0
    assert "ProtectHome=tmpfs\n" in machine.sh(f"cat /etc/systemd/system/{UNIT}.d/60-home.conf")
    assert exposure(machine) <= 2.0
    hidden = machine.run(python, "-m", "edgemon", "baseline", "list", check=False)
    assert hidden.returncode == 3
    assert f"belongs to edgemon, who may not read {python}" in hidden.stderr
    machine.run(*edgemon, "uninstall", "--yes")
    assert machine.show("LoadState") == "not-found"
    assert "edgemon.sqlite" in machine.sh("ls /var/lib/edgemon")
    machine.run(*edgemon, "uninstall", "--purge", "--yes")
    assert machine.sh("ls -d /var/lib/edgemon /etc/edgemon /etc/systemd/system/edgemon*", check=False) == ""
    assert machine.run("id", "edgemon", check=False).returncode != 0
