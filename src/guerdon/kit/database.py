"""The one place where transactions are opened, scoped to a tenant, committed and rolled back (DESIGN section 4, SAFETY S1).

Sessions are handed out by `Database.program` and `Database.platform`; nothing else commits. SQL lives in the repositories.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, TypeVar, cast
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from guerdon.kit import driver
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.kit.ids import PLATFORM_PROGRAM_ID

Result = TypeVar("Result")
AnySession = TypeVar("AnySession", bound="ScopedSession")

SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
UNIQUE_VIOLATION = "23505"
CHECK_VIOLATION = "23514"
LOCK_NOT_AVAILABLE = "55P03"
RETRYABLE = frozenset({SERIALIZATION_FAILURE, DEADLOCK})

_SERVER_SETTINGS = {
    "application_name": "guerdon",
    "timezone": "UTC",
    "jit": "off",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
# Plans made for one program's values would be made again for each of them; the hot statements are written so that the
# generic plan is the good one even on empty tables. One that is known to be empty (it was vacuumed) would be read whole, for as
# long as the plan is kept.
_HOT_SETTINGS = {**_SERVER_SETTINGS, "plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
_CONNECT_TIMEOUT_SECONDS = 10
_FIRST_RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Connections of one pool: in use, open and idle, and how many there may be."""

    name: str
    busy: int
    idle: int
    most: int


class ScopeError(RuntimeError):
    """A rule of the unit of work was broken by the program text: a commit outside `Database`, say."""


class TransactionLostError(RuntimeError):
    """COMMIT answered ROLLBACK: a statement had failed and its error was swallowed. Nothing was written."""


class ConnectionLostError(Exception):
    """No usable connection; the cause tells why. Callers see `DatabaseUnavailableError`."""


class ScopedSession(AsyncSession):
    """A session inside a transaction that `Database` opened and will end."""

    async def commit(self) -> NoReturn:
        """Refused."""
        message = "only Database commits; a service returns, and its caller's transaction ends"
        raise ScopeError(message)

    async def rollback(self) -> NoReturn:
        """Refused."""
        message = "only Database rolls back; raise an error, or use begin_nested() for a part"
        raise ScopeError(message)


class ProgramSession(ScopedSession):
    """Sees and writes the rows of one program, and what everybody may read."""

    program_id: UUID


class PlatformSession(ScopedSession):
    """Writes what belongs to the platform; sees no program's rows, except inside `program_scope`."""


class OperatorSession(ProgramSession, PlatformSession):
    """Both: acts for one program with the rights of the platform's operator, for what has to change together (SAFETY S3)."""


def _scope_literal(program_id: UUID) -> str:
    # A UUID object's integer, written anew, is the only thing that gets into the literal (SAFETY S1).
    if not isinstance(program_id, UUID):  # pyright: ignore[reportUnnecessaryIsInstance] - the last line of defence
        message = f"a program's scope is set from a UUID, not from {type(program_id).__name__}"
        raise TypeError(message)
    return f"SET LOCAL guerdon.program_id = '{UUID(int=program_id.int)}'"


def begin_in_program(program_id: UUID) -> str:
    """What opens a transaction in a program's scope on a raw connection: one message of the simple protocol."""
    return f"BEGIN; {_scope_literal(program_id)}"


def begin_in_platform() -> str:
    """What opens a transaction in platform scope on a raw connection: one message of the simple protocol."""
    return _begin_with_platform(PLATFORM_PROGRAM_ID)


def _begin_with_platform(program_id: UUID) -> str:
    return f"BEGIN; {_scope_literal(program_id)}; SET LOCAL guerdon.platform = 'on'"


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of an error of SQLAlchemy or asyncpg; decisions are made on it and never on names or messages."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else None


async def raw_connection(session: AsyncSession) -> driver.RawConnection:
    """The driver's connection of a session, in the same transaction."""
    return await _raw(await session.connection())


async def _raw(connection: AsyncConnection) -> driver.RawConnection:
    return cast("driver.RawConnection", (await connection.get_raw_connection()).driver_connection)


class Database:
    """A pool of connections as the application's role, which owns nothing and bypasses nothing."""

    def __init__(self, url: str, *, pool_size: int = 10, pool_timeout_seconds: float = 10, hot_pool_size: int = 4) -> None:
        """`url` is `postgresql://...`; nothing is opened before the first use."""
        self._dsn = plain_dsn(url)
        self._hot_pool_size = hot_pool_size
        self._hot_pool: driver.RawPool | None = None
        self._hot_pool_lock = asyncio.Lock()
        # AUTOCOMMIT, because BEGIN and the scope are sent here, together, by the simple protocol: SQLAlchemy would send
        # BEGIN with its first statement, and a SET LOCAL before that would be outside the transaction.
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout_seconds,
        )
        event.listen(self._engine.sync_engine, "checkin", _refuse_leftovers)

    async def _connect(self, *_args: object, **_kwargs: object) -> driver.RawConnection:
        return await driver.connect(self._dsn, server_settings=_SERVER_SETTINGS, timeout=_CONNECT_TIMEOUT_SECONDS)

    @asynccontextmanager
    async def program(self, program_id: UUID) -> AsyncGenerator[ProgramSession]:
        """A transaction that acts for one program; commits when the block ends, rolls back when it raises.

        Raises `DatabaseUnavailableError` where the connection can't be had or is lost: then it may have been committed, or not.
        """
        async with self._transaction(ProgramSession, begin_in_program(program_id)) as session:
            session.program_id = program_id
            yield session

    @asynccontextmanager
    async def platform(self) -> AsyncGenerator[PlatformSession]:
        """A transaction that writes the platform's own rows; commits when the block ends, rolls back when it raises."""
        async with self._transaction(PlatformSession, begin_in_platform()) as session:
            yield session

    @asynccontextmanager
    async def operator(self, program_id: UUID) -> AsyncGenerator[OperatorSession]:
        """A transaction of the platform's operator for one program; commits when the block ends, rolls back when it raises."""
        async with self._transaction(OperatorSession, _begin_with_platform(program_id)) as session:
            session.program_id = program_id
            yield session

    @asynccontextmanager
    async def _transaction(self, session_type: type[AnySession], begin: str) -> AsyncGenerator[AnySession]:
        connection, raw = await self._open(begin)
        try:
            async with session_type(bind=connection, expire_on_commit=False) as session:
                try:
                    yield session
                    await session.flush()
                    tag = await raw.execute("COMMIT")
                except BaseException as error:
                    await _roll_back(connection, raw)
                    if _is_lost(error):
                        raise DatabaseUnavailableError from error
                    raise
            if tag != "COMMIT":
                raise TransactionLostError(tag)
        finally:
            await connection.close()

    async def _open(self, begin: str) -> tuple[AsyncConnection, driver.RawConnection]:
        try:
            return await self._try_open(begin)
        except ConnectionLostError:
            # A pooled connection may have died while idle (a restarted server); a new pool has none of those.
            await self._engine.dispose()
        try:
            return await self._try_open(begin)
        except ConnectionLostError as lost:
            raise DatabaseUnavailableError from lost.__cause__

    async def _try_open(self, begin: str) -> tuple[AsyncConnection, driver.RawConnection]:
        try:
            connection = await self._engine.connect()
        except (OSError, DBAPIError, PoolTimeoutError) as error:
            raise ConnectionLostError from error
        try:
            raw = await _raw(connection)
            await raw.execute(begin)
        except BaseException as error:
            await connection.invalidate()
            await connection.close()
            if driver.is_connection_failure(error):
                raise ConnectionLostError from error
            raise
        return connection, raw

    async def raw(self) -> driver.RawPool:
        """The driver's pool for hot statements, same role; begin with `begin_in_program`, and end what you began."""
        async with self._hot_pool_lock:
            if self._hot_pool is None:
                self._hot_pool = await driver.create_pool(
                    self._dsn, minimum=1, maximum=self._hot_pool_size, server_settings=_HOT_SETTINGS
                )
            return self._hot_pool

    async def dedicated(self) -> driver.RawConnection:
        """A connection of one's own, for LISTEN; the caller closes it."""
        return await driver.connect(self._dsn, server_settings=_SERVER_SETTINGS, timeout=_CONNECT_TIMEOUT_SECONDS)

    async def ping(self) -> None:
        """Raise `DatabaseUnavailableError` unless the database answers."""
        async with self.platform() as session:
            await (await raw_connection(session)).execute("SELECT 1")

    def pools(self) -> list[PoolUse]:
        """How the pools of this process are used now."""
        pool = cast("QueuePool", self._engine.pool)
        used = [PoolUse("ordinary", pool.checkedout(), pool.checkedin(), pool.size())]
        if self._hot_pool is not None:
            idle = self._hot_pool.get_idle_size()
            used.append(PoolUse("hot", self._hot_pool.get_size() - idle, idle, self._hot_pool.get_max_size()))
        return used

    async def close(self) -> None:
        """Close every connection."""
        if self._hot_pool is not None:
            await self._hot_pool.close()
            self._hot_pool = None
        await self._engine.dispose()


async def _roll_back(connection: AsyncConnection, raw: driver.RawConnection) -> None:
    try:
        if raw.is_in_transaction():
            await raw.execute("ROLLBACK")
    except BaseException:  # noqa: BLE001 - whatever it is, the connection is of no more use and the first error is raised
        await connection.invalidate()


def _is_lost(error: BaseException) -> bool:
    """Did the connection fail in the middle of a transaction? SQLAlchemy hides the driver's error behind one of its own."""
    if isinstance(error, DBAPIError):
        origin = error.orig
        return origin is not None and any(
            cause is not None and driver.is_connection_failure(cause) for cause in (origin, origin.__cause__)
        )
    # Whatever else went wrong inside of it (a file, a socket of somebody else's) is not about the database.
    return not isinstance(error, OSError) and driver.is_connection_failure(error)


def _refuse_leftovers(dbapi_connection: object, record: ConnectionPoolEntry) -> None:
    """A connection never goes back into the pool with a transaction open: its scope would be the next caller's."""
    raw = cast("driver.RawConnection | None", getattr(dbapi_connection, "driver_connection", None))
    if raw is not None and (raw.is_closed() or raw.is_in_transaction()):
        record.invalidate()


async def transaction_time(session: AsyncSession) -> datetime:
    """When the session's transaction began, by the database's clock.

    What several processes judge alike (periods, days, ages) and what they write down is of this time, never of a machine's own
    (SAFETY S10, S19). Tests move rows into the past.
    """
    return await (await raw_connection(session)).fetchval("SELECT now()")


@asynccontextmanager
async def program_scope(session: PlatformSession, program_id: UUID) -> AsyncGenerator[None]:
    """Let a platform transaction act for one program too, for what has to change together; one program at a time."""
    await session.flush()
    raw = await raw_connection(session)
    await raw.execute(_scope_literal(program_id))
    yield
    # Not in a `finally`: after an error the transaction is rolled back, and the scope with it.
    await session.flush()
    await raw.execute(_scope_literal(PLATFORM_PROGRAM_ID))


async def run_in_program(
    database: Database, program_id: UUID, work: Callable[[ProgramSession], Awaitable[Result]], *, attempts: int = 5
) -> Result:
    """Run `work` in a transaction of its own, again from the start after a serialization failure or a deadlock.

    `work` may run several times and must have no effect besides its transaction.
    """

    async def once() -> Result:
        async with database.program(program_id) as session:
            return await work(session)

    return await _retry(once, attempts)


async def run_in_platform(
    database: Database, work: Callable[[PlatformSession], Awaitable[Result]], *, attempts: int = 5
) -> Result:
    """The same as `run_in_program`, in platform scope."""

    async def once() -> Result:
        async with database.platform() as session:
            return await work(session)

    return await _retry(once, attempts)


async def _retry(once: Callable[[], Awaitable[Result]], attempts: int) -> Result:
    for attempt in range(1, attempts):
        try:
            return await once()
        except Exception as error:
            if sqlstate(error) not in RETRYABLE:
                raise
        # Jitter, so that two transactions that met once do not meet again.
        await asyncio.sleep(_FIRST_RETRY_SECONDS * 2**attempt * random.random())  # noqa: S311 - no secret
    return await once()


def plain_dsn(url: str) -> str:
    """A URL as the driver wants it: `postgres://` and SQLAlchemy's `postgresql+asyncpg://` are accepted too."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.partition("+")[0] not in {"postgres", "postgresql"}:
        message = "a database URL begins with postgresql://"
        raise ValueError(message)
    return f"postgresql://{rest}"
