"""What a source's signers sent, read from the chain itself: nobody has to report it, and what was not reported is found.

Authorizations that were used in an asset that counts, by ranges of blocks; of their transactions those that a signer sent. Each
range is read twice: when it is new, and once more when it is final, for its blocks may have been replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from guerdon.activity.settlements.evm import AUTHORIZATION_USED_TOPIC, Rpc
from guerdon.chains import answers
from guerdon.chains.port import BadAnswerError, ChainUnavailableError, RpcError

MOST_BLOCKS: Final = 2_000
"""In one question: what common nodes answer."""
RANGES_A_TURN: Final = 20
_FEWEST_BLOCKS: Final = 1
_MAX_ASKED: Final = 100

Places = Mapping[str, int]
"""How far it was read: `final`, all that is final; `head`, what is new as well."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What signers sent in the blocks that were read, and how far they were."""

    transactions: list[str]
    places: dict[str, int]
    more: bool


async def read_ranges(rpc: Rpc, assets: Collection[str], signers: Collection[str], places: Places) -> Sent:
    """What is new since `places`; without any, from what is final now. Raises `ChainUnavailableError`."""
    found = await rpc.batch([("eth_getBlockByNumber", ("latest", False)), ("eth_getBlockByNumber", ("finalized", False))])
    head, final = (answers.head(_sure(answer)).number for answer in found)
    final = min(head, final)
    at = {"final": places.get("final", final), "head": max(places.get("head", final), places.get("final", final))}
    transactions: dict[str, None] = {}
    budget = RANGES_A_TURN
    for name, last in (("final", final), ("head", head)):
        if name == "head":
            at["head"] = max(at["head"], at["final"])
        reading = _Reading(rpc, sorted(assets), frozenset(signers))
        while at[name] < last and budget > 0:
            at[name] = await reading.some(at[name] + 1, last, transactions)
            budget -= 1
    return Sent(list(transactions), at, budget == 0)


class _Reading:
    """One way through blocks; the ranges shrink where a node refuses them, and grow again."""

    def __init__(self, rpc: Rpc, assets: Sequence[str], signers: frozenset[str]) -> None:
        self._rpc = rpc
        self._assets = assets
        self._signers = signers
        self._blocks = MOST_BLOCKS

    async def some(self, first: int, last: int, into: dict[str, None]) -> int:
        """Read from `first`; the last block that was read."""
        while True:
            until = min(last, first + self._blocks - 1)
            try:
                into.update(dict.fromkeys(await self._sent(first, until)))
            except (BadAnswerError, _RefusedError) as error:
                if self._blocks <= _FEWEST_BLOCKS:
                    raise ChainUnavailableError(str(error)) from error
                self._blocks = max(_FEWEST_BLOCKS, self._blocks // 4)
            else:
                self._blocks = min(MOST_BLOCKS, self._blocks * 2)
                return until

    async def _sent(self, first: int, last: int) -> list[str]:
        if not self._assets or not self._signers:
            return []
        query = {
            "address": list(self._assets),
            "topics": [AUTHORIZATION_USED_TOPIC],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        (answer,) = await self._rpc.batch([("eth_getLogs", (query,))])
        if isinstance(answer, RpcError):
            raise _RefusedError(f"The chain's node refused: {answer.message}.")
        hashes = list(dict.fromkeys(log.transaction_hash for log in answers.logs(answer)))
        found: list[str] = []
        for start in range(0, len(hashes), _MAX_ASKED):
            some = hashes[start : start + _MAX_ASKED]
            raw = await self._rpc.batch([("eth_getTransactionByHash", (one,)) for one in some])
            found += [one for one, value in zip(some, raw, strict=True) if self._is_ours(one, value)]
        return found

    def _is_ours(self, asked: str, raw: Any) -> bool:
        if raw is None:
            # It was in a block a moment ago: let it be looked at.
            return True
        if isinstance(raw, RpcError):
            raise _RefusedError(f"The chain's node refused: {raw.message}.")
        transaction = answers.transaction(raw)
        if transaction.hash != asked:
            raise BadAnswerError("The chain's node answered about another transaction.")
        return transaction.sender.lower() in self._signers


class _RefusedError(Exception):
    """The node does not answer a question over so many blocks."""


def _sure(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise ChainUnavailableError(f"The chain's node refused: {answer.message}.") from answer
    return answer
