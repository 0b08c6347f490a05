"""What a batch writes: its reports decided in the order of arrival, on what was loaded for them. Pure.

Loading and writing are `repository_intake.py`; trying again is `booking.py`; the decision is `earning/decision.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import msgspec

from guerdon.activity.errors import EventTypeNotConfiguredError, ReplayedSignatureError, refusal
from guerdon.activity.submissions import Submission
from guerdon.earning.caps import CapUse, cap_keys
from guerdon.earning.decision import Earned, Refused, State, decide, record
from guerdon.earning.terms import ProgramTerms, Report, RuleTerms
from guerdon.kit.errors import GuerdonError, IdempotencyConflictError
from guerdon.ledger.models import Delivered, PostingKind
from guerdon.ledger.postings import EFFECTS, available_change

_encode = msgspec.json.Encoder().encode
_AVAILABLE_CHANGE = {kind: available_change(effect) for kind, effect in EFFECTS.items()}


@dataclass(slots=True)
class Person:
    """The account that an identity leads to; without a wallet it is yet to be made."""

    account_id: UUID
    wallet_address: str | None = None
    reported_wallet: str | None = None


class KnownKey(msgspec.Struct, frozen=True):
    """What a key or a signature was used for."""

    event_id: UUID
    body_hash: bytes
    operation: str


@dataclass(slots=True)
class Loaded:
    """What was read for a batch in one statement. Everything that is decided from it is checked again by the write."""

    now: datetime
    """The database's clock."""
    config_version: int
    people: dict[str, Person] = field(default_factory=dict[str, Person])
    keys: dict[bytes, KnownKey] = field(default_factory=dict[bytes, KnownKey])
    state: State = field(default_factory=State)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a program lays down, as of `config_version`."""

    config_version: int
    program: ProgramTerms
    rules: dict[str, RuleTerms]


class Posting(msgspec.Struct, frozen=True):
    """A row of `postings`; where its points go follows from its kind."""

    kind: PostingKind
    ref: UUID
    asset_id: UUID
    account_id: UUID
    amount: int
    nth: int
    """Which of the account's in this batch it is."""
    available_change: int
    """Of the account, by this and its earlier ones in this batch."""


@dataclass(slots=True)
class BalanceChange:
    """What a batch adds to one account's balance of one asset, whatever that is by then."""

    earned: int = 0
    held: int = 0
    repaid: int = 0
    available: int = 0
    postings: int = 0


@dataclass(slots=True)
class FundsChange:
    """What a batch takes from a program's funds: `given` to accounts, of it `repaid` to the funds at once."""

    given: int = 0
    repaid: int = 0


class Accepted(msgspec.Struct, frozen=True):
    """A report that becomes an event."""

    event_id: UUID
    submission: Submission
    person: Person
    asset_id: UUID
    points: int
    reasons: str
    is_delivered: bool
    """Whether tokens of it go out by themselves."""


class Repeat(msgspec.Struct, frozen=True):
    """A report of an event that is booked, or is being booked in this batch."""

    event_id: UUID


@dataclass(slots=True)
class Plan:
    """The outcomes of a batch, and everything that it writes."""

    now: datetime
    outcomes: list[Accepted | Repeat | GuerdonError] = field(default_factory=list[Accepted | Repeat | GuerdonError])
    accepted: list[Accepted] = field(default_factory=list[Accepted])
    newcomers: dict[str, Person] = field(default_factory=dict[str, Person])
    """By identity: whose accounts are made."""
    hints: dict[UUID, str] = field(default_factory=dict[UUID, str])
    """By account: what was reported as its wallet (SAFETY S5)."""
    keys: dict[bytes, KnownKey] = field(default_factory=dict[bytes, KnownKey])
    claims: dict[tuple[UUID, str], int] = field(default_factory=dict[tuple[UUID, str], int])
    """By (account, event type): how many more."""
    balances: dict[tuple[UUID, UUID], BalanceChange] = field(default_factory=dict[tuple[UUID, UUID], BalanceChange])
    deliveries: dict[tuple[UUID, UUID], int] = field(default_factory=dict[tuple[UUID, UUID], int])
    """By (asset, account): points that begin to wait for delivery."""
    postings: list[Posting] = field(default_factory=list[Posting])
    caps: dict[str, CapUse] = field(default_factory=dict[str, CapUse])
    """With the amount that the whole batch uses."""
    funds: dict[UUID, FundsChange] = field(default_factory=dict[UUID, FundsChange])

    @property
    def writes(self) -> bool:
        """Whether there is anything to write: refusals leave no trace (SAFETY S8)."""
        return bool(self.accepted or self.keys)


def meet_newcomers(submissions: Sequence[Submission], loaded: Loaded, ids: Sequence[UUID]) -> None:
    """Give everybody who has no account the id of their first report; only those who are rewarded get the account."""
    for submission, own_id in zip(submissions, ids, strict=True):
        if submission.identity not in loaded.people:
            loaded.people[submission.identity] = Person(own_id)


def caps_to_load(terms: Terms, submissions: Sequence[Submission], loaded: Loaded) -> list[str]:
    """The keys of the counters that the decisions depend on, in order."""
    keys: set[str] = set()
    for submission in submissions:
        rule = terms.rules.get(submission.event_type)
        if rule is not None and (rule.is_capped or submission.trust.is_public):
            keys.update(cap_keys(_report(submission, loaded.people[submission.identity]), rule, terms.program, loaded.now))
    return sorted(keys)


def plan_batch(terms: Terms, submissions: Sequence[Submission], loaded: Loaded, ids: Sequence[UUID]) -> Plan:
    """Decide the reports one after the other, each on what the ones before leave. `ids` are for the events they become."""
    plan = Plan(loaded.now)
    for submission, own_id in zip(submissions, ids, strict=True):
        outcome = _repeat(plan, submission, loaded) or _decide(plan, terms, submission, loaded, own_id)
        plan.outcomes.append(outcome)
        if isinstance(outcome, Accepted):
            plan.accepted.append(outcome)
            _bind(plan, loaded, submission, outcome.event_id)
    return plan


def _repeat(plan: Plan, submission: Submission, loaded: Loaded) -> Repeat | GuerdonError | None:
    """Whether the report is known already (SAFETY S11, S12). The signature counts first: it can't be chosen by a stranger."""
    known = None if submission.signature is None else loaded.keys.get(submission.signature)
    if known is not None:
        return Repeat(known.event_id) if known.operation == submission.operation else ReplayedSignatureError()
    known = None if submission.key is None else loaded.keys.get(submission.key)
    if known is None:
        return None
    if known.body_hash != submission.body_hash:
        return IdempotencyConflictError()
    if submission.signature is not None and not submission.key_is_signed:
        # Signed anew, with its key in a header that is not signed: sent again with another key, it must be known.
        used = KnownKey(known.event_id, submission.body_hash, submission.operation)
        loaded.keys[submission.signature] = plan.keys[submission.signature] = used
    return Repeat(known.event_id)


def _bind(plan: Plan, loaded: Loaded, submission: Submission, event_id: UUID) -> None:
    used = KnownKey(event_id, submission.body_hash, submission.operation)
    for key in (submission.key, submission.signature):
        if key is not None:
            loaded.keys[key] = plan.keys[key] = used


def _decide(plan: Plan, terms: Terms, submission: Submission, loaded: Loaded, own_id: UUID) -> Accepted | GuerdonError:
    rule = terms.rules.get(submission.event_type)
    person = loaded.people[submission.identity]
    report = _report(submission, person)
    earned = decide(report, rule, terms.program, loaded.state, loaded.now)
    if isinstance(earned, Refused) or rule is None:
        return refusal(earned) if isinstance(earned, Refused) else EventTypeNotConfiguredError()
    record(loaded.state, report, rule, earned, loaded.now)
    is_new = person.wallet_address is None and submission.identity not in plan.newcomers
    # An account has the id of the event that it begins with: that is how a repeat knows that its first report made it.
    event_id = person.account_id if is_new else own_id
    if is_new:
        plan.newcomers[submission.identity] = person
    _note_hint(plan, submission, person, is_new=is_new)
    _count(plan, report, earned)
    if earned.points:
        _book(plan, event_id, person.account_id, rule, earned)
    return Accepted(
        event_id=event_id,
        submission=submission,
        person=person,
        asset_id=rule.asset_id,
        points=earned.points,
        reasons=_encode(earned.reasons).decode("utf-8"),
        is_delivered=rule.delivery == Delivered.AUTOMATIC and earned.points > earned.repaid,
    )


def _report(submission: Submission, person: Person) -> Report:
    return Report(
        account_id=person.account_id,
        event_type=submission.event_type,
        trust=submission.trust,
        keyed=submission.key is not None,
        has_email=submission.identity.startswith("email:"),
        channel=submission.channel,
        client_address=submission.client_address,
        metadata=submission.metadata,
    )


def _note_hint(plan: Plan, submission: Submission, person: Person, *, is_new: bool) -> None:
    """Remember the reported wallet; what anyone can send never replaces what is known."""
    hint = submission.wallet_hint
    if hint is None or hint == person.reported_wallet:
        return
    if person.reported_wallet is None or not submission.trust.is_public:
        person.reported_wallet = hint
        if not is_new and submission.identity not in plan.newcomers:
            plan.hints[person.account_id] = hint


def _count(plan: Plan, report: Report, earned: Earned) -> None:
    claim = (report.account_id, report.event_type)
    plan.claims[claim] = plan.claims.get(claim, 0) + 1
    for cap in earned.caps:
        before = plan.caps.get(cap.key)
        amount = cap.amount if before is None else before.amount + cap.amount
        plan.caps[cap.key] = CapUse(cap.key, cap.name, cap.limit, amount, cap.day)


def _book(plan: Plan, event_id: UUID, account_id: UUID, rule: RuleTerms, earned: Earned) -> None:
    """The movements of one reward (DESIGN section 6, rule 1; debts first: SAFETY S13)."""
    key = (rule.asset_id, account_id)
    change = plan.balances.setdefault(key, BalanceChange())
    rest = earned.points - earned.repaid
    held = rest if rule.delivery == Delivered.AUTOMATIC else 0
    for kind, amount in _movements(earned, held):
        change.postings += 1
        change.available += _AVAILABLE_CHANGE[kind] * amount
        plan.postings.append(Posting(kind, event_id, rule.asset_id, account_id, amount, change.postings, change.available))
    change.earned += earned.points
    change.held += held
    change.repaid += earned.repaid
    if held:
        plan.deliveries[key] = plan.deliveries.get(key, 0) + held
    funds = plan.funds.setdefault(rule.asset_id, FundsChange())
    funds.given += earned.points
    funds.repaid += earned.repaid


def _movements(earned: Earned, held: int) -> list[tuple[PostingKind, int]]:
    if not earned.repaid:
        return [(PostingKind.REWARD_HELD if held else PostingKind.REWARD, earned.points)]
    movements = [
        (PostingKind.REWARD, earned.points),
        (PostingKind.REPAY, earned.repaid),
        (PostingKind.SETTLE_DEBT, earned.repaid),
    ]
    return [*movements, (PostingKind.HOLD, held)] if held else movements
