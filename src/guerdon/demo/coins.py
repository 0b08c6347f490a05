"""What belongs to others in the demo: a test dollar on each chain, a reward token on the Solana, and the faucets.

All of these keys follow from their names, so that another run finds everything again: they are worth nothing beyond this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import VersionedTransaction

from guerdon.chains import abi, contracts
from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import LOCAL_CHAIN_ID
from guerdon.chains.signing import address_of, sign_transaction
from guerdon.chains.solana import instructions
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.programs import TOKEN
from guerdon.chains.solana.tokens import MINT_BYTES, Mint, associated_address, read_mint, read_token_account
from guerdon.demo.errors import DemoError
from guerdon.demo.store import DOLLAR

DECIMALS: Final = 6
_CONTRACT: Final = "TestUSDC"
_WEI: Final = 10 * 10**18
_LAMPORTS: Final = 100 * 10**9
_INITIALIZE_MINT2: Final = 20
_MINT_TO_CHECKED: Final = 14
_GAS: Final = 5_000_000
_MORE_SLOTS_A_SECOND: Final = 5
_SLOTS_TO_FINALITY: Final = 33
_PATIENCE_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.1


def key_of(name: str) -> bytes:
    """32 bytes that anybody can make from the name."""
    return hashlib.sha256(f"guerdon demo: {name}".encode()).digest()


def keypair_of(name: str) -> Keypair:
    """The same as a key of Solana."""
    return Keypair.from_seed(key_of(name))


@dataclass(frozen=True, slots=True)
class Coins:
    """The tokens that there are, and who makes them."""

    evm: EvmClient
    solana: SolanaClient
    dollar_on_evm: str
    dollar_on_solana: Mint
    reward_on_solana: Mint

    async def make(self, on_evm: Mapping[str, int], dollars: Mapping[str, int], rewards: Mapping[str, int]) -> None:
        """Make so much of the test dollars and of the reward token for these wallets; those of Solana have an account then."""
        await asyncio.gather(
            _mint_on_evm(self.evm, self.dollar_on_evm, on_evm),
            _mint_on_solana(self.solana, self.dollar_on_solana, dollars),
            _mint_on_solana(self.solana, self.reward_on_solana, rewards),
        )

    async def dollars_on_evm(self, owner: str) -> int:
        """Of the test dollar, in its smallest unit."""
        return await self.evm.token_balance(self.dollar_on_evm, owner, "latest")

    async def held_on_solana(self, mint: Mint, owner: str) -> int:
        """Of a token, in its smallest unit, confirmed."""
        address = associated_address(owner, mint)
        account = (await self.solana.accounts([address], "confirmed")).found[address]
        return 0 if account is None else read_token_account(account).amount_atomic


async def open_coins(evm: EvmClient, solana: SolanaClient) -> Coins:
    """The tokens, made where they are not there yet."""
    dollar, mints = await asyncio.gather(_dollar(evm), _mints(solana, "dollar", "reward"))
    return Coins(evm, solana, dollar, *mints)


async def give_ether(evm: EvmClient, addresses: Iterable[str]) -> None:
    """The EVM chain's faucet: what its transactions are paid with."""
    for address in addresses:
        await evm.ask("anvil_setBalance", address, hex(_WEI))


async def give_sol(solana: SolanaClient, addresses: Iterable[str]) -> None:
    """The Solana's faucet, for those that have little left."""
    await asyncio.gather(*(_airdrop(solana, address) for address in addresses))


@asynccontextmanager
async def hurrying(solana: SolanaClient) -> AsyncGenerator[None]:
    """Have the local Solana's slots pass three times as fast for the time of a block: its finality takes four seconds then."""

    async def hurry() -> None:
        while True:
            await solana.known(("guerdon_advanceSlots", (_MORE_SLOTS_A_SECOND,)))
            await asyncio.sleep(1)

    task = asyncio.create_task(hurry())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _airdrop(solana: SolanaClient, address: str) -> None:
    if await solana.balance(address) < _LAMPORTS // 2:
        (signature,) = await solana.known(("requestAirdrop", (address, _LAMPORTS)))
        await _landed(solana, signature)


async def _dollar(evm: EvmClient) -> str:
    key = key_of("issuer")
    issuer = address_of(key)
    address = contracts.created_address(issuer, 0)
    await give_ether(evm, [issuer])
    if not await evm.code(address, "latest"):
        await _send(evm, key, None, abi.creation_data(_CONTRACT, DOLLAR["name"], "USDC", DECIMALS))
    return address


async def _mint_on_evm(evm: EvmClient, token: str, amounts: Mapping[str, int]) -> None:
    calls = [abi.call_data(_CONTRACT, "mint", owner, amount) for owner, amount in amounts.items() if amount]
    if calls:
        await _send(evm, key_of("issuer"), token, abi.call_data(_CONTRACT, "multicall", calls))


async def _send(evm: EvmClient, key: bytes, to: str | None, data: bytes) -> None:
    fees = await evm.fees()
    raw, transaction_hash = sign_transaction(
        key, chain_id=LOCAL_CHAIN_ID, nonce=await evm.nonce(address_of(key), "latest"), to=to, data=data, value=0,
        gas_limit=_GAS, max_fee_per_gas=2 * fees.base_fee + fees.priority_fee, max_priority_fee_per_gas=fees.priority_fee,
    )  # fmt: skip
    await evm.send_raw(raw)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (receipts := await evm.receipts([transaction_hash])):
        if time.monotonic() > deadline:
            raise DemoError(f"the local chain took no transaction for {_PATIENCE_SECONDS} s: {transaction_hash}")
        await asyncio.sleep(_POLL_SECONDS)
    if not receipts[transaction_hash].succeeded:
        raise DemoError(f"a transaction of the test dollar failed: {transaction_hash}")


async def _mints(solana: SolanaClient, *names: str) -> list[Mint]:
    issuer, keys = keypair_of("issuer"), [keypair_of(name) for name in names]
    addresses = [str(key.pubkey()) for key in keys]
    found = await solana.accounts(addresses, "confirmed")
    if any(account is None for account in found.found.values()):
        await _airdrop(solana, str(issuer.pubkey()))
        (rent,) = await solana.known(("getMinimumBalanceForRentExemption", (MINT_BYTES,)))
        await _run(solana, [one for key in keys for one in _creation(issuer, key, rent)], issuer, *keys)
        # The SDK's client takes a token for real once it is final, which would be in 13 seconds.
        await solana.known(("guerdon_advanceSlots", (_SLOTS_TO_FINALITY,)))
        found = await solana.accounts(addresses, "confirmed")
    return [read_mint(account) for account in found.found.values() if account is not None]


def _creation(issuer: Keypair, mint: Keypair, rent: int) -> list[Instruction]:
    program = Pubkey.from_string(TOKEN)
    made = CreateAccountParams(
        from_pubkey=issuer.pubkey(), to_pubkey=mint.pubkey(), lamports=rent, space=MINT_BYTES, owner=program
    )
    data = bytes([_INITIALIZE_MINT2, DECIMALS]) + bytes(issuer.pubkey()) + b"\0"
    return [
        create_account(made),
        Instruction(program, data, [AccountMeta(mint.pubkey(), is_signer=False, is_writable=True)]),
    ]


async def _mint_on_solana(solana: SolanaClient, mint: Mint, amounts: Mapping[str, int]) -> None:
    issuer = keypair_of("issuer")

    async def mint_to(owner: str, amount: int) -> None:
        wanted = [instructions.create_token_account(str(issuer.pubkey()), owner, mint)]
        if amount:
            wanted.append(_minting(issuer, mint, associated_address(owner, mint), amount))
        await _run(solana, wanted, issuer)

    await asyncio.gather(*(mint_to(owner, amount) for owner, amount in amounts.items()))


def _minting(issuer: Keypair, mint: Mint, account: str, amount: int) -> Instruction:
    data = bytes([_MINT_TO_CHECKED]) + amount.to_bytes(8, "little") + bytes([mint.decimals])
    written = [AccountMeta(Pubkey.from_string(one), is_signer=False, is_writable=True) for one in (mint.address, account)]
    return Instruction(
        Pubkey.from_string(mint.program), data, [*written, AccountMeta(issuer.pubkey(), is_signer=True, is_writable=False)]
    )


async def _run(solana: SolanaClient, wanted: Sequence[Instruction], *signers: Keypair) -> None:
    """Sign and send a transaction whose fee the first signer pays; it has succeeded, confirmed."""
    payer = signers[0].pubkey()
    recent = await solana.survey(str(payer))
    message = MessageV0.try_compile(payer, wanted, [], Hash.from_string(recent.blockhash))
    transaction = VersionedTransaction(message, list(signers))
    await solana.send([bytes(transaction)])
    await _landed(solana, str(transaction.signatures[0]))


async def _landed(solana: SolanaClient, signature: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        status = (await solana.statuses([signature], search_history=False)).found[signature]
        if status is not None and status.error is not None:
            raise DemoError(f"a transaction on the local Solana failed: {status.error}")
        if status is not None and status.commitment != "processed":
            return
        if time.monotonic() > deadline:
            raise DemoError(f"the local Solana took no transaction for {_PATIENCE_SECONDS} s: {signature}")
        await asyncio.sleep(_POLL_SECONDS)
