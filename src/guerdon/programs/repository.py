"""All SQL of programs, their domains and security keys. Admin keys are in `repository_admin_keys.py`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.kit.database import ScopedSession
from guerdon.ledger.models import Asset
from guerdon.programs.models import Program, ProgramDomain, ProgramKey

CONFIG_CHANNEL = "guerdon_config"
"""Told the id of each program whose configuration changed, when the change commits."""


async def insert_program(session: ScopedSession, values: Mapping[str, Any]) -> Program | None:
    """The new program, or None if its brand id is taken."""
    return await session.scalar(
        insert(Program).values(**values).on_conflict_do_nothing(index_elements=[Program.brand_id]).returning(Program)
    )


async def program_by_id(session: ScopedSession, program_id: UUID) -> Program | None:
    """The program of that id."""
    return await session.get(Program, program_id, populate_existing=True)


async def program_by_brand_id(session: ScopedSession, brand_id: str) -> Program | None:
    """The program of that brand id, which is in lower case."""
    return await session.scalar(select(Program).where(Program.brand_id == brand_id))


async def programs_after(session: ScopedSession, after: UUID | None, limit: int) -> Sequence[Program]:
    """Programs in the order in which they were made."""
    query = select(Program).order_by(Program.id).limit(limit)
    return (await session.scalars(query if after is None else query.where(Program.id > after))).all()


async def update_program(session: ScopedSession, program_id: UUID, values: Mapping[str, Any]) -> Program | None:
    """The program with these columns changed."""
    return await session.scalar(
        update(Program)
        .where(Program.id == program_id)
        .values(**values)
        .returning(Program)
        .execution_options(populate_existing=True)
    )


async def raise_config_version(session: ScopedSession, program_id: UUID) -> int | None:
    """The new version. Locks the program's row: changes of one program's configuration come one after the other."""
    return await session.scalar(
        update(Program)
        .where(Program.id == program_id)
        .values(config_version=Program.config_version + 1)
        .returning(Program.config_version)
    )


async def notify_config(session: ScopedSession, program_id: UUID) -> None:
    """Tell whoever caches configuration; sent by the database when the transaction commits, and only then."""
    await session.execute(select(func.pg_notify(CONFIG_CHANNEL, str(program_id))))


async def domains_of(session: ScopedSession, program_id: UUID) -> Sequence[ProgramDomain]:
    """The program's domains, by name."""
    query = select(ProgramDomain).where(ProgramDomain.program_id == program_id).order_by(ProgramDomain.domain)
    return (await session.scalars(query)).all()


async def domains_by_program(session: ScopedSession, program_ids: Collection[UUID]) -> dict[UUID, list[str]]:
    """The domains of each of these programs, by name."""
    query = (
        select(ProgramDomain.program_id, ProgramDomain.domain)
        .where(ProgramDomain.program_id.in_(program_ids))
        .order_by(ProgramDomain.domain)
    )
    found: dict[UUID, list[str]] = {}
    for program_id, domain in await session.execute(query):
        found.setdefault(program_id, []).append(domain)
    return found


async def asset_symbols(session: ScopedSession, asset_ids: Collection[UUID]) -> dict[UUID, str]:
    """The symbol of each of these assets."""
    return dict(iter(await session.execute(select(Asset.id, Asset.symbol).where(Asset.id.in_(asset_ids)))))


async def domains_after(session: ScopedSession, program_id: UUID, after: str | None, limit: int) -> Sequence[ProgramDomain]:
    """A page of the program's domains, by name."""
    query = select(ProgramDomain).where(ProgramDomain.program_id == program_id)
    if after is not None:
        query = query.where(ProgramDomain.domain > after)
    return (await session.scalars(query.order_by(ProgramDomain.domain).limit(limit))).all()


async def insert_domain(session: ScopedSession, program_id: UUID, domain: str, now: datetime) -> bool:
    """Was it new?"""
    inserted = await session.scalar(
        insert(ProgramDomain)
        .values(program_id=program_id, domain=domain, created_at=now)
        .on_conflict_do_nothing()
        .returning(ProgramDomain.domain)
    )
    return inserted is not None


async def delete_domain(session: ScopedSession, program_id: UUID, domain: str) -> bool:
    """Was it there?"""
    deleted = await session.scalar(
        delete(ProgramDomain)
        .where(ProgramDomain.program_id == program_id, ProgramDomain.domain == domain)
        .returning(ProgramDomain.domain)
    )
    return deleted is not None


async def insert_key(session: ScopedSession, values: Mapping[str, Any]) -> ProgramKey:
    """The new security key."""
    key = ProgramKey(**values)
    session.add(key)
    await session.flush()
    return key


async def valid_keys(session: ScopedSession, program_id: UUID, now: datetime) -> Sequence[ProgramKey]:
    """The security keys that sign now, newest first."""
    query = (
        select(ProgramKey)
        .where(ProgramKey.program_id == program_id, or_(ProgramKey.expires_at.is_(None), ProgramKey.expires_at > now))
        .order_by(ProgramKey.id.desc())
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


async def keys_after(session: ScopedSession, program_id: UUID, after: UUID | None, limit: int) -> Sequence[ProgramKey]:
    """A page of all keys the program ever had, in the order in which they were made."""
    query = select(ProgramKey).where(ProgramKey.program_id == program_id)
    if after is not None:
        query = query.where(ProgramKey.id > after)
    return (await session.scalars(query.order_by(ProgramKey.id).limit(limit))).all()


async def keys_not_under(session: ScopedSession, program_id: UUID, master_key_id: bytes) -> dict[bytes, int]:
    """How many of the program's security keys are sealed under other master keys than that one, by the id of these."""
    sealed_under = func.substring(ProgramKey.secret_encrypted, 2, len(master_key_id))
    query = select(sealed_under, func.count()).where(ProgramKey.program_id == program_id, sealed_under != master_key_id)
    return {bytes(key_id): count for key_id, count in await session.execute(query.group_by(sealed_under))}


async def all_keys(session: ScopedSession, program_id: UUID) -> Sequence[ProgramKey]:
    """Every security key that the program ever had, locked."""
    query = select(ProgramKey).where(ProgramKey.program_id == program_id).order_by(ProgramKey.id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def expire_keys(session: ScopedSession, program_id: UUID, key_ids: Sequence[UUID], expires_at: datetime) -> None:
    """Let these keys end at `expires_at`, or earlier where they end earlier already."""
    await session.execute(
        update(ProgramKey)
        .where(
            ProgramKey.program_id == program_id,
            ProgramKey.id.in_(key_ids),
            or_(ProgramKey.expires_at.is_(None), ProgramKey.expires_at > expires_at),
        )
        .values(expires_at=expires_at)
    )


async def brand_ids(session: ScopedSession, program_ids: Collection[UUID]) -> dict[UUID, str]:
    """The brand id of each of these programs."""
    query = select(Program.id, Program.brand_id).where(Program.id.in_(program_ids))
    return dict(iter(await session.execute(query)))


async def gas_budget(session: ScopedSession, program_id: UUID) -> int | None:
    """Wei a day that a program's payouts may cost; None: no limit."""
    return await session.scalar(select(Program.gas_budget_wei).where(Program.id == program_id))
