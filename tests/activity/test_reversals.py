"""Taking rewards back: what each policy lets a refund claw back, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from guerdon.activity.errors import EventNotFoundError, ReplayedSignatureError, ReversalTooLargeError
from guerdon.activity.models import Event, EventKey, Reversal
from guerdon.activity.reversals import ReversalRequest, reverse_event
from guerdon.earning.models import Accrual
from guerdon.kit.database import Database, PlatformSession, program_scope, run_in_platform
from guerdon.kit.errors import ConflictError, IdempotencyConflictError
from guerdon.kit.ids import uuid7
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Delivery, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.verify import verify_program
from guerdon.payouts.recalling import PayoutRecall
from guerdon.programs.models import ReversalPolicy
from tests.support.books import NOW, a_program, an_asset

pytestmark = pytest.mark.every_database

ANN = UUID(int=11)
EVERY_POLICY = list(ReversalPolicy)


async def a_reward(
    database: Database, program: UUID, asset: UUID, points: int, *, delivery_id: UUID | None = None, delivered: bool = False
) -> UUID:
    """An event of Ann's that earned `points`: held in the delivery given, or available where there is none."""
    event_id = uuid7()
    kind = PostingKind.REWARD if delivery_id is None else PostingKind.REWARD_HELD
    async with database.program(program) as session:
        session.add(
            Event(
                program_id=program,
                id=event_id,
                account_id=ANN,
                identity="email:ann@example.org",
                event_type="order",
                trust="server",
                received_at=NOW,
            )
        )
        session.add(
            Accrual(
                program_id=program, id=event_id, account_id=ANN, asset_id=asset, earned_by="order", points=points, reversed=0, reasons=[],
                delivery_id=delivery_id, accrued_at=NOW,
            )
        )  # fmt: skip
        await ledger.post(session, program, [Movement(kind, event_id, asset, points, ANN)], NOW)
        if delivery_id is not None:
            waiting = await session.get(Delivery, (program, delivery_id))
            if waiting is None:
                session.add(
                    Delivery(
                        program_id=program, id=delivery_id, asset_id=asset, account_id=ANN, kind="automatic", state="approved", points=points,
                        requested_at=NOW, updated_at=NOW,
                    )
                )  # fmt: skip
            else:
                waiting.points += points
        if delivered:
            assert delivery_id is not None
            delivery = await session.get_one(Delivery, (program, delivery_id))
            delivery.state, delivery.amount_atomic, delivery.destination, delivery.batch_id = "final", points, "0x", uuid7()
            await ledger.post(session, program, [Movement(PostingKind.DELIVER, delivery_id, asset, points, ANN)], NOW)
    return event_id


def request(event_id: UUID, points: int | None = None, *, key: bytes = b"", body: bytes = b"body") -> ReversalRequest:
    return ReversalRequest(event_id, points, "order refunded", (key or uuid7().bytes,), body)


async def reverse(
    database: Database, program: UUID, wanted: ReversalRequest, policy: ReversalPolicy = ReversalPolicy.WITHIN_BALANCE
) -> Reversal | None:
    async def work(session: PlatformSession) -> Reversal | None:
        async with program_scope(session, program):
            return (await reverse_event(session, program, policy, wanted, PayoutRecall()))[0]

    return await run_in_platform(database, work)


async def balance(database: Database, program: UUID, asset: UUID) -> tuple[int, int, int]:
    """Ann's (available, held, debt); the books must be right whenever a test looks."""
    async with database.program(program) as session:
        assert await verify_program(session, program) == []
        row = await ledger_repository.account_balance(session, program, asset, ANN)
        assert row is not None
        return row.available, row.held, row.debt


def taken(reversal: Reversal | None) -> tuple[int, int, int, int]:
    """(from what is pending, from what is available, as a debt, written off)."""
    assert reversal is not None
    return reversal.from_pending, reversal.from_available, reversal.as_debt, reversal.written_off


@pytest.mark.parametrize("policy", EVERY_POLICY)
async def test_s13_a_reward_that_waits_for_delivery_is_cancelled(database: Database, policy: ReversalPolicy) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    assert taken(await reverse(database, program, request(event), policy)) == (10, 0, 0, 0)
    assert await balance(database, program, asset) == (0, 0, 0)
    async with database.program(program) as session:
        books = await ledger_repository.program_balance(session, program, asset)
        assert books is not None
        assert (books.funds, books.owed) == (100, 0)


@pytest.mark.parametrize("policy", EVERY_POLICY)
async def test_s13_part_of_a_waiting_delivery_is_taken_and_the_rest_goes_on(database: Database, policy: ReversalPolicy) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    assert taken(await reverse(database, program, request(event, 4), policy)) == (4, 0, 0, 0)
    assert await balance(database, program, asset) == (0, 6, 0)


@pytest.mark.parametrize(
    ("policy", "outcome", "after"),
    [
        (ReversalPolicy.PENDING_ONLY, (0, 0, 0, 10), (0, 3, 0)),
        (ReversalPolicy.WITHIN_BALANCE, (3, 0, 0, 7), (0, 0, 0)),
        (ReversalPolicy.DEBT, (3, 0, 7, 0), (0, 0, 7)),
    ],
)
async def test_s13_a_delivered_reward_is_taken_as_far_as_the_policy_reaches(
    database: Database, policy: ReversalPolicy, outcome: tuple[int, ...], after: tuple[int, ...]
) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7(), delivered=True)
    await a_reward(database, program, asset, 3, delivery_id=uuid7())
    assert taken(await reverse(database, program, request(event), policy)) == outcome
    assert await balance(database, program, asset) == after


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [
        (ReversalPolicy.PENDING_ONLY, (0, 6, 0, 4)),
        (ReversalPolicy.WITHIN_BALANCE, (0, 6, 0, 4)),
        (ReversalPolicy.DEBT, (0, 6, 4, 0)),
    ],
)
async def test_s13_points_on_claim_are_taken_from_what_is_available(
    database: Database, policy: ReversalPolicy, outcome: tuple[int, ...]
) -> None:
    asset = await an_asset(database, delivery="on_claim")
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10)
    spent_elsewhere = await a_reward(database, program, asset, 5)
    assert taken(await reverse(database, program, request(spent_elsewhere, 5))) == (0, 5, 0, 0)
    async with database.program(program) as session:
        session.add(
            Delivery(
                program_id=program, id=(claim := uuid7()), asset_id=asset, account_id=ANN, kind="claim", state="reserved", points=4,
                amount_atomic=4, destination="0x", batch_id=uuid7(), requested_at=NOW, updated_at=NOW,
            )
        )  # fmt: skip
        await ledger.post(session, program, [Movement(PostingKind.HOLD, claim, asset, 4, ANN)], NOW)
    assert taken(await reverse(database, program, request(event), policy)) == outcome


async def test_s13_a_claim_that_nothing_is_signed_for_is_cancelled_whole(database: Database) -> None:
    asset = await an_asset(database, delivery="on_claim")
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10)
    async with database.program(program) as session:
        session.add(
            Delivery(
                program_id=program, id=(claim := uuid7()), asset_id=asset, account_id=ANN, kind="claim", state="requested", points=8,
                requested_at=NOW, updated_at=NOW,
            )
        )  # fmt: skip
        await ledger.post(session, program, [Movement(PostingKind.HOLD, claim, asset, 8, ANN)], NOW)
    assert taken(await reverse(database, program, request(event, 5))) == (5, 0, 0, 0)
    assert await balance(database, program, asset) == (5, 0, 0)


async def test_a_reversal_repeated_with_its_key_gets_the_first_answer(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    wanted = request(event, 4, key=b"refund-1")
    first, second = await reverse(database, program, wanted), await reverse(database, program, wanted)
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert await balance(database, program, asset) == (0, 6, 0)
    with pytest.raises(IdempotencyConflictError):
        await reverse(database, program, replace(wanted, points=5, body_hash=b"other"))


async def test_s11_a_repeat_that_was_signed_anew_uses_its_signature_up(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 60, delivery_id=uuid7())

    def sent(key: bytes, signature: bytes) -> ReversalRequest:
        return ReversalRequest(event, 20, "order refunded", (key, signature), b"body")

    await reverse(database, program, sent(b"K", b"S1"))
    await reverse(database, program, sent(b"K", b"S2"))
    await reverse(database, program, sent(b"K2", b"S2"))
    assert await balance(database, program, asset) == (0, 40, 0)


async def test_one_key_for_two_events_at_once_reverses_one_of_them(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    delivery = uuid7()
    events = [await a_reward(database, program, asset, 10, delivery_id=delivery) for _ in range(2)]
    wanted = [request(event, 10, key=b"K", body=event.bytes) for event in events]
    outcomes = await asyncio.gather(*(reverse(database, program, one) for one in wanted), return_exceptions=True)
    assert sum(isinstance(outcome, Reversal) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, ConflictError | IdempotencyConflictError) for outcome in outcomes) == 1
    assert await balance(database, program, asset) == (0, 10, 0)


async def test_s11_a_signature_of_an_event_reverses_nothing(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    async with database.program(program) as session:
        session.add(EventKey(program_id=program, key_hash=b"sig", event_id=event, body_hash=b"body", operation="manual-event"))
    with pytest.raises(ReplayedSignatureError):
        await reverse(database, program, request(event, key=b"sig"))
    assert await balance(database, program, asset) == (0, 10, 0)


async def test_concurrent_reversals_of_one_event_never_take_more_than_its_reward(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    await a_reward(database, program, asset, 50, delivery_id=uuid7(), delivered=True)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    outcomes = await asyncio.gather(*(reverse(database, program, request(event, 4)) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(outcome, Reversal) for outcome in outcomes) == 2
    assert sum(isinstance(outcome, ReversalTooLargeError) for outcome in outcomes) == 4
    assert await balance(database, program, asset) == (0, 2, 0)


async def test_one_key_sent_at_once_by_many_reverses_once(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    wanted = request(event, 2, key=b"refund-1")
    outcomes = await asyncio.gather(*(reverse(database, program, wanted) for _ in range(16)))
    assert len({outcome.id for outcome in outcomes if outcome}) == 1
    assert await balance(database, program, asset) == (0, 8, 0)


async def test_nothing_is_left_after_a_whole_reversal(database: Database) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=100)
    event = await a_reward(database, program, asset, 10, delivery_id=uuid7())
    assert taken(await reverse(database, program, request(event))) == (10, 0, 0, 0)
    assert await reverse(database, program, request(event)) is None


async def test_s1_another_programs_event_can_not_be_reversed(database: Database) -> None:
    asset = await an_asset(database)
    ours, theirs = await a_program(database, asset, funds=100), await a_program(database, asset, funds=100)
    event = await a_reward(database, theirs, asset, 10, delivery_id=uuid7())
    with pytest.raises(EventNotFoundError):
        await reverse(database, ours, request(event))
