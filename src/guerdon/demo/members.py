"""Members of the rewards program: customers of the store who pay by x402 and claim what that earned.

Everything goes over HTTP: Guerdon's own API for members, and the store's pages by the SDK's paying client.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from solders.keypair import Keypair

from guerdon.chains.networks import LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.demo.api import Api
from guerdon.demo.coins import key_of, keypair_of
from guerdon.demo.errors import DemoError
from guerdon.demo.facilitator import EVM, SOLANA
from guerdon.demo.purchases import Purchase
from guerdon.demo.sdk import (
    EthAccountSigner,
    ExactEvmScheme,
    ExactSvmScheme,
    KeypairSigner,
    PaymentError,
    x402Client,
    x402HttpxClient,
)

MICRO_USD_A_CENT: Final = 10_000
_POLL_SECONDS: Final = 0.3
_PATIENCE_SECONDS: Final = 120
_TIMEOUT_SECONDS: Final = 60

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Wallets:
    """A customer's wallets, one of each kind, whose keys follow from the customer's number."""

    evm: LocalAccount
    solana: Keypair

    @classmethod
    def of(cls, customer: str) -> Wallets:
        """Those of a customer."""
        return cls(Account.from_key(key_of(f"customer {customer}")), keypair_of(f"customer {customer}"))

    def address(self, network: str) -> str:
        """On a network of ours."""
        return str(self.solana.pubkey()) if network == LOCAL_SOLANA else self.evm.address

    def sign(self, network: str, message: str) -> str:
        """A text, as a wallet signs it."""
        if network == LOCAL_SOLANA:
            return str(self.solana.sign_message(message.encode()))
        return f"0x{bytes(self.evm.sign_message(encode_defunct(text=message)).signature).hex()}"


@dataclass(slots=True)
class Member:
    """One customer, with what there is to pay and where."""

    customer: str
    wallets: Wallets
    pays_on: str
    """`local` or `solana-local`."""
    claims_on: str
    purchases: Sequence[Purchase]
    api: Api

    async def join(self) -> None:
        """Sign in with the wallet that pays, open an account, and prove the other wallet too."""
        home = {"network": self.pays_on, "address": self.wallets.address(self.pays_on)}
        asked = await self.api("POST", "/api/auth/wallet/challenge", home)
        proof = {"nonce": asked["nonce"], "signature": self.wallets.sign(self.pays_on, asked["message"])}
        session = await self.api("POST", "/api/auth/wallet/verify", proof)
        self.api = self.api.of(token=session["token"])
        await self.api("POST", "/api/rewards/account")
        if self.claims_on != self.pays_on:
            await self._prove(self.claims_on)

    async def _prove(self, network: str) -> None:
        body = {"network": network, "address": self.wallets.address(network)}
        address = await self.api("POST", "/api/rewards/account/addresses", body)
        if address["challenge"] is not None:
            signature = self.wallets.sign(network, address["challenge"]["message"])
            await self.api("POST", f"/api/rewards/account/addresses/{address['id']}/verify", {"signature": signature})

    async def unpaid(self) -> list[Purchase]:
        """What no earlier run has paid, by what was earned so far."""
        paid = Counter(int(accrual["volume_micro_usd"]) // MICRO_USD_A_CENT for accrual in await self.history())
        unpaid: list[Purchase] = []
        for purchase in self.purchases:
            if paid[purchase.amount_cents]:
                paid[purchase.amount_cents] -= 1
            else:
                unpaid.append(purchase)
        return unpaid

    async def history(self) -> list[dict[str, Any]]:
        """What was earned, with the reasons."""
        return [accrual async for accrual in self.api.items("/api/rewards/history")]

    async def pay(self, store_url: str, solana_url: str, purchases: Sequence[Purchase], on_paid: Callable[[], None]) -> None:
        """Pay the pages of these purchases, all at once. Raises `DemoError`."""
        client = x402Client()
        # The SDK pays in tokens that it knows, and little: this test dollar is none of them, and the prices are known.
        client.set_spend_controls(False)
        if self.pays_on == LOCAL_NETWORK:
            client.register(EVM, ExactEvmScheme(EthAccountSigner(self.wallets.evm)))
        else:
            client.register(SOLANA, ExactSvmScheme(KeypairSigner(self.wallets.solana), solana_url))
        async with x402HttpxClient(client, base_url=store_url, timeout=_TIMEOUT_SECONDS) as http:

            async def pay_one(purchase: Purchase) -> None:
                try:
                    answer = await http.get(f"/purchases/{purchase.row}")
                except (PaymentError, httpx.HTTPError) as error:
                    raise DemoError(f"purchase {purchase.row} could not be paid: {error}") from error
                if not answer.is_success:
                    raise DemoError(f"purchase {purchase.row} could not be paid: {answer.status_code} {answer.text[:500]}")
                on_paid()

            await asyncio.gather(*(pay_one(purchase) for purchase in purchases))

    async def earn(self) -> dict[str, Any]:
        """The balance, once all that was paid is final and its points are available."""

        async def done() -> dict[str, Any] | None:
            history = await self.history()
            balance: dict[str, Any] = await self.api("GET", "/api/rewards/balance")
            return balance if len(history) == len(self.purchases) and balance["held_points"] == "0" else None

        return await _until(done, "the points of a payment")

    async def claim(self, points: str) -> None:
        """Claim points, and return when their tokens are final."""
        asked = {"points_claimed": points, "destination_address": self.wallets.address(self.claims_on)}
        claim = await self.api("POST", "/api/rewards/claims", asked, key=f"claim-{points}")

        async def done() -> bool:
            now = await self.api("GET", f"/api/rewards/claims/{claim['id']}")
            if now["status"] == "failed":
                raise DemoError(f"a claim failed: {now['error_message']}")
            return bool(now["final"])

        await _until(done, "a claim")


async def _until(look: Callable[[], Awaitable[Found | None]], what: str) -> Found:
    """What `look` finds, as soon as there is something. Raises `DemoError`."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise DemoError(f"{what} took longer than {_PATIENCE_SECONDS} s; `guerdon status` tells more")
        await asyncio.sleep(_POLL_SECONDS)
    return found
