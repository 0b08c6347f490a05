"""SQL for intents, their nonces and attempts: what the engine moves and what others read. Keys: `repository_keys.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, literal, select, true, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased, defer

from guerdon.kit.database import ScopedSession
from guerdon.kit.models import constants
from guerdon.txmanager.models import FINISHED, Attempt, HeldBack, Intent, IntentState, Key, Nonce

IN_FLIGHT = (IntentState.BOUND, IntentState.SIGNED, IntentState.SENT, IntentState.UNKNOWN)
"""Has a nonce and is in no block: counts against what pools keep (SAFETY S26)."""
PENDING = (IntentState.SIGNED, IntentState.SENT, IntentState.UNKNOWN)
"""Its bytes are stored and it is in no block."""
WATCHED = (*PENDING, IntentState.INCLUDED)
UNSIGNED = (IntentState.QUEUED, IntentState.EXPIRED)
"""Nothing of it can land: it may be signed, for the first time or anew, and it may be cancelled."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """An intent with the attempts at its present nonce, the oldest first."""

    intent: Intent
    nonce: int
    attempts: tuple[Attempt, ...]

    @property
    def newest(self) -> Attempt:
        """The attempt with the highest fees: the one that is sent again."""
        return self.attempts[-1]

    @property
    def is_dying(self) -> bool:
        """Has an operator asked to kill it, and is the self-transfer signed?"""
        return self.newest.kills


# ---- queueing and reading -----------------------------------------------------------------------------------------


async def insert_intent(session: ScopedSession, values: dict[str, Any]) -> UUID | None:
    """Add an intent; None if one of its kind and reference exists."""
    statement = (
        upsert(Intent)
        .values(**values, state=IntentState.QUEUED, created_at=func.now(), updated_at=func.now())
        .on_conflict_do_nothing()
        .returning(Intent.id)
    )
    return await session.scalar(statement)


async def intent(session: ScopedSession, intent_id: UUID) -> Intent | None:
    """One intent as it stands."""
    return await session.get(Intent, intent_id, populate_existing=True)


async def lock_intent(session: ScopedSession, intent_id: UUID) -> Intent | None:
    """One intent, locked until the transaction ends."""
    return await session.get(Intent, intent_id, populate_existing=True, with_for_update={"key_share": True})


async def intent_by_ref(session: ScopedSession, kind: str, ref: UUID) -> Intent | None:
    """The intent of a kind and reference."""
    return await session.scalar(
        select(Intent).where(Intent.kind == kind, Intent.ref == ref).execution_options(populate_existing=True)
    )


async def attempts(session: ScopedSession, intent_id: UUID) -> list[Attempt]:
    """All signed forms of an intent, the oldest first."""
    return list(await session.scalars(select(Attempt).where(Attempt.intent_id == intent_id).order_by(Attempt.number)))


async def latest_call(session: ScopedSession, key_id: UUID, kind: str, to: str) -> Intent | None:
    """The newest intent of a kind by a key to an address."""
    return await session.scalar(
        select(Intent)
        .where(Intent.key_id == key_id, Intent.kind == kind, Intent.to_address == to)
        .order_by(Intent.id.desc())
        .limit(1)
        .execution_options(populate_existing=True)
    )


async def retry_now(session: ScopedSession, intent_id: UUID) -> bool:
    """Have a held-back intent looked at at once."""
    return await move(session, intent_id, UNSIGNED, held_until=None)


async def give_known_nonce(session: ScopedSession, network: str, key_id: UUID, nonce: int, intent_id: UUID) -> None:
    """Record a nonce that the chain shows to be an intent's; one that was bound stays as it is."""
    row = {"network": network, "key_id": key_id, "nonce": nonce, "intent_id": intent_id}
    await session.execute(upsert(Nonce).values(**row, bound_at=func.clock_timestamp()).on_conflict_do_nothing())


# ---- what is to be done for a key -----------------------------------------------------------------------------------


async def count_states(session: ScopedSession, key_id: UUID) -> dict[IntentState, int]:
    """How many unfinished intents a key has in each state."""
    rows = await session.execute(
        select(Intent.state, func.count())
        .where(Intent.key_id == key_id, Intent.state.not_in(constants(*FINISHED)))
        .group_by(Intent.state)
    )
    return {IntentState(state): count for state, count in rows}


async def first_unfinished_nonce(session: ScopedSession, key_id: UUID) -> int | None:
    """The lowest nonce of a key's that is not final; all below are."""
    return await session.scalar(
        select(func.min(Intent.nonce)).where(Intent.key_id == key_id, Intent.state.not_in(constants(*FINISHED)))
    )


async def queued(session: ScopedSession, key_id: UUID, limit: int) -> list[Intent]:
    """The oldest intents that wait for a nonce, without those that are held back for now."""
    return list(
        await session.scalars(
            select(Intent)
            .where(
                Intent.key_id == key_id,
                Intent.state.in_(constants(IntentState.QUEUED)),
                (Intent.held_until.is_(None)) | (Intent.held_until <= func.clock_timestamp()),
            )
            .order_by(Intent.id)
            .limit(limit)
            .execution_options(populate_existing=True)
        )
    )


async def bound(session: ScopedSession, key_id: UUID) -> list[Intent]:
    """Intents that have a nonce and no bytes, in nonce order."""
    return list(
        await session.scalars(
            select(Intent)
            .where(Intent.key_id == key_id, Intent.state.in_(constants(IntentState.BOUND)))
            .order_by(Intent.nonce)
            .execution_options(populate_existing=True)
        )
    )


async def in_flight(session: ScopedSession, key_id: UUID, states: Sequence[IntentState]) -> list[InFlight]:
    """Intents in these states with the attempts at their present nonce, in nonce order."""
    rows = await session.execute(
        select(Intent, Attempt)
        .join(Attempt, (Attempt.intent_id == Intent.id) & (Attempt.nonce == Intent.nonce))
        .where(Intent.key_id == key_id, Intent.state.in_(constants(*states)))
        .order_by(Intent.nonce, Attempt.number)
        .execution_options(populate_existing=True)
    )
    found: dict[UUID, tuple[Intent, list[Attempt]]] = {}
    for row_intent, attempt in rows:
        found.setdefault(row_intent.id, (row_intent, []))[1].append(attempt)
    return [InFlight(one, one.nonce, tuple(forms)) for one, forms in found.values() if one.nonce is not None]


async def included(session: ScopedSession, key_id: UUID, limit: int, *, newest_first: bool) -> list[Intent]:
    """Intents that wait for finality, without what they do, from one end of the nonces; their blocks matter now."""
    return list(
        await session.scalars(
            select(Intent)
            .where(Intent.key_id == key_id, Intent.state.in_(constants(IntentState.INCLUDED)))
            .order_by(Intent.nonce.desc() if newest_first else Intent.nonce)
            .limit(limit)
            .options(defer(Intent.data, raiseload=True))
            .execution_options(populate_existing=True)
        )
    )


async def stored_from(session: ScopedSession, key_id: UUID, nonce: int, limit: int) -> list[Attempt]:
    """The bytes for each of the first nonces from `nonce` on, in nonce order: those that landed, else the newest."""
    nonces = _nonces_from(key_id, nonce).limit(limit).subquery()
    forms = (
        select(Attempt)
        .join(Intent, Intent.id == Attempt.intent_id)
        .where(Attempt.intent_id == nonces.c.intent_id, Attempt.nonce == nonces.c.nonce)
        .order_by((Attempt.hash == Intent.transaction_hash).desc(), Attempt.number.desc())
        .limit(1)
        .lateral()
    )
    best = aliased(Attempt, forms)
    return list(await session.scalars(select(best).select_from(nonces.join(forms, true())).order_by(nonces.c.nonce)))


async def hashes_from(session: ScopedSession, key_id: UUID, nonce: int) -> set[str]:
    """Every transaction hash that was ever signed, or adopted, for a key from `nonce` on."""
    nonces = _nonces_from(key_id, nonce).subquery()
    forms = (
        select(Attempt.hash).where(Attempt.intent_id == nonces.c.intent_id, Attempt.nonce == nonces.c.nonce).offset(0).lateral()
    )
    signed = select(forms.c.hash).select_from(nonces.join(forms, true()))
    adopted = select(Intent.transaction_hash).where(
        Intent.key_id == key_id, Intent.nonce >= nonce, Intent.transaction_hash.is_not(None)
    )
    return set(await session.scalars(signed.union(adopted)))


def _nonces_from(key_id: UUID, nonce: int) -> Select[UUID, int]:
    # By the whole primary key, which begins with the network: what was bound before is not read.
    network = select(Key.network).where(Key.id == key_id).scalar_subquery()
    return (
        select(Nonce.intent_id, Nonce.nonce)
        .where(Nonce.network == network, Nonce.key_id == key_id, Nonce.nonce >= nonce)
        .order_by(Nonce.nonce)
    )


# ---- moving them ----------------------------------------------------------------------------------------------------


async def bind(session: ScopedSession, intent: Intent, nonce: int, gas_limit: int) -> bool:
    """Give a queued intent its nonce, for ever (SAFETY S16)."""
    moved = await session.scalar(
        update(Intent)
        .where(Intent.id == intent.id, Intent.state == IntentState.QUEUED)
        .values(
            state=IntentState.BOUND, nonce=nonce, gas_limit=gas_limit, error=None,
            held_back=None, held_until=None, held_times=0, updated_at=func.clock_timestamp(),
        )
        .returning(Intent.id)
    )  # fmt: skip
    if moved is None:
        return False
    await session.execute(
        insert(Nonce).values(
            network=intent.network, key_id=intent.key_id, nonce=nonce, intent_id=intent.id, bound_at=func.clock_timestamp()
        )
    )
    return True


async def hold_back(session: ScopedSession, intent_id: UUID, reason: HeldBack, error: str, retry_seconds: float) -> None:
    """Leave a queued intent without a nonce, or an expired one without another form, for now."""
    await session.execute(
        update(Intent)
        .where(Intent.id == intent_id, Intent.state.in_(UNSIGNED))
        .values(
            held_back=reason, error=error, held_times=Intent.held_times + 1,
            held_until=func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, retry_seconds),
            updated_at=func.clock_timestamp(),
        )
    )  # fmt: skip


async def newest_number(session: ScopedSession, intent_id: UUID) -> int:
    """The number of the last stored attempt; 0 if there is none."""
    return (
        await session.scalar(select(func.coalesce(func.max(Attempt.number), literal(0))).where(Attempt.intent_id == intent_id))
        or 0
    )


async def insert_attempt(session: ScopedSession, values: dict[str, Any]) -> None:
    """Store signed bytes; a second attempt of the same number is a unique violation (SAFETY S19)."""
    await session.execute(insert(Attempt).values(**values, signed_at=func.clock_timestamp()))


async def mark_signed(session: ScopedSession, intent_id: UUID, transaction_hash: str) -> bool:
    """Bytes are stored and not yet handed to a node."""
    return await move(
        session, intent_id, (IntentState.BOUND, *PENDING), state=IntentState.SIGNED, transaction_hash=transaction_hash
    )


async def mark_sent(session: ScopedSession, intent_ids: Sequence[UUID]) -> list[UUID]:
    """A node took the bytes; those that moved."""
    rows = await session.scalars(
        update(Intent)
        .where(Intent.id.in_(intent_ids), Intent.state == IntentState.SIGNED)
        .values(state=IntentState.SENT, updated_at=func.clock_timestamp())
        .returning(Intent.id)
    )
    return list(rows)


async def note_outcome(session: ScopedSession, intent_id: UUID, number: int, outcome: str) -> None:
    """What a node said to the bytes of an attempt."""
    await session.execute(
        update(Attempt)
        .where(Attempt.intent_id == intent_id, Attempt.number == number)
        .values(sent_at=func.coalesce(Attempt.sent_at, func.clock_timestamp()), outcome=outcome)
    )


async def mark_included(session: ScopedSession, intent_id: UUID, landed: dict[str, Any]) -> bool:
    """It is in a block, which may still be reorganised away."""
    return await move(session, intent_id, WATCHED, state=IntentState.INCLUDED, error=None, **landed)


async def mark_finished(session: ScopedSession, intent_id: UUID, state: IntentState) -> bool:
    """The block that it is in is final."""
    return await move(session, intent_id, (IntentState.INCLUDED,), state=state)


async def mark_not_included(session: ScopedSession, intent_id: UUID) -> bool:
    """A reorganisation took it out of its block: it is to be sent again."""
    return await move(
        session, intent_id, (IntentState.INCLUDED,), state=IntentState.SIGNED,
        block_number=None, block_hash=None, succeeded=None, gas_used=None, fee_paid_wei=None, contract_address=None,
    )  # fmt: skip


async def mark_void(session: ScopedSession, intent_id: UUID, error: str, from_states: Sequence[IntentState]) -> bool:
    """It can never land: another transaction is final at its nonce, or it never had one."""
    return await move(session, intent_id, from_states, state=IntentState.VOID, error=error, held_back=None, held_until=None)


async def mark_unknown(session: ScopedSession, intent_id: UUID, error: str) -> bool:
    """It may have happened or may still happen; nothing is given back for it."""
    return await move(session, intent_id, (*PENDING, IntentState.BOUND), state=IntentState.UNKNOWN, error=error)


async def mark_queued_again(session: ScopedSession, intent_id: UUID, error: str) -> bool:
    """Its nonce is finally used by a harmless other transaction: it gets a new one (SAFETY S20)."""
    return await move(
        session, intent_id, (*PENDING, IntentState.BOUND), state=IntentState.QUEUED, nonce=None,
        transaction_hash=None, kill_requested_at=None, error=error,
    )  # fmt: skip


async def mark_adopted(session: ScopedSession, intent_id: UUID, nonce: int, state: IntentState, landed: dict[str, Any]) -> bool:
    """A transaction that this database did not know turned out to be this intent's (SAFETY S21)."""
    return await move(
        session, intent_id, (IntentState.QUEUED, IntentState.BOUND, *PENDING), state=state, nonce=nonce,
        held_back=None, held_until=None, **landed,
    )  # fmt: skip


async def request_kill(session: ScopedSession, intent_id: UUID) -> bool:
    """An operator wants it dead; the engine signs the self-transfer."""
    return await move(session, intent_id, IN_FLIGHT, kill_requested_at=func.clock_timestamp())


async def killed(session: ScopedSession, intent_ids: Sequence[UUID]) -> list[UUID]:
    """Those of them that an operator wants dead."""
    rows = await session.scalars(select(Intent.id).where(Intent.id.in_(intent_ids), Intent.kill_requested_at.is_not(None)))
    return list(rows)


async def overdue(session: ScopedSession, key_id: UUID, seconds: float) -> list[Intent]:
    """Intents that a node took, or should have, whose first bytes at this nonce are older than `seconds`."""
    first_signed = (
        select(func.min(Attempt.signed_at))
        .where(Attempt.intent_id == Intent.id, Attempt.nonce == Intent.nonce)
        .correlate(Intent)
        .scalar_subquery()
    )
    return list(
        await session.scalars(
            select(Intent).where(
                Intent.key_id == key_id,
                Intent.state.in_(constants(IntentState.SIGNED, IntentState.SENT)),
                first_signed < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, seconds),
            )
        )
    )


async def is_ours(session: ScopedSession, network: str, transaction_hash: str, marked: UUID | None) -> bool:
    """Whether a transaction is what an intent of ours was to do, whatever became of it; `marked` is the one it made a marker of.

    A restored database may have none of its forms: then the marker tells, or what importing found (SAFETY S21). What importing
    found and no intent was to do is none.
    """
    signed = select(Attempt.hash).where(Attempt.network == network, Attempt.hash == transaction_hash)
    adopted = select(Intent.transaction_hash).where(
        Intent.network == network, Intent.transaction_hash == transaction_hash, Intent.kind.not_in(("imported", "unmatched"))
    )
    if await session.scalar(signed.union_all(adopted).limit(1)) is not None:
        return True
    return marked is not None and await intent(session, marked) is not None


async def move(session: ScopedSession, intent_id: UUID, from_states: Sequence[IntentState], **values: Any) -> bool:
    """Change an intent that is in one of these states; was it?"""
    moved = await session.scalar(
        update(Intent)
        .where(Intent.id == intent_id, Intent.state.in_(from_states))
        .values(**values, updated_at=func.clock_timestamp())
        .returning(Intent.id)
    )
    return moved is not None
