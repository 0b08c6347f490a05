"""SQL of the Solana rail: what became of a batch's transaction, and whose token accounts were made already."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from guerdon.kit.database import Database, PlatformSession
from guerdon.payouts.models import Batch
from guerdon.txmanager.models import Intent, IntentState, Treasury


async def intents_by_marker(database: Database, treasury: Treasury, markers: Sequence[str]) -> dict[str, IntentState]:
    """Where the transactions of these batches of a treasury stand; without those that there is none for."""
    async with database.platform() as session:
        rows = await session.execute(
            select(Batch.chain_batch_id, Intent.state)
            .join(Intent, Intent.id == Batch.intent_id)
            .where(Batch.treasury_id == treasury.id, Batch.chain_batch_id.in_(markers))
        )
        return {str(row[0]): IntentState(row[1]) for row in rows}


_NOTE_OPENED = text(
    """
    insert into opened_token_accounts (network, token_address, owner, batch_id)
    select :network, :token, o, :batch_id from unnest(:owners) o
    on conflict (network, token_address, owner) do update set batch_id = excluded.batch_id
    """
).bindparams(bindparam("owners", type_=ARRAY(Text())))


async def note_opened(session: PlatformSession, treasury: Treasury, owners: Sequence[str], batch_id: UUID) -> None:
    """A batch's transaction makes the token accounts of these wallets (SAFETY S25)."""
    if owners:
        values = {"network": treasury.network, "token": treasury.token_address, "owners": list(owners), "batch_id": batch_id}
        await session.execute(_NOTE_OPENED, values)


_OPENED = text(
    """
    select o.owner from opened_token_accounts o join batches b on b.id = o.batch_id join intents i on i.id = b.intent_id
     where o.network = :network and o.token_address = :token and o.owner = any(:owners) and i.state in ('included', 'final')
       and i.succeeded
    """
).bindparams(bindparam("owners", type_=ARRAY(Text())))


async def opened_before(database: Database, treasury: Treasury, owners: Sequence[str]) -> set[str]:
    """Those of these wallets whose token account was made, and paid for, by an earlier batch."""
    if not owners:
        return set()
    async with database.platform() as session:
        values = {"network": treasury.network, "token": treasury.token_address, "owners": list(owners)}
        return set(await session.scalars(_OPENED, values))
