"""SQL of sources, their secrets, and the assets whose payments count."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.activity.settlements.models import SettlementAsset, Source, SourceSecret
from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.txmanager.models import Network


async def networks(session: ScopedSession) -> Sequence[Network]:
    """All that are set up."""
    return (await session.scalars(select(Network).order_by(Network.name))).all()


async def insert_source(session: ScopedSession, values: Mapping[str, Any]) -> Source | None:
    """The new source; None if its name is taken."""
    statement = insert(Source).values(dict(values)).on_conflict_do_nothing().returning(Source)
    return await session.scalar(statement)


async def source_anywhere(session: PlatformSession, source_id: UUID) -> Source | None:
    """A source of whatever program: who reports names nothing else."""
    return await session.scalar(select(Source).where(Source.program_id.is_not(None), Source.id == source_id))


async def source(session: ScopedSession, program_id: UUID, source_id: UUID, *, lock: bool = False) -> Source | None:
    """One source of the program."""
    query = select(Source).where(Source.program_id == program_id, Source.id == source_id)
    return await session.scalar((query.with_for_update() if lock else query).execution_options(populate_existing=True))


async def source_named(session: ScopedSession, program_id: UUID, name: str) -> Source | None:
    """The program's source of that name."""
    return await session.scalar(select(Source).where(Source.program_id == program_id, Source.name == name))


async def sources(session: ScopedSession, program_id: UUID) -> dict[UUID, Source]:
    """All sources of a program."""
    rows = await session.scalars(select(Source).where(Source.program_id == program_id).order_by(Source.id))
    return {row.id: row for row in rows}


async def sources_after(session: ScopedSession, program_id: UUID, after: UUID | None, limit: int) -> Sequence[Source]:
    """A page of the program's sources, in the order in which they were made."""
    query = select(Source).where(Source.program_id == program_id)
    if after is not None:
        query = query.where(Source.id > after)
    return (await session.scalars(query.order_by(Source.id).limit(limit))).all()


async def programs_with_readers(session: PlatformSession) -> Sequence[UUID]:
    """Programs that have a source that is read."""
    query = (
        select(Source.program_id)
        .where(Source.program_id.is_not(None), Source.enabled, or_(Source.reads_chain, Source.location_encrypted.is_not(None)))
        .distinct()
    )
    return (await session.scalars(query)).all()


async def work_waiting(session: PlatformSession) -> list[tuple[str, UUID]]:
    """Kinds of work with the programs that have some, over all programs (SAFETY S2)."""
    rows = await session.execute(text("select kind, program_id from settlement_work_v1()"))
    return [(str(kind), UUID(str(program_id))) for kind, program_id in rows]


async def set_source(session: ScopedSession, program_id: UUID, source_id: UUID, values: Mapping[str, Any]) -> None:
    """Change columns of a source."""
    await session.execute(update(Source).where(Source.program_id == program_id, Source.id == source_id).values(dict(values)))


async def insert_secret(session: ScopedSession, values: Mapping[str, Any]) -> SourceSecret:
    """The new secret."""
    secret = SourceSecret(**values)
    session.add(secret)
    await session.flush()
    return secret


async def valid_secrets(session: ScopedSession, program_id: UUID, source_id: UUID, now: datetime) -> Sequence[SourceSecret]:
    """What the source's reports may be signed with now, newest first."""
    query = (
        select(SourceSecret)
        .where(
            SourceSecret.program_id == program_id,
            SourceSecret.source_id == source_id,
            or_(SourceSecret.expires_at.is_(None), SourceSecret.expires_at > now),
        )
        .order_by(SourceSecret.id.desc())
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


async def secrets_of(
    session: ScopedSession, program_id: UUID, source_ids: Collection[UUID], now: datetime
) -> dict[UUID, list[SourceSecret]]:
    """The valid secrets of several sources, newest first."""
    query = (
        select(SourceSecret)
        .where(
            SourceSecret.program_id == program_id,
            SourceSecret.source_id.in_(source_ids),
            or_(SourceSecret.expires_at.is_(None), SourceSecret.expires_at > now),
        )
        .order_by(SourceSecret.id.desc())
    )
    found: dict[UUID, list[SourceSecret]] = {}
    for secret in await session.scalars(query):
        found.setdefault(secret.source_id, []).append(secret)
    return found


async def expire_secrets(session: ScopedSession, program_id: UUID, secret_ids: Sequence[UUID], expires_at: datetime) -> None:
    """Let these secrets end at `expires_at`, or earlier where they end earlier already."""
    await session.execute(
        update(SourceSecret)
        .where(
            SourceSecret.program_id == program_id,
            SourceSecret.id.in_(secret_ids),
            or_(SourceSecret.expires_at.is_(None), SourceSecret.expires_at > expires_at),
        )
        .values(expires_at=expires_at)
    )


async def all_secrets(session: ScopedSession, program_id: UUID) -> Sequence[SourceSecret]:
    """Every secret that the program's sources ever had, locked."""
    query = select(SourceSecret).where(SourceSecret.program_id == program_id).order_by(SourceSecret.id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def all_locations(session: ScopedSession, program_id: UUID) -> Sequence[Source]:
    """Every source with a sealed location, locked."""
    query = (
        select(Source)
        .where(Source.program_id == program_id, Source.location_encrypted.is_not(None))
        .order_by(Source.id)
        .with_for_update()
    )
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def sealed_not_under(session: ScopedSession, program_id: UUID, master_key_id: bytes) -> dict[bytes, int]:
    """How many secrets and locations are sealed under other master keys than that one, by the id of these."""
    found: dict[bytes, int] = {}
    for column, model in ((SourceSecret.secret_encrypted, SourceSecret), (Source.location_encrypted, Source)):
        sealed_under = func.substring(column, 2, len(master_key_id))
        query = select(sealed_under, func.count()).where(
            model.program_id == program_id, column.is_not(None), sealed_under != master_key_id
        )
        for key_id, count in await session.execute(query.group_by(sealed_under)):
            found[bytes(key_id)] = found.get(bytes(key_id), 0) + count
    return found


async def settlement_assets(session: ScopedSession, *, enabled_only: bool = False) -> Sequence[SettlementAsset]:
    """The assets that count, by network and address."""
    query = select(SettlementAsset).order_by(SettlementAsset.network, SettlementAsset.address)
    return (await session.scalars(query.where(SettlementAsset.enabled) if enabled_only else query)).all()


async def upsert_asset(session: PlatformSession, values: Mapping[str, Any]) -> SettlementAsset:
    """Add an asset, or change one that is there."""
    new = insert(SettlementAsset).values(dict(values))
    changed = {name: new.excluded[name] for name in values if name not in {"network", "address", "created_at"}}
    statement = new.on_conflict_do_update(index_elements=["network", "address"], set_=changed).returning(SettlementAsset)
    found = await session.scalars(statement, execution_options={"populate_existing": True})
    return found.one()


async def disable_asset(session: PlatformSession, network: str, address: str, now: datetime) -> bool:
    """Was it there?"""
    changed = await session.scalar(
        update(SettlementAsset)
        .where(SettlementAsset.network == network, SettlementAsset.address == address)
        .values(enabled=False, updated_at=now)
        .returning(SettlementAsset.address)
    )
    return changed is not None


async def touch(session: ScopedSession, program_id: UUID, source_id: UUID, now: datetime) -> None:
    """Remember that the source reported; once a minute, so that a stream of reports does not wait for one row."""
    await session.execute(
        update(Source)
        .where(
            Source.program_id == program_id,
            Source.id == source_id,
            or_(Source.last_report_at.is_(None), Source.last_report_at < now - timedelta(minutes=1)),
        )
        .values(last_report_at=now)
    )


async def set_cursor(
    session: ScopedSession, program_id: UUID, source_id: UUID, path: Sequence[str], cursor: Mapping[str, Any], now: datetime
) -> None:
    """How far one of a source's readers has come."""
    found = await source(session, program_id, source_id, lock=True)
    if found is None:
        return
    changed: dict[str, Any] = dict(found.cursor)
    if len(path) == 1:
        changed[path[0]] = dict(cursor)
    else:
        changed[path[0]] = {**changed.get(path[0], {}), path[1]: dict(cursor)}
    found.cursor = changed
    found.read_at = now
    await session.flush()
