"""Answering one ioctl of another process in the kernel's place (seccomp user notification, Linux 5.0).

What the caller does is real: its system call, its number, the bytes in its memory. Only the driver is ours.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import threading
from collections.abc import Callable

NUMBERS = {"x86_64": (317, 16), "aarch64": (277, 29)}
"""Of seccomp and ioctl."""
RECEIVE, SEND = 3 << 30 | 80 << 16 | 0x21 << 8, 3 << 30 | 24 << 16 | 0x21 << 8 | 1
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
Driver = Callable[[bytes], "bytes | int"]
"""What becomes of the caller's buffer, or the errno it gets; it may take as long as it likes."""


def supported() -> bool:
    """Whether this machine can do it."""
    return platform.machine() in NUMBERS and os.path.exists("/proc/sys/kernel/seccomp/actions_avail")


def trap(code: int, to: socket.socket) -> None:
    """Hand every ioctl of this number that this process makes from now on to whoever holds the other end."""
    seccomp, ioctl = NUMBERS[platform.machine()]
    steps = (
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 0, 3, ioctl),  # not ioctl: allow
        (0x20, 0, 0, 24),  # load the low half of its second argument
        (0x15, 0, 1, code),
        (0x06, 0, 0, NOTIFY),
        (0x06, 0, 0, ALLOW),
    )
    code_bytes = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code_bytes)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    listener = libc.syscall(seccomp, 1, 8, program)  # SECCOMP_SET_MODE_FILTER, FLAG_NEW_LISTENER
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    socket.send_fds(to, [b"."], [listener])


def serve(end: socket.socket, driver: Driver) -> None:
    """Answer the ioctls of the process that holds the other end, in a thread, until that process ends."""
    threading.Thread(target=_serve, args=(end, driver), daemon=True).start()


def _serve(end: socket.socket, driver: Driver) -> None:
    _, (listener, *_), _, _ = socket.recv_fds(end, 1, 1)
    while True:
        notice = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, notice)
            ident, pid = struct.unpack_from("=QI", notice)
            code = _answer(pid, struct.unpack_from("=Q", notice, 32 + 16)[0], driver)
            fcntl.ioctl(listener, SEND, bytearray(struct.pack("=QqiI", ident, 0, -code, 0)))
        except OSError:  # the process is gone
            os.close(listener)
            return


def _answer(pid: int, address: int, driver: Driver) -> int:
    """As vcio.c does it: the first word of the buffer is its size; it is copied in and, if all went well, out."""
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    try:
        (size,) = struct.unpack("=I", os.pread(memory, 4, address))
        told = driver(os.pread(memory, size, address)) if size <= 1 << 20 else errno.ENOMEM
        return told if isinstance(told, int) else 0 * os.pwrite(memory, told, address)
    finally:
        os.close(memory)
