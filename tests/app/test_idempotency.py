"""Every administrative write happens once for an idempotency key, at any concurrency (DESIGN section 8, SAFETY S12)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guerdon.kit import driver
from tests.support.api import Running


async def test_a_repeat_with_the_same_body_gets_the_first_answer_with_its_secret(api: Running) -> None:
    body = {"name": "Acme", "domains": ["shop.example.com"]}
    first = await api.platform("POST", "/api/admin/programs", body, Idempotency_Key="order-1")
    again = await api.platform("POST", "/api/admin/programs", body, Idempotency_Key="order-1")
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert len(again.json()["securityKey"]) == 64
    assert len((await api.platform("GET", "/api/admin/programs")).json()["items"]) == 1


async def test_s12_a_stored_answer_with_a_secret_is_encrypted(api: Running, owner: driver.RawConnection) -> None:
    made = await api.platform("POST", "/api/admin/programs", {"name": "Acme"}, Idempotency_Key="order-1")
    rows = await owner.fetch("select response from idempotent_requests")
    assert len(rows) == 1
    assert made.json()["securityKey"].encode() not in bytes(rows[0]["response"])
    assert b"Acme" not in bytes(rows[0]["response"])


async def test_another_body_under_the_same_key_is_refused(api: Running) -> None:
    await api.platform("POST", "/api/admin/programs", {"name": "Acme"}, Idempotency_Key="order-1")
    other = await api.platform("POST", "/api/admin/programs", {"name": "Other"}, Idempotency_Key="order-1")
    assert (other.status_code, other.json()["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    # How it is written does not matter, nor what is ignored.
    same = await api.client.post(
        "/api/admin/programs",
        content=b'{ "ignored": true,  "name" :"Acme" }',
        headers={
            "Authorization": f"Bearer {api.platform.token}",
            "Content-Type": "application/json",
            "Idempotency-Key": "order-1",
        },
    )
    assert same.status_code == 201


async def test_the_same_key_is_another_for_another_operation_and_another_program(api: Running) -> None:
    one, other = await api.program("One"), await api.program("Other")
    made: set[str] = set()
    for program in (one, other):
        path = f"/api/admin/programs/{program['brandId']}/keys"
        made.add((await api.platform("POST", path, {}, Idempotency_Key="k")).json()["securityKey"])
        assert (await api.platform("PATCH", path[:-5], {"name": "x"}, Idempotency_Key="k")).status_code == 200
    assert len(made) == 2


async def test_s12_a_key_is_the_operators_whatever_admin_key_they_use(api: Running) -> None:
    program = await api.program()
    path = f"/api/admin/programs/{program['brandId']}/keys"
    one, other = await api.operator_of(program), await api.operator_of(program)
    first = (await one("POST", path, {}, Idempotency_Key="k")).json()
    assert (await other("POST", path, {}, Idempotency_Key="k")).json() == first


async def test_s12_only_what_took_effect_binds(api: Running) -> None:
    body = {"name": "Acme", "asset": "XYZ"}
    assert (await api.platform("POST", "/api/admin/programs", body, Idempotency_Key="k")).status_code == 404
    assert (await api.platform("POST", "/api/admin/programs", {"name": "Acme"}, Idempotency_Key="k")).status_code == 201


async def test_s12_a_key_opens_nothing_for_others(api: Running) -> None:
    await api.platform("POST", "/api/admin/programs", {"name": "Acme"}, Idempotency_Key="order-1")
    own = await api.operator_of(await api.program("Mine"))
    answer = await own("POST", "/api/admin/programs", {"name": "Acme"}, Idempotency_Key="order-1")
    assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY")


WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/api/admin/programs", {"name": "Another"}),
    ("PATCH", "/api/admin/programs/{brand}", {"name": "Renamed"}),
    ("POST", "/api/admin/programs/{brand}/domains", {"domain": "new.example.com"}),
    ("DELETE", "/api/admin/programs/{brand}/domains/old.example.com", None),
    ("POST", "/api/admin/programs/{brand}/keys", {"graceHours": 1}),
    ("POST", "/api/admin/admin-keys", {"name": "robot", "role": "platform"}),
    ("POST", "/api/admin/rules", {"reward": 5, "name": "Custom one"}),
    ("PUT", "/api/admin/rules/purchase", {"reward": 5}),
    ("PATCH", "/api/admin/rules/form_submit", {"reward": 5}),
    ("POST", "/api/admin/rules/form_submit/disable", None),
    ("DELETE", "/api/admin/rules/form_submit", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_twenty_at_once_with_one_key_happen_once(
    api: Running, owner: driver.RawConnection, method: str, path: str, body: Any
) -> None:
    program = await api.program(domains=["old.example.com"])
    where = path.replace("{brand}", program["brandId"])
    answers = await asyncio.gather(
        *(api.platform(method, where, body, Idempotency_Key="k", X_Loyalteez_Brand_Id=program["brandId"]) for _ in range(20))
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 204}, answers[0].text
    assert len({answer.text for answer in answers}) == 1
    assert await owner.fetchval("select count(*) from idempotent_requests") == 1
    changes = await owner.fetchval("select config_version from programs where brand_id = $1", program["brandId"])
    if "admin-keys" not in path and path != "/api/admin/programs":
        # Once, or twice where one change is made of two: the same as a single call without a key.
        assert changes in {2, 3}


@pytest.mark.parametrize("key", ["", " ", "a b", "ключ", "x" * 256])
async def test_a_key_is_1_to_255_visible_characters(api: Running, key: str) -> None:
    headers = {"Authorization": f"Bearer {api.platform.token}", "Idempotency-Key": key.encode()}
    answer = await api.client.post("/api/admin/programs", json={"name": "Acme"}, headers=headers)
    assert answer.status_code == 400
    assert "Idempotency-Key" in str(answer.json()["details"])
