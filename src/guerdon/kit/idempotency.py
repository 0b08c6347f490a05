"""Permanent idempotency keys for writes through the API: a repeat of the same body gets the first answer.

Event intake keeps its own keys (`activity`); this is for everything else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, Text, Uuid, func
from sqlalchemy.orm import Mapped, mapped_column

from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.kit.errors import IdempotencyConflictError
from guerdon.kit.models import Base, Id, Scope, Utc, scope
from guerdon.kit.secrets import KeyRing, equal


class IdempotentRequest(Base):
    """The first answer to a request with a key; it stands as long as the program does.

    Requests of the platform's operators have `PLATFORM_PROGRAM_ID`, the scope that `Database.platform` opens.
    """

    __tablename__ = "idempotent_requests"

    program_id: Mapped[Id] = mapped_column(Uuid, primary_key=True)
    operation: Mapped[str] = mapped_column(Text, primary_key=True)
    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    """Trust, and for browsers and members the account too (SAFETY S12)."""
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary)
    status: Mapped[int] = mapped_column(Integer)
    response: Mapped[bytes] = mapped_column(LargeBinary)
    """The answer's body, encrypted: it may show a key that is shown once."""
    created_at: Mapped[Utc] = mapped_column(server_default=func.now())

    __table_args__ = (scope(Scope.TENANT),)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered with."""

    status: int
    body: bytes
    repeated: bool = False
    """Is this the stored answer of an earlier request?"""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes two requests the same: scope, operation, caller and the caller's own key (SAFETY S12)."""

    program_id: UUID
    """`PLATFORM_PROGRAM_ID` for the platform's operators."""
    operation: str
    caller: str
    key: str

    @property
    def digest(self) -> bytes:
        """The key as it is stored."""
        return hashlib.sha256(self.key.encode()).digest()[:16]

    @property
    def lock(self) -> int:
        """One number for all parts, as PostgreSQL's advisory locks want it."""
        parts = (self.program_id.bytes, self.operation.encode(), self.caller.encode(), self.key.encode())
        joined = b"".join(len(part).to_bytes(4) + part for part in parts)
        return int.from_bytes(hashlib.sha256(joined).digest()[:8], signed=True)

    @property
    def context(self) -> bytes:
        """What the stored answer is bound to."""
        return _context(self.program_id, self.operation, self.digest)


async def once(
    session: ScopedSession, ring: KeyRing, key: RequestKey, body: bytes, run: Callable[[], Awaitable[Answer]]
) -> Answer:
    """The answer of `run`, or, where this key was answered before, that answer. All in the caller's transaction.

    Two at once with one key run one after the other. An answer that is an error (raised, or status 400 and above) is not
    kept: only what took effect binds. Raises `IdempotencyConflictError` for the same key with another body.
    """
    known = await known_answer(session, ring, key, body)
    if known is not None:
        return known
    answer = await run()
    if answer.status < _FIRST_ERROR_STATUS:
        await session.flush()
        sealed = ring.encrypt(answer.body, key.context)
        body_hash = hashlib.sha256(body).digest()
        connection = await raw_connection(session)
        await connection.execute(_KEEP, key.program_id, key.operation, key.caller, key.digest, body_hash, answer.status, sealed)
    return answer


async def known_answer(session: ScopedSession, ring: KeyRing, key: RequestKey, body: bytes) -> Answer | None:
    """What a request with this key was answered before, if it was; until the transaction ends nobody else answers it.

    For what has to ask a chain before it can run: no transaction is open then, and it asks here first. Raises the same.
    """
    connection = await raw_connection(session)
    await connection.execute("SELECT pg_advisory_xact_lock($1)", key.lock)
    # After the lock, in a statement of its own: it sees what the one before us committed (SAFETY S10).
    known = await connection.fetchrow(_FIND, key.program_id, key.operation, key.caller, key.digest)
    if known is None:
        return None
    if not equal(known["body_hash"], hashlib.sha256(body).digest()):
        raise IdempotencyConflictError
    return Answer(known["status"], ring.decrypt(known["response"], key.context), repeated=True)


Place = tuple[str, str, bytes]
"""Where an answer stands among those of its scope: operation, caller, hash of the key."""


async def rewrap_answers(
    session: ScopedSession, ring: KeyRing, program_id: UUID, after: Place | None
) -> tuple[int, Place | None]:
    """Seal some answers of a scope under the ring's current key; how many were under an older one, and where to go on."""
    connection = await raw_connection(session)
    rows = await connection.fetch(_PAGE, program_id, *(after or ("", "", b"")), _ANSWERS_A_PAGE)
    changed = 0
    for row in rows:
        sealed = bytes(row["response"])
        if ring.is_current(sealed) or not ring.opens(sealed):
            continue
        context = _context(program_id, row["operation"], row["key_hash"])
        place = (row["operation"], row["caller"], row["key_hash"])
        await connection.execute(_REWRAP, program_id, *place, ring.rewrap(sealed, context))
        changed += 1
    if len(rows) < _ANSWERS_A_PAGE:
        return changed, None
    return changed, (rows[-1]["operation"], rows[-1]["caller"], rows[-1]["key_hash"])


async def answers_not_under(session: ScopedSession, program_id: UUID, master_key_id: bytes) -> dict[bytes, int]:
    """How many answers of a scope are sealed under other keys than that one, by the id of these. Looks at all of them."""
    rows = await (await raw_connection(session)).fetch(_NOT_UNDER, program_id, master_key_id)
    return {bytes(row["key_id"]): row["answers"] for row in rows}


def _context(program_id: UUID, operation: str, digest: bytes) -> bytes:
    return b"idempotent_requests" + program_id.bytes + operation.encode() + b"\0" + digest


_ANSWERS_A_PAGE = 500
_FIRST_ERROR_STATUS = 400
_FIND = """
SELECT body_hash, status, response FROM idempotent_requests
WHERE program_id = $1 AND operation = $2 AND caller = $3 AND key_hash = $4
"""
_KEEP = """
INSERT INTO idempotent_requests (program_id, operation, caller, key_hash, body_hash, status, response)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_PAGE = """
SELECT operation, caller, key_hash, response FROM idempotent_requests
WHERE program_id = $1 AND (operation, caller, key_hash) > ($2, $3, $4) ORDER BY operation, caller, key_hash LIMIT $5
"""
_REWRAP = """
UPDATE idempotent_requests SET response = $5 WHERE program_id = $1 AND operation = $2 AND caller = $3 AND key_hash = $4
"""
_NOT_UNDER = """
SELECT substring(response FROM 2 FOR 4) AS key_id, count(*) AS answers FROM idempotent_requests
WHERE program_id = $1 AND substring(response FROM 2 FOR 4) <> $2 GROUP BY 1
"""
