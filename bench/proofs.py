"""Proving: what signers sent is found in ranges of blocks, and every transaction is looked at; beside the same requests alone.

A local EVM chain has so many signed payments (EIP-3009), one a transaction. What is asked of its node is written down once, and
then sent again by a bare HTTP client that neither reads nor checks an answer.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from eth_account import Account
from eth_utils.address import to_checksum_address

from bench.report import BenchError, Figure
from bench.session import Session
from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.evm import EvmReader
from guerdon.activity.settlements.proofs import Landed
from guerdon.activity.settlements.ranges import read_ranges
from guerdon.chains import abi
from guerdon.chains.anvil import LocalChain
from guerdon.chains.jsonrpc import Call, JsonRpc
from guerdon.chains.networks import LOCAL_CHAIN_ID
from guerdon.chains.port import RpcError

_CONTRACT: Final = "TestUSDC"
_A_BLOCK: Final = 50
_PAYERS: Final = 50
_MAX_BATCH: Final = 100
_AMOUNT: Final = 1_000
_FIELDS: Final = (
    ("from", "address"), ("to", "address"), ("value", "uint256"), ("validAfter", "uint256"), ("validBefore", "uint256"),
    ("nonce", "bytes32"),
)  # fmt: skip
_TYPES: Final = {"TransferWithAuthorization": [{"name": name, "type": kind} for name, kind in _FIELDS]}
_ARGUMENTS: Final = (*(kind for _, kind in _FIELDS), "uint8", "bytes32", "bytes32")
_SELECTOR: Final = bytes.fromhex("e3ee160e")
"""`transferWithAuthorization` with the signature in three parts."""


class _Recorder:
    """Passes questions on and remembers them."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc
        self.asked: list[list[Call]] = []

    async def batch(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        self.asked += [list(calls[start : start + _MAX_BATCH]) for start in range(0, len(calls), _MAX_BATCH)]
        return await self._rpc.batch(calls)


async def measure(session: Session) -> None:
    """The figures of proving."""
    count = 100 if session.quick else 5_000
    with tempfile.TemporaryDirectory(prefix="guerdon-bench-chain-") as folder:
        # Blocks are made when they are asked for.
        async with LocalChain(Path(folder), block_seconds=3600) as chain, JsonRpc(chain.url, network="bench") as rpc:
            signer, token = await _paid(session, chain, rpc, count)
            session.step(f"proving {count:,} payments")
            recorder = _Recorder(rpc)
            await _prove(recorder, signer, token, count)
            proven = sorted([await _prove(rpc, signer, token, count) for _ in range(session.repeats)])
            bare = sorted([await _send(chain.url, recorder.asked) for _ in range(session.repeats)])
    most = count / bare[len(bare) // 2]
    session.add("bare_rpc_of_proving", Figure(most, "payments/s"))
    session.add("settlements_proven", Figure(count / proven[len(proven) // 2], "payments/s", most))
    session.add("settlements_proven_requests", Figure(count / len(recorder.asked), "payments/request"))


async def _prove(rpc: JsonRpc | _Recorder, signer: str, token: str, count: int) -> float:
    """Seconds to find and prove all of them."""
    began = time.perf_counter()
    assets = {token: Listed(token, "USDC", 6, 1_000_000)}
    reader, proven = EvmReader(rpc), 0
    places: dict[str, int] = {"final": 0, "head": 0}
    more = True
    while more:
        sent = await read_ranges(rpc, [token], [signer], places)
        places, more = sent.places, sent.more
        answers = await reader.ask(sent.transactions, assets)
        proven += sum(len(one.payments) for one in answers.values() if isinstance(one, Landed) and one.sender == signer)
    seconds = time.perf_counter() - began
    if proven != count:
        raise BenchError(f"{count} payments were made, and {proven} were proven")
    return seconds


async def _send(url: str, asked: Sequence[Sequence[Call]]) -> float:
    """Seconds until a node has answered all of it."""
    bodies = [
        msgspec.json.encode(
            [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
                for number, (method, params) in enumerate(calls)
            ]
        )
        for calls in asked
    ]
    async with httpx.AsyncClient(timeout=60, headers={"Content-Type": "application/json"}, trust_env=False) as client:
        began = time.perf_counter()
        for body in bodies:
            answer = await client.post(url, content=body)
            answer.raise_for_status()
        return time.perf_counter() - began


async def _paid(session: Session, chain: LocalChain, rpc: JsonRpc, count: int) -> tuple[str, str]:
    """Make the payments; (who sent them, the token)."""
    signer = chain.funder.address.lower()
    nonce = int(await rpc.ask("eth_getTransactionCount", signer, "latest"), 16)

    async def submit(to: str | None, data: bytes, gas: int) -> str:
        nonlocal nonce
        transaction: dict[str, Any] = {
            "chainId": LOCAL_CHAIN_ID, "nonce": nonce, "gas": gas, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
            "value": 0, "data": data, "type": 2,
        }  # fmt: skip
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        signed = Account.sign_transaction(transaction, chain.funder.private_key)
        nonce += 1
        return str(await rpc.ask("eth_sendRawTransaction", f"0x{signed.raw_transaction.hex()}"))

    deployed = await submit(None, abi.creation_data(_CONTRACT, "USD Coin", "USDC", 6), 5_000_000)
    await chain.mine()
    token = str((await rpc.ask("eth_getTransactionReceipt", deployed))["contractAddress"]).lower()
    payers = [Account.create() for _ in range(_PAYERS)]
    for payer in payers:
        await submit(token, abi.call_data(_CONTRACT, "mint", payer.address, count * _AMOUNT), 200_000)
    await chain.mine()
    for number in range(count):
        await submit(token, _authorized(payers[number % _PAYERS], token, number), 200_000)
        if number % _A_BLOCK == _A_BLOCK - 1:
            session.step(f"making payments on a local chain: {number + 1:,} of {count:,}")
            await chain.mine()
    await chain.mine(4)
    return signer, token


def _authorized(payer: Any, token: str, number: int) -> bytes:
    """A payment that its payer has signed, as a call of the token."""
    values = (payer.address, f"0x{number % 97 + 1:040x}", _AMOUNT, 0, 2**40, number.to_bytes(32))
    domain = {"name": "USD Coin", "version": "2", "chainId": LOCAL_CHAIN_ID, "verifyingContract": token}
    signed = payer.sign_typed_data(domain, _TYPES, dict(zip((name for name, _ in _FIELDS), values, strict=True)))
    return _SELECTOR + abi.encode(_ARGUMENTS, (*values, signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)))
