"""What is asked of ERC-20 tokens on a network: balances at finality, allowances, transfers that came in. Reads only.

How calls are written is `chains/contracts.py`; the engine's own questions are in `chain.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

from guerdon.chains import contracts
from guerdon.chains.port import ChainUnavailableError, RpcError
from guerdon.chains.solana.client import SolanaClient
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.treasuries import Finality

_TRANSFER_TOPICS: Final = 3


class Chains(Protocol):
    """Gives the client of a network by its name, opened once and its genesis checked."""

    async def __call__(self, network: str, /) -> Rpc:
        """The client."""
        ...


class Solanas(Protocol):
    """Gives the client of a Solana by its network's name, opened once and its genesis checked."""

    async def __call__(self, network: str, /) -> SolanaClient:
        """The client."""
        ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """Transfers of one transaction to one address: amounts in atomic units by place among the transaction's own logs.

    Of a Solana: what the address's token account has more, by its place among the transaction's accounts.
    """

    block_number: int
    is_final: bool
    transfers: dict[int, int]
    marked: UUID | None = None
    """Of a Solana: the intent whose marker the transaction made, if it made one of the address's own."""


async def read(rpc: Rpc, to: str, data: bytes, block: str) -> bytes:
    """What a view function answers. Raises `ChainUnavailableError` if it does not."""
    (answer,) = await rpc.batch([("eth_call", ({"to": to, "data": f"0x{data.hex()}"}, block))])
    return bytes.fromhex(str(_sure(answer)).removeprefix("0x"))


async def final_block(rpc: Rpc) -> int:
    """The number of the block that the network calls finalized (SAFETY S24)."""
    (answer,) = await rpc.batch([("eth_getBlockByNumber", ("finalized", False))])
    block = _sure(answer)
    if block is None:
        message = "the node knows no finalized block"
        raise ChainUnavailableError(message)
    return int(block["number"], 16)


async def finality(rpc: Rpc, token: str, owner: str) -> Finality:
    """What an address holds of a token after the finalized block."""
    number = await final_block(rpc)
    return Finality(number, contracts.decode_uint(await read(rpc, token, contracts.balance_of_call(owner), hex(number))))


async def balance(rpc: Rpc, token: str, owner: str) -> int:
    """What an address holds of a token at the head."""
    return contracts.decode_uint(await read(rpc, token, contracts.balance_of_call(owner), "latest"))


async def allowance(rpc: Rpc, token: str, owner: str, spender: str) -> int:
    """What a spender may take of an owner's tokens at the head."""
    return contracts.decode_uint(await read(rpc, token, contracts.allowance_call(owner, spender), "latest"))


async def incoming(rpc: Rpc, transaction_hash: str, token: str, to: str) -> Incoming | None:
    """A transaction's transfers of a token to an address from others; None if it is in no block or failed."""
    answers = await rpc.batch(
        [("eth_getTransactionReceipt", (transaction_hash,)), ("eth_getBlockByNumber", ("finalized", False))]
    )
    receipt, finalized = (_sure(answer) for answer in answers)
    if receipt is None or int(receipt["status"], 16) != 1:
        return None
    number = int(receipt["blockNumber"], 16)
    transfers = {
        place: int(entry["data"], 16)
        for place, entry in enumerate(receipt["logs"])
        if _is_transfer(entry, token) and _address(entry["topics"][2]) == to.lower() != _address(entry["topics"][1])
    }
    return Incoming(number, finalized is not None and number <= int(finalized["number"], 16), transfers)


def _is_transfer(entry: Any, token: str) -> bool:
    topics = entry["topics"]
    return (
        str(entry["address"]).lower() == token.lower()
        and len(topics) == _TRANSFER_TOPICS
        and topics[0] == contracts.TRANSFER_TOPIC
    )


def _address(topic: str) -> str:
    return f"0x{topic[-40:]}".lower()


def _sure(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise ChainUnavailableError(str(answer)) from answer
    return answer


async def gas_price(rpc: Rpc) -> int:
    """What a unit of gas costs now, tip included, in wei."""
    (answer,) = await rpc.batch([("eth_gasPrice", ())])
    return int(str(_sure(answer)), 16)


async def code(rpc: Rpc, address: str) -> bytes:
    """The code at an address at the head; empty if there is none."""
    (answer,) = await rpc.batch([("eth_getCode", (address, "latest"))])
    return bytes.fromhex(str(_sure(answer)).removeprefix("0x"))


async def decimals(rpc: Rpc, token: str) -> int:
    """The decimals that a token says it has."""
    return contracts.decode_uint(await read(rpc, token, contracts.decimals_call(), "latest"))


async def next_nonce(rpc: Rpc, address: str) -> int:
    """How many transactions an address has in blocks, at the head."""
    (answer,) = await rpc.batch([("eth_getTransactionCount", (address, "latest"))])
    return int(str(_sure(answer)), 16)
