"""A program whose members earn by settled payments, on the real database: builders, and what its books say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from guerdon.earning import repository_volume
from guerdon.earning.models_volume import CampaignCounter, CampaignRow, CampaignVersion, VolumeTermsRow
from guerdon.earning.verify import CHECKS as EARNING_CHECKS
from guerdon.earning.volume_booking import Outcome, credit
from guerdon.earning.volume_terms import Settled
from guerdon.kit.database import Database, ProgramSession, run_in_program
from guerdon.kit.ids import uuid7
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger.verify import CHECKS as LEDGER_CHECKS
from guerdon.ledger.verify import verify_program
from tests.support.books import a_program, an_asset

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ANN, BOB, CID = UUID(int=11), UUID(int=12), UUID(int=13)
FLAT = [{"name": "bronze", "volume_micro_usd": "0", "multiplier": "1"}]


def paid(micro_usd: int, account: UUID = ANN, at: datetime = NOW, **fields: Any) -> Settled:
    """A settled payment."""
    return Settled(
        id=fields.pop("id", None) or UUID(int=random.getrandbits(120)),
        account_id=account,
        payer=fields.pop("payer", "eip155:0xaa"),
        volume_micro_usd=micro_usd,
        settled_at=at,
        is_final=fields.pop("is_final", True),
        **fields,
    )


@dataclass(frozen=True, slots=True)
class House:
    """One program."""

    database: Database
    program_id: UUID
    asset_id: UUID

    async def terms(self, **fields: Any) -> None:
        """Lay down terms of volume; no tiers unless told."""
        values: dict[str, Any] = {
            "asset_id": self.asset_id, "points_per_unit": 1, "unit_micro_usd": 10_000, "credit": "payer", "backdate_days": 0,
            "holding_seconds": 0, "min_volume_micro_usd": 0, "tiers": FLAT, "window_days": 90, "grace_days": 0, "downgrade": "drop",
            "warn_days": 0, "updated_at": NOW,
        }  # fmt: skip
        async with self.database.program(self.program_id) as session:
            await session.merge(VolumeTermsRow(program_id=self.program_id, **(values | fields)))

    async def campaign(self, type_: str = "multiplier", *, since: datetime = NOW - 30 * DAY, **config: Any) -> UUID:
        """A published campaign of sixty days."""
        campaign_id = uuid7()
        fields: dict[str, Any] = {
            "start_at": config.pop("start_at", NOW - 30 * DAY),
            "end_at": config.pop("end_at", NOW + 30 * DAY),
            "facilitator_id": config.pop("facilitator_id", None),
            "config": config,
            "state": "published",
            "version": 1,
            "program_id": self.program_id,
        }
        async with self.database.program(self.program_id) as session:
            session.add(
                CampaignRow(id=campaign_id, name="Season", description="", type=type_, created_at=NOW, updated_at=NOW, **fields)
            )
            await session.flush()
            session.add(CampaignVersion(campaign_id=campaign_id, effective_from=since, **fields))
            session.add(CampaignCounter(program_id=self.program_id, campaign_id=campaign_id))
        return campaign_id

    async def credit(self, *settled: Settled, now: datetime = NOW) -> list[Outcome]:
        """Book a batch, as the jobs of settlements do."""

        async def work(session: ProgramSession) -> list[Outcome]:
            return await credit(session, self.program_id, settled, now)

        return await run_in_program(self.database, self.program_id, work, attempts=20)

    async def points(self, account: UUID = ANN) -> tuple[int, int, int]:
        """(available, held, debt)."""
        async with self.database.program(self.program_id) as session:
            balance = await ledger_repository.account_balance(session, self.program_id, self.asset_id, account)
            return (0, 0, 0) if balance is None else (balance.available, balance.held, balance.debt)

    async def fraction(self, account: UUID = ANN) -> int:
        """Millionths that are left."""
        async with self.database.program(self.program_id) as session:
            found, _ = await repository_volume.accounts(
                session, self.program_id, self.asset_id, [account], NOW.date(), (NOW - DAY).date()
            )
            return found.get(account, 0)

    async def volume(self, account: UUID = ANN) -> int:
        """Micro-dollars of all its days."""
        async with self.database.program(self.program_id) as session:
            _, found = await repository_volume.accounts(
                session, self.program_id, self.asset_id, [account], (NOW - 999 * DAY).date(), (NOW + 999 * DAY).date()
            )
            return sum(found.get(account, {}).values())

    async def spending(self, campaign: UUID) -> tuple[int, int]:
        """(whole points that it cost, participants)."""
        async with self.database.program(self.program_id) as session:
            counter = await session.get(CampaignCounter, (self.program_id, campaign))
            assert counter is not None
            return int(counter.spent) // 10**6, counter.participants

    async def funds(self) -> int:
        """Points that the program can still give."""
        async with self.database.program(self.program_id) as session:
            return await repository_volume.funds(session, self.program_id, self.asset_id)

    async def findings(self) -> Sequence[object]:
        """What `ledger verify` finds."""
        async with self.database.program(self.program_id) as session:
            return await verify_program(session, self.program_id, {**LEDGER_CHECKS, **EARNING_CHECKS})


async def a_house(database: Database, *, funds: int = 10**12, reversal_policy: str = "debt", **terms: Any) -> House:
    """A program with funds and terms."""
    asset_id = await an_asset(database, delivery="on_claim")
    house = House(database, await a_program(database, asset_id, funds=funds, reversal_policy=reversal_policy), asset_id)
    await house.terms(**terms)
    return house
