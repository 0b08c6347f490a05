"""Payments that nobody was credited for: made before their address was proven, or while the program had no funds.

Addresses that were proven lately are gone through again and again for a while: a payment may have been kept by a transaction that
did not see the proof. Repeated, it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from guerdon.accounts.models import Address
from guerdon.activity.settlements import crediting, repository_hints, repository_settlements, repository_sources
from guerdon.activity.settlements.assets import listed
from guerdon.activity.settlements.crediting import Surroundings
from guerdon.activity.settlements.deps import SettlementDeps
from guerdon.activity.settlements.proving import credited
from guerdon.activity.settlements.repository_settlements import Row
from guerdon.activity.settlements.sources import known_networks
from guerdon.earning.repository_volume import terms_of
from guerdon.earning.volume_terms import VolumeTerms
from guerdon.kit.database import ProgramSession, transaction_time

OVERLAP: Final = timedelta(minutes=15)
"""Longer than any transaction."""
ROWS_A_TRANSACTION: Final = 200
ADDRESSES_A_PAGE: Final = 100
ROUNDS_A_TURN: Final = 50
HINTS_KEPT: Final = timedelta(days=30)
_FIRST: Final = UUID(int=0)
_EVERY: Final = timedelta(minutes=5)
"""More often than addresses that were proven are forgotten again."""
_FOR_FUNDS: Final = timedelta(minutes=1)
_FORGOTTEN_A_TURN: Final = 10_000


async def credit_proofs(deps: SettlementDeps, program_id: UUID) -> timedelta:
    """A program's turn: new proofs, then what waits, then what is long over is forgotten. When to come again."""
    async with deps.database.program(program_id) as session:
        now = await transaction_time(session)
        since = await repository_settlements.proofs_until(session, program_id, now) - OVERLAP
        terms = await terms_of(session, program_id)
    if terms is None:
        return _EVERY
    after: UUID | None = None
    while True:
        async with deps.database.program(program_id) as session:
            addresses = await repository_settlements.addresses_proven(session, program_id, since, after, ADDRESSES_A_PAGE)
        for address in addresses:
            await _credit_address(deps, program_id, address, terms)
        if len(addresses) < ADDRESSES_A_PAGE:
            break
        after = addresses[-1].id
    async with deps.database.program(program_id) as session:
        await repository_settlements.set_proofs_until(session, program_id, now)
        await repository_hints.forget_hints(session, program_id, now - HINTS_KEPT, _FORGOTTEN_A_TURN)
    return await _credit_waiting(deps, program_id)


async def _credit_address(deps: SettlementDeps, program_id: UUID, address: Address, terms: VolumeTerms) -> None:
    if address.verified_at is None:
        return
    since = address.verified_at - timedelta(days=terms.backdate_days)
    after = (since, _FIRST)
    while True:
        async with deps.database.program(program_id) as session:
            rows = await repository_settlements.uncredited(
                session, program_id, terms.credit.value, address.address, since, after, ROWS_A_TRANSACTION
            )
        if rows:
            await _credit(deps, program_id, rows)
            after = (rows[-1].settled_at, rows[-1].id)
        if len(rows) < ROWS_A_TRANSACTION:
            return


async def _credit_waiting(deps: SettlementDeps, program_id: UUID) -> timedelta:
    for _ in range(ROUNDS_A_TURN):
        async with deps.database.program(program_id) as session:
            rows = await repository_settlements.waiting(session, program_id, ROWS_A_TRANSACTION)
        if not rows:
            return _EVERY
        if not await _credit(deps, program_id, rows):
            # There are no funds yet.
            return _FOR_FUNDS
        if len(rows) < ROWS_A_TRANSACTION:
            return _EVERY
    return timedelta(0)


async def _credit(deps: SettlementDeps, program_id: UUID, rows: Sequence[Row]) -> int:
    counted: list[int] = []

    async def work(session: ProgramSession) -> None:
        counted.clear()
        locked = await repository_settlements.lock_uncredited(session, program_id, [row.id for row in rows])
        counted.append(await crediting.credit_rows(session, program_id, locked, await _around(session, program_id)))

    await credited(deps, program_id, work)
    return counted[0]


async def _around(session: ProgramSession, program_id: UUID) -> Surroundings:
    now: datetime = await transaction_time(session)
    return Surroundings(
        await known_networks(session),
        await repository_sources.sources(session, program_id),
        listed(await repository_sources.settlement_assets(session)),
        now,
    )
