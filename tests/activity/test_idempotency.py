"""Repeats: keys in their scope, signatures, and that only what was booked binds (SAFETY S11, S12)."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from guerdon.activity import keys
from guerdon.earning.terms import Trust
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.programs.admin_keys import create_admin_key
from guerdon.programs.models import AdminRole
from guerdon.programs.schemas import NewAdminKey
from tests.activity.house import BULK, MANUAL, House, a_house, an_event, count
from tests.support.books import NOW

pytestmark = pytest.mark.every_database

BODY = json.dumps(an_event()).encode()


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def first_answer(response: httpx.Response) -> dict[str, object]:
    answer = response.json()
    assert answer.pop("replayed") is True
    assert response.headers["idempotency-replayed"] == "true"
    return answer


async def test_s12_a_repeat_gets_the_first_answer_and_books_nothing(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        first = (await house.send(an_event(), Idempotency_Key="order_123")).json()
        assert first.pop("replayed") is False
        # Permanently: neither the window, nor a rule that is gone, nor a program that is switched off changes it.
        house.shift.by = timedelta(days=400)
        await owner.execute("delete from rules where program_id = $1", house.program_id)
        await house.set_program(automation_enabled=False)
        for _ in range(2):
            assert first_answer(await house.send(an_event(), Idempotency_Key="order_123")) == first
        assert await count(owner, "events", house.program_id) == 1
        await house.check_books()


async def test_s12_a_key_in_the_body_is_the_same_as_one_in_the_header(database: Database) -> None:
    async with a_house(database) as house:
        first = await house.send(an_event(), Idempotency_Key="k")
        again = await house.send(an_event(idempotencyKey="k"))
        assert again.json()["eventId"] == first.json()["eventId"]
        # The signed one counts where both are given.
        other = await house.send(an_event(idempotencyKey="k"), Idempotency_Key="new")
        assert other.json()["eventId"] == first.json()["eventId"]


@pytest.mark.parametrize(
    "change", [{"eventType": "visit"}, {"userEmail": "bob@example.org"}, {"metadata": {"a": 2}}, {"channel_id": "c"}]
)
async def test_s12_another_body_under_the_same_key_is_409(
    database: Database, owner: RawConnection, change: dict[str, object]
) -> None:
    async with a_house(database) as house:
        event = an_event(metadata={"a": 1})
        await house.send(event, Idempotency_Key="k")
        assert code(await house.send({**event, **change}, Idempotency_Key="k")) == (409, "IDEMPOTENCY_CONFLICT")
        # White space, order and unknown fields make no other body.
        spaced = json.dumps({"x": 1, **dict(reversed(event.items()))}, indent=2).encode()
        assert (await house.signed(MANUAL, spaced, Idempotency_Key="k")).json()["replayed"] is True
        assert await count(owner, "events", house.program_id) == 1


async def test_s12_refusals_bind_nothing(database: Database) -> None:
    async with a_house(database, funds=0) as house:
        assert code(await house.send(an_event(), Idempotency_Key="k")) == (400, "INSUFFICIENT_BALANCE")
        await house.fund(10)
        answer = await house.send(an_event(), Idempotency_Key="k")
        assert (answer.status_code, answer.json()["replayed"]) == (200, False)


async def test_s12_a_browser_can_neither_occupy_nor_read_the_key_of_a_server(database: Database) -> None:
    async with a_house(database) as house:
        await house.add_rule("both", open_to_browsers=True)
        from_page = await house.browse(an_event("mallory", "both"), Idempotency_Key="order_123")
        from_server = await house.send(an_event("ann", "both"), Idempotency_Key="order_123")
        assert (from_page.status_code, from_server.status_code) == (200, 200)
        assert from_server.json()["replayed"] is False
        # Nor that of another person's browser.
        other_page = await house.browse(an_event("ann2", "both"), Idempotency_Key="order_123")
        assert other_page.json()["replayed"] is False
        assert (await house.browse(an_event("mallory", "both"), Idempotency_Key="order_123")).json()["replayed"] is True


async def test_s12_a_server_and_an_operator_have_keys_of_their_own(database: Database) -> None:
    async with a_house(database) as house:
        async with database.platform() as session:
            new = NewAdminKey(name="test", role=AdminRole.PROGRAM, brand_id=house.brand_id)
            token = (await create_admin_key(session, new, NOW)).token
        first = await house.send(an_event(), Idempotency_Key="k")
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        other = await house.client.post(MANUAL, json=an_event("bob"), headers=headers)
        assert other.json()["eventId"] != first.json()["eventId"]


def test_s12_the_scope_of_a_key() -> None:
    def scoped(trust: Trust, operation: str = "event", key: str = "k", identity: str = "email:a") -> bytes:
        return keys.idempotency_key_hash(trust, operation, key, identity)

    hashes = [
        scoped(Trust.SERVER),
        scoped(Trust.OPERATOR),
        scoped(Trust.BROWSER),
        scoped(Trust.MEMBER),
        scoped(Trust.BROWSER, identity="email:b"),
        scoped(Trust.SERVER, "reverse-event"),
        scoped(Trust.SERVER, key="kk"),
        keys.line_key_hash(Trust.SERVER, "k", 0),
        keys.line_key_hash(Trust.SERVER, "k", 1),
        keys.signature_hash(keys.signature_of(1, b"k")),
        keys.signature_hash(keys.signature_of(1, b"kk")),
        keys.signature_hash(keys.signature_of(2, b"k")),
        keys.line_signature_hash(keys.signature_of(1, b"k"), 1),
    ]
    assert len(set(hashes)) == len(hashes)
    # Whoever holds a key of the program speaks for all of it.
    assert scoped(Trust.SERVER) == scoped(Trust.SERVER, identity="email:b")
    assert keys.line_signature_hash(signature := keys.signature_of(1, b"k"), 0) == keys.signature_hash(signature)


def test_hashes_of_signatures_lie_in_the_order_of_their_times() -> None:
    times = [1, 255, 256, 1_800_000_000_000, 1_800_000_000_001]
    hashes = [keys.line_signature_hash(keys.signature_of(time, b"k"), line) for time in times for line in (0, 1)]
    assert sorted(hashes, key=lambda value: value[: keys.TIME_BYTES]) == hashes
    assert {len(value) for value in hashes} == {keys.HASH_BYTES}


async def test_s11_a_signature_counts_once_whatever_its_unsigned_headers_say(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        headers = house.signature(BODY)
        first = await house.client.post(MANUAL, content=BODY, headers={**headers, "Idempotency-Key": "k"})
        house.shift.by = timedelta(hours=1)
        for extra in ({}, {"Idempotency-Key": "another"}, {"Idempotency-Key": "k"}, {"Prefer": "wait=1"}):
            replay = await house.client.post(MANUAL, content=BODY, headers={**headers, **extra})
            assert replay.json()["eventId"] == first.json()["eventId"]
        # The stranger's key was not bound to it.
        assert (await house.send(an_event("bob"), Idempotency_Key="another")).json()["replayed"] is False
        assert await count(owner, "events", house.program_id) == 2


async def test_s11_a_keyed_repeat_that_was_signed_anew_can_not_be_replayed_under_another_key(
    database: Database, owner: RawConnection
) -> None:
    async with a_house(database) as house:
        first = await house.send(an_event(), Idempotency_Key="k")
        again = house.signature(BODY)
        await house.client.post(MANUAL, content=BODY, headers={**again, "Idempotency-Key": "k"})
        house.shift.by = timedelta(hours=1)
        replay = await house.client.post(MANUAL, content=BODY, headers={**again, "Idempotency-Key": "mallory"})
        assert replay.json()["eventId"] == first.json()["eventId"]
        assert await count(owner, "events", house.program_id) == 1


async def test_s11_the_signature_of_a_refused_report_is_not_spent(database: Database) -> None:
    async with a_house(database, funds=0) as house:
        headers = house.signature(BODY)
        assert code(await house.client.post(MANUAL, content=BODY, headers=headers)) == (400, "INSUFFICIENT_BALANCE")
        await house.fund(10)
        assert (await house.client.post(MANUAL, content=BODY, headers=headers)).status_code == 200


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("bulk_first", [False, True])
async def test_s11_a_signature_on_another_path_is_401(
    database: Database, owner: RawConnection, keyed: bool, bulk_first: bool
) -> None:
    async with a_house(database) as house:
        # One line of NDJSON is the body of a single event as well.
        body = json.dumps(an_event(**({"idempotencyKey": "k"} if keyed else {}))).encode()
        headers = house.signature(body)
        house.shift.by = timedelta(hours=1)

        async def send(path: str) -> httpx.Response:
            kind = "application/x-ndjson" if path == BULK else "application/json"
            return await house.client.post(path, content=body, headers={**headers, "Content-Type": kind})

        paths = (BULK, MANUAL) if bulk_first else (MANUAL, BULK)
        assert (await send(paths[0])).status_code == 200
        refused = (await send(paths[1])).json()
        assert (refused if bulk_first else refused["results"][0])["code"] == "REPLAYED_SIGNATURE"
        assert await count(owner, "events", house.program_id) == 1


async def bulk(house: House, events: list[dict[str, object]], **headers: str) -> list[dict[str, object]]:
    response = await house.signed(BULK, json.dumps({"events": events}).encode(), **headers)
    assert response.status_code == 200
    results: list[dict[str, object]] = response.json()["results"]
    return results


async def test_s11_a_bulk_that_is_replayed_books_nothing(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        body = json.dumps({"events": [an_event("ann"), an_event("bob"), an_event("cid", idempotencyKey="c")]}).encode()
        headers = house.signature(body)
        first = (await house.client.post(BULK, content=body, headers={**headers, "Idempotency-Key": "k"})).json()["results"]
        house.shift.by = timedelta(hours=1)
        for key in ("k", "other"):
            again = (await house.client.post(BULK, content=body, headers={**headers, "Idempotency-Key": key})).json()["results"]
            assert [result["eventId"] for result in again] == [result["eventId"] for result in first]
        assert await count(owner, "events", house.program_id) == 3


async def test_s12_the_key_of_a_bulk_counts_for_each_of_its_lines(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        events = [an_event("ann"), an_event("ann"), an_event("bob")]
        first = await bulk(house, events, Idempotency_Key="k")
        # Keyed, so the second is no accidental duplicate of the first.
        assert [result["success"] for result in first] == [True, True, True]
        house.shift.by = timedelta(hours=1)
        again = await bulk(house, events, Idempotency_Key="k")
        assert [result["eventId"] for result in again] == [result["eventId"] for result in first]
        moved = await bulk(house, list(reversed(events)), Idempotency_Key="k")
        assert [result.get("code") for result in moved] == ["IDEMPOTENCY_CONFLICT", None, "IDEMPOTENCY_CONFLICT"]
        assert await count(owner, "events", house.program_id) == 3


async def test_s12_what_was_sent_alone_and_again_in_bulk_is_a_repeat(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        alone = (await house.send(an_event(idempotencyKey="order_1"))).json()
        [result] = await bulk(house, [an_event(idempotencyKey="order_1")])
        assert (result["eventId"], result["replayed"]) == (alone["eventId"], True)
        assert await count(owner, "events", house.program_id) == 1


async def test_the_first_answer_says_whether_the_wallet_was_made_then(database: Database) -> None:
    async with a_house(database) as house:
        events = [an_event(idempotencyKey="1"), an_event(idempotencyKey="2"), an_event("bob", idempotencyKey="3")]
        assert [result["walletCreated"] for result in await bulk(house, events)] == [True, False, True]
        assert [result["walletCreated"] for result in await bulk(house, events)] == [True, False, True]
