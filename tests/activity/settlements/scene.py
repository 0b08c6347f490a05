"""A scene for tests of settlements: a chain with a stablecoin, a facilitator that settles EIP-3009 payments on it, a program with a
source for it, and the application that takes reports over HTTP and does the work. All parts are real."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from eth_account import Account as EthAccount
from pydantic import SecretStr
from sqlalchemy import select

from guerdon.activity.settlements import jobs
from guerdon.activity.settlements.models import Settlement, SettlementHint
from guerdon.activity.settlements.work import CREDIT, PROVE, READ, WATCH
from guerdon.chains import abi
from guerdon.chains.signing import address_of
from guerdon.earning.models import Accrual
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Balance, Movement
from guerdon.ledger.repository import lock_account_balances
from guerdon.ledger.verify import verify_program
from guerdon.txmanager import service_keys
from tests.fakes.rpc_proxy import RpcProxy
from tests.support.api import Caller, Running, running, settings_for
from tests.support.books import NOW, a_program, an_asset
from tests.support.members import an_account, an_address
from tests.support.postgres import Urls
from tests.txmanager.node import CHAIN_ID, GWEI, Node, running_node

USDC = "TestUSDC"
FUNDS = 10**12
MONTH_AGO = datetime.now(UTC) - timedelta(days=30)
TYPES = {
    "TransferWithAuthorization": [
        {"name": name, "type": kind}
        for name, kind in (
            ("from", "address"), ("to", "address"), ("value", "uint256"), ("validAfter", "uint256"),
            ("validBefore", "uint256"), ("nonce", "bytes32"),
        )
    ]
}  # fmt: skip


@dataclass(frozen=True)
class Wallet:
    """A key and its address."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    @property
    def address(self) -> str:
        return address_of(self.key)

    @property
    def stored(self) -> str:
        return self.address.lower()


@dataclass(frozen=True)
class Authorization:
    """A payment that its payer has signed."""

    data: bytes
    nonce: bytes


@dataclass
class Scene:
    """Everything wired together; nothing happens by itself."""

    database: Database
    api: Running
    node: Node
    proxy: RpcProxy
    program_id: UUID
    brand_id: str
    asset_id: UUID
    facilitator: Wallet
    token: str = ""
    source: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def operator(self) -> Caller:
        return self.api.platform

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.operator(method, f"/api/admin{path}", body, X_Loyalteez_Brand_Id=self.brand_id)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def add_source(self, kind: str = "openfacilitator", **fields: Any) -> dict[str, Any]:
        body = {
            "name": f"{kind} {secrets.token_hex(3)}",
            "kind": kind,
            "signers": {"local": [self.facilitator.address]},
            **fields,
        }
        return await self.admin("POST", "/sources", body)

    async def deploy(self, name: str = "USD Coin", decimals: int = 6) -> str:
        """A stablecoin that anyone mints."""
        receipt = await self.send(None, abi.creation_data(USDC, name, "USDC", decimals), self.facilitator, gas=5_000_000)
        return str(receipt["contractAddress"])

    async def list_asset(self, token: str, decimals: int = 6, **fields: Any) -> None:
        body = {"network": "local", "address": token, "symbol": "USDC", "decimals": decimals, **fields}
        await self.admin("PUT", "/settlement-assets", body)

    async def member(self, wallet: Wallet, **fields: Any) -> UUID:
        """An account that proved this wallet a month ago, unless told otherwise."""
        account_id = await an_account(self.database, self.program_id)
        await self.prove_address(account_id, wallet, **fields)
        return account_id

    async def prove_address(self, account_id: UUID, wallet: Wallet, **fields: Any) -> None:
        await an_address(self.database, self.program_id, account_id, wallet.address, **{"since": MONTH_AGO, **fields})

    def authorize(
        self, payer: Wallet, payee: str, amount: int, *, token: str | None = None, name: str = "USD Coin"
    ) -> Authorization:
        """A signed EIP-3009 authorization, as the call that uses it."""
        nonce, valid_before = secrets.token_bytes(32), 2**40
        message = {
            "from": payer.address,
            "to": payee,
            "value": amount,
            "validAfter": 0,
            "validBefore": valid_before,
            "nonce": nonce,
        }
        domain = {"name": name, "version": "2", "chainId": CHAIN_ID, "verifyingContract": token or self.token}
        signed = EthAccount.sign_typed_data(payer.key, domain, TYPES, message)
        signature = abi.encode(
            ("address", "address", "uint256", "uint256", "uint256", "bytes32", "uint8", "bytes32", "bytes32"),
            (payer.address, payee, amount, 0, valid_before, nonce, signed.v, signed.r.to_bytes(32), signed.s.to_bytes(32)),
        )
        return Authorization(bytes.fromhex("e3ee160e") + signature, nonce)

    async def mint(self, to: Wallet, amount: int, *, token: str | None = None) -> None:
        await self.send(token or self.token, abi.call_data(USDC, "mint", to.address, amount), self.facilitator)

    async def pay(
        self, payer: Wallet, payee: str, amount: int, *, token: str | None = None, by: Wallet | None = None, mined: bool = True
    ) -> str:
        """Settle a payment as a facilitator does; the transaction's hash."""
        await self.mint(payer, amount, token=token)
        call = self.authorize(payer, payee, amount, token=token)
        return await self.submit(token or self.token, call.data, by or self.facilitator, mined=mined)

    async def submit(self, to: str | None, data: bytes, by: Wallet, *, gas: int = 500_000, mined: bool = True) -> str:
        await self.node.fund(by.address)
        # Those that wait in the pool come before it.
        nonce = int(await self.node.rpc("eth_getTransactionCount", by.address, "pending"), 16)
        sent = await self.node.send_from_outside(
            f"0x{by.key.hex()}", nonce=nonce, to=to, value=0, data=f"0x{data.hex()}", gas=gas, fee=2 * GWEI
        )
        if mined:
            await self.node.mine()
        return sent

    async def send(self, to: str | None, data: bytes, by: Wallet, **options: Any) -> dict[str, Any]:
        receipt = await self.node.rpc("eth_getTransactionReceipt", await self.submit(to, data, by, **options))
        assert receipt["status"] == "0x1", receipt
        return receipt

    async def report(
        self, transaction: str, *, source: dict[str, Any] | None = None, network: str = "local", secret: str | None = None,
        **fields: Any,
    ) -> httpx.Response:  # fmt: skip
        """OpenFacilitator's webhook about a transaction."""
        told = {
            "id": secrets.token_hex(8), "fromAddress": "0x" + "1" * 40, "toAddress": "user-id", "amount": "1000000",
            "asset": self.token, "network": network, "transactionHash": transaction, "settledAt": "2026-11-21T12:00:00Z",
        }  # fmt: skip
        body = {
            "event": "payment.settled", "facilitatorId": "f", "timestamp": "2026-11-21T12:00:00Z", "transaction": {**told, **fields},
        }  # fmt: skip
        return await self.post(source or self.source, body, secret=secret)

    async def post(self, source: dict[str, Any], body: Mapping[str, Any], *, secret: str | None = None) -> httpx.Response:
        raw = json.dumps(body).encode()
        signature = hmac.digest((secret or source["secret"]).encode(), raw, "sha256").hex()
        headers = {"X-Webhook-Signature": signature, "X-Webhook-Timestamp": "1", "Content-Type": "application/json"}
        return await self.api.client.post(source["webhookPath"], content=raw, headers=headers)

    async def work(self, *kinds: str) -> Any:
        """Do the work of these kinds for the program once; what the last answers."""
        handlers = jobs.handlers(self.api.runtime.settlement_deps())
        answer = None
        for kind in kinds:
            answer = await handlers[kind](self.program_id)
        return answer

    async def prove(self) -> Any:
        return await self.work(PROVE)

    async def prove_again(self) -> None:
        """The chain is asked at once again about whatever waits for its turn."""
        async with self.database.program(self.program_id) as session:
            for hint in await session.scalars(select(SettlementHint)):
                hint.due_at = MONTH_AGO
        await self.prove()

    async def finalise(self) -> None:
        """Blocks pass until what is included is final, and it is looked at."""
        await self.node.mine(4)
        await self.work(WATCH)

    async def read(self) -> None:
        await self.work(READ)

    async def credit(self) -> None:
        await self.work(CREDIT)

    async def settle(self, payer: Wallet, payee: str, amount: int, **options: Any) -> str:
        """Paid, reported, proven."""
        transaction = await self.pay(payer, payee, amount, **options)
        answer = await self.report(transaction)
        assert answer.status_code == 202, answer.text
        await self.prove()
        return transaction

    async def balance(self, account_id: UUID) -> Balance:
        async with self.database.program(self.program_id) as session:
            found = await lock_account_balances(session, self.program_id, [(self.asset_id, account_id)])
            return found[self.asset_id, account_id]

    async def settlements(self) -> list[Settlement]:
        async with self.database.program(self.program_id) as session:
            rows = await session.scalars(select(Settlement).order_by(Settlement.block_number, Settlement.place))
            return list(rows.all())

    async def hints(self) -> list[SettlementHint]:
        async with self.database.program(self.program_id) as session:
            rows = await session.scalars(select(SettlementHint).order_by(SettlementHint.received_at))
            return list(rows.all())

    async def accruals(self) -> list[Accrual]:
        async with self.database.program(self.program_id) as session:
            return list((await session.scalars(select(Accrual).order_by(Accrual.id))).all())

    async def fund(self, points: int, kind: PostingKind = PostingKind.FUND) -> None:
        async with self.database.program(self.program_id) as session:
            await ledger.post(session, self.program_id, [Movement(kind, uuid7(), self.asset_id, points)], NOW)

    async def drain(self) -> None:
        """Take the program's funds away."""
        await self.fund(FUNDS, PostingKind.DEFUND)

    async def check_books(self) -> None:
        """The books must be right whenever a test looks."""
        async with self.database.program(self.program_id) as session:
            assert await verify_program(session, self.program_id) == []


@asynccontextmanager
async def a_scene(
    database: Database, urls: Urls, *, rpc_urls: Mapping[str, str] | None = None, **changes: Any
) -> AsyncGenerator[Scene]:
    async with running_node() as node, RpcProxy(node.url) as proxy:
        every = {"local": proxy.url, **(rpc_urls or {})}
        settings = settings_for(urls.app, rpc_urls={name: SecretStr(url) for name, url in every.items()}, **changes)
        async with running(settings, asset=False) as api:
            asset_id = await an_asset(database, delivery="on_claim")
            program_id = await a_program(database, asset_id)
            async with database.program(program_id) as session:
                await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset_id, FUNDS)], NOW)
            async with database.platform() as session:
                await service_keys.set_network(session, name="local", chain_id=CHAIN_ID, block_time_ms=100)
            brand_id = "0x" + program_id.hex.rjust(40, "0")
            scene = Scene(database, api, node, proxy, program_id, brand_id, asset_id, Wallet())
            scene.token = await scene.deploy()
            await scene.list_asset(scene.token)
            scene.source = await scene.add_source()
            yield scene
