"""What a payment facilitator imports: one line, and everything that it settles is reported to Guerdon.

    from guerdon import x402

    facilitator = x402.report(facilitator, url="https://…/webhooks/settlements/<source>", secret="whsec_…")

`settle()` answers as before. What it answered is first written to an outbox on this machine, which survives a kill, and sent from
there in the background, again and again until it arrives. Nothing here ever raises out of `settle()`. A settlement that is still
pending is kept with its hash: the chain will tell. Needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import contextvars
import functools
import hmac
import http.client
import inspect
import json
import logging
import os
import random
import sqlite3
import ssl
import threading
import time
import urllib.parse
from asyncio import to_thread
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

Facilitator = TypeVar("Facilitator")

LONGEST_WAIT_SECONDS = 300.0
KEPT_SECONDS = 30 * 86_400
"""A report that never got through is given up after so long; whoever reads the chain finds the payment all the same."""
MAX_ROWS = 100_000
BATCH = 100
_LEASE_SECONDS = 60.0
_TIMEOUT_SECONDS = 10.0
_BUSY_SECONDS = 2.0
_LONGEST_TEXT = 200
_LEAST_SECRET_BYTES = 16
_HOPELESS = frozenset({400, 413, 415, 422})
"""Told these, the same bytes would be refused for ever."""
_OK = range(200, 300)

_log = logging.getLogger("guerdon.x402")
_answered: contextvars.ContextVar[Any] = contextvars.ContextVar("guerdon_x402_answered", default=None)

_SCHEMA = """
create table if not exists outbox (
    id integer primary key autoincrement, key text not null unique, body text not null, created_at real not null,
    attempts integer not null default 0, due_at real not null
)
"""


def report(
    facilitator: Facilitator, *, url: str | None = None, secret: str | None = None, outbox: str | os.PathLike[str] | None = None
) -> Facilitator:
    """The same facilitator, whose `settle()` is reported from now on; sync or async.

    `url` is where the source takes reports, `secret` what it showed when it was made, `outbox` a file of this process's machine
    that is not lost at a restart. Left out, they are GUERDON_SOURCE_URL, GUERDON_SOURCE_SECRET and GUERDON_OUTBOX
    (`guerdon-outbox.sqlite3`). Raises `ValueError` here, and only here, for a url or secret that can't be one.
    """
    return Reports(
        url or os.environ.get("GUERDON_SOURCE_URL", ""),
        secret or os.environ.get("GUERDON_SOURCE_SECRET", ""),
        outbox or os.environ.get("GUERDON_OUTBOX", "guerdon-outbox.sqlite3"),
    ).of(facilitator)


class Reports:
    """Reports of settlements, kept in a file until they have arrived. Any number of processes may share the file."""

    def __init__(self, url: str, secret: str, outbox: str | os.PathLike[str]) -> None:
        """Raises `ValueError` for a url or secret that can't be one."""
        self._url = urllib.parse.urlsplit(url)
        if self._url.scheme not in {"http", "https"} or not self._url.hostname:
            raise ValueError("the source's address begins with http:// or https://")
        try:
            self._key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            self._key = b""
        if len(self._key) < _LEAST_SECRET_BYTES:
            raise ValueError("the source's secret is whsec_ and base64, as it was shown when the source was made")
        self._file = Path(outbox)
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._most = BATCH
        self._sender: tuple[int, threading.Thread] | None = None
        self._start()

    def of(self, facilitator: Facilitator) -> Facilitator:
        """The same facilitator, reporting."""
        settle = cast("Any", facilitator).settle

        @functools.wraps(settle)
        async def settle_async(*arguments: Any, **named: Any) -> Any:
            _answered.set(None)
            try:
                result = await settle(*arguments, **named)
            except BaseException as error:
                self._keep_raised(arguments, named, error)
                raise
            await self._keep_async(arguments, named, result)
            return result

        @functools.wraps(settle)
        def settle_sync(*arguments: Any, **named: Any) -> Any:
            _answered.set(None)
            try:
                result = settle(*arguments, **named)
            except BaseException as error:
                self._keep_raised(arguments, named, error)
                raise
            if inspect.isawaitable(result):
                return self._awaited(arguments, named, result)
            self.keep(arguments, named, result)
            return result

        # A hook that raises makes settle() raise although the money moved: what it would have answered is remembered before.
        with contextlib.suppress(Exception):
            cast("Any", facilitator).on_after_settle(_remember)
        cast("Any", facilitator).settle = settle_async if inspect.iscoroutinefunction(settle) else settle_sync
        return facilitator

    def keep(self, arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        """Write down what a settlement answered. Never raises: a payment is never lost to its report."""
        try:
            told = settlement_of(arguments, named, result)
            if told is not None:
                self._put(told)
                self._start()
                self._wake.set()
        except Exception:  # noqa: BLE001 - whatever it is, the payment was made, and its answer is owed to the caller
            _log.exception("a settlement could not be kept; reading the chain will find it")

    def waiting(self) -> int:
        """How many reports have not arrived yet."""
        with self._opened() as database:
            return int(database.execute("select count(*) from outbox").fetchone()[0])

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Send what waits, for so long at most, and stop. What is left waits in the file for the next start."""
        self._closed.set()
        self._wake.set()
        if self._sender is not None and self._sender[0] == os.getpid():
            self._sender[1].join(timeout_seconds)

    async def _keep_async(self, arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        try:
            # The file is written before the caller goes on, but not in the event loop.
            await to_thread(self.keep, arguments, named, result)
        except Exception:  # noqa: BLE001 - the same
            _log.exception("a settlement could not be kept; reading the chain will find it")

    async def _awaited(self, arguments: tuple[Any, ...], named: Mapping[str, Any], pending: Any) -> Any:
        try:
            result = await pending
        except BaseException as error:
            self._keep_raised(arguments, named, error)
            raise
        await self._keep_async(arguments, named, result)
        return result

    def _keep_raised(self, arguments: tuple[Any, ...], named: Mapping[str, Any], error: BaseException) -> None:
        self.keep(arguments, named, _answered.get() or error)

    def _put(self, told: dict[str, Any]) -> None:
        now = time.time()
        key = f"{told['network']} {told['transaction']} {told['event']}"
        with self._opened() as database:
            rows = database.execute("select coalesce(max(id) - min(id) + 1, 0) from outbox").fetchone()[0]
            if rows >= MAX_ROWS:
                _log.error("the outbox is full; reading the chain will find %s", told["transaction"])
                return
            database.execute(
                "insert or ignore into outbox (key, body, created_at, due_at) values (?, ?, ?, ?)",
                (key, json.dumps(told, separators=(",", ":")), now, now),
            )

    @contextlib.contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        # Opened anew each time: a connection that was open in a forked process is of no use.
        database = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            # Refused, without waiting, while another writes to a new file. It is safe without as well, and asked for next time.
            with contextlib.suppress(sqlite3.OperationalError):
                database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = full")
            database.execute(_SCHEMA)
            database.execute("begin immediate")
            yield database
            database.execute("commit")
        finally:
            database.close()

    def _start(self) -> None:
        with self._lock:
            process = os.getpid()
            if self._closed.is_set() or (self._sender is not None and self._sender[0] == process and self._sender[1].is_alive()):
                return
            thread = threading.Thread(target=self._run, name="guerdon-x402", daemon=True)
            self._sender = (process, thread)
            thread.start()

    def _run(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            closing = self._closed.is_set()
            try:
                pause = self._send_some(failures)
            except Exception:  # noqa: BLE001 - a full disk, a locked file: it goes on later
                _log.warning("the outbox %s can't be read now", self._file, exc_info=True)
                pause = None
            failures = 0 if pause == 0 else failures + 1 if pause is None else failures
            if closing:
                return
            if pause != 0:
                self._wait(failures, pause)

    def _wait(self, failures: int, pause: float | None) -> None:
        if pause is not None:
            self._wake.wait(min(pause, LONGEST_WAIT_SECONDS))
            return
        # Nobody answers: new reports do not make it answer sooner.
        longest = min(2.0 ** min(failures, 10) / 2, LONGEST_WAIT_SECONDS)
        self._closed.wait(longest * random.uniform(0.5, 1))  # noqa: S311 - jitter

    def _send_some(self, failures: int) -> float | None:
        """Send a batch. Seconds until there is more to do; None if it did not arrive."""
        now = time.time()
        with self._opened() as database:
            database.execute("delete from outbox where created_at < ?", (now - KEPT_SECONDS,))
            rows = database.execute(
                "select id, body from outbox where due_at <= ? order by id limit ?", (now, self._most)
            ).fetchall()
            ids = [row[0] for row in rows]
            marks = ",".join("?" * len(ids))
            # Whoever is killed with these in hand leaves them to others when this has passed.
            database.execute(f"update outbox set due_at = ? where id in ({marks})", (now + _LEASE_SECONDS, *ids))  # noqa: S608
            following = database.execute("select min(due_at) from outbox").fetchone()[0]
        if not rows:
            return LONGEST_WAIT_SECONDS if following is None else max(0.05, following - now)
        status = self._post(ids[0], [json.loads(row[1]) for row in rows])
        # What is refused for ever takes nothing along that was sent with it: the next ones go alone, then more at once again.
        among = status in _HOPELESS and len(ids) > 1
        self._most = 1 if status in _HOPELESS else min(self._most * 2, BATCH)
        with self._opened() as database:
            if status in _OK or (status in _HOPELESS and not among):
                database.execute(f"delete from outbox where id in ({marks})", ids)  # noqa: S608 - question marks
            else:
                wait = 0.0 if among else min(2.0 ** min(failures, 10) / 2, LONGEST_WAIT_SECONDS)
                database.execute(
                    f"update outbox set due_at = ?, attempts = attempts + 1 where id in ({marks})",  # noqa: S608
                    (time.time() + wait, *ids),
                )
        if status in _HOPELESS:
            if not among:
                _log.error("a report was refused with status %s; reading the chain will find it", status)
        elif status not in _OK:
            _log.warning("%d reports did not arrive (%s); they are sent again", len(ids), status)
            return None
        return 0

    def _post(self, number: int, settlements: list[dict[str, Any]]) -> int | str:
        """The status that the source answered with, or what went wrong. Redirects are not followed."""
        body = json.dumps({"type": "settlements.reported", "data": {"settlements": settlements}}).encode()
        message, timestamp = f"msg_{number}_{int(settlements[0]['at'] * 1000)}", str(int(time.time()))
        signature = hmac.digest(self._key, f"{message}.{timestamp}.".encode() + body, "sha256")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "guerdon-x402",
            "webhook-id": message,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }
        host, port = self._url.hostname or "", self._url.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=ssl.create_default_context())
            if self._url.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        )
        try:
            connection.request("POST", self._url.path or "/", body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()


def settlement_of(arguments: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> dict[str, Any] | None:
    """What to report of one call of `settle()`; None where no transaction of a chain came of it.

    `result` is what it answered, or the exception that it raised. Nothing is charged without a transaction, and a channel's
    commitment (`batch-settlement`) is none.
    """
    payload = arguments[0] if arguments else named.get("payload")
    requirements = arguments[1] if len(arguments) > 1 else named.get("requirements")
    accepted = _part(payload, "accepted")
    transaction = _text(_part(result, "transaction"))
    network = _text(_part(result, "network")) or _text(_part(requirements, "network")) or _text(_part(payload, "network"))
    scheme = _text(_part(accepted, "scheme")) or _text(_part(requirements, "scheme")) or _text(_part(payload, "scheme"))
    if transaction is None or network is None or scheme == "batch-settlement":
        return None
    reason = _text(_part(result, "error_reason", "errorReason"))
    succeeded = _part(result, "success") is True
    told = {
        "event": "settled" if succeeded else "pending" if reason == "settlement_pending" else "failed",
        "network": network,
        "transaction": transaction,
        "scheme": scheme,
        "status": reason,
        "payer": _text(_part(result, "payer")),
        "pay_to": _text(_part(requirements, "pay_to", "payTo")),
        "asset": _text(_part(requirements, "asset")),
        "amount": _text(_part(result, "amount"))
        or _text(_part(requirements, "amount", "max_amount_required", "maxAmountRequired")),
        "at": time.time(),
    }
    return {name: value for name, value in told.items() if value is not None}


def _remember(context: Any) -> None:
    _answered.set(_part(context, "result"))


def _part(of: Any, *names: str) -> Any:
    """A field of an object or a mapping, by the first of these names that it has."""
    for name in names:
        found = cast("Mapping[str, Any]", of).get(name) if isinstance(of, Mapping) else getattr(of, name, None)
        if found is not None:
            return found
    return None


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT else None
