"""Booking a batch: load, decide, write, take the funds and commit; and anew from the start if anything was not as loaded.

The statements are `repository_intake.py` and `repository_booking.py`, the decisions `planning.py`; which reports make a
batch is `batcher.py`. This and the jobs are the only places that commit without `Database`: four round trips, not ten.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from guerdon.accounts.wallets import DERIVATION_VERSION, WalletProvider
from guerdon.activity import repository_booking, repository_intake
from guerdon.activity.errors import BookingFailedError
from guerdon.activity.planning import Accepted, Plan, Repeat, Terms, caps_to_load, meet_newcomers, plan_batch
from guerdon.activity.repository_booking import ConflictingWriteError, Custody
from guerdon.activity.submissions import Booked, Outcome, Submission
from guerdon.kit import driver
from guerdon.kit.database import (
    CHECK_VIOLATION,
    RETRYABLE,
    UNIQUE_VIOLATION,
    Database,
    begin_in_program,
    sqlstate,
)
from guerdon.kit.driver import RawConnection
from guerdon.kit.errors import DatabaseUnavailableError, GuerdonError
from guerdon.kit.ids import uuid7_batch
from guerdon.programs.errors import ProgramNotFoundError

ATTEMPTS: Final = 5
"""Times that a batch is decided before it is halved."""
FEW: Final = 20
"""Wallets that are derived in the event loop: less than a millisecond."""
_CONFLICTS = RETRYABLE | {CHECK_VIOLATION, UNIQUE_VIOLATION}
_NOWHERE = UUID(int=0)
"""The asset of a report that no rule fits."""

log = structlog.get_logger("guerdon.intake")

batch_size = Histogram("guerdon_intake_batch_size", "Reports a transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 512, 1024))
batch_seconds = Histogram(
    "guerdon_intake_batch_seconds",
    "Time to decide, write and commit a batch.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
conflicts_total = Counter("guerdon_intake_conflicts_total", "Batches that were decided anew, by what had changed.", ["part"])


class TermsSource(Protocol):
    """Gives the present terms of a program."""

    async def terms(self, program_id: UUID, *, at_least: int = 0) -> Terms:
        """The terms of `config_version` `at_least` or later; `ProgramNotFoundError` if there is no such program."""
        ...


def as_it_is(now: datetime) -> datetime:
    """The database's time, as the time of a booking (SAFETY S10)."""
    return now


class _NewerTermsError(Exception):
    """The program's configuration changed after it was cached."""

    def __init__(self, config_version: int) -> None:
        self.config_version = config_version
        super().__init__()


class _LostInCommitError(Exception):
    """The connection failed while it committed: whether the batch is in the books has to be asked."""

    def __init__(self, event_id: UUID | None, outcomes: list[Outcome]) -> None:
        self.event_id = event_id
        self.outcomes = outcomes
        super().__init__()


@dataclass(frozen=True, slots=True)
class Booker:
    """Books batches of one program each, on a connection of its own each."""

    database: Database
    terms: TermsSource
    wallets: WalletProvider
    booking_time: Callable[[datetime], datetime] = as_it_is
    """Makes the time of a booking of the database's clock; tests move it."""

    async def book(self, program_id: UUID, submissions: Sequence[Submission]) -> list[Outcome]:
        """The outcomes of the reports, decided in their order; never raises, and nothing is half booked."""
        batch_size.observe(len(submissions))
        try:
            with batch_seconds.time():
                return await self._until_committed(program_id, submissions)
        except GuerdonError as error:
            return [error] * len(submissions)
        except Exception as error:
            if driver.is_connection_failure(error):
                log.warning("intake_lost_database", error=type(error).__name__, events=len(submissions))
                return [DatabaseUnavailableError()] * len(submissions)
            if len(submissions) == 1:
                log.exception("intake_event_failed", program_id=str(program_id), event_type=submissions[0].event_type)
                return [BookingFailedError(retry_after=1)]
        # SAFETY S9: one event can't refuse the others, so the batch is halved until it stands alone.
        half = len(submissions) // 2
        log.warning("intake_batch_halved", program_id=str(program_id), events=len(submissions))
        return [*await self.book(program_id, submissions[:half]), *await self.book(program_id, submissions[half:])]

    async def _until_committed(self, program_id: UUID, submissions: Sequence[Submission]) -> list[Outcome]:
        """Decide and write until it commits. After a conflict the batch runs alone, so that two don't chase each other."""
        terms = await self.terms.terms(program_id)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._transaction(program_id, alone=attempt > 1) as connection:
                    return await self._attempt(connection, program_id, terms, submissions)
            except _NewerTermsError as newer:
                terms = await self.terms.terms(program_id, at_least=newer.config_version)
            except _LostInCommitError as lost:
                if await self._is_committed(program_id, lost.event_id):
                    return lost.outcomes
            except Exception as error:
                conflict = _conflict(error, attempt)
                if conflict is None:
                    raise
                conflicts_total.labels(conflict).inc()
        raise ConflictingWriteError("every attempt")

    @asynccontextmanager
    async def _transaction(self, program_id: UUID, *, alone: bool) -> AsyncGenerator[RawConnection]:
        """A transaction in the program's scope; what is not committed when the block ends is rolled back.

        Batches of a program share a lock that ends with their transaction, and one that runs alone has it to itself: it is
        taken first of all, so it is in no cycle with the locks of rows.
        """
        lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        key = int.from_bytes(program_id.bytes[-8:], "big", signed=True)
        pool = await self.database.raw()
        async with pool.acquire() as connection:
            await connection.execute(f"{begin_in_program(program_id)}; SELECT {lock}({key})")
            try:
                yield connection
            finally:
                await _roll_back(connection)

    async def _attempt(
        self, connection: RawConnection, program_id: UUID, terms: Terms, submissions: Sequence[Submission]
    ) -> list[Outcome]:
        asked = {(s.identity, s.event_type, _asset(terms, s)): None for s in submissions}
        keys = sorted({key for s in submissions for key in (s.key, s.signature) if key is not None})
        loaded = await repository_intake.load(connection, program_id, list(asked), keys)
        if loaded is None:
            raise ProgramNotFoundError
        if loaded.config_version != terms.config_version:
            raise _NewerTermsError(loaded.config_version)
        loaded.now = self.booking_time(loaded.now)
        ids = uuid7_batch(len(submissions))
        meet_newcomers(submissions, loaded, ids)
        caps = caps_to_load(terms, submissions, loaded)
        if caps:
            await repository_intake.load_caps(connection, program_id, caps, loaded.state)
        plan = plan_batch(terms, submissions, loaded, ids)
        earlier = await self._answers(connection, program_id, plan)
        if not plan.writes:
            return _outcomes(plan, earlier, {})
        custody = await self._custody(plan)
        if plan.hints:
            await repository_intake.note_hints(connection, program_id, sorted(plan.hints.items()))
        deliveries = await repository_booking.write(connection, program_id, plan, loaded, custody)
        outcomes = _outcomes(plan, earlier, dict(zip(sorted(plan.deliveries), deliveries, strict=True)))
        try:
            await repository_booking.take_funds_and_commit(connection, program_id, plan)
        except Exception as error:
            if driver.is_connection_failure(error):
                raise _LostInCommitError(plan.accepted[0].event_id if plan.accepted else None, outcomes) from error
            raise
        return outcomes

    async def _answers(self, connection: RawConnection, program_id: UUID, plan: Plan) -> dict[UUID, Booked]:
        booked_now = {event.event_id for event in plan.accepted}
        repeats = {outcome.event_id for outcome in plan.outcomes if isinstance(outcome, Repeat)} - booked_now
        return await repository_intake.answers(connection, program_id, sorted(repeats)) if repeats else {}

    async def _custody(self, plan: Plan) -> Custody:
        """Derive the newcomers' wallets; many of them beside the event loop, which a few hold up less than a thread would."""
        identities = list(plan.newcomers)
        if identities:
            derive = self.wallets.addresses
            addresses = derive(identities) if len(identities) <= FEW else await asyncio.to_thread(derive, identities)
            for person, address in zip(plan.newcomers.values(), addresses, strict=True):
                person.wallet_address = address
        hashes = {identity: self.wallets.identity_hash(identity) for identity in identities}
        return Custody(self.wallets.name, DERIVATION_VERSION, hashes)

    async def _is_committed(self, program_id: UUID, event_id: UUID | None) -> bool:
        """Whether a batch whose commit got no answer is in the books. Runs alone, so it waits until that one has ended."""
        if event_id is None:
            return False
        async with self._transaction(program_id, alone=True) as connection:
            return event_id in await repository_intake.answers(connection, program_id, [event_id])


async def _roll_back(connection: RawConnection) -> None:
    """End what was not committed; for a connection that is gone the server does."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except Exception as error:
        if not driver.is_connection_failure(error):
            raise


def _asset(terms: Terms, submission: Submission) -> UUID:
    rule = terms.rules.get(submission.event_type)
    return _NOWHERE if rule is None else rule.asset_id


def _conflict(error: Exception, attempt: int) -> str | None:
    """What a batch ran into that another attempt may get around; None if it would only meet it again."""
    if isinstance(error, ConflictingWriteError):
        return str(error)
    state = sqlstate(error)
    if state in _CONFLICTS:
        # The driver names the table where the state is about one.
        return getattr(error, "table_name", None) or f"sqlstate {state}"
    # A pooled connection may have died while it was idle. Nothing was committed: once more, on another.
    return "connection" if attempt == 1 and driver.is_connection_failure(error) else None


def _outcomes(plan: Plan, earlier: dict[UUID, Booked], deliveries: dict[tuple[UUID, UUID], UUID]) -> list[Outcome]:
    booked: dict[UUID, Booked] = {}
    for event in plan.accepted:
        key = (event.asset_id, event.person.account_id)
        booked[event.event_id] = Booked(
            event_id=event.event_id,
            event_type=event.submission.event_type,
            points=event.points,
            account_id=event.person.account_id,
            wallet_address=event.person.wallet_address or "",
            delivery_id=deliveries[key] if event.is_delivered else None,
            transaction_hash=None,
            is_repeat=False,
        )
    outcomes: list[Outcome] = []
    for outcome in plan.outcomes:
        if isinstance(outcome, Accepted):
            outcomes.append(booked[outcome.event_id])
        elif isinstance(outcome, Repeat):
            first = booked.get(outcome.event_id)
            outcomes.append(earlier[outcome.event_id] if first is None else msgspec.structs.replace(first, is_repeat=True))
        else:
            outcomes.append(outcome)
    return outcomes
