"""Digests and signatures of short texts, by the C modules themselves: `hashlib` would load OpenSSL, 3.5 MB."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # another Python than CPython
    from hashlib import blake2b
try:
    from _sha2 import sha256  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found, unused-ignore]  # before Python 3.12
    except ImportError:
        from hashlib import sha256


def digest(text: str, size: int = 6) -> bytes:
    """So many bytes that stand for the text."""
    result: bytes = blake2b(text.encode(), digest_size=size).digest()
    return result


def signature(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104)."""
    key = (sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = sha256(bytes(one ^ 0x36 for one in key) + message).digest()
    result: bytes = sha256(bytes(one ^ 0x5C for one in key) + inner).digest()
    return result
