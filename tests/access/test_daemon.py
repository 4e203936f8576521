"""The running daemon behind its door: to curl, to Prometheus, to its operator."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgemon import cli
from edgemon.cli import check
from tests.access import PASSWORD, USER, Keys, hashed, wait
from tests.peers import peer
from tests.running import Running, running, stop
from tests.test_daemon import configure, edgemon, reload
from tests.test_prometheus import Prometheus, free

BRISK: dict[str, Any] = {"probes": {}, "sensors": {"interval": "500ms"}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def both(shared: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Running]]:
    """Two daemons: one with https and passwords, one that wants certificates as well."""
    users = {USER: hashed()}
    open_ = shared.write("open.yml", tls_server_config=shared.tls(), basic_auth_users=users)
    mutual = shared.mutual(client_allowed_sans=["scraper.example"])
    closed = shared.write("closed.yml", tls_server_config=mutual, basic_auth_users=users)
    where = [tmp_path_factory.mktemp("open"), tmp_path_factory.mktemp("closed")]
    with (
        running(where[0], ready=False, web_config=open_, **BRISK) as one,
        running(where[1], ready=False, web_config=closed, **BRISK) as other,
    ):
        yield [one, other]


def curl(daemon: Running, keys: Keys, *arguments: str, path: str = "/readyz") -> tuple[int, str]:
    """Status and text; 0 where there is no answer."""
    program = shutil.which("curl") or pytest.skip("curl is not here")
    command = [program, "-sS", "--max-time", "60", "--cacert", str(keys.folder / "ca.pem"), "-w", "\n%{http_code}"]
    ran = subprocess.run([*command, *arguments, daemon.url + path], capture_output=True, text=True, check=False)
    text, _, status = ran.stdout.rpartition("\n")
    return int(status), text or ran.stderr


def certified(keys: Keys, who: str) -> Sequence[str]:
    return "--cert", str(keys.folder / f"{who}.pem"), "--key", str(keys.folder / f"{who}.key")


def test_curl_comes_in_with_what_is_asked_for_and_only_with_that(both: list[Running], shared: Keys) -> None:
    password = ("-u", f"{USER}:{PASSWORD}")
    wait(lambda: curl(both[0], shared, *password)[0] == 200)
    assert curl(both[0], shared) == (401, "a user and a password are needed\n")
    assert curl(both[0], shared, "-u", f"{USER}:wrong")[0] == 401
    assert curl(both[0], shared, "--tlsv1.3", *password)[0] == 200
    assert curl(both[0], shared, "--tls-max", "1.2", *password)[0] == 200
    assert curl(both[0], shared, "--http2", *password)[0] == 200
    assert curl(both[1], shared, *password)[0] == 0
    assert curl(both[1], shared, *password, *certified(shared, "other"))[0] == 0
    assert curl(both[1], shared, *certified(shared, "client"))[0] == 401
    assert curl(both[1], shared, *password, *certified(shared, "client"))[0] == 200
    said = curl(both[1], shared, *password, *certified(shared, "client"), "-H", "Accept-Encoding: gzip", "--compressed")
    assert said[0] == 200


@pytest.mark.peer
def test_prometheus_scrapes_with_password_and_with_certificate(
    both: list[Running], shared: Keys, tmp_path: Path
) -> None:
    """And says what is wrong where it has not what is asked for."""
    (tmp_path / "password").write_text(PASSWORD)
    trust = {"ca_file": str(shared.folder / "ca.pem"), "server_name": "localhost"}
    certificate = {"cert_file": str(shared.folder / "client.pem"), "key_file": str(shared.folder / "client.key")}
    password = {"basic_auth": {"username": USER, "password_file": str(tmp_path / "password")}}
    jobs: dict[str, tuple[int, dict[str, Any]]] = {
        "password": (0, {"tls_config": trust, **password}),
        "mutual": (1, {"tls_config": {**trust, **certificate}, **password}),
        "nobody": (0, {"tls_config": trust}),
        "uncertified": (1, {"tls_config": trust, **password}),
        "trusting": (0, {"tls_config": {"server_name": "localhost"}, **password}),
    }
    scrapes = [
        {"job_name": name, "scheme": "https", "static_configs": [{"targets": [both[which].address]}], **more}
        for name, (which, more) in jobs.items()
    ]
    (tmp_path / "prometheus.yml").write_text(
        json.dumps({"global": {"scrape_interval": "2s"}, "scrape_configs": scrapes})
    )
    address = f"127.0.0.1:{free()}"
    arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([peer("prometheus"), *arguments], cwd=tmp_path, stdout=log, stderr=log)
    try:
        it = Prometheus(f"http://{address}", tmp_path)
        wait(lambda: _said(it) == WRONG)
        assert it.query('process_memory_usage_bytes{job="mutual"}')
    finally:
        stop(process)


WRONG = {
    "password": "",
    "mutual": "",
    "nobody": "401 Unauthorized",
    "uncertified": "certificate required",
    "trusting": "certificate signed by unknown authority",
}


def _said(it: Prometheus) -> dict[str, str]:
    """What keeps each job from scraping, as far as it is expected; the whole of it where it is not."""
    try:
        errors = {one["labels"]["job"]: one["lastError"] for one in it.targets() if one["health"] != "unknown"}
    except (OSError, AssertionError):
        return {}
    return {job: WRONG[job] if WRONG[job] and WRONG[job] in error else error for job, error in errors.items()}


def test_the_daemon_says_how_the_door_does(both: list[Running], shared: Keys) -> None:
    password = ("-u", f"{USER}:{PASSWORD}")

    def series() -> str:
        return curl(both[0], shared, *password, path="/metrics")[1]

    assert curl(both[0], shared, "-u", "nobody:x")[0] == 401
    wait(lambda: 'edgemon_http_refused_total{reason="password"}' in series())
    assert "edgemon_web_config_reload_successful 1.0" in series()


def test_a_bad_file_at_start_is_exit_2_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("colour: red\nbasic_auth_users: {a: secret}\n")
    path = configure(tmp_path, web_config=str(tmp_path / "web.yml"), **BRISK)
    ran = edgemon("run", "--config", path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{tmp_path}/web.yml: colour: unknown key" in ran.stderr
    assert f"{tmp_path}/web.yml: basic_auth_users.a: is no bcrypt hash" in ran.stderr
    assert ": secret" not in ran.stderr


@pytest.mark.parametrize("good", [True, False])
def test_check_tells_of_the_file_that_the_flag_of_prometheus_exporters_names(
    keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str], good: bool
) -> None:
    """The flag goes before the configuration."""
    path = configure(tmp_path, web_config=keys.write("bad.yml", colour="red"), **BRISK)
    mutual = keys.write(tls_server_config=keys.mutual(), basic_auth_users={USER: hashed()})
    chosen = cli.parser().parse_args(["check", "--config", path, *(["--web.config.file", mutual] if good else [])])
    settings = cli.settings(chosen.config)
    assert check._web(chosen.web_config or settings.web_config, "0.0.0.0:9") == (0 if good else 1)
    said = capsys.readouterr().out
    assert (
        "0.0.0.0:9: https, client certificates required, certificate until 3000-01-01, passwords of alice\n" in said
    ) == good
    assert (f"problem        {keys.folder}/bad.yml: colour: unknown key" in said) != good


def test_a_reload_follows_another_file_and_a_bad_one_leaves_everything_as_it_was(keys: Keys, tmp_path: Path) -> None:
    one = keys.write("one.yml", tls_server_config=keys.tls())
    bad = keys.write("bad.yml", tls_server_config=keys.tls(min_version="SSL30"))
    with running(tmp_path, **BRISK) as daemon:
        reload(daemon, web_config=bad, probes={"new": {"runtime": "fake"}})
        wait(lambda: "the configuration was not reloaded" in daemon.log())
        assert "SSL30 must be TLS12 or TLS13" in daemon.log()
        assert daemon.get("/readyz")[0] == 200
        reload(daemon, web_config=one, **BRISK)
        secure = Running(daemon.url.replace("http:", "https:"), daemon.process, daemon.where)
        wait(lambda: curl(secure, keys)[0] == 200)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(60) == 0
