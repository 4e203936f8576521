"""A worker without a network: what its engine, and what that starts, may open."""

from __future__ import annotations

import errno
import os
import pkgutil
import platform
import subprocess
import sys
from socket import create_server
from threading import Event

import pytest

from edgemon import runtimes
from edgemon.probe.confine import LOCAL
from edgemon.probe.result import Request
from edgemon.probe.supervisor import Worker
from tests.running import HERE

pytestmark = pytest.mark.skipif(platform.machine() not in {"x86_64", "aarch64"}, reason="numbers of these machines")
ATTEMPT = """
import errno, socket, sys
from edgemon.probe.confine import no_network
assert no_network()
{}
"""


def confined(code: str) -> str:
    """What a confined process prints."""
    ran = subprocess.run(
        [sys.executable, "-c", ATTEMPT.format(code)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_PACKET", "AF_VSOCK", "AF_ALG"])
def test_a_socket_of_a_network_is_refused(family: str) -> None:
    code = f"try: socket.socket(socket.{family}, socket.SOCK_DGRAM)\nexcept OSError as error: print(error.errno)"
    assert confined(code) == str(errno.EPERM)


def test_local_sockets_files_threads_and_processes_work() -> None:
    code = (
        "import os, subprocess, threading\n"
        "a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15).close()\n"
        "one = threading.Thread(target=lambda: print(os.path.exists('/proc/self/status'))); one.start(); one.join()"
    )
    assert confined(code) == "True"


def test_what_it_starts_is_confined_as_well() -> None:
    code = (
        "import subprocess\n"
        "code = 'import socket; socket.create_connection((\"127.0.0.1\", 9), 1)'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stderr.splitlines()[-1])"
    )
    assert confined(code) == "PermissionError: [Errno 1] Operation not permitted"


def test_no_ring_opens_a_socket_past_the_filter() -> None:
    """Its number is the same on every architecture; without a filter it would be EFAULT for no parameters."""
    code = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall(425, 1, 0); print(ctypes.get_errno())"
    assert confined(code) == str(errno.EPERM)


def filters(pid: int | str) -> int:
    """How many filters the kernel counts for a process."""
    with open(f"/proc/{pid}/status") as status:
        return int(next(line for line in status if line.startswith("Seccomp_filters:")).split()[1])


@pytest.mark.parametrize(("runtime", "more"), [("fake", 1), ("http", 0)])
def test_the_worker_of_an_engine_is_confined_and_that_of_an_endpoint_is_not(runtime: str, more: int) -> None:
    class Looking(Event):
        """Looks at the worker while it runs: its supervisor asks again and again whether it is to be killed."""

        seen = 0

        def is_set(self) -> bool:
            process = worker._process
            self.seen = max(self.seen, filters(process.pid) if process and process.poll() is None else 0)
            return False

    worker, looking = Worker(), Looking()
    with create_server(("127.0.0.1", 0)) as server:  # it takes connections and says nothing
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        request = Request("a", runtime, url, samples=3, seconds=0.5, idle=0.1, timeout=2.0)
        worker.ask(request, looking)
    assert looking.seen == filters("self") + more


def test_every_engine_is_confined() -> None:
    """Those that ask others are the exceptions, by name."""
    names = {one.name for one in pkgutil.iter_modules(runtimes.__path__)}
    assert names - set(LOCAL) == {"http", "openinference", "command"}
