"""Every state but the last ones has somebody who moves it, and a gauge of its oldest (SAFETY S23)."""

from __future__ import annotations

import inspect
import re
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import CheckConstraint

import guerdon
from guerdon.app import work_handlers
from guerdon.kit import driver
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.metrics import exposition
from guerdon.kit.worker import Handler
from guerdon.status.states import MOVING, Job, Mover, Moving, Person, Step, Unused
from guerdon.tables import DECLARED_IN, METADATA
from guerdon.txmanager import key_loop, repository
from guerdon.txmanager.solana import key_loop as solana_loop
from tests.status.rows import AGE_SECONDS, put
from tests.support.alert_calls import alert_calls
from tests.support.api import Running

UNFINISHED = [(one, state) for one in MOVING for state in one.unfinished]
MOVED_BY_JOBS = [(one, state) for one, state in UNFINISHED if isinstance(one.movers.get(state), Job)]
SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(guerdon.__file__).parent.rglob("*.py")}


def handlers(api: Running) -> dict[str, Handler]:
    runtime = api.runtime
    return work_handlers(runtime.payout_deps(), runtime.funding_deps(), runtime.settlement_deps(), runtime.settings)


def named(case: object) -> str:
    return case.table if isinstance(case, Moving) else str(case)


BY_PEOPLE = {"campaigns", "campaign_versions"}
"""What an operator moves on or leaves as it is: nothing waits for it. Pools that have ended have a gauge of their own."""


def test_s23_every_table_and_enum_of_states_is_known() -> None:
    with_states = {table.name for table in METADATA.tables.values() if "state" in table.columns}
    assert with_states - BY_PEOPLE == {one.table for one in MOVING}
    declared = {
        found
        for module in DECLARED_IN
        for name, found in vars(module).items()
        if name.endswith("State") and inspect.isclass(found) and issubclass(found, StrEnum)
    }
    assert declared == {one.states for one in MOVING}


@pytest.mark.parametrize("moving", MOVING, ids=named)
def test_s23_what_the_database_lets_in_are_the_states_of_the_model(moving: Moving) -> None:
    checks = [
        str(check.sqltext)
        for check in METADATA.tables[moving.table].constraints
        if isinstance(check, CheckConstraint) and str(check.sqltext).startswith("state in (")
    ]
    for check in checks:
        if check.endswith("')"):
            assert set(re.findall(r"'(\w+)'", check)) == set(moving.states)
    assert moving.last < set(moving.states)
    assert set(moving.movers) == set(moving.unfinished)


@pytest.mark.parametrize(("moving", "state"), UNFINISHED, ids=named)
def test_s23_every_unfinished_state_has_a_mover_that_exists(moving: Moving, state: StrEnum, api: Running) -> None:
    mover: Mover = moving.movers[state]
    match mover:
        case Job(kind, sweep):
            assert {kind, sweep} <= handlers(api).keys()
        case Step(step):
            loops = inspect.getsource(key_loop) + inspect.getsource(solana_loop)
            assert f"{step.__name__}(self.work" in loops
        case Person(alert):
            assert alert in {call.kind for call in alert_calls()}
        case Unused():
            mentions = re.compile(rf"'{state}'|\.{state.name}\b")
            found = {f"{path.parent.name}/{path.name}" for path, source in SOURCES.items() if mentions.search(source)}
            assert found <= {"ledger/models.py", "payouts/schemas.py", "payouts/repository_import.py", "status/states.py"}


def test_s23_the_steps_of_a_key_read_every_state_that_they_move() -> None:
    assert set(repository.WATCHED) >= set(repository.PENDING)
    moved = {state for one, state in UNFINISHED if isinstance(one.movers[state], Step)}
    read = {*repository.WATCHED, *repository.IN_FLIGHT, *repository.UNSIGNED}
    assert {state.value for state in moved} == read


@pytest.mark.parametrize(("moving", "state"), MOVED_BY_JOBS, ids=named)
async def test_s23_the_sweep_finds_what_everybody_forgot(
    moving: Moving, state: StrEnum, api: Running, owner: driver.RawConnection
) -> None:
    await put(owner, moving.table, state)
    mover = moving.movers[state]
    assert isinstance(mover, Job)
    await handlers(api)[mover.sweep](PLATFORM_PROGRAM_ID)
    assert await owner.fetchval("select count(*) from work where kind = $1 and due_at <= now()", mover.kind) == 1


async def test_s23_every_unfinished_state_has_a_gauge_of_its_oldest(api: Running, owner: driver.RawConnection) -> None:
    samples = await scrape(api)
    assert {samples[f"guerdon_{one.table}", state.value] for one, state in UNFINISHED} == {0.0}
    await owner.execute("set session_replication_role = replica")
    for one in MOVING:
        for state in one.states:
            await put(owner, one.table, state)
    samples = await scrape(api)
    for one in MOVING:
        for state in one.states:
            found = samples.get((f"guerdon_{one.table}", state.value))
            age = samples.get((f"guerdon_{one.table}_oldest_seconds", state.value))
            if state in one.last:
                assert (found, age) == (None, None)
            else:
                assert found, (one.table, state)
                assert age is not None
                assert AGE_SECONDS - 1 < age < AGE_SECONDS + 60, (one.table, state)


async def scrape(api: Running) -> dict[tuple[str, str], float]:
    text = (await exposition(api.runtime.gauges)).decode()
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
