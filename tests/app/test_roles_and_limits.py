"""A web process serves its role alone, and callers of the admin API are slowed."""

from __future__ import annotations

import httpx
import pytest

from guerdon.app import Application, WebRole
from tests.support.api import Running, running, settings_for
from tests.support.postgres import Urls

REPORT = {"brandId": "0x" + "1" * 40, "eventType": "purchase", "userEmail": "anna@example.org"}


@pytest.mark.parametrize(
    ("role", "admin", "events"), [(WebRole.ALL, 401, 404), (WebRole.ADMIN, 401, 404), (WebRole.EVENTS, 404, 404)]
)
async def test_a_role_answers_its_own_endpoints(database_urls: Urls, role: WebRole, admin: int, events: int) -> None:
    app = Application(settings_for(database_urls.app), role)
    async with app.running(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x.test") as client:
        assert (await client.get("/api/admin/programs")).status_code == admin
        report = await client.post("/loyalteez-api/manual-event", json=REPORT)
        assert report.status_code == events
        assert report.json()["code"] == ("NOT_FOUND" if role is WebRole.ADMIN else "PROGRAM_NOT_FOUND")
        health = await client.get("/loyalteez-api/health")
        assert health.status_code == (404 if role is WebRole.ADMIN else 200)
        assert (await client.get("/ready")).status_code == 200


async def test_an_admin_key_that_calls_too_often_waits(database_urls: Urls) -> None:
    async with running(settings_for(database_urls.app, rate_limit_admin_a_minute=5)) as api:
        own: Running = api
        statuses = [(await own.platform("GET", "/api/admin/programs")).status_code for _ in range(7)]
        assert statuses == [200] * 5 + [429] * 2
        refused = await own.platform("GET", "/api/admin/programs")
        assert refused.json()["code"] == "RATE_LIMITED"
        assert 1 <= int(refused.headers["retry-after"]) <= 61


async def test_the_role_of_members_serves_members_alone(database_urls: Urls) -> None:
    app = Application(settings_for(database_urls.app), WebRole.REWARDS)
    async with app.running(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x.test") as client:
        own = await client.get("/api/rewards/account")
        assert (own.status_code, own.json()["code"]) == (401, "NOT_SIGNED_IN")
        body = {"network": "base", "address": "0x" + "1" * 40}
        assert (await client.post("/api/auth/wallet/challenge", json=body)).status_code == 200
        for path in ("/api/admin/programs", "/loyalteez-api/health"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/ready")).status_code == 200
