"""The texts that wallets are asked to sign: Sign-In with Ethereum (EIP-4361) and its like for Solana (CAIP-122). Pure.

A text binds its signature to the page's host, the address, the purpose, program and account, and a nonce that is used once
(SAFETY S7). Its writer is its reader: what is verified is the stored text, byte for byte, so nothing is parsed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from guerdon.accounts.forms import shown
from guerdon.accounts.models_members import Purpose
from guerdon.chains.networks import EIP155, SOLANA

_CHAIN_NAMES: Final = {EIP155: "Ethereum", SOLANA: "Solana"}
_SOLANA_CHAINS: Final = {"solana": "mainnet", "solana-devnet": "devnet", "solana-local": "localnet"}
"""As wallets name them (Wallet Standard)."""
_ETHEREUM: Final = 1
"""What stands in a text about all EVM chains whose network was not said."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody is asked to sign."""

    purpose: Purpose
    origin: str
    """Scheme and host of the page or installation that asks: `https://rewards.example.com`."""
    network: str
    namespace: str
    chain_id: int | None
    address: str
    """As it is stored."""
    nonce: str
    issued_at: datetime
    expires_at: datetime
    program: str | None = None
    """The program's brand id."""
    account: str | None = None
    user: str | None = None


def message(asked: Asked) -> str:
    """The text, in the form that wallets know and show."""
    host = asked.origin.partition("://")[2]
    address = shown(asked.namespace, asked.address)
    resources = [f"urn:guerdon:purpose:{asked.purpose.value}"]
    if asked.program is not None:
        resources.append(f"urn:guerdon:program:{asked.program}")
    if asked.account is not None:
        resources.append(f"urn:guerdon:account:{asked.account}")
    if asked.user is not None:
        resources.append(f"urn:guerdon:user:{asked.user}")
    return "\n".join(
        (
            f"{host} wants you to sign in with your {_CHAIN_NAMES[asked.namespace]} account:",
            address,
            "",
            _statement(asked, address),
            "",
            f"URI: {asked.origin}",
            "Version: 1",
            f"Chain ID: {_chain(asked)}",
            f"Nonce: {asked.nonce}",
            f"Issued At: {_time(asked.issued_at)}",
            f"Expiration Time: {_time(asked.expires_at)}",
            "Resources:",
            *(f"- {resource}" for resource in resources),
        )
    )


def _statement(asked: Asked, address: str) -> str:
    at = _time(asked.issued_at)
    match asked.purpose:
        case Purpose.SIGN_IN:
            return f"Sign in to Guerdon rewards with address {address} at {at}"
        case Purpose.ADD_IDENTITY:
            return f"Add address {address} to Guerdon user {asked.user} as a way to sign in at {at}"
        case Purpose.LINK:
            return f"Link address {address} to Guerdon rewards account {asked.account} at {at}"
        case Purpose.TRANSFER:
            return (
                f"Move address {address} to Guerdon rewards account {asked.account} at {at}, "
                "away from the account that has it now"
            )


def _chain(asked: Asked) -> str:
    if asked.namespace == EIP155:
        return str(asked.chain_id or _ETHEREUM)
    return _SOLANA_CHAINS.get(asked.network, "mainnet")


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
