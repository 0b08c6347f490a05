"""Booking settled volume: lock, load, decide, write; one transaction of the caller's, and a bounded number of statements a batch.

credit(session, program_id, settled, now)     what each settlement earns, booked once; a repeat books nothing
What comes after (final, review, undone) is `volume_life.py`.

Two batches that share an account, a campaign or a cap come one after the other: the second decides on what the first has
committed. The caller retries on a serialisation failure, as `run_in_program` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from guerdon.earning import repository_volume as repository
from guerdon.earning import repository_volume_write as writing
from guerdon.earning.campaigning import day_caps
from guerdon.earning.tiers import multiplies
from guerdon.earning.volume import decide_settlement, record
from guerdon.earning.volume_state import NothingEarned, SettlementEarned, VolumeState
from guerdon.earning.volume_terms import Held, Settled, VolumeTerms, lookback_days
from guerdon.kit.database import ScopedSession
from guerdon.kit.jobs import wake
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Delivered, PostingKind
from guerdon.ledger.postings import Balance, Movement

MATURE = "volume.mature"
"""The work that makes points available once their holding time is over."""
SETTLEMENT = "settlement"
"""What earned the accrual of a settlement."""
CAMPAIGN = "campaign"
"""What earned a share of a pool."""
NO_TERMS = "the program has no asset that is claimed: name one in its volume terms"


class Repeated(msgspec.Struct, frozen=True):
    """The settlement was credited before; nothing was booked."""


Outcome = SettlementEarned | NothingEarned | Repeated


async def credit(session: ScopedSession, program_id: UUID, settled: Sequence[Settled], now: datetime) -> list[Outcome]:
    """Book what each settlement earns, decided by the time of its block; the outcomes in the order given.

    `now` is the transaction's time. Raises `NotEnoughPointsError` where the funds went elsewhere meanwhile: nothing may be
    committed then, and the batch is done again.
    """
    terms = await repository.terms_of(session, program_id) if settled else None
    if terms is None or terms.delivery != Delivered.ON_CLAIM:
        return [NothingEarned(NO_TERMS, waits=True)] * len(settled)
    balances = await ledger_repository.lock_account_balances(
        session, program_id, {(terms.asset_id, one.account_id) for one in settled}
    )
    known = await repository.accrued(session, program_id, [one.id for one in settled])
    new = {one.id: one for one in settled if one.id not in known}
    decided: dict[UUID, SettlementEarned | NothingEarned] = {}
    if new:
        in_order = sorted(new.values(), key=lambda one: (one.settled_at, one.id))
        state = await _load(session, program_id, terms, in_order)
        for one in in_order:
            decided[one.id] = outcome = decide_settlement(one, terms, state, now)
            if isinstance(outcome, SettlementEarned):
                record(state, one, outcome)
        earned = [(one, outcome) for one in in_order if isinstance(outcome := decided[one.id], SettlementEarned)]
        await _write(session, program_id, Booking(terms, state, earned, balances), now)
    # Of the same settlement twice in a batch the second is a repeat.
    return [decided.pop(one.id, None) or Repeated() for one in settled]


@dataclass(frozen=True, slots=True)
class Booking:
    """A batch that is decided."""

    terms: VolumeTerms
    state: VolumeState
    earned: Sequence[tuple[Settled, SettlementEarned]]
    balances: dict[ledger_repository.AccountKey, Balance]


async def _load(session: ScopedSession, program_id: UUID, terms: VolumeTerms, settled: Sequence[Settled]) -> VolumeState:
    """Lock campaigns, then caps; and read, in later statements, what is decided on (SAFETY S10, S15)."""
    days = [one.settled_at.astimezone(UTC).date() for one in settled]
    candidates = await repository.candidates(session, program_id, settled[0].settled_at, settled[-1].settled_at)
    spending = await repository.lock_campaigns(session, program_id, candidates) if candidates else {}
    caps = {(day, whose) for one, day in zip(settled, days, strict=True) for _, _, whose in day_caps(one, terms)}
    used = await repository.lock_caps(session, program_id, caps)
    state = VolumeState(spending=spending, days=used, funds=await repository.funds(session, program_id, terms.asset_id))
    accounts = sorted({one.account_id for one in settled})
    first, last = _window(terms, min(days), max(days))
    state.fractions, state.volumes = await repository.accounts(session, program_id, terms.asset_id, accounts, first, last)
    if candidates:
        state.campaigns = await repository.campaigns(session, program_id, candidates)
        keys = [(campaign, account) for campaign in candidates for account in accounts]
        state.participations = await repository.participations(session, program_id, keys)
        payers = [(campaign, payer) for campaign in candidates for payer in sorted({one.payer for one in settled})]
        state.payers = await repository.payers(session, program_id, payers)
    if candidates or multiplies(terms):
        _leave_out(state, await repository.in_review(session, program_id, accounts))
    return state


def _leave_out(state: VolumeState, waiting: Sequence[tuple[UUID, UUID | None, date, int, int]]) -> None:
    """Note what waits for an operator: it makes no tier, and reaches nothing for what does not wait."""
    for account, campaign, day, volume, settlements in waiting:
        if campaign is not None:
            part = state.participations.get((campaign, account))
            if part is not None:
                part.in_review = (part.in_review[0] + volume, part.in_review[1] + settlements)
        elif day in state.volumes_of(account):
            state.volumes[account][day] -= volume


def _window(terms: VolumeTerms, first: date, last: date) -> tuple[date, date]:
    """The days whose volume has a say in tiers; none where tiers multiply nothing."""
    return (first - timedelta(days=lookback_days(terms)), last) if multiplies(terms) else (last, last - timedelta(days=1))


async def _write(session: ScopedSession, program_id: UUID, booking: Booking, now: datetime) -> None:
    if not booking.earned:
        return
    state, terms = booking.state, booking.terms
    touched = {(use.campaign_id, one.account_id) for one, earned in booking.earned for use in earned.uses}
    drawn = {use.campaign_id for _, earned in booking.earned for use in earned.uses if use.millionths or use.joins}
    payers = {(use.campaign_id, one.payer) for one, earned in booking.earned for use in earned.uses if use.millionths}
    capped = {(one.settled_at.astimezone(UTC).date(), whose) for one, earned in booking.earned for whose, _ in earned.capped}
    written = writing.Written(
        terms.asset_id,
        accruals=[_accrual(one, earned, now) for one, earned in booking.earned],
        days={key: (volume, settlements) for key, (volume, settlements) in state.settled.items()},
        fractions={one.account_id: state.fractions[one.account_id] for one, _ in booking.earned},
        participations={key: state.participations[key] for key in touched},
        payers={key: state.payers[key] for key in payers},
        spending={campaign: state.spending[campaign] for campaign in drawn},
        caps={key: state.days[key] for key in capped},
    )
    await writing.write(session, program_id, written, now)
    await ledger.post_new(session, program_id, _movements(booking), booking.balances, now)
    due = [earned.held_until for _, earned in booking.earned if earned.held_for is Held.HOLDING and earned.held_until is not None]
    if due:
        await wake(session, MATURE, program_id, min(due))


def _movements(booking: Booking) -> list[Movement]:
    """Held, or available and then an open debt is repaid first (SAFETY S13)."""
    asset_id = booking.terms.asset_id
    debts = {key: balance.debt for key, balance in booking.balances.items()}
    movements: list[Movement] = []
    for one, earned in booking.earned:
        if not earned.points:
            continue
        kind = PostingKind.REWARD if earned.held_for is None else PostingKind.REWARD_HELD
        movements.append(Movement(kind, one.id, asset_id, earned.points, one.account_id))
        if earned.held_for is None:
            movements += repayment(one.id, asset_id, one.account_id, earned.points, debts)
    return movements


def repayment(
    ref: UUID, asset_id: UUID, account_id: UUID, points: int, debts: dict[ledger_repository.AccountKey, int]
) -> list[Movement]:
    """What of `points` that become available goes to the account's open debt; `debts` is moved on."""
    repaid = min(points, debts[asset_id, account_id])
    if not repaid:
        return []
    debts[asset_id, account_id] -= repaid
    return [Movement(kind, ref, asset_id, repaid, account_id) for kind in (PostingKind.REPAY, PostingKind.SETTLE_DEBT)]


def _accrual(one: Settled, earned: SettlementEarned, now: datetime) -> writing.NewAccrual:
    return writing.NewAccrual(
        id=one.id,
        account_id=one.account_id,
        earned_by=SETTLEMENT,
        points=earned.points,
        reasons=earned.reasons,
        millionths=earned.millionths,
        volume_micro_usd=one.volume_micro_usd,
        settled_at=one.settled_at,
        counted=_counted(one, earned),
        held_for=earned.held_for,
        held_until=earned.held_until,
        final_at=now if one.is_final else None,
    )


def _counted(one: Settled, earned: SettlementEarned) -> dict[str, Any]:
    """What is to be given back should the settlement be undone; integers as text, for they may be larger than readers hold."""
    return {
        "payer": one.payer,
        "uses": [
            {
                "campaign": str(use.campaign_id),
                "millionths": str(use.millionths),
                "milestones": {key: str(points) for key, points in use.milestones},
                "weight": str(use.weight),
            }
            for use in earned.uses
        ],
        "caps": {whose: str(millionths) for whose, millionths in earned.capped},
    }
