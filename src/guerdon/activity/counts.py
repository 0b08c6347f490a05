"""What became of the reports that this process got: counted for `/metrics`, and for what the process tells of itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter

from guerdon.activity.submissions import Booked, Outcome
from guerdon.kit.errors import GuerdonError

BOOKED: Final = "booked"
REPEATED: Final = "repeated"

_events = Counter(
    "guerdon_intake_events", "Reports by what became of them: booked, repeated, or the code of the refusal", ["outcome"]
)
_booked, _repeated = _events.labels(BOOKED), _events.labels(REPEATED)
_counted: dict[str, float] = {BOOKED: 0, REPEATED: 0}


def count_booked(outcomes: Iterable[Outcome]) -> None:
    """A batch is committed. Its refusals are counted where they are answered, with those that never got into a batch."""
    booked = repeated = 0
    for outcome in outcomes:
        if isinstance(outcome, Booked):
            repeated += outcome.is_repeat
            booked += not outcome.is_repeat
    _booked.inc(booked)
    _repeated.inc(repeated)
    _counted[BOOKED] += booked
    _counted[REPEATED] += repeated


def count_refused(error: GuerdonError) -> None:
    """A report, or a request with reports, was refused."""
    _events.labels(error.code).inc()
    _counted[error.code] = _counted.get(error.code, 0) + 1


def counted() -> dict[str, float]:
    """All that was counted, by outcome."""
    return dict(_counted)
