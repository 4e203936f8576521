"""The vocabulary of the HTTP server: who was refused, and whether its TLS and passwords are those of the file."""

from __future__ import annotations

from edgemon.metric import Kind, Metric

HTTP_REFUSED = Metric(
    "edgemon.http.refused",
    "{request}",
    Kind.COUNTER,
    "Requests refused at the door: rate (too many), password (wrong), guesses (too many wrong ones from there), busy "
    "(too many to be checked).",
    ("reason",),
)
TLS_FAILURES = Metric(
    "edgemon.http.tls.failures",
    "{connection}",
    Kind.COUNTER,
    "TLS connections that failed: plain (no TLS spoken), certificate (the client's is missing or of no known "
    "authority), name (none of the allowed ones is in it), distrust (the client does not trust ours), version (none in "
    "common, or no cipher), other.",
    ("reason",),
)
TLS_EXPIRY = Metric(
    "edgemon.http.tls.certificate.expiry.timestamp", "s", Kind.GAUGE, "When the server's certificate ends, Unix time."
)
WEB_SUCCESS = Metric(
    "edgemon.web_config.reload.successful",
    "",
    Kind.GAUGE,
    "1 when the last reading of the web configuration was accepted; 0 while an older one is in force.",
)
WEB_TIMESTAMP = Metric(
    "edgemon.web_config.reload.timestamp", "s", Kind.GAUGE, "When the web configuration in force was read, Unix time."
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
