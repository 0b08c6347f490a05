"""Claims over HTTP: the rewards program's own flow, from points to tokens on an EVM network."""

from __future__ import annotations

from uuid import UUID

from tests.payouts.claims.bank import Bank, a_bank
from tests.payouts.house import House
from tests.payouts.test_api import served
from tests.support.api import Running
from tests.support.members import EvmWallet, a_member, link


async def a_rich_member(api: Running, bank: Bank, points: int = 1_000):  # noqa: ANN201 - a caller and its account
    wallet = EvmWallet(network="base")
    caller, account = await a_member(api, wallet)
    await bank.earn(UUID(account["id"]), points)
    return caller, account, wallet


async def test_x402_defect_02_a_claim_is_answered_at_once_and_followed_to_its_end(house: House) -> None:
    """Nothing of it hangs on the request: it is answered before anything is sent, and every state moves by itself."""
    bank = await a_bank(house)
    async with served(house) as api:
        caller, account, _ = await a_rich_member(api, bank)
        home = EvmWallet(network="base")
        address = await link(caller, home)
        # The first address of an account may be used at once; this one is not the first (SAFETY S5).
        await house.owner.execute("update addresses set usable_from = now() where id = $1", UUID(address["id"]))
        offered = (await caller("GET", "/api/rewards/payout-options")).json()["options"]
        assert [(one["token_mint"].lower(), one["token_amount"], one["points"]) for one in offered] == [
            (bank.token.address.lower(), "10", "1")
        ]
        asked = {"points_claimed": "600", "destination_address": home.address}
        answers = [await caller("POST", "/api/rewards/claims", asked, Idempotency_Key="mine") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json() == answers[1].json()
        claim = answers[0].json()
        assert claim | {"id": "", "created_at": ""} == {
            "id": "", "rewards_account_id": account["id"], "points_claimed": "600", "points_requested": "600",
            "token_amount": "6000", "token_mint": offered[0]["token_mint"], "network": "local", "campaign_id": None,
            "destination_address": claim["destination_address"], "status": "pending", "final": False, "transaction_hash": None,
            "error_message": None, "created_at": "", "processed_at": None,
        }  # fmt: skip
        assert claim["destination_address"].lower() == home.address.lower()
        async with house.working():
            await house.until_states({"final": 1})
        done = (await caller("GET", f"/api/rewards/claims/{claim['id']}")).json()
        assert (done["status"], done["final"], done["error_message"]) == ("completed", True, None)
        assert done["transaction_hash"].startswith("0x")
        assert done["processed_at"] is not None
        listed = (await caller("GET", "/api/rewards/claims")).json()
        assert (listed["items"], listed["next_cursor"]) == ([done], None)
    assert await house.transfers(bank.token.address) == [(home.address.lower(), 6_000)]
    await bank.check()


async def test_what_a_claim_is_refused_for(house: House) -> None:
    bank = await a_bank(house, min_points=10)
    async with served(house) as api:
        caller, _, wallet = await a_rich_member(api, bank, 100)
        other, _, stranger = await a_rich_member(api, bank, 100)
        refused = [
            ({"points_claimed": "9", "destination_address": wallet.address}, 400, "CLAIM_TOO_SMALL"),
            ({"points_claimed": "101", "destination_address": wallet.address}, 409, "NOT_ENOUGH_POINTS"),
            ({"points_claimed": "10", "destination_address": stranger.address}, 403, "ADDRESS_NOT_PROVEN"),
            ({"points_claimed": "10", "destination_address": "nowhere"}, 400, "INVALID_ADDRESS"),
            ({"points_claimed": "-10", "destination_address": wallet.address}, 400, "INVALID_REQUEST"),
            ({"points_claimed": 1.5, "destination_address": wallet.address}, 400, "INVALID_REQUEST"),
            ({"points_claimed": "10", "destination_address": wallet.address, "network": "mars"}, 400, "PAYOUT_OPTION_NOT_FOUND"),
            (
                {"points_claimed": "10", "destination_address": wallet.address, "token_mint": "0x1"},
                400,
                "PAYOUT_OPTION_NOT_FOUND",
            ),
        ]
        for body, status, code in refused:
            answer = await caller("POST", "/api/rewards/claims", body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), body
        assert (await api.platform("POST", "/api/rewards/claims", refused[0][0])).status_code == 401
        made = await caller("POST", "/api/rewards/claims", {"points_claimed": 10, "destination_address": wallet.address})
        assert made.status_code == 202, made.text
        path = f"/api/rewards/claims/{made.json()['id']}"
        assert (await other("GET", path)).json()["code"] == "CLAIM_NOT_FOUND"
        assert (await other("GET", "/api/rewards/claims")).json()["items"] == []
        assert (await caller("GET", path)).status_code == 200


async def test_a_program_reviews_its_own_claims(house: House) -> None:
    bank = await a_bank(house)
    async with served(house) as api:
        program = (await api.platform("GET", "/api/admin/programs")).json()["items"][0]
        own = await api.operator_of(program)
        changed = await own("PATCH", f"/api/admin/programs/{program['brandId']}", {"claimReviewPoints": 50})
        assert changed.json()["claimReviewPoints"] == 50
        caller, _, wallet = await a_rich_member(api, bank)
        asked = {"points_claimed": "60", "destination_address": wallet.address}
        first, second = [(await caller("POST", "/api/rewards/claims", asked)).json() for _ in range(2)]
        listed = (await own("GET", "/api/admin/claims?state=in_review")).json()["items"]
        assert [one["id"] for one in listed] == [second["id"], first["id"]]
        said = await own("POST", f"/api/admin/claims/{first['id']}/refuse", {"reason": "farmed"})
        assert (said.json()["state"], said.json()["reviewNote"]) == ("refused", "farmed")
        seen = (await caller("GET", f"/api/rewards/claims/{first['id']}")).json()
        assert (seen["status"], seen["error_message"]) == ("failed", "farmed")
        said = await own("POST", f"/api/admin/claims/{second['id']}/approve", {"reason": "known"})
        assert said.json()["state"] == "approved"
        again = await own("POST", f"/api/admin/claims/{second['id']}/refuse", {"reason": "no"})
        assert (again.status_code, again.json()["code"]) == (409, "CLAIM_NOT_IN_REVIEW")


async def test_s3_options_are_the_platforms(house: House) -> None:
    bank = await a_bank(house)
    async with served(house) as api:
        options = (await api.platform("GET", "/api/admin/payout-options")).json()["items"]
        (mine,) = [one for one in options if one["tokenAddress"].lower() == bank.token.address.lower()]
        path = f"/api/admin/payout-options/{mine['asset']}/local"
        body = {"tokenAddress": bank.token.address, "atomicNumerator": "10", "minPoints": 5}
        program = (await api.platform("GET", "/api/admin/programs")).json()["items"][0]
        own = await api.operator_of(program)
        assert (await own("PUT", path, body)).json()["code"] == "PLATFORM_ONLY"
        assert (await api.platform("PUT", path, body)).json()["minPoints"] == 5
        # A rate at which the treasury could not pay what was promised is refused.
        unbacked = await api.platform("PUT", path, {**body, "atomicNumerator": "1000"})
        assert (unbacked.status_code, unbacked.json()["code"]) == (409, "PAYOUT_OPTION_UNBACKED")
        other = await api.platform("PUT", path, {**body, "tokenAddress": house.token})
        assert other.json()["code"] == "PAYOUT_OPTION_TOKEN"
