"""Builders for tests that need a program with books."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.programs.models import Program

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def an_asset(database: Database, *, delivery: str = "automatic", symbol: str | None = None) -> UUID:
    """A new asset; LTZ-like unless told otherwise."""
    asset_id = uuid7()
    async with database.platform() as session:
        session.add(
            Asset(
                id=asset_id,
                symbol=symbol or f"T{asset_id.hex[-8:]}",
                decimals=0,
                delivery=delivery,
                network="local",
                token_address="0x" + "11" * 20,
                mintable=True,
                created_at=NOW,
            )
        )
    return asset_id


async def a_program(database: Database, asset_id: UUID, *, funds: int = 0, reversal_policy: str = "within_balance") -> UUID:
    """A new program that pays in `asset_id` and has `funds` points of it."""
    program_id = uuid7()
    async with database.platform() as session:
        session.add(
            Program(
                id=program_id,
                brand_id="0x" + program_id.hex.rjust(40, "0"),
                name="Test",
                asset_id=asset_id,
                reversal_policy=reversal_policy,
                created_at=NOW,
            )
        )
    if funds:
        async with database.program(program_id) as session:
            await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset_id, funds)], NOW)
    return program_id
