"""Accelerators on a bus that no driver has, or the wrong one: seen by their ids, before any platform can know them.

Coral and Hailo chips without driver are told by their platforms, which know them by the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgemon.sysfs import Root

NVIDIA = (
    "install NVIDIA's driver (Debian, Ubuntu: nvidia-driver, built for this kernel by DKMS), and reboot; with Secure "
    "Boot its module must be signed"
)
NPU = (
    "load it: modprobe intel_vpu (Linux 6.3 or later, CONFIG_DRM_ACCEL_IVPU); its firmware is in linux-firmware "
    "(intel/vpu), see dmesg"
)
XDNA = (
    "load it: modprobe amdxdna (Linux 6.14 or later, or AMD's xdna-driver package); its firmware is in linux-firmware "
    "(amdnpu), and the IOMMU must be on"
)
AMDGPU = "load it: modprobe amdgpu; its firmware is in linux-firmware (amdgpu), see dmesg"
INTEL = "load it: modprobe i915 or xe; its firmware is in linux-firmware (i915, xe), see dmesg"
ROCKCHIP = "use the board vendor's kernel (rknpu, CONFIG_ROCKCHIP_RKNPU) or mainline Linux 6.18 or later (rocket)"


class Kind(NamedTuple):
    """What a device is, how it is called, the drivers that make an accelerator of it, and how to get one."""

    kind: str
    name: str
    drivers: tuple[str, ...]
    remedy: str


class Unclaimed(NamedTuple):
    """A device without a useful driver: where it is, its PCI ids, what it is, and who has it (empty: nobody)."""

    path: str
    pci: str
    kind: Kind
    driver: str

    @property
    def ident(self) -> str:
        """The PCI address, or the platform device's name."""
        return self.path.rpartition("/")[2]


INTEL_NPU, AMD_NPU = Kind("npu", "Intel NPU", ("intel_vpu",), NPU), Kind("npu", "AMD NPU", ("amdxdna",), XDNA)
IDS = {
    **dict.fromkeys((("0x8086", f"0x{device}") for device in ("7d1d", "ad1d", "643e", "b03e")), INTEL_NPU),
    **dict.fromkeys((("0x1022", f"0x{device}") for device in ("1502", "17f0")), AMD_NPU),
}
"""drivers/accel/ivpu/ivpu_drv.h, drivers/accel/amdxdna/amdxdna_pci_drv.c."""
DISPLAYS = {
    "0x10de": Kind("gpu", "NVIDIA GPU", ("nvidia",), NVIDIA),
    "0x1002": Kind("gpu", "AMD GPU", ("amdgpu", "radeon"), AMDGPU),
    "0x8086": Kind("gpu", "Intel GPU", ("i915", "xe"), INTEL),
}
"""By vendor, of PCI class 03: display controllers."""
GIVEN = frozenset({"vfio-pci", "pci-stub", "xen-pciback"})
"""Drivers that hand a device to a virtual machine: it is somebody else's on purpose."""
ROCKCHIP_NPU = Kind("npu", "Rockchip NPU", ("RKNPU", "rknpu", "rocket"), ROCKCHIP)


def unclaimed(root: Root) -> Iterator[Unclaimed]:
    """/sys/bus/pci/devices/*/{vendor,device,class}, hex with 0x; /sys/bus/platform/devices/*.npu of a Rockchip SoC."""
    found = [(path[:-7], *known(root, path[:-7])) for path in root.glob("/sys/bus/pci/devices/*/vendor")]
    if "rockchip," in (root.fixed("/proc/device-tree/compatible") or ""):
        found += [(path, "", ROCKCHIP_NPU) for path in root.glob("/sys/bus/platform/devices/*.npu")]
    for path, ids, kind in found:
        driver = root.link(f"{path}/driver").rpartition("/")[2] if root.exists(f"{path}/driver") else ""
        if kind and driver not in kind.drivers and driver not in GIVEN:
            yield Unclaimed(path, ids, kind, driver)


def known(root: Root, path: str) -> tuple[str, Kind | None]:
    """The ids of a PCI device, and what it is if it is an accelerator whose drivers are known here."""
    vendor, device = (root.fixed(f"{path}/{name}") or "" for name in ("vendor", "device"))
    display = (root.fixed(f"{path}/class") or "").startswith("0x03")
    kind = IDS.get((vendor, device)) or (DISPLAYS.get(vendor) if display else None)
    return f"{vendor[2:]}:{device[2:]}", kind
