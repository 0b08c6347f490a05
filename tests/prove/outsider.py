"""Somebody else at work on the chain: with one of our keys, with rights over our token, or by moving what only a test may move.

Straight to the node, past every proxy. Storage is found by asking the node which slots a call reads.
"""

from __future__ import annotations

from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.txmanager.node import Node

PAUSER_ROLE = keccak(b"PAUSER_ROLE")
_GAS = hex(200_000)
_MANY_WEI = 10**20


def call_data(signature: str, types: tuple[str, ...] = (), *arguments: object) -> str:
    """What a call of a contract is sent with."""
    return "0x" + (keccak(signature.encode())[:4] + encode(types, arguments)).hex()


class Outsider:
    """What others can do."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def send(self, sender: str, to: str, data: str = "0x", *, nonce: int | None = None, fee_wei: int | None = None) -> str:
        """A transaction of any address, as whoever has its key could send it; its hash. It waits in the pool."""
        await self._node.rpc("anvil_impersonateAccount", sender)
        wanted: dict[str, Any] = {"from": sender, "to": to, "value": "0x0", "gas": _GAS, "data": data}
        if nonce is not None:
            wanted["nonce"] = hex(nonce)
        fee = hex(await self.fee() if fee_wei is None else fee_wei)
        return await self._node.rpc("eth_sendTransaction", wanted | {"maxFeePerGas": fee, "maxPriorityFeePerGas": fee})

    async def fee(self) -> int:
        """Enough for one of the next blocks, and for replacing what was sent for no more than usual."""
        block = await self._node.rpc("eth_getBlockByNumber", "latest", False)
        return 20 * int(block["baseFeePerGas"], 16) + 10 * 10**9

    async def waiting(self, sender: str) -> dict[int, int]:
        """What waits in the pool from an address: the fee cap of each nonce."""
        content = await self._node.rpc("txpool_content")
        of_sender = {key.lower(): value for key, value in content["pending"].items()}.get(sender.lower(), {})
        return {int(nonce): int(transaction["maxFeePerGas"], 16) for nonce, transaction in of_sender.items()}

    async def slot(self, contract: str, data: str) -> str:
        """The one storage slot that a call reads."""
        found = await self._node.rpc("eth_createAccessList", {"to": contract, "data": data}, "latest")
        ((slot,),) = [one["storageKeys"] for one in found["accessList"] if one["address"].lower() == contract.lower()]
        return slot

    async def store(self, contract: str, data: str, value: int) -> None:
        """Make a contract answer `value` to a call that reads one slot."""
        await self._node.rpc("anvil_setStorageAt", contract, await self.slot(contract, data), f"0x{value:064x}")

    async def may_pause(self, token: str, guardian: str) -> None:
        """Give an address the right to pause a token, as its admin would."""
        await self._node.fund(guardian, _MANY_WEI)
        await self.store(token, call_data("hasRole(bytes32,address)", ("bytes32", "address"), PAUSER_ROLE, guardian), 1)

    async def balance(self, token: str, owner: str) -> int:
        """What somebody has of a token."""
        return int(await self._node.rpc("eth_call", {"to": token, "data": balance_of(owner)}, "latest"), 16)


def balance_of(owner: str) -> str:
    """The question for somebody's tokens."""
    return call_data("balanceOf(address)", ("address",), owner)
