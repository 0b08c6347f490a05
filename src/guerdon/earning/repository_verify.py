"""The queries of `verify.py`: rows of accruals that break a rule."""

from __future__ import annotations

from uuid import UUID

from guerdon.kit.database import ScopedSession
from guerdon.ledger.repository_verify import Rows, broken_rows


async def accruals_and_postings(session: ScopedSession, program_id: UUID, limit: int) -> Rows:
    """Accruals without a reward posting of their points, and reward postings without an accrual."""
    return await broken_rows(
        session,
        """
        with rewards as (select ref, asset_id, account_id, amount from postings
                          where program_id = :program_id and kind in ('reward', 'reward_held'))
        select coalesce(a.id, r.ref) as subject, a.points, r.amount as posted
          from (select * from accruals where program_id = :program_id and points > 0) a
          full join rewards r on r.ref = a.id and r.asset_id = a.asset_id and r.account_id = a.account_id
         where a.points is distinct from r.amount
        """,
        program_id,
        limit,
    )
