"""From a report to a confirmed token, while nothing else happens; blocks come every two seconds (issue figure 5)."""

from __future__ import annotations

import asyncio
import json
import random
import time

import httpx

from bench.client import percentile
from bench.house import House, Program
from bench.report import BenchError, Figure
from bench.requests import EVENT_TYPE, SINGLE, signed_headers
from bench.session import Session

_BLOCK_SECONDS = 2
_MEDIAN_AIM, _P95_AIM = 3, 2 * _BLOCK_SECONDS
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 60
_STATE = """
select d.state from accruals r join deliveries d on d.program_id = r.program_id and d.id = r.delivery_id
where r.program_id = $1 and r.id = $2
"""


async def measure(session: Session, house: House) -> None:
    """So many events one after the other, each begun at a random moment between two blocks."""
    chance = random.Random(1)
    program = await house.program("Idle", minted=10**6)
    taken: list[float] = []
    events = 3 if session.quick else 40
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{house.port}", timeout=30, trust_env=False) as client:
        for number in range(-1, events):
            session.step(f"from a report to its token: {max(0, number)} of {events}")
            await asyncio.sleep(chance.uniform(0, _BLOCK_SECONDS))
            seconds = await _confirmed(house, client, program, f"idle-{number}")
            # The first one opens connections and makes the chain's clock go.
            if number >= 0:
                taken.append(seconds)
    taken.sort()
    session.add("token_median", Figure(percentile(taken, 0.5), "s", aim=_MEDIAN_AIM, lower_is_better=True))
    session.add("token_p95", Figure(percentile(taken, 0.95), "s", aim=_P95_AIM, lower_is_better=True))
    session.add("token_max", Figure(taken[-1], "s", lower_is_better=True))


async def _confirmed(house: House, client: httpx.AsyncClient, program: Program, person: str) -> float:
    """Seconds from sending the report until its payout is confirmed: in a block, and seen there."""
    event = {
        "eventType": EVENT_TYPE,
        "userEmail": f"{person}@bench.example",
        "idempotencyKey": person,
        "metadata": {"amount_cents": 500},
    }
    body = json.dumps(event).encode()
    headers = signed_headers(program.shop, SINGLE, body)
    began = time.monotonic()
    answer = await client.post(SINGLE, content=body, headers=headers)
    if answer.status_code != 200:
        raise BenchError(f"{answer.status_code} {answer.text}")
    event_id = answer.json()["eventId"]
    while True:
        state = await house.superuser.fetchval(_STATE, program.id, event_id)
        now = time.monotonic()
        if state in {"confirmed", "final"}:
            return now - began
        if now - began > _PATIENCE_SECONDS:
            raise BenchError(f"after {_PATIENCE_SECONDS} s the payout of {person} is {state}")
        await asyncio.sleep(_POLL_SECONDS)
