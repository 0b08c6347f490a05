"""Tokens that are made when a program is funded, into the treasury: by `RewardMinter` on EVM networks, which keeps the daily cap
and "once for each id" (SAFETY S29); on a Solana by the treasury's own key, where the token says that it may.
"""

from __future__ import annotations

from uuid import UUID

from guerdon.chains import contracts
from guerdon.chains.solana import instructions, messages
from guerdon.chains.solana.tokens import Mint, associated_address
from guerdon.kit.database import PlatformSession
from guerdon.txmanager import repository_keys, repository_options, service
from guerdon.txmanager.errors_treasuries import NotDeployedError
from guerdon.txmanager.models import KeyPurpose, Treasury

KIND = "mint"


def minter_name(symbol: str) -> str:
    """What the minter of an asset is called in the table `contracts`."""
    return f"RewardMinter:{symbol}"


async def queue_mint(session: PlatformSession, treasury: Treasury, *, amount_atomic: int, ref: UUID, work_kind: str) -> UUID:
    """Mint into a treasury of an EVM network, once for `ref`, whatever is repeated. Raises `NotDeployedError`."""
    minter = await repository_options.minter_of(session, treasury.network, treasury.token_address)
    keys = [key for key in await repository_keys.keys(session, treasury.network) if key.purpose == KeyPurpose.MINTER]
    if minter is None or not keys:
        raise NotDeployedError
    return await service.queue(
        session,
        key_id=keys[0].id,
        network=treasury.network,
        kind=KIND,
        to=minter,
        data=contracts.mint_call(treasury.token_address, ref.bytes, treasury.address, amount_atomic),
        ref=ref,
        work_kind=work_kind,
    )


def why_not(mint: Mint, treasury: Treasury, amount_atomic: int) -> str | None:
    """Why a treasury's key can't make so much of a token of a Solana, as the chain had it when it was asked; None if it can."""
    if mint.address != treasury.token_address:
        return f"the treasury has another token by now: {treasury.token_address}"
    if mint.decimals != treasury.token_decimals:
        return f"the token has {mint.decimals} decimals, and not {treasury.token_decimals}"
    if mint.problem is not None:
        return mint.problem
    if mint.authority is None:
        return "nobody can make more of this token: it has no mint authority"
    if mint.authority != treasury.address:
        return f"the mint authority of the token is {mint.authority}, and not the treasury {treasury.address}"
    if amount_atomic > instructions.LARGEST_AMOUNT:
        return "the amount is larger than a token account can hold"
    return None


async def queue_mint_on_solana(
    session: PlatformSession, treasury: Treasury, mint: Mint, *, amount_atomic: int, ref: UUID, work_kind: str
) -> UUID:
    """Mint into a treasury of a Solana, once for `ref`: the transaction's marker is named after it (SAFETY S18).

    `why_not` has nothing against it; what changes on the chain after that is found when the transaction is simulated.
    """
    key = treasury.address
    wanted = [
        instructions.create_token_account(key, key, mint),
        instructions.mint_to_checked(associated_address(key, mint), key, mint, amount_atomic),
    ]
    return await service.queue(
        session,
        key_id=treasury.key_id,
        network=treasury.network,
        kind=KIND,
        to=None,
        data=messages.pack(key, wanted),
        value_wei=mint.account_rent,
        ref=ref,
        work_kind=work_kind,
        intent_id=ref,
    )
