"""What the engine asks of a Solana: each question is one batch of JSON-RPC, which one node answers, typed. No state, no decision.

A question that gets no answer, one from before the slot that was asked for, or one that contradicts itself raises
`ChainUnavailableError`: that is no knowledge, and nothing may follow from it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from guerdon.chains.jsonrpc import Call
from guerdon.chains.port import BadAnswerError, ChainUnavailableError, RpcError, WrongChainError
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.solana import answers
from guerdon.txmanager.solana.answers import Landed, Listed, Survey, Trial
from guerdon.txmanager.solana.verdicts import FirstLook, SecondLook

STATUSES_A_CALL: Final = 256
ACCOUNTS_A_CALL: Final = 100
SENT_AT_ONCE: Final = 12
"""Transactions in one request: nodes take 50 KB."""
SIGNATURES_A_PAGE: Final = 1_000
_TRANSACTIONS_AT_ONCE: Final = 50
_GENESIS: Final[Call] = ("getGenesisHash", ())
_CONFIRMED: Final = {"commitment": "confirmed"}
_FINALIZED: Final = {"commitment": "finalized"}
_Item = TypeVar("_Item")


class SolanaChain:
    """Questions about one network."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._genesis: str | None = None

    def expect(self, genesis_hash: str) -> None:
        """From now on, answers that decide anything have to come from the chain with this genesis (SAFETY S21)."""
        self._genesis = genesis_hash

    async def genesis(self) -> str:
        """The hash that tells this chain from any other."""
        (found,) = await self._ask(_GENESIS)
        return answers.text(found, "a genesis hash")

    async def survey(self, address: str, writable: Sequence[str] = ()) -> Survey:
        """A blockhash, the key's balance, and what those that write the same accounts offered lately."""
        genesis, epoch, blockhash, balance, fees = await self._ask(
            _GENESIS,
            ("getEpochInfo", (_CONFIRMED,)),
            ("getLatestBlockhash", (_CONFIRMED,)),
            ("getBalance", (address, _CONFIRMED)),
            ("getRecentPrioritizationFees", (list(dict.fromkeys([address, *writable]))[:128],)),
        )
        self._check(genesis)
        slot, value = answers.in_context(blockhash)
        return Survey(
            slot=slot,
            height=answers.number(epoch, "blockHeight"),
            blockhash=answers.text(value.get("blockhash"), "a blockhash"),
            last_valid_height=answers.number(value, "lastValidBlockHeight"),
            balance=answers.integer(answers.in_context(balance)[1]),
            unit_price=answers.price(fees),
        )

    async def try_out(self, transactions: Sequence[bytes], address: str, slot: int) -> list[Trial]:
        """What each unsigned transaction would do on a node that has reached `slot`; `address` is who pays."""
        found: list[Trial] = []
        options = {
            "encoding": "base64", "commitment": "confirmed", "sigVerify": False, "replaceRecentBlockhash": True,
            "minContextSlot": slot, "accounts": {"encoding": "base64", "addresses": [address]},
        }  # fmt: skip
        for part in _parts(transactions, SENT_AT_ONCE):
            told = await self._ask(*(("simulateTransaction", (_encoded(one), options)) for one in part))
            found += [answers.trial(answers.in_context(answer)[1]) for answer in told]
        return found

    async def first_look(self, signatures: Sequence[str]) -> FirstLook:
        """Where the chain is, and where these transactions stand in its last slots."""
        parts = list(_parts(signatures, STATUSES_A_CALL))
        genesis, confirmed, finalized, *pages = await self._ask(
            _GENESIS,
            ("getEpochInfo", (_CONFIRMED,)),
            ("getEpochInfo", (_FINALIZED,)),
            *(("getSignatureStatuses", (list(part),)) for part in parts),
        )
        self._check(genesis)
        confirmed_slot = answers.number(confirmed, "absoluteSlot")
        return FirstLook(
            confirmed_slot=confirmed_slot,
            finalized_slot=answers.number(finalized, "absoluteSlot"),
            finalized_height=answers.number(finalized, "blockHeight"),
            statuses=answers.statuses(parts, pages, confirmed_slot),
        )

    async def second_look(self, address: str, groups: Sequence[tuple[Sequence[str], str | None]], slot: int) -> list[SecondLook]:
        """The whole history of signatures and the marker of each group, by one node that has `slot` as finalized."""
        found: list[SecondLook] = []
        for part in _parts(groups, ACCOUNTS_A_CALL):
            found += await self._second_look(address, part, slot)
        return found

    async def _second_look(self, address: str, groups: Sequence[tuple[Sequence[str], str | None]], slot: int) -> list[SecondLook]:
        reached = {**_FINALIZED, "minContextSlot": slot}
        signatures = [signature for group, _ in groups for signature in group]
        parts = list(_parts(signatures, STATUSES_A_CALL))
        markers = [marker for _, marker in groups if marker is not None]
        genesis, epoch, first, accounts, *pages = await self._ask(
            _GENESIS,
            ("getEpochInfo", (reached,)),
            ("getFirstAvailableBlock", ()),
            ("getMultipleAccounts", (markers or [address], {**reached, "encoding": "base64"})),
            *(("getSignatureStatuses", (list(part), {"searchTransactionHistory": True})) for part in parts),
        )
        self._check(genesis)
        finalized_slot = answers.number(epoch, "absoluteSlot")
        statuses = answers.statuses(parts, pages, finalized_slot)
        read_at, values = answers.in_context(accounts)
        if finalized_slot < slot or read_at < slot or len(answers.listed(values)) != len(markers or [address]):
            raise BadAnswerError(f"The chain's node answered for slot {min(finalized_slot, read_at)}, not for {slot} or later.")
        exists = {marker: answers.is_marker(address, value) for marker, value in zip(markers, values, strict=False)}
        return [
            SecondLook(
                # Whatever was read at the older of the two slots counts.
                finalized_slot=min(finalized_slot, read_at),
                finalized_height=answers.number(epoch, "blockHeight"),
                statuses={one: statuses[one] for one in group if one in statuses},
                marker_exists=None if marker is None else exists[marker],
                first_available_slot=answers.integer(first),
            )
            for group, marker in groups
        ]

    async def send(self, raws: Sequence[bytes]) -> list[str | RpcError]:
        """Hand over signed bytes; each answer is a signature or what the node said, and proves nothing."""
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        found: list[str | RpcError] = []
        for part in _parts(raws, SENT_AT_ONCE):
            found += await self._rpc.batch([("sendTransaction", (_encoded(raw), options)) for raw in part])
        return found

    async def balance(self, address: str) -> int:
        """Lamports, confirmed."""
        (found,) = await self._ask(("getBalance", (address, _CONFIRMED)))
        return answers.integer(answers.in_context(found)[1])

    async def finalized(self) -> tuple[int, int]:
        """The finalized slot and block height."""
        genesis, epoch = await self._ask(_GENESIS, ("getEpochInfo", (_FINALIZED,)))
        self._check(genesis)
        return answers.number(epoch, "absoluteSlot"), answers.number(epoch, "blockHeight")

    async def accounts(self, addresses: Sequence[str], commitment: str, slot: int = 0) -> tuple[int, list[Any]]:
        """Up to a hundred accounts as the node tells them, and the slot that they are of: `slot` or later."""
        options: dict[str, Any] = {"commitment": commitment, "encoding": "base64", "minContextSlot": slot}
        genesis, answer = await self._ask(_GENESIS, ("getMultipleAccounts", (list(addresses), options)))
        self._check(genesis)
        read_at, values = answers.in_context(answer)
        if read_at < slot or len(answers.listed(values)) != len(addresses):
            raise BadAnswerError(f"The chain's node told what it knew at slot {read_at}, not at {slot}.")
        return read_at, values

    async def markers(self, address: str, markers: Sequence[str], slot: int = 0) -> dict[str, bool]:
        """Which of these markers exist at finality, by a node that has `slot` as finalized."""
        found: dict[str, bool] = {}
        for part in _parts(markers, ACCOUNTS_A_CALL):
            _, values = await self.accounts(part, "finalized", slot)
            found |= {marker: answers.is_marker(address, value) for marker, value in zip(part, values, strict=True)}
        return found

    async def listed(self, address: str, *, until: str | None, before: str | None = None) -> list[Listed]:
        """A page of the finalized transactions that name an address, newest first, after `until`."""
        options: dict[str, Any] = {**_FINALIZED, "limit": SIGNATURES_A_PAGE}
        options |= {name: value for name, value in (("until", until), ("before", before)) if value is not None}
        genesis, found = await self._ask(_GENESIS, ("getSignaturesForAddress", (address, options)))
        self._check(genesis)
        return [
            Listed(answers.text(one.get("signature"), "a signature"), answers.number(one, "slot"), one.get("err") is not None)
            for one in answers.listed(found)
        ]

    async def landed(self, signatures: Sequence[str]) -> dict[str, Landed]:
        """These transactions, those of them that are finalized and that the node has."""
        options = {**_FINALIZED, "encoding": "base64", "maxSupportedTransactionVersion": 0}
        found: dict[str, Landed] = {}
        for part in _parts(signatures, _TRANSACTIONS_AT_ONCE):
            told = await self._ask(_GENESIS, *(("getTransaction", (one, options)) for one in part))
            self._check(told[0])
            for signature, answer in zip(part, told[1:], strict=True):
                if answer is not None:
                    try:
                        found[signature] = answers.landed_of(signature, answer)
                    except (KeyError, TypeError, ValueError, IndexError, binascii.Error):
                        raise answers.bad(f"transaction {signature}") from None
        return found

    def _check(self, genesis: Any) -> None:
        if self._genesis is not None and genesis != self._genesis:
            raise WrongChainError(
                f"the node answers for a chain with genesis {genesis}, not {self._genesis}: point the network's RPC address at "
                "the chain that it was used with"
            )

    async def _ask(self, *calls: Call) -> list[Any]:
        return [_sure(answer) for answer in await self._rpc.batch(list(calls))]


def _parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _sure(answer: Any) -> Any:
    # A node that refuses a plain question (rate limit, lagging behind, internal error) has told us nothing.
    if isinstance(answer, RpcError):
        raise ChainUnavailableError(f"The chain's node refused a question: {answer}") from answer
    return answer
