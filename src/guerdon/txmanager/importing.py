"""What a key sent and this database does not know: finding it, accounting for it, and resuming the key after (SAFETY S21).

Payouts recognise what paid them (`payouts/importing.py`); here is what needs no knowledge of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from guerdon.chains.port import Receipt, Transaction
from guerdon.kit.database import Database, PlatformSession, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.txmanager import outgoing, repository, repository_imported, repository_keys, service, service_keys
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.errors import KeyNotPausedError, NotFinalYetError, UnknownOutgoingError
from guerdon.txmanager.models import IntentState, Key
from guerdon.txmanager.repository_imported import IMPORTED, UNMATCHED
from guerdon.txmanager.terms import EngineTerms
from guerdon.txmanager.watching import landed

_log = structlog.stdlib.get_logger("guerdon.txmanager")


@dataclass(frozen=True, slots=True)
class Found:
    """A final transaction of a key that this database does not know."""

    transaction: Transaction
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Review:
    """What a key's counter says, and what of it is not known."""

    head_nonce: int
    final_nonce: int
    waiting: int
    """Transactions that wait for a block and that this database does not know."""
    found: tuple[Found, ...]
    """In nonce order."""
    missing: tuple[int, ...]
    """Nonces that are used, by transactions that the node does not find."""


async def review(database: Database, chain: Chain, key_id: UUID, terms: EngineTerms | None = None) -> Review:
    """Compare a key's transactions on the chain with the database's; changes nothing.

    Raises `KeyNotFoundError`, `ChainUnavailableError`.
    """
    terms = terms or EngineTerms()
    async with database.platform() as session:
        key = await service_keys.key(session, key_id)
        unknown = await repository.in_flight(session, key_id, (IntentState.UNKNOWN,))
    counters, _ = await chain.counters_and_balance(key.address)
    final_block = await chain.finalized()
    final_nonce = await chain.final_nonce(key.address, final_block)
    used = sorted({*range(key.next_nonce, final_nonce), *(one.nonce for one in unknown if one.nonce < final_nonce)})
    async with database.platform() as session:
        known = await repository.hashes_from(session, key_id, used[0]) if used else set[str]()
    found: list[Found] = []
    missing: list[int] = []
    for nonce in used:
        transaction = await outgoing.find_by_nonce(
            chain, key.address, nonce, final_block=final_block, scan_blocks=terms.scan_blocks
        )
        receipt = None if transaction is None else await chain.receipt(transaction.hash)
        if transaction is None or receipt is None:
            missing.append(nonce)
        elif transaction.hash not in known:
            found.append(Found(transaction, receipt))
    waiting = max(0, counters.pool - max(counters.head, key.next_nonce))
    return Review(counters.head, final_nonce, waiting, tuple(found), tuple(missing))


async def require_paused(session: PlatformSession, key_id: UUID) -> Key:
    """The key, locked; raises `KeyNotPausedError` if it may sign meanwhile."""
    key = await repository_keys.lock_key(session, key_id)
    if key is None or key.paused_at is None:
        raise KeyNotPausedError
    return key


async def account_for(database: Database, chain: Chain, key_id: UUID, one: Found) -> str | None:
    """Record a transaction if it is plain what it was: how, in words; None if its owner has to say.

    It is an intent's if it does exactly what that was to do; and it is nobody's if it reverted, or touched nothing of ours.
    """
    async with database.platform() as session:
        key = await service_keys.key(session, key_id)
        ours = await repository_keys.our_addresses(session, key.network)
    effects = await outgoing.effects_of(chain, one.transaction, ours)

    async def write(session: PlatformSession) -> str | None:
        await require_paused(session, key_id)
        sent = one.transaction
        same = await repository_imported.same_call(session, key_id, sent.to, sent.data, sent.value)
        if same is not None and same.nonce in {None, sent.nonce}:
            await service.adopt(session, same.id, sent, one.receipt)
            return f"is what {same.kind} {same.ref or same.id} was to send"
        if not one.receipt.succeeded:
            await record(session, key, one, kind=IMPORTED, error=None)
            return "reverted: it did nothing"
        if effects is not None and effects.is_harmless:
            await record(session, key, one, kind=IMPORTED, error=None)
            return "touched nothing of ours"
        return None

    return await run_in_platform(database, write)


async def record(session: PlatformSession, key: Key, one: Found, *, kind: str, error: str | None) -> UUID:
    """Write a transaction down as sent by this key, `imported` or `unmatched`; its id as an intent."""
    intent_id = uuid7()
    sent = one.transaction
    await repository_imported.insert_found(
        session,
        {
            "id": intent_id, "key_id": key.id, "network": key.network, "kind": kind, "to_address": sent.to, "data": sent.data,
            "value_wei": sent.value, "nonce": sent.nonce, "error": error,
            "state": IntentState.FINAL if one.receipt.succeeded else IntentState.FAILED, **landed(one.receipt),
        },
    )  # fmt: skip
    await repository.give_known_nonce(session, key.network, key.id, sent.nonce, intent_id)
    return intent_id


async def free_those_that_lost_their_nonce(database: Database, key_id: UUID, seen: Review) -> None:
    """Queue unknown intents anew whose nonce another transaction, which was found, has finally used. The key is paused.

    None of their forms can ever land. What the other one paid is for the caller to take out of them before the key resumes.
    """

    async def write(session: PlatformSession) -> None:
        await require_paused(session, key_id)
        for one in await repository_imported.lost_their_nonce(session, key_id, seen.final_nonce):
            if one.nonce not in seen.missing:
                await service.bind_anew(session, one.id, seen.final_nonce)

    await run_in_platform(database, write)


async def resume(database: Database, chain: Chain, key_id: UUID, *, accept: str | None = None) -> None:
    """Let a key sign again, once everything that it sent is known and accounted for.

    `accept` is an operator's reason to leave what is not accounted for as it is; what it paid may then be paid again.
    Raises `NotFinalYetError`, `UnknownOutgoingError`.
    """
    seen = await review(database, chain, key_id)
    if seen.head_nonce > seen.final_nonce or (seen.waiting and accept is None):
        raise NotFinalYetError(
            details={"counter": seen.head_nonce, "final": seen.final_nonce, "waiting_for_a_block": seen.waiting}
        )

    async def write(session: PlatformSession) -> None:
        unmatched = await repository_imported.unmatched(session, key_id)
        open_ones = [one.transaction.hash for one in seen.found] + [str(one.transaction_hash) for one in unmatched]
        if (open_ones or seen.missing) and accept is None:
            raise UnknownOutgoingError(details={"transactions": open_ones, "nonces_not_found": list(seen.missing)})
        for one in unmatched:
            await repository_imported.note_found(session, one.id, kind=IMPORTED, error=f"{one.error}; left so: {accept}")
        if open_ones or seen.missing:
            key = await service_keys.key(session, key_id)
            for found in seen.found:
                await record(session, key, found, kind=IMPORTED, error=f"not imported; left so: {accept}")
            _log.critical(
                "txmanager.unknown_outgoing_accepted", key=str(key_id), transactions=open_ones, missing=list(seen.missing),
                reason=accept,
            )  # fmt: skip
        await service_keys.resume_key(session, key_id, next_nonce=seen.final_nonce)

    await run_in_platform(database, write)


__all__ = ["IMPORTED", "UNMATCHED", "Found", "Review", "account_for", "record", "resume", "review"]
