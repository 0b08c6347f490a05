"""A token with moods (`contracts/test/support/MoodyToken.sol`), deployed from an account of the node's own: no part of the product."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.txmanager.node import Node

_CONTRACTS = Path(__file__).parents[2] / "contracts"

OUTSIDER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"""The second of the node's own accounts: the first one's key is the deployer's."""


class Mood(IntEnum):
    """How the token treats a recipient."""

    KIND = 0
    REVERTS = 1
    REVERTS_SILENTLY = 2
    ANSWERS_FALSE = 3
    REVERTS_IN_BLOCKS = 4
    """Simulations pass; transactions don't."""


@cache
def creation_code() -> str:
    source = (_CONTRACTS / "test" / "support" / "MoodyToken.sol").read_text(encoding="utf-8")
    wanted = {
        "language": "Solidity",
        "sources": {"MoodyToken.sol": {"content": source}},
        "settings": {"evmVersion": "cancun", "outputSelection": {"*": {"MoodyToken": ["evm.bytecode.object"]}}},
    }
    done = subprocess.run(
        [_CONTRACTS / "solc"], input=json.dumps(wanted), capture_output=True, text=True, check=True, cwd=_CONTRACTS
    )
    return "0x" + json.loads(done.stdout)["contracts"]["MoodyToken.sol"]["MoodyToken"]["evm"]["bytecode"]["object"]


@dataclass
class MoodyToken:
    node: Node
    address: str

    @classmethod
    async def deploy(cls, node: Node) -> MoodyToken:
        code = await asyncio.to_thread(creation_code)
        receipt = await sent(node, {"from": OUTSIDER, "data": code, "gas": hex(5_000_000)})
        return cls(node, receipt["contractAddress"])

    async def mint(self, to: str, amount: int) -> str:
        """The transaction's hash."""
        return await self._call("mint(address,uint256)", ("address", "uint256"), to, amount)

    async def feel(self, mood: Mood, *recipients: str) -> None:
        for recipient in recipients:
            await self._call("setMood(address,uint8)", ("address", "uint8"), recipient, mood.value)

    async def pause(self, paused: bool = True) -> None:
        await self._call("setPaused(bool)", ("bool",), paused)

    async def seize(self, owner: str, recipient: str, amount: int) -> None:
        """Take tokens from somebody, as if they had been sent."""
        await self._call("seize(address,address,uint256)", ("address", "address", "uint256"), owner, recipient, amount)

    async def forget(self, owner: str, spender: str) -> None:
        """Take an allowance away."""
        await self._call("forget(address,address)", ("address", "address"), owner, spender)

    async def _call(self, signature: str, types: tuple[str, ...], *arguments: object) -> str:
        data = keccak(signature.encode())[:4] + encode(types, arguments)
        receipt = await sent(self.node, {"from": OUTSIDER, "to": self.address, "data": f"0x{data.hex()}", "gas": hex(300_000)})
        return receipt["transactionHash"]


async def sent(node: Node, transaction: dict[str, str]) -> dict[str, str]:
    """The receipt of a transaction of the faucet's; the node has to be mining."""
    transaction_hash = await node.rpc("eth_sendTransaction", transaction)
    for _ in range(200):
        receipt = await node.rpc("eth_getTransactionReceipt", transaction_hash)
        if receipt is not None:
            assert receipt["status"] == "0x1"
            return receipt
        await asyncio.sleep(0.03)
    message = "not mined"
    raise AssertionError(message)
