"""`manual-event` over HTTP on a real database: what is accepted, booked and answered, and what is refused without a trace."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.activity.batcher import MAX_WAITING
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.activity.house import BULK, MANUAL, ORIGIN, WALLETS, House, a_house, an_event, count, nothing_here

pytestmark = pytest.mark.every_database

TRACES = (
    "events",
    "event_keys",
    "accruals",
    "postings",
    "claim_counters",
    "cap_counters",
    "accounts",
    "identities",
    "deliveries",
)


async def traces(owner: RawConnection, house: House) -> dict[str, int]:
    return {table: await count(owner, table, house.program_id) for table in TRACES}


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_a_rewarded_event_is_booked_answered_and_waits_for_delivery(database: Database, owner: RawConnection) -> None:
    async with a_house(database, funds=100) as house:
        response = await house.send(
            an_event(metadata={"order_id": "A-1"}, sourceUrl="https://shop.example.com/x", channel_id="c")
        )
        answer = response.json()
        assert response.status_code == 200
        assert answer == {
            "success": True,
            "eventId": answer["eventId"],
            "message": "Event processed",
            "rewardAmount": 10,
            "ltzDistributed": 10,
            "eventType": "order",
            "walletAddress": WALLETS.addresses(["email:ann@example.org"])[0],
            "walletCreated": True,
            "transactionHash": None,
            "replayed": False,
        }
        event = await owner.fetchrow("select * from events where id = $1", UUID(answer["eventId"]))
        assert event is not None
        assert (event["identity"], event["trust"], event["channel"]) == ("email:ann@example.org", "server", "c")
        assert (json.loads(event["metadata"]), event["client_address"]) == ({"order_id": "A-1"}, None)
        accrual = await owner.fetchrow("select * from accruals where id = $1", UUID(answer["eventId"]))
        assert accrual is not None
        assert json.loads(accrual["reasons"]) == [{"rule": "order", "version": 1, "points": 10}]
        delivery = await owner.fetchrow("select * from deliveries where id = $1", accrual["delivery_id"])
        assert delivery is not None
        assert (delivery["state"], delivery["kind"], delivery["points"]) == ("approved", "automatic", 10)
        funds = await owner.fetchrow("select funds, owed from program_balances where program_id = $1", house.program_id)
        assert funds is not None
        assert (funds["funds"], funds["owed"]) == (90, 10)
        work = await owner.fetchrow("select kind, due_at from work where program_id = $1", house.program_id)
        assert work is not None
        assert (work["kind"], work["due_at"] is not None) == ("payouts.reserve", True)
        told = await owner.fetchval(
            "select payload from outbox where program_id = $1 and kind = 'events.accepted'", house.program_id
        )
        assert json.loads(told) == {"events": 1, "points": 10}
        await house.check_books()


async def test_what_an_account_earns_while_it_waits_is_one_delivery(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        for order in range(3):
            assert (await house.send(an_event(idempotencyKey=f"o{order}"))).json()["walletCreated"] is (order == 0)
        rows = await owner.fetch("select points from deliveries where program_id = $1", house.program_id)
        assert [row["points"] for row in rows] == [30]
        assert await owner.fetchval("select version from account_balances where program_id = $1", house.program_id) == 3
        await house.check_books()


async def test_points_that_are_claimed_are_available_and_nothing_is_delivered(database: Database, owner: RawConnection) -> None:
    async with a_house(database, delivery="on_claim") as house:
        assert (await house.send(an_event())).status_code == 200
        balance = await owner.fetchrow("select available, held from account_balances where program_id = $1", house.program_id)
        assert balance is not None
        assert (balance["available"], balance["held"]) == (10, 0)
        assert await count(owner, "deliveries", house.program_id) == 0
        assert await owner.fetchval("select count(*) from work where program_id = $1", house.program_id) == 0
        await house.check_books()


async def test_a_reward_of_zero_is_an_accepted_event_without_a_posting(database: Database, owner: RawConnection) -> None:
    async with a_house(database, funds=0) as house:
        await house.add_rule("cents", 1, unit_field="amount_cents", unit_size=100)
        response = await house.send(an_event(event_type="cents", metadata={"amount_cents": 99}))
        assert (response.status_code, response.json()["rewardAmount"]) == (200, 0)
        found = await traces(owner, house)
        assert (found["events"], found["accruals"], found["claim_counters"], found["postings"]) == (1, 1, 1, 0)
        await house.check_books()


async def test_a_rate_pays_whole_units_and_rounds_down(database: Database) -> None:
    async with a_house(database) as house:
        await house.add_rule("cents", 1, unit_field="amount_cents", unit_size=100, unit_max=1_000)
        rewards = [
            (await house.send(an_event(event_type="cents", idempotencyKey=str(cents), metadata={"amount_cents": cents}))).json()
            for cents in (100, 199, 5_000)
        ]
        assert [answer["rewardAmount"] for answer in rewards] == [1, 1, 10]
        assert code(await house.send(an_event("bob", "cents", metadata={"amount_cents": "5"}))) == (400, "INVALID_METADATA")
        assert code(await house.send(an_event("bob", "cents"))) == (400, "INVALID_METADATA")
        await house.check_books()


async def test_synthetic_addresses_and_platform_ids_are_one_account(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        await house.set_program(synthetic_domain="users.example.net")
        wallets = {
            (await house.send({"eventType": "order", "idempotencyKey": str(index), **person})).json()["walletAddress"]
            for index, person in enumerate(
                [
                    {"userEmail": "discord_0123@loyalteez.app"},
                    {"userEmail": "Discord_0123@Users.Example.Net"},
                    {"userIdentifier": "discord:0123"},
                    {"userIdentifier": {"platform": "discord", "platformUserId": "0123"}},
                ]
            )
        }
        assert wallets == {WALLETS.addresses(["discord:0123"])[0]}
        assert await count(owner, "accounts", house.program_id) == 1


async def test_s5_a_reported_wallet_is_a_hint_and_never_where_tokens_go(database: Database, owner: RawConnection) -> None:
    mine, hers = "0x" + "11" * 20, "0x" + "22" * 20
    async with a_house(database) as house:

        async def stored() -> tuple[str, str | None]:
            row = await owner.fetchrow(
                "select wallet_address, reported_wallet from accounts where program_id = $1", house.program_id
            )
            assert row is not None
            return row["wallet_address"], row["reported_wallet"]

        built_in = WALLETS.addresses(["email:ann@example.org"])[0]
        answer = (await house.browse(an_event(event_type="visit", userWallet=mine))).json()
        assert answer["walletAddress"] == built_in
        assert await stored() == (built_in, mine)
        await house.send(an_event(userWallet=hers, idempotencyKey="1"))
        assert await stored() == (built_in, hers)
        # What anyone can send replaces nothing that is known.
        house.shift.by = timedelta(days=2)
        assert (await house.browse(an_event(event_type="visit", userWallet=mine))).status_code == 200
        assert await stored() == (built_in, hers)
        assert await owner.fetchval("select destination from deliveries where program_id = $1", house.program_id) is None


@pytest.mark.parametrize(
    ("event", "terms", "program", "expected"),
    [
        ({"eventType": "unknown"}, {}, {}, (400, "EVENT_TYPE_NOT_CONFIGURED")),
        ({}, {}, {"automation_enabled": False}, (403, "AUTOMATION_DISABLED")),
        ({"eventType": "other"}, {"enabled": False}, {}, (403, "EVENT_DISABLED")),
        ({"eventType": "other"}, {"channels": ["#support"]}, {}, (403, "CHANNEL_REQUIRED")),
        ({"eventType": "other", "channel_id": "#random"}, {"channels": ["#support"]}, {}, (403, "CHANNEL_NOT_ALLOWED")),
        ({"eventType": "other", "userEmail": "discord_1@loyalteez.app"}, {"requires_email": True}, {}, (400, "EMAIL_REQUIRED")),
        ({"eventType": "other"}, {"reward": 101}, {}, (400, "INSUFFICIENT_BALANCE")),
        ({"eventType": "other"}, {"daily_cap_account": 9}, {}, (429, "DAILY_CAP_REACHED")),
        ({"userEmail": "no address"}, {}, {}, (400, "INVALID_EMAIL")),
        ({"userEmail": "discord_%zz@loyalteez.app"}, {}, {}, (400, "INVALID_EMAIL")),
    ],
)
async def test_s8_a_refused_report_leaves_no_trace(
    database: Database,
    owner: RawConnection,
    event: dict[str, Any],
    terms: dict[str, Any],
    program: dict[str, Any],
    expected: tuple[int, str],
) -> None:
    async with a_house(database, funds=100) as house:
        await house.add_rule("other", **terms)
        await house.set_program(**program)
        before = await traces(owner, house)
        response = await house.send({**an_event(), **event}, Idempotency_Key="k")
        assert code(response) == expected
        assert set(response.json()) >= {"error", "message", "code", "requestId"}
        assert response.headers["x-request-id"] == response.json()["requestId"]
        assert await traces(owner, house) == before


async def test_a_duplicate_within_a_minute_is_409_and_after_it_counts_anew(database: Database) -> None:
    async with a_house(database) as house:
        assert (await house.send(an_event())).status_code == 200
        refused = await house.send(an_event())
        assert code(refused) == (409, "DUPLICATE_EVENT")
        assert refused.json()["error"] == "Duplicate event detected"
        house.shift.by = timedelta(seconds=61)
        assert (await house.send(an_event())).status_code == 200
        await house.check_books()


async def test_s10_cooldown_runs_by_the_databases_clock_and_says_when_it_ends(database: Database) -> None:
    async with a_house(database) as house:
        await house.add_rule("daily", cooldown_hours=24)
        assert (await house.send(an_event(event_type="daily"), Idempotency_Key="1")).status_code == 200
        house.shift.by = timedelta(hours=23, minutes=59)
        refused = await house.send(an_event(event_type="daily"), Idempotency_Key="2")
        assert code(refused) == (429, "COOLDOWN_ACTIVE")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        assert refused.json()["details"]["cooldownEndsAt"]
        house.shift.by = timedelta(hours=24, seconds=1)
        assert (await house.send(an_event(event_type="daily"), Idempotency_Key="2")).status_code == 200


async def test_claims_are_limited_per_user_and_in_total(database: Database) -> None:
    async with a_house(database) as house:
        await house.add_rule("twice", max_claims_per_user=2, max_claims_total=3)
        people = ["ann", "ann", "ann", "bob", "cid"]
        answers = [await house.send(an_event(person, "twice"), Idempotency_Key=str(index)) for index, person in enumerate(people)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 429]
        assert {answer.json()["code"] for answer in answers if answer.status_code == 429} == {"CLAIM_LIMIT_REACHED"}


async def test_caps_start_anew_at_midnight_utc(database: Database) -> None:
    async with a_house(database) as house:
        await house.add_rule("capped", daily_cap_program=25)
        codes = [(await house.send(an_event(str(index), "capped"))).status_code for index in range(4)]
        assert codes == [200, 200, 429, 429]
        house.shift.by = timedelta(days=1)
        assert (await house.send(an_event("next", "capped"))).status_code == 200


async def test_a_change_of_the_rules_counts_from_the_next_report_on(database: Database) -> None:
    async with a_house(database) as house:
        assert (await house.send(an_event())).status_code == 200
        # Not even half a second of the directory's cache is waited for: the batch looks at the version it is decided on.
        await house.set_program(automation_enabled=False)
        assert code(await house.send(an_event("bob"))) == (403, "AUTOMATION_DISABLED")


async def test_the_rewards_of_a_program_with_debts_repay_them_first(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        first = (await house.send(an_event(), Idempotency_Key="1")).json()
        account = await owner.fetchval("select account_id from events where id = $1", UUID(first["eventId"]))
        await owner.execute(
            "update account_balances set debt = 25 where account_id = $1; ".replace("$1", f"'{account}'")
            + f"update program_balances set debt = 25, adjusted = -25 where program_id = '{house.program_id}'; "
            + "insert into postings (program_id, asset_id, kind, ref, from_bucket, to_bucket, amount, account_id, version, available_after,"
            + f" posted_at) values ('{house.program_id}', '{house.asset_id}', 'owe', gen_random_uuid(), 'adjusted', 'debt', 25, '{account}',"
            + f" 2, 0, now()); update account_balances set version = 2 where account_id = '{account}'"
        )
        await house.check_books()
        for key, debt, held in (("2", 15, 10), ("3", 5, 10), ("4", 0, 15), ("5", 0, 25)):
            assert (await house.send(an_event(), Idempotency_Key=key)).json()["rewardAmount"] == 10
            row = await owner.fetchrow("select debt, held, available from account_balances where account_id = $1", account)
            assert row is not None
            assert (row["debt"], row["held"], row["available"]) == (debt, held, 0)
            await house.check_books()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"eventType":"order","userEmail":"a@b.example","metadata":{"n":"' + b"x" * 65_000 + b'"}}', 200),
        (b'{"eventType":"order","userEmail":"a@b.example","metadata":{"n":"' + b"x" * 66_000 + b'"}}', 413),
    ],
)
async def test_the_body_of_an_event_has_64_kilobytes(database: Database, body: bytes, status: int) -> None:
    async with a_house(database) as house:
        assert (await house.signed(MANUAL, body)).status_code == status


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_never_ends_is_refused_early(database: Database, chunked: bool) -> None:
    async with a_house(database) as house:
        sent = 0

        async def endless() -> Any:
            nonlocal sent
            while True:
                sent += 1
                yield b"x" * 16_384

        headers = {} if chunked else {"Content-Length": "1000000"}
        # Not over a socket: there the client would fail at sending, and might not get to see the answer.
        transport = httpx.ASGITransport(house.api.front(nothing_here))
        async with httpx.AsyncClient(transport=transport, base_url="https://events.example") as client:
            response = await client.post(MANUAL, content=endless(), headers=headers)
        assert (response.status_code, response.headers["connection"]) == (413, "close")
        assert sent < 10


async def test_text_plain_is_accepted_as_json_and_anything_else_is_not(database: Database) -> None:
    async with a_house(database) as house:
        body = json.dumps({"brandId": house.brand_id, **an_event(event_type="visit")}).encode()
        beacon = await house.client.post(
            MANUAL, content=body, headers={"Origin": ORIGIN, "Content-Type": "text/plain;charset=UTF-8"}
        )
        assert beacon.status_code == 200
        other = await house.client.post(MANUAL, content=body, headers={"Origin": ORIGIN, "Content-Type": "application/xml"})
        assert code(other) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_malformed_event_is_told_under_both_names(database: Database) -> None:
    async with a_house(database) as house:
        answer = (await house.send({"eventType": 5, "userEmail": "a@b.example"})).json()
        assert answer["error"] == "Invalid event data"
        assert answer["details"] == [{"field": "eventType", "message": "must be a string"}]
        assert answer["errors"] == ["eventType must be a string"]


@pytest.mark.parametrize("path", [MANUAL, BULK])
async def test_other_methods_are_405(database: Database, path: str) -> None:
    async with a_house(database) as house:
        response = await house.client.get(path)
        assert (response.status_code, response.headers["allow"]) == (405, "OPTIONS, POST")


async def test_signed_answers_tell_what_can_be_taken_now(database: Database) -> None:
    async with a_house(database) as house:
        headers = (await house.send(an_event())).headers
        assert headers["x-ratelimit-limit"] == str(MAX_WAITING)
        assert 0 < int(headers["x-ratelimit-remaining"]) <= MAX_WAITING
        assert int(headers["x-ratelimit-reset"]) > 1_700_000_000


async def test_s8_browsers_are_slowed_by_address(database: Database) -> None:
    async with a_house(database, rate_limit_events_a_minute=2) as house:
        answers = [await house.browse(an_event(str(index), "visit")) for index in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers[:2]] == ["1", "0"]
        assert code(answers[2]) == (429, "RATE_LIMITED")
        assert int(answers[2].headers["retry-after"]) > 0


async def test_s1_a_report_reaches_no_other_programs_rows(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as one, a_house(database) as other:
        first = await one.send(an_event(), Idempotency_Key="same")
        second = await other.send(an_event(), Idempotency_Key="same")
        assert (first.status_code, second.status_code) == (200, 200)
        assert first.json()["eventId"] != second.json()["eventId"]
        assert second.json()["replayed"] is False
        # The same person, two accounts, one wallet.
        assert first.json()["walletAddress"] == second.json()["walletAddress"]
        for house in (one, other):
            assert await count(owner, "accounts", house.program_id) == 1
        assert await owner.fetchval("select count(*) from wallets") == 1
