"""Gauges over all tenants: how many of what wait, and for how long, from one function of the database (SAFETY S2, S23).

Gauges of networks, keys and treasuries are `txmanager/metrics.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from guerdon.earning.volume_terms import HELD
from guerdon.kit.database import Database, ScopedSession
from guerdon.kit.metrics import Description, Gauges, asked
from guerdon.kit.outbox import Severity
from guerdon.status.states import MOVING

_GAUGES = text(
    "select gauge, label, items, oldest_seconds from guerdon_gauges_v2()"
    " union all select gauge, label, items, oldest_seconds from settlement_gauges_v1()"
    " union all select gauge, label, items, oldest_seconds from volume_gauges_v1()"
    " union all select gauge, label, items, oldest_seconds from guerdon_drop_gauges_v1()"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many of something there are over all programs, and how long ago the oldest began. Without an age: not known."""

    gauge: str
    label: str
    items: int
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two gauges of one thing: how many, and since when."""

    count: Description
    age: Description | None
    labels: tuple[str, ...]
    """Values that are shown as 0 where there is nothing: a rule can't tell a series that is not there from a quiet one."""


def _pair(thing: str, help_text: str, label: str, labels: tuple[str, ...] = (), *, has_age: bool = True) -> _Pair:
    count = asked(f"guerdon_{thing}", f"How many: {help_text}", (label,))
    age = asked(f"guerdon_{thing}_oldest_seconds", f"How long ago the oldest began: {help_text}", (label,)) if has_age else None
    return _Pair(count, age, labels)


PAIRS: Final = {
    **{
        one.table: _pair(one.table, f"{one.help_text}, by state", "state", tuple(state.value for state in one.unfinished))
        for one in MOVING
    },
    "attempts": _pair(
        "attempts", "signed forms in no block, by whether a node took the bytes", "state", ("signed", "sent")
    ),
    "accruals_held": _pair(
        "accruals_held", "settlements whose points are held, by what for (10,000: so many or more)", "held_for", tuple(HELD)
    ),
    "pools": _pair("pools", "pools that have ended and are not all paid out, by state", "state", ("ended", "frozen")),
    "work": _pair("work", "work that is due and that nobody does, by kind", "kind"),
    "work_running": _pair("work_running", "work that a worker does now, by kind", "kind"),
    "work_failing": _pair("work_failing", "work that failed and is tried again, by kind", "kind", has_age=False),
    "alerts": _pair("alerts", "open alerts (`guerdon alert list`), by severity", "severity", tuple(Severity)),
    "keys_paused": _pair("keys_paused", "signing keys that are paused, by network", "network"),
    "keys_idle": _pair("keys_idle", "signing keys that no worker holds, by network", "network"),
    "treasuries_paused": _pair("treasuries_paused", "treasuries that are paused, by network", "network"),
    "programs_short": _pair(
        "programs_short", "programs without funds, or with less than a twentieth of what they were given", "funds",
        ("empty", "low"), has_age=False,
    ),
}  # fmt: skip
"""By what the function calls them."""

_CONNECTIONS = asked("guerdon_database_connections", "Connections of this process to the database", ("pool", "state"))
_MOST = asked("guerdon_database_pool_size", "Connections that a pool of this process may have", ("pool",))


async def waiting(session: ScopedSession) -> list[Waiting]:
    """Everything unfinished, over all programs: counts and ages only."""
    rows = await session.execute(_GAUGES)
    return [
        Waiting(str(gauge), str(label), int(items), None if oldest is None else max(float(oldest), 0.0))
        for gauge, label, items, oldest in rows
    ]


def ask_gauges(gauges: Gauges, database: Database) -> None:
    """Have these gauges asked for at each scrape."""

    async def ask_what_waits(into: Gauges) -> None:
        async with database.platform() as session:
            found = await waiting(session)
        for name, pair in PAIRS.items():
            own = {row.label: row for row in found if row.gauge == name}
            empty = [((label,), 0.0) for label in pair.labels if label not in own]
            into.set(pair.count, [*empty, *(((row.label,), float(row.items)) for row in own.values())])
            if pair.age is not None:
                into.set(pair.age, [*empty, *(((row.label,), row.oldest_seconds or 0.0) for row in own.values())])

    async def ask_pools(into: Gauges) -> None:
        pools = database.pools()
        into.set(
            _CONNECTIONS,
            [((one.name, state), value) for one in pools for state, value in (("busy", one.busy), ("idle", one.idle))],
        )
        into.set(_MOST, [((one.name,), one.most) for one in pools])

    gauges.ask(ask_what_waits)
    gauges.ask(ask_pools)
