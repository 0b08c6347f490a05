"""Whether more history makes it slower: single and bulk events at 1, 10 and 100 times 100,000 events, in one house that grows.

The past is written by `history.py`; what is measured is `singles.py` and `bulk.py`.
"""

from __future__ import annotations

from bench import bulk, singles
from bench.house import House
from bench.report import Figure
from bench.session import Session

HISTORIES = (1, 10, 100)
_CONNECTIONS = 256
_KEPT = 0.8
"""The aim: the rate falls by at most a fifth."""


async def measure(session: Session, house: House) -> None:
    """The rates at each history, beside those at the first."""
    await session.furnish(house)
    program = house.known[0]
    first: dict[str, float] = {}
    before = 1
    for times in HISTORIES:
        await session.age(house, program, times - before)
        before = times
        found = {
            "singles": (await singles.middle(house, session, _CONNECTIONS, name=f"g{times}")).rate,
            "bulk": (await bulk.middle(house, session, [program], name=f"h{times}")).rate,
        }
        first = first or found
        for name, rate in found.items():
            aim = None if times == 1 else _KEPT * first[name]
            session.add(f"growth_{name}_{times}x", Figure(rate, "events/s", first[name], aim))
    size = await house.superuser.fetchval("select pg_database_size(current_database())")
    session.add("growth_database", Figure(size / 2**30, "GiB"))
