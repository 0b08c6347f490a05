"""What keeps an installation observable: liveness, readiness, metrics, and whether the schema is ours.

What is served and run is wired in `app.py`; the gauges are in `status/gauges.py` and `txmanager/metrics.py`.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import text

from guerdon.kit import metrics
from guerdon.kit.database import Database, sqlstate
from guerdon.kit.errors import DatabaseUnavailableError, GuerdonError
from guerdon.kit.metrics import Gauges
from guerdon.migrations.run import wanted_revision

router = APIRouter(tags=["operations"])
log = structlog.get_logger("guerdon.operations")

_UNDEFINED_TABLE = "42P01"
_WAIT_SECONDS = 60.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0

_REVISION = text("select version_num from alembic_version")


class SchemaError(GuerdonError, status=503, code="SCHEMA_OUT_OF_STEP", title="Service unavailable"):
    """The database is not at the version of this program; run `guerdon migrate`."""


class Health(Protocol):
    """What the endpoints below ask of the running application."""

    @property
    def database(self) -> Database:
        """The unit of work."""
        ...

    @property
    def gauges(self) -> Gauges:
        """What is asked for at each scrape."""
        ...


async def is_migrated(database: Database) -> bool:
    """Is the database at the revision that this code wants? Raises `DatabaseUnavailableError`."""
    return await _revision(database) == await asyncio.to_thread(wanted_revision)


async def _revision(database: Database) -> str | None:
    try:
        async with database.platform() as session:
            found: str | None = await session.scalar(_REVISION)
            return found
    except DatabaseUnavailableError:
        raise
    except Exception as error:
        if sqlstate(error) == _UNDEFINED_TABLE:
            return None
        raise


async def wait_for_schema(database: Database, seconds: float = _WAIT_SECONDS) -> None:
    """Return when the database answers and is migrated; it may be starting beside us.

    Raises `DatabaseUnavailableError` or `SchemaError` when it is not within `seconds`.
    """
    pause = _FIRST_PAUSE
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            if await is_migrated(database):
                return
            problem: GuerdonError = SchemaError()
        except DatabaseUnavailableError as error:
            problem = error
        if asyncio.get_running_loop().time() + pause > deadline:
            raise problem
        log.info("startup.waiting", reason=problem.code)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


@router.get("/live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Answers as long as the process does; asks nothing of the database."""
    return {"status": "alive"}


@router.get("/ready", summary="May requests be sent here?", response_model=dict[str, Any])
async def ready(request: Request) -> Response:
    """200 when the database is reachable and migrated and the process is not about to end, else 503."""
    runtime: Health = request.app.state.runtime
    checks = {"database": "ok", "schema": "ok", "process": "draining" if request.app.state.draining.begun else "ok"}
    try:
        if not await is_migrated(runtime.database):
            checks["schema"] = "run `guerdon migrate`"
    except DatabaseUnavailableError:
        checks |= {"database": "unreachable", "schema": "unknown"}
    is_ready = set(checks.values()) == {"ok"}
    return JSONResponse({"status": "ready" if is_ready else "not ready", "checks": checks}, 200 if is_ready else 503)


@router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
async def show_metrics(request: Request) -> Response:
    """Counters of this process, and gauges over the whole installation. No secrets, no names."""
    runtime: Health = request.app.state.runtime
    return Response(await metrics.exposition(runtime.gauges), media_type=metrics.CONTENT_TYPE)
