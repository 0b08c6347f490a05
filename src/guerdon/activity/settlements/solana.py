"""Payments on Solana: which tokens a transaction moved, for whose fee, and how sure that is.

Reading what a transaction moved is `chains/solana/transfers.py`. A node that does not know a signature has proven nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.proofs import Answer, Landed, NotIncluded, Payment, Reason, Unclear, lasting
from guerdon.chains.port import ChainUnavailableError
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.transfers import ChainTransaction, TokenTransfer, token_transfers
from guerdon.chains.solana.values import SignatureStatus
from guerdon.kit.errors import GuerdonError

MAX_AT_ONCE: Final = 8
"""Transactions that are asked for beside each other."""
PAGES_A_TURN: Final = 10
SIGNATURES_A_PAGE: Final = 1_000
_SLOTS_TILL_GONE: Final = 300
"""Twice what a blockhash lives: what is in no block after so many final ones, and can't be in a later one."""
_SLOTS_LOOKED_AT: Final = 20


@dataclass(frozen=True, slots=True)
class SolanaReader:
    """One node of a Solana, asked about payments."""

    client: SolanaClient

    async def ask(self, transactions: Sequence[str], assets: Mapping[str, Listed]) -> dict[str, Answer]:
        """What the chain says of each. Raises `ChainUnavailableError` where nothing at all could be asked."""
        told = await self.client.statuses(transactions, search_history=True)
        head_at = await self._head_at()
        at_once = asyncio.Semaphore(MAX_AT_ONCE)

        async def one(signature: str, status: SignatureStatus | None) -> Answer:
            if status is None or status.commitment == "processed":
                return Unclear("the node's time is not known") if head_at is None else NotIncluded(head_at)
            async with at_once:
                return await self._landed(signature, status, assets)

        answers = await asyncio.gather(*(one(signature, status) for signature, status in told.found.items()))
        return dict(zip(told.found, answers, strict=True))

    async def final_block(self) -> int:
        """The newest slot that is final (SAFETY S24)."""
        return await self.client.slot("finalized")

    async def gone(self, seen: Mapping[str, tuple[int, str]]) -> set[str]:
        """Of transactions that were in these slots those that finally are in no block.

        Long after their blockhash has expired, and by a node that keeps blocks as old as theirs would be.
        """
        final = await self.client.slot("finalized")
        first = await self.client.first_available_block()
        old = [one for one, (slot, _) in seen.items() if first <= slot < final - _SLOTS_TILL_GONE]
        if not old:
            return set()
        told = await self.client.statuses(old, search_history=True)
        return {one for one in old if told.slot >= final and told.found[one] is None}

    async def _landed(self, signature: str, status: SignatureStatus, assets: Mapping[str, Listed]) -> Answer:
        is_final = status.commitment == "finalized"
        try:
            found = await self.client.transaction(signature, "finalized" if is_final else "confirmed")
        except GuerdonError as error:
            return Unclear(error.message)
        if found is None or found.block_time is None:
            return Unclear("the node knows the transaction's status and not what it did")
        payments, reason = payments_of(found, assets)
        return Landed(
            transaction_hash=signature,
            sender=found.fee_payer,
            block_number=found.slot,
            block_hash=str(found.slot),
            settled_at=datetime.fromtimestamp(found.block_time, UTC),
            is_final=is_final,
            payments=tuple(payments),
            reason=reason,
        )

    async def _head_at(self) -> datetime | None:
        """When the newest final block was made; slots may be without any."""
        slot = await self.client.slot("finalized")
        for number in range(slot, max(-1, slot - _SLOTS_LOOKED_AT), -1):
            block = await self.client.block(number)
            if block is not None and block.block_time is not None:
                return datetime.fromtimestamp(block.block_time, UTC)
        return None


def payments_of(transaction: ChainTransaction, assets: Mapping[str, Listed]) -> tuple[list[Payment], Reason | None]:
    """The payments of a transaction, or why there are none: checked transfers that somebody else signed for than who paid the fee
    (SAFETY S33: a facilitator moves nothing of its own).
    """
    if not transaction.succeeded:
        return [], Reason.FAILED
    moved = [one for one in token_transfers(transaction) if one.mint in assets]
    if not moved:
        return [], Reason.NO_LISTED_ASSET
    meant = [one for one in moved if one.is_checked and transaction.fee_payer not in {one.authority, one.source_owner}]
    if not meant:
        return [], Reason.NOT_A_PAYMENT
    fitting = [one for one in meant if one.decimals == assets[one.mint].decimals]
    if not fitting:
        return [], Reason.WRONG_DECIMALS
    arrived = [payment for one in fitting if (payment := _payment(one)) is not None]
    if not arrived:
        return [], Reason.ZERO_AMOUNT
    spent = Counter[tuple[str, str]]()
    for held in transaction.holdings.values():
        if held.owner_before is not None:
            spent[held.mint, held.owner_before] += held.before
        if held.owner_after is not None:
            spent[held.mint, held.owner_after] -= held.after
    found = lasting(arrived, spent)
    return found, None if found else Reason.CAME_BACK


def _payment(one: TokenTransfer) -> Payment | None:
    arrived = one.amount_atomic - (one.fee_atomic or 0)
    if one.source_owner is None or one.destination_owner is None or arrived <= 0:
        return None
    return Payment(one.place.number, one.mint, one.source_owner, one.destination_owner, arrived)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a signer's history was read: down to `until`; of what came since, from `newest` down to `before`."""

    until: str | None = None
    before: str | None = None
    newest: str | None = None
    from_slot: int | None = None
    """The oldest slot that counts, the first time."""


async def read_signer(client: SolanaClient, signer: str, place: Place) -> tuple[list[str], Place, bool]:
    """Transactions that name a signer since `place`, where that is now, and whether there is more at once.

    Of final ones alone, so that none comes between later. Without a place or a slot to begin at: from what is new from now on.
    """
    if place == Place():
        newest = await client.signatures(signer, "finalized", limit=1)
        return [], Place(until=newest[0].signature) if newest else Place(from_slot=0), False
    found: list[str] = []
    for _ in range(PAGES_A_TURN):
        page = await client.signatures(signer, "finalized", before=place.before, until=place.until, limit=SIGNATURES_A_PAGE)
        if not page and place.before is not None:
            known = await client.statuses([place.before], search_history=True)
            if known.found[place.before] is None:
                # It answers with nothing for what it does not know: that is not the end.
                raise ChainUnavailableError("The chain's node does not know how far the signer's history was read.")
        counted = [one for one in page if place.from_slot is None or one.slot >= place.from_slot]
        found += [one.signature for one in counted if one.error is None]
        newest = place.newest or (page[0].signature if page else None)
        if len(page) < SIGNATURES_A_PAGE or len(counted) < len(page):
            return found, Place(until=newest or place.until, from_slot=None if newest or place.until else place.from_slot), False
        place = Place(place.until, page[-1].signature, newest, place.from_slot)
    return found, place, True
