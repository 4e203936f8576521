"""The same file for edgemon and for Prometheus' exporters: node_exporter and edgemon accept it, or both refuse it.

Where they differ `THEIRS` says why: it would be unsafe or without effect, or OpenSSL cannot do it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemon.access.webfile import Reader
from tests.access import Keys, hashed
from tests.peers import peer

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"
MUTUAL = f"{TLS}, client_ca_file: ca.pem, client_auth_type"
BOTH = {
    "empty": "",
    "comment": "# nothing\n",
    "sections": "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
    "empty sections": "tls_server_config: {}\nhttp_server_config: {}\nbasic_auth_users: {}\nrate_limit: {}\n",
    "tls": f"{TLS}}}",
    "absolute": "tls_server_config: {cert_file: $DIR/server.pem, key_file: $DIR/server.key}",
    "nulls": f"{TLS}, client_auth_type: , min_version: , cipher_suites: , client_ca_file: '' }}",
    "file before text": f"{TLS}, cert: nonsense, key: nonsense}}",
    "no client": f"{TLS}, client_auth_type: NoClientCert}}",
    "request": f"{MUTUAL}: RequestClientCert}}",
    "if given": f"{MUTUAL}: VerifyClientCertIfGiven}}",
    "required": f"{MUTUAL}: RequireAndVerifyClientCert}}",
    "names": f"{MUTUAL}: RequireAndVerifyClientCert, client_allowed_sans: [a.example, 10.0.0.1]}}",
    "versions": f"{TLS}, min_version: TLS12, max_version: TLS13}}",
    "only 1.3": f"{TLS}, min_version: TLS13, max_version: TLS13}}",
    "ciphers": f"{TLS}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA]}}",
    "cipher of 1.3": f"{TLS}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}",
    "no ciphers": f"{TLS}, cipher_suites: []}}",
    "curve": f"{TLS}, curve_preferences: [X25519]}}",
    "preference": f"{TLS}, prefer_server_cipher_suites: false}}",
    "users": "basic_auth_users: {alice: $HASH, bob: $HASH}",
    "user with strange name": "basic_auth_users: {'al ice: ü': $HASH, 7: $HASH}",
    "headers": "http_server_config: {headers: {X-Frame-Options: sameorigin, X-Content-Type-Options: nosniff,"
    " X-XSS-Protection: '1', Strict-Transport-Security: max-age=1, Content-Security-Policy: default-src 'self'}}",
    "empty header": "http_server_config: {headers: {Content-Security-Policy: ''}}",
    "http2": "http_server_config: {http2: false}",
    "http2 yes": "http_server_config: {http2: yes}",
    "rate": "rate_limit: {interval: 1s, burst: 20}",
    "rate of parts": "rate_limit: {interval: 1m30.5s, burst: 20}",
    "rate off": "rate_limit: {interval: 0, burst: 0}",
    "burst alone": "rate_limit: {burst: 3}",
    "merged": "tls_server_config: {<<: {cert_file: server.pem}, key_file: server.key}",
}
NEITHER = {
    "not yaml": "tls_server_config: {",
    "list": "[]\n- a",
    "scalar": "hello",
    "unknown key": "tls_server: {}",
    "unknown key of tls": f"{TLS}, cert_fil: a}}",
    "unknown key of http": "http_server_config: {http3: true}",
    "unknown key of rate": "rate_limit: {every: 1s}",
    "twice": "basic_auth_users: {a: $HASH}\nbasic_auth_users: {b: $HASH}",
    "section is a list": "tls_server_config: [a]",
    "users are a list": "basic_auth_users: [alice]",
    "no key": "tls_server_config: {cert_file: server.pem}",
    "no certificate": "tls_server_config: {key_file: server.key}",
    "only authority": "tls_server_config: {client_ca_file: ca.pem}",
    "no such certificate": "tls_server_config: {cert_file: none.pem, key_file: server.key}",
    "no such key": "tls_server_config: {cert_file: server.pem, key_file: none.key}",
    "no such authority": "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: none.pem,"
    " client_auth_type: RequireAndVerifyClientCert}",
    "folder": "tls_server_config: {cert_file: /, key_file: server.key}",
    "another's key": "tls_server_config: {cert_file: server.pem, key_file: other.key}",
    "key for certificate": "tls_server_config: {cert_file: server.key, key_file: server.key}",
    "encrypted key": "tls_server_config: {cert_file: server.pem, key_file: locked.key}",
    "text is no certificate": "tls_server_config: {cert: hello, key: hello}",
    "policy": f"{MUTUAL}: Always}}",
    "policy in lower case": f"{MUTUAL}: requireandverifyclientcert}}",
    "authority without policy": f"{TLS}, client_ca_file: ca.pem}}",
    "authority with no client": f"{MUTUAL}: NoClientCert}}",
    "version": f"{TLS}, min_version: TLS14}}",
    "version by another name": f"{TLS}, min_version: '1.2'}}",
    "ssl": f"{TLS}, min_version: SSL30}}",
    "cipher": f"{TLS}, cipher_suites: [TLS_MADE_UP]}}",
    "weak cipher": f"{TLS}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}",
    "cipher of OpenSSL": f"{TLS}, cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]}}",
    "ciphers are a mapping": f"{TLS}, cipher_suites: {{a: b}}}}",
    "curve": f"{TLS}, curve_preferences: [CurveP1]}}",
    "preference": f"{TLS}, prefer_server_cipher_suites: perhaps}}",
    "plain password": "basic_auth_users: {alice: secret}",
    "no password": "basic_auth_users: {alice: }",
    "another hash": "basic_auth_users: {alice: '$6$rounds=1000$abc$def'}",
    "cost of 3": "basic_auth_users: {alice: $HASH3}",
    "cost of 99": "basic_auth_users: {alice: $HASH99}",
    "header": "http_server_config: {headers: {Server: edgemon}}",
    "header in lower case": "http_server_config: {headers: {x-frame-options: deny}}",
    "frame": "http_server_config: {headers: {X-Frame-Options: allow}}",
    "no frame": "http_server_config: {headers: {X-Frame-Options: ''}}",
    "sniff": "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
    "http2": "http_server_config: {http2: 2}",
    "interval": "rate_limit: {interval: often, burst: 1}",
    "interval without unit": "rate_limit: {interval: '5', burst: 1}",
    "burst": "rate_limit: {interval: 1s, burst: many}",
}
THEIRS = {
    "any certificate proves nothing": f"{MUTUAL}: RequireAnyClientCert}}",
    "so does one that is required but not verified": f"{TLS}, client_auth_type: RequireClientCert}}",
    "any certificate of a public authority would do": f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}",
    "the file names no authority that could verify": f"{TLS}, client_ca_file: server.key,"
    " client_auth_type: RequireAndVerifyClientCert}",
    "nobody is in the list of names": f"{MUTUAL}: RequireAndVerifyClientCert, client_allowed_sans: []}}",
    "TLS 1.0 is broken": f"{TLS}, min_version: TLS10}}",
    "TLS 1.1 is broken": f"{TLS}, max_version: TLS11}}",
    "no version is left": f"{TLS}, min_version: TLS13, max_version: TLS12}}",
    "OpenSSL would use its own order": f"{TLS}, curve_preferences: [X25519, CurveP256]}}",
    "without a certificate it would be plain http": "tls_server_config: {min_version: TLS13}",
    "no password would ever be right": f"basic_auth_users: {{alice: $2y$10${'x' * 53}}}",
    "so long a hash keeps a device busy for minutes": "basic_auth_users: {alice: $HASH20}",
    "every request would be refused": "rate_limit: {interval: 1s}",
    "an interval of a nanosecond is meant to be another": "rate_limit: {interval: 5, burst: 1}",
    "a header is one line": 'http_server_config: {headers: {Content-Security-Policy: "a\\nb"}}',
    "there is no half of a request": "rate_limit: {interval: 1s, burst: 1.5}",
    "time does not run backwards": "rate_limit: {interval: -1s, burst: 1}",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Write a file beside certificates and keys, and give its path."""
    keys = Keys(tmp_path_factory.mktemp("same"))
    openssl = ["openssl", "pkey", "-in", "server.key", "-aes128", "-passout", "pass:x", "-out", "locked.key"]
    subprocess.run(openssl, cwd=keys.folder, check=True, capture_output=True)

    def write(text: str) -> str:
        path = keys.folder / "web.yml"
        path.write_text(_filled(text, keys.folder))
        return str(path)

    return write


def _filled(text: str, folder: Path) -> str:
    text = text.replace("$DIR", str(folder))
    for cost in ("3", "99", "20"):
        text = text.replace(f"$HASH{cost}", f"$2b${int(cost):02}{hashed()[6:]}")
    return text.replace("$HASH", hashed())


def exporter(path: str) -> str:
    """What node_exporter says of a file; nothing where it serves."""
    command = [peer("prometheus-node-exporter"), "--web.listen-address=127.0.0.1:0", "--collector.disable-defaults"]
    with subprocess.Popen([*command, f"--web.config.file={path}"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said = line
            if "TLS is" in line:
                process.kill()
                return ""
        return said


CASES = [
    *[pytest.param(text, True, True, id=name) for name, text in BOTH.items()],
    *[pytest.param(text, False, False, id=f"bad {name}") for name, text in NEITHER.items()],
    *[pytest.param(text, False, True, id=name) for name, text in THEIRS.items()],
]


@pytest.mark.peer
@pytest.mark.parametrize(("text", "ours", "theirs"), CASES)
def test_a_file_means_the_same_to_both(written: Callable[[str], str], text: str, ours: bool, theirs: bool) -> None:
    path = written(text)
    said = Reader(path).read()
    assert (not said.problems) == ours, said.problems
    refused = exporter(path)
    assert (not refused) == theirs, refused
