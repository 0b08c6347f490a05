"""The engine's terms, with what they mean: constants but for what an operator sets (`settings.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineTerms:
    """How one engine works. Times are in seconds unless the name says otherwise."""

    lease_seconds: float = 15
    """How long a worker that fell silent keeps its keys; the database's clock counts (SAFETY S19)."""
    max_in_flight: int = 16
    """Transactions of a key that are neither included nor finished; what common pools guarantee to keep (SAFETY S26)."""
    gas_headroom_percent: int = 20
    """Added to the node's estimate; what is not used is not paid."""
    replace_after_blocks: int = 3
    """Blocks without inclusion after which fees are raised."""
    resend_after_blocks: int = 2
    """Blocks without inclusion after which the same bytes are sent again: a pool may have dropped them."""
    unknown_after_seconds: float = 600
    """Without inclusion for so long, a transaction is `unknown` and an operator is alerted."""
    idle_poll_seconds: float = 2
    """How often the database is looked at when nothing is in flight; a queued intent also notifies."""
    min_poll_seconds: float = 0.2
    """How often the head is looked at while something is in flight, on chains with short blocks."""
    max_poll_seconds: float = 1
    polls_per_block: int = 8
    alert_after_seconds: float = 30
    """How long a network may fail to answer, or a key's work fail, before an operator hears of it."""
    max_backoff_seconds: float = 15
    idle_check_seconds: float = 10
    """How often a key with nothing in flight is compared with the chain: a local one may have lost blocks (SAFETY S27)."""
    funds_check_seconds: float = 3
    """How often a key that paused for lack of native coin looks whether it was funded."""
    max_unit_price: int = 5_000_000
    """Of a Solana without a cap of its own: the most that is offered for a compute unit, in micro-lamports."""
    unseen_seconds: float = 120
    """On Solana: how long nobody may have looked at what a key sent, before a new form waits until what a database that was
    restored does not know can land no more (SAFETY S21)."""
    close_markers_seconds: float = 60
    """How often markers that are not needed any more are closed."""
    closed_at_once: int = 20
    scan_signatures: int = 100_000
    """How many transactions that name a key are looked through at a time, before an operator has to look."""
    scan_blocks: int = 5_000
    """How far back blocks are read to find a transaction, where the node keeps no old state."""

    def poll_seconds(self, block_time_ms: int) -> float:
        """How often to look at the head of a chain with this block time, while something is in flight."""
        fraction = block_time_ms / 1000 / self.polls_per_block
        return min(self.max_poll_seconds, max(self.min_poll_seconds, fraction))
