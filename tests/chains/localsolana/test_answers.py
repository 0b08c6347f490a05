"""What the local Solana answers, beside what Solana's documentation shows for the same calls: names, types and errors."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.support.local_solana import SOL, SolanaInThread, gift, sent

UNUSED = str(Pubkey.new_unique())
CONTEXT = {"context": {"apiVersion": str, "slot": int}}
STATUS = {
    "slot": int,
    "confirmations": (int, type(None)),
    "err": type(None),
    "status": {"Ok": type(None)},
    "confirmationStatus": str,
}


def fits(found: Any, shape: Any) -> bool:
    """Has the value the shape, and nothing besides?"""
    if isinstance(shape, dict):
        return isinstance(found, dict) and found.keys() == shape.keys() and all(fits(found[k], v) for k, v in shape.items())
    if isinstance(shape, list):
        return isinstance(found, list) and all(fits(one, shape[0]) for one in found)
    return isinstance(found, shape) and not (shape is int and isinstance(found, bool))


@pytest.mark.parametrize(
    ("method", "params", "shape"),
    [
        ("getHealth", [], str),
        ("getVersion", [], {"feature-set": int, "solana-core": str}),
        ("getGenesisHash", [], str),
        ("getSlot", [], int),
        ("getBlockHeight", [{"commitment": "confirmed"}], int),
        ("getFirstAvailableBlock", [], int),
        ("minimumLedgerSlot", [], int),
        ("getTransactionCount", [], int),
        ("getIdentity", [], {"identity": str}),
        ("getMinimumBalanceForRentExemption", [165], int),
        ("getBalance", [UNUSED], {**CONTEXT, "value": int}),
        ("getAccountInfo", [UNUSED, {"encoding": "base64"}], {**CONTEXT, "value": type(None)}),
        ("getMultipleAccounts", [[UNUSED, UNUSED]], {**CONTEXT, "value": [type(None)]}),
        ("getLatestBlockhash", [], {**CONTEXT, "value": {"blockhash": str, "lastValidBlockHeight": int}}),
        ("getRecentPrioritizationFees", [], [{"slot": int, "prioritizationFee": int}]),
        ("getSignatureStatuses", [["1" * 64]], {**CONTEXT, "value": [type(None)]}),
        ("getSignaturesForAddress", [UNUSED], [str]),
        (
            "getEpochInfo",
            [],
            dict.fromkeys(("absoluteSlot", "blockHeight", "epoch", "slotIndex", "slotsInEpoch", "transactionCount"), int),
        ),
    ],
)
def test_answers_have_the_documented_shape(solana: SolanaInThread, method: str, params: list[Any], shape: Any) -> None:
    found = solana.answer(method, *params)
    assert found.keys() == {"jsonrpc", "result", "id"}
    assert fits(found["result"], shape), found


def test_the_rent_of_a_token_account_is_that_of_the_real_network(solana: SolanaInThread) -> None:
    assert solana.ask("getMinimumBalanceForRentExemption", 165) == 2_039_280
    assert solana.ask("getMinimumBalanceForRentExemption", 0) == 890_880


def test_an_account_is_told_in_each_encoding(solana: SolanaInThread) -> None:
    wallet = str(solana.funded().pubkey())
    shape = {"lamports": int, "data": list, "owner": str, "executable": bool, "rentEpoch": int, "space": int}
    for encoding, data in (("base64", ["", "base64"]), ("base58", ["", "base58"]), ("jsonParsed", ["", "base64"])):
        value = solana.ask("getAccountInfo", wallet, {"encoding": encoding, "commitment": "processed"})["value"]
        assert fits(value, shape)
        assert (value["data"], value["owner"], value["lamports"]) == (data, "1" * 32, 10 * SOL)
    program = solana.ask(
        "getAccountInfo",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        {"encoding": "base64", "dataSlice": {"offset": 1, "length": 3}},
    )
    assert base64.b64decode(program["value"]["data"][0]) == b"ELF"
    assert program["value"]["executable"] is True
    refused = solana.answer("getAccountInfo", "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
    assert refused["error"] == {
        "code": -32600,
        "message": "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.",
    }


def test_a_transaction_is_told_as_documented(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), Keypair().pubkey()
    signature = solana.run([gift(giver, to, SOL)], giver)
    solana.advance(40)
    status = solana.ask("getSignatureStatuses", [signature])["value"][0]
    assert fits(status, STATUS)
    assert (status["confirmations"], status["confirmationStatus"]) == (None, "finalized")
    found = solana.ask("getTransaction", signature, {"encoding": "json", "maxSupportedTransactionVersion": 0})
    assert found.keys() == {"slot", "blockTime", "transaction", "meta", "version"}
    assert found["version"] == 0
    assert found["meta"].keys() == {
        "err", "status", "fee", "preBalances", "postBalances", "innerInstructions", "logMessages", "preTokenBalances",
        "postTokenBalances", "rewards", "computeUnitsConsumed", "loadedAddresses",
    }  # fmt: skip
    assert (found["meta"]["fee"], found["meta"]["err"], found["meta"]["status"]) == (5_000, None, {"Ok": None})
    assert found["meta"]["preBalances"] == [10 * SOL, 0, 1]
    assert found["meta"]["postBalances"] == [9 * SOL - 5_000, SOL, 1]
    message = found["transaction"]["message"]
    assert found["transaction"]["signatures"] == [signature]
    assert message["accountKeys"] == [str(giver.pubkey()), str(to), "1" * 32]
    assert message["header"] == {"numRequiredSignatures": 1, "numReadonlySignedAccounts": 0, "numReadonlyUnsignedAccounts": 1}
    readable = solana.ask("getTransaction", signature, {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0})
    assert readable["transaction"]["message"]["instructions"] == [
        {
            "program": "system",
            "programId": "1" * 32,
            "parsed": {"type": "transfer", "info": {"source": str(giver.pubkey()), "destination": str(to), "lamports": SOL}},
            "stackHeight": 1,
        }
    ]
    assert readable["transaction"]["message"]["accountKeys"][1] == {
        "pubkey": str(to), "writable": True, "signer": False, "source": "transaction",
    }  # fmt: skip
    assert solana.answer("getTransaction", signature)["error"]["code"] == -32015
    (listed, *_) = solana.ask("getSignaturesForAddress", str(to))
    assert fits(
        listed,
        {"signature": str, "slot": int, "err": type(None), "memo": type(None), "blockTime": int, "confirmationStatus": str},
    )
    block = solana.ask("getBlock", found["slot"], {"maxSupportedTransactionVersion": 0})
    assert block.keys() == {
        "blockhash", "previousBlockhash", "parentSlot", "blockTime", "blockHeight", "rewards", "transactions",
    }  # fmt: skip
    assert signature in [one["transaction"]["signatures"][0] for one in block["transactions"]]
    assert solana.ask("getBlock", found["slot"], {"transactionDetails": "signatures"})["signatures"].count(signature) == 1
    assert solana.ask("getBlockTime", found["slot"]) == found["blockTime"]


async def test_the_ordinary_client_understands_every_answer(solana: SolanaInThread) -> None:
    wallet = Keypair()
    async with AsyncClient(solana.url) as client:
        assert await client.is_connected()
        signature = (await client.request_airdrop(wallet.pubkey(), 3 * SOL)).value
        assert (await client.get_balance(wallet.pubkey(), Processed)).value == 3 * SOL
        assert (await client.get_balance(wallet.pubkey(), Finalized)).value == 0
        blockhash = (await client.get_latest_blockhash(Confirmed)).value
        assert (await client.get_block_height(Confirmed)).value <= blockhash.last_valid_block_height
        assert (await client.get_account_info(wallet.pubkey(), Processed)).value is not None
        assert (await client.get_multiple_accounts([wallet.pubkey(), Pubkey.new_unique()], Processed)).value[1] is None
        found = solana.signed([gift(wallet, Pubkey.new_unique(), SOL)], wallet)
        simulated = (await client.simulate_transaction(found, commitment=Processed)).value
        assert (simulated.err, simulated.units_consumed) == (None, 150)
        sent_as = solana.send(found)
        assert (await client.get_signature_statuses([found.signatures[0]])).value[0] is not None
        solana.advance(40)
        for encoding in ("json", "jsonParsed", "base64", "base58"):
            told = (await client.get_transaction(found.signatures[0], encoding, max_supported_transaction_version=0)).value
            assert told is not None
            assert told.transaction.meta is not None
        listed = (await client.get_signatures_for_address(wallet.pubkey())).value
        assert [str(one.signature) for one in listed] == [sent_as, str(signature)]
        assert (await client.get_block((await client.get_slot()).value, max_supported_transaction_version=0)).value is not None
        assert str((await client.get_genesis_hash()).value).startswith("Guerdon1oca1So1ana11111111111111")
        assert (await client.get_recent_prioritization_fees([])).value
        assert (await client.get_first_available_block()).value == 0
        assert (await client.get_minimum_balance_for_rent_exemption(165)).value == 2_039_280
        assert (await client.get_version()).value.solana_core


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("getNothing", [], -32601, "Method not found"),
        ("getBalance", [], -32602, "`params` should have at least 1 argument(s)"),
        ("getBalance", ["O0O0"], -32602, "Invalid param: Invalid"),
        ("getBalance", ["abc"], -32602, "Invalid param: WrongSize"),
        ("getBalance", [UNUSED, {"commitment": "sometime"}], -32602, "unknown variant `sometime`"),
        ("getBalance", [UNUSED, {"minContextSlot": 10**12}], -32016, "Minimum context slot has not been reached"),
        ("getAccountInfo", [UNUSED, {"encoding": "roman"}], -32602, "unknown variant `roman`"),
        ("getMultipleAccounts", [[UNUSED] * 101], -32602, "Too many inputs provided; max 100"),
        ("getSignatureStatuses", [["1" * 64] * 257], -32602, "Too many inputs provided; max 256"),
        ("getSignaturesForAddress", [UNUSED, {"limit": 1001}], -32602, "Invalid limit; max 1000"),
        (
            "getSignaturesForAddress",
            [UNUSED, {"commitment": "processed"}],
            -32602,
            "does not support commitment below `confirmed`",
        ),
        ("getTransaction", ["1" * 64, {"commitment": "processed"}], -32602, "does not support commitment below `confirmed`"),
        ("getTokenAccountBalance", [UNUSED], -32602, "Invalid param: could not find account"),
        ("getMinimumBalanceForRentExemption", [-1], -32602, "expected u64"),
        ("getBlock", [10], -32007, "Slot 10 was skipped"),
        ("getBlock", [10**9], -32004, "Block not available for slot 1000000000"),
        ("sendTransaction", ["!", {"encoding": "base64"}], -32602, "invalid base64 encoding"),
        ("sendTransaction", ["AAAA", {"encoding": "base64"}], -32602, "failed to deserialize"),
        ("sendTransaction", ["A" * 1648, {"encoding": "base64"}], -32602, "too large: 1648 bytes (max: encoded/raw 1644/1232)"),
        (
            "sendTransaction",
            [base64.b64encode(bytes(1233)).decode(), {"encoding": "base64"}],
            -32602,
            "1233 bytes (max: 1232 bytes)",
        ),
        ("requestAirdrop", [UNUSED, 0], -32602, "lamports at a time"),
        ("guerdon_advanceSlots", [10**9], -32602, "slots at a time"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_documented_code(
    solana: SolanaInThread, method: str, params: list[Any], code: int, words: str
) -> None:
    found = solana.answer(method, *params)
    assert found["error"]["code"] == code, found
    assert words in found["error"]["message"]


def test_a_node_that_is_behind_says_where_it_is(solana: SolanaInThread) -> None:
    found = solana.answer("getBalance", UNUSED, {"minContextSlot": 10**12, "commitment": "processed"})["error"]
    assert found["data"]["contextSlot"] <= solana.ask("getSlot", {"commitment": "processed"})


def test_requests_are_bounded_and_have_to_be_json(solana: SolanaInThread) -> None:
    def post(content: bytes, kind: str = "application/json") -> httpx.Response:
        return httpx.post(solana.url, content=content, headers={"Content-Type": kind}, trust_env=False)

    assert post(b"{" + b" " * 51_200).status_code == 413
    assert post(b"{}", "text/plain").status_code == 415
    assert httpx.get(solana.url, trust_env=False).status_code == 405
    assert httpx.get(f"{solana.url}/health", trust_env=False).text == "ok"
    assert post(b"[" * 3_000).json()["error"]["code"] == -32700
    assert post(b"[]").json()["error"]["code"] == -32600
    assert post(b"7").json()["error"]["code"] == -32600
    call = b'{"jsonrpc":"2.0","id":1,"method":"getSlot"}'
    assert post(b"[" + b",".join([call] * 101) + b"]").json()["error"]["code"] == -32600
    batch = post(b'[{"jsonrpc":"2.0","id":"a","method":"getHealth"},{"jsonrpc":"2.0","id":7,"method":"no"}]').json()
    assert [one["id"] for one in batch] == ["a", 7]
    assert [("result" in one, "error" in one) for one in batch] == [(True, False), (False, True)]
    given = {"jsonrpc": "2.0", "id": 1, "method": "getSlot", "params": {"commitment": "processed"}}
    assert httpx.post(solana.url, json=given, trust_env=False).json()["error"]["code"] == -32602


def test_a_simulation_names_its_accounts_and_the_blockhash_it_used(solana: SolanaInThread) -> None:
    giver, to = solana.funded(), str(Keypair().pubkey())
    made = solana.signed([gift(giver, Pubkey.from_string(to), SOL)], giver)
    solana.advance(200)
    value = solana.ask("simulateTransaction", *sent(made))["value"]
    assert value["err"] == "BlockhashNotFound"
    options = {"replaceRecentBlockhash": True, "innerInstructions": True, "accounts": {"encoding": "base64", "addresses": [to]}}
    value = solana.ask("simulateTransaction", *sent(made, **options))["value"]
    assert value.keys() == {
        "accounts", "err", "innerInstructions", "loadedAccountsDataSize", "logs", "replacementBlockhash", "returnData",
        "unitsConsumed",
    }  # fmt: skip
    assert (value["err"], value["innerInstructions"], value["accounts"][0]["lamports"]) == (None, [], SOL)
    assert value["replacementBlockhash"].keys() == {"blockhash", "lastValidBlockHeight"}
    assert solana.ask("getBalance", to, {"commitment": "processed"})["value"] == 0
    refused = solana.answer("simulateTransaction", *sent(made, replaceRecentBlockhash=True, sigVerify=True))
    assert refused["error"]["message"] == "sigVerify may not be used with replaceRecentBlockhash"
