"""The keys of a web configuration file, and what each may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

HEADERS: Mapping[str, tuple[str, ...]] = {
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
    "Content-Security-Policy": (),
}
"""The headers that may be set, and the values that those have that have no others."""
POLICIES = {
    "": "",
    "NoClientCert": "",
    "RequestClientCert": "",  # whose certificate is not looked at, so that it need not be asked for
    "VerifyClientCertIfGiven": "optional",
    "RequireAndVerifyClientCert": "required",
}
"""What is asked of clients, by Go's name."""
BLIND = {"RequireAnyClientCert", "RequireClientCert"}
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
CURVES = {"X25519": "X25519", "CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1"}
SUITES = {
    f"TLS_ECDHE_{key}_WITH_{name}": f"ECDHE-{key}-{ours}"
    for key in ("ECDSA", "RSA")
    for name, ours in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
}
MODERN = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""The suites of TLS 1.3, which are always on."""
HASH = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
COSTS = range(4, 17)


def text(value: object) -> str:
    """A string."""
    if not isinstance(value, str | None):
        raise ValueError("must be a string")  # noqa: TRY004 - what the reader takes for a problem
    return value or ""


def boolean(value: object) -> bool:
    """True or false."""
    if value is None or not isinstance(value, str) or value.lower() not in BOOLEANS:
        raise ValueError("must be true or false")
    return BOOLEANS[value.lower()]


def texts(value: object) -> list[str]:
    """A list of strings."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("must be a list of strings")
    return value


def names(value: object) -> tuple[str, ...]:
    """Names of clients, one at least."""
    if not texts(value):
        raise ValueError("names nobody, so that nobody could come in; leave it out, or name somebody")
    return tuple(texts(value))


def interval(value: object) -> float:
    """A duration as Go writes it, such as 100ms or 1m30s."""
    said = text(value)
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", said)
    if said != "0" and (not parts or "".join(map("".join, parts)) != said):
        raise ValueError("must be a duration such as 100ms or 1s, or 0 for no limit")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def whole(value: object) -> int:
    """A whole number."""
    if not re.fullmatch(r"\+?\d{1,9}", said := text(value)):
        raise ValueError("must be a whole number from 0")
    return int(said)


def version(value: object) -> str:
    """A version of TLS, by OpenSSL's name."""
    if value in {"TLS10", "TLS11"}:
        raise ValueError("is broken (RFC 8996); there are TLS12 and TLS13")
    if value not in {"TLS12", "TLS13"}:
        raise ValueError("must be TLS12 or TLS13")
    return f"TLSv1_{value[-1]}"


def policy(value: object) -> str:
    """What is asked of clients."""
    if value in BLIND:
        raise ValueError("would take any certificate, which proves nothing; use RequireAndVerifyClientCert")
    if text(value) not in POLICIES:
        raise ValueError(f"must be one of {', '.join(name for name in POLICIES if name)}")
    return text(value)


def curve(value: object) -> str:
    """The one curve, by OpenSSL's name; none is any."""
    found = [CURVES.get(one, "") for one in texts(value)]
    if "" in found:
        raise ValueError(f"must be among {', '.join(CURVES)}")
    if len(found) > 1:
        raise ValueError("has more than one, of which OpenSSL's order is used; name one, or leave it out")
    return found[0] if found else ""


def ciphers(value: object) -> str:
    """The suites, by OpenSSL's names; a dash where there are none for TLS 1.2."""
    found = texts(value)
    for one in found:
        if one not in SUITES and one not in MODERN:
            raise ValueError(f"has {one[:60]}, which is not among {', '.join([*MODERN, *SUITES])}")
    return ":".join(SUITES[one] for one in found if one in SUITES) or ("-" if found else "")


def hashed(value: object) -> str:
    """A bcrypt hash."""
    match = HASH.fullmatch(text(value))
    if not match:
        raise ValueError("is no bcrypt hash, which htpasswd -nBC 10 NAME prints behind the colon")
    if int(match[1]) not in COSTS:
        raise ValueError(f"has a cost of {int(match[1])}; a device can bear {COSTS[0]} to {COSTS[-1]}")
    return match[0]


SECRET = {"cert", "key", "client_ca"}
"""What no message repeats."""
TLS: Mapping[str, Callable[[object], Any]] = {
    "cert": text,
    "key": text,
    "client_ca": text,
    "cert_file": text,
    "key_file": text,
    "client_ca_file": text,
    "client_auth_type": policy,
    "client_allowed_sans": names,
    "min_version": version,
    "max_version": version,
    "cipher_suites": ciphers,
    "curve_preferences": curve,
    "prefer_server_cipher_suites": boolean,
}
HTTP: Mapping[str, Callable[[object], Any]] = {"http2": boolean, "headers": lambda value: value}
RATE: Mapping[str, Callable[[object], Any]] = {"interval": interval, "burst": whole}
ALL = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
