"""What a device and its configuration add to the unit."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from edgemon.config import Config, Probe
from edgemon.systemd import DROPINS, text
from edgemon.systemd.dropins import credentials, dropins, notes
from edgemon.systemd.nodes import Node, platforms

CLASSES = (
    "Character devices:\n  1 mem\n 10 misc\n120 apex\n195 nvidia\n195 nvidiactl\n189 usb_device\n\nBlock devices:\n"
)
CHAR = 0o020000


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A root with /proc/devices; nodes can be made in it."""
    if os.geteuid():
        pytest.skip("making device nodes needs root")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/devices").write_text(CLASSES)
    return tmp_path


def node(machine: Path, path: str, major: int, mode: int, gid: int = 0) -> None:
    """Make a device node."""
    place = machine / path.strip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(place, CHAR | mode, os.makedev(major, 0))
    os.chown(place, 0, gid)
    place.chmod(mode)


def put(machine: Path, path: str, said: str) -> None:
    """Write a file."""
    place = machine / path.strip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(said)


def test_a_device_is_allowed_by_the_class_of_its_driver_and_to_its_group(machine: Path) -> None:
    group = grp.getgrnam("video")
    node(machine, "/dev/apex_0", 120, 0o660, group.gr_gid)
    node(machine, "/dev/apex_1", 120, 0o660, group.gr_gid)
    found = [Node(f"/dev/apex_{number}", ("char-apex",), "video", False) for number in (0, 1)]
    assert platforms(str(machine)) == {"coral": found}
    said = dropins(Config(), platforms(str(machine)))[f"{DROPINS}/50-coral.conf"]
    assert said.splitlines()[1:] == [
        "# coral: /dev/apex_0, /dev/apex_1", "[Service]", "DeviceAllow=char-apex rw", "SupplementaryGroups=video",
    ]  # fmt: skip


def test_a_class_of_many_drivers_is_not_opened_whole(machine: Path) -> None:
    node(machine, "/dev/hailo0", 10, 0o666)
    assert platforms(str(machine)) == {"hailo": [Node("/dev/hailo0", ("/dev/hailo0",), "", False)]}


def test_every_name_of_a_class_is_allowed_and_what_all_may_open_needs_no_group(machine: Path) -> None:
    node(machine, "/dev/nvidia0", 195, 0o666)
    assert platforms(str(machine)) == {}  # not without its driver
    put(machine, "/proc/driver/nvidia/version", "NVRM version")
    found = platforms(str(machine))
    assert found == {"nvidia": [Node("/dev/nvidia0", ("char-nvidia", "char-nvidiactl"), "", False)]}


def test_a_usb_edge_tpu_is_allowed_by_class_since_it_changes_its_node(machine: Path) -> None:
    for name, said in (("idVendor", "1a6e"), ("idProduct", "089a"), ("busnum", "2"), ("devnum", "7")):
        put(machine, f"/sys/bus/usb/devices/2-1/{name}", said + "\n")
    node(machine, "/dev/bus/usb/002/007", 189, 0o664, grp.getgrnam("plugdev").gr_gid)
    node(machine, "/dev/bus/usb/002/001", 189, 0o664)
    (found,) = platforms(str(machine))["coral"]
    assert found == Node("/dev/bus/usb/002/007", ("char-usb_device",), "plugdev", False)
    said = dropins(Config(), {"coral": [found]})[f"{DROPINS}/50-coral.conf"]
    assert "RestrictAddressFamilies=AF_NETLINK" in said.splitlines()


def test_a_device_that_only_root_may_open_is_a_note(machine: Path) -> None:
    node(machine, "/dev/apex_0", 120, 0o600)
    here = platforms(str(machine))
    assert here["coral"][0].closed
    assert list(notes(Config(), here)) == ["/dev/apex_0 is root's alone: give it a group by a udev rule"]


def test_models_below_home_are_opened_alone_and_those_in_tmp_are_a_note() -> None:
    """By their folder, so that a file that is replaced is seen."""
    probes = {
        "a": Probe(model="/home/me/models/a.onnx", python="/home/me/venv/bin/python"), "b": Probe(model="/tmp/b.onnx")
    }  # fmt: skip
    said = dropins(Config(probes=probes), {})[f"{DROPINS}/60-home.conf"].splitlines()
    assert "ProtectHome=tmpfs" in said
    assert {"BindReadOnlyPaths=-/home/me/models", "BindReadOnlyPaths=-/home/me/venv"} <= set(said)
    (note,) = notes(Config(probes=probes), {})
    assert note.startswith("/tmp/b.onnx: the service has a /tmp of its own")


def test_secrets_are_those_that_the_configuration_names() -> None:
    probe = Probe(model="http://127.0.0.1/", options={"a": ["${CREDENTIALS_DIRECTORY}/one"]})
    assert credentials(Config(probes={"a": probe})) == ["one"]
    (note,) = notes(Config(probes={"a": probe}), {})
    assert note.startswith("/etc/edgemon/credentials/one is not there")


def test_a_state_directory_elsewhere_may_be_written() -> None:
    assert "ReadWritePaths=-/data/edgemon" in dropins(Config(state_dir="/data/edgemon"), {})[f"{DROPINS}/60-state.conf"]


def test_every_directive_of_the_unit_stands_under_its_reason() -> None:
    """A comment, or another directive under one; nothing is set without a word."""
    reasons, section = False, ""
    for line in text("edgemon.service").splitlines():
        section = line if line.startswith("[") else section
        reasons = line.startswith("#") or (reasons and bool(line))
        if "=" in line and section == "[Service]" and not line.startswith("#"):
            assert reasons or line.startswith(("Type=",)), line
