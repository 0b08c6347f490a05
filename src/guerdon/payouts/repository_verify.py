"""The queries of `verify.py`: rows that break a rule, with a `subject` and what was expected and found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from guerdon.kit.database import PlatformSession


@dataclass(frozen=True, slots=True)
class EndedBatch:
    """A batch that is over, as the database has it."""

    batch_id: UUID
    chain_batch_id: str
    state: str


_CHECKS = {
    "what a treasury has reserved is what unfinished batches and drops are to pay": """
        select t.address as subject, t.reserved::text as reserved, coalesce(s.total, 0)::text as in_batches_and_drops
          from treasuries t
          left join (select treasury_id, sum(amount) as total
                       from (select b.treasury_id, m.amount_atomic as amount
                               from batches b join batch_members m on m.batch_id = b.id
                              where b.state in ('open', 'closed', 'frozen') and not m.settled
                              union all
                             select e.treasury_id, d.added_atomic
                               from drops d join drop_seasons e on e.program_id = d.program_id and e.id = d.season_id
                              where d.state = 'publishing') r group by 1) s on s.treasury_id = t.id
         where t.reserved <> coalesce(s.total, 0)
    """,
    "a treasury has not reserved more than it holds": """
        select t.address as subject, t.reserved::text as reserved, t.balance_final::text as held
          from treasuries t where t.reserved > t.balance_final
    """,
    "the size and sum of a batch are those of its payouts": """
        select b.id as subject, b.size, count(m.delivery_id) as members,
               b.total_atomic::text as total, coalesce(sum(m.amount_atomic), 0)::text as of_members
          from batches b left join batch_members m on m.batch_id = b.id
         where b.state <> 'dissolved'
         group by b.id having b.size <> count(m.delivery_id) or b.total_atomic <> coalesce(sum(m.amount_atomic), 0)
    """,
    "a payout is in one unfinished batch at most": """
        select m.delivery_id as subject, m.program_id, count(*) as batches
          from batch_members m join batches b on b.id = m.batch_id
         where b.state in ('open', 'closed', 'frozen') and not m.settled
         group by m.program_id, m.delivery_id having count(*) > 1
    """,
    "a payout is paid by one batch at most": """
        select m.delivery_id as subject, m.program_id, count(*) as batches
          from batch_members m join batches b on b.id = m.batch_id
         where b.state = 'paid' group by m.program_id, m.delivery_id having count(*) > 1
    """,
}


async def against_themselves(session: PlatformSession, limit: int) -> dict[str, list[dict[str, Any]]]:
    """What breaks a rule between treasuries, batches and their members."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, query in _CHECKS.items():
        rows = await session.execute(text(f"{query} limit :limit"), {"limit": limit})
        found[name] = [dict(row) for row in rows.mappings()]
    return found


async def ended_batches(session: PlatformSession, treasury_id: UUID) -> Sequence[EndedBatch]:
    """Batches of a treasury that were frozen once and are paid or dissolved."""
    rows = await session.execute(
        text(
            """
            select id, chain_batch_id, state from batches
             where treasury_id = :treasury_id and state in ('paid', 'dissolved') and chain_batch_id is not null order by id
            """
        ),
        {"treasury_id": treasury_id},
    )
    return [EndedBatch(row.id, row.chain_batch_id, row.state) for row in rows]


async def frozen_batches(session: PlatformSession, treasury_id: UUID) -> dict[str, int]:
    """What frozen batches are to pay and have not posted yet, in atomic units by their ids on chain."""
    rows = await session.execute(
        text(
            """
            select b.chain_batch_id, sum(m.amount_atomic) as total
              from batches b join batch_members m on m.batch_id = b.id
             where b.treasury_id = :treasury_id and b.state = 'frozen' and not m.settled group by b.chain_batch_id
            """
        ),
        {"treasury_id": treasury_id},
    )
    return {row.chain_batch_id: int(row.total) for row in rows}
