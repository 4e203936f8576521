"""The pages: what they say, in which state, and that nothing on them is markup but edgemon's own."""

from __future__ import annotations

import gzip
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgemon import __version__, catalog
from edgemon.sinks import pages
from edgemon.sinks.pages import ROUTES, Overview, Route, Row, Site, page
from edgemon.sinks.prometheus import OPENMETRICS, TEXT, Exposition
from edgemon.store import Store
from edgemon.wire import Request, Response
from tests.running import running
from tests.sinks import Client, serving

EVIL = "<script>alert('&\"')</script>"


class Reader(HTMLParser):
    """Collects the tags, the classes and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.classes: list[str] = []
        self.links: set[str] = set()
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            self.classes += (value or "").split() if name == "class" else []
            self.links |= {value or ""} if name == "href" else set()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def overview() -> Overview:
    slow = Row("default", "degraded", "12 % slower", "look at the fan", ("likely thermal_throttling: 80 °C",))
    probes = [slow, Row("new", "waiting", "has not run yet")]
    return Overview("Jetson Orin NX", "Ubuntu 22.04", [Row("linux", "ok", "cpu, load")], probes)


class Place:
    """A site whose states a test sets."""

    def __init__(self) -> None:
        self.store, self.stuck, self.view = Store(), "", overview()
        exposition = Exposition(lambda: self.store.snapshot)
        ready = lambda: self.store.snapshot.number > 0  # noqa: E731
        self.site = Site(
            exposition,
            lambda: self.view,
            lambda: self.stuck,
            ready,
            lambda: b"alerts",
            lambda query: (200, query.encode()),
            lambda: b"status",
        )

    def get(self, path: str, **headers: str) -> Response:
        return self.site(Request(path, {name.replace("_", "-"): value for name, value in headers.items()}))


@pytest.fixture
def place() -> Place:
    return Place()


def test_the_page_shows_version_device_platforms_and_probes_with_verdicts_and_advice(place: Place) -> None:
    answer = place.get("/")
    assert (answer.status, answer.kind) == (200, "text/html; charset=utf-8")
    read = Reader(answer.body.decode())
    text = "|".join(read.texts)
    for part in (f"edgemon {__version__}", "Jetson Orin NX", "Ubuntu 22.04", "linux", "cpu, load"):
        assert part in text
    for part in (
        "default",
        "degraded",
        "12 % slower",
        "likely thermal_throttling: 80 °C",
        "look at the fan",
        "new",
        "waiting",
        "has not run yet",
    ):
        assert part in text
    assert {"ok", "degraded", "waiting"} <= set(read.classes)
    assert read.links == {"/metrics", "/healthz", "/readyz"}


def test_without_probes_the_page_says_so() -> None:
    assert "none configured" in page(Overview("a", "b", [], []))


def test_nothing_that_was_read_becomes_markup() -> None:
    harmless, row = Reader(page(overview())), Row(EVIL, EVIL, EVIL, EVIL, (EVIL,))
    hostile = Reader(page(Overview(EVIL, EVIL, [row], [row])))
    assert hostile.tags == harmless.tags
    assert "".join(hostile.texts).count(EVIL) == 12
    assert hostile.classes.count(EVIL) == 2


def test_the_page_loads_nothing_from_anywhere() -> None:
    assert not {"script", "link", "img", "iframe"} & Reader(page(overview())).tags
    assert "url(" not in page(overview())


def test_healthz_is_503_with_the_reason_while_a_lane_is_stuck(place: Place) -> None:
    assert place.get("/healthz").status == 200
    place.stuck = "lane probing is stuck in default for 99 s"
    assert (place.get("/healthz").status, place.get("/healthz").body) == (503, f"{place.stuck}\n".encode())
    place.stuck = ""
    assert place.get("/healthz").status == 200


def test_readyz_is_503_until_the_first_snapshot(place: Place) -> None:
    assert place.get("/readyz").status == 503
    place.store.commit()
    assert place.get("/readyz").status == 200


def test_an_unknown_page_is_404_and_lists_those_there_are(place: Place) -> None:
    answer = place.get("/nothing")
    assert answer.status == 404
    for path in ("/", "/metrics", "/healthz", "/readyz"):
        assert path in answer.body.decode().replace(",", "").split()
        assert place.get(path).status != 404


def test_metrics_come_in_the_format_and_coding_asked_for(place: Place) -> None:
    place.store.put("test", [catalog.UPTIME(5)])
    place.store.commit()
    plain = place.get("/metrics")
    assert (plain.status, plain.kind) == (200, TEXT)
    assert b"Content-Encoding" not in dict(plain.headers)
    assert dict(plain.headers)[b"Vary"] == b"Accept, Accept-Encoding"
    assert place.get("/metrics", accept="application/openmetrics-text").kind == OPENMETRICS
    packed = place.get("/metrics", accept_encoding="gzip")
    assert dict(packed.headers)[b"Content-Encoding"] == b"gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_an_overview_that_fails_is_a_500_and_metrics_go_on(place: Place) -> None:
    def broken() -> Overview:
        raise ValueError("as asked")

    site = replace(place.site, overview=broken)
    with serving(handler=site) as (_, port), Client(port) as one, Client(port) as two:
        assert one.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 500
        assert two.ask().status == 200


def test_the_running_daemon_serves_every_page(tmp_path: Path) -> None:
    with running(tmp_path, probes={}) as daemon:
        assert daemon.get("/healthz") == (200, "ok\n")
        assert daemon.get("/readyz") == (200, "ready\n")
        status, text = daemon.get("/")
        assert (status, f"edgemon {__version__}" in text, "linux" in text) == (200, True, True)
        assert "edgemon_build_info{" in daemon.get("/metrics")[1]
        assert daemon.get("/metrics", Accept=OPENMETRICS)[1].endswith("# EOF\n")
        assert daemon.get("/nothing")[0] == 404


def test_what_changes_something_is_answered_only_to_those_who_are_known(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route has to say whether it changes anything; none does today, and one that will is guarded as it stands."""
    done = Route(lambda *_: Response(200, b"done"), changes=True)
    monkeypatch.setattr(pages, "ROUTES", {**ROUTES, "/api/v1/probe": done})
    assert place.site(Request("/api/v1/probe", {})).status == 403
    assert place.site(Request("/api/v1/probe", {}, known=True)).body == b"done"
    assert [path for path, route in ROUTES.items() if route.changes] == []
    with pytest.raises(TypeError):
        Route(lambda *_: Response(200, b""))  # type: ignore[call-arg]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"PATCH"])
def test_no_route_takes_a_method_that_changes_anything(place: Place, method: bytes) -> None:
    with serving(handler=place.site) as (_, port):
        for path in ROUTES:
            with Client(port) as one:
                assert one.ask(b"%s %s HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path.encode())).status == 405
