"""The application for tests: in this process, over ASGI, on the test's database; and operators who call it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import SecretStr

from guerdon.app import Application, Runtime
from guerdon.kit.clock import Clock
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger.models import Asset
from guerdon.programs.admin_keys import create_admin_key
from guerdon.programs.models import AdminRole
from guerdon.programs.schemas import NewAdminKey
from guerdon.settings import Settings

SECRET_KEY = "00" * 31 + "01"
ANYONE = "http://guerdon.test"


def settings_for(app_url: str, **changes: Any) -> Settings:
    """Settings of a test: its database, a fixed secret key, nothing of the environment."""
    values: dict[str, Any] = {"database_url": SecretStr(app_url), "secret_key": SecretStr(SECRET_KEY), **changes}
    return Settings(_env_file=None, **values)  # pyright: ignore[reportCallIssue] - pydantic-settings takes it


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls the API with one admin key."""

    client: httpx.AsyncClient
    token: str | None = None

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        content = {} if body is None else {"json": body}
        return await self.client.request(method, path, headers=sent, **content)


@dataclass(frozen=True, slots=True)
class Running:
    """A running application with an operator of the platform and the asset LTZ."""

    runtime: Runtime
    client: httpx.AsyncClient
    platform: Caller

    async def program(self, name: str = "Acme", **fields: Any) -> dict[str, Any]:
        """A new program, as the API shows it once."""
        answer = await self.platform("POST", "/api/admin/programs", {"name": name, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def operator_of(self, program: dict[str, Any]) -> Caller:
        """Somebody with an admin key of that program."""
        body = {"name": "own", "role": "program", "brandId": program["brandId"]}
        answer = await self.platform("POST", "/api/admin/admin-keys", body)
        assert answer.status_code == 201, answer.text
        return Caller(self.client, answer.json()["token"])


async def add_asset(database: Database, symbol: str = "LTZ", **fields: Any) -> Asset:
    """An asset, as an operator of the platform adds one."""
    asset = Asset(
        id=uuid7(), symbol=symbol, decimals=0, delivery="automatic", mintable=True, created_at=datetime.now(UTC), **fields
    )
    async with database.platform() as session:
        session.add(asset)
    return asset


async def platform_token(runtime: Runtime) -> str:
    """A bearer token of the platform."""
    async with runtime.database.platform() as session:
        new = NewAdminKey(name="test", role=AdminRole.PLATFORM)
        return (await create_admin_key(session, new, runtime.clock.now())).token


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock | None = None, asset: bool = True) -> AsyncGenerator[Running]:
    """The application, answering; errors that nobody expected are raised in the test."""
    app = Application(settings, clock=clock)
    async with app.running() as runtime:
        if asset:
            await add_asset(runtime.database)
        transport = httpx.ASGITransport(app, client=("203.0.113.7", 4711))
        async with httpx.AsyncClient(transport=transport, base_url=ANYONE) as client:
            yield Running(runtime, client, Caller(client, await platform_token(runtime)))
