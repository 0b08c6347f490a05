"""A campaign run over the past costs what it would have cost live, and nothing is written."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.earning import service_simulation
from guerdon.earning.schemas_campaigns import NewCampaign, SimulationRequest
from guerdon.earning.simulation import Simulation
from guerdon.earning.volume_terms import CampaignType, Milestone, Settled, Tier
from guerdon.kit.database import Database, ProgramSession
from tests.earning.house import DAY, House, a_house
from tests.earning.test_volume import ANN, BOB, FLAT, NOW, a_campaign, paid, rich, run

SINCE, UNTIL = NOW - 10 * DAY, NOW
TERMS = replace(FLAT, tiers=(Tier("bronze", 0), Tier("gold", 3_000_000, 20_000)))


def payments(seed: int, count: int = 60) -> list[Settled]:
    chance = random.Random(seed)
    times = sorted(NOW - chance.random() * 20 * DAY for _ in range(count))
    return [
        paid(chance.randint(1, 400_000), at=at, account=chance.choice((ANN, BOB)), number=n + 1) for n, at in enumerate(times)
    ]


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["multiplier", "bonus", "pool"]))
@settings(max_examples=40, deadline=None)
def test_what_is_simulated_is_what_would_have_been_booked(seed: int, kind: str) -> None:
    fields: dict[str, Any] = {
        "multiplier": {"multiplier": 15_000, "budget": 90},
        "bonus": {"type": CampaignType.BONUS, "milestones": (Milestone("count:2", 30, count=2),), "budget": 45},
        "pool": {"type": CampaignType.POOL, "pool_points": 100},
    }[kind]
    campaign = a_campaign(start_at=SINCE, end_at=UNTIL, **fields)
    simulation = Simulation(TERMS, replace(campaign.versions[0], start_at=NOW + DAY, end_at=NOW + 2 * DAY), SINCE, UNTIL)
    past = payments(seed)
    for payment in past:
        simulation.add(payment)
    simulated = simulation.result()
    live = rich(campaign)
    run(live, past, TERMS)
    if kind == "pool":
        assert simulated.cost_points == (100 if simulated.participants else 0)
    else:
        assert simulated.cost_points == sum(part.spent for part in live.participations.values()) // 10**6
        assert dict(simulated.winners) == {
            account: part.spent // 10**6 for (_, account), part in live.participations.items() if part.spent
        }
    assert simulated.settlements == sum(payment.settled_at >= SINCE for payment in past)
    assert sum(settlements for _, _, settlements, _ in simulated.days) == simulated.settlements


async def test_a_draft_is_simulated_and_nothing_is_written(database: Database) -> None:
    house = await a_house(database)
    past = payments(1)

    async def history(session: ProgramSession, since: datetime, until: datetime) -> AsyncIterator[Sequence[Settled]]:
        assert session.program_id == house.program_id
        for one in past:
            if since <= one.settled_at < until:
                yield [one]

    new = NewCampaign.model_validate(
        {
            "name": "Soon",
            "type": "bonus",
            "config": {"bonus_points": "5"},
            "start_at": (NOW + DAY).isoformat(),
            "end_at": (NOW + 4 * DAY).isoformat(),
        }
    )
    async with database.program(house.program_id) as session:
        view = await service_simulation.simulate_new(session, new, SimulationRequest(), history, NOW, None)
    assert (view.since, view.until) == (NOW - 3 * DAY, NOW)
    assert (view.cost_points, view.participants) == (10, 2)
    assert {winner.points for winner in view.winners} == {5}
    assert await untouched(house)


async def untouched(house: House) -> bool:
    return (await house.points(), await house.volume(), await house.points(UUID(int=12))) == ((0, 0, 0), 0, (0, 0, 0))
