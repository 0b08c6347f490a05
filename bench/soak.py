"""Ten minutes of load on everything together: intake, delivery and the chain. Is the memory of web and worker flat?"""

from __future__ import annotations

import asyncio
import time
from statistics import linear_regression

import msgspec

from bench.house import House
from bench.load import run
from bench.report import BenchError, Figure
from bench.session import Session
from bench.singles import job

_SECONDS = 600
_SETTLING_SECONDS = 120
"""In which caches fill and pools open; not in the slope."""
_ROUND_SECONDS = 60
_RATE = 1_000
"""Events a second; delivery gets what is left of the machine."""
_CONNECTIONS = 64
_SAMPLE_SECONDS = 2
_AIM_MIB_A_MINUTE = 0.5
_MINTED = 10**12

Sample = tuple[float, float]
"""Minutes since the beginning, and MiB."""


async def measure(session: Session, house: House) -> None:
    """The rise of resident memory, by a line through the samples after the first two minutes."""
    await session.furnish(house, minted=_MINTED)
    seconds, settling = (4.0, 1.0) if session.quick else (float(_SECONDS), float(_SETTLING_SECONDS))
    samples: dict[str, list[Sample]] = {"web": [], "worker": []}
    began = time.monotonic()
    sampling = asyncio.create_task(_sample(house, samples, began, min(_SAMPLE_SECONDS, seconds / 20)))
    try:
        accepted = await _load(session, house, began, seconds)
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)
    delivered = await house.superuser.fetchval("select coalesce(sum(delivered), 0)::bigint from program_balances")
    session.add("soak_events", Figure(accepted / seconds, "events/s"))
    session.add("soak_delivered", Figure(float(delivered), "points"))
    for name, found in samples.items():
        later = [sample for sample in found if sample[0] * 60 >= settling]
        if len(later) < 2:
            raise BenchError(f"{name} did not run")
        slope = linear_regression([minute for minute, _ in later], [mib for _, mib in later]).slope
        session.add(f"soak_{name}_memory", Figure(later[-1][1], "MiB", lower_is_better=True))
        session.add(f"soak_{name}_rise", Figure(slope, "MiB/minute", aim=_AIM_MIB_A_MINUTE, lower_is_better=True))


async def _load(session: Session, house: House, began: float, seconds: float) -> int:
    """Send round after round, each signed just before: a signature lives five minutes."""
    accepted = 0
    number = 0
    while (left := seconds - (time.monotonic() - began)) > 0:
        length = min(left, float(_ROUND_SECONDS))
        session.step(f"load for {seconds:,.0f} seconds, {left:,.0f} are left")
        plain = job(house, session, _CONNECTIONS, f"soak-{number}")
        requests = round(length * _RATE) + _CONNECTIONS
        load = await run(house, msgspec.structs.replace(plain, seconds=length, warm_up_seconds=0, rate=_RATE, requests=requests))
        if set(load.result.statuses) - {"200", "503"}:
            raise BenchError(f"answered: {load.result.statuses}")
        accepted += load.result.accepted
        number += 1
    return accepted


async def _sample(house: House, samples: dict[str, list[Sample]], began: float, every: float) -> None:
    while True:
        for name, found in samples.items():
            process = house.process(name)
            if process is not None:
                found.append(((time.monotonic() - began) / 60, process.memory_info().rss / 2**20))
        await asyncio.sleep(every)
