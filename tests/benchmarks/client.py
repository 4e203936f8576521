"""A scraper: keeps its connection and asks as Prometheus 3 does."""

from __future__ import annotations

import gzip
import http.client
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass

HEADERS = {
    "User-Agent": "Prometheus/3.5.0",
    "Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer: the time it took, and its body as it came over the wire."""

    seconds: float
    body: bytes
    zipped: bool

    def text(self) -> str:
        """The exposition."""
        return (gzip.decompress(self.body) if self.zipped else self.body).decode()

    def series(self) -> dict[str, float]:
        """Value by series."""
        lines = [line for line in self.text().splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class Client:
    """One connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def scrape(self) -> Scrape:
        """Fetch /metrics whole."""
        began = time.perf_counter()
        self._connection.request("GET", "/metrics", headers=HEADERS)
        response = self._connection.getresponse()
        body = response.read()
        took = time.perf_counter() - began
        if response.status != 200:
            raise OSError(f"/metrics answers {response.status}")
        return Scrape(took, body, response.headers.get("Content-Encoding") == "gzip")


def closed_loop(port: int, clients: int, seconds: float) -> list[float]:
    """Latencies of clients, each a process, that ask again as soon as they are answered."""
    with ProcessPoolExecutor(clients) as pool:
        return [took for each in pool.map(_loop, [port] * clients, [seconds] * clients) for took in each]


def _loop(port: int, seconds: float) -> list[float]:
    took, end = [], time.monotonic() + seconds
    with closing(Client(port)) as client:
        while time.monotonic() < end:
            took.append(client.scrape().seconds)
    return took
