"""Drops over HTTP, of an asset that is claimed: whom a repeated key makes one for, and whose proofs are shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.payouts import drops, drops_collecting
from guerdon.payouts.drops import NewDrop
from guerdon.payouts.models_drops import Drop
from guerdon.payouts.terms_drops import DropTerms
from tests.payouts.claims.bank import Bank, a_bank_on_paper
from tests.payouts.house import a_wallet
from tests.support.api import Running, running, settings_for
from tests.support.members import a_member
from tests.support.postgres import Urls


@pytest.fixture
async def bank(database: Database, database_urls: Urls, owner: driver.RawConnection) -> Bank:
    return await a_bank_on_paper(database, database_urls, owner)


@pytest.fixture
async def api(bank: Bank) -> AsyncIterator[Running]:
    settings = settings_for(bank.house.urls.app, secret_key=SecretStr(bank.house.master.to_text()))
    async with running(settings, asset=False) as one:
        yield one


async def brand(bank: Bank) -> str:
    return str(await bank.house.value("select brand_id from programs where id = $1", bank.program))


async def test_s12_a_key_makes_one_drop_a_program(api: Running, bank: Bank) -> None:
    closes = (bank.house.clock.now() + timedelta(days=30)).isoformat()

    async def made(**changes: Any) -> Any:
        body = {"closesAt": closes, "minimumPoints": 5, **changes}
        headers = {"X_Loyalteez_Brand_Id": await brand(bank), "Idempotency_Key": "spring"}
        return await api.platform("POST", "/api/admin/drops", body, **headers)

    first, again, otherwise = await made(), await made(), await made(minimumPoints=6)
    assert (first.status_code, again.status_code, otherwise.status_code) == (202, 202, 409)
    assert first.json() == again.json()
    assert (first.json()["tokenAddress"], first.json()["network"]) == (bank.token.address, "local")
    assert otherwise.json()["code"] == "IDEMPOTENCY_CONFLICT"
    await bank.open_program(50)
    other = await made()
    assert (other.status_code, other.json()["id"] == first.json()["id"]) == (202, False)
    assert await bank.house.value("select count(*) = 1 from drops where program_id = $1", bank.program)


async def test_s31_a_root_that_is_being_made_hides_no_proof_of_the_one_before(api: Running, bank: Bank) -> None:
    caller, account = await a_member(api)
    ann = UUID(account["id"])
    await bank.earn(ann, 40)
    first = await committed(bank)
    await bank.house.owner.execute(
        """
        update drops set state = 'published', published_at = now();
        update drop_seasons set state = 'open', published_block = 1, scanned_block = 1, total_atomic = 400;
        """
    )
    elsewhere = await bank.prove(ann, a_wallet())
    await bank.house.owner.execute("update accounts set primary_address_id = $1", elsewhere)
    await bank.earn(ann, 10)
    await committed(bank, season_id=first.season_id)
    answer = await caller("GET", f"/api/rewards/drops/{first.season_id}/proof")
    assert answer.status_code == 200, answer.text
    assert [(one["number"], one["amount_atomic"]) for one in answer.json()["items"]] == [(1, "400")]


async def committed(bank: Bank, **changes: Any) -> Drop:
    """A drop for everybody whose root is fixed."""
    now = bank.house.clock.now()
    async with bank.house.database.platform() as session:
        drop = await drops.create(session, NewDrop(bank.program, bank.points, now, now + timedelta(days=30), **changes))
    while await bank.house.value("select state = 'collecting' from drops where id = $1", drop.id):
        await drops_collecting.collect(bank.house.deps, DropTerms(), drop)
    await drops_collecting.commit_root(bank.house.deps, DropTerms(), drop)
    return drop
