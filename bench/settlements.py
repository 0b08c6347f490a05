"""Payments from the chain to points (issue figure 3): proving, booking, and whether a million of them change what one costs.

Booking is done by one process over one connection, and so is the bare SQL that it stands beside.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field

import msgspec

from bench import payments, proofs
from bench.bookers import Done, Job, Window
from bench.helper import Helper, helper
from bench.house import House, Program, Usage, open_house
from bench.limits import limit
from bench.report import BenchError, Figure
from bench.session import Session
from guerdon.activity.settlements.proving import HINTS_A_ROUND, PAYMENTS_A_TRANSACTION
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset, Delivered

BATCH = min(HINTS_A_ROUND, PAYMENTS_A_TRANSACTION)
"""Payments that the product books in one transaction, where a transaction of the chain carries one."""
TIMES = 10
"""By how much the number of payments grows."""
_BOOKING_AIM, _GROWTH_AIM = 0.35, 0.9
_RISE_AIM = 8
"""MiB that the process that books may gain while the payments become ten times as many."""
_SYMBOL = "PTS"


@dataclass(slots=True)
class _Books:
    """A program whose payments are booked, and how far."""

    session: Session
    house: House
    program: Program
    booker: Helper
    done: int = 0
    usage: dict[str, Usage] = field(default_factory=dict[str, Usage])

    async def window(self, first: int, count: int, words: str) -> Done:
        """Book so many, in parts, so that there is something to see."""
        part = max(count // 20, BATCH)
        total = Done(0, 0, 0, 0)
        for start in range(first, first + count, part):
            self.session.step(f"{words}: {start:,} of {first + count:,}")
            self.booker.say(msgspec.json.encode(Window(start, min(part, first + count - start))))
            done = msgspec.json.decode(await self.booker.heard(), type=Done)
            total = Done(total.new + done.new, total.seconds + done.seconds, total.cpu_seconds + done.cpu_seconds, done.memory)
        return total

    async def more(self, count: int, words: str) -> Done:
        """Book the next so many, all of them new."""
        done = await self.window(self.done, count, words)
        self.done += count
        if done.new != count:
            raise BenchError(f"{count} payments were booked, and {done.new} of them were new")
        return done

    async def middle(self, count: int, words: str) -> tuple[Done, float]:
        """The middle one of several runs of so many, and PostgreSQL's CPU seconds in it."""
        runs: list[tuple[Done, float]] = []
        for number in range(self.session.repeats):
            await self.house.quiet()
            before = await self.house.usage()
            done = await self.more(count, f"{words}, run {number + 1} of {self.session.repeats}")
            runs.append((done, (await self.house.usage()).since(before).postgres))
        return sorted(runs, key=lambda run: run[0].seconds)[len(runs) // 2]


async def measure(session: Session) -> None:
    """All figures of settlements."""
    await proofs.measure(session)
    async with open_house(web=False) as house:
        session.report.postgres = str(await house.superuser.fetchval("show server_version"))
        await limit(session, house, "payment")
        session.step(f"making {session.members:,} accounts with two addresses each")
        async with house.runtime.database.platform() as opened:
            now = house.runtime.clock.now()
            opened.add(Asset(id=uuid7(), symbol=_SYMBOL, decimals=0, delivery=Delivered.ON_CLAIM, mintable=False, created_at=now))
        program = await house.program("Facilitators", asset=_SYMBOL)
        await payments.furnish(house, program, session.members)
        with ExitStack() as stack:
            job = Job(house.app_url, program.id, session.members, BATCH)
            booker = stack.enter_context(helper("bench.bookers", msgspec.json.encode(job)))
            await booker.heard()
            await _booked(_Books(session, house, program, booker))


async def _booked(books: _Books) -> None:
    session = books.session
    size, run = (1_000, 400) if session.quick else (100_000, 20_000)
    early = await books.more(size - run * session.repeats, "booking payments")
    rate = await _rate(books, "settlements_booked", run, session.limits["payment"], _BOOKING_AIM * session.limits["payment"])
    await books.more(size * TIMES - books.done - run * session.repeats, "booking ten times as many")
    await _rate(books, f"settlements_booked_{TIMES}x", run, rate, _GROWTH_AIM * rate)
    await _require_booked(books)
    again = await books.window(0, books.done, "booking all of them again")
    if again.new:
        raise BenchError(f"{again.new} payments were credited twice")
    await _require_booked(books)
    session.add("settlements_again", Figure(books.done / again.seconds, "payments/s"))
    session.add("settlements_again_credited", Figure(again.new, "payments", aim=0, lower_is_better=True))
    session.add("settlements_memory", Figure(again.memory / 2**20, "MiB", lower_is_better=True))
    rise = (again.memory - early.memory) / 2**20
    session.add("settlements_memory_rise", Figure(rise, "MiB", aim=_RISE_AIM, lower_is_better=True))


async def _rate(books: _Books, name: str, run: int, most: float, aim: float) -> float:
    done, postgres = await books.middle(run, f"booking payments, {books.done:,} are there")
    rate = run / done.seconds
    books.session.add(name, Figure(rate, "payments/s", most, aim))
    for part, seconds in {"service": done.cpu_seconds, "postgres": postgres}.items():
        books.session.add(f"{name}_cpu_{part}", Figure(1e6 * seconds / run, "µs/payment", lower_is_better=True))
    return rate


_COUNTED = """
select (select count(*) from settlements where program_id = $1 and account_id is not null) as settlements,
    (select count(*) from accruals where program_id = $1) as accruals,
    (select count(*) from postings where program_id = $1 and kind = 'reward') as postings,
    (select coalesce(sum(points), 0)::bigint from accruals where program_id = $1) as points,
    (select coalesce(sum(amount), 0)::bigint from postings where program_id = $1 and kind = 'reward') as posted,
    (select coalesce(sum(earned), 0)::bigint from account_balances where program_id = $1) as earned,
    (select coalesce(sum(volume / $2), 0)::bigint from (
        select sum(volume_micro_usd)::bigint as volume from settlements where program_id = $1 group by account_id) s) as due
"""


async def _require_booked(books: _Books) -> None:
    """Each payment once, with the points that the whole volume of its account makes."""
    row = await books.house.superuser.fetchrow(_COUNTED, books.program.id, payments.MICRO_USD_PER_POINT)
    if row is None:
        raise BenchError("the books did not answer")
    found = dict(row)
    if {found[name] for name in ("settlements", "accruals", "postings")} != {books.done}:
        raise BenchError(f"{books.done} payments were booked, and the books have {found}")
    if len({found[name] for name in ("points", "posted", "earned", "due")}) != 1:
        raise BenchError(f"points, postings, balances and volume differ: {found}")
