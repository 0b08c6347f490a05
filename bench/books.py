"""Whether what was answered is in the books: counted there by plain SQL, past everything that the product does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from bench.report import BenchError
from guerdon.kit.driver import RawConnection

_COUNTED = """
select (select count(*) from events where program_id = any($1) and id > $2) as events,
    (select count(*) from accruals where program_id = any($1) and id > $2) as accruals,
    (select coalesce(sum(points), 0)::bigint from accruals where program_id = any($1) and id > $2) as points,
    (select count(*) from postings where program_id = any($1) and kind = 'reward_held' and ref > $2) as postings,
    (select coalesce(sum(amount), 0)::bigint from postings
        where program_id = any($1) and kind = 'reward_held' and ref > $2) as posted
"""
_MISSING = """
select count(*) from answered a
where not exists (select from events e where e.program_id = any($1) and e.id > $2 and e.id = a.id)
   or not exists (select from accruals r where r.program_id = any($1) and r.id > $2 and r.id = a.id and r.points = a.points)
   or not exists (select from postings p where p.program_id = any($1) and p.ref > $2 and p.ref = a.id
                  and p.kind = 'reward_held' and p.amount = a.points)
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What clients were told."""

    accepted: int
    points: int
    unanswered: int
    """Events that may be booked or not: nobody said."""
    decided: list[tuple[UUID, int]]
    """The id of each accepted event, and its points."""


async def require_booked(superuser: RawConnection, programs: Sequence[UUID], since: UUID, told: Answers) -> None:
    """Raise `BenchError` unless every answered event is there with its accrual and posting, of the same points, and nothing else.

    `since` is an id made before the first was sent.
    """
    row = await superuser.fetchrow(_COUNTED, list(programs), since)
    if row is None:
        raise BenchError("the books did not answer")
    booked = dict(row)
    if not told.accepted <= booked["events"] <= told.accepted + told.unanswered:
        raise BenchError(f"{told.accepted} events were answered, and the books have {booked}")
    if not booked["events"] == booked["accruals"] == booked["postings"] or booked["points"] != booked["posted"]:
        raise BenchError(f"events, accruals and postings differ: {booked}")
    if not told.unanswered and booked["points"] != told.points:
        raise BenchError(f"{told.points} points were answered, and the books have {booked}")
    await superuser.execute("create temp table answered (id uuid, points bigint)")
    try:
        await superuser.execute(
            "insert into answered select * from unnest($1::uuid[], $2::bigint[])",
            [event_id for event_id, _ in told.decided],
            [points for _, points in told.decided],
        )
        await superuser.execute("analyze answered")
        missing = await superuser.fetchval(_MISSING, list(programs), since)
    finally:
        await superuser.execute("drop table answered")
    if missing or len({event_id for event_id, _ in told.decided}) != told.accepted:
        raise BenchError(f"{missing} of {len(told.decided)} answered events are not in the books as they were answered")
