"""The hashes under which a report is known again: idempotency keys in their scope, and signatures. Pure."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Final

from guerdon.earning.terms import Trust

HASH_BYTES: Final = 16
TIME_BYTES: Final = 6
"""Of a signature's time in milliseconds: what its hash begins with, so that new ones lie side by side in their index."""
_SIGNATURE: Final = b"\x00\x00\x00\tsignature"
"""What the hashes of signatures begin with: the word, after its length."""

EVENT: Final = "event"
"""The operation whose scope an event's own key is in, on whatever path the event comes: what was sent alone and is sent
again in bulk is a repeat."""
MANUAL_EVENT: Final = "manual-event"
BULK_EVENTS: Final = "bulk-events"
CHECK_ELIGIBILITY: Final = "check-eligibility"
USER_BALANCE: Final = "user-balance"


def idempotency_key_hash(trust: Trust, operation: str, key: str, identity: str | None = None) -> bytes:
    """The hash of an idempotency key in its scope (SAFETY S12): the trust, the operation and, where anyone can send, the person.

    A browser can neither occupy nor read a server's key, and the key of a program's signatures plays no part.
    """
    owner = identity.encode() if trust.is_public and identity is not None else b""
    return _digest(_scope_of(trust, operation) + _framed(owner) + _framed(key.encode()))


def line_key_hash(trust: Trust, key: str, line: int, identity: str | None = None) -> bytes:
    """The hash of the key that a line of a bulk has from the request's header: that key and the line's number."""
    return idempotency_key_hash(trust, BULK_EVENTS, f"{line}:{key}", identity)


def line_signature_hash(signature: bytes, line: int) -> bytes:
    """The hash of a bulk's signature for one of its lines; for the first one that of the signature itself.

    So a bulk of one line, whose body is that of a single event, is known on the other path too.
    """
    if line == 0:
        return signature_hash(signature)
    return _after_its_time(signature, _SIGNATURE + _framed(signature) + _framed(line.to_bytes(4, "big")))


def signature_of(timestamp_ms: int, signature: bytes) -> bytes:
    """A signature with the time that it covers: its bytes, so that upper and lower case hex are one."""
    return timestamp_ms.to_bytes(TIME_BYTES, "big") + signature


def signature_hash(signature: bytes) -> bytes:
    """The hash of what `signature_of` made; it counts once a program (SAFETY S11)."""
    return _after_its_time(signature, _SIGNATURE + _framed(signature))


def body_hash(body: bytes) -> bytes:
    """What tells a repeat of a request from another request with the same key."""
    return _digest(body)


def _after_its_time(signature: bytes, framed: bytes) -> bytes:
    return signature[:TIME_BYTES] + _digest(framed)[: HASH_BYTES - TIME_BYTES]


@cache
def _scope_of(trust: Trust, operation: str) -> bytes:
    """The part of what is hashed that is the same for all keys of a trust and an operation."""
    return _framed(b"key") + _framed(trust.value.encode()) + _framed(operation.encode())


def _framed(part: bytes) -> bytes:
    """A part with its length, so that no two lists of parts are the same bytes."""
    return len(part).to_bytes(4, "big") + part


def _digest(framed: bytes) -> bytes:
    return blake2b(framed, digest_size=HASH_BYTES).digest()
