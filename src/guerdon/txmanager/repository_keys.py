"""SQL for networks, keys with their leases and counters, and the deployment row. Intents: `repository.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.kit.database import PlatformSession, ScopedSession
from guerdon.ledger.models import Asset
from guerdon.txmanager.models import FINISHED, Contract, Deployment, Intent, IntentState, Key, Network

CHANNEL = "guerdon_transactions"
"""Notified with a key's id when there may be something to do for it, and with a network's name when it has a new key."""


def _seconds(value: float) -> ColumnElement[Any]:
    return func.make_interval(0, 0, 0, 0, 0, 0, value)


# ---- networks and the deployment ------------------------------------------------------------------------------------


async def network(session: ScopedSession, name: str) -> Network | None:
    """A network by name."""
    return await session.get(Network, name, populate_existing=True)


async def upsert_network(session: PlatformSession, values: dict[str, Any]) -> None:
    """Add a network, or change what an operator may change of it; its chain and genesis stay."""
    statement = insert(Network).values(**values, created_at=func.now())
    changes = {name: value for name, value in values.items() if name not in {"name", "namespace", "chain_id"}}
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Network.name], set_=changes)
        if changes
        else statement.on_conflict_do_nothing()
    )


async def record_genesis(session: PlatformSession, name: str, genesis_hash: str) -> None:
    """Remember the chain's first block, once (SAFETY S21)."""
    await session.execute(
        update(Network).where(Network.name == name, Network.genesis_hash.is_(None)).values(genesis_hash=genesis_hash)
    )


async def database_time(session: ScopedSession) -> datetime:
    """Now, by the clock that leases and ages are counted by."""
    return (await session.execute(select(func.clock_timestamp()))).scalar_one()


async def note_seen(session: PlatformSession, name: str, seen: dict[str, Any]) -> None:
    """What was last seen of a network's chain."""
    await session.execute(update(Network).where(Network.name == name).values(**seen, seen_at=func.clock_timestamp()))


async def deployment(session: ScopedSession) -> Deployment | None:
    """The one row that says whose database this is."""
    return await session.scalar(select(Deployment).execution_options(populate_existing=True))


async def insert_deployment(session: PlatformSession, deployment_id: UUID) -> None:
    """Name the deployment, unless it has a name."""
    await session.execute(insert(Deployment).values(id=deployment_id, created_at=func.now()).on_conflict_do_nothing())


async def remember_fingerprint(session: PlatformSession, fingerprint: str) -> str | None:
    """The fingerprint of the wallets' secret that the deployment has: this one, if it had none."""
    await session.execute(
        update(Deployment).where(Deployment.wallets_fingerprint.is_(None)).values(wallets_fingerprint=fingerprint)
    )
    return await session.scalar(select(Deployment.wallets_fingerprint))


async def our_addresses(session: ScopedSession, network: str) -> set[str]:
    """Lower-case addresses of the contracts and tokens we know on a network."""
    contracts = select(Contract.address).where(Contract.network == network)
    tokens = select(Asset.token_address).where(Asset.network == network, Asset.token_address.is_not(None))
    return {address.lower() for address in await session.scalars(contracts.union(tokens))}


async def notify(session: ScopedSession, payload: str) -> None:
    """Tell the engines, once this transaction commits."""
    await session.execute(select(func.pg_notify(CHANNEL, payload)))


# ---- keys -------------------------------------------------------------------------------------------------------------


async def insert_key(session: PlatformSession, values: dict[str, Any]) -> UUID | None:
    """Add a key; None if the network has one with that address."""
    statement = insert(Key).values(**values, created_at=func.now()).on_conflict_do_nothing().returning(Key.id)
    return await session.scalar(statement)


async def key(session: PlatformSession, key_id: UUID) -> Key | None:
    """A key as it stands."""
    return await session.get(Key, key_id, populate_existing=True)


async def keys_not_under(session: PlatformSession, master_key_id: bytes) -> dict[bytes, int]:
    """How many keys are sealed under other master keys than that one, by the id of these."""
    sealed_under = func.substring(Key.secret_encrypted, 2, len(master_key_id))
    query = select(sealed_under, func.count()).where(sealed_under != master_key_id).group_by(sealed_under)
    return {bytes(key_id): count for key_id, count in await session.execute(query)}


async def store_sealed(session: PlatformSession, key_id: UUID, secret_encrypted: bytes) -> None:
    """The same secret under another master key."""
    await session.execute(update(Key).where(Key.id == key_id).values(secret_encrypted=secret_encrypted))


async def lock_key(session: PlatformSession, key_id: UUID) -> Key | None:
    """A key, locked against the engine's steps until the transaction ends."""
    return await session.get(Key, key_id, populate_existing=True, with_for_update={"key_share": True})


async def keys(session: PlatformSession, network: str | None = None) -> list[Key]:
    """All keys, or those of a network, the oldest first."""
    statement = select(Key).order_by(Key.id)
    return list(await session.scalars(statement if network is None else statement.where(Key.network == network)))


async def pause(session: PlatformSession, key_id: UUID, reason: str, *, resumes_by_itself: bool) -> bool:
    """Stop a key from signing; False if it is paused already: the first reason stands."""
    paused = await session.scalar(
        update(Key)
        .where(Key.id == key_id, Key.paused_at.is_(None) | Key.resumes_by_itself)
        .values(
            paused_at=func.coalesce(Key.paused_at, func.clock_timestamp()),
            pause_reason=reason,
            resumes_by_itself=resumes_by_itself,
        )
        .returning(Key.id)
    )
    return paused is not None


async def resume(session: PlatformSession, key_id: UUID, *, only_by_itself: bool) -> bool:
    """Let a key sign again; `only_by_itself` leaves a pause that an operator has to end."""
    condition = Key.resumes_by_itself if only_by_itself else Key.paused_at.is_not(None)
    resumed = await session.scalar(
        update(Key)
        .where(Key.id == key_id, Key.paused_at.is_not(None), condition)
        .values(paused_at=None, pause_reason=None, resumes_by_itself=False)
        .returning(Key.id)
    )
    return resumed is not None


async def in_flight_by_key(session: ScopedSession, states: Sequence[IntentState]) -> dict[UUID, int]:
    """How many intents in these states each key has, where it has any."""
    rows = await session.execute(
        select(Intent.key_id, func.count()).where(Intent.state.not_in(FINISHED), Intent.state.in_(states)).group_by(Intent.key_id)
    )
    return {row[0]: row[1] for row in rows}


async def advance_counter(session: PlatformSession, key_id: UUID, next_nonce: int) -> None:
    """Move a key's counter forward, never back (SAFETY S20)."""
    await session.execute(update(Key).where(Key.id == key_id).values(next_nonce=func.greatest(Key.next_nonce, next_nonce)))


async def note_native_balance(session: PlatformSession, key_id: UUID, wei: int) -> None:
    """What a key could pay fees with when last seen."""
    await session.execute(
        update(Key).where(Key.id == key_id).values(native_balance_wei=wei, native_balance_at=func.clock_timestamp())
    )


# ---- leases (SAFETY S19) ----------------------------------------------------------------------------------------------


async def acquire_leases(session: PlatformSession, network: str, owner: str, seconds: float) -> list[Key]:
    """Take every key of a network that nobody holds by the database's clock; each taking raises its epoch."""
    # Locked by a statement of its own order, and skipped where another worker is just taking it.
    free = (
        select(Key.id)
        .where(Key.network == network, Key.lease_until.is_(None) | (Key.lease_until < func.clock_timestamp()))
        .with_for_update(skip_locked=True, key_share=True)
    )
    rows = await session.scalars(
        update(Key)
        .where(Key.id.in_(free.scalar_subquery()))
        .values(lease_owner=owner, lease_epoch=Key.lease_epoch + 1, lease_until=func.clock_timestamp() + _seconds(seconds))
        .returning(Key)
        .execution_options(populate_existing=True)
    )
    return list(rows)


async def renew_leases(session: PlatformSession, owner: str, key_ids: Sequence[UUID], seconds: float) -> dict[UUID, int]:
    """Prolong what this owner still holds; the epochs of those keys."""
    rows = await session.execute(
        update(Key)
        .where(Key.id.in_(key_ids), Key.lease_owner == owner, Key.lease_until >= func.clock_timestamp())
        .values(lease_until=func.clock_timestamp() + _seconds(seconds))
        .returning(Key.id, Key.lease_epoch)
    )
    return {row.id: row.lease_epoch for row in rows}


async def release_lease(session: PlatformSession, key_id: UUID, owner: str, epoch: int) -> None:
    """Give a key back; its epoch stays, so that what was done under it is told apart."""
    await session.execute(
        update(Key)
        .where(Key.id == key_id, Key.lease_owner == owner, Key.lease_epoch == epoch)
        .values(lease_owner=None, lease_until=None)
    )


async def hold(session: PlatformSession, key_id: UUID, owner: str, epoch: int) -> Key | None:
    """The key, locked for this transaction, if this owner holds it under this epoch by the database's clock; else None."""
    return await session.scalar(
        select(Key)
        .where(
            Key.id == key_id,
            Key.lease_owner == owner,
            Key.lease_epoch == epoch,
            Key.lease_until >= func.clock_timestamp(),
        )
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


async def networks(session: ScopedSession) -> list[Network]:
    """Every network that is set up."""
    return list(await session.scalars(select(Network).order_by(Network.name)))
