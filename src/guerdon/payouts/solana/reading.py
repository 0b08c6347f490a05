"""What payouts ask of a Solana's node, beside what the engine asks: accounts, balances at finality, trying a payment out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from guerdon.chains.port import BadAnswerError
from guerdon.payouts.solana import tokens
from guerdon.payouts.solana.tokens import Account, Mint, NotATokenError
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.solana import messages
from guerdon.txmanager.solana.answers import Trial
from guerdon.txmanager.solana.chain import ACCOUNTS_A_CALL, SolanaChain
from guerdon.txmanager.treasuries import Finality

_CONFIRMED: Final = "confirmed"
_FINALIZED: Final = "finalized"


class Reader:
    """Bound to one network. An answer that can't be understood raises: it is never "there is no such account" (SAFETY S35)."""

    def __init__(self, rpc: Rpc, genesis_hash: str | None) -> None:
        self._rpc = rpc
        self._chain = SolanaChain(rpc)
        if genesis_hash is not None:
            self._chain.expect(genesis_hash)

    async def accounts(self, addresses: Sequence[str], commitment: str = _CONFIRMED) -> dict[str, Account | None]:
        """Accounts by their addresses; None where there is none."""
        wanted = list(dict.fromkeys(addresses))
        return (await self._accounts(wanted, commitment))[1]

    async def _accounts(self, wanted: Sequence[str], commitment: str) -> tuple[int, dict[str, Account | None]]:
        """With the oldest slot that any of it is of."""
        found: dict[str, Account | None] = {}
        slots: list[int] = []
        for start in range(0, len(wanted), ACCOUNTS_A_CALL):
            part = wanted[start : start + ACCOUNTS_A_CALL]
            slot, values = await self._chain.accounts(part, commitment)
            slots.append(slot)
            found |= {address: _account(value) for address, value in zip(part, values, strict=True)}
        return min(slots, default=0), found

    async def lamports(self, address: str) -> int:
        """Of an account, confirmed."""
        return await self._chain.balance(address)

    async def mint(self, address: str) -> Mint:
        """A token. Raises `NotATokenError`."""
        return tokens.read_mint(address, (await self.accounts([address]))[address])

    async def finality(self, owner: str, token: str) -> Finality:
        """What a wallet holds of a token after the finalized slot."""
        mint = await self.mint(token)
        at = tokens.account_address(owner, mint)
        slot, found = await self._accounts([at], _FINALIZED)
        account = found[at]
        if account is None:
            return Finality(slot, 0)
        try:
            read = tokens.read_account(account)
        except NotATokenError:
            return Finality(slot, 0)
        return Finality(slot, read.amount if (read.owner, read.mint) == (owner, token) else 0)

    async def markers(self, address: str, markers: Sequence[str], slot: int | None) -> dict[str, bool]:
        """Which markers exist at finality, by a node that has reached `slot`."""
        return await self._chain.markers(address, markers, slot or 0)

    async def try_out(self, address: str, data: bytes, marker_for: UUID | None) -> Trial:
        """What a transaction of an address would do now."""
        survey = await self._chain.survey(address)
        message = messages.message_of(
            address, data, marker_for=marker_for, units=messages.MOST_UNITS, unit_price=0, blockhash=survey.blockhash
        )
        (trial,) = await self._chain.try_out([messages.transaction_of(message, None)], address, survey.slot)
        return trial


def _account(value: Any) -> Account | None:
    if value is None:
        return None
    try:
        return Account(
            owner=str(value["owner"]), lamports=int(value["lamports"]),
            data=base64.b64decode(value["data"][0], validate=True), executable=bool(value["executable"]),
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, ValueError, binascii.Error):
        raise BadAnswerError("The chain's node answered with something that is not an account.") from None
