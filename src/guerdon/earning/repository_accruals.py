"""SQL of accruals of settled volume once booked: held, final, looked at, undone. Locks as in `repository_volume.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from guerdon.kit.database import ScopedSession, raw_connection


@dataclass(slots=True)
class Booked:
    """An accrual of a settlement, as it stands; whoever changes one holds its account's balance."""

    id: UUID
    account_id: UUID
    asset_id: UUID
    points: int
    reversed: int
    millionths: int
    volume_micro_usd: int
    settled_at: datetime
    counted: dict[str, Any]
    reasons: list[dict[str, Any]]
    held_for: str | None
    held_until: datetime | None
    final_at: datetime | None

    @property
    def left(self) -> int:
        """Points that were not taken back."""
        return self.points - self.reversed


_COLUMNS = """id, account_id, asset_id, points, reversed, coalesce(millionths, 0) as millionths, volume_micro_usd, settled_at,
    counted, reasons, held_for, held_until, final_at"""
_BY_ID = f"""
select a.* from unnest($2::uuid[]) as w(id) cross join lateral (
    select {_COLUMNS} from accruals where program_id = $1 and id = w.id and counted is not null offset 0) a
 order by a.id
"""
_OF_ACCOUNT = f"""
select {_COLUMNS} from accruals
 where program_id = $1 and account_id = $2 and asset_id = $3 and counted is not null and points > reversed
   and coalesce(held_for, '') not in ('rejected', 'reorganised') and id <> all($4::uuid[])
 order by id desc limit $5
"""
_HELD_TILL = """
select id from accruals where program_id = $1 and held_for = 'holding' and held_until <= $2 order by held_until limit $3
"""
_NEXT = "select min(held_until) from accruals where program_id = $1 and held_for = 'holding'"
_UPDATE = """
update accruals a
   set reversed = ($3::bigint[])[array_position($2::uuid[], a.id)],
       millionths = ($4::numeric[])[array_position($2::uuid[], a.id)],
       counted = (($5::text[])[array_position($2::uuid[], a.id)])::jsonb,
       reasons = (($6::text[])[array_position($2::uuid[], a.id)])::jsonb,
       held_for = ($7::text[])[array_position($2::uuid[], a.id)],
       final_at = ($8::timestamptz[])[array_position($2::uuid[], a.id)],
       held_until = ($9::timestamptz[])[array_position($2::uuid[], a.id)]
 where a.program_id = $1 and a.id = any($2::uuid[])
"""


async def booked(session: ScopedSession, program_id: UUID, ids: Iterable[UUID]) -> list[Booked]:
    """These accruals of settlements, by id."""
    return [_booked(row) for row in await (await raw_connection(session)).fetch(_BY_ID, program_id, sorted(set(ids)))]


async def newest_of(
    session: ScopedSession, program_id: UUID, account_id: UUID, asset_id: UUID, without: Sequence[UUID], limit: int
) -> list[Booked]:
    """Accruals of an account that something is left of, newest first."""
    connection = await raw_connection(session)
    return [_booked(row) for row in await connection.fetch(_OF_ACCOUNT, program_id, account_id, asset_id, list(without), limit)]


async def held_till(session: ScopedSession, program_id: UUID, now: datetime, limit: int) -> list[UUID]:
    """Accruals whose holding time is over."""
    return [row["id"] for row in await (await raw_connection(session)).fetch(_HELD_TILL, program_id, now, limit)]


async def next_held_till(session: ScopedSession, program_id: UUID) -> datetime | None:
    """When the next holding time is over."""
    return await (await raw_connection(session)).fetchval(_NEXT, program_id)


async def update(session: ScopedSession, program_id: UUID, accruals: Sequence[Booked]) -> None:
    """Write these accruals as they stand now."""
    if not accruals:
        return
    await (await raw_connection(session)).execute(
        _UPDATE,
        program_id,
        [one.id for one in accruals],
        [one.reversed for one in accruals],
        [one.millionths for one in accruals],
        [_json(one.counted) for one in accruals],
        [_json(one.reasons) for one in accruals],
        [one.held_for for one in accruals],
        [one.final_at for one in accruals],
        [one.held_until for one in accruals],
    )


def _booked(row: Mapping[str, Any]) -> Booked:
    values: dict[str, Any] = dict(row)
    for name in ("counted", "reasons"):
        values[name] = msgspec.json.decode(values[name]) if isinstance(values[name], str) else values[name]
    values["millionths"] = int(values["millionths"])
    return Booked(**values)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode("utf-8")
