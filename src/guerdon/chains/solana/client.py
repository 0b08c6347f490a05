"""Typed questions to a node of Solana, and handing it signed bytes. Keeps no state but its connections.

Questions that decide about money name their commitment and the least slot that they are to be answered of; an answer that is
missing, malformed or older raises, and nothing may follow from it: it is no knowledge, and never "no such account" (SAFETY S35).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from guerdon.chains.networks import REFERENCE_CHARACTERS
from guerdon.chains.port import RpcError, WrongChainError
from guerdon.chains.solana import answers
from guerdon.chains.solana.rpc import SolanaRpc
from guerdon.chains.solana.transfers import ChainTransaction, read_transaction
from guerdon.chains.solana.values import (
    Accounts,
    AccountState,
    Block,
    Blockhash,
    Commitment,
    SendOutcome,
    Sent,
    SignatureEntry,
    Simulation,
    Statuses,
)

_MOST_ACCOUNTS: Final = 100
_MOST_STATUSES: Final = 256
_MOST_SIGNATURES: Final = 1_000
_NO_BLOCK: Final = (-32007, -32009)
"""A slot that was skipped has none."""


class SolanaClient(SolanaRpc):
    """One node of one Solana cluster."""

    async def genesis_hash(self) -> str:
        """What tells this cluster from any other (SAFETY S21)."""
        return answers.blockhash(await self.ask("getGenesisHash"), "a genesis hash")

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

    async def version(self) -> str:
        """What the node calls itself; for people."""
        return answers.text(answers.mapping(await self.ask("getVersion"), "a version").get("solana-core"), "a version")

    async def slot(self, commitment: Commitment, *, least_slot: int | None = None) -> int:
        """The newest slot of a commitment."""
        return answers.whole(await self.ask("getSlot", _options(commitment, least_slot)), "a slot")

    async def block_height(self, commitment: Commitment, *, least_slot: int | None = None) -> int:
        """The height of the newest block of a commitment: what blockhashes expire by, and lower than the slot."""
        return answers.whole(await self.ask("getBlockHeight", _options(commitment, least_slot)), "a block height")

    async def latest_blockhash(self, commitment: Commitment = "confirmed", *, least_slot: int | None = None) -> Blockhash:
        """A blockhash for a transaction to be signed. Its preflight has to be at this commitment or a lower one."""
        slot, value = answers.in_context(
            await self.ask("getLatestBlockhash", _options(commitment, least_slot)), "a blockhash", least_slot
        )
        found = answers.mapping(value, "a blockhash")
        return Blockhash(
            blockhash=answers.blockhash(found.get("blockhash"), "a blockhash"),
            last_valid_height=answers.whole(found.get("lastValidBlockHeight"), "a block height"),
            slot=slot,
        )

    async def first_available_block(self) -> int:
        """The first slot that this node still knows transactions of (SAFETY S18)."""
        return answers.whole(await self.ask("getFirstAvailableBlock"), "a slot")

    async def epoch(self, commitment: Commitment = "finalized") -> int:
        """The epoch, which Token-2022's transfer fees change with."""
        found = answers.mapping(await self.ask("getEpochInfo", _options(commitment, None)), "an epoch")
        return answers.whole(found.get("epoch"), "an epoch")

    async def block(self, slot: int, commitment: Commitment = "finalized") -> Block | None:
        """The block in a slot; None if the slot was skipped."""
        options = {
            "commitment": commitment,
            "transactionDetails": "signatures",
            "rewards": False,
            "maxSupportedTransactionVersion": 0,
        }
        try:
            found = await self.call("getBlock", slot, options)
        except RpcError as refusal:
            if refusal.code in _NO_BLOCK:
                return None
            raise answers.unfit(f"block {slot}", refusal.message) from refusal
        return None if found is None else answers.block(slot, found)

    async def accounts(self, addresses: Sequence[str], commitment: Commitment, *, least_slot: int | None = None) -> Accounts:
        """Accounts by their addresses, a hundred at one slot; the slot is the oldest that any of them is of."""
        found: dict[str, AccountState | None] = {}
        slots: list[int] = []
        wanted = list(dict.fromkeys(addresses))
        for start in range(0, max(1, len(wanted)), _MOST_ACCOUNTS):
            some = wanted[start : start + _MOST_ACCOUNTS]
            options = {"encoding": "base64", **_options(commitment, least_slot)}
            slot, value = answers.in_context(await self.ask("getMultipleAccounts", some, options), "accounts", least_slot)
            slots.append(slot)
            told = answers.sequence(value, "accounts", len(some))
            found.update({one: answers.account(one, account) for one, account in zip(some, told, strict=True)})
        return Accounts(min(slots), found)

    async def account(self, address: str, commitment: Commitment, *, least_slot: int | None = None) -> AccountState | None:
        """An account; None if there is none at the commitment."""
        return (await self.accounts([address], commitment, least_slot=least_slot)).found[address]

    async def balance(self, address: str, commitment: Commitment) -> int:
        """Lamports of an address."""
        _, value = answers.in_context(await self.ask("getBalance", address, _options(commitment, None)), "a balance")
        return answers.whole(value, "a balance")

    async def rent(self, size: int) -> int:
        """The lamports that an account of a size needs."""
        return answers.whole(await self.ask("getMinimumBalanceForRentExemption", size), "a rent")

    async def prioritization_fees(self, addresses: Sequence[str] = ()) -> list[int]:
        """What the cheapest transaction of each of the last blocks offered a compute unit, in micro-lamports, oldest block first;
        of those that wrote to all of the addresses.
        """
        told = answers.sequence(await self.ask("getRecentPrioritizationFees", list(addresses)), "fees")
        fees = [answers.mapping(one, "a fee") for one in told]
        fees.sort(key=lambda one: answers.whole(one.get("slot"), "a slot"))
        return [answers.whole(one.get("prioritizationFee"), "a fee") for one in fees]

    async def statuses(self, signatures: Sequence[str], *, search_history: bool) -> Statuses:
        """Where transactions stand. Without searching, of the last two minutes only. Nothing may follow from a missing one
        but by the rules of SAFETY S18.
        """
        found: dict[str, Any] = {}
        slots: list[int] = []
        wanted = list(dict.fromkeys(signatures))
        for start in range(0, max(1, len(wanted)), _MOST_STATUSES):
            some = wanted[start : start + _MOST_STATUSES]
            answer = await self.ask("getSignatureStatuses", some, {"searchTransactionHistory": search_history})
            slot, value = answers.in_context(answer, "statuses")
            slots.append(slot)
            told = answers.sequence(value, "statuses", len(some))
            found.update({one: answers.status(status) for one, status in zip(some, told, strict=True)})
        return Statuses(min(slots), found)

    async def signatures(
        self,
        address: str,
        commitment: Commitment,
        *,
        before: str | None = None,
        until: str | None = None,
        limit: int = _MOST_SIGNATURES,
        least_slot: int | None = None,
    ) -> list[SignatureEntry]:
        """The transactions that name an address, newest first: those older than `before`, down to `until`, which is left out.

        A node that does not know `before` answers with none.
        """
        options = {**_options(commitment, least_slot), "limit": limit, "before": before, "until": until}
        given = {name: value for name, value in options.items() if value is not None}
        told = answers.sequence(await self.ask("getSignaturesForAddress", address, given), "signatures")
        return [answers.entry(one) for one in told]

    async def transaction(self, signature: str, commitment: Commitment = "finalized") -> ChainTransaction | None:
        """A transaction with what it did; None if the node has it not (yet) at the commitment, which proves nothing.

        Its bytes are checked against the signature. Raises `BadAnswerError`.
        """
        options = {"encoding": "base64", "commitment": commitment, "maxSupportedTransactionVersion": 0}
        found = await self.ask("getTransaction", signature, options)
        return None if found is None else read_transaction(signature, found)

    async def simulate(
        self, raw: bytes, commitment: Commitment = "processed", *, replace_blockhash: bool = False, least_slot: int | None = None
    ) -> Simulation:
        """What a transaction would do. Its signatures are not looked at; with `replace_blockhash` nor is its blockhash."""
        options = {"encoding": "base64", "replaceRecentBlockhash": replace_blockhash, **_options(commitment, least_slot)}
        answer = await self.ask("simulateTransaction", base64.b64encode(raw).decode(), options)
        slot, value = answers.in_context(answer, "a simulation", least_slot)
        return answers.simulation(slot, value)

    async def send(self, raw: bytes, *, preflight: Commitment | None = "confirmed", least_slot: int | None = None) -> Sent:
        """Hand signed bytes over; without `preflight` the node does not try them out first.

        What the node says proves nothing, `ChainUnavailableError` neither: they may land all the same (DESIGN section 6, rule 6).
        """
        options: dict[str, Any] = {"encoding": "base64", "skipPreflight": preflight is None, "maxRetries": 0}
        options["preflightCommitment"] = preflight or "processed"
        if least_slot is not None:
            options["minContextSlot"] = least_slot
        try:
            answer = await self.call("sendTransaction", base64.b64encode(raw).decode(), options)
        except RpcError as refusal:
            return answers.sent(refusal)
        return Sent(SendOutcome.ACCEPTED, answers.signature(answer, "sent bytes"))

    async def airdrop(self, address: str, lamports: int) -> str:
        """Ask the faucet of a test cluster for lamports; the signature of its transfer."""
        return answers.signature(await self.ask("requestAirdrop", address, lamports), "an airdrop")


def _options(commitment: Commitment, least_slot: int | None) -> dict[str, Any]:
    return {"commitment": commitment} if least_slot is None else {"commitment": commitment, "minContextSlot": least_slot}
