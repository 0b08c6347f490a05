"""What operators do through the API: networks, assets, treasuries, funding, payouts; and what a program's own key may not (SAFETY S3)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from tests.payouts.house import House, a_wallet
from tests.payouts.moody import Mood
from tests.support.api import Running, running, settings_for


@asynccontextmanager
async def served(house: House) -> AsyncGenerator[Running]:
    """The application on the house's database and chain."""
    settings = settings_for(
        house.urls.app, secret_key=SecretStr(house.master.to_text()), rpc_urls={"local": SecretStr(house.node.url)}
    )
    async with running(settings, asset=False) as api:
        yield api


async def test_s3_a_programs_own_key_can_not_fund_it_or_touch_what_is_the_platforms(house: House) -> None:
    async with served(house) as api:
        program = await api.program()
        own = await api.operator_of(program)
        path = f"/api/admin/programs/{program['brandId']}"
        forbidden = [
            ("POST", f"{path}/fundings", {"points": 100}),
            ("POST", f"{path}/deposits", {"transactionHash": "0x" + "ab" * 32}),
            ("GET", "/api/admin/treasuries", None),
            ("POST", "/api/admin/treasuries", {"asset": "LTZ"}),
            ("POST", "/api/admin/treasuries/LTZ/pause", {"reason": "mine"}),
            ("POST", "/api/admin/treasuries/LTZ/resume", None),
            ("PUT", "/api/admin/treasuries/LTZ/limit", {"amount": "1", "periodSeconds": 1}),
            ("POST", "/api/admin/networks", {"name": "mine", "chainId": 5}),
            ("POST", "/api/admin/assets", {"symbol": "MINE", "network": "local", "tokenAddress": a_wallet()}),
        ]
        for method, where, body in forbidden:
            answer = await own(method, where, body)
            assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY"), where
    assert await house.value("select count(*) from fundings") == 0


async def test_an_operator_funds_a_program_once_for_an_idempotency_key(house: House) -> None:
    async with served(house) as api, house.working():
        program = await api.program()
        path = f"/api/admin/programs/{program['brandId']}/fundings"
        answers = [await api.platform("POST", path, {"points": 100}, Idempotency_Key="once") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json() == answers[1].json()
        await house.until(lambda: house.value("select count(*) = 1 from fundings where state = 'booked'"))
        listed = (await api.platform("GET", path)).json()["items"]
        assert [(one["points"], one["state"], one["kind"]) for one in listed] == [(100, "booked", "mint")]
        one = await api.platform("GET", f"{path}/{answers[0].json()['id']}")
        assert one.json()["transactionHash"] == listed[0]["transactionHash"]


async def test_an_operator_sets_up_a_token_that_exists_and_books_a_deposit(house: House) -> None:
    _, token = await house.moody_asset()
    async with served(house) as api, house.working():
        new = {"symbol": "OLD", "network": "local", "tokenAddress": token.address, "atomicPerPoint": 10}
        made = await api.platform("POST", "/api/admin/assets", new)
        assert made.status_code == 201, made.text
        assert (await api.platform("POST", "/api/admin/assets", new)).json()["code"] == "ASSET_EXISTS"
        nowhere = await api.platform("POST", "/api/admin/assets", {**new, "symbol": "NEW", "tokenAddress": a_wallet()})
        assert nowhere.json()["code"] == "CODE_MISMATCH"
        treasury = await api.platform("POST", "/api/admin/treasuries", {"asset": "OLD"})
        assert treasury.status_code == 201, treasury.text

        program = await api.program(asset="OLD")
        path = f"/api/admin/programs/{program['brandId']}/deposits"
        paid = await token.mint(treasury.json()["address"], 1_005)
        answers = [await api.platform("POST", path, {"transactionHash": paid}, Idempotency_Key="once") for _ in range(2)]
        assert [answer.json()["points"] for answer in answers] == [100, 100]
        assert (await api.platform("POST", path, {"transactionHash": paid})).json()["code"] == "DEPOSIT_USED"
        await house.until(lambda: house.value("select count(*) = 1 from fundings where state = 'booked'"))


async def test_a_program_sees_its_own_payouts_only(house: House) -> None:
    asset, token = await house.moody_asset(stock=1_000)
    mine, theirs = await house.stocked_program(asset, 100), await house.stocked_program(asset, 100)
    bad = a_wallet()
    await token.feel(Mood.REVERTS, bad)
    async with house.working():
        (payout,) = await house.owe(mine, {await house.account(mine, bad): 5}, asset_id=asset)
        (other,) = await house.owe(theirs, {await house.account(theirs): 5}, asset_id=asset)
        await house.until_states({"quarantined": 1, "final": 1})
    async with served(house) as api:
        brand = await house.value("select brand_id from programs where id = $1", mine)
        own = await api.operator_of({"brandId": brand})
        listed = (await own("GET", "/api/admin/payouts")).json()["items"]
        assert [(one["id"], one["state"], one["status"], one["final"]) for one in listed] == [
            (str(payout), "quarantined", "processing", False)
        ]
        story = (await own("GET", f"/api/admin/payouts/{payout}")).json()
        assert story["reason"]
        assert [batch["destination"] for batch in story["batches"]] == []
        unseen = await own("GET", f"/api/admin/payouts/{other}")
        assert (unseen.status_code, unseen.json()["code"]) == (404, "PAYOUT_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [{"points": 0}, {"points": 2**63}, {"points": "many"}, {"points": 1.5}, {}, {"points": -1}],
)
async def test_a_funding_that_makes_no_sense_is_refused(house: House, body: dict[str, object]) -> None:
    async with served(house) as api:
        program = await api.program()
        answer: httpx.Response = await api.platform("POST", f"/api/admin/programs/{program['brandId']}/fundings", body)
    assert answer.status_code == 400
    assert "points" in answer.text
