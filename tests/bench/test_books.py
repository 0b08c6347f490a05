"""What the bench says is in the books was counted there, and a past that it writes is a right one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from rich.console import Console
from rich.progress import Progress

from bench.client import Job
from bench.house import House, open_house
from bench.load import join, require_all_booked, sender
from bench.report import BenchError
from bench.requests import Crowd
from bench.session import Session
from guerdon.earning.verify import CHECKS as EARNING_CHECKS
from guerdon.kit.ids import uuid7
from guerdon.ledger.verify import CHECKS, verify_program

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEMBERS = 200


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house() -> AsyncIterator[House]:
    """PostgreSQL and a web process, and one program with members."""
    async with open_house() as house:
        await join(house, await house.program("Test"), MEMBERS)
        yield house


def a_job(house: House, name: str) -> Job:
    return Job(
        host="127.0.0.1", port=house.port, connections=8, seconds=30, warm_up_seconds=0, shops=[house.known[0].shop],
        crowd=Crowd(name, MEMBERS), requests=100,
    )  # fmt: skip


async def test_an_answer_without_its_posting_is_found(house: House) -> None:
    since = uuid7()
    async with sender(a_job(house, "lost")) as client:
        client.go()
        told = [(client, await client.result())]
        assert told[0][1].accepted == 100
        await require_all_booked(house, since, told)
        # As if the commit had been lost after the answer.
        posting = "ctid = (select ctid from postings where kind = 'reward_held' order by ref desc limit 1)"
        taken = await house.superuser.fetchrow(f"delete from postings where {posting} returning *")
        with pytest.raises(BenchError):
            await require_all_booked(house, since, told)
        assert taken is not None
        columns = [name for name, value in taken.items() if value is not None]
        places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
        await house.superuser.execute(
            f"insert into postings ({', '.join(columns)}) values ({places})", *(taken[name] for name in columns)
        )
        await require_all_booked(house, since, told)


async def test_a_past_is_consistent_and_as_long_as_it_says(house: House) -> None:
    program = house.known[0]
    before = await house.superuser.fetchval("select count(*) from events where program_id = $1", program.id)
    with Progress(console=Console(quiet=True)) as progress:
        session = Session(quick=True, history=1, console=progress.console, progress=progress, task=progress.add_task(""))
        await session.age(house, program, 9)
        await session.age(house, program, 18)
    after = await house.superuser.fetchval("select count(*) from events where program_id = $1", program.id)
    assert after - before == 27 * MEMBERS
    async with house.runtime.database.program(program.id) as scoped:
        assert await verify_program(scoped, program.id, {**CHECKS, **EARNING_CHECKS}) == []
