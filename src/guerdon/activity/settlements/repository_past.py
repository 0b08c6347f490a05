"""SQL of what was settled, by the time of its blocks."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from guerdon.earning.volume_terms import Settled
from guerdon.kit.database import ScopedSession, raw_connection

# Rejected in review, a payment keeps its account off; reorganised, its state says so.
_CREDITED = """
select s.id, s.account_id, n.namespace || ':' || s.payer as payer, s.volume_micro_usd, s.settled_at, s.source_id, f.facilitator_id
  from (select id, account_id, network, payer, volume_micro_usd, settled_at, source_id from settlements
         where program_id = $1 and account_id is not null and state <> 'reorganised' and why_not is null
           and (settled_at, id) > ($2, $3) and settled_at < $4
         order by settled_at, id limit $5) s
 cross join lateral (select namespace from networks where name = s.network offset 0) n
  left join lateral (select facilitator_id from sources where program_id = $1 and id = s.source_id offset 0) f on true
 order by s.settled_at, s.id
"""


async def credited_after(
    session: ScopedSession, program_id: UUID, after: tuple[datetime, UUID], until: datetime, limit: int
) -> list[Settled]:
    """Payments that were credited and stand, after that place, before `until`."""
    rows = await (await raw_connection(session)).fetch(_CREDITED, program_id, *after, until, limit)
    return [Settled(**row, is_final=True) for row in rows]
