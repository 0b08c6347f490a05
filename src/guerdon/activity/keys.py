"""The hashes under which a report is known again: idempotency keys in their scope, and signatures. Pure."""

from __future__ import annotations

from hashlib import blake2b
from uuid import UUID

from guerdon.earning.decision import Trust

HASH_BYTES = 16


def idempotency_key_hash(trust: Trust, operation: str, key: str, account_id: UUID | None = None) -> bytes:
    """The hash of an idempotency key in its scope (SAFETY S12): the trust, the operation and, where anyone can send, the account.

    A browser can neither occupy nor read a server's key, and the key of a program's signatures plays no part.
    """
    owner = account_id.bytes if trust.is_public and account_id is not None else b""
    return _hash(b"key", trust.value.encode(), operation.encode(), owner, key.encode())


def signature_hash(signature: bytes) -> bytes:
    """The hash of a signature (its bytes, so that upper and lower case hex are one); it counts once a program (SAFETY S11)."""
    return _hash(b"signature", signature)


def body_hash(body: bytes) -> bytes:
    """What tells a repeat of a request from another request with the same key."""
    return blake2b(body, digest_size=HASH_BYTES).digest()


def _hash(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=HASH_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
