"""Masking: what tells one device or its owner is gone wherever it stands; everything else is as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgemon.capture import Entry
from edgemon.mask import Mask


def masked(*hosts: str, **files: str) -> dict[str, str]:
    """Entries by path, masked; an underscore stands for a slash."""
    entries = {"/" + name.replace("__", "-").replace("_", "/"): Entry(text.encode()) for name, text in files.items()}
    return everything(entries, *hosts)


def everything(entries: dict[str, Entry], *hosts: str) -> dict[str, str]:
    mask = Mask()
    mask.learn(entries, hosts)
    return {key: entry.body.decode() for key, entry in (mask.entry(*one) for one in entries.items())}


@pytest.mark.parametrize(
    ("path", "text", "shown"),
    [
        ("/proc/device-tree/serial-number", "100000009c3fab12\0", "0000000000000001\0"),
        ("/etc/machine-id", "0f1e2d3c4b5a69788796a5b4c3d2e1f0\n", "0" * 31 + "1\n"),
        ("/etc/hostname", "kitchen-cam-7\n", "0000000-000-1\n"),
        ("/sys/class/net/eth0/address", "dc:a6:32:01:02:03\n", "00:00:00:00:00:01\n"),
        ("/sys/class/net/lo/address", "00:00:00:00:00:00\n", "00:00:00:00:00:00\n"),
        ("/sys/block/mmcblk0/device/cid", "1b534d45423151543089e91e1c014a00\n", "0" * 31 + "1\n"),
        ("/proc/cpuinfo", "Revision\t: d03114\nSerial\t\t: 10000000abcdef01\nModel\t: Pi\n",
         "Revision\t: d03114\nSerial\t\t: 0000000000000001\nModel\t: Pi\n"),
        ("/sys/x/uevent", "DRIVER=hid\nHID_UNIQ=e4:17:d8:0a:0b:0c\n", "DRIVER=hid\nHID_UNIQ=00:00:00:00:00:01\n"),
        ("call os.uname()", '["Linux", "vm", "6.6"]\n', '["Linux", "host1", "6.6"]\n'),
        ("run hailortcli fw-control identify", "Board Name: Hailo-8\nSerial Number: HLLWM2B214500123\n",
         "Board Name: Hailo-8\nSerial Number: 0000000000000001\n"),
        ("/proc/mounts", "/dev/sda1 /media/alice/STICK vfat\n/dev/sdb /home/alice/data ext4\n",
         "/dev/sda1 /media/user1/STICK vfat\n/dev/sdb /home/user1/data ext4\n"),
        ("/x", "GPU-5f2b1a9c-11aa-22bb-33cc-0123456789ab", "GPU-00000000-0000-0000-0000-000000000001"),
        ("/proc/net/dev", "enxdca632010203: 1 2 3", "enx000000000001: 1 2 3"),
    ],
)  # fmt: skip
def test_what_is_private_is_masked_in_its_form(path: str, text: str, shown: str) -> None:
    assert everything({path: Entry(text.encode())}) == {path: shown}


@pytest.mark.parametrize(
    "text",
    ["NVIDIA Jetson Orin Nano", "0000:01:00.0", "4.19.0 12:34:56", "36.4.3", "vbios 90.04.84.00.06", "46500",
     "in1_input", "MemTotal: 24684092 kB", "i2c-1/1-0044", "PCI_ID=10DE:1EB8", "2024-10-22", "eth0: 183085758 44768"],
)  # fmt: skip
def test_what_is_not_private_stays(text: str) -> None:
    assert everything({"/x": Entry(text.encode())}) == {"/x": text}


def test_the_same_value_is_masked_alike_wherever_it_stands() -> None:
    """In another file, in a path, in a library's answer, in a link's target; two values stay two."""
    entries = {
        "/proc/device-tree/serial-number": Entry(b"1421820012345\0"),
        "/a": Entry(b"board 1421820012345 rev 2"),
        "/sys/usb/1421820012345/x": Entry(target="../1421820012345"),
        "call jtop()": Entry(b'{"Serial Number": "1421820012345", "other": {"serial": "1421820099999"}, "uuid": 7}'),
    }
    mask = Mask()
    mask.learn(entries)
    found = dict(mask.entry(*one) for one in entries.items())
    assert found["/a"].body == b"board 0000000000001 rev 2"
    assert found["/sys/usb/0000000000001/x"].target == "../0000000000001"
    assert found["call jtop()"].body == (
        b'{"Serial Number": "0000000000001", "other": {"serial": "0000000000002"}, "uuid": 0}\n'
    )


def test_the_host_name_is_masked_as_a_word_unless_half_the_world_has_it() -> None:
    entries = {"/x": Entry(b"cam17 on cam170, raspberrypi,5-model-b")}
    assert everything(entries, "cam17") == {"/x": "host1 on cam170, raspberrypi,5-model-b"}
    assert everything(entries, "raspberrypi") == {"/x": "cam17 on cam170, raspberrypi,5-model-b"}


@given(some.binary(max_size=200))
def test_any_bytes_can_be_masked(body: bytes) -> None:
    mask = Mask()
    entries = {"/sys/serial": Entry(body), "/x": Entry(body)}
    mask.learn(entries)
    for key, entry in entries.items():
        assert len(mask.entry(key, entry)[1].body.split(b"\n")) == len(body.split(b"\n"))
