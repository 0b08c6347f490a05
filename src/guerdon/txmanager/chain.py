"""What the engine asks of a chain: each question is one batch of JSON-RPC, its answers typed. No state, no decision.

A question that gets no answer raises the client's `ChainUnavailableError`: that is no knowledge, and nothing may follow from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from guerdon.chains import answers
from guerdon.chains.evm import LEAST_PRIORITY_FEE
from guerdon.chains.jsonrpc import Call
from guerdon.chains.port import ChainUnavailableError, Head, Receipt, RpcError, Transaction, WrongChainError
from guerdon.txmanager.verdicts import Observation

_GENESIS: Call = ("eth_getBlockByNumber", ("0x0", False))
_FEE_BLOCKS = 5
_FEE_PERCENTILE = 50


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

    head: Head
    base_fee: int
    """Of the next block, in wei a unit of gas."""
    tip: int
    """What the last blocks' transactions gave on top, in wei a unit of gas."""
    next_nonce: int
    native_balance_wei: int
    estimates: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """How many transactions of a key a node counts."""

    head: int
    """Those in blocks."""
    pool: int
    """The same with those that wait for a block, as far as the node knows them."""


class Chain:
    """Questions about one network."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._genesis: str | None = None

    def expect(self, genesis_hash: str) -> None:
        """From now on, answers that decide anything have to come from the chain with this first block (SAFETY S21)."""
        self._genesis = genesis_hash

    async def identity(self) -> tuple[int, str]:
        """Chain id and hash of the first block."""
        chain_id, genesis = await self._ask(("eth_chainId", ()), _GENESIS)
        return answers.quantity(chain_id, "a chain id"), answers.head(genesis).hash

    async def head(self) -> Head:
        """The newest block."""
        (block,) = await self._ask(("eth_getBlockByNumber", ("latest", False)))
        return answers.head(block)

    async def survey(self, address: str, payloads: Sequence[Payload]) -> Survey:
        """Head, fees, counter and balance of a key, and what each payload would need, by one node at one time."""
        found = await self._rpc.batch(
            [
                ("eth_getBlockByNumber", ("latest", False)),
                ("eth_feeHistory", (hex(_FEE_BLOCKS), "latest", [_FEE_PERCENTILE])),
                ("eth_getTransactionCount", (address, "latest")),
                ("eth_getBalance", (address, "latest")),
                _GENESIS,
                *(("eth_estimateGas", (_call(address, payload),)) for payload in payloads),
            ]
        )
        head, fees, count, balance, genesis = (_sure(answer) for answer in found[:5])
        self._check(genesis)
        base_fee, tips = answers.fee_history(fees)
        return Survey(
            head=answers.head(head),
            base_fee=base_fee,
            tip=_tip(tips),
            next_nonce=answers.quantity(count, "a nonce"),
            native_balance_wei=answers.quantity(balance, "a balance"),
            estimates=tuple(_estimate(answer) for answer in found[5:]),
        )

    async def observe(self, address: str, hashes: Sequence[str], blocks: Sequence[int]) -> Observation:
        """Everything that verdicts on a key's transactions need, by one node at one time.

        `hashes` are those that wait for a block, `blocks` the heights of those that are in one.
        """
        found = await self._rpc.batch(
            [
                ("eth_getBlockByNumber", ("latest", False)),
                ("eth_getTransactionCount", (address, "latest")),
                ("eth_getBlockByNumber", ("finalized", False)),
                # A node without old state can't tell (anvil after a restart, pruned nodes): then it is not known.
                ("eth_getTransactionCount", (address, "finalized")),
                _GENESIS,
                *(("eth_getBlockByNumber", (hex(number), False)) for number in blocks),
                *(("eth_getTransactionReceipt", (value,)) for value in hashes),
            ]
        )
        head, count = (_sure(answer) for answer in found[:2])
        finalized, final_count = (_maybe(answer) for answer in found[2:4])
        self._check(_sure(found[4]))
        headers = [answers.head(answer) for answer in map(_sure, found[5 : 5 + len(blocks)]) if answer is not None]
        receipts = [answers.receipt(answer) for answer in map(_sure, found[5 + len(blocks) :]) if answer is not None]
        return Observation(
            head=answers.head(head),
            next_nonce=answers.quantity(count, "a nonce"),
            finalized=None if finalized is None else answers.head(finalized).number,
            final_nonce=None if final_count is None else answers.quantity(final_count, "a nonce"),
            receipts={receipt.transaction_hash: receipt for receipt in receipts},
            canonical={header.number: header.hash for header in headers},
        )

    async def send(self, raws: Sequence[bytes]) -> list[str | RpcError]:
        """Hand over signed bytes, in order; each answer is a hash or what the node said, and proves nothing (S20)."""
        return await self._rpc.batch([("eth_sendRawTransaction", (f"0x{raw.hex()}",)) for raw in raws])

    async def receipt(self, transaction_hash: str) -> Receipt | None:
        """A transaction's receipt; None if it is in no block."""
        (answer,) = await self._ask(("eth_getTransactionReceipt", (transaction_hash,)))
        return None if answer is None else answers.receipt(answer)

    async def counters_and_balance(self, address: str) -> tuple[Counters, int]:
        """The key's counters, and its native balance (wei) at the head."""
        count, balance, waiting = await self._rpc.batch(
            [
                ("eth_getTransactionCount", (address, "latest")),
                ("eth_getBalance", (address, "latest")),
                ("eth_getTransactionCount", (address, "pending")),
            ]
        )
        head = answers.quantity(_sure(count), "a nonce")
        # Not every node tells what is in its pool.
        pool = head if _maybe(waiting) is None else answers.quantity(waiting, "a nonce")
        return Counters(head, max(head, pool)), answers.quantity(_sure(balance), "a balance")

    async def finalized(self) -> int:
        """Number of the finalized block."""
        (block,) = await self._ask(("eth_getBlockByNumber", ("finalized", False)))
        return answers.head(block).number

    async def nonce_at(self, address: str, number: int) -> int | None:
        """The key's counter after a block; None where the node has no such state any more."""
        (answer,) = await self._rpc.batch([("eth_getTransactionCount", (address, hex(number)))])
        return None if _maybe(answer) is None else answers.quantity(answer, "a nonce")

    async def final_nonce(self, address: str, final_block: int) -> int:
        """The key's counter after the finalized block; raises where the node can't tell."""
        count = await self.nonce_at(address, final_block)
        if count is None:
            raise ChainUnavailableError(f"The chain's node does not know the state of block {final_block}.")
        return count

    async def sent_in(self, address: str, numbers: Sequence[int]) -> list[Transaction]:
        """What an address sent in these blocks. Raises where the node does not have one of them."""
        found = await self._ask(*(("eth_getBlockByNumber", (hex(number), True)) for number in numbers))
        blocks = [answers.block(block, full=True) for block in found]
        wanted = address.lower()
        return [one for block in blocks for one in block.transactions or () if one.sender.lower() == wanted]

    def _check(self, genesis: Any) -> None:
        found = answers.head(genesis).hash
        if self._genesis is not None and found != self._genesis:
            raise WrongChainError(
                f"the node answers for a chain that begins with block {found}, not {self._genesis}: point the network's RPC "
                "address at the chain that it was used with"
            )

    async def _ask(self, *calls: Call) -> list[Any]:
        return [_sure(answer) for answer in await self._rpc.batch(list(calls))]


def _sure(answer: Any) -> Any:
    # A node that refuses a plain question (rate limit, lagging behind, internal error) has told us nothing.
    if isinstance(answer, RpcError):
        raise ChainUnavailableError(f"The chain's node refused a question: {answer}") from answer
    return answer


def _maybe(answer: Any) -> Any:
    """The answer, or None where the node could not tell."""
    return None if isinstance(answer, RpcError) else answer


def _tip(tips: Sequence[int]) -> int:
    return max(LEAST_PRIORITY_FEE, sorted(tips)[len(tips) // 2] if tips else 0)


def _call(address: str, payload: Payload) -> dict[str, str]:
    call = {"from": address, "data": f"0x{payload.data.hex()}", "value": hex(payload.value_wei)}
    if payload.to is not None:
        call["to"] = payload.to
    return call


def _estimate(answer: Any) -> Estimate:
    if isinstance(answer, RpcError):
        words = f"{answer.message}: 0x{answer.revert_data.hex()}" if answer.revert_data else answer.message
        return Estimate(None, words, reverts=answer.reverted)
    return Estimate(answers.quantity(answer, "a gas estimate"))
