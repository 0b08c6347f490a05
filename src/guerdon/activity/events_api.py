"""The event handler in a running process: opens its parts, puts the hot path in front of the application, drains at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from guerdon.accounts.wallets import WalletProvider
from guerdon.activity.authentication import Authenticator
from guerdon.activity.batcher import Batcher
from guerdon.activity.booking import Booker, as_it_is
from guerdon.activity.calls import App, Receive, ScopeMap, Send
from guerdon.activity.cors import Cors, Origins
from guerdon.activity.directory import Directory
from guerdon.activity.intake import PATHS, EventIntake
from guerdon.activity.reception import Reception, rate_of
from guerdon.activity.waiting import TransactionWatch
from guerdon.kit.clock import Clock
from guerdon.kit.database import Database
from guerdon.kit.ratelimit import RateLimiter
from guerdon.kit.secrets import KeyRing
from guerdon.ledger.recall import Recall
from guerdon.settings import Environment, Settings

BULK_REQUESTS: Final = 8


@dataclass(frozen=True, slots=True)
class EventsApi:
    """The open parts of the event handler."""

    reception: Reception
    intake: EventIntake
    recall: Recall
    booking_time: Callable[[datetime], datetime] = as_it_is

    def front(self, app: App) -> App:
        """`app` with the hot path before it, and with the CORS headers of the event handler's other endpoints."""
        behind = Cors(app, self.reception.origins)

        async def fronted(scope: ScopeMap, receive: Receive, send: Send) -> None:
            is_hot = scope["type"] == "http" and scope["path"] in PATHS
            await (self.intake if is_hot else behind)(scope, receive, send)

        return fronted


@asynccontextmanager
async def open_events_api(
    settings: Settings,
    *,
    database: Database,
    secrets: KeyRing,
    wallets: WalletProvider,
    limiter: RateLimiter,
    clock: Clock,
    recall: Recall,
    booking_time: Callable[[datetime], datetime] = as_it_is,
) -> AsyncGenerator[EventsApi]:
    """Open the event handler; at the end everything that was taken is booked and answered before this returns.

    `booking_time` makes the time of a booking of the database's clock; `recall` takes reserved payouts back for reversals.
    """
    development = settings.environment is Environment.DEVELOPMENT
    directory = Directory(database, secrets, clock)
    reception = Reception(
        directory=directory,
        authenticator=Authenticator(directory, clock, trusted_proxies=settings.trusted_proxies, development=development),
        batcher=Batcher(Booker(database, directory, wallets, booking_time)),
        watch=TransactionWatch(database),
        origins=Origins(directory, development=development),
        limiter=limiter,
        unsigned_rate=rate_of(settings.rate_limit_events_a_minute),
        max_bulk_bytes=settings.max_bulk_body_bytes,
        bulk_slots=asyncio.Semaphore(BULK_REQUESTS),
    )
    stop = asyncio.Event()
    listening = asyncio.create_task(directory.run(stop))
    try:
        yield EventsApi(reception, EventIntake(reception), recall, booking_time)
    finally:
        await reception.batcher.drain()
        await reception.watch.close()
        stop.set()
        await asyncio.gather(listening, return_exceptions=True)
