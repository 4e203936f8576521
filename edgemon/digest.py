"""Short digests of short texts, by the C module itself: `hashlib` would load OpenSSL, 3.4 MB in memory."""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # another Python than CPython
    from hashlib import blake2b


def digest(text: str, size: int = 6) -> bytes:
    """So many bytes that stand for the text."""
    result: bytes = blake2b(text.encode(), digest_size=size).digest()
    return result
