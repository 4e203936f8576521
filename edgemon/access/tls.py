"""TLS by OpenSSL, in the same loop as everything else: a handshake is a few reads that may have to wait.

Imported only where TLS is configured: OpenSSL costs the daemon 6 MB.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections import Counter
from typing import cast

from edgemon.access.stream import READ, WRITE, Parts, Stream
from edgemon.access.web import Tls

SAID = b"this is https, and the request was plain http\n"
PLAIN = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (len(SAID), SAID)
HANDSHAKE = b"\x16"
"""The first byte of every TLS connection."""
REASONS = {
    "CERTIFICATE_VERIFY_FAILED": "certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "certificate",
    "NO_SHARED_CIPHER": "version",
    "UNSUPPORTED_PROTOCOL": "version",
    "TLSV1_ALERT_UNKNOWN_CA": "distrust",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "distrust",
    "SSLV3_ALERT_BAD_CERTIFICATE": "distrust",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "distrust",
}
"""Why a handshake failed, by OpenSSL's reason; else it is `other`."""


def context(tls: Tls) -> ssl.SSLContext:
    """What OpenSSL needs to serve; ValueError names the key of the file that is bad."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version, found.maximum_version = ssl.TLSVersion[tls.minimum], ssl.TLSVersion[tls.maximum]
    found.set_alpn_protocols(["http/1.1"])
    found.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if not tls.ours_first:
        found.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.ciphers == "-":
        found.minimum_version = ssl.TLSVersion.TLSv1_3
    elif tls.ciphers:
        found.set_ciphers(tls.ciphers)
    if tls.curve:
        found.set_ecdh_curve(tls.curve)
    _identify(found, tls)
    if tls.verify:
        found.verify_mode = ssl.CERT_REQUIRED if tls.verify == "required" else ssl.CERT_OPTIONAL
        try:
            found.load_verify_locations(cadata=tls.authority)
        except (ssl.SSLError, ValueError):
            raise ValueError("client_ca_file: holds no certificate in PEM") from None
    return found


def _identify(found: ssl.SSLContext, tls: Tls) -> None:
    """Load certificate and key, which OpenSSL takes from files only: from one that has no name."""
    if "-----BEGIN CERTIFICATE-----" not in tls.certificate:
        raise ValueError("cert_file: holds no certificate in PEM")
    if "PRIVATE KEY-----" not in tls.key:
        raise ValueError("key_file: holds no key in PEM")
    if "ENCRYPTED" in tls.key:
        raise ValueError("key_file: is encrypted; take its password away: openssl pkey -in FILE -out FILE")
    file = os.memfd_create("edgemon-tls")
    try:
        os.write(file, f"{tls.key}\n{tls.certificate}\n".encode())
        found.load_cert_chain(f"/proc/self/fd/{file}", password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("key_file: does not belong to the certificate in cert_file") from None
        raise ValueError(f"cert_file: certificate or key cannot be used: {_words(error.reason)}") from None
    finally:
        os.close(file)


def _words(reason: str | None) -> str:
    return (reason or "unknown").replace("_", " ").lower()


NAMES = {"DNS", "IP Address", "email", "URI"}
"""The kinds of names in a certificate that a client can be known by."""


class Secure(Stream):
    """A socket that speaks TLS. Until the client's first byte it costs no more than any other."""

    __slots__ = ("_context", "_failures", "_names", "_ready")

    def __init__(self, client: socket.socket, context: ssl.SSLContext, tls: Tls, failures: Counter[str]) -> None:
        super().__init__(client)
        self._context, self._names, self._failures, self._ready = context, tls.names, failures, False

    def receive(self, size: int) -> bytes:
        """Up to so many bytes, once the handshake is done; OSError when it fails."""
        self.wants = READ
        if not self._ready and not self._handshake():
            return b""
        try:
            return self.socket.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise self._blocked(error) from None

    def send(self, parts: Parts) -> int:
        """Send what can be sent of the first part; how many bytes that was."""
        try:
            return self.socket.send(parts[0])
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise self._blocked(error) from None

    def pending(self) -> bool:
        """Whether OpenSSL has decrypted more than was received."""
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def trusted(self) -> bool:
        """Whether the client has shown a certificate of the authority; OpenSSL lets no other one through."""
        return isinstance(self.socket, ssl.SSLSocket) and bool(self.socket.getpeercert(binary_form=True))

    def finish(self) -> None:
        """Say that nothing more will be sent, in TLS and below."""
        if isinstance(self.socket, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.socket.unwrap()  # sends the close and does not wait for the client's
        super().finish()

    def _handshake(self) -> bool:
        """Go on with the handshake; whether there is a client at all."""
        if not isinstance(self.socket, ssl.SSLSocket):
            first = self.socket.recv(1, socket.MSG_PEEK)
            if first != HANDSHAKE:
                return self._plain(first)
            self.socket = self._context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        try:
            self.socket.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise self._blocked(error) from None
        except ssl.SSLError as error:
            self._failures[REASONS.get(error.reason or "", "other")] += 1
            raise
        if self._names and not set(_named(self.socket)) & set(self._names):
            self._failures["name"] += 1
            raise ConnectionError("a client whose certificate has none of the allowed names")
        self._ready = True
        return True

    def _plain(self, first: bytes) -> bool:
        if first:
            self._failures["plain"] += 1
            self.socket.recv(65536)  # closing with something unread would reset the answer away
            self.socket.send(PLAIN)
        return False

    def _blocked(self, error: OSError) -> BlockingIOError:
        self.wants = WRITE if isinstance(error, ssl.SSLWantWriteError) else READ
        return BlockingIOError()


def _named(client: ssl.SSLSocket) -> list[str]:
    """The names in the client's certificate, as Go writes them."""
    import ipaddress  # noqa: PLC0415 - for the few who name clients

    alternatives = cast("tuple[tuple[str, str], ...]", (client.getpeercert() or {}).get("subjectAltName", ()))
    found = [(kind, value.strip()) for kind, value in alternatives if kind in NAMES]
    return [str(ipaddress.ip_address(value)) if kind == "IP Address" else value for kind, value in found]
