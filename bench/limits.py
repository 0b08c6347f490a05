"""What PostgreSQL gives at most on this machine, in the same run: the product's rows by bare SQL (`bare.py`), driven by pgbench.

As the application's role, with row-level security, from 32 connections, one event a transaction; for bulk reports and settled
payments many a statement, which is the sterner limit.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import bare
from bench.house import House, Program
from bench.report import BenchError, Figure
from bench.session import Session
from guerdon.kit import postgres_host
from guerdon.kit.ids import uuid7

CONNECTIONS = 32
BULK = 1_000
PAYMENTS = 500
"""Of one statement; over one connection, as a program's payments are booked."""
_DONE = re.compile(r"number of transactions actually processed: (\d+)")
_RATE = re.compile(r"tps = ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class _Limit:
    """One kind of row set, and how it is driven."""

    name: str
    unit: str
    script: Callable[[Program, int], str]
    """For a program with so many members."""
    connections: int = CONNECTIONS
    rows: int = 1
    """Events, payments or postings a transaction."""


def _payments(program: Program, members: int) -> str:
    return bare.payments(program, PAYMENTS, members)


_LIMITS = {
    "single": _Limit("one_event_a_transaction", "events/s", lambda program, _: bare.event(program)),
    "bulk": _Limit("many_events_a_transaction", "events/s", lambda program, _: bare.events(program, BULK), 4, BULK),
    "payment": _Limit("payments", "payments/s", _payments, 1, PAYMENTS),
    "posting": _Limit("one_posting_a_transaction", "postings/s", lambda program, _: bare.posting(program)),
}


async def limit(session: Session, house: House, kind: str) -> None:
    """Find the limit of `single` events, of `bulk` reports, of a `payment` or of a `posting`, unless this run has it already."""
    if kind in session.limits:
        return
    found = _LIMITS[kind]
    session.step(f"the limit by bare SQL: {found.name.replace('_', ' ')}")
    # In a program of its own, with as many members.
    program = await house.program(f"Bare SQL, {kind}")
    await house.superuser.execute(bare.members(program, session.members))
    await house.quiet()
    session.limits[kind] = await _run(house, program, found, session.members, 1 if session.quick else 10)
    session.add(f"bare_sql_{found.name}", Figure(session.limits[kind], found.unit))


async def _run(house: House, program: Program, found: _Limit, members: int, seconds: int) -> float:
    """Rows a second, counted in the table that all of them write."""
    script = (
        f"\\set member random(0, {members - found.rows - 1})\n\\set cents random(100, 9999)\n{found.script(program, members)}\n"
    )
    since = uuid7()
    with tempfile.TemporaryDirectory(prefix="guerdon-bench-sql-") as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script, encoding="utf-8")
        said = await asyncio.to_thread(_pgbench, house, program, file, found.connections, seconds)
    done, rate = _DONE.search(said), _RATE.search(said)
    if done is None or rate is None:
        raise BenchError(f"pgbench said: {said}")
    written = await house.superuser.fetchval(
        "select count(*) from postings where program_id = $1 and kind in ('reward', 'reward_held') and ref > $2",
        program.id,
        since,
    )
    if written != int(done[1]) * found.rows:
        raise BenchError(f"pgbench made {done[1]} transactions of {found.rows}, and the books have {written} postings")
    return float(rate[1]) * found.rows


def _pgbench(house: House, program: Program, script: Path, connections: int, seconds: int) -> str:
    folder = postgres_host.binaries(house.stack.data.path, postgres_host.service_user())
    options = f"-c guerdon.program_id={program.id} -c plan_cache_mode=force_generic_plan -c jit=off"
    command = [
        str(folder / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={connections}", "--jobs=2",
        f"--time={seconds}", f"--file={script}", house.app_url,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PGOPTIONS": options}, timeout=seconds + 60
    )
    if done.returncode != 0:
        raise BenchError(f"pgbench failed: {done.stderr}")
    return done.stdout
