"""Contract wallets, on a real chain: what they say holds on their own chain, and only as long as they say it (SAFETY S7)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from eth_abi.abi import encode
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from guerdon.accounts import repository_addresses
from guerdon.accounts.addresses import destination, ownerships
from guerdon.accounts.errors import AddressNotProvenError
from guerdon.accounts.proofs import Prover
from guerdon.accounts.signatures import personal_hash
from guerdon.chains.contract_wallets import ERC6492_SUFFIX, Judgement, judged
from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import EIP155
from guerdon.kit.database import transaction_time
from guerdon.txmanager.service_keys import set_network
from tests.accounts.conftest import OWN
from tests.fakes.rpc_proxy import ALWAYS, Fault, RpcProxy
from tests.support.api import Running, running, settings_for
from tests.support.local_chain import Account, ChainInThread, running_chain
from tests.support.members import EvmWallet, a_member, an_account, an_address, sign_in
from tests.support.postgres import Urls
from tests.support.solidity import compiled

ADDRESSES = "/api/rewards/account/addresses"
MAKE = keccak(b"make(address,bytes32)")[:4]
HAND_ON = keccak(b"handOn(address)")[:4]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChainInThread]:
    with running_chain(tmp_path_factory.mktemp("chain")) as one:
        yield one


@pytest.fixture
async def client(chain: ChainInThread) -> AsyncIterator[EvmClient]:
    async with EvmClient(chain.url) as one:
        yield one


@pytest.fixture
async def proxy(chain: ChainInThread) -> AsyncIterator[RpcProxy]:
    async with RpcProxy(chain.url) as one:
        yield one


@pytest.fixture
async def api(database_urls: Urls, proxy: RpcProxy) -> AsyncIterator[Running]:
    settings = settings_for(database_urls.app, public_url=OWN, rpc_urls={"local": proxy.url}, rate_limit_sign_in_a_minute=1000)
    async with running(settings) as started:
        async with started.runtime.database.platform() as session:
            await set_network(session, name="local", chain_id=31337)
            await set_network(session, name="base", chain_id=8453)
        await started.program("Acme")
        yield started


@dataclass(frozen=True)
class ContractWallet:
    """A contract wallet and its owner's key. `factory` where it is not deployed yet."""

    address: str
    owner: EvmWallet
    factory: str | None = None
    salt: bytes = b""
    network: str = "local"

    def sign(self, message: str) -> str:
        inner = bytes(EthAccount.sign_message(encode_defunct(text=message), self.owner.key).signature)
        return "0x" + (inner if self.factory is None else self.wrap(inner)).hex()

    def wrap(self, inner: bytes, factory_call: bytes | None = None) -> bytes:
        call = MAKE + encode(["address", "bytes32"], [self.owner.address, self.salt]) if factory_call is None else factory_call
        return encode(["address", "bytes", "bytes"], [self.factory, call, inner]) + ERC6492_SUFFIX


async def deployed(client: EvmClient, chain: ChainInThread, owner: EvmWallet | None = None) -> ContractWallet:
    owner = owner or EvmWallet()
    payer = Account(client, chain.funder_key)
    code = compiled("TestWallet.sol")["TestWallet"].creation_code + encode(["address"], [owner.address])
    made = await payer.send(None, code)
    assert made.contract_address is not None
    return ContractWallet(made.contract_address, owner)


async def counterfactual(client: EvmClient, chain: ChainInThread) -> ContractWallet:
    payer, owner, salt = Account(client, chain.funder_key), EvmWallet(), secrets.token_bytes(32)
    made = await payer.send(None, compiled("TestWallet.sol")["TestWalletFactory"].creation_code)
    factory = made.contract_address
    assert factory is not None
    code = keccak(compiled("TestWallet.sol")["TestWallet"].creation_code + encode(["address"], [owner.address]))
    address = keccak(b"\xff" + bytes.fromhex(factory[2:]) + salt + code)[-20:]
    return ContractWallet(to_checksum_address(address), owner, factory, salt)


async def _asked(caller: Any, wallet: Any, network: str = "local", **more: Any) -> dict[str, Any]:
    answer = await caller("POST", ADDRESSES, {"network": network, "address": wallet.address, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _verify(caller: Any, asked: dict[str, Any], **proof: str) -> httpx.Response:
    return await caller("POST", f"{ADDRESSES}/{asked['id']}/verify", proof)


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("make", [deployed, counterfactual])
async def test_s7_a_contract_wallet_proves_its_address_on_its_own_chain_alone(
    api: Running, client: EvmClient, chain: ChainInThread, make: Any
) -> None:
    wallet = await make(client, chain)
    caller, account = await a_member(api)
    asked = await _asked(caller, wallet)
    proven = await _verify(caller, asked, signature=wallet.sign(asked["challenge"]["message"]))
    assert proven.status_code == 200, proven.text
    method = "eip1271" if make is deployed else "eip6492"
    assert (proven.json()["chain_id"], proven.json()["method"]) == (31337, method)
    # On another chain it has to be proven anew, and nobody can ask it there.
    elsewhere = await _asked(caller, wallet, "base")
    assert elsewhere["id"] != asked["id"]
    refused = await _verify(caller, elsewhere, signature=wallet.sign(elsewhere["challenge"]["message"]))
    assert _code(refused) == (400, "WALLET_SIGNATURE_INVALID")
    async with api.runtime.database.platform() as session:
        program = (await caller("GET", "/api/auth/session")).json()["accounts"][0]["brand_id"]
        from guerdon.programs.administration import program_named

        program_id = (await program_named(session, program)).id
    async with api.runtime.database.program(program_id) as session:
        now = await transaction_time(session)
        (owned,) = (await ownerships(session, program_id, [(EIP155, wallet.address)]))[EIP155, wallet.address]
        assert owned.chain_id == 31337
        for chain_id in (8453, None):
            with pytest.raises(AddressNotProvenError):
                await destination(session, program_id, UUID(account["id"]), EIP155, chain_id, wallet.address, now)


async def test_s7_a_proof_that_undeployed_code_gave_leaves_nothing_on_chain(
    api: Running, client: EvmClient, chain: ChainInThread
) -> None:
    wallet = await counterfactual(client, chain)
    caller, _ = await a_member(api)
    asked = await _asked(caller, wallet)
    assert (await _verify(caller, asked, signature=wallet.sign(asked["challenge"]["message"]))).status_code == 200
    assert await client.code(wallet.address, "latest") == b""


async def test_s7_who_does_not_own_the_contract_proves_nothing(api: Running, client: EvmClient, chain: ChainInThread) -> None:
    wallet, lazy = await deployed(client, chain), await counterfactual(client, chain)
    caller, _ = await a_member(api)
    thief = EvmWallet()
    for victim in (wallet, lazy):
        asked = await _asked(caller, victim)
        message = asked["challenge"]["message"]
        stolen = ContractWallet(victim.address, thief, lazy.factory, lazy.salt)
        for signature in (
            thief.sign(message),
            "0x" + stolen.wrap(bytes.fromhex(thief.sign(message)[2:])).hex(),
            "0x" + ERC6492_SUFFIX.hex(),
            "0x" + (b"\xff" * 96 + ERC6492_SUFFIX).hex(),
            "0x" + lazy.wrap(b"").hex(),
            "0x00",
        ):
            refused = await _verify(caller, asked, signature=signature)
            assert _code(refused) == (400, "WALLET_SIGNATURE_INVALID"), signature


async def test_s7_a_factory_that_makes_another_wallet_proves_nothing(client: EvmClient, chain: ChainInThread) -> None:
    """The address is what is proven: what a factory makes elsewhere, or that it makes anything at all, is no proof."""
    lazy = await counterfactual(client, chain)
    victim = EvmWallet().address
    inner = bytes.fromhex(lazy.owner.sign("text")[2:])
    assert await judged(client, lazy.address, personal_hash("text"), lazy.wrap(inner)) is Judgement.ERC6492
    assert await judged(client, victim, personal_hash("text"), lazy.wrap(inner)) is None
    assert await judged(client, lazy.address, personal_hash("text"), lazy.wrap(inner, b"")) is None
    assert await judged(client, lazy.address, personal_hash("another"), lazy.wrap(inner)) is None


async def test_s7_a_contract_that_answers_anything_else_than_yes_proves_nothing(client: EvmClient, chain: ChainInThread) -> None:
    payer = Account(client, chain.funder_key)
    yes = bytes.fromhex("1626ba7e")
    for answer in (b"", b"\x01", yes, (1).to_bytes(32), bytes(28) + yes, yes + b"\x01" * 28, yes + bytes(60)):
        code = compiled("TestWallet.sol")["TestLiar"].creation_code + encode(["bytes"], [answer])
        made = await payer.send(None, code)
        assert made.contract_address is not None
        assert await judged(client, made.contract_address, bytes(32), b"\x01") is None, answer
    assert await judged(client, EvmWallet().address, bytes(32), b"\x01") is None


async def test_s7_a_contracts_word_is_asked_for_again(api: Running, client: EvmClient, chain: ChainInThread) -> None:
    wallet = await deployed(client, chain)
    caller, account = await a_member(api)
    asked = await _asked(caller, wallet)
    assert (await _verify(caller, asked, signature=wallet.sign(asked["challenge"]["message"]))).status_code == 200
    database = api.runtime.database
    async with database.platform() as session:
        from guerdon.programs.repository import programs_after

        program_id = (await programs_after(session, None, 1))[0].id
    async with database.program(program_id) as session:
        row = await repository_addresses.address_by_id(session, program_id, UUID(asked["id"]))
    assert row is not None
    prover = Prover(database, api.runtime.chain)
    assert await prover.still_holds(row)
    payer = Account(client, chain.funder_key)
    await payer.send(wallet.owner.address, value=10**18)
    await Account(client, wallet.owner.key).send(wallet.address, HAND_ON + encode(["address"], [EvmWallet().address]))
    assert not await prover.still_holds(row)
    assert account["id"] == str(row.account_id)


async def test_a_contract_wallet_signs_in_for_its_chain_and_finds_nothing_of_the_key_at_the_same_address(
    api: Running, client: EvmClient, chain: ChainInThread
) -> None:
    wallet = await deployed(client, chain)
    database = api.runtime.database
    async with database.platform() as session:
        from guerdon.programs.repository import programs_after

        program_id = (await programs_after(session, None, 1))[0].id
    of_all_chains = await an_account(database, program_id)
    await an_address(database, program_id, of_all_chains, wallet.address)
    caller = await sign_in(api, wallet)  # pyright: ignore[reportArgumentType] - signs as wallets do
    who = (await caller("GET", "/api/auth/session")).json()
    assert [(one["chain_id"], one["method"]) for one in who["identities"]] == [(31337, "eip1271")]
    assert _code(await caller("GET", "/api/rewards/account")) == (404, "ACCOUNT_NOT_FOUND")
    made = await caller("POST", "/api/rewards/account")
    # Its word is not on record with the account: it links itself like any other address.
    assert (made.status_code, made.json()["primary_address"]) == (201, None)


# ---- proof by a transfer --------------------------------------------------------------------------------------------


async def _sent(client: EvmClient, chain: ChainInThread, wallet: EvmWallet, to: str, value: int, data: bytes = b"") -> str:
    await Account(client, chain.funder_key).send(wallet.address, value=10**18)
    receipt = await Account(client, wallet.key).send(to, data, value=value)
    chain.mine(3)
    return receipt.transaction_hash


async def test_s7_an_address_that_can_not_sign_sends_what_was_asked_for(
    api: Running, client: EvmClient, chain: ChainInThread
) -> None:
    caller, account = await a_member(api)
    wallet = EvmWallet()
    asked = await _asked(caller, wallet, proof="transfer")
    transfer = asked["challenge"]["transfer"]
    amount = int(transfer["amount"])
    assert 0 < amount <= 10**12
    assert amount % 10
    assert (transfer["network"], account["id"] in asked["challenge"]["message"]) == ("local", True)
    assert _code(await _verify(caller, asked, signature=wallet.sign(asked["challenge"]["message"]))) == (
        400,
        "WALLET_SIGNATURE_INVALID",
    )
    thief = EvmWallet()
    for wrong in (
        await _sent(client, chain, thief, transfer["to"], amount),
        await _sent(client, chain, wallet, transfer["to"], amount + 1),
        await _sent(client, chain, wallet, EvmWallet().address, amount),
        await _sent(client, chain, wallet, transfer["to"], amount, b"\x01"),
        "0x" + "00" * 32,
    ):
        assert _code(await _verify(caller, asked, transaction_hash=wrong)) == (400, "TRANSFER_PROOF_INVALID")
    right = await _sent(client, chain, wallet, transfer["to"], amount)
    proven = await _verify(caller, asked, transaction_hash=right)
    assert (proven.status_code, proven.json()["method"], proven.json()["chain_id"]) == (200, "transfer", None)
    assert _code(await _verify(caller, asked, transaction_hash=right)) == (409, "CHALLENGE_USED")


async def test_s7_a_transfer_that_was_made_before_it_was_asked_for_proves_nothing(
    api: Running, client: EvmClient, chain: ChainInThread, owner: Any
) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    asked = await _asked(caller, wallet, proof="transfer")
    transfer = asked["challenge"]["transfer"]
    right = await _sent(client, chain, wallet, transfer["to"], int(transfer["amount"]))
    await owner.execute("update challenges set created_at = now() + interval '1 hour', expires_at = now() + interval '2 hours'")
    assert _code(await _verify(caller, asked, transaction_hash=right)) == (400, "TRANSFER_PROOF_INVALID")


async def test_s7_a_transfer_that_is_not_final_or_that_failed_proves_nothing(
    api: Running, client: EvmClient, chain: ChainInThread, proxy: RpcProxy, owner: Any
) -> None:
    caller, _ = await a_member(api)
    wallet = EvmWallet()
    asked = await _asked(caller, wallet, proof="transfer")
    amount = int(asked["challenge"]["transfer"]["amount"])
    right = await _sent(client, chain, wallet, asked["challenge"]["transfer"]["to"], amount)

    def young(call: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": {**answer["result"], "number": "0x1"}} if call["params"][0] == "finalized" else answer

    fault = proxy.add(Fault("eth_getBlockByNumber", times=ALWAYS, answer=young))
    assert _code(await _verify(caller, asked, transaction_hash=right)) == (409, "TRANSFER_NOT_FINAL")
    fault.stop()
    # Sent to what takes no coin.
    to = (await deployed(client, chain)).address
    await owner.execute("update challenges set transfer_to = $1", to)
    failed = await Account(client, wallet.key).send(to, value=amount, gas_limit=100_000)
    chain.mine(3)
    assert not failed.succeeded
    assert _code(await _verify(caller, asked, transaction_hash=failed.transaction_hash)) == (400, "TRANSFER_PROOF_INVALID")


async def test_s7_a_tokens_log_is_no_transfer(api: Running, client: EvmClient, chain: ChainInThread) -> None:
    """Anybody's contract writes `Transfer(victim, …)` into its log; the coin's own sender is whoever signed."""
    caller, _ = await a_member(api)
    victim, thief = EvmWallet(), EvmWallet()
    asked = await _asked(caller, victim, proof="transfer")
    amount = int(asked["challenge"]["transfer"]["amount"])
    contract = await deployed(client, chain, thief)
    forged = await _sent(client, chain, thief, contract.address, 0, HAND_ON + encode(["address"], [victim.address]))
    assert _code(await _verify(caller, asked, transaction_hash=forged)) == (400, "TRANSFER_PROOF_INVALID")
    assert amount
