"""Postings through the product's own ledger service, in batches: spread over programs and accounts, and all from one payer
(issue figure 3).
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import msgspec

from bench import bare
from bench.helper import helper
from bench.house import House, Program
from bench.limits import limit
from bench.posters import Done, Job
from bench.report import BenchError, Figure
from bench.session import Session
from guerdon.kit.ids import uuid7

_AIMS = {64: 30_000, 500: 60_000}
"""Postings a second by postings a batch."""
_POSTERS = 2
_ACCOUNTS = 20_000


async def measure(session: Session, house: House) -> None:
    """The figures of postings."""
    await limit(session, house, "posting")
    payers = [await house.program(f"Payer {number}") for number in range(_POSTERS)]
    for payer in payers:
        await house.superuser.execute(bare.members(payer, _ACCOUNTS))
    for batch, aim in _AIMS.items():
        await _posted(session, house, f"postings_{batch}_spread", payers, batch, aim)
        await _posted(session, house, f"postings_{batch}_one_payer", payers[:1] * _POSTERS, batch, aim)


async def _posted(session: Session, house: House, name: str, payers: list[Program], batch: int, aim: int) -> None:
    """Two processes that post at once, each for its payer; what they say they posted is counted in the books."""
    session.step(f"postings in batches of {batch}: {name}")
    await house.quiet()
    since = uuid7()
    before = await house.usage()
    with ExitStack() as stack:
        posters = [
            stack.enter_context(
                helper(
                    "bench.posters",
                    msgspec.json.encode(
                        Job(house.app_url, payer.id, payer.asset_id, _ACCOUNTS, batch, 0.5 if session.quick else 10, seed)
                    ),
                )
            )
            for seed, payer in enumerate(payers)
        ]
        await asyncio.gather(*(poster.heard() for poster in posters))
        for poster in posters:
            poster.say(b"go")
        told = [msgspec.json.decode(line, type=Done) for line in await asyncio.gather(*(poster.heard() for poster in posters))]
    usage = (await house.usage()).since(before)
    posted = sum(done.postings for done in told)
    found = await house.superuser.fetchval(
        "select count(*) from postings where program_id = any($1) and kind = 'reward' and ref > $2",
        sorted({payer.id for payer in payers}),
        since,
    )
    if found != posted:
        raise BenchError(f"{posted} postings were made, and the books have {found}")
    rate = sum(done.postings / done.seconds for done in told)
    session.add(name, Figure(rate, "postings/s", session.limits["posting"], aim))
    for part, seconds in {"service": sum(done.cpu_seconds for done in told), "postgres": usage.postgres}.items():
        session.add(f"{name}_cpu_{part}", Figure(1e6 * seconds / posted, "µs/posting", lower_is_better=True))
