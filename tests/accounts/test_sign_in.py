"""Signing in with a wallet: whose signature opens a session, what it is good for, and when it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from guerdon.accounts.dependencies import COOKIE
from guerdon.kit import driver
from tests.accounts.conftest import OWN, PAGE
from tests.support.api import Caller, Running
from tests.support.members import EvmWallet, SolanaWallet, a_member, sign_in

WALLETS = [EvmWallet, SolanaWallet]


async def _ask(api: Running, wallet: Any, **headers: str) -> dict[str, Any]:
    body = {"network": wallet.network, "address": wallet.address}
    answer = await Caller(api.client)("POST", "/api/auth/wallet/challenge", body, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _prove(api: Running, nonce: str, signature: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"nonce": nonce, "signature": signature, **more}
    return await Caller(api.client)("POST", "/api/auth/wallet/verify", body, **headers)


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("kind", WALLETS)
async def test_a_wallet_signs_in_and_out(api: Running, kind: type[EvmWallet | SolanaWallet]) -> None:
    wallet = kind()
    asked = await _ask(api, wallet)
    assert asked["message"].startswith("rewards.example.com wants you to sign in with your ")
    answer = await _prove(api, asked["nonce"], wallet.sign(asked["message"]))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    caller = Caller(api.client, answer.json()["token"])
    who = (await caller("GET", "/api/auth/session")).json()
    assert who["user_id"] == answer.json()["user_id"]
    assert [(one["address"], one["namespace"]) for one in who["identities"]] == [
        (wallet.address, "eip155" if kind is EvmWallet else "solana")
    ]
    assert (await caller("POST", "/api/auth/sign-out")).status_code == 204
    assert _code(await caller("GET", "/api/auth/session")) == (401, "NOT_SIGNED_IN")


async def test_the_same_wallet_is_the_same_user_whatever_its_case_and_network(api: Running) -> None:
    wallet = EvmWallet()
    first = (await (await sign_in(api, wallet))("GET", "/api/auth/session")).json()
    body = {"network": "eip155:1", "address": wallet.address.lower()}
    asked = (await Caller(api.client)("POST", "/api/auth/wallet/challenge", body)).json()
    again = await _prove(api, asked["nonce"], wallet.sign(asked["message"]))
    assert again.json()["user_id"] == first["user_id"]
    assert (await (await sign_in(api, EvmWallet()))("GET", "/api/auth/session")).json()["user_id"] != first["user_id"]


async def test_s7_a_replayed_signature_opens_nothing(api: Running) -> None:
    wallet = EvmWallet()
    asked = await _ask(api, wallet)
    signature = wallet.sign(asked["message"])
    assert (await _prove(api, asked["nonce"], signature)).status_code == 200
    assert _code(await _prove(api, asked["nonce"], signature)) == (409, "CHALLENGE_USED")
    fresh = await _ask(api, wallet)
    assert _code(await _prove(api, fresh["nonce"], signature)) == (400, "WALLET_SIGNATURE_INVALID")


async def test_s7_of_many_at_once_one_gets_the_session(api: Running, owner: driver.RawConnection) -> None:
    wallet = EvmWallet()
    asked = await _ask(api, wallet)
    signature = wallet.sign(asked["message"])
    answers = await asyncio.gather(*(_prove(api, asked["nonce"], signature) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert await owner.fetchval("select count(*) from sessions") == 1
    assert await owner.fetchval("select count(*) from users") == 1


async def test_two_first_sign_ins_at_once_make_one_user(api: Running, owner: driver.RawConnection) -> None:
    wallet = EvmWallet()
    asked = [await _ask(api, wallet) for _ in range(6)]
    answers = await asyncio.gather(*(_prove(api, one["nonce"], wallet.sign(one["message"])) for one in asked))
    assert len({answer.json()["user_id"] for answer in answers}) == 1
    assert await owner.fetchval("select count(*) from users") == 1


async def test_s7_an_expired_challenge_opens_nothing(api: Running, owner: driver.RawConnection) -> None:
    wallet = EvmWallet()
    asked = await _ask(api, wallet)
    await owner.execute("update challenges set expires_at = now()")
    assert _code(await _prove(api, asked["nonce"], wallet.sign(asked["message"]))) == (409, "CHALLENGE_EXPIRED")
    assert await owner.fetchval("select count(*) from sessions") == 0


async def test_a_challenge_lasts_five_minutes(api: Running, owner: driver.RawConnection) -> None:
    await _ask(api, EvmWallet())
    assert await owner.fetchval("select expires_at - created_at = interval '5 minutes' from challenges")


@pytest.mark.parametrize("kind", WALLETS)
async def test_the_signature_of_another_wallet_or_text_opens_nothing(api: Running, kind: Any) -> None:
    wallet, other = kind(), kind()
    asked = await _ask(api, wallet)
    foreign = asked["message"].replace("rewards.example.com", "rewards.example.net")
    for signature in (other.sign(asked["message"]), wallet.sign(foreign), wallet.sign(""), "0x", "0x00", "1" * 88, "x"):
        assert _code(await _prove(api, asked["nonce"], signature)) == (400, "WALLET_SIGNATURE_INVALID")
    # None of that used it up.
    assert (await _prove(api, asked["nonce"], wallet.sign(asked["message"]))).status_code == 200


async def test_a_nonce_that_nobody_gave_out_opens_nothing(api: Running) -> None:
    assert _code(await _prove(api, "0" * 32, "0x00")) == (404, "CHALLENGE_NOT_FOUND")
    assert _code(await _prove(api, "x", "0x00")) == (400, "INVALID_REQUEST")


async def test_s7_a_challenge_to_link_an_address_signs_nobody_in(api: Running, program: dict[str, Any]) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    body = {"network": "base", "address": wallet.address}
    asked = (await caller("POST", "/api/rewards/account/addresses", body)).json()["challenge"]
    refused = await _prove(api, asked["nonce"], wallet.sign(asked["message"]))
    assert _code(refused) == (404, "CHALLENGE_NOT_FOUND")
    assert asked["purpose"] == "link"
    assert program["brandId"] in asked["message"]


async def test_a_token_is_kept_as_a_hash_and_ends(api: Running, owner: driver.RawConnection) -> None:
    caller = await sign_in(api, EvmWallet())
    assert caller.token is not None
    row = await owner.fetchrow("select * from sessions")
    assert row is not None
    assert caller.token not in str(dict(row))
    assert len(row["token_hash"]) == 32
    await owner.execute("update sessions set expires_at = now()")
    assert _code(await caller("GET", "/api/auth/session")) == (401, "NOT_SIGNED_IN")


@pytest.mark.parametrize("token", ["", "gms_", "gms_" + "A" * 43, "gk_" + "0" * 97, "gms_" + "é" * 43])
async def test_a_made_up_token_is_nobodys(api: Running, token: str) -> None:
    answer = await api.client.get("/api/auth/session", headers={"Authorization": f"Bearer {token}".encode()})
    assert _code(answer) == (401, "NOT_SIGNED_IN")


async def test_an_admin_key_is_no_member_and_a_member_is_no_operator(api: Running, program: dict[str, Any]) -> None:
    caller, _ = await a_member(api)
    assert _code(await api.platform("GET", "/api/rewards/account")) == (401, "NOT_SIGNED_IN")
    assert _code(await caller("GET", "/api/admin/programs")) == (401, "INVALID_ADMIN_KEY")
    assert program["brandId"]


async def test_signing_out_everywhere_ends_every_session(api: Running) -> None:
    wallet = EvmWallet()
    one, two, other = await sign_in(api, wallet), await sign_in(api, wallet), await sign_in(api, EvmWallet())
    assert (await one("POST", "/api/auth/sign-out", {"everywhere": True})).status_code == 204
    assert (await two("GET", "/api/auth/session")).status_code == 401
    assert (await other("GET", "/api/auth/session")).status_code == 200


async def test_a_browser_on_our_page_keeps_the_session_in_a_cookie(api: Running) -> None:
    wallet, page = EvmWallet(), {"Origin": OWN}
    asked = await _ask(api, wallet, **page)
    answer = await _prove(api, asked["nonce"], wallet.sign(asked["message"]), cookie=True, headers=page)
    assert answer.json()["token"] is None
    header = answer.headers["set-cookie"]
    assert header.startswith(f"{COOKIE}=gms_")
    assert {part.strip().lower() for part in header.split(";")[1:]} >= {"httponly", "secure", "samesite=lax", "path=/"}
    assert "domain" not in header.lower()
    token = header.partition("=")[2].partition(";")[0]
    # What a page's script could send by itself is no bearer token.
    assert (await Caller(api.client, token)("GET", "/api/auth/session")).status_code == 401
    cookie = {"Cookie": f"{COOKIE}={token}"}
    assert (await Caller(api.client)("GET", "/api/auth/session", **cookie)).status_code == 200
    for origin in (
        "https://evil.example",
        PAGE,
        "null",
        "http://rewards.example.com",
        "https://rewards.example.com.evil.example",
    ):
        refused = await Caller(api.client)("POST", "/api/auth/sign-out", None, **cookie, Origin=origin)
        assert _code(refused) == (403, "CROSS_SITE_REQUEST"), origin
    assert _code(await Caller(api.client)("POST", "/api/auth/sign-out", None, **cookie)) == (403, "CROSS_SITE_REQUEST")
    out = await Caller(api.client)("POST", "/api/auth/sign-out", None, **cookie, **page)
    assert out.status_code == 204
    assert "max-age=0" in out.headers["set-cookie"].lower()
    assert (await Caller(api.client)("GET", "/api/auth/session", **cookie)).status_code == 401


async def test_a_cookie_is_set_on_our_own_page_alone(api: Running, program: dict[str, Any]) -> None:
    wallet = EvmWallet()
    for headers in ({}, {"Origin": PAGE, "X_Loyalteez_Brand_Id": program["brandId"]}):
        asked = await _ask(api, wallet, **headers)
        answer = await _prove(api, asked["nonce"], wallet.sign(asked["message"]), cookie=True, headers=headers)
        assert _code(answer) == (403, "CROSS_SITE_REQUEST")


async def test_signing_in_makes_a_new_session_and_ends_the_browsers_old_one(api: Running) -> None:
    page, tokens = {"Origin": OWN}, []
    for wallet in (EvmWallet(), EvmWallet()):
        asked = await _ask(api, wallet, **page)
        brought = {"Cookie": f"{COOKIE}={tokens[-1]}"} if tokens else {}
        answer = await _prove(api, asked["nonce"], wallet.sign(asked["message"]), cookie=True, headers={**page, **brought})
        tokens.append(answer.headers["set-cookie"].partition("=")[2].partition(";")[0])
    assert tokens[0] != tokens[1]
    old = await Caller(api.client)("GET", "/api/auth/session", Cookie=f"{COOKIE}={tokens[0]}")
    assert old.status_code == 401


async def test_a_foreign_page_gets_no_challenge(api: Running, program: dict[str, Any]) -> None:
    body = {"network": "base", "address": EvmWallet().address}
    for origin in ("https://evil.example", "null", "https://acme.example", PAGE + ".evil.example", "file://"):
        answer = await Caller(api.client)(
            "POST", "/api/auth/wallet/challenge", body, Origin=origin, X_Loyalteez_Brand_Id=program["brandId"]
        )
        assert _code(answer) == (403, "ORIGIN_NOT_ALLOWED"), origin
    # A page has to say whose it is: another program's domain is as foreign.
    assert _code(await Caller(api.client)("POST", "/api/auth/wallet/challenge", body, Origin=PAGE)) == (403, "ORIGIN_NOT_ALLOWED")


async def test_the_host_header_never_stands_in_a_text_to_sign(api: Running) -> None:
    body = {"network": "base", "address": EvmWallet().address}
    answer = await Caller(api.client)("POST", "/api/auth/wallet/challenge", body, Host="evil.example")
    assert "evil.example" not in answer.json()["message"]


async def test_a_session_opened_on_a_programs_page_is_good_for_that_program_alone(api: Running, program: dict[str, Any]) -> None:
    other = await api.program("Other", domains=["other.example"])
    wallet = EvmWallet()
    everywhere = await sign_in(api, wallet)
    assert (await everywhere("POST", "/api/rewards/account", {"brand_id": other["brandId"]})).status_code == 201
    bound = await sign_in(api, wallet, Origin=PAGE, X_Loyalteez_Brand_Id=program["brandId"])
    # It needs no name to know its program, and reaches no other by any name.
    mine = await bound("POST", "/api/rewards/account")
    assert (mine.status_code, mine.json()["brand_id"]) == (201, program["brandId"])
    for call in (
        bound("GET", "/api/rewards/account", X_Loyalteez_Brand_Id=other["brandId"]),
        bound("GET", f"/api/rewards/account?brandId={other['brandId']}"),
        bound("POST", "/api/rewards/account", {"brand_id": other["brandId"]}),
    ):
        assert _code(await call) == (400, "PROGRAM_MISMATCH")
    who = (await bound("GET", "/api/auth/session")).json()
    assert (who["brand_id"], who["identities"]) == (program["brandId"], [])
    assert [one["brand_id"] for one in who["accounts"]] == [program["brandId"]]
    body = {"network": "base", "address": EvmWallet().address}
    assert _code(await bound("POST", "/api/auth/identities/challenge", body)) == (403, "SESSION_BOUND")
    assert (await bound("POST", "/api/auth/sign-out", {"everywhere": True})).status_code == 204
    assert (await everywhere("GET", "/api/auth/session")).status_code == 200


async def test_a_challenge_for_our_page_opens_nothing_on_a_programs(api: Running, program: dict[str, Any]) -> None:
    wallet = EvmWallet()
    asked = await _ask(api, wallet)
    page = {"Origin": PAGE, "X_Loyalteez_Brand_Id": program["brandId"]}
    refused = await _prove(api, asked["nonce"], wallet.sign(asked["message"]), headers=page)
    assert _code(refused) == (403, "ORIGIN_NOT_ALLOWED")


async def test_another_wallet_is_added_by_its_own_signature_and_belongs_to_one_user(api: Running) -> None:
    first, second = EvmWallet(), SolanaWallet()
    one = await sign_in(api, first)
    body = {"network": "solana", "address": second.address}
    asked = (await one("POST", "/api/auth/identities/challenge", body)).json()
    assert asked["purpose"] == "add_identity"
    proof = {"nonce": asked["nonce"], "signature": second.sign(asked["message"])}
    # For the user who asked, and for nothing else.
    stranger = await sign_in(api, EvmWallet())
    assert _code(await stranger("POST", "/api/auth/identities/verify", proof)) == (404, "CHALLENGE_NOT_FOUND")
    assert _code(await _prove(api, asked["nonce"], proof["signature"])) == (404, "CHALLENGE_NOT_FOUND")
    added = await one("POST", "/api/auth/identities/verify", proof)
    assert {known["address"] for known in added.json()["identities"]} == {first.address, second.address}
    assert (await (await sign_in(api, second))("GET", "/api/auth/session")).json()["user_id"] == added.json()["user_id"]
    asked = (await stranger("POST", "/api/auth/identities/challenge", body)).json()
    proof = {"nonce": asked["nonce"], "signature": second.sign(asked["message"])}
    assert _code(await stranger("POST", "/api/auth/identities/verify", proof)) == (409, "IDENTITY_TAKEN")


async def test_whoever_asks_too_often_waits(api: Running) -> None:
    statuses = []
    for _ in range(3):
        limited = {"network": "base", "address": EvmWallet().address}
        statuses.append((await Caller(api.client)("POST", "/api/auth/wallet/challenge", limited)).status_code)
    assert statuses == [200] * 3
    for _ in range(997):
        api.runtime.limiter.hit_here("sign-in", "203.0.113.7", _rate(api))
    refused = await Caller(api.client)("POST", "/api/auth/wallet/challenge", {"network": "base", "address": EvmWallet().address})
    assert _code(refused) == (429, "RATE_LIMITED")


def _rate(api: Running) -> Any:
    from guerdon.kit.ratelimit import Rate

    return Rate(api.runtime.settings.rate_limit_sign_in_a_minute, 60)


async def test_what_changes_how_one_signs_in_takes_a_fresh_session(api: Running, owner: driver.RawConnection) -> None:
    """Whoever found a session of yesterday can't make it theirs for good."""
    first, second = EvmWallet(), EvmWallet()
    caller = await sign_in(api, first)
    body = {"network": "base", "address": second.address}
    only = {"network": "base", "address": first.address}
    assert _code(await caller("POST", "/api/auth/identities/remove", only)) == (409, "LAST_IDENTITY")
    assert _code(await caller("POST", "/api/auth/identities/remove", body)) == (404, "IDENTITY_NOT_FOUND")
    asked = (await caller("POST", "/api/auth/identities/challenge", body)).json()
    proof = {"nonce": asked["nonce"], "signature": second.sign(asked["message"])}
    await owner.execute("update sessions set created_at = now() - interval '11 minutes'")
    for path, sent in (("challenge", body), ("verify", proof), ("remove", only)):
        assert _code(await caller("POST", f"/api/auth/identities/{path}", sent)) == (403, "SIGN_IN_AGAIN")
    caller = await sign_in(api, first)
    assert (await caller("POST", "/api/auth/identities/verify", proof)).status_code == 200
    thief = await sign_in(api, first)
    left = await caller("POST", "/api/auth/identities/remove", only)
    assert [known["address"] for known in left.json()["identities"]] == [second.address]
    # Whoever had the wallet had sessions too.
    assert _code(await thief("GET", "/api/auth/session")) == (401, "NOT_SIGNED_IN")
    assert (await caller("GET", "/api/auth/session")).status_code == 200
    who = (await (await sign_in(api, first))("GET", "/api/auth/session")).json()
    assert who["user_id"] != left.json()["user_id"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.acme.example@evil.example",
        "https://evil.example@shop.acme.example",
        "https://evil.example wants you to sign in with your Ethereum account:@shop.acme.example",
        "https://shop.acme.example/evil.example",
        "https://shop.acme.example?evil.example",
        "https://shop.acme.example:port",
        "https://shop.acme.example:8443:1",
        "https://[::1",
        "javascript://shop.acme.example",
        "https://",
        "",
        "https://shop.acme.example, https://evil.example",
    ],
)
async def test_nothing_but_a_host_gets_into_a_text_to_sign(api: Running, program: dict[str, Any], origin: str) -> None:
    body = {"network": "base", "address": EvmWallet().address}
    headers = {"Origin": origin, "X_Loyalteez_Brand_Id": program["brandId"]}
    refused = await Caller(api.client)("POST", "/api/auth/wallet/challenge", body, **headers)
    assert _code(refused) == (403, "ORIGIN_NOT_ALLOWED")
    cookie = {"Cookie": f"{COOKIE}=gms_{'A' * 43}"}
    assert _code(await Caller(api.client)("POST", "/api/auth/sign-out", None, **cookie, **headers)) == (403, "CROSS_SITE_REQUEST")
