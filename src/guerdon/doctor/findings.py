"""What a check says. The checks are in `machine.py`, `database.py` and `chain.py`; they are shown by `cli/doctor.py`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    """Works; worth knowing."""
    MEND = "mend"
    """Something does not work, or soon will not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    check: str
    verdict: Verdict
    message: str
    remedy: str | None = None
    """What to do; always there where something needs mending."""


def ok(area: str, check: str, message: str) -> Finding:
    """As it should be."""
    return Finding(area, check, Verdict.OK, message)


def note(area: str, check: str, message: str, remedy: str | None = None) -> Finding:
    """Works, and is worth knowing."""
    return Finding(area, check, Verdict.NOTE, message, remedy)


def mend(area: str, check: str, message: str, remedy: str) -> Finding:
    """Does not work; `remedy` says what to do."""
    return Finding(area, check, Verdict.MEND, message, remedy)
