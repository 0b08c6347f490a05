"""All SQL of payout options: in which tokens points can be claimed, and what claims have fixed of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from guerdon.kit.database import PlatformSession, ScopedSession, raw_connection
from guerdon.ledger.models import Asset, PayoutOption
from guerdon.ledger.rates import Rate
from guerdon.txmanager.models import Contract


@dataclass(frozen=True, slots=True)
class Claimed:
    """What claims and drops of one program that are not over hold at one rate: points, and the tokens that they are to become."""

    program_id: UUID
    network: str
    rate: Rate
    points: int
    amount_atomic: int


async def hold(session: ScopedSession, asset_id: UUID) -> None:
    """Until the transaction ends no rate of the asset is changed: what is claimed is claimed at those that are read next.

    A program's transaction can't lock rows of the platform, which it may not change. Taken before any balance.
    """
    await (await raw_connection(session)).execute("SELECT pg_advisory_xact_lock_shared($1)", _lock_of(asset_id))


async def begin_change(session: ScopedSession, asset_id: UUID) -> None:
    """Wait for the claims that hold the asset's rates, and let new ones wait. Taken after its treasuries (SAFETY S15)."""
    await (await raw_connection(session)).execute("SELECT pg_advisory_xact_lock($1)", _lock_of(asset_id))


def _lock_of(asset_id: UUID) -> int:
    return int.from_bytes(hashlib.sha256(b"payout options" + asset_id.bytes).digest()[:8], signed=True)


async def option(session: AsyncSession, asset_id: UUID, network: str) -> PayoutOption | None:
    """How an asset is paid on a network."""
    return await session.get(PayoutOption, (asset_id, network), populate_existing=True)


async def options(session: AsyncSession, asset_id: UUID | None = None) -> Sequence[tuple[PayoutOption, Asset]]:
    """Every way to be paid, of one asset or of all, with its asset; the default of its namespace first."""
    query = (
        select(PayoutOption, Asset)
        .join(Asset, Asset.id == PayoutOption.asset_id)
        .order_by(Asset.symbol, PayoutOption.namespace, PayoutOption.is_default.desc(), PayoutOption.network)
        .execution_options(populate_existing=True)
    )
    rows = await session.execute(query if asset_id is None else query.where(PayoutOption.asset_id == asset_id))
    return [(row[0], row[1]) for row in rows]


async def set_option(session: PlatformSession, values: dict[str, Any]) -> PayoutOption:
    """The option of an asset on a network, as it is now to be."""
    kept = {"asset_id", "network", "created_at"}
    new = insert(PayoutOption).values(**values)
    changed = {name: new.excluded[name] for name in values if name not in kept}
    found = await session.scalars(
        new.on_conflict_do_update(index_elements=[PayoutOption.asset_id, PayoutOption.network], set_=changed)
        .returning(PayoutOption)
        .execution_options(populate_existing=True)
    )
    return found.one()


async def no_default(session: PlatformSession, asset_id: UUID, namespace: str) -> None:
    """Take away which option of a namespace is the default."""
    await session.execute(
        update(PayoutOption)
        .where(PayoutOption.asset_id == asset_id, PayoutOption.namespace == namespace, PayoutOption.is_default)
        .values(is_default=False)
    )


async def claimed(session: PlatformSession, asset_id: UUID) -> list[Claimed]:
    """What all programs' claims, and leaves of drops, that are not over hold of an asset (SAFETY S2: sums alone)."""
    rows = await session.execute(_FIXED, {"asset_id": asset_id})
    return [
        Claimed(
            row.program_id,
            row.network,
            Rate(int(row.atomic_numerator), row.points_denominator),
            int(row.points),
            int(row.amount_atomic),
        )
        for row in rows
    ]


_FIXED = text(
    """
    select *
      from (select * from promised_claims_v1() union all select * from promised_drops_v1()) fixed
     where asset_id = :asset_id
    """
)


async def minter_of(session: AsyncSession, network: str, token_address: str) -> str | None:
    """Where the minter of a token of ours is; None for a token that is not ours."""
    names = await session.scalars(select(Contract.name).where(Contract.network == network, Contract.address.ilike(token_address)))
    for name in names:
        contract, _, symbol = name.partition(":")
        if contract == "RewardToken":
            query = select(Contract.address).where(Contract.network == network, Contract.name == f"RewardMinter:{symbol}")
            return await session.scalar(query)
    return None
