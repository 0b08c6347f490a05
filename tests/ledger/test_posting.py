"""Posting: once each, all or nothing, and nothing ever below zero."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from guerdon.kit.database import Database, run_in_program, sqlstate
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7
from guerdon.ledger import repository, service
from guerdon.ledger.errors import NotEnoughPointsError, PostingConflictError
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import EFFECTS, Movement, available_change
from guerdon.ledger.verify import verify_program
from tests.support.books import NOW, a_program, an_asset

pytestmark = pytest.mark.every_database

ANN, BOB = UUID(int=11), UUID(int=12)


async def book(database: Database, program_id: UUID, *movements: Movement) -> int:
    async def work(session: service.ScopedSession) -> int:
        return await service.post(session, program_id, movements, NOW)

    return await run_in_program(database, program_id, work)


async def balances(database: Database, program_id: UUID, asset_id: UUID, account_id: UUID) -> tuple[int, int, int]:
    """(available, held, debt) of an account."""
    async with database.program(program_id) as session:
        balance = await repository.account_balance(session, program_id, asset_id, account_id)
        return (0, 0, 0) if balance is None else (balance.available, balance.held, balance.debt)


async def test_a_repeat_books_nothing_and_another_amount_under_the_same_key_is_refused(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    reward = Movement(PostingKind.REWARD, uuid7(), asset, 10, ANN)
    assert [await book(database, program, reward) for _ in range(3)] == [1, 0, 0]
    assert await balances(database, program, asset, ANN) == (10, 0, 0)
    with pytest.raises(PostingConflictError):
        await book(database, program, Movement(PostingKind.REWARD, reward.ref, asset, 11, ANN))


async def test_a_batch_is_all_or_nothing(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    with pytest.raises(NotEnoughPointsError):
        await book(
            database,
            program,
            Movement(PostingKind.REWARD, uuid7(), asset, 60, ANN),
            Movement(PostingKind.REWARD, uuid7(), asset, 60, BOB),
        )
    assert await balances(database, program, asset, ANN) == (0, 0, 0)


async def test_each_posting_of_a_batch_must_find_its_points_not_only_the_sum(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    early = Movement(PostingKind.HOLD, uuid7(), asset, 10, ANN)
    with pytest.raises(NotEnoughPointsError):
        await book(database, program, early, Movement(PostingKind.REWARD, uuid7(), asset, 10, ANN))


async def test_one_hundred_concurrent_repeats_book_once(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    reward = Movement(PostingKind.REWARD, uuid7(), asset, 10, ANN)
    assert sum(await asyncio.gather(*(book(database, program, reward) for _ in range(100)))) == 1
    assert await balances(database, program, asset, ANN) == (10, 0, 0)


async def test_concurrent_holds_never_take_more_than_there_is(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    await book(database, program, Movement(PostingKind.REWARD, uuid7(), asset, 50, ANN))
    holds = [book(database, program, Movement(PostingKind.HOLD, uuid7(), asset, 20, ANN)) for _ in range(8)]
    outcomes = await asyncio.gather(*holds, return_exceptions=True)
    assert sum(outcome == 1 for outcome in outcomes) == 2
    assert sum(isinstance(outcome, NotEnoughPointsError) for outcome in outcomes) == 6
    assert await balances(database, program, asset, ANN) == (10, 40, 0)


async def test_s15_batches_that_meet_the_same_accounts_in_another_order_both_go_through(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=10_000)

    def pair(*accounts: UUID) -> list[Movement]:
        return [Movement(PostingKind.REWARD, uuid7(), asset, 1, account) for account in accounts]

    orders = [pair(ANN, BOB) if n % 2 else pair(BOB, ANN) for n in range(40)]
    assert sum(await asyncio.gather(*(book(database, program, *order) for order in orders))) == 80


@pytest.mark.parametrize(
    "statement",
    [
        "update postings set amount = amount + 1",
        "delete from postings",
        "truncate postings",
    ],
)
async def test_the_database_refuses_to_change_a_posting(database: Database, statement: str) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    with pytest.raises(DBAPIError) as refused:
        async with database.program(program) as session:
            await session.execute(text(statement))
    assert sqlstate(refused.value) == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "update account_balances set claimed = claimed + 11",
        "update account_balances set debt = 1",
        "update program_balances set funds = funds - 1",
        "update program_balances set funds = funds - 91, owed = owed + 91",
    ],
)
async def test_the_database_refuses_books_that_do_not_add_up(database: Database, statement: str) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    await book(database, program, Movement(PostingKind.REWARD, uuid7(), asset, 10, ANN))
    with pytest.raises(DBAPIError) as refused:
        async with database.program(program) as session:
            await session.execute(text(statement))
    assert sqlstate(refused.value) == "23514"


@pytest.mark.parametrize(
    "damage",
    [
        "update postings set amount = amount + 1 where kind = 'reward'",
        "delete from postings where kind = 'hold'",
        "update postings set to_bucket = 'burned' where kind = 'reward'",
        "update postings set available_after = available_after + 1 where kind = 'reward'",
        "update postings set version = version + 7 where kind = 'hold'",
        "update account_balances set earned = earned + 1, moved = moved - 1",
        "update account_balances set version = version + 1",
        "update program_balances set funds = funds + 1, funded = funded + 1",
    ],
)
async def test_verify_finds_books_that_were_tampered_with(database: Database, owner: RawConnection, damage: str) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    await book(database, program, Movement(PostingKind.REWARD, uuid7(), asset, 10, ANN))
    await book(database, program, Movement(PostingKind.REWARD, uuid7(), asset, 5, ANN))
    async with database.program(program) as session:
        assert await verify_program(session, program) == []
    await book(database, program, Movement(PostingKind.HOLD, uuid7(), asset, 3, ANN))
    async with database.program(program) as session:
        before = await verify_program(session, program)
    assert {finding.check for finding in before} == {"what is held is what waits for delivery"}
    await owner.execute(damage)
    async with database.program(program) as session:
        assert len(await verify_program(session, program)) > len(before)


# A debt exists only where nothing is available (a reversal takes what is available first), so that the two are booked together.
kinds = st.sampled_from(
    [kind for kind in PostingKind if kind not in {PostingKind.OWE, PostingKind.REPAY, PostingKind.SETTLE_DEBT}]
)
steps = st.lists(
    st.tuples(
        st.lists(st.tuples(kinds, st.integers(0, 7), st.integers(1, 40), st.sampled_from([ANN, BOB])), min_size=1, max_size=5),
        st.booleans(),
    ),
    max_size=14,
)


class Books:
    """The ledger as a table of equations, to compare with."""

    def __init__(self) -> None:
        self.posted: dict[tuple[PostingKind, UUID], Movement] = {}
        self.account: dict[UUID, dict[str, int]] = {ANN: defaultdict(int), BOB: defaultdict(int)}
        self.program: dict[str, int] = defaultdict(int)

    def copy(self) -> Books:
        other = Books()
        other.posted = dict(self.posted)
        other.account = {key: defaultdict(int, value) for key, value in self.account.items()}
        other.program = defaultdict(int, self.program)
        return other

    def book(self, movements: list[Movement]) -> Books | None:
        """The books after these movements, or None where they must be refused."""
        after = self.copy()
        for movement in movements:
            first = after.posted.setdefault((movement.kind, movement.ref), movement)
            if first != movement:
                return None
            if first is not movement or (movement.kind, movement.ref) in self.posted:
                continue
            effect = EFFECTS[movement.kind]
            for column, sign in effect.program:
                after.program[column] += sign * movement.amount
            if movement.account_id is not None:
                account = after.account[movement.account_id]
                account["available"] += available_change(effect) * movement.amount
                for column, sign in effect.account:
                    account[column] += sign * movement.amount
                if account["available"] < 0 or account["held"] < 0:
                    return None
        if any(after.program[column] < 0 for column in ("funds", "owed", "delivered", "funded")):
            return None
        return after


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
async def test_property_any_sequence_of_postings_crashes_and_repeats_keeps_the_invariants(
    database: Database, steps: list[tuple[list[tuple[PostingKind, int, int, UUID]], bool]]
) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset)
    refs = [uuid7() for _ in range(8)]
    books = Books()
    for moves, crashes in steps:
        movements = [
            Movement(kind, refs[ref], asset, amount, account if EFFECTS[kind].on_account else None)
            for kind, ref, amount, account in moves
        ]
        after = books.book(movements)
        try:
            async with database.program(program) as session:
                await service.post(session, program, movements, NOW)
                if crashes:
                    raise InterruptedError
        except InterruptedError:
            assert after is not None
            continue
        except (NotEnoughPointsError, PostingConflictError):
            assert after is None
            continue
        assert after is not None
        books = after
    for account in (ANN, BOB):
        assert await balances(database, program, asset, account) == (
            books.account[account]["available"],
            books.account[account]["held"],
            0,
        )
    async with database.program(program) as session:
        balance = await repository.program_balance(session, program, asset)
        assert (0 if balance is None else balance.funds) == books.program["funds"]
        found = await verify_program(session, program)
        assert {finding.check for finding in found} <= {"what is held is what waits for delivery"}
