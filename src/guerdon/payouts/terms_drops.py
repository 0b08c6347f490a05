"""The terms of drops, with what they mean: constants."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DropTerms:
    """How drops are made and watched. Times are in seconds."""

    chunk: int = 1_000
    """Accounts whose points are held, or given back, in one transaction."""
    chunks_a_turn: int = 20
    """Such transactions for one drop before the others have their turn."""
    look_seconds: float = 5
    """How soon what is not over is looked at again, woken or not (SAFETY S23)."""
    idle_seconds: float = 300
    """The same for a worker that has nothing to look at."""
    scan_blocks: int = 2_000
    """Blocks a question for logs; nodes refuse more than some thousand."""
    ranges_a_turn: int = 25
    retry_seconds: float = 60
    """Before a transaction that failed on chain is made anew; each further one waits twice as long."""
    longest_retry_seconds: float = 86_400
    late_seconds: float = 600
    """From a season's end to when its closing is worth an alert."""
