"""Reading a web configuration file, every problem at once. For commands and the daemon's child.

Its keys are those of Prometheus' exporter-toolkit, all of them. What that accepts and this does not would be unsafe or
without effect, or OpenSSL cannot do it; tests/access/test_same.py has the list. No message repeats a secret.
`python -m edgemon.access.webfile PATH` prints `{"web": …, "problems": […], "warnings": […], "files": […]}`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from edgemon.access import tls
from edgemon.access.expiry import expires
from edgemon.access.fields import ALL, HEADERS, HTTP, POLICIES, RATE, SECRET, TLS, hashed
from edgemon.access.web import Said, Tls, Web
from edgemon.document import Texts, read, shown
from edgemon.errors import ConfigError, printable

KIND = "a web configuration"
LARGEST = 1 << 20
SERVER = "tls_server_config"


class Reader:
    """Reads one file; what is wrong with it goes to `problems`, what is unwise to `warnings`."""

    def __init__(self, path: str) -> None:
        self.path, self.files = path, [path]
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def read(self) -> Said:
        """Read it."""
        web: Web | None = None
        try:
            data = read(self.path, Texts, KIND)
            web = self._whole({} if data is None else data)
        except ConfigError as error:
            self.problems += error.problems
        problems = [one if one.startswith(self.path) else f"{self.path}: {one}" for one in self.problems]
        warnings = tuple(printable(f"{self.path}: {one}") for one in sorted({*self.warnings}))
        return Said(None if problems else web, tuple(map(printable, problems)), warnings, tuple(self.files))

    def _whole(self, data: object) -> Web:
        if not isinstance(data, dict):
            raise ConfigError(["must be a mapping of settings"])
        self._known("", data, ALL)
        tls = self._tls(self._section(data, "tls_server_config", TLS))
        headers = self._headers(self._section(data, "http_server_config", HTTP).get("headers"))
        users = self._users(data.get("basic_auth_users"))
        rate = self._section(data, "rate_limit", RATE)
        if rate.get("interval") and not rate.get("burst"):
            self.problems.append("rate_limit.burst: must be 1 at least, lest every request be refused")
        return Web(
            tls=tls, headers=headers, users=users, interval=rate.get("interval", 0.0), burst=rate.get("burst", 0)
        )

    def _known(self, where: str, data: Mapping[object, object], known: Mapping[str, object] | tuple[str, ...]) -> None:
        for key in data:
            if key not in known:
                close = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
                self.problems.append(f"{where}{shown(str(key))}: unknown key; {hint}")

    def _section(self, data: Mapping[str, object], name: str, fields: Mapping[str, Callable[[object], Any]]) -> Any:
        """The values of a section that are given and good; null is not given."""
        section = data.get(name)
        if section is None:
            return {}
        if not isinstance(section, dict):
            self.problems.append(f"{name}: must be a mapping of settings")
            return {}
        self._known(f"{name}.", section, fields)
        found = {}
        for key, parse in fields.items():
            if (value := section.get(key)) is not None:
                try:
                    found[key] = parse(value)
                except ValueError as error:
                    what = f"{shown(value)} " if isinstance(value, str) and key not in SECRET else ""
                    self.problems.append(f"{name}.{key}: {what}{error}")
        return found

    def _headers(self, headers: object) -> dict[str, str]:
        """Headers that every answer gets; an empty one is left out."""
        if headers is None:
            return {}
        if not isinstance(headers, dict):
            self.problems.append("http_server_config.headers: must be a mapping of strings")
            return {}
        self._known("http_server_config.headers.", headers, HEADERS)
        for name, value in headers.items():
            allowed = HEADERS.get(name, ())
            if not isinstance(value, str | None) or not all(" " <= one <= "~" for one in value or ""):
                self.problems.append(f"http_server_config.headers.{name}: must be one line of printable ASCII")
            elif allowed and value not in allowed:
                self.problems.append(f"http_server_config.headers.{name}: must be {' or '.join(allowed)}")
        return {str(name): value.strip() for name, value in headers.items() if isinstance(value, str) and value.strip()}

    def _users(self, users: object) -> dict[str, str]:
        if users is None:
            return {}
        if not isinstance(users, dict):
            self.problems.append("basic_auth_users: must be a mapping of bcrypt hashes by user")
            return {}
        for name, value in users.items():
            try:
                hashed(value)
            except ValueError as error:
                self.problems.append(f"basic_auth_users.{shown(str(name))}: {error}")
        if users and find_spec("bcrypt") is None:
            self.problems.append(
                "basic_auth_users: needs the Python package bcrypt, which is not here: pip install 'edgemon[auth]'; "
                "where it has none for this processor, use client certificates"
            )
        self._private(self.path, bool(users))
        return users

    def _tls(self, given: Mapping[str, Any]) -> Tls | None:
        """TLS, if there is any; a file counts more than what stands in the file itself."""
        if not given:
            return None
        before = len(self.problems)
        pem = {name: self._pem(given, name) for name in ("cert", "key", "client_ca")}
        self.problems += [f"{SERVER}.{one}" for one in _together(given)]
        self._private(self.path, bool(given.get("key")))
        self._private(given.get("key_file") or "", True)
        names = {"min_version": "minimum", "max_version": "maximum", "cipher_suites": "ciphers",
                 "curve_preferences": "curve", "prefer_server_cipher_suites": "ours_first",
                 "client_allowed_sans": "names"}  # fmt: skip
        found = Tls(
            certificate=pem["cert"],
            key=pem["key"],
            authority=pem["client_ca"],
            verify=POLICIES[given.get("client_auth_type", "")],
            **{ours: given[name] for name, ours in names.items() if name in given},
        )
        if len(self.problems) == before:
            try:
                tls.context(found)
                found = dataclasses.replace(found, expires=expires(found.certificate))
            except ValueError as error:
                self.problems.append(f"{SERVER}.{error}")
        if 0 < found.expires < time.time():
            self.warnings.append(f"{SERVER}.cert_file: has expired; no client that verifies it will come")
        return found

    def _pem(self, given: Mapping[str, Any], name: str) -> str:
        """The text of a certificate or key, from its file or as it stands there."""
        if not (file := given.get(f"{name}_file")):
            return given.get(name) or ""
        path = os.path.join(os.path.dirname(self.path), file)
        self.files.append(path)
        try:
            if stat.S_ISREG(os.stat(path).st_mode) and os.path.getsize(path) <= LARGEST:
                with open(path, encoding="ascii", errors="replace") as opened:
                    return opened.read(LARGEST)
            why = "is not a file of PEM"
        except OSError as error:
            why = f"cannot be read: {(error.strerror or '').lower()}"
        self.problems.append(f"{SERVER}.{name}_file: {path} {why}")
        return ""

    def _private(self, path: str, secret: bool) -> None:
        """Warn of a file with secrets that every user may read."""
        path = os.path.join(os.path.dirname(self.path), path)
        try:
            if secret and path and os.stat(path).st_mode & stat.S_IROTH:
                self.warnings.append(f"{path} holds secrets and is open to every user; chmod o-rwx {path}")
        except OSError:
            return  # which was said when it was read


def _together(given: Mapping[str, Any]) -> Iterable[str]:
    """What does not fit together."""
    for name in ("cert", "key"):
        if not given.get(name) and not given.get(f"{name}_file"):
            yield f"{name}_file: is missing, without which there is no TLS"
    asked = given.get("client_auth_type", "")
    authority = given.get("client_ca_file") or given.get("client_ca")
    if authority and asked in {"", "NoClientCert"}:
        yield "client_ca_file: has no effect without client_auth_type; did you mean RequireAndVerifyClientCert?"
    if POLICIES[asked] and not authority:
        yield "client_ca_file: is missing; without it any certificate of a public authority would do"
    if "client_allowed_sans" in given and POLICIES[asked] != "required":
        yield "client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert"
    if given.get("min_version", "") > given.get("max_version", "TLSv1_3"):
        yield "min_version: is above max_version"


def main() -> None:
    """The daemon's child."""
    json.dump(dataclasses.asdict(Reader(sys.argv[1]).read()), sys.stdout)


if __name__ == "__main__":
    main()
