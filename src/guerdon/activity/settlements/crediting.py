"""From proven payments to points: whose they are, whether they count, then earning's own booking. Nothing here commits.

The same functions, on the same keys, for what arrives, for back-fill and for the reconciler: running any of them again changes
nothing. Payments are locked before accounts and everything that booking locks after them (SAFETY S15).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from guerdon.accounts.addresses import Ownership, Place, ownerships
from guerdon.accounts.denials import denied
from guerdon.activity.settlements import flagging, repository_settlements
from guerdon.activity.settlements.assets import LARGEST_VOLUME, Listed
from guerdon.activity.settlements.models import SettlementState, Source
from guerdon.activity.settlements.names import Network, Networks
from guerdon.activity.settlements.proofs import Landed, Payment
from guerdon.activity.settlements.repository_settlements import NOBODY, WAITS, Credited, Row
from guerdon.chains.networks import EIP155
from guerdon.earning.repository_volume import terms_of
from guerdon.earning.volume_booking import Repeated, credit
from guerdon.earning.volume_state import SettlementEarned
from guerdon.earning.volume_terms import Credit, Settled, VolumeTerms
from guerdon.kit.database import ProgramSession
from guerdon.kit.ids import uuid7_batch

SELF_PAYMENT = "self_payment"
DENIED = "denied"
NO_VOLUME = "no_volume"
TOO_LARGE = "too_large"
NO_PROGRAM = "no_program"


@dataclass(frozen=True, slots=True)
class Proven:
    """A transaction with payments, and whose signer sent it."""

    network: Network
    source_id: UUID
    landed: Landed


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What crediting needs to know besides the payments."""

    networks: Networks
    sources: Mapping[UUID, Source]
    assets: Mapping[str, Mapping[str, Listed]]
    now: datetime


async def credit_proven(session: ProgramSession, program_id: UUID, proven: Sequence[Proven], around: Surroundings) -> int:
    """Credit what is new of what was proven, and keep it; how many payments were new.

    One that another keeps meanwhile is a unique violation: then nothing may be committed, and it is done again.
    """
    rows = _rows(proven, around)
    known = await repository_settlements.lock_known(session, program_id, [(row.transaction_hash, row.place) for row in rows])
    new = [row for row in rows if (row.transaction_hash, row.place) not in known]
    if new:
        told, flagged = await _credit(session, program_id, new, around)
        # With what came of them: to change a row again would write each of its indexes again.
        await repository_settlements.put(session, program_id, new, told, around.now)
        if flagged:
            await flagging.tell(session, program_id)
    return len(new)


async def credit_rows(session: ProgramSession, program_id: UUID, rows: Sequence[Row], around: Surroundings) -> int:
    """Credit payments that are kept and locked, and that nobody was credited for yet; how many were."""
    if not rows:
        return 0
    told, flagged = await _credit(session, program_id, rows, around)
    await repository_settlements.set_credited(session, program_id, told, around.now)
    if flagged:
        await flagging.tell(session, program_id)
    return sum(one.account_id is not None for one in told)


async def _credit(
    session: ProgramSession, program_id: UUID, rows: Sequence[Row], around: Surroundings
) -> tuple[list[Credited], bool]:
    """(what came of each of these, whether any waits for a review)."""
    terms = await terms_of(session, program_id)
    if terms is None:
        return [Credited(row.id, None, NO_PROGRAM) for row in rows], False
    excluded = await _excluded(session, program_id, rows)
    counted = [row for row in rows if row.id not in excluded]
    owners = await _Owners.of(session, program_id, counted, terms, around)
    owned = [row for row in counted if row.id in owners.accounts]
    reviews = await flagging.flag(session, program_id, owned, rows, owners, around.now)
    outcomes = await credit(
        session,
        program_id,
        [_settled(row, owners.accounts[row.id], reviews.get(row.id), around) for row in owned],
        around.now,
    )
    told = [Credited(row_id, None, why) for row_id, why in excluded.items()]
    told += [Credited(row.id, None, NOBODY) for row in counted if row.id not in owners.accounts]
    for row, outcome in zip(owned, outcomes, strict=True):
        if isinstance(outcome, SettlementEarned | Repeated):
            told.append(Credited(row.id, owners.accounts[row.id], None))
        else:
            told.append(Credited(row.id, None, WAITS if outcome.waits else outcome.reason))
    return told, bool(reviews)


def _rows(proven: Sequence[Proven], around: Surroundings) -> list[Row]:
    """Each payment once, under a new id, in the order of their blocks."""
    found: dict[tuple[str, int], tuple[Proven, Payment, Listed]] = {}
    for one in proven:
        assets = around.assets.get(one.network.name, {})
        for payment in one.landed.payments:
            # One that was taken off the list since the chain was asked counts no more.
            if payment.asset in assets:
                found.setdefault((one.landed.transaction_hash, payment.place), (one, payment, assets[payment.asset]))
    in_order = sorted(found.values(), key=lambda each: (each[0].landed.settled_at, each[0].landed.block_number))
    return [
        Row(
            id=row_id,
            network=one.network.name,
            transaction_hash=one.landed.transaction_hash,
            place=payment.place,
            source_id=one.source_id,
            asset_address=payment.asset,
            payer=payment.payer,
            payee=payment.payee,
            amount_atomic=payment.amount,
            volume_micro_usd=min(asset.volume_micro_usd(payment.amount), LARGEST_VOLUME),
            block_number=one.landed.block_number,
            block_hash=one.landed.block_hash,
            settled_at=one.landed.settled_at,
            state=SettlementState.FINAL if one.landed.is_final else SettlementState.INCLUDED,
        )
        for row_id, (one, payment, asset) in zip(uuid7_batch(len(in_order)), in_order, strict=True)
    ]


async def _excluded(session: ProgramSession, program_id: UUID, rows: Sequence[Row]) -> dict[UUID, str]:
    """Payments that count for nobody, and why."""
    refused = await denied(session, program_id, {address for row in rows for address in (row.payer, row.payee)})
    found: dict[UUID, str] = {}
    for row in rows:
        if row.payer == row.payee:
            found[row.id] = SELF_PAYMENT
        elif row.payer in refused or row.payee in refused:
            found[row.id] = DENIED
        elif row.volume_micro_usd == 0:
            found[row.id] = NO_VOLUME
        elif row.volume_micro_usd >= LARGEST_VOLUME:
            found[row.id] = TOO_LARGE
    return found


@dataclass(frozen=True, slots=True)
class _Owners:
    """Whose both ends of each payment were at its time, and who is credited for it."""

    accounts: dict[UUID, UUID]
    payers: dict[UUID, UUID]
    payees: dict[UUID, UUID]

    @classmethod
    async def of(
        cls, session: ProgramSession, program_id: UUID, rows: Sequence[Row], terms: VolumeTerms, around: Surroundings
    ) -> _Owners:
        places: set[Place] = set()
        for row in rows:
            namespace = around.networks.by_name[row.network].namespace
            places |= {(namespace, row.payer), (namespace, row.payee)}
        known = await ownerships(session, program_id, places)
        payers = _owned(rows, known, "payer", terms, around)
        payees = _owned(rows, known, "payee", terms, around)
        return cls(payers if terms.credit is Credit.PAYER else payees, payers, payees)


def _owned(
    rows: Sequence[Row], known: Mapping[Place, Sequence[Ownership]], side: str, terms: VolumeTerms, around: Surroundings
) -> dict[UUID, UUID]:
    found: dict[UUID, UUID] = {}
    for row in rows:
        network = around.networks.by_name[row.network]
        chain_id = int(network.reference) if network.namespace == EIP155 else None
        address = row.payer if side == "payer" else row.payee
        owner = owner_at(known.get((network.namespace, address), ()), row.settled_at, chain_id, terms.backdate_days)
        if owner is not None:
            found[row.id] = owner
    return found


def owner_at(owned: Sequence[Ownership], at: datetime, chain_id: int | None, backdate_days: int) -> UUID | None:
    """Whose an address was at that time; else, where the program credits so many days back, who proved it first after."""
    for one in owned:
        if one.holds(at, chain_id):
            return one.account_id
    later = [
        one
        for one in owned
        if at < one.since <= at + timedelta(days=backdate_days) and (one.chain_id is None or one.chain_id == chain_id)
    ]
    return min(later, key=lambda one: one.since).account_id if later else None


def _settled(row: Row, account_id: UUID, review: str | None, around: Surroundings) -> Settled:
    source = around.sources.get(row.source_id)
    return Settled(
        id=row.id,
        account_id=account_id,
        payer=f"{around.networks.by_name[row.network].namespace}:{row.payer}",
        volume_micro_usd=row.volume_micro_usd,
        settled_at=row.settled_at,
        source_id=row.source_id,
        facilitator_id=None if source is None else source.facilitator_id,
        is_final=row.state == SettlementState.FINAL,
        review=review,
    )
