"""Admin keys: hashed, shown once, of the platform or of one program (SAFETY S3)."""

from __future__ import annotations

import re

import pytest

from guerdon.kit import driver
from tests.support.api import Caller, Running


async def test_a_token_is_shown_once_and_stored_hashed(api: Running, owner: driver.RawConnection) -> None:
    made = await api.platform("POST", "/api/admin/admin-keys", {"name": "robot", "role": "platform"})
    token = made.json()["token"]
    assert re.fullmatch(r"gk_[0-9a-f]{32}_[0-9a-f]{64}", token)
    listed = await api.platform("GET", "/api/admin/admin-keys")
    assert "robot" in [key["name"] for key in listed.json()["items"]]
    secret = token.rpartition("_")[2]
    assert secret not in listed.text
    rows = await owner.fetch("select * from admin_keys")
    assert all(secret.encode() not in bytes(row["secret_hash"]) and len(row["secret_hash"]) == 32 for row in rows)


async def test_a_revoked_key_opens_nothing_from_then_on(api: Running) -> None:
    made = (await api.platform("POST", "/api/admin/admin-keys", {"name": "robot", "role": "platform"})).json()
    robot = Caller(api.client, made["token"])
    assert (await robot("GET", "/api/admin/programs")).status_code == 200
    revoked = await api.platform("DELETE", f"/api/admin/admin-keys/{made['id']}")
    assert revoked.json()["revokedAt"] is not None
    assert (await robot("GET", "/api/admin/programs")).status_code == 401
    again = await api.platform("DELETE", f"/api/admin/admin-keys/{made['id']}")
    assert again.json()["revokedAt"] == revoked.json()["revokedAt"]


@pytest.mark.parametrize("change", ["", "x", "gk_", "gk_zz_zz", "wrong secret", "unknown id", "upper case"])
async def test_every_wrong_token_gets_the_same_answer(api: Running, change: str) -> None:
    token = str(api.platform.token)
    forged = {
        "wrong secret": token[:-64] + "0" * 64,
        "unknown id": "gk_" + "0" * 32 + token[35:],
        "upper case": token.upper(),
    }.get(change, change)
    answer = await Caller(api.client, forged)("GET", "/api/admin/programs")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (401, "INVALID_ADMIN_KEY")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "gk_" in body["message"]
    assert "guerdon admin-key create" in body["message"]


async def test_no_token_and_another_scheme_are_no_key(api: Running) -> None:
    for headers in ({}, {"Authorization": "Basic Zm9vOmJhcg=="}, {"Authorization": str(api.platform.token)}):
        answer = await api.client.get("/api/admin/programs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "INVALID_ADMIN_KEY")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "role": "program"},
        {"name": "x", "role": "platform", "brandId": "0x" + "1" * 40},
        {"name": "", "role": "platform"},
        {"name": "x", "role": "root"},
    ],
)
async def test_a_key_is_of_the_platform_or_of_one_program(api: Running, body: dict[str, str]) -> None:
    assert (await api.platform("POST", "/api/admin/admin-keys", body)).status_code == 400


async def test_s3_a_programs_key_makes_and_sees_no_admin_keys(api: Running) -> None:
    program = await api.program()
    own = await api.operator_of(program)
    mine = {"name": "more", "role": "program", "brandId": program["brandId"]}
    key_id = (await api.platform("GET", "/api/admin/admin-keys")).json()["items"][0]["id"]
    for method, path, body in (
        ("GET", "/api/admin/admin-keys", None),
        ("POST", "/api/admin/admin-keys", mine),
        ("POST", "/api/admin/admin-keys", {"name": "more", "role": "platform"}),
        ("DELETE", f"/api/admin/admin-keys/{key_id}", None),
    ):
        answer = await own(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY")
    assert (await api.platform("GET", "/api/admin/programs")).status_code == 200


async def test_s3_a_programs_key_makes_no_programs_and_touches_no_money(api: Running) -> None:
    program = await api.program()
    own = await api.operator_of(program)
    money = f"/api/admin/programs/{program['brandId']}/fundings"
    for method, path, body in (
        ("POST", "/api/admin/programs", {"name": "Another"}),
        ("POST", money, {"points": 1_000}),
        ("POST", "/api/admin/treasuries/LTZ/pause", {"reason": "because"}),
        ("POST", "/api/admin/treasuries/LTZ/resume", None),
        ("PUT", "/api/admin/treasuries/LTZ/limit", {}),
    ):
        answer = await own(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "PLATFORM_ONLY"), (method, path, answer.text)
