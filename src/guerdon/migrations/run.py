"""Runs the migrations, and says whether a database is behind. Connects as the owner of the tables."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Two processes that start at once migrate one after the other.
_LOCK = 0x6775657264
_LOCK_POLL_SECONDS = 0.2


async def upgrade(owner_url: str, revision: str = "head") -> None:
    """Bring the database at `owner_url` (`postgresql+asyncpg://…`) to `revision`. Safe to run at once and again."""
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            while not await connection.scalar(text("select pg_try_advisory_lock(:lock)"), {"lock": _LOCK}):
                # Asked again rather than waited for: an index that is built concurrently waits for every open transaction.
                await connection.rollback()
                await asyncio.sleep(_LOCK_POLL_SECONDS)
            await connection.commit()
            await connection.run_sync(_upgrade, revision)
            await connection.commit()
    finally:
        await engine.dispose()


async def revisions(url: str) -> tuple[str | None, str | None]:
    """The revision that the database is at, and the one that this code wants."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_current), _script().get_current_head()
    finally:
        await engine.dispose()


@cache
def wanted_revision() -> str | None:
    """The revision that this code wants."""
    return _script().get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
