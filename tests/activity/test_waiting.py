"""`Prefer: wait`: an answer that waits for its transaction, for a bounded time and with bounded company."""

from __future__ import annotations

import asyncio

import pytest

from guerdon.activity import waiting
from guerdon.activity.waiting import preferred_wait
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.activity.house import a_house, an_event

pytestmark = pytest.mark.every_database


async def test_prefer_wait_answers_with_the_transaction_once_it_is_sent(database: Database, owner: RawConnection) -> None:
    async with a_house(database) as house:

        async def pay() -> None:
            while not await owner.fetchval(
                "update deliveries set transaction_hash = '0xfeed' where program_id = $1 returning 1", house.program_id
            ):
                await asyncio.sleep(0.02)

        (answer, again), _ = await asyncio.gather(
            asyncio.gather(
                house.send(an_event(), Prefer="respond-async, wait=5", Idempotency_Key="1"),
                house.send(an_event(), Prefer="wait=5", Idempotency_Key="2"),
            ),
            pay(),
        )
        assert answer.json()["transactionHash"] == again.json()["transactionHash"] == "0xfeed"
        assert answer.headers["preference-applied"] == "wait=5"
        # A repeat is told the transaction too.
        assert (await house.send(an_event(), Idempotency_Key="1")).json()["transactionHash"] == "0xfeed"


async def test_prefer_wait_ends_when_the_time_is_over(database: Database) -> None:
    async with a_house(database) as house:
        async with asyncio.timeout(3):
            answer = await house.send(an_event(), Prefer="wait=1")
        assert (answer.status_code, answer.json()["transactionHash"]) == (200, None)
        assert house.api.reception.watch._awaited == {}


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0),
        ("wait=5", 5),
        ("respond-async; wait=5", 5),
        ("wait = 3, x", 3),
        ("wait=9999", 10),
        ("wait=-1", 0),
        ("await=5", 0),
        ("wait=x", 0),
    ],
)
def test_the_wait_that_is_preferred(prefer: str | None, seconds: int) -> None:
    assert preferred_wait(prefer) == seconds


async def test_waiting_callers_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_WAITERS", 3)
    async with a_house(database) as house:
        started = asyncio.get_running_loop().time()
        calls = [asyncio.create_task(house.send(an_event(str(n)), Prefer="wait=2")) for n in range(8)]
        done, _ = await asyncio.wait(calls, timeout=1.5)
        assert len(done) == 5
        assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
        assert asyncio.get_running_loop().time() - started < 4
