"""Typed questions to a node of Solana, and handing it signed bytes. Keeps no state but its connections and which chain it is for.

Questions that decide about money name their commitment and the least slot that they are to be answered of; an answer that is
missing, malformed or older raises, and nothing may follow from it: it is no knowledge, and never "no such account" (SAFETY S35).
What belongs together is one batch, which one node answers.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from guerdon.chains.jsonrpc import Call
from guerdon.chains.networks import REFERENCE_CHARACTERS
from guerdon.chains.port import RpcError, WrongChainError
from guerdon.chains.solana import answers
from guerdon.chains.solana.markers import is_marker
from guerdon.chains.solana.programs import SYSTEM
from guerdon.chains.solana.rpc import SolanaRpc
from guerdon.chains.solana.transfers import ChainTransaction, read_transaction
from guerdon.chains.solana.values import (
    Accounts,
    AccountState,
    Block,
    Commitment,
    FirstLook,
    SecondLook,
    SignatureEntry,
    Simulation,
    Statuses,
    Survey,
)

MOST_ACCOUNTS: Final = 100
MOST_SIGNATURES: Final = 1_000
_MOST_STATUSES: Final = 256
_MOST_SENT: Final = 12
"""Transactions in one request: nodes take 50 KB."""
_MOST_READ: Final = 50
_NO_BLOCK: Final = (-32007, -32009)
"""A slot that was skipped has none."""
_GENESIS: Final[Call] = ("getGenesisHash", ())
_CONFIRMED: Final = {"commitment": "confirmed"}
_FINALIZED: Final = {"commitment": "finalized"}
_Item = TypeVar("_Item")


class SolanaClient(SolanaRpc):
    """One node of one Solana cluster."""

    _expected: str | None = None

    # ---- which chain it is -----------------------------------------------------------------------------------------

    async def genesis_hash(self) -> str:
        """What tells this cluster from any other (SAFETY S21)."""
        (found,) = await self.known(_GENESIS)
        return answers.blockhash(found, "a genesis hash")

    def expect(self, genesis_hash: str) -> None:
        """From now on, answers that decide anything have to come from the chain with this genesis (SAFETY S21)."""
        self._expected = genesis_hash

    async def check_chain(self, reference: str | None, genesis_hash: str | None) -> str:
        """The genesis hash, if this is the cluster that is meant: by its CAIP-2 reference where that is known, and by the
        genesis hash on record. Raises `WrongChainError` (SAFETY S21).
        """
        found = await self.genesis_hash()
        if reference is not None and found[:REFERENCE_CHARACTERS] != reference:
            raise WrongChainError(f"The node at {self.host} belongs to another cluster (genesis {found}). Check the RPC address.")
        if genesis_hash is not None and found != genesis_hash:
            raise WrongChainError(
                f"The Solana at {self.host} has genesis {found}, not {genesis_hash}: it is another one of the same kind."
                " Use the database and the chain of one data directory together."
            )
        return found

    async def _surely(self, *calls: Call) -> list[Any]:
        """As `known`, by a node of the chain that is expected."""
        if self._expected is None:
            return await self.known(*calls)
        genesis, *found = await self.known(_GENESIS, *calls)
        if genesis != self._expected:
            raise WrongChainError(
                f"The node at {self.host} answers for a chain with genesis {genesis}, not {self._expected}: point the network's "
                "RPC address at the chain that it was used with."
            )
        return found

    # ---- where the chain is ----------------------------------------------------------------------------------------

    async def version(self) -> str:
        """What the node calls itself; for people."""
        (found,) = await self.known(("getVersion", ()))
        return answers.text(answers.mapping(found, "a version").get("solana-core"), "a version")

    async def slot(self, commitment: Commitment) -> int:
        """The newest slot of a commitment."""
        (found,) = await self.known(("getSlot", ({"commitment": commitment},)))
        return answers.whole(found, "a slot")

    async def finalized(self) -> tuple[int, int]:
        """The finalized slot, and the height of its block: what blockhashes expire by, and lower than the slot."""
        (found,) = await self._surely(("getEpochInfo", (_FINALIZED,)))
        return _position(found)

    async def first_available_block(self) -> int:
        """The first slot that this node still knows transactions of (SAFETY S18)."""
        (found,) = await self.known(("getFirstAvailableBlock", ()))
        return answers.whole(found, "a slot")

    async def block(self, slot: int, commitment: Commitment = "finalized") -> Block | None:
        """The block in a slot; None if the slot was skipped."""
        options = {"commitment": commitment, "transactionDetails": "signatures", "rewards": False, **_VERSIONS}
        (found,) = await self.batch([("getBlock", (slot, options))])
        if isinstance(found, RpcError):
            if found.code in _NO_BLOCK:
                return None
            raise answers.unfit(f"block {slot}", found.message)
        return None if found is None else answers.block(slot, found)

    # ---- accounts --------------------------------------------------------------------------------------------------

    async def accounts(self, addresses: Sequence[str], commitment: Commitment, *, least_slot: int | None = None) -> Accounts:
        """Accounts by their addresses, a hundred at one slot; the slot is the oldest that any of them is of."""
        found: dict[str, AccountState | None] = {}
        slots: list[int] = []
        for part in _parts(list(dict.fromkeys(addresses)), MOST_ACCOUNTS):
            (answer,) = await self._surely(("getMultipleAccounts", (part, _of_accounts(commitment, least_slot))))
            slot, told = _accounts(part, answer, least_slot)
            slots.append(slot)
            found |= told
        return Accounts(min(slots, default=least_slot or 0), found)

    async def balance(self, address: str) -> int:
        """Lamports of an address, confirmed."""
        (found,) = await self._surely(("getBalance", (address, _CONFIRMED)))
        return answers.whole(answers.in_context(found, "a balance")[1], "a balance")

    async def markers(self, treasury: str, markers: Sequence[str], *, least_slot: int | None = None) -> dict[str, bool]:
        """Which of these markers of a treasury exist at finality (SAFETY S18)."""
        told = await self.accounts(markers, "finalized", least_slot=least_slot)
        return {one: is_marker(account, treasury) for one, account in told.found.items()}

    # ---- transactions ----------------------------------------------------------------------------------------------

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        """Where transactions stand. Without searching, of the last two minutes only. Nothing may follow from a missing one
        but by the rules of SAFETY S18.
        """
        parts = list(_parts(list(dict.fromkeys(signatures)), _MOST_STATUSES))
        options = {"searchTransactionHistory": search_history}
        pages = [page for part in parts for page in await self.known(("getSignatureStatuses", (part, options)))]
        return answers.statuses(parts, pages)

    async def signatures(
        self,
        address: str,
        commitment: Commitment,
        *,
        before: str | None = None,
        until: str | None = None,
        limit: int = MOST_SIGNATURES,
    ) -> list[SignatureEntry]:
        """The transactions that name an address, newest first: those older than `before`, down to `until`, which is left out.

        A node that does not know `before` answers with none.
        """
        options = {"commitment": commitment, "limit": limit, "before": before, "until": until}
        given = {name: value for name, value in options.items() if value is not None}
        (found,) = await self._surely(("getSignaturesForAddress", (address, given)))
        return [answers.entry(one) for one in answers.sequence(found, "signatures")]

    async def transaction(self, signature: str, commitment: Commitment = "finalized") -> ChainTransaction | None:
        """A transaction with what it did; None if the node has it not (yet) at the commitment, which proves nothing.

        Its bytes are checked against the signature. Raises `BadAnswerError`.
        """
        return (await self.transactions([signature], commitment)).get(signature)

    async def transactions(self, signatures: Sequence[str], commitment: Commitment = "finalized") -> dict[str, ChainTransaction]:
        """The same for many; without those that the node has not."""
        options = {"encoding": "base64", "commitment": commitment, **_VERSIONS}
        found: dict[str, ChainTransaction] = {}
        for part in _parts(signatures, _MOST_READ):
            told = await self._surely(*(("getTransaction", (one, options)) for one in part))
            pairs = zip(part, told, strict=True)
            found |= {one: read_transaction(one, answer) for one, answer in pairs if answer is not None}
        return found

    # ---- what the engine decides by --------------------------------------------------------------------------------

    async def survey(self, payer: str) -> Survey:
        """A blockhash, the payer's balance, and what those that write the same account offered lately."""
        blockhash, balance, fees = await self._surely(
            ("getLatestBlockhash", (_CONFIRMED,)),
            ("getBalance", (payer, _CONFIRMED)),
            ("getRecentPrioritizationFees", ([payer],)),
        )
        slot, value = answers.in_context(blockhash, "a blockhash")
        told = answers.mapping(value, "a blockhash")
        return Survey(
            slot=slot,
            blockhash=answers.blockhash(told.get("blockhash"), "a blockhash"),
            last_valid_height=answers.whole(told.get("lastValidBlockHeight"), "a block height"),
            balance=answers.whole(answers.in_context(balance, "a balance")[1], "a balance"),
            unit_price=answers.unit_price(fees),
        )

    async def simulate(self, transactions: Sequence[bytes], *, least_slot: int) -> list[Simulation]:
        """What each unsigned transaction would do on a node that has reached a slot, whatever its blockhash."""
        options = {
            "encoding": "base64", "sigVerify": False, "replaceRecentBlockhash": True, "minContextSlot": least_slot, **_CONFIRMED,
        }  # fmt: skip
        found: list[Simulation] = []
        for part in _parts(transactions, _MOST_SENT):
            told = await self._surely(*(("simulateTransaction", (_encoded(one), options)) for one in part))
            found += [answers.simulation(answers.in_context(one, "a simulation", least_slot)[1]) for one in told]
        return found

    async def send(self, raws: Sequence[bytes]) -> list[str | RpcError]:
        """Hand over signed bytes; each answer is a signature or what the node said, and proves nothing: they may land all the
        same, and after `ChainUnavailableError` as well (DESIGN section 6, rule 6).
        """
        options = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        found: list[str | RpcError] = []
        for part in _parts(raws, _MOST_SENT):
            found += await self.batch([("sendTransaction", (_encoded(one), options)) for one in part])
        return found

    async def first_look(self, signatures: Sequence[str]) -> FirstLook:
        """Where the chain is, and where these transactions stand in its last slots."""
        parts = list(_parts(signatures, _MOST_STATUSES))
        confirmed, finalized, *pages = await self._surely(
            ("getEpochInfo", (_CONFIRMED,)),
            ("getEpochInfo", (_FINALIZED,)),
            *(("getSignatureStatuses", (part,)) for part in parts),
        )
        confirmed_slot, _ = _position(confirmed)
        finalized_slot, finalized_height = _position(finalized)
        statuses = answers.statuses(parts, pages, confirmed_slot).known
        return FirstLook(confirmed_slot, finalized_slot, finalized_height, statuses)

    async def second_look(
        self, treasury: str, groups: Sequence[tuple[Sequence[str], str | None]], least_slot: int
    ) -> list[SecondLook]:
        """The whole history of each group's signatures, and its marker, by one node that has `least_slot` as finalized."""
        parts = _parts(groups, MOST_ACCOUNTS)
        return [one for part in parts for one in await self._second_look(treasury, part, least_slot)]

    async def _second_look(
        self, treasury: str, groups: Sequence[tuple[Sequence[str], str | None]], least_slot: int
    ) -> list[SecondLook]:
        parts = list(_parts([signature for group, _ in groups for signature in group], _MOST_STATUSES))
        markers = [marker for _, marker in groups if marker is not None] or [SYSTEM]
        epoch, first, accounts, *pages = await self._surely(
            ("getEpochInfo", ({**_FINALIZED, "minContextSlot": least_slot},)),
            ("getFirstAvailableBlock", ()),
            ("getMultipleAccounts", (markers, _of_accounts("finalized", least_slot))),
            *(("getSignatureStatuses", (part, {"searchTransactionHistory": True})) for part in parts),
        )
        finalized_slot, finalized_height = _position(epoch, least_slot)
        statuses = answers.statuses(parts, pages, finalized_slot).known
        # Markers are as old as the height, or newer: else a form could have landed in between, and expired by that height.
        _, found = _accounts(markers, accounts, finalized_slot)
        return [
            SecondLook(
                finalized_slot=finalized_slot,
                finalized_height=finalized_height,
                statuses={one: statuses[one] for one in group if one in statuses},
                marker_exists=None if marker is None else is_marker(found[marker], treasury),
                first_available_slot=answers.whole(first, "a slot"),
            )
            for group, marker in groups
        ]


_VERSIONS: Final = {"maxSupportedTransactionVersion": 0}


def _of_accounts(commitment: Commitment, least_slot: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"commitment": commitment, "encoding": "base64"}
    return options if least_slot is None else {**options, "minContextSlot": least_slot}


def _accounts(addresses: Sequence[str], answer: Any, least_slot: int | None) -> tuple[int, dict[str, AccountState | None]]:
    """The slot that these accounts are of, and what each of them is."""
    slot, value = answers.in_context(answer, "accounts", least_slot)
    told = answers.sequence(value, "accounts", len(addresses))
    return slot, {one: answers.account(one, account) for one, account in zip(addresses, told, strict=True)}


def _position(epoch: Any, least_slot: int = 0) -> tuple[int, int]:
    """Slot and block height of a commitment."""
    found = answers.mapping(epoch, "an epoch")
    slot = answers.not_before(answers.whole(found.get("absoluteSlot"), "a slot"), least_slot)
    return slot, answers.whole(found.get("blockHeight"), "a block height")


def _parts(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
