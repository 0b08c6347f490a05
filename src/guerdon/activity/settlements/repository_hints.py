"""SQL of hints: what was reported, whom to ask next, what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, update

from guerdon.activity.settlements.models import HintState, SettlementHint
from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.kit.models import constants

FOREIGN_SENDER = "foreign_sender"
NEVER_LANDED = "never_landed"

HintKey = tuple[UUID, str, str]
"""(source, network, transaction)."""


@dataclass(frozen=True, slots=True)
class NewHint:
    """A transaction that a source tells of."""

    source_id: UUID
    network: str
    transaction_hash: str
    reported: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HintNews:
    """What became of a hint."""

    key: HintKey
    state: HintState
    reason: str | None
    due_at: datetime
    attempts: int


# A report that is told again changes nothing, but for one that never landed: it may have by now. Not more than once an hour, so
# that who replays an old report for ever can't have the chain asked for ever.
_PUT = """
insert into settlement_hints as known
    (program_id, source_id, network, transaction_hash, state, due_at, reported, received_at, updated_at)
select $1, h.source_id, h.network, h.transaction_hash, 'waiting', $6, h.reported, $6, $6
  from unnest($2::uuid[], $3::text[], $4::text[], $5::jsonb[]) as h(source_id, network, transaction_hash, reported)
 order by h.source_id, h.network, h.transaction_hash
on conflict (program_id, source_id, network, transaction_hash) do update
   set state = 'waiting', attempts = 0, due_at = excluded.due_at, reason = null, updated_at = excluded.updated_at
 where known.state = 'nothing' and known.reason = 'never_landed' and known.updated_at < excluded.updated_at - interval '1 hour'
returning transaction_hash
"""


async def put_hints(session: ScopedSession, program_id: UUID, hints: Sequence[NewHint], now: datetime) -> int:
    """Keep what was reported; how many of it is to be looked at."""
    if not hints:
        return 0
    unique = list({(hint.source_id, hint.network, hint.transaction_hash): hint for hint in hints}.values())
    rows = await (await raw_connection(session)).fetch(
        _PUT,
        program_id,
        [hint.source_id for hint in unique],
        [hint.network for hint in unique],
        [hint.transaction_hash for hint in unique],
        [msgspec.json.encode(hint.reported).decode() for hint in unique],
        now,
    )
    return len(rows)


async def due_hints(session: ScopedSession, program_id: UUID, now: datetime, limit: int) -> Sequence[SettlementHint]:
    """Those whose turn it is, the oldest first."""
    query = (
        select(SettlementHint)
        .where(
            SettlementHint.program_id == program_id,
            SettlementHint.state.in_(constants(HintState.WAITING, HintState.WATCHING)),
            SettlementHint.due_at <= now,
        )
        .order_by(SettlementHint.due_at)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def next_due(session: ScopedSession, program_id: UUID) -> datetime | None:
    """When the next hint's turn is; None if none waits."""
    query = (
        select(SettlementHint.due_at)
        .where(
            SettlementHint.program_id == program_id,
            SettlementHint.state.in_(constants(HintState.WAITING, HintState.WATCHING)),
        )
        .order_by(SettlementHint.due_at)
        .limit(1)
    )
    return await session.scalar(query)


_TELL = """
update settlement_hints h
   set state = n.state, reason = n.reason, due_at = n.due_at, attempts = n.attempts, updated_at = $9
  from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bigint[])
    as n(source_id, network, transaction_hash, state, reason, due_at, attempts)
 where h.program_id = $1 and h.source_id = n.source_id and h.network = n.network and h.transaction_hash = n.transaction_hash
   and h.state in ('waiting', 'watching')
"""


async def tell(session: ScopedSession, program_id: UUID, news: Sequence[HintNews], now: datetime) -> None:
    """Write down what became of hints; one that is over stays so."""
    if not news:
        return
    ordered = sorted(news, key=lambda one: one.key)
    await (await raw_connection(session)).execute(
        _TELL,
        program_id,
        [one.key[0] for one in ordered],
        [one.key[1] for one in ordered],
        [one.key[2] for one in ordered],
        [one.state.value for one in ordered],
        [one.reason for one in ordered],
        [one.due_at for one in ordered],
        [one.attempts for one in ordered],
        now,
    )


async def look_again_at_rejected(session: ScopedSession, program_id: UUID, source_id: UUID, now: datetime) -> None:
    """Whoever sent them may be a signer by now."""
    await session.execute(
        update(SettlementHint)
        .where(
            SettlementHint.program_id == program_id,
            SettlementHint.source_id == source_id,
            SettlementHint.state == HintState.REJECTED,
            SettlementHint.reason == FOREIGN_SENDER,
        )
        .values(state=HintState.WAITING, attempts=0, due_at=now, reason=None, updated_at=now)
    )


_FORGET = """
with old as (
    select program_id, source_id, network, transaction_hash from settlement_hints
     where program_id = $1 and state in ('proven', 'nothing', 'rejected') and updated_at < $2 limit $3
)
delete from settlement_hints h using old o
 where h.program_id = $1 and h.program_id = o.program_id and h.source_id = o.source_id and h.network = o.network
   and h.transaction_hash = o.transaction_hash
"""


async def forget_hints(session: ScopedSession, program_id: UUID, before: datetime, limit: int) -> int:
    """Delete hints that are over since before then; how many. Told again, they are proven again, and change nothing."""
    answer = await (await raw_connection(session)).execute(_FORGET, program_id, before, limit)
    return int(answer.rpartition(" ")[2])


_AGAIN = """
insert into settlement_hints as known
    (program_id, source_id, network, transaction_hash, state, due_at, received_at, updated_at)
select $1, h.source_id, h.network, h.transaction_hash, 'watching', $5, $5, $5
  from unnest($2::uuid[], $3::text[], $4::text[]) as h(source_id, network, transaction_hash)
 order by h.source_id, h.network, h.transaction_hash
on conflict (program_id, source_id, network, transaction_hash) do update
   set state = 'watching', attempts = 0, due_at = excluded.due_at, reason = null, received_at = excluded.received_at,
       updated_at = excluded.updated_at
"""


async def watch_again(session: ScopedSession, program_id: UUID, hints: Sequence[NewHint], now: datetime) -> None:
    """Watch these transactions anew, whatever became of them before."""
    if hints:
        await (await raw_connection(session)).execute(
            _AGAIN,
            program_id,
            [hint.source_id for hint in hints],
            [hint.network for hint in hints],
            [hint.transaction_hash for hint in hints],
            now,
        )
