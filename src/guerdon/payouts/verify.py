"""Payouts against the chain: reservations against batches, batches against the distributor, promises against treasuries (S3).

The books against themselves are `ledger/verify.py`. Reads only; what is in flight while it runs is not counted as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.ledger.models import Asset
from guerdon.ledger.verify import SHOWN, Finding
from guerdon.payouts import drops_verify
from guerdon.payouts import repository_verify as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import open_rail
from guerdon.payouts.models import BatchState
from guerdon.payouts.rail import BatchStatus, Rail
from guerdon.txmanager import backing, repository_treasuries
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.treasuries import Finality

_ASKED_AT_ONCE: Final = 200
_LOOKS: Final = 3


@dataclass(frozen=True, slots=True)
class _Purse:
    """A treasury and what pays from it; what it held when the chain was last asked, where there is nothing to ask by."""

    treasury: Treasury
    rail: Rail | None

    async def finality(self) -> Finality:
        """What it holds at finality."""
        if self.rail is None:
            return Finality(self.treasury.balance_block, self.treasury.balance_final)
        return await self.rail.finality()

    async def on_the_way(self, frozen: Mapping[str, int], block: int) -> int:
        """Of what frozen batches are to pay, what the chain has as paid after a block."""
        statuses = {} if self.rail is None else await self.rail.statuses(list(frozen), block)
        return sum(total for name, total in frozen.items() if statuses.get(name) is BatchStatus.PAID)


async def verify_payouts(deps: PayoutDeps) -> list[Finding]:
    """Everything that is wrong; empty when the books and the chain agree."""
    async with deps.database.platform() as session:
        known = [(treasury, asset) for treasury, asset, _ in await repository_treasuries.treasuries(session)]
        findings = [
            _finding(name, row) for name, rows in (await repository.against_themselves(session, SHOWN)).items() for row in rows
        ]
    purses: dict[UUID, list[_Purse]] = {}
    for treasury, asset in known:
        rail = await open_rail(deps, treasury)
        purses.setdefault(asset.id, []).append(_Purse(treasury, rail))
        if rail is not None:
            findings += await _batches(deps, treasury, rail)
    for asset in {asset.id: asset for _, asset in known}.values():
        findings += await _promises(deps, asset, purses[asset.id])
    findings += [_finding(name, row) for name, row in await drops_verify.against_the_chain(deps)]
    return findings


async def _batches(deps: PayoutDeps, treasury: Treasury, rail: Rail) -> list[Finding]:
    """Batches that the chain sees otherwise: paid ones that are not paid there, dissolved ones that are."""
    async with deps.database.platform() as session:
        ended = await repository.ended_batches(session, treasury.id)
    findings: list[Finding] = []
    for start in range(0, len(ended), _ASKED_AT_ONCE):
        some = ended[start : start + _ASKED_AT_ONCE]
        statuses = await rail.statuses([batch.chain_batch_id for batch in some])
        for batch in some:
            status = statuses[batch.chain_batch_id]
            if (status is BatchStatus.PAID) != (batch.state == BatchState.PAID):
                row = {"subject": batch.batch_id, "here": batch.state, "on_chain": status.name.lower()}
                findings.append(_finding("batches are on chain what they are here", row))
    return findings[:SHOWN]


async def _promises(deps: PayoutDeps, asset: Asset, purses: Sequence[_Purse]) -> list[Finding]:
    """Whether the asset's treasuries hold, at finality, what all programs together may still give or owe (SAFETY S3)."""
    row: dict[str, Any] = {}
    # The chain first, then the books; what moves in between is seen again.
    for _ in range(_LOOKS):
        finalities = [await purse.finality() for purse in purses]
        async with deps.database.platform() as session:
            books = await backing.books(session, asset)
            frozen = [await repository.frozen_batches(session, purse.treasury.id) for purse in purses]
            ways = [await backing.vault_of(session, asset, purse.treasury, 0, books) for purse in purses]
        on_the_way = [
            await purse.on_the_way(batches, seen.block_number)
            + await drops_verify.lying_in_drops(deps, purse.treasury, seen.block_number)
            for purse, batches, seen in zip(purses, frozen, finalities, strict=True)
        ]
        held = [seen.balance + moving for seen, moving in zip(finalities, on_the_way, strict=True)]
        vaults = [replace(vault, held_atomic=amount) for found, amount in zip(ways, held, strict=True) for vault in found]
        missing = backing.missing_points(books.promised, vaults)
        if missing <= 0:
            return []
        row = {
            "subject": ", ".join(purse.treasury.address for purse in purses),
            "asset": asset.symbol,
            "promised_points": str(books.promised.points),
            "missing_points": str(missing),
            "held_atomic": ", ".join(str(seen.balance) for seen in finalities),
            "paid_and_not_posted_atomic": ", ".join(str(moving) for moving in on_the_way),
        }
    return [_finding("funds and what is owed are backed by the treasury", row)]


def _finding(check: str, row: dict[str, Any]) -> Finding:
    program: UUID = row.pop("program_id", None) or PLATFORM_PROGRAM_ID
    return Finding(check, program, str(row.pop("subject")), row)
