"""Payouts against the chain: reservations against batches, batches against the distributor, promises against treasuries (S3).

The books against themselves are `ledger/verify.py`. Reads only; what is in flight while it runs is not counted as wrong.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from guerdon.chains.contracts import BatchStatus
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.ledger.models import Asset
from guerdon.ledger.verify import SHOWN, Finding
from guerdon.payouts import repository_verify as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import Distributor, open_distributor
from guerdon.payouts.models import BatchState
from guerdon.txmanager import repository_treasuries
from guerdon.txmanager.models import Treasury

_ASKED_AT_ONCE: Final = 200
_LOOKS: Final = 3


async def verify_payouts(deps: PayoutDeps) -> list[Finding]:
    """Everything that is wrong; empty when the books and the chain agree."""
    async with deps.database.platform() as session:
        known = [(treasury, asset) for treasury, asset, _ in await repository_treasuries.treasuries(session)]
        findings = [
            _finding(name, row) for name, rows in (await repository.against_themselves(session, SHOWN)).items() for row in rows
        ]
    for treasury, asset in known:
        distributor = await open_distributor(deps, treasury)
        if distributor is not None:
            findings += await _batches(deps, treasury, distributor)
            findings += await _promises(deps, treasury, asset, distributor)
    return findings


async def _batches(deps: PayoutDeps, treasury: Treasury, distributor: Distributor) -> list[Finding]:
    """Batches that the chain sees otherwise: paid ones that are not paid there, dissolved ones that are."""
    async with deps.database.platform() as session:
        ended = await repository.ended_batches(session, treasury.id)
    findings: list[Finding] = []
    for start in range(0, len(ended), _ASKED_AT_ONCE):
        some = ended[start : start + _ASKED_AT_ONCE]
        statuses = await distributor.statuses([batch.chain_batch_id for batch in some])
        for batch in some:
            status = statuses[batch.chain_batch_id]
            if (status is BatchStatus.PAID) != (batch.state == BatchState.PAID):
                row = {"subject": batch.batch_id, "here": batch.state, "on_chain": status.name.lower()}
                findings.append(_finding("batches are on chain what they are here", row))
    return findings[:SHOWN]


async def _promises(deps: PayoutDeps, treasury: Treasury, asset: Asset, distributor: Distributor) -> list[Finding]:
    """Whether the treasury holds, at finality, what all programs together may still give or owe."""
    row: dict[str, Any] = {}
    # The chain first, then the books; what moves in between is seen again.
    for _ in range(_LOOKS):
        finality = await distributor.finality()
        async with deps.database.platform() as session:
            promised = await repository_treasuries.promised_points(session, asset.id) * asset.atomic_per_point
            frozen = await repository.frozen_batches(session, treasury.id)
        statuses = await distributor.statuses(list(frozen), finality.block_number)
        on_the_way = sum(total for name, total in frozen.items() if statuses[name] is BatchStatus.PAID)
        if promised <= finality.balance + on_the_way:
            return []
        row = {
            "subject": treasury.address,
            "asset": asset.symbol,
            "promised_atomic": str(promised),
            "held_atomic": str(finality.balance),
            "paid_and_not_posted_atomic": str(on_the_way),
        }
    return [_finding("funds and what is owed are backed by the treasury", row)]


def _finding(check: str, row: dict[str, Any]) -> Finding:
    program: UUID = row.pop("program_id", None) or PLATFORM_PROGRAM_ID
    return Finding(check, program, str(row.pop("subject")), row)
