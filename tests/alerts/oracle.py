"""The real Prometheus as a judge of expressions: series in by remote write, answers out by its query API."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import subprocess
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.peers import peer
from tests.running import until

Sample = tuple[int, float]
"""Milliseconds since 1970, value."""
Answer = tuple[str, Any]
"""("vector", list of labels and value), ("scalar", value) or ("error", message)."""


@dataclass(frozen=True)
class Line:
    """One series: labels with `__name__`, and samples by time."""

    labels: dict[str, str]
    samples: list[Sample] = field(default_factory=list)


class Oracle:
    """A Prometheus that takes remote writes and answers instant queries."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ready(self) -> bool:
        """Whether it serves."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._connection.request("GET", "/-/ready")
            answer = self._connection.getresponse()
            answer.read()
            return answer.status == 200
        self._connection.close()
        return False

    def write(self, lines: Sequence[Line]) -> None:
        """Store series, in this order."""
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        self._connection.request("POST", "/api/v1/write", literal(request(lines)), headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        assert answer.status in {200, 204}, text

    def query(self, expression: str, at: int) -> Answer:
        """What it says of an expression at a time in milliseconds."""
        form = urllib.parse.urlencode({"query": expression, "time": f"{at / 1000:.3f}"})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request("POST", "/api/v1/query", form, headers)
        said = json.loads(self._connection.getresponse().read())
        if said["status"] != "success":
            return "error", said["error"]
        kind, result = said["data"]["resultType"], said["data"]["result"]
        if kind == "scalar":
            return kind, float(result[1])
        return kind, [(one["metric"], float(one["value"][1])) for one in result] if kind == "vector" else result

    def accepts(self, expression: str) -> bool:
        """Whether its parser takes an expression."""
        self._connection.request("GET", "/api/v1/format_query?" + urllib.parse.urlencode({"query": expression}))
        return bool(json.loads(self._connection.getresponse().read())["status"] == "success")


@contextlib.contextmanager
def oracle(where: Path) -> Iterator[Oracle]:
    """A Prometheus on a free loopback port, with its data in a folder."""
    program, port = peer("prometheus"), free()
    (where / "prometheus.yml").write_text("{}")
    arguments = [
        "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver", "--enable-feature=promql-experimental-functions",
    ]  # fmt: skip
    with (where / "log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], cwd=where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        one = Oracle(port)
        until(one.ready)
        yield one
    finally:
        process.terminate()
        process.wait(30)


def free() -> int:
    """A port nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def request(lines: Sequence[Line]) -> bytes:
    """A WriteRequest of remote write 1.0 in protobuf."""
    return b"".join(_field(1, _series(line)) for line in lines)


def _series(line: Line) -> bytes:
    labels = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(line.labels.items())
    )
    return labels + b"".join(
        _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at)) for at, value in line.samples
    )


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(data: bytes) -> bytes:
    """The data in snappy's block format, all of it literal."""
    pieces = [_varint(len(data))]
    for start in range(0, len(data), 65536):
        piece = data[start : start + 65536]
        pieces += [b"\xf4" + struct.pack("<H", len(piece) - 1), piece]
    return b"".join(pieces)
