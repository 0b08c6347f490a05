"""A house for tests of intake: programs with keys and rules, and the event handler over HTTP on a real database."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from guerdon.accounts.wallets import BuiltInWallets
from guerdon.activity.events_api import EventsApi, open_events_api
from guerdon.earning.models import Rule
from guerdon.kit.clock import Clock, SystemClock
from guerdon.kit.database import Database
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7
from guerdon.kit.ratelimit import RateLimiter
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.verify import verify_program
from guerdon.payouts.recalling import PayoutRecall
from guerdon.programs.models import Program, ProgramDomain
from guerdon.programs.security_keys import add_security_key
from guerdon.programs.service import configuration_changed
from guerdon.settings import Settings
from tests.support.books import NOW, an_asset
from tests.support.http import served

RING = KeyRing(MasterKey(b"r" * 32))
WALLETS = BuiltInWallets(b"w" * 32)
ORIGIN = "https://shop.example.com"
PEER = "198.51.100.7"
MANUAL = "/loyalteez-api/manual-event"
BULK = "/loyalteez-api/bulk-events"


async def nothing_here(scope: Any, receive: Any, send: Any) -> None:
    """Stands for the rest of the application."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@dataclass
class Shift:
    """Moves the time of bookings: the database's clock rules them, so a test can't stop it."""

    by: timedelta = field(default_factory=timedelta)

    def __call__(self, now: datetime) -> datetime:
        return now + self.by


@dataclass
class House:
    """One program, and one process of the event handler before it."""

    database: Database
    api: EventsApi
    client: httpx.AsyncClient
    program_id: UUID
    brand_id: str
    security_key: str
    asset_id: UUID
    shift: Shift

    async def send(self, event: dict[str, Any], **headers: str) -> httpx.Response:
        """A signed report."""
        return await self.signed(MANUAL, json.dumps(event).encode(), **headers)

    async def signed(self, path: str, body: bytes, *, at: datetime | None = None, **headers: str) -> httpx.Response:
        return await self.client.post(path, content=body, headers={**self.signature(body, at=at), **_named(headers)})

    async def signed_bulk(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results of a signed bulk."""
        response = await self.signed(BULK, json.dumps({"events": events}).encode())
        assert response.status_code == 200, response.text
        results: list[dict[str, Any]] = response.json()["results"]
        return results

    def signature(self, body: bytes, *, at: datetime | None = None, key: str | None = None) -> dict[str, str]:
        timestamp = str(round((at or datetime.now(UTC)).timestamp() * 1000))
        signed = f"{timestamp}:{self.brand_id}:".encode() + body
        signature = hmac.digest((key or self.security_key).encode(), signed, "sha256").hex()
        return {
            "X-Loyalteez-Brand-Id": self.brand_id,
            "X-Loyalteez-Timestamp": timestamp,
            "X-Loyalteez-Signature": signature,
            "Content-Type": "application/json",
        }

    async def browse(self, event: dict[str, Any], origin: str = ORIGIN, **headers: str) -> httpx.Response:
        """A report from a page."""
        return await self.client.post(
            MANUAL, json={"brandId": self.brand_id, **event}, headers={"Origin": origin, **_named(headers)}
        )

    async def add_rule(self, event_type: str, reward: int = 10, **terms: Any) -> None:
        async with self.database.program(self.program_id) as session:
            session.add(a_rule(self.program_id, event_type, terms.pop("asset_id", self.asset_id), reward, **terms))
            await configuration_changed(session, self.program_id)

    async def set_program(self, **values: Any) -> None:
        async with self.database.program(self.program_id) as session:
            program = await session.get_one(Program, self.program_id)
            for name, value in values.items():
                setattr(program, name, value)
            await session.flush()
            await configuration_changed(session, self.program_id)

    async def fund(self, points: int, asset_id: UUID | None = None) -> None:
        async with self.database.program(self.program_id) as session:
            movement = Movement(PostingKind.FUND, uuid7(), asset_id or self.asset_id, points)
            await ledger.post(session, self.program_id, [movement], NOW)

    async def check_books(self) -> None:
        """The books must be right whenever a test looks."""
        async with self.database.program(self.program_id) as session:
            assert await verify_program(session, self.program_id) == []


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def a_rule(program_id: UUID, event_type: str, asset_id: UUID, reward: int, **terms: Any) -> Rule:
    fields: dict[str, Any] = {
        "name": event_type,
        "description": event_type,
        "category": "Custom",
        "max_claims_per_user": -1,
        "max_claims_total": -1,
        "cooldown_hours": 0,
        "enabled": True,
        "open_to_browsers": False,
        "requires_email": False,
        "channels": [],
        "detection": [],
        "is_custom": True,
        "version": 1,
        "created_at": NOW,
        "updated_at": NOW,
        **terms,
    }
    return Rule(program_id=program_id, event_type=event_type, asset_id=asset_id, reward=reward, **fields)


async def a_program(database: Database, asset_id: UUID, *, funds: int, domains: tuple[str, ...]) -> tuple[UUID, str, str]:
    """(id, brand id, security key) of a program whose rules are `order` (10, servers), `visit` (5, browsers)."""
    program_id = uuid7()
    brand_id = "0x" + program_id.hex.rjust(40, "a")
    async with database.platform() as session:
        session.add(Program(id=program_id, brand_id=brand_id, name="Test", asset_id=asset_id, created_at=NOW))
    async with database.program(program_id) as session:
        session.add_all(ProgramDomain(program_id=program_id, domain=domain, created_at=NOW) for domain in domains)
        session.add_all(
            [
                a_rule(program_id, "order", asset_id, 10),
                a_rule(program_id, "visit", asset_id, 5, open_to_browsers=True, cooldown_hours=24),
            ]
        )
        key = await add_security_key(session, RING, program_id, NOW)
        if funds:
            await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset_id, funds)], NOW)
    return program_id, brand_id, key.security_key


@asynccontextmanager
async def a_process(
    database: Database, *, shift: Shift | None = None, clock: Clock | None = None, **settings: Any
) -> AsyncIterator[tuple[EventsApi, httpx.AsyncClient]]:
    """The event handler as one web process has it."""
    limiter = RateLimiter()
    async with (
        open_events_api(
            Settings(_env_file=None, **settings),
            database=database,
            secrets=RING,
            wallets=WALLETS,
            limiter=limiter,
            clock=clock or SystemClock(),
            recall=PayoutRecall(),
            booking_time=shift or Shift(),
        ) as api,
        served(api.front(nothing_here), dict([api.intake.direct]), peer=PEER) as address,
        httpx.AsyncClient(base_url=address, timeout=60, limits=httpx.Limits(max_connections=None)) as client,
    ):
        yield api, client
    await limiter.close()


@asynccontextmanager
async def a_house(
    database: Database,
    *,
    funds: int = 1_000_000,
    domains: tuple[str, ...] = ("shop.example.com",),
    delivery: str = "automatic",
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    asset_id = await an_asset(database, delivery=delivery)
    program_id, brand_id, key = await a_program(database, asset_id, funds=funds, domains=domains)
    shift = Shift()
    async with a_process(database, shift=shift, clock=clock, **settings) as (api, client):
        yield House(database, api, client, program_id, brand_id, key, asset_id, shift)


async def count(owner: RawConnection, table: str, program_id: UUID) -> int:
    """Rows of a program, seen from behind."""
    found: int = await owner.fetchval(f"select count(*) from {table} where program_id = $1", program_id)
    return found


def an_event(person: str = "ann", event_type: str = "order", **fields: Any) -> dict[str, Any]:
    return {"eventType": event_type, "userEmail": f"{person}@example.org", **fields}
