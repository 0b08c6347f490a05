"""What the engine asks of a chain: each question is one batch of JSON-RPC, its answers typed. No state, no decision.

A question that gets no answer raises the client's `ChainUnavailableError`: that is no knowledge, and nothing may follow from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from guerdon.chains.port import ChainUnavailableError, RpcError
from guerdon.txmanager.verdicts import Block, Observation, Receipt

Call = tuple[str, Sequence[Any]]


class Rpc(Protocol):
    """The part of a chain's client that the engine uses."""

    async def batch(self, calls: Sequence[Call]) -> list[Any | RpcError]:
        """Ask all of it in one HTTP request; errors of single calls are values, a failed request raises."""
        ...


@dataclass(frozen=True, slots=True)
class Payload:
    """What a transaction does, without nonce and fees."""

    to: str | None
    data: bytes
    value_wei: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Gas that a payload needs at the head of the chain, or why it would not run."""

    gas: int | None
    error: str | None = None
    reverts: bool = False
    """It would revert, for certain; else the node could not tell."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is to be known before nonces are given."""

    head: Block
    tip: int
    next_nonce: int
    native_balance_wei: int
    estimates: tuple[Estimate, ...]

    @property
    def base_fee(self) -> int:
        """Wei a unit of gas, of the newest block; raises on a chain without EIP-1559, where our transactions mean nothing."""
        if self.head.base_fee_per_gas is None:
            message = "this chain has no base fee (EIP-1559), and Guerdon's transactions need one"
            raise ChainUnavailableError(message)
        return self.head.base_fee_per_gas


@dataclass(frozen=True, slots=True)
class OutgoingTransaction:
    """A transaction that a key sent, as the chain has it."""

    hash: str
    nonce: int
    to: str | None
    data: bytes
    value_wei: int
    block_number: int
    block_hash: str


class Chain:
    """Questions about one network."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def identity(self) -> tuple[int, str]:
        """Chain id and hash of the first block."""
        chain_id, genesis = await self._ask(("eth_chainId", ()), ("eth_getBlockByNumber", ("0x0", False)))
        return _int(chain_id), str(_found(genesis)["hash"])

    async def head(self) -> Block:
        """The newest block."""
        (block,) = await self._ask(("eth_getBlockByNumber", ("latest", False)))
        return _block(block)

    async def survey(self, address: str, payloads: Sequence[Payload]) -> Survey:
        """Head, fees, counter and balance of a key, and what each payload would need, by one node at one time."""
        answers = await self._rpc.batch(
            [
                ("eth_getBlockByNumber", ("latest", False)),
                ("eth_maxPriorityFeePerGas", ()),
                ("eth_getTransactionCount", (address, "latest")),
                ("eth_getBalance", (address, "latest")),
                *(("eth_estimateGas", (_call(address, payload),)) for payload in payloads),
            ]
        )
        head, tip, count, balance = (_sure(answer) for answer in answers[:4])
        estimates = tuple(_estimate(answer) for answer in answers[4:])
        return Survey(_block(head), _int(tip), _int(count), _int(balance), estimates)

    async def observe(self, address: str, hashes: Sequence[str], blocks: Sequence[int]) -> Observation:
        """Everything that verdicts on a key's transactions need, by one node at one time.

        `hashes` are those that wait for a block, `blocks` the heights of those that are in one.
        """
        answers = await self._rpc.batch(
            [
                ("eth_getBlockByNumber", ("latest", False)),
                ("eth_getTransactionCount", (address, "latest")),
                ("eth_getBlockByNumber", ("finalized", False)),
                # A node without old state can't tell (anvil after a restart, pruned nodes): then it is not known.
                ("eth_getTransactionCount", (address, "finalized")),
                *(("eth_getBlockByNumber", (hex(number), False)) for number in blocks),
                *(("eth_getTransactionReceipt", (value,)) for value in hashes),
            ]
        )
        finalized, final_count = answers[2], answers[3]
        headers = (_sure(answer) for answer in answers[4 : 4 + len(blocks)])
        receipts = (_sure(answer) for answer in answers[4 + len(blocks) :])
        return Observation(
            head=_block(_sure(answers[0])),
            next_nonce=_int(_sure(answers[1])),
            finalized=None if finalized is None or isinstance(finalized, RpcError) else _block(finalized).number,
            final_nonce=None if final_count is None or isinstance(final_count, RpcError) else _int(final_count),
            receipts={value: _receipt(answer) for value, answer in zip(hashes, receipts, strict=True) if answer is not None},
            canonical={number: _block(answer).hash for number, answer in zip(blocks, headers, strict=True) if answer is not None},
        )

    async def send(self, raws: Sequence[bytes]) -> list[str | RpcError]:
        """Hand over signed bytes, in order; each answer is a hash or what the node said, and proves nothing (S20)."""
        return await self._rpc.batch([("eth_sendRawTransaction", (f"0x{raw.hex()}",)) for raw in raws])

    async def receipt(self, transaction_hash: str) -> tuple[Receipt, tuple[str, ...]] | None:
        """A transaction's receipt and the lower-case addresses that logged in it; None if it is in no block."""
        (answer,) = await self._ask(("eth_getTransactionReceipt", (transaction_hash,)))
        if answer is None:
            return None
        return _receipt(answer), tuple(sorted({str(log["address"]).lower() for log in answer["logs"]}))

    async def nonce_and_balance(self, address: str) -> tuple[int, int]:
        """The key's counter and native balance (wei) at the head."""
        count, balance = await self._ask(
            ("eth_getTransactionCount", (address, "latest")), ("eth_getBalance", (address, "latest"))
        )
        return _int(count), _int(balance)

    async def finalized(self) -> int:
        """Number of the finalized block."""
        (block,) = await self._ask(("eth_getBlockByNumber", ("finalized", False)))
        return _block(block).number

    async def nonce_at(self, address: str, number: int) -> int | None:
        """The key's counter after a block; None where the node has no such state any more."""
        (answer,) = await self._rpc.batch([("eth_getTransactionCount", (address, hex(number)))])
        return None if answer is None or isinstance(answer, RpcError) else _int(answer)

    async def final_nonce(self, address: str, final_block: int) -> int:
        """The key's counter after the finalized block; raises where the node can't tell."""
        count = await self.nonce_at(address, final_block)
        if count is None:
            message = f"the node does not know the state of block {final_block}"
            raise ChainUnavailableError(message)
        return count

    async def sent_in(self, address: str, numbers: Sequence[int]) -> list[OutgoingTransaction]:
        """What an address sent in these blocks."""
        blocks = await self._ask(*(("eth_getBlockByNumber", (hex(number), True)) for number in numbers))
        wanted = address.lower()
        return [
            _outgoing(transaction)
            for block in blocks
            if block is not None
            for transaction in block["transactions"]
            if str(transaction["from"]).lower() == wanted
        ]

    async def _ask(self, *calls: Call) -> list[Any]:
        return [_sure(answer) for answer in await self._rpc.batch(list(calls))]


def _sure(answer: Any) -> Any:
    # A node that refuses a plain question (rate limit, lagging behind, internal error) has told us nothing.
    if isinstance(answer, RpcError):
        raise ChainUnavailableError(str(answer)) from answer
    return answer


def _found(answer: Any) -> Any:
    if answer is None:
        message = "the node does not have the block it was asked for"
        raise ChainUnavailableError(message)
    return answer


def _int(value: Any) -> int:
    return int(str(_found(value)), 16)


def _block(answer: Any) -> Block:
    block = _found(answer)
    base_fee = block.get("baseFeePerGas")
    return Block(_int(block["number"]), str(block["hash"]), None if base_fee is None else _int(base_fee))


def _receipt(answer: Any) -> Receipt:
    gas_used = _int(answer["gasUsed"])
    # Roll-ups charge for their parent chain's data on top (`l1Fee`).
    layer_one = answer.get("l1Fee")
    fee = gas_used * _int(answer["effectiveGasPrice"]) + (0 if layer_one is None else _int(layer_one))
    return Receipt(
        transaction_hash=str(answer["transactionHash"]).lower(),
        block_number=_int(answer["blockNumber"]),
        block_hash=str(answer["blockHash"]),
        succeeded=_int(answer["status"]) == 1,
        gas_used=gas_used,
        fee_paid_wei=fee,
        contract_address=answer.get("contractAddress"),
    )


def _outgoing(transaction: Any) -> OutgoingTransaction:
    return OutgoingTransaction(
        hash=str(transaction["hash"]).lower(),
        nonce=_int(transaction["nonce"]),
        to=transaction.get("to"),
        data=bytes.fromhex(str(transaction["input"]).removeprefix("0x")),
        value_wei=_int(transaction["value"]),
        block_number=_int(transaction["blockNumber"]),
        block_hash=str(transaction["blockHash"]),
    )


def _call(address: str, payload: Payload) -> dict[str, str]:
    call = {"from": address, "data": f"0x{payload.data.hex()}", "value": hex(payload.value_wei)}
    if payload.to is not None:
        call["to"] = payload.to
    return call


def _estimate(answer: Any) -> Estimate:
    if isinstance(answer, RpcError):
        words = f"{answer.message}: 0x{answer.revert_data.hex()}" if answer.revert_data else answer.message
        return Estimate(None, words, reverts=answer.reverted)
    return Estimate(_int(answer))
