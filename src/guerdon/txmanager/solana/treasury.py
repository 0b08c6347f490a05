"""What a Solana has of a treasury: its token, what it holds at finality, what came in. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guerdon.chains.solana.base58 import from_base58
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.markers import marker_made_by
from guerdon.chains.solana.tokens import Mint, NotATokenError, associated_address, is_to_be_made, read_mint, read_token_account
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.tokens import Incoming
from guerdon.txmanager.treasuries import Finality

_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class SolanaTreasury:
    """Bound to one treasury and its chain."""

    client: SolanaClient
    treasury: Treasury

    async def mint(self) -> Mint:
        """Its token. Raises `NotATokenError`."""
        address = self.treasury.token_address
        found = (await self.client.accounts([address], "confirmed")).found[address]
        if found is None:
            raise NotATokenError(f"there is no token {address} on this network")
        return read_mint(found)

    async def finality(self) -> Finality:
        """What it holds after the finalized slot."""
        mint = await self.mint()
        at = associated_address(self.treasury.address, mint)
        told = await self.client.accounts([at], "finalized")
        account = told.found[at]
        try:
            own = None if account is None or is_to_be_made(account) else read_token_account(account)
        except NotATokenError:
            own = None
        is_ours = own is not None and (own.owner, own.mint) == (self.treasury.address, mint.address)
        return Finality(told.slot, own.amount_atomic if own is not None and is_ours else 0)

    async def incoming(self, transaction: str) -> Incoming | None:
        """What a transaction brought to its token account, net of what it took; None if it is in no block or failed.

        That is one deposit, whatever way it came; its place is the token account's among the transaction's accounts.
        """
        if len(from_base58(transaction) or b"") != _SIGNATURE_BYTES:
            return None
        found = await self.client.transaction(transaction, "finalized")
        is_final = found is not None
        if found is None:
            found = await self.client.transaction(transaction, "confirmed")
        if found is None or not found.succeeded:
            return None
        mint = await self.mint()
        at = associated_address(self.treasury.address, mint)
        held = found.holdings.get(at)
        is_ours = held is not None and (held.owner, held.mint) == (self.treasury.address, mint.address)
        rise = held.after - held.before if held is not None and is_ours else 0
        made = marker_made_by(found, self.treasury.address)
        transfers = {found.accounts.index(at): rise} if rise > 0 else {}
        return Incoming(found.slot, is_final, transfers, None if made is None else made.id)
