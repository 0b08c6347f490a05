"""All SQL of treasuries and of the platform's networks, assets and contracts as far as treasuries need them.

A treasury is the first thing that any transaction locks (SAFETY S15).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from guerdon.kit.database import PlatformSession
from guerdon.ledger.models import Asset
from guerdon.txmanager.models import Contract, Key, Network, Treasury


async def treasuries_of_asset(session: AsyncSession, asset_id: UUID) -> Sequence[Treasury]:
    """The treasuries that pay an asset out, one a network at most, in the order of their ids."""
    found = await session.scalars(select(Treasury).where(Treasury.asset_id == asset_id).order_by(Treasury.id))
    return found.all()


async def lock_treasuries_of_asset(session: PlatformSession, asset_id: UUID) -> Sequence[Treasury]:
    """The same, locked."""
    found = await session.scalars(
        select(Treasury)
        .where(Treasury.asset_id == asset_id)
        .order_by(Treasury.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.all()


async def treasury_on(session: AsyncSession, asset_id: UUID, network: str) -> Treasury | None:
    """The treasury that pays an asset out on a network."""
    return await session.scalar(
        select(Treasury)
        .where(Treasury.asset_id == asset_id, Treasury.network == network)
        .execution_options(populate_existing=True)
    )


async def treasury_with(session: AsyncSession, network: str, token_address: str, address: str) -> bool:
    """Is the balance that an address has of a token some treasury's?"""
    found = await session.scalar(
        select(Treasury.id).where(
            Treasury.network == network, Treasury.token_address == token_address, Treasury.address == address
        )
    )
    return found is not None


async def lock_treasury(session: PlatformSession, treasury_id: UUID) -> Treasury:
    """A treasury by its id, locked."""
    found = await session.scalars(
        select(Treasury)
        .where(Treasury.id == treasury_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return found.one()


async def treasury(session: AsyncSession, treasury_id: UUID) -> Treasury | None:
    """A treasury by its id."""
    return await session.get(Treasury, treasury_id, populate_existing=True)


async def treasuries(session: AsyncSession) -> Sequence[tuple[Treasury, Asset, Key]]:
    """Every treasury with its asset and key, oldest first. Keys are read in platform scope only."""
    rows = await session.execute(
        select(Treasury, Asset, Key)
        .join(Asset, Asset.id == Treasury.asset_id)
        .join(Key, Key.id == Treasury.key_id)
        .order_by(Treasury.id)
        .execution_options(populate_existing=True)
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def contract_address(session: AsyncSession, network: str, name: str) -> str | None:
    """Where a contract of ours is on a network, if it is deployed."""
    return await session.scalar(select(Contract.address).where(Contract.network == network, Contract.name == name))


async def landed_unsettled(session: PlatformSession, treasury_id: UUID, block: int) -> int:
    """Tokens that left the treasury at or before `block` for payouts and claims whose postings are not made yet, in atomic
    units: paid by batches, or lying in drops until they are claimed or come back. Anybody may close a drop whose window is over:
    from then on its tokens count only if it is known not to be closed by `block`.
    """
    total = await session.scalar(
        text(
            """
            select coalesce(sum(m.amount_atomic), 0)
                 + (select coalesce(sum(s.total_atomic - s.claimed_atomic), 0)
                      from drop_seasons s left join intents c on c.id = s.close_intent_id
                     where s.treasury_id = :treasury_id and s.state in ('open', 'closing')
                       and (s.closes_at > now() + interval '1 minute' or s.scanned_block >= :block)
                       and not coalesce(c.state in ('included', 'final') and c.succeeded and c.block_number <= :block, false))
                 + (select coalesce(sum(d.added_atomic), 0)
                      from drops d join drop_seasons s on s.program_id = d.program_id and s.id = d.season_id
                      join intents p on p.id = d.intent_id
                     where s.treasury_id = :treasury_id and d.state = 'publishing'
                       and p.state in ('included', 'final') and p.succeeded and p.block_number <= :block)
              from batches b join intents i on i.id = b.intent_id join batch_members m on m.batch_id = b.id
             where b.treasury_id = :treasury_id and b.state = 'frozen' and not m.settled
               and i.state in ('included', 'final') and i.succeeded and i.block_number <= :block
            """
        ),
        {"treasury_id": treasury_id, "block": block},
    )
    return int(total or 0)


async def promised_by_program(session: PlatformSession, asset_id: UUID) -> dict[UUID, int]:
    """What each program may still give or owe of an asset, in points (SAFETY S3)."""
    rows = await session.execute(text("select program_id, points from promised_by_program_v1(:asset_id)"), {"asset_id": asset_id})
    return {row.program_id: int(row.points) for row in rows}


async def promised_by_asset(session: PlatformSession) -> dict[str, int]:
    """What all programs together may, of every asset by its symbol."""
    rows = await session.execute(
        text("select a.symbol, p.points from promised_points() p join assets a on a.id = p.asset_id order by a.symbol")
    )
    return {str(symbol): int(points) for symbol, points in rows}


async def wake_all(session: PlatformSession, kind: str) -> None:
    """Make every row of a kind of work that is due later due now; the back-off after an error stands."""
    await session.execute(
        text(
            """
            with sooner as (update work set due_at = now() where kind = :kind and due_at > now() returning kind)
            select pg_notify('guerdon_work', kind) from sooner limit 1
            """
        ),
        {"kind": kind},
    )


async def record_contract(session: PlatformSession, contract: Contract) -> None:
    """Remember where a contract is; what is known already stays."""
    await session.execute(
        insert(Contract)
        .values(
            network=contract.network,
            name=contract.name,
            address=contract.address,
            intent_id=contract.intent_id,
            created_at=contract.created_at,
        )
        .on_conflict_do_nothing()
    )


async def insert_asset(session: PlatformSession, asset: Asset) -> bool:
    """A new asset; False if its symbol is taken."""
    values = {column.key: getattr(asset, column.key) for column in Asset.__table__.columns}
    inserted = await session.scalar(insert(Asset).values(**values).on_conflict_do_nothing().returning(Asset.id))
    return inserted is not None


async def assets(session: AsyncSession) -> Sequence[Asset]:
    """Every asset, oldest first."""
    return (await session.scalars(select(Asset).order_by(Asset.id))).all()


async def contracts(session: AsyncSession) -> Sequence[Contract]:
    """Every contract that we deployed, or an operator named."""
    return (await session.scalars(select(Contract).order_by(Contract.network, Contract.name))).all()


async def lock_network(session: PlatformSession, name: str) -> None:
    """Put whatever sets a network up one after the other."""
    await session.execute(select(Network.name).where(Network.name == name).with_for_update(key_share=True))
