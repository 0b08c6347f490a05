"""Claims as members ask for them: points are held, the rate and the tokens fixed, in one transaction (SAFETY S13, S14).

Whether one may be made is `decision.py`; reviews are `review.py`; what is looked at again before it is paid is `checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from guerdon.accounts import addresses, denials
from guerdon.accounts.addresses import Destination
from guerdon.accounts.errors import NetworkUnknownError
from guerdon.accounts.forms import SOLANA, canonical, network_named
from guerdon.chains.networks import EIP155
from guerdon.kit import jobs, outbox
from guerdon.kit.database import ScopedSession, transaction_time
from guerdon.kit.ids import uuid7
from guerdon.kit.outbox import Severity
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, Delivered, Delivery, DeliveryState, PayoutOption, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import alerts
from guerdon.payouts.claims import repository
from guerdon.payouts.claims.decision import Granted, Offer, Standing, Terms, best_offer, choose_option, decide
from guerdon.payouts.claims.errors import ClaimsClosedError
from guerdon.payouts.claims.models import Claim
from guerdon.payouts.claims.repository import ClaimRow
from guerdon.payouts.models import Work
from guerdon.programs.models import Program
from guerdon.txmanager import repository_options, repository_rates, repository_treasuries
from guerdon.txmanager.models import Network


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """What a member asks for. Without network and token: the default of the destination's namespace."""

    points: int
    destination: str
    network: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """How a claim is paid, and to whom."""

    offer: Offer
    destination: Destination


async def offered(session: ScopedSession, program: Program) -> list[PayoutOption]:
    """In what a program's points can be claimed now: options that are enabled and have a treasury."""
    asset = await session.get_one(Asset, program.asset_id)
    if asset.delivery != Delivered.ON_CLAIM:
        return []
    found = await repository_options.options(session, asset.id)
    networks = {treasury.network for treasury in await repository_treasuries.treasuries_of_asset(session, asset.id)}
    return [option for option, _ in found if option.enabled and option.network in networks]


async def offers(session: ScopedSession, program: Program) -> list[Offer]:
    """The same, at the rates that are in force now."""
    rates = await repository_rates.in_force(session, program.id, program.asset_id)
    return [best_offer(option, rates) for option in await offered(session, program)]


async def request_claim(session: ScopedSession, program: Program, account_id: UUID, wanted: ClaimRequest) -> ClaimRow:
    """Hold the points and have the tokens sent, or an operator asked; in the program's scope.

    Raises `InvalidAddressError`, `AddressNotProvenError`, `AddressWaitsError`, `AddressDeniedError`, `ClaimsClosedError`,
    `PayoutOptionNotFoundError`, and as `decide` does.
    """
    # Else a rate that was lowered meanwhile, or a campaign's that is over, would let other points have the tokens that this
    # claim fixes (SAFETY S3, S14).
    await repository_options.hold(session, program.asset_id)
    way = await _way(session, program, account_id, wanted)
    key = (program.asset_id, account_id)
    # From here on claims, reversals and earnings of this account come one after the other.
    balance = (await ledger_repository.lock_account_balances(session, program.id, [key]))[key]
    option, rate, now = way.offer.option, way.offer.rate, await transaction_time(session)
    before = await repository.claimed_before(
        session, program.id, account_id, asset_id=program.asset_id, network=option.network,
        period_seconds=option.period_seconds or 0, cooldown_seconds=option.cooldown_seconds, now=now,
    )  # fmt: skip
    standing = Standing(
        balance.available, balance.debt, before.in_period, before.first_in_period, before.last_at, before.in_a_day
    )
    granted = decide(wanted.points, standing, Terms(way.offer, program.claim_review_points), now)
    claim_id = uuid7()
    hold = Movement(PostingKind.HOLD, claim_id, program.asset_id, granted.points, account_id)
    await ledger.post(session, program.id, [hold], now)
    state = DeliveryState.APPROVED if granted.review_reason is None else DeliveryState.IN_REVIEW
    delivery = Delivery(
        program_id=program.id, id=claim_id, asset_id=program.asset_id, account_id=account_id, kind="claim", state=state,
        points=granted.points, amount_atomic=granted.amount_atomic, destination=way.destination.address, network=option.network,
        reason=granted.review_reason, requested_at=now, updated_at=now,
    )  # fmt: skip
    claim = Claim(
        program_id=program.id, id=claim_id, account_id=account_id, asset_id=program.asset_id, network=option.network,
        token_address=option.token_address, atomic_numerator=rate.atomic_numerator, points_denominator=rate.points_denominator,
        campaign_id=None if way.offer.campaign is None else way.offer.campaign.campaign_id,
        points_requested=wanted.points, address_id=way.destination.address_id,
        review_reason=granted.review_reason, created_at=now,
    )  # fmt: skip
    await repository.insert_claim(session, delivery, claim)
    await _tell(session, program.id, claim, granted)
    return claim, delivery


async def _way(session: ScopedSession, program: Program, account_id: UUID, wanted: ClaimRequest) -> _Way:
    # An EVM address begins with 0x, which base58 can't: it has no zero.
    namespace = EIP155 if wanted.destination.strip().lower().startswith("0x") else SOLANA
    address = canonical(namespace, wanted.destination)
    options = await offered(session, program)
    if not options:
        raise ClaimsClosedError
    option = choose_option(options, namespace, network=_network(wanted.network, options), token=wanted.token)
    network = await session.get_one(Network, option.network)
    now = await transaction_time(session)
    found = await addresses.destination(session, program.id, account_id, namespace, network.chain_id, address, now)
    await denials.require_not_denied(session, program.id, address)
    return _Way(best_offer(option, await repository_rates.in_force(session, program.id, program.asset_id)), found)


def _network(name: str | None, options: list[PayoutOption]) -> str | None:
    """A network by the name that its option has: operators may have named one of their own."""
    if name is None or any(option.network == name for option in options):
        return name
    try:
        return network_named(name).name
    except NetworkUnknownError:
        return name


async def _tell(session: ScopedSession, program_id: UUID, claim: Claim, granted: Granted) -> None:
    told = {"claim": str(claim.id), "points": str(granted.points), "amountAtomic": str(granted.amount_atomic)}
    await outbox.append(session, "claim.requested", told, program_id=program_id)
    if granted.review_reason is None:
        await jobs.wake(session, Work.RESERVE, program_id)
        return
    await ask_operator(session, program_id, claim.id, granted.review_reason)


async def ask_operator(session: ScopedSession, program_id: UUID, claim_id: UUID, reason: str) -> None:
    """Raise the alert of a claim that waits for a review."""
    await outbox.raise_alert(
        session,
        alerts.REVIEW,
        str(claim_id),
        severity=Severity.WARNING,
        program_id=program_id,
        message=f"claim {claim_id} waits for a review: {reason}",
        remedy=f"`guerdon claim approve {claim_id} --reason …`, or `guerdon claim refuse {claim_id} --reason …`.",
    )
