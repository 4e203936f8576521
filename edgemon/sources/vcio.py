"""The VideoCore firmware of a Raspberry Pi, asked as `vcgencmd` asks it, but without starting a program.

One ioctl of /dev/vcio_gencmd or /dev/vcio carries a property message of 32 bit words (drivers/char/broadcom/vcio.c of
Raspberry Pi's kernel; vcgencmd.c of raspi-utils): its size, 0 for a request, the tag GET_GENCMD_RESULT, the size of the
tag's buffer, 0, the buffer, and the end tag 0. The buffer begins with a word for the firmware's error, and the text of
the command stands behind it, where the text of the answer will be.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

NODES = ("/dev/vcio_gencmd", "/dev/vcio")
"""The first is for group video and takes this tag only; where it is, the second is root's."""
PROPERTY = 3 << 30 | struct.calcsize("P") << 16 | 100 << 8
"""IOCTL_MBOX_PROPERTY, _IOWR(100, 0, char *)."""
GET_GENCMD_RESULT, ANSWERED = 0x00030080, 0x80000000
MESSAGE = 1024
"""Bytes; vcgencmd takes 28 more. Python holds its lock during an ioctl of more than 1024 bytes, so that a firmware that
does not answer would stop every thread. The longest answer that is asked for, pmic_read_adc, has 911."""
BUFFER = MESSAGE - 24
TEXT = 24


def ask(command: str) -> str | None:
    """The firmware's answer to a command, as `vcgencmd` prints it; None where there is no such device.

    OSError: EACCES without group video, what the kernel says (ETIMEDOUT after 1 s of silence), EPROTO for no answer.
    """
    node = next(filter(os.path.exists, NODES), None)
    if node is None:
        return None
    message = request(command)
    fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, PROPERTY, message)
    finally:
        os.close(fd)
    return answer(message)


def request(command: str) -> bytearray:
    """The message that asks; ValueError for a command that has no room in it."""
    text = command.encode("ascii")
    if len(text) >= BUFFER - 4:
        raise ValueError(f"a command for the firmware has at most {BUFFER - 5} bytes")
    return bytearray(struct.pack(f"=6I{BUFFER - 4}sI", MESSAGE, 0, GET_GENCMD_RESULT, BUFFER, 0, 0, text, 0))


def answer(message: bytes | bytearray) -> str:
    """The text in a message that came back; OSError when nobody answered or the answer has no end.

    A command the firmware does not know is answered in words: error=1 error_msg="Command not registered".
    """
    text, end, _ = bytes(message[TEXT:-4]).partition(b"\0")
    (status,) = struct.unpack_from("=I", message, 4)
    if status != ANSWERED or not end:
        raise OSError(errno.EPROTO, f"the firmware's answer is none: status {status:#x}")
    return text.decode("utf-8", "replace")
