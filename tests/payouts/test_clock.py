"""What several workers judge alike is judged by the database's clock, whatever their machines' clocks say (SAFETY S10)."""

from __future__ import annotations

import ast
from pathlib import Path

import guerdon
from guerdon.payouts.freezing import close_and_freeze
from guerdon.payouts.reserving import GasPrice, reserve
from tests.payouts.house import House

_MACHINES = {"now", "utcnow", "today", "time", "time_ns", "SystemClock"}


def _asks_a_machine(path: Path) -> list[str]:
    """Where a module asks its own machine for the time: `datetime.now(…)`, `clock.now()`, `time.time()`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    asked = [call.func for call in calls if isinstance(call.func, ast.Attribute | ast.Name)]
    return [
        f"{path.name}:{func.lineno}"
        for func in asked
        if (func.attr if isinstance(func, ast.Attribute) else func.id) in _MACHINES
        and not (isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "func")
    ]


def test_s10_no_job_asks_a_machines_clock() -> None:
    house = Path(guerdon.__file__).parent
    modules = [*(house / "payouts").glob("*.py"), *(house / "ledger").glob("*.py"), house / "programs" / "funding.py"]
    assert len(modules) > 20
    assert [place for module in modules for place in _asks_a_machine(module)] == []
    # It finds what it looks for.
    assert _asks_a_machine(house / "kit" / "clock.py")


async def test_s10_a_batch_is_closed_when_it_is_old_enough_by_the_databases_clock(house: House) -> None:
    house.with_terms(batch_window_seconds=3600)
    async with house.working():
        program = await house.program(funds=100)
    await house.owe(program, {await house.account(program): 10})
    await reserve(house.database, program, (await house.treasury()).id, terms=house.terms, gas_price=GasPrice(None))
    state = "select state from batches"
    for minutes, expected in ((59, "open"), (60, "frozen")):
        await house.owner.execute(f"update batches set opened_at = now() - interval '{minutes} minutes'")
        again = await close_and_freeze(house.deps)
        assert (await house.value(state), again is None) == (expected, expected == "frozen")
