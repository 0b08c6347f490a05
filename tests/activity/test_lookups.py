"""Look-ups of the event handler over the whole application: what is rewarded, who could earn it, what somebody has."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.activity.house import MANUAL, ORIGIN, a_house, an_event
from tests.support.api import Caller, Running, running, settings_for
from tests.support.books import NOW
from tests.support.postgres import Urls

CONFIG = "/loyalteez-api/event-config"
ELIGIBLE = "/loyalteez-api/check-eligibility"
BALANCE = "/loyalteez-api/user-balance"
ANN = {"userEmail": "ann@example.org"}


@dataclass
class Shop:
    """A program with its documented event types and funds, in a running application."""

    api: Running
    program: dict[str, Any]
    operator: Caller

    @property
    def brand_id(self) -> str:
        return self.program["brandId"]

    async def signed(self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        raw = b"" if body is None else json.dumps(body).encode()
        timestamp = str(round(time.time() * 1000))
        signature = hmac.digest(
            self.program["securityKey"].encode(), f"{timestamp}:{self.brand_id}:".encode() + raw, "sha256"
        ).hex()
        sent = {
            "X-Loyalteez-Brand-Id": self.brand_id,
            "X-Loyalteez-Timestamp": timestamp,
            "X-Loyalteez-Signature": signature,
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self.api.client.request(method, path, content=raw, headers=sent)

    async def allow_unsigned_lookups(self) -> None:
        answer = await self.operator("PATCH", f"/api/admin/programs/{self.brand_id}", {"unsignedLookups": True})
        assert answer.status_code == 200, answer.text
        deadline = time.monotonic() + 1
        while (await self.api.client.post(BALANCE, json={"brandId": self.brand_id, **ANN})).status_code != 200:
            assert time.monotonic() < deadline, "a change is known within a second"


@pytest.fixture
async def shop(database_urls: Urls, database: Database) -> AsyncIterator[Shop]:
    async with running(settings_for(database_urls.app)) as api:
        program = await api.program(domains=["shop.example.com"])
        async with database.program(UUID(program["id"])) as session:
            asset = await asset_of(database, program)
            await ledger.post(session, UUID(program["id"]), [Movement(PostingKind.FUND, uuid7(), asset, 10_000)], NOW)
        yield Shop(api, program, await api.operator_of(program))


async def asset_of(database: Database, program: dict[str, Any]) -> UUID:
    from guerdon.programs.models import Program

    async with database.platform() as session:
        return (await session.get_one(Program, UUID(program["id"]))).asset_id


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_event_config_tells_what_is_rewarded_to_whoever_asks(shop: Shop) -> None:
    detection = [{"method": "url_pattern", "config": {"urlPatterns": ["/thanks"]}}]
    made = await shop.operator("POST", "/api/admin/rules", {"name": "Visit the shop", "reward": 3, "detection": detection})
    await shop.operator("POST", "/api/admin/rules", {"eventType": "hidden", "reward": 3, "enabled": False})
    response = await shop.api.client.get(
        CONFIG, params={"brandId": shop.brand_id.upper().replace("0X", "0x")}, headers={"Origin": ORIGIN}
    )
    config = response.json()
    assert (response.status_code, config["success"], config["brandId"], config["count"]) == (200, True, shop.brand_id, 7)
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.headers["access-control-allow-origin"] == ORIGIN
    by_type = {event["eventType"]: event for event in config["events"]}
    assert "hidden" not in by_type
    survey = by_type["complete_survey"]
    assert (survey["eventId"], survey["rewardAmount"], survey["maxClaims"], survey["cooldownHours"]) == (
        "complete_survey",
        75,
        -1,
        24,
    )
    assert (survey["detectionMethod"], survey["detectionConfig"], survey["isCustom"]) == (
        None,
        {"urlPatterns": [], "successSelectors": []},
        False,
    )
    custom = by_type[made.json()["eventType"]]
    assert (custom["name"], custom["eventId"], custom["isCustom"]) == ("Visit the shop", custom["eventType"], True)
    assert (custom["detectionMethod"], custom["detectionConfig"]["urlPatterns"]) == ("url_pattern", ["/thanks"])


async def test_event_config_names_the_program_or_its_trouble(shop: Shop) -> None:
    assert (await shop.api.client.get(CONFIG)).status_code == 200
    unknown = await shop.api.client.get(CONFIG, params={"brandId": "0x" + "1" * 40})
    assert code(unknown) == (404, "PROGRAM_NOT_FOUND")
    assert code(await shop.api.client.get(CONFIG, params={"brandId": "0x1"})) == (400, "INVALID_BRAND_ID")


async def test_eligibility_is_what_the_report_would_get(shop: Shop) -> None:
    question = {"brandId": shop.brand_id, "eventType": "complete_survey", **ANN}
    before = (await shop.signed("POST", ELIGIBLE, question)).json()
    assert before == {
        "eligible": True,
        "reason": None,
        "code": None,
        "cooldownEndsAt": None,
        "claimCount": 0,
        "maxClaims": -1,
        "rewardAmount": 75,
    }
    assert (await shop.signed("POST", MANUAL, question, Idempotency_Key="1")).json()["rewardAmount"] == 75
    after = (await shop.signed("POST", ELIGIBLE, question)).json()
    assert (after["eligible"], after["code"], after["claimCount"]) == (False, "DUPLICATE_EVENT", 1)
    unknown = (await shop.signed("POST", ELIGIBLE, {**question, "eventType": "nothing"})).json()
    assert (unknown["eligible"], unknown["code"], unknown["rewardAmount"]) == (False, "EVENT_TYPE_NOT_CONFIGURED", 0)


async def test_eligibility_tells_when_a_cooldown_ends(database: Database) -> None:
    from guerdon.activity.authentication import Caller as Sender
    from guerdon.activity.schemas import decode_object, parse_report
    from guerdon.activity.service import eligibility
    from guerdon.earning.terms import Trust

    async with a_house(database) as house:
        assert (await house.browse(an_event(event_type="visit"))).status_code == 200
        program = await house.api.reception.directory.by_id(house.program_id)
        assert program is not None
        house.shift.by = timedelta(hours=2)
        body = parse_report(decode_object(json.dumps(an_event(event_type="visit")).encode()))
        async with database.program(house.program_id) as session:
            found = await eligibility(session, Sender(program, Trust.BROWSER, None, "198.51.100.7", None), body, house.shift)
        assert (found.eligible, found.code, found.claim_count) == (False, "COOLDOWN_ACTIVE", 1)
        assert found.cooldown_ends_at is not None


async def test_eligibility_for_a_rate_needs_no_amount(shop: Shop) -> None:
    reward = {"field": "amount_cents", "unit": 100, "reward": 1}
    await shop.operator("POST", "/api/admin/rules", {"eventType": "place_order", "reward": reward})
    question = {"brandId": shop.brand_id, "eventType": "place_order", **ANN}
    assert (await shop.signed("POST", ELIGIBLE, question)).json()["eligible"] is True
    known = await shop.signed("POST", ELIGIBLE, {**question, "metadata": {"amount_cents": 250}})
    assert known.json()["rewardAmount"] == 2


async def test_s11_the_signature_of_a_question_can_not_be_sent_as_a_report(shop: Shop, owner: RawConnection) -> None:
    question = {"brandId": shop.brand_id, "eventType": "complete_survey", **ANN}
    asked = await shop.signed("POST", ELIGIBLE, question)
    headers = {name: value for name, value in asked.request.headers.items() if name.startswith(("x-loyalteez", "content-type"))}
    again = await shop.api.client.post(ELIGIBLE, content=asked.request.content, headers=headers)
    assert again.json()["eligible"] is True
    replayed = await shop.api.client.post(MANUAL, content=asked.request.content, headers=headers)
    assert code(replayed) == (401, "REPLAYED_SIGNATURE")
    assert await owner.fetchval("select count(*) from events") == 0
    # Nor the other way round.
    reported = await shop.signed("POST", MANUAL, {**question, "userEmail": "bob@example.org"})
    headers = {
        name: value for name, value in reported.request.headers.items() if name.startswith(("x-loyalteez", "content-type"))
    }
    turned = await shop.api.client.post(ELIGIBLE, content=reported.request.content, headers=headers)
    assert code(turned) == (401, "REPLAYED_SIGNATURE")


async def test_s11_the_signature_of_one_persons_balance_is_none_for_anothers(shop: Shop) -> None:
    asked = await shop.signed("GET", f"{BALANCE}?userEmail=ann%40example.org")
    headers = {name: value for name, value in asked.request.headers.items() if name.startswith("x-loyalteez")}
    again = await shop.api.client.get(f"{BALANCE}?userEmail=ann%40example.org", headers=headers)
    assert (asked.status_code, again.status_code) == (200, 200)
    # The address is not signed, so the signature is kept for the question that it came with first.
    other = await shop.api.client.get(f"{BALANCE}?userEmail=bob%40example.org", headers=headers)
    assert code(other) == (401, "REPLAYED_SIGNATURE")


@pytest.mark.parametrize("path", [ELIGIBLE, BALANCE])
async def test_questions_about_people_need_a_proof_unless_the_program_allows_it(shop: Shop, path: str) -> None:
    question = {"brandId": shop.brand_id, "eventType": "complete_survey", **ANN}
    for headers in ({}, {"Origin": ORIGIN}):
        assert code(await shop.api.client.post(path, json=question, headers=headers)) == (401, "PROOF_REQUIRED")
    assert (await shop.operator("POST", path, question)).status_code == 200
    await shop.allow_unsigned_lookups()
    assert (await shop.api.client.post(path, json=question, headers={"Origin": ORIGIN})).status_code == 200


async def test_history_is_never_told_unsigned(shop: Shop) -> None:
    await shop.allow_unsigned_lookups()
    asked = {"brandId": shop.brand_id, **ANN, "includeHistory": True}
    assert code(await shop.api.client.post(BALANCE, json=asked)) == (401, "PROOF_REQUIRED")
    params = {"brandId": shop.brand_id, **ANN, "includeHistory": "true"}
    assert code(await shop.api.client.get(BALANCE, params=params)) == (401, "PROOF_REQUIRED")


async def test_a_balance_is_what_is_booked_where_there_is_no_chain(shop: Shop) -> None:
    nobody = (await shop.signed("POST", BALANCE, {"brandId": shop.brand_id, **ANN})).json()
    assert (nobody["balance"], nobody["pending"], nobody["onChain"], nobody["history"]) == (0, 0, None, None)
    for event_type, key in (("complete_survey", "1"), ("form_submit", "2")):
        answer = await shop.signed("POST", MANUAL, {"eventType": event_type, **ANN}, Idempotency_Key=key)
        assert answer.json()["walletAddress"] == nobody["walletAddress"]
    asked = {"brandId": shop.brand_id, **ANN, "includeHistory": True, "historyLimit": 1}
    found = (await shop.signed("POST", BALANCE, asked)).json()
    assert (found["balance"], found["ltzBalance"], found["pending"]) == (85, 85, 85)
    assert [(entry["eventType"], entry["amount"], entry["transactionHash"]) for entry in found["history"]] == [
        ("form_submit", 10, None)
    ]
    by_address = await shop.signed("GET", f"{BALANCE}?brandId={shop.brand_id}&userEmail=ann%40example.org&includeHistory=1")
    assert [entry["eventType"] for entry in by_address.json()["history"]] == ["form_submit", "complete_survey"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"userEmail": 5}, "userEmail"),
        ({"historyLimit": 51}, "historyLimit"),
        ({"historyLimit": 0}, "historyLimit"),
        ({"historyLimit": "ten"}, "historyLimit"),
        ({"historyLimit": True}, "historyLimit"),
        ({"includeHistory": "maybe"}, "includeHistory"),
        ({"includeHistory": []}, "includeHistory"),
        ({"brandId": 7}, "brandId"),
    ],
)
async def test_s9_a_wrong_question_names_its_field(shop: Shop, change: dict[str, Any], field: str) -> None:
    response = await shop.signed("POST", BALANCE, {"brandId": shop.brand_id, **ANN, **change})
    assert response.status_code == 400
    assert response.json()["details"][0]["field"] == field


async def test_a_question_without_a_person_is_told_so(shop: Shop) -> None:
    response = await shop.signed("POST", BALANCE, {"brandId": shop.brand_id})
    assert (code(response), response.json()["message"]) == ((400, "MISSING_FIELDS"), "brandId and userEmail are required")
    assert (await shop.signed("GET", f"{BALANCE}?userEmail=x")).status_code == 400


async def test_s1_one_program_sees_nothing_of_another(shop: Shop) -> None:
    await shop.signed("POST", MANUAL, {"eventType": "complete_survey", **ANN})
    other = await shop.api.program("Other")
    stranger = await shop.api.operator_of(other)
    assert code(await stranger("POST", BALANCE, {"brandId": shop.brand_id, **ANN})) == (400, "PROGRAM_MISMATCH")
    assert (await stranger("POST", BALANCE, ANN)).json()["balance"] == 0


async def test_health_and_debug_tell_no_secrets(shop: Shop) -> None:
    health = await shop.api.client.get("/loyalteez-api/health")
    assert (health.status_code, health.json()["status"]) == (200, "healthy")
    assert health.json()["services"] == {"intake": "healthy", "database": "healthy"}
    debug = (await shop.api.client.get("/loyalteez-api/debug")).json()
    assert (debug["roles"], debug["waitingEvents"]) == (["all"], 0)
    assert set(debug) == {"version", "roles", "timestamp", "schemaVersion", "waitingEvents", "lagsSeconds"}
    assert shop.program["securityKey"] not in json.dumps(debug)
