"""Every state of everything that moves: which are the last ones, and what moves it out of each other one (SAFETY S23).

A state that is added to a model and not here fails a test; so does one without a gauge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from guerdon.activity.settlements import work as settlement_work
from guerdon.activity.settlements.models import HintState, Settlement, SettlementHint, SettlementState
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts import alerts as payout_alerts
from guerdon.payouts import models_drops as drops
from guerdon.payouts.models import Batch, BatchState, Work
from guerdon.payouts.repository import IN_BATCH
from guerdon.programs import funding
from guerdon.programs.models import Funding, FundingState
from guerdon.txmanager import repository
from guerdon.txmanager.binding import bind_queued
from guerdon.txmanager.models import FINISHED, Intent, IntentState
from guerdon.txmanager.signing import sign_bound
from guerdon.txmanager.solana.signing import sign_waiting
from guerdon.txmanager.watching import look


@dataclass(frozen=True, slots=True)
class Job:
    """Work of this kind moves it; the sweep wakes the work where everybody forgot."""

    kind: str
    sweep: str = Work.SWEEP


@dataclass(frozen=True, slots=True)
class Step:
    """This step of a key's loop moves it, as long as a worker holds the key."""

    step: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Person:
    """An operator moves it, told by an alert of this kind, which names how."""

    alert: str


@dataclass(frozen=True, slots=True)
class Unused:
    """No statement writes this state yet."""


Mover = Job | Step | Person | Unused


@dataclass(frozen=True, slots=True)
class Moving:
    """A table whose rows move from state to state. Its gauge is `guerdon_<table>`."""

    table: str
    states: type[StrEnum]
    last: frozenset[StrEnum]
    movers: Mapping[StrEnum, Mover]
    help_text: str

    @property
    def unfinished(self) -> list[StrEnum]:
        """The states that have a gauge."""
        return [state for state in self.states if state not in self.last]


MOVING = (
    Moving(
        Delivery.__tablename__,
        DeliveryState,
        frozenset({DeliveryState.FINAL, DeliveryState.REFUSED, DeliveryState.RETURNED}),
        {
            **dict.fromkeys(IN_BATCH, Job(Work.ADVANCE)),
            # In a batch that is not frozen yet, freezing it comes first; that is the batch's state.
            DeliveryState.APPROVED: Job(Work.RESERVE),
            DeliveryState.QUARANTINED: Person(payout_alerts.QUARANTINED),
            DeliveryState.IN_REVIEW: Person(payout_alerts.REVIEW),
            # A claim is approved or in review from the start.
            DeliveryState.REQUESTED: Unused(),
        },
        "payouts that are not over",
    ),
    Moving(
        Batch.__tablename__,
        BatchState,
        frozenset({BatchState.PAID, BatchState.DISSOLVED}),
        {
            BatchState.OPEN: Job(Work.FREEZE),
            BatchState.CLOSED: Job(Work.FREEZE),
            BatchState.FROZEN: Job(Work.ADVANCE),
        },
        "batches of payouts that are not paid",
    ),
    Moving(
        drops.Drop.__tablename__,
        drops.DropState,
        frozenset({drops.DropState.PUBLISHED, drops.DropState.CANCELLED}),
        {
            state: Job(drops.WORK)
            for state in drops.DropState
            if state not in {drops.DropState.PUBLISHED, drops.DropState.CANCELLED}
        },
        "drops that are not published",
    ),
    Moving(
        drops.DropSeason.__tablename__,
        drops.SeasonState,
        frozenset({drops.SeasonState.CLOSED, drops.SeasonState.CANCELLED}),
        {
            state: Job(drops.WORK)
            for state in drops.SeasonState
            if state not in {drops.SeasonState.CLOSED, drops.SeasonState.CANCELLED}
        },
        "seasons of drops that are not closed",
    ),
    Moving(
        Intent.__tablename__,
        IntentState,
        frozenset(FINISHED),
        {
            IntentState.QUEUED: Step(bind_queued),
            IntentState.BOUND: Step(sign_bound),
            IntentState.EXPIRED: Step(sign_waiting),
            **dict.fromkeys(repository.WATCHED, Step(look)),
        },
        "chain transactions that are not final",
    ),
    Moving(
        Funding.__tablename__,
        FundingState,
        frozenset({FundingState.BOOKED, FundingState.FAILED}),
        {FundingState.PENDING: Job(funding.WORK)},
        "fundings that are not booked",
    ),
    Moving(
        SettlementHint.__tablename__,
        HintState,
        frozenset({HintState.PROVEN, HintState.NOTHING, HintState.REJECTED}),
        dict.fromkeys((HintState.WAITING, HintState.WATCHING), Job(settlement_work.PROVE, settlement_work.SWEEP)),
        "reported payments that the chain has not proven yet",
    ),
    Moving(
        Settlement.__tablename__,
        SettlementState,
        frozenset({SettlementState.FINAL, SettlementState.REORGANISED}),
        {SettlementState.INCLUDED: Job(settlement_work.WATCH, settlement_work.SWEEP)},
        "proven payments that are not final",
    ),
)
