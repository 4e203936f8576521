"""Files: a configuration, rules, tests of rules, captures, baselines; each is read or refused in printable lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgemon import capture, exchange, schema
from edgemon.access import webfile
from edgemon.alerts import rulefile, trialfile
from edgemon.cli.config import example
from edgemon.collect import take
from edgemon.errors import EdgemonError
from edgemon.platforms import discover
from edgemon.replay import Replay
from edgemon.sinks.prometheus import TEXT, Exposition
from edgemon.store import Store
from tests.access import Keys, hashed
from tests.fuzz import YAML, spoiled
from tests.running import HERE
from tests.test_exchange import GOOD

CONFIGS = [path.read_bytes() for path in sorted((HERE / "tests/config").glob("*/*.yml")) if path.stat().st_size < 9000]
PLAIN = "\n".join(line.replace("#", " ", 1) for line in example().splitlines() if not line.lstrip("# ").startswith("#"))
RULES = [path.read_bytes() for path in sorted((HERE / "alerts").glob("*.yml"))]
RULES = [one[:at] for one in RULES for at in range(900, 3000, 700)]
TRIALS = [path.read_bytes()[:1500] for path in sorted((HERE / "tests/alerts/files").glob("*.test.yml"))]
PROMQL = [b"rate(x[5m])", b"{{ $value | humanize }}", b"{{ range", b" and on() ", b" offset -1w", b"[1h:]", b"1e308*10",
          b"by ()", b"label_replace(", b"{__name__=~'.*'}", b"(" * 60, b"5m", b"999999y", b"@ end()"]  # fmt: skip
CAPTURES = [path.read_bytes()[:6000] for path in sorted((HERE / "tests/devices").glob("*.capture"))]
CAPTURE = [b"\n== /sys/a\n", b"\n== /sys/a -> /sys/a\n", b"\n== @5s\n", b"\n== @-1s\n", b"\n== /proc/stat !EIO\n",
           b"==", b"base64", b"\0", b"\xff", b"-1", b"9" * 40, b"nan", b"\t", b"\n", b"../../..", b"N/A", b"1e999",
           b" "]  # fmt: skip
JSON = [b"null", b"NaN", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"\0", b"\xff", b"[" * 999, b"9" * 400, b'"a"']
WEB = b"""
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [a, b]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers: {X-Frame-Options: deny, Content-Security-Policy: x}
basic_auth_users:
  alice: HASH
rate_limit: {interval: 1s, burst: 20}
"""


def held(action: Callable[[], Any]) -> Any:
    """What it comes to; a refusal is one in printable lines, and nothing else may come of it."""
    try:
        return action()
    except EdgemonError as error:
        said = str(error)
    assert said
    assert all(line.isprintable() for line in said.split("\n")), said
    return None


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("fuzz"))


def written(keys: Keys, data: bytes) -> str:
    path = keys.folder / "spoiled.yml"
    path.write_bytes(data)
    return str(path)


def test_a_configuration(keys: Keys) -> None:
    salt = [*YAML, b"web_config: /x", b"10s", b"1GiB", b"embedded:mobilenet"]
    for data in spoiled("configuration", 200, [*CONFIGS, PLAIN.encode()[:3000]], salt):
        held(lambda data=data: schema.load(written(keys, data)))  # type: ignore[misc]


def test_a_web_configuration(keys: Keys) -> None:
    for data in spoiled("web configuration", 300, [WEB], [*YAML, b"TLS10", b"server.key", b"/dev/null", b"x: x"]):
        said = webfile.Reader(written(keys, data.replace(b"HASH", hashed().encode()))).read()
        assert (said.web is None) == bool(said.problems)
        assert all(line.isprintable() for line in (*said.problems, *said.warnings))
        assert hashed() not in str(said.problems)


def test_rules(keys: Keys) -> None:
    for data in spoiled("rules", 100, RULES, [*YAML, *PROMQL]):
        said = rulefile.Reader(written(keys, data)).read()
        assert all(line.isprintable() for line in said.problems), said.problems


def test_tests_of_rules(keys: Keys) -> None:
    for data in spoiled("tests of rules", 100, TRIALS, [*YAML, *PROMQL]):
        held(lambda data=data: trialfile.read(written(keys, data)))  # type: ignore[misc]


def test_a_capture(keys: Keys) -> None:
    """What is read of it is swept as the daemon does, and what is found can be served."""
    store = Store()
    exposition = Exposition(lambda: store.snapshot)
    platforms = discover(()).values()
    for data in spoiled("capture", 60, CAPTURES, CAPTURE):
        if (it := held(lambda data=data: capture.load(written(keys, data)))) is not None:  # type: ignore[misc]
            root = Replay(it, "spoiled")
            for platform in platforms:
                for sensor in platform.sensors if platform.detect(root) else ():
                    name = f"{platform.name}.{sensor.name}"
                    store.put(name, take(name, sensor, root).readings)
            store.commit()
            assert exposition.body(TEXT, False)


def test_baselines(keys: Keys) -> None:
    """What is taken in can be kept, and told again."""
    for data in spoiled("baselines", 300, [exchange.written([GOOD]).encode()], JSON):
        for one in held(lambda data=data: exchange.load(written(keys, data))) or ():  # type: ignore[misc]
            assert exchange.written([one])
