"""What a member sees of points: the balance as the books have it, the history with its reasons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from guerdon.earning.models import Accrual
from guerdon.earning.volume_booking import credit
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.earning.house import paid
from tests.support.api import Caller, Running, add_asset, running, settings_for
from tests.support.members import EvmWallet, a_member, sign_in
from tests.support.postgres import Urls

NOW = datetime.now(UTC)


@pytest.fixture
async def api(database_urls: Urls) -> AsyncIterator[Running]:
    async with running(settings_for(database_urls.app, rate_limit_sign_in_a_minute=1000)) as started:
        yield started


async def _earned(api: Running, program: dict[str, Any], account: dict[str, Any], *points: int, **fields: Any) -> UUID:
    """Points that the account earned and the books have; the asset's id."""
    program_id, account_id = UUID(program["id"]), UUID(account["id"])
    asset_id = UUID((await api.platform("GET", "/api/admin/assets")).json()["items"][0]["id"])
    async with api.runtime.database.program(program_id) as session:
        for some in points:
            ref = uuid7()
            postings = [
                Movement(PostingKind.FUND, uuid7(), asset_id, some),
                Movement(PostingKind.REWARD, ref, asset_id, some, account_id),
            ]
            await ledger.post(session, program_id, postings, NOW)
            values = {"earned_by": "purchase", "reasons": [{"rule": "purchase", "points": some}], **fields}
            session.add(
                Accrual(
                    program_id=program_id, id=ref, account_id=account_id, asset_id=asset_id, points=some, accrued_at=NOW, **values
                )
            )
    return asset_id


async def test_the_balance_is_what_the_books_have_in_decimal_strings(api: Running) -> None:
    program = await api.program("Acme")
    caller, account = await a_member(api)
    empty = (await caller("GET", "/api/rewards/balance")).json()
    assert (empty["earned_points"], empty["available_points"], empty["asset"]) == ("0", "0", "LTZ")
    large = 2**60
    asset_id = await _earned(api, program, account, large, 5)
    async with api.runtime.database.program(UUID(program["id"])) as session:
        hold = Movement(PostingKind.HOLD, uuid7(), asset_id, 7, UUID(account["id"]))
        await ledger.post(session, UUID(program["id"]), [hold], NOW)
    shown = (await caller("GET", "/api/rewards/balance")).json()
    assert shown["account_id"] == account["id"]
    points = ("earned_points", "held_points", "available_points", "claimed_points", "debt_points")
    assert [shown[name] for name in points] == [str(large + 5), "7", str(large - 2), "0", "0"]
    assert (await caller("GET", "/api/rewards/account")).json()["available_points"] == str(large - 2)
    unknown = await caller("GET", "/api/rewards/balance?asset=NONE")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "ASSET_NOT_FOUND")


async def test_the_history_has_every_accrual_once_with_its_reasons_newest_first(api: Running) -> None:
    program = await api.program("Acme")
    caller, account = await a_member(api)
    await _earned(api, program, account, *range(1, 8))
    campaign = str(uuid7())
    reason = {"kind": "campaign", "campaign": campaign, "points": "8", "text": "Twice: 2 times."}
    await _earned(api, program, account, 8, earned_by="settlement", reasons=[reason], held_for="finality")
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = (await caller("GET", f"/api/rewards/history?limit=3{cursor}")).json()
        seen += answer["items"]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert [item["points_earned"] for item in seen] == ["8", "7", "6", "5", "4", "3", "2", "1"]
    newest = seen[0]
    assert (newest["status"], newest["held_for"], newest["campaign_id"]) == ("held", "finality", campaign)
    assert (newest["transaction_id"], newest["rewards_account_id"]) == (newest["id"], account["id"])
    assert (seen[1]["status"], seen[1]["transaction_id"], seen[1]["reasons"]) == (
        "booked",
        None,
        [{"rule": "purchase", "points": 7}],
    )


async def test_s1_nobody_sees_anothers_points(api: Running) -> None:
    program = await api.program("Acme")
    _, account = await a_member(api)
    await _earned(api, program, account, 5)
    other, _ = await a_member(api)
    assert (await other("GET", "/api/rewards/balance")).json()["earned_points"] == "0"
    assert (await other("GET", "/api/rewards/history")).json()["items"] == []
    for path in ("balance", "history"):
        foreign = await other("GET", f"/api/rewards/{path}?account_id={account['id']}")
        assert (foreign.status_code, foreign.json()["code"]) == (404, "ACCOUNT_NOT_FOUND")
        assert (await Caller(api.client)("GET", f"/api/rewards/{path}")).status_code == 401
        assert (await (await sign_in(api, EvmWallet()))("GET", f"/api/rewards/{path}")).json()["code"] == "ACCOUNT_NOT_FOUND"


async def test_the_balance_tells_the_tier_and_the_history_what_multiplied(api: Running) -> None:
    program = await api.program("Acme")
    caller, account = await a_member(api)
    program_id = UUID(program["id"])
    await add_asset(api.runtime.database, "PTS", network=None, token_address=None)
    async with api.runtime.database.platform() as session:
        await session.execute(text("update assets set delivery = 'on_claim' where symbol = 'PTS'"))
    await api.platform("PUT", "/api/admin/rewards/volume", {"asset": "PTS"})
    until = {"start_at": (NOW - timedelta(days=1)).isoformat(), "end_at": (NOW + timedelta(days=1)).isoformat()}
    doubling = {"name": "Double", "type": "multiplier", "config": {"multiplier": 2}, "active": True, **until}
    campaign = (await api.platform("POST", "/api/admin/rewards/campaigns", doubling)).json()
    async with api.runtime.database.program(program_id) as session:
        asset = await session.scalar(text("select id from assets where symbol = 'PTS'"))
        await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset, 10**6)], NOW)
        now = datetime.now(UTC)
        payment = paid(1_500_000_000, UUID(account["id"]), at=now)
        await credit(session, program_id, [payment], now)
    shown = (await caller("GET", "/api/rewards/balance")).json()
    assert (shown["asset"], shown["available_points"]) == ("PTS", "300000")
    assert (shown["tier"], shown["next_tier"], shown["volume_to_next"]) == ("silver", "gold", "8500000000")
    (item,) = (await caller("GET", "/api/rewards/history")).json()["items"]
    assert (item["multiplier_applied"], item["campaign_id"], item["volume_micro_usd"]) == (2.0, campaign["id"], "1500000000")
