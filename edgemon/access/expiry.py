"""When a certificate ends, which Python's ssl tells only of a certificate that somebody else has shown."""

from __future__ import annotations

import calendar
import ssl
import time
from collections.abc import Iterator

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
UTC_TIME = 0x17
VERSION = 0xA0


def expires(pem: str) -> float:
    """Unix time of the end of the first certificate (RFC 5280, 4.1); ValueError for what is none."""
    body, found, _ = pem.partition(BEGIN)[2].partition(END)
    if not found:
        raise ValueError("is no certificate")
    try:
        whole = _fields(ssl.PEM_cert_to_DER_cert(f"{BEGIN}{body}{END}\n"))[0][1]
        fields = [one for one in _fields(_fields(whole)[0][1]) if one[0] != VERSION]
        tag, text = _fields(fields[3][1])[1]  # serial, algorithm, issuer, validity: notBefore, notAfter
        digits = text.decode("ascii")
        if tag == UTC_TIME:
            digits = ("19" if digits >= "50" else "20") + digits
        return float(calendar.timegm(time.strptime(digits, "%Y%m%d%H%M%SZ")))
    except IndexError:
        raise ValueError("is no certificate") from None


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each value in DER (X.690)."""
    return list(_each(data))


def _each(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            many = size & 0x7F
            size, at = int.from_bytes(data[at : at + many], "big"), at + many
        yield tag, data[at : at + size]
        at += size
