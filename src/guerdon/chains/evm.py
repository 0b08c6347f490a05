"""The EVM adapter: typed questions to a chain's node, and handing it signed bytes. Keeps no state but its connections.

What an answer must look like is in `answers.py`, how it travels in `jsonrpc.py`. Questions that decide about money name their
block; an answer that is missing, malformed or about something else raises, and nothing may follow from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from guerdon.chains import answers, contracts
from guerdon.chains.answers import block_parameter
from guerdon.chains.jsonrpc import JsonRpc
from guerdon.chains.port import (
    BadAnswerError,
    Block,
    BlockTag,
    CallRevertedError,
    ChainUnavailableError,
    Fees,
    Head,
    Log,
    Receipt,
    RpcError,
    SendOutcome,
    Transaction,
    WrongChainError,
    send_outcome,
)

_FEE_BLOCKS: Final = 5
_FEE_PERCENTILE: Final = 50
LEAST_PRIORITY_FEE: Final = 1_000_000
"""In wei: what OP-stack sequencers ask for at least, and enough on an idle chain."""


class EvmClient(JsonRpc):
    """One node of one EVM network."""

    async def chain_id(self) -> int:
        """The network's id, as in `eip155:<id>`."""
        return answers.quantity(await self._read("eth_chainId"), "eth_chainId")

    async def genesis_hash(self) -> str:
        """The hash of block 0, which tells this chain from any other with the same id (SAFETY S21)."""
        return (await self.block_by_number(0)).head.hash

    async def check_chain(self, chain_id: int, genesis_hash: str | None) -> str:
        """The genesis hash, if this is the chain that is meant. Raises `WrongChainError` (SAFETY S21)."""
        found = await self.chain_id()
        if found != chain_id:
            raise WrongChainError(f"The node at {self.host} belongs to chain {found}, not {chain_id}. Check the RPC address.")
        genesis = await self.genesis_hash()
        if genesis_hash is not None and genesis != genesis_hash.lower():
            raise WrongChainError(
                f"The chain at {self.host} begins with block {genesis}, not {genesis_hash}: it is another one with the same id."
                " Use the database and the chain of one data directory together."
            )
        return genesis

    async def client_version(self) -> str:
        """What the node calls itself; for people."""
        return str(await self._read("web3_clientVersion"))

    async def head(self, tag: BlockTag = "latest") -> Head:
        """The newest block, or the newest that is safe or final."""
        return answers.head(await self._block(tag, full=False))

    async def block_by_number(self, number: int, *, full_transactions: bool = False) -> Block:
        """A block of the canonical chain. Raises `BadAnswerError` if the node does not have it."""
        block = answers.block(await self._block(number, full=full_transactions), full=full_transactions)
        if block.head.number != number:
            raise BadAnswerError(f"The chain's node at {self.host} answered with block {block.head.number} for block {number}.")
        return block

    async def nonce(self, address: str, block: BlockTag) -> int:
        """How many transactions the address had sent at the block."""
        return answers.quantity(await self._read("eth_getTransactionCount", address, block_parameter(block)), "a nonce")

    async def balance(self, address: str, block: BlockTag) -> int:
        """Native coin in wei."""
        return answers.quantity(await self._read("eth_getBalance", address, block_parameter(block)), "a balance")

    async def code(self, address: str, block: BlockTag) -> bytes:
        """The code at the address; empty if there is no contract."""
        return answers.data(await self._read("eth_getCode", address, block_parameter(block)), "code")

    async def call(self, to: str, data: bytes, *, sender: str | None = None, block: BlockTag) -> bytes:
        """What a call would answer at the block. Raises `CallRevertedError`."""
        (answer,) = await self.batch([("eth_call", (_call_object(to, data, sender), block_parameter(block)))])
        return answers.data(self._ran(answer), "a call")

    async def estimate_gas(self, to: str | None, data: bytes, *, sender: str, value: int = 0) -> int:
        """The gas that a transaction would need at the head. Raises `CallRevertedError`."""
        call = {**_call_object(to, data, sender), "value": hex(value)}
        (answer,) = await self.batch([("eth_estimateGas", (call,))])
        return answers.quantity(self._ran(answer), "a gas estimate")

    async def token_balance(self, token: str, owner: str, block: BlockTag) -> int:
        """What the owner holds, in the token's smallest unit."""
        return contracts.decode_uint(await self.call(token, contracts.balance_of_call(owner), block=block))

    async def token_balances(self, token: str, owners: Sequence[str], block: BlockTag) -> dict[str, int]:
        """What each owner holds. With a tag the block may move between two requests: name a number for a sum that must add up."""
        parameter = block_parameter(block)
        calls = [("eth_call", (_call_object(token, contracts.balance_of_call(owner), None), parameter)) for owner in owners]
        found = await self.batch(calls)
        return {
            owner: contracts.decode_uint(answers.data(self._ran(answer), "a call"))
            for owner, answer in zip(owners, found, strict=True)
        }

    async def allowance(self, token: str, owner: str, spender: str, block: BlockTag) -> int:
        """What the spender may take of the owner's tokens."""
        return contracts.decode_uint(await self.call(token, contracts.allowance_call(owner, spender), block=block))

    async def fees(self) -> Fees:
        """What the next block asks: its base fee, and the median tip of the last blocks that had any transactions."""
        answer = await self._read("eth_feeHistory", hex(_FEE_BLOCKS), "latest", [_FEE_PERCENTILE])
        base_fee, tips = answers.fee_history(answer)
        return Fees(base_fee, max(LEAST_PRIORITY_FEE, sorted(tips)[len(tips) // 2] if tips else 0))

    async def send_raw(self, raw: bytes) -> tuple[SendOutcome, str]:
        """Hand signed bytes over, once. What the node says proves nothing; `ChainUnavailableError` neither (SAFETY S20)."""
        (answer,) = await self.batch([("eth_sendRawTransaction", (f"0x{raw.hex()}",))])
        if isinstance(answer, RpcError):
            return send_outcome(answer), answer.message
        return SendOutcome.ACCEPTED, answers.hash32(answer, "sent bytes")

    async def receipts(self, hashes: Sequence[str]) -> dict[str, Receipt]:
        """The receipts of those transactions that are in a block, by hash in lower case."""
        wanted = [value.lower() for value in hashes]
        found = await self.batch([("eth_getTransactionReceipt", (value,)) for value in wanted])
        receipts = {
            value: answers.receipt(self._sure(answer)) for value, answer in zip(wanted, found, strict=True) if answer is not None
        }
        self._same({value: receipt.transaction_hash for value, receipt in receipts.items()})
        return receipts

    async def transactions(self, hashes: Sequence[str]) -> dict[str, Transaction]:
        """Those transactions that the node knows, in a block or in its pool, by hash in lower case."""
        wanted = [value.lower() for value in hashes]
        found = await self.batch([("eth_getTransactionByHash", (value,)) for value in wanted])
        transactions = {
            value: answers.transaction(self._sure(answer))
            for value, answer in zip(wanted, found, strict=True)
            if answer is not None
        }
        self._same({value: transaction.hash for value, transaction in transactions.items()})
        return transactions

    async def logs(
        self, address: str, topics: Sequence[str | Sequence[str] | None], first_block: int, last_block: int
    ) -> list[Log]:
        """The logs of a contract in a range of blocks, oldest first, as the receipts of their transactions have them."""
        query = {"address": address, "topics": list(topics), "fromBlock": hex(first_block), "toBlock": hex(last_block)}
        found = answers.logs(await self._read("eth_getLogs", query))
        receipts = await self.receipts(list(dict.fromkeys(log.transaction_hash for log in found)))
        # Only a receipt tells a log's place among the transaction's own (SAFETY S34).
        placed = {
            (log.block_hash, log.index_in_block): log
            for receipt in receipts.values()
            if first_block <= receipt.block_number <= last_block
            for log in receipt.logs
        }
        try:
            return [placed[log.block_hash, log.index_in_block] for log in found]
        except KeyError:
            raise BadAnswerError(
                f"The chain's node at {self.host} gave a log that no receipt has; the chain may have moved."
            ) from None

    async def _block(self, block: BlockTag, *, full: bool) -> Any:
        answer = await self._read("eth_getBlockByNumber", block_parameter(block), full)
        if answer is None:
            raise BadAnswerError(f"The chain's node at {self.host} does not have the block {block}.")
        return answer

    async def _read(self, method: str, *params: Any) -> Any:
        (answer,) = await self.batch([(method, params)])
        return self._sure(answer)

    def _sure(self, answer: Any) -> Any:
        # A refused question (rate limit, lag, internal error) has told nothing.
        if isinstance(answer, RpcError):
            raise ChainUnavailableError(f"The chain's node at {self.host} refused: {answer.message}.") from answer
        return answer

    def _ran(self, answer: Any) -> Any:
        if isinstance(answer, RpcError) and answer.reverted:
            raise CallRevertedError(answer.revert_data, answer.message) from answer
        return self._sure(answer)

    def _same(self, hashes: Mapping[str, str]) -> None:
        for asked, answered in hashes.items():
            if asked != answered:
                raise BadAnswerError(f"The chain's node at {self.host} answered about {answered} when asked about {asked}.")


def _call_object(to: str | None, data: bytes, sender: str | None) -> dict[str, str]:
    call = {"data": f"0x{data.hex()}"}
    if to is not None:
        call["to"] = to
    if sender is not None:
        call["from"] = sender
    return call
