"""Rates of campaigns over HTTP: who publishes them, and what members see of them (SAFETY S3, S14)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from guerdon.earning import service_campaigns as campaigns
from guerdon.earning.schemas_campaigns import NewCampaign
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.ledger.rates import Rate
from guerdon.programs.errors import PlatformOnlyError
from tests.payouts.claims.bank import Bank, a_bank_on_paper
from tests.payouts.claims.rates import a_draft, config, now, publish
from tests.support.api import Caller, running, settings_for
from tests.support.members import EvmWallet, a_member
from tests.support.postgres import Urls

PATH = "/api/admin/rewards/campaigns"


@pytest.fixture
async def bank(database: Database, database_urls: Urls, owner: driver.RawConnection) -> Bank:
    """100 points at 10, and 2,000 units for them: what they are worth at 20."""
    return await a_bank_on_paper(database, database_urls, owner, stock=2_000)


def run_api(bank: Bank) -> Any:
    """The application on the bank's database, without a chain."""
    return running(settings_for(bank.house.urls.app, secret_key=SecretStr(bank.house.master.to_text())), asset=False)


async def test_s3_a_programs_own_key_drafts_pauses_and_ends_a_rate_and_the_platform_publishes_it(bank: Bank) -> None:
    async with run_api(bank) as api:
        program = (await api.platform("GET", "/api/admin/programs")).json()["items"][0]
        own, platform = await api.operator_of(program), api.platform
        draft = (await own("POST", PATH, a_draft())).json()
        path = f"{PATH}/{draft['id']}"
        assert draft["config"]["conversion_rates"] == [{"network": "local", "points": "1", "token_amount": "20"}]

        async def said(caller: Caller, method: str, where: str, body: Any = None) -> str:
            answer = (await caller(method, where, body)).json()
            return answer.get("code") or answer["state"]

        assert await said(own, "POST", f"{path}/publish") == "PLATFORM_ONLY"
        assert await said(own, "POST", PATH, a_draft(active=True)) == "PLATFORM_ONLY"
        assert await said(platform, "PUT", path, {"config": config(Rate(21)), "active": True}) == "CAMPAIGN_UNBACKED"
        assert await said(platform, "POST", f"{path}/publish") == "published"
        assert await said(own, "PUT", path, {"config": config(Rate(15))}) == "PLATFORM_ONLY"
        assert await said(own, "POST", f"{path}/pause") == "paused"
        assert await said(own, "POST", f"{path}/resume") == "PLATFORM_ONLY"
        assert await said(platform, "PUT", path, {"active": True}) == "published"
        assert await said(own, "POST", f"{path}/end") == "ended"
    assert await bank.house.value("select count(*) from campaign_rates") == 0
    async with bank.house.database.program(bank.program) as session:
        with pytest.raises(PlatformOnlyError):
            await campaigns.add_campaign(session, NewCampaign.model_validate(a_draft(active=True)), now())


async def test_members_see_the_rate_in_force_and_until_when_and_whose_it_was(bank: Bank) -> None:
    async with run_api(bank) as api:
        wallet = EvmWallet(network="base")
        caller, account = await a_member(api, wallet)
        await bank.earn(UUID(account["id"]), 100)
        usual = (await caller("GET", "/api/rewards/payout-options")).json()["options"][0]
        assert (usual["token_amount"], usual["campaign_id"], usual["rate_until"]) == ("10", None, None)
        campaign = await publish(bank, Rate(39, 2))
        shown = (await caller("GET", "/api/rewards/payout-options")).json()["options"][0]
        public = (await caller("GET", "/api/rewards/campaigns")).json()["items"][0]
        assert shown == usual | {
            "token_amount": "39", "points": "2", "tokens_for_a_thousand_points": "19500", "campaign_id": str(campaign),
            "rate_until": public["end_at"],
        }  # fmt: skip
        assert public["config"]["conversion_rates"] == [{"network": "local", "points": "2", "token_amount": "39"}]
        asked = {"points_claimed": "10", "destination_address": wallet.address}
        claim = (await caller("POST", "/api/rewards/claims", asked)).json()
        assert (claim["token_amount"], claim["campaign_id"]) == ("195", str(campaign))
        listed = (await api.platform("GET", "/api/admin/claims")).json()["items"][0]
        assert (listed["rate"], listed["campaignId"]) == ("39/2", str(campaign))
