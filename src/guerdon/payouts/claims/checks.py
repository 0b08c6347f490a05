"""What of a claim is looked at again when it is about to be reserved (SAFETY S5, S7): whose its destination is, and whether
anything may be sent there. What does not pass leaves the queue in a transaction of its own, with its points or for a review.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

import structlog

from guerdon.accounts import addresses, denials, repository_addresses
from guerdon.accounts.errors import AddressNotProvenError
from guerdon.accounts.models import Address
from guerdon.chains.port import ChainUnavailableError
from guerdon.kit import outbox
from guerdon.kit.database import Database, ProgramSession, ScopedSession, run_in_program, transaction_time
from guerdon.kit.errors import GuerdonError
from guerdon.ledger.models import Delivery, DeliveryState
from guerdon.payouts.claims import repository
from guerdon.payouts.claims.review import locked
from guerdon.payouts.claims.service import ask_operator
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.releasing import give_points_back
from guerdon.payouts.repository import Waiting
from guerdon.txmanager.models import Network, Treasury

NOT_OWNED = "its destination is not a proven address of the account any more"
DENIED = "its destination is on the deny-list"

log = structlog.get_logger("guerdon.claims")


async def doubtful(session: ScopedSession, program_id: UUID, waiting: Sequence[Waiting]) -> set[UUID]:
    """Of these claims, those that must not be reserved. Writes nothing: their balances come before what is locked here."""
    if not waiting:
        return set()
    now = await transaction_time(session)
    disowned = await repository.disowned(session, program_id, [one.delivery_id for one in waiting], now)
    refused = await denials.denied(session, program_id, [one.destination for one in waiting])
    return disowned | {one.delivery_id for one in waiting if one.destination in refused}


async def payable_destination(session: ScopedSession, delivery: Delivery, address: str) -> str:
    """An address of a claim's account that may be paid now, as it is written for its chain.

    Raises `InvalidAddressError`, `AddressNotProvenError`, `AddressWaitsError`, `AddressDeniedError`.
    """
    network = await session.get_one(Network, str(delivery.network))
    found = await addresses.destination(
        session, delivery.program_id, delivery.account_id, network.namespace, network.chain_id, address,
        await transaction_time(session),
    )  # fmt: skip
    await denials.require_not_denied(session, delivery.program_id, found.address)
    return found.address


async def confirm(deps: PayoutDeps, program_id: UUID, treasury: Treasury) -> frozenset[UUID]:
    """Of the claims that wait for a treasury and go to contract wallets, those whose wallet still says that it is the account's.

    Their chains are asked, so this is outside of any transaction. Where one says otherwise its claim is refused; where
    nobody knows, it waits.
    """
    async with deps.database.program(program_id) as session:
        waiting = await repository.to_contract_wallets(
            session, program_id, treasury.asset_id, treasury.network, deps.terms.batch_size
        )
        wallets = {place: await repository_addresses.address_by_id(session, program_id, place) for _, place in waiting}
    said = {place: wallet is not None and await _still_holds(deps, wallet) for place, wallet in wallets.items()}
    gone = {claim_id for claim_id, place in waiting if said[place] is False}
    if gone:
        await turn_away(deps.database, program_id, gone, unproven=gone)
    return frozenset(claim_id for claim_id, place in waiting if said[place])


async def _still_holds(deps: PayoutDeps, wallet: Address) -> bool | None:
    """What the chain says of a proof; None where it can't be asked now."""
    try:
        return await deps.prover.still_holds(wallet)
    except (ChainUnavailableError, GuerdonError) as error:
        log.warning("claims.wallet_not_asked", address=wallet.address, error=str(error))
        return None


async def require_still_proven(deps: PayoutDeps, program_id: UUID, delivery: Delivery, address: str) -> None:
    """Ask the chain before a claim is sent to a contract wallet by hand; other proofs are looked at in the transaction.

    Raises `AddressNotProvenError`, `ChainUnavailableError`.
    """
    async with deps.database.program(program_id) as session:
        network = await session.get_one(Network, str(delivery.network))
        found = await addresses.destination(
            session,
            program_id,
            delivery.account_id,
            network.namespace,
            network.chain_id,
            address,
            await transaction_time(session),
        )
        wallet = (
            None if found.address_id is None else await repository_addresses.address_by_id(session, program_id, found.address_id)
        )
    if wallet is not None and not await deps.prover.still_holds(wallet):
        raise AddressNotProvenError


async def turn_away(
    database: Database, program_id: UUID, claims: Collection[UUID], *, unproven: Collection[UUID] = frozenset()
) -> None:
    """Take claims out of the queue if they still do not pass: refused where the address is not the account's (or, by its chain,
    `unproven`), else for an operator to look at.
    """

    async def one(session: ProgramSession, claim_id: UUID) -> None:
        claim, delivery = await locked(session, program_id, claim_id, DeliveryState.APPROVED)
        if delivery.state != DeliveryState.APPROVED:
            return
        now = await transaction_time(session)
        if await denials.denied(session, program_id, [str(delivery.destination)]):
            delivery.state, delivery.reason, delivery.updated_at = DeliveryState.IN_REVIEW, DENIED, now
            claim.review_reason = DENIED
            claim.reviewed_by, claim.reviewed_at, claim.review_note = None, None, None
            await session.flush()
            await ask_operator(session, program_id, claim_id, DENIED)
        elif claim_id in unproven or await repository.disowned(session, program_id, [claim_id], now):
            await give_points_back(session, delivery, DeliveryState.REFUSED, NOT_OWNED, now)
            told = {"claim": str(claim_id), "reason": NOT_OWNED}
            await outbox.append(session, "claim.refused", told, program_id=program_id)
        log.warning("claims.turned_away", claim=str(claim_id), state=delivery.state, reason=delivery.reason)

    for claim_id in sorted(claims):

        async def turn(session: ProgramSession, claim_id: UUID = claim_id) -> None:
            await one(session, claim_id)

        await run_in_program(database, program_id, turn)
