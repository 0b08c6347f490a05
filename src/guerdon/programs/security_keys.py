"""Use cases of security keys, with which a program's servers sign. Encrypted at rest, shown once. Nothing here commits.

Checking a signature is `activity/authentication.py`; it gets the keys from `signing_keys`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from guerdon.kit.database import ScopedSession
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing
from guerdon.programs import repository
from guerdon.programs.errors import LastSecurityKeyError, SecurityKeyNotFoundError
from guerdon.programs.models import ProgramKey
from guerdon.programs.schemas import NewSecurityKey, Rotation, SecurityKeyView
from guerdon.programs.service import configuration_changed

_KEY_BYTES: Final = 32
_HINT_CHARACTERS: Final = 4


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A secret that signs until `expires_at`, or without end."""

    secret: bytes
    expires_at: datetime | None


async def add_security_key(session: ScopedSession, ring: KeyRing, program_id: UUID, now: datetime) -> NewSecurityKey:
    """A new key that does not expire. The session acts for the program."""
    key_id = uuid7()
    shown = secrets.token_hex(_KEY_BYTES)
    sealed = ring.encrypt(shown.encode("ascii"), _context(program_id, key_id))
    key = await repository.insert_key(
        session,
        {
            "program_id": program_id,
            "id": key_id,
            "secret_encrypted": sealed,
            "hint": shown[-_HINT_CHARACTERS:],
            "created_at": now,
        },
    )
    return NewSecurityKey(**_view(key).model_dump(), security_key=shown)


async def rotate_security_key(
    session: ScopedSession, ring: KeyRing, program_id: UUID, rotation: Rotation, now: datetime
) -> NewSecurityKey:
    """A new key; the present one stays valid for the grace time, and any older one ends now: two are valid at most."""
    await configuration_changed(session, program_id)
    valid = await repository.valid_keys(session, program_id, now)
    grace = timedelta(0) if rotation.revoke_old else timedelta(hours=rotation.grace_hours)
    await repository.expire_keys(session, program_id, [key.id for key in valid[:1]], now + grace)
    await repository.expire_keys(session, program_id, [key.id for key in valid[1:]], now)
    return await add_security_key(session, ring, program_id, now)


async def revoke_security_key(session: ScopedSession, program_id: UUID, key_id: UUID, now: datetime) -> None:
    """End a key at once. Raises `SecurityKeyNotFoundError`, or `LastSecurityKeyError` where nothing could sign any more."""
    await configuration_changed(session, program_id)
    valid = await repository.valid_keys(session, program_id, now)
    if key_id not in {key.id for key in valid}:
        raise SecurityKeyNotFoundError
    if not any(key.expires_at is None for key in valid if key.id != key_id):
        raise LastSecurityKeyError
    await repository.expire_keys(session, program_id, [key_id], now)


async def signing_keys(session: ScopedSession, ring: KeyRing, program_id: UUID, now: datetime) -> list[SigningKey]:
    """The secrets that sign now, newest first, as the bytes that go into the HMAC."""
    keys = await repository.valid_keys(session, program_id, now)
    return [SigningKey(ring.decrypt(key.secret_encrypted, _context(program_id, key.id)), key.expires_at) for key in keys]


async def rewrap_security_keys(session: ScopedSession, ring: KeyRing, program_id: UUID) -> int:
    """Seal the program's keys under the current master key; how many were under an older one. The keys never change."""
    changed = 0
    for key in await repository.all_keys(session, program_id):
        if ring.opens(key.secret_encrypted) and not ring.is_current(key.secret_encrypted):
            key.secret_encrypted = ring.rewrap(key.secret_encrypted, _context(program_id, key.id))
            changed += 1
    await session.flush()
    return changed


async def security_keys_page(
    session: ScopedSession, program_id: UUID, after: UUID | None, limit: int
) -> Sequence[SecurityKeyView]:
    """Keys in the order in which they were made, one more than `limit` if there are more."""
    return [_view(key) for key in await repository.keys_after(session, program_id, after, limit + 1)]


def _view(key: ProgramKey) -> SecurityKeyView:
    return SecurityKeyView(id=key.id, hint=key.hint, created_at=key.created_at, expires_at=key.expires_at)


def _context(program_id: UUID, key_id: UUID) -> bytes:
    # Bound to its row: a ciphertext copied to another program's row does not open.
    return f"program key {program_id} {key_id}".encode("ascii")
