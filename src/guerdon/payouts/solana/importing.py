"""Payments on a Solana that this database did not know, as after the restoration of an old backup (SAFETY S21).

A payment of ours made a marker, whose seed is the id of its batch. Where the books have its intent, that is adopted by txmanager;
else what it paid is looked for by recipient and amount, and delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.markers import Marker, marker_made_by
from guerdon.chains.solana.transfers import ChainTransaction, token_transfers
from guerdon.kit.database import PlatformSession, run_in_platform, transaction_time
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset, DeliveryState
from guerdon.payouts import repository_batches, repository_import, splitting
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.importing_delivery import ImportedPayment
from guerdon.payouts.models import Batch, BatchState
from guerdon.payouts.solana.rail import SolanaRail
from guerdon.txmanager import repository_imported, service_keys, treasuries
from guerdon.txmanager.importing import require_paused
from guerdon.txmanager.models import Intent, Key, Treasury
from guerdon.txmanager.solana import importing
from guerdon.txmanager.solana.importing import Told

_Purse = tuple[Treasury, Asset]


async def import_key(deps: PayoutDeps, client: SolanaClient, key_id: UUID) -> list[Told]:
    """Account for everything that a paused key sent and this database does not know. May be called again at any time.

    Raises `KeyNotFoundError`, `KeyNotPausedError`, `ChainUnavailableError`.
    """
    told = {one.signature: one for one in await importing.import_key(deps.database, client, key_id)}
    async with deps.database.platform() as session:
        key = await service_keys.key(session, key_id)
        purses = await repository_import.treasuries_of(session, key_id)
        unmatched = await repository_imported.unmatched(session, key_id)
    landed = await client.transactions([str(one.transaction_hash) for one in unmatched])
    for intent in unmatched:
        signature = str(intent.transaction_hash)
        if signature in landed:
            found = await _account_for(deps, client, key, purses, intent, landed[signature])
            told[signature] = found or told[signature]
    for treasury, _ in purses:
        finality = await SolanaRail(client, deps.database, treasury).finality()
        async with deps.database.platform() as session:
            await treasuries.refresh(session, treasury.id, finality)
    return list(told.values())


async def _account_for(
    deps: PayoutDeps, client: SolanaClient, key: Key, purses: Sequence[_Purse], intent: Intent, landed: ChainTransaction
) -> Told | None:
    """Deliver what a recorded transaction paid, as far as it is found; None if it is no payment of a treasury."""
    marker = marker_made_by(landed, key.address)
    paid_from = next(((purse, paid) for purse in purses if (paid := _paid(landed, purse[0]))), None)
    if marker is None or paid_from is None:
        return None
    (treasury, asset), paid = paid_from
    batch_id = await run_in_platform(deps.database, _Recording(key.id, treasury.id, marker, intent.id))
    told = Told(landed.signature, "not recognised", f"it pays batch {marker.id}, which these books have as dissolved")
    if batch_id is None:
        return told
    finality = await SolanaRail(client, deps.database, treasury).finality()
    delivered, error = await ImportedPayment(treasury.id, asset, intent, batch_id, paid, finality).deliver(deps.database)
    return replace(told, what=f"payouts paid: {delivered}", unmatched=error)


def _paid(landed: ChainTransaction, treasury: Treasury) -> dict[str, int]:
    """Atomic units that a treasury's wallet sent to others, by recipient in lower case."""
    found = Counter[str]()
    for one in token_transfers(landed):
        of_ours = (one.source_owner, one.mint) == (treasury.address, treasury.token_address)
        if of_ours and one.destination_owner is not None and one.destination_owner != treasury.address:
            found[one.destination_owner.lower()] += one.amount_atomic
    return dict(found)


class _Recording:
    """A payment becomes a batch that is paid; its id, or None if the books have that batch otherwise."""

    def __init__(self, key_id: UUID, treasury_id: UUID, marker: Marker, intent_id: UUID) -> None:
        self._key_id = key_id
        self._treasury_id = treasury_id
        self._marker = marker
        self._intent_id = intent_id

    async def __call__(self, session: PlatformSession) -> UUID | None:
        await require_paused(session, self._key_id)
        known = await repository_import.batch_by_chain_id(session, self._treasury_id, self._marker.address)
        if known is not None:
            return known.id if known.state == BatchState.PAID else None
        namesake = await repository_batches.batch(session, self._marker.id, for_update=True)
        if namesake is not None and namesake.state in {BatchState.OPEN, BatchState.CLOSED}:
            # Its name is taken, by a list that may be another one.
            await splitting.rename(session, namesake)
        now = await transaction_time(session)
        batch = Batch(
            id=uuid7(), treasury_id=self._treasury_id, state=BatchState.PAID, size=0, total_atomic=0,
            chain_batch_id=self._marker.address, supersedes=[], intent_id=self._intent_id, delivery_state=DeliveryState.FINAL,
            opened_at=now, frozen_at=now,
        )  # fmt: skip
        await repository_batches.insert_batch(session, batch)
        return batch.id
