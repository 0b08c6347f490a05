"""The short form of `make prove`: some fixed seeds over the kinds of fault, on one site, one after the other."""

from __future__ import annotations

from random import Random

import pytest

from tests.prove.campaign import Plan
from tests.prove.faults import FAULTS
from tests.prove.faults.base import Fault
from tests.prove.faults.kills import armed
from tests.prove.run import Verdict, run
from tests.prove.site import Site
from tests.prove.steps import STEPS, WEB

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
on_the_site = pytest.mark.asyncio(loop_scope="session")


class PassesBy(Fault):
    """Nothing goes wrong; notes which steps the processes come to."""

    name, about = "passes-by", "Nothing goes wrong."

    def __init__(self) -> None:
        self.seen: set[str] = set()

    async def strike(self, site: Site, chance: Random) -> str:
        for step in STEPS:
            for process in site.webs if step.role == WEB else site.workers:
                armed(process, step, step.moments[0], lambda step=step: self.seen.add(step.name), goes_on=True)

        async def all_seen() -> bool:
            return len(self.seen) == len(STEPS)

        await site.until(all_seen, 60)
        return "watched"


@on_the_site
async def test_a_run_without_faults_passes_by_every_step(site: Site) -> None:
    watcher = PassesBy()
    result = await run(site, 1, watcher)
    assert (result.verdict, result.complaints) == (Verdict.HELD, [])
    assert {step.name for step in STEPS} - watcher.seen == set()


@on_the_site
@pytest.mark.parametrize(
    ("fault", "seed"),
    [
        ("kill/booking/after-commit", 1),
        ("kill/signing/before-commit", 1),
        ("kill/sending/after", 1),
        ("node/loses-answers-to-sending", 1),
        ("node/wrong-types", 1),
        ("postgres/killed", 1),
        ("lease/lost-after-surveying", 1),
    ],
)
async def test_whatever_goes_wrong_nothing_is_lost_doubled_or_stuck(site: Site, fault: str, seed: int) -> None:
    result = await run(site, seed, FAULTS[fault])
    assert (result.verdict, result.complaints) == (Verdict.HELD, []), result.did


def test_a_campaign_is_determined_by_its_seed_and_has_every_fault_before_one_comes_again() -> None:
    runs = [(seed, fault.name) for seed, fault in Plan(2 * len(FAULTS), seed=7).all_runs()]
    assert runs == [(seed, fault.name) for seed, fault in Plan(2 * len(FAULTS), seed=7).all_runs()]
    assert [seed for seed, _ in runs] == list(range(7, 7 + 2 * len(FAULTS)))
    for half in (runs[: len(FAULTS)], runs[len(FAULTS) :]):
        assert {name for _, name in half} == set(FAULTS)
