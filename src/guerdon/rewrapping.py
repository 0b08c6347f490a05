"""Every stored secret under the present secret key, so that older ones can be dropped: what `guerdon secret rewrap` does.

The secrets themselves never change (SAFETY S6). Each domain wraps its own; here they are gone through, a transaction at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from uuid import UUID

from guerdon.accounts import repository as accounts
from guerdon.accounts import repository_members, sign_in
from guerdon.activity.settlements import repository_sources, sources
from guerdon.kit import idempotency
from guerdon.kit.database import Database
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.secrets import KeyRing
from guerdon.programs import repository as programs
from guerdon.programs import security_keys
from guerdon.txmanager import repository_keys, service_keys
from guerdon.txmanager.signer import Signer

WALLETS = "secret of the wallets"
SIGNING_KEYS = "keys that sign transactions"
SECURITY_KEYS = "security keys of programs"
SOURCES = "secrets and locations of sources"
ANSWERS = "kept answers to idempotent requests"
IDENTITIES = "what members sign in with"
_PROGRAMS = 200
_IDENTITIES = 500


@dataclass(frozen=True, slots=True)
class Wrapped:
    """How many secrets of each kind were wrapped anew, and how many are still under another key than the present one."""

    changed: Counter[str] = field(default_factory=Counter[str])
    left: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """By kind and the id of the key (as in the errors of secrets) that opens them."""


async def rewrap(database: Database, ring: KeyRing) -> Wrapped:
    """Wrap everything anew that the ring opens with an older key. May be stopped anywhere and run again.

    The secret of the wallets is wrapped anew by whatever process opens it.
    """
    changed = Counter[str]()
    async with database.platform() as session:
        changed[SIGNING_KEYS] += await service_keys.rewrap_keys(session, Signer(ring))
    place: bytes | None = b""
    while place is not None:
        async with database.platform() as session:
            wrapped, place = await sign_in.rewrap_identities(session, ring, place, _IDENTITIES)
        changed[IDENTITIES] += wrapped
    async for program_id in _scopes(database):
        if program_id != PLATFORM_PROGRAM_ID:
            async with database.program(program_id) as session:
                changed[SECURITY_KEYS] += await security_keys.rewrap_security_keys(session, ring, program_id)
                changed[SOURCES] += await sources.rewrap_sources(session, ring, program_id)
        after: idempotency.Place | None = None
        while True:
            async with database.program(program_id) as session:
                wrapped, after = await idempotency.rewrap_answers(session, ring, program_id, after)
            changed[ANSWERS] += wrapped
            if after is None:
                break
    return Wrapped(+changed, await under_other_keys(database, ring))


async def under_other_keys(database: Database, ring: KeyRing) -> Counter[tuple[str, str]]:
    """How many secrets are under another key than the present one, by kind and the key's id."""
    found = Counter[tuple[str, str]]()
    async with database.platform() as session:
        wallets = await accounts.master_secrets_not_under(session, ring.current_id)
        keys = await repository_keys.keys_not_under(session, ring.current_id)
        identities = await repository_members.identities_not_under(session, ring.current_id)
    for kind, counts in ((WALLETS, wallets), (SIGNING_KEYS, keys), (IDENTITIES, identities)):
        found.update({(kind, key_id.hex()): count for key_id, count in counts.items()})
    async for program_id in _scopes(database):
        async with database.program(program_id) as session:
            security = await programs.keys_not_under(session, program_id, ring.current_id)
            sealed = await repository_sources.sealed_not_under(session, program_id, ring.current_id)
            answers = await idempotency.answers_not_under(session, program_id, ring.current_id)
        for kind, counts in ((SECURITY_KEYS, security), (SOURCES, sealed), (ANSWERS, answers)):
            found.update({(kind, key_id.hex()): count for key_id, count in counts.items()})
    return found


async def _scopes(database: Database) -> AsyncGenerator[UUID]:
    """The platform's own scope, then every program's."""
    yield PLATFORM_PROGRAM_ID
    after: UUID | None = None
    while True:
        async with database.platform() as session:
            page = [program.id for program in await programs.programs_after(session, after, _PROGRAMS)]
        for program_id in page:
            yield program_id
        if len(page) < _PROGRAMS:
            return
        after = page[-1]
