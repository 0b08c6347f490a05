"""What goes wrong around a batch: poison, deadlocks, lost connections, a full queue, shutdown. Nothing is lost or booked twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.activity import batcher, repository_booking
from guerdon.activity.batcher import FLIGHTS, FLIGHTS_PER_PROGRAM, Batcher
from guerdon.activity.booking import Booker
from guerdon.activity.submissions import Outcome, Submission
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.activity.house import BULK, House, a_house, an_event, count
from tests.support import postgres

pytestmark = pytest.mark.every_database


def codes(answers: list[httpx.Response]) -> list[str]:
    return [answer.json().get("code", "booked") for answer in answers]


async def poison(owner: RawConnection, sqlstate: str, *, times: int | None = None) -> None:
    """From now on the database refuses every event of type `poison`, or the first `times` batches that have one."""
    await owner.execute("create sequence poison_seen")
    await owner.execute("grant usage on sequence poison_seen to public")
    limit = "" if times is None else f"and nextval('poison_seen') <= {times}"
    await owner.execute(
        f"create function poison() returns trigger language plpgsql as $$ begin if new.event_type = 'poison' {limit} then "
        f"raise exception 'poison' using errcode = '{sqlstate}'; end if; return new; end $$"
    )
    await owner.execute("create trigger poison before insert on events for each row execute function poison()")


async def antidote(owner: RawConnection) -> None:
    await owner.execute(
        "drop trigger if exists poison on events; drop function if exists poison; drop sequence if exists poison_seen"
    )


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "22P02", "23505", "XX000"])
async def test_s9_one_event_that_the_database_refuses_harms_no_other(
    database: Database, owner: RawConnection, sqlstate: str
) -> None:
    async with a_house(database) as house:
        await house.add_rule("poison")
        await house.send(an_event("warm"))
        await poison(owner, sqlstate)
        try:
            events = [an_event(f"p{n}", "poison" if n == 13 else "order") for n in range(32)]
            answers = await asyncio.gather(*(house.send(event) for event in events))
        finally:
            await antidote(owner)
        assert [n for n, answer in enumerate(answers) if answer.status_code != 200] == [13]
        assert codes(answers)[13] == "BOOKING_FAILED"
        assert (answers[13].status_code, answers[13].headers["retry-after"]) == (503, "1")
        assert await count(owner, "events", house.program_id) == 32
        # Nothing of it was booked, so it may be sent again.
        assert (await house.send(events[13])).status_code == 200
        await house.check_books()


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_s9_a_batch_that_met_another_is_tried_again(database: Database, owner: RawConnection, sqlstate: str) -> None:
    async with a_house(database) as house:
        await house.add_rule("poison")
        await poison(owner, sqlstate, times=2)
        try:
            answers = await asyncio.gather(*(house.send(an_event(f"p{n}", "poison")) for n in range(8)))
        finally:
            await antidote(owner)
        assert codes(answers) == ["booked"] * 8
        await house.check_books()


async def test_s9_a_culprit_in_a_bulk_stands_alone(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        await house.add_rule("poison")
        await poison(owner, "22P05")
        try:
            events = [an_event(f"p{n}", "poison" if n in {7, 90} else "order") for n in range(100)]
            answer = (await house.signed(BULK, json.dumps({"events": events}).encode())).json()
        finally:
            await antidote(owner)
        assert [n for n, result in enumerate(answer["results"]) if not result["success"]] == [7, 90]
        await house.check_books()


Commit = Any


def lose_connection(monkeypatch: pytest.MonkeyPatch, *, after_commit: bool, times: int = 1) -> None:
    """Break the connection while it commits, before or after the server has done so."""
    commit: Commit = repository_booking.take_funds_and_commit
    left = [times]

    async def broken(connection: RawConnection, *args: Any) -> None:
        if left[0]:
            left[0] -= 1
            if after_commit:
                await commit(connection, *args)
            connection.terminate()
            raise ConnectionResetError
        await commit(connection, *args)

    monkeypatch.setattr(repository_booking, "take_funds_and_commit", broken)


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_commit_without_an_answer_is_looked_up_and_booked_once(
    database: Database, owner: RawConnection, monkeypatch: pytest.MonkeyPatch, after_commit: bool
) -> None:
    async with a_house(database) as house:
        lose_connection(monkeypatch, after_commit=after_commit)
        answers = await asyncio.gather(*(house.send(an_event(f"p{n}")) for n in range(5)))
        assert codes(answers) == ["booked"] * 5
        assert [answer.json()["replayed"] for answer in answers] == [False] * 5
        assert await count(owner, "events", house.program_id) == 5
        await house.check_books()


async def test_connections_that_died_while_idle_are_replaced(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        await asyncio.gather(*(house.send(an_event(f"a{n}")) for n in range(8)))
        await owner.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'guerdon_app' and datname = current_database()"
        )
        answers = await asyncio.gather(*(house.send(an_event(f"b{n}")) for n in range(8)))
        assert codes(answers) == ["booked"] * 8


async def test_without_a_database_the_answer_is_503_and_the_next_try_is_booked(
    database_urls: postgres.Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_urls.app)
    async with a_house(database) as house:
        await house.send(an_event("warm"))

        async def unreachable() -> Any:
            raise ConnectionRefusedError

        with monkeypatch.context() as patch:
            patch.setattr(database, "raw", unreachable)
            refused = await house.send(an_event(), Idempotency_Key="k")
        assert (refused.status_code, refused.json()["code"]) == (503, "DATABASE_UNAVAILABLE")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await house.send(an_event(), Idempotency_Key="k")).json()["replayed"] is False
    await database.close()


class Recorder:
    """The real books, watched: which batches of which programs are in flight at once."""

    def __init__(self, books: Booker, *, pause_seconds: float = 0.0) -> None:
        self._books = books
        self._pause = pause_seconds
        self.in_flight: list[tuple[UUID, frozenset[str | bytes]]] = []
        self.most = 0
        self.most_of_a_program = 0
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def book(self, program_id: UUID, submissions: list[Submission]) -> list[Outcome]:
        flight = (program_id, frozenset(lane for submission in submissions for lane in submission.lanes))
        for other_program, lanes in self.in_flight:
            assert other_program != program_id or lanes.isdisjoint(flight[1]), "two batches in flight share a person or a key"
        self.in_flight.append(flight)
        self.sizes.append(len(submissions))
        self.most = max(self.most, len(self.in_flight))
        self.most_of_a_program = max(self.most_of_a_program, sum(program == program_id for program, _ in self.in_flight))
        try:
            await self.gate.wait()
            return await self._books.book(program_id, submissions)
        finally:
            self.in_flight.remove(flight)


def watched(house: House) -> Recorder:
    recorder = Recorder(house.api.reception.batcher._books)  # type: ignore[arg-type]
    house.api.reception.batcher._books = recorder
    return recorder


async def test_no_person_and_no_key_is_in_two_batches_in_flight(database: Database) -> None:
    async with a_house(database) as house, a_house(database) as other:
        watch = watched(house)
        shared = Batcher(watch)
        for each in (house, other):
            object.__setattr__(each.api.reception, "batcher", shared)
        answers = await asyncio.gather(
            *((house, other)[n % 2].send(an_event(f"p{n % 7}", idempotencyKey=f"k{n % 29}")) for n in range(300)),
            house.signed(
                BULK, json.dumps({"events": [an_event(f"p{n % 5}", idempotencyKey=f"b{n}") for n in range(100)]}).encode()
            ),
        )
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert watch.most_of_a_program <= FLIGHTS_PER_PROGRAM
        assert 1 < watch.most <= FLIGHTS
        assert max(watch.sizes) > 1
        assert shared.waiting == 0


async def test_a_program_has_two_batches_in_flight_and_the_process_four(database: Database) -> None:
    async with a_house(database) as one, a_house(database) as two, a_house(database) as three:
        watch = watched(one)
        shared = one.api.reception.batcher
        for house in (two, three):
            object.__setattr__(house.api.reception, "batcher", shared)
        watch.gate.clear()
        calls: list[asyncio.Task[httpx.Response]] = []

        async def waves(*houses: House) -> int:
            """Send one after the other, since what arrives together goes together; how many batches are in flight then."""
            for house in houses:
                calls.append(asyncio.create_task(house.send(an_event(f"p{len(calls)}"))))
                async with asyncio.timeout(20):
                    while shared.waiting < len(calls):
                        await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            return len(watch.in_flight)

        of_one_program, of_all = await waves(one, one, one, one), await waves(two, three, two, three)
        watch.gate.set()
        assert codes(await asyncio.gather(*calls)) == ["booked"] * 8
        assert (of_one_program, of_all, watch.most_of_a_program) == (FLIGHTS_PER_PROGRAM, FLIGHTS, FLIGHTS_PER_PROGRAM)


async def test_a_queue_that_is_full_refuses_at_the_door_and_recovers(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MAX_WAITING", 20)
    async with a_house(database) as house:
        watch = watched(house)
        watch.gate.clear()
        waiting = [asyncio.create_task(house.send(an_event(f"p{n}"))) for n in range(30)]
        done: set[asyncio.Task[httpx.Response]] = set()
        while len(done) < 10:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        assert {(task.result().status_code, task.result().json()["code"]) for task in done} == {(503, "UNAVAILABLE")}
        assert all(task.result().headers["retry-after"] == "1" for task in done)
        watch.gate.set()
        answers = await asyncio.gather(*waiting)
        assert codes(answers).count("booked") == 20
        assert (await house.send(an_event("later"))).status_code == 200


async def test_one_program_can_not_take_all_the_room(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MAX_WAITING_PER_PROGRAM", 5)
    async with a_house(database) as house, a_house(database) as other:
        object.__setattr__(other.api.reception, "batcher", house.api.reception.batcher)
        watch = watched(house)
        watch.gate.clear()
        mine = [asyncio.create_task(house.send(an_event("same", idempotencyKey=str(n)))) for n in range(12)]
        await asyncio.sleep(0.2)
        theirs = asyncio.create_task(other.send(an_event()))
        await asyncio.sleep(0.2)
        watch.gate.set()
        assert (await theirs).status_code == 200
        found = codes(await asyncio.gather(*mine))
        assert found.count("UNAVAILABLE") >= 5
        assert found.count("booked") == 12 - found.count("UNAVAILABLE")


async def test_a_flood_of_one_person_does_not_hold_up_the_others(database: Database) -> None:
    async with a_house(database) as house:
        flood = [asyncio.create_task(house.send(an_event("same", metadata={"n": n}))) for n in range(400)]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(house.send(an_event(f"p{n}")) for n in range(50)))
        assert codes(answers) == ["booked"] * 50
        assert codes(await asyncio.gather(*flood)).count("booked") == 1


async def test_shutting_down_books_what_was_taken_and_takes_nothing_more(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        taken = [asyncio.create_task(house.send(an_event(f"p{n}"))) for n in range(50)]
        while house.api.reception.batcher.waiting < 50:
            await asyncio.sleep(0)
        await house.api.reception.batcher.drain()
        assert codes([await task for task in taken]) == ["booked"] * 50
        refused = await house.send(an_event("late"))
        assert (refused.status_code, refused.json()["code"]) == (503, "UNAVAILABLE")
        in_bulk = await house.signed(BULK, json.dumps({"events": [an_event("late")]}).encode())
        assert in_bulk.status_code == 503
        assert await count(owner, "events", house.program_id) == 50


async def test_a_client_that_goes_away_is_booked_all_the_same(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:
        request = asyncio.create_task(house.send(an_event()))
        while house.api.reception.batcher.waiting < 1:
            await asyncio.sleep(0)
        request.cancel()
        await house.api.reception.batcher.drain()
        assert await count(owner, "events", house.program_id) == 1
