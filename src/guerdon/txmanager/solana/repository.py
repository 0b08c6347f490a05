"""SQL for a Solana key's intents, attempts and markers. What both engines share is in `txmanager/repository.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import defer

from guerdon.kit.database import ScopedSession
from guerdon.kit.models import constants
from guerdon.txmanager.models import Attempt, Intent, IntentState, Key
from guerdon.txmanager.repository import UNSIGNED, WATCHED, move


@dataclass(frozen=True, slots=True)
class Signed:
    """An intent with all forms that were ever signed of it, the oldest first; and each one's age in seconds."""

    intent: Intent
    attempts: tuple[Attempt, ...]
    ages: tuple[float, ...]

    @property
    def newest(self) -> Attempt:
        """The one that is sent, since all before it are dead."""
        return self.attempts[-1]


async def unsigned(session: ScopedSession, key_id: UUID, limit: int) -> list[Intent]:
    """The oldest intents that wait for their first form or the next one, without those that are held back for now."""
    return list(
        await session.scalars(
            select(Intent)
            .where(
                Intent.key_id == key_id,
                Intent.state.in_(constants(*UNSIGNED)),
                Intent.held_until.is_(None) | (Intent.held_until <= func.clock_timestamp()),
            )
            .order_by(Intent.id)
            .limit(limit)
            .execution_options(populate_existing=True)
        )
    )


async def signed(session: ScopedSession, key_id: UUID, states: Sequence[IntentState] = WATCHED) -> list[Signed]:
    """Intents in these states with every form, without what they do."""
    rows = await session.execute(
        select(Intent, Attempt, func.extract("epoch", func.clock_timestamp() - Attempt.signed_at))
        .join(Attempt, Attempt.intent_id == Intent.id)
        .where(Intent.key_id == key_id, Intent.state.in_(constants(*states)))
        .order_by(Intent.id, Attempt.number)
        .options(defer(Intent.data, raiseload=True))
        .execution_options(populate_existing=True)
    )
    found: dict[UUID, tuple[Intent, list[Attempt], list[float]]] = {}
    for row_intent, attempt, age in rows:
        _, attempts, ages = found.setdefault(row_intent.id, (row_intent, [], []))
        attempts.append(attempt)
        ages.append(float(age))
    return [Signed(one, tuple(attempts), tuple(ages)) for one, attempts, ages in found.values()]


async def mark_signed(session: ScopedSession, intent_id: UUID, signature: str, marker: str | None) -> bool:
    """Bytes are stored: they may land from now on. False if it may not be signed now (cancelled, or another one did)."""
    return await move(
        session, intent_id, UNSIGNED, state=IntentState.SIGNED, transaction_hash=signature, marker=marker, error=None,
        held_back=None, held_until=None, held_times=0,
    )  # fmt: skip


async def mark_included(session: ScopedSession, intent_id: UUID, values: dict[str, Any]) -> bool:
    """A form is in a confirmed block, which may still be forked away."""
    return await move(session, intent_id, WATCHED, state=IntentState.INCLUDED, error=None, **values)


async def mark_forked(session: ScopedSession, intent_id: UUID) -> bool:
    """It is in no block any more: the same bytes are sent again."""
    return await move(session, intent_id, (IntentState.INCLUDED,), state=IntentState.SIGNED, block_number=None, succeeded=None)


async def mark_finished(session: ScopedSession, intent_id: UUID, state: IntentState, values: dict[str, Any]) -> bool:
    """What became of it is final."""
    return await move(session, intent_id, WATCHED, state=state, error=None, **values)


async def mark_expired(session: ScopedSession, intent_id: UUID, error: str) -> bool:
    """Every form is proven dead; it may be signed anew, or cancelled."""
    return await move(session, intent_id, WATCHED, state=IntentState.EXPIRED, block_number=None, succeeded=None, error=error)


async def mark_unknown(session: ScopedSession, intent_id: UUID, error: str) -> bool:
    """It may have happened, or may still; nothing is given back for it. False if that is known."""
    return await move(session, intent_id, (IntentState.SIGNED, IntentState.SENT), state=IntentState.UNKNOWN, error=error)


async def mark_adopted(session: ScopedSession, intent_id: UUID, marker: str, values: dict[str, Any]) -> bool:
    """A final transaction that this database did not know made its marker (SAFETY S21)."""
    return await move(
        session, intent_id, (*UNSIGNED, *WATCHED), state=IntentState.FINAL, marker=marker, error=None, held_back=None,
        held_until=None, **values,
    )  # fmt: skip


# ---- markers --------------------------------------------------------------------------------------------------------


async def markers_to_close(session: ScopedSession, key_id: UUID, height: int, limit: int) -> list[Intent]:
    """Final intents whose marker stands, none of whose forms may land after this finalized height; their bytes are old enough
    by the database's clock as well, which the caller has looked at (`oldest_form_seconds`).
    """
    last = select(func.max(Attempt.last_valid_height)).where(Attempt.intent_id == Intent.id).correlate(Intent).scalar_subquery()
    return list(
        await session.scalars(
            select(Intent)
            .where(
                Intent.key_id == key_id,
                Intent.marker.is_not(None),
                Intent.marker_closed_at.is_(None),
                Intent.closed_by.is_(None),
                Intent.state.in_(constants(IntentState.FINAL)),
                last < height,
            )
            .order_by(Intent.id)
            .limit(limit)
            .options(defer(Intent.data, raiseload=True))
            .execution_options(populate_existing=True)
        )
    )


async def newest_form_seconds(session: ScopedSession, intent_ids: Sequence[UUID]) -> dict[UUID, float]:
    """How long ago the newest form of each was signed."""
    rows = await session.execute(
        select(Attempt.intent_id, func.extract("epoch", func.clock_timestamp() - func.max(Attempt.signed_at)))
        .where(Attempt.intent_id.in_(intent_ids))
        .group_by(Attempt.intent_id)
    )
    return {row[0]: float(row[1]) for row in rows}


async def begin_closing(session: ScopedSession, intent_ids: Sequence[UUID], closed_by: UUID) -> None:
    """These markers are being closed."""
    await session.execute(update(Intent).where(Intent.id.in_(intent_ids)).values(closed_by=closed_by))


async def mark_closed(session: ScopedSession, intent_ids: Sequence[UUID]) -> None:
    """These markers are gone from the chain, finally."""
    await session.execute(
        update(Intent)
        .where(Intent.id.in_(intent_ids), Intent.marker_closed_at.is_(None))
        .values(marker_closed_at=func.clock_timestamp(), closed_by=None)
    )


async def end_closings(session: ScopedSession, key_id: UUID) -> None:
    """Markers whose closing is over, one way or another: what became of them is read from the chain."""
    await session.execute(
        text(
            """
            update intents i set closed_by = null from intents c
             where i.key_id = :key_id and i.marker is not null and i.marker_closed_at is null
               and c.id = i.closed_by and c.state in ('final', 'failed', 'void')
            """
        ),
        {"key_id": key_id},
    )


# ---- what the chain has of a key (SAFETY S21) ------------------------------------------------------------------------


async def known_signatures(session: ScopedSession, network: str, signatures: Sequence[str]) -> set[str]:
    """Those of them that were signed here, or are accounted for."""
    attempts = select(Attempt.hash).where(Attempt.network == network, Attempt.hash.in_(signatures))
    adopted = select(Intent.transaction_hash).where(
        Intent.network == network, Intent.transaction_hash.in_(signatures), Intent.kind.in_(("imported", "unmatched"))
    )
    others = select(Intent.transaction_hash).where(
        Intent.network == network, Intent.transaction_hash.in_(signatures), Intent.state == IntentState.FINAL
    )
    return set(await session.scalars(attempts.union(adopted, others)))


async def note_reviewed(session: ScopedSession, key_id: UUID, signature: str | None) -> None:
    """Everything that the chain has of a key up to this transaction is accounted for; None: nothing new is there."""
    values: dict[str, Any] = {"reviewed_at": func.clock_timestamp()}
    if signature is not None:
        values["reviewed_signature"] = signature
    await session.execute(update(Key).where(Key.id == key_id).values(**values))


async def unseen_seconds(session: ScopedSession, key_id: UUID) -> float:
    """How long nobody has looked whether the chain knows more of a key than the database, or since it was made."""
    age = func.clock_timestamp() - func.coalesce(Key.reviewed_at, Key.created_at)
    return float(await session.scalar(select(func.extract("epoch", age)).where(Key.id == key_id)) or 0)


async def unfinished_markers(session: ScopedSession, key_id: UUID) -> list[Intent]:
    """Intents of a key that are not over: the transaction of one of them would make its marker."""
    return list(
        await session.scalars(
            select(Intent)
            .where(
                Intent.key_id == key_id,
                Intent.state.in_(constants(*UNSIGNED, *WATCHED)),
            )
            .order_by(Intent.id)
            .options(defer(Intent.data, raiseload=True))
            .execution_options(populate_existing=True)
        )
    )
