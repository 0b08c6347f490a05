"""`bulk-events`: each event with its own result, one bad line harms no other, and the same decision as for single events."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from guerdon.activity import batcher
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.activity.house import BULK, ORIGIN, House, a_house, an_event, count


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def lines(events: list[Any]) -> bytes:
    return b"\n".join(event if isinstance(event, bytes) else json.dumps(event).encode() for event in events)


async def ndjson(house: House, events: list[Any], **headers: str) -> httpx.Response:
    return await house.signed(BULK, lines(events), Content_Type="application/x-ndjson", **headers)


async def test_one_hundred_events_as_json(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        body = json.dumps({"events": [an_event(str(index)) for index in range(100)]}).encode()
        answer = (await house.signed(BULK, body)).json()
        assert (answer["success"], answer["processed"], answer["failed"]) == (True, 100, 0)
        assert answer["results"][7]["rewardAmount"] == 10
        assert set(answer["results"][7]) >= {"success", "eventId", "message", "rewardAmount", "walletAddress", "walletCreated"}
        assert await count(owner, "events", house.program_id) == 100
        await house.check_books()


async def test_the_limits_of_a_bulk(database: Database) -> None:
    async with a_house(database) as house:
        too_many = json.dumps({"events": [an_event()] * 101}).encode()
        assert code(await house.signed(BULK, too_many)) == (400, "TOO_MANY_EVENTS")
        assert code(await ndjson(house, [b"{}"] * 10_001)) == (400, "TOO_MANY_EVENTS")
        assert code(await ndjson(house, [])) == (400, "INVALID_EVENT")
        for body in ({"events": []}, {"events": {}}, {"events": None}, {}):
            refused = await house.signed(BULK, json.dumps(body).encode())
            assert code(refused) == (400, "INVALID_EVENT")
            assert refused.json()["details"][0]["field"] == "events"
        assert code(await house.signed(BULK, b'{"events":[{}],"events":[{}]}')) == (400, "INVALID_EVENT")


async def test_a_bulk_that_is_too_large_is_refused(database: Database) -> None:
    async with a_house(database, max_bulk_body_bytes=2_000) as house:
        assert code(await ndjson(house, [an_event()] * 100)) == (413, "PAYLOAD_TOO_LARGE")


async def test_s9_one_bad_line_harms_no_other(database: Database, owner: RawConnection) -> None:
    bad: list[tuple[Any, str]] = [
        (b"{", "INVALID_EVENT"),
        (b'{"metadata":"\\ud800"}', "INVALID_EVENT"),
        (b'{"eventType":"order","userEmail":"a@b.example","metadata":{"n":"\\u0000"}}', "INVALID_EVENT"),
        (b"[" * 20_000, "INVALID_EVENT"),
        (b'{"eventType":"order","userEmail":"a@b.example","metadata":{"n":1e200000}}', "INVALID_EVENT"),
        (b'{"eventType":"order","userEmail":"a@b.example","x":"\xff"}', "INVALID_EVENT"),
        (b"[]", "INVALID_EVENT"),
        (b"null", "INVALID_EVENT"),
        (b'{"a":"' + b"x" * 70_000 + b'"}', "PAYLOAD_TOO_LARGE"),
        ({"eventType": "order"}, "MISSING_FIELDS"),
        (an_event(event_type="nothing"), "EVENT_TYPE_NOT_CONFIGURED"),
        ({"eventType": "order", "userEmail": "x"}, "INVALID_EMAIL"),
        (an_event("zed", brandId="0x" + "1" * 40), "PROGRAM_MISMATCH"),
    ]
    async with a_house(database) as house:
        events: list[Any] = []
        for index, (line, _) in enumerate(bad):
            events += [an_event(f"good{index}"), line]
        answer = (await ndjson(house, events)).json()
        assert (answer["success"], answer["processed"], answer["failed"]) == (False, len(bad), len(bad))
        assert [result["success"] for result in answer["results"]] == [True, False] * len(bad)
        assert [result["code"] for result in answer["results"][1::2]] == [expected for _, expected in bad]
        assert all(result["error"] and result["message"] for result in answer["results"][1::2])
        assert await count(owner, "events", house.program_id) == len(bad)
        await house.check_books()


async def test_blank_lines_and_windows_line_ends_are_no_events(database: Database) -> None:
    async with a_house(database) as house:
        body = b"\n" + json.dumps(an_event("a")).encode() + b"\r\n\r\n  \n" + json.dumps(an_event("b")).encode() + b"\n"
        answer = (await house.signed(BULK, body, Content_Type="application/x-ndjson; charset=utf-8")).json()
        assert (answer["processed"], answer["failed"]) == (2, 0)


async def test_events_of_one_person_are_decided_in_their_order(database: Database) -> None:
    async with a_house(database, funds=25) as house:
        await house.add_rule("once", max_claims_per_user=1)
        events = [
            an_event("ann", "once", idempotencyKey="1"),
            an_event("ann", "once", idempotencyKey="2"),
            an_event("ann", "once", idempotencyKey="1"),
            an_event("bob", idempotencyKey="3"),
            an_event("cid", idempotencyKey="4"),
        ]
        results = (await ndjson(house, events)).json()["results"]
        assert [result.get("code", result["success"]) for result in results] == [
            True,
            "CLAIM_LIMIT_REACHED",
            True,
            True,
            "INSUFFICIENT_BALANCE",
        ]
        assert results[2]["eventId"] == results[0]["eventId"]
        await house.check_books()


@pytest.mark.slow
async def test_ten_thousand_lines_of_two_thousand_people(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        events = [an_event(str(index % 2_000), idempotencyKey=str(index)) for index in range(10_000)]
        answer = (await ndjson(house, events)).json()
        assert (answer["processed"], answer["failed"]) == (10_000, 0)
        assert len({result["eventId"] for result in answer["results"]}) == 10_000
        assert await count(owner, "accounts", house.program_id) == 2_000
        sums = await owner.fetchrow(
            "select sum(earned) as earned, sum(version) as version from account_balances where program_id = $1", house.program_id
        )
        assert sums is not None
        assert (sums["earned"], sums["version"]) == (100_000, 10_000)
        await house.check_books()


async def test_a_bulk_from_a_page_is_checked_event_by_event(database: Database) -> None:
    async with a_house(database) as house, a_house(database, domains=("other.example",)) as other:
        events = [
            {"brandId": house.brand_id, **an_event("a", "visit")},
            {"brandId": other.brand_id, **an_event("b", "visit")},
            {"brandId": house.brand_id, **an_event("c", "order")},
            an_event("d", "visit"),
        ]
        response = await house.client.post(BULK, json={"events": events}, headers={"Origin": ORIGIN})
        codes = [result.get("code") for result in response.json()["results"]]
        assert codes == [None, "DOMAIN_NOT_AUTHORIZED", "NOT_OPEN_TO_BROWSERS", "PROGRAM_REQUIRED"]
        assert response.headers["x-ratelimit-limit"] == "6000"


async def test_an_unsigned_bulk_is_slowed_event_by_event(database: Database) -> None:
    async with a_house(database, rate_limit_events_a_minute=3) as house:
        events = [{"brandId": house.brand_id, **an_event(str(index), "visit")} for index in range(5)]
        response = await house.client.post(BULK, json={"events": events}, headers={"Origin": ORIGIN})
        assert [result.get("code") for result in response.json()["results"]] == [None, None, None, "RATE_LIMITED", "RATE_LIMITED"]


async def test_a_bulk_may_hold_events_of_several_programs(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house, a_house(database) as other:
        for each in (house, other):
            await each.set_program(unsigned_reports=True)
        events = [
            {"brandId": each.brand_id, "domain": "shop.example.com", **an_event(str(index), "visit")}
            for index, each in enumerate([house, other, house])
        ]
        response = await house.client.post(BULK, json={"events": events})
        assert response.json()["processed"] == 3
        assert [await count(owner, "events", each.program_id) for each in (house, other)] == [2, 1]


async def test_a_wrong_signature_refuses_the_whole_bulk(database: Database) -> None:
    async with a_house(database) as house:
        body = json.dumps({"events": [an_event()]}).encode()
        response = await house.client.post(
            BULK, content=body, headers={**house.signature(body), "X-Loyalteez-Signature": "0" * 64}
        )
        assert code(response) == (401, "INVALID_SIGNATURE")


async def test_a_bulk_that_does_not_fit_is_refused_whole_and_leaves_its_room(
    database: Database, owner: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "MAX_WAITING_BULK", 10)
    async with a_house(database) as house:
        refused = await ndjson(house, [an_event(str(index)) for index in range(11)])
        assert code(refused) == (503, "UNAVAILABLE")
        assert int(refused.headers["retry-after"]) > 0
        assert await count(owner, "events", house.program_id) == 0
        # Refused lines give their room back too.
        for start in (0, 10, 20):
            events = [an_event(str(start + index), "order" if index % 2 else "no such") for index in range(10)]
            assert (await ndjson(house, [*events[:9], b"{"])).status_code == 200
        assert house.api.reception.batcher.waiting == 0


async def test_bulk_requests_at_once_are_bounded(database: Database) -> None:
    async with a_house(database) as house:
        slots = house.api.reception.bulk_slots
        for _ in range(8):
            await slots.acquire()
        assert code(await ndjson(house, [an_event()])) == (503, "UNAVAILABLE")
        slots.release()
        assert (await ndjson(house, [an_event()])).status_code == 200
