"""Counters of days that are over are forgotten; those of today, and limits that never start anew, stay."""

from __future__ import annotations

from guerdon.earning.jobs import forget_past_days
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from tests.support.books import a_program, an_asset


async def test_counters_of_past_days_are_forgotten_in_every_program(database: Database, owner: RawConnection) -> None:
    asset_id = await an_asset(database)
    programs = [await a_program(database, asset_id) for _ in range(2)]
    for program_id in programs:
        await owner.execute(
            "insert into cap_counters select $1, 'old/' || n, current_date - 2, 1 from generate_series(1, 2500) n", program_id
        )
        await owner.execute(
            "insert into cap_counters values ($1, 'today', current_date, 5), ($1, 'yesterday', current_date - 1, 5), "
            "($1, 'total/signup', null, 5)",
            program_id,
        )
    await forget_past_days(database)
    left = await owner.fetch("select program_id, cap_key, used from cap_counters order by 1, 2")
    assert [(row["program_id"], row["cap_key"], row["used"]) for row in left] == [
        (program_id, key, 5) for program_id in sorted(programs) for key in ("today", "total/signup", "yesterday")
    ]
    await forget_past_days(database)
    assert await owner.fetchval("select count(*) from cap_counters") == len(left)
