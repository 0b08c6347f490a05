"""Builders for tests that need members: wallets that sign, accounts and their addresses."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from solders.keypair import Keypair

from guerdon.accounts.forms import canonical
from guerdon.accounts.models import Account, Address, Ended, ProofMethod
from guerdon.chains.networks import EIP155
from guerdon.chains.signing import address_of
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from tests.support.api import Caller, Running

EARLIER = datetime.now(UTC) - timedelta(days=1)


async def an_account(database: Database, program_id: UUID, **fields: Any) -> UUID:
    """A new account without identities."""
    account_id = uuid7()
    values = {"wallet_address": "0x" + account_id.hex[-8:].rjust(40, "1"), "created_at": EARLIER, **fields}
    async with database.program(program_id) as session:
        session.add(Account(program_id=program_id, id=account_id, **values))
    return account_id


async def an_address(
    database: Database,
    program_id: UUID,
    account_id: UUID,
    address: str,
    *,
    namespace: str = EIP155,
    since: datetime = EARLIER,
    until: datetime | None = None,
    **fields: Any,
) -> UUID:
    """A proven address of the account, usable at once unless `usable_from` says otherwise."""
    address_id = uuid7()
    values: dict[str, Any] = {
        "network": "base" if namespace == EIP155 else "solana",
        "proof_method": (ProofMethod.EIP191 if namespace == EIP155 else ProofMethod.ED25519).value,
        "usable_from": since,
        **fields,
    }
    async with database.program(program_id) as session:
        session.add(
            Address(
                program_id=program_id,
                id=address_id,
                account_id=account_id,
                namespace=namespace,
                address=canonical(namespace, address),
                verified_at=since,
                removed_at=until,
                ended=None if until is None else Ended.REMOVED.value,
                created_at=since,
                **values,
            )
        )
    return address_id


@dataclass(frozen=True, slots=True)
class EvmWallet:
    """An ordinary wallet of EVM networks."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    network: str = "base"

    @property
    def address(self) -> str:
        return address_of(self.key)

    def sign(self, message: str) -> str:
        return "0x" + bytes(EthAccount.sign_message(encode_defunct(text=message), self.key).signature).hex()


@dataclass(frozen=True, slots=True)
class SolanaWallet:
    """An ordinary wallet of Solana."""

    keypair: Keypair = field(default_factory=Keypair)
    network: str = "solana"

    @property
    def address(self) -> str:
        return str(self.keypair.pubkey())

    def sign(self, message: str) -> str:
        return str(self.keypair.sign_message(message.encode("utf-8")))


Signer = EvmWallet | SolanaWallet


async def sign_in(api: Running, wallet: Signer, **headers: str) -> Caller:
    """Somebody who is signed in with that wallet."""
    anybody = Caller(api.client)
    asked = await anybody("POST", "/api/auth/wallet/challenge", {"network": wallet.network, "address": wallet.address}, **headers)
    assert asked.status_code == 200, asked.text
    proof = {"nonce": asked.json()["nonce"], "signature": wallet.sign(asked.json()["message"])}
    answer = await anybody("POST", "/api/auth/wallet/verify", proof, **headers)
    assert answer.status_code == 200, answer.text
    return Caller(api.client, answer.json()["token"])


async def a_member(api: Running, wallet: Signer | None = None) -> tuple[Caller, dict[str, Any]]:
    """Somebody signed in, with an account in the installation's only program; and the account."""
    caller = await sign_in(api, wallet or EvmWallet())
    answer = await caller("POST", "/api/rewards/account")
    assert answer.status_code in {200, 201}, answer.text
    return caller, answer.json()


async def link(caller: Caller, wallet: Signer, **headers: str) -> dict[str, Any]:
    """Register an address and prove it; the proven address."""
    asked = await caller(
        "POST", "/api/rewards/account/addresses", {"network": wallet.network, "address": wallet.address}, **headers
    )
    assert asked.status_code == 201, asked.text
    shown = asked.json()
    proof = {"signature": wallet.sign(shown["challenge"]["message"])}
    answer = await caller("POST", f"/api/rewards/account/addresses/{shown['id']}/verify", proof, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()
