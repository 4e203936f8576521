"""What the HTTP server answers: /metrics, /healthz, /readyz, the API of alerts and the page at /. All from memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from edgemon import __version__
from edgemon.sinks import prometheus
from edgemon.wire import Request, Response

JSON = "application/json"
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem }
p.soft, td.soft { color: var(--soft) } p { margin: .2rem 0 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600 } a { color: inherit }
.state { padding: .05rem .5rem; border-radius: .6rem; color: #fff; background: #777; white-space: nowrap }
.ok, .improved { background: #2a7d3f } .degraded { background: #b06000 } .failing, .error { background: #b3261e }
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table: a name, a state of which the colour speaks, a sentence, why, and what to do."""

    name: str
    state: str
    text: str
    advice: str = ""
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows."""

    device: str
    system: str
    platforms: Sequence[Row]
    probes: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Site:
    """Answers requests. `stuck` names what does not move any more, `ready` says whether there is a first snapshot."""

    exposition: prometheus.Exposition
    overview: Callable[[], Overview]
    stuck: Callable[[], str]
    ready: Callable[[], bool]
    alerts: Callable[[], bytes]
    rules: Callable[[str], tuple[int, bytes]]
    status: Callable[[], bytes]

    def __call__(self, request: Request) -> Response:
        """The response for a GET."""
        route = ROUTES.get(request.path)
        if route is None:
            *others, last = ROUTES
            return Response(404, f"not found; there are {', '.join(others)} and {last}\n".encode())
        if route.changes and not request.known:
            return Response(
                403, b"this changes something; it needs a password, a client certificate or a local socket\n"
            )
        return route.answer(self, request)

    def page(self, _: Request) -> Response:
        """The page at /."""
        return Response(200, page(self.overview()).encode(), "text/html; charset=utf-8")

    def health(self, _: Request) -> Response:
        """Whether everything moves."""
        stuck = self.stuck()
        return Response(503, f"{stuck}\n".encode()) if stuck else Response(200, b"ok\n")

    def readiness(self, _: Request) -> Response:
        """Whether there is something to serve."""
        return Response(200, b"ready\n") if self.ready() else Response(503, b"no sweep is done yet\n")

    def metrics(self, request: Request) -> Response:
        """The exposition."""
        kind = prometheus.negotiate(request.headers.get("accept", "text/plain"))
        compress = prometheus.accepts_gzip(request.headers.get("accept-encoding", ""))
        headers = [(b"Vary", b"Accept, Accept-Encoding"), *([(b"Content-Encoding", b"gzip")] if compress else [])]
        return Response(200, self.exposition.body(kind, compress), kind, tuple(headers))


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a path, and whether that changes anything: then only to those who are known."""

    answer: Callable[[Site, Request], Response]
    changes: bool


ROUTES: Mapping[str, Route] = {
    "/": Route(Site.page, changes=False),
    "/metrics": Route(Site.metrics, changes=False),
    "/healthz": Route(Site.health, changes=False),
    "/readyz": Route(Site.readiness, changes=False),
    "/api/v1/alerts": Route(lambda site, _: Response(200, site.alerts(), JSON), changes=False),
    "/api/v1/rules": Route(lambda site, request: Response(*site.rules(request.query), JSON), changes=False),
    "/api/v1/status": Route(lambda site, _: Response(200, site.status(), JSON), changes=False),
}


def page(overview: Overview) -> str:
    """The page at /, complete in itself."""
    return "".join(
        [
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>edgemon</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{STYLE}</style><h1>edgemon {__version__}</h1>",
            f'<p class="soft">{escape(overview.device)} &middot; {escape(overview.system)}</p>',
            '<p><a href="/metrics">metrics</a> &middot; <a href="/healthz">health</a> &middot; ',
            '<a href="/readyz">readiness</a></p>',
            "<h2>Probes</h2>",
            _table(overview.probes) or '<p class="soft">none configured</p>',
            "<h2>Platforms</h2>",
            _table(overview.platforms),
            "</html>\n",
        ]
    )


def _table(rows: Sequence[Row]) -> str:
    lines = [
        f'<tr><th>{escape(row.name)}</th><td><span class="state {escape(row.state)}">{escape(row.state)}</span></td>'
        f"<td>{escape(row.text)}{''.join(f'<br>{escape(one)}' for one in row.causes)}{_advice(row)}</td></tr>"
        for row in rows
    ]
    return f"<table>{''.join(lines)}</table>" if lines else ""


def _advice(row: Row) -> str:
    return f'<br><span style="color:var(--soft)">{escape(row.advice)}</span>' if row.advice else ""
