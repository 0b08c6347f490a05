"""Reports at once: in one process and in two, limits, funds and keys are exact, and every guard of the write is needed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from sqlalchemy import select

from guerdon.accounts.models import Account
from guerdon.activity import booking, repository_booking
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import AccountBalance, PostingKind
from guerdon.ledger.postings import Movement
from tests.activity.house import BULK, House, a_house, a_process, an_event, count
from tests.support import postgres
from tests.support.books import NOW

pytestmark = pytest.mark.every_database


def tally(answers: list[httpx.Response]) -> Counter[str]:
    return Counter("repeat" if answer.json().get("replayed") else answer.json().get("code", "booked") for answer in answers)


async def test_sixty_four_identical_events_with_one_key_earn_once(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        answers = await asyncio.gather(*(house.send(an_event(), Idempotency_Key="k") for _ in range(64)))
        assert tally(answers) == {"booked": 1, "repeat": 63}
        assert len({answer.json()["eventId"] for answer in answers}) == 1
        assert await count(owner, "postings", house.program_id) == 2
        await house.check_books()


async def test_sixty_four_identical_events_without_a_key_earn_once(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        answers = await asyncio.gather(*(house.send(an_event(metadata={"n": n})) for n in range(64)))
        assert tally(answers) == {"booked": 1, "DUPLICATE_EVENT": 63}
        assert await count(owner, "postings", house.program_id) == 2
        await house.check_books()


async def test_s11_one_signature_sixty_four_times_at_once_counts_once(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        body = json.dumps(an_event()).encode()
        headers = house.signature(body)
        post = house.client.post
        answers = await asyncio.gather(
            *(
                post("/loyalteez-api/manual-event", content=body, headers={**headers, "Idempotency-Key": str(n)})
                for n in range(64)
            )
        )
        assert tally(answers) == {"booked": 1, "repeat": 63}


@dataclass
class TwoProcesses:
    """Two web processes on one database; `either` sends with one or the other."""

    house: House
    other: House

    def either(self, number: int) -> House:
        return self.other if number % 2 else self.house


@asynccontextmanager
async def two_processes(database: Database, urls: postgres.Urls, **terms: Any) -> AsyncIterator[TwoProcesses]:
    second = Database(urls.app)
    async with a_house(database, **terms) as house, a_process(second) as (api, client):
        yield TwoProcesses(house, replace(house, api=api, client=client))
    await second.close()


async def test_s10_two_processes_reward_one_person_once(
    database: Database, database_urls: postgres.Urls, owner: RawConnection
) -> None:
    async with two_processes(database, database_urls) as both:
        for person in range(8):
            answers = await asyncio.gather(*(both.either(n).send(an_event(f"p{person}", metadata={"n": n})) for n in range(16)))
            assert tally(answers) == {"booked": 1, "DUPLICATE_EVENT": 15}
        assert await count(owner, "accounts", both.house.program_id) == 8
        await both.house.check_books()


async def test_s12_two_processes_book_one_key_once(
    database: Database, database_urls: postgres.Urls, owner: RawConnection
) -> None:
    async with two_processes(database, database_urls) as both:
        answers = await asyncio.gather(
            *(both.either(n).send(an_event("ann", idempotencyKey=f"k{n % 8}")) for n in range(96)),
            # The same key for somebody else is a conflict, whoever comes first.
            *(both.either(n + 1).send(an_event("bob", idempotencyKey=f"k{n % 8}")) for n in range(32)),
        )
        found = tally(answers)
        assert found["booked"] == 8
        assert found["booked"] + found["repeat"] + found["IDEMPOTENCY_CONFLICT"] == 128
        assert await count(owner, "events", both.house.program_id) == 8
        await both.house.check_books()


async def test_s10_limits_are_exact_between_two_processes(
    database: Database, database_urls: postgres.Urls, owner: RawConnection
) -> None:
    async with two_processes(database, database_urls) as both:
        await both.house.add_rule("total", 10, max_claims_total=17)
        await both.house.add_rule("daily", 10, daily_cap_program=250)
        await both.house.add_rule("mine", 10, daily_cap_account=50)
        sent = [
            (
                event_type,
                both.either(n).send(
                    an_event(person if event_type == "mine" else f"p{n}", event_type, idempotencyKey=f"{event_type}{n}")
                ),
            )
            for n in range(60)
            for event_type, person in (("total", ""), ("daily", ""), ("mine", "ann"))
        ]
        answers = await asyncio.gather(*(request for _, request in sent))
        booked = Counter(event_type for (event_type, _), answer in zip(sent, answers, strict=True) if answer.status_code == 200)
        assert booked == {"total": 17, "daily": 25, "mine": 5}
        assert {answer.status_code for answer in answers} == {200, 429}
        rows = await owner.fetch("select used from cap_counters where program_id = $1 order by used", both.house.program_id)
        assert [row["used"] for row in rows] == [17, 50, 250]
        await both.house.check_books()


async def test_funds_are_exactly_exhausted_by_two_processes(
    database: Database, database_urls: postgres.Urls, owner: RawConnection
) -> None:
    async with two_processes(database, database_urls, funds=505) as both:
        answers = await asyncio.gather(*(both.either(n).send(an_event(f"p{n}")) for n in range(100)))
        assert tally(answers) == {"booked": 50, "INSUFFICIENT_BALANCE": 50}
        assert await owner.fetchval("select funds from program_balances where program_id = $1", both.house.program_id) == 5
        await both.house.check_books()


async def test_s9_when_the_funds_run_out_in_between_only_the_later_arrivals_are_refused(
    database: Database, owner: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six rewards were decided while there were funds for all of them; when they are taken, there are for three and a half."""
    async with a_house(database, funds=65) as house:
        await house.send(an_event("warm"))
        spend = elsewhere(*(an_event(f"other{n}") for n in range(2)))
        async with between_load_and_write(monkeypatch, house, spend):
            results = await house.signed_bulk([an_event(f"p{n}") for n in range(6)])
        assert [result.get("code", "booked") for result in results] == ["booked"] * 3 + ["INSUFFICIENT_BALANCE"] * 3
        assert await owner.fetchval("select funds from program_balances where program_id = $1", house.program_id) == 5
        assert await count(owner, "events", house.program_id) == 6
        # A refusal binds nothing: once there are funds, the same reports are booked.
        await house.fund(100)
        again = await house.signed_bulk([an_event(f"p{n}") for n in range(3, 6)])
        assert [result["success"] for result in again] == [True] * 3
        await house.check_books()


async def test_bulk_and_single_events_of_the_same_people_are_exact_together(
    database: Database, database_urls: postgres.Urls, owner: RawConnection
) -> None:
    async with two_processes(database, database_urls) as both:
        events = [an_event(f"p{n % 20}", idempotencyKey=f"k{n}") for n in range(400)]
        body = b"\n".join(json.dumps(event).encode() for event in events)
        in_bulk, *alone = await asyncio.gather(
            both.house.signed(BULK, body, Content_Type="application/x-ndjson"),
            *(both.other.send(event) for event in events[::4]),
        )
        ids = [result["eventId"] for result in in_bulk.json()["results"]]
        assert [answer.json()["eventId"] for answer in alone] == ids[::4]
        assert await count(owner, "events", both.house.program_id) == 400
        assert (
            await owner.fetchval("select sum(earned) from account_balances where program_id = $1", both.house.program_id) == 4_000
        )
        await both.house.check_books()


Interference = Callable[[House], Awaitable[None]]


@asynccontextmanager
async def between_load_and_write(
    monkeypatch: pytest.MonkeyPatch, house: House, interfere: Interference
) -> AsyncIterator[list[str]]:
    """Run `interfere` once, after a batch was loaded and decided and before it is written; yields the conflicts met."""
    write = repository_booking.write
    conflicts: list[str] = []
    pending = [interfere]

    async def late(*args: Any) -> Any:
        if pending:
            await pending.pop()(house)
        try:
            return await write(*args)
        except repository_booking.ConflictingWriteError as conflict:
            conflicts.append(str(conflict))
            raise
        except asyncpg.UniqueViolationError as conflict:
            conflicts.append(conflict.table_name)
            raise

    monkeypatch.setattr(repository_booking, "write", late)
    yield conflicts
    monkeypatch.setattr(repository_booking, "write", write)


async def book_elsewhere(house: House, *events: dict[str, Any]) -> None:
    """Another process books these, while the first is between its load and its write."""
    second = Database(house.database._dsn.replace("postgres://", "postgresql://"))
    write = booking.repository_booking.write
    booking.repository_booking.write = _ORIGINAL_WRITE
    try:
        async with a_process(second, shift=house.shift) as (api, client):
            other = replace(house, api=api, client=client)
            for event in events:
                assert (await other.send(event)).status_code == 200
    finally:
        booking.repository_booking.write = write
        await second.close()


_ORIGINAL_WRITE = repository_booking.write


def elsewhere(*events: dict[str, Any]) -> Interference:
    return lambda house: book_elsewhere(house, *events)


async def owe(house: House) -> None:
    """Something is taken back from everybody who has no more of it."""
    async with house.database.program(house.program_id) as session:
        balances = await session.scalars(select(AccountBalance).where(AccountBalance.program_id == house.program_id))
        movements = [Movement(PostingKind.OWE, uuid7(), house.asset_id, 3, balance.account_id) for balance in balances]
        await ledger.post(session, house.program_id, movements, NOW)


GUARDS: list[tuple[str, str, Interference, str]] = [
    # (what changes meanwhile, the part that notices, how, what the report gets in the end)
    ("a new person", "identities", elsewhere(an_event("new", "visit")), "booked"),
    ("the same claim", "claims", elsewhere(an_event("ann", "nothing", idempotencyKey="x")), "DUPLICATE_EVENT"),
    # No decision rests on the balance, only on the debt; the books tell whether the postings fit what it was by then.
    ("the balance", "", elsewhere(an_event("ann", "visit")), "booked"),
    ("the debt", "debts", owe, "booked"),
    ("the key", "event_keys", elsewhere(an_event("bob", "keyed", idempotencyKey="k")), "IDEMPOTENCY_CONFLICT"),
    ("a cap", "limits", elsewhere(an_event("bob", "capped")), "DAILY_CAP_REACHED"),
    ("the last claim of all", "limits", elsewhere(an_event("bob", "total")), "CLAIM_LIMIT_REACHED"),
    ("the funds", "", elsewhere(an_event("bob", "dear")), "INSUFFICIENT_BALANCE"),
]
REPORTS = {
    "a new person": an_event("new"),
    "the same claim": an_event("ann", "nothing"),
    "the balance": an_event("ann"),
    "the debt": an_event("ann"),
    "the key": an_event("ann", "keyed", idempotencyKey="k"),
    "a cap": an_event("ann", "capped"),
    "the last claim of all": an_event("ann", "total"),
    "the funds": an_event("ann", "dear"),
}


@pytest.mark.parametrize(("what", "part", "interfere", "outcome"), GUARDS, ids=[guard[0] for guard in GUARDS])
async def test_s10_what_changes_between_load_and_write_is_noticed(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    part: str,
    interfere: Interference,
    outcome: str,
) -> None:
    async with a_house(database, funds=1_000) as house:
        await house.add_rule("keyed")
        await house.add_rule("nothing", 0)
        await house.add_rule("capped", 10, daily_cap_program=15)
        await house.add_rule("total", 10, max_claims_total=1)
        await house.add_rule("dear", 700)
        await house.send(an_event("ann", "order", idempotencyKey="before"))
        house.shift.by = timedelta(minutes=2)
        async with between_load_and_write(monkeypatch, house, interfere) as conflicts:
            answer = await house.send(REPORTS[what])
        assert tally([answer]) == {outcome: 1}
        assert all(conflict in part.split("|") for conflict in conflicts)
        assert bool(conflicts) == bool(part)
        await house.check_books()


async def test_what_another_part_of_the_product_posts_meanwhile_is_built_upon(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hold(house: House) -> None:
        async with database.program(house.program_id) as session:
            account = (await ledger_account(house)) or UUID(int=0)
            ref = uuid7()
            movements = [Movement(kind, ref, house.asset_id, 4, account) for kind in (PostingKind.HOLD, PostingKind.RELEASE)]
            await ledger.post(session, house.program_id, movements, NOW)

    async with a_house(database, delivery="on_claim") as house:
        await house.send(an_event(idempotencyKey="1"))
        async with between_load_and_write(monkeypatch, house, hold) as conflicts:
            assert (await house.send(an_event(idempotencyKey="2"))).status_code == 200
        # Nothing that was decided rests on it, so nothing is decided anew; the books tell of each posting's version and balance.
        assert conflicts == []
        await house.check_books()


async def ledger_account(house: House) -> UUID | None:
    async with house.database.program(house.program_id) as session:
        return await session.scalar(select(Account.id).where(Account.program_id == house.program_id))


async def test_a_change_of_the_terms_after_they_were_cached_is_noticed_by_the_batch(
    database: Database, owner: RawConnection
) -> None:
    async with a_house(database) as house:
        await house.send(an_event("ann"))
        # Behind everybody's back: no notification, and within the half second that the directory asks nothing.
        await owner.execute("update rules set reward = 33 where program_id = $1 and event_type = 'order'", house.program_id)
        await owner.execute("update programs set config_version = config_version + 1 where id = $1", house.program_id)
        assert (await house.send(an_event("bob"))).json()["rewardAmount"] == 33


async def test_what_payouts_take_meanwhile_is_not_added_to(
    database: Database, owner: RawConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reserve(house: House) -> None:
        await owner.execute(
            "update deliveries set state = 'reserved', amount_atomic = points, destination = '0x', batch_id = gen_random_uuid() "
            "where program_id = $1",
            house.program_id,
        )

    async with a_house(database) as house:
        await house.send(an_event(idempotencyKey="1"))
        async with between_load_and_write(monkeypatch, house, reserve) as conflicts:
            assert (await house.send(an_event(idempotencyKey="2"))).status_code == 200
        assert conflicts == []
        rows = await owner.fetch("select state, points from deliveries where program_id = $1 order by id", house.program_id)
        assert [(row["state"], row["points"]) for row in rows] == [("reserved", 10), ("approved", 10)]
        await house.check_books()
