"""The address registry over HTTP: registered, proven, preferred, moved, removed; and what stays on record."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from guerdon.accounts.addresses import ownerships
from guerdon.chains.networks import EIP155
from guerdon.kit import driver
from tests.accounts.conftest import PAGE
from tests.support.api import Caller, Running
from tests.support.members import EvmWallet, SolanaWallet, a_member, link, sign_in

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


@pytest.mark.parametrize("kind", [EvmWallet, SolanaWallet])
async def test_an_address_is_registered_challenged_and_proven(api: Running, kind: Any) -> None:
    caller, account = await a_member(api)
    wallet = kind()
    shown = await _register(caller, wallet)
    assert {"id", "network", "address", "verified", "challenge"} <= shown.keys()
    assert (shown["network"], shown["address"], shown["verified"]) == (wallet.network, wallet.address, False)
    assert f"Link address {wallet.address} to Guerdon rewards account {account['id']} at " in shown["challenge"]["message"]
    assert {"message", "nonce", "expires_at"} <= shown["challenge"].keys()
    proven = await _verify(caller, shown, wallet.sign(shown["challenge"]["message"]))
    assert (proven.status_code, proven.json()["verified"]) == (200, True)
    assert [one["address"] for one in await _listed(caller)][-1] == wallet.address


async def test_asked_again_there_is_a_fresh_challenge_and_the_one_before_is_good_no_longer(api: Running) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    first, second = await _register(caller, wallet), await _register(caller, wallet)
    assert first["id"] == second["id"]
    assert first["challenge"]["nonce"] != second["challenge"]["nonce"]
    old = wallet.sign(first["challenge"]["message"])
    assert _code(await _verify(caller, second, old)) == (400, "WALLET_SIGNATURE_INVALID")
    proven = await _verify(caller, second, wallet.sign(second["challenge"]["message"]))
    assert proven.status_code == 200
    # One proof covers the namespace: on any other EVM network there is nothing left to prove.
    elsewhere = await caller("POST", ADDRESSES, {"network": "ethereum", "address": wallet.address.lower()})
    assert (elsewhere.json()["id"], elsewhere.json()["verified"], elsewhere.json()["challenge"]) == (first["id"], True, None)


async def test_s7_a_challenge_is_used_once_however_many_try(api: Running, owner: driver.RawConnection) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    shown = await _register(caller, wallet)
    signature = wallet.sign(shown["challenge"]["message"])
    answers = await asyncio.gather(*(_verify(caller, shown, signature) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"CHALLENGE_USED"}
    assert await owner.fetchval("select count(*) from outbox where kind = 'address.proven'") == 2
    assert _code(await _verify(caller, shown, signature)) == (409, "CHALLENGE_USED")


async def test_s7_an_expired_challenge_proves_nothing(api: Running, owner: driver.RawConnection) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    shown = await _register(caller, wallet)
    await owner.execute("update challenges set expires_at = now()")
    signature = wallet.sign(shown["challenge"]["message"])
    assert _code(await _verify(caller, shown, signature)) == (409, "CHALLENGE_EXPIRED")
    assert not (await _listed(caller))[-1]["verified"]


@pytest.mark.parametrize("kind", [EvmWallet, SolanaWallet])
async def test_s7_the_signature_of_another_address_proves_nothing(api: Running, kind: Any) -> None:
    caller, _ = await a_member(api)
    wallet = kind()
    shown = await _register(caller, wallet)
    for signature in (kind().sign(shown["challenge"]["message"]), wallet.sign("anything else"), "0x" + "00" * 65, "1" * 88):
        assert _code(await _verify(caller, shown, signature)) == (400, "WALLET_SIGNATURE_INVALID")


async def test_s7_a_signature_for_one_account_proves_nothing_for_another(api: Running) -> None:
    (anna, _), (ben, _) = await a_member(api), await a_member(api)
    wallet = EvmWallet()
    for_anna, for_ben = await _register(anna, wallet), await _register(ben, wallet)
    signed_for_anna = wallet.sign(for_anna["challenge"]["message"])
    assert _code(await _verify(ben, for_ben, signed_for_anna)) == (400, "WALLET_SIGNATURE_INVALID")
    # Another's row is none of one's own, whatever is signed.
    assert _code(await _verify(ben, for_anna, signed_for_anna)) == (404, "ADDRESS_NOT_FOUND")
    for method, path in (("POST", "/transfer"), ("POST", "/primary"), ("DELETE", "")):
        assert _code(await ben(method, f"{ADDRESSES}/{for_anna['id']}{path}")) == (404, "ADDRESS_NOT_FOUND")


async def test_s7_a_signature_for_one_purpose_or_program_proves_nothing_for_another(
    api: Running, program: dict[str, Any]
) -> None:
    other = await api.program("Other")
    mine = {"X_Loyalteez_Brand_Id": program["brandId"]}
    theirs = {"X_Loyalteez_Brand_Id": other["brandId"]}
    caller = await sign_in(api, EvmWallet())
    for headers in (mine, theirs):
        assert (await caller("POST", "/api/rewards/account", **headers)).status_code == 201
    wallet = EvmWallet()
    here, there = await _register(caller, wallet, **mine), await _register(caller, wallet, **theirs)
    signed_here = wallet.sign(here["challenge"]["message"])
    assert _code(await _verify(caller, there, signed_here, **theirs)) == (400, "WALLET_SIGNATURE_INVALID")
    assert _code(await _verify(caller, here, signed_here, **theirs)) == (404, "ADDRESS_NOT_FOUND")
    body = {"network": "base", "address": wallet.address}
    asked = (await Caller(api.client)("POST", "/api/auth/wallet/challenge", body)).json()
    assert _code(await _verify(caller, here, wallet.sign(asked["message"]), **mine)) == (400, "WALLET_SIGNATURE_INVALID")
    assert (await _verify(caller, here, signed_here, **mine)).status_code == 200


async def test_a_challenge_names_the_programs_own_page_where_that_asks(api: Running, program: dict[str, Any]) -> None:
    headers = {"Origin": PAGE, "X_Loyalteez_Brand_Id": program["brandId"]}
    caller = await sign_in(api, EvmWallet(), **headers)
    await caller("POST", "/api/rewards/account", **headers)
    shown = await _register(caller, EvmWallet(), **headers)
    assert shown["challenge"]["message"].startswith("shop.acme.example wants you to sign in")
    body = {"network": "base", "address": EvmWallet().address}
    refused = await caller("POST", ADDRESSES, body, Origin="https://evil.example")
    assert _code(refused) == (403, "ORIGIN_NOT_ALLOWED")


async def test_an_address_belongs_to_one_account_of_a_program_and_moves_by_an_explicit_transfer(
    api: Running, program: dict[str, Any], owner: driver.RawConnection
) -> None:
    (anna, hers), (ben, his) = await a_member(api), await a_member(api)
    wallet = EvmWallet()
    proven = await link(anna, wallet)
    shown = await _register(ben, wallet)
    # Who has it is told to nobody but whoever holds the wallet.
    assert shown["verified"] is False
    signature = wallet.sign(shown["challenge"]["message"])
    assert _code(await _verify(ben, shown, signature)) == (409, "ADDRESS_TAKEN")
    asked = await ben("POST", f"{ADDRESSES}/{shown['id']}/transfer")
    assert asked.json()["challenge"]["purpose"] == "transfer"
    assert "away from the account that has it now" in asked.json()["challenge"]["message"]
    # The signature that only linked does not move it.
    assert _code(await _verify(ben, shown, signature)) == (400, "WALLET_SIGNATURE_INVALID")
    moved = await _verify(ben, shown, wallet.sign(asked.json()["challenge"]["message"]))
    assert moved.status_code == 200
    assert wallet.address not in [one["address"] for one in await _listed(anna)]
    program_id = UUID(program["id"])
    async with api.runtime.database.program(program_id) as session:
        spans = (await ownerships(session, program_id, [(EIP155, wallet.address)]))[EIP155, wallet.address]
    assert [str(span.account_id) for span in spans] == [hers["id"], his["id"]]
    assert spans[0].until == spans[1].since
    assert str(spans[0].address_id) == proven["id"]
    told = await owner.fetchval("select payload::text from outbox where kind = 'address.transferred'")
    assert hers["id"] in told
    assert his["id"] in told
    row = await owner.fetchrow("select ended, proof from addresses where id = $1", spans[0].address_id)
    assert row is not None
    assert row["ended"] == "transferred"
    assert row["proof"]


async def test_two_who_take_each_others_address_at_once_do_not_lock_each_other_out(api: Running) -> None:
    (anna, _), (ben, _) = await a_member(api), await a_member(api)
    one, two = EvmWallet(), EvmWallet()
    await link(anna, one)
    await link(ben, two)

    async def take(caller: Caller, wallet: EvmWallet) -> int:
        shown = await _register(caller, wallet)
        asked = (await caller("POST", f"{ADDRESSES}/{shown['id']}/transfer")).json()
        return (await _verify(caller, shown, wallet.sign(asked["challenge"]["message"]))).status_code

    assert await asyncio.gather(take(anna, two), take(ben, one)) == [200, 200]
    assert two.address in [address["address"] for address in await _listed(anna)]


async def test_x402_defect_16_an_address_that_is_removed_and_added_again_loses_nothing(
    api: Running, program: dict[str, Any], owner: driver.RawConnection
) -> None:
    caller, account = await a_member(api)
    wallet = EvmWallet()
    first = await link(caller, wallet)
    await owner.execute("update addresses set usable_from = now() - interval '1 minute' where id = $1", UUID(first["id"]))
    assert (await caller("DELETE", f"{ADDRESSES}/{first['id']}")).status_code == 204
    assert _code(await caller("DELETE", f"{ADDRESSES}/{first['id']}")) == (404, "ADDRESS_NOT_FOUND")
    again = await link(caller, wallet)
    program_id = UUID(program["id"])
    async with api.runtime.database.program(program_id) as session:
        spans = (await ownerships(session, program_id, [(EIP155, wallet.address)]))[EIP155, wallet.address]
    # Its history has both times, and it need not wait a second time.
    assert [str(span.account_id) for span in spans] == [account["id"]] * 2
    assert spans[0].until is not None
    assert spans[0].since < spans[0].until < spans[1].since
    assert again["id"] != first["id"]
    assert await owner.fetchval("select usable_from < now() from addresses where id = $1", UUID(again["id"]))


async def test_x402_defect_18_what_the_registry_says_and_what_is_credited_are_one(api: Running, program: dict[str, Any]) -> None:
    """Members saw themselves enrolled while the books knew no address of theirs: here both read the same rows."""
    caller, account = await a_member(api)
    await link(caller, SolanaWallet())
    program_id = UUID(program["id"])
    shown = await _listed(caller)
    places = [(one["namespace"], one["address"]) for one in shown]
    async with api.runtime.database.program(program_id) as session:
        known = await ownerships(session, program_id, places)
    assert len(shown) == 2
    assert all(one["verified"] for one in shown)
    assert {(str(spans[0].account_id), spans[0].until) for spans in known.values()} == {(account["id"], None)}
    assert set(known) == set(places)


async def test_s5_the_first_address_may_be_used_at_once_and_a_later_one_waits_with_a_notice(
    api: Running, program: dict[str, Any], owner: driver.RawConnection
) -> None:
    caller, _ = await a_member(api)
    later = await link(caller, EvmWallet())
    waits = "select usable_from - verified_at from addresses where id = $1"
    assert str(await owner.fetchval(waits, UUID(later["id"]))) == "1 day, 0:00:00"
    (first, _) = await _listed(caller)
    assert first["usable_from"] == first["verified_at"]
    assert _code(await caller("POST", f"{ADDRESSES}/{later['id']}/primary")) == (409, "ADDRESS_WAITS")
    told = await owner.fetch("select payload->>'address_id' as id, payload->>'waits' as waits from outbox order by id")
    assert [(row["id"], row["waits"]) for row in told if row["id"]] == [(first["id"], "false"), (later["id"], "true")]
    # Whoever takes a session over can't begin anew by removing the first.
    assert (await caller("DELETE", f"{ADDRESSES}/{first['id']}")).status_code == 204
    third = await link(caller, EvmWallet())
    assert str(await owner.fetchval(waits, UUID(third["id"]))) == "1 day, 0:00:00"
    change = {"addressWaitHours": 0}
    assert (await api.platform("PATCH", f"/api/admin/programs/{program['brandId']}", change)).json()["addressWaitHours"] == 0
    at_once = await link(caller, EvmWallet())
    assert at_once["usable_from"] == at_once["verified_at"]


async def test_the_primary_address_is_chosen_among_those_that_are_usable(api: Running, owner: driver.RawConnection) -> None:
    wallet = EvmWallet()
    caller, account = await a_member(api, wallet)
    other = SolanaWallet()
    proven = await link(caller, other)
    unproven = await _register(caller, EvmWallet())
    assert _code(await caller("POST", f"{ADDRESSES}/{unproven['id']}/primary")) == (403, "ADDRESS_NOT_PROVEN")
    await owner.execute("update addresses set usable_from = now() where id = $1", UUID(proven["id"]))
    preferred = await caller("POST", f"{ADDRESSES}/{proven['id']}/primary")
    assert (preferred.status_code, preferred.json()["primary"]) == (200, True)
    shown = (await caller("GET", "/api/rewards/account")).json()
    assert (account["primary_address"], shown["primary_address"]) == (wallet.address, other.address)
    await caller("DELETE", f"{ADDRESSES}/{proven['id']}")
    assert (await caller("GET", "/api/rewards/account")).json()["primary_address"] is None


async def test_a_repeat_with_an_idempotency_key_gets_the_first_answer(api: Running, owner: driver.RawConnection) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    body = {"network": "base", "address": wallet.address}
    first = await caller("POST", ADDRESSES, body, Idempotency_Key="one")
    again = await caller("POST", ADDRESSES, body, Idempotency_Key="one")
    assert first.json() == again.json()
    assert _code(await caller("POST", ADDRESSES, {**body, "network": "ethereum"}, Idempotency_Key="one")) == (
        409,
        "IDEMPOTENCY_CONFLICT",
    )
    signature = wallet.sign(first.json()["challenge"]["message"])
    proven = await _verify(caller, first.json(), signature, Idempotency_Key="two")
    repeated = await _verify(caller, first.json(), signature, Idempotency_Key="two")
    assert (proven.status_code, repeated.status_code, proven.json()) == (200, 200, repeated.json())
    # S12: the key is this member's own.
    stranger, _ = await a_member(api)
    theirs = await stranger("POST", ADDRESSES, body, Idempotency_Key="one")
    assert theirs.json()["id"] != first.json()["id"]
    assert await owner.fetchval("select count(*) from idempotent_requests") == 3


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"network": "stacks", "address": "0x" + "1" * 40}, "NETWORK_UNKNOWN"),
        ({"network": "base", "address": "0x12"}, "INVALID_ADDRESS"),
        ({"network": "solana", "address": "0x" + "1" * 40}, "INVALID_ADDRESS"),
        ({"network": "base", "address": "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"}, "INVALID_ADDRESS"),
        ({"network": "eip155:9223372036854775808", "address": "0x" + "1" * 40}, "NETWORK_UNKNOWN"),
        ({"network": "base"}, "INVALID_REQUEST"),
        ({"network": "base\u0000", "address": "0x" + "1" * 40}, "NETWORK_UNKNOWN"),
        ({}, "INVALID_REQUEST"),
    ],
)
async def test_bad_input_is_refused(api: Running, body: dict[str, str], code: str) -> None:
    caller, _ = await a_member(api)
    assert _code(await caller("POST", ADDRESSES, body)) == (400, code)


async def test_an_account_has_a_bounded_number_of_addresses(api: Running, owner: driver.RawConnection) -> None:
    caller, account = await a_member(api)
    await owner.execute(
        "insert into addresses (program_id, id, account_id, network, namespace, address, created_at) "
        "select program_id, gen_random_uuid(), id, 'base', 'eip155', '0x' || lpad(to_hex(n), 40, '0'), now() "
        "from accounts, generate_series(1, 49) as n where id = $1",
        UUID(account["id"]),
    )
    body = {"network": "base", "address": EvmWallet().address}
    assert _code(await caller("POST", ADDRESSES, body)) == (409, "TOO_MANY_ADDRESSES")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await caller("GET", f"{ADDRESSES}?limit=20{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen)) == 50


async def test_asking_and_proving_at_once_never_loses_a_proof(api: Running) -> None:
    """A fresh challenge while the one before is being proven: whichever comes first, what was proven stays."""
    caller, _ = await a_member(api)
    for _ in range(4):
        wallet = EvmWallet()
        shown = await _register(caller, wallet)
        signature = wallet.sign(shown["challenge"]["message"])
        body = {"network": "base", "address": wallet.address}
        proven, asked = await asyncio.gather(_verify(caller, shown, signature), caller("POST", ADDRESSES, body))
        assert asked.status_code == 201
        # The fresh challenge came before the proof was looked at, or before it was written down.
        assert proven.status_code in {200, 400, 409}
        if proven.status_code != 200:
            fresh = asked.json()["challenge"]["message"]
            assert (await _verify(caller, shown, wallet.sign(fresh))).status_code == 200
        assert [one["verified"] for one in await _listed(caller) if one["address"] == wallet.address] == [True]
