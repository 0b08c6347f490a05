"""A batch is decided in the order of arrival: however reports are cut into batches, the result is that of one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guerdon.activity.booking import Booker
from guerdon.activity.directory import Directory
from guerdon.activity.submissions import Booked, Outcome, Submission
from guerdon.earning.terms import Trust
from guerdon.kit.clock import SystemClock
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.service import post
from guerdon.ledger.verify import verify_program
from tests.activity.house import RING, WALLETS, a_program, a_rule
from tests.support.books import NOW, an_asset

RULES: dict[str, dict[str, Any]] = {
    "once": {"reward": 10, "max_claims_per_user": 1},
    "total": {"reward": 10, "max_claims_total": 3},
    "capped": {"reward": 10, "daily_cap_program": 35},
    "mine": {"reward": 10, "daily_cap_account": 20},
    "nothing": {"reward": 0},
    "cents": {"reward": 1, "unit_field": "cents", "unit_size": 100},
    "page": {"reward": 7, "open_to_browsers": True, "daily_cap_ip": 20},
}
PEOPLE = [f"email:{name}@example.org" for name in ("ann", "bob", "cid")]


@st.composite
def reports(draw: st.DrawFn) -> Submission:
    trust = draw(st.sampled_from([Trust.SERVER, Trust.SERVER, Trust.BROWSER]))
    metadata = draw(st.sampled_from([None, {"cents": 250}, {"cents": 99}]))
    person, event_type = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from(["order", "missing", *RULES]))
    key = draw(st.none() | st.integers(0, 3))
    signature = draw(st.none() | st.integers(0, 4)) if trust is Trust.SERVER else None
    body = repr((person, event_type, metadata)).encode()
    return Submission(
        identity=person,
        event_type=event_type,
        trust=trust,
        operation=draw(st.sampled_from(["manual-event", "manual-event", "bulk-events"])),
        body_hash=body[:16].ljust(16, b" "),
        key=None if key is None else bytes([trust is Trust.BROWSER, key]) * 8,
        key_is_signed=draw(st.booleans()),
        signature=None if signature is None else bytes([9, signature]) * 8,
        client_address="198.51.100.7" if trust is Trust.BROWSER else None,
        metadata=metadata,
        metadata_json=None if metadata is None else json.dumps(metadata),
        wallet_hint=draw(st.sampled_from([None, "0x1", "0x2"])),
    )


@dataclass
class Place:
    program_id: UUID
    asset_id: UUID


async def a_place(database: Database, delivery: str) -> Place:
    asset_id = await an_asset(database, delivery=delivery)
    program_id, _, _ = await a_program(database, asset_id, funds=150, domains=())
    async with database.program(program_id) as session:
        session.add_all(a_rule(program_id, name, asset_id, **terms) for name, terms in RULES.items())
    return Place(program_id, asset_id)


def shown(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """Outcomes without ids: an event is the place of the report that made it."""
    made: dict[UUID, int] = {}
    found: list[tuple[Any, ...]] = []
    for place, outcome in enumerate(outcomes):
        if isinstance(outcome, Booked):
            first = made.setdefault(outcome.event_id, place)
            found.append((first, outcome.points, outcome.wallet_created, outcome.wallet_address, outcome.is_repeat))
        else:
            found.append((outcome.code, outcome.message))
    return found


async def in_the_books(owner: RawConnection, place: Place) -> list[Any]:
    """Everything that was written, without ids and times."""
    queries = (
        """
        select identity, event_type, trust, metadata::text from events where program_id = $1 order by 1, 2, 3, 4;
        select a.earned_by, a.points, a.reasons::text, e.identity from accruals a
            join events e on e.program_id = a.program_id and e.id = a.id where a.program_id = $1 order by 4, 1, 3, 2;
        select i.identity, b.earned, b.held, b.reversed, b.debt, b.available, b.version from account_balances b
            join identities i on i.account_id = b.account_id where b.program_id = $1 order by i.identity;
        select i.identity, c.event_type, c.claims from claim_counters c
            join identities i on i.account_id = c.account_id where c.program_id = $1 order by 1, 2;
        select used from cap_counters where program_id = $1 order by used;
        select i.identity, kind, from_bucket, to_bucket, amount, available_after, p.version from postings p
            join identities i on i.account_id = p.account_id where p.program_id = $1 order by i.identity, p.version;
        select funds, owed, debt, adjusted from program_balances where program_id = $1;
        select i.identity, d.points, d.state from deliveries d
            join identities i on i.account_id = d.account_id where d.program_id = $1 order by i.identity;
        select operation, count(*) from event_keys where program_id = $1 group by operation order by operation;
        select i.identity, a.wallet_address, a.reported_wallet from accounts a
            join identities i on i.account_id = a.id where a.program_id = $1 order by i.identity;
    """.strip()
        .rstrip(";")
        .split(";")
    )
    return [[tuple(row) for row in await owner.fetch(query, place.program_id)] for query in queries]


@pytest.mark.parametrize("delivery", ["automatic", "on_claim"])
@given(submissions=st.lists(reports(), min_size=1, max_size=30), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_any_cut_into_batches_gives_what_one_by_one_gives(
    database: Database, owner: RawConnection, delivery: str, submissions: list[Submission], data: st.DataObject
) -> None:
    directory = Directory(database, RING, SystemClock())
    books = Booker(database, directory, WALLETS, lambda _: NOW)
    one_by_one, in_batches = await a_place(database, delivery), await a_place(database, delivery)

    alone = [(await books.book(one_by_one.program_id, [submission]))[0] for submission in submissions]
    together: list[Outcome] = []
    rest = submissions
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        together += await books.book(in_batches.program_id, rest[:size])
        rest = rest[size:]

    assert shown(together) == shown(alone)
    assert await in_the_books(owner, in_batches) == await in_the_books(owner, one_by_one)
    async with database.program(in_batches.program_id) as session:
        assert await verify_program(session, in_batches.program_id) == []


@given(submissions=st.lists(reports(), min_size=1, max_size=20), owed=st.integers(1, 60))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_s13_debts_are_repaid_first_in_one_batch_as_one_by_one(
    database: Database, owner: RawConnection, submissions: list[Submission], owed: int
) -> None:
    directory = Directory(database, RING, SystemClock())
    books = Booker(database, directory, WALLETS, lambda _: NOW)
    places = [await a_place(database, "automatic") for _ in range(2)]
    for place in places:
        for person in PEOPLE[:2]:
            await books.book(
                place.program_id,
                [Submission(person, "order", Trust.SERVER, "manual-event", b"0" * 16, b"debtor" + person[6:9].encode())],
            )
        async with database.program(place.program_id) as session:
            rows = await owner.fetch("select account_id from identities where program_id = $1", place.program_id)
            await post(
                session,
                place.program_id,
                [Movement(PostingKind.OWE, uuid7(), place.asset_id, owed, row["account_id"]) for row in rows],
                NOW,
            )
    alone = [(await books.book(places[0].program_id, [submission]))[0] for submission in submissions]
    together = await books.book(places[1].program_id, submissions)
    assert shown(together) == shown(alone)
    assert await in_the_books(owner, places[1]) == await in_the_books(owner, places[0])
    for place in places:
        async with database.program(place.program_id) as session:
            assert await verify_program(session, place.program_id) == []
