"""All SQL of drops: seasons and roots (the platform's), leaves and trees (the program's)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from guerdon.kit.database import PlatformSession, ScopedSession, raw_connection
from guerdon.kit.models import constants
from guerdon.payouts.models_drops import Drop, DropSeason, DropState, LeafFate, SeasonState

LAST_OF_DROPS: Final = (DropState.PUBLISHED, DropState.CANCELLED)
LAST_OF_SEASONS: Final = (SeasonState.CLOSED, SeasonState.CANCELLED)
_MOVING_DROPS: Final = tuple(state for state in DropState if state not in LAST_OF_DROPS)
_MOVING_SEASONS: Final = tuple(state for state in SeasonState if state not in {*LAST_OF_SEASONS, SeasonState.PREPARING})


@dataclass(frozen=True, slots=True)
class Waiting:
    """A leaf whose points are held."""

    drop_id: UUID
    address: str
    asset_id: UUID
    account_id: UUID
    points: int
    amount_atomic: int


# ---- seasons and roots --------------------------------------------------------------------------------------------


async def unfinished_drops(session: AsyncSession) -> Sequence[Drop]:
    """Drops that are not over, oldest first."""
    found = await session.scalars(select(Drop).where(Drop.state.in_(constants(*_MOVING_DROPS))).order_by(Drop.id))
    return found.all()


async def unfinished_seasons(session: AsyncSession) -> Sequence[DropSeason]:
    """Seasons that something of is on a chain and that are not over, oldest first."""
    query = select(DropSeason).where(DropSeason.state.in_(constants(*_MOVING_SEASONS))).order_by(DropSeason.id)
    return (await session.scalars(query)).all()


async def seasons_of_treasury(session: AsyncSession, treasury_id: UUID) -> Sequence[DropSeason]:
    """Seasons of a treasury whose tokens may be anywhere but in it."""
    query = select(DropSeason).where(DropSeason.treasury_id == treasury_id, DropSeason.state.not_in(LAST_OF_SEASONS))
    return (await session.scalars(query)).all()


async def published_seasons(session: AsyncSession) -> Sequence[DropSeason]:
    """Seasons that something of was published, over or not."""
    return (await session.scalars(select(DropSeason).where(DropSeason.published_block.is_not(None)))).all()


async def is_anything_unfinished(session: AsyncSession) -> bool:
    """Is any drop or season not over?"""
    drops = select(Drop.id).where(Drop.state.in_(constants(*_MOVING_DROPS))).limit(1)
    seasons = select(DropSeason.id).where(DropSeason.state.not_in(constants(*LAST_OF_SEASONS))).limit(1)
    return await session.scalar(drops) is not None or await session.scalar(seasons) is not None


async def season(session: AsyncSession, program_id: UUID, season_id: UUID, *, for_update: bool = False) -> DropSeason | None:
    """A season; locked if it is to change."""
    query = select(DropSeason).where(DropSeason.program_id == program_id, DropSeason.id == season_id)
    if for_update:
        query = query.with_for_update(key_share=True)
    return await session.scalar(query.execution_options(populate_existing=True))


async def lock_season(session: PlatformSession, program_id: UUID, season_id: UUID) -> DropSeason:
    """A season that is known to be there, locked. Seasons are locked before their drops."""
    found = await season(session, program_id, season_id, for_update=True)
    if found is None:
        message = f"season {season_id} is gone"
        raise AssertionError(message)
    return found


async def program_of_season(session: PlatformSession, season_id: UUID) -> UUID | None:
    """Whose season it is."""
    return await session.scalar(select(DropSeason.program_id).where(DropSeason.id == season_id))


async def drop(session: AsyncSession, program_id: UUID, drop_id: UUID, *, for_update: bool = False) -> Drop | None:
    """A drop; locked if it is to change."""
    query = select(Drop).where(Drop.program_id == program_id, Drop.id == drop_id)
    if for_update:
        query = query.with_for_update(key_share=True)
    return await session.scalar(query.execution_options(populate_existing=True))


async def lock_drop(session: PlatformSession, program_id: UUID, drop_id: UUID, *states: DropState) -> Drop | None:
    """A drop, locked, if it is in one of these states."""
    found = await drop(session, program_id, drop_id, for_update=True)
    return found if found is not None and found.state in states else None


async def drops_after(
    session: AsyncSession, program_id: UUID, after: UUID | None, limit: int
) -> Sequence[tuple[Drop, DropSeason]]:
    """Drops of a program with their seasons, newest first."""
    query = (
        select(Drop, DropSeason)
        .join(DropSeason, (DropSeason.program_id == Drop.program_id) & (DropSeason.id == Drop.season_id))
        .where(Drop.program_id == program_id)
        .order_by(Drop.id.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(Drop.id < after)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def drops_of(session: AsyncSession, program_id: UUID, season_id: UUID) -> Sequence[Drop]:
    """The drops of a season that are not given up, in the order of their numbers."""
    query = (
        select(Drop)
        .where(Drop.program_id == program_id, Drop.season_id == season_id)
        .where(Drop.state.not_in([DropState.CANCELLING, DropState.CANCELLED]))
        .order_by(Drop.number)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


_ROOT_ON_CHAIN = """
select d.id from drops d left join intents i on i.id = d.intent_id
 where d.program_id = :program_id and d.season_id = :season_id
   and (d.state = 'published' or (d.state = 'publishing' and i.state in ('included', 'final') and i.succeeded))
 order by d.number desc limit 1
"""


async def shown_drop(session: ScopedSession, program_id: UUID, season_id: UUID) -> UUID | None:
    """The root that the chain has of a season now: final, or in a block (SAFETY S24)."""
    return await session.scalar(text(_ROOT_ON_CHAIN), {"program_id": program_id, "season_id": season_id})


# ---- the tree -----------------------------------------------------------------------------------------------------


async def leaf_amounts(session: ScopedSession, drop: Drop) -> list[tuple[str, int]]:
    """Every leaf of a drop: its address and the amount in all."""
    rows = await (await raw_connection(session)).fetch(
        "select address, cumulative_atomic from drop_leaves where program_id = $1 and drop_id = $2 and fate <> 'returned'",
        drop.program_id,
        drop.id,
    )
    return [(row["address"], int(row["cumulative_atomic"])) for row in rows]


@dataclass(frozen=True, slots=True)
class Sums:
    """A drop's leaves in numbers."""

    leaves: int
    points: int
    total_atomic: int
    added_atomic: int


async def sums(session: ScopedSession, drop: Drop) -> Sums:
    """How many leaves a drop has, and what they add up to."""
    row = (
        await session.execute(
            text(
                "select count(*) as leaves, coalesce(sum(points), 0) as points, coalesce(sum(cumulative_atomic), 0) as total,"
                " coalesce(sum(amount_atomic), 0) as added from drop_leaves where program_id = :program_id and drop_id = :drop_id"
                " and fate <> 'returned'"
            ),
            {"program_id": drop.program_id, "drop_id": drop.id},
        )
    ).one()
    return Sums(int(row.leaves), int(row.points), int(row.total), int(row.added))


async def store_tree(session: ScopedSession, drop: Drop, nodes: bytes, places: Iterable[tuple[str, int]]) -> None:
    """The tree of a drop, and where each of its leaves stands in it."""
    raw = await raw_connection(session)
    await raw.execute(
        "insert into drop_trees (program_id, drop_id, nodes) values ($1, $2, $3)"
        " on conflict (program_id, drop_id) do update set nodes = excluded.nodes",
        drop.program_id,
        drop.id,
        nodes,
    )
    addresses, numbers = zip(*places, strict=True)
    await raw.execute(
        "update drop_leaves l set place = w.place from unnest($3::text[], $4::bigint[]) as w(address, place)"
        " where l.program_id = $1 and l.drop_id = $2 and l.address = w.address",
        drop.program_id,
        drop.id,
        list(addresses),
        list(numbers),
    )


async def tree_nodes(session: ScopedSession, program_id: UUID, drop_id: UUID, places: Sequence[int]) -> list[bytes]:
    """Single hashes of a drop's tree; the rest of it is not read."""
    rows = await (await raw_connection(session)).fetch(
        "select substring(t.nodes from w.place * 32 + 1 for 32) as node"
        " from unnest($3::int[]) with ordinality as w(place, nth) join drop_trees t on t.program_id = $1 and t.drop_id = $2"
        " order by w.nth",
        program_id,
        drop_id,
        list(places),
    )
    return [row["node"] for row in rows]


# ---- claims and returns -------------------------------------------------------------------------------------------

_CLAIMED_LEAVES = """
select l.drop_id, l.address, l.asset_id, l.account_id, l.points, l.amount_atomic, l.fate = 'waiting' as waiting
  from drop_leaves l
 where l.program_id = :program_id and l.season_id = :season_id and l.address = :address
   and l.fate in ('waiting', 'claimed') and l.cumulative_atomic > :above and l.cumulative_atomic <= :up_to
 order by l.cumulative_atomic for update
"""


async def lock_claimed(
    session: ScopedSession, program_id: UUID, season_id: UUID, address: str, above: int, up_to: int
) -> tuple[list[Waiting], int]:
    """What one claim pays for: the leaves between what was claimed before and after it. Those that are not delivered yet, and
    the atomic units of all.
    """
    told = {"program_id": program_id, "season_id": season_id, "address": address, "above": above, "up_to": up_to}
    rows = (await session.execute(text(_CLAIMED_LEAVES), told)).all()
    return [Waiting(*row[:6]) for row in rows if row.waiting], sum(int(row.amount_atomic) for row in rows)


async def mark_leaves(
    session: ScopedSession,
    program_id: UUID,
    leaves: Sequence[Waiting],
    fate: LeafFate,
    transaction_hash: str | None = None,
) -> None:
    """The points of these leaves are delivered, or given back."""
    raw = await raw_connection(session)
    await raw.execute(
        "update drop_leaves l set fate = $2, transaction_hash = $3, updated_at = now()"
        " from unnest($4::uuid[], $5::text[]) as w(drop_id, address)"
        " where l.program_id = $1 and l.drop_id = w.drop_id and l.address = w.address and l.fate = 'waiting'",
        program_id,
        fate.value,
        transaction_hash,
        [leaf.drop_id for leaf in leaves],
        [leaf.address for leaf in leaves],
    )


async def lock_waiting(
    session: ScopedSession, program_id: UUID, season_id: UUID, drop_id: UUID | None, limit: int
) -> list[Waiting]:
    """Leaves whose points are held and that nobody claimed, of one drop or of the whole season."""
    query = text(
        "select drop_id, address, asset_id, account_id, points, amount_atomic from drop_leaves"
        " where program_id = :program_id and season_id = :season_id and fate = 'waiting'"
        " and (cast(:drop_id as uuid) is null or drop_id = :drop_id) order by drop_id, address limit :limit for update"
    )
    told = {"program_id": program_id, "season_id": season_id, "drop_id": drop_id, "limit": limit}
    return [Waiting(*row) for row in await session.execute(query, told)]


async def leaf(session: ScopedSession, program_id: UUID, drop_id: UUID, address: str) -> Any | None:
    """One leaf of a drop."""
    query = text(
        "select address, account_id, cumulative_atomic, place from drop_leaves"
        " where program_id = :program_id and drop_id = :drop_id and address = :address"
    )
    told = {"program_id": program_id, "drop_id": drop_id, "address": address}
    return (await session.execute(query, told)).one_or_none()


async def claimed_at(session: ScopedSession, program_id: UUID, season_id: UUID, address: str) -> int:
    """What an address claimed of a season in all, as far as that is final."""
    query = text(
        "select coalesce(max(cumulative_atomic), 0) from drop_leaves"
        " where program_id = :program_id and season_id = :season_id and address = :address and fate = 'claimed'"
    )
    found = await session.scalar(query, {"program_id": program_id, "season_id": season_id, "address": address})
    return int(found or 0)


async def leaves_of_account(
    session: ScopedSession, program_id: UUID, account_id: UUID, after: UUID | None, limit: int
) -> Sequence[Any]:
    """What an account has in drops, newest drops first."""
    query = text(
        "select l.drop_id, l.season_id, l.address, l.points, l.amount_atomic, l.cumulative_atomic, l.fate, l.transaction_hash,"
        " d.number, d.state as drop_state, s.state as season_state, s.network, s.token_address, d.opens_at, d.closes_at"
        " from drop_leaves l join drops d on d.program_id = l.program_id and d.id = l.drop_id"
        " join drop_seasons s on s.program_id = l.program_id and s.id = l.season_id"
        " where l.program_id = :program_id and l.account_id = :account_id and l.points > 0"
        " and (cast(:after as uuid) is null or l.drop_id < :after) order by l.drop_id desc limit :limit"
    )
    told = {"program_id": program_id, "account_id": account_id, "after": after, "limit": limit}
    return (await session.execute(query, told)).all()
