"""Reading what an operator sees now: from the database, and whether the web processes answer. Changes nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from guerdon.kit.database import Database, PlatformSession, program_scope
from guerdon.kit.presence import ProcessRow
from guerdon.programs.repository import asset_symbols
from guerdon.status import repository
from guerdon.status.advice import next_steps
from guerdon.status.gauges import Waiting, waiting
from guerdon.status.states import MOVING, Job, Person, Step
from guerdon.status.views import (
    AlertStatus,
    KeyStatus,
    NetworkView,
    ProcessView,
    ReportsView,
    ShortProgram,
    StateView,
    Status,
    TreasuryStatus,
)
from guerdon.txmanager import repository as transactions
from guerdon.txmanager import repository_keys, repository_treasuries

ALERTS: Final = 8
PROCESSES: Final = 40
_PROGRAMS_LOOKED_AT: Final = 200
_PROGRAMS_NAMED: Final = 5
_READY_SECONDS: Final = 1.0
_DAY: Final = timedelta(days=1)
_LATE_SECONDS: Final = 5.0


async def read(database: Database) -> Status:
    """What is so now. Raises `DatabaseUnavailableError`."""
    async with database.platform() as session:
        now = await repository_keys.database_time(session)
        deployment = await repository_keys.deployment(session)
        rows = await repository.processes(session, PROCESSES)
        waits = await waiting(session)
        networks = await _networks(session, now)
        keys = await _keys(session, now)
        treasuries = await _treasuries(session, now)
        alerts = await _alerts(session, now)
        short_count = sum(one.items for one in waits if one.gauge == "programs_short")
        short = await _short_programs(session) if short_count else []
    processes = await _processes(rows, now)
    status = Status(
        at=now,
        deployment=None if deployment is None else str(deployment.id),
        processes=processes,
        reports=_reports(rows, now),
        states=_states(waits),
        late_work={one.label: late for one in waits if one.gauge == "work" and (late := one.oldest_seconds or 0) > _LATE_SECONDS},
        networks=networks,
        keys=keys,
        treasuries=treasuries,
        short_programs=short,
        short_programs_count=short_count,
        alerts=alerts,
        alerts_count=sum(one.items for one in waits if one.gauge == "alerts"),
        unreachable=[
            f"the {one.role} process {one.place} does not answer at {one.address}"
            for one in processes
            if one.ready == "unreachable"
        ],
        next_steps=[],
    )
    status.next_steps = next_steps(status)
    return status


async def _processes(rows: Sequence[ProcessRow], now: datetime) -> list[ProcessView]:
    async with httpx.AsyncClient(timeout=_READY_SECONDS, trust_env=False, follow_redirects=False) as client:
        ready = await asyncio.gather(*(_ready(client, row) for row in rows))
    return [
        ProcessView(
            role=row.role,
            place=row.place,
            version=row.version,
            address=row.address,
            up_seconds=_seconds(now - row.started_at),
            seen_seconds=_seconds(now - row.seen_at),
            loop_lag_ms=row.vitals.get("loopLagMs"),
            resident_bytes=row.vitals.get("residentBytes"),
            ready=answer,
        )
        for row, answer in zip(rows, ready, strict=True)
    ]


async def _ready(client: httpx.AsyncClient, row: ProcessRow) -> Literal["ready", "not ready", "unreachable"] | None:
    if row.address is None or not row.role.startswith("web"):
        return None
    try:
        answer = await client.get(f"{_reachable(row)}/ready")
    except httpx.HTTPError:
        return "unreachable"
    return "ready" if answer.is_success else "not ready"


def _reachable(row: ProcessRow) -> str:
    """A process that listens on every address is asked at its machine's name, or here."""
    parts = urlsplit(row.address or "")
    if parts.hostname not in {"0.0.0.0", "::"}:  # noqa: S104 - compared with, not listened on
        return row.address or ""
    machine = row.place.rpartition(":")[0]
    return f"{parts.scheme}://{'127.0.0.1' if machine == socket.gethostname() else machine}:{parts.port}"


def _reports(rows: Sequence[ProcessRow], now: datetime) -> ReportsView:
    booked = repeated = 0
    refused: dict[str, int] = {}
    seconds = 0.0
    for row in rows:
        if not row.role.startswith("web") or _seconds(now - row.seen_at) > row.vitals.get("windowSeconds", 0) + 15:
            continue
        seconds = max(seconds, float(row.vitals.get("windowSeconds", 0)))
        counts: dict[str, Any] = dict(row.vitals.get("counts", {}))
        booked += counts.pop("booked", 0)
        repeated += counts.pop("repeated", 0)
        for code, count in counts.items():
            if count:
                refused[code] = refused.get(code, 0) + count
    return ReportsView(seconds=seconds, booked=booked, repeated=repeated, refused=dict(sorted(refused.items())))


def _states(waits: Sequence[Waiting]) -> list[StateView]:
    found = {(one.gauge, one.label): one for one in waits}
    views: list[StateView] = []
    for moving in MOVING:
        for state in moving.unfinished:
            one = found.get((moving.table, state.value))
            if one is None:
                continue
            match moving.movers[state]:
                case Job(kind):
                    moved_by = kind
                case Step(step):
                    moved_by = f"its key: {step.__name__}"
                case Person():
                    moved_by = "a person"
                case _:
                    moved_by = "nobody"
            views.append(
                StateView(
                    what=moving.table,
                    state=state.value,
                    count=one.items,
                    oldest_seconds=one.oldest_seconds or 0,
                    moved_by=moved_by,
                )
            )
    return views


async def _networks(session: PlatformSession, now: datetime) -> list[NetworkView]:
    return [
        NetworkView(
            name=one.name,
            seen_seconds=None if one.seen_at is None else _seconds(now - one.seen_at),
            head_block=one.head_block,
            head_age_seconds=None if one.head_at is None else _seconds(now - one.head_at),
            finalized_lag_blocks=None if one.head_block is None or one.final_block is None else one.head_block - one.final_block,
            base_fee_wei=one.base_fee_wei,
            fee_cap_wei=one.max_fee_per_gas,
        )
        for one in await repository_keys.networks(session)
    ]


async def _keys(session: PlatformSession, now: datetime) -> list[KeyStatus]:
    in_flight = await repository_keys.in_flight_by_key(session, transactions.IN_FLIGHT)
    return [
        KeyStatus(
            network=one.network,
            purpose=one.purpose,
            address=one.address,
            held_by=None if one.lease_until is None or one.lease_until < now else _place(one.lease_owner or ""),
            epoch=one.lease_epoch,
            next_nonce=one.next_nonce,
            in_flight=in_flight.get(one.id, 0),
            native_wei=one.native_balance_wei,
            paused=None if one.paused_at is None else one.pause_reason or "for no reason that is known",
            resumes_by_itself=one.resumes_by_itself,
        )
        for one in await repository_keys.keys(session)
    ]


def _place(owner: str) -> str:
    """Host and process number of a lease's owner, as processes call themselves."""
    return ":".join(owner.split("/")[:2])


async def _treasuries(session: PlatformSession, now: datetime) -> list[TreasuryStatus]:
    paid = await repository.paid_since(session, now - _DAY)
    views: list[TreasuryStatus] = []
    for treasury, asset, _ in await repository_treasuries.treasuries(session):
        payouts, atomic = paid.get(treasury.id, (0, 0))
        free = max(0, treasury.balance_final - treasury.reserved)
        views.append(
            TreasuryStatus(
                asset=asset.symbol,
                decimals=asset.decimals,
                network=treasury.network,
                address=treasury.address,
                balance=treasury.balance_final,
                reserved=treasury.reserved,
                free=free,
                low=free < treasury.low_balance,
                paid_a_day=atomic,
                payouts_a_day=payouts,
                lasts_days=round(free / atomic, 1) if atomic else None,
                paused=None if treasury.paused_at is None else treasury.pause_reason or "for no reason that is known",
                resumes_by_itself=treasury.resumes_by_itself,
            )
        )
    return views


async def _short_programs(session: PlatformSession) -> list[ShortProgram]:
    """Some programs that are short of funds, by name: looked for one by one, as each sees only its own."""
    found: list[ShortProgram] = []
    for program in await repository.newest_programs(session, _PROGRAMS_LOOKED_AT):
        async with program_scope(session, program.id):
            balance = await repository.shortest_funds(session, program.id)
        if balance is None:
            continue
        symbols = await asset_symbols(session, [balance.asset_id])
        found.append(
            ShortProgram(
                brand_id=program.brand_id,
                name=program.name,
                asset=symbols[balance.asset_id],
                funds=balance.funds,
                funded=balance.funded,
            )
        )
        if len(found) == _PROGRAMS_NAMED:
            break
    return found


async def _alerts(session: PlatformSession, now: datetime) -> list[AlertStatus]:
    return [
        AlertStatus(
            kind=one.kind,
            severity=one.severity or "",
            since=one.created_at,
            since_seconds=_seconds(now - one.created_at),
            times=one.occurrences,
            message=str(one.payload.get("message", one.kind)),
            remedy=str(one.payload.get("remedy", "")),
        )
        for one in await repository.worst_alerts(session, ALERTS)
    ]


def _seconds(age: timedelta) -> float:
    return round(max(0.0, age.total_seconds()), 1)
