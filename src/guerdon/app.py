"""The one place that wires everything together: what is opened, which endpoints are served, what a worker does.

open_runtime(settings)      what every process needs: database, secrets, wallets, chains
create_app(settings, role)  the web application: event intake in front, everything else behind it
run_worker(runtime, stop)   the jobs, and the engines that send chain transactions
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from guerdon import __version__, operations, verification
from guerdon.accounts import jobs as member_jobs
from guerdon.accounts import routes as members
from guerdon.accounts import routes_admin as address_admin
from guerdon.accounts import routes_auth as sign_in
from guerdon.accounts.cors import MemberCors
from guerdon.accounts.master_secret import open_wallets
from guerdon.accounts.wallets import BuiltInWallets
from guerdon.activity import openapi as events_openapi
from guerdon.activity import routes as events
from guerdon.activity import routes_admin as events_admin
from guerdon.activity import routes_reversals as reversals
from guerdon.activity.counts import counted
from guerdon.activity.events_api import open_events_api
from guerdon.activity.settlements import jobs as settlements
from guerdon.activity.settlements import routes_reports as settlement_reports
from guerdon.activity.settlements import routes_reviews as reviews
from guerdon.activity.settlements import routes_sources as sources
from guerdon.activity.settlements.deps import SettlementDeps
from guerdon.activity.settlements.past import settled_history
from guerdon.earning import jobs as limits
from guerdon.earning import routes as earning
from guerdon.earning import routes_balance as balances
from guerdon.earning import routes_campaigns as campaigns
from guerdon.earning import routes_members as public_campaigns
from guerdon.earning.service_volume import tier_of
from guerdon.earning.simulation import SettledHistory
from guerdon.kit.clock import Clock, SystemClock
from guerdon.kit.database import Database
from guerdon.kit.direct_http import Direct
from guerdon.kit.ids import uuid7
from guerdon.kit.metrics import Gauges, serve_metrics
from guerdon.kit.openapi import document
from guerdon.kit.presence import Counts, Presence
from guerdon.kit.ratelimit import RateLimiter
from guerdon.kit.secrets import KeyRing, key_ring
from guerdon.kit.serving import Draining
from guerdon.kit.web import BodyLimit, RequestLog, render_errors
from guerdon.kit.worker import Handler, Worker
from guerdon.notices import jobs as outbox_jobs
from guerdon.notices import routes as notices
from guerdon.payouts import jobs as payouts
from guerdon.payouts import routes_drops as drop_routes
from guerdon.payouts.claims import routes as claims
from guerdon.payouts.claims import routes_admin as claims_admin
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.recalling import PayoutRecall
from guerdon.payouts.terms import PayoutTerms
from guerdon.programs import funding
from guerdon.programs import routes as programs
from guerdon.programs import routes_admin_keys as admin_keys
from guerdon.programs import routes_options as payout_options
from guerdon.programs import routes_platform as platform_routes
from guerdon.programs import routes_setup as setup_routes
from guerdon.programs.funding import FundingDeps
from guerdon.settings import Settings
from guerdon.status.gauges import ask_gauges
from guerdon.txmanager.connections import ChainClients
from guerdon.txmanager.engines import Engines
from guerdon.txmanager.metrics import gauges as transaction_gauges
from guerdon.txmanager.repository_keys import deployment, insert_deployment
from guerdon.txmanager.terms import EngineTerms

log = structlog.get_logger("guerdon.app")


class StartupError(Exception):
    """The application can't start; says why and what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}; {remedy}")


class WebRole(StrEnum):
    """What one web process serves (DESIGN section 8); each can have a host name of its own."""

    ALL = "all"
    EVENTS = "events"
    """Event intake and look-ups."""
    ADMIN = "admin"
    """`/api/admin`."""
    REWARDS = "rewards"
    """What members use: `/api/auth`, `/api/rewards`."""


_WITH_EVENTS = frozenset({WebRole.ALL, WebRole.EVENTS})
"""Roles that take reports."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a running process has open; passed to whoever needs it, never looked up."""

    settings: Settings
    clock: Clock
    database: Database
    secrets: KeyRing
    wallets: BuiltInWallets
    limiter: RateLimiter
    gauges: Gauges
    chain: ChainClients
    """`await runtime.chain("local")` is the client of a network, opened once and its genesis checked."""
    tier_of = staticmethod(tier_of)

    def payout_deps(self) -> PayoutDeps:
        """What the steps of payouts take."""
        terms = PayoutTerms(batch_size=self.settings.payout_batch_size)
        return PayoutDeps(self.database, self.chain, terms, self.chain.solana)

    def settled_history(self) -> SettledHistory:
        """What a simulation of a campaign runs over."""
        return settled_history

    def funding_deps(self) -> FundingDeps:
        """What funding takes."""
        return FundingDeps(self.database, self.chain, self.chain.solana)

    def settlement_deps(self) -> SettlementDeps:
        """What the steps of settlements take."""
        return SettlementDeps(self.database, self.secrets, self.chain)


@asynccontextmanager
async def open_runtime(settings: Settings, *, clock: Clock | None = None) -> AsyncGenerator[Runtime]:
    """Open what every process needs, and close it at the end.

    Waits a minute for the database to answer and to be migrated. Raises `StartupError`, `DatabaseUnavailableError`,
    `SchemaError`, `MasterSecretError` (another secret key than this database was made with).
    """
    if settings.database_url is None:
        raise StartupError("no database is given", "set DATABASE_URL, or start everything on this machine with `guerdon up`")
    present = clock or SystemClock()
    ring = key_ring(settings)
    database = Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        hot_pool_size=settings.database_hot_pool_size,
    )
    limiter = RateLimiter(None if settings.redis_url is None else settings.redis_url.get_secret_value())
    gauges = Gauges()
    chains = ChainClients(settings, database)
    ask_gauges(gauges, database)
    gauges.ask(transaction_gauges(database))
    try:
        await operations.wait_for_schema(database)
        async with database.platform() as session:
            # Named by the first that starts; whether it is the settings' own is asked before anything is sent (SAFETY S21).
            await insert_deployment(session, settings.deployment_id or uuid7())
            wallets = await open_wallets(session, ring, present.now())
        yield Runtime(settings, present, database, ring, wallets, limiter, gauges, chains)
    finally:
        await chains.close()
        await limiter.close()
        await database.close()


async def sending_deployment(runtime: Runtime) -> UUID:
    """The installation that this process sends transactions for. Raises `StartupError` where the settings do not name it.

    The database's own name would do for a copy of it as well, and two that send from one key pay twice (SAFETY S21).
    """
    if runtime.settings.deployment_id is not None:
        return runtime.settings.deployment_id
    async with runtime.database.platform() as session:
        known = await deployment(session)
    message = "nothing is sent to a chain, for the settings do not name this installation"
    raise StartupError(
        message,
        f"if this database is no copy, and its original if it is one is stopped for good, set GUERDON_DEPLOYMENT_ID="
        f"{'' if known is None else known.id}",
    )


def routers(role: WebRole) -> list[APIRouter]:
    """The routers of a role, in the order in which the document lists them."""
    administration = [
        programs.router,
        earning.router,
        campaigns.router,
        events_admin.router,
        address_admin.router,
        claims_admin.router,
        *drop_routes.routers,
        admin_keys.router,
        platform_routes.router,
        setup_routes.router,
        payout_options.router,
        sources.router,
        reviews.router,
        notices.router,
        verification.router,
    ]
    handler = [events.router, reversals.router, settlement_reports.router]
    rewards = [sign_in.router, members.router, drop_routes.members, balances.router, public_campaigns.router, claims.router]
    match role:
        case WebRole.ALL:
            return [*handler, *rewards, *administration]
        case WebRole.REWARDS:
            return rewards
        case WebRole.EVENTS:
            return handler
        case WebRole.ADMIN:
            return administration


def api(role: WebRole = WebRole.ALL) -> FastAPI:
    """The framework's part of the application, connected to nothing yet."""
    app = FastAPI(
        title="Guerdon",
        version=__version__,
        description="Rewards people with tokens. docs/api.md has a guide, docs/errors.md every error.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.role = role
    if role in {WebRole.ALL, WebRole.REWARDS}:
        app.add_middleware(MemberCors)
    for router in routers(role):
        app.include_router(router)
    app.include_router(operations.router)
    render_errors(app)

    cached: list[dict[str, Any]] = []

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        """This document."""
        if not cached:
            cached.append(openapi_document(role))
        return JSONResponse(cached[0])

    return app


def openapi_document(role: WebRole = WebRole.ALL) -> dict[str, Any]:
    """The OpenAPI document of a role; starts and connects to nothing."""
    return document(api(role), [events_openapi.part()] if role in _WITH_EVENTS else [])


class Application:
    """The ASGI application of a web process. The server starts it by its lifespan; a test enters `running()`."""

    def __init__(
        self, settings: Settings, role: WebRole = WebRole.ALL, *, draining: Draining | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._role = role
        self._clock = clock
        self._api = api(role)
        self._api.state.draining = draining or Draining()
        self._behind: ASGIApp = RequestLog(BodyLimit(self._api, settings.max_body_bytes))
        self._front = self._behind
        self.direct: dict[bytes, Direct] = {}
        """What the server answers straight from the connection, once the application runs."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Runtime]:
        """Open the runtime, answer requests, close it."""
        async with open_runtime(self._settings, clock=self._clock) as runtime:
            self._api.state.runtime = runtime
            role = "web" if self._role is WebRole.ALL else f"web {self._role}"
            async with present(runtime, role, self._settings.port, counted):
                if self._role not in _WITH_EVENTS:
                    yield runtime
                    return
                async with open_events_api(
                    self._settings,
                    database=runtime.database,
                    secrets=runtime.secrets,
                    wallets=runtime.wallets,
                    limiter=runtime.limiter,
                    clock=runtime.clock,
                    recall=PayoutRecall(),
                ) as opened:
                    self._api.state.events = opened
                    self._front = opened.front(self._behind)
                    self.direct.update([opened.intake.direct])
                    yield runtime
                    self.direct.clear()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's lifespan protocol."""
        if scope["type"] == "lifespan":
            await _lifespan(self.running, receive, send)
        else:
            await self._front(scope, receive, send)


async def _lifespan(running: Callable[[], Any], receive: Receive, send: Send) -> None:
    """ASGI's protocol for starting and stopping, around `running`."""
    await receive()
    started = False
    try:
        async with running():
            started = True
            await send({"type": "lifespan.startup.complete"})
            await receive()
    except BaseException as error:
        log.exception("shutdown_failed" if started else "startup_failed")
        await send({"type": f"lifespan.{'shutdown' if started else 'startup'}.failed", "message": str(error)})
        raise
    await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings, *, role: WebRole = WebRole.ALL, draining: Draining | None = None) -> Application:
    """The web application; nothing is opened before its lifespan begins. `draining` turns readiness off before the end."""
    return Application(settings, role, draining=draining)


@asynccontextmanager
async def present(runtime: Runtime, role: str, port: int | None, counts: Counts = dict) -> AsyncGenerator[None]:
    """Have this process seen by `guerdon status` inside the block; `port` is where its `/metrics` is."""
    address = None if port is None else f"http://{runtime.settings.host}:{port}"
    presence = Presence(runtime.database, role, __version__, address=address, counts=counts)
    stop = asyncio.Event()
    seen = asyncio.create_task(presence.run(stop))
    try:
        yield
    finally:
        stop.set()
        await seen


def work_handlers(
    payout_deps: PayoutDeps, funding_deps: FundingDeps, settlement_deps: SettlementDeps, settings: Settings
) -> dict[str, Handler]:
    """What a worker does, by the kind of work."""
    database = payout_deps.database

    async def advance_fundings(_: UUID) -> timedelta | None:
        return await funding.advance(funding_deps)

    return {
        **payouts.handlers(payout_deps),
        **limits.handlers(database),
        **member_jobs.handlers(database),
        **outbox_jobs.handlers(database, settings.outbox_days),
        **settlements.handlers(settlement_deps),
        funding.WORK: advance_fundings,
    }


async def run_worker(runtime: Runtime, stop: asyncio.Event) -> None:
    """Do the work of every domain and run the engines until `stop` is set; then finish what runs, and return.

    Raises `StartupError` where the settings do not name the installation.
    """
    settings = runtime.settings
    payout_deps = runtime.payout_deps()
    await payouts.schedule(payout_deps)
    await limits.schedule(runtime.database)
    await member_jobs.schedule(runtime.database)
    await outbox_jobs.schedule(runtime.database)
    await settlements.schedule(runtime.database)
    worker = Worker(
        runtime.database,
        work_handlers(payout_deps, runtime.funding_deps(), runtime.settlement_deps(), settings),
        concurrency=settings.worker_concurrency,
        drain_seconds=settings.shutdown_seconds,
    )
    terms = EngineTerms(max_in_flight=settings.max_in_flight)
    engines = Engines(runtime.database, runtime.chain, runtime.secrets, await sending_deployment(runtime), terms)
    server = None
    if settings.metrics_port is not None:
        server = await serve_metrics(settings.host, settings.metrics_port, runtime.gauges)
    try:
        async with present(runtime, "worker", settings.metrics_port), asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(stop))
            tasks.create_task(engines.run(stop))
    finally:
        if server is not None:
            server.close()
