"""Addresses that can't sign are proven by an operator's word, which is kept."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.accounts.jobs import forget_what_is_over
from guerdon.app import WebRole, openapi_document
from guerdon.kit import driver
from tests.accounts.conftest import OWN, PAGE
from tests.support.api import Caller, Running
from tests.support.members import EvmWallet, SolanaWallet, a_member, link, sign_in

ADDRESSES = "/api/rewards/account/addresses"

pytestmark = pytest.mark.usefixtures("program")


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def _asked(caller: Caller, wallet: Any) -> dict[str, Any]:
    return (await caller("POST", ADDRESSES, {"network": wallet.network, "address": wallet.address})).json()


async def test_an_operator_approves_an_address_on_its_one_chain_and_says_why(
    api: Running, program: dict[str, Any], owner: driver.RawConnection
) -> None:
    caller, account = await a_member(api)
    operator = await api.operator_of(program)
    safe = EvmWallet()
    asked = await _asked(caller, safe)
    waiting = (await operator("GET", "/api/admin/addresses?unproven=true")).json()["items"]
    assert [(one["id"], one["accountId"], one["address"]) for one in waiting] == [(asked["id"], account["id"], safe.address)]
    where = f"/api/admin/addresses/{asked['id']}/approve"
    assert _code(await operator("POST", where, {"reason": ""})) == (400, "INVALID_REQUEST")
    approved = await operator("POST", where, {"reason": "Their multisig, by phone, ticket 812"})
    assert (approved.status_code, approved.json()["method"], approved.json()["chainId"]) == (200, "operator", 8453)
    assert (await operator("GET", "/api/admin/addresses?unproven=true")).json()["items"] == []
    proof = json.loads(await owner.fetchval("select proof from addresses where id = $1", UUID(asked["id"])))
    assert proof["reason"] == "Their multisig, by phone, ticket 812"
    assert proof["operator"]
    # What was asked to be signed is good no longer; S5: an operator's word makes nobody's later address usable at once.
    signed = safe.sign(asked["challenge"]["message"])
    assert _code(await caller("POST", f"{ADDRESSES}/{asked['id']}/verify", {"signature": signed})) == (409, "CHALLENGE_USED")
    wait = await owner.fetchval("select usable_from - verified_at from addresses where id = $1", UUID(asked["id"]))
    assert str(wait) == "1 day, 0:00:00"
    solana = await _asked(caller, SolanaWallet())
    other = await operator("POST", f"/api/admin/addresses/{solana['id']}/approve", {"reason": "a PDA"})
    assert other.json()["chainId"] is None


async def test_an_operator_moves_an_address_only_where_that_is_said(api: Running, program: dict[str, Any]) -> None:
    (anna, _), (ben, his) = await a_member(api), await a_member(api)
    operator = await api.operator_of(program)
    wallet = EvmWallet()
    await link(anna, wallet)
    asked = await _asked(ben, wallet)
    where = f"/api/admin/addresses/{asked['id']}/approve"
    assert _code(await operator("POST", where, {"reason": "because", "allChains": True})) == (409, "ADDRESS_TAKEN")
    moved = await operator("POST", where, {"reason": "because", "allChains": True, "move": True})
    assert (moved.status_code, moved.json()["accountId"]) == (200, his["id"])
    shown = (await anna("GET", ADDRESSES)).json()["items"]
    assert wallet.address not in [one["address"] for one in shown]
    assert _code(await operator("POST", f"/api/admin/addresses/{his['id']}/approve", {"reason": "because"})) == (
        404,
        "ADDRESS_NOT_FOUND",
    )


async def test_an_address_that_an_operator_approved_on_one_chain_is_free_on_others(api: Running, program: dict[str, Any]) -> None:
    (anna, _), (ben, _) = await a_member(api), await a_member(api)
    operator = await api.operator_of(program)
    wallet = EvmWallet()
    for caller, network in ((anna, "base"), (ben, "ethereum")):
        asked = (await caller("POST", ADDRESSES, {"network": network, "address": wallet.address})).json()
        answer = await operator("POST", f"/api/admin/addresses/{asked['id']}/approve", {"reason": "its contract there"})
        assert answer.status_code == 200
    # Whoever holds the key of all chains meets both.
    key_holder, _ = await a_member(api)
    asked = await _asked(key_holder, wallet)
    signed = {"signature": wallet.sign(asked["challenge"]["message"])}
    assert _code(await key_holder("POST", f"{ADDRESSES}/{asked['id']}/verify", signed)) == (409, "ADDRESS_TAKEN")
    fresh = (await key_holder("POST", f"{ADDRESSES}/{asked['id']}/transfer")).json()
    signed = {"signature": wallet.sign(fresh["challenge"]["message"])}
    assert (await key_holder("POST", f"{ADDRESSES}/{asked['id']}/verify", signed)).status_code == 200
    for caller in (anna, ben):
        assert wallet.address not in [one["address"] for one in (await caller("GET", ADDRESSES)).json()["items"]]


def _member_operations() -> list[tuple[str, str]]:
    paths = openapi_document(WebRole.REWARDS)["paths"]
    # A proof is for everybody: only its address is paid.
    members = [path for path in paths if path.startswith("/api/rewards") and not path.endswith("/proofs/{address}")]
    return [(method, path) for path in members for method in paths[path]]


@pytest.mark.parametrize(("method", "path"), _member_operations())
async def test_s4_nothing_is_a_members_without_a_session(api: Running, method: str, path: str) -> None:
    """Nor with an admin key, or with what a program signs: only what the platform proved itself signs anybody in."""
    where = path
    for name in ("address_id", "claim_id", "id", "campaign_id", "drop_id", "asset"):
        where = where.replace("{" + name + "}", "01a1fdef-b400-751e-9289-d658a22ff1c0")
    for caller in (Caller(api.client), api.platform):
        answer = await caller(method.upper(), where, None if method in {"get", "delete"} else {})
        assert _code(answer) == (401, "NOT_SIGNED_IN"), path


async def test_a_programs_page_may_read_answers_and_a_strangers_may_not(api: Running) -> None:
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    for origin in (PAGE, OWN):
        preflight = await Caller(api.client)("OPTIONS", "/api/auth/wallet/challenge", None, Origin=origin, **asks)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        seen = await Caller(api.client)("GET", "/api/rewards/account", None, Origin=origin)
        assert (seen.status_code, seen.headers["access-control-allow-origin"]) == (401, origin)
    for origin in ("https://evil.example", "null", "http://localhost:3000"):
        preflight = await Caller(api.client)("OPTIONS", "/api/rewards/account", None, Origin=origin, **asks)
        assert _code(preflight) == (403, "ORIGIN_NOT_ALLOWED")
        seen = await Caller(api.client)("GET", "/api/rewards/account", None, Origin=origin)
        assert "access-control-allow-origin" not in seen.headers
        assert seen.headers["vary"] == "Origin"


async def test_what_is_over_is_forgotten_and_what_is_not_stays(api: Running, owner: driver.RawConnection) -> None:
    old, new = EvmWallet(), EvmWallet()
    await sign_in(api, old)
    await owner.execute("update sessions set expires_at = now() - interval '8 days'")
    await owner.execute("update challenges set expires_at = now() - interval '8 days'")
    caller = await sign_in(api, new)
    await forget_what_is_over(api.runtime.database)
    assert await owner.fetchval("select count(*) from sessions") == 1
    assert await owner.fetchval("select count(*) from challenges") == 1
    assert await owner.fetchval("select count(*) from users") == 2
    assert (await caller("GET", "/api/auth/session")).status_code == 200
