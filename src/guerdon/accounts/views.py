"""Accounts and addresses as they are shown."""

from __future__ import annotations

from guerdon.accounts.forms import shown
from guerdon.accounts.models import Account, Address, ProofMethod
from guerdon.accounts.models_members import Challenge, Purpose
from guerdon.accounts.registry import Registered
from guerdon.accounts.repository_addresses import address_by_id
from guerdon.accounts.schemas import (
    AccountView,
    AddressToProve,
    AddressView,
    ChallengeView,
    OperatorAddressView,
    TransferView,
)
from guerdon.kit.database import ScopedSession
from guerdon.ledger.repository import account_balance
from guerdon.programs.models import Program
from guerdon.programs.repository import asset_symbols


async def account_view(session: ScopedSession, program: Program, account: Account, tier: str) -> AccountView:
    """An account with its points of the program's own asset, and its tier."""
    balance = await account_balance(session, program.id, program.asset_id, account.id)
    symbols = await asset_symbols(session, [program.asset_id])
    primary = None
    if account.primary_address_id is not None:
        row = await address_by_id(session, program.id, account.primary_address_id)
        primary = None if row is None else shown(row.namespace, row.address)
    return AccountView(
        id=account.id,
        brand_id=program.brand_id,
        user_id=account.user_id,
        primary_address=primary,
        earned_points=0 if balance is None else balance.earned,
        claimed_points=0 if balance is None else balance.claimed,
        available_points=0 if balance is None else balance.available,
        tier=tier,
        asset=symbols[program.asset_id],
        created_at=account.created_at,
        updated_at=account.updated_at or account.created_at,
    )


def challenge_view(challenge: Challenge) -> ChallengeView:
    """What is to be signed or sent."""
    transfer = None
    if challenge.transfer_to is not None and challenge.transfer_amount is not None:
        transfer = TransferView(network=challenge.network, to=challenge.transfer_to, amount=challenge.transfer_amount)
    return ChallengeView(
        message=challenge.message,
        nonce=challenge.nonce,
        expires_at=challenge.expires_at,
        purpose=Purpose(challenge.purpose),
        transfer=transfer,
    )


def address_view(address: Address, account: Account) -> AddressView:
    """An address of the account."""
    return AddressView(
        id=address.id,
        rewards_account_id=address.account_id,
        network=address.network,
        address=shown(address.namespace, address.address),
        verified=address.verified_at is not None,
        namespace=address.namespace,
        chain_id=address.chain_id,
        method=None if address.proof_method is None else ProofMethod(address.proof_method),
        verified_at=address.verified_at,
        usable_from=address.usable_from,
        primary=account.primary_address_id == address.id,
        created_at=address.created_at,
    )


def operator_view(address: Address) -> OperatorAddressView:
    """An address as operators see it."""
    return OperatorAddressView(
        id=address.id,
        account_id=address.account_id,
        network=address.network,
        address=shown(address.namespace, address.address),
        verified=address.verified_at is not None,
        chain_id=address.chain_id,
        method=None if address.proof_method is None else ProofMethod(address.proof_method),
        verified_at=address.verified_at,
        usable_from=address.usable_from,
        created_at=address.created_at,
    )


def to_prove_view(registered: Registered, account: Account) -> AddressToProve:
    """An address with its challenge."""
    view = address_view(registered.address, account)
    challenge = None if registered.challenge is None else challenge_view(registered.challenge)
    return AddressToProve(**view.model_dump(), challenge=challenge)
