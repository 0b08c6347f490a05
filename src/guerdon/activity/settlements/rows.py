"""Databases that facilitators keep: an OpenFacilitator's SQLite file, a PostgreSQL table `transactions`. Read only, by keyset.

What a row says is a hint, whatever its status: failed ones may have landed, successful ones may not, and anyone can have rows
written. Rows without a transaction tell nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from guerdon.activity.settlements.names import shown
from guerdon.activity.settlements.webhooks import Report
from guerdon.kit import driver

ROWS_A_PAGE: Final = 1_000
_PENDING_FOR: Final = timedelta(minutes=15)
"""A row that has no transaction yet may get one: reading does not pass it for so long."""
_LATE: Final = timedelta(minutes=2)
"""Rows may be committed so long after the time that they carry: the last ones are read again."""
_TIMEOUT_SECONDS: Final = 10
_SQLITE_TIME: Final = "%Y-%m-%d %H:%M:%S"

Cursor = Mapping[str, Any]


class RowsUnreadableError(Exception):
    """The database can't be read; says why, without its address."""


@dataclass(frozen=True, slots=True)
class Page:
    """What was read, where to go on, and whether there is more at once."""

    reports: list[Report]
    cursor: dict[str, Any]
    more: bool


_SQLITE_ROWS: Final = """
select rowid, network, transaction_hash, status, amount, asset, from_address, to_address, created_at from transactions
 where rowid > ? and type = 'settle' and (? is null or facilitator_id = ?) order by rowid limit ?
"""


async def read_sqlite(path: str, facilitator_id: str | None, cursor: Cursor, now: datetime) -> Page:
    """A page of an OpenFacilitator's file. Raises `RowsUnreadableError`."""
    return await asyncio.to_thread(_read_sqlite, path, facilitator_id, int(cursor.get("rowid", 0)), now)


def _read_sqlite(path: str, facilitator_id: str | None, after: int, now: datetime) -> Page:
    try:
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=_TIMEOUT_SECONDS)) as database:
            # Numbers of deleted rows are given again: a file that ends before the cursor is read anew. Repeats are harmless.
            last = database.execute("select coalesce(max(rowid), 0) from transactions").fetchone()[0]
            begin = after if last >= after else 0
            rows = database.execute(_SQLITE_ROWS, (begin, facilitator_id, facilitator_id, ROWS_A_PAGE)).fetchall()
    except (sqlite3.Error, OSError) as error:
        raise RowsUnreadableError(f"the file can't be read: {error}") from error
    reports: list[Report] = []
    place, stands = begin, False
    for rowid, network, transaction, status, amount, asset, payer, payee, created_at in rows:
        report = _report(network, transaction, status=status, amount=amount, asset=asset, payer=payer, payee=payee)
        if report is not None:
            reports.append(report)
        elif status == "pending" and abs(_age(created_at, now)) < _PENDING_FOR:
            stands = True
        place = place if stands else int(rowid)
    return Page(reports, {"rowid": place}, len(rows) == ROWS_A_PAGE and not stands)


def _age(created_at: object, now: datetime) -> timedelta:
    try:
        return now - datetime.strptime(str(created_at), _SQLITE_TIME).replace(tzinfo=UTC)
    except ValueError:
        return _PENDING_FOR


# A row of tomorrow is read tomorrow: until then it does not stand in the way of those between.
_POSTGRES_ROWS: Final = """
select id::text as id, created_at::timestamptz as created_at, network, transaction_hash, status, amount::text as amount, asset,
       from_address, to_address
  from transactions
 where type = 'settle' and ($3::text is null or facilitator_id::text = $3)
   and (created_at::timestamptz, id::text) > ($1, $2) and created_at::timestamptz <= now()
 order by created_at::timestamptz, id::text limit $4
"""


async def read_postgres(url: str, facilitator_id: str | None, cursor: Cursor) -> Page:
    """A page of a PostgreSQL table. Raises `RowsUnreadableError`."""
    after, after_id = _postgres_place(cursor)
    try:
        connection = await driver.connect(
            url,
            server_settings={"default_transaction_read_only": "on", "statement_timeout": "20s", "timezone": "UTC"},
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            rows = await connection.fetch(_POSTGRES_ROWS, after, after_id, facilitator_id, ROWS_A_PAGE)
        finally:
            await connection.close(timeout=2)
    except Exception as error:
        # The driver's words may hold the address.
        raise RowsUnreadableError(f"the database can't be read ({type(error).__name__})") from error
    reports = [
        report
        for row in rows
        if (
            report := _report(
                row["network"], row["transaction_hash"], status=row["status"], amount=row["amount"], asset=row["asset"],
                payer=row["from_address"], payee=row["to_address"],
            )
        ) is not None
    ]  # fmt: skip
    more = len(rows) == ROWS_A_PAGE
    place = (rows[-1]["created_at"], str(rows[-1]["id"])) if rows else (after, after_id)
    if rows and not more:
        # All of it was read: the next time begins with what may have been committed late, by that database's own clock.
        place = (rows[-1]["created_at"] - _LATE, "")
    return Page(reports, {"at": place[0].isoformat(), "id": place[1]}, more)


def _postgres_place(cursor: Cursor) -> tuple[datetime, str]:
    at = cursor.get("at")
    return (datetime(1970, 1, 1, tzinfo=UTC), "") if at is None else (datetime.fromisoformat(str(at)), str(cursor.get("id", "")))


def _report(network: object, transaction: object, **told: object) -> Report | None:
    if not isinstance(network, str) or not isinstance(transaction, str) or not transaction:
        return None
    reported = {name: text for name, value in told.items() if (text := shown(value)) is not None}
    return Report(network[:200], transaction[:200], {"event": "row", **reported})
