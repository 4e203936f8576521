"""Who the device is: the same after every restart, another one for a clone on another board, never nobody."""

from __future__ import annotations

import os
import platform
import re
import uuid
from pathlib import Path

import pytest

from edgemon import identity
from edgemon.capture import parse
from edgemon.replay import Replay
from edgemon.sysfs import Root

ID, SERIAL = "0123456789abcdef0123456789abcdef", "1424720012345"


def machine(where: Path, **files: str | bytes) -> Root:
    """A machine of a few files."""
    where.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = where / PATHS[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if name == "card":
            (path.parent / "device").mkdir()
    return Root(str(where))


PATHS = {
    "machine_id": "etc/machine-id",
    "tree_model": "proc/device-tree/model",
    "tree_serial": "proc/device-tree/serial-number",
    "card": "sys/class/net/eth0/address",
    "vendor": "sys/class/dmi/id/sys_vendor",
    "product": "sys/class/dmi/id/product_name",
    "release": "etc/os-release",
    "cpuinfo": "proc/cpuinfo",
}


def test_the_instance_id_is_the_same_for_the_same_device(tmp_path: Path) -> None:
    """Also when it is installed anew elsewhere: only the machine id and the serial number count."""
    ids = {
        identity.instance(machine(tmp_path / one, machine_id=f"{ID}\n", tree_serial=f"{SERIAL}\0", release=one))
        for one in ("a", "b")
    }
    assert len(ids) == 1


def test_the_instance_id_is_a_uuid_of_version_8(tmp_path: Path) -> None:
    text = identity.instance(machine(tmp_path, machine_id=ID))
    one = uuid.UUID(text)
    assert (str(one), one.version, one.variant) == (text, 8, uuid.RFC_4122)
    assert ID not in text.replace("-", "")


def test_a_cloned_card_in_another_board_is_another_device(tmp_path: Path) -> None:
    """One image, machine id and all; the serial numbers differ, or the address of the network card on the board."""
    boards = [
        {"tree_serial": SERIAL}, {"tree_serial": SERIAL[::-1]},
        {"card": "02:00:00:00:00:01"}, {"card": "02:00:00:00:00:02"}, {},
    ]  # fmt: skip
    ids = {identity.instance(machine(tmp_path / str(n), machine_id=ID, **one)) for n, one in enumerate(boards)}
    assert len(ids) == len(boards)


def test_boards_without_a_serial_differ_by_machine_id(tmp_path: Path) -> None:
    ids = {identity.instance(machine(tmp_path / one, machine_id=one * 32)) for one in "ab"}
    assert len(ids) == 2


def test_machine_id_and_serial_do_not_run_together(tmp_path: Path) -> None:
    """`ab` with `c` is not `a` with `bc`."""
    one = identity.instance(machine(tmp_path / "1", machine_id="ab", tree_serial="c"))
    assert one != identity.instance(machine(tmp_path / "2", machine_id="a", tree_serial="bc"))


def test_without_machine_id_and_serial_the_host_name_is_who_it_is() -> None:
    ids = set()
    for name in ("kitchen", "kitchen", "garden"):
        uname = f'== call os.uname()\n["Linux", "{name}", "6.6.20", "#1", "aarch64"]'
        ids.add(identity.instance(Replay(parse(uname))))
    assert len(ids) == 2


def test_the_model_is_the_device_trees(tmp_path: Path) -> None:
    """Its maker is the first word; the NUL at its end is no part of it. DMI is not asked."""
    root = machine(tmp_path, tree_model=b"Raspberry Pi 5 Model B Rev 1.0\0", vendor="Acme", product="Box")
    assert identity.model(root) == ("Raspberry", "Raspberry Pi 5 Model B Rev 1.0")


def test_without_a_device_tree_the_model_is_dmis(tmp_path: Path) -> None:
    root = machine(tmp_path, vendor="LENOVO\n", product="20XW0026GE\n")
    assert identity.model(root) == ("LENOVO", "20XW0026GE")


@pytest.mark.parametrize("content", ["", "\n", "\0", "   "])
def test_an_empty_device_tree_model_is_none(tmp_path: Path, content: str) -> None:
    assert identity.model(machine(tmp_path, tree_model=content)) == ("", "")


def test_on_an_empty_machine_everything_still_has_an_answer(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert identity.model(root) == ("", "")
    assert identity.system(root)
    assert re.fullmatch(r"[0-9a-f-]{36}", identity.instance(root))
    assert identity.target(root).value == 1.0
    assert identity.device(root)["governor"] == ""


def test_the_system_is_called_as_it_calls_itself(tmp_path: Path) -> None:
    release = 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\nnonsense\n'
    assert identity.system(machine(tmp_path, release=release)) == "Ubuntu 22.04.4 LTS"


def test_the_cpu_is_named_by_its_model_or_part(tmp_path: Path) -> None:
    for number, (line, name) in enumerate(
        [("model name\t: Cortex: A76 (r4)", "Cortex: A76 (r4)"), ("CPU part\t: 0xd0b", "0xd0b")]
    ):
        root = machine(tmp_path / str(number), cpuinfo=f"processor\t: 0\n{line}\n")
        assert identity.cpu(root) == f"{name} x1"


def test_the_target_is_the_resource_of_opentelemetry(tmp_path: Path) -> None:
    reading = identity.target(machine(tmp_path, machine_id=ID, tree_model="NVIDIA Jetson Orin Nano"))
    labels = dict(zip(reading.metric.prometheus_labels, reading.labels, strict=True))
    assert labels["service_name"] == "edgemon"
    assert labels["service_instance_id"] == identity.instance(machine(tmp_path))
    assert (labels["device_manufacturer"], labels["device_model_identifier"]) == ("NVIDIA", "NVIDIA Jetson Orin Nano")
    assert labels["edgemon_simulated"] == "true"


def test_this_machine_tells_its_name_architecture_and_kernel() -> None:
    reading = identity.target(Root())
    labels = dict(zip(reading.metric.prometheus_labels, reading.labels, strict=True))
    assert (labels["host_name"], labels["edgemon_simulated"]) == (platform.node(), "")
    assert labels["host_arch"] in {"amd64", "arm64", "arm32", "x86"}
    assert identity.device(Root())["kernel"] == platform.release()
    assert identity.cpu(Root()).endswith(f" x{os.cpu_count()}")
