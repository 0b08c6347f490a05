"""Accounts of members over HTTP: made by proving a wallet, tied to whoever proves what leads to them, one program apart from another."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.accounts.models import Identity
from guerdon.kit import driver
from tests.support.api import Caller, Running
from tests.support.members import EARLIER, EvmWallet, SolanaWallet, a_member, an_account, an_address, link, sign_in

ADDRESSES = "/api/rewards/account/addresses"

pytestmark = pytest.mark.usefixtures("program")


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def _register(caller: Caller, wallet: Any, **headers: str) -> dict[str, Any]:
    answer = await caller("POST", ADDRESSES, {"network": wallet.network, "address": wallet.address}, **headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _verify(caller: Caller, address: dict[str, Any], signature: str, **headers: str) -> httpx.Response:
    return await caller("POST", f"{ADDRESSES}/{address['id']}/verify", {"signature": signature}, **headers)


async def _listed(caller: Caller) -> list[dict[str, Any]]:
    return (await caller("GET", ADDRESSES)).json()["items"]


async def test_proving_a_wallet_makes_the_account_without_any_dashboard_user(api: Running, program: dict[str, Any]) -> None:
    wallet = EvmWallet()
    caller = await sign_in(api, wallet)
    assert _code(await caller("GET", "/api/rewards/account")) == (404, "ACCOUNT_NOT_FOUND")
    made = await caller("POST", "/api/rewards/account")
    assert made.status_code == 201
    account = made.json()
    assert account["brand_id"] == program["brandId"]
    assert account["primary_address"] == wallet.address
    assert account["tier"] == "bronze"
    assert (account["earned_points"], account["claimed_points"], account["available_points"]) == ("0", "0", "0")
    again = await caller("POST", "/api/rewards/account")
    assert (again.status_code, again.json()) == (200, account)
    assert (await caller("GET", "/api/rewards/account")).json() == account
    (own,) = await _listed(caller)
    assert (own["verified"], own["primary"], own["method"], own["chain_id"]) == (True, True, "eip191", None)


async def test_many_who_make_the_same_account_at_once_get_one(api: Running, owner: driver.RawConnection) -> None:
    caller = await sign_in(api, EvmWallet())
    answers = await asyncio.gather(*(caller("POST", "/api/rewards/account") for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await owner.fetchval("select count(*) from accounts") == 1


async def test_s1_a_program_sees_no_address_of_another(api: Running, program: dict[str, Any]) -> None:
    other = await api.program("Other")
    wallet = EvmWallet()
    here, there = {"X_Loyalteez_Brand_Id": program["brandId"]}, {"X_Loyalteez_Brand_Id": other["brandId"]}
    caller = await sign_in(api, wallet)
    one = (await caller("POST", "/api/rewards/account", **here)).json()
    two = (await caller("POST", "/api/rewards/account", **there)).json()
    # The same person in both, with the same wallet in both, and two accounts.
    assert one["id"] != two["id"]
    assert one["user_id"] == two["user_id"]
    mine = (await caller("GET", ADDRESSES, **here)).json()["items"]
    theirs = (await caller("GET", ADDRESSES, **there)).json()["items"]
    assert [item["address"] for item in mine] == [item["address"] for item in theirs] == [wallet.address]
    assert mine[0]["id"] != theirs[0]["id"]
    assert _code(await caller("DELETE", f"{ADDRESSES}/{mine[0]['id']}", **there)) == (404, "ADDRESS_NOT_FOUND")
    assert _code(await caller("GET", ADDRESSES)) == (400, "PROGRAM_REQUIRED")
    assert _code(await caller("GET", f"/api/rewards/account?account_id={two['id']}", **here)) == (404, "ACCOUNT_NOT_FOUND")


async def test_the_program_is_that_of_the_host_or_the_members_only_one(api: Running, program: dict[str, Any]) -> None:
    other = await api.program("Other", domains=["rewards.other.example"])
    caller = await sign_in(api, EvmWallet())
    assert _code(await caller("POST", "/api/rewards/account")) == (400, "PROGRAM_REQUIRED")
    at_host = await caller("POST", "/api/rewards/account", Host="rewards.other.example")
    assert at_host.json()["brand_id"] == other["brandId"]
    assert (await caller("GET", "/api/rewards/account")).json()["brand_id"] == other["brandId"]
    body = {"brand_id": program["brandId"]}
    clash = await caller("POST", "/api/rewards/account", body, X_Loyalteez_Brand_Id=other["brandId"])
    assert _code(clash) == (400, "PROGRAM_MISMATCH")


async def _account_of(api: Running, program: dict[str, Any], identity: str | None = None) -> UUID:
    """An account as a report makes one: nobody has signed in to it."""
    program_id = UUID(program["id"])
    account_id = await an_account(api.runtime.database, program_id)
    if identity is not None:
        async with api.runtime.database.program(program_id) as session:
            session.add(Identity(program_id=program_id, identity=identity, account_id=account_id, created_at=EARLIER))
    return account_id


@pytest.mark.parametrize("signed_in_before", [False, True])
async def test_an_account_without_a_user_is_theirs_who_sign_in_with_its_identity(
    api: Running, program: dict[str, Any], *, signed_in_before: bool
) -> None:
    """A report named the wallet: its account waits for whoever proves it, however long ago they did."""
    wallet = EvmWallet()
    caller = await sign_in(api, wallet)
    waiting = await _account_of(api, program, f"eip155:{wallet.address.lower()}")
    stranger, other = await a_member(api)
    assert other["id"] != str(waiting)
    if not signed_in_before:
        caller = await sign_in(api, wallet)
    shown = (await caller("GET", "/api/rewards/account")).json()
    assert (shown["id"], shown["primary_address"]) == (str(waiting), wallet.address)
    assert (await caller("POST", "/api/rewards/account")).json()["id"] == str(waiting)
    who = (await caller("GET", "/api/auth/session")).json()
    assert [one["account_id"] for one in who["accounts"]] == [str(waiting)]
    assert (await stranger("GET", "/api/rewards/accounts")).json()["items"] == [other]


async def test_an_account_without_a_user_is_theirs_who_sign_in_with_its_proven_address(
    api: Running, program: dict[str, Any]
) -> None:
    wallet, chained = SolanaWallet(), EvmWallet()
    waiting = await _account_of(api, program)
    bound_to_a_chain = await _account_of(api, program)
    program_id = UUID(program["id"])
    await an_address(api.runtime.database, program_id, waiting, wallet.address, namespace="solana")
    # S7: a contract's word holds on its chain; the key of the same address elsewhere is somebody else's.
    await an_address(api.runtime.database, program_id, bound_to_a_chain, chained.address, chain_id=8453)
    caller = await sign_in(api, wallet)
    assert (await caller("GET", "/api/rewards/account")).json()["id"] == str(waiting)
    other = await sign_in(api, chained)
    assert _code(await other("GET", "/api/rewards/account")) == (404, "ACCOUNT_NOT_FOUND")


async def test_linking_a_wallet_signs_nobody_in_to_anothers_account(api: Running) -> None:
    """Whoever has a wallet linked to their account gets nothing else of it: no sign-in, no account elsewhere."""
    thief, theirs = await a_member(api)
    wallet = EvmWallet()
    await link(thief, wallet)
    caller, account = await a_member(api, wallet)
    assert account["id"] != theirs["id"]
    assert account["user_id"] != theirs["user_id"]
    # It is the thief's address until its owner takes it back, explicitly.
    assert account["primary_address"] is None
    shown = await _register(caller, wallet)
    asked = (await caller("POST", f"{ADDRESSES}/{shown['id']}/transfer")).json()
    assert (await _verify(caller, shown, wallet.sign(asked["challenge"]["message"]))).status_code == 200


async def test_who_has_several_accounts_names_one(api: Running, program: dict[str, Any]) -> None:
    caller, first = await a_member(api)
    second = EvmWallet()
    waiting = await _account_of(api, program, f"eip155:{second.address.lower()}")
    asked = (await caller("POST", "/api/auth/identities/challenge", {"network": "base", "address": second.address})).json()
    proof = {"nonce": asked["nonce"], "signature": second.sign(asked["message"])}
    assert (await caller("POST", "/api/auth/identities/verify", proof)).status_code == 200
    assert (await caller("POST", "/api/rewards/account")).json()["id"] == min(first["id"], str(waiting))
    both = (await caller("GET", "/api/rewards/accounts")).json()["items"]
    assert {one["id"] for one in both} == {first["id"], str(waiting)}
    for one in both:
        assert (await caller("GET", f"/api/rewards/account?account_id={one['id']}")).json() == one
