"""Errors in one form, request ids, readiness, metrics: what keeps an installation observable."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from guerdon.app import Application, WebRole, openapi_document
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.kit.web import typed
from guerdon.operations import SchemaError, wait_for_schema
from tests.support.api import Running, settings_for
from tests.support.postgres import Urls


def assert_is_error(answer: httpx.Response, status: int, code: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert {"error", "message", "code", "requestId"} <= body.keys()
    assert body["requestId"] == answer.headers["x-request-id"]


async def test_errors_have_one_form_whoever_finds_them(api: Running) -> None:
    bearer = {"Authorization": f"Bearer {api.platform.token}", "Content-Type": "application/json"}
    assert_is_error(await api.client.get("/nowhere"), 404, "NOT_FOUND")
    assert_is_error(await api.client.get("/api/admin/programs/"), 404, "NOT_FOUND")
    assert_is_error(await api.client.put("/live"), 405, "METHOD_NOT_ALLOWED")
    assert_is_error(await api.client.get("/api/admin/programs"), 401, "INVALID_ADMIN_KEY")
    for body in (
        b"{",
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"name": 1e400}',
        b'{"name": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ):
        assert_is_error(await api.client.post("/api/admin/programs", content=body, headers=bearer), 400, "INVALID_REQUEST")
    big = b'{"name": "' + b"x" * 1_000_001 + b'"}'
    assert_is_error(await api.client.post("/api/admin/programs", content=big, headers=bearer), 413, "PAYLOAD_TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 100_000):
            yield big[start : start + 100_000]

    assert_is_error(await api.client.post("/api/admin/programs", content=chunks(), headers=bearer), 413, "PAYLOAD_TOO_LARGE")
    fits = b'{"name": "Acme", "ignored": "' + b"x" * 900_000 + b'"}'
    assert (await api.client.post("/api/admin/programs", content=fits, headers=bearer)).status_code == 201


@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b", "\\udfff", "tab\\tand\\nline"])
async def test_s9_text_that_can_not_be_stored_is_refused_with_400(api: Running, text: str) -> None:
    bearer = {"Authorization": f"Bearer {api.platform.token}", "Content-Type": "application/json"}
    program = await api.program()
    for method, path, body in (
        ("POST", "/api/admin/programs", '{"name": "%s"}'),
        ("PUT", "/api/admin/rules/purchase", '{"reward": 1, "name": "name%s"}'),
        ("PUT", "/api/admin/rules/purchase", '{"reward": 1, "channels": ["%s"]}'),
        ("POST", f"/api/admin/programs/{program['brandId']}/domains", '{"domain": "a%s.example.com"}'),
    ):
        answer = await api.client.request(method, path, content=(body % text).encode(), headers=bearer)
        assert answer.status_code == 400, (path, answer.text)
    detection = '{"reward": 1, "detection": [{"method": "webhook", "config": {"a": ["a\\u0000b"]}}]}'
    answer = await api.client.put("/api/admin/rules/purchase", content=detection.encode(), headers=bearer)
    assert answer.status_code == 400
    for path in ("/api/admin/programs/%00", "/api/admin/rules?cursor=AA", "/api/admin/events?user=a%00@example.org"):
        assert (await api.client.get(path, headers=bearer)).status_code == 400


async def test_a_request_id_is_the_callers_or_a_new_one(api: Running) -> None:
    given = await api.client.get("/live", headers={"X-Request-Id": "caller-12345"})
    assert given.headers["x-request-id"] == "caller-12345"
    for bad in ("short", "has space in it", "x" * 65, "new\tline-and-more"):
        other = await api.client.get("/live", headers={"X-Request-Id": bad})
        assert other.headers["x-request-id"] != bad
        assert len(other.headers["x-request-id"]) == 36


async def test_requests_are_logged_with_fields_and_without_secrets(api: Running, caplog: pytest.LogCaptureFixture) -> None:
    from guerdon.kit.logging import configure_logging

    configure_logging("INFO", "json")
    logging.getLogger().addHandler(caplog.handler)
    program = await api.program("Acme")
    logged = caplog.text
    assert "request" in logged
    assert "/api/admin/programs" in logged
    assert str(api.platform.token) not in logged
    assert program["securityKey"] not in logged


async def test_readiness_tells_the_database_the_schema_and_the_end(database_urls: Urls) -> None:
    class Ending:
        begun = False

    ending = Ending()
    app = Application(settings_for(database_urls.app), draining=ending)
    async with app.running(), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x.test") as client:
        assert (await client.get("/ready")).status_code == 200
        ending.begun = True
        told = await client.get("/ready")
        assert (told.status_code, told.json()["checks"]["process"]) == (503, "draining")
        assert (await client.get("/live")).status_code == 200


async def test_signed_reports_have_a_direct_way_while_the_application_runs(database_urls: Urls) -> None:
    app = Application(settings_for(database_urls.app))
    assert list(app.direct) == []
    async with app.running():
        assert list(app.direct) == [b"/loyalteez-api/manual-event"]
    assert list(app.direct) == []


async def test_a_database_without_our_schema_is_waited_for_and_then_named(blank_database_urls: Urls) -> None:
    from guerdon.kit.database import Database

    database = Database(blank_database_urls.superuser)
    with pytest.raises(SchemaError, match="guerdon migrate"):
        await wait_for_schema(database, seconds=0.1)
    await database.close()


async def test_a_database_that_is_not_there_is_told(port: int) -> None:
    from guerdon.kit.database import Database

    database = Database(f"postgresql://guerdon_app@127.0.0.1:{port}/nothing")
    with pytest.raises(DatabaseUnavailableError):
        await wait_for_schema(database, seconds=0.1)
    await database.close()


async def test_metrics_count_answers_by_route_and_show_what_waits(api: Running) -> None:
    from guerdon.kit import outbox

    await api.program()
    async with api.runtime.database.platform() as session:
        await outbox.raise_alert(session, "k", "k", severity=outbox.Severity.CRITICAL, message="m", remedy="r")
    text = (await api.client.get("/metrics")).text
    assert 'route="/api/admin/programs",status="201"' in text
    assert 'guerdon_alerts{severity="critical"} 1.0' in text
    assert "guerdon_gauges_failed 0.0" in text


async def test_s2_gauges_over_all_tenants_are_counts_and_ages_alone(api: Running) -> None:
    from sqlalchemy import text

    async with api.runtime.database.platform() as session:
        rows = await session.execute(text("select * from guerdon_gauges_v2()"))
        assert list(rows.keys()) == ["gauge", "label", "items", "oldest_seconds"]
        rights = await session.scalar(text("select has_function_privilege('public', 'guerdon_gauges_v2()', 'execute')"))
    assert rights is False


def test_the_document_is_made_without_a_database_a_key_or_a_data_directory(tmp_path: Path) -> None:
    guerdon = Path(sys.executable).parent / "guerdon"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "GUERDON_DATA_DIR": str(tmp_path / "none")}
    made = subprocess.run([guerdon, "openapi"], env=environment, capture_output=True, check=True, cwd=tmp_path, timeout=60)
    assert json.loads(made.stdout) == json.loads(json.dumps(openapi_document()))
    assert list(tmp_path.iterdir()) == []


async def test_the_document_that_is_served_is_the_one_that_is_printed(api: Running) -> None:
    served = (await api.client.get("/openapi.json")).json()
    assert served == json.loads(json.dumps(openapi_document()))
    assert "422" not in json.dumps(served)
    assert "HTTPValidationError" not in json.dumps(served)
    names = [operation["operationId"] for operations in served["paths"].values() for operation in operations.values()]
    assert len(names) == len(set(names))
    for path, operations in served["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)
            is_admin = path.startswith("/api/admin/")
            assert bool(operation.get("security")) >= is_admin, (path, method)


def test_a_role_serves_its_own_endpoints_only() -> None:
    everything = set(openapi_document()["paths"])
    admin = set(openapi_document(WebRole.ADMIN)["paths"])
    events = set(openapi_document(WebRole.EVENTS)["paths"])
    rewards = set(openapi_document(WebRole.REWARDS)["paths"])
    assert admin | events | rewards == everything
    assert not any(path.startswith("/api/admin") for path in events)
    assert not any(path.startswith("/loyalteez-api") for path in admin)
    assert "/ready" in admin & events


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (asyncpg.LockNotAvailableError("x"), 503, "UNAVAILABLE"),
        (asyncpg.DeadlockDetectedError("x"), 503, "UNAVAILABLE"),
        (asyncpg.SerializationError("x"), 503, "UNAVAILABLE"),
        (asyncpg.QueryCanceledError("x"), 503, "UNAVAILABLE"),
        (asyncpg.NumericValueOutOfRangeError("x"), 400, "INVALID_REQUEST"),
        (asyncpg.CharacterNotInRepertoireError("x"), 400, "INVALID_REQUEST"),
    ],
)
def test_errors_of_the_database_that_a_caller_can_mend_are_told(error: Exception, status: int, code: str) -> None:
    told = typed(error)
    assert told is not None
    assert (told.status, told.code) == (status, code)
    assert (told.retry_after is not None) == (status == 503)


def test_errors_that_nobody_expected_tell_nothing() -> None:
    assert typed(asyncpg.UndefinedTableError("secrets")) is None
    assert typed(RuntimeError("secrets")) is None
