"""Payments on EVM chains, from receipts: what was signed for (EIP-3009, Permit2), moved, and by whom it was sent.

Many transactions are asked about in one request; one that can't be understood does not spoil the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast

from eth_utils.crypto import keccak

from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.proofs import Answer, Landed, NotIncluded, Payment, Reason, Unclear, lasting
from guerdon.chains import answers
from guerdon.chains.contracts import TRANSFER_TOPIC
from guerdon.chains.jsonrpc import Call
from guerdon.chains.port import HASH_BYTES, BadAnswerError, ChainUnavailableError, Head, Log, Receipt, RpcError

AUTHORIZATION_USED_TOPIC: Final = f"0x{keccak(b'AuthorizationUsed(address,bytes32)').hex()}"
PERMIT2_PROXIES: Final = frozenset({"0x402085c248eea27d92e8b30b2c58ed07f9e20001", "0x4020a4f3b7b90cca423b9fabcc0ce57c6c240002"})
"""Of x402's schemes `exact` and `upto`; the same on every chain."""
CHANNELS: Final = frozenset(
    {
        "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003",
        "0x4020806089470a89826cb9fb1f4059150b550004",
        "0x4020425faf3b746c082c2f942b4e5159887b0005",
    }
)
"""Of x402's scheme `batch-settlement`: channels and their deposit collectors. What is put there is paid to nobody yet."""
MAX_ASKED: Final = 50
"""Transactions in one request."""
_MAX_GONE: Final = 40
_TOPICS_OF_BOTH: Final = 3


class Rpc(Protocol):
    """What is asked of a node."""

    async def batch(self, calls: Sequence[Call], /) -> list[Any | RpcError]:
        """The answers in the order of the calls."""
        ...


@dataclass(frozen=True, slots=True)
class _Included:
    receipt: Receipt
    sender: str
    to: str | None


@dataclass(frozen=True, slots=True)
class EvmReader:
    """One node of an EVM network, asked about payments."""

    rpc: Rpc

    async def ask(self, transactions: Sequence[str], assets: Mapping[str, Listed]) -> dict[str, Answer]:
        """What the chain says of each. Raises `ChainUnavailableError` only where nothing at all could be asked."""
        return await _ask(self.rpc, transactions, assets)

    async def final_block(self) -> int:
        """The newest block that is final (SAFETY S24). Raises `ChainUnavailableError`."""
        (answer,) = await self.rpc.batch([("eth_getBlockByNumber", ("finalized", False))])
        return answers.head(_sure(answer)).number

    async def gone(self, seen: Mapping[str, tuple[int, str]]) -> set[str]:
        """Of transactions that were in these blocks (number, hash) those that finally are in none.

        One node at one time has to say all of it: what is final, that another block is at that height, and that it does not
        have the transaction. Raises `ChainUnavailableError`.
        """
        hashes = list(seen)
        found: set[str] = set()
        for start in range(0, len(hashes), _MAX_GONE):
            some = hashes[start : start + _MAX_GONE]
            answered = await self.rpc.batch(
                [
                    ("eth_getBlockByNumber", ("finalized", False)),
                    *(("eth_getBlockByNumber", (hex(seen[one][0]), False)) for one in some),
                    *(("eth_getTransactionReceipt", (one,)) for one in some),
                ]
            )
            final = answers.head(_sure(answered[0])).number
            headers, receipts = answered[1 : 1 + len(some)], answered[1 + len(some) :]
            for one, raw, receipt in zip(some, headers, receipts, strict=True):
                header = _header(raw)
                number, block_hash = seen[one]
                replaced = header is not None and header.number == number and header.hash != block_hash
                if replaced and number <= final and receipt is None:
                    found.add(one)
        return found


async def _ask(rpc: Rpc, hashes: Sequence[str], assets: Mapping[str, Listed]) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    waiting, size, alone = list(dict.fromkeys(hashes)), MAX_ASKED, 0
    while waiting:
        chunk = waiting[:size]
        try:
            found.update(await _ask_some(rpc, chunk, assets))
        except ChainUnavailableError as error:
            # Too many at once, or one among them that is too large: fewer, down to that one.
            if len(chunk) > 1:
                size = len(chunk) // 2
                continue
            alone += 1
            if alone > 1 or not found:
                if not found:
                    raise
                break
            found[chunk[0]] = Unclear(str(error))
        else:
            alone = 0
        waiting = waiting[len(chunk) :]
    return {one: found.get(one, Unclear("the node could not be asked")) for one in hashes}


async def _ask_some(rpc: Rpc, hashes: Sequence[str], assets: Mapping[str, Listed]) -> dict[str, Answer]:
    raw = await rpc.batch([("eth_getTransactionReceipt", (one,)) for one in hashes])
    found: dict[str, Answer] = {}
    included: list[_Included] = []
    missing: list[str] = []
    for one, answer in zip(hashes, raw, strict=True):
        if answer is None:
            missing.append(one)
            continue
        try:
            included.append(_included(one, answer))
        except BadAnswerError as error:
            found[one] = Unclear(str(error))
    blocks = sorted({one.receipt.block_number for one in included})
    tags = await rpc.batch(
        [("eth_getBlockByNumber", (tag, False)) for tag in ("latest", "finalized", *(hex(number) for number in blocks))]
    )
    head = answers.head(_sure(tags[0]))
    finalized = None if isinstance(tags[1], RpcError) or tags[1] is None else answers.head(tags[1]).number
    headers = {number: _header(answer) for number, answer in zip(blocks, tags[2:], strict=True)}
    found.update(dict.fromkeys(missing, NotIncluded(datetime.fromtimestamp(head.timestamp, UTC))))
    for one in included:
        found[one.receipt.transaction_hash] = _landed(one, headers[one.receipt.block_number], finalized, assets)
    return found


def _included(asked: str, answer: Any) -> _Included:
    value = _sure(answer)
    receipt = answers.receipt(value)
    if receipt.transaction_hash != asked:
        raise BadAnswerError("The chain's node answered about another transaction.")
    fields = cast("dict[str, Any]", value)
    to = fields.get("to")
    sender = answers.address(fields.get("from"), "a receipt's sender")
    return _Included(receipt, sender.lower(), None if to is None else answers.address(to, "a receipt's recipient").lower())


def _header(answer: Any) -> Head | None:
    try:
        return answers.head(_sure(answer))
    except ChainUnavailableError:
        return None


def _landed(one: _Included, header: Head | None, finalized: int | None, assets: Mapping[str, Listed]) -> Answer:
    receipt = one.receipt
    if header is None or header.number != receipt.block_number or header.hash != receipt.block_hash:
        return Unclear("the transaction's block is not the chain's; it may have moved")
    payments, reason = payments_of(receipt, one.to, assets)
    return Landed(
        transaction_hash=receipt.transaction_hash,
        sender=one.sender,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        settled_at=datetime.fromtimestamp(header.timestamp, UTC),
        is_final=finalized is not None and receipt.block_number <= finalized,
        payments=tuple(payments),
        reason=reason,
    )


def payments_of(receipt: Receipt, to: str | None, assets: Mapping[str, Listed]) -> tuple[list[Payment], Reason | None]:
    """The payments of a transaction, or why there are none. Without the scheme's shape any transfer would count (SAFETY S33)."""
    if not receipt.succeeded:
        return [], Reason.FAILED
    transfers = [transfer for log in receipt.logs if (transfer := _transfer(log, assets)) is not None]
    if not transfers:
        return [], Reason.NO_LISTED_ASSET
    meant = transfers if to in PERMIT2_PROXIES else _authorized(receipt.logs, transfers)
    if not meant:
        return [], Reason.NOT_A_PAYMENT
    paid = [one for one in meant if one.payee not in CHANNELS and one.payer not in CHANNELS]
    if not paid:
        return [], Reason.CHANNEL
    moved = [one for one in paid if one.amount > 0]
    if not moved:
        return [], Reason.ZERO_AMOUNT
    spent = Counter[tuple[str, str]]()
    for one in transfers:
        spent[one.asset, one.payer] += one.amount
        spent[one.asset, one.payee] -= one.amount
    found = lasting(moved, spent)
    return found, None if found else Reason.CAME_BACK


def _transfer(log: Log, assets: Mapping[str, Listed]) -> Payment | None:
    """An ERC-20 transfer of an asset that counts. One of an NFT has a topic more and no data."""
    asset = log.address.lower()
    if (
        asset not in assets
        or len(log.topics) != _TOPICS_OF_BOTH
        or log.topics[0] != TRANSFER_TOPIC
        or len(log.data) != HASH_BYTES
    ):
        return None
    return Payment(log.place, asset, _address(log.topics[1]), _address(log.topics[2]), int.from_bytes(log.data))


def _authorized(logs: Sequence[Log], transfers: Collection[Payment]) -> list[Payment]:
    """Transfers that an authorization was used for: the two stand side by side among their token's own logs."""
    by_place = {one.place: one for one in transfers}
    own: dict[str, list[Log]] = {}
    for log in logs:
        own.setdefault(log.address.lower(), []).append(log)
    used: set[int] = set()
    for entries in own.values():
        for number, log in enumerate(entries):
            if len(log.topics) != _TOPICS_OF_BOTH or log.topics[0] != AUTHORIZATION_USED_TOPIC:
                continue
            payer = _address(log.topics[1])
            # Most tokens tell of the authorization first, some after.
            beside = [entries[place] for place in (number + 1, number - 1) if 0 <= place < len(entries)]
            for neighbour in beside:
                transfer = by_place.get(neighbour.place)
                if transfer is not None and transfer.payer == payer and transfer.place not in used:
                    used.add(transfer.place)
                    break
    return [one for one in transfers if one.place in used]


def _address(topic: str) -> str:
    return f"0x{topic[-40:]}"


def _sure(answer: Any) -> Any:
    # A refused question (rate limit, lag, internal error) has told nothing.
    if isinstance(answer, RpcError):
        raise BadAnswerError(f"The chain's node refused: {answer.message}.") from answer
    return answer
