"""Setting up a network: its distributor and MerkleDrop, tokens that we make with their minter, treasuries; and all of it for the
local chain.

Each function may be called again at any time and goes on where it was. Single steps are in `deployment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID

from guerdon.chains import contracts, drop_contract
from guerdon.chains.networks import LOCAL_CHAIN_ID, LOCAL_NETWORK
from guerdon.kit.clock import Clock
from guerdon.kit.database import Database, PlatformSession, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing
from guerdon.ledger.models import Asset, Delivered
from guerdon.ledger.repository import asset_by_symbol
from guerdon.txmanager import repository_treasuries, service_keys, treasuries
from guerdon.txmanager.deployment import Deployment, DeploymentDeps, Progress, Step, Until
from guerdon.txmanager.errors_treasuries import AssetExistsError
from guerdon.txmanager.minting import minter_name
from guerdon.txmanager.models import Intent, Key, KeyPurpose, Treasury
from guerdon.txmanager.tokens import Chains
from guerdon.txmanager.treasuries import DISTRIBUTOR

DEV_FUNDER_KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
"""Of the first account that a local chain gives coins to. Everybody knows it: it is worth nothing on any other chain."""
_LOCAL_GAS_WEI: Final = 1_000 * 10**18
"""What each key of a local chain gets to pay its transactions with."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that we make for an asset. Amounts are in its smallest unit."""

    symbol: str
    name: str
    decimals: int
    atomic_per_point: int
    daily_cap_atomic: int


LOCAL_TOKEN: Final = NewToken("LTZ", "Loyalteez", decimals=0, atomic_per_point=1, daily_cap_atomic=10**15)


class SetupRuntime(Protocol):
    """The part of the application's runtime that setting up needs."""

    @property
    def database(self) -> Database:
        """The unit of work."""
        ...

    @property
    def secrets(self) -> KeyRing:
        """What keys are sealed under."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def chain(self) -> Chains:
        """Clients of networks by name."""
        ...


def deployment_deps(runtime: SetupRuntime) -> DeploymentDeps:
    """What deploying takes from the runtime."""
    return DeploymentDeps(runtime.database, runtime.chain, runtime.secrets, runtime.clock)


async def deploy_contracts(
    deps: DeploymentDeps, network: str, token: NewToken | None, progress: Progress, *, also: tuple[Step, ...] = ()
) -> dict[str, str]:
    """Deploy distributor and MerkleDrop and, with `token`, an asset's token and minter with rights and cap; addresses by name.

    The deployer's key appoints and sets the cap; the minter's key can only mint (SAFETY S29). Raises
    `DeploymentFailedError`, `CodeMismatchError`, `AssetExistsError` (the symbol has another token).
    """
    deployment = Deployment(deps, network, progress)
    deployer = await deployment.key(KeyPurpose.DEPLOYER)
    creations = {DISTRIBUTOR: contracts.distributor_creation(), drop_contract.NAME: drop_contract.creation()}
    if token is not None:
        minter = await deployment.key(KeyPurpose.MINTER)
        creations |= {
            f"RewardToken:{token.symbol}": contracts.token_creation(token.name, token.symbol, token.decimals, deployer.address),
            minter_name(token.symbol): contracts.minter_creation(
                admin=deployer.address, minter=minter.address, cap_admin=deployer.address, pauser=deployer.address
            ),
        }
    addresses = await deployment.deploy(creations, deployer, also=also)
    if token is not None:
        await _give_rights(deployment, deployer, token, addresses)
        await _add_token_asset(deps, network, token, addresses[f"RewardToken:{token.symbol}"])
    return addresses


async def _give_rights(deployment: Deployment, deployer: Key, token: NewToken, addresses: dict[str, str]) -> None:
    token_address = addresses[f"RewardToken:{token.symbol}"]
    minter_address = addresses[minter_name(token.symbol)]
    await deployment.run(
        [
            Step(
                f"right to mint {token.symbol}",
                "grant",
                deployer.id,
                token_address,
                contracts.grant_role_call(contracts.MINTER_ROLE, minter_address),
            ),
            Step(
                f"daily cap of {token.symbol}: {token.daily_cap_atomic}",
                "cap",
                deployer.id,
                minter_address,
                contracts.set_daily_cap_call(token_address, token.daily_cap_atomic),
                sets=True,
            ),
        ],
        Until.INCLUDED,
    )


async def _add_token_asset(deps: DeploymentDeps, network: str, token: NewToken, token_address: str) -> None:
    async def add(session: PlatformSession) -> None:
        known = await asset_by_symbol(session, token.symbol)
        if known is None:
            await repository_treasuries.insert_asset(
                session,
                Asset(
                    id=uuid7(),
                    symbol=token.symbol,
                    decimals=token.decimals,
                    delivery=Delivered.AUTOMATIC,
                    network=network,
                    token_address=token_address,
                    atomic_per_point=token.atomic_per_point,
                    mintable=True,
                    created_at=deps.clock.now(),
                ),
            )
        elif (known.network, known.token_address) != (network, token_address):
            raise AssetExistsError

    await run_in_platform(deps.database, add)


async def bootstrap_local(
    runtime: SetupRuntime,
    progress: Progress,
    *,
    funder_private_key: str = DEV_FUNDER_KEY,
    chain_id: int = LOCAL_CHAIN_ID,
    block_time_ms: int = 2_000,
) -> Treasury:
    """Everything that the local chain needs: network, keys with gas, contracts, the asset LTZ and its treasury.

    Returns when all of it is final. An engine for the network `local` has to be running.
    """
    deps = deployment_deps(runtime)
    async with runtime.database.platform() as session:
        await service_keys.set_network(session, name=LOCAL_NETWORK, chain_id=chain_id, block_time_ms=block_time_ms)
    deployment = Deployment(deps, LOCAL_NETWORK, progress)
    funder = await deployment.key(KeyPurpose.DEPLOYER, funder_private_key)
    minter = await deployment.key(KeyPurpose.MINTER)
    treasury_key = await deployment.key(KeyPurpose.TREASURY)
    gas = tuple(
        Step(f"gas of the {key.purpose} key", "transfer", funder.id, key.address, b"", _LOCAL_GAS_WEI)
        for key in (minter, treasury_key)
    )
    await deploy_contracts(deps, LOCAL_NETWORK, LOCAL_TOKEN, progress, also=gas)
    treasury, approval = await _ensure_treasury(deps, treasury_key)
    await deployment.wait_final([approval], "the treasury's approval")
    return treasury


async def _ensure_treasury(deps: DeploymentDeps, key: Key) -> tuple[Treasury, Intent]:
    async def ensure(session: PlatformSession) -> tuple[Treasury, Intent]:
        asset = await asset_by_symbol(session, LOCAL_TOKEN.symbol)
        if asset is None:
            raise AssetExistsError(f"{LOCAL_TOKEN.symbol} was not made")
        treasury = await repository_treasuries.treasury_on(session, asset.id, LOCAL_NETWORK)
        if treasury is None:
            treasury = await treasuries.create_treasury(session, deps.ring, asset, key_id=key.id, now=deps.clock.now())
        return treasury, await treasuries.first_approval(session, treasury)

    return await run_in_platform(deps.database, ensure)


async def import_treasury_key(deps: DeploymentDeps, network: str, private_key: str) -> UUID:
    """An existing key for a treasury; raises `InvalidKeyError`, `KeyExistsError`."""
    return (await Deployment(deps, network, lambda _: None).import_key(KeyPurpose.TREASURY, private_key)).id


async def send_gas(deps: DeploymentDeps, treasury: Treasury, wei: int, progress: Progress) -> Intent:
    """Native coin from the deployer's key to a treasury; returns when it is final. Raises `DeploymentFailedError`."""
    deployment = Deployment(deps, treasury.network, progress)
    deployer = await deployment.key(KeyPurpose.DEPLOYER)
    step = Step(f"gas {uuid7()}", "transfer", deployer.id, treasury.address, b"", wei)
    (intent,) = await deployment.run([step], Until.FINAL)
    return intent
