"""Addresses on Solana that can't sign a text prove themselves by a transfer to themselves, on a real chain (SAFETY S7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair

from guerdon.accounts.proofs import sends_itself
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.instructions import memo, transfer_lamports
from guerdon.chains.solana.transfers import Place
from guerdon.txmanager.service_keys import set_network
from tests.accounts.conftest import OWN
from tests.support.api import Caller, Running, running, settings_for
from tests.support.local_solana import SolanaInThread, running_solana
from tests.support.members import a_member
from tests.support.postgres import Urls

ADDRESSES = "/api/rewards/account/addresses"


@pytest.fixture(scope="module")
def solana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SolanaInThread]:
    with running_solana(tmp_path_factory.mktemp("solana"), slot_ms=3_600_000) as one:
        yield one


@pytest.fixture
async def api(database_urls: Urls, solana: SolanaInThread) -> AsyncIterator[Running]:
    settings = settings_for(
        database_urls.app, public_url=OWN, rpc_urls={"solana-local": solana.url}, rate_limit_sign_in_a_minute=1000
    )
    async with running(settings) as started:
        async with started.runtime.database.platform() as session:
            await set_network(session, name="solana-local", chain_id=None)
        await started.program("Acme")
        yield started


async def _asked(caller: Caller, wallet: Keypair) -> dict[str, Any]:
    body = {"network": "solana-local", "address": str(wallet.pubkey()), "proof": "transfer"}
    answer = await caller("POST", ADDRESSES, body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _verify(caller: Caller, asked: dict[str, Any], signature: str) -> httpx.Response:
    return await caller("POST", f"{ADDRESSES}/{asked['id']}/verify", {"transaction_hash": signature})


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def _to_itself(wallet: Keypair, lamports: int) -> Instruction:
    address = str(wallet.pubkey())
    return transfer_lamports(address, address, lamports)


async def test_s7_a_transfer_of_the_amount_that_was_asked_for_proves_the_address_once_it_is_final(
    api: Running, solana: SolanaInThread
) -> None:
    caller, account = await a_member(api)
    wallet = solana.funded()
    asked = await _asked(caller, wallet)
    transfer = asked["challenge"]["transfer"]
    assert (transfer["network"], transfer["to"]) == ("solana-local", str(wallet.pubkey()))
    assert account["id"] in asked["challenge"]["message"]
    signature = solana.run([_to_itself(wallet, int(transfer["amount"]))], wallet)
    assert _code(await _verify(caller, asked, signature)) == (409, "TRANSFER_NOT_FINAL")
    solana.advance(40)
    proven = await _verify(caller, asked, signature)
    assert (proven.status_code, proven.json()["method"], proven.json()["chain_id"]) == (200, "transfer", None)
    assert _code(await _verify(caller, asked, signature)) == (409, "CHALLENGE_USED")


async def test_s7_who_pays_fees_for_others_proves_nothing_to_them(api: Running, solana: SolanaInThread) -> None:
    """A facilitator signs payments that strangers put together: that its address signs, or a memo says so, is no proof."""
    caller, _ = await a_member(api)
    facilitator, thief = solana.funded(), solana.funded()
    asked = await _asked(caller, facilitator)
    amount, nonce = int(asked["challenge"]["transfer"]["amount"]), asked["challenge"]["nonce"]
    address, theirs = str(facilitator.pubkey()), str(thief.pubkey())
    wrong = [
        solana.run([memo(nonce, address), transfer_lamports(theirs, address, amount)], facilitator, thief),
        solana.run([transfer_lamports(address, theirs, amount)], facilitator),
        solana.run([_to_itself(thief, amount)], facilitator, thief),
        solana.run([_to_itself(facilitator, amount + 1)], facilitator),
    ]
    solana.advance(40)
    for signature in wrong:
        assert _code(await _verify(caller, asked, signature)) == (400, "TRANSFER_PROOF_INVALID")
    for malformed in ("x", "0x" + "00" * 32, "0" * 88):
        assert _code(await _verify(caller, asked, malformed)) == (400, "TRANSFER_PROOF_INVALID")


async def test_s7_what_a_strangers_program_does_with_the_fee_payers_signature_proves_nothing(solana: SolanaInThread) -> None:
    wallet = solana.funded()
    address = str(wallet.pubkey())
    signature = solana.run([_to_itself(wallet, 1_234_567)], wallet)
    solana.advance(40)
    async with SolanaClient(solana.url) as client:
        own = await client.transaction(signature, "finalized")
    assert own is not None
    assert sends_itself(own, address, 1_234_567)
    called = replace(own, instructions=tuple(replace(one, place=Place(0, 0)) for one in own.instructions))
    assert not sends_itself(called, address, 1_234_567)
    # A program's own address signs by its program alone.
    assert sends_itself(replace(called, signers=()), address, 1_234_567)
    assert not sends_itself(replace(own, signers=()), address, 1_234_567)
