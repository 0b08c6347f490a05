"""The rewards program as its members use it, over HTTP, on a whole installation: from a wallet's signature and a payment on a chain
to tokens in wallets on Solana and on an EVM network. Endpoints, fields and states are those that the program was described with.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest

from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import LOCAL_NETWORK, LOCAL_SOLANA
from guerdon.chains.signing import address_of
from guerdon.chains.solana.client import SolanaClient
from guerdon.demo.api import Api
from guerdon.demo.coins import Coins, give_ether, give_sol, key_of, keypair_of, open_coins
from guerdon.demo.facilitator import EVM, SOLANA, Signers, facilitator, facilitator_app
from guerdon.demo.members import Wallets
from guerdon.demo.payments import served
from guerdon.demo.program import Opened, open_program
from guerdon.demo.sdk import (
    EthAccountSigner,
    ExactEvmScheme,
    ExactSvmScheme,
    FacilitatorKeypairSigner,
    FacilitatorWeb3Signer,
    KeypairSigner,
    PaymentPayload,
    PaymentRequirements,
    register_exact_evm_facilitator,
    register_exact_svm_facilitator,
    x402Client,
    x402FacilitatorSync,
    x402HttpxClient,
)
from guerdon.demo.store import ATOMIC_PER_CENT, DOLLAR, Till, store_app
from tests.system.house import House

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # the SDK's parts warn of each other
]

ACCOUNT = {
    "id", "user_id", "primary_address", "earned_points", "claimed_points", "available_points", "tier", "created_at", "updated_at",
}  # fmt: skip
ADDRESS = {"id", "rewards_account_id", "network", "address", "verified", "verified_at", "created_at"}
ACCRUAL = {
    "id", "rewards_account_id", "transaction_id", "points_earned", "multiplier_applied", "campaign_id", "accrued_at",
}  # fmt: skip
CLAIM = {
    "id", "rewards_account_id", "points_claimed", "token_amount", "token_mint", "destination_address", "status",
    "transaction_hash", "error_message", "created_at", "processed_at",
}  # fmt: skip
CAMPAIGN = {"id", "facilitator_id", "name", "description", "type", "config", "start_at", "end_at", "active"}
STATUSES = ["pending", "processing", "completed"]
NETWORKS = {"solana": LOCAL_SOLANA, "base": LOCAL_NETWORK}
"""A proof of an address covers all networks of its kind, so that members may name the one that they know."""
TILL = Wallets.of("store")

Found = TypeVar("Found")


@dataclass(frozen=True)
class Place:
    """An installation with the demo's program: a point for a cent, twice that in a campaign, 100 of them a token."""

    house: House
    admin_key: str
    signers: Signers
    opened: Opened

    @property
    def evm(self) -> EvmClient:
        return EvmClient(self.signers.evm_url)

    @property
    def solana(self) -> SolanaClient:
        return SolanaClient(self.signers.solana_url)


@dataclass(frozen=True)
class Scene:
    """The place as one test uses it."""

    place: Place
    client: httpx.AsyncClient
    coins: Coins
    admin: Api
    """An operator of the program."""

    async def sign_in(self, wallets: Wallets, network: str) -> Api:
        anybody = Api(self.client).of(program=self.place.opened.brand_id)
        wallet = {"network": network, "address": wallets.address(NETWORKS[network])}
        challenge = await anybody("POST", "/api/auth/wallet/challenge", wallet)
        signature = wallets.sign(NETWORKS[network], challenge["message"])
        session = await anybody("POST", "/api/auth/wallet/verify", {"nonce": challenge["nonce"], "signature": signature})
        return anybody.of(token=session["token"])

    async def give_dollars(self, wallets: Wallets, cents: int) -> None:
        """On both chains; the store's account is made too."""
        atomic = cents * ATOMIC_PER_CENT
        on_solana = {wallets.address(LOCAL_SOLANA): atomic, TILL.address(LOCAL_SOLANA): 0}
        await self.coins.make({wallets.address(LOCAL_NETWORK): atomic}, on_solana, {})

    def dollar(self, network: str) -> str:
        return self.coins.dollar_on_evm if network == LOCAL_NETWORK else self.coins.dollar_on_solana.address

    async def tokens(self, network: str, wallets: Wallets) -> int:
        """What the chain says that a wallet holds of the token that points are claimed in."""
        if network == LOCAL_NETWORK:
            return await self.coins.evm.token_balance(self.place.opened.ltz, wallets.address(network), "latest")
        return await self.coins.held_on_solana(self.coins.reward_on_solana, wallets.address(network))


async def until(look: Callable[[], Awaitable[Found | None]], seconds: float = 60) -> Found:
    deadline = time.monotonic() + seconds
    while not (found := await look()):
        assert time.monotonic() < deadline, look
        await asyncio.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("rewards")
    folder.chmod(0o711)  # PostgreSQL runs as another user where the tests are root
    house = House(folder / "house", GUERDON_BLOCK_SECONDS="1", GUERDON_SOLANA_SLOT_MS="100")
    try:
        house.start()
        signers = Signers(house.rpc, key_of("facilitator"), house.told()["solana"], keypair_of("facilitator"))
        token = house.cli("admin-key", "create", "--platform", "--name", "test")["token"]
        yield Place(house, token, signers, asyncio.run(opened_program(house, token, signers)))
    finally:
        house.close()


async def opened_program(house: House, token: str, signers: Signers) -> Opened:
    async with (
        httpx.AsyncClient(base_url=house.url, timeout=30, trust_env=False) as client,
        EvmClient(signers.evm_url) as evm,
        SolanaClient(signers.solana_url) as solana,
    ):
        await give_ether(evm, [address_of(signers.evm_key)])
        await give_sol(solana, [str(signers.solana_key.pubkey())])
        return await open_program(Api(client).of(token=token), await open_coins(evm, solana), signers)


@pytest.fixture
async def scene(place: Place) -> AsyncIterator[Scene]:
    async with (
        httpx.AsyncClient(base_url=place.house.url, timeout=30, trust_env=False) as client,
        EvmClient(place.signers.evm_url) as evm,
        SolanaClient(place.signers.solana_url) as solana,
    ):
        admin = Api(client).of(token=place.admin_key, program=place.opened.brand_id)
        yield Scene(place, client, await open_coins(evm, solana), admin)


async def pay(scene: Scene, wallets: Wallets, network: str, cents: int) -> str:
    """A payment that its payer signs and the registered signer settles on the chain; nobody is told. The transaction's hash."""
    signers = scene.place.signers
    sdk = x402FacilitatorSync()
    register_exact_evm_facilitator(sdk, FacilitatorWeb3Signer(signers.evm_key.hex(), signers.evm_url), EVM)
    register_exact_svm_facilitator(sdk, FacilitatorKeypairSigner(signers.solana_key, signers.solana_url), SOLANA)
    on_evm = network == LOCAL_NETWORK
    extra = DOLLAR if on_evm else {"feePayer": str(signers.solana_key.pubkey())}
    requirements = PaymentRequirements(
        scheme="exact", network=EVM if on_evm else SOLANA, asset=scene.dollar(network), amount=str(cents * ATOMIC_PER_CENT),
        pay_to=TILL.address(network), max_timeout_seconds=600, extra=dict(extra),
    )  # fmt: skip
    scheme = (
        ExactEvmScheme(EthAccountSigner(wallets.evm))
        if on_evm
        else ExactSvmScheme(KeypairSigner(wallets.solana), signers.solana_url)
    )
    payload = PaymentPayload(accepted=requirements, payload=await asyncio.to_thread(scheme.create_payment_payload, requirements))
    settled = await asyncio.to_thread(sdk.settle, payload, requirements)
    assert settled.success, settled
    return str(settled.transaction)


async def report(
    scene: Scene, source: dict[str, Any], network: str, transaction: str, secret: str | None = None
) -> httpx.Response:
    """OpenFacilitator's webhook about it."""
    body = json.dumps(
        {
            "event": "payment.settled", "facilitatorId": "f", "timestamp": "2026-11-21T12:00:00Z",
            "transaction": {
                "id": secrets.token_hex(8), "fromAddress": "", "toAddress": "user-id", "amount": "1", "asset": scene.dollar(network),
                "network": network, "transactionHash": transaction, "settledAt": "2026-11-21T12:00:00Z",
            },
        }
    ).encode()  # fmt: skip
    signature = hmac.digest((secret or source["secret"]).encode(), body, "sha256").hex()
    return await scene.client.post(source["webhookPath"], content=body, headers={"X-Webhook-Signature": signature})


async def test_from_an_account_to_tokens_on_solana_and_on_an_evm_network(scene: Scene) -> None:
    wallets = Wallets.of(secrets.token_hex(8))
    member = await scene.sign_in(wallets, "base")
    account = await an_account(member)
    await a_proven_address(scene, member, account, wallets)
    paid = {LOCAL_NETWORK: 12_345, LOCAL_SOLANA: 999}
    hashes = await settlements(scene, wallets, paid)
    points = await balance_and_history(scene, member, account, paid, hashes)
    claims = await claims_of(scene, member, account, wallets, points)
    done = {network: await status_to_the_end(member, claim["id"]) for network, claim in claims.items()}
    balance = await member("GET", "/api/rewards/balance")
    assert (balance["claimed_points"], balance["held_points"], balance["available_points"]) == (
        "21000",
        "0",
        str(points - 21_000),
    )
    assert [one async for one in member.items("/api/rewards/claims")] == [done[LOCAL_NETWORK], done[LOCAL_SOLANA]]
    # What the chains say.
    assert (await scene.tokens(LOCAL_SOLANA, wallets), await scene.tokens(LOCAL_NETWORK, wallets)) == (200 * 10**6, 10)
    assert await scene.coins.solana.transaction(done[LOCAL_SOLANA]["transaction_hash"]) is not None
    assert await scene.coins.evm.receipts([done[LOCAL_NETWORK]["transaction_hash"]])


async def an_account(member: Api) -> dict[str, Any]:
    """POST and GET /api/rewards/account."""
    account = await member("POST", "/api/rewards/account")
    assert account.keys() >= ACCOUNT
    assert account["user_id"] is not None
    assert (account["tier"], account["earned_points"], account["available_points"]) == ("bronze", "0", "0")
    assert await member("GET", "/api/rewards/account") == account
    return account


async def a_proven_address(scene: Scene, member: Api, account: dict[str, Any], wallets: Wallets) -> None:
    """POST /api/rewards/account/addresses answers with a challenge; POST …/addresses/:id/verify takes its signature."""
    home = {"network": "solana", "address": wallets.address(LOCAL_SOLANA)}
    registered = await member("POST", "/api/rewards/account/addresses", home)
    assert registered.keys() >= ADDRESS
    assert (registered["verified"], registered["verified_at"], registered["rewards_account_id"]) == (False, None, account["id"])
    assert (registered["network"], registered["address"]) == (home["network"], home["address"])
    challenge = registered["challenge"]
    assert challenge.keys() >= {"message", "nonce", "expires_at"}
    assert f"Link address {home['address']} to Guerdon rewards account {account['id']} at 20" in challenge["message"]
    path = f"/api/rewards/account/addresses/{registered['id']}/verify"
    stranger = {"signature": Wallets.of("stranger").sign(LOCAL_SOLANA, challenge["message"])}
    await refused(scene, member, path, stranger, (400, "WALLET_SIGNATURE_INVALID"))
    verified = await member("POST", path, {"signature": wallets.sign(LOCAL_SOLANA, challenge["message"])})
    assert (verified["verified"], verified["address"]) == (True, home["address"])
    assert verified["verified_at"] is not None


async def settlements(scene: Scene, wallets: Wallets, paid: dict[str, int]) -> dict[str, str]:
    """Payments on both chains, which the facilitator's signed webhook tells of; their transactions by network."""
    await scene.give_dollars(wallets, 20_000)
    signers = scene.place.signers
    known = {LOCAL_NETWORK: [address_of(signers.evm_key)], LOCAL_SOLANA: [str(signers.solana_key.pubkey())]}
    new = {"name": f"OpenFacilitator {secrets.token_hex(4)}", "kind": "openfacilitator", "signers": known}
    source = await scene.admin("POST", "/api/admin/sources", new)
    hashes = {network: await pay(scene, wallets, network, cents) for network, cents in paid.items()}
    forged = await report(scene, source, LOCAL_NETWORK, hashes[LOCAL_NETWORK], secret="f" * 64)
    assert (forged.status_code, forged.json()["code"]) == (401, "INVALID_WEBHOOK_SIGNATURE")
    for network, transaction in hashes.items():
        # Told twice, credited once.
        for _ in range(2):
            assert (await report(scene, source, network, transaction)).status_code == 202
    return hashes


async def balance_and_history(
    scene: Scene, member: Api, account: dict[str, Any], paid: dict[str, int], hashes: dict[str, str]
) -> int:
    """GET /api/rewards/balance, /history and /campaigns, once all is final; the points that were earned."""

    async def history() -> list[dict[str, Any]]:
        return [one async for one in member.items("/api/rewards/history")]

    async def all_is_final() -> dict[str, Any] | None:
        balance = await member("GET", "/api/rewards/balance")
        return balance if balance["held_points"] == "0" and len(await history()) == len(paid) else None

    balance, earned = await until(all_is_final), await history()
    (campaign,) = [one async for one in member.items("/api/rewards/campaigns")]
    assert campaign.keys() >= CAMPAIGN
    assert (campaign["type"], campaign["active"], campaign["config"]["multiplier"]) == ("multiplier", True, 2)
    credited = [one async for one in scene.admin.items("/api/admin/settlements") if one["accountId"] == account["id"]]
    assert {one["network"]: one["transactionHash"] for one in credited} == hashes
    assert {one["transaction_id"] for one in earned} == {one["id"] for one in credited}
    for accrual in earned:
        assert accrual.keys() >= ACCRUAL
        assert (accrual["rewards_account_id"], accrual["status"]) == (account["id"], "booked")
        assert (accrual["multiplier_applied"], accrual["campaign_id"]) == (2, campaign["id"])
    # Two points a cent. 123.45 dollars make a silver member; what comes after that is worth a tenth more.
    points = sum(int(one["points_earned"]) for one in earned)
    assert points in {sum(paid.values()) * 2, 12_345 * 2 + 999 * 22 // 10}
    assert (balance["earned_points"], balance["available_points"], balance["claimed_points"]) == (str(points), str(points), "0")
    assert (balance["tier"], balance["next_tier"]) == ("silver", "gold")
    assert int(balance["volume_to_next"]) == (50_000 - sum(paid.values())) * ATOMIC_PER_CENT
    assert (await member("GET", "/api/rewards/account"))["tier"] == "silver"
    return points


async def claims_of(
    scene: Scene, member: Api, account: dict[str, Any], wallets: Wallets, points: int
) -> dict[str, dict[str, Any]]:
    """POST /api/rewards/claims: answered at once, before anything is sent. By network."""
    claims: dict[str, dict[str, Any]] = {}
    for network, asked, tokens in ((LOCAL_SOLANA, 20_000, 200 * 10**6), (LOCAL_NETWORK, 1_050, 10)):
        wanted = {"points_claimed": asked, "destination_address": wallets.address(network)}
        claim = claims[network] = await member("POST", "/api/rewards/claims", wanted)
        assert claim.keys() >= CLAIM
        assert (claim["status"], claim["transaction_hash"], claim["processed_at"]) == ("pending", None, None)
        assert (claim["rewards_account_id"], claim["destination_address"]) == (account["id"], wanted["destination_address"])
        # Of 1,050 points 1,000 make whole tokens; the rest stays.
        assert (claim["points_claimed"], claim["token_amount"]) == (str(asked // 100 * 100), str(tokens))
    too_much = {"points_claimed": points, "destination_address": wallets.address(LOCAL_SOLANA)}
    await refused(scene, member, "/api/rewards/claims", too_much, (409, "NOT_ENOUGH_POINTS"))
    return claims


async def status_to_the_end(member: Api, claim_id: str) -> dict[str, Any]:
    """GET /api/rewards/claims/:id until it is final: its status goes through the states in their order."""
    seen = ["pending"]

    async def is_final() -> dict[str, Any] | None:
        claim = await member("GET", f"/api/rewards/claims/{claim_id}")
        if claim["status"] != seen[-1]:
            seen.append(claim["status"])
        return claim if claim["final"] else None

    claim = await until(is_final)
    assert seen == [status for status in STATUSES if status in seen]
    assert (claim["status"], claim["error_message"]) == ("completed", None)
    assert claim["transaction_hash"] is not None
    assert claim["processed_at"] is not None
    return claim


async def refused(scene: Scene, member: Api, path: str, body: dict[str, Any], why: tuple[int, str]) -> None:
    answer = await scene.client.post(path, headers=member.headers, json=body)
    assert (answer.status_code, answer.json()["code"]) == why


@asynccontextmanager
async def paying_client(scene: Scene, wallets: Wallets, network: str, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The SDK's HTTP client, with a wallet for one network."""
    client = x402Client()
    client.set_spend_controls(False)
    if network == LOCAL_NETWORK:
        client.register(EVM, ExactEvmScheme(EthAccountSigner(wallets.evm)))
    else:
        client.register(SOLANA, ExactSvmScheme(KeypairSigner(wallets.solana), scene.place.signers.solana_url))
    async with x402HttpxClient(client, base_url=url, timeout=60) as http:
        yield http


async def test_a_real_x402_client_pays_a_real_x402_server_and_the_points_are_there(scene: Scene, tmp_path: Any) -> None:
    opened, wallets = scene.place.opened, {network: Wallets.of(secrets.token_hex(8)) for network in NETWORKS}
    members = {network: await scene.sign_in(wallets[network], network) for network in NETWORKS}
    for network, member in members.items():
        await member("POST", "/api/rewards/account")
        await scene.give_dollars(wallets[network], 1_000)
    # The one line of a facilitator.
    sdk = facilitator(
        scene.place.signers, scene.place.house.url + opened.report_path, opened.report_secret, tmp_path / "outbox.sqlite3"
    )
    tills = {
        EVM: Till(TILL.address(LOCAL_NETWORK), scene.coins.dollar_on_evm),
        SOLANA: Till(TILL.address(LOCAL_SOLANA), scene.coins.dollar_on_solana.address),
    }
    with ExitStack() as stack:
        settling = stack.enter_context(served(facilitator_app(sdk)))
        store = stack.enter_context(served(store_app(settling, tills, {"record": 431})))
        async with httpx.AsyncClient(base_url=store, trust_env=False) as stranger:
            assert (await stranger.get("/purchases/record")).status_code == 402
        for network, theirs in wallets.items():
            async with paying_client(scene, theirs, NETWORKS[network], store) as http:
                answer = await http.get("/purchases/record")
            assert (answer.status_code, answer.json()) == (200, {"purchase": "record", "cents": 431})

        async def are_there() -> bool:
            balances = [await member("GET", "/api/rewards/balance") for member in members.values()]
            return [balance["available_points"] for balance in balances] == ["862", "862"]

        await until(are_there)
    for network, member in members.items():
        (accrual,) = [one async for one in member.items("/api/rewards/history")]
        assert (accrual["volume_micro_usd"], accrual["multiplier_applied"]) == ("4310000", 2), network
