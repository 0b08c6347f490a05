"""SQL of look-ups: an account's history, what is undelivered, spent signatures, lags. Events as operators read them are
`repository_history.py`.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import and_, func, select, text
from sqlalchemy.dialects.postgresql import insert

from guerdon.activity.models import EventKey
from guerdon.activity.schemas_lookups import HistoryEntry
from guerdon.earning.models import Accrual
from guerdon.kit.database import PlatformSession, ProgramSession
from guerdon.kit.models import constants
from guerdon.ledger.models import UNDELIVERED, Asset, Delivery

_IN_FLIGHT = 50
"""Transactions of one account that are looked up for one answer."""


async def history(session: ProgramSession, program_id: UUID, account_id: UUID, limit: int) -> list[HistoryEntry]:
    """The account's last rewards, newest first."""
    rows = await session.execute(
        select(Accrual.earned_by, Accrual.points, Accrual.accrued_at, Delivery.transaction_hash)
        .outerjoin(Delivery, and_(Delivery.program_id == program_id, Delivery.id == Accrual.delivery_id))
        .where(Accrual.program_id == program_id, Accrual.account_id == account_id)
        .order_by(Accrual.id.desc())
        .limit(limit)
    )
    return [
        HistoryEntry(transaction_hash=row.transaction_hash, event_type=row.earned_by, amount=row.points, timestamp=row.accrued_at)
        for row in rows
    ]


async def asset_by_id(session: ProgramSession, asset_id: UUID) -> Asset:
    """An asset; there is no program without one."""
    return await session.get_one(Asset, asset_id)


# What became final in a later block than the one that was read is among the account's newest: the node that was asked is only
# ever a few blocks behind the one that the worker asks.
_UNDELIVERED = text(
    """
    select coalesce(sum(points), 0) from (
        select points from deliveries
         where program_id = :program_id and account_id = :account_id and asset_id = :asset_id
           and state not in ('final', 'refused', 'returned') and (block_number is null or block_number > :block_number)
        union all
        select points from (select points, asset_id, state, block_number from deliveries
                             where program_id = :program_id and account_id = :account_id order by id desc limit 200) newest
         where asset_id = :asset_id and state = 'final' and block_number > :block_number) owed
    """
)


async def undelivered(session: ProgramSession, program_id: UUID, asset_id: UUID, account_id: UUID, block_number: int) -> int:
    """Points whose tokens were not on chain at the end of that block (SAFETY S24).

    A payout that was included up to the block is in the wallet's balance there; a final one of a later block is not.
    """
    found = await session.scalar(
        _UNDELIVERED,
        {"program_id": program_id, "asset_id": asset_id, "account_id": account_id, "block_number": block_number},
    )
    return int(found or 0)


async def in_flight(session: ProgramSession, program_id: UUID, asset_id: UUID, account_id: UUID) -> dict[str, int]:
    """Points by the transaction that carries them, where nobody has seen yet whether it is in a block."""
    rows = await session.execute(
        select(Delivery.transaction_hash, func.sum(Delivery.points))
        .where(
            Delivery.program_id == program_id,
            Delivery.asset_id == asset_id,
            Delivery.account_id == account_id,
            Delivery.state.in_(constants(*UNDELIVERED)),
            Delivery.block_number.is_(None),
            Delivery.transaction_hash.is_not(None),
        )
        .group_by(Delivery.transaction_hash)
        .limit(_IN_FLIGHT)
    )
    return {transaction_hash: int(points) for transaction_hash, points in rows if transaction_hash is not None}


async def remember_signature(
    session: ProgramSession, program_id: UUID, key_hash: bytes, body_hash: bytes, operation: str
) -> tuple[str, bytes]:
    """What a signature was first used for: (operation, hash of what was asked), these ones if it is new."""
    values = {
        "program_id": program_id,
        "key_hash": key_hash,
        "event_id": UUID(int=0),
        "body_hash": body_hash,
        "operation": operation,
    }
    await session.execute(insert(EventKey).values(values).on_conflict_do_nothing())
    # In a later statement: one that lost the race does not see the winner's row in its own (SAFETY S10).
    found = await session.scalar(select(EventKey).where(EventKey.program_id == program_id, EventKey.key_hash == key_hash))
    return (operation, body_hash) if found is None else (found.operation, found.body_hash)


async def schema_version(session: PlatformSession) -> str | None:
    """The revision that the database is at."""
    found: str | None = await session.scalar(text("select version_num from alembic_version"))
    return found


async def lags(session: PlatformSession) -> dict[str, float]:
    """The age in seconds of the oldest unfinished thing of each kind, over all programs (SAFETY S2)."""
    rows = await session.execute(
        text("select gauge, max(oldest_seconds) from guerdon_gauges_v2() where items > 0 group by gauge order by gauge")
    )
    return {str(gauge): round(float(seconds), 1) for gauge, seconds in rows if seconds is not None}
