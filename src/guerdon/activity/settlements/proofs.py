"""What a chain can say of a transaction, whichever chain it is, and what that means for a source's report. Pure.

How a chain is asked is `evm.py` and `solana.py`. An answer that is missing, malformed or late is no knowledge: nothing follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from guerdon.activity.settlements.models import HintState
from guerdon.activity.settlements.repository_hints import FOREIGN_SENDER, NEVER_LANDED

FIRST_LOOK: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(hours=1)
WATCHED_FOR: Final = timedelta(hours=24)
"""How long a transaction that was reported is waited for: authorizations and blockhashes are long over by then."""
_GIVEN_UP_AFTER: Final = 7 * WATCHED_FOR
"""A node that said nothing usable of it for so long will not."""


class Reason(StrEnum):
    """Why a transaction that landed is no payment."""

    FAILED = "failed"
    NO_LISTED_ASSET = "no_listed_asset"
    """Nothing of an asset that counts was moved: a worthless token, or a call to an address without code."""
    NOT_A_PAYMENT = "not_a_payment"
    """Something was, but by no scheme of payments (SAFETY S33)."""
    ZERO_AMOUNT = "zero_amount"
    CAME_BACK = "came_back"
    """Its payer is no poorer for it after the transaction: lent money, or the same money in a circle."""
    WRONG_DECIMALS = "wrong_decimals"
    """The asset is listed with other decimals than the chain says it has."""
    CHANNEL = "channel"
    """A deposit to, or a withdrawal from, a payment channel: its vouchers are no transfers, and a deposit can be taken back."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One transfer of an asset that counts, as the chain has it. `amount` is in the token's smallest unit and above zero."""

    place: int
    asset: str
    payer: str
    payee: str
    amount: int


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction in a block of the canonical chain."""

    transaction_hash: str
    sender: str
    """Who sent it, or on Solana paid its fee."""
    block_number: int
    block_hash: str
    settled_at: datetime
    is_final: bool
    payments: tuple[Payment, ...]
    reason: Reason | None
    """Why there are no payments."""


@dataclass(frozen=True, slots=True)
class NotIncluded:
    """The node has it in no block, and its newest block was made then."""

    head_at: datetime


@dataclass(frozen=True, slots=True)
class Unclear:
    """The node said nothing that could be used."""

    why: str


Answer = Landed | NotIncluded | Unclear


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a report."""

    state: HintState
    reason: str | None
    due_at: datetime
    attempts: int
    proof: Landed | None = None
    """With payments, where there are any to be credited."""


def lasting(payments: Sequence[Payment], spent: Mapping[tuple[str, str], int]) -> list[Payment]:
    """Payments that their payers are the poorer for. `spent`: by (asset, wallet), how much less of it there is than before.

    Facilitators call whatever asset or factory they are told to, so that a transaction of theirs may hold anything: what is lent
    for its time, and paid in a circle as often as it likes, would count as often (SAFETY S33).
    """
    said = Counter[tuple[str, str]]()
    for one in payments:
        # Who pays himself is told so when it is credited.
        said[one.asset, one.payer] += one.amount if one.payer != one.payee else 0
    return [one for one in payments if said[one.asset, one.payer] <= max(spent.get((one.asset, one.payer), 0), 0)]


def judge(answer: Answer, signers: Collection[str], *, received_at: datetime, attempts: int, now: datetime) -> Verdict:
    """What an answer means for a report of a source with these signers."""
    match answer:
        case Unclear(why):
            if now - received_at > _GIVEN_UP_AFTER:
                return Verdict(HintState.NOTHING, NEVER_LANDED, now, attempts + 1)
            return Verdict(HintState.WATCHING, why[:200], now + pause(attempts + 1), attempts + 1)
        case NotIncluded(head_at):
            # A node that has not even seen the time of the report knows nothing of it.
            if head_at < received_at - timedelta(minutes=1):
                return Verdict(HintState.WATCHING, "the node lags", now + pause(attempts + 1), attempts + 1)
            if now - received_at > WATCHED_FOR and head_at - received_at > WATCHED_FOR / 2:
                return Verdict(HintState.NOTHING, NEVER_LANDED, now, attempts + 1)
            return Verdict(HintState.WATCHING, "in no block yet", now + pause(attempts), attempts + 1)
        case Landed():
            if answer.sender not in signers:
                return Verdict(HintState.REJECTED, FOREIGN_SENDER, now, attempts)
            if not answer.payments:
                return Verdict(HintState.NOTHING, answer.reason, now, attempts)
            return Verdict(HintState.PROVEN, None, now, attempts, answer)


def pause(attempts: int) -> timedelta:
    """How long to wait before the chain is asked again, after so many times."""
    return min(FIRST_LOOK * 2 ** min(attempts, 20), LONGEST_PAUSE)
