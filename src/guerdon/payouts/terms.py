"""The terms of payouts, with what they mean: constants but for what an operator sets (`settings.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PayoutTerms:
    """How payouts are batched. Times are in seconds."""

    batch_size: int = 200
    """Payouts a batch takes; beyond that, gas a recipient hardly falls any more."""
    batch_window_seconds: float = 0.15
    """How long a batch stays open for more; what a wallet earns in the meantime is one transfer."""
    batches_ahead: int = 24
    """Batches of a treasury that are full or frozen and not yet in a block; beyond that payouts wait as approved, so that
    a program with few of them need not wait for one with many."""
    chunks_a_turn: int = 4
    """Transactions that one program's reservation makes before it goes to the back of the queue."""
    wait_seconds: float = 5
    """How soon a program looks again when its treasury can't pay; being funded wakes it sooner."""
    full_wait_seconds: float = 0.5
    """The same when too many batches are ahead."""
    sweep_seconds: float = 10
    """How often everything unfinished is looked at, woken or not (SAFETY S23)."""
    gas_a_payout: int = 32_000
    """Gas reserved of a program's budget for one payout to a new holder; settled to the true cost at finality."""
    gas_a_batch: int = 70_000
    """Gas reserved besides for the payout that opens a batch."""
    attempts: int = 3
    """Batches of one wallet alone that may revert on chain before its payouts are quarantined."""
