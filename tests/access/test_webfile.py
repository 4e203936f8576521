"""The web configuration file: every problem at once, none with a secret in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

from edgemon.access.expiry import expires
from edgemon.access.web import apart
from edgemon.access.webfile import Reader
from edgemon.errors import ConfigError
from tests.access import Keys, hashed

BAD = """
tls_server_config:
  cert_fil: a.pem
  key_file: none.key
  client_auth_type: RequireAnyClientCert
  client_allowed_sans: []
  min_version: TLS10
  max_version: "1.3"
  cipher_suites: [TLS_AES_128_GCM_SHA256, RC4]
  curve_preferences: [X25519, CurveP256]
  prefer_server_cipher_suites: maybe
http_server_config:
  http2: 2
  headers: {X-Frame-Options: never, Server: me, Content-Security-Policy: "a\\nb"}
basic_auth_users: {alice: secret, bob: $2b$31$aaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
rate_limit: {interval: 5, burst: -1}
colour: red
"""
SAID = """\
colour: unknown key; known keys: tls_server_config, http_server_config, basic_auth_users, rate_limit
tls_server_config.cert_fil: unknown key; did you mean cert_file?
tls_server_config.client_auth_type: RequireAnyClientCert would take any certificate, which proves nothing; use \
RequireAndVerifyClientCert
tls_server_config.client_allowed_sans: names nobody, so that nobody could come in; leave it out, or name somebody
tls_server_config.min_version: TLS10 is broken (RFC 8996); there are TLS12 and TLS13
tls_server_config.max_version: "1.3" must be TLS12 or TLS13
tls_server_config.cipher_suites: has RC4, which is not among TLS_AES_128_GCM_SHA256,
tls_server_config.curve_preferences: has more than one, of which OpenSSL's order is used; name one, or leave it out
tls_server_config.prefer_server_cipher_suites: maybe must be true or false
tls_server_config.key_file: DIR/none.key cannot be read: no such file or directory
tls_server_config.cert_file: is missing, without which there is no TLS
http_server_config.http2: "2" must be true or false
http_server_config.headers.Server: unknown key; known keys: Strict-Transport-Security,
http_server_config.headers.X-Frame-Options: must be deny or sameorigin
http_server_config.headers.Content-Security-Policy: must be one line of printable ASCII
basic_auth_users.alice: is no bcrypt hash, which htpasswd -nBC 10 NAME prints behind the colon
basic_auth_users.bob: has a cost of 31; a device can bear 4 to 16
rate_limit.interval: "5" must be a duration such as 100ms or 1s, or 0 for no limit
rate_limit.burst: "-1" must be a whole number from 0
"""


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(BAD)
    said = [one.removeprefix(f"{path}: ") for one in Reader(str(path)).read().problems]
    expected = SAID.replace("DIR", str(tmp_path)).splitlines()
    assert len(said) == len(expected)
    assert not [(ours, theirs) for ours, theirs in zip(said, expected, strict=True) if not ours.startswith(theirs)]


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_server_config": {"cert": "SECRET", "key": "SECRET"}},
        {"tls_server_config": {"cert": ["SECRET"], "key": {"SECRET": "SECRET"}, "client_ca": ["SECRET"]}},
        {"tls_server_config": {"cert": "SECRET", "key": "-----BEGIN PRIVATE KEY-----\nSECRET\n"}},
        {"basic_auth_users": {"alice": "SECRET"}},
        {"basic_auth_users": {"alice": ["SECRET"]}},
        {"basic_auth_users": ["SECRET"]},
        {"basic_auth_users": "SECRET"},
    ],
)
def test_no_problem_repeats_a_secret(keys: Keys, settings: dict[str, Any]) -> None:
    said = Reader(keys.write(**settings)).read()
    assert said.problems
    assert "SECRET" not in str(said)


def test_a_secret_in_a_file_that_is_no_yaml_is_not_repeated(tmp_path: Path) -> None:
    for text in (
        "key: |\nSECRET",
        "basic_auth_users: {a: *SECRET",
        "a: !!int SECRET",
        "a: 'SECRET",
        "SECRET: {",
        "\tSECRET",
    ):
        (tmp_path / "web.yml").write_text(text)
        said = Reader(str(tmp_path / "web.yml")).read()
        assert said.problems


def test_secrets_that_everyone_may_read_are_warned_of(keys: Keys) -> None:
    path = keys.write(tls_server_config=keys.tls(), basic_auth_users={"a": hashed()})
    assert Reader(path).read().warnings == ()
    (keys.folder / "server.key").chmod(0o644)
    os.chmod(path, 0o604)
    said = Reader(path).read()
    assert said.web is not None
    key = f"{keys.folder}/server.key"
    assert said.warnings == tuple(
        f"{path}: {one} holds secrets and is open to every user; chmod o-rwx {one}" for one in (key, path)
    )


def test_a_good_file_survives_the_way_to_the_daemon_unchanged(keys: Keys) -> None:
    path = keys.write(
        tls_server_config=keys.mutual(client_allowed_sans=["a"], cipher_suites=["TLS_AES_128_GCM_SHA256"]),
        basic_auth_users={"a": hashed()},
        http_server_config={"headers": {"X-Frame-Options": "deny"}},
        rate_limit={"interval": "100ms", "burst": 7},
    )
    said = Reader(path).read()
    assert apart(path) == said
    assert said.web is not None
    assert said.web.interval == 0.1
    assert said.files == (path, *(f"{keys.folder}/{name}" for name in ("server.pem", "server.key", "ca.pem")))


def test_neither_key_nor_hash_is_in_what_the_settings_print(keys: Keys) -> None:
    said = Reader(keys.write(tls_server_config=keys.tls(), basic_auth_users={"a": hashed()})).read()
    for text in (str(said), repr(said.web), str(said.web)):
        assert hashed() not in text
        assert "PRIVATE" not in text
    assert str(said.web).startswith("https, certificate until 3000-01-01, ")
    assert str(said.web).endswith(", passwords of a")


def test_a_fifo_in_the_place_of_a_key_is_refused_instead_of_waited_for(keys: Keys) -> None:
    os.mkfifo(keys.folder / "fifo")
    (problem,) = Reader(keys.write(tls_server_config={"cert_file": "server.pem", "key_file": "fifo"})).read().problems
    assert problem.endswith(f"tls_server_config.key_file: {keys.folder}/fifo is not a file of PEM")


def test_users_without_bcrypt_are_refused_with_what_to_install(keys: Keys) -> None:
    path = keys.write(basic_auth_users={"a": hashed()})
    code = "import sys; sys.modules['bcrypt'] = None; from edgemon.access import webfile; webfile.main()"
    command = [sys.executable, "-c", code, path]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert "needs the Python package bcrypt, which is not here: pip install 'edgemon[auth]'" in said["problems"][0]


def test_a_child_that_says_nothing_is_a_problem_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(ConfigError, match="the child that reads it failed"):
        apart("/etc/web.yml")


@pytest.mark.parametrize("day", ["1970-01-01", "2049-12-31", "2050-01-01", "2999-06-30"])
def test_the_end_of_a_certificate_is_the_one_that_it_says(day: str) -> None:
    """Of either form of time that there is; the years from 2050 on have their own."""
    end = datetime.fromisoformat(f"{day}T12:34:56+00:00")
    leaf = trustme.CA().issue_cert("localhost", not_before=end - timedelta(days=1), not_after=end)
    assert expires(leaf.cert_chain_pems[0].bytes().decode()) == end.timestamp()


def test_an_expired_certificate_is_warned_of_and_taken(keys: Keys) -> None:
    """As node_exporter takes it: an old certificate is better than none."""
    past = datetime(2001, 1, 1, tzinfo=timezone.utc)
    leaf = keys.authority.issue_cert("localhost", not_before=past, not_after=past + timedelta(days=1))
    (keys.folder / "server.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
    (keys.folder / "server.key").write_bytes(leaf.private_key_pem.bytes())
    said = Reader(keys.write(tls_server_config=keys.tls())).read()
    assert said.web is not None
    assert [one for one in said.warnings if "cert_file: has expired" in one]
