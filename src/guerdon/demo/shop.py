"""The program of the demo: opened, funded and given its one rule, once; found again by the next run."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from guerdon.app import Runtime
from guerdon.demo.errors import DemoError
from guerdon.demo.purchases import CENTS_PER_TOKEN
from guerdon.demo.replay import EVENT_TYPE, Shop
from guerdon.earning.onboarding import open_program
from guerdon.earning.schemas import Category, PerUnit, RuleFields
from guerdon.earning.service import set_rule
from guerdon.programs import funding, repository, repository_funding
from guerdon.programs.models import FundingState
from guerdon.programs.schemas import NewProgram

_POLL_SECONDS = 0.1
_FUND_POINTS = 3_000_000
"""The whole log earns 2,453,159."""
_NAMESPACE = UUID("5b0e4a0e-1f0a-5d0c-8a3e-1c7a0d8c9f21")


@dataclass(frozen=True, slots=True)
class OpenShop:
    """The program that reports, and where it is in the books."""

    shop: Shop
    program_id: UUID
    asset_id: UUID


async def open_shop(runtime: Runtime, url: str, remembered: Path) -> OpenShop:
    """The program of the demo, ready for its first purchase. `remembered` keeps its security key, readable by its owner only."""
    shop = _recall(remembered, url)
    program = None
    if shop is not None:
        async with runtime.database.platform() as session:
            program = await repository.program_by_brand_id(session, shop.brand_id)
    if shop is None or program is None:
        shop = await _open(runtime, url)
        _remember(remembered, shop)
        async with runtime.database.platform() as session:
            program = await repository.program_by_brand_id(session, shop.brand_id)
    if program is None:
        message = "the program of the demo was made and is not there"
        raise DemoError(message)
    await _set_rule(runtime, program.id)
    await _fund(runtime, program.id)
    return OpenShop(shop, program.id, program.asset_id)


async def _open(runtime: Runtime, url: str) -> Shop:
    new = NewProgram(name="CDNOW", domains=["cdnow.example"])
    async with runtime.database.platform() as session:
        made = await open_program(session, runtime.secrets, new, runtime.clock.now(), development=True)
    return Shop(url, made.brand_id, made.security_key)


async def _set_rule(runtime: Runtime, program_id: UUID) -> None:
    fields = RuleFields(
        name="Purchase",
        description="One token for each whole dollar of a purchase.",
        category=Category.COMMERCE,
        reward=PerUnit(field="amount_cents", unit=CENTS_PER_TOKEN, reward=1),
        open_to_browsers=False,
        cooldown_hours=0,
        max_claims_per_user=-1,
    )
    async with runtime.database.program(program_id) as session:
        await set_rule(session, EVENT_TYPE, fields, runtime.clock.now())


async def _fund(runtime: Runtime, program_id: UUID) -> None:
    # Its id is made from the program's: asked for again, it is the same funding.
    request = funding.FundingRequest(program_id, _FUND_POINTS, id=uuid5(_NAMESPACE, str(program_id)))
    async with runtime.database.platform() as session:
        await funding.request_funding(session, request)
    while True:
        async with runtime.database.platform() as session:
            known = await repository_funding.funding(session, request.id)
        if known is not None and known.state == FundingState.BOOKED:
            return
        if known is not None and known.state == FundingState.FAILED:
            message = f"the program could not be funded: {known.reason}"
            raise DemoError(message)
        await asyncio.sleep(_POLL_SECONDS)


def _recall(path: Path, url: str) -> Shop | None:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Shop(url, str(stored["brand_id"]), str(stored["security_key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(path: Path, shop: Shop) -> None:
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"brand_id": shop.brand_id, "security_key": shop.security_key}, file)
    beside.replace(path)
