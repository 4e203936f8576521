"""Confining a worker: the engine, and whatever is in the model that it reads, gets no network.

A filter of system calls (seccomp_filter(2), BPF): sockets but of AF_UNIX and, for libusb, AF_NETLINK are refused with
EPERM, and io_uring, which would open them past the filter. It needs no privilege, holds with and without a service
manager, and is inherited by what an engine starts. Standard library only, Python >= 3.8; numbers are those of
linux/audit.h and asm/unistd.h.
"""

from __future__ import annotations

import os
import struct
import sys

LOCAL = ("onnx", "litert", "openvino", "hailo", "fake")
"""Runtimes whose engine runs in the worker; all others are there to ask somebody else."""
CALLS: dict[tuple[str, bool], tuple[int, int, int]] = {
    ("x86_64", True): (0xC000003E, 41, 317),
    ("aarch64", True): (0xC00000B7, 198, 277),
    ("riscv64", True): (0xC00000F3, 198, 277),
    ("aarch64", False): (0x40000028, 281, 383),
    ("armv8l", False): (0x40000028, 281, 383),
    ("armv7l", False): (0x40000028, 281, 383),
    ("armv6l", False): (0x40000028, 281, 383),
}
"""The architecture, and the numbers of socket and seccomp, by machine and whether this Python is one of 64 bits."""
URING, X32 = 425, 0x40000000
UNIX, NETLINK = 1, 16
PR_SET_NO_NEW_PRIVS = 38
MODE_FILTER, SPEC_ALLOW = 1, 4
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001


def no_network() -> bool:
    """Refuse sockets of a network to this process from now on; whether the kernel does so."""
    import ctypes  # noqa: PLC0415 - 5 ms that a failing start need not pay

    known = CALLS.get((os.uname().machine, sys.maxsize > 1 << 32))
    if known is None:
        return False
    architecture, call, seccomp = known
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program(architecture, call)))
    given = ctypes.create_string_buffer(struct.pack("@HP", len(steps.raw) // 8, ctypes.addressof(steps)))
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # without SPEC_ALLOW a kernel before 5.16 would slow the engine down by its mitigation of speculative stores
    return int(libc.syscall(seccomp, MODE_FILTER, SPEC_ALLOW, given)) == 0


def program(architecture: int, call: int) -> list[tuple[int, int, int, int]]:
    """The filter: operation, steps to leave out if so and if not, operand; offsets are those of struct seccomp_data."""
    return [
        (LOAD, 0, 0, 4),  # the architecture; calls of another one have other numbers
        (EQUAL, 0, 7, architecture),
        (LOAD, 0, 0, 0),  # the number of the call
        (AT_LEAST, 5, 0, X32),
        (EQUAL, 4, 0, URING),
        (EQUAL, 0, 4, call),
        (LOAD, 0, 0, 16),  # its first argument, the low half
        (EQUAL, 2, 0, UNIX),
        (EQUAL, 1, 0, NETLINK),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
