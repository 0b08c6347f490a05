"""Single events over HTTP: each connection reports the next event when the one before is answered (issue figure 1)."""

from __future__ import annotations

from bench.client import Job
from bench.house import House
from bench.limits import limit
from bench.load import Load, run
from bench.report import Figure
from bench.requests import Crowd
from bench.session import Session

_AIMS = {64: (10_000, 15), 256: (15_000, 30)}
"""By connections: events a second, and the 99th percentile in milliseconds."""
_MOST_A_SECOND = 25_000


async def measure(session: Session, house: House) -> None:
    """The figures of single events."""
    await session.furnish(house)
    await limit(session, house, "single")
    for connections in _AIMS:
        noop = await run(house, job(house, session, connections, "noop", noop=True))
        session.add(f"http_noop_{connections}", Figure(noop.rate, "requests/s"))
        for part in ("client", "web"):
            session.add(
                f"http_noop_{connections}_cpu_{part}", Figure(noop.microseconds[part], "µs/request", lower_is_better=True)
            )
    for connections, (rate, p99) in _AIMS.items():
        load, name = await middle(house, session, connections), f"singles_{connections}"
        session.add_load(name, load, limit="single", aim=rate)
        session.add(f"{name}_p99", Figure(load.result.p99_ms, "ms", aim=p99, lower_is_better=True))


async def middle(house: House, session: Session, connections: int, *, name: str = "s") -> Load:
    """The middle one of several runs."""
    what = f"single events over {connections} connections"
    return await session.middle(house, what, lambda run: job(house, session, connections, f"{name}-{connections}-{run}"))


def job(house: House, session: Session, connections: int, name: str, *, noop: bool = False) -> Job:
    """One run of single events: by time; in small by number, so that it ends as soon as it can."""
    seconds, warm_up = (60.0, 0.0) if session.quick else (10.0, 2.0)
    requests = 3 * connections if session.quick else round((seconds + warm_up) * _MOST_A_SECOND * (4 if noop else 1))
    return Job(
        host="127.0.0.1", port=house.port, connections=connections, seconds=seconds, warm_up_seconds=warm_up,
        shops=[house.known[0].shop], crowd=Crowd(f"{name}-{session.tag}", house.members),
        requests=requests, noop=noop,
    )  # fmt: skip
