"""What a node's answers must look like: JSON-RPC results into values. Pure; whatever does not fit raises `BadAnswerError`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from eth_utils.address import to_checksum_address

from guerdon.chains.port import BadAnswerError, Block, BlockTag, Head, Log, Receipt, Transaction

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def block_parameter(block: BlockTag) -> str:
    """A block tag or number as nodes take it."""
    if isinstance(block, int):
        if block < 0:
            raise ValueError(f"there is no block {block}")
        return hex(block)
    return block


def quantity(value: Any, what: str) -> int:
    """A number."""
    if not isinstance(value, str) or _QUANTITY.fullmatch(value) is None:
        raise _unfit(what, value)
    return int(value, 16)


def data(value: Any, what: str) -> bytes:
    """Bytes of any length."""
    if not isinstance(value, str) or _DATA.fullmatch(value) is None:
        raise _unfit(what, value)
    return bytes.fromhex(value[2:])


def hash32(value: Any, what: str) -> str:
    """A hash, in lower case."""
    if not isinstance(value, str) or _HASH.fullmatch(value) is None:
        raise _unfit(what, value)
    return value.lower()


def address(value: Any, what: str) -> str:
    """An address, checksummed."""
    if not isinstance(value, str) or _ADDRESS.fullmatch(value) is None:
        raise _unfit(what, value)
    return to_checksum_address(value)


def head(value: Any) -> Head:
    """A block's header."""
    fields = _object(value, "a block")
    base_fee = fields.get("baseFeePerGas")
    return Head(
        number=quantity(fields.get("number"), "a block's number"),
        hash=hash32(fields.get("hash"), "a block's hash"),
        timestamp=quantity(fields.get("timestamp"), "a block's time"),
        base_fee_per_gas=None if base_fee is None else quantity(base_fee, "a block's base fee"),
    )


def block(value: Any, *, full: bool) -> Block:
    """A block; with `full` its transactions came along."""
    fields = _object(value, "a block")
    found = _list(fields.get("transactions"), "a block's transactions")
    transactions = tuple(transaction(entry) for entry in found) if full else None
    hashes = (
        tuple(hash32(entry, "a block's transaction") for entry in found)
        if transactions is None
        else tuple(entry.hash for entry in transactions)
    )
    return Block(head(fields), hash32(fields.get("parentHash"), "a block's parent"), hashes, transactions)


def transaction(value: Any) -> Transaction:
    """A transaction, in a block or not."""
    fields = _object(value, "a transaction")
    to, number, block_hash = fields.get("to"), fields.get("blockNumber"), fields.get("blockHash")
    return Transaction(
        hash=hash32(fields.get("hash"), "a transaction's hash"),
        sender=address(fields.get("from"), "a transaction's sender"),
        to=None if to is None else address(to, "a transaction's recipient"),
        nonce=quantity(fields.get("nonce"), "a transaction's nonce"),
        data=data(fields.get("input"), "a transaction's data"),
        value=quantity(fields.get("value"), "a transaction's value"),
        block_number=None if number is None else quantity(number, "a transaction's block"),
        block_hash=None if block_hash is None else hash32(block_hash, "a transaction's block"),
    )


def receipt(value: Any) -> Receipt:
    """A receipt with its logs."""
    fields = _object(value, "a receipt")
    status = quantity(fields.get("status"), "a receipt's status")
    if status not in {0, 1}:
        raise _unfit("a receipt's status", status)
    created, l1_fee = fields.get("contractAddress"), fields.get("l1Fee")
    transaction_hash = hash32(fields.get("transactionHash"), "a receipt's transaction")
    block_number = quantity(fields.get("blockNumber"), "a receipt's block")
    block_hash = hash32(fields.get("blockHash"), "a receipt's block")
    entries = [log(entry, block_number) for entry in _list(fields.get("logs"), "a receipt's logs")]
    entries.sort(key=lambda entry: entry.index_in_block)
    if any(entry.transaction_hash != transaction_hash or entry.block_hash != block_hash for entry in entries):
        raise _unfit("a receipt", "logs of another transaction")
    return Receipt(
        transaction_hash=transaction_hash,
        block_number=block_number,
        block_hash=block_hash,
        succeeded=status == 1,
        gas_used=quantity(fields.get("gasUsed"), "a receipt's gas"),
        effective_gas_price=quantity(fields.get("effectiveGasPrice"), "a receipt's gas price"),
        l1_fee=0 if l1_fee is None else quantity(l1_fee, "a receipt's data fee"),
        contract_address=None if created is None else address(created, "a receipt's contract"),
        logs=tuple(replace(entry, place=place) for place, entry in enumerate(entries)),
    )


def log(value: Any, block_number: int) -> Log:
    """One log; its place among the transaction's own is not in the answer, and set by `receipt`."""
    fields = _object(value, "a log")
    return Log(
        address=address(fields.get("address"), "a log's address"),
        topics=tuple(hash32(topic, "a log's topic") for topic in _list(fields.get("topics"), "a log's topics")),
        data=data(fields.get("data"), "a log's data"),
        place=0,
        index_in_block=quantity(fields.get("logIndex"), "a log's index"),
        transaction_hash=hash32(fields.get("transactionHash"), "a log's transaction"),
        block_number=block_number,
        block_hash=hash32(fields.get("blockHash"), "a log's block"),
    )


def logs(value: Any) -> list[Log]:
    """The answer of `eth_getLogs`, without the logs' places."""
    entries = [_object(entry, "a log") for entry in _list(value, "logs")]
    return [log(entry, quantity(entry.get("blockNumber"), "a log's block")) for entry in entries]


def fee_history(value: Any) -> tuple[int, list[int]]:
    """The next block's base fee, and the tips (the one percentile asked for) of the blocks that had any transactions."""
    fields = _object(value, "fees")
    base_fees = _list(fields.get("baseFeePerGas"), "base fees")
    if not base_fees:
        raise _unfit("base fees", base_fees)
    rewards = _list(fields.get("reward") or [], "tips")
    tips = [quantity(_list(row, "tips")[0], "a tip") for row in rewards if _list(row, "tips")]
    return quantity(base_fees[-1], "a base fee"), [tip for tip in tips if tip > 0]


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _unfit(what, value)
    return value  # pyright: ignore[reportUnknownVariableType]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _unfit(what, value)
    return value  # pyright: ignore[reportUnknownVariableType]


def _unfit(what: str, value: Any) -> BadAnswerError:
    return BadAnswerError(f"The chain's node answered with {str(value)[:100]!r} where {what} belongs.")
