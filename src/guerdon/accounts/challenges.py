"""Challenges: what somebody is asked to sign, for one purpose, once, within minutes (SAFETY S7)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from guerdon.accounts import repository_members
from guerdon.accounts.errors import ChallengeExpiredError, ChallengeNotFoundError, ChallengeUsedError
from guerdon.accounts.forms import NamedNetwork, shown
from guerdon.accounts.messages import Asked, message
from guerdon.accounts.models_members import Challenge, Purpose
from guerdon.chains.networks import EIP155, SOLANA
from guerdon.kit.database import PlatformSession, ScopedSession, transaction_time
from guerdon.kit.ids import uuid7

LIFE: Final = timedelta(minutes=5)
TRANSFER_LIFE: Final = timedelta(hours=2)
"""Of what is proven by a transfer, which has to become final first: on roll-ups that takes some twenty minutes."""
_NONCE_BYTES: Final = 16
_SMALLEST: Final = {EIP155: "wei", SOLANA: "lamports"}
_TRANSFERS: Final = {EIP155: (10**9, 10**12), SOLANA: (10**3, 10**6)}
"""From, to: a thousandth of a coin at most on Solana, a millionth elsewhere. No exchange pays out so little, or to so many
digits, so that nobody can have somebody else's wallet send just this."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is asked, for what, and by whose page."""

    purpose: Purpose
    origin: str
    network: NamedNetwork
    address: str
    """As it is stored."""
    program_id: UUID | None = None
    brand_id: str | None = None
    account_id: UUID | None = None
    address_id: UUID | None = None
    user_id: UUID | None = None
    transfer_to: str | None = None
    """Set: not a signature is asked for but a transfer to this address."""


async def issue(session: ScopedSession, subject: Subject) -> Challenge:
    """A new challenge. Of one address of an account the challenges before it are good no longer."""
    now = await transaction_time(session)
    if subject.address_id is not None:
        await repository_members.end_challenges_of(session, subject.address_id)
    nonce = secrets.token_hex(_NONCE_BYTES)
    expires_at = now + (LIFE if subject.transfer_to is None else TRANSFER_LIFE)
    amount = _amount(subject.network.namespace)
    network, address = subject.network, subject.address
    if subject.transfer_to is None:
        asked = Asked(
            subject.purpose,
            subject.origin,
            network.name,
            network.namespace,
            network.chain_id,
            address,
            nonce,
            now,
            expires_at,
            program=subject.brand_id,
            account=_text(subject.account_id),
            user=_text(subject.user_id),
        )
        text = message(asked)
    else:
        text = (
            f"Send exactly {amount} {_SMALLEST[network.namespace]} from {shown(network.namespace, address)} to "
            f"{subject.transfer_to} on {network.name}, to link it to Guerdon rewards account {subject.account_id}"
        )
    return await repository_members.insert_challenge(
        session,
        {
            "id": uuid7(),
            "program_id": subject.program_id,
            "purpose": subject.purpose.value,
            "user_id": subject.user_id,
            "account_id": subject.account_id,
            "address_id": subject.address_id,
            "network": network.name,
            "namespace": network.namespace,
            "chain_id": network.chain_id,
            "address": address,
            "nonce": nonce,
            "message": text,
            "transfer_to": subject.transfer_to,
            "transfer_amount": None if subject.transfer_to is None else amount,
            "expires_at": expires_at,
            "used_at": None,
            "created_at": now,
        },
    )


def _amount(namespace: str) -> int:
    least, most = _TRANSFERS[namespace]
    amount = least + secrets.randbelow(most - least)
    # Never a round number: exchanges pay out to eight digits.
    return amount if amount % 10 else amount + 1


async def of_nonce(session: PlatformSession, nonce: str, purpose: Purpose, *, user_id: UUID | None = None) -> Challenge:
    """The challenge of a nonce, if it is for that, and that user, and still good.

    Raises `ChallengeNotFoundError` and those of `require_good`.
    """
    found = await repository_members.challenge_by_nonce(session, nonce)
    if found is None or found.purpose != purpose or found.user_id != user_id:
        raise ChallengeNotFoundError
    return await require_good(session, found)


async def of_address(session: ScopedSession, address_id: UUID) -> Challenge:
    """What an address of an account was asked last, if that is still good. Raises the same."""
    found = await repository_members.latest_challenge_of(session, address_id)
    if found is None:
        raise ChallengeNotFoundError
    return await require_good(session, found)


async def require_good(session: ScopedSession, challenge: Challenge) -> Challenge:
    """The challenge itself. Raises `ChallengeUsedError`, `ChallengeExpiredError`."""
    if challenge.used_at is not None:
        raise ChallengeUsedError
    if challenge.expires_at <= await transaction_time(session):
        raise ChallengeExpiredError
    return challenge


async def use(session: ScopedSession, challenge: Challenge) -> None:
    """Use a challenge up, in the transaction of what it is used for. Raises `ChallengeUsedError` where another was first."""
    if not await repository_members.use_challenge(session, challenge.id):
        raise ChallengeUsedError


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)
