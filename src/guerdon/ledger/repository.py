"""All SQL of the ledger. Locks are taken in the order of SAFETY S15: balances of accounts by id, then those of the program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, select, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Uuid

from guerdon.kit.database import ScopedSession
from guerdon.kit.models import constants
from guerdon.ledger.models import (
    UNDELIVERED,
    WAITING,
    AccountBalance,
    Asset,
    Delivery,
    Posting,
    ProgramBalance,
)

AccountKey = tuple[UUID, UUID]
"""(asset, account)."""


async def asset_by_symbol(session: ScopedSession, symbol: str) -> Asset | None:
    """The asset of that symbol."""
    return await session.scalar(select(Asset).where(Asset.symbol == symbol))


async def lock_account_balances(
    session: ScopedSession, program_id: UUID, keys: Iterable[AccountKey]
) -> dict[AccountKey, AccountBalance]:
    """The balances of these accounts, made where missing, locked in the order of their keys."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = [{"program_id": program_id, "asset_id": asset, "account_id": account} for asset, account in wanted]
    await session.execute(insert(AccountBalance).values(rows).on_conflict_do_nothing())
    balances = await session.scalars(
        select(AccountBalance)
        .where(AccountBalance.program_id == program_id, tuple_(AccountBalance.asset_id, AccountBalance.account_id).in_(wanted))
        .order_by(AccountBalance.asset_id, AccountBalance.account_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {(balance.asset_id, balance.account_id): balance for balance in balances}


async def lock_program_balances(session: ScopedSession, program_id: UUID, assets: Iterable[UUID]) -> dict[UUID, ProgramBalance]:
    """The program's own balances, made where missing, locked last of all."""
    wanted = sorted(set(assets))
    await session.execute(
        insert(ProgramBalance)
        .values([{"program_id": program_id, "asset_id": asset} for asset in wanted])
        .on_conflict_do_nothing()
    )
    balances = await session.scalars(
        select(ProgramBalance)
        .where(ProgramBalance.program_id == program_id, ProgramBalance.asset_id.in_(wanted))
        .order_by(ProgramBalance.asset_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {balance.asset_id: balance for balance in balances}


async def program_balance(session: ScopedSession, program_id: UUID, asset_id: UUID) -> ProgramBalance | None:
    """What the program's books say of one asset."""
    return await session.get(ProgramBalance, (program_id, asset_id), populate_existing=True)


async def account_balance(session: ScopedSession, program_id: UUID, asset_id: UUID, account_id: UUID) -> AccountBalance | None:
    """What one account has of one asset."""
    return await session.get(AccountBalance, (program_id, asset_id, account_id), populate_existing=True)


async def existing_postings(
    session: ScopedSession, program_id: UUID, keys: Sequence[tuple[UUID, str, UUID]]
) -> dict[tuple[UUID, str, UUID], Posting]:
    """Of these (asset, kind, ref), the postings that are there already. Read after the locks, never with them (SAFETY S10)."""
    postings = await session.scalars(
        select(Posting).where(Posting.program_id == program_id, tuple_(Posting.asset_id, Posting.kind, Posting.ref).in_(keys))
    )
    return {(posting.asset_id, posting.kind, posting.ref): posting for posting in postings}


async def insert_postings(session: ScopedSession, rows: Sequence[dict[str, Any]]) -> None:
    """Append postings; a key that is there already is an error, since the caller looked under the locks."""
    await session.execute(insert(Posting), rows)


_CHANGED_BY_POSTINGS = ("earned", "reversed", "claimed", "held", "debt")
_ADD_TO_ACCOUNTS = text(
    """
    update account_balances b
       set earned = b.earned + d.earned, reversed = b.reversed + d.reversed, claimed = b.claimed + d.claimed,
           held = b.held + d.held, debt = b.debt + d.debt, version = d.version
      from unnest(:assets, :accounts, :earned, :reversed, :claimed, :held, :debt, :versions)
           as d(asset_id, account_id, earned, reversed, claimed, held, debt, version)
     where b.program_id = :program_id and b.asset_id = d.asset_id and b.account_id = d.account_id
    """
).bindparams(
    bindparam("assets", type_=ARRAY(Uuid())),
    bindparam("accounts", type_=ARRAY(Uuid())),
    *(bindparam(name, type_=ARRAY(BigInteger())) for name in (*_CHANGED_BY_POSTINGS, "versions")),
)


async def add_to_accounts(
    session: ScopedSession, program_id: UUID, changes: dict[AccountKey, dict[str, int]], versions: dict[AccountKey, int]
) -> None:
    """Change locked balances by these amounts a column, and set their versions."""
    keys = sorted(changes)
    await session.execute(
        _ADD_TO_ACCOUNTS,
        {
            "program_id": program_id,
            "assets": [asset for asset, _ in keys],
            "accounts": [account for _, account in keys],
            "versions": [versions[key] for key in keys],
            **{name: [changes[key].get(name, 0) for key in keys] for name in _CHANGED_BY_POSTINGS},
        },
    )


async def add_to_program(session: ScopedSession, balance: ProgramBalance, changes: dict[str, int]) -> None:
    """Change the program's locked balance by these amounts a column."""
    for column, change in changes.items():
        setattr(balance, column, getattr(balance, column) + change)
    await session.flush()


async def lock_pending_deliveries(
    session: ScopedSession, program_id: UUID, asset_id: UUID, account_id: UUID, also: Sequence[UUID]
) -> list[Delivery]:
    """What a reversal may still take, newest first: deliveries that nothing is reserved for, and those `also` named."""
    return list(
        await session.scalars(
            select(Delivery)
            .where(
                Delivery.program_id == program_id,
                Delivery.account_id == account_id,
                Delivery.asset_id == asset_id,
                Delivery.state.in_(constants(*UNDELIVERED)),
                Delivery.state.in_(WAITING) | Delivery.id.in_(also),
            )
            .order_by(Delivery.id.desc())
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )
