"""The check that every statement names its program: what it lets pass, and what it finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.check_scoped_queries import ROOT, check_source, tenant_models
from tools.sql_scope import unscoped_tables

TABLES = frozenset({"events", "accounts", "accruals"})
MODELS = {"Event": "events", "Account": "accounts", "Accrual": "accruals"}

SCOPED = [
    "select * from events where program_id = $1 and id = $2",
    "select * from events e where e.program_id = :program_id",
    "select * from events where id = $2 and $1 = program_id",
    "select * from events where program_id = any($1)",
    "select * from events where (program_id, id) in (select program_id, id from work)",
    "select * from events where (program_id, id) = ($1, $2) for update skip locked",
    "SELECT e.id FROM events AS e JOIN accounts a ON a.program_id = e.program_id AND a.id = e.account_id WHERE e.program_id = $1",
    "select 1 from events e join accounts a using (program_id, account_id) where e.program_id = $1",
    "select 1 from events e, accounts a where e.program_id = $1 and a.program_id = $1",
    "update events set state = 'x' where program_id = $1 returning id",
    "update events e set n = d.n from unnest($2::uuid[], $3::int[]) as d(id, n) where e.program_id = $1 and e.id = d.id",
    "delete from events using accounts a where events.program_id = $1 and a.program_id = events.program_id",
    "insert into events (program_id, id) values ($1, $2) on conflict (program_id, id) do update set id = excluded.id",
    "insert into events (program_id, id) select $1, id from accounts where program_id = $1 on conflict do nothing",
    "with known as (select id from events where program_id = $1) select * from known",
    "with made as (insert into events (program_id, id) values ($1, $2) returning id) select * from made",
    "select * from unnest($2::text[]) u left join lateral (select 1 from events where program_id = $1 offset 0) e on true",
    "select * from programs p join events e on e.program_id = p.id where p.id = $1",
    "select (select count(*) from events where program_id = p.id) from programs p",
    "select 1 from events where program_id = $1 union all select 1 from accounts where program_id = $1",
    "select a.points is distinct from r.amount from accruals a, other r where a.program_id = $1",
    "select extract(epoch from now()) from work where kind = 'events'",
    "select 'from events where x' from work -- from events\n",
    "select 1 from events_archive",
]

UNSCOPED = [
    ("select * from events where id = $1", ["events"]),
    ("select program_id from events", ["events"]),
    ("select * from events order by program_id, id", ["events"]),
    ("select * from events where id = $1 order by program_id = $2", ["events"]),
    ("select 1 from events e join accounts a on a.id = e.account_id where e.program_id = $1", ["accounts"]),
    ("select 1 from events e join accounts a on a.program_id = e.program_id", ["events", "accounts"]),
    ("select 1 from events e join accounts a using (program_id, id)", ["events", "accounts"]),
    ("select 1 from events e, accounts a where e.program_id = $1", ["accounts"]),
    ("select 1 from events e, accounts a where program_id = $1", ["events", "accounts"]),
    ("select 1 from events e where e.program_id = e.program_id and true", ["events"]),
    ("update events set program_id = $1", ["events"]),
    ("update events set program_id = $1 where id = $2", ["events"]),
    ("delete from events", ["events"]),
    ("delete from events where exists (select 1 from accounts where program_id = $1)", ["events"]),
    ("insert into events (id) values ($1)", ["events"]),
    ("insert into events (program_id, id) select program_id, id from accounts on conflict do nothing", ["accounts"]),
    ("insert into events (program_id, id) select $1, id from accounts a on conflict (program_id) do nothing", ["accounts"]),
    ("with known as (select id from events) select * from known where program_id = $1", ["events"]),
    (
        "select * from work w left join lateral (select 1 from events where id = w.id) e on true where w.program_id = $1",
        ["events"],
    ),
    ("select (select count(*) from events) from programs where program_id = $1", ["events"]),
    ("select 1 from events where program_id = $1 union all select 1 from accounts", ["accounts"]),
    ("select 1 from accounts where program_id = $1; delete from events", ["events"]),
    ("select 1 from public.events", ["events"]),
    ("select count(distinct id) from events where coalesce(id, program_id) is not null", ["events"]),
]


@pytest.mark.parametrize("sql", SCOPED)
def test_a_statement_that_binds_its_program_passes(sql: str) -> None:
    assert unscoped_tables(sql, TABLES) == []


@pytest.mark.parametrize(("sql", "found"), UNSCOPED)
def test_a_statement_that_does_not_is_found(sql: str, found: list[str]) -> None:
    assert sorted(unscoped_tables(sql, TABLES)) == sorted(found)


GOOD_CODE = [
    "async def f(s, program_id): return await s.scalar(select(Event).where(Event.program_id == program_id))",
    "async def f(s, program_id): return await s.get(Event, (program_id, id_))",
    "async def f(s, program_id): return await s.get(Event, {'program_id': program_id, 'id': id_})",
    "async def f(s, keys): return await s.scalars(select(Event).where(tuple_(Event.program_id, Event.id).in_(keys)))",
    "async def f(s, p): return select(Event.id, Account).join(Account, Account.program_id == Event.program_id).where(Event.program_id == p)",
    "async def f(s, p):\n    other = aliased(Event)\n    return select(other).where(other.program_id == p)",
    "async def f(s, p): return update(Event).where(Event.program_id == p).values(n=1)",
    "async def f(s, rows): await s.execute(insert(Event), rows)",
    "async def f(s, symbol): return await s.scalar(select(Asset).where(Asset.symbol == symbol))",
    "SQL = 'select 1 from events '\nasync def f(s, p): return await s.execute(SQL + 'where program_id = $1')",
    "WHERE = 'program_id = $1'\nSQL = f'select 1 from events where {WHERE}'",
    'async def f():\n    """Select the events of all programs from events."""',
]

BAD_CODE = [
    ("async def f(s, i): return await s.scalar(select(Event).where(Event.id == i))", "Event"),
    ("async def f(s, i): return await s.get(Event, i)", "Event"),
    ("async def f(s, i): return await s.get(Event, (i, program_id))", "Event"),
    (
        "async def f(s, p): return select(Event).join(Account, Account.id == Event.account_id).where(Event.program_id == p)",
        "Account",
    ),
    ("async def f(s, p):\n    other = aliased(Event)\n    return select(other, Event).where(Event.program_id == p)", "Event"),
    ("async def f(s): return delete(Event).where(Event.id == 1)", "Event"),
    ("async def f(s): return select(func.count(Event.id))", "Event"),
    ("async def f(s): return select(func.count()).select_from(Event)", "Event"),
    ("async def f(s): return await s.execute(text('select 1 from events where id = :id'))", "events"),
    ("SQL = 'select 1 from events '\nasync def f(s): return await s.execute(SQL + 'where id = $1')", "events"),
    ("SQL = f'select 1 from events where {CONDITION}'", "events"),
    ("SQL = '''\n    -- why\n    delete from events\n'''", "events"),
]


@pytest.mark.parametrize("source", GOOD_CODE)
def test_a_repository_function_that_names_its_program_passes(source: str) -> None:
    assert check_source(source, Path("repository.py"), MODELS) == []


@pytest.mark.parametrize(("source", "subject"), BAD_CODE)
def test_a_repository_function_that_does_not_is_found(source: str, subject: str) -> None:
    assert subject in {finding.subject for finding in check_source(source, Path("repository.py"), MODELS)}


def test_the_application_has_tenant_tables_that_are_looked_for() -> None:
    models = tenant_models()
    assert {"events", "postings", "accounts", "idempotent_requests"} <= set(models.values())


def test_taking_the_program_out_of_our_own_statements_is_found() -> None:
    """The check on the real files: each of them that reads a tenant table has to fail once it forgets the program."""
    models = tenant_models()
    judged = 0
    for path in sorted((ROOT / "src" / "guerdon").rglob("repository*.py")):
        source = path.read_text(encoding="utf-8")
        forgetful = re.sub(r"\bprogram_id( =+ )", r"programme\1", source)
        touched = any(re.search(rf"\b(from|join|update) {table}\b", source) for table in models.values())
        if touched and forgetful != source:
            judged += 1
            assert check_source(forgetful, path, models), path
    assert judged >= 3
