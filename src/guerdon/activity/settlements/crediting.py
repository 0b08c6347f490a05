"""From proven payments to points: whose they are, whether they count, then earning's own booking. Nothing here commits.

The same functions, on the same keys, for what arrives, for back-fill and for the reconciler: running any of them again changes
nothing. Payments are locked by their ids, before accounts and everything that booking locks after them (SAFETY S15).
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
from guerdon.activity.settlements.proofs import Landed, settlement_id
from guerdon.activity.settlements.repository_settlements import NOBODY, WAITS, Credited, Row
from guerdon.chains.networks import EIP155
from guerdon.earning.repository_volume import terms_of
from guerdon.earning.volume_booking import Repeated, credit
from guerdon.earning.volume_state import SettlementEarned
from guerdon.earning.volume_terms import Credit, Settled, VolumeTerms
from guerdon.kit.database import ProgramSession

SELF_PAYMENT = "self_payment"
DENIED = "denied"
NO_VOLUME = "no_volume"
TOO_LARGE = "too_large"
NO_PROGRAM = "no_program"
_MOST_INCLUSIONS = 10
"""A payment that was taken back and came again so often is left to an operator."""


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
    """Keep what was proven, and credit what is new of it; how many payments were new."""
    rows = [row for one in proven for row in _rows(one, around)]
    new_ids = await repository_settlements.put(session, program_id, rows, around.now)
    new = [row for row in {row.id: row for row in rows}.values() if row.id in new_ids]
    known = [one for one in proven if any(row_id not in new_ids for row_id in _ids(one))]
    new += await _come_again(session, program_id, known, around)
    await credit_rows(session, program_id, new, around)
    return len(new)


async def credit_rows(session: ProgramSession, program_id: UUID, rows: Sequence[Row], around: Surroundings) -> int:
    """Credit payments that are locked and that nobody was credited for yet; how many were."""
    if not rows:
        return 0
    terms = await terms_of(session, program_id)
    if terms is None:
        await _write(session, program_id, [Credited(row.id, None, NO_PROGRAM) for row in rows], around)
        return 0
    excluded = await _excluded(session, program_id, rows)
    counted = [row for row in rows if row.id not in excluded]
    owners = await _Owners.of(session, program_id, counted, terms, around)
    owned = [row for row in counted if row.id in owners.accounts]
    reviews = await flagging.flag(session, program_id, owned, owners, around.now)
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
    await _write(session, program_id, told, around)
    if reviews:
        await flagging.tell(session, program_id)
    return sum(one.account_id is not None for one in told)


async def _write(session: ProgramSession, program_id: UUID, told: Sequence[Credited], around: Surroundings) -> None:
    await repository_settlements.set_credited(session, program_id, told, around.now)


def _ids(one: Proven) -> list[UUID]:
    return [settlement_id(one.network, one.landed.transaction_hash, payment.place) for payment in one.landed.payments]


def _rows(one: Proven, around: Surroundings, *, inclusion: int = 1) -> list[Row]:
    landed, assets = one.landed, around.assets.get(one.network.name, {})
    return [
        Row(
            id=settlement_id(one.network, landed.transaction_hash, payment.place, inclusion),
            network=one.network.name,
            transaction_hash=landed.transaction_hash,
            place=payment.place,
            source_id=one.source_id,
            asset_address=payment.asset,
            payer=payment.payer,
            payee=payment.payee,
            amount_atomic=payment.amount,
            volume_micro_usd=min(assets[payment.asset].volume_micro_usd(payment.amount), LARGEST_VOLUME),
            block_number=landed.block_number,
            block_hash=landed.block_hash,
            settled_at=landed.settled_at,
            state=SettlementState.FINAL if landed.is_final else SettlementState.INCLUDED,
        )
        for payment in landed.payments
        # One that was taken off the list since the chain was asked counts no more.
        if payment.asset in assets
    ]


async def _come_again(session: ProgramSession, program_id: UUID, known: Sequence[Proven], around: Surroundings) -> list[Row]:
    """Payments that were taken back after a reorganisation and are in a block again: new ones, once each.

    Of whatever a payment was taken back as, the row is locked, so that two who see it come again agree on its number.
    """
    found: list[Row] = []
    for one in known:
        rows, inclusion = {row.place: row for row in _rows(one, around)}, 1
        while rows and inclusion <= _MOST_INCLUSIONS:
            locked = await repository_settlements.lock(session, program_id, [row.id for row in rows.values()])
            gone = {row.place for row in locked.values() if row.state == SettlementState.REORGANISED}
            inclusion += 1
            following = {row.place: row for row in _rows(one, around, inclusion=inclusion) if row.place in gone}
            new = await repository_settlements.put(session, program_id, list(following.values()), around.now)
            found += [row for row in following.values() if row.id in new]
            rows = {place: row for place, row in following.items() if row.id not in new}
    return found


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
