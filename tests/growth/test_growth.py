"""What is asked for each request, batch, round of a job or scrape costs the same however much happened before.

Each statement runs by the plan that is made once for all parameters (`force_generic_plan`), and the blocks of tables and indexes that it
touches are counted by PostgreSQL. Then there is eight times the history, and eight times the backlog, and it runs again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from guerdon.accounts import repository as accounts
from guerdon.activity import repository as look_ups
from guerdon.activity import repository_directory, repository_history, repository_intake, repository_reversals
from guerdon.earning.decision import State
from guerdon.kit import driver, outbox, worker
from guerdon.kit.database import Database, raw_connection
from guerdon.kit.driver import RawConnection
from guerdon.ledger import repository as ledger
from guerdon.ledger import service as book
from guerdon.ledger.models import DeliveryState, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.notices import repository as notices
from guerdon.payouts import repository as payouts
from guerdon.payouts import repository_batches, repository_import, repository_read, repository_split
from guerdon.programs import repository as programs
from guerdon.programs import repository_funding
from guerdon.txmanager import repository as transactions
from guerdon.txmanager import repository_imported, repository_treasuries
from tests.growth.history import Past
from tests.support.postgres import Server

pytestmark = pytest.mark.every_database

FEW_EVENTS = 6_000
MORE_EVENTS = 42_000
SOME_MORE_BLOCKS = 24
"""A level more of the indexes that are read, and what the planner looks at."""
AT_MOST = {"gauges of a scrape": 1_500}
"""They count up to ten thousand payouts a state, and read no more of them."""
NOW = datetime(2026, 11, 21, tzinfo=UTC)
NOWHERE = "0x" + "0" * 64
KINDS = ["payouts.reserve", "payouts.freeze"]
_BLOCKS = """
select c.relname, pg_stat_get_xact_blocks_fetched(c.oid) as blocks from pg_class c
 where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i')
"""

ROWS_BY_IDS = ("settle: finish", "payout list --state")
"""Some rows by their ids can't be held to one index; they wait for the first statistics, a minute at most."""

Ask = Callable[[Any, "Place"], Awaitable[Any]]


@dataclass(frozen=True)
class Place:
    """What is asked about: things of the first program that are there from the beginning."""

    program: UUID
    small: UUID
    """A program with no history."""
    asset: UUID
    other_asset: UUID
    key: UUID
    treasury: UUID
    account: UUID
    event: UUID
    delivery: UUID
    batch: UUID


async def _raw(session: Any, statement: str, *arguments: object) -> object:
    return await (await raw_connection(session)).fetch(statement, *arguments)


async def _payouts(session: Any, place: Place, state: DeliveryState | None = None, account_id: UUID | None = None) -> object:
    return await repository_read.payouts(session, place.program, state=state, account_id=account_id, after=None, limit=10)


async def _intake(session: Any, place: Place) -> object:
    asked = ("email:x1@example.org", "purchase", place.asset)
    return await repository_intake.load(await raw_connection(session), place.program, [asked], [b"k" * 16])


async def _caps(session: Any, place: Place) -> object:
    return await repository_intake.load_caps(await raw_connection(session), place.program, ["a", "b"], State())


async def _answers(session: Any, place: Place) -> object:
    return await repository_intake.answers(await raw_connection(session), place.program, [place.event])


PLATFORM: dict[str, Ask] = {
    "gauges of a scrape": lambda s, _: look_ups.lags(s),
    "sweep: who waits": lambda s, _: repository_read.programs_waiting(s, DeliveryState.APPROVED, NOW),
    "sweep: closed batches": lambda s, _: repository_batches.closed_batches(s),
    "sweep: ripe batches": lambda s, _: repository_batches.next_ripe(s),
    "sweep: frozen batches": lambda s, _: repository_batches.frozen_batches(s),
    "sweep: paused treasuries": lambda s, _: repository_batches.idle_paused_treasuries(s),
    "sweep: fundings": lambda s, _: repository_funding.pending(s),
    "alert list": lambda s, _: notices.alerts_after(s, None, 51, program_id=None, resolved=False),
    "alert list --all": lambda s, _: notices.alerts_after(s, None, 51, program_id=None, resolved=True),
    "open alerts": lambda s, _: outbox.open_alerts(s),
    "count of alerts": lambda s, _: outbox.count_open_alerts(s),
    "raise an alert": lambda s, _: outbox.raise_alert(s, "a", "b", severity=outbox.Severity.INFO, message="m", remedy="r"),
    "resolve an alert": lambda s, _: outbox.resolve_alert(s, "a", "c"),
    "work that is due": lambda s, _: _raw(s, worker._LOOK, KINDS, 4),
    "work to come": lambda s, _: _raw(s, worker._NEXT, KINDS),
    "wake all": lambda s, _: repository_treasuries.wake_all(s, KINDS[0]),
    "engine: states": lambda s, p: transactions.count_states(s, p.key),
    "engine: queued": lambda s, p: transactions.queued(s, p.key, 50),
    "engine: bound": lambda s, p: transactions.bound(s, p.key),
    "engine: pending": lambda s, p: transactions.in_flight(s, p.key, transactions.PENDING),
    "engine: next to be final": lambda s, p: transactions.included(s, p.key, 200, newest_first=False),
    "engine: newest": lambda s, p: transactions.included(s, p.key, 20, newest_first=True),
    "engine: overdue": lambda s, p: transactions.overdue(s, p.key, 600),
    "engine: what the chain lost": lambda s, p: transactions.stored_from(s, p.key, 1, 5),
    "intent by reference": lambda s, p: transactions.intent_by_ref(s, "pay", p.batch),
    "intent of a kind": lambda s, p: transactions.latest_call(s, p.key, "approve", "0x00"),
    "intent of no kind": lambda s, p: transactions.latest_call(s, p.key, "nothing", "0x00"),
    "import: unmatched": lambda s, p: repository_imported.unmatched(s, p.key),
    "import: same call": lambda s, p: repository_imported.same_call(s, p.key, "0x00", b"x", 0),
    "import: without a nonce": lambda s, p: repository_imported.lost_their_nonce(s, p.key, 100),
    "import: batch by its id on chain": lambda s, p: repository_import.batch_by_chain_id(s, p.treasury, NOWHERE),
    "import: unfinished batches": lambda s, p: repository_import.lock_unfinished(s, p.treasury),
    "import: who waits": lambda s, p: repository_import.programs_waiting(s, p.asset),
    "reserve: open batch": lambda s, p: repository_batches.lock_open_batch(s, p.treasury),
    "reserve: batches ahead": lambda s, p: repository_batches.batches_ahead(s, p.treasury),
    "freeze: close": lambda s, _: repository_batches.close_ripe(s, NOW),
    "members of a batch": lambda s, p: repository_batches.members(s, p.batch),
    "settle: members": lambda s, p: repository_batches.lock_unsettled(s, p.batch, p.program),
    "ancestors of a batch": lambda s, p: repository_split.ancestors(s, p.batch),
    "attempts of one wallet": lambda s, p: repository_split.lonely_attempts(s, p.batch),
    "treasury: landed": lambda s, p: repository_treasuries.landed_unsettled(s, p.treasury, 10),
    "treasury: promised": lambda s, p: repository_treasuries.promised_by_program(s, p.asset),
    "gas of a day": lambda s, p: payouts.gas_spent(s, p.program, "local", "2023-11-14"),
    "fundings of a small program": lambda s, p: repository_funding.fundings_of(s, p.small, None, 51),
    "deposits of a transaction": lambda s, _: repository_funding.places_used(s, "local", NOWHERE),
    "whose domain": lambda s, _: repository_directory.any_has_domain(s, ["nobody.example.org", "*.example.org"]),
    "program by its brand id": lambda s, _: programs.program_by_brand_id(s, NOWHERE[:42]),
}
PROGRAM: dict[str, Ask] = {
    "reserve: assets": lambda s, p: payouts.assets_waiting(s, p.program),
    "reserve: payouts": lambda s, p: payouts.lock_waiting(s, p.program, p.asset, 20),
    "reserve: of another asset": lambda s, p: payouts.lock_waiting(s, p.program, p.other_asset, 20),
    "reserve: debts": lambda s, p: payouts.accounts_in_debt(s, p.program, p.asset, [p.account]),
    "settle: payouts": lambda s, p: payouts.lock_owed(s, p.program, [p.delivery]),
    "settle: finish": lambda s, p: payouts.finish(
        s, p.program, [p.delivery], batch_id=p.batch, transaction_hash=None, block_number=None, now=NOW
    ),
    "settle: balances": lambda s, p: ledger.lock_account_balances(s, p.program, [(p.asset, p.account)]),
    "post": lambda s, p: book.post(
        s,
        p.program,
        [
            Movement(PostingKind.FUND, p.batch, p.asset, 1),
            Movement(PostingKind.REWARD_HELD, p.batch, p.asset, 1, p.account),
        ],
        NOW,
    ),
    "reverse: what waits": lambda s, p: ledger.lock_pending_deliveries(s, p.program, p.asset, p.account, []),
    "reverse: the event": lambda s, p: repository_reversals.lock_accrual(s, p.program, p.event),
    "payout list": _payouts,
    "payout list --state approved": lambda s, p: _payouts(s, p, state=DeliveryState.APPROVED),
    "payout list --state returned": lambda s, p: _payouts(s, p, state=DeliveryState.RETURNED),
    "payout list of an account": lambda s, p: _payouts(s, p, account_id=p.account),
    "payout show": lambda s, p: repository_read.batches_of_payout(s, p.program, p.delivery),
    "event list": lambda s, p: repository_history.events_before(s, p.program, None, 3),
    "event list --user": lambda s, p: repository_history.events_before(s, p.program, None, 3, account_id=p.account),
    "event show": lambda s, p: repository_history.event(s, p.program, p.event),
    "user-balance: history": lambda s, p: look_ups.history(s, p.program, p.account, 5),
    "user-balance: undelivered": lambda s, p: look_ups.undelivered(s, p.program, p.asset, p.account, 10**9),
    "user-balance: in flight": lambda s, p: look_ups.in_flight(s, p.program, p.asset, p.account),
    "a signature": lambda s, p: look_ups.remember_signature(s, p.program, b"k" * 16, b"b", "op"),
    "an account": lambda s, p: accounts.account_of(s, p.program, "email:x1@example.org"),
    "intake: load": _intake,
    "intake: caps": _caps,
    "intake: answers": _answers,
}


class UndoneError(Exception):
    """Ends a transaction without a trace."""


async def blocks_read(database: Database, place: Place, *, in_platform: bool, ask: Ask) -> dict[str, int]:
    """The blocks of each table and index that answering touches."""
    read: dict[str, int] = {}
    scope = database.platform() if in_platform else database.program(place.program)
    with pytest.raises(UndoneError):
        async with scope as session:
            connection = await raw_connection(session)
            await connection.execute("set local plan_cache_mode = force_generic_plan")
            before = {row["relname"]: row["blocks"] for row in await connection.fetch(_BLOCKS)}
            await ask(session, place)
            after = {row["relname"]: row["blocks"] for row in await connection.fetch(_BLOCKS)}
            read = {name: blocks - before[name] for name, blocks in after.items() if blocks > before[name]}
            raise UndoneError
    return read


async def measured(database: Database, place: Place) -> dict[str, dict[str, int]]:
    asked = [(name, True, ask) for name, ask in PLATFORM.items()] + [(name, False, ask) for name, ask in PROGRAM.items()]
    return {name: await blocks_read(database, place, in_platform=in_platform, ask=ask) for name, in_platform, ask in asked}


def grown(few: dict[str, dict[str, int]], many: dict[str, dict[str, int]]) -> list[str]:
    """What touched more blocks the second time than another level of the indexes explains."""
    return [
        f"{name}: {sum(few[name].values())} blocks, then {sum(blocks.values())}: {blocks}"
        for name, blocks in many.items()
        if sum(blocks.values()) > AT_MOST.get(name, 2 * sum(few[name].values()) + SOME_MORE_BLOCKS)
    ]


def place_of(past: Past) -> Place:
    return Place(
        past.programs[0], past.programs[2], past.asset_id, past.other_asset_id, past.key_id, past.treasury_id,
        past.made(2, "a"), past.made(300, "e"), past.made(300, "d"), past.made(300, "b"),
    )  # fmt: skip


@pytest.fixture
async def superuser(postgres_server: Server) -> AsyncIterator[tuple[RawConnection, Database]]:
    name = await postgres_server.create_migrated()
    connection = await driver.connect(postgres_server.urls(name).superuser)
    database = Database(postgres_server.urls(name).app, pool_size=1)
    yield connection, database
    await database.close()
    await connection.close()
    await postgres_server.drop(name)


async def test_no_statement_costs_more_with_eight_times_the_history(superuser: tuple[RawConnection, Database]) -> None:
    connection, database = superuser
    past = Past(connection)
    await past.begin()
    place = place_of(past)
    await past.add(FEW_EVENTS)
    await connection.execute("vacuum analyze")
    few = await measured(database, place)
    await past.add(MORE_EVENTS)
    await connection.execute("vacuum analyze")
    many = await measured(database, place)
    assert not grown(few, many), "\n".join(grown(few, many))


async def test_plans_that_were_made_on_empty_tables_do_not_grow_either(superuser: tuple[RawConnection, Database]) -> None:
    """As in a new installation, until statistics are gathered."""
    connection, database = superuser
    past = Past(connection)
    await past.begin()
    place = place_of(past)
    await measured(database, place)
    await past.add(FEW_EVENTS)
    few = await measured(database, place)
    await past.add(MORE_EVENTS)
    many = await measured(database, place)
    found = [one for one in grown(few, many) if not one.startswith(ROWS_BY_IDS)]
    assert not found, "\n".join(found)


async def test_a_rare_type_is_looked_for_a_piece_of_the_history_at_a_time(superuser: tuple[RawConnection, Database]) -> None:
    connection, database = superuser
    past = Past(connection)
    await past.begin()
    await past.add(FEW_EVENTS)
    rare = past.made(17, "e")
    await connection.execute("update events set event_type = 'rare' where id = $1", rare)
    found: list[UUID] = []
    pages, before = 0, None
    while pages == 0 or before is not None:
        async with database.program(past.programs[0]) as session:
            page = await repository_history.events_before(session, past.programs[0], before, 3, event_type="rare")
        found += [row.event.id for row in page.rows]
        pages, before = pages + 1, page.following
    assert (found, pages) == ([rare], 2)
    # Every page but the last is full where all fit, and nothing comes twice.
    seen: list[UUID] = []
    before = None
    for _ in range(3):
        async with database.program(past.programs[0]) as session:
            page = await repository_history.events_before(session, past.programs[0], before, 3)
        seen += [row.event.id for row in page.rows]
        before = page.following
    assert seen == [past.made(number, "e") for number in range(FEW_EVENTS, FEW_EVENTS - 9, -1)]
