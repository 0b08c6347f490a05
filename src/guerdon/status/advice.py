"""What to do next, given what is so: a pure function. Alerts bring their own remedies and are not repeated here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from guerdon.status.views import ProcessView, Status

SILENT_SECONDS: Final = 15.0
"""A process writes every 5 s that it runs."""
_UNSEEN_SECONDS: Final = 60.0
_STANDING_SECONDS: Final = 120.0


def next_steps(status: Status) -> list[str]:
    """One sentence for each thing that wants doing, the most urgent first."""
    alive = [one for one in status.processes if one.seen_seconds <= SILENT_SECONDS]
    steps = list(_of_processes(status, alive))
    if status.alerts:
        steps.append("Do what the alerts say, the critical ones first; `guerdon alert list` shows all of them.")
    if any(one.role == "worker" for one in alive):
        steps += [*_of_work(status), *_of_networks(status)]
    return [*steps, *_of_pauses(status), *_of_payouts(status), *_of_programs(status)]


def _of_processes(status: Status, alive: list[ProcessView]) -> Iterator[str]:
    if not alive:
        yield "Nothing runs: start everything on this machine with `guerdon up`, or `guerdon web` and `guerdon worker`."
        return
    if not any(one.role == "worker" for one in alive):
        yield "No worker runs, so nobody is paid: start one with `guerdon worker`."
    if not any(one.role.startswith("web") for one in alive):
        yield "No web process runs, so nothing can be reported: start one with `guerdon web`."
    for one in status.processes:
        if one.seen_seconds > SILENT_SECONDS:
            yield f"The {one.role} process {one.place} is silent for {one.seen_seconds:.0f} s: look at its log, start it again."


def _of_work(status: Status) -> Iterator[str]:
    for name in sorted({one.network for one in status.keys if one.held_by is None}):
        yield f"No worker holds the keys of {name}: `guerdon doctor` tells what it lacks, an RPC address perhaps."
    if status.late_work:
        kinds = ", ".join(sorted(status.late_work))
        yield f"Work is late ({kinds}): the worker's log says why, or start another `guerdon worker`."


def _of_networks(status: Status) -> Iterator[str]:
    for one in status.networks:
        if one.seen_seconds is None or one.seen_seconds > _UNSEEN_SECONDS:
            yield f"{one.name} has not been seen for a minute: `guerdon doctor` asks its node."
        elif one.head_age_seconds is not None and one.head_age_seconds > _STANDING_SECONDS:
            yield f"{one.name} makes no blocks, or its node lags: `guerdon doctor` tells more."


def _of_pauses(status: Status) -> Iterator[str]:
    for key in status.keys:
        if key.paused is not None and not key.resumes_by_itself:
            what = f"The {key.purpose} key of {key.network} is paused ({key.paused})"
            yield f"{what}: `guerdon key resume {key.address}`, once that is settled."
    for one in status.treasuries:
        if one.paused is not None and not one.resumes_by_itself:
            what = f"The treasury of {one.asset} is paused ({one.paused})"
            yield f"{what}: `guerdon treasury resume {one.asset}`, once that is settled."


def _of_payouts(status: Status) -> Iterator[str]:
    late = [one for one in status.states if one.oldest_seconds > _STANDING_SECONDS and one.state != "quarantined"]
    for one in late:
        since = f"{one.what} that are {one.state} began {one.oldest_seconds / 60:.0f} min ago"
        yield f"The oldest of {since}: they wait for funds, fees or finality, or `guerdon doctor` tells what lacks."
    if any(one.state == "quarantined" for one in status.states):
        yield "Payouts are quarantined: `guerdon payout list --state quarantined` shows those of a program."


def _of_programs(status: Status) -> Iterator[str]:
    for one in status.short_programs:
        left = f"{one.funds:,} of {one.funded:,} {one.asset} points left"
        yield f"{one.name} has {left}: `guerdon program fund {one.brand_id} --amount POINTS`."
    more = status.short_programs_count - len(status.short_programs)
    if more > 0:
        yield f"{more} more programs are short of funds."
