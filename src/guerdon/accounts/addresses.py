"""Whose an address is, and where tokens of an account may go: what the rest of the house asks of the registry.

How an address becomes an account's is `registry.py`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from guerdon.accounts import repository, repository_addresses
from guerdon.accounts.errors import AddressNotProvenError, AddressWaitsError, InvalidAddressError
from guerdon.accounts.forms import canonical, shown
from guerdon.chains.networks import EIP155
from guerdon.kit.database import ScopedSession

CREDIT_WORK: Final = "settlements.credit"
"""Woken when an address is proven: its payments from before may count now."""
BUILT_IN: Final = "built_in"
"""The method of a `Destination` that is the account's own built-in wallet, which needs no proof."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """When an address belonged to an account: from `since`, before `until` (None: it still does)."""

    account_id: UUID
    address_id: UUID
    chain_id: int | None
    """Set: on this chain alone (SAFETY S7)."""
    since: datetime
    until: datetime | None

    def holds(self, at: datetime, chain_id: int | None) -> bool:
        """Did it belong to the account at that time, on that chain (None: of a namespace without chain ids)?"""
        covers = self.chain_id is None or self.chain_id == chain_id
        return covers and self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where tokens of an account may go now."""

    address_id: UUID | None
    """None: the account's built-in wallet."""
    address: str
    """EVM checksummed, Solana as it is."""
    method: str
    """How it was proven (`ProofMethod`), or `built_in`. A contract wallet's proof is to be checked again when a payout is
    reserved (SAFETY S7): `proofs.still_holds`."""


Place = tuple[str, str]
"""(namespace, address)."""


async def ownerships(session: ScopedSession, program_id: UUID, places: Collection[Place]) -> dict[Place, list[Ownership]]:
    """Who has had each of these addresses and when, in the order of time; by the places as given, without those nobody had.

    One statement for all of them. EVM addresses may be in any case; what is no address nobody has.
    """
    by_form: dict[Place, list[Place]] = {}
    for namespace, address in places:
        try:
            by_form.setdefault((namespace, canonical(namespace, address)), []).append((namespace, address))
        except InvalidAddressError:
            continue
    if not by_form:
        return {}
    found: dict[Place, list[Ownership]] = {}
    rows = await repository_addresses.ownership_rows(
        session, program_id, [namespace for namespace, _ in by_form], [address for _, address in by_form]
    )
    for row in rows:
        owned = Ownership(row["account_id"], row["id"], row["chain_id"], row["verified_at"], row["removed_at"])
        for given in by_form[row["namespace"], row["address"]]:
            found.setdefault(given, []).append(owned)
    return found


async def destination(  # noqa: PLR0917 - one place after the other, from the program down to the address
    session: ScopedSession,
    program_id: UUID,
    account_id: UUID,
    namespace: str,
    chain_id: int | None,
    address: str,
    now: datetime,
) -> Destination:
    """The account's right to have tokens sent to this address, on this chain, now (SAFETY S5).

    Its built-in wallet, or an address that it has proven and that does not wait. Raises `InvalidAddressError`,
    `AddressNotProvenError`, `AddressWaitsError`.
    """
    form = canonical(namespace, address)
    proven = await repository_addresses.covering(session, program_id, account_id, namespace, form, chain_id)
    if proven is None:
        if namespace == EIP155:
            wallet = await repository.wallet_of(session, program_id, account_id)
            if wallet.lower() == form:
                return Destination(None, wallet, BUILT_IN)
        raise AddressNotProvenError
    if proven.usable_from is None or proven.proof_method is None:
        raise AddressNotProvenError
    if proven.usable_from > now:
        raise AddressWaitsError(proven.usable_from)
    return Destination(proven.id, shown(namespace, form), proven.proof_method)
