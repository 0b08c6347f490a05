"""What `guerdon status` knows at one moment, as `--json` prints it. Read by `snapshot.py`, drawn by `screen.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from guerdon.kit.api import AtomicText, Wire


class ProcessView(Wire):
    """A process that runs. `seen_seconds` above some 15 means that it hangs, or was killed."""

    role: str
    place: str
    version: str
    address: str | None
    up_seconds: float
    seen_seconds: float
    loop_lag_ms: float | None
    resident_bytes: int | None
    ready: Literal["ready", "not ready", "unreachable"] | None
    """What its `/ready` said, of web processes."""


class ReportsView(Wire):
    """What became of reports in the last minute, over all web processes that were seen."""

    seconds: float
    booked: int
    repeated: int
    refused: dict[str, int]
    """By code."""


class StateView(Wire):
    """Everything of one kind that is in one state, over all programs."""

    what: str
    state: str
    count: int
    oldest_seconds: float
    moved_by: str
    """The work, the step or the person that moves it on."""


class NetworkView(Wire):
    """A network as a worker last saw it."""

    name: str
    seen_seconds: float | None
    head_block: int | None
    head_age_seconds: float | None
    finalized_lag_blocks: int | None
    base_fee_wei: AtomicText | None
    fee_cap_wei: AtomicText | None


class KeyStatus(Wire):
    """A signing key."""

    network: str
    purpose: str
    address: str
    held_by: str | None
    """The worker that signs with it now."""
    epoch: int
    next_nonce: int
    in_flight: int
    native_wei: AtomicText | None
    paused: str | None
    """Why, if it is."""
    resumes_by_itself: bool


class TreasuryStatus(Wire):
    """A treasury. Amounts in the token's smallest unit."""

    asset: str
    decimals: int
    network: str
    address: str
    balance: AtomicText
    reserved: AtomicText
    free: AtomicText
    low: bool
    paid_a_day: AtomicText
    payouts_a_day: int
    lasts_days: float | None
    """At the pace of the last day; null where nothing was paid."""
    paused: str | None
    """Why, if it is."""
    resumes_by_itself: bool


class ShortProgram(Wire):
    """A program that has less than a twentieth left of what it was given."""

    brand_id: str
    name: str
    asset: str
    funds: int
    funded: int


class AlertStatus(Wire):
    """An open alert."""

    kind: str
    severity: str
    since: datetime
    since_seconds: float
    times: int
    message: str
    remedy: str


class Status(Wire):
    """Everything that an operator sees at a glance."""

    at: datetime
    deployment: str | None
    processes: list[ProcessView]
    reports: ReportsView
    states: list[StateView]
    late_work: dict[str, float]
    """Kinds of work that are due and not done, with how late they are in seconds."""
    networks: list[NetworkView]
    keys: list[KeyStatus]
    treasuries: list[TreasuryStatus]
    short_programs: list[ShortProgram]
    """Some of them by name."""
    short_programs_count: int
    alerts: list[AlertStatus]
    """The worst of them."""
    alerts_count: int
    unreachable: list[str]
    """What could not be asked."""
    next_steps: list[str]
